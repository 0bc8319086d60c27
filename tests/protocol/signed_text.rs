//! What a transfer's sender signed is read without hashing the block around it, and never comes out changed.

use city_protocol::ids::{BlockId, Digest};
use city_protocol::ledger::{History, Rows as _, Table, key};

use super::disk::Disk;
use super::world::{KANAZAWA, KOMATSU, World};

/// A disk that gives blocks with one byte turned over to who does not hash them.
struct Worn<'a>(&'a Disk, usize);

impl History for Worn<'_> {
    fn row(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.row(key)
    }

    fn rows(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.0.rows(prefix, after, limit)
    }

    fn block(&self, id: &BlockId) -> Option<Vec<u8>> {
        self.0.block(id)
    }

    fn unchecked_block(&self, id: &BlockId) -> Option<Vec<u8>> {
        let mut block = self.0.block(id)?;
        let at = self.1 % block.len();
        block[at] ^= 1;
        Some(block)
    }
}

#[test]
fn a_transfers_text_is_what_was_signed_wherever_a_byte_of_its_block_went_bad() {
    let mut world = World::new();
    let hanako = world.rich_citizen("Hanako", KANAZAWA, "100.00");
    let taro = world.citizen("Taro", KOMATSU);
    for _ in 0..3 {
        world.transfer(&hanako, &taro, "1.00").unwrap();
    }
    world.run();
    let log = hanako.home_log;
    let disk = &world.homes[KANAZAWA].disk;
    let names = key(Table::Open, &[&log.0]);
    let open = disk.rows(&names, None, 10);
    assert_eq!(open.len(), 3);
    for (name, _) in open {
        let transfer = Digest(name[names.len()..].try_into().unwrap());
        let rows: &dyn History = disk;
        let at = rows.transfer(&log, &transfer).unwrap().at;
        let signed = rows.entry(&log, &at).unwrap().body;
        for worn_at in (0..8_000).step_by(13) {
            let worn = Worn(disk, worn_at);
            let rows: &dyn History = &worn;
            let read = rows.transfer_body(&log, &at, &transfer);
            assert_eq!(read.as_ref(), Some(&signed), "{worn_at}");
        }
    }
}

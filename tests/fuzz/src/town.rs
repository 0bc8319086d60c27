//! What valid bytes the targets begin with: a story in the worlds of tests/protocol, in which every kind of entry occurs in
//! every way in which it is written. 花子 of 金沢市 pays 太郎 of 小松市, and 次郎 at home; one transfer is still open at the end.
//! 能美市 has troubles, and does not count beyond a cut. The same in every run.

mod kinds;
mod story;
mod troubles;

use std::collections::BTreeMap;
use std::sync::Arc;

use city_protocol::crypto::{PublicKey, SecretKey};
use city_protocol::ids::{BlockId, Digest, KeyId, LogId};
use city_protocol::ledger::{
    self, Changes, FoldContext, Layers, Rows as _, Table, Verdict, read_row,
};
use city_protocol::vertex::{
    Authority, Entry, KeySource, Receipt, SignedHeader, VerifiedVertex, decode_body, merkle_paths,
};

use crate::disk::Disk;
use crate::home::Home;
use crate::people::Person;
use crate::world::{HAKUSAN, World};

pub(crate) use troubles::{NOMI, amendment};

/// The world after the story, and everything that was written in it.
pub(crate) struct Town {
    pub(crate) world: World,
    pub(crate) hanako: Person,
    pub(crate) people: Vec<Person>,
    /// What everybody signs with: people with all their keys, and officers of all charters.
    pub(crate) secrets: BTreeMap<KeyId, Arc<SecretKey>>,
    pub(crate) keys: Keys,
    /// All vertices in the order in which they arrived at 白山市.
    pub(crate) vertices: Vec<Written>,
}

/// One vertex, and what a follower had before it.
pub(crate) struct Written {
    pub(crate) header: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) before: Disk,
}

/// Every key of the story.
pub(crate) struct Keys {
    authorities: BTreeMap<LogId, Arc<Authority>>,
    people: BTreeMap<KeyId, Arc<PublicKey>>,
}

impl KeySource for Keys {
    fn authority(&self, log: &LogId) -> Option<Arc<Authority>> {
        self.authorities.get(log).cloned()
    }

    fn public_key(&self, id: &KeyId) -> Option<Arc<PublicKey>> {
        self.people.get(id).cloned()
    }
}

thread_local! {
    static TOWN: &'static Town = Box::leak(Box::new(Town::new()));
}

/// The town, made at the first call.
pub(crate) fn town() -> &'static Town {
    TOWN.with(|town| *town)
}

impl Town {
    fn new() -> Self {
        let mut world = World::connected();
        let story::People { hanako, jiro, taro } = story::tell(&mut world);
        let known = world.homes[HAKUSAN].replica.authorities();
        let authority = |home: &Home| known.authority(&home.log()).expect("it is followed");
        let authorities = world.homes.iter().map(|home| (home.log(), authority(home)));
        let keys = Keys {
            authorities: authorities.collect(),
            people: world.people.clone(),
        };
        let vertices = written(&world, &keys);
        let town = Self {
            world,
            people: vec![hanako.clone(), jiro, taro],
            hanako,
            secrets: story::secrets(),
            keys,
            vertices,
        };
        let entries = town.receipts().into_iter().map(|receipt| receipt.entry);
        kinds::assert_whole(&entries.collect::<Vec<_>>());
        town
    }

    /// The receipts of all entries.
    pub(crate) fn receipts(&self) -> Vec<Receipt> {
        self.vertices
            .iter()
            .flat_map(|vertex| self.receipts_of(vertex))
            .collect()
    }

    fn receipts_of(&self, vertex: &Written) -> Vec<Receipt> {
        let header = SignedHeader::read(&vertex.header).expect("a home wrote it");
        let entries = decode_body(&vertex.body).expect("a home wrote it");
        let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
        let authority = self
            .keys
            .authority(&header.header.log)
            .expect("of the story");
        let h = &header.header;
        let authority = Arc::new(authority.entries(h.epoch, Some(h.charter)));
        let paths = merkle_paths(&leaves).1;
        let receipt = |(index, (entry, path)): (usize, (Entry, Vec<[u8; 32]>))| Receipt {
            v: 1,
            authority: authority.clone(),
            header: vertex.header.clone(),
            entry,
            index: index as u64,
            path: path.into_iter().map(Digest).collect(),
        };
        entries
            .into_iter()
            .zip(paths)
            .enumerate()
            .map(receipt)
            .collect()
    }
}

/// All vertices that 白山市 found valid, in the order in which it did, each with what it had before.
fn written(world: &World, keys: &Keys) -> Vec<Written> {
    let disk = &world.homes[HAKUSAN].disk;
    let mut before = Disk::default();
    let mut written = Vec::new();
    for groups in 1..=disk.groups() {
        let after = disk.as_of(groups);
        let ids = found_valid(&before, &after);
        if !ids.is_empty() {
            put_aside(&mut before, &after, &ids);
        }
        for id in ids {
            let header = after.blocks[&id].to_vec();
            let vertex = after.read().vertex(&id).expect("it has a row");
            let body = after.blocks[&vertex.body].to_vec();
            let vertex = VerifiedVertex::verify(&world.genesis, keys, &header, body.clone());
            let vertex = vertex.expect("a home signed it");
            let verdict = judge(world, keys, &vertex, &before, 1);
            let Verdict::Valid(valid) = verdict else {
                let h = &vertex.header.header;
                panic!(
                    "{}/{}/{} was found valid, not {verdict:?}",
                    h.log, h.epoch, h.seq
                );
            };
            let mut then = before.clone();
            then.write(valid.changes);
            written.push(Written {
                header,
                body,
                before: std::mem::replace(&mut before, then),
            });
        }
        before = after;
    }
    written
}

/// The vertices that got their positions between these two, in the order of their arrival.
fn found_valid(before: &Disk, after: &Disk) -> Vec<BlockId> {
    let new = |(name, id): &(&Vec<u8>, &Vec<u8>)| {
        name[0] == Table::Position as u8 && before.rows.get(*name) != Some(*id)
    };
    let ids = after.rows.iter().filter(new).map(|(_, id)| read_row(id));
    let mut ids: Vec<BlockId> = ids.collect();
    ids.sort_by_key(|id| after.read().vertex(id).map(|vertex| vertex.order));
    ids
}

/// What the valid ones rest on and does not count any more: it came with them.
fn put_aside(before: &mut Disk, after: &Disk, valid: &[BlockId]) {
    let is_vertex = |(name, _): &(&Vec<u8>, &Vec<u8>)| name[0] == Table::Vertex as u8;
    let rows: Vec<_> = after.rows.iter().filter(is_vertex).collect();
    for (name, row) in rows {
        let id = BlockId::from_digest(name[1..].try_into().expect("a digest"));
        if valid.contains(&id) || before.rows.contains_key(name) {
            continue;
        }
        before.rows.insert(name.clone(), row.clone());
        let vertex = after.read().vertex(&id).expect("it has a row");
        for block in [id, vertex.body] {
            let stored = after.blocks.get(&block).cloned();
            before.blocks.extend(stored.map(|bytes| (block, bytes)));
        }
    }
}

/// Every header that 白山市 holds: those of valid vertices, of what lies beyond cuts, and of what breaks a rule.
pub(crate) fn headers() -> Vec<Vec<u8>> {
    let blocks = town().world.homes[HAKUSAN].disk.blocks.values();
    let headers = blocks.filter(|block| SignedHeader::read(block).is_ok());
    headers.map(|block| block.to_vec()).collect()
}

/// What a home says about a vertex that it is given after these rows.
pub(crate) fn judge(
    world: &World,
    keys: &Keys,
    vertex: &VerifiedVertex,
    before: &Disk,
    order: u64,
) -> Verdict {
    let nothing = Changes::default();
    let ctx = FoldContext {
        network: world.network(),
        authority: &vertex.authority,
        keys,
        layers: Layers {
            history: before,
            batch: &nothing,
            vertex: None,
        },
    };
    ledger::judge(&ctx, vertex, order)
}

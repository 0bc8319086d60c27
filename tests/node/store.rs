//! The store: what was acknowledged is there, whatever the disk does; the index is never believed wrongly.
//!
//! Random tests print their seed and take it back in `CITY_NODE_SEED`.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "helpers of tests; small numbers"
)]

#[path = "store/backup.rs"]
mod backup;
#[path = "store/compact.rs"]
mod compact;
#[path = "store/disk.rs"]
mod disk;
#[path = "store/export.rs"]
mod export;
#[path = "store/full.rs"]
mod full;
#[path = "store/home.rs"]
mod home;
#[path = "store/import.rs"]
mod import;
#[path = "store/layer.rs"]
mod layer;
#[path = "store/log.rs"]
mod log;
#[path = "store/repair.rs"]
mod repair;
#[path = "store/run.rs"]
mod run;
#[path = "store/schema.rs"]
mod schema;
#[path = "store/sealed.rs"]
mod sealed;
#[path = "store/shelves.rs"]
mod shelves;
#[path = "store/whole.rs"]
mod whole;

use city_node::store::{Block, Position, ReadError, SegmentLog};
use city_protocol::ids::BlockId;

/// Random numbers from a seed (splitmix64).
pub(crate) struct Dice(u64);

impl Dice {
    /// From `CITY_NODE_SEED`, or from the clock; prints which, so that a failure can be repeated.
    pub(crate) fn new() -> Self {
        let clock = || {
            let now = std::time::SystemTime::now();
            let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
            since.as_nanos() as u64
        };
        let seed = match std::env::var("CITY_NODE_SEED") {
            Ok(text) => text.parse().expect("CITY_NODE_SEED is a number"),
            Err(_) => clock(),
        };
        println!("CITY_NODE_SEED={seed}");
        Self(seed)
    }

    /// From a seed.
    pub(crate) const fn of(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A place in something so long; 0 if it is empty.
    pub(crate) fn place(&mut self, len: usize) -> usize {
        self.below(len.max(1) as u64) as usize
    }
}

pub(crate) fn genesis() -> BlockId {
    BlockId::of(b"the genesis record of a test")
}

/// The n-th block of a story, `len` bytes that no other block has.
pub(crate) fn block(n: u64, len: usize) -> Vec<u8> {
    let mut dice = Dice(n);
    let mut bytes: Vec<u8> = n.to_be_bytes().to_vec();
    while bytes.len() < len {
        bytes.extend_from_slice(&dice.next().to_be_bytes());
    }
    bytes.truncate(len.max(8));
    bytes
}

pub(crate) fn with_id(block: &[u8]) -> (BlockId, &[u8]) {
    (BlockId::of(block), block)
}

/// All blocks that can be read, each checked against its id, and the places that cannot.
pub(crate) fn walk(log: &SegmentLog) -> (Vec<Block>, Vec<Position>) {
    let (mut blocks, mut damaged) = (Vec::new(), Vec::new());
    for block in log.blocks_from(Position::START) {
        match block {
            Ok(block) => {
                assert_eq!(BlockId::of(&block.bytes), block.id, "a wrong block");
                assert_eq!(log.read(&block.at).unwrap(), block);
                blocks.push(block);
            }
            Err(ReadError::Damaged(at)) => damaged.push(at),
            Err(error) => panic!("{error}"),
        }
    }
    (blocks, damaged)
}

pub(crate) fn bytes_of(blocks: &[Block]) -> Vec<Vec<u8>> {
    blocks.iter().map(|block| block.bytes.clone()).collect()
}

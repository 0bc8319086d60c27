//! Snapshot blocks: the leaves in order, in lists of at most 1 MiB, and one block that lists those. Whoever folds the
//! log writes the same blocks, so they are computed and not sent.

use crate::codec;
use crate::ids::BlockId;
use crate::refusal::Refusal;
use crate::vertex::merkle_root;

use super::body::Checkpoint;
use super::leaf::Leaf;

/// Longest block of leaves, in bytes.
pub const MAX_SNAPSHOT_BLOCK: usize = 1 << 20;
/// Most blocks of one snapshot: 16 GiB of state, some 60 million accounts; their list stays below 1 MiB.
pub const MAX_SNAPSHOT_BLOCKS: usize = 16_384;
/// Bytes that the head of a list may take.
const LIST_HEAD: usize = 5;
/// Bytes of a CID in a list: its tag, its length and a zero byte before it.
const LINK: usize = 2 + 2 + 1 + 36;

/// What the leaves come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Merkle root over the leaves.
    pub root: [u8; 32],
    /// How many leaves.
    pub leaves: u64,
    /// The block that lists the others.
    pub id: BlockId,
    /// All blocks, the list last.
    pub blocks: Vec<(BlockId, Vec<u8>)>,
}

/// Takes leaves in order.
#[derive(Default)]
pub struct SnapshotWriter {
    hashes: Vec<[u8; 32]>,
    last: Option<(u8, Vec<u8>)>,
    in_block: u32,
    encoded: Vec<u8>,
    blocks: Vec<(BlockId, Vec<u8>)>,
}

impl SnapshotWriter {
    /// Adds a leaf.
    ///
    /// # Errors
    /// [`Refusal::BadCheckpoint`] where it does not stand behind the one before.
    pub fn push(&mut self, leaf: &Leaf) -> Result<(), Refusal> {
        let order = leaf.order();
        if self.last.as_ref().is_some_and(|last| *last >= order) {
            return Err(Refusal::BadCheckpoint);
        }
        self.last = Some(order);
        let bytes = leaf.to_bytes();
        if LIST_HEAD + self.encoded.len() + bytes.len() > MAX_SNAPSHOT_BLOCK {
            self.close();
        }
        self.hashes.push(Leaf::hash(&bytes));
        self.encoded.extend_from_slice(&bytes);
        self.in_block += 1;
        Ok(())
    }

    fn close(&mut self) {
        let block = [list_head(self.in_block), std::mem::take(&mut self.encoded)].concat();
        self.blocks.push((BlockId::of(&block), block));
        self.in_block = 0;
    }

    /// The whole.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] beyond [`MAX_SNAPSHOT_BLOCKS`].
    pub fn finish(mut self) -> Result<Snapshot, Refusal> {
        if self.in_block > 0 {
            self.close();
        }
        if self.blocks.len() > MAX_SNAPSHOT_BLOCKS {
            return Err(Refusal::TooLarge);
        }
        let ids: Vec<BlockId> = self.blocks.iter().map(|(id, _)| *id).collect();
        let list = codec::encode(&ids);
        let id = BlockId::of(&list);
        self.blocks.push((id, list));
        Ok(Snapshot {
            root: merkle_root(&self.hashes),
            leaves: self.hashes.len() as u64,
            id,
            blocks: self.blocks,
        })
    }
}

/// The head of a DAG-CBOR list of so many items.
fn list_head(items: u32) -> Vec<u8> {
    let [a, b, c, d] = items.to_be_bytes();
    match items {
        0..=23 => vec![0x80 | d],
        24..=0xff => vec![0x98, d],
        0x100..=0xffff => vec![0x99, c, d],
        _ => vec![0x9a, a, b, c, d],
    }
}

/// Reads the block that lists the others.
///
/// # Errors
/// [`Refusal::TooLarge`] or [`Refusal::BadCbor`].
pub fn read_list(bytes: &[u8]) -> Result<Vec<BlockId>, Refusal> {
    codec::decode(bytes, LIST_HEAD + MAX_SNAPSHOT_BLOCKS * LINK)
}

/// Reads a block of leaves.
///
/// # Errors
/// [`Refusal::TooLarge`] or [`Refusal::BadCbor`].
pub fn read_block(bytes: &[u8]) -> Result<Vec<Leaf>, Refusal> {
    codec::decode(bytes, MAX_SNAPSHOT_BLOCK)
}

/// Makes a checkpoint's state again from its blocks and gives the leaves, in order, to `look`: what the blocks hold is
/// what the checkpoint's root says, or nothing of it counts.
///
/// # Errors
/// [`Refusal::BadCheckpoint`] where a block is missing or another, where leaves are out of order, or where they do not
/// come to the root, the number or the position; [`Refusal::BadCbor`] or [`Refusal::TooLarge`] for a block's form.
pub fn verify_snapshot(
    checkpoint: &Checkpoint,
    mut block_of: impl FnMut(&BlockId) -> Option<Vec<u8>>,
    mut look: impl FnMut(&Leaf),
) -> Result<(), Refusal> {
    let mut fetch = |id: &BlockId| {
        let block = block_of(id).filter(|block| BlockId::of(block) == *id);
        block.ok_or(Refusal::BadCheckpoint)
    };
    let mut writer = SnapshotWriter::default();
    let mut first = None;
    for id in read_list(&fetch(&checkpoint.snapshot)?)? {
        for leaf in read_block(&fetch(&id)?)? {
            writer.push(&leaf)?;
            look(&leaf);
            first.get_or_insert(leaf);
        }
        // Only the hashes are kept: the state may be larger than what a small box has.
        writer.blocks.clear();
    }
    let of_this = matches!(&first, Some(Leaf::Log(log)) if log.epoch == checkpoint.position.epoch && log.seq == checkpoint.position.seq);
    let root = merkle_root(&writer.hashes);
    let holds = root == checkpoint.state_root.0 && writer.hashes.len() as u64 == checkpoint.leaves;
    if of_this && holds {
        Ok(())
    } else {
        Err(Refusal::BadCheckpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::KeyLeaf;
    use crate::ids::{AccountId, KeyId, LogId, sha256};

    fn key_leaf(n: u32) -> Leaf {
        let mut key = sha256(&[b"key"]);
        key[..4].copy_from_slice(&n.to_be_bytes());
        Leaf::Key(KeyLeaf {
            key: KeyId(key),
            account: AccountId::new(&LogId([1; 32]), &KeyId([2; 32])),
        })
    }

    #[test]
    fn blocks_hold_the_leaves_in_order_and_stay_below_their_limit() {
        let mut writer = SnapshotWriter::default();
        for n in 0..20_000 {
            writer.push(&key_leaf(n)).unwrap();
        }
        let snapshot = writer.finish().unwrap();
        let (list, blocks) = snapshot.blocks.split_last().unwrap();
        assert_eq!(list.0, snapshot.id);
        assert!(blocks.len() > 1, "one block proves little");
        let ids: Vec<_> = blocks.iter().map(|(id, _)| *id).collect();
        assert_eq!(read_list(&list.1).unwrap(), ids);
        let mut read = Vec::new();
        for (_, block) in blocks {
            assert!(block.len() <= MAX_SNAPSHOT_BLOCK, "{} bytes", block.len());
            read.extend(read_block(block).unwrap());
        }
        assert!(
            read.iter()
                .eq(&(0..20_000).map(key_leaf).collect::<Vec<_>>())
        );
        assert_eq!(snapshot.leaves, 20_000);
    }

    #[test]
    fn leaves_out_of_order_or_twice_are_refused() {
        let mut writer = SnapshotWriter::default();
        writer.push(&key_leaf(5)).unwrap();
        for n in [5, 4] {
            assert_eq!(writer.push(&key_leaf(n)), Err(Refusal::BadCheckpoint));
        }
    }

    #[test]
    fn heads_of_lists_are_those_of_the_encoder() {
        for items in [0_u32, 1, 23, 24, 255, 256, 65_535, 65_536] {
            let list = vec![0_u8; items as usize];
            let encoded = codec::encode(&list);
            let head = list_head(items);
            assert_eq!(encoded[..head.len()], head[..], "{items} items");
            assert_eq!(encoded.len(), head.len() + list.len());
        }
    }
}

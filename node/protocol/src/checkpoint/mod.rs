//! Checkpoints: the state of a log at a position, under two Merkle roots and in blocks of its own.
//!
//! `body` the entry · `leaf` what stands for one account, open transfer and so on · `state` gathering the leaves from
//! rows, and putting them back · `snapshot` the blocks that hold them · `tree` the growing tree over the log's vertices ·
//! `proof` that an entry or a leaf stands under a checkpoint. The rule is in `ledger::checkpoint`; nothing here judges.

mod body;
mod leaf;
mod proof;
mod snapshot;
mod state;
mod tree;

pub use body::{Checkpoint, StatePosition};
pub use leaf::{
    AccountLeaf, AnswerLeaf, CharterLeaf, ClearingLeaf, EpochLeaf, FaultLeaf, KeyLeaf, Leaf,
    LogLeaf, NoteLeaf, Sums, TransferLeaf,
};
pub use proof::{Held, MAX_PROOF, Proof, StatePart, VerifiedProof};
pub use snapshot::{
    MAX_SNAPSHOT_BLOCK, MAX_SNAPSHOT_BLOCKS, Snapshot, SnapshotWriter, read_block, read_list,
    verify_snapshot,
};
pub(crate) use state::{Restored, restore};
pub use state::{leaves_of, take};
pub use tree::{Tree, vertex_leaf};

//! The `checkpoint` entry. Deterministic DAG-CBOR that the home writes itself.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::ids::{BlockId, Digest};
use crate::refusal::Refusal;

/// Longest body in bytes: it has five fields of fixed size.
const MAX_CHECKPOINT: usize = 512;

/// The vertex whose state it is: the one directly before the checkpoint's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatePosition {
    /// Epoch.
    pub epoch: u64,
    /// Position: so many vertices stand under `vertices_root`.
    pub seq: u64,
}

/// What a log comes to at a position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Form of the body: 1.
    pub v: u64,
    /// The position.
    pub position: StatePosition,
    /// Merkle root over the ids of the log's vertices 1..=seq on its chain (RFC 9162 shape).
    pub vertices_root: Digest,
    /// Merkle root over the leaves of the state, in order.
    pub state_root: Digest,
    /// How many leaves there are: a path proves nothing without the size of its tree.
    pub leaves: u64,
    /// The block that lists the blocks which hold the leaves.
    pub snapshot: BlockId,
}

impl Checkpoint {
    /// Reads the body. Whether it is the state of its log is for who folded the log.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::BadCbor`] or [`Refusal::UnknownVersion`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        codec::decode_version(bytes, MAX_CHECKPOINT, crate::body::BODY_VERSION)
    }
}

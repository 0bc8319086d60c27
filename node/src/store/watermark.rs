//! How far the index follows the log, and what follows from it at a start.
//!
//! Owns the watermark row and the words for an open's outcome; the decision is made in `index`.

use city_protocol::ids::BlockId;

use super::blocks::{Location, Position};

/// Segment, offset, digest and count.
pub(super) const WATERMARK_LEN: usize = 4 + 8 + 32 + 8;

/// How far the index follows the log. Written with the rows, in one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermark {
    /// Behind the last block that the rows take into account.
    pub position: Position,
    /// That block.
    pub head: BlockId,
    /// A number that the caller keeps with it, such as how many vertices there are.
    pub count: u64,
}

impl Watermark {
    /// The watermark of rows that rest on no block yet.
    #[must_use]
    pub const fn start(root: BlockId, count: u64) -> Self {
        Self {
            position: Position::START,
            head: root,
            count,
        }
    }

    /// The watermark behind this block, which must be the last of a group.
    #[must_use]
    pub fn after(last: &Location, head: BlockId, count: u64) -> Self {
        Self {
            position: last.end(),
            head,
            count,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        [
            &self.position.segment.to_be_bytes()[..],
            &self.position.offset.to_be_bytes(),
            self.head.digest(),
            &self.count.to_be_bytes(),
        ]
        .concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; WATERMARK_LEN] = bytes.try_into().ok()?;
        let (segment, rest) = bytes.split_first_chunk::<4>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let (head, count) = rest.split_first_chunk::<32>()?;
        Some(Self {
            position: Position {
                segment: u32::from_be_bytes(*segment),
                offset: u64::from_be_bytes(*offset),
            },
            head: BlockId::from_digest(*head),
            count: u64::from_be_bytes(count.try_into().ok()?),
        })
    }
}

/// Why the index must be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildReason {
    /// There was no index.
    Missing,
    /// The last start ended before its first commit.
    Unproven,
    /// The machine stopped while the index was in use.
    PowerCut,
    /// It could not be opened or has no watermark.
    Unreadable,
    /// Its watermark is not in the log: the log is older than the index, or another one. **The log may
    /// have lost acknowledged blocks**: compare with peers before signing.
    NotOfThisLog(Watermark),
}

/// What the caller has to do with the index after an open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenOutcome {
    /// Nothing: log and index are new and empty.
    Empty,
    /// Nothing: the index is at the end of the log.
    Current(Watermark),
    /// Index the blocks behind this watermark.
    CatchUp(Watermark),
    /// The index is empty: index all blocks from [`Position::START`].
    Rebuild(RebuildReason),
}

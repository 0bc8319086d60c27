//! Compaction: the log written again without the blocks that nobody needs.
//!
//! Owns the order of the steps: new segments whole and durable, the manifest, then the old ones. Sealed segments are
//! never changed in place, so a crash at any moment leaves the old log or the new one. Which blocks are dead is for the
//! caller to say; the index names places and has to be made again.

use std::io;

use city_protocol::ids::BlockId;

use super::blocks::{Block, Position, ReadError};
use super::copy::Copy;
use super::manifest::{Manifest, NEW};
use super::segments::{SegmentLog, segment_name};

/// What becomes of a block.
pub enum Fate {
    /// It stays.
    Stays,
    /// It goes.
    Goes,
    /// This block stands in its place.
    Becomes(BlockId, Vec<u8>),
}

/// What a compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Blocks that are in the log still.
    pub kept: u64,
    /// Blocks that were left out, or in whose place others are.
    pub dropped: u64,
    /// Bytes of the segments before.
    pub bytes_before: u64,
    /// Bytes of the segments now.
    pub bytes_after: u64,
}

/// Why a log was not compacted. What was the log is the log, unless the error came after the manifest was written:
/// then the next start does the rest.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// Something in it cannot be read, and is not known to be there again.
    #[error(
        "segment {} is damaged at byte {}: let the node fetch the blocks from a peer first; `city-node store verify` says what is bad", .0.segment, .0.offset
    )]
    Damaged(Position),
    /// The log could not be read.
    #[error(transparent)]
    Read(ReadError),
    /// A call of the operating system failed.
    #[error(
        "the compacted ledger could not be written: nothing is lost; look at the disk and its free space, and try again"
    )]
    Io(#[from] io::Error),
}

impl SegmentLog {
    /// Writes the log again with the blocks that stay and those that take the place of others, in the same order. Nobody else may use it
    /// meanwhile, and after this it is opened again.
    ///
    /// # Errors
    /// [`CompactError`].
    pub fn compact(self, fate: &mut dyn FnMut(&Block) -> Fate) -> Result<Compacted, CompactError> {
        let repaired = self.repaired();
        let first = self.end().segment + 1;
        let mut done = Compacted {
            bytes_before: self.bytes()?,
            ..Compacted::default()
        };
        let begin = |segment| {
            let name = format!("{}{NEW}", segment_name(segment));
            Copy::named(&self.files, &self.dir, &self.root, name)
        };
        let mut last = first;
        let mut copy = begin(first)?;
        for block in self.blocks_from(self.begin()) {
            let block = match block {
                Ok(block) => block,
                Err(ReadError::Damaged(at)) if repaired.contains(&at) => continue,
                Err(ReadError::Damaged(at)) => return Err(CompactError::Damaged(at)),
                Err(error) => return Err(CompactError::Read(error)),
            };
            let (id, bytes) = match fate(&block) {
                Fate::Stays => {
                    done.kept += 1;
                    (block.id, block.bytes)
                }
                Fate::Goes => {
                    done.dropped += 1;
                    continue;
                }
                Fate::Becomes(id, bytes) => {
                    done.dropped += 1;
                    (id, bytes)
                }
            };
            if copy.end() >= self.segment_target() {
                done.bytes_after += copy.end();
                copy.finish()?;
                last += 1;
                copy = begin(last)?;
            }
            copy.push_block(&id, &bytes)?;
        }
        done.bytes_after += copy.end();
        copy.finish()?;
        let manifest = Manifest { first, last };
        manifest.put(&*self.files, &self.dir)?;
        manifest.settle(&*self.files, &self.dir)?;
        Ok(done)
    }
}

//! Places in a log, blocks as they are read, and walking from one to the next past damaged places.
//!
//! Owns no state of the log: a walk reads up to the durable end as it was when the walk began.

use std::io;

use city_protocol::ids::BlockId;

use super::car::{self, HEADER_LEN, Search, SectionReader, Step};
use super::files::FileHandle;
use super::segments::SegmentLog;

/// A place in the log: segment number from 1, byte offset in its file. Ordered as the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number in the segment's name.
    pub segment: u32,
    /// Bytes from the beginning of the file.
    pub offset: u64,
}

impl Position {
    /// The beginning of every log, but for compacted ones; a walk from here begins wherever the log does.
    pub const START: Self = Self {
        segment: 1,
        offset: HEADER_LEN,
    };
}

/// Where one block's section stands: its beginning and its whole length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The number in the segment's name.
    pub segment: u32,
    /// Where the section begins, in bytes.
    pub offset: u64,
    /// Length, CID and block, in bytes.
    pub len: u32,
}

impl Location {
    /// Where the section begins.
    #[must_use]
    pub const fn start(&self) -> Position {
        Position {
            segment: self.segment,
            offset: self.offset,
        }
    }

    /// The first byte behind the section.
    #[must_use]
    pub fn end(&self) -> Position {
        Position {
            segment: self.segment,
            offset: self.offset + u64::from(self.len),
        }
    }
}

/// A block as it was read, its hash checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its id. Whoever came by an index row compares it with the id that was asked for.
    pub id: BlockId,
    /// Where it stands.
    pub at: Location,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Why a block could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes there are no block with a matching hash.
    #[error(
        "segment {} is damaged at byte {}: restore it from a backup or fetch the block from a peer", .0.segment, .0.offset
    )]
    Damaged(Position),
    /// No such place in the log: the index names what the log does not hold.
    #[error("segment {} byte {} is outside the log: run `city-node store rebuild`", .0.segment, .0.offset)]
    Outside(Position),
    /// The file could not be read.
    #[error("segment {segment} could not be read; look at the disk")]
    Io {
        /// The segment's number.
        segment: u32,
        /// What the operating system says.
        source: io::Error,
    },
}

/// An iterator over the blocks of a log, in order.
///
/// A damaged place is one `Err(ReadError::Damaged)`, after which the walk goes on with the next block that
/// can be read. It ends after an `Err(ReadError::Io)`.
pub struct Blocks<'a> {
    log: &'a SegmentLog,
    at: Position,
    end: Position,
    reader: Option<SectionReader>,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(log: &'a SegmentLog, from: Position) -> Self {
        Self {
            log,
            at: from,
            end: log.end(),
            reader: None,
        }
    }

    /// Opens the segment in which the walk stands. One whose header cannot be read is searched for blocks
    /// from its first byte.
    fn enter(&self) -> io::Result<SectionReader> {
        let file = self.log.segment(self.at.segment)?;
        let end = if self.at.segment == self.end.segment {
            self.end.offset
        } else {
            file.len()?
        };
        let from = if has_header(&*file)? {
            self.at.offset.max(HEADER_LEN)
        } else {
            0
        };
        Ok(SectionReader::new(file, from, end))
    }

    fn next_segment(&mut self) {
        self.reader = None;
        self.at = Position {
            segment: self.at.segment + 1,
            offset: HEADER_LEN,
        };
    }

    fn advance(&mut self) -> Result<Option<Block>, ReadError> {
        let segment = self.at.segment;
        let io = |source| ReadError::Io { segment, source };
        if self.reader.is_none() {
            self.reader = match self.enter() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let missing = Position { segment, offset: 0 };
                    self.next_segment();
                    return Err(ReadError::Damaged(missing));
                }
                other => Some(other.map_err(io)?),
            };
        }
        let reader = self.reader.as_mut().expect("opened above");
        match reader.step().map_err(io)? {
            Step::Block(section) => {
                self.at.offset = reader.position();
                let at = Location {
                    segment,
                    offset: section.offset,
                    len: section.len,
                };
                Ok(Some(Block {
                    id: section.id,
                    at,
                    bytes: section.block,
                }))
            }
            Step::End => {
                self.next_segment();
                Ok(None)
            }
            Step::Bad => {
                let offset = reader.position();
                if reader.search().map_err(io)? != Search::Found {
                    self.next_segment();
                }
                Err(ReadError::Damaged(Position { segment, offset }))
            }
        }
    }
}

impl Iterator for Blocks<'_> {
    type Item = Result<Block, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.end {
            match self.advance() {
                Ok(Some(block)) => return Some(Ok(block)),
                Ok(None) => {}
                Err(error) => {
                    if matches!(error, ReadError::Io { .. }) {
                        self.at = self.end;
                    }
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// Whether a file begins with a whole header of ours, whatever its root.
pub(super) fn has_header(file: &dyn FileHandle) -> io::Result<bool> {
    Ok(read_root(file)?.is_some())
}

/// The root that a segment's header names; `None` if it has no header that can be read.
pub(super) fn read_root(file: &dyn FileHandle) -> io::Result<Option<BlockId>> {
    let mut header = vec![0; usize::try_from(HEADER_LEN).expect("59")];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => Ok(car::root_of(&header)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

//! A side log: few records of the operator's decisions, each durable by itself, in segments of the same form.
//!
//! Owns order, head and uniqueness of the records; what they say is the caller's. It has no index: the
//! whole log is read at a start, so it is for what grows by hand (the trust log), not by traffic.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use city_protocol::ids::BlockId;

use super::blocks::{Block, Location, Position, ReadError};
use super::damage::Damage;
use super::files::Files;
use super::recover::{FoundLog, LogError, Recovery};
use super::segments::{AppendError, Limits, SegmentLog};

/// A new segment after 1 MiB: a start copies the last one.
const SIDE_SEGMENT: u64 = 1 << 20;
/// The most records: some 50 bytes of memory each, and decades of an operator's decisions.
pub const MAX_RECORDS: usize = 1 << 20;

/// Why a side log refused.
#[derive(Debug, thiserror::Error)]
pub enum SideError {
    /// It could not be opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record was not appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A record could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It has as many records as it may have.
    #[error(
        "the side log holds 1,048,576 records, the most it may: it is used for what it is not made for"
    )]
    TooMany,
}

/// An append-only list of records. A record names the one before it, if it wants to be told from an equal
/// one: the same bytes are one record.
pub struct SideLog {
    log: SegmentLog,
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
    order: Vec<Location>,
    known: HashSet<BlockId>,
    head: Option<BlockId>,
}

impl Records {
    fn add(&mut self, id: BlockId, at: Location) {
        if self.known.insert(id) {
            self.order.push(at);
            self.head = Some(id);
        }
    }
}

impl SideLog {
    /// Opens the log of a directory. Damaged records are left out; the recovery says that there are some.
    ///
    /// # Errors
    /// [`SideError`].
    pub fn open(
        files: Arc<dyn Files>,
        dir: &Path,
        root: BlockId,
        space_reserve: u64,
    ) -> Result<(Self, Recovery), SideError> {
        let limits = Limits {
            segment_target: SIDE_SEGMENT,
            space_reserve,
        };
        let (log, mut recovery) = FoundLog::find(files, dir, root, limits)?.recover(None)?;
        let mut records = Records::default();
        for block in log.blocks_from(Position::START) {
            match block {
                Ok(block) if records.order.len() < MAX_RECORDS => records.add(block.id, block.at),
                Ok(_) => return Err(SideError::TooMany),
                Err(ReadError::Damaged(at)) => {
                    log.note_damage(at)?;
                    recovery.damage.get_or_insert(Damage { at });
                }
                Err(error) => return Err(error.into()),
            }
        }
        let records = Mutex::new(records);
        Ok((Self { log, records }, recovery))
    }

    /// Appends a record; it is durable when this returns. Bytes that are a record already change nothing.
    ///
    /// # Errors
    /// [`SideError::Append`], [`SideError::TooMany`].
    pub fn append(&self, record: &[u8]) -> Result<BlockId, SideError> {
        let id = BlockId::of(record);
        let mut records = self.records.lock().expect("no holder panics");
        if records.known.contains(&id) {
            return Ok(id);
        }
        if records.order.len() >= MAX_RECORDS {
            return Err(SideError::TooMany);
        }
        for at in self.log.append_group(&[(id, record)])? {
            records.add(id, at);
        }
        Ok(id)
    }

    /// Appends records, durable together when this returns. Those that are records already change nothing.
    ///
    /// # Errors
    /// [`SideError::Append`], [`SideError::TooMany`].
    pub fn append_all(&self, new: &[Vec<u8>]) -> Result<(), SideError> {
        let mut records = self.records.lock().expect("no holder panics");
        let group: Vec<(BlockId, &[u8])> = new
            .iter()
            .map(|record| (BlockId::of(record), record.as_slice()))
            .filter(|(id, _)| !records.known.contains(id))
            .collect();
        if records.order.len() + group.len() > MAX_RECORDS {
            return Err(SideError::TooMany);
        }
        if !group.is_empty() {
            let at = self.log.append_group(&group)?;
            for ((id, _), at) in group.iter().zip(at) {
                records.add(*id, at);
            }
        }
        Ok(())
    }

    /// Bytes of all records.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let records = self.records.lock().expect("no holder panics");
        records.order.iter().map(|at| u64::from(at.len)).sum()
    }

    /// The records in order, as they are now.
    pub fn iter(&self) -> impl Iterator<Item = Result<Block, ReadError>> + '_ {
        let order = self.records.lock().expect("no holder panics").order.clone();
        order.into_iter().map(|at| self.log.read(&at))
    }

    /// Whether this is a record.
    #[must_use]
    pub fn contains(&self, id: &BlockId) -> bool {
        self.records
            .lock()
            .expect("no holder panics")
            .known
            .contains(id)
    }

    /// The last record.
    #[must_use]
    pub fn head(&self) -> Option<BlockId> {
        self.records.lock().expect("no holder panics").head
    }

    /// The log below, for its damage note and its end.
    #[must_use]
    pub fn log(&self) -> &SegmentLog {
        &self.log
    }
}

//! The index: small opaque rows over the log, in sled, which hold nothing that cannot be rebuilt.
//!
//! Owns the one tree, the watermark row and the decision whether an index found at a start is believed.
//! `pending` rows that are visible and not in sled yet · `writer` the thread that writes them · `rows` walking both.
//! What the rows mean is the caller's. No type of sled leaves this folder.

mod pending;
mod rows;
mod writer;

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::Files;
use super::marks::{Left, Marks};
use super::notes;
use super::recover::{FoundLog, LogError};
use super::watermark::{RebuildReason, Watermark};

use pending::Pending;
pub use rows::Rows;
use writer::{Running, Writer};

/// The longest key or value in bytes. With bigger rows sled moves pages into files that it never fsyncs,
/// and its memory grows.
pub const MAX_ROW: usize = 256;
/// The most rows of one commit. A group of vertices has some thousands; a log that convicts itself is folded
/// again in one commit, and 100,000 accounts and transfers must fit. About 150 MB, for that moment only.
pub const MAX_ROWS: usize = 1 << 19;
/// Memory for sled's page cache. A hint: it takes several times as much.
const CACHE: u64 = 32 << 20;
/// How often sled writes its buffers out. After a kill at most this much is indexed again from the log;
/// oftener would put more of its `fsync`s between those of the log.
const FLUSH_EVERY_MS: u64 = 1_000;
/// Keys with this first byte are the index's own.
const OWN: u8 = 0;
const WATERMARK: &[u8] = b"\0watermark";

const DIRECTORY: &str = "index";
/// Where an index goes that is not believed; the one before it is removed.
const ASIDE: &str = "index.old";

/// A key, and its value unless the row is to be removed.
type Row = (Vec<u8>, Option<Vec<u8>>);

/// Why the index refused. After `Failed` the process should exit and start again: the log has everything.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A key or value is too long, a key is empty or begins with a zero byte, or there are too many rows.
    /// A bug of the caller.
    #[error("an index row outside its limits: {0}")]
    BadRow(&'static str),
    /// sled failed.
    #[error("the index failed: exit and start again, it is rebuilt if need be; look at the disk")]
    Failed(#[source] Box<dyn StdError + Send + Sync>),
    /// A file beside the index could not be written.
    #[error("the index in {} could not be opened or closed; look at the disk and the directory's rights", path.display())]
    Io {
        /// The data directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The log could not be compared with the watermark.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The open index of one data directory.
pub(super) struct Index {
    db: sled::Db,
    pending: Arc<Pending>,
    writer: Running,
    files: Arc<dyn Files>,
    dir: PathBuf,
}

impl Index {
    /// Opens the index of a data directory, or an empty one in its place if it cannot be believed.
    pub(super) fn open(
        files: Arc<dyn Files>,
        dir: &Path,
        boot: &str,
        (log, keep_row): (&FoundLog, Option<Vec<u8>>),
    ) -> Result<(Self, Option<Watermark>, Option<RebuildReason>), IndexError> {
        let io = |source| IndexError::Io {
            path: dir.to_owned(),
            source,
        };
        let marks = Marks::new(Arc::clone(&files), dir.to_owned());
        let place = dir.join(DIRECTORY);
        let names = files.list(dir).map_err(io)?;
        let mut reason = if !names.iter().any(|name| name == DIRECTORY) {
            Some(RebuildReason::Missing)
        } else {
            match marks.read(boot).map_err(io)? {
                Left::Usable => None,
                Left::Unproven => Some(RebuildReason::Unproven),
                Left::PowerCut => Some(RebuildReason::PowerCut),
            }
        };
        marks.opening(boot).map_err(io)?;
        let mut found = None;
        if reason.is_none() {
            match open_sled(&place).and_then(|db| Ok((read_watermark(&db)?, db))) {
                Ok((Some(mark), db)) if log.holds(&mark)? => found = Some((mark, db)),
                Ok((Some(mark), db)) => {
                    // Before it is set aside: what it knew is the only witness of what was lost.
                    let kept = keep_row.and_then(|key| db.get(key).ok().flatten());
                    if let Some(row) = kept {
                        notes::keep_row(&*files, dir, &row).map_err(io)?;
                    }
                    reason = Some(RebuildReason::NotOfThisLog(mark));
                }
                Ok((None, _)) | Err(_) => reason = Some(RebuildReason::Unreadable),
            }
        }
        let (mark, db) = match found {
            Some((mark, db)) => (Some(mark), db),
            None => {
                set_aside(&*files, dir).map_err(io)?;
                (None, open_sled(&place).map_err(failed)?)
            }
        };
        let pending = Arc::new(Pending::new(mark));
        let writer = Writer {
            db: db.clone(),
            marks,
            dir: dir.to_owned(),
            proven: false,
            unflushed: 0,
        };
        let index = Self {
            db,
            writer: Running::start(writer, &pending).map_err(io)?,
            pending,
            files,
            dir: dir.to_owned(),
        };
        Ok((index, mark, reason))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        // In this order: a row that is not pending any more is in sled.
        if let Some(value) = self.pending.get(key) {
            return Ok(value);
        }
        let value = self.db.get(key).map_err(failed)?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// The rows whose keys begin with `prefix`, and whose keys are at least `from` if it is given.
    pub(super) fn scan(&self, prefix: &[u8], from: Option<&[u8]>) -> Rows {
        // Behind the index's own rows.
        let from = from.unwrap_or(prefix).max(prefix).max(&[OWN + 1]);
        let from = from.to_vec();
        let wanted = |key: &[u8]| key.starts_with(prefix) && key >= from.as_slice();
        let pending = self.pending.sorted(wanted);
        // The first key behind all that begin with the prefix: its last byte below 255, one higher.
        let mut behind = prefix.to_vec();
        while behind.pop_if(|byte| *byte == u8::MAX).is_some() {}
        let written = match behind.last_mut() {
            None => self.db.range(from..),
            Some(last) => {
                *last += 1;
                let behind = behind.max(from.clone());
                self.db.range(from..behind)
            }
        };
        Rows::new(pending, written)
    }

    /// Takes rows to write and to remove and moves the watermark, all or nothing, visible when this returns; a
    /// thread of its own writes them. Waits while too many are pending.
    ///
    /// Durability is not promised: the log is the truth.
    pub(super) fn commit(&self, rows: Vec<Row>, mark: &Watermark) -> Result<(), IndexError> {
        if rows.len() > MAX_ROWS {
            return Err(IndexError::BadRow("more rows than MAX_ROWS in one commit"));
        }
        for (key, value) in &rows {
            check_row(key, value.as_deref())?;
        }
        self.pending.push(rows, mark)
    }

    /// Whether what was committed can be written.
    pub(super) fn check(&self) -> Result<(), IndexError> {
        self.pending.check()
    }

    /// Waits until everything that was committed is written.
    pub(super) fn settle(&self) -> Result<(), IndexError> {
        self.pending.settle()?;
        self.db.flush().map_err(failed)?;
        Ok(())
    }

    /// The watermark as it was last committed.
    pub(super) fn watermark(&self) -> Option<Watermark> {
        self.pending.mark()
    }

    /// Closes the index so that the next start believes it, also after a power cut.
    pub(super) fn close(self) -> Result<(), IndexError> {
        let Self {
            db,
            writer,
            files,
            dir,
            ..
        } = self;
        let Writer { marks, db: own, .. } = writer.end()?;
        own.flush().map_err(failed)?;
        // The last handles: their drop joins sled's flusher.
        drop((db, own));
        files
            .sync_tree(&dir.join(DIRECTORY))
            .and_then(|()| marks.closed())
            .map_err(|source| IndexError::Io { path: dir, source })
    }
}

fn open_sled(place: &Path) -> sled::Result<sled::Db> {
    sled::Config::default()
        .path(place)
        .cache_capacity(CACHE)
        .flush_every_ms(Some(FLUSH_EVERY_MS))
        .open()
}

fn read_watermark(db: &sled::Db) -> sled::Result<Option<Watermark>> {
    Ok(db
        .get(WATERMARK)?
        .and_then(|bytes| Watermark::decode(&bytes)))
}

/// Moves the index out of the way, in place of the one that was moved before.
fn set_aside(files: &dyn Files, dir: &Path) -> io::Result<()> {
    let names = files.list(dir)?;
    let has = |name: &str| names.iter().any(|other| other == name);
    if !has(DIRECTORY) {
        return Ok(());
    }
    if has(ASIDE) {
        files.remove_dir(&dir.join(ASIDE))?;
    }
    files.rename(&dir.join(DIRECTORY), &dir.join(ASIDE))?;
    files.sync_dir(dir)
}

fn check_row(key: &[u8], value: Option<&[u8]>) -> Result<(), IndexError> {
    let bad = if key.is_empty() || key[0] == OWN {
        "a key is empty or begins with a zero byte"
    } else if key.len() > MAX_ROW {
        "a key longer than 256 bytes"
    } else if value.is_some_and(|value| value.len() > MAX_ROW) {
        "a value longer than 256 bytes"
    } else {
        return Ok(());
    };
    Err(IndexError::BadRow(bad))
}

fn failed(error: sled::Error) -> IndexError {
    IndexError::Failed(Box::new(error))
}

//! The sled that takes rows until there are enough of them for a shelf.
//!
//! Every value has one byte before it: whether the row is there or removed, for shelves below may have it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{IndexError, OWN, Row, failed};
use crate::store::Watermark;
use crate::store::files::{Files, is_full};
use crate::store::watermark::WATERMARK_LEN;

/// Memory for sled's page cache. A hint: it takes several times as much.
const CACHE: u64 = 32 << 20;
/// How often sled writes its buffers out. After a kill at most this much is indexed again from the log;
/// oftener would put more of its `fsync`s between those of the log.
const FLUSH_EVERY_MS: u64 = 1_000;
/// The watermark, and how many rows were written since the last shelf.
const WATERMARK: &[u8] = b"\0watermark";
/// Bytes of rows after which the writer waits for sled to write: fed without pause it keeps gigabytes.
const FLUSH_BYTES: usize = 1 << 20;
/// Rows for each of which sled is called once more, so that it frees what they replaced; see [`Young::let_go`].
const ROWS_A_READ: usize = 2;

/// Before the value of a row that is there.
const PRESENT: u8 = 1;
/// All of the value of one that is removed.
const REMOVED: u8 = 0;

/// The open sled.
pub(super) struct Young {
    /// None only while it is dropped.
    db: Option<sled::Db>,
    path: PathBuf,
    files: Arc<dyn Files>,
    /// Whether a shelf has its rows: nobody needs its directory any more.
    spent: AtomicBool,
}

impl Drop for Young {
    fn drop(&mut self) {
        drop(self.db.take());
        if *self.spent.get_mut() {
            // What is left of it the next start removes.
            let _left = self.files.remove_dir(&self.path);
        }
    }
}

impl Young {
    pub(super) fn open(files: &Arc<dyn Files>, path: &Path) -> Result<Self, IndexError> {
        let db = sled::Config::default()
            .path(path)
            .cache_capacity(CACHE)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .open()
            .map_err(|error| match error {
                sled::Error::Io(source) if is_full(&source) => IndexError::NoRoom {
                    path: path.to_owned(),
                    source,
                },
                other => failed(other),
            })?;
        Ok(Self {
            db: Some(db),
            path: path.to_owned(),
            files: Arc::clone(files),
            spent: AtomicBool::new(false),
        })
    }

    fn db(&self) -> &sled::Db {
        self.db.as_ref().expect("it is only taken by a drop")
    }

    /// The watermark of the last commit, and how many rows were written since the last shelf.
    pub(super) fn mark(&self) -> Result<Option<(Watermark, u64)>, IndexError> {
        let row = self.db().get(WATERMARK).map_err(failed)?;
        Ok(row.and_then(|row| {
            let (mark, rows) = row.split_at_checked(WATERMARK_LEN)?;
            Some((
                Watermark::decode(mark)?,
                u64::from_be_bytes(rows.try_into().ok()?),
            ))
        }))
    }

    /// What it says of a key: `Some(None)` where the row is removed.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Option<Vec<u8>>>, IndexError> {
        let value = self.db().get(key).map_err(failed)?;
        value.map(|value| read(&value)).transpose()
    }

    /// Its rows from a key on, below another if there is one.
    pub(super) fn range(&self, from: &[u8], behind: Option<&[u8]>) -> sled::Iter {
        match behind {
            Some(behind) => self.db().range(from..behind.max(from)),
            None => self.db().range(from..),
        }
    }

    /// All its rows.
    pub(super) fn all(&self) -> sled::Iter {
        self.range(&[OWN + 1], None)
    }

    /// Writes and removes rows and moves the watermark, all or nothing. `over` says whether there are shelves below.
    pub(super) fn write<'a>(
        &self,
        rows: impl ExactSizeIterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>,
        (mark, written): (&Watermark, u64),
        over: bool,
    ) -> Result<usize, IndexError> {
        let count = rows.len();
        let mut batch = sled::Batch::default();
        let mut bytes = 0;
        for (key, value) in rows {
            bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            match value {
                Some(value) => batch.insert(key.as_slice(), [&[PRESENT], &value[..]].concat()),
                None if over => batch.insert(key.as_slice(), &[REMOVED]),
                None => batch.remove(key.as_slice()),
            }
        }
        let mark = [&mark.encode()[..], &written.to_be_bytes()].concat();
        bytes += WATERMARK.len() + mark.len();
        batch.insert(WATERMARK, mark);
        self.db().apply_batch(batch).map_err(failed)?;
        self.let_go(count)?;
        Ok(bytes)
    }

    /// Lets sled free what a batch replaced. It frees a little at each 128th call, and a batch of a
    /// thousand rows is one call: without these reads 1,000,000 rows took 760 MB and 3,000,000 took 7 GB.
    fn let_go(&self, rows: usize) -> Result<(), IndexError> {
        for _ in 0..rows.div_ceil(ROWS_A_READ) {
            self.db().get(WATERMARK).map_err(failed)?;
        }
        Ok(())
    }

    /// Has sled write what it holds back.
    pub(super) fn flush(&self) -> Result<(), IndexError> {
        self.db().flush().map_err(failed)?;
        Ok(())
    }

    /// A shelf has its rows.
    pub(super) fn spend(&self) {
        self.spent.store(true, Ordering::Relaxed);
    }
}

/// Whether so many bytes were written that sled is to be told to write them.
pub(super) const fn is_enough(unflushed: usize) -> bool {
    unflushed >= FLUSH_BYTES
}

/// A row as sled has it.
pub(super) fn row(found: sled::Result<(sled::IVec, sled::IVec)>) -> Result<Row, IndexError> {
    let (key, value) = found.map_err(failed)?;
    Ok((key.to_vec(), read(&value)?))
}

fn read(value: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
    match value.split_first() {
        Some((&PRESENT, value)) => Ok(Some(value.to_vec())),
        Some((&REMOVED, [])) => Ok(None),
        _ => Err(IndexError::Failed("a row that nobody wrote so".into())),
    }
}

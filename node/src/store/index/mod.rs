//! The index: small opaque rows over the log, in sled and below it in shelves, which hold nothing that cannot be
//! rebuilt.
//!
//! Owns the decision whether an index found at a start is believed. What the rows mean is the caller's.
//! `pending` rows that are visible and not written yet · `young` the sled that takes them · `shelf` immutable files of
//! what it gathered, which a power cut leaves whole · `list` which of them count · `writer` the thread that writes,
//! `merge` the one that makes one shelf of several · `under` sled and shelves as they are now · `rows` walking all of it.
//! No type of sled leaves this folder.

mod list;
mod merge;
mod pending;
mod rows;
mod shelf;
mod under;
mod writer;
mod young;

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::Files;
use super::marks::{Left, Marks};
use super::notes;
use super::recover::{FoundLog, LogError};
use super::watermark::{RebuildReason, Watermark};

use list::List;
use pending::Pending;
pub use rows::Rows;
use rows::{Merged, Source};
use shelf::{Shelf, ShelfError, ShelfRange};
use under::{Base, Part, Place, Under};
use writer::{Running, Writer};
use young::Young;

/// The longest key in bytes.
pub const MAX_KEY: usize = 256;
/// The longest value in bytes. sled moves pages of more than 128 KiB into files that it never fsyncs: a leaf of it has at most
/// 17 rows, 13 KiB of these, and an inner page at most 257 keys, 64 KiB.
pub const MAX_VALUE: usize = 512;
/// The most rows of one commit. A group of vertices has some thousands; a log that convicts itself is folded
/// again in one commit, and 100,000 transfers within it, of six keys each, must fit. About 200 MB, for that moment only.
pub const MAX_ROWS: usize = 5 << 17;
/// Rows that sled gathers before they go to a shelf, and rows that may be pending over it, of which half make a shelf past
/// sled. Each some 15 MB in memory and less than a second of folding: of the pending ones after a kill, of both after
/// a power cut.
pub const SHELF_ROWS: usize = 1 << 16;
/// Keys with this first byte are the index's own.
const OWN: u8 = 0;

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
    /// The disk has no room for the rows: nothing of them is lost, the log has them.
    #[error("no room for the index's rows in {}; free space or enlarge the file system", path.display())]
    NoRoom {
        /// Where there is none.
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
    base: Arc<Base>,
    pending: Arc<Pending>,
    writer: Running,
    files: Arc<dyn Files>,
    dir: PathBuf,
}

/// How an index is opened.
pub(super) struct Opening<'a> {
    /// The data directory.
    pub(super) dir: &'a Path,
    /// The machine's boot id.
    pub(super) boot: &'a str,
    /// Rows of a shelf.
    pub(super) shelf_rows: usize,
    /// The log under the index.
    pub(super) log: &'a FoundLog,
    /// A row that is kept when the index knew more than the log.
    pub(super) keep_row: Option<Vec<u8>>,
}

/// What stood in the directory and is believed.
struct Believed {
    list: List,
    shelves: Vec<Arc<Shelf>>,
    young: Option<(Young, Watermark, u64)>,
}

impl Index {
    /// Opens the index of a data directory, or an empty one in its place if it cannot be believed.
    pub(super) fn open(
        files: Arc<dyn Files>,
        how: Opening<'_>,
    ) -> Result<(Self, Option<Watermark>, Option<RebuildReason>), IndexError> {
        let dir = how.dir;
        let io = |source| writer::io_error(dir, source);
        let marks = Marks::new(Arc::clone(&files), dir.to_owned());
        let names = files.list(dir).map_err(io)?;
        let left = match names.iter().any(|name| name == DIRECTORY) {
            true => Ok(marks.read(how.boot).map_err(io)?),
            false => Err(RebuildReason::Missing),
        };
        let again = matches!(left, Ok(Left::Unproven | Left::UnprovenAgain));
        marks.opening(how.boot, again).map_err(io)?;
        let place = Arc::new(Place {
            files: Arc::clone(&files),
            dir: dir.join(DIRECTORY),
        });
        let believed = match left {
            Ok(left) => believe(&place, &how, left)?,
            Err(reason) => Err(reason),
        };
        let (believed, reason) = match believed {
            Ok(believed) => (believed, None),
            Err(reason) => (begin(&place, dir).map_err(io)?, Some(reason)),
        };
        let Believed {
            list,
            shelves,
            young,
        } = believed;
        let shelved = shelves.last().map(|shelf| shelf.mark());
        let (young, mark, gathered) = match young {
            Some((young, mark, gathered)) => (young, Some(mark), gathered),
            None => {
                let young = Young::open(&files, &list.young_path(&place.dir))?;
                (young, shelved, 0)
            }
        };
        let under = Under {
            young: Arc::new(young),
            shelves,
        };
        let base = Arc::new(Base::new(place, under));
        let pending = Arc::new(Pending::new(mark, how.shelf_rows));
        let writer = Writer {
            base: Arc::clone(&base),
            next: list.next_shelf(),
            list,
            marks,
            boot: how.boot.to_owned(),
            dir: dir.to_owned(),
            shelf_rows: how.shelf_rows,
            proven: false,
            gathered,
            enough: how.shelf_rows as u64,
            mark,
            full: false,
            unflushed: 0,
            merging: None,
            unmerged: 0,
        };
        let index = Self {
            base,
            writer: Running::start(writer, &pending).map_err(io)?,
            pending,
            files,
            dir: dir.to_owned(),
        };
        Ok((index, mark, reason))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        // In this order: a row that is not pending any more is below.
        if let Some(value) = self.pending.get(key) {
            return Ok(value);
        }
        self.base.get(key)
    }

    /// The rows whose keys begin with `prefix`, and whose keys are at least `from` if it is given.
    pub(super) fn scan(&self, prefix: &[u8], from: Option<&[u8]>) -> Rows {
        // Behind the index's own rows.
        let from = from.unwrap_or(prefix).max(prefix).max(&[OWN + 1]);
        // The first key behind all that begin with the prefix: its last byte below 255, one higher.
        let mut behind = prefix.to_vec();
        while behind.pop_if(|byte| *byte == u8::MAX).is_some() {}
        let behind = behind.last_mut().map(|last| *last += 1).map(|()| behind);
        let pending = Source::Pending(self.pending.sorted(from, behind.as_deref()));
        let under = self.base.now();
        let young = under.young.range(from, behind.as_deref());
        let young = Source::Young(young, Arc::clone(&under.young));
        let shelves = under.shelves.iter().rev().map(|shelf| {
            let range = ShelfRange::new(shelf, from.to_vec(), behind.clone());
            Source::Shelf(Part::new(range, &self.base.place))
        });
        Rows(Merged::of([pending, young].into_iter().chain(shelves)))
    }

    /// Whether a log is folded again, so that many rows come.
    pub(super) fn folding(&self, folding: bool) {
        self.pending.folding(folding);
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

    /// Whether more rows may be committed: not while the disk has no room for those that wait already, and they are as
    /// many as may wait.
    pub(super) fn takes(&self) -> bool {
        self.pending.takes()
    }

    /// Whether what was committed can be written.
    pub(super) fn check(&self) -> Result<(), IndexError> {
        self.pending.check()
    }

    /// Waits until everything that was committed is written.
    pub(super) fn settle(&self) -> Result<(), IndexError> {
        self.pending.settle()?;
        self.base.now().young.flush()
    }

    /// The watermark as it was last committed.
    pub(super) fn watermark(&self) -> Option<Watermark> {
        self.pending.mark()
    }

    /// Closes the index so that the next start believes it, also after a power cut.
    pub(super) fn close(self) -> Result<(), IndexError> {
        let Self {
            base,
            writer,
            files,
            dir,
            ..
        } = self;
        let Writer {
            marks, base: own, ..
        } = writer.end()?;
        base.now().young.flush()?;
        // The last handles: their drop joins sled's flusher.
        drop((base, own));
        files
            .sync_tree(&dir.join(DIRECTORY))
            .and_then(|()| marks.closed())
            .map_err(|source| writer::io_error(&dir, source))
    }
}

/// Begins an empty index in place of what stands there.
fn begin(place: &Place, dir: &Path) -> io::Result<Believed> {
    let files = &*place.files;
    set_aside(files, dir)?;
    files.create_dir(&place.dir)?;
    let list = List::new();
    list.put(files, &place.dir)?;
    files.sync_dir(dir)?;
    Ok(Believed {
        list,
        shelves: Vec::new(),
        young: None,
    })
}

/// What stands in an index's directory, if it is the index of this log; else why it is not believed.
fn believe(
    place: &Arc<Place>,
    how: &Opening<'_>,
    left: Left,
) -> Result<Result<Believed, RebuildReason>, IndexError> {
    let io = |source| writer::io_error(how.dir, source);
    let without = match left {
        Left::UnprovenAgain => return Ok(Err(RebuildReason::Unproven)),
        Left::Unproven => RebuildReason::Unproven,
        Left::PowerCut => RebuildReason::PowerCut,
        Left::Usable => RebuildReason::Unreadable,
    };
    let names = place.files.list(&place.dir).map_err(io)?;
    let Some(list) = list::read(&*place.files, &place.dir, &names).map_err(io)? else {
        return Ok(Err(without));
    };
    list.tidy(&*place.files, &place.dir, &names).map_err(io)?;
    let mut shelves = Vec::new();
    for number in &list.shelves {
        let path = list::shelf_path(&place.dir, *number);
        let opened = place.files.open(&path);
        let opened = opened.map_err(|source| ShelfError::io(&path, source));
        match opened.and_then(|file| Shelf::read(&path, file)) {
            Ok(shelf) => shelves.push(Arc::new(shelf)),
            Err(error) => {
                tracing::warn!(%error, "the index is made again");
                return Ok(Err(RebuildReason::Unreadable));
            }
        }
    }
    let shelved = shelves.last().map(|shelf| shelf.mark());
    let position = |mark: &Watermark| mark.position;
    let young = match left {
        Left::Usable => Young::open(&place.files, &list.young_path(&place.dir))
            .and_then(|young| Ok((young.mark()?, young)))
            .ok(),
        _ => None,
    };
    let young = match young {
        Some((Some((mark, gathered)), young)) => {
            // After a kill sled may lack what it had when the shelf below it was written.
            let whole = shelved.as_ref().map(position) <= Some(mark.position);
            whole.then_some((young, mark, gathered))
        }
        Some((None, _)) | None => None,
    };
    let newest = young.as_ref().map(|(_, mark, _)| *mark).or(shelved);
    let Some(newest) = newest else {
        return Ok(Err(without));
    };
    if !how.log.holds(&newest)? {
        // Before it is set aside: what it knew is the only witness of what was lost.
        let known = |key: &Vec<u8>| {
            let young = young.as_ref().and_then(|(young, ..)| young.get(key).ok()?);
            let shelved = || shelves.iter().rev().find_map(|shelf| shelf.get(key).ok()?);
            young.or_else(shelved).flatten()
        };
        if let Some(row) = how.keep_row.as_ref().and_then(known) {
            notes::keep_row(&*place.files, how.dir, &row).map_err(io)?;
        }
        return Ok(Err(RebuildReason::NotOfThisLog(newest)));
    }
    if young.is_none() {
        // Rows that are not believed may not stand over shelves that are.
        set_young_aside(place, how.dir, &list).map_err(io)?;
    }
    Ok(Ok(Believed {
        list,
        shelves,
        young,
    }))
}

/// Moves a sled that is not believed out of the way, in place of what was moved before.
fn set_young_aside(place: &Place, dir: &Path, list: &List) -> io::Result<()> {
    let path = list.young_path(&place.dir);
    let name = path.file_name().and_then(|name| name.to_str());
    let names = place.files.list(&place.dir)?;
    if !names.iter().any(|other| Some(other.as_str()) == name) {
        return Ok(());
    }
    remove_aside(&*place.files, dir)?;
    place.files.rename(&path, &dir.join(ASIDE))?;
    place.files.sync_dir(&place.dir)?;
    place.files.sync_dir(dir)
}

/// Moves the index out of the way, in place of what was moved before.
fn set_aside(files: &dyn Files, dir: &Path) -> io::Result<()> {
    let names = files.list(dir)?;
    if !names.iter().any(|name| name == DIRECTORY) {
        return Ok(());
    }
    remove_aside(files, dir)?;
    files.rename(&dir.join(DIRECTORY), &dir.join(ASIDE))?;
    files.sync_dir(dir)
}

fn remove_aside(files: &dyn Files, dir: &Path) -> io::Result<()> {
    let names = files.list(dir)?;
    if names.iter().any(|name| name == ASIDE) {
        files.remove_dir(&dir.join(ASIDE))?;
    }
    Ok(())
}

fn check_row(key: &[u8], value: Option<&[u8]>) -> Result<(), IndexError> {
    let bad = if key.is_empty() || key[0] == OWN {
        "a key is empty or begins with a zero byte"
    } else if key.len() > MAX_KEY {
        "a key longer than 256 bytes"
    } else if value.is_some_and(|value| value.len() > MAX_VALUE) {
        "a value longer than 512 bytes"
    } else {
        return Ok(());
    };
    Err(IndexError::BadRow(bad))
}

fn failed(error: sled::Error) -> IndexError {
    IndexError::Failed(Box::new(error))
}

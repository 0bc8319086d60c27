//! The store of one data directory: blocks that are never lost, and an index that can always be made again.
//!
//! `files` seam to the disk · `car` bytes of a segment · `segments` appending and reading · `blocks` places and
//! walking · `recover`, `copy`, `damage` opening after a crash · `compact`, `manifest` the log without what is dead ·
//! `archive` CAR files that go from hand to hand · `schema` the form of a data directory · `index` rows in sled and shelves · `watermark`, `marks`
//! whether they are believed · `notes` how far the own log ever was · `trusted` what was taken on trust · `side` the trust log. Blocks and rows are opaque; sled stays in `index`.
//! The order of a commit: `append_group` (durable) → `commit_rows` (visible) → only then answer and send; rows are
//! written behind it.

mod archive;
pub mod blocks;
pub mod car;
mod compact;
mod copy;
pub mod damage;
pub mod files;
pub mod index;
mod manifest;
pub mod marks;
pub mod notes;
pub mod recover;
mod schema;
pub mod segments;
pub mod side;
mod trusted;
pub mod watermark;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use city_protocol::ids::BlockId;

pub use archive::{ArchiveError, ArchiveReader, ArchiveStream, ArchiveWriter, SegmentReader};
pub use blocks::{Block, Blocks, Location, Position, ReadError};
pub use compact::{CompactError, Compacted, Fate};
pub use damage::Damage;
pub use files::{FileHandle, Files, OsFiles};
pub use index::{IndexError, Rows, SHELF_ROWS};
pub use notes::{HighWater, NEVER_BEGUN, Notes, RESTORED, note_restored};
pub use recover::{LogError, Recovery};
pub use schema::{DATA_SCHEMA, SchemaError};
pub use segments::{AppendError, Limits, SegmentLog};
pub use side::{SideError, SideLog};
pub use trusted::{TRUSTED, TrustMark, TrustedError};
pub use watermark::{OpenOutcome, RebuildReason, Watermark};

use index::{Index, Opening};
use recover::FoundLog;

/// The ledger's segments.
const LEDGER: &str = "ledger";
/// The trust log's segments.
const TRUST: &str = "trust";
/// Locked while a process uses the directory; holds its process id.
const LOCK: &str = "LOCK";

/// How to open a store.
#[derive(Clone)]
pub struct StoreOptions {
    /// The disk.
    pub files: Arc<dyn Files>,
    /// Sizes of the ledger's log.
    pub limits: Limits,
    /// The machine's boot id; see [`marks::boot_id`].
    pub boot_id: String,
    /// A row that is kept when an index knew more than the log; see [`Notes::kept_row`].
    pub keep_row: Option<Vec<u8>>,
    /// Rows that the index gathers before they go to a file of their own; see [`index::SHELF_ROWS`].
    pub shelf_rows: usize,
}

impl StoreOptions {
    /// The operating system's disk and boot, and the default sizes. Without `/proc` each start is taken
    /// for another boot, so that the index is rebuilt after every unclean stop.
    #[must_use]
    pub fn new() -> Self {
        let unknown = || format!("process {}", std::process::id());
        Self {
            files: Arc::new(OsFiles),
            limits: Limits::default(),
            boot_id: marks::boot_id().unwrap_or_else(|_| unknown()),
            keep_row: None,
            shelf_rows: SHELF_ROWS,
        }
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What opening found. If `ledger.damage` is set, or the index is `NotOfThisLog`, acknowledged blocks may be
/// lost: the node must not sign before it compared its own log with peers.
#[derive(Debug, Clone, Copy)]
pub struct OpenReport {
    /// What the caller has to index.
    pub index: OpenOutcome,
    /// How the ledger's log was left.
    pub ledger: Recovery,
    /// How the trust log was left.
    pub trust: Recovery,
}

/// Why a store could not be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory.
    #[error(
        "{} is in use by process {holder}: stop that one, or give this one another --data-dir", dir.display()
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// The process id in the lock file, or `unknown`.
        holder: String,
    },
    /// The directory could not be made or locked.
    #[error("{} cannot be used as data directory; look at its rights and at the disk", dir.display())]
    Directory {
        /// The data directory.
        dir: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The form of the data.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The ledger's log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The trust log.
    #[error(transparent)]
    Side(#[from] SideError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// An open data directory. It is shared by reference: one writer at a time, any number of readers.
///
/// Dropping it without [`Store::close`] is like a kill: the next open catches up.
pub struct Store {
    ledger: SegmentLog,
    trust: SideLog,
    index: Index,
    notes: Notes,
    // Last, so that the lock is given up after everything else.
    _lock: File,
}

impl Store {
    /// Opens or makes the store of the network with this genesis.
    ///
    /// The caller then does what [`OpenReport::index`] says, before anything else reads rows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(
        dir: &Path,
        genesis: BlockId,
        options: StoreOptions,
    ) -> Result<(Self, OpenReport), StoreError> {
        let StoreOptions {
            files,
            limits,
            boot_id,
            keep_row,
            shelf_rows,
        } = options;
        let directory = |source| StoreError::Directory {
            dir: dir.to_owned(),
            source,
        };
        files.create_dir(dir).map_err(directory)?;
        let lock = lock(dir)?;
        schema::migrate(&*files, dir)?;
        let found = FoundLog::find(Arc::clone(&files), &dir.join(LEDGER), genesis, limits)?;
        let reserve = limits.space_reserve;
        let (trust, trusted) =
            SideLog::open(Arc::clone(&files), &dir.join(TRUST), genesis, reserve)?;
        // The names `ledger` and `trust` themselves.
        files.sync_dir(dir).map_err(directory)?;
        let empty = found.is_empty()?;
        let opening = Opening {
            dir,
            boot: &boot_id,
            shelf_rows,
            log: &found,
            keep_row,
        };
        let (index, mark, reason) = Index::open(Arc::clone(&files), opening)?;
        let (ledger, recovery) = found.recover(mark.map(|mark| mark.position))?;
        let outcome = match (mark, reason) {
            (Some(mark), _) if has_blocks_from(&ledger, mark.position) => {
                OpenOutcome::CatchUp(mark)
            }
            (Some(mark), _) => OpenOutcome::Current(mark),
            (None, Some(reason)) if !(empty && reason == RebuildReason::Missing) => {
                OpenOutcome::Rebuild(reason)
            }
            (None, _) => OpenOutcome::Empty,
        };
        let report = OpenReport {
            index: outcome,
            ledger: recovery,
            trust: trusted,
        };
        let store = Self {
            ledger,
            trust,
            index,
            notes: Notes::new(files, dir),
            _lock: lock,
        };
        Ok((store, report))
    }

    /// Appends blocks in this order with one `fdatasync`; see [`SegmentLog::append_group`].
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append_group(&self, group: &[(BlockId, &[u8])]) -> Result<Vec<Location>, AppendError> {
        self.ledger.append_group(group)
    }

    /// Sets (`Some`) and removes (`None`) rows and moves the watermark, all or nothing, visible when this returns.
    /// They are written behind it, in the order of the commits.
    ///
    /// Keys have 1 to 256 bytes and do not begin with zero, values at most 512. The watermark must stand
    /// behind blocks that were appended. For a rebuild, commit some thousand rows at a time: a commit
    /// waits when too many rows are not written. An error may be that of an earlier commit's rows.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn commit_rows(
        &self,
        rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        watermark: &Watermark,
    ) -> Result<(), IndexError> {
        if watermark.position > self.ledger.end() {
            return Err(IndexError::BadRow("a watermark beyond the log"));
        }
        self.index.commit(rows, watermark)
    }

    /// Whether a log is folded again: then many rows come, and they go down in larger pieces. Nothing is lost by
    /// forgetting to say that it is over, but a kill then costs more.
    pub fn folding(&self, folding: bool) {
        self.index.folding(folding);
    }

    /// The value of an index row.
    ///
    /// # Errors
    /// [`IndexError::Failed`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.index.get(key)
    }

    /// The rows whose keys begin with `prefix`, in order; `.rev()` walks from the last.
    #[must_use]
    pub fn scan_prefix(&self, prefix: &[u8]) -> Rows {
        self.index.scan(prefix, None)
    }

    /// The rows whose keys begin with `prefix` and are at least `from`: the next page of a listing.
    #[must_use]
    pub fn scan_prefix_from(&self, prefix: &[u8], from: &[u8]) -> Rows {
        self.index.scan(prefix, Some(from))
    }

    /// The watermark of the last commit.
    #[must_use]
    pub fn watermark(&self) -> Option<Watermark> {
        self.index.watermark()
    }

    /// Whether rows that were committed can be written.
    ///
    /// # Errors
    /// [`IndexError`], why they cannot; then the process should exit and start again.
    pub fn check_index(&self) -> Result<(), IndexError> {
        self.index.check()
    }

    /// Reads a block and checks its hash. The caller compares the id with the one that was looked up.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_block(&self, at: &Location) -> Result<Block, ReadError> {
        self.ledger.read(at)
    }

    /// Walks the blocks from a position; see [`SegmentLog::blocks_from`].
    #[must_use]
    pub fn blocks_from(&self, from: Position) -> Blocks<'_> {
        self.ledger.blocks_from(from)
    }

    /// The ledger's log, for its end and its damage note.
    #[must_use]
    pub fn ledger(&self) -> &SegmentLog {
        &self.ledger
    }

    /// What is remembered of the own log beside the log.
    #[must_use]
    pub const fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Whether there is room for the ledger to grow, and for its rows.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn has_room(&self) -> io::Result<bool> {
        Ok(self.takes_rows() && self.ledger.has_room()?)
    }

    /// Whether rows may be committed. Not while the disk has no room for those that wait, and as many wait as may: whoever
    /// appended all the same would wait for room. Ask before appending.
    #[must_use]
    pub fn takes_rows(&self) -> bool {
        self.index.takes()
    }

    /// The trust log.
    #[must_use]
    pub fn trust(&self) -> &SideLog {
        &self.trust
    }

    /// Writes the ledger again with the blocks that stay and those that take the place of others, and closes. The index then names places that
    /// are no more: the next open makes it again.
    ///
    /// # Errors
    /// [`CompactError`].
    pub fn compact(self, fate: &mut dyn FnMut(&Block) -> Fate) -> Result<Compacted, CompactError> {
        // The lock is held to the end.
        let Self {
            ledger,
            trust: _trust,
            index: _index,
            notes: _notes,
            _lock,
        } = self;
        ledger.compact(fate)
    }

    /// Waits until the rows of every commit so far are written, which else is done behind it.
    ///
    /// # Errors
    /// [`StoreError::Index`].
    pub fn settle(&self) -> Result<(), StoreError> {
        Ok(self.index.settle()?)
    }

    /// Flushes, fsyncs and closes, so that the next open believes the index.
    ///
    /// # Errors
    /// [`StoreError::Index`]; the next open then catches up or rebuilds.
    pub fn close(self) -> Result<(), StoreError> {
        Ok(self.index.close()?)
    }
}

/// Whether a walk from here would find anything: the end may lie in a later segment that is still empty.
fn has_blocks_from(log: &SegmentLog, from: Position) -> bool {
    log.blocks_from(from).next().is_some()
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let directory = |source| StoreError::Directory {
        dir: dir.to_owned(),
        source,
    };
    let mut how = OpenOptions::new();
    how.read(true).write(true).create(true).truncate(false);
    let mut file = how.open(dir.join(LOCK)).map_err(directory)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            // A process id has at most 10 digits.
            let mut holder = String::new();
            let read = Read::by_ref(&mut file).take(16).read_to_string(&mut holder);
            if read.is_err() || holder.trim().is_empty() {
                holder = "unknown".to_owned();
            }
            return Err(StoreError::InUse {
                dir: dir.to_owned(),
                holder: holder.trim().to_owned(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(directory(source)),
    }
    // Only a hint for the message above: on a full disk the lock works without it.
    let _ = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

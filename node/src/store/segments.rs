//! The append-only log of blocks over a directory of CARv1 segments: appending and reading.
//!
//! Owns what is durable and when: a block has a [`Location`] only after its bytes were fsynced. Opening
//! and mending after a crash stand in `recover`, walking in `blocks`. Blocks are opaque here.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use city_protocol::ids::BlockId;

use super::blocks::{Block, Blocks, Location, Position, ReadError};
use super::car::{self, HEADER_LEN, MAX_BLOCK};
use super::files::{FileHandle, Files, PutError, is_full};

/// After how many bytes a new segment begins: small enough to be copied, checked or dropped in a second
/// or two, large enough that a node of years has some hundreds.
pub const SEGMENT_TARGET: u64 = 64 << 20;
/// Free bytes the log leaves on its file system: for the index, which must not starve (sled breaks on a
/// full disk), and for the copy of one segment that recovery makes.
pub const SPACE_RESERVE: u64 = 256 << 20;
/// The most bytes of one group; it is built in memory. A commit is a few vertices of at most 1 MiB.
pub const MAX_GROUP: usize = 16 << 20;
/// Segments kept open for reading: far below the 1,024 files a process may usually open.
const MAX_OPEN_SEGMENTS: usize = 32;

/// Sizes that an operator or a test may set.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes after which a new segment begins.
    pub segment_target: u64,
    /// Free bytes to leave on the file system.
    pub space_reserve: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_target: SEGMENT_TARGET,
            space_reserve: SPACE_RESERVE,
        }
    }
}

/// Why a group was not appended. Nothing of it is visible or acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk is full, or nearly. Later appends work again once there is room.
    #[error(
        "the disk is full: {needed} bytes and the reserve are needed; free space or enlarge the file system"
    )]
    Full {
        /// Bytes of the group.
        needed: u64,
    },
    /// A call failed before the fsync; the file was cut back. Later appends may work.
    #[error("the log could not be written; look at the disk and the kernel's log")]
    Io(#[source] io::Error),
    /// The fsync failed: what is on the disk is unknown.
    #[error(
        "fsync of the log failed: nothing more is written; exit and start again to recover, and look at the disk"
    )]
    SyncFailed(#[source] io::Error),
    /// An earlier fsync failed.
    #[error("the log is closed to writing since an fsync failed; exit and start again to recover")]
    Poisoned,
    /// A block or the group is longer than any of ours may be. A bug of the caller.
    #[error("{len} bytes in one block or group, at most {limit} are allowed")]
    TooLarge {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

/// The log of one directory. One writer at a time, any number of readers.
pub struct SegmentLog {
    pub(super) files: Arc<dyn Files>,
    pub(super) dir: PathBuf,
    pub(super) root: BlockId,
    limits: Limits,
    /// The number of the first segment.
    first: u32,
    writer: Mutex<Writer>,
    /// The durable end: readers see nothing behind it.
    end: RwLock<Position>,
    open: Mutex<HashMap<u32, Arc<dyn FileHandle>>>,
    /// Damage was noted in this run.
    pub(super) damaged: AtomicBool,
}

struct Writer {
    file: Arc<dyn FileHandle>,
    end: Position,
    /// Bytes behind the end are left of a failed write and must go before the next one.
    untrimmed: bool,
    poisoned: bool,
}

/// `000042.car`
pub(super) fn segment_name(segment: u32) -> String {
    format!("{segment:06}.car")
}

impl SegmentLog {
    /// A log from its first segment to the last, which ends at `end`; everything before it is durable.
    pub(super) fn new(
        (files, dir): (Arc<dyn Files>, PathBuf),
        root: BlockId,
        (limits, first): (Limits, u32),
        (file, end): (Arc<dyn FileHandle>, Position),
    ) -> Self {
        let writer = Writer {
            file,
            end,
            untrimmed: false,
            poisoned: false,
        };
        Self {
            files,
            dir,
            root,
            limits,
            first,
            writer: Mutex::new(writer),
            end: RwLock::new(end),
            open: Mutex::default(),
            damaged: AtomicBool::new(false),
        }
    }

    /// Appends blocks in this order with one write and one `fdatasync`, and says where they stand.
    ///
    /// When this returns `Ok` the blocks survive a power cut. After an error nothing of the group is
    /// visible, though a later start may find whole blocks of it. `id` must be the block's id.
    ///
    /// # Errors
    /// [`AppendError`]. After `SyncFailed` nothing is ever written again.
    pub fn append_group(&self, group: &[(BlockId, &[u8])]) -> Result<Vec<Location>, AppendError> {
        let (bytes, lens) = encode(group)?;
        let mut writer = self.writer();
        if writer.poisoned {
            return Err(AppendError::Poisoned);
        }
        if group.is_empty() {
            return Ok(Vec::new());
        }
        self.check_room(bytes.len() as u64)?;
        trim(&mut writer).map_err(AppendError::Io)?;
        if writer.end.offset >= self.limits.segment_target {
            self.begin_segment(&mut writer, bytes.len() as u64)?;
        }
        if let Err(error) = writer.file.write_all_at(&bytes, writer.end.offset) {
            writer.untrimmed = true;
            // If this fails as well, the next append tries it again before it writes.
            let _ = trim(&mut writer);
            return Err(refused(error, bytes.len() as u64));
        }
        if let Err(error) = writer.file.sync_data() {
            writer.poisoned = true;
            return Err(AppendError::SyncFailed(error));
        }
        let locations = lens
            .into_iter()
            .map(|len| {
                let Position { segment, offset } = writer.end;
                writer.end.offset += u64::from(len);
                Location {
                    segment,
                    offset,
                    len,
                }
            })
            .collect();
        *self.end.write().expect("no holder panics") = writer.end;
        Ok(locations)
    }

    /// Reads one block and checks its hash.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, at: &Location) -> Result<Block, ReadError> {
        let section = self.section(at)?;
        let (id, block) =
            car::parse_section(&section).ok_or_else(|| ReadError::Damaged(at.start()))?;
        Ok(Block {
            id,
            at: *at,
            bytes: block.to_vec(),
        })
    }

    /// Reads the block at a place without hashing it; `None` if it cannot be read.
    #[must_use]
    pub fn read_unchecked(&self, at: &Location) -> Option<Vec<u8>> {
        let mut section = self.section(at).ok()?;
        let block = car::block_of(&section)?;
        section.drain(..block);
        Some(section)
    }

    fn section(&self, at: &Location) -> Result<Vec<u8>, ReadError> {
        let longest = MAX_BLOCK + 64;
        if at.end() > self.end() || usize::try_from(at.len).is_ok_and(|len| len > longest) {
            return Err(ReadError::Outside(at.start()));
        }
        let io = |source| ReadError::Io {
            segment: at.segment,
            source,
        };
        let file = match self.segment(at.segment) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReadError::Outside(at.start()));
            }
            other => other.map_err(io)?,
        };
        let mut section = vec![0; usize::try_from(at.len).expect("compared above")];
        match file.read_exact_at(&mut section, at.offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ReadError::Outside(at.start()));
            }
            other => other.map_err(io)?,
        }
        Ok(section)
    }

    /// Walks the blocks from a position to the end as it is now, one block in memory at a time.
    #[must_use]
    pub fn blocks_from(&self, from: Position) -> Blocks<'_> {
        Blocks::new(self, from.max(self.begin()))
    }

    /// Where the first block stands: after a compaction this is not [`Position::START`].
    #[must_use]
    pub const fn begin(&self) -> Position {
        Position {
            segment: self.first,
            offset: HEADER_LEN,
        }
    }

    /// Bytes of all segments, up to the durable end.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn bytes(&self) -> io::Result<u64> {
        let end = self.end();
        let mut bytes = end.offset;
        for segment in self.first..end.segment {
            bytes += match self.segment(segment) {
                Ok(file) => file.len()?,
                // Known damage, which reading tells.
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(error),
            };
        }
        Ok(bytes)
    }

    pub(super) const fn segment_target(&self) -> u64 {
        self.limits.segment_target
    }

    /// The durable end of the log.
    #[must_use]
    pub fn end(&self) -> Position {
        *self.end.read().expect("no holder panics")
    }

    /// Whether an fsync failed, so that the process must exit.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.writer().poisoned
    }

    /// The segment's file, opened once.
    pub(super) fn segment(&self, segment: u32) -> io::Result<Arc<dyn FileHandle>> {
        let mut open = self.open.lock().expect("no holder panics");
        if let Some(file) = open.get(&segment) {
            return Ok(Arc::clone(file));
        }
        let file = self.files.open(&self.dir.join(segment_name(segment)))?;
        if open.len() >= MAX_OPEN_SEGMENTS {
            open.clear();
        }
        open.insert(segment, Arc::clone(&file));
        Ok(file)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().expect("no holder panics")
    }

    /// Whether the smallest group would find room beside the reserve.
    pub(super) fn has_room(&self) -> io::Result<bool> {
        let free = self.files.free_space(&self.dir)?;
        Ok(free > self.limits.space_reserve)
    }

    /// Bytes that may still be written to the file system.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn free_space(&self) -> io::Result<u64> {
        self.files.free_space(&self.dir)
    }

    /// Whether damage was met since this log was opened; see [`Self::met_damage`].
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    fn check_room(&self, needed: u64) -> Result<(), AppendError> {
        let free = self.files.free_space(&self.dir).map_err(AppendError::Io)?;
        if free < self.limits.space_reserve.saturating_add(needed) {
            return Err(AppendError::Full { needed });
        }
        Ok(())
    }

    fn begin_segment(&self, writer: &mut Writer, needed: u64) -> Result<(), AppendError> {
        let segment = writer.end.segment + 1;
        let name = segment_name(segment);
        match create_segment(&*self.files, &self.dir, &name, &self.root) {
            Ok(file) => {
                writer.file = file;
                writer.end = Position {
                    segment,
                    offset: HEADER_LEN,
                };
                Ok(())
            }
            Err(PutError::Unchanged(error)) => Err(refused(error, needed)),
            Err(PutError::Unknown(error)) => {
                writer.poisoned = true;
                Err(AppendError::SyncFailed(error))
            }
        }
    }
}

/// Makes a segment that has its whole header from the moment its name exists.
pub(super) fn create_segment(
    files: &dyn Files,
    dir: &Path,
    name: &str,
    root: &BlockId,
) -> Result<Arc<dyn FileHandle>, PutError> {
    let temporary = dir.join(format!("{name}.tmp"));
    let file = files.create(&temporary).map_err(PutError::Unchanged)?;
    file.write_all_at(&car::header(root), 0)
        .map_err(PutError::Unchanged)?;
    file.sync_data().map_err(PutError::Unknown)?;
    files
        .rename(&temporary, &dir.join(name))
        .map_err(|error| match is_full(&error) {
            true => PutError::Unchanged(error),
            // The name may stand in the directory: going on in the old segment would leave it unsealed.
            false => PutError::Unknown(error),
        })?;
    files.sync_dir(dir).map_err(PutError::Unknown)?;
    Ok(file)
}

fn encode(group: &[(BlockId, &[u8])]) -> Result<(Vec<u8>, Vec<u32>), AppendError> {
    let check = |len, limit| {
        if len > limit {
            return Err(AppendError::TooLarge { len, limit });
        }
        Ok(())
    };
    let mut total = 0;
    for (_, block) in group {
        check(block.len(), MAX_BLOCK)?;
        total += block.len() + 64;
        check(total, MAX_GROUP)?;
    }
    let mut bytes = Vec::with_capacity(total);
    let lens = group
        .iter()
        .map(|(id, block)| {
            debug_assert_eq!(*id, BlockId::of(block), "a block goes under its own id");
            car::push_section(&mut bytes, id, block)
        })
        .collect();
    Ok((bytes, lens))
}

/// Cuts off what a failed write may have left behind the end.
fn trim(writer: &mut Writer) -> io::Result<()> {
    if writer.untrimmed {
        writer.file.set_len(writer.end.offset)?;
        writer.untrimmed = false;
    }
    Ok(())
}

fn refused(error: io::Error, needed: u64) -> AppendError {
    if is_full(&error) {
        AppendError::Full { needed }
    } else {
        AppendError::Io(error)
    }
}

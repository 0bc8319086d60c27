//! Two small files that say how the index was left: whether it was proven to open, and by which boot.
//!
//! Owns the judgement whether a sled may be opened at all. sled's own flush does not survive a power cut,
//! so one that was in use when another boot of the machine ended is never believed.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::files::{self, Files, PutError};

/// Stands from before the index is opened until its first commit: found at a start, the last attempt
/// ended in between, perhaps by a panic of the index itself.
const OPENING: &str = "index.opening";
/// Stands while the index is in use, and holds the boot id.
const RUNNING: &str = "index.running";
/// In the first mark after a start that ended too early; else it holds the boot id, too.
const AGAIN: &[u8] = b"again";
/// Boot ids are 36 characters; what is longer is none.
const MAX_BOOT_ID: usize = 64;

/// The id that Linux gives to the time from one start of the machine to the next.
///
/// # Errors
/// What the operating system says; without `/proc` there is none.
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// What the marks say at a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Closed, or killed under this boot: what it wrote is in memory or on the disk.
    Usable,
    /// A start ended before its first commit.
    Unproven,
    /// So did the one before it: what they have in common is not to be believed either.
    UnprovenAgain,
    /// In use when another boot ended: a power cut or a crash of the system.
    PowerCut,
}

/// The marks of one data directory.
pub(super) struct Marks {
    files: Arc<dyn Files>,
    dir: PathBuf,
}

impl Marks {
    pub(super) fn new(files: Arc<dyn Files>, dir: PathBuf) -> Self {
        Self { files, dir }
    }

    pub(super) fn read(&self, boot: &str) -> io::Result<Left> {
        let names = self.files.list(&self.dir)?;
        let has = |mark: &str| names.iter().any(|name| name == mark);
        if has(OPENING) {
            let left = files::take(&*self.files, &self.dir.join(OPENING), MAX_BOOT_ID)?;
            return Ok(match left == AGAIN {
                true => Left::UnprovenAgain,
                false => Left::Unproven,
            });
        }
        if has(RUNNING) {
            let left = files::take(&*self.files, &self.dir.join(RUNNING), MAX_BOOT_ID)?;
            if left != boot.as_bytes() {
                return Ok(Left::PowerCut);
            }
        }
        Ok(Left::Usable)
    }

    /// Both marks, durable, before the index is touched; `again` after a start that ended too early.
    pub(super) fn opening(&self, boot: &str, again: bool) -> io::Result<()> {
        let first = boot.as_bytes();
        let content = if again { AGAIN } else { first };
        files::put(&*self.files, &self.dir, OPENING, content)?;
        files::put(&*self.files, &self.dir, RUNNING, boot.as_bytes())
    }

    /// The first mark again while the index is in use: a start that ends before the next commit does not believe its sled.
    pub(super) fn unproven(&self, boot: &str) -> Result<(), PutError> {
        files::try_put(&*self.files, &self.dir, OPENING, boot.as_bytes())
    }

    /// The index took a commit. If a power cut brings the mark back, the index is rebuilt anyway.
    pub(super) fn proven(&self) -> io::Result<()> {
        self.remove(OPENING)
    }

    /// The index was flushed, fsynced and closed.
    pub(super) fn closed(&self) -> io::Result<()> {
        self.remove(OPENING)?;
        self.remove(RUNNING)?;
        self.files.sync_dir(&self.dir)
    }

    fn remove(&self, mark: &str) -> io::Result<()> {
        match self.files.remove(&self.dir.join(mark)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

//! What a data directory remembers of the own log beside the log itself, so that a log that lost its end, or
//! all of it, is not extended at a position that was signed before.
//!
//! Owns small files: the high-water mark, the mark of a log that never began, the note that the ledger is gone, and
//! how far a counter outside of the directory had come. None of them is the index's or the log's: rebuilding and verifying do not touch them. What
//! follows from them is decided by the daemon when it opens.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use city_protocol::amount::Timestamp;
use city_protocol::ids::BlockId;

use super::files::{self, Files};

/// The highest position of the own log that was ever durable here.
const HIGH_WATER: &str = "HIGHWATER";
/// Written by `init`, removed with the first own vertex: only then an empty log may be begun.
pub const NEVER_BEGUN: &str = "NEVER_BEGUN";
/// The ledger was gone: it stands until a peer was seen to have nothing more of the own log.
const GONE: &str = "GONE";
const GONE_TEXT: &str =
    "The ledger is gone, or old. This note goes when peers have nothing more of the own log.\n";
/// What the TPM's counter showed when it was last moved, or is about to.
const COUNTER: &str = "COUNTER";
/// A copy of a data directory: says when and at which head it was made.
pub const RESTORED: &str = "RESTORED";
/// The own log's row of an index that knew more than the log.
const KEPT_ROW: &str = "index.kept";
/// Bytes of a note: two numbers and an id as text are some 100.
const MAX_NOTE: usize = 512;

/// A position of the own log and what stands there. It only ever rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HighWater {
    /// Epoch.
    pub epoch: u64,
    /// Position in it.
    pub seq: u64,
    /// The vertex there; none where the mark could not be read.
    pub head: Option<BlockId>,
}

impl HighWater {
    /// What an unreadable mark counts as: higher than every log.
    const UNREADABLE: Self = Self {
        epoch: u64::MAX,
        seq: u64::MAX,
        head: None,
    };

    const fn place(&self) -> (u64, u64) {
        (self.epoch, self.seq)
    }

    fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let ["epoch", epoch, "seq", seq, "head", head] = words[..] else {
            return None;
        };
        Some(Self {
            epoch: epoch.parse().ok()?,
            seq: seq.parse().ok()?,
            head: Some(head.parse().ok()?),
        })
    }
}

/// The notes of one data directory.
pub struct Notes {
    pub(super) files: Arc<dyn Files>,
    pub(super) dir: PathBuf,
}

impl Notes {
    pub(super) fn new(files: Arc<dyn Files>, dir: &Path) -> Self {
        Self {
            files,
            dir: dir.to_owned(),
        }
    }

    /// The high-water mark, if there is one.
    ///
    /// # Errors
    /// What the operating system says, as for all below.
    pub fn high_water(&self) -> io::Result<Option<HighWater>> {
        let text = self.take(HIGH_WATER)?;
        Ok(text.map(|text| HighWater::read(&text).unwrap_or(HighWater::UNREADABLE)))
    }

    /// Raises the mark, durably; a lower one changes nothing. Call it for what is durable in the log.
    ///
    /// # Errors
    /// See above.
    pub fn raise(&self, to: &HighWater) -> io::Result<()> {
        let Some(head) = to.head else { return Ok(()) };
        if self
            .high_water()?
            .is_some_and(|mark| mark.place() >= to.place())
        {
            return Ok(());
        }
        let text = format!("epoch {} seq {} head {head}\n", to.epoch, to.seq);
        files::put(&*self.files, &self.dir, HIGH_WATER, text.as_bytes())
    }

    /// Whether `init` made this directory and no own vertex was ever durable in it.
    ///
    /// # Errors
    /// See above.
    pub fn never_begun(&self) -> io::Result<bool> {
        self.has(NEVER_BEGUN)
    }

    /// The own log begins: its first vertex is durable, and not visible yet.
    ///
    /// # Errors
    /// See above. The vertex must then not become visible.
    pub fn begun(&self) -> io::Result<()> {
        self.remove(NEVER_BEGUN)
    }

    /// Whether the ledger was gone and it is not known yet that all of the own log was fetched again.
    ///
    /// # Errors
    /// See above.
    pub fn is_gone(&self) -> io::Result<bool> {
        self.has(GONE)
    }

    /// Notes that the ledger is gone.
    ///
    /// # Errors
    /// See above.
    pub fn note_gone(&self) -> io::Result<()> {
        files::put(&*self.files, &self.dir, GONE, GONE_TEXT.as_bytes())
    }

    /// A peer was seen to have of the own log what is here.
    ///
    /// # Errors
    /// See above.
    pub fn clear_gone(&self) -> io::Result<()> {
        self.remove(GONE)
    }

    /// What a counter outside of this directory showed, if it was ever noted; what cannot be read counts as 0, which is
    /// older than every counter.
    ///
    /// # Errors
    /// See above.
    pub fn counter(&self) -> io::Result<Option<u64>> {
        let number = |text: Vec<u8>| std::str::from_utf8(&text).ok()?.trim().parse().ok();
        Ok(self
            .take(COUNTER)?
            .map(|text| number(text).unwrap_or_default()))
    }

    /// Notes what the counter shows, or will show, durably.
    ///
    /// # Errors
    /// See above.
    pub fn note_counter(&self, value: u64) -> io::Result<()> {
        let text = format!("{value}\n");
        files::put(&*self.files, &self.dir, COUNTER, text.as_bytes())
    }

    /// What stands in `RESTORED`: the directory is a copy that was made as a backup.
    ///
    /// # Errors
    /// See above.
    pub fn restored(&self) -> io::Result<Option<String>> {
        let text = self.take(RESTORED)?;
        Ok(text.map(|text| String::from_utf8_lossy(&text).into_owned()))
    }

    /// The row that was kept of an index which knew more than the log.
    ///
    /// # Errors
    /// See above.
    pub fn kept_row(&self) -> io::Result<Option<Vec<u8>>> {
        self.take(KEPT_ROW)
    }

    /// That row was taken into account.
    ///
    /// # Errors
    /// See above.
    pub fn forget_row(&self) -> io::Result<()> {
        match self.files.remove(&self.dir.join(KEPT_ROW)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn has(&self, name: &str) -> io::Result<bool> {
        Ok(self
            .files
            .list(&self.dir)?
            .iter()
            .any(|other| other == name))
    }

    fn take(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match files::take(&*self.files, &self.dir.join(name), MAX_NOTE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self.files.remove(&self.dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        // Also if it was missing: an earlier removal may not be durable.
        self.files.sync_dir(&self.dir)
    }
}

/// Marks a copy of a data directory: whoever runs on it does not know what was signed after it was made.
///
/// `RESTORED` says when and at which position of the own log, and what follows from it is for the daemon; `GONE` has every
/// version wait until its peers have nothing newer of the own log.
///
/// # Errors
/// What the operating system says.
pub fn note_restored(
    files: &dyn Files,
    dir: &Path,
    made_at: Timestamp,
    (epoch, seq): (u64, u64),
    head: Option<BlockId>,
) -> io::Result<()> {
    let head = head.map_or_else(|| "none".to_owned(), |head| head.to_string());
    let text = format!("made {} epoch {epoch} seq {seq} head {head}\n", made_at.0);
    files::put(files, dir, RESTORED, text.as_bytes())?;
    files::put(files, dir, GONE, GONE_TEXT.as_bytes())
}

/// Keeps a row of an index that is about to be set aside.
pub(super) fn keep_row(files: &dyn Files, dir: &Path, row: &[u8]) -> io::Result<()> {
    files::put(files, dir, KEPT_ROW, row)
}

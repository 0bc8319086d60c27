//! The note that a log lost blocks: it outlives restarts until they were fetched again.
//!
//! Owns the note's file and the name under which a damaged segment is kept. Finding damage is for `recover`
//! and for whoever reads; stopping to sign is for the ledger.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::blocks::Position;
use super::files::{self, Files};
use super::recover::LogError;
use super::segments::SegmentLog;

/// The note that valid blocks stood behind a bad one. It stays until the lost blocks were fetched.
const DAMAGE_NOTE: &str = "DAMAGED";
/// Bad places that do not matter any more.
const REPAIRED: &str = "REPAIRED";
/// The most of them that are kept: a disk with more is to be replaced.
const MAX_REPAIRED: usize = 4096;

/// A bad place with valid blocks behind it, or a missing segment (offset 0).
///
/// Acknowledged blocks may be lost: the node must not sign until it fetched its own log from peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The first bad byte.
    pub at: Position,
}

impl SegmentLog {
    /// Notes that acknowledged blocks may be lost, so that later starts know it too.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn note_damage(&self, at: Position) -> Result<(), LogError> {
        note(&*self.files, &self.dir, at).map_err(|source| LogError::Io {
            path: self.dir.clone(),
            source,
        })
    }

    /// Notes damage that was met while the node runs, and raises [`Self::is_damaged`].
    ///
    /// # Errors
    /// [`LogError::Io`]; the flag is raised all the same.
    pub fn met_damage(&self, at: Position) -> Result<(), LogError> {
        self.damaged.store(true, Ordering::Release);
        self.note_damage(at)
    }

    /// Keeps the bad places whose blocks are all in the log again, elsewhere: they stay bad for ever.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn note_repaired(&self, places: &[Position]) -> Result<(), LogError> {
        let line = |at: &Position| format!("{} {}\n", at.segment, at.offset);
        let text: String = places.iter().take(MAX_REPAIRED).map(line).collect();
        files::put(&*self.files, &self.dir, REPAIRED, text.as_bytes()).map_err(|source| {
            LogError::Io {
                path: self.dir.clone(),
                source,
            }
        })
    }

    /// The bad places that [`Self::note_repaired`] kept; none if they cannot be read.
    #[must_use]
    pub fn repaired(&self) -> Vec<Position> {
        repaired(&*self.files, &self.dir)
    }

    /// Takes the note away: the lost blocks were fetched, or an operator decided.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn clear_damage(&self) -> Result<(), LogError> {
        let remove = || match self.files.remove(&self.dir.join(DAMAGE_NOTE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.and_then(|()| self.files.sync_dir(&self.dir)),
        };
        remove().map_err(|source| LogError::Io {
            path: self.dir.clone(),
            source,
        })
    }
}

/// The bad places of a log that do not matter any more.
pub(super) fn repaired(files: &dyn Files, dir: &Path) -> Vec<Position> {
    let Ok(text) = files::take(files, &dir.join(REPAIRED), MAX_REPAIRED * 32) else {
        return Vec::new();
    };
    let place = |line: &str| {
        let (segment, offset) = line.split_once(' ')?;
        Some(Position {
            segment: segment.parse().ok()?,
            offset: offset.parse().ok()?,
        })
    };
    let text = String::from_utf8_lossy(&text);
    text.lines().filter_map(place).collect()
}

/// `000042.car.damaged`
pub(super) fn evidence(segment: &Path) -> PathBuf {
    segment.with_extension("car.damaged")
}

pub(super) fn note(files: &dyn Files, dir: &Path, at: Position) -> io::Result<()> {
    let text = format!("segment {} byte {}\n", at.segment, at.offset);
    files::put(files, dir, DAMAGE_NOTE, text.as_bytes())
}

pub(super) fn read(files: &dyn Files, dir: &Path, names: &[String]) -> io::Result<Option<Damage>> {
    if !names.iter().any(|name| name == DAMAGE_NOTE) {
        return Ok(None);
    }
    let text = files::take(files, &dir.join(DAMAGE_NOTE), 64)?;
    let text = String::from_utf8_lossy(&text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    // A note that cannot be read is still a note.
    let at = Position {
        segment: number(1).and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
        offset: number(3).unwrap_or(0),
    };
    Ok(Some(Damage { at }))
}

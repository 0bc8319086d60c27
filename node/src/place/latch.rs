//! That a receiver indicated spoofing, over restarts: a small file that stands until an operator has looked at the antenna.
//!
//! Owns the file and its durability. What a remembered indication means is judged in the core.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use city_protocol::amount::Timestamp;

use crate::keys::KeyFileError;
use crate::keys::file::{read_public_up_to, remove, write_public};

/// Longest file, bytes: a word and a number of milliseconds have 27.
const MAX_FILE: u64 = 64;
/// What stands before the number.
const SINCE: &str = "since ";

/// The file; whoever asks for it to be written or removed waits for the disk.
#[derive(Debug)]
pub struct SpoofingLatch {
    path: PathBuf,
    /// Whether the file is known to be there, durably. Held while it changes, together with what follows from it.
    noted: Mutex<bool>,
}

impl SpoofingLatch {
    /// The latch in this file, and since when it is closed, if it is. A file that cannot be read, or says something else, has
    /// been written by somebody: it counts as closed, since now.
    #[must_use]
    pub fn open(path: &Path, now: Timestamp) -> (Self, Option<Timestamp>) {
        let since = match read_public_up_to(path, MAX_FILE) {
            Err(KeyFileError::Missing { .. }) => None,
            Ok(text) => Some(time_of(&text).ok_or_else(|| "not what a node writes".to_owned())),
            Err(error) => Some(Err(error.to_string())),
        };
        let since = since.map(|since| {
            since.unwrap_or_else(|why| {
                tracing::error!(
                    path = %path.display(), why,
                    "the note of indicated spoofing is damaged and counts as one; look at the antenna, then run \
                     `city-node place clear-spoofing`"
                );
                now
            })
        });
        let latch = Self {
            path: path.to_owned(),
            noted: Mutex::new(since.is_some()),
        };
        (latch, since)
    }

    /// Closes it, durably, and then does what makes it visible. What was noted first stays.
    ///
    /// # Errors
    /// [`KeyFileError`] if it could not be written; it is visible all the same, and the next call tries again.
    pub fn close(&self, since: Timestamp, then: impl FnOnce()) -> Result<(), KeyFileError> {
        let mut noted = self.noted();
        let written = match *noted {
            true => Ok(()),
            false => write_public(&self.path, format!("{SINCE}{}\n", since.0).as_bytes()),
        };
        *noted = written.is_ok();
        then();
        written
    }

    /// Opens it, durably, and then does what makes it visible.
    ///
    /// # Errors
    /// [`KeyFileError`] if the file could not be removed durably: then nothing is forgotten, and the next [`Self::close`] writes it.
    pub fn clear<T>(&self, then: impl FnOnce() -> T) -> Result<T, KeyFileError> {
        let mut noted = self.noted();
        // Whatever is left of it after a failure, it is written anew as long as the indication counts.
        *noted = false;
        remove(&self.path)?;
        Ok(then())
    }

    /// Whether it is closed, and durably so.
    #[must_use]
    pub fn is_noted(&self) -> bool {
        *self.noted()
    }

    fn noted(&self) -> MutexGuard<'_, bool> {
        self.noted.lock().expect("no holder of this lock panics")
    }
}

fn time_of(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let number = text.strip_prefix(SINCE)?.strip_suffix('\n')?;
    number.parse().ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_219_200_000);

    #[test]
    fn what_was_noted_is_there_after_a_restart_until_it_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("SPOOFING");
        let (latch, since) = SpoofingLatch::open(&path, NOW);
        assert_eq!((since, latch.is_noted()), (None, false));
        let mut seen_on_disk = false;
        latch
            .close(Timestamp(5), || seen_on_disk = path.exists())
            .unwrap();
        assert!(seen_on_disk, "durable before it is visible");
        // The first time stays.
        latch.close(Timestamp(9), || {}).unwrap();
        let (latch, since) = SpoofingLatch::open(&path, NOW);
        assert_eq!((since, latch.is_noted()), (Some(Timestamp(5)), true));
        let gone = latch.clear(|| !path.exists()).unwrap();
        assert!(gone, "removed before it is forgotten");
        // Nothing to clear is no error.
        latch.clear(|| ()).unwrap();
        assert_eq!(SpoofingLatch::open(&path, NOW).1, None);
        latch.close(Timestamp(7), || {}).unwrap();
        assert_eq!(SpoofingLatch::open(&path, NOW).1, Some(Timestamp(7)));
    }

    #[test]
    fn a_damaged_note_counts_as_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("SPOOFING");
        for damaged in [
            &b""[..],
            b"since \n",
            b"since 5",
            b"since -5\n",
            b"\xff\xfe\n",
            &[b'9'; 100],
        ] {
            std::fs::write(&path, damaged).unwrap();
            let (latch, since) = SpoofingLatch::open(&path, NOW);
            assert_eq!((since, latch.is_noted()), (Some(NOW), true), "{damaged:?}");
            latch.clear(|| ()).unwrap();
            assert_eq!(SpoofingLatch::open(&path, NOW).1, None);
        }
        // What is no file at all cannot be cleared, and nothing is forgotten.
        std::fs::create_dir(&path).unwrap();
        let (latch, since) = SpoofingLatch::open(&path, NOW);
        assert_eq!(since, Some(NOW));
        let mut forgotten = false;
        assert!(latch.clear(|| forgotten = true).is_err());
        assert!(!forgotten && !latch.is_noted());
    }

    #[test]
    fn what_cannot_be_written_is_visible_and_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("not-there").join("SPOOFING");
        let (latch, _) = SpoofingLatch::open(&path, NOW);
        let mut visible = false;
        assert!(latch.close(Timestamp(5), || visible = true).is_err());
        assert!(visible && !latch.is_noted());
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        latch.close(Timestamp(6), || {}).unwrap();
        assert_eq!(SpoofingLatch::open(&path, NOW).1, Some(Timestamp(6)));
    }
}

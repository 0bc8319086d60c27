//! What was taken on trust: `TRUSTED`, a line for each log of each import that took stubs of somebody else's writing.
//!
//! It is durable before anything of it is in the ledger, and goes when the bodies are here. What follows from it is told by
//! `ledger heads`, `status` and `verify`, and a vertex that breaks a rule behind it convicts nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;

use city_protocol::amount::Timestamp;
use city_protocol::ids::{BlockId, Digest, LogId};
use data_encoding::HEXLOWER;

use super::files;
use super::notes::Notes;

/// Its name in the data directory.
pub const TRUSTED: &str = "TRUSTED";
/// Most bytes of it: 4,096 logs of which each was joined four times, at some 250 bytes.
const MAX_FILE: usize = 4 << 20;

/// What was taken on trust of one log with one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustMark {
    /// The log.
    pub log: LogId,
    /// Epoch of the state that a checkpoint of the log names.
    pub epoch: u64,
    /// Its position: what stands up to here was not seen here as people signed it.
    pub seq: u64,
    /// The vertex in which the checkpoint stands.
    pub vertex: BlockId,
    /// When it was taken.
    pub at: Timestamp,
    /// SHA-256 of the file.
    pub file: Digest,
}

/// Why nobody knows what was taken on trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustedError {
    /// The file holds what nobody wrote so.
    #[error(
        "TRUSTED in the data directory is damaged: put the one of a backup in its place (it says of which logs somebody else's word was taken); \
         where there is none, remove it, and import the bodies of those logs (city-node store import)"
    )]
    Damaged,
    /// It cannot be read or written.
    #[error(
        "TRUSTED in the data directory cannot be read or written; look at the disk and the rights"
    )]
    Io(#[from] io::Error),
}

impl TrustMark {
    /// The same of the same, whenever it was taken and with whichever file.
    fn says_the_same(&self, other: &Self) -> bool {
        (self.log, self.epoch, self.seq, self.vertex)
            == (other.log, other.epoch, other.seq, other.vertex)
    }

    fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let [
            "log",
            log,
            "epoch",
            epoch,
            "seq",
            seq,
            "vertex",
            vertex,
            "at",
            at,
            "file",
            file,
        ] = words[..]
        else {
            return None;
        };
        Some(Self {
            log: log.parse().ok()?,
            epoch: epoch.parse().ok()?,
            seq: seq.parse().ok()?,
            vertex: vertex.parse().ok()?,
            at: Timestamp(at.parse().ok()?),
            file: file.parse().ok()?,
        })
    }
}

/// The lines, and their digest: a flipped digit would let a log count as seen.
fn encode(marks: &[TrustMark]) -> String {
    let mut text = String::new();
    for mark in marks {
        let TrustMark {
            log,
            epoch,
            seq,
            vertex,
            at,
            file,
        } = mark;
        writeln!(
            text,
            "log {log} epoch {epoch} seq {seq} vertex {vertex} at {} file {file}",
            at.0
        )
        .expect("a string takes everything");
    }
    let digest = HEXLOWER.encode(BlockId::of(text.as_bytes()).digest());
    writeln!(text, "sha256 {digest}").expect("a string takes everything");
    text
}

fn decode(bytes: &[u8]) -> Option<Vec<TrustMark>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.pop()?;
    let marks: Option<Vec<_>> = lines.into_iter().map(TrustMark::read).collect();
    marks.filter(|marks| encode(marks) == text)
}

impl Notes {
    /// What was taken on trust.
    ///
    /// # Errors
    /// [`TrustedError`], as for all below.
    pub fn trusted(&self) -> Result<Vec<TrustMark>, TrustedError> {
        match files::take(&*self.files, &self.dir.join(TRUSTED), MAX_FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
            Ok(bytes) => decode(&bytes).ok_or(TrustedError::Damaged),
        }
    }

    /// Up to which position each log was taken on trust.
    ///
    /// # Errors
    /// See above.
    pub fn trusted_up_to(&self) -> Result<BTreeMap<LogId, u64>, TrustedError> {
        let mut logs = BTreeMap::new();
        for mark in self.trusted()? {
            let seq = logs.entry(mark.log).or_insert(mark.seq);
            *seq = mark.seq.max(*seq);
        }
        Ok(logs)
    }

    /// Notes durably what is about to be taken on trust; what is noted already is not noted twice.
    ///
    /// # Errors
    /// See above.
    pub fn note_trusted(&self, new: &[TrustMark]) -> Result<(), TrustedError> {
        let mut marks = self.trusted()?;
        let before = marks.len();
        for mark in new {
            if !marks.iter().any(|known| known.says_the_same(mark)) {
                marks.push(mark.clone());
            }
        }
        if marks.len() == before {
            return Ok(());
        }
        let text = encode(&marks);
        if text.len() > MAX_FILE {
            let full = "there are more lines in it than are taken";
            return Err(io::Error::other(full).into());
        }
        Ok(files::put(
            &*self.files,
            &self.dir,
            TRUSTED,
            text.as_bytes(),
        )?)
    }

    /// All bodies of these logs are here: nothing of them is on trust any more.
    ///
    /// # Errors
    /// See above.
    pub fn forget_trusted(&self, logs: &BTreeSet<LogId>) -> Result<(), TrustedError> {
        let mut marks = self.trusted()?;
        let before = marks.len();
        marks.retain(|mark| !logs.contains(&mark.log));
        if marks.len() == before {
            return Ok(());
        }
        if !marks.is_empty() {
            return Ok(files::put(
                &*self.files,
                &self.dir,
                TRUSTED,
                encode(&marks).as_bytes(),
            )?);
        }
        self.files.remove(&self.dir.join(TRUSTED))?;
        Ok(self.files.sync_dir(&self.dir)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::files::OsFiles;
    use super::*;

    fn mark(log: u8, seq: u64) -> TrustMark {
        TrustMark {
            log: LogId([log; 32]),
            epoch: 1,
            seq,
            vertex: BlockId::of(b"a checkpoint"),
            at: Timestamp(1_800_000_000_000),
            file: Digest([7; 32]),
        }
    }

    #[test]
    fn marks_are_kept_once_and_go_log_by_log() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::new(Arc::new(OsFiles), dir.path());
        assert_eq!(notes.trusted().unwrap(), []);
        notes.note_trusted(&[mark(1, 20), mark(2, 9)]).unwrap();
        // The same import again, after a crash, with the file under another name or form.
        let again = TrustMark {
            at: Timestamp(1_900_000_000_000),
            file: Digest([8; 32]),
            ..mark(1, 20)
        };
        notes.note_trusted(&[again]).unwrap();
        notes.note_trusted(&[mark(1, 50)]).unwrap();
        assert_eq!(
            notes.trusted().unwrap(),
            [mark(1, 20), mark(2, 9), mark(1, 50)]
        );
        let up_to = notes.trusted_up_to().unwrap();
        assert_eq!(up_to, [(LogId([1; 32]), 50), (LogId([2; 32]), 9)].into());
        notes.forget_trusted(&[LogId([1; 32])].into()).unwrap();
        assert_eq!(notes.trusted().unwrap(), [mark(2, 9)]);
        notes.forget_trusted(&[LogId([2; 32])].into()).unwrap();
        assert!(!dir.path().join(TRUSTED).exists());
    }

    #[test]
    fn any_flipped_bit_is_told() {
        let bytes = encode(&[mark(1, 20), mark(2, 9)]).into_bytes();
        assert_eq!(decode(&bytes), Some(vec![mark(1, 20), mark(2, 9)]));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), None, "bit {bit}");
        }
        let first_line = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        assert_eq!(decode(&bytes[first_line..]), None, "a line less");
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decode(b""), None);
    }
}

//! One log on disk: a few side logs of bounded size in one directory, the oldest of which is removed when a
//! new one begins. Lines are numbered and linked across them, so a line that is missing in between shows.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use city_protocol::amount::Timestamp;
use city_protocol::ids::BlockId;

use super::record::{Event, Record};
use crate::store::{Files, ReadError, SideError, SideLog};

/// When a new part begins, in bytes: some 6,000 lines.
const PART_BYTES: u64 = 1 << 20;
/// Most parts: 16 MiB, which a start reads; a quiet municipality keeps years in them.
const MAX_PARTS: usize = 16;
/// Digits of a part's name.
const DIGITS: usize = 8;

/// Why the access log could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A part.
    #[error("the access log cannot be used ({path}): {source}")]
    Part {
        /// Its directory.
        path: PathBuf,
        /// Why.
        source: SideError,
    },
    /// The directory.
    #[error("the access log cannot be used ({path}): {source}; look at the directory's rights")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// What checking the links found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Lines.
    pub lines: u64,
    /// Number of the first line that is still there; more than 1 after older parts were removed.
    pub first: u64,
    /// What does not hold, in words.
    pub problems: Vec<String>,
}

/// The parts, the oldest first, and what the next line follows.
pub(super) struct Parts {
    files: Arc<dyn Files>,
    dir: PathBuf,
    root: BlockId,
    reserve: u64,
    open: Mutex<Vec<(u64, Arc<SideLog>)>>,
    next: Mutex<(u64, Option<BlockId>)>,
}

const HELD: &str = "no holder of this lock panics";

impl Parts {
    /// Opens what there is; `root` stands in every segment, `reserve` bytes of the disk stay free.
    pub(super) fn open(
        files: Arc<dyn Files>,
        dir: &Path,
        root: BlockId,
        reserve: u64,
    ) -> Result<Self, AccessError> {
        let failed = |source| AccessError::Directory {
            path: dir.to_owned(),
            source,
        };
        files.create_dir(dir).map_err(failed)?;
        let names = files.list(dir).map_err(failed)?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        let parts = Self {
            files,
            dir: dir.to_owned(),
            root,
            reserve,
            open: Mutex::default(),
            next: Mutex::new((1, None)),
        };
        let mut open = Vec::new();
        for number in numbers {
            open.push((number, parts.part(number)?));
        }
        *parts.open.lock().expect(HELD) = open;
        let last = parts.lines().filter_map(Result::ok).last();
        if let Some((id, record)) = last {
            *parts.next.lock().expect(HELD) = (record.n + 1, Some(id));
        }
        Ok(parts)
    }

    fn part(&self, number: u64) -> Result<Arc<SideLog>, AccessError> {
        let path = self.path(number);
        let opened = SideLog::open(Arc::clone(&self.files), &path, self.root, self.reserve);
        match opened {
            Ok((log, _)) => Ok(Arc::new(log)),
            Err(source) => Err(AccessError::Part { path, source }),
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:0DIGITS$}"))
    }

    /// Appends lines, durable together when this returns.
    pub(super) fn append(&self, at: Timestamp, events: Vec<Event>) -> Result<(), AccessError> {
        let (number, part) = self.current()?;
        let mut next = self.next.lock().expect(HELD);
        let (mut n, mut prev) = *next;
        let mut records = Vec::new();
        for event in events {
            let bytes = Record::after(n, prev, at, event).encode();
            (n, prev) = (n + 1, Some(BlockId::of(&bytes)));
            records.push(bytes);
        }
        let path = self.path(number);
        part.append_all(&records)
            .map_err(|source| AccessError::Part { path, source })?;
        *next = (n, prev);
        Ok(())
    }

    /// Number and id of the last line.
    pub(super) fn head(&self) -> Option<(u64, BlockId)> {
        let (next, last) = *self.next.lock().expect(HELD);
        last.map(|id| (next - 1, id))
    }

    /// Whether this is a line that is still there.
    pub(super) fn contains(&self, id: &BlockId) -> bool {
        let open = self.open.lock().expect(HELD);
        open.iter().any(|(_, part)| part.contains(id))
    }

    /// The part that is written to: a new one if the last is full.
    fn current(&self) -> Result<(u64, Arc<SideLog>), AccessError> {
        let mut open = self.open.lock().expect(HELD);
        if let Some((number, part)) = open.last()
            && part.bytes() < PART_BYTES
        {
            return Ok((*number, Arc::clone(part)));
        }
        let failed = |source| AccessError::Directory {
            path: self.dir.clone(),
            source,
        };
        let number = open.last().map_or(1, |(number, _)| number + 1);
        let part = self.part(number)?;
        self.files.sync_dir(&self.dir).map_err(failed)?;
        open.push((number, Arc::clone(&part)));
        while open.len() > MAX_PARTS {
            let (oldest, _) = open.remove(0);
            self.files
                .remove_dir(&self.path(oldest))
                .and_then(|()| self.files.sync_dir(&self.dir))
                .map_err(failed)?;
        }
        Ok((number, part))
    }

    /// The lines, the oldest first, each with its id.
    pub(super) fn lines(&self) -> impl Iterator<Item = Result<(BlockId, Record), ReadError>> {
        let parts: Vec<Arc<SideLog>> = self
            .open
            .lock()
            .expect(HELD)
            .iter()
            .map(|(_, part)| Arc::clone(part))
            .collect();
        let blocks = parts
            .into_iter()
            .flat_map(|part| part.iter().collect::<Vec<_>>());
        blocks.filter_map(|block| match block {
            // What is not a line of ours shows as a gap.
            Ok(block) => Some(Ok((block.id, Record::read(&block.bytes).ok()?))),
            Err(error) => Some(Err(error)),
        })
    }

    /// Checks numbers and links. The blocks' own hashes are checked by reading them.
    pub(super) fn check(&self) -> Checked {
        let mut checked = Checked::default();
        let mut before: Option<(BlockId, Record)> = None;
        for line in self.lines() {
            let (id, record) = match line {
                Ok(line) => line,
                Err(error) => {
                    checked
                        .problems
                        .push(format!("a line cannot be read: {error}"));
                    continue;
                }
            };
            checked.lines += 1;
            match &before {
                None => {
                    checked.first = record.n;
                    if (record.n == 1) != record.prev.is_none() {
                        let n = record.n;
                        checked
                            .problems
                            .push(format!("line {n} is not linked as its number says"));
                    }
                }
                Some((before_id, before)) => {
                    if record.n != before.n + 1 || record.prev != Some(*before_id) {
                        let (n, after) = (record.n, before.n);
                        checked.problems.push(format!(
                            "line {n} does not follow line {after}: lines are missing or exchanged"
                        ));
                    }
                }
            }
            before = Some((id, record));
        }
        checked
    }
}

fn number(name: &str) -> Option<u64> {
    let digits = name.len() == DIGITS && name.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Class;
    use crate::store::OsFiles;

    fn open(dir: &Path) -> Parts {
        Parts::open(Arc::new(OsFiles), dir, BlockId::of(b"genesis"), 0).unwrap()
    }

    fn event(what: &str) -> Event {
        Event::once(Class::Operator, "hanako", what)
    }

    #[test]
    fn lines_are_numbered_and_linked_over_restarts_and_parts_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let parts = open(dir.path());
        parts
            .append(Timestamp(1), vec![event("a"), event("b")])
            .unwrap();
        drop(parts);
        let parts = open(dir.path());
        let long = "x".repeat(500);
        // 16 parts of 1 MiB are filled, and more.
        for n in 0..400 {
            let events = (0..80).map(|_| event(&long)).collect();
            parts.append(Timestamp(n), events).unwrap();
        }
        let checked = parts.check();
        assert_eq!(checked.problems, Vec::<String>::new());
        assert_eq!(checked.first + checked.lines - 1, 2 + 400 * 80);
        assert!(checked.first > 1, "the oldest part went");
        drop(parts);
        let names = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, MAX_PARTS);
        assert_eq!(open(dir.path()).check(), checked);
    }

    #[test]
    fn a_part_that_was_taken_out_shows() {
        let dir = tempfile::tempdir().unwrap();
        let parts = open(dir.path());
        let long = "x".repeat(500);
        for n in 0..60 {
            let events = (0..80).map(|_| event(&long)).collect();
            parts.append(Timestamp(n), events).unwrap();
        }
        drop(parts);
        std::fs::remove_dir_all(dir.path().join("00000002")).unwrap();
        let problems = open(dir.path()).check().problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("missing"), "{problems:?}");
    }
}

//! The access log: who operated the node, who logged in and out, what of its trust changed; and how often
//! strangers were refused, counted per reason and minute and never a line each.
//!
//! It stands in three logs of bounded size, so that nobody pushes out what others did: what operators answer for,
//! what people did, what strangers were refused. At each start one notes how long another is.
//!
//! `record` the lines · `parts` the files of one log, rotated · `journal` its thread · `audit` these and the trust
//! log shown and checked.

pub mod audit;
mod journal;
mod parts;
mod record;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use city_protocol::ids::BlockId;

pub use parts::{AccessError, Checked};
pub use record::{Class, Event, Log, Record};

use crate::store::ReadError;
use journal::Journal;

/// The access log; cheap to clone.
#[derive(Clone)]
pub struct AccessLog(Arc<[Journal; 3]>);

impl AccessLog {
    /// Opens the logs of a directory and starts their threads; `root` is the genesis record's id, `reserve` bytes of
    /// the disk stay free.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn open(dir: &Path, root: BlockId, reserve: u64) -> Result<Self, AccessError> {
        // The first one has the directory itself, which the others stand in.
        let access = Journal::open(dir, root, reserve)?;
        let inside = |log: Log| Journal::open(&dir.join(log.name()), root, reserve);
        let (logins, refusals) = (inside(Log::Logins)?, inside(Log::Refusals)?);
        Ok(Self(Arc::new([access, logins, refusals])))
    }

    fn journal(&self, log: Log) -> &Journal {
        let [access, logins, refusals] = &*self.0;
        match log {
            Log::Access => access,
            Log::Logins => logins,
            Log::Refusals => refusals,
        }
    }

    /// Writes a line; it is durable when this returns, unless the disk could not take it.
    pub async fn write(&self, event: Event) {
        self.journal(event.class.log()).write(event).await;
    }

    /// Writes a line soon.
    pub fn note(&self, event: Event) {
        self.journal(event.class.log()).note(event);
    }

    /// Writes a line if it is the first of its kind within a minute, durable when this returns; the others are
    /// counted.
    pub async fn first(&self, class: Class, who: &str, what: &'static str) {
        self.journal(class.log()).first(class, who, what).await;
    }

    /// Counts a refusal; `reason` is a stable code.
    pub fn refused(&self, class: Class, reason: &'static str) {
        self.journal(class.log()).count(class, reason);
    }

    /// Notes in each log how long another is: what is cut off after that shows.
    pub fn anchor(&self) {
        let tie = |log: Log, to: Log| {
            if let Some((n, id)) = self.journal(log).head() {
                let what = format!("{n} {id}");
                let event = Event::once(Class::Anchor, log.name(), &what);
                self.journal(to).note(event);
            }
        };
        tie(Log::Logins, Log::Access);
        tie(Log::Refusals, Log::Access);
        tie(Log::Access, Log::Logins);
    }

    /// The lines of a log, the oldest first.
    pub fn lines(&self, log: Log) -> impl Iterator<Item = Result<(BlockId, Record), ReadError>> {
        self.journal(log).lines()
    }

    /// Checks numbers and links of all lines, and that each log is as long as another says.
    #[must_use]
    pub fn check(&self) -> BTreeMap<Log, Checked> {
        let mut checked: BTreeMap<Log, Checked> =
            Log::ALL.map(|log| (log, self.journal(log).check())).into();
        for (log, (n, id)) in self.anchors() {
            let found = checked.entry(log).or_default();
            // Older ones are rotated away.
            if found.first <= n && !self.journal(log).contains(&id) {
                found.problems.push(format!(
                    "line {n} ({id}) was there at a start and is not any more: lines were cut off or exchanged"
                ));
            }
        }
        checked
    }

    /// How long each log was when that was noted last.
    fn anchors(&self) -> BTreeMap<Log, (u64, BlockId)> {
        let noted = [Log::Access, Log::Logins].map(|log| self.lines(log));
        let noted = noted.into_iter().flatten().filter_map(Result::ok);
        let noted = noted.filter(|(_, record)| record.class == Class::Anchor);
        let read = noted.filter_map(|(_, record)| {
            let log = Log::ALL.into_iter().find(|log| log.name() == record.who)?;
            let (n, id) = record.what.split_once(' ')?;
            Some((log, (n.parse().ok()?, id.parse().ok()?)))
        });
        read.collect()
    }

    /// Writes what waits and what was counted, and ends the threads.
    pub fn close(&self) {
        for journal in &*self.0 {
            journal.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> AccessLog {
        AccessLog::open(dir, BlockId::of(b"genesis"), 0).unwrap()
    }

    fn told(log: &AccessLog, which: Log) -> Vec<(u64, &'static str, String, String, u64)> {
        let lines = log.lines(which).map(|line| line.unwrap().1);
        lines
            .map(|line| (line.n, line.class.name(), line.who, line.what, line.count))
            .collect()
    }

    #[tokio::test]
    async fn what_was_waited_for_is_there_and_refusals_are_one_line_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        let event = Event::once(Class::Operator, "hanako", "GET /v1/verify");
        log.write(event).await;
        for _ in 0..1000 {
            log.refused(Class::Refused, "not-found");
        }
        log.refused(Class::LoginRefused, "login-refused");
        let done = (1, "operator", "hanako".into(), "GET /v1/verify".into(), 1);
        assert_eq!(told(&log, Log::Access), [done]);
        log.close();
        let log = open(dir.path());
        assert_eq!(
            told(&log, Log::Refusals),
            [
                (1, "login-refused", String::new(), "login-refused".into(), 1),
                (2, "refused", String::new(), "not-found".into(), 1000),
            ]
        );
        for (_, checked) in log.check() {
            assert_eq!(checked.problems, Vec::<String>::new());
        }
    }

    #[tokio::test]
    async fn an_account_is_two_lines_a_minute_however_often_it_logs_in() {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        for _ in 0..1000 {
            log.first(Class::Login, "hanako", "login").await;
        }
        log.first(Class::Login, "taro", "login").await;
        let line = |n, who: &str, count| (n, "login", who.into(), "login".into(), count);
        // The first is there at once.
        let first = [line(1, "hanako", 1), line(2, "taro", 1)];
        assert_eq!(told(&log, Log::Logins), first);
        log.close();
        let [one, two] = first;
        let log = open(dir.path());
        assert_eq!(told(&log, Log::Logins), [one, two, line(3, "hanako", 999)]);
        assert_eq!(told(&log, Log::Access), []);
    }

    #[test]
    fn a_log_that_was_cut_off_shows_in_another() {
        let dir = tempfile::tempdir().unwrap();
        let did = |what: &str| {
            let log = open(dir.path());
            log.anchor();
            log.note(Event::once(Class::Operator, "hanako", what));
            log.note(Event::once(Class::Login, "taro", "login"));
            log.close();
        };
        did("one");
        let part = dir.path().join("00000001");
        let before: Vec<_> = std::fs::read_dir(&part).unwrap().flatten().collect();
        let before: Vec<_> = before
            .iter()
            .map(|file| (file.path(), std::fs::read(file.path()).unwrap()))
            .collect();
        did("two");
        did("three");
        let problems = |of: Log| open(dir.path()).check().remove(&of).unwrap().problems;
        assert_eq!(problems(Log::Access), Vec::<String>::new());
        // Somebody puts the log of the first day back: its links hold.
        for (path, bytes) in before {
            std::fs::write(path, bytes).unwrap();
        }
        let found = problems(Log::Access);
        assert!(
            found.len() == 1 && found[0].contains("cut off"),
            "{found:?}"
        );
        assert_eq!(problems(Log::Logins), Vec::<String>::new());
        std::fs::remove_dir_all(&part).unwrap();
        assert_eq!(problems(Log::Access).len(), 1);
    }
}

//! The access log: who operated the node, who logged in and out, what of its trust changed; and how often
//! strangers were refused, counted per reason and minute and never a line each.
//!
//! `record` the lines · `parts` their files, rotated · `audit` this log and the trust log shown and checked. One thread writes; whoever waits for a line waits for the
//! disk, together with all who wait. A disk that cannot take it costs lines and never the node.

pub mod audit;
mod parts;
mod record;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use city_protocol::ids::BlockId;
use tokio::sync::oneshot;

pub use parts::{AccessError, Checked};
pub use record::{Class, Event, Record};

use crate::engine::utc;
use crate::store::{OsFiles, ReadError};
use parts::Parts;

/// Lines that wait for the disk; more are counted as lost.
const WAITING: usize = 256;
/// Most reasons that are counted apart: the API has some eighty codes.
const MAX_REASONS: usize = 256;
/// How long refusals are counted before their line is written.
const COUNTED: Duration = Duration::from_secs(60);

/// The access log; cheap to clone.
#[derive(Clone)]
pub struct AccessLog(Arc<Shared>);

struct Shared {
    parts: Arc<Parts>,
    lines: SyncSender<Order>,
    counts: Arc<Mutex<Counts>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

type Counts = BTreeMap<(Class, &'static str), u64>;

enum Order {
    Write(Event, Option<oneshot::Sender<()>>),
    Close,
}

const HELD: &str = "no holder of this lock panics";

impl AccessLog {
    /// Opens the log of a directory and starts its thread; `root` is the genesis record's id, `reserve` bytes of
    /// the disk stay free.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn open(dir: &Path, root: BlockId, reserve: u64) -> Result<Self, AccessError> {
        let parts = Arc::new(Parts::open(Arc::new(OsFiles), dir, root, reserve)?);
        let (lines, orders) = sync_channel(WAITING);
        let counts = Arc::<Mutex<Counts>>::default();
        let writer = Writer {
            parts: Arc::clone(&parts),
            counts: Arc::clone(&counts),
            failed: false,
        };
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer.run(&orders))
            .map_err(|source| AccessError::Directory {
                path: dir.to_owned(),
                source,
            })?;
        Ok(Self(Arc::new(Shared {
            parts,
            lines,
            counts,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Writes a line; it is durable when this returns, unless the disk could not take it.
    pub async fn write(&self, event: Event) {
        let (done, written) = oneshot::channel();
        self.order(event, Some(done));
        let _lost = written.await;
    }

    /// Writes a line soon.
    pub fn note(&self, event: Event) {
        self.order(event, None);
    }

    /// Counts a refusal; `reason` is a stable code.
    pub fn refused(&self, class: Class, reason: &'static str) {
        let mut counts = self.0.counts.lock().expect(HELD);
        let key = (class, reason);
        if counts.len() < MAX_REASONS || counts.contains_key(&key) {
            *counts.entry(key).or_default() += 1;
        }
    }

    fn order(&self, event: Event, done: Option<oneshot::Sender<()>>) {
        if self.0.lines.try_send(Order::Write(event, done)).is_err() {
            self.refused(Class::Refused, "access-log-full");
        }
    }

    /// The lines, the oldest first.
    pub fn lines(&self) -> impl Iterator<Item = Result<(BlockId, Record), ReadError>> {
        self.0.parts.lines()
    }

    /// Checks numbers and links of all lines.
    #[must_use]
    pub fn check(&self) -> Checked {
        self.0.parts.check()
    }

    /// Writes what waits and what was counted, and ends the thread.
    pub fn close(&self) {
        // A full queue is emptied by the thread, so this waits at most for the disk.
        let _gone = self.0.lines.send(Order::Close);
        if let Some(thread) = self.0.thread.lock().expect(HELD).take() {
            let _panicked = thread.join();
        }
    }
}

struct Writer {
    parts: Arc<Parts>,
    counts: Arc<Mutex<Counts>>,
    failed: bool,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut due = Instant::now() + COUNTED;
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            let (mut events, mut done) = (Vec::new(), Vec::new());
            let mut over = false;
            let mut take = |order| match order {
                Order::Write(event, waiter) => {
                    events.push(event);
                    done.extend(waiter);
                }
                Order::Close => over = true,
            };
            match orders.recv_timeout(wait) {
                Ok(order) => {
                    take(order);
                    // Whatever else waits goes with it.
                    orders.try_iter().take(WAITING).for_each(take);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => over = true,
            }
            if over || Instant::now() >= due {
                due = Instant::now() + COUNTED;
                // Before what waits: the line of a stop is the last.
                events.splice(0..0, self.counted());
            }
            if !events.is_empty() {
                self.write(events);
            }
            for waiter in done {
                let _gone = waiter.send(());
            }
            if over {
                return;
            }
        }
    }

    fn counted(&self) -> Vec<Event> {
        let counts = std::mem::take(&mut *self.counts.lock().expect(HELD));
        let event = |((class, reason), count): ((Class, &str), u64)| Event {
            count,
            ..Event::once(class, "", reason)
        };
        counts.into_iter().map(event).collect()
    }

    fn write(&mut self, events: Vec<Event>) {
        match self.parts.append(utc(), events) {
            Ok(()) => self.failed = false,
            // Once, and not for every line: the disk's fault has its own alarm.
            Err(error) if !self.failed => {
                self.failed = true;
                tracing::error!(%error, "lines of the access log are lost");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_waited_for_is_there_and_refusals_are_one_line_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        let open = || AccessLog::open(dir.path(), BlockId::of(b"genesis"), 0).unwrap();
        let log = open();
        let event = Event::once(Class::Operator, "hanako", "GET /v1/verify");
        log.write(event).await;
        assert_eq!(log.lines().count(), 1);
        for _ in 0..1000 {
            log.refused(Class::Refused, "not-found");
        }
        log.refused(Class::LoginRefused, "login-refused");
        log.close();
        let log = open();
        let lines: Vec<Record> = log.lines().map(|line| line.unwrap().1).collect();
        let told: Vec<_> = lines
            .iter()
            .map(|line| {
                (
                    line.n,
                    line.class.name(),
                    &*line.who,
                    &*line.what,
                    line.count,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (1, "operator", "hanako", "GET /v1/verify", 1),
                (2, "login-refused", "", "login-refused", 1),
                (3, "refused", "", "not-found", 1000),
            ]
        );
        let checked = log.check();
        assert_eq!(
            (checked.lines, checked.first, checked.problems.len()),
            (3, 1, 0)
        );
    }
}

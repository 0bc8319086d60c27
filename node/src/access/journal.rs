//! One log with its thread. One thread writes; whoever waits for a line waits for the disk, together with all who
//! wait. A disk that cannot take it costs lines and never the node.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use city_protocol::ids::BlockId;
use tokio::sync::oneshot;

use super::parts::{AccessError, Checked, Parts};
use super::record::{Class, Event, Record};
use crate::engine::utc;
use crate::store::{OsFiles, ReadError};

/// Lines that wait for the disk; more are counted as lost.
const WAITING: usize = 256;
/// Most kinds that are counted apart, 100 bytes each: the API has some eighty codes, a city so many logins a minute.
const MAX_KINDS: usize = 16_384;
/// How long is counted before a line is written.
const COUNTED: Duration = Duration::from_secs(60);

/// One log.
pub(super) struct Journal {
    parts: Arc<Parts>,
    lines: SyncSender<Order>,
    counts: Arc<Mutex<Counts>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How often more than is written: class, who, what.
type Counts = BTreeMap<(Class, String, &'static str), u64>;

enum Order {
    Write(Event, Option<oneshot::Sender<()>>),
    Close,
}

const HELD: &str = "no holder of this lock panics";

impl Journal {
    /// Opens the log of a directory and starts its thread; `root` is the genesis record's id, `reserve` bytes of
    /// the disk stay free.
    ///
    /// # Errors
    /// [`AccessError`].
    pub(super) fn open(dir: &Path, root: BlockId, reserve: u64) -> Result<Self, AccessError> {
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
        Ok(Self {
            parts,
            lines,
            counts,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Writes a line; it is durable when this returns, unless the disk could not take it.
    pub(super) async fn write(&self, event: Event) {
        let (done, written) = oneshot::channel();
        self.order(event, Some(done));
        let _lost = written.await;
    }

    /// Writes a line soon.
    pub(super) fn note(&self, event: Event) {
        self.order(event, None);
    }

    /// Writes the first of its kind within a minute, durable when this returns; counts the others.
    pub(super) async fn first(&self, class: Class, who: &str, what: &'static str) {
        if self.is_first(class, who, what) {
            self.write(Event::once(class, who, what)).await;
        }
    }

    fn is_first(&self, class: Class, who: &str, what: &'static str) -> bool {
        let mut counts = self.counts.lock().expect(HELD);
        let key = (class, who.to_owned(), what);
        if let Some(count) = counts.get_mut(&key) {
            *count += 1;
            return false;
        }
        // Beyond that each has its line: whoever logged in is a person of this home.
        if counts.len() < MAX_KINDS {
            counts.insert(key, 0);
        }
        true
    }

    /// Counts what nobody is named for.
    pub(super) fn count(&self, class: Class, what: &'static str) {
        let mut counts = self.counts.lock().expect(HELD);
        let key = (class, String::new(), what);
        if counts.len() < MAX_KINDS || counts.contains_key(&key) {
            *counts.entry(key).or_default() += 1;
        }
    }

    fn order(&self, event: Event, done: Option<oneshot::Sender<()>>) {
        if self.lines.try_send(Order::Write(event, done)).is_err() {
            self.count(Class::Refused, "access-log-full");
        }
    }

    /// The lines, the oldest first.
    pub(super) fn lines(&self) -> impl Iterator<Item = Result<(BlockId, Record), ReadError>> {
        self.parts.lines()
    }

    /// Checks numbers and links of all lines.
    pub(super) fn check(&self) -> Checked {
        self.parts.check()
    }

    /// Number and id of the last line.
    pub(super) fn head(&self) -> Option<(u64, BlockId)> {
        self.parts.head()
    }

    /// Whether this is a line.
    pub(super) fn contains(&self, id: &BlockId) -> bool {
        self.parts.contains(id)
    }

    /// Writes what waits and what was counted, and ends the thread.
    pub(super) fn close(&self) {
        // A full queue is emptied by the thread, so this waits at most for the disk.
        let _gone = self.lines.send(Order::Close);
        if let Some(thread) = self.thread.lock().expect(HELD).take() {
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
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        let event = |((class, who, what), count): ((Class, String, &str), u64)| Event {
            count,
            ..Event::once(class, &who, what)
        };
        counts.map(event).collect()
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

//! Rows that are visible and not written yet: a bounded layer over sled and the shelves, in the order of their commits.
//!
//! Owns what is pending and the waiting of both sides. Commits go into the youngest generation; the writer takes whole
//! generations, the oldest first, each with the watermark of its last commit. As long as commits keep coming a generation
//! grows until it is worth a shelf; after a pause the writer takes it as it is. The log alone makes rows durable: what
//! a kill loses here is folded again from the watermark that was written last, so rows, age and log of what waits
//! are bounded. Of a log that is folded again the generations are twice as large.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::{IndexError, Row};
use crate::store::Watermark;

/// Rows of the largest generation that stays readable here after sled has it.
const KEPT_ROWS: usize = super::writer::SLED_ROWS;
/// Generations of this size that do: what was written last is read most.
const KEPT: usize = 2;
/// Pause of the commits after which the writer takes what there is. Clients that come one after the other leave some
/// milliseconds between two, and a disk under load now and then 100 ms.
const QUIET: Duration = Duration::from_millis(250);
/// How long a row waits at most: where commits never pause, a kill costs no more of them than this, and below
/// 400 rows a second, which sled does not notice, they go into sled.
const OLDEST: Duration = Duration::from_secs(10);
/// Pause after which sled is told to write what it holds back: on a disk that somebody fills up it then has nothing
/// left to fail with.
const REST: Duration = Duration::from_millis(100);

/// How long a generation for which the disk has no room waits until it is tried again.
const NO_ROOM: Duration = Duration::from_secs(1);

/// Rows that are written together.
#[derive(Default)]
pub(super) struct Generation {
    /// In the order in which they are walked and go to a shelf.
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    mark: Option<Watermark>,
}

impl Generation {
    /// Its rows; `None` removes.
    pub(super) const fn rows(&self) -> &BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        &self.rows
    }

    /// Bytes of its keys and values.
    pub(super) fn bytes(&self) -> usize {
        let row = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| {
            key.len() + value.as_ref().map_or(0, Vec::len)
        };
        self.rows.iter().map(row).sum()
    }

    /// The watermark of its last commit.
    ///
    /// # Panics
    /// Never for a generation that was given out: it has a commit.
    pub(super) fn mark(&self) -> Watermark {
        self.mark
            .expect("a generation is sealed with a commit in it")
    }
}

/// The layer.
pub(super) struct Pending {
    /// Rows that wait at most, unless one commit has more; then commits wait. Half of them make a generation. Twice as many
    /// while a log is folded again.
    shelf_rows: usize,
    state: Mutex<State>,
    /// For the writer: there is something to do.
    filled: Condvar,
    /// For those who commit or settle: a generation more is written, or writing failed.
    moved: Condvar,
}

struct State {
    young: Generation,
    /// When the first commit went into the young generation.
    since: Instant,
    /// When the last commit came.
    latest: Instant,
    /// Generations that are not written, the oldest first.
    sealed: VecDeque<Arc<Generation>>,
    /// Those that were written last, the oldest first.
    kept: VecDeque<Arc<Generation>>,
    /// Rows that are not written.
    rows: usize,
    /// The watermark of the last commit, or that which sled had.
    mark: Option<Watermark>,
    /// Somebody waits until everything is written.
    hurry: bool,
    /// A log is folded again.
    folding: bool,
    /// The disk had no room for the oldest generation.
    full: bool,
    /// The writer is to look after what it merges.
    merged: bool,
    closing: bool,
    failure: Option<Failure>,
}

/// Writing failed; the error until somebody was told it.
struct Failure(Option<IndexError>);

/// Later commits fail as well: their rows would stand on rows that are missing.
#[derive(Debug, thiserror::Error)]
#[error("an earlier write of the index failed")]
struct Earlier;

/// What the writer is to do.
pub(super) enum Task {
    /// Write this generation, and then say [`Pending::written`].
    Write(Arc<Generation>),
    /// Nothing came for a while.
    Rest,
    /// Shelves were merged.
    Merged,
    /// Everything is written and nothing more comes.
    End,
}

impl Pending {
    /// Nothing is pending over an index with this watermark.
    pub(super) fn new(mark: Option<Watermark>, shelf_rows: usize) -> Self {
        Self {
            shelf_rows,
            state: Mutex::new(State {
                young: Generation::default(),
                since: Instant::now(),
                latest: Instant::now(),
                sealed: VecDeque::new(),
                kept: VecDeque::new(),
                rows: 0,
                mark,
                hurry: false,
                folding: false,
                full: false,
                merged: false,
                closing: false,
                failure: None,
            }),
            filled: Condvar::new(),
            moved: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Takes a commit, all rows at once; waits while too many are pending.
    pub(super) fn push(&self, rows: Vec<Row>, mark: &Watermark) -> Result<(), IndexError> {
        let mut state = self.lock();
        let (most, one) = match state.folding {
            true => (2 * self.shelf_rows, self.shelf_rows),
            false => (self.shelf_rows, self.shelf_rows / 2),
        };
        // A start copies and folds what lies behind the last watermark: of one generation never more than a segment.
        let segment = |mark: &Watermark| mark.position.segment;
        let of_another = state.young.mark.as_ref().map(segment) != Some(segment(mark));
        if state.young.rows.len() + rows.len() > one || (of_another && !state.folding) {
            state.seal();
            self.filled.notify_one();
        }
        // Who asks before, as a node does, is never kept waiting by a full disk: then there is room for twice as many.
        let waits = |state: &State| {
            let most = if state.full { 2 * most } else { most };
            state.failure.is_none() && state.rows > 0 && state.rows + rows.len() > most
        };
        while waits(&state) {
            state = self.moved.wait(state).expect("no holder panics");
        }
        state.check()?;
        let begins = state.young.mark.is_none();
        state.latest = Instant::now();
        if begins {
            state.since = state.latest;
        }
        let before = state.young.rows.len();
        state.young.rows.extend(rows);
        state.young.mark = Some(*mark);
        state.mark = Some(*mark);
        state.rows += state.young.rows.len() - before;
        drop(state);
        // Who waits for a pause need not hear of each commit: it looks when the pause would be over.
        if begins {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// What is pending under this key: `Some(None)` where its row is removed.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let state = self.lock();
        let older = state.sealed.iter().rev().chain(state.kept.iter().rev());
        let mut generations = std::iter::once(&state.young).chain(older.map(AsRef::as_ref));
        generations.find_map(|generation| generation.rows.get(key).cloned())
    }

    /// What is pending under keys from one on, below another if there is one, in their order.
    pub(super) fn sorted(&self, from: &[u8], behind: Option<&[u8]>) -> VecDeque<Row> {
        let state = self.lock();
        let mut found = BTreeMap::new();
        let older: Vec<_> = state.kept.iter().chain(&state.sealed).cloned().collect();
        let young: Vec<_> = state.young.between(from, behind).collect();
        drop(state);
        for generation in &older {
            found.extend(generation.between(from, behind));
        }
        found.extend(young);
        found.into_iter().collect()
    }

    /// The watermark of the last commit.
    pub(super) fn mark(&self) -> Option<Watermark> {
        self.lock().mark
    }

    /// Whether more may be committed: not while the disk has no room for what waits, and as many rows wait as may.
    pub(super) fn takes(&self) -> bool {
        let state = self.lock();
        !(state.full && state.rows >= self.shelf_rows)
    }

    /// Whether what is committed can be written.
    pub(super) fn check(&self) -> Result<(), IndexError> {
        self.lock().check()
    }

    /// Waits until everything that was committed before is written.
    pub(super) fn settle(&self) -> Result<(), IndexError> {
        let mut state = self.lock();
        while state.failure.is_none() && (state.young.mark.is_some() || !state.sealed.is_empty()) {
            state.hurry = true;
            self.filled.notify_one();
            state = self.moved.wait(state).expect("no holder panics");
        }
        state.check()
    }

    /// Whether a log is folded again: then many rows come, which nobody waits for.
    pub(super) fn folding(&self, folding: bool) {
        self.lock().folding = folding;
        self.filled.notify_one();
    }

    /// Shelves were merged.
    pub(super) fn merged(&self) {
        self.lock().merged = true;
        self.filled.notify_one();
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.filled.notify_one();
    }

    /// Writing failed: nothing more is taken.
    pub(super) fn fail(&self, error: IndexError) {
        self.lock().failure.get_or_insert(Failure(Some(error)));
        self.moved.notify_all();
    }

    /// What the writer is to do next. In haste it waits for no pause; `unrested` it is told when nothing comes.
    pub(super) fn next(&self, haste: bool, unrested: bool) -> Task {
        let mut state = self.lock();
        let mut rests = Instant::now() + REST;
        loop {
            if let Some(oldest) = state.sealed.front() {
                return Task::Write(Arc::clone(oldest));
            }
            if std::mem::take(&mut state.merged) {
                return Task::Merged;
            }
            let gathers = state.folding && !state.hurry && !state.closing;
            let wait = if gathers && state.young.mark.is_some() {
                state = self.filled.wait(state).expect("no holder panics");
                continue;
            } else if state.young.mark.is_some() {
                rests = Instant::now() + REST;
                match haste || state.hurry || state.closing {
                    true => Duration::ZERO,
                    false => state.due().saturating_duration_since(Instant::now()),
                }
            } else if state.closing {
                return Task::End;
            } else if unrested {
                rests.saturating_duration_since(Instant::now())
            } else {
                state = self.filled.wait(state).expect("no holder panics");
                continue;
            };
            match (wait.is_zero(), state.young.mark) {
                (true, Some(_)) => state.seal(),
                (true, None) => return Task::Rest,
                (false, _) => {
                    let waited = self.filled.wait_timeout(state, wait);
                    state = waited.expect("no holder panics").0;
                }
            }
        }
    }

    /// There was no room for the oldest generation: waits before it is tried again, unless nothing more comes.
    /// Says whether it is.
    pub(super) fn put_off(&self) -> bool {
        let mut state = self.lock();
        // A start, or a command, that folds the log again ends with the reason instead of hanging.
        if state.folding {
            return false;
        }
        state.full = true;
        self.moved.notify_all();
        let waited = self
            .filled
            .wait_timeout_while(state, NO_ROOM, |state| !state.closing);
        !waited.expect("no holder panics").0.closing
    }

    /// The oldest generation is written.
    pub(super) fn written(&self) {
        let mut state = self.lock();
        let oldest = state.sealed.pop_front();
        let oldest = oldest.expect("only the writer takes generations away");
        state.full = false;
        state.rows -= oldest.rows.len();
        let mut gone = Vec::new();
        if oldest.rows.len() <= KEPT_ROWS {
            state.kept.push_back(oldest);
            if state.kept.len() > KEPT {
                gone.extend(state.kept.pop_front());
            }
        } else {
            // As large as a shelf it would only take memory, and what is older may not be read in its place.
            gone.extend(state.kept.drain(..));
            gone.push(oldest);
        }
        state.hurry &= state.young.mark.is_some() || !state.sealed.is_empty();
        drop(state);
        self.moved.notify_all();
        // Some thousand rows: not under the lock.
        drop(gone);
    }
}

impl State {
    /// When the young generation is to be written, if no commit comes until then.
    fn due(&self) -> Instant {
        (self.latest + QUIET).min(self.since + OLDEST)
    }

    fn seal(&mut self) {
        if self.young.mark.is_some() {
            let sealed = std::mem::take(&mut self.young);
            self.sealed.push_back(Arc::new(sealed));
        }
    }

    fn check(&mut self) -> Result<(), IndexError> {
        match &mut self.failure {
            None => Ok(()),
            Some(Failure(error)) => {
                let earlier = || IndexError::Failed(Box::new(Earlier));
                Err(error.take().unwrap_or_else(earlier))
            }
        }
    }
}

impl Generation {
    /// Its rows under keys from one on, below another if there is one, in their order.
    pub(super) fn between(&self, from: &[u8], behind: Option<&[u8]>) -> impl Iterator<Item = Row> {
        let end = match behind {
            Some(behind) => Bound::Excluded(behind.max(from)),
            None => Bound::Unbounded,
        };
        let rows = self.rows.range::<[u8], _>((Bound::Included(from), end));
        rows.map(|(key, value)| (key.clone(), value.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use city_protocol::ids::BlockId;

    use super::*;

    fn rows(from: usize, count: usize) -> Vec<Row> {
        let row = |n: usize| (n.to_be_bytes().to_vec(), Some(vec![1]));
        (from..from + count).map(row).collect()
    }

    fn mark(count: u64) -> Watermark {
        Watermark::start(BlockId::of(b"genesis"), count)
    }

    /// Rows that wait at most.
    const MOST: usize = 1 << 10;

    /// The writer takes the oldest generation; gives its watermark.
    fn write(pending: &Pending) -> u64 {
        let Task::Write(oldest) = pending.next(true, false) else {
            panic!("there is something to write");
        };
        pending.written();
        oldest.mark().count
    }

    #[test]
    fn commits_wait_while_too_many_rows_are_pending_and_are_written_in_order() {
        let pending = Pending::new(None, MOST);
        let half = MOST / 2;
        pending.push(rows(0, half), &mark(1)).unwrap();
        pending.push(rows(half, half), &mark(2)).unwrap();
        thread::scope(|scope| {
            let third = scope.spawn(|| pending.push(rows(0, 1), &mark(3)));
            thread::sleep(Duration::from_millis(50));
            assert!(!third.is_finished(), "the layer is full");
            assert_eq!(pending.mark(), Some(mark(2)));
            assert_eq!(write(&pending), 1);
            third.join().unwrap().unwrap();
        });
        assert_eq!([write(&pending), write(&pending)], [2, 3]);
        assert_eq!(pending.mark(), Some(mark(3)));
        // One commit alone may be larger than the layer.
        pending.push(rows(0, 2 * MOST), &mark(4)).unwrap();
        assert_eq!(write(&pending), 4);
    }

    #[test]
    fn a_generation_grows_until_commits_pause_but_holds_no_more_than_a_segment() {
        // On a busy machine a commit of this test itself may come too late: then once more.
        let grew = |()| {
            let pending = Pending::new(None, MOST);
            let mut longest = Duration::ZERO;
            let taken = thread::scope(|scope| {
                let writer = scope.spawn(|| pending.next(false, false));
                let mut last = Instant::now();
                for n in 0..20 {
                    pending.push(rows(n, 1), &mark(n as u64)).unwrap();
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                    thread::sleep(QUIET / 20);
                }
                writer.join().unwrap()
            });
            let Task::Write(taken) = taken else {
                panic!("there is something to write");
            };
            (taken.rows().len() == 20, longest < QUIET)
        };
        let tried = std::iter::repeat_n((), 5).map(grew);
        let fair: Vec<bool> = tried
            .filter(|(_, fair)| *fair)
            .map(|(grew, _)| grew)
            .collect();
        assert!(fair.iter().any(|grew| *grew), "{fair:?}");

        let pending = Pending::new(None, MOST);
        let mut next_segment = mark(2);
        next_segment.position.segment += 1;
        pending.push(rows(0, 1), &mark(1)).unwrap();
        pending.push(rows(1, 1), &next_segment).unwrap();
        // Without a pause, for no commit joins it any more.
        let Task::Write(first) = pending.next(false, false) else {
            panic!("there is something to write");
        };
        assert_eq!((first.rows().len(), first.mark()), (1, mark(1)));
    }

    #[test]
    fn a_row_waits_no_longer_than_it_may_even_if_commits_never_pause() {
        let mut state = Pending::new(None, MOST).state.into_inner().unwrap();
        let begun = state.since;
        state.latest = begun + Duration::from_secs(3);
        assert_eq!(state.due(), state.latest + QUIET);
        state.latest = begun + OLDEST;
        assert_eq!(state.due(), begun + OLDEST);
    }

    #[test]
    fn a_row_that_is_replaced_at_once_is_written_once() {
        let pending = Pending::new(None, MOST);
        for n in 1..=3 {
            pending.push(rows(7, 1), &mark(n)).unwrap();
        }
        let Task::Write(all) = pending.next(true, false) else {
            panic!("there is something to write");
        };
        assert_eq!((all.rows().len(), all.mark()), (1, mark(3)));
    }

    #[test]
    fn after_a_failure_nothing_is_taken_and_nobody_waits() {
        let pending = Pending::new(None, MOST);
        pending.push(rows(0, MOST), &mark(1)).unwrap();
        thread::scope(|scope| {
            let pushed = scope.spawn(|| pending.push(rows(0, 1), &mark(2)));
            let settled = scope.spawn(|| pending.settle());
            thread::sleep(Duration::from_millis(20));
            pending.fail(IndexError::BadRow("a disk that is gone"));
            assert!(pushed.join().unwrap().is_err() && settled.join().unwrap().is_err());
        });
        assert!(pending.push(rows(0, 1), &mark(3)).is_err());
        assert!(pending.check().is_err());
    }
}

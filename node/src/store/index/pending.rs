//! Rows that are visible and not written yet: a bounded layer over sled and the shelves, in the order of their commits.
//!
//! Owns what is pending and the waiting of both sides. Commits go into the youngest generation; the writer takes whole
//! generations, the oldest first, each with the watermark of its last commit. The log alone makes rows durable: what
//! a kill loses here is folded again from the watermark that was written last. Of a log that is folded again the
//! generations are as large as a shelf.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::{IndexError, Row};
use crate::store::Watermark;

/// Rows of one generation, unless one commit has more. sled lets nobody read while it takes one: some 20 ms.
const GENERATION_ROWS: usize = 4096;
/// Rows that wait for sled at most, unless one commit has more; then commits wait. About 10 MB, and less than a
/// second of folding after a kill.
const PENDING_ROWS: usize = 1 << 15;
/// Generations that stay readable here after sled has them: what was written last is read most.
const KEPT: usize = 2;
/// How long a commit waits for others before the writer takes it: rows that are replaced meanwhile, such as those of
/// accounts, are written once.
const COMPANY: Duration = Duration::from_millis(50);
/// Pause after which sled is told to write what it holds back: on a disk that somebody fills up it then has nothing
/// left to fail with.
const REST: Duration = Duration::from_millis(100);

/// Rows that sled takes together.
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
    /// Rows of a generation while a log is folded again; so many again may wait.
    shelf_rows: usize,
    state: Mutex<State>,
    /// For the writer: there is something to do.
    filled: Condvar,
    /// For those who commit or settle: sled has a generation more, or failed.
    moved: Condvar,
}

struct State {
    young: Generation,
    /// When the first commit went into the young generation.
    since: Instant,
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
                sealed: VecDeque::new(),
                kept: VecDeque::new(),
                rows: 0,
                mark,
                hurry: false,
                folding: false,
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
            false => (PENDING_ROWS, GENERATION_ROWS),
        };
        if state.young.rows.len() + rows.len() > one {
            state.seal();
            self.filled.notify_one();
        }
        while state.failure.is_none() && state.rows > 0 && state.rows + rows.len() > most {
            state = self.moved.wait(state).expect("no holder panics");
        }
        state.check()?;
        let begins = state.young.mark.is_none();
        if begins {
            state.since = Instant::now();
        }
        let before = state.young.rows.len();
        state.young.rows.extend(rows);
        state.young.mark = Some(*mark);
        state.mark = Some(*mark);
        state.rows += state.young.rows.len() - before;
        drop(state);
        // Who waits for company for a generation need not hear of each commit that joins it.
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

    /// Whether sled takes what is committed.
    pub(super) fn check(&self) -> Result<(), IndexError> {
        self.lock().check()
    }

    /// Waits until sled has everything that was committed before.
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

    /// What the writer is to do next. In haste it waits for no company; `unrested` it is told when nothing comes.
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
                let hurry = haste || state.hurry || state.closing;
                COMPANY.saturating_sub(if hurry {
                    COMPANY
                } else {
                    state.since.elapsed()
                })
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

    /// The oldest generation is written.
    pub(super) fn written(&self) {
        let mut state = self.lock();
        let oldest = state.sealed.pop_front();
        let oldest = oldest.expect("only the writer takes generations away");
        state.rows -= oldest.rows.len();
        let mut gone = Vec::new();
        if oldest.rows.len() <= GENERATION_ROWS {
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
    fn between(&self, from: &[u8], behind: Option<&[u8]>) -> impl Iterator<Item = Row> {
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
        let pending = Pending::new(None, 1 << 17);
        let half = PENDING_ROWS / 2;
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
        pending.push(rows(0, 2 * PENDING_ROWS), &mark(4)).unwrap();
        assert_eq!(write(&pending), 4);
    }

    #[test]
    fn a_row_that_is_replaced_at_once_is_written_once() {
        let pending = Pending::new(None, 1 << 17);
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
        let pending = Pending::new(None, 1 << 17);
        pending.push(rows(0, PENDING_ROWS), &mark(1)).unwrap();
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

//! Making one shelf of several, on a thread of its own: shelves are read at once by whoever looks for a row.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::IndexError;
use super::pending::Pending;
use super::rows::{End, Merged, Source};
use super::shelf::{Shelf, ShelfRange, ShelfWriter};
use super::under::{Part, Place};

/// So many shelves of about one size become one: each row is written again once for each fourfold growth of the index, and
/// once more while it is below four of the smallest.
const AT_ONCE: usize = 4;
/// Rows after which the thread looks whether it is to stop.
const LOOK: u64 = 4096;

/// A running merge.
pub(super) struct Merge {
    /// The shelves in whose place the new one comes, the oldest first.
    pub(super) of: Vec<Arc<Shelf>>,
    /// The new one's number.
    pub(super) number: u32,
    stop: Arc<AtomicBool>,
    /// Nothing is left for the thread but to end: it says so before that, for the writer looks only when it is told.
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Option<Shelf>, IndexError>>>,
}

impl Drop for Merge {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _stopped = thread.join();
        }
    }
}

impl Merge {
    /// Begins to make one of the shelves `of`. `lowest` says that none is below them.
    pub(super) fn start(
        place: &Arc<Place>,
        pending: &Arc<Pending>,
        (of, lowest): (Vec<Arc<Shelf>>, bool),
        (number, path): (u32, PathBuf),
    ) -> Result<Self, IndexError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (inputs, stopping) = (of.clone(), Arc::clone(&stop));
        let done = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&done);
        let (place, pending) = (Arc::clone(place), Arc::clone(pending));
        let thread = thread::Builder::new()
            .name("shelves".into())
            .spawn(move || {
                let merged = merge(&place, &inputs, lowest, &path, &stopping);
                ending.store(true, Ordering::Release);
                pending.merged();
                merged
            })
            .map_err(|error| IndexError::Failed(Box::new(error)))?;
        Ok(Self {
            of,
            number,
            stop,
            done,
            thread: Some(thread),
        })
    }

    pub(super) fn is_finished(&self) -> bool {
        let ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        ended || self.done.load(Ordering::Acquire)
    }

    /// The new shelf; none if it was stopped.
    pub(super) fn result(&mut self) -> Result<Option<Shelf>, IndexError> {
        let Some(thread) = self.thread.take() else {
            return Ok(None);
        };
        let bug = |_| IndexError::Failed("the thread that merges shelves ended by a bug".into());
        thread.join().map_err(bug)?
    }
}

/// The newest shelves of about one size, if there are enough of them: where they begin, and where the next newer stands.
/// Of one size are all below four times `unit`, and all above that within a factor of four.
pub(super) fn due(shelves: &[Arc<Shelf>], unit: usize) -> Option<(usize, usize)> {
    let size = |shelf: &Arc<Shelf>| {
        (shelf.rows() / unit.max(1) as u64)
            .max(1)
            .ilog(AT_ONCE as u64)
    };
    let mut end = shelves.len();
    while let Some(newest) = end.checked_sub(1) {
        let alike = shelves[..end].iter().rev();
        let alike = alike
            .take_while(|shelf| size(shelf) == size(&shelves[newest]))
            .count();
        if alike >= AT_ONCE {
            return Some((end - alike, end));
        }
        end -= alike;
    }
    None
}

fn merge(
    place: &Arc<Place>,
    shelves: &[Arc<Shelf>],
    lowest: bool,
    path: &std::path::Path,
    stop: &AtomicBool,
) -> Result<Option<Shelf>, IndexError> {
    let failed = |error| IndexError::Failed(Box::new(error));
    let newest = shelves.last().map(|shelf| shelf.mark());
    let Some(mark) = newest else { return Ok(None) };
    let most = shelves.iter().map(|shelf| shelf.rows()).sum();
    let mut writer = ShelfWriter::begin(&*place.files, path, most).map_err(failed)?;
    let layer = |shelf: &Arc<Shelf>| {
        let all = ShelfRange::new(shelf, Vec::new(), None);
        Source::Shelf(Part::new(all, place))
    };
    let mut rows = Merged::of(shelves.iter().rev().map(layer));
    let mut count: u64 = 0;
    while let Some(row) = rows.next(End::Front) {
        let (key, value) = row?;
        if !lowest || value.is_some() {
            writer.push(&key, value.as_deref()).map_err(failed)?;
        }
        count += 1;
        if count.is_multiple_of(LOOK) && stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
    }
    writer.end(mark).map(Some).map_err(failed)
}

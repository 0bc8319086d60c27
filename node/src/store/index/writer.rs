//! The one thread that writes rows, generation by generation, in the order of the commits: small ones into sled, large
//! ones, and what sled has gathered, into shelves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::{io, mem};

use super::list::{List, shelf_path};
use super::merge::{Merge, due};
use super::pending::{Generation, Pending, Task};
use super::shelf::{Shelf, ShelfError, ShelfWriter};
use super::under::{Base, Under};
use super::young::{self, Young};
use super::{IndexError, Row};
use crate::store::Watermark;
use crate::store::files;
use crate::store::marks::Marks;

/// Free bytes below which what can wait does wait: two of sled's files' steps, and as much for the log.
const REST_ROOM: u64 = 4 << 20;

/// The index below the pending rows, as its thread owns it.
pub(super) struct Writer {
    pub(super) base: Arc<Base>,
    pub(super) list: List,
    pub(super) marks: Marks,
    pub(super) boot: String,
    /// The data directory.
    pub(super) dir: PathBuf,
    /// Rows of a shelf.
    pub(super) shelf_rows: usize,
    /// Whether the index took a commit since sled was opened.
    pub(super) proven: bool,
    /// Rows that sled got since the last shelf.
    pub(super) gathered: u64,
    /// Rows at which they go to a shelf: more than usual after a disk was full.
    pub(super) enough: u64,
    /// The watermark of what is written.
    pub(super) mark: Option<Watermark>,
    /// Bytes of rows since sled was last told to write.
    pub(super) unflushed: usize,
    /// The number of the next shelf.
    pub(super) next: u32,
    pub(super) merging: Option<Merge>,
    /// Shelves for whose merging there was no room: with one more it is tried again.
    pub(super) unmerged: usize,
}

/// The running thread. Dropping it waits until everything that was committed is written, or until writing fails.
pub(super) struct Running {
    pending: Arc<Pending>,
    thread: Option<JoinHandle<Writer>>,
}

impl Running {
    /// Starts the thread.
    pub(super) fn start(writer: Writer, pending: &Arc<Pending>) -> io::Result<Self> {
        let shared = Arc::clone(pending);
        let thread = thread::Builder::new()
            .name("rows".into())
            .spawn(move || writer.run(&shared))?;
        Ok(Self {
            pending: Arc::clone(pending),
            thread: Some(thread),
        })
    }

    /// Waits until everything is written and gives back what the thread owned.
    pub(super) fn end(mut self) -> Result<Writer, IndexError> {
        let ended = self.join();
        self.pending.check()?;
        Ok(ended.expect("a thread that ended by a bug has failed"))
    }

    fn join(&mut self) -> Option<Writer> {
        self.pending.close();
        self.thread.take()?.join().ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.join();
    }
}

/// Where a panic does not end the process, nobody waits for a writer that is gone.
struct Bug<'a>(&'a Pending);

impl Drop for Bug<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let bug = "the thread that writes rows ended by a bug";
            self.0.fail(IndexError::Failed(bug.into()));
        }
    }
}

impl Writer {
    fn run(mut self, pending: &Arc<Pending>) -> Self {
        let _bug = Bug(pending);
        loop {
            let done = match pending.next(!self.proven, self.unflushed > 0) {
                Task::Write(generation) => self.write(&generation).map(|()| pending.written()),
                Task::Rest => self.rest(),
                Task::Merged => Ok(()),
                Task::End => {
                    // What is not done is begun anew some other time.
                    self.merging = None;
                    return self;
                }
            };
            if let Err(error) = done.and_then(|()| self.merge(pending)) {
                tracing::error!(%error, "the index could not be written");
                pending.fail(error);
                self.merging = None;
                return self;
            }
        }
    }

    /// Writes a generation, all of it or nothing.
    fn write(&mut self, generation: &Generation) -> Result<(), IndexError> {
        let mark = generation.mark();
        if generation.rows().len() >= self.shelf_rows / 2 {
            if self.gathered > 0 {
                self.shelve_young()?;
            }
            let rows = generation.rows();
            let lowest = self.list.shelves.is_empty();
            let number = self.number();
            let shelf = self.shelf(number, rows.len() as u64, mark, |shelf| {
                rows.iter()
                    .filter(|(_, value)| !lowest || value.is_some())
                    .try_for_each(|(key, value)| shelf.push(key, value.as_deref()))
                    .map_err(failed)
            })?;
            self.list.shelves.push(number);
            self.put_list()?;
            let mut under = Under::clone(&self.base.now());
            under.shelves.push(Arc::new(shelf));
            self.base.set(under);
        } else {
            let under = self.base.now();
            self.gathered += generation.rows().len() as u64;
            let over = !under.shelves.is_empty();
            let rows = generation.rows().iter();
            let written = under.young.write(rows, (&mark, self.gathered), over)?;
            self.unflushed += written;
        }
        self.mark = Some(mark);
        if !mem::replace(&mut self.proven, true) {
            self.marks.proven().map_err(|e| self.io(e))?;
        }
        if self.gathered >= self.enough {
            self.try_shelve_young()?;
        }
        if young::is_enough(self.unflushed) {
            self.flush()?;
        }
        Ok(())
    }

    /// Nothing came for a while: the best time for what would make others wait.
    fn rest(&mut self) -> Result<(), IndexError> {
        // sled does not get over a write that a full disk refused, and nothing of this is in a hurry.
        let files = &self.base.place.files;
        let free = files.free_space(&self.dir);
        if free.is_ok_and(|free| free < REST_ROOM + 4 * self.unflushed as u64) {
            return Ok(());
        }
        if self.gathered >= self.enough / 2 {
            self.try_shelve_young()?;
        }
        self.flush()
    }

    /// Has sled write what it holds back.
    fn flush(&mut self) -> Result<(), IndexError> {
        self.unflushed = 0;
        self.base.now().young.flush()
    }

    /// The same as [`Self::shelve_young`], but a full disk only puts it off: sled can hold more.
    fn try_shelve_young(&mut self) -> Result<(), IndexError> {
        match self.shelve_young() {
            Err(IndexError::Failed(error)) if is_full(&*error) => {
                tracing::warn!(%error, "no room to put the index's rows in order: tried again later");
                self.enough = self.gathered + self.shelf_rows as u64;
                Ok(())
            }
            other => other,
        }
    }

    /// Makes a shelf of what sled has, and puts an empty sled in its place.
    fn shelve_young(&mut self) -> Result<(), IndexError> {
        let before = self.base.now();
        let lowest = before.shelves.is_empty();
        let mark = self.mark.expect("what sled has was committed");
        let number = self.number();
        let shelf = self.shelf(number, self.gathered, mark, |shelf| {
            for row in before.young.all() {
                let (key, value): Row = young::row(row)?;
                if !lowest || value.is_some() {
                    shelf.push(&key, value.as_deref()).map_err(failed)?;
                }
            }
            Ok(())
        })?;
        // A start that ends before the new sled took a commit does not believe it.
        self.marks
            .opening(&self.boot, false)
            .map_err(|e| self.io(e))?;
        self.proven = false;
        self.list.shelves.push(number);
        self.list.young += 1;
        self.put_list()?;
        let place = &self.base.place;
        let young = Young::open(&place.files, &self.list.young_path(&place.dir))?;
        let mut shelves = before.shelves.clone();
        shelves.push(Arc::new(shelf));
        before.young.spend();
        self.base.set(Under {
            young: Arc::new(young),
            shelves,
        });
        (self.gathered, self.unflushed) = (0, 0);
        self.enough = self.shelf_rows as u64;
        Ok(())
    }

    /// Writes a shelf under a name that no list has yet.
    fn shelf(
        &self,
        number: u32,
        most: u64,
        mark: Watermark,
        fill: impl FnOnce(&mut ShelfWriter) -> Result<(), IndexError>,
    ) -> Result<Shelf, IndexError> {
        let path = self.shelf_path(number);
        let files = &*self.base.place.files;
        let written = ShelfWriter::begin(files, &path, most)
            .map_err(failed)
            .and_then(|mut shelf| fill(&mut shelf).map(|()| shelf))
            .and_then(|shelf| shelf.end(mark).map_err(failed));
        if written.is_err() {
            // On a full disk it would only take room.
            let _left = files.remove(&path);
        }
        written
    }

    /// Takes a merge that came to its end, and begins one that is due.
    fn merge(&mut self, pending: &Arc<Pending>) -> Result<(), IndexError> {
        if let Some(merge) = self.merging.take_if(|merge| merge.is_finished()) {
            self.take_merged(merge)?;
        }
        let under = self.base.now();
        if self.merging.is_none()
            && under.shelves.len() > self.unmerged
            && let Some((from, to)) = due(&under.shelves, self.shelf_rows)
        {
            let of = under.shelves[from..to].to_vec();
            let number = self.number();
            let new = (number, self.shelf_path(number));
            let place = &self.base.place;
            self.merging = Some(Merge::start(place, pending, (of, from == 0), new)?);
        }
        Ok(())
    }

    fn take_merged(&mut self, mut merge: Merge) -> Result<(), IndexError> {
        let new = match merge.result() {
            Ok(Some(shelf)) => Arc::new(shelf),
            Ok(None) => return Ok(()),
            Err(IndexError::Failed(error)) if is_full(&*error) => {
                tracing::warn!(%error, "no room to merge the index's files: tried again later");
                self.unmerged = self.list.shelves.len();
                let path = self.shelf_path(merge.number);
                let _left = self.base.place.files.remove(&path);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut under = Under::clone(&self.base.now());
        let first = |shelf: &Arc<Shelf>| Arc::ptr_eq(shelf, &merge.of[0]);
        let from = under.shelves.iter().position(first);
        let from = from.expect("only this thread takes shelves away");
        let range = from..from + merge.of.len();
        under.shelves.splice(range.clone(), [new]);
        self.list.shelves.splice(range, [merge.number]);
        self.unmerged = 0;
        self.put_list()?;
        self.base.set(under);
        for old in &merge.of {
            // Who still reads it has it open. What stays behind the next start removes.
            let _left = self.base.place.files.remove(old.path());
        }
        Ok(())
    }

    const fn number(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    fn shelf_path(&self, number: u32) -> PathBuf {
        shelf_path(&self.base.place.dir, number)
    }

    fn put_list(&self) -> Result<(), IndexError> {
        let place = &self.base.place;
        let put = self.list.put(&*place.files, &place.dir);
        put.map_err(|e| self.io(e))
    }

    fn io(&self, source: io::Error) -> IndexError {
        io_error(&self.dir, source)
    }
}

pub(super) fn io_error(dir: &Path, source: io::Error) -> IndexError {
    IndexError::Io {
        path: dir.to_owned(),
        source,
    }
}

pub(super) fn failed(error: ShelfError) -> IndexError {
    IndexError::Failed(Box::new(error))
}

fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(ShelfError::Io { source, .. }) if files::is_full(source))
}

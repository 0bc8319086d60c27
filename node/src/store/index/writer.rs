//! The one thread that writes rows, generation by generation, in the order of the commits: small ones into sled, large
//! ones, together with what sled has gathered, into shelves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::{io, mem};

use super::IndexError;
use super::list::{List, shelf_path};
use super::merge::{Merge, due};
use super::pending::{Generation, Pending, Task};
use super::rows::{End, Merged, Source};
use super::shelf::{Shelf, ShelfError, ShelfWriter};
use super::under::{Base, Under};
use super::young::{self, Young};
use crate::store::Watermark;
use crate::store::files::{self, PutError};
use crate::store::marks::Marks;

/// Rows that sled takes at once; of more a shelf is made. Some 20 µs of processor time each, during which sled lets nobody read,
/// against 3 in a shelf, which costs five calls to the disk.
pub(super) const SLED_ROWS: usize = 4096;
/// Free bytes below which sled is given nothing: two of its files' steps, and as much for the log. It does not get over a write that
/// a full disk refused.
const SLED_ROOM: u64 = 4 << 20;
/// Free bytes beyond that for each byte of rows: their pages are written anew.
const SLED_ROOM_A_BYTE: u64 = 4;

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
    /// There was no room for the last generation.
    pub(super) full: bool,
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
                Task::Write(generation) => match self.write(&generation) {
                    Err(error) if is_full(&error) => self.put_off(error, pending),
                    written => written.map(|()| pending.written()),
                },
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
        if generation.rows().len() > self.sled_rows() {
            self.shelve(Some(generation))?;
        } else {
            self.check_sled_room(generation.bytes())?;
            let under = self.base.now();
            self.gathered += generation.rows().len() as u64;
            let over = !under.shelves.is_empty();
            let rows = generation.rows().iter();
            let written = under.young.write(rows, (&mark, self.gathered), over)?;
            self.unflushed += written;
        }
        self.mark = Some(mark);
        self.full = false;
        if !self.proven {
            self.prove()?;
        }
        if self.gathered >= self.enough {
            self.try_shelve_young()?;
        }
        if young::is_enough(self.unflushed) {
            self.flush()?;
        }
        Ok(())
    }

    /// The disk has no room for a generation's shelf, and less for what sled makes of it. It stays pending, and is tried again
    /// after a while; whoever closes is told.
    fn put_off(&mut self, error: IndexError, pending: &Pending) -> Result<(), IndexError> {
        if !mem::replace(&mut self.full, true) {
            tracing::warn!(%error, "no room for the index's rows: tried again until there is");
        }
        match pending.put_off() {
            true => Ok(()),
            false => Err(error),
        }
    }

    /// The index took a commit.
    fn prove(&mut self) -> Result<(), IndexError> {
        match self.marks.proven() {
            Ok(()) => self.proven = true,
            // The generation is written. Tried again with the next; a kill before that costs what sled has.
            Err(error) if files::is_full(&error) => {}
            Err(error) => return Err(self.io(error)),
        }
        Ok(())
    }

    /// Whether the disk has room for what sled makes of so many more bytes of rows.
    fn check_sled_room(&self, bytes: usize) -> Result<(), IndexError> {
        let needed = SLED_ROOM + SLED_ROOM_A_BYTE * (self.unflushed + bytes) as u64;
        let free = self.base.place.files.free_space(&self.dir);
        if free.is_ok_and(|free| free < needed) {
            return Err(IndexError::NoRoom {
                path: self.dir.clone(),
                source: io::ErrorKind::StorageFull.into(),
            });
        }
        Ok(())
    }

    /// Rows that sled takes at once: fewer where shelves are small.
    fn sled_rows(&self) -> usize {
        SLED_ROWS.min(self.shelf_rows / 4)
    }

    /// Nothing came for a while: the best time for what would make others wait.
    fn rest(&mut self) -> Result<(), IndexError> {
        // Nothing of this is in a hurry.
        if self.check_sled_room(0).is_err() {
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

    /// Makes a shelf of what sled has; a full disk only puts it off: sled can hold more.
    fn try_shelve_young(&mut self) -> Result<(), IndexError> {
        match self.shelve(None) {
            Err(error) if is_full(&error) => {
                tracing::warn!(%error, "no room to put the index's rows in order: tried again later");
                self.enough = self.gathered + self.shelf_rows as u64;
                Ok(())
            }
            other => other,
        }
    }

    /// Makes a shelf of what sled has and of a generation over it, and puts an empty sled in the place of one that had
    /// something.
    fn shelve(&mut self, over: Option<&Generation>) -> Result<(), IndexError> {
        if self.gathered > 0 {
            // For the empty one that comes in its place.
            self.check_sled_room(0)?;
        }
        let before = self.base.now();
        let lowest = before.shelves.is_empty();
        let mark = over.map(Generation::mark).or(self.mark);
        let mark = mark.expect("what sled has was committed");
        let most = self.gathered + over.map_or(0, |over| over.rows().len() as u64);
        let number = self.number();
        let shelf = self.shelf(number, most, mark, |shelf| {
            let mut push = |key: &[u8], value: Option<&[u8]>| match lowest && value.is_none() {
                true => Ok(()),
                false => shelf.push(key, value).map_err(failed),
            };
            if let (Some(over), 0) = (over, self.gathered) {
                // Nothing to join them with, so they need not be copied.
                let mut rows = over.rows().iter();
                return rows.try_for_each(|(key, value)| push(key, value.as_deref()));
            }
            let all = |over: &Generation| over.between(&[], None).collect();
            let over = Source::Pending(over.map(all).unwrap_or_default());
            let young = Source::Young(before.young.all(), Arc::clone(&before.young));
            let mut rows = Merged::of([over, young]);
            while let Some(row) = rows.next(End::Front) {
                let (key, value) = row?;
                push(&key, value.as_deref())?;
            }
            Ok(())
        })?;
        let mut under = Under::clone(&before);
        under.shelves.push(Arc::new(shelf));
        if let Err(error) = self.have_it_count(number, &mut under) {
            if is_full(&error) {
                self.discard(number);
            }
            return Err(error);
        }
        if self.gathered > 0 {
            before.young.spend();
            (self.gathered, self.unflushed) = (0, 0);
            self.enough = self.shelf_rows as u64;
        }
        self.base.set(under);
        Ok(())
    }

    /// Has a shelf count, with an empty sled over it in the place of one that had something. Where the disk is full nothing
    /// has changed.
    fn have_it_count(&mut self, number: u32, under: &mut Under) -> Result<(), IndexError> {
        let mut list = self.list.clone();
        list.shelves.push(number);
        if self.gathered == 0 {
            return self.put_list(list);
        }
        // A start that ends before the new sled took a commit does not believe it. Nor the one before, if it comes to nothing.
        let noted = self.marks.unproven(&self.boot);
        noted.map_err(|error| self.not_put(error))?;
        self.proven = false;
        list.young += 1;
        let place = Arc::clone(&self.base.place);
        let path = list.young_path(&place.dir);
        match Young::open(&place.files, &path) {
            Ok(young) => {
                let put = self.put_list(list);
                match &put {
                    Ok(()) => under.young = Arc::new(young),
                    // No list names it.
                    Err(error) if is_full(error) => young.spend(),
                    Err(_) => {}
                }
                put
            }
            Err(error) => {
                if is_full(&error) {
                    let _left = place.files.remove_dir(&path);
                }
                Err(error)
            }
        }
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
            self.discard(number);
        }
        written
    }

    /// Removes a shelf that no list names: on a full disk it would only take room.
    fn discard(&self, number: u32) {
        let _left = self.base.place.files.remove(&self.shelf_path(number));
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
        match self.put_merged(&mut merge) {
            Err(error) if is_full(&error) => {
                tracing::warn!(%error, "no room to merge the index's files: tried again later");
                self.unmerged = self.list.shelves.len();
                self.discard(merge.number);
                Ok(())
            }
            other => other,
        }
    }

    fn put_merged(&mut self, merge: &mut Merge) -> Result<(), IndexError> {
        let Some(shelf) = merge.result()? else {
            return Ok(());
        };
        let new = Arc::new(shelf);
        let mut under = Under::clone(&self.base.now());
        let first = |shelf: &Arc<Shelf>| Arc::ptr_eq(shelf, &merge.of[0]);
        let from = under.shelves.iter().position(first);
        let from = from.expect("only this thread takes shelves away");
        let range = from..from + merge.of.len();
        under.shelves.splice(range.clone(), [new]);
        let mut list = self.list.clone();
        list.shelves.splice(range, [merge.number]);
        self.put_list(list)?;
        self.unmerged = 0;
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

    /// From here on this is what the index is made of.
    fn put_list(&mut self, list: List) -> Result<(), IndexError> {
        let place = &self.base.place;
        let put = list.put(&*place.files, &place.dir);
        put.map_err(|error| self.not_put(error))?;
        self.list = list;
        Ok(())
    }

    /// A full disk that refused before anything was fsynced only puts it off.
    fn not_put(&self, error: PutError) -> IndexError {
        match error {
            PutError::Unchanged(source) if files::is_full(&source) => IndexError::NoRoom {
                path: self.dir.clone(),
                source,
            },
            other => self.io(other.into()),
        }
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

/// Whether something could not be written for want of room.
fn is_full(error: &IndexError) -> bool {
    match error {
        IndexError::NoRoom { .. } => true,
        IndexError::Failed(error) => {
            matches!(error.downcast_ref(), Some(ShelfError::Io { source, .. }) if files::is_full(source))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use city_protocol::ids::BlockId;

    use super::*;
    use crate::store::files::{Files, OsFiles};
    use crate::store::index::{DIRECTORY, Index, Opening, SHELF_ROWS};
    use crate::store::recover::FoundLog;
    use crate::store::segments::Limits;

    fn open(dir: &Path) -> Index {
        let files: Arc<dyn Files> = Arc::new(OsFiles);
        let genesis = BlockId::of(b"genesis");
        let limits = Limits::default();
        let log = FoundLog::find(Arc::clone(&files), &dir.join("ledger"), genesis, limits);
        let how = Opening {
            dir,
            boot: "this boot",
            shelf_rows: SHELF_ROWS,
            log: &log.unwrap(),
            keep_row: None,
        };
        Index::open(files, how).unwrap().0
    }

    /// Commits one row for each number.
    fn commit(index: &Index, numbers: std::ops::Range<usize>) {
        let rows = numbers.map(|n| (key(n), Some(vec![b'v'; 40])));
        let mark = Watermark::start(BlockId::of(b"genesis"), 1);
        index.commit(rows.collect(), &mark).unwrap();
    }

    fn key(n: usize) -> Vec<u8> {
        [b"row/", &n.to_be_bytes()[..]].concat()
    }

    /// Waits for what the writer does by itself.
    fn wait_for(what: &str, done: impl Fn() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn few_rows_go_into_sled_after_a_pause_and_many_past_it_into_one_shelf() {
        let dir = tempfile::tempdir().unwrap();
        let index = open(dir.path());
        let young = || Arc::clone(&index.base.now().young);
        // The first commit proves the index, at once; the second waits for others.
        commit(&index, 0..1);
        wait_for("the first is written", || {
            young().get(&key(0)).unwrap().is_some()
        });
        commit(&index, 1..10);
        wait_for("few are written after a pause", || {
            young().get(&key(9)).unwrap().is_some()
        });
        assert_eq!(index.base.now().shelves.len(), 0);

        // More than half a layer: the writer takes it with no pause. sled's rows go along.
        let half = SHELF_ROWS / 2;
        let end = half + 1000;
        for begin in (10..end).step_by(1000) {
            commit(&index, begin..end.min(begin + 1000));
        }
        let shelved = |n: usize| {
            let under = index.base.now();
            let mut shelves = under.shelves.iter();
            shelves.any(|shelf| shelf.get(&key(n)).unwrap().is_some())
        };
        wait_for("many are written", || shelved(half - 5000));
        for n in [0, 9, 10, half - 5000] {
            assert!(shelved(n), "{n}");
            assert_eq!(young().get(&key(n)).unwrap(), None, "{n} is in sled");
        }
        // What came behind them is below a shelf's size again.
        index.settle().unwrap();
        let found = index.scan(b"row/", None).map(Result::unwrap);
        assert!(found.map(|(key, _)| key).eq((0..end).map(key)));
        index.close().unwrap();
    }

    #[test]
    fn rows_over_an_empty_sled_leave_it_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let index = open(dir.path());
        for round in 0..4 {
            commit(&index, round * 5000..(round + 1) * 5000);
            index.settle().unwrap();
        }
        wait_for("four of one size are one", || {
            index.base.now().shelves.len() == 1
        });
        assert_eq!(index.base.now().shelves[0].rows(), 20_000);
        let names = files_in(dir.path());
        assert_eq!(names.iter().filter(|n| n.contains("young-")).count(), 1);
        assert!(names.contains(&"young-1".to_owned()), "{names:?}");
        index.close().unwrap();
    }

    fn files_in(dir: &Path) -> Vec<String> {
        OsFiles.list(&dir.join(DIRECTORY)).unwrap()
    }
}

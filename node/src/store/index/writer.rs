//! The one thread that writes rows into sled, generation by generation, in the order of the commits.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::{io, mem};

use super::pending::{Generation, Pending, Task};
use super::{IndexError, WATERMARK, failed};
use crate::store::marks::Marks;
use crate::store::watermark::WATERMARK_LEN;

/// Bytes of rows after which the writer waits for sled to write: fed without pause it keeps gigabytes.
const FLUSH_BYTES: usize = 1 << 20;
/// Rows for each of which sled is called once more, so that it frees what they replaced; see [`Writer::let_go`].
const ROWS_A_READ: usize = 2;

/// sled's side of the index, as its thread owns it.
pub(super) struct Writer {
    pub(super) db: sled::Db,
    pub(super) marks: Marks,
    pub(super) dir: PathBuf,
    /// Whether the index took a commit since it was opened.
    pub(super) proven: bool,
    /// Bytes of rows since sled was last told to write.
    pub(super) unflushed: usize,
}

/// The running thread. Dropping it waits until everything that was committed is in sled, or until writing fails.
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

    /// Waits until everything is in sled and gives back what the thread owned.
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
    fn run(mut self, pending: &Pending) -> Self {
        let _bug = Bug(pending);
        loop {
            let done = match pending.next(!self.proven, self.unflushed > 0) {
                Task::Write(generation) => self.write(&generation).map(|()| pending.written()),
                Task::Rest => self.flush(),
                Task::End => return self,
            };
            if let Err(error) = done {
                tracing::error!(%error, "the index could not be written");
                pending.fail(error);
                return self;
            }
        }
    }

    /// Writes and removes rows and moves the watermark, all or nothing.
    fn write(&mut self, generation: &Generation) -> Result<(), IndexError> {
        let mut batch = sled::Batch::default();
        let mut bytes = WATERMARK.len() + WATERMARK_LEN;
        for (key, value) in generation.rows() {
            bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        batch.insert(WATERMARK, generation.mark().encode());
        self.db.apply_batch(batch).map_err(failed)?;
        self.let_go(generation.rows().len())?;
        if !mem::replace(&mut self.proven, true) {
            let io = |source| IndexError::Io {
                path: self.dir.clone(),
                source,
            };
            self.marks.proven().map_err(io)?;
        }
        self.unflushed += bytes;
        if self.unflushed >= FLUSH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Lets sled free what a batch replaced. It frees a little at each 128th call, and a batch of a
    /// thousand rows is one call: without these reads 1,000,000 rows took 760 MB and 3,000,000 took 7 GB.
    fn let_go(&self, rows: usize) -> Result<(), IndexError> {
        for _ in 0..rows.div_ceil(ROWS_A_READ) {
            self.db.get(WATERMARK).map_err(failed)?;
        }
        Ok(())
    }

    /// Has sled write what it holds back.
    fn flush(&mut self) -> Result<(), IndexError> {
        self.unflushed = 0;
        self.db.flush().map_err(failed)?;
        Ok(())
    }
}

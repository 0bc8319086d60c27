//! A file of blocks in the making: the copy that recovery or compaction writes before it touches the original, and
//! what is exported.
//!
//! Owns the order content, fsync, name, fsync of the directory. What is copied is for the caller to say.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use city_protocol::ids::BlockId;

use super::car::{self, Section};
use super::files::{FileHandle, Files};
use super::segments::segment_name;

/// Bytes gathered before a copy writes them.
const COPY_BUFFER: usize = 1 << 20;

/// A file of blocks in the making, under a name that no start reads.
pub(super) struct Copy {
    files: Arc<dyn Files>,
    dir: PathBuf,
    name: String,
    file: Arc<dyn FileHandle>,
    written: u64,
    buffer: Vec<u8>,
}

impl Copy {
    pub(super) fn begin(
        files: &Arc<dyn Files>,
        dir: &Path,
        root: &BlockId,
        segment: u32,
    ) -> io::Result<Self> {
        Self::named(files, dir, root, segment_name(segment))
    }

    /// The same under any name.
    pub(super) fn named(
        files: &Arc<dyn Files>,
        dir: &Path,
        root: &BlockId,
        name: String,
    ) -> io::Result<Self> {
        let file = files.create(&dir.join(format!("{name}.tmp")))?;
        Ok(Self {
            files: Arc::clone(files),
            dir: dir.to_owned(),
            name,
            file,
            written: 0,
            buffer: car::header(root),
        })
    }

    pub(super) fn push(&mut self, section: &Section) -> io::Result<()> {
        self.push_block(&section.id, &section.block)
    }

    pub(super) fn push_block(&mut self, id: &BlockId, block: &[u8]) -> io::Result<()> {
        car::push_section(&mut self.buffer, id, block);
        if self.buffer.len() >= COPY_BUFFER {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.written)?;
        self.written = self.end();
        self.buffer.clear();
        Ok(())
    }

    pub(super) fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Makes content and name durable, in this order.
    pub(super) fn finish(mut self) -> io::Result<Arc<dyn FileHandle>> {
        self.write()?;
        self.file.sync_data()?;
        let temporary = self.dir.join(format!("{}.tmp", self.name));
        self.files.rename(&temporary, &self.dir.join(&self.name))?;
        self.files.sync_dir(&self.dir)?;
        Ok(self.file)
    }
}

//! Writing a shelf: rows come in the order of their keys and go out in one pass.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{Builder, common};
use super::filter::Filter;
use super::{BEGIN, Footer, Shelf, ShelfError};
use crate::store::Watermark;
use crate::store::files::{FileHandle, Files};

/// Bytes that are written at once.
const BUFFER: usize = 1 << 20;

/// A shelf in the making. It counts for nobody before [`ShelfWriter::end`] and a manifest that names it.
pub(in super::super) struct ShelfWriter {
    path: PathBuf,
    file: Arc<dyn FileHandle>,
    written: u64,
    buffer: Vec<u8>,
    block: Builder,
    /// Where each block begins, and from which key on; as they are stored.
    places: Vec<u8>,
    /// The last key of the block before this one.
    before: Vec<u8>,
    filter: Filter,
    rows: u64,
}

impl ShelfWriter {
    /// Begins a shelf of at most so many rows.
    pub(in super::super) fn begin(
        files: &dyn Files,
        path: &Path,
        most: u64,
    ) -> Result<Self, ShelfError> {
        let file = files.create(path).map_err(|e| ShelfError::io(path, e))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            written: 0,
            buffer: BEGIN.to_vec(),
            block: Builder::default(),
            places: Vec::new(),
            before: Vec::new(),
            filter: Filter::for_rows(most),
            rows: 0,
        })
    }

    /// Adds a row behind the others; none for one that is removed.
    pub(in super::super) fn push(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), ShelfError> {
        if self.block.is_empty() {
            // The shortest beginning of the key that stands behind everything before it.
            let first = self.before.is_empty();
            let len = if first {
                0
            } else {
                common(&self.before, key) + 1
            };
            let begin = &key[..len.min(key.len())];
            let len = u16::try_from(begin.len()).expect("a key within its limits");
            self.places.extend(self.end_of_file().to_le_bytes());
            self.places.extend(len.to_le_bytes());
            self.places.extend_from_slice(begin);
        }
        self.block.push(key, value);
        self.filter.add(key);
        self.rows += 1;
        if self.block.is_full() {
            self.end_block()?;
        }
        Ok(())
    }

    fn end_of_file(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn end_block(&mut self) -> Result<(), ShelfError> {
        self.before.clear();
        self.before.extend_from_slice(self.block.last());
        self.block.end(&mut self.buffer);
        if self.buffer.len() >= BUFFER {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), ShelfError> {
        let done = self.file.write_all_at(&self.buffer, self.written);
        done.map_err(|e| ShelfError::io(&self.path, e))?;
        self.written = self.end_of_file();
        self.buffer.clear();
        Ok(())
    }

    /// Ends the shelf under the watermark of its rows, durable but for its name.
    pub(in super::super) fn end(mut self, mark: Watermark) -> Result<Shelf, ShelfError> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let blocks_end = self.end_of_file();
        self.buffer.extend_from_slice(&self.places);
        self.buffer.extend_from_slice(self.filter.bytes());
        let footer = Footer {
            blocks_end,
            places: self.places.len() as u64,
            filter: self.filter.bytes().len() as u64,
            rows: self.rows,
            mark,
        };
        let footer = footer.encode(&self.places, self.filter.bytes());
        self.buffer.extend_from_slice(&footer);
        self.write()?;
        let io = |e: io::Error| ShelfError::io(&self.path, e);
        self.file.sync_data().map_err(io)?;
        Shelf::read(&self.path, Arc::clone(&self.file))
    }
}

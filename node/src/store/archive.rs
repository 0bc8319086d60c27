//! Files of blocks that go from hand to hand: exports as they are written, and CAR files of others as they are read.
//!
//! A file that is written has its name only once it is whole and durable. One that is read is believed in nothing:
//! each block is checked against its id.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use city_protocol::ids::BlockId;

use super::blocks::{Block, Location, read_root};
use super::car::{self, HEADER_LEN, SectionReader, Step};
use super::copy::Copy;
use super::files::{FileHandle, Files};

/// A CAR file in the making. Dropped before [`ArchiveWriter::finish`], it is removed.
pub struct ArchiveWriter {
    files: Arc<dyn Files>,
    temporary: PathBuf,
    copy: Option<Copy>,
}

impl ArchiveWriter {
    /// Begins a file that has this path once it is finished; it may not be there yet.
    ///
    /// # Errors
    /// `AlreadyExists`, and what the operating system says.
    pub fn begin(files: Arc<dyn Files>, path: &Path, root: &BlockId) -> io::Result<Self> {
        match files.open_to_read(path) {
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
        let dir = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        Ok(Self {
            temporary: dir.join(format!("{name}.tmp")),
            copy: Some(Copy::named(&files, dir, root, name)?),
            files,
        })
    }

    /// Adds a block.
    ///
    /// # Errors
    /// What the operating system says.
    ///
    /// # Panics
    /// Never: only finishing takes the copy.
    pub fn push(&mut self, id: &BlockId, block: &[u8]) -> io::Result<()> {
        let copy = self.copy.as_mut().expect("taken by `finish` only");
        copy.push_block(id, block)
    }

    /// Makes content and name durable, in this order; gives the file's length in bytes.
    ///
    /// # Errors
    /// What the operating system says; the file may then be there without being durable.
    ///
    /// # Panics
    /// Never: it is called once.
    pub fn finish(mut self) -> io::Result<u64> {
        let copy = self.copy.take().expect("taken here only");
        let end = copy.end();
        copy.finish().map(|_| end)
    }
}

impl Drop for ArchiveWriter {
    fn drop(&mut self) {
        if self.copy.is_some() {
            // What stays has a name that says that it is not whole.
            let _left = self.files.remove(&self.temporary);
        }
    }
}

/// Why a CAR file was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It does not begin as a file of ours.
    #[error("this is no CAR file of version 1 with one root: is it an export of `city-node store export`?")]
    NoArchive,
    /// The bytes there are no block with a matching hash.
    #[error("byte {at}: no block whose hash matches (bad-block): the file is damaged or was changed")]
    BadBlock {
        /// Bytes from the beginning.
        at: u64,
    },
    /// It could not be read.
    #[error("the file could not be read")]
    Io(#[from] io::Error),
}

/// A CAR file of somebody.
pub struct ArchiveReader {
    file: Arc<dyn FileHandle>,
    root: BlockId,
    len: u64,
}

impl ArchiveReader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`ArchiveError::NoArchive`], [`ArchiveError::Io`].
    pub fn open(files: &dyn Files, path: &Path) -> Result<Self, ArchiveError> {
        let file = files.open_to_read(path)?;
        let root = read_root(&*file)?.ok_or(ArchiveError::NoArchive)?;
        let len = file.len()?;
        Ok(Self { file, root, len })
    }

    /// The root in its header.
    #[must_use]
    pub const fn root(&self) -> BlockId {
        self.root
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether it holds no block.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len <= HEADER_LEN
    }

    /// Reads every block in order; its place names segment 0.
    ///
    /// # Errors
    /// [`ArchiveError`]: that of the file, or the caller's.
    pub fn each<E: From<ArchiveError>>(
        &self,
        mut take: impl FnMut(Block) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = SectionReader::new(Arc::clone(&self.file), HEADER_LEN, self.len);
        loop {
            match reader.step().map_err(ArchiveError::Io)? {
                Step::Block(section) => take(Block {
                    id: section.id,
                    at: Location {
                        segment: 0,
                        offset: section.offset,
                        len: section.len,
                    },
                    bytes: section.block,
                })?,
                Step::Bad => {
                    let at = reader.position();
                    return Err(ArchiveError::BadBlock { at }.into());
                }
                Step::End => return Ok(()),
            }
        }
    }

    /// Reads a block again where [`Self::each`] found it.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn block(&self, at: &Location) -> Result<Vec<u8>, ArchiveError> {
        let len = usize::try_from(at.len).expect("a section is bounded by MAX_BLOCK");
        let mut section = vec![0; len];
        self.file.read_exact_at(&mut section, at.offset)?;
        let at = at.offset;
        let (_, block) = car::parse_section(&section).ok_or(ArchiveError::BadBlock { at })?;
        Ok(block.to_vec())
    }
}

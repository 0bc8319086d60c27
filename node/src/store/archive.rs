//! Files of blocks that go from hand to hand: exports as they are written, and CAR files of others as they are read.
//!
//! A file that is written has its name only once it is whole and durable. One that is read is believed in nothing:
//! each block is checked against its id.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use city_protocol::ids::{BlockId, Digest};

use super::blocks::{Block, Location, Position, read_root};
use super::car::{self, HEADER_LEN, Search, SectionReader, Step};
use super::copy::Copy;
use super::damage;
use super::files::{FileHandle, Files};
use super::manifest::number;
use super::segments::segment_name;

/// Bytes of a file that are hashed at a time.
const DIGEST_PIECE: u64 = 1 << 20;

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
        let done = copy.finish().map(|_| end);
        if done.is_err() {
            let _left = self.files.remove(&self.temporary);
        }
        done
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
    #[error(
        "this is no CAR file of version 1 with one root: is it an export of `city-node store export`?"
    )]
    NoArchive,
    /// The bytes there are no block with a matching hash.
    #[error(
        "byte {at}: no block whose hash matches (bad-block): the file is damaged or was changed"
    )]
    BadBlock {
        /// Bytes from the beginning.
        at: u64,
    },
    /// It could not be read.
    #[error("the file could not be read")]
    Io(#[from] io::Error),
    /// What came could not be kept.
    #[error("what came could not be written")]
    NotKept(#[source] io::Error),
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

    /// SHA-256 of the whole file, which is read for it.
    ///
    /// # Errors
    /// [`ArchiveError::Io`].
    pub fn digest(&self) -> Result<Digest, ArchiveError> {
        let mut context = Context::new(&SHA256);
        let mut at = 0;
        while at < self.len {
            let len = (self.len - at).min(DIGEST_PIECE);
            let mut piece = vec![0; usize::try_from(len).expect("a piece is small")];
            self.file.read_exact_at(&mut piece, at)?;
            context.update(&piece);
            at += len;
        }
        let digest = context.finish();
        Ok(Digest(
            digest.as_ref().try_into().expect("SHA-256 has 32 bytes"),
        ))
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

/// The segments of a log that somebody else has open, for copying them.
pub struct SegmentReader {
    files: Arc<dyn Files>,
    dir: PathBuf,
    repaired: Vec<Position>,
}

impl SegmentReader {
    /// The segments in this directory.
    #[must_use]
    pub fn new(files: Arc<dyn Files>, dir: PathBuf) -> Self {
        let repaired = damage::repaired(&*files, &dir);
        Self {
            files,
            dir,
            repaired,
        }
    }

    /// The number of the segment with this name, if it is one's.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u32> {
        number(name, "")
    }

    /// Checks every block of a segment up to `end`, or to its own; gives the first bad place that matters.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn check(&self, segment: u32, end: Option<u64>) -> io::Result<Option<u64>> {
        let file = self
            .files
            .open_to_read(&self.dir.join(segment_name(segment)))?;
        let end = match end {
            Some(end) => end,
            None => file.len()?,
        };
        let mut reader = SectionReader::new(file, HEADER_LEN, end);
        loop {
            match reader.step()? {
                Step::Block(_) => {}
                Step::End => return Ok(None),
                Step::Bad => {
                    let offset = reader.position();
                    if !self.repaired.contains(&Position { segment, offset }) {
                        return Ok(Some(offset));
                    }
                    if reader.search()? != Search::Found {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// A CAR file that comes in pieces, as over a socket.
pub struct ArchiveStream {
    /// Most bytes of a block.
    longest: usize,
    begun: bool,
    at: u64,
    rest: Vec<u8>,
}

impl Default for ArchiveStream {
    /// Of the ledger's blocks.
    fn default() -> Self {
        Self::of_blocks_to(car::MAX_BLOCK)
    }
}

impl ArchiveStream {
    /// Of blocks with at most so many bytes, and less than 256 MiB.
    #[must_use]
    pub const fn of_blocks_to(longest: usize) -> Self {
        Self {
            longest,
            begun: false,
            at: 0,
            rest: Vec::new(),
        }
    }

    /// Takes the next piece, and gives every block that is whole with it.
    ///
    /// # Errors
    /// [`ArchiveError`], and what `take` says.
    pub fn push(
        &mut self,
        piece: &[u8],
        take: &mut dyn FnMut(&BlockId, &[u8]) -> io::Result<()>,
    ) -> Result<(), ArchiveError> {
        self.rest.extend_from_slice(piece);
        let header = usize::try_from(HEADER_LEN).expect("59");
        let mut from = 0;
        if !self.begun {
            let Some(bytes) = self.rest.get(..header) else {
                return Ok(());
            };
            car::root_of(bytes).ok_or(ArchiveError::NoArchive)?;
            self.begun = true;
            from = header;
        }
        loop {
            let rest = &self.rest[from..];
            let bad = ArchiveError::BadBlock {
                at: self.at + from as u64,
            };
            let section = match car::frame_to(rest, self.longest) {
                Some((skip, len)) => rest.get(..skip + len),
                None if rest.len() < car::varint_to(self.longest) => None,
                None => return Err(bad),
            };
            let Some(section) = section else { break };
            let (id, block) = car::parse_section_to(section, self.longest).ok_or(bad)?;
            take(&id, block).map_err(ArchiveError::NotKept)?;
            from += section.len();
        }
        self.rest.drain(..from);
        self.at += from as u64;
        Ok(())
    }

    /// The end: nothing may be left over.
    ///
    /// # Errors
    /// [`ArchiveError`] where it ends within a block.
    pub fn finish(self) -> Result<(), ArchiveError> {
        match (self.begun, self.rest.is_empty()) {
            (false, _) => Err(ArchiveError::NoArchive),
            (true, false) => Err(ArchiveError::BadBlock { at: self.at }),
            (true, true) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_file_is_that_of_all_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("long.car");
        let mut bytes = car::header(&BlockId::of(b"genesis"));
        let block = vec![7; 900_000];
        for _ in 0..3 {
            car::push_section(&mut bytes, &BlockId::of(&block), &block);
        }
        std::fs::write(&path, &bytes).unwrap();
        let digest = ArchiveReader::open(&super::super::OsFiles, &path)
            .unwrap()
            .digest()
            .unwrap();
        assert_eq!(digest.0, city_protocol::ids::sha256(&[&bytes]));
    }

    #[test]
    fn a_stream_gives_the_same_blocks_however_it_is_cut() {
        let blocks: Vec<Vec<u8>> = (0..4).map(|n| vec![n; 40 * usize::from(n) + 1]).collect();
        let mut bytes = car::header(&BlockId::of(b"genesis"));
        for block in &blocks {
            car::push_section(&mut bytes, &BlockId::of(block), block);
        }
        for piece in 1..bytes.len() {
            let mut stream = ArchiveStream::default();
            let mut found = Vec::new();
            for piece in bytes.chunks(piece) {
                let mut take = |_: &BlockId, block: &[u8]| {
                    found.push(block.to_vec());
                    Ok(())
                };
                stream.push(piece, &mut take).unwrap();
            }
            stream.finish().unwrap();
            assert_eq!(found, blocks, "{piece}");
        }
        let mut cut = ArchiveStream::default();
        cut.push(&bytes[..bytes.len() - 1], &mut |_, _| Ok(()))
            .unwrap();
        assert!(matches!(cut.finish(), Err(ArchiveError::BadBlock { .. })));
        // A receipt may be longer than any block of the ledger.
        let long = vec![7; 3 << 20];
        let mut receipt = car::header(&BlockId::of(&long));
        car::push_section(&mut receipt, &BlockId::of(&long), &long);
        let pushed = |mut stream: ArchiveStream| {
            let mut came = 0;
            let pushed = stream.push(&receipt, &mut |_, block| {
                came = block.len();
                Ok(())
            });
            pushed.map(|()| came)
        };
        assert_eq!(
            pushed(ArchiveStream::of_blocks_to(4 << 20)).unwrap(),
            long.len()
        );
        for stream in [
            ArchiveStream::default(),
            ArchiveStream::of_blocks_to(2 << 20),
        ] {
            assert!(matches!(pushed(stream), Err(ArchiveError::BadBlock { .. })));
        }
        *bytes.last_mut().unwrap() ^= 1;
        let bad = ArchiveStream::default().push(&bytes, &mut |_, _| Ok(()));
        assert!(matches!(bad, Err(ArchiveError::BadBlock { .. })), "{bad:?}");
    }
}

//! A shelf: an immutable file of rows in the order of their keys, made durable once and only read from then on.
//!
//! `block` what is read at once · `filter` which shelves need no look · `write` making one · `range` walking one.
//! A file is: eight bytes by which it is known, blocks, where each block begins, the filter, a footer of fixed length
//! whose digest covers everything but the blocks, which have their own.

mod block;
mod filter;
mod range;
mod write;

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use city_protocol::ids::BlockId;

pub(super) use range::ShelfRange;
pub(super) use write::ShelfWriter;

use super::Row;
use crate::store::Watermark;
use crate::store::files::FileHandle;
use crate::store::watermark::WATERMARK_LEN;
use filter::Filter;

/// What a shelf begins with: its form.
const BEGIN: &[u8; 8] = b"shelf 1\n";
const FOOTER: usize = 4 * 8 + WATERMARK_LEN + 32;
/// The largest block: the rows that fit a page, the one that went beyond it, and the digest.
const MAX_BLOCK: u64 = 8 << 10;

/// Why a shelf cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShelfError {
    /// A call of the operating system failed.
    #[error("{} cannot be read or written; look at the disk and its free space", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// It is not what was written.
    #[error("{} is damaged: the next start makes the index again; look at the disk", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl ShelfError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// What stands at the end of a shelf.
struct Footer {
    /// Where the last block ends.
    blocks_end: u64,
    /// Bytes of the blocks' places behind that.
    places: u64,
    /// Bytes of the filter behind those.
    filter: u64,
    rows: u64,
    mark: Watermark,
}

impl Footer {
    fn encode(&self, places: &[u8], filter: &[u8]) -> Vec<u8> {
        let numbers = [self.blocks_end, self.places, self.filter, self.rows];
        let mut out: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        out.extend(self.mark.encode());
        let digest = digest(&out, places, filter);
        out.extend(digest);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.split_first_chunk::<{ 4 * 8 }>()?;
        let (mark, _) = rest.split_at_checked(WATERMARK_LEN)?;
        let number = |n: usize| {
            let bytes = numbers[8 * n..8 * n + 8].try_into();
            u64::from_le_bytes(bytes.expect("eight bytes"))
        };
        Some(Self {
            blocks_end: number(0),
            places: number(1),
            filter: number(2),
            rows: number(3),
            mark: Watermark::decode(mark)?,
        })
    }
}

fn digest(footer: &[u8], places: &[u8], filter: &[u8]) -> [u8; 32] {
    let parts = [places, filter].map(|part| *BlockId::of(part).digest());
    *BlockId::of(&[footer, &parts[0], &parts[1]].concat()).digest()
}

/// An open shelf.
pub(super) struct Shelf {
    path: PathBuf,
    file: Arc<dyn FileHandle>,
    /// Where each block begins, and behind them where the last one ends.
    offsets: Vec<u64>,
    /// What the keys of each block begin with at least, one behind the other.
    begins: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<u32>,
    filter: Filter,
    rows: u64,
    mark: Watermark,
}

impl Shelf {
    /// Reads what is kept in memory of a shelf: some thirty bytes for each block, ten bits for each row.
    pub(super) fn read(path: &Path, file: Arc<dyn FileHandle>) -> Result<Self, ShelfError> {
        let io = |e| ShelfError::io(path, e);
        let damaged = || ShelfError::Damaged {
            path: path.to_owned(),
        };
        let len = file.len().map_err(io)?;
        let read = |from: u64, to: u64| {
            let wanted = to.checked_sub(from).filter(|_| to <= len);
            let mut bytes = vec![0; wanted.and_then(|n| n.try_into().ok()).ok_or_else(damaged)?];
            file.read_exact_at(&mut bytes, from).map_err(io)?;
            Ok(bytes)
        };
        let footer_at = len.checked_sub(FOOTER as u64).ok_or_else(damaged)?;
        let raw = read(footer_at, len)?;
        let footer = Footer::decode(&raw).ok_or_else(damaged)?;
        let places_end = footer.blocks_end.checked_add(footer.places);
        let fits = places_end.and_then(|end| end.checked_add(footer.filter)) == Some(footer_at);
        let (Some(places_end), true) = (places_end, fits) else {
            return Err(damaged());
        };
        let places = read(footer.blocks_end, places_end)?;
        let filter = read(places_end, footer_at)?;
        let (fields, found) = raw.split_at(FOOTER - 32);
        let sound = digest(fields, &places, &filter) == *found && read(0, 8)? == BEGIN;
        let mut shelf = Self {
            path: path.to_owned(),
            offsets: Vec::new(),
            begins: Vec::new(),
            ends: Vec::new(),
            filter: Filter::stored(filter)
                .filter(|_| sound)
                .ok_or_else(damaged)?,
            rows: footer.rows,
            mark: footer.mark,
            file,
        };
        shelf.take_places(&places).ok_or_else(damaged)?;
        shelf.offsets.push(footer.blocks_end);
        Ok(shelf)
    }

    fn take_places(&mut self, mut places: &[u8]) -> Option<()> {
        while !places.is_empty() {
            let (offset, rest) = places.split_first_chunk::<8>()?;
            let (len, rest) = rest.split_first_chunk::<2>()?;
            let (begin, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
            self.offsets.push(u64::from_le_bytes(*offset));
            self.begins.extend_from_slice(begin);
            self.ends.push(u32::try_from(self.begins.len()).ok()?);
            places = rest;
        }
        Some(())
    }

    /// Its rows, those that remove others among them.
    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    /// The watermark of its newest rows.
    pub(super) const fn mark(&self) -> Watermark {
        self.mark
    }

    /// Its file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of a key: `Some(None)` where the row is removed.
    pub(super) fn get(&self, wanted: &[u8]) -> Result<Option<Option<Vec<u8>>>, ShelfError> {
        if self.ends.is_empty() || !self.filter.may_have(wanted) {
            return Ok(None);
        }
        let mut found = None;
        self.walk(self.block_of(wanted), |key, value| {
            if key < wanted {
                return ControlFlow::Continue(());
            }
            if key == wanted {
                found = Some(value.map(<[u8]>::to_vec));
            }
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// How many blocks it has.
    fn blocks(&self) -> usize {
        self.ends.len()
    }

    /// The block in which a key stands if it is here: the last one that begins with it or before it.
    fn block_of(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.blocks());
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.begin(middle) <= key {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    fn begin(&self, block: usize) -> &[u8] {
        let from = block.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.begins[from as usize..self.ends[block] as usize]
    }

    /// The rows of a block.
    fn block(&self, block: usize) -> Result<Vec<Row>, ShelfError> {
        let mut rows = Vec::new();
        self.walk(block, |key, value| {
            rows.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }

    fn walk(
        &self,
        block: usize,
        look: impl FnMut(&[u8], Option<&[u8]>) -> ControlFlow<()>,
    ) -> Result<(), ShelfError> {
        let damaged = || ShelfError::Damaged {
            path: self.path.clone(),
        };
        let (from, to) = (self.offsets[block], self.offsets[block + 1]);
        let len = to.checked_sub(from).filter(|len| *len <= MAX_BLOCK);
        let len = len.and_then(|len| usize::try_from(len).ok());
        let mut bytes = vec![0; len.ok_or_else(damaged)?];
        let read = self.file.read_exact_at(&mut bytes, from);
        read.map_err(|e| ShelfError::io(&self.path, e))?;
        let rows = block::checked(&bytes).ok_or_else(damaged)?;
        block::walk(rows, look).ok_or_else(damaged)
    }
}

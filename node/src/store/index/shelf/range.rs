//! Walking a part of a shelf from both ends, block by block.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::{Shelf, ShelfError};
use crate::store::index::Row;

/// Rows of a shelf whose keys are at least `from` and below `behind`, those that remove others among them.
pub(in super::super) struct ShelfRange {
    shelf: Arc<Shelf>,
    from: Vec<u8>,
    /// None: to the end.
    behind: Option<Vec<u8>>,
    /// Blocks that were not read yet.
    blocks: Range<usize>,
    front: VecDeque<Row>,
    back: VecDeque<Row>,
}

impl ShelfRange {
    pub(in super::super) fn new(
        shelf: &Arc<Shelf>,
        from: Vec<u8>,
        behind: Option<Vec<u8>>,
    ) -> Self {
        let first = match shelf.blocks() {
            0 => 0,
            _ => shelf.block_of(&from),
        };
        let last = match &behind {
            Some(behind) if shelf.blocks() > 0 => shelf.block_of(behind) + 1,
            _ => shelf.blocks(),
        };
        Self {
            blocks: first..last.max(first),
            shelf: Arc::clone(shelf),
            from,
            behind,
            front: VecDeque::new(),
            back: VecDeque::new(),
        }
    }

    fn read(&self, block: usize) -> Result<VecDeque<Row>, ShelfError> {
        let mut rows = self.shelf.block(block)?;
        let wanted = |key: &[u8]| {
            let behind = self.behind.as_deref();
            key >= self.from.as_slice() && behind.is_none_or(|behind| key < behind)
        };
        rows.retain(|(key, _)| wanted(key));
        Ok(rows.into())
    }

    pub(in super::super) fn next(&mut self) -> Option<Result<Row, ShelfError>> {
        loop {
            if let Some(row) = self.front.pop_front() {
                return Some(Ok(row));
            }
            match self.blocks.next() {
                Some(block) => match self.read(block) {
                    Ok(rows) => self.front = rows,
                    Err(error) => return Some(Err(error)),
                },
                None => return self.back.pop_front().map(Ok),
            }
        }
    }

    pub(in super::super) fn next_back(&mut self) -> Option<Result<Row, ShelfError>> {
        loop {
            if let Some(row) = self.back.pop_back() {
                return Some(Ok(row));
            }
            match self.blocks.next_back() {
                Some(block) => match self.read(block) {
                    Ok(rows) => self.back = rows,
                    Err(error) => return Some(Err(error)),
                },
                None => return self.front.pop_back().map(Ok),
            }
        }
    }
}

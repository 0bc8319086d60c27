//! A store with an archive beside it: bodies that were pruned are read out of the file that they went to.

use std::collections::HashMap;

use city_protocol::ids::BlockId;
use city_protocol::ledger::History;
use city_protocol::vertex::Stub;

use crate::store::{ArchiveError, ArchiveReader, Location};

/// What a node has, and the blocks of a CAR file.
pub struct Archived<'a> {
    history: &'a dyn History,
    file: ArchiveReader,
    places: HashMap<BlockId, Location>,
}

impl<'a> Archived<'a> {
    /// Reads every block of the file once; some 100 bytes of memory a block.
    ///
    /// # Errors
    /// [`ArchiveError`] of a file that is none, or damaged.
    pub fn new(history: &'a dyn History, file: ArchiveReader) -> Result<Self, ArchiveError> {
        let mut places = HashMap::new();
        file.each(|block| {
            places.insert(block.id, block.at);
            Ok::<(), ArchiveError>(())
        })?;
        Ok(Self {
            history,
            file,
            places,
        })
    }
}

impl History for Archived<'_> {
    fn row(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.history.row(key)
    }

    fn rows(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.history.rows(prefix, after, limit)
    }

    fn block(&self, id: &BlockId) -> Option<Vec<u8>> {
        let archived = || self.file.block(self.places.get(id)?).ok();
        self.history.block(id).or_else(archived)
    }

    fn stub(&self, body: &BlockId) -> Option<Stub> {
        self.history.stub(body)
    }
}

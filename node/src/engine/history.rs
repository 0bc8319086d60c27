//! Reading the store the way the core asks: rows and blocks that are durable.
//!
//! The index is the node's own writing; if it cannot be read the process aborts, systemd restarts it and the
//! index is made again. Blocks carry their hash and are checked on every read.

use std::sync::Arc;

use super::Pulse;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::ledger::{History, LogRow, Rows as _};
use city_protocol::vertex::Stub;

use crate::store::{Block, HighWater, Location, ReadError, Store};

/// First byte of the rows that say where a block stands; the ledger's own tables begin with other letters.
const LOCATION: u8 = b'b';
/// First byte of the rows that say where the stub of a body stands.
const PRUNED: u8 = b'P';

/// The store as [`History`].
#[derive(Clone)]
pub struct StoreHistory {
    store: Arc<Store>,
    /// Beats with each block that is read: folding a long log again takes minutes, and is no standstill.
    pulse: Option<Pulse>,
}

impl StoreHistory {
    /// Reads this store.
    #[must_use]
    pub const fn new(store: Arc<Store>) -> Self {
        Self { store, pulse: None }
    }

    /// The same for the commit thread, whose pulse it feeds. Nobody else's reading may.
    pub(super) fn beating(self, pulse: Pulse) -> Self {
        Self {
            pulse: Some(pulse),
            ..self
        }
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Where a block stands.
    #[must_use]
    pub fn location(&self, id: &BlockId) -> Option<Location> {
        self.located(&location_key(id))
    }

    fn located(&self, key: &[u8]) -> Option<Location> {
        let row = self.row(key)?;
        let (segment, rest) = row.split_at_checked(4)?;
        let (offset, len) = rest.split_at_checked(8)?;
        Some(Location {
            segment: u32::from_be_bytes(segment.try_into().ok()?),
            offset: u64::from_be_bytes(offset.try_into().ok()?),
            len: u32::from_be_bytes(len.try_into().ok()?),
        })
    }
}

/// Key of the row that says where a block stands.
pub(super) fn location_key(id: &BlockId) -> Vec<u8> {
    [&[LOCATION], id.digest().as_slice()].concat()
}

/// Key of the row that says where the stub of this body stands.
pub(super) fn stub_key(body: &BlockId) -> Vec<u8> {
    [&[PRUNED], body.digest().as_slice()].concat()
}

/// Value of such a row: segment, offset and length, big-endian.
pub(super) fn location_value(at: &Location) -> Vec<u8> {
    [
        &at.segment.to_be_bytes()[..],
        &at.offset.to_be_bytes(),
        &at.len.to_be_bytes(),
    ]
    .concat()
}

/// The own log's head as the index has it.
#[must_use]
pub fn own_high_water(history: &StoreHistory, log: &LogId) -> Option<HighWater> {
    let row = (history as &dyn History).log(log)?;
    Some(high_water_of(&row))
}

/// The head that a log's row names.
#[must_use]
pub const fn high_water_of(row: &LogRow) -> HighWater {
    HighWater {
        epoch: row.epoch,
        seq: row.seq,
        head: Some(row.head),
    }
}

impl History for StoreHistory {
    fn row(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.store
            .get(key)
            .expect("the index can be read; the next start makes it again")
    }

    fn rows(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        // The smallest key behind `after` is `after` with a zero byte.
        let from = after.map(|key| [key, &[0]].concat());
        let rows = match &from {
            Some(from) => self.store.scan_prefix_from(prefix, from),
            None => self.store.scan_prefix(prefix),
        };
        rows.take(limit)
            .map(|row| row.expect("the index can be read; the next start makes it again"))
            .collect()
    }

    fn block(&self, id: &BlockId) -> Option<Vec<u8>> {
        self.block_at(&self.location(id)?, id)
    }

    fn unchecked_block(&self, id: &BlockId) -> Option<Vec<u8>> {
        self.beat();
        // What cannot be read is told by who reads it with its hash.
        self.store.ledger().read_unchecked(&self.location(id)?)
    }

    fn stub(&self, body: &BlockId) -> Option<Stub> {
        self.stub_at(&self.located(&stub_key(body))?, body)
    }
}

impl StoreHistory {
    /// This block, which stands there.
    pub(super) fn block_at(&self, at: &Location, id: &BlockId) -> Option<Vec<u8>> {
        let block = self.read(at)?;
        (block.id == *id).then_some(block.bytes)
    }

    /// The stub of this body, which stands there.
    pub(super) fn stub_at(&self, at: &Location, body: &BlockId) -> Option<Stub> {
        let stub = Stub::read(&self.read(at)?.bytes).ok()?;
        (stub.body() == *body).then_some(stub)
    }

    fn beat(&self) {
        if let Some(pulse) = &self.pulse {
            pulse.beat();
        }
    }

    fn read(&self, at: &Location) -> Option<Block> {
        self.beat();
        match self.store.read_block(at) {
            Ok(block) => Some(block),
            Err(error) => {
                tracing::error!(%error, segment = at.segment, offset = at.offset, "a stored block cannot be read");
                if let ReadError::Damaged(at) | ReadError::Outside(at) = error {
                    // The commit thread sees the flag, writes nothing more and ends the process.
                    if let Err(error) = self.store.ledger().met_damage(at) {
                        tracing::error!(%error, "the damage could not be noted");
                    }
                }
                None
            }
        }
    }
}

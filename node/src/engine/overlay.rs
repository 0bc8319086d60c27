//! A store that is only looked at, with what would be written over it in a store of its own: how an import is judged by the
//! same rules as everything else before anything of it is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use city_protocol::ids::BlockId;
use city_protocol::ledger::{Changes, History};
use city_protocol::vertex::{SignedHeader, Stub};

use super::StoreHistory;
use super::history::{location_key, location_value, stub_key};
use crate::store::{AppendError, IndexError, Store, Watermark};

/// Blocks with their ids, as they are written.
type Blocks = Vec<(BlockId, Vec<u8>)>;

/// Rows and blocks of two stores, the upper one first.
pub(super) struct Overlay {
    base: StoreHistory,
    upper: StoreHistory,
    /// Keys of the base that are deleted above it: at most as many as it has rows.
    deleted: BTreeSet<Vec<u8>>,
    /// Stubs that are to stand in the places of bodies, before their headers, by these bodies.
    stubs: BTreeMap<BlockId, Vec<u8>>,
    network: BlockId,
}

impl Overlay {
    pub(super) fn new(base: Arc<Store>, upper: Arc<Store>, network: BlockId) -> Self {
        Self {
            base: StoreHistory::new(base),
            upper: StoreHistory::new(upper),
            deleted: BTreeSet::new(),
            stubs: BTreeMap::new(),
            network,
        }
    }

    /// Whether the base has a block.
    pub(super) fn base_has(&self, id: &BlockId) -> bool {
        self.base.location(id).is_some()
    }

    /// The store that is only looked at.
    pub(super) const fn base(&self) -> &StoreHistory {
        &self.base
    }

    /// Has a stub stand in the place of this body, once its header is written.
    pub(super) fn hold_stub(&mut self, body: BlockId, stub: Vec<u8>) {
        self.stubs.insert(body, stub);
    }

    /// Blocks as they are to be written, and which of them are stubs, of which bodies.
    fn with_stubs(&mut self, blocks: Blocks) -> (Blocks, BTreeMap<BlockId, BlockId>) {
        let mut written = BTreeMap::new();
        if self.stubs.is_empty() {
            return (blocks, written);
        }
        let mut all = Vec::with_capacity(blocks.len());
        for (id, bytes) in blocks {
            let body = SignedHeader::read(&bytes).map(|header| header.header.body);
            let stub = body.ok().and_then(|body| self.stubs.remove_entry(&body));
            if let Some((body, stub)) = stub {
                let stub_id = BlockId::of(&stub);
                written.insert(stub_id, body);
                all.push((stub_id, stub));
            }
            all.push((id, bytes));
        }
        (all, written)
    }

    /// Writes what a replica gave out, as the commit thread does.
    pub(super) fn write(&mut self, changes: Changes) -> Result<(), OverlayError> {
        let (blocks, stubs) = self.with_stubs(changes.blocks);
        let store = self.upper.store();
        let blocks: Vec<(BlockId, &[u8])> = blocks
            .iter()
            .map(|(id, bytes)| (*id, bytes.as_slice()))
            .collect();
        let locations = store.append_group(&blocks)?;
        let before = store.watermark();
        let count = before.as_ref().map_or(0, |mark| mark.count) + blocks.len() as u64;
        let mark = match (blocks.last(), locations.last()) {
            (Some((id, _)), Some(at)) => Watermark::after(at, *id, count),
            _ => before.unwrap_or(Watermark::start(self.network, 0)),
        };
        let mut rows: Vec<(Vec<u8>, Option<Vec<u8>>)> = blocks
            .iter()
            .zip(&locations)
            .map(|((id, _), at)| (location_key(id), Some(location_value(at))))
            .collect();
        for ((id, _), at) in blocks.iter().zip(&locations) {
            let place = stubs.get(id).map(stub_key);
            rows.extend(place.map(|place| (place, Some(location_value(at)))));
        }
        for (key, value) in changes.rows {
            if value.is_some() {
                self.deleted.remove(&key);
            } else if self.base.row(&key).is_some() {
                self.deleted.insert(key.clone());
            }
            rows.push((key, value));
        }
        store.commit_rows(rows, &mark)?;
        Ok(())
    }
}

/// What was judged could not be put aside.
#[derive(Debug, thiserror::Error)]
pub(super) enum OverlayError {
    /// Its blocks.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Its rows.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl History for Overlay {
    fn row(&self, key: &[u8]) -> Option<Vec<u8>> {
        let above = self.upper.row(key);
        above.or_else(|| (!self.deleted.contains(key)).then(|| self.base.row(key))?)
    }

    fn rows(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut merged = BTreeMap::new();
        let mut from = after.map(<[u8]>::to_vec);
        while merged.len() < limit {
            let page = self.base.rows(prefix, from.as_deref(), limit);
            let more = page.len() == limit;
            from = page.last().map(|(key, _)| key.clone());
            merged.extend(
                page.into_iter()
                    .filter(|(key, _)| !self.deleted.contains(key)),
            );
            if !more {
                break;
            }
        }
        merged.extend(self.upper.rows(prefix, after, limit));
        merged.into_iter().take(limit).collect()
    }

    fn block(&self, id: &BlockId) -> Option<Vec<u8>> {
        self.upper.block(id).or_else(|| self.base.block(id))
    }

    fn unchecked_block(&self, id: &BlockId) -> Option<Vec<u8>> {
        let upper = self.upper.unchecked_block(id);
        upper.or_else(|| self.base.unchecked_block(id))
    }

    fn stub(&self, body: &BlockId) -> Option<Stub> {
        let held = self.stubs.get(body).map(|stub| Stub::read(stub).ok());
        let above = held.unwrap_or_else(|| self.upper.stub(body));
        above.or_else(|| self.base.stub(body))
    }
}

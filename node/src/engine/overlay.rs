//! A store that is only looked at, with what would be written over it in a store of its own: how an import is judged by the
//! same rules as everything else before anything of it is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use city_protocol::ids::BlockId;
use city_protocol::ledger::{Changes, History};
use city_protocol::vertex::Stub;

use super::StoreHistory;
use super::history::{location_key, location_value};
use crate::store::{AppendError, IndexError, Store, Watermark};

/// Rows and blocks of two stores, the upper one first.
pub(super) struct Overlay {
    base: StoreHistory,
    upper: StoreHistory,
    /// Keys of the base that are deleted above it: at most as many as it has rows.
    deleted: BTreeSet<Vec<u8>>,
    network: BlockId,
}

impl Overlay {
    pub(super) fn new(base: Arc<Store>, upper: Arc<Store>, network: BlockId) -> Self {
        Self {
            base: StoreHistory::new(base),
            upper: StoreHistory::new(upper),
            deleted: BTreeSet::new(),
            network,
        }
    }

    /// Whether the base has a block.
    pub(super) fn base_has(&self, id: &BlockId) -> bool {
        self.base.location(id).is_some()
    }

    /// Writes what a replica gave out, as the commit thread does.
    pub(super) fn write(&mut self, changes: Changes) -> Result<(), OverlayError> {
        let store = self.upper.store();
        let blocks: Vec<(BlockId, &[u8])> = changes
            .blocks
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
        self.base.stub(body)
    }
}

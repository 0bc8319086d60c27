//! The pen: vertices that wait for something. Bounded; what does not fit is dropped and asked for again.

use std::collections::BTreeMap;

use crate::amount::Timestamp;
use crate::ids::{BlockId, LogId};
use crate::ledger::Missing;
use crate::trust::PeerId;
use crate::vertex::VerifiedVertex;

/// Most vertices that wait.
const MAX_VERTICES: usize = 1024;
/// Most bytes of bodies that wait: a small box has little memory.
const MAX_BYTES: usize = 32 << 20;

/// A vertex with what it waits for.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) vertex: VerifiedVertex,
    pub(super) missing: Missing,
    pub(super) from: Option<PeerId>,
}

/// Vertices by their ids.
#[derive(Debug, Default)]
pub(super) struct Pen {
    waiting: BTreeMap<BlockId, Waiting>,
    bytes: usize,
}

impl Pen {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn contains(&self, id: &BlockId) -> bool {
        self.waiting.contains_key(id)
    }

    /// Puts a vertex in; says whether there was room.
    pub(super) fn put(&mut self, waiting: Waiting) -> bool {
        let bytes = waiting.vertex.body_block.len();
        if self.waiting.len() >= MAX_VERTICES || self.bytes + bytes > MAX_BYTES {
            return false;
        }
        self.bytes += bytes;
        if let Some(old) = self.waiting.insert(waiting.vertex.id(), waiting) {
            self.bytes -= old.vertex.body_block.len();
        }
        true
    }

    /// Another vertex of the same position, if one waits.
    pub(super) fn rival(&self, vertex: &VerifiedVertex) -> Option<&VerifiedVertex> {
        let h = &vertex.header.header;
        self.waiting.values().map(|w| &w.vertex).find(|other| {
            let o = &other.header.header;
            (o.log, o.epoch, o.seq) == (h.log, h.epoch, h.seq) && other.id() != vertex.id()
        })
    }

    /// Takes out what waits for this vertex or for its log.
    pub(super) fn release(&mut self, id: &BlockId, log: &LogId) -> Vec<Waiting> {
        self.take(|w| w.missing == Missing::Vertex(*id) || w.missing == Missing::Log(*log))
    }

    /// Takes out what waited for a moment that has come.
    pub(super) fn release_due(&mut self, now: Timestamp) -> Vec<Waiting> {
        self.take(|w| matches!(w.missing, Missing::Time(at) if at <= now))
    }

    /// Drops what waits of a log beyond a position: it is frozen there.
    pub(super) fn drop_beyond(&mut self, log: &LogId, cut: u64) {
        self.take(|w| w.vertex.header.header.log == *log && w.vertex.header.header.seq > cut);
    }

    fn take(&mut self, wanted: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let ids: Vec<_> =
            self.waiting.iter().filter(|(_, w)| wanted(w)).map(|(id, _)| *id).collect();
        let taken: Vec<_> = ids.iter().filter_map(|id| self.waiting.remove(id)).collect();
        self.bytes -= taken.iter().map(|w| w.vertex.body_block.len()).sum::<usize>();
        taken
    }
}

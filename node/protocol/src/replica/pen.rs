//! The pen: vertices that wait for something. Bounded: the one that has waited longest makes room, so that
//! nobody can fill it for good; what was dropped is asked for again by the next comparison of frontiers.

use std::collections::BTreeMap;

use crate::amount::Timestamp;
use crate::ids::{BlockId, LogId};
use crate::ledger::Missing;
use crate::trust::PeerId;
use crate::vertex::{SignedHeader, VerifiedVertex};

/// Most vertices that wait.
const MAX_VERTICES: usize = 1024;
/// Most bytes of bodies that wait: a small box has little memory.
const MAX_BYTES: usize = 32 << 20;

/// How long a vertex waits for another one, in milliseconds: ten minutes. A liar may keep that back for ever;
/// where a peer really has it, its frontier brings both again.
const PATIENCE_MS: u64 = 10 * 60 * 1000;

/// A vertex with what it waits for.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) vertex: VerifiedVertex,
    pub(super) missing: Missing,
    pub(super) from: Option<PeerId>,
    /// Since when, to find the one that has waited longest.
    pub(super) since: Timestamp,
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

    /// How many wait for a moment.
    pub(super) fn early(&self) -> usize {
        let early = |w: &&Waiting| matches!(w.missing, Missing::Time(_));
        self.waiting.values().filter(early).count()
    }

    pub(super) fn contains(&self, id: &BlockId) -> bool {
        self.waiting.contains_key(id)
    }

    /// Puts a vertex in, in place of the one that has waited longest if there is no room.
    pub(super) fn put(&mut self, waiting: Waiting) {
        let bytes = waiting.vertex.body_block.len();
        if let Some(old) = self.waiting.insert(waiting.vertex.id(), waiting) {
            self.bytes -= old.vertex.body_block.len();
        }
        self.bytes += bytes;
        while self.waiting.len() > MAX_VERTICES || self.bytes > MAX_BYTES {
            let oldest = self
                .waiting
                .iter()
                .min_by_key(|(_, w)| w.since)
                .map(|(id, _)| *id);
            let Some(old) = oldest.and_then(|id| self.waiting.remove(&id)) else {
                return;
            };
            self.bytes -= old.vertex.body_block.len();
        }
    }

    /// Vertices that others wait for and that do not wait here themselves, with a peer that may have them.
    pub(super) fn missing(&self) -> BTreeMap<BlockId, Option<PeerId>> {
        let missing = self.waiting.values().filter_map(|w| match w.missing {
            Missing::Vertex(id) if !self.contains(&id) => Some((id, w.from)),
            _ => None,
        });
        missing.collect()
    }

    /// Whether a vertex waits for this one.
    pub(super) fn awaits(&self, id: &BlockId) -> bool {
        self.waiting
            .values()
            .any(|w| w.missing == Missing::Vertex(*id))
    }

    /// Another vertex of the same position, if one waits.
    pub(super) fn rival(&self, header: &SignedHeader) -> Option<&VerifiedVertex> {
        let h = &header.header;
        self.waiting.values().map(|w| &w.vertex).find(|other| {
            let o = &other.header.header;
            (o.log, o.epoch, o.seq) == (h.log, h.epoch, h.seq) && other.id() != header.id
        })
    }

    /// Takes out one that waits.
    pub(super) fn take_one(&mut self, id: &BlockId) -> Option<Waiting> {
        let waiting = self.waiting.remove(id)?;
        self.bytes -= waiting.vertex.body_block.len();
        Some(waiting)
    }

    /// Takes out what waits for this vertex or for its log.
    pub(super) fn release(&mut self, id: &BlockId, log: &LogId) -> Vec<Waiting> {
        self.take(|w| w.missing == Missing::Vertex(*id) || w.missing == Missing::Log(*log))
    }

    /// Takes out what waited for a moment that has come.
    pub(super) fn release_due(&mut self, now: Timestamp) -> Vec<Waiting> {
        self.take(|w| matches!(w.missing, Missing::Time(at) if at <= now))
    }

    /// Drops what has waited in vain.
    pub(super) fn forget_old(&mut self, now: Timestamp) {
        self.take(|w| !matches!(w.missing, Missing::Time(_)) && now.since(w.since) > PATIENCE_MS);
    }

    /// Drops what waits of a log beyond a position: it is frozen there.
    pub(super) fn drop_beyond(&mut self, log: &LogId, cut: u64) {
        self.take(|w| w.vertex.header.header.log == *log && w.vertex.header.header.seq > cut);
    }

    fn take(&mut self, wanted: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let ids: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, w)| wanted(w))
            .map(|(id, _)| *id)
            .collect();
        let taken: Vec<_> = ids
            .iter()
            .filter_map(|id| self.waiting.remove(id))
            .collect();
        self.bytes -= taken
            .iter()
            .map(|w| w.vertex.body_block.len())
            .sum::<usize>();
        taken
    }
}

//! Keeps the notes about the own log while the node runs: how far it ever was, that it was begun, and that a
//! ledger which was gone is whole again.

use std::collections::BTreeMap;
use std::sync::Arc;

use city_protocol::ids::{BlockId, LogId};
use city_protocol::ledger::{History, Rows as _};
use city_protocol::replica::frontier;
use city_protocol::sync::{FrontierEntry, Message, frontier_hash};
use city_protocol::trust::PeerId;
use city_protocol::vertex::SignedHeader;

use super::commit::EngineError;
use super::counter::{Counter, Mover};
use super::{StoreHistory, own_high_water};
use crate::net::MAX_WHITELIST;
use crate::store::{HighWater, Store};

pub(super) struct Guard {
    log: LogId,
    never_begun: bool,
    mover: Mover,
    gone: bool,
    /// Whether that is still to be noted in the directory.
    unnoted: bool,
    /// How many peers the whitelist has: all are heard before a ledger that was gone counts as whole.
    peers: usize,
    /// What peers say they have of the own log: newest of each.
    claims: BTreeMap<PeerId, FrontierEntry>,
    marked: Option<HighWater>,
}

impl Guard {
    pub(super) fn new(
        store: &Arc<Store>,
        log: LogId,
        peers: usize,
        counter: Option<Box<dyn Counter>>,
    ) -> Self {
        let notes = store.notes();
        Self {
            log,
            // If it cannot be read, removing it is tried, and what is gone stays gone.
            never_begun: notes.never_begun().unwrap_or(true),
            mover: Mover::new(counter),
            gone: notes.is_gone().unwrap_or(true),
            unnoted: false,
            peers,
            claims: BTreeMap::new(),
            marked: notes.high_water().ok().flatten(),
        }
    }

    /// Raises the high-water mark to the own log's head. That costs fsyncs of its own, so it is done seldom. It follows what is
    /// durable, so a mark that could not be written only says less; it is tried again.
    pub(super) fn mark(&mut self, history: &StoreHistory) {
        let head = own_high_water(history, &self.log);
        if head.is_none() || head == self.marked {
            return;
        }
        match head.map(|head| history.store().notes().raise(&head)) {
            Some(Err(error)) => tracing::warn!(%error, "HIGHWATER could not be written"),
            _ => self.marked = head,
        }
    }

    /// With the first own vertex durable and not yet visible, the log has begun. Not earlier: a node that
    /// waits for its clock and is started again must still be able to begin. The counter moves here, too.
    pub(super) fn begun(
        &mut self,
        appended: &[(BlockId, &[u8])],
        store: &Arc<Store>,
    ) -> Result<(), EngineError> {
        let own = |block: &[u8]| {
            SignedHeader::read(block).is_ok_and(|header| header.header.log == self.log)
        };
        if !(self.never_begun || self.mover.is_due())
            || !appended.iter().any(|(_, block)| own(block))
        {
            return Ok(());
        }
        if self.never_begun {
            store.notes().begun().map_err(EngineError::Begun)?;
            self.never_begun = false;
        }
        self.mover.appended(store);
        Ok(())
    }

    /// Hears what a peer has of the own log: it counts when it is not known whether all of it is here.
    pub(super) fn hear(&mut self, from: PeerId, told: &Message, history: &StoreHistory) {
        if self.claims.len() >= MAX_WHITELIST && !self.claims.contains_key(&from) {
            return;
        }
        let own = match told {
            Message::Frontier(entries)
            | Message::Difference(entries)
            | Message::Announce(entries) => {
                entries.iter().find(|entry| entry.log == self.log).cloned()
            }
            // Who has the same of every log sends no frontier.
            Message::Beacon(theirs) if self.gone => {
                let mine = frontier(history);
                let own = mine.iter().find(|entry| entry.log == self.log);
                own.filter(|_| frontier_hash(&mine) == theirs.hash).cloned()
            }
            _ => None,
        };
        if let Some(own) = own {
            self.claims.insert(from, own);
        }
    }

    /// Nobody says anything more under this peer id: its successor is one of those that are to be heard.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.claims.remove(peer);
    }

    /// A peer has shown that the data directory is an old copy: from now on only peers can tell when all of the own log
    /// is here, in this run and in every later one.
    pub(super) fn rolled_back(&mut self, store: &Store) {
        (self.gone, self.unnoted) = (true, true);
        self.note_gone(store);
    }

    fn note_gone(&mut self, store: &Store) {
        match store.notes().note_gone() {
            Ok(()) => self.unnoted = false,
            // Tried again. Meanwhile nothing is signed in this run, and the next asks its peers again.
            Err(error) => tracing::error!(%error, "GONE could not be written"),
        }
    }

    /// A ledger that was gone is whole again when every whitelisted peer was heard, and the newest that they
    /// have of the own log is what is here. One alone may itself be behind.
    pub(super) fn settle(&mut self, history: &StoreHistory) {
        if self.unnoted {
            self.note_gone(history.store());
        }
        if !self.gone || self.unnoted || self.claims.is_empty() || self.claims.len() < self.peers {
            return;
        }
        let Some(row) = (history as &dyn History).log(&self.log) else {
            return;
        };
        let mine = FrontierEntry::of(&self.log, &row);
        let same = self.claims.values().any(|claim| *claim == mine);
        let ahead = |claim: &FrontierEntry| (claim.epoch, claim.seq) > (mine.epoch, mine.seq);
        if !same || self.claims.values().any(ahead) {
            return;
        }
        self.mark(history);
        match history.store().notes().clear_gone() {
            Ok(()) => {
                self.gone = false;
                tracing::warn!(
                    "the own log was fetched again: restart the node, and it books again"
                );
            }
            Err(error) => tracing::warn!(%error, "GONE could not be removed"),
        }
    }
}

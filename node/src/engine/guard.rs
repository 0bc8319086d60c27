//! Keeps the notes about the own log while the node runs: how far it ever was, that it was begun, and that a
//! ledger which was gone is whole again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use city_protocol::ids::{BlockId, LogId};
use city_protocol::ledger::{History, Rows as _};
use city_protocol::sync::{FrontierEntry, Message};
use city_protocol::trust::PeerId;
use city_protocol::vertex::SignedHeader;

use super::commit::EngineError;
use super::counter::{Counter, Mover};
use super::{StoreHistory, own_high_water};
use crate::net::MAX_WHITELIST;
use crate::store::{HighWater, Store};

/// How often the high-water mark is written at most: it costs an fsync of its own.
const MARK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Guard {
    log: LogId,
    never_begun: bool,
    mover: Mover,
    gone: bool,
    /// How many peers the whitelist has: all are heard before a ledger that was gone counts as whole.
    peers: usize,
    /// What peers say they have of the own log, while the ledger counts as gone.
    claims: BTreeMap<PeerId, FrontierEntry>,
    marked: Option<HighWater>,
    marked_at: Instant,
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
            peers,
            claims: BTreeMap::new(),
            marked: notes.high_water().ok().flatten(),
            marked_at: Instant::now(),
        }
    }

    /// Raises the high-water mark to the own log's head, seldom. It follows what is durable, so a mark that
    /// could not be written only says less; it is tried again.
    pub(super) fn mark(&mut self, history: &StoreHistory, now: bool) {
        if !now && self.marked_at.elapsed() < MARK_EVERY {
            return;
        }
        self.marked_at = Instant::now();
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

    /// Hears what a peer has of the own log, while it is not known whether all of it is here.
    pub(super) fn hear(&mut self, from: PeerId, told: &Message) {
        let (Message::Frontier(entries) | Message::Announce(entries)) = told else {
            return;
        };
        if !self.gone || (self.claims.len() >= MAX_WHITELIST && !self.claims.contains_key(&from)) {
            return;
        }
        if let Some(own) = entries.iter().find(|entry| entry.log == self.log) {
            self.claims.insert(from, own.clone());
        }
    }

    /// A ledger that was gone is whole again when every whitelisted peer was heard, and the newest that they
    /// have of the own log is what is here. One alone may itself be behind.
    pub(super) fn settle(&mut self, history: &StoreHistory) {
        if !self.gone || self.claims.is_empty() || self.claims.len() < self.peers {
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
        self.mark(history, true);
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

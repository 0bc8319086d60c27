//! The home's own keys and what this run still owes its log: the `start` entry.

use std::sync::Arc;

use super::confirm::{Confirmation, Confirming, Standing};
use crate::body::Start;
use crate::crypto::Signer;
use crate::ids::{Digest, LogId};
use crate::ledger::{History, Rows};
use crate::refusal::Refusal;
use crate::vertex::{Authority, Entry};

/// The own log's keys and state.
pub(super) struct Home {
    pub(super) authority: Arc<Authority>,
    /// Its charters, and its epochs' beginnings, as they stand in every receipt.
    pub(super) charters: Arc<Vec<Entry>>,
    /// Keys that are at hand: that of the newest epoch, and the next one before it begins.
    signers: Vec<Box<dyn Signer>>,
    pub(super) start: Start,
    /// Whether the log may be extended in this run.
    may_sequence: bool,
    /// Whether the log is known to be whole.
    pub(super) confirming: Confirming,
    /// Whether an epoch was begun that is not durable yet.
    begins_epoch: bool,
    /// Whether this run's `start` is durable.
    start_written: bool,
    /// The vertex that carries this run's `start`, once one was opened.
    start_at: Option<(u64, u64)>,
}

impl Home {
    pub(super) fn new(
        authority: Arc<Authority>,
        signers: Vec<Box<dyn Signer>>,
        start: Start,
        may_sequence: bool,
    ) -> Self {
        Self {
            charters: entries(&authority),
            authority,
            signers,
            start,
            may_sequence,
            confirming: Confirming::new(Confirmation::Confirmed),
            begins_epoch: false,
            start_written: false,
            start_at: None,
        }
    }

    pub(super) fn log(&self) -> LogId {
        self.authority.log
    }

    pub(super) fn authority(&self) -> Arc<Authority> {
        self.authority.clone()
    }

    pub(super) fn software(&self) -> &str {
        &self.start.software
    }

    /// The key that signs the newest epoch, if it is at hand.
    pub(super) fn signer(&self) -> Option<&dyn Signer> {
        let key = self.authority.node_key();
        let signers = self.signers.iter().map(AsRef::as_ref);
        signers
            .into_iter()
            .find(|signer| signer.public_key() == key)
    }

    /// Learns of a newer epoch or charter of the own log, or of those that count.
    pub(super) fn learn(&mut self, authority: Arc<Authority>) {
        if authority.epoch() >= self.authority.epoch() {
            self.charters = entries(&authority);
            self.authority = authority;
        }
    }

    /// Goes back to the epoch and the charter that are durable.
    pub(super) fn unlearn(&mut self, epoch: u64, charter: Option<Digest>) {
        self.begins_epoch = false;
        let durable = charter.unwrap_or(self.authority.charter_hash);
        if self.authority.epoch() > epoch || self.authority.in_force() != durable {
            self.authority = Arc::new(self.authority.until(epoch, charter));
            self.charters = entries(&self.authority);
        }
    }

    /// Whether this authority's newest epoch could be signed here.
    pub(super) fn could_sign(&self, authority: &Authority) -> bool {
        let key = authority.node_key();
        self.signers.iter().any(|signer| signer.public_key() == key)
    }

    /// The officers closed what was uncertain: a new epoch may be signed whatever stands beyond its cut elsewhere.
    pub(super) const fn begins_epoch(&mut self) {
        self.begins_epoch = true;
    }

    /// The epoch that was begun is durable.
    pub(super) const fn epoch_is_written(&mut self) {
        if self.begins_epoch {
            self.may_sequence = true;
            self.confirming.closed();
        }
        self.begins_epoch = false;
    }

    /// Whether the log may be extended for all that was known at the start, and by peers since.
    pub(super) fn may_extend(&self) -> bool {
        self.may_sequence && self.confirming.standing() != Standing::RolledBack
    }

    pub(super) fn sequences(&self, rows: &(impl Rows + ?Sized)) -> bool {
        self.may_extend()
            && self.confirming.signs()
            && self.signer().is_some()
            && rows.log(&self.log()).is_none_or(|row| row.frozen.is_none())
    }

    /// Why nothing is sequenced, where that is so.
    pub(super) const fn refusal(&self) -> Refusal {
        if self.may_sequence {
            self.confirming.refusal()
        } else {
            Refusal::NotSequencing
        }
    }

    /// Whether the vertex at this position has to carry `start`: no earlier one of this run does.
    pub(super) fn owes_start(&mut self, position: (u64, u64)) -> bool {
        let owed = !self.start_written && self.start_at.is_none_or(|at| at >= position);
        if owed {
            self.start_at = Some(position);
        }
        owed
    }

    /// Looks whether the vertex that carries this run's `start` is durable now.
    pub(super) fn start_is_written(&mut self, history: &dyn History) {
        if let Some((epoch, seq)) = self.start_at {
            self.start_written |= history.vertex_at(&self.log(), epoch, seq).is_some();
        }
    }
}

fn entries(authority: &Authority) -> Arc<Vec<Entry>> {
    Arc::new(authority.entries(authority.epoch(), Some(authority.in_force())))
}

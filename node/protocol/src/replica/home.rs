//! The home's own keys and what this run still owes its log: the `start` entry.

use std::sync::Arc;

use crate::body::Start;
use crate::crypto::Signer;
use crate::ids::LogId;
use crate::ledger::{History, Rows};
use crate::vertex::{Authority, Entry};

use super::receipts::charters;

/// The own log's keys and state.
pub(super) struct Home {
    pub(super) authority: Arc<Authority>,
    /// Its charter as it stands in every receipt.
    pub(super) charters: Arc<Vec<Entry>>,
    pub(super) signer: Box<dyn Signer>,
    pub(super) start: Start,
    /// Whether the log may be extended in this run.
    may_sequence: bool,
    /// Whether this run's `start` is durable.
    start_written: bool,
    /// The vertex that carries this run's `start`, once one was opened.
    start_at: Option<(u64, u64)>,
}

impl Home {
    pub(super) fn new(
        authority: Arc<Authority>,
        signer: Box<dyn Signer>,
        start: Start,
        may_sequence: bool,
    ) -> Self {
        Self {
            charters: charters(&authority),
            authority,
            signer,
            start,
            may_sequence,
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

    pub(super) fn sequences(&self, rows: &(impl Rows + ?Sized)) -> bool {
        self.may_sequence && rows.log(&self.log()).is_none_or(|row| row.frozen.is_none())
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

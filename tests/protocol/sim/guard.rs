//! The high-water mark as the node keeps it (`node/src/daemon/rollback.rs`): how far the own log ever was, written
//! at most once a second and never taken back by a restored ledger.

use city_protocol::amount::Timestamp;
use city_protocol::ids::BlockId;
use city_protocol::ledger::Rows as _;

use crate::home::Home;

/// How often the mark is written at most, in milliseconds.
const MARK_EVERY_MS: u64 = 1_000;

/// A home's mark.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Guard {
    mark: Option<(u64, BlockId)>,
    marked_at: Timestamp,
}

impl Guard {
    pub(crate) fn new(home: &Home) -> Self {
        let mut guard = Self::default();
        guard.raise(home);
        guard
    }

    /// The node marks how far its log is, unless it did so just now.
    pub(crate) fn mark(&mut self, home: &Home, now: Timestamp) {
        if !home.down && now.since(self.marked_at) >= MARK_EVERY_MS {
            self.marked_at = now;
            self.raise(home);
        }
    }

    /// Raises the mark to what the index knows.
    pub(crate) fn raise(&mut self, home: &Home) {
        let row = home.disk.read().log(&home.log());
        if let Some(row) = row.filter(|row| self.mark.is_none_or(|(seq, _)| seq < row.seq)) {
            self.mark = Some((row.seq, row.head));
        }
    }

    /// Whether the whole own log is here, so that it may be extended.
    pub(crate) fn is_whole(&self, home: &Home) -> bool {
        let disk = home.disk.read();
        let Some((seq, head)) = self.mark else {
            return true;
        };
        disk.log(&home.log()).is_some_and(|row| {
            let there = disk.vertex_at(&home.log(), row.epoch, seq) == Some(head);
            row.frozen.is_some() || (row.seq >= seq && there)
        })
    }
}

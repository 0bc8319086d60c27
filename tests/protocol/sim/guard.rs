//! What a node notes beside its log (`node/src/daemon/rollback.rs`, `node/src/engine/guard.rs`): how far that ever was, written at most once a
//! second and never taken back by a restored ledger; and that a peer has shown it to be an old copy.

use city_protocol::amount::Timestamp;
use city_protocol::ids::BlockId;
use city_protocol::ledger::{LogRow, Rows as _};

use crate::home::Home;

/// How often the mark is written at most, in milliseconds.
const MARK_EVERY_MS: u64 = 1_000;

/// A home's mark.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Guard {
    mark: Option<(u64, u64, BlockId)>,
    marked_at: Timestamp,
    /// A peer knew more: only all of them can tell when the log is whole again.
    pub(crate) gone: bool,
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
        let higher = |row: &LogRow| {
            let mark = self.mark.map(|(epoch, seq, _)| (epoch, seq));
            mark < Some((row.epoch, row.seq))
        };
        if let Some(row) = row.filter(higher) {
            self.mark = Some((row.epoch, row.seq, row.head));
        }
    }

    /// Whether the whole own log is here, so that it may be extended.
    pub(crate) fn is_whole(&self, home: &Home) -> bool {
        let disk = home.disk.read();
        if self.gone {
            return false;
        }
        let Some((epoch, seq, head)) = self.mark else {
            return true;
        };
        disk.log(&home.log()).is_some_and(|row| {
            let there = disk.vertex_at(&home.log(), epoch, seq) == Some(head);
            row.frozen.is_some()
                // What the mark knows was closed by the officers, at a cut that may be lower.
                || row.epoch > epoch
                || ((row.epoch, row.seq) >= (epoch, seq) && there)
        })
    }
}

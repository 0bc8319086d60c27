//! The commit thread's pulse: how a watchdog sees that it goes round.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the rounds of the commit thread. A tick makes it go round every second even when nobody asks for
/// anything, so a count that stands still means a thread that hangs: in an fsync, a lock, a loop.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// One round is done.
    pub(crate) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Rounds until now.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

//! How much one peer may have this node do for nothing: control messages by their bytes. Pure: time is an argument.

use std::time::{Duration, Instant};

use crate::net::Limits;

/// What a message counts at least, bytes: reading, queueing and answering it costs that however short it is.
const LEAST: usize = 128;

/// A bucket that fills with time.
pub(super) struct Budget {
    rate: f64,
    most: f64,
    left: f64,
    at: Instant,
}

impl Budget {
    /// A full one.
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        let most = limits.control_burst as f64;
        Self {
            rate: limits.control_rate as f64,
            most,
            left: most,
            at: now,
        }
    }

    /// Takes a message of so many bytes; answers how long to wait before the next is looked at.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.rate).min(self.most);
        self.at = now;
        self.left -= bytes.max(LEAST) as f64;
        Duration::from_secs_f64((-self.left / self.rate).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_waits_and_a_burst_does_not() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let limits = Limits {
            control_rate: 1000,
            control_burst: 10_000,
            ..Limits::default()
        };
        let mut budget = Budget::new(&limits, begin);
        assert_eq!(budget.take(9_000, begin), Duration::ZERO);
        assert_eq!(budget.take(1_000, begin), Duration::ZERO);
        assert_eq!(budget.take(1, begin), Duration::from_millis(128));
        assert_eq!(budget.take(1_872, begin), 2 * second);
        assert_eq!(budget.take(1_000, begin + 3 * second), Duration::ZERO);
        // However long it was quiet, no more than a burst is saved.
        let later = begin + 1000 * second;
        assert_eq!(budget.take(11_000, later), second);
    }
}

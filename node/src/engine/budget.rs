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

    /// The same with another rate, in bytes a second, and nothing saved: what is taken is waited for.
    pub(super) fn pace(rate: usize, now: Instant) -> Self {
        Self {
            rate: rate as f64,
            most: 0.0,
            left: 0.0,
            at: now,
        }
    }

    /// How long to wait until nothing is owed.
    pub(super) fn owes(&mut self, now: Instant) -> Duration {
        self.fill(now);
        Duration::from_secs_f64((-self.left / self.rate).max(0.0))
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.rate).min(self.most);
        self.at = now;
    }

    /// Takes a message of so many bytes; answers how long to wait before the next is looked at.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> Duration {
        self.fill(now);
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

    #[test]
    fn what_a_reader_was_sent_is_owed_until_its_time_is_over() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let mut pace = Budget::pace(1000, begin);
        assert_eq!(pace.owes(begin), Duration::ZERO);
        assert_eq!(pace.take(3_000, begin), 3 * second);
        assert_eq!(pace.owes(begin + second), 2 * second);
        assert_eq!(pace.owes(begin + 3 * second), Duration::ZERO);
        // Nothing is saved while it is quiet.
        assert_eq!(pace.take(1_000, begin + 1000 * second), second);
    }
}

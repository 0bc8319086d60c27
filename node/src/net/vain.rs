//! Handshakes that led to nobody who is listed, or to a connection without streams, by where they came from: whoever goes on is refused before TLS, for each costs
//! a core about a millisecond, and on two slow cores that would be taken from those who are listed. Pure.

use super::Carrier;
use std::{collections::HashMap, net::IpAddr};

/// For how long they are counted together, in milliseconds.
pub(super) const WINDOW_MS: u64 = 10_000;
/// Most callers of each carrier of whom that is remembered in one such time; those beyond are bounded by how many handshakes there are at once.
const MAX_CALLERS: usize = 4096;

/// Whom a handshake is counted to.
pub(super) type Source = (Carrier, IpAddr);

/// The counts of the present window; each carrier's apart, for the senders of datagrams can be made up without end.
#[derive(Debug, Default)]
pub(super) struct Vain {
    since_ms: u64,
    callers: HashMap<Carrier, HashMap<IpAddr, u32>>,
}

impl Vain {
    /// Counts one that came to nothing; gives how many those are by now.
    pub(super) fn count(&mut self, (carrier, address): Source, now_ms: u64) -> u32 {
        self.begin(now_ms);
        let callers = self.callers.entry(carrier).or_default();
        if callers.len() >= MAX_CALLERS && !callers.contains_key(&address) {
            return 0;
        }
        let count = callers.entry(address).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// How many of this caller came to nothing in the present window.
    pub(super) fn of(&mut self, source: &Source, now_ms: u64) -> u32 {
        self.begin(now_ms);
        let callers = self.callers.get(&source.0);
        let count = callers.and_then(|callers| callers.get(&source.1));
        count.copied().unwrap_or_default()
    }

    fn begin(&mut self, now_ms: u64) {
        // A clock that was put back begins another one, too.
        if now_ms.abs_diff(self.since_ms) >= WINDOW_MS {
            self.since_ms = now_ms;
            self.callers.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_last_for_their_window_and_stay_bounded() {
        let source = |n: u32| (Carrier::Tcp, IpAddr::V4(n.into()));
        let mut vain = Vain::default();
        vain.count(source(1), WINDOW_MS);
        vain.count(source(1), WINDOW_MS + 1);
        assert_eq!(vain.of(&source(1), WINDOW_MS + 2), 2);
        assert_eq!(vain.of(&(Carrier::Quic, source(1).1), WINDOW_MS + 2), 0);
        for n in (0..).take(2 * MAX_CALLERS) {
            vain.count(source(n), WINDOW_MS + 3);
        }
        assert_eq!(vain.callers[&Carrier::Tcp].len(), MAX_CALLERS);
        assert_eq!(vain.of(&source(1), WINDOW_MS + 4), 3);
        assert_eq!(vain.of(&source(1), 2 * WINDOW_MS), 0);
        vain.count(source(1), 2 * WINDOW_MS);
        assert_eq!(vain.of(&source(1), 0), 0);
    }
}

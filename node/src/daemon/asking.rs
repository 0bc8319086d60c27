//! Asking connected peers for the certificates of listed nodes that this node does not hold: as somebody is listed, and once an
//! hour while one is missing. A peer that connects is asked by the bridge.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::engine::{TransportKey, utc};
use crate::net::NetHandle;
use crate::trust::Keeper;

/// From somebody being listed until others are asked: it may connect and show its own certificate, and several may be listed one
/// after the other.
const GATHER: Duration = Duration::from_secs(2);
/// How often others are asked again while a certificate is missing.
const AGAIN: Duration = Duration::from_secs(60 * 60);
/// Rounds of questions one after the other, and how soon there may be one more: at most 56 a day, for a peer takes 128 messages
/// about keys a day from one other.
const ROUNDS: u32 = 8;
const REFILL: Duration = Duration::from_secs(30 * 60);

/// Who asks.
pub(super) struct Asker {
    /// What is listed and held.
    pub(super) trust: Keeper,
    /// Signs the questions.
    pub(super) key: TransportKey,
    /// Takes them to who is connected.
    pub(super) net: NetHandle,
}

impl Asker {
    /// Asks until `stop`.
    pub(super) async fn ask(self, stop: CancellationToken) {
        let mut rounds = Rounds::new(Instant::now());
        let mut again = interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first comes at once, when nobody is connected.
        again.tick().await;
        // Who is listed from the start is asked for as peers connect.
        tokio::select! {
            biased;
            () = self.net.whitelist().listed() => {}
            () = std::future::ready(()) => {}
        }
        loop {
            let listed = async {
                self.net.whitelist().listed().await;
                sleep(GATHER).await;
            };
            tokio::select! {
                () = listed => {}
                _ = again.tick() => {}
                () = stop.cancelled() => return,
            }
            let trust = self.trust.clone();
            let missing = tokio::task::spawn_blocking(move || trust.without_certificate(utc()));
            // One that panicked knows of none.
            let missing = missing.await.unwrap_or_default();
            if !missing.is_empty() && rounds.take(Instant::now()) {
                let asked = self.key.ask_all(&self.trust, &self.net, &missing).len();
                tracing::debug!(wanted = missing.len(), asked, "certificates");
            }
        }
    }
}

/// How many rounds may follow now.
struct Rounds {
    left: u32,
    filled: Instant,
}

impl Rounds {
    const fn new(now: Instant) -> Self {
        Self {
            left: ROUNDS,
            filled: now,
        }
    }

    /// Takes one, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        while self.left < ROUNDS && now.duration_since(self.filled) >= REFILL {
            self.left += 1;
            self.filled += REFILL;
        }
        if self.left == ROUNDS {
            self.filled = now;
        }
        let one = self.left > 0;
        self.left = self.left.saturating_sub(1);
        one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_asked_less_often_than_they_hear() {
        let begun = Instant::now();
        let mut rounds = Rounds::new(begun);
        let mut asked = |from: Duration, tries: u32| {
            let tries = (0..tries).map(|_| rounds.take(begun + from));
            tries.filter(|taken| *taken).count()
        };
        assert_eq!(asked(Duration::ZERO, 100), 8);
        assert_eq!(asked(REFILL - Duration::from_secs(1), 1), 0);
        assert_eq!(asked(REFILL, 2), 1);
        assert_eq!(asked(REFILL * 4, 9), 3);
        // However long nobody was asked.
        assert_eq!(asked(REFILL * 1000, 100), 8);
        let minutes =
            (0..24 * 60).map(|minute| asked(REFILL * 1000 + Duration::from_secs(60 * minute), 1));
        assert!(minutes.sum::<usize>() < 64);
    }
}

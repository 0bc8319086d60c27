//! What the service manager is told (sd_notify(3)): that the node is ready, how it is, that the commit thread
//! goes round, that it stops. Where nobody asked (no `NOTIFY_SOCKET`), nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState::{self, ExtendTimeoutUsec, Ready, Status, Stopping, Watchdog};

use crate::engine::Pulse;

/// How much longer opening may take, from each sign that it goes on: five minutes, as long as the unit's
/// `TimeoutStartSec` gives for the first.
const MORE_TIME_US: u32 = 300_000_000;
/// The commit thread is looked at so often within the watchdog's limit that one late look does no harm.
const LOOKS: u32 = 4;
/// The shortest pause between two looks, whatever limit was set.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// The data directory is being opened, which goes on and may take long; the line says how far it is.
pub(super) fn opening(line: &str) {
    tell(&[ExtendTimeoutUsec(MORE_TIME_US), Watchdog, Status(line)]);
}

/// Everything listens; the line says how the node is.
pub(super) fn ready(line: &str) {
    tell(&[Ready, Status(line)]);
}

/// No new requests are taken any more.
pub(super) fn stopping(line: &str) {
    tell(&[Stopping, Status(line)]);
}

/// Feeds the watchdog, if there is one, as long as the commit thread goes round. Never ends.
pub(super) async fn watchdog(pulse: Pulse) {
    match sd_notify::watchdog_enabled() {
        Some(limit) => feed(limit / LOOKS, &pulse, || tell(&[Watchdog])).await,
        None => std::future::pending().await,
    }
}

async fn feed(pause: Duration, pulse: &Pulse, mut beat: impl FnMut()) {
    let mut seen = pulse.rounds();
    loop {
        tokio::time::sleep(pause.max(SHORTEST_PAUSE)).await;
        let rounds = pulse.rounds();
        if rounds != seen {
            seen = rounds;
            beat();
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told how the node is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn a_commit_thread_that_stands_still_feeds_nothing() {
        let pulse = Pulse::default();
        let beats = AtomicU32::new(0);
        let feeding = feed(SHORTEST_PAUSE, &pulse, || {
            beats.fetch_add(1, Ordering::Relaxed);
        });
        let commit_thread = async {
            for _ in 0..20 {
                pulse.beat();
                tokio::time::sleep(SHORTEST_PAUSE / 4).await;
            }
            // A look that was due may still come for the last round.
            tokio::time::sleep(SHORTEST_PAUSE * 2).await;
            let fed = beats.load(Ordering::Relaxed);
            assert!(fed >= 2, "{fed} beats while it went round");
            // Now it hangs.
            tokio::time::sleep(SHORTEST_PAUSE * 5).await;
            assert_eq!(beats.load(Ordering::Relaxed), fed);
        };
        tokio::select! {
            () = feeding => unreachable!("it never ends"),
            () = commit_thread => {}
        }
    }
}

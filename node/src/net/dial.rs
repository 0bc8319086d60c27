//! When to call whom: known addresses, back-off and jitter. Pure: time and seed are arguments; the
//! task does the dialling.

use super::{Carrier, config::Limits};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// Peers whose addresses are kept: all that can be whitelisted, by half; beyond it new ones are not
/// taken.
const MAX_PEERS: usize = 4096;
/// Addresses kept of a peer; the oldest gives way. A box has a few interfaces and an old address or
/// two.
const MAX_ADDRESSES: usize = 8;
/// A connection that lived this long proves that the peer works: the back-off begins anew.
pub(super) const STABLE: Duration = Duration::from_secs(10);
/// Doublings counted at most; the longest pause is reached long before.
const MAX_DOUBLINGS: u32 = 16;

/// The address book with each peer's next attempt.
pub(super) struct Book {
    known: HashMap<PeerId, Known>,
    min: Duration,
    max: Duration,
    jitter: Jitter,
    quic: bool,
}

struct Known {
    addresses: VecDeque<Multiaddr>,
    failures: u32,
    not_before: Instant,
    dialing: bool,
}

impl Book {
    /// `quic`: whether addresses of QUIC can be called.
    pub(super) fn new(limits: &Limits, seed: u64, quic: bool) -> Self {
        Self {
            known: HashMap::new(),
            min: limits.backoff_min,
            max: limits.backoff_max,
            jitter: Jitter(seed),
            quic,
        }
    }

    /// Remembers an address; a peer that is new is due at once. A full book ignores new peers, and addresses that this node
    /// cannot call are not kept: operators and mDNS name them whether QUIC is on or not.
    pub(super) fn add(&mut self, peer: PeerId, address: Multiaddr, now: Instant) {
        if !self.quic && Carrier::of(&address) == Carrier::Quic {
            return;
        }
        if self.known.len() >= MAX_PEERS && !self.known.contains_key(&peer) {
            return;
        }
        let known = self.known.entry(peer).or_insert_with(|| Known {
            addresses: VecDeque::new(),
            failures: 0,
            not_before: now,
            dialing: false,
        });
        if known.addresses.contains(&address) {
            return;
        }
        if known.addresses.len() >= MAX_ADDRESSES {
            known.addresses.pop_front();
        }
        known.addresses.push_back(address);
        known.not_before = now;
    }

    /// Whether one more address of a peer takes the place of none.
    pub(super) fn has_room(&self, peer: &PeerId) -> bool {
        let known = self.known.get(peer);
        known.is_none_or(|known| known.addresses.len() < MAX_ADDRESSES)
    }

    /// Forgets a peer's addresses.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.known.remove(peer);
    }

    /// The peers that are known, with their addresses and the failures since the last call that worked.
    pub(super) fn look(&self) -> impl Iterator<Item = (PeerId, Vec<Multiaddr>, u32)> + '_ {
        let known = self.known.iter();
        known.map(|(peer, known)| {
            let addresses = known.addresses.iter().cloned().collect();
            (*peer, addresses, known.failures)
        })
    }

    /// Up to `room` peers that may be called now, with their addresses, among those that `wanted`
    /// accepts.
    pub(super) fn due(
        &self,
        now: Instant,
        room: usize,
        wanted: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.known
            .iter()
            .filter(|(peer, known)| !known.dialing && known.not_before <= now && wanted(peer))
            .take(room)
            .map(|(peer, known)| (*peer, known.addresses.iter().cloned().collect()))
            .collect()
    }

    /// Own dials under way.
    pub(super) fn dialing(&self) -> usize {
        self.known.values().filter(|known| known.dialing).count()
    }

    pub(super) fn started(&mut self, peer: &PeerId) {
        if let Some(known) = self.known.get_mut(peer) {
            known.dialing = true;
        }
    }

    /// The dial reached the peer; whether that was of use is seen by [`Self::failed`] or
    /// [`Self::lost`].
    pub(super) fn reached(&mut self, peer: &PeerId) {
        if let Some(known) = self.known.get_mut(peer) {
            known.dialing = false;
        }
    }

    /// The attempt failed: the next pause is longer.
    pub(super) fn failed(&mut self, peer: &PeerId, now: Instant) {
        if let Some(known) = self.known.get_mut(peer) {
            known.dialing = false;
            let pause = pause(self.min, self.max, known.failures, self.jitter.next());
            known.failures = (known.failures + 1).min(MAX_DOUBLINGS);
            known.not_before = now + pause;
        }
    }

    /// A working connection ended after `lasted`. A short one counts as a failure, so that two
    /// nodes that throw each other out do not spin.
    pub(super) fn lost(&mut self, peer: &PeerId, lasted: Duration, now: Instant) {
        if lasted >= STABLE
            && let Some(known) = self.known.get_mut(peer)
        {
            known.failures = 0;
        }
        self.failed(peer, now);
    }

    /// Lets everybody be called at once: this node has got another address, so perhaps another line.
    pub(super) fn forgive_all(&mut self, now: Instant) {
        for known in self.known.values_mut() {
            (known.failures, known.not_before) = (0, now);
        }
    }

    /// Lets a peer be called at once: somebody has just said where it is.
    pub(super) fn forgive(&mut self, peer: &PeerId, now: Instant) {
        if let Some(known) = self.known.get_mut(peer) {
            known.failures = 0;
            known.not_before = now;
        }
    }
}

/// `min · 2^failures`, at most `max`, of which a random half to the whole: two nodes that lost each
/// other do not meet in step.
fn pause(min: Duration, max: Duration, failures: u32, random: u64) -> Duration {
    let full = min
        .saturating_mul(1 << failures.min(MAX_DOUBLINGS))
        .min(max);
    let half_ms = u64::try_from(full.as_millis() / 2).unwrap_or(u64::MAX / 2);
    Duration::from_millis(half_ms + random % (half_ms + 1))
}

/// Splits `/…/p2p/<peer id>` into the address and the peer.
pub(super) fn split_peer(mut address: Multiaddr) -> Option<(PeerId, Multiaddr)> {
    match address.pop() {
        Some(Protocol::P2p(peer)) => Some((peer, address)),
        _ => None,
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): spreads dials in time; nothing secret hangs on it.
struct Jitter(u64);

impl Jitter {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn check(failures: u32, random: u64, expected_ms: u64) {
        let pause = pause(
            Duration::from_millis(500),
            Duration::from_secs(60),
            failures,
            random,
        );
        assert_eq!(
            pause.as_millis(),
            u128::from(expected_ms),
            "failures {failures}"
        );
    }

    #[test]
    fn a_pause_doubles_up_to_its_cap_and_never_falls_below_half() {
        check(0, 0, 250);
        check(0, 250, 500);
        check(1, 0, 500);
        check(3, 0, 2_000);
        check(7, 30_000, 60_000);
        check(MAX_DOUBLINGS + 5, 0, 30_000);
    }

    #[test]
    fn a_failed_peer_waits_and_a_full_address_list_drops_the_oldest() {
        let now = Instant::now();
        let mut book = Book::new(&Limits::default(), 7, false);
        let peer = PeerId::random();
        for port in 0..=MAX_ADDRESSES {
            book.add(
                peer,
                format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap(),
                now,
            );
        }
        let due = book.due(now, 9, |_| true);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].1.len(), MAX_ADDRESSES);
        assert_eq!(due[0].1[0].to_string(), "/ip4/127.0.0.1/tcp/1");
        book.started(&peer);
        assert_eq!((book.dialing(), book.due(now, 9, |_| true).len()), (1, 0));
        book.failed(&peer, now);
        assert!(book.due(now, 9, |_| true).is_empty());
        assert_eq!(
            book.due(now + Duration::from_millis(500), 9, |_| true)
                .len(),
            1
        );
        assert!(
            book.due(now + Duration::from_millis(500), 9, |_| false)
                .is_empty()
        );
        book.forgive(&peer, now);
        assert_eq!(book.due(now, 9, |_| true).len(), 1);
        book.forget(&peer);
        assert!(book.due(now, 9, |_| true).is_empty());
    }

    #[test]
    fn quic_is_called_only_where_it_is_spoken() {
        let (now, peer) = (Instant::now(), PeerId::random());
        let address: Multiaddr = "/dns/komatsu.example/udp/7420/quic-v1".parse().unwrap();
        for (quic, called) in [(false, 0), (true, 1)] {
            let mut book = Book::new(&Limits::default(), 7, quic);
            book.add(peer, address.clone(), now);
            assert_eq!(book.due(now, 9, |_| true).len(), called);
        }
    }
}

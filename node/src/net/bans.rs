//! Which peers have broken the rules lately, and for how long they are not spoken to. Pure: time is an argument. Owns a
//! record only of peers that were connected, so the whitelist bounds it.

use super::{config::Limits, handle::Banned};
use libp2p::PeerId;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Connections that end within seconds, so many in [`SHORT_WINDOW`], count together as one offence: somebody who comes and
/// goes costs a handshake and some lines of the log each time. A node of ours that is sent away calls at most half as often.
const SHORT_ONES: u32 = 16;
const SHORT_WINDOW: Duration = Duration::from_secs(60);
/// Why such a peer is banned.
pub(super) const COMES_AND_GOES: &str = "it comes and goes";
/// Doublings counted at most.
const MAX_DOUBLINGS: u32 = 16;

/// The bans and what is remembered for the next.
pub(super) struct Bans {
    first: Duration,
    most: Duration,
    decay: Duration,
    known: HashMap<PeerId, Record>,
}

struct Record {
    offences: u32,
    short_ones: u32,
    /// The first of these.
    short_since: Instant,
    until: Instant,
    /// Why it is not spoken to until then.
    why: String,
    /// When the next thing is forgotten.
    forget: Instant,
}

impl Bans {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            first: limits.ban,
            most: limits.ban_max,
            decay: limits.ban_decay,
            known: HashMap::new(),
        }
    }

    /// The peer broke a rule: answers how long it is banned.
    pub(super) fn offend(&mut self, peer: PeerId, why: &str, now: Instant) -> Duration {
        let (first, most, decay) = (self.first, self.most, self.decay);
        let record = self.record(peer, now);
        let doubled = 1 << record.offences.min(MAX_DOUBLINGS);
        let ban = first.saturating_mul(doubled).min(most);
        record.offences += 1;
        record.until = now + ban;
        why.clone_into(&mut record.why);
        record.forget = record.until + decay;
        ban
    }

    /// A connection of the peer ended within seconds: answers the ban, if that was once too often.
    pub(super) fn short(&mut self, peer: PeerId, now: Instant) -> Option<Duration> {
        let record = self.record(peer, now);
        if now.duration_since(record.short_since) > SHORT_WINDOW {
            (record.short_ones, record.short_since) = (0, now);
        }
        record.short_ones += 1;
        record.forget = record.forget.max(now + SHORT_WINDOW);
        if record.short_ones < SHORT_ONES {
            return None;
        }
        record.short_ones = 0;
        Some(self.offend(peer, COMES_AND_GOES, now))
    }

    /// For how long the peer is still not spoken to.
    pub(super) fn left(&self, peer: &PeerId, now: Instant) -> Option<Duration> {
        let until = self.known.get(peer)?.until;
        (until > now).then(|| until - now)
    }

    /// The same with the reason.
    pub(super) fn banned(&self, peer: &PeerId, now: Instant) -> Option<Banned> {
        let left = self.left(peer, now)?;
        let why = self.known.get(peer)?.why.clone();
        Some(Banned { left, why })
    }

    /// Everybody who is still not spoken to.
    pub(super) fn in_force(&self, now: Instant) -> impl Iterator<Item = (PeerId, Banned)> + '_ {
        let peers = self.known.keys();
        peers.filter_map(move |peer| Some((*peer, self.banned(peer, now)?)))
    }

    /// Forgets what is long ago.
    pub(super) fn decay(&mut self, now: Instant) {
        let decay = self.decay;
        self.known.retain(|_, record| {
            while record.forget <= now && record.offences > 0 {
                record.offences -= 1;
                record.forget += decay;
            }
            record.offences > 0 || record.forget > now
        });
    }

    fn record(&mut self, peer: PeerId, now: Instant) -> &mut Record {
        self.known.entry(peer).or_insert(Record {
            offences: 0,
            short_ones: 0,
            short_since: now,
            until: now,
            why: String::new(),
            forget: now,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_ban_doubles_and_decays() {
        let (begin, peer) = (Instant::now(), PeerId::random());
        let mut bans = Bans::new(&Limits::default());
        assert_eq!(bans.left(&peer, begin), None);
        assert_eq!(bans.offend(peer, "bad-signature", begin), 10 * SECOND);
        assert_eq!(bans.left(&peer, begin + 9 * SECOND), Some(SECOND));
        assert_eq!(bans.left(&peer, begin + 10 * SECOND), None);
        let mut now = begin + 11 * SECOND;
        for expected in [20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600] {
            assert_eq!(bans.offend(peer, "bad-cbor", now), expected * SECOND);
            now += expected * SECOND;
        }
        // Eleven offences: an hour forgets one.
        for _ in 0..10 {
            now += 3600 * SECOND;
            bans.decay(now);
        }
        assert_eq!(bans.offend(peer, "bad-cbor", now), 20 * SECOND);
        bans.decay(now + 100_000 * SECOND);
        assert!(
            bans.known.is_empty(),
            "who was good for a day is not remembered"
        );
    }

    #[test]
    fn who_comes_and_goes_is_banned_in_the_end() {
        let (begin, peer) = (Instant::now(), PeerId::random());
        let mut bans = Bans::new(&Limits::default());
        for number in 1..SHORT_ONES {
            assert_eq!(bans.short(peer, begin + number * SECOND), None);
        }
        assert_eq!(bans.short(peer, begin + 60 * SECOND), Some(10 * SECOND));
        let banned = bans.banned(&peer, begin + 61 * SECOND).unwrap();
        assert_eq!((banned.left, &*banned.why), (9 * SECOND, COMES_AND_GOES));
        bans.decay(begin + 9999 * SECOND);
        assert!(bans.known.is_empty());
        // As often as a back-off of twenty seconds lets a node of ours call.
        for number in 0..1000 {
            let at = begin + (10_000 + 5 * number) * SECOND;
            assert_eq!(bans.short(peer, at), None);
        }
    }
}

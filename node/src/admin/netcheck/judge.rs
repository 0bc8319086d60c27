//! What the facts about a peer come to, and what to do about it. Pure.

use std::net::IpAddr;

use city_protocol::amount::Timestamp;
use libp2p::PeerId;

use super::Wanted;
use super::page::{AddressTried, Heads, Nat, PeerCheck};
use super::{Known, PeerStats};
use crate::net::{Carrier, DialFailure};

/// A clock that is further off is named: what is dated more than five minutes ahead is refused.
const CLOCK_OFF_MS: u64 = 60 * 1000;

/// What is known of a peer.
pub(super) struct Facts<'a> {
    pub(super) listed: &'a Wanted,
    pub(super) now: Timestamp,
    /// Whether the whitelist lets it in now.
    pub(super) whitelisted: bool,
    pub(super) link: Option<&'a PeerStats>,
    /// Whether its hello was accepted.
    pub(super) accepted: bool,
    /// Whether it says that this node may only read there.
    pub(super) only_read_at: bool,
    pub(super) known: Option<&'a Known>,
    pub(super) tried: Vec<AddressTried>,
    pub(super) heads: Option<Heads>,
    /// This node.
    pub(super) me: &'a PeerId,
}

/// Judges one peer.
pub(super) fn peer(facts: Facts<'_>) -> PeerCheck {
    let remedy = remedy(&facts);
    let Facts {
        listed,
        whitelisted,
        link,
        accepted,
        only_read_at,
        known,
        tried,
        heads,
        ..
    } = facts;
    let (connected, greeting) = (
        link.is_some(),
        known.and_then(|known| known.greeting.as_ref()),
    );
    let failure = known
        .and_then(|known| known.failure.as_ref())
        .filter(|_| !connected);
    let called = !tried.is_empty();
    PeerCheck {
        peer_id: listed.peer_id.to_string(),
        name: listed.name.clone(),
        region: listed.region.as_ref().map(ToString::to_string),
        // Who has no address here is waited for, and an ended permission is what was asked for.
        ok: (connected && accepted) || !whitelisted || (!connected && !called),
        listed: whitelisted,
        lists_us: match failure {
            _ if connected && !accepted => None,
            _ if connected => Some(!only_read_at),
            Some(DialFailure::ClosedEarly) => Some(false),
            _ => None,
        },
        addresses: tried,
        connected,
        called_by: link.map(|link| if link.dialer { "us" } else { "them" }.into()),
        address: link.map(|link| link.address.to_string()),
        transport: link.map(|link| Carrier::of(&link.address).code().into()),
        hello: accepted,
        protocol: greeting.map(|greeting| greeting.version),
        software: greeting.map(|greeting| greeting.software.clone()),
        ping_us: link
            .and_then(|link| link.rtt)
            .map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
        clock_ahead_ms: greeting.map(|greeting| greeting.ahead_ms),
        heads,
        failure: failure.map(ToString::to_string),
        sent_away: known
            .and_then(|known| {
                let banned = known.banned.as_ref().map(|banned| &banned.why);
                banned.or(known.sent_away.as_ref()).cloned()
            })
            .filter(|_| !accepted),
        banned_s: known
            .and_then(|known| known.banned.as_ref())
            .map(|banned| banned.left.as_secs() + 1),
        remedy,
    }
}

/// What to do about a peer; `None` where nothing is to be done.
fn remedy(facts: &Facts<'_>) -> Option<String> {
    let known = facts.known;
    if let Some(new) = &facts.listed.followed_by {
        return Some(format!(
            "its key was followed by {new}: write that into config.toml ([[network.peer]])"
        ));
    }
    if !facts.whitelisted {
        let ended = facts.listed.expires_at.is_some_and(|at| at <= facts.now);
        let how = if ended {
            "its permission has ended: set a later expires_at if it is to come back"
        } else {
            "it is not on the whitelist of the running node: run `city-node reload`"
        };
        return Some(how.into());
    }
    let ahead = known
        .and_then(|known| known.greeting.as_ref())
        .map(|greeting| greeting.ahead_ms);
    let off = ahead.filter(|ahead| ahead.unsigned_abs() > CLOCK_OFF_MS);
    if let Some(off) = off {
        let (seconds, way) = (
            off.unsigned_abs() / 1000,
            if off > 0 { "ahead of" } else { "behind" },
        );
        return Some(format!(
            "its clock is {seconds} s {way} this node's: set the clock that is wrong (city-node status shows this one)"
        ));
    }
    if let Some(banned) = known.and_then(|known| known.banned.as_ref()) {
        return Some(format!(
            "it is not spoken to for {} s more ({}): ask its operator which version it runs",
            banned.left.as_secs() + 1,
            banned.why,
        ));
    }
    if facts.link.is_some() {
        let waits = "its hello is not accepted yet; if that lasts, look for its peer id in the log";
        if !facts.accepted {
            return Some(waits.into());
        }
        let reads = || {
            format!(
                "this node only reads there, by what others recommend: ask its operator to approve or whitelist {}",
                facts.me
            )
        };
        return facts.only_read_at.then(reads);
    }
    if let Some(reason) = known.and_then(|known| known.sent_away.as_deref()) {
        return Some(format!(
            "its hello was refused ({reason}): compare network, region and certificate with its operator"
        ));
    }
    if facts.tried.is_empty() {
        return Some("no address is known: it has to call, or give it one in addresses".into());
    }
    if !facts.tried.iter().any(AddressTried::answers) {
        return Some(
            "no address answers: check it, its firewall and whether the peer's node runs; of /dnsaddr/HOST, the TXT records of _dnsaddr.HOST"
                .into(),
        );
    }
    match known.and_then(|known| known.failure.as_ref()) {
        Some(DialFailure::WrongPeerId { obtained, .. }) => Some(format!(
            "another node answers there ({obtained}): check the address or the peer id"
        )),
        Some(DialFailure::Refused(_)) => {
            Some("this node's own limits refuse the call: see [network.limits]".into())
        }
        Some(_) => Some(format!(
            "it answers and closes: ask its operator to whitelist {}; if that is done, whether refused_sources of its status grows, because others call from this address, too",
            facts.me
        )),
        None => Some("it answers and is about to be called: ask again in some seconds".into()),
    }
}

/// What the addresses that peers see say about a translation.
pub(super) fn nat(seen: &[IpAddr], own: &[IpAddr]) -> Nat {
    let guess = if seen.is_empty() {
        "unknown"
    } else if seen.iter().all(|ip| own.contains(ip)) {
        "direct"
    } else {
        "translated"
    };
    Nat {
        guess: guess.into(),
        observed: seen.iter().map(ToString::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Banned, Greeting};
    use std::time::Duration;

    fn check(edit: impl FnOnce(&mut Known, &mut Vec<AddressTried>), ok: bool, remedy: &str) {
        let me = libp2p::identity::Keypair::generate_ed25519();
        let me = me.public().to_peer_id();
        let listed = Wanted {
            peer_id: PeerId::random(),
            name: "小松市".into(),
            region: "Asia/JP/17/17203".parse().ok(),
            addresses: Vec::new(),
            expires_at: None,
            followed_by: None,
        };
        let mut tried = vec![AddressTried {
            address: "/ip4/192.0.2.1/tcp/7420".into(),
            tcp: true,
            quic: None,
            took_ms: 3,
            error: None,
        }];
        let mut known = Known::default();
        edit(&mut known, &mut tried);
        let judged = peer(Facts {
            listed: &listed,
            now: Timestamp(1),
            whitelisted: true,
            link: None,
            accepted: false,
            only_read_at: false,
            known: Some(&known),
            tried,
            heads: None,
            me: &me,
        });
        let said = judged.remedy.unwrap_or_default();
        assert!(
            judged.ok == ok && said.contains(remedy),
            "{}: {said}",
            judged.ok
        );
    }

    #[test]
    fn each_failure_has_its_remedy() {
        check(|_, tried| tried.clear(), true, "it has to call");
        check(|_, tried| tried[0].tcp = false, false, "no address answers");
        let over_quic = |answers: bool| {
            move |_: &mut Known, tried: &mut Vec<AddressTried>| {
                (tried[0].tcp, tried[0].quic) = (false, Some(answers));
            }
        };
        check(over_quic(false), false, "no address answers");
        check(over_quic(true), false, "about to be called");
        check(
            |known, _| known.failure = Some(DialFailure::ClosedEarly),
            false,
            "to whitelist 12D3",
        );
        check(
            |known, _| known.sent_away = Some("bad-certificate".into()),
            false,
            "bad-certificate",
        );
        check(
            |known, _| {
                let (left, why) = (Duration::from_secs(9), "bad-signature".into());
                known.banned = Some(Banned { left, why });
            },
            false,
            "for 10 s more (bad-signature)",
        );
        let hello = |ahead_ms| Greeting {
            version: 1,
            software: "x".into(),
            ahead_ms,
        };
        check(
            |known, _| known.greeting = Some(hello(660_000)),
            false,
            "660 s ahead of",
        );
        check(
            |known, _| known.greeting = Some(hello(-660_000)),
            false,
            "660 s behind",
        );
        check(
            |known, _| known.greeting = Some(hello(20)),
            false,
            "about to be called",
        );
    }

    #[test]
    fn a_translation_is_seen_by_an_address_that_is_not_ours() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (home, router) = (ip("192.168.1.7"), ip("203.0.113.9"));
        assert_eq!(nat(&[], &[home]).guess, "unknown");
        assert_eq!(nat(&[home], &[home]).guess, "direct");
        assert_eq!(nat(&[home, router], &[home]).guess, "translated");
    }
}

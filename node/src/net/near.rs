//! Where mDNS sees peers on the local network. It says so once, and not again for who is listed later or whose addresses were
//! forgotten, so it is kept here. Anybody on that network can say anything: it is bounded.

use libp2p::{Multiaddr, PeerId};
use std::collections::HashMap;

/// Peers that are not listed and are kept: more than stand on one network.
const MAX_STRANGERS: usize = 256;
/// Addresses kept of each: as many as the book keeps.
const MAX_ADDRESSES: usize = 8;

/// The peers that are seen at the moment.
#[derive(Default)]
pub(super) struct Near(HashMap<PeerId, Vec<Multiaddr>>);

impl Near {
    /// A peer is seen here; of those that are not listed many are not kept.
    pub(super) fn seen(&mut self, peer: PeerId, address: Multiaddr, listed: bool) {
        if !listed && self.0.len() >= MAX_STRANGERS && !self.0.contains_key(&peer) {
            return;
        }
        let addresses = self.0.entry(peer).or_default();
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    /// It is seen here no more.
    pub(super) fn gone(&mut self, peer: &PeerId, address: &Multiaddr) {
        if let Some(addresses) = self.0.get_mut(peer) {
            addresses.retain(|other| other != address);
            if addresses.is_empty() {
                self.0.remove(peer);
            }
        }
    }

    /// Where those are seen that are wanted.
    pub(super) fn of(&self, wanted: impl Fn(&PeerId) -> bool) -> Vec<(PeerId, Multiaddr)> {
        let peers = self.0.iter().filter(|(peer, _)| wanted(peer));
        let each = |(peer, addresses): (&PeerId, &Vec<Multiaddr>)| {
            let peer = *peer;
            let addresses = addresses.iter().cloned();
            addresses
                .map(move |address| (peer, address))
                .collect::<Vec<_>>()
        };
        peers.flat_map(each).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_seen_is_found_until_it_is_gone_and_strangers_do_not_fill_it() {
        let mut near = Near::default();
        let at = |port: usize| -> Multiaddr {
            let text = format!("/ip4/192.0.2.1/tcp/{port}");
            text.parse().expect("an address")
        };
        for port in 1..=MAX_STRANGERS + 9 {
            near.seen(PeerId::random(), at(port), false);
        }
        assert_eq!(near.of(|_| true).len(), MAX_STRANGERS);
        let peer = PeerId::random();
        for port in 1..=MAX_ADDRESSES + 9 {
            near.seen(peer, at(port), true);
        }
        let found = near.of(|one| *one == peer);
        assert_eq!(found.len(), MAX_ADDRESSES);
        for (peer, address) in found {
            near.gone(&peer, &address);
        }
        assert!(near.of(|one| *one == peer).is_empty());
        assert_eq!(near.0.len(), MAX_STRANGERS);
    }
}

//! What is remembered of peers for who looks at the network: why a call failed, why a connection was ended. Bounded by
//! the whitelist: who has left it is forgotten.

use super::{
    DialFailure, Whitelist,
    bans::Bans,
    dial::Book,
    handle::{Greeting, Known},
};
use libp2p::PeerId;
use std::{collections::HashMap, time::Instant};

/// The last failure and the last parting of each peer.
#[derive(Default)]
pub(super) struct Memory {
    failures: HashMap<PeerId, DialFailure>,
    sent_away: HashMap<PeerId, String>,
}

impl Memory {
    /// A call of this peer failed.
    pub(super) fn failed(&mut self, peer: PeerId, reason: DialFailure, whitelist: &Whitelist) {
        self.failures.retain(|peer, _| whitelist.contains(peer, 0));
        self.failures.insert(peer, reason);
    }

    /// A connection with it stands.
    pub(super) fn reached(&mut self, peer: &PeerId) {
        self.failures.remove(peer);
    }

    /// Its hello was accepted: why an earlier one was not is over.
    pub(super) fn accepted(&mut self, peer: &PeerId) {
        self.sent_away.remove(peer);
    }

    /// This node ended its connection.
    pub(super) fn sent_away(&mut self, peer: PeerId, reason: &str, whitelist: &Whitelist) {
        self.sent_away.retain(|peer, _| whitelist.contains(peer, 0));
        self.sent_away.insert(peer, reason.to_owned());
    }

    /// Everything that is known of each peer.
    pub(super) fn look(
        &self,
        book: &Book,
        bans: &Bans,
        greetings: &HashMap<PeerId, Greeting>,
        now: Instant,
    ) -> HashMap<PeerId, Known> {
        let mut known: HashMap<PeerId, Known> = HashMap::new();
        for (peer, addresses, failures) in book.look() {
            let known = known.entry(peer).or_default();
            (known.addresses, known.failures) = (addresses, failures);
        }
        for (peer, failure) in &self.failures {
            known.entry(*peer).or_default().failure = Some(failure.clone());
        }
        for (peer, reason) in &self.sent_away {
            known.entry(*peer).or_default().sent_away = Some(reason.clone());
        }
        for (peer, greeting) in greetings {
            known.entry(*peer).or_default().greeting = Some(greeting.clone());
        }
        for (peer, banned) in bans.in_force(now) {
            known.entry(peer).or_default().banned = Some(banned);
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Limits, handle::Banned};

    #[test]
    fn why_a_hello_was_refused_is_forgotten_as_one_is_accepted() {
        let (whitelist, peer) = (Whitelist::default(), PeerId::random());
        whitelist.insert(peer, None).expect("room");
        let limits = Limits::default();
        let (book, bans) = (Book::new(&limits, 7, false), Bans::new(&limits));
        let mut memory = Memory::default();
        let why = |memory: &Memory| {
            let known = memory.look(&book, &bans, &HashMap::new(), Instant::now());
            known.get(&peer).and_then(|known| known.sent_away.clone())
        };
        memory.sent_away(peer, "bad-certificate", &whitelist);
        memory.reached(&peer);
        assert_eq!(why(&memory).as_deref(), Some("bad-certificate"));
        memory.accepted(&peer);
        assert_eq!(why(&memory), None);
        // Who is banned is told of also if nothing else is known of it.
        let (mut bans, now) = (Bans::new(&limits), Instant::now());
        let left = bans.offend(peer, "bad-signature", now);
        let known = memory.look(&book, &bans, &HashMap::new(), now);
        let why = "bad-signature".to_owned();
        assert_eq!(known[&peer].banned, Some(Banned { left, why }));
    }
}

//! The sync protocol as the replica speaks it: hello, dispatch of messages, and what is due with time.
//! Comparing stands in `compare`, asking in `ask`, answering in `serve`, news in `step`.

use std::sync::Arc;

use super::serve::{send_beginning, send_proof, serve_single};
use super::{Action, Now, Replica, frontier, log_rows};
use crate::ledger::{Frozen, History, Rows as _};
use crate::pki;
use crate::refusal::Refusal;
use crate::region::Region;
use crate::sync::{Beacon, Channel, Hello, Message, PROTOCOL_VERSION, Session};
use crate::trust::{KeyAnnouncement, PeerId, SignedData};

/// How often two frontiers are compared while nothing happens, in milliseconds.
pub(super) const BEACON_MS: u64 = 60_000;
/// The longest interval of a comparison that brings nothing, in milliseconds: one hour.
const MAX_BEACON_MS: u64 = 60 * 60 * 1000;
impl Replica {
    pub(super) fn connected(
        &mut self,
        peer: PeerId,
        announcement: SignedData,
        region: Option<Region>,
        mut session: Session,
        out: &mut Vec<Action>,
    ) {
        session.expected = region;
        let reads_only = session.reads_only;
        self.sessions.insert(peer, session);
        let hello = Hello {
            v: PROTOCOL_VERSION,
            network: self.network,
            software: self.home.software().into(),
            announcement,
            follows: self.followed_whole(),
            reads_only,
        };
        out.push(Action::Send(
            peer,
            Channel::Sync,
            Message::Hello(Box::new(hello)),
        ));
    }

    pub(super) fn disconnected(
        &mut self,
        peer: &PeerId,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        self.sessions.remove(peer);
        self.in_flight.retain(|_, flight| flight.peer != *peer);
        self.claimant_is_gone(peer, now);
        self.fetching.clear();
        self.fetch_missing(now, history, out);
        self.request_all(now, history, out);
    }

    pub(super) fn message(
        &mut self,
        from: PeerId,
        channel: Channel,
        message: Message,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        let Some(session) = self.sessions.get_mut(&from) else {
            return;
        };
        if let Message::Hello(hello) = message {
            if session.established() {
                out.push(Action::Disconnect(from, Refusal::BadField));
            } else if let Err(refusal) = self.hello(from, &hello, now, history, out) {
                out.push(Action::Disconnect(from, refusal));
            }
            return;
        }
        if !session.established() {
            // Two streams keep no order between them: what is live may overtake the hello, and is compared later.
            if channel == Channel::Live {
                return;
            }
            out.push(Action::Disconnect(from, Refusal::BadCertificate));
            return;
        }
        if session.reads_only {
            if !is_a_readers(&message) {
                return;
            }
        } else {
            self.hear_of_own_log(from, &message, now, history);
            self.hear_heads(&from, &message, history);
        }
        let Some(session) = self.sessions.get_mut(&from) else {
            return;
        };
        match message {
            // Vertices come verified; private values and recommendations are no part of the ledger, and the node takes
            // them out before.
            Message::Hello(_)
            | Message::Vertex(..)
            | Message::Header(_)
            | Message::Private(..)
            | Message::PrivateStored(_)
            | Message::Recommend(_)
            | Message::KeyAnnouncement(_)
            | Message::KeyRequest(_)
            | Message::KeyResponse(_)
            | Message::Rotation(_) => {}
            Message::Beacon(theirs) => self.compare(from, theirs, now, history, out),
            Message::Frontier(entries) => {
                session.unequal = true;
                self.claims(from, &entries, now, history, out);
                self.answer_frontier(from, &entries, now, history, out);
            }
            Message::Difference(entries) => {
                session.unequal = true;
                self.claims(from, &entries, now, history, out);
            }
            Message::Announce(entries) => {
                self.expect(&from, &entries, now, history);
                self.claims(from, &entries, now, history, out);
            }
            Message::Want(wants) => self.take_wants(from, channel, (&wants, false), history, out),
            Message::WantHeaders(wants) => {
                self.take_wants(from, channel, (&wants, true), history, out);
            }
            Message::Fetch(ids) => {
                for message in serve_single(&ids, session, history) {
                    out.push(Action::Send(from, Channel::Live, message));
                }
            }
            Message::Credit(bytes) => {
                session.refund(bytes);
                self.serve(from, history, out);
            }
            Message::Proof(a, b) => {
                if let Err(refusal) = self.convict_blocks(&a, &b, true, now, history)
                    && refusal != Refusal::UnknownVersion
                {
                    out.push(Action::Disconnect(from, refusal));
                }
            }
        }
    }

    /// Whether what this peer says of the own log counts: its hello was accepted, and it does not only read.
    #[must_use]
    pub fn hears(&self, peer: &PeerId) -> bool {
        self.sessions.get(peer).is_some_and(Session::gives)
    }

    /// Whether this peer may only read.
    pub(super) fn only_reads(&self, peer: &PeerId) -> bool {
        let session = self.sessions.get(peer);
        session.is_some_and(|session| session.reads_only)
    }

    /// Judges the node certificate of a peer.
    fn admitted(
        &self,
        leaf: &[u8],
        chain: &[Vec<u8>],
        now: Now,
    ) -> Result<pki::NodeCertificate, Refusal> {
        let roots = &self.genesis.roots;
        pki::verify_node(roots, leaf, chain, &self.lists, now.time)
            .map(|admitted| admitted.certificate)
            .map_err(|_| Refusal::BadCertificate)
    }

    /// Other lists of what is revoked: whose certificate is not good any more is not spoken to.
    pub(super) fn take_lists(&mut self, lists: Arc<pki::Crls>, now: Now, out: &mut Vec<Action>) {
        self.lists = lists;
        for (peer, session) in &self.sessions {
            if let Some((leaf, chain)) = &session.announced
                && let Err(refusal) = self.admitted(leaf, chain, now)
            {
                out.push(Action::Disconnect(*peer, refusal));
            }
        }
    }

    /// Judges a peer's hello: network, announcement, node certificate, peer id.
    fn hello(
        &mut self,
        from: PeerId,
        hello: &Hello,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        if hello.v != PROTOCOL_VERSION {
            return Err(Refusal::UnknownVersion);
        }
        if hello.network != self.network {
            return Err(Refusal::WrongNetwork);
        }
        let announced = KeyAnnouncement::open(&hello.announcement, &from, now.time)?;
        let chain: Vec<Vec<u8>> = announced.chain.iter().map(|der| der.to_vec()).collect();
        let certificate = self.admitted(&announced.certificate, &chain, now)?;
        if certificate.peer_id != from.to_string() {
            return Err(Refusal::BadCertificate);
        }
        // A terminal is one of a municipality that is known here; its home says so itself.
        let region = &certificate.region;
        let known = || self.authorities.iter().any(|of| of.region() == region);
        if certificate.role == pki::Role::Terminal && !known() {
            return Err(Refusal::BadCertificate);
        }
        let Some(session) = self.sessions.get_mut(&from) else {
            return Ok(());
        };
        let expected = session.expected.as_ref();
        if expected.is_some_and(|region| *region != certificate.region) {
            return Err(Refusal::BadCertificate);
        }
        session.region = Some(certificate.region);
        let follows = hello.follows.iter().copied();
        session.follows = (!hello.follows.is_empty()).then(|| follows.collect());
        session.only_read_at = hello.reads_only;
        session.announced = Some((announced.certificate.to_vec(), chain));
        session.next_beacon = now.time.plus_ms(BEACON_MS);
        session.beacon_interval = BEACON_MS;
        session.beacon_sent = Some(now.time);
        for (log, row) in log_rows(history) {
            if matches!(row.frozen, Some(Frozen::Equivocation(_))) {
                send_proof(from, &log, row.epoch, history, out);
            }
        }
        let beacon = Beacon::of(&frontier(history));
        out.push(Action::Send(from, Channel::Sync, Message::Beacon(beacon)));
        Ok(())
    }

    pub(super) fn tick(&mut self, now: Now, history: &dyn History, out: &mut Vec<Action>) {
        self.places.forget_old(now.time);
        self.release_due(now, history, out);
        let late: Vec<_> = self
            .in_flight
            .iter()
            .filter(|(_, flight)| flight.deadline < now.time)
            .map(|(log, flight)| (*log, flight.peer))
            .collect();
        for (log, peer) in late {
            self.in_flight.remove(&log);
            if let Some(row) = history.log(&log) {
                // What it sends may stand on another beginning, whose key is not known here.
                send_beginning(peer, &log, row.epoch, history, out);
            }
            let lacking = self.following.lacking.contains(&log);
            if let Some(session) = self.sessions.get_mut(&peer) {
                session.claims.remove(&log);
                if lacking {
                    // Whoever has the same headers was asked whether it has the bodies, too.
                    session.bodiless.insert(log);
                }
                session.idle = session.idle.saturating_add(1);
                // Compared again soon: the claim may have been true all the same.
                session.next_beacon = session.next_beacon.min(now.time.plus_ms(BEACON_MS));
            }
        }
        self.fetching.retain(|_, deadline| *deadline >= now.time);
        self.fetch_missing(now, history, out);
        self.begin_own_log(now, history);
        self.sweep(now, history);
        self.witness_owed(now, history);
        self.adopt_step(now, history, out);
        self.enter_due_trust(now, history);
        self.enter_due_checkpoint(now, history);
        self.give_credit(out);
        self.request_all(now, history, out);
        let due = |session: &Session| session.established() && session.next_beacon <= now.time;
        if self.sessions.values().any(due) {
            let beacon = Beacon::of(&frontier(history));
            for (peer, session) in self.sessions.iter_mut().filter(|(_, session)| due(session)) {
                // An unequal round that brought nothing doubles the interval.
                session.beacon_interval = if session.unequal {
                    (session.beacon_interval * 2).min(MAX_BEACON_MS)
                } else {
                    BEACON_MS
                };
                session.unequal = false;
                session.next_beacon = now.time.plus_ms(session.beacon_interval);
                session.beacon_sent = Some(now.time);
                out.push(Action::Send(*peer, Channel::Sync, Message::Beacon(beacon)));
            }
        }
    }
}

/// Whether a message is what somebody says who only reads: what it compares, what it wants, and that it came.
const fn is_a_readers(message: &Message) -> bool {
    matches!(
        message,
        Message::Beacon(_)
            | Message::Want(_)
            | Message::WantHeaders(_)
            | Message::Fetch(_)
            | Message::Credit(_)
    )
}

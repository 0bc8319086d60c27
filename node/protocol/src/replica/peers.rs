//! The sync protocol as the replica speaks it: hello, comparison of frontiers, ranges under credit, new
//! heads. Only what is durable is announced or sent.

use std::collections::BTreeMap;

use super::{Action, Now, Replica, frontier, log_rows};
use crate::amount::Timestamp;
use crate::ids::{BlockId, LogId};
use crate::ledger::{Frozen, History, Rows};
use crate::pki;
use crate::refusal::Refusal;
use crate::sync::{
    Channel, Claim, FrontierEntry, Hello, INITIAL_CREDIT, MAX_RANGES, Message, PROTOCOL_VERSION,
    Range, Session, Want, frontier_hash,
};
use crate::trust::{KeyAnnouncement, PeerId, SignedData};
use crate::vertex::VerifiedVertex;

/// How long a range may bring nothing before it is asked for elsewhere, in milliseconds.
const RANGE_TIMEOUT_MS: u64 = 30_000;
/// How often two frontiers are compared while nothing happens, in milliseconds.
const BEACON_MS: u64 = 60_000;
/// The longest interval of a comparison that brings nothing, in milliseconds: one hour.
const MAX_BEACON_MS: u64 = 60 * 60 * 1000;
/// Up to this distance from the head a range is live traffic.
const LIVE_RANGE: u64 = 8;
/// Credit is given back in steps of this many bytes: a quarter of what may be on its way.
const CREDIT_STEP: u64 = INITIAL_CREDIT / 4;
/// Most single vertices answered at once.
const MAX_FETCH: usize = 16;

/// A range that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    peer: PeerId,
    to: u64,
    deadline: Timestamp,
}

impl Replica {
    pub(super) fn connected(
        &mut self,
        peer: PeerId,
        announcement: SignedData,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        self.sessions.insert(peer, Session::new(now.time));
        let hello = Hello {
            v: PROTOCOL_VERSION,
            network: self.network,
            software: self.home.software().into(),
            announcement,
            follows: Vec::new(),
        };
        out.push(Action::Send(peer, Channel::Sync, Message::Hello(Box::new(hello))));
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
        self.fetching.clear();
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
        let Some(session) = self.sessions.get_mut(&from) else { return };
        if let Message::Hello(hello) = message {
            if let Err(refusal) = self.hello(from, &hello, now, history, out) {
                out.push(Action::Disconnect(from, refusal));
            }
            return;
        }
        if !session.established() {
            out.push(Action::Disconnect(from, Refusal::BadCertificate));
            return;
        }
        match message {
            Message::Hello(_) | Message::Vertex(..) => {}
            Message::Beacon(hash) => {
                let mine = frontier(history);
                if frontier_hash(&mine) != hash {
                    out.push(Action::Send(from, Channel::Sync, Message::Frontier(mine)));
                }
            }
            Message::Frontier(entries) | Message::Announce(entries) => {
                self.claims(from, &entries, now, history, out);
            }
            Message::Want(want) => {
                if session.ranges.len() < MAX_RANGES && want.from >= 1 && want.from <= want.to {
                    let range = Range {
                        epoch: want.epoch,
                        next: want.from,
                        to: want.to,
                        live: channel == Channel::Live,
                        head: None,
                    };
                    session.ranges.insert(want.log, range);
                    self.serve(from, history, out);
                }
            }
            Message::Fetch(ids) => serve_single(from, &ids, history, out),
            Message::Credit(bytes) => {
                session.credit = session.credit.saturating_add(bytes).min(2 * INITIAL_CREDIT);
                self.serve(from, history, out);
            }
            Message::Proof(a, b) => self.convict_blocks(&a, &b, now, history),
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
        let certificate =
            pki::verify_node(&self.genesis.roots, &announced.certificate, &chain, now.time)
                .map_err(|_| Refusal::BadCertificate)?;
        if certificate.peer_id != from.to_string() {
            return Err(Refusal::BadCertificate);
        }
        let Some(session) = self.sessions.get_mut(&from) else { return Ok(()) };
        session.region = Some(certificate.region);
        session.next_beacon = now.time.plus_ms(BEACON_MS);
        session.beacon_interval = BEACON_MS;
        for (log, row) in log_rows(history) {
            if matches!(row.frozen, Some(Frozen::Equivocation(_))) {
                send_proof(from, &log, row.epoch, history, out);
            }
        }
        let hash = frontier_hash(&frontier(history));
        out.push(Action::Send(from, Channel::Sync, Message::Beacon(hash)));
        Ok(())
    }

    /// Takes what a peer says it has, and asks for what is missing here.
    fn claims(
        &mut self,
        from: PeerId,
        entries: &[FrontierEntry],
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        for entry in entries {
            let mine = history.log(&entry.log);
            if let Some(row) = &mine
                && let Some(frozen) = row.frozen
            {
                if matches!(frozen, Frozen::Equivocation(_)) && !entry.forked {
                    send_proof(from, &entry.log, row.epoch, history, out);
                }
                continue;
            }
            let (epoch, seq) = mine.as_ref().map_or((1, 0), |row| (row.epoch, row.seq));
            if entry.forked || entry.epoch != epoch {
                continue;
            }
            if entry.seq > seq {
                let Some(session) = self.sessions.get_mut(&from) else { return };
                if session.claims.len() < MAX_RANGES || session.claims.contains_key(&entry.log) {
                    let claim = Claim { epoch: entry.epoch, seq: entry.seq };
                    session.claims.insert(entry.log, claim);
                }
                self.request(&entry.log, now, history, out);
            } else if let Some(row) = &mine
                && entry.seq == seq
                && seq > 0
                && FrontierEntry::of(&entry.log, row).head != entry.head
            {
                // Another vertex at my height: look at it; it either convicts or leads further back.
                let want = Want { log: entry.log, epoch, from: seq, to: seq };
                out.push(Action::Send(from, Channel::Live, Message::Want(want)));
            }
        }
    }

    /// Asks one peer for what it has more of a log, if nobody is asked already.
    fn request(&mut self, log: &LogId, now: Now, history: &dyn History, out: &mut Vec<Action>) {
        if self.in_flight.contains_key(log) {
            return;
        }
        let row = self.layers(history).log(log);
        if row.as_ref().is_some_and(|row| row.frozen.is_some()) {
            return;
        }
        let have = row.map_or(0, |row| row.seq);
        let asked = self.sessions.iter().find_map(|(peer, session)| {
            session.claims.get(log).filter(|claim| claim.seq > have).map(|claim| (*peer, *claim))
        });
        let Some((peer, claim)) = asked else { return };
        let deadline = now.time.plus_ms(RANGE_TIMEOUT_MS);
        self.in_flight.insert(*log, InFlight { peer, to: claim.seq, deadline });
        let live = have > 0 && claim.seq - have <= LIVE_RANGE;
        let channel = if live { Channel::Live } else { Channel::Sync };
        let want = Want { log: *log, epoch: claim.epoch, from: have + 1, to: claim.seq };
        out.push(Action::Send(peer, channel, Message::Want(want)));
    }

    /// Asks again for everything that is claimed and not here.
    pub(super) fn request_all(&mut self, now: Now, history: &dyn History, out: &mut Vec<Action>) {
        let logs: std::collections::BTreeSet<LogId> =
            self.sessions.values().flat_map(|s| s.claims.keys().copied()).collect();
        for log in logs {
            let have = history.log(&log).map_or(0, |row| row.seq);
            for session in self.sessions.values_mut() {
                if session.claims.get(&log).is_some_and(|claim| claim.seq <= have) {
                    session.claims.remove(&log);
                }
            }
            self.request(&log, now, history, out);
        }
    }

    /// Notes that a range brought a vertex.
    pub(super) fn progress(&mut self, vertex: &VerifiedVertex, history: &dyn History) {
        let h = &vertex.header.header;
        self.fetching.remove(&vertex.id());
        let have = self.layers(history).log(&h.log).map_or(0, |row| row.seq);
        if let Some(flight) = self.in_flight.get_mut(&h.log) {
            if have >= flight.to {
                self.in_flight.remove(&h.log);
            } else {
                flight.deadline = flight.deadline.max(h.time.plus_ms(RANGE_TIMEOUT_MS));
            }
        }
    }

    /// Counts bytes that a peer sent; they are credited back once they are stored.
    pub(super) fn received_bytes(&mut self, from: &PeerId, bytes: u64) {
        if let Some(session) = self.sessions.get_mut(from) {
            session.uncredited = session.uncredited.saturating_add(bytes);
        }
    }

    /// After a commit: credit, and the new heads to everybody who did not send them.
    pub(super) fn announce(&mut self, history: &dyn History, out: &mut Vec<Action>) {
        self.give_credit(out);
        let moved: BTreeMap<LogId, Option<PeerId>> = std::mem::take(&mut self.moved);
        let heads: Vec<_> = moved
            .iter()
            .filter_map(|(log, from)| {
                Some((FrontierEntry::of(log, &history.log(log)?), *from))
            })
            .collect();
        for (peer, session) in &self.sessions {
            let news: Vec<_> = heads
                .iter()
                .filter(|(_, from)| *from != Some(*peer))
                .map(|(entry, _)| entry.clone())
                .collect();
            if session.established() && !news.is_empty() {
                out.push(Action::Send(*peer, Channel::Live, Message::Announce(news)));
            }
        }
    }

    fn give_credit(&mut self, out: &mut Vec<Action>) {
        for (peer, session) in &mut self.sessions {
            if session.uncredited >= CREDIT_STEP {
                let bytes = std::mem::take(&mut session.uncredited);
                out.push(Action::Send(*peer, Channel::Sync, Message::Credit(bytes)));
            }
        }
    }

    /// Sends a peer what it asked for, in this node's own order of arrival, as far as its credit goes.
    fn serve(&mut self, peer: PeerId, history: &dyn History, out: &mut Vec<Action>) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        while session.credit > 0 {
            session.ranges.retain(|log, range| look_up(log, range, history));
            let next = session
                .ranges
                .iter()
                .min_by_key(|(_, range)| (!range.live, range.head.map(|(order, ..)| order)))
                .map(|(log, range)| (*log, range.live, range.head));
            let Some((log, live, Some((_, id, body)))) = next else { return };
            let (Some(header), Some(body)) = (history.block(&id), history.block(&body)) else {
                session.ranges.remove(&log);
                continue;
            };
            session.credit = session.credit.saturating_sub((header.len() + body.len()) as u64);
            let channel = if live { Channel::Live } else { Channel::Sync };
            let message = Message::Vertex(header.into(), body.into());
            out.push(Action::Send(peer, channel, message));
            if let Some(range) = session.ranges.get_mut(&log) {
                range.next += 1;
                range.head = None;
                if range.next > range.to {
                    session.ranges.remove(&log);
                }
            }
        }
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
            if let Some(session) = self.sessions.get_mut(&peer) {
                session.claims.remove(&log);
            }
        }
        self.fetching.clear();
        self.begin_own_log(now, history);
        self.settle_what_was_accepted(now, history);
        self.give_credit(out);
        self.request_all(now, history, out);
        let due = |session: &Session| session.established() && session.next_beacon <= now.time;
        if self.sessions.values().any(due) {
            let hash = frontier_hash(&frontier(history));
            for (peer, session) in self.sessions.iter_mut().filter(|(_, session)| due(session)) {
                session.next_beacon = now.time.plus_ms(session.beacon_interval);
                session.beacon_interval = (session.beacon_interval * 2).min(MAX_BEACON_MS);
                out.push(Action::Send(*peer, Channel::Sync, Message::Beacon(hash)));
            }
        }
    }
}

/// Looks up the next vertex of a range; says whether there is one.
fn look_up(log: &LogId, range: &mut Range, history: &dyn History) -> bool {
    if range.head.is_none() {
        range.head = history.vertex_at(log, range.epoch, range.next).and_then(|id| {
            let vertex = history.vertex(&id)?;
            Some((vertex.order, id, vertex.body))
        });
    }
    range.head.is_some()
}

fn serve_single(peer: PeerId, ids: &[BlockId], history: &dyn History, out: &mut Vec<Action>) {
    for id in ids.iter().take(MAX_FETCH) {
        let blocks = history
            .vertex(id)
            .and_then(|vertex| Some((history.block(id)?, history.block(&vertex.body)?)));
        if let Some((header, body)) = blocks {
            let message = Message::Vertex(header.into(), body.into());
            out.push(Action::Send(peer, Channel::Live, message));
        }
    }
}

fn send_proof(
    peer: PeerId,
    log: &LogId,
    epoch: u64,
    history: &dyn History,
    out: &mut Vec<Action>,
) {
    let Some(fault) = history.fault(log, epoch) else { return };
    let [a, b] = fault.vertices.map(|id| history.block(&id));
    if let (Some(a), Some(b)) = (a, b) {
        let message = Message::Proof(a.into(), b.into());
        out.push(Action::Send(peer, Channel::Live, message));
    }
}

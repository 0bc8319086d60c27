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
use crate::vertex::{SignedHeader, VerifiedVertex};

/// How long a range may bring nothing before it is asked for elsewhere, in milliseconds.
const RANGE_TIMEOUT_MS: u64 = 30_000;
/// How long a single vertex may take before it is asked for again, in milliseconds.
const FETCH_TIMEOUT_MS: u64 = 10_000;
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
        self.fetching.clear();
        self.fetch_missing(now, out);
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
            out.push(Action::Disconnect(from, Refusal::BadCertificate));
            return;
        }
        match message {
            Message::Hello(_) | Message::Vertex(..) => {}
            Message::Beacon(hash) => {
                let mine = frontier(history);
                if frontier_hash(&mine) != hash {
                    session.unequal = true;
                    out.push(Action::Send(from, Channel::Sync, Message::Frontier(mine)));
                }
            }
            Message::Frontier(entries) => {
                session.unequal = true;
                self.claims(from, &entries, now, history, out);
            }
            Message::Announce(entries) => {
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
            Message::Fetch(ids) => {
                for (header, body) in serve_single(&ids, session, history) {
                    let message = Message::Vertex(header.into(), body.into());
                    out.push(Action::Send(from, Channel::Live, message));
                }
            }
            Message::Credit(bytes) => {
                session.credit = session.credit.saturating_add(bytes).min(2 * INITIAL_CREDIT);
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
        let certificate = pki::verify_node(
            &self.genesis.roots,
            &announced.certificate,
            &chain,
            now.time,
        )
        .map_err(|_| Refusal::BadCertificate)?;
        if certificate.peer_id != from.to_string() {
            return Err(Refusal::BadCertificate);
        }
        let Some(session) = self.sessions.get_mut(&from) else {
            return Ok(());
        };
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
            let frozen = mine.as_ref().and_then(|row| row.frozen);
            let (epoch, seq) = mine.as_ref().map_or((1, 0), |row| (row.epoch, row.seq));
            if entry.epoch != epoch {
                continue;
            }
            match frozen {
                Some(Frozen::Equivocation(_)) if !entry.forked => {
                    send_proof(from, &entry.log, epoch, history, out);
                }
                Some(Frozen::Invalid(cut)) if entry.seq > cut && !entry.forked => {
                    send_invalid(from, &entry.log, epoch, history, out);
                }
                _ => {}
            }
            // What counts at most; beyond a cut nothing is asked for.
            let most = frozen.map_or(u64::MAX, |frozen| frozen.cut());
            let head = mine
                .as_ref()
                .map(|row| FrontierEntry::of(&entry.log, row).head);
            if entry.seq > seq && seq < most {
                let Some(session) = self.sessions.get_mut(&from) else {
                    return;
                };
                if session.claims.len() < MAX_RANGES || session.claims.contains_key(&entry.log) {
                    let (epoch, seq) = (entry.epoch, entry.seq.min(most));
                    session.claims.insert(
                        entry.log,
                        Claim {
                            epoch,
                            seq,
                            forked: entry.forked,
                        },
                    );
                }
                self.request(&entry.log, now, history, out);
            } else if entry.seq == seq && seq > 0 {
                let forked = matches!(frozen, Some(Frozen::Equivocation(_)));
                if entry.forked == forked && head != Some(entry.head.clone()) {
                    // Another vertex at my height: it convicts, or lowers the cut by one more step.
                    let want = Want {
                        log: entry.log,
                        epoch,
                        from: seq,
                        to: seq,
                    };
                    out.push(Action::Send(from, Channel::Live, Message::Want(want)));
                } else if entry.forked && frozen.is_none() {
                    self.ask_for_proof(from, &entry.log, history, out);
                }
            }
        }
    }

    /// A peer knows that a log is forked and this node does not: whoever is told a plain head of a log
    /// that it knows to be forked answers with the proof.
    fn ask_for_proof(
        &self,
        peer: PeerId,
        log: &LogId,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        let Some(row) = history.log(log).filter(|row| row.frozen.is_none()) else {
            return;
        };
        let news = vec![FrontierEntry::of(log, &row)];
        out.push(Action::Send(peer, Channel::Live, Message::Announce(news)));
    }

    /// Asks one peer for what it has more of a log, if nobody is asked already.
    fn request(&mut self, log: &LogId, now: Now, history: &dyn History, out: &mut Vec<Action>) {
        if self.in_flight.contains_key(log) {
            return;
        }
        let row = self.layers(history).log(log);
        let most = row
            .as_ref()
            .and_then(|row| row.frozen)
            .map_or(u64::MAX, |frozen| frozen.cut());
        let have = row.map_or(0, |row| row.seq);
        if have >= most {
            return;
        }
        let asked = self.sessions.iter().find_map(|(peer, session)| {
            session
                .claims
                .get(log)
                .filter(|claim| claim.seq > have)
                .map(|claim| (*peer, *claim))
        });
        let Some((peer, claim)) = asked else { return };
        let deadline = now.time.plus_ms(RANGE_TIMEOUT_MS);
        self.in_flight.insert(
            *log,
            InFlight {
                peer,
                to: claim.seq,
                deadline,
            },
        );
        let live = have > 0 && claim.seq - have <= LIVE_RANGE;
        let channel = if live { Channel::Live } else { Channel::Sync };
        let want = Want {
            log: *log,
            epoch: claim.epoch,
            from: have + 1,
            to: claim.seq,
        };
        out.push(Action::Send(peer, channel, Message::Want(want)));
    }

    /// Asks again for everything that is claimed and not here.
    pub(super) fn request_all(&mut self, now: Now, history: &dyn History, out: &mut Vec<Action>) {
        let logs: std::collections::BTreeSet<LogId> = self
            .sessions
            .values()
            .flat_map(|s| s.claims.keys().copied())
            .collect();
        for log in logs {
            let row = history.log(&log);
            let have = row.as_ref().map_or(0, |row| row.seq);
            let stands = row
                .and_then(|row| row.frozen)
                .is_some_and(|frozen| have >= frozen.cut());
            let mut forked = Vec::new();
            for (peer, session) in &mut self.sessions {
                if session
                    .claims
                    .get(&log)
                    .is_some_and(|claim| stands || claim.seq <= have)
                    && session
                        .claims
                        .remove(&log)
                        .is_some_and(|claim| claim.forked)
                {
                    forked.push(*peer);
                }
            }
            for peer in forked {
                self.ask_for_proof(peer, &log, history, out);
            }
            self.request(&log, now, history, out);
        }
    }

    /// Notes that a range brought a vertex.
    pub(super) fn progress(&mut self, vertex: &VerifiedVertex, now: Now, history: &dyn History) {
        let h = &vertex.header.header;
        self.fetching.remove(&vertex.id());
        let have = self.layers(history).log(&h.log).map_or(0, |row| row.seq);
        if let Some(flight) = self.in_flight.get_mut(&h.log) {
            if have >= flight.to {
                self.in_flight.remove(&h.log);
            } else {
                flight.deadline = now.time.plus_ms(RANGE_TIMEOUT_MS);
                if let Some(session) = self.sessions.get_mut(&flight.peer) {
                    session.unequal = false;
                }
            }
        }
    }

    /// Asks a peer for one vertex, if nobody is asked already.
    pub(super) fn fetch(&mut self, peer: PeerId, id: BlockId, now: Now, out: &mut Vec<Action>) {
        if self.fetching.len() < MAX_RANGES && !self.fetching.contains_key(&id) {
            self.fetching.insert(id, now.time.plus_ms(FETCH_TIMEOUT_MS));
            out.push(Action::Send(peer, Channel::Live, Message::Fetch(vec![id])));
        }
    }

    /// Asks for everything that vertices in the pen wait for: whoever sent them, or else anybody.
    fn fetch_missing(&mut self, now: Now, out: &mut Vec<Action>) {
        let missing = self.pen.missing();
        let anybody = self
            .sessions
            .iter()
            .find(|(_, s)| s.established())
            .map(|(peer, _)| *peer);
        for (id, from) in missing {
            let connected = |peer: &PeerId| self.sessions.contains_key(peer);
            if let Some(peer) = from.filter(connected).or(anybody) {
                self.fetch(peer, id, now, out);
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
            .filter_map(|(log, from)| Some((FrontierEntry::of(log, &history.log(log)?), *from)))
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
        let Some(session) = self.sessions.get_mut(&peer) else {
            return;
        };
        while session.credit > 0 {
            session
                .ranges
                .retain(|log, range| look_up(log, range, history));
            let next = session
                .ranges
                .iter()
                .min_by_key(|(_, range)| (!range.live, range.head.map(|(order, ..)| order)))
                .map(|(log, range)| (*log, range.live, range.head));
            let Some((log, live, Some((_, id, body)))) = next else {
                return;
            };
            let (Some(header), Some(body)) = (history.block(&id), history.block(&body)) else {
                session.ranges.remove(&log);
                continue;
            };
            session.credit = session
                .credit
                .saturating_sub((header.len() + body.len()) as u64);
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
                // Compared again soon: the claim may have been true all the same.
                session.next_beacon = session.next_beacon.min(now.time.plus_ms(BEACON_MS));
            }
        }
        self.fetching.retain(|_, deadline| *deadline >= now.time);
        self.fetch_missing(now, out);
        self.begin_own_log(now, history);
        self.sweep(now, history);
        self.give_credit(out);
        self.request_all(now, history, out);
        let due = |session: &Session| session.established() && session.next_beacon <= now.time;
        if self.sessions.values().any(due) {
            let hash = frontier_hash(&frontier(history));
            for (peer, session) in self.sessions.iter_mut().filter(|(_, session)| due(session)) {
                // An unequal round that brought nothing doubles the interval.
                session.beacon_interval = if session.unequal {
                    (session.beacon_interval * 2).min(MAX_BEACON_MS)
                } else {
                    BEACON_MS
                };
                session.unequal = false;
                session.next_beacon = now.time.plus_ms(session.beacon_interval);
                out.push(Action::Send(*peer, Channel::Sync, Message::Beacon(hash)));
            }
        }
    }
}

/// Looks up the next vertex of a range; says whether there is one.
fn look_up(log: &LogId, range: &mut Range, history: &dyn History) -> bool {
    if range.head.is_none() {
        range.head = history
            .vertex_at(log, range.epoch, range.next)
            .and_then(|id| {
                let vertex = history.vertex(&id)?;
                Some((vertex.order, id, vertex.body))
            });
    }
    range.head.is_some()
}

/// The blocks of single vertices, as far as the peer's credit goes; what is left out is asked for again.
fn serve_single(
    ids: &[BlockId],
    session: &mut Session,
    history: &dyn History,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    for id in ids.iter().take(MAX_FETCH) {
        let blocks = history
            .vertex(id)
            .and_then(|vertex| Some((history.block(id)?, history.block(&vertex.body)?)));
        if let Some((header, body)) = blocks.filter(|_| session.credit > 0) {
            session.credit = session
                .credit
                .saturating_sub((header.len() + body.len()) as u64);
            found.push((header, body));
        }
    }
    found
}

/// Shows a peer that counts more of a log the vertex which broke a rule.
fn send_invalid(
    peer: PeerId,
    log: &LogId,
    epoch: u64,
    history: &dyn History,
    out: &mut Vec<Action>,
) {
    let Some(header) = history
        .invalid(log, epoch)
        .and_then(|id| history.block(&id))
    else {
        return;
    };
    let body = SignedHeader::read(&header)
        .ok()
        .and_then(|h| history.block(&h.header.body));
    if let Some(body) = body {
        let message = Message::Vertex(header.into(), body.into());
        out.push(Action::Send(peer, Channel::Live, message));
    }
}

fn send_proof(peer: PeerId, log: &LogId, epoch: u64, history: &dyn History, out: &mut Vec<Action>) {
    let Some(fault) = history.fault(log, epoch) else {
        return;
    };
    let [a, b] = fault.vertices.map(|id| history.block(&id));
    if let (Some(a), Some(b)) = (a, b) {
        let message = Message::Proof(a.into(), b.into());
        out.push(Action::Send(peer, Channel::Live, message));
    }
}

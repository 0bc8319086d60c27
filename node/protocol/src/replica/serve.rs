//! Serving: what peers asked for, under their credit, in this node's own order of arrival. Only what is durable is sent.

use super::{Action, Replica};
use crate::ids::{BlockId, LogId};
use crate::ledger::{FaultRow, History, Rows};
use crate::sync::{
    Channel, INITIAL_CREDIT, MAX_RANGES, Message, READER_CREDIT, Range, Session, Want,
};
use crate::trust::PeerId;
use crate::vertex::SignedHeader;

/// Credit is given back in steps of this many bytes: a quarter of what may be on its way, and all that may be to a peer that only
/// reads; whether it is one, it does not know.
const CREDIT_STEP: u64 = READER_CREDIT;
const _: () = assert!(CREDIT_STEP == INITIAL_CREDIT / 4);
/// Most single vertices answered at once.
const MAX_FETCH: usize = 16;

impl Replica {
    /// Counts bytes that a peer sent; they are credited back once they are stored.
    pub(super) fn received_bytes(&mut self, from: &PeerId, bytes: u64) {
        if let Some(session) = self.sessions.get_mut(from) {
            session.uncredited = session.uncredited.saturating_add(bytes);
        }
    }

    pub(super) fn give_credit(&mut self, out: &mut Vec<Action>) {
        for (peer, session) in &mut self.sessions {
            if session.uncredited >= CREDIT_STEP {
                let bytes = std::mem::take(&mut session.uncredited);
                out.push(Action::Send(*peer, Channel::Sync, Message::Credit(bytes)));
            }
        }
    }

    /// Notes the ranges that a peer asks for, as far as their logs are known here, and serves them.
    pub(super) fn take_wants(
        &mut self,
        from: PeerId,
        channel: Channel,
        (wants, headers): (&[Want], bool),
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        let Some(session) = self.sessions.get_mut(&from) else {
            return;
        };
        for want in wants {
            let (low, high) = want.log.bounds();
            let log = self.authorities.0.range(low..=high).next();
            let Some((log, _)) = log.filter(|_| want.from >= 1 && want.from <= want.to) else {
                continue;
            };
            if let Some(follows) = &mut session.follows {
                match headers {
                    true => follows.remove(log),
                    false => follows.insert(*log),
                };
            }
            if session.ranges.len() < MAX_RANGES {
                let range = Range {
                    epoch: want.epoch,
                    next: want.from,
                    to: want.to,
                    live: channel == Channel::Live,
                    headers,
                    head: None,
                };
                session.ranges.insert(*log, range);
            }
        }
        self.serve(from, history, out);
    }

    /// Sends a peer what it asked for, in this node's own order of arrival, as far as its credit goes.
    pub(super) fn serve(&mut self, peer: PeerId, history: &dyn History, out: &mut Vec<Action>) {
        let own = self.home.log();
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
                .map(|(log, range)| (*log, (range.live, range.headers), range.head));
            let Some((log, (live, headers), Some((_, id, body)))) = next else {
                return;
            };
            let Some(header) = history.block(&id) else {
                session.ranges.remove(&log);
                continue;
            };
            let channel = if live { Channel::Live } else { Channel::Sync };
            if headers && !begins(&log, id, &header, history) {
                session.spend(&header, &[]);
                let at = session.served(&log);
                if live && let Some(at) = at {
                    Self::served(session, (&log, &own), at, history);
                }
                out.push(Action::Send(peer, channel, Message::Header(header.into())));
                continue;
            }
            let Some(body) = history.block(&body) else {
                // It is pruned here, or the log is followed by its headers: somebody else has it. The header tells a fork.
                session.ranges.remove(&log);
                session.spend(&header, &[]);
                out.push(Action::Send(peer, channel, Message::Header(header.into())));
                continue;
            };
            for (header, body) in charters_before(&log, id, &header, history) {
                session.spend(&header, &body);
                let message = Message::Vertex(header.into(), body.into());
                out.push(Action::Send(peer, channel, message));
            }
            session.spend(&header, &body);
            let message = Message::Vertex(header.into(), body.into());
            out.push(Action::Send(peer, channel, message));
            let at = session.served(&log);
            if live && let Some(at) = at {
                Self::served(session, (&log, &own), at, history);
            }
        }
    }
}

/// Looks up the next vertex of a range; says whether there is one. Where an epoch ends, the range goes on with the
/// next, from its beginning: also where that stands lower than what the asker has of the one before.
fn look_up(log: &LogId, range: &mut Range, history: &dyn History) -> bool {
    if range.head.is_none() {
        let mut next = history.vertex_at(log, range.epoch, range.next);
        if next.is_none() {
            let after = range.epoch.saturating_add(1);
            if let Some(first) = history.epoch(log, after) {
                // Also one that does not count any more: without it nobody knows the keys that come after.
                (range.epoch, range.next) = (after, first.seq);
                next = Some(first.id);
            }
        }
        range.head = next.and_then(|id| {
            let vertex = history.vertex(&id)?;
            Some((vertex.order, id, vertex.body))
        });
    }
    range.head.is_some()
}

/// Whether a stored vertex says who signs or decides from here on: it begins its log or an epoch of it, or brings a charter.
fn begins(log: &LogId, id: BlockId, header: &[u8], history: &dyn History) -> bool {
    let Ok(header) = SignedHeader::read(header) else {
        return false;
    };
    let h = &header.header;
    let charter = history.charter(log, &h.charter);
    let epoch = history.epoch(log, h.epoch);
    h.seq == 1
        || charter.is_some_and(|row| row.vertex == id)
        || epoch.is_some_and(|row| row.id == id)
}

/// What comes before a vertex that begins an epoch: those that brought a charter in the epoch before. Whoever stood at a
/// fork may not have them, and knows the officers that way.
fn charters_before(
    log: &LogId,
    first: BlockId,
    header: &[u8],
    history: &dyn History,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Ok(header) = SignedHeader::read(header) else {
        return Vec::new();
    };
    let (epoch, mut next) = (header.header.epoch, header.header.charter);
    let begins = history.epoch(log, epoch).is_some_and(|row| row.id == first);
    let mut found = Vec::new();
    while let Some(row) = history.charter(log, &next).filter(|_| begins) {
        if row.epoch + 1 != epoch {
            break;
        }
        found.extend(blocks_of(&row.vertex, history));
        next = row.before;
    }
    found.reverse();
    found
}

/// Single vertices, as far as the peer's credit goes; what is left out is asked for again. Of those whose body is not here the
/// headers, which is what cites need.
pub(super) fn serve_single(
    ids: &[BlockId],
    session: &mut Session,
    history: &dyn History,
) -> Vec<Message> {
    let mut found = Vec::new();
    for id in ids.iter().take(MAX_FETCH) {
        let blocks = history
            .vertex(id)
            .and_then(|vertex| Some((history.block(id)?, history.block(&vertex.body))));
        let Some((header, body)) = blocks.filter(|_| session.credit > 0) else {
            continue;
        };
        session.spend(&header, body.as_deref().unwrap_or_default());
        found.push(match body {
            Some(body) => Message::Vertex(header.into(), body.into()),
            None => Message::Header(header.into()),
        });
    }
    found
}

/// Shows a peer that counts more of a log the vertex which broke a rule.
pub(super) fn send_invalid(
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

/// Tells a peer that does not stand at the cut why this node does.
pub(super) fn send_proof(
    peer: PeerId,
    log: &LogId,
    epoch: u64,
    history: &dyn History,
    out: &mut Vec<Action>,
) {
    let known = history.fault(log, epoch);
    let proof = known.map(|known| proof_of(&known, history));
    let send = |message| Action::Send(peer, Channel::Live, message);
    out.extend(proof.into_iter().flatten().map(send));
}

/// What convicts a log: two headers of one position, or the vertices that begin its epoch in two ways.
pub(super) fn proof_of(known: &FaultRow, rows: &(impl Rows + ?Sized)) -> Vec<Message> {
    if known.beginnings {
        let whole = |id: BlockId| whole_vertex(&id, rows);
        return known.vertices.into_iter().filter_map(whole).collect();
    }
    let [a, b] = known.vertices.map(|id| rows.get_block(&id));
    let both = a.zip(b);
    both.into_iter()
        .map(|(a, b)| Message::Proof(a.into(), b.into()))
        .collect()
}

/// Shows a peer that follows another chain of an epoch where this one begins: if the officers began it twice, that
/// proves it.
pub(super) fn send_beginning(
    peer: PeerId,
    log: &LogId,
    epoch: u64,
    history: &dyn History,
    out: &mut Vec<Action>,
) {
    let Some(first) = history.epoch(log, epoch) else {
        return;
    };
    let Some((header, body)) = blocks_of(&first.id, history) else {
        return;
    };
    let before = charters_before(log, first.id, &header, history);
    let all = before.into_iter().chain([(header, body)]);
    out.extend(all.map(|(header, body)| {
        let message = Message::Vertex(header.into(), body.into());
        Action::Send(peer, Channel::Live, message)
    }));
}

fn whole_vertex(id: &BlockId, rows: &(impl Rows + ?Sized)) -> Option<Message> {
    let (header, body) = blocks_of(id, rows)?;
    Some(Message::Vertex(header.into(), body.into()))
}

fn blocks_of(id: &BlockId, rows: &(impl Rows + ?Sized)) -> Option<(Vec<u8>, Vec<u8>)> {
    let vertex = rows.vertex(id)?;
    Some((rows.get_block(id)?, rows.get_block(&vertex.body)?))
}

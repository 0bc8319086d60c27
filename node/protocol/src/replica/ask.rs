//! Asking: what peers claim is compared with what is here, and what is missing is asked for, each range of
//! one peer at a time.

use std::collections::BTreeSet;

use super::peers::BEACON_MS;
use super::serve::{send_beginning, send_invalid, send_proof};
use super::{Action, Now, Replica};
use crate::amount::Timestamp;
use crate::ids::{BlockId, LogId};
use crate::ledger::{Frozen, History, LogRow, Rows};
use crate::sync::{Channel, Claim, FrontierEntry, LogPrefix, MAX_RANGES, Message, Want};
use crate::trust::PeerId;
use crate::vertex::SignedHeader;

/// How long a range may bring nothing before it is asked for elsewhere, in milliseconds.
const RANGE_TIMEOUT_MS: u64 = 30_000;
/// How long a range may bring nothing before another peer that claims more of the log is asked instead, in milliseconds:
/// whoever claims what it does not have holds up a log no longer. It doubles with each change, so that two slow peers are
/// not played off against each other.
pub(super) const RANGE_PATIENCE_MS: u64 = 3_000;
/// How long a single vertex may take before it is asked for again, in milliseconds.
const FETCH_TIMEOUT_MS: u64 = 10_000;
/// Up to this distance from the head a range is live traffic.
pub(super) const LIVE_RANGE: u64 = 8;
/// A range that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) peer: PeerId,
    /// Whether only headers were asked for.
    pub(super) headers: bool,
    /// Epoch and position that it is asked up to.
    to: (u64, u64),
    pub(super) deadline: Timestamp,
    /// When another peer is asked instead, and how long that was waited for, in milliseconds; none once something came.
    patience: Option<(Timestamp, u64)>,
}

impl Replica {
    /// Takes what a peer says it has, and asks for what is missing here.
    pub(super) fn claims(
        &mut self,
        from: PeerId,
        entries: &[FrontierEntry],
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        for entry in entries {
            let mine = self.followed(&entry.log, history);
            let frozen = mine.as_ref().and_then(|row| row.frozen);
            let (epoch, seq) = mine.as_ref().map_or((1, 0), |row| (row.epoch, row.seq));
            if entry.epoch < epoch {
                // Who stands in an epoch that was closed hears of the next by our own frontier. But where it was begun
                // twice, the next may begin lower than what is there, and only the proof says why.
                let twice = history.fault(&entry.log, entry.epoch);
                if twice.is_some_and(|fault| fault.beginnings) {
                    send_proof(from, &entry.log, entry.epoch, history, out);
                }
                continue;
            }
            if entry.epoch > epoch {
                if matches!(frozen, Some(Frozen::Invalid(_))) {
                    // Whoever went on does not check, or has not seen it.
                    send_invalid(from, &entry.log, epoch, history, out);
                }
                self.claim(from, entry, entry.seq, now, history, out);
                continue;
            }
            match frozen {
                // Also to who knows only of a later fork: the lowest cut wins.
                Some(Frozen::Equivocation(cut)) if !entry.forked || entry.seq > cut => {
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
                self.claim(from, entry, entry.seq.min(most), now, history, out);
            } else if entry.seq == seq && seq > 0 {
                let forked = matches!(frozen, Some(Frozen::Equivocation(_)));
                if entry.forked == forked && head != Some(entry.head.clone()) {
                    // Another vertex at my height: it convicts, or lowers the cut by one more step.
                    let want = Want {
                        log: LogPrefix::from(&entry.log),
                        epoch,
                        from: seq,
                        to: seq,
                    };
                    let headers = self.by_headers(&entry.log);
                    ask_for(from, Channel::Live, (want, headers), out);
                    send_beginning(from, &entry.log, epoch, history, out);
                } else if entry.forked && frozen.is_none() {
                    self.ask_for_proof(from, &entry.log, history, out);
                }
            }
        }
    }

    /// Whether all who could be asked for a log's bodies have said that they do not have them.
    fn has_nobody_bodies_of(&self, log: &LogId) -> bool {
        let mut asked = self
            .sessions
            .values()
            .filter(|session| session.gives())
            .map(|session| session.bodiless.contains(log))
            .peekable();
        asked.peek().is_some() && asked.all(|bodiless| bodiless)
    }

    /// A log's row as far as it is followed: up to its last header, or what is folded of it.
    fn followed(&self, log: &LogId, rows: &(impl Rows + ?Sized)) -> Option<LogRow> {
        match self.by_headers(log) {
            true => rows.head(log),
            false => rows.log(log),
        }
    }

    /// Notes that a peer has more of a log, up to `seq`, and asks for it.
    fn claim(
        &mut self,
        from: PeerId,
        entry: &FrontierEntry,
        seq: u64,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        let Some(session) = self.sessions.get_mut(&from) else {
            return;
        };
        if session.claims.len() < MAX_RANGES || session.claims.contains_key(&entry.log) {
            let (epoch, forked) = (entry.epoch, entry.forked);
            let claim = Claim { epoch, seq, forked };
            if session.claims.insert(entry.log, claim) != Some(claim) {
                // Since it was asked last it may have got the bodies.
                session.bodiless.remove(&entry.log);
            }
        }
        self.request(&entry.log, now, history, out);
    }

    /// A peer knows that a log is forked and this node does not: whoever is told a plain head of a log
    /// that it knows to be forked answers with the proof.
    pub(super) fn ask_for_proof(
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

    /// Asks one peer for what it has more of a log, if nobody is asked already that may still bring it.
    pub(super) fn request(
        &mut self,
        log: &LogId,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        if self.is_expected(log, now, history) {
            return;
        }
        let mut patience_ms = RANGE_PATIENCE_MS;
        let mut instead_of = None;
        if let Some(flight) = self.in_flight.get(log) {
            let over = flight.patience.filter(|(until, _)| *until <= now.time);
            let Some((_, waited_ms)) = over else { return };
            patience_ms = (2 * waited_ms).min(RANGE_TIMEOUT_MS);
            let lacking = self.following.lacking.contains(log) && !flight.headers;
            if lacking
                && waited_ms >= RANGE_TIMEOUT_MS
                && let Some(session) = self.sessions.get_mut(&flight.peer)
            {
                session.bodiless.insert(*log);
            }
            instead_of = Some(flight.peer);
        }
        let mut row = self.followed(log, &self.layers(history));
        let mut headers = self.by_headers(log);
        if !headers && self.following.lacking.contains(log) && self.has_nobody_bodies_of(log) {
            if self.is_to_be_whole(log) {
                // Perhaps its author never gave them to anybody.
                self.give_up_headers(*log, history);
                return;
            }
            // It goes on by headers until somebody comes who has them.
            headers = true;
            row = self.layers(history).head(log);
        }
        let most = row
            .as_ref()
            .and_then(|row| row.frozen)
            .map_or(u64::MAX, |frozen| frozen.cut());
        let (epoch, have) = row.map_or((1, 0), |row| (row.epoch, row.seq));
        let more = |claim: &&Claim| {
            claim.epoch > epoch || claim.epoch == epoch && claim.seq > have && have < most
        };
        // Who has the same headers claims nothing, and may have the bodies all the same.
        let lacking = !headers && self.following.lacking.contains(log);
        let ends = self.layers(history).headers(log).filter(|_| lacking);
        let there = ends.map(|ends| Claim {
            epoch: ends.epoch,
            seq: ends.seq,
            forked: false,
        });
        let claimants = self.sessions.iter().filter_map(|(peer, session)| {
            if !headers && session.bodiless.contains(log) {
                return None;
            }
            let may = there.as_ref().filter(|_| session.gives());
            let claim = session.claims.get(log).filter(more);
            let claim = claim.or_else(|| may.filter(more))?;
            (Some(*peer) != instead_of).then_some((session.idle, *peer, *claim))
        });
        // Who brought nothing when it was asked comes last.
        let asked = claimants.min_by_key(|(idle, ..)| *idle);
        let Some((_, peer, claim)) = asked else {
            return;
        };
        if let Some(session) = instead_of.and_then(|idle| self.sessions.get_mut(&idle)) {
            session.idle = session.idle.saturating_add(1);
        }
        // Also where the new epoch begins lower than what is here: its beginning is sent at least. How a log is followed whose
        // municipality is not known yet says its first vertex.
        let unknown = have == 0 && self.following.follow.has_headers();
        let (last, to) = match unknown {
            true => ((1, 1), 1),
            false => ((claim.epoch, claim.seq), claim.seq.max(have + 1)),
        };
        let deadline = now.time.plus_ms(RANGE_TIMEOUT_MS);
        self.in_flight.insert(
            *log,
            InFlight {
                peer,
                headers,
                to: last,
                deadline,
                patience: Some((now.time.plus_ms(patience_ms), patience_ms)),
            },
        );
        let live = have > 0 && claim.seq.saturating_sub(have) <= LIVE_RANGE;
        let channel = if live { Channel::Live } else { Channel::Sync };
        let want = Want {
            log: LogPrefix::from(log),
            epoch,
            from: have + 1,
            to,
        };
        ask_for(peer, channel, (want, headers), out);
    }

    /// Asks again for everything that is claimed and not here.
    pub(super) fn request_all(&mut self, now: Now, history: &dyn History, out: &mut Vec<Action>) {
        let claimed = self.sessions.values().flat_map(|s| s.claims.keys());
        let lacking = self.following.lacking.iter();
        let logs: BTreeSet<LogId> = claimed.chain(lacking).copied().collect();
        for log in logs {
            let row = self.followed(&log, history);
            let (epoch, have) = row.as_ref().map_or((1, 0), |row| (row.epoch, row.seq));
            let stands = row
                .and_then(|row| row.frozen)
                .is_some_and(|frozen| have >= frozen.cut());
            let mut forked = Vec::new();
            for (peer, session) in &mut self.sessions {
                if session.claims.get(&log).is_some_and(|claim| {
                    claim.epoch <= epoch && (stands || claim.epoch < epoch || claim.seq <= have)
                }) && session
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

    /// Notes that a vertex has come. Only one that was `stored` keeps its range alive: whoever sends the same
    /// again and again does not.
    pub(super) fn progress(
        &mut self,
        header: &SignedHeader,
        stored: bool,
        now: Now,
        history: &dyn History,
    ) {
        let h = &header.header;
        let by_headers = self
            .in_flight
            .get(&h.log)
            .is_some_and(|flight| flight.headers);
        let rows = self.layers(history);
        let row = match by_headers {
            true => rows.head(&h.log),
            false => rows.log(&h.log),
        };
        let have = row.map_or((1, 0), |row| (row.epoch, row.seq));
        let Some(flight) = self.in_flight.get_mut(&h.log) else {
            return;
        };
        if stored {
            flight.deadline = now.time.plus_ms(RANGE_TIMEOUT_MS);
            flight.patience = None;
            if let Some(session) = self.sessions.get_mut(&flight.peer) {
                session.unequal = false;
                session.idle = 0;
            }
        }
        if have >= flight.to {
            self.in_flight.remove(&h.log);
        }
    }

    /// Forgets what peers claim and what they were asked for, until frontiers are compared again.
    pub(super) fn forget_claims(&mut self, now: Now) {
        self.in_flight.clear();
        self.fetching.clear();
        for session in self.sessions.values_mut() {
            session.claims.clear();
            session.next_beacon = session.next_beacon.min(now.time.plus_ms(BEACON_MS));
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
    pub(super) fn fetch_missing(&mut self, now: Now, history: &dyn History, out: &mut Vec<Action>) {
        let missing = self.pen.missing();
        let anybody = self
            .sessions
            .iter()
            .find(|(_, s)| s.gives())
            .map(|(peer, _)| *peer);
        for (id, from) in missing {
            if self.comes_in_a_range(&id, history) {
                continue;
            }
            // Whoever sent it may have come back meanwhile, and only read.
            if let Some(peer) = from.filter(|peer| self.hears(peer)).or(anybody) {
                self.fetch(peer, id, now, out);
            }
        }
    }
}

/// Asks for a range along with the others that one input makes this node ask for: whoever serves them all at once serves them in
/// causal order, so that nothing has to be fetched singly.
fn ask_for(peer: PeerId, channel: Channel, (want, headers): (Want, bool), out: &mut Vec<Action>) {
    for action in out.iter_mut() {
        let wants = match action {
            Action::Send(to, by, Message::Want(wants))
                if (*to, *by, headers) == (peer, channel, false) =>
            {
                wants
            }
            Action::Send(to, by, Message::WantHeaders(wants))
                if (*to, *by, headers) == (peer, channel, true) =>
            {
                wants
            }
            _ => continue,
        };
        if wants.len() < MAX_RANGES {
            wants.push(want);
            return;
        }
    }
    let message = match headers {
        true => Message::WantHeaders(vec![want]),
        false => Message::Want(vec![want]),
    };
    out.push(Action::Send(peer, channel, message));
}

//! Asking: what peers claim is compared with what is here, and what is missing is asked for, each range of
//! one peer at a time.

use super::peers::BEACON_MS;
use super::serve::{send_beginning, send_invalid, send_proof};
use super::{Action, Now, Replica};
use crate::amount::Timestamp;
use crate::ids::{BlockId, LogId};
use crate::ledger::{Frozen, History, Rows};
use crate::sync::{Channel, Claim, FrontierEntry, LogPrefix, MAX_RANGES, Message, Want};
use crate::trust::PeerId;
use crate::vertex::VerifiedVertex;

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
            let mine = history.log(&entry.log);
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
                    ask_for(from, Channel::Live, want, out);
                    send_beginning(from, &entry.log, epoch, history, out);
                } else if entry.forked && frozen.is_none() {
                    self.ask_for_proof(from, &entry.log, history, out);
                }
            }
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
            session.claims.insert(entry.log, claim);
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
    fn request(&mut self, log: &LogId, now: Now, history: &dyn History, out: &mut Vec<Action>) {
        if self.is_expected(log, now, history) {
            return;
        }
        let mut patience_ms = RANGE_PATIENCE_MS;
        let mut instead_of = None;
        if let Some(flight) = self.in_flight.get(log) {
            let over = flight.patience.filter(|(until, _)| *until <= now.time);
            let Some((_, waited_ms)) = over else { return };
            patience_ms = (2 * waited_ms).min(RANGE_TIMEOUT_MS);
            instead_of = Some(flight.peer);
        }
        let row = self.layers(history).log(log);
        let most = row
            .as_ref()
            .and_then(|row| row.frozen)
            .map_or(u64::MAX, |frozen| frozen.cut());
        let (epoch, have) = row.map_or((1, 0), |row| (row.epoch, row.seq));
        let more = |claim: &&Claim| {
            claim.epoch > epoch || claim.epoch == epoch && claim.seq > have && have < most
        };
        let claimants = self.sessions.iter().filter_map(|(peer, session)| {
            let claim = session.claims.get(log).filter(more)?;
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
        let deadline = now.time.plus_ms(RANGE_TIMEOUT_MS);
        self.in_flight.insert(
            *log,
            InFlight {
                peer,
                to: (claim.epoch, claim.seq),
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
            // Also where the new epoch begins lower than what is here: its beginning is sent at least.
            to: claim.seq.max(have + 1),
        };
        ask_for(peer, channel, want, out);
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
        vertex: &VerifiedVertex,
        stored: bool,
        now: Now,
        history: &dyn History,
    ) {
        let h = &vertex.header.header;
        self.fetching.remove(&vertex.id());
        let row = self.layers(history).log(&h.log);
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
    pub(super) fn fetch_missing(&mut self, now: Now, out: &mut Vec<Action>) {
        let missing = self.pen.missing();
        let anybody = self
            .sessions
            .iter()
            .find(|(_, s)| s.gives())
            .map(|(peer, _)| *peer);
        for (id, from) in missing {
            // Whoever sent it may have come back meanwhile, and only read.
            if let Some(peer) = from.filter(|peer| self.hears(peer)).or(anybody) {
                self.fetch(peer, id, now, out);
            }
        }
    }
}

/// Asks for a range along with the others that one input makes this node ask for: whoever serves them all at once serves them in
/// causal order, so that nothing has to be fetched singly.
fn ask_for(peer: PeerId, channel: Channel, want: Want, out: &mut Vec<Action>) {
    for action in out.iter_mut() {
        if let Action::Send(to, by, Message::Want(wants)) = action
            && (*to, *by) == (peer, channel)
            && wants.len() < MAX_RANGES
        {
            wants.push(want);
            return;
        }
    }
    let message = Message::Want(vec![want]);
    out.push(Action::Send(peer, channel, message));
}

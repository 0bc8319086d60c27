//! Comparing: two nodes see by one short message each that they are equal. If not, whoever has more shows its frontier, and the
//! other answers with what it has besides and asks for what it lacks; so a frontier takes the line once.

use std::collections::{BTreeMap, BTreeSet};

use super::confirm::is_within;
use super::peers::BEACON_MS;
use super::{Action, Now, Replica, frontier};
use crate::amount::Timestamp;
use crate::ids::LogId;
use crate::ledger::History;
use crate::sync::{Beacon, Channel, FrontierEntry, Message};
use crate::trust::PeerId;

/// Pause between two frontiers for one peer, in milliseconds: one is more than 100 KB in a large network. The same between
/// two answers to its frontiers.
const FRONTIER_PAUSE_MS: u64 = 1_000;
/// How long a peer that was sent a beacon needs no other to see who has more, in milliseconds: as long as a slow line keeps the first
/// on its way, and shorter than the time between two comparisons.
const BEACON_PAUSE_MS: u64 = BEACON_MS / 2;

impl Replica {
    /// Compares a peer's frontier, in short, with this node's.
    pub(super) fn compare(
        &mut self,
        from: PeerId,
        theirs: Beacon,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        let Some(session) = self.sessions.get_mut(&from) else {
            return;
        };
        // Comparing reads every log, also where nothing is sent for it. A listed peer is answered all the same where it was equal:
        // what is unequal right after that is news.
        let compared = session
            .compared
            .filter(|(_, equal)| session.reads_only || !equal);
        let soon = |at| is_soon(at, FRONTIER_PAUSE_MS, now);
        if soon(session.frontier_sent) || soon(compared.map(|(at, _)| at)) {
            return;
        }
        let frontier = frontier(history);
        let mine = Beacon::of(&frontier);
        let equal = mine.hash == theirs.hash;
        let before = session.compared.replace((now.time, equal));
        let own = self.home.log();
        let own = frontier.iter().find(|entry| entry.log == own);
        Self::note_step(session, own, (equal, before.map(|(_, equal)| equal)));
        // Each side sends one along with its hello, which answers the other's.
        let answered = before.is_none() || is_soon(session.beacon_sent, BEACON_PAUSE_MS, now);
        if equal {
            return;
        }
        session.unequal = true;
        // Who only reads is never asked what it has.
        if session.reads_only || mine.sum >= theirs.sum {
            session.frontier_sent = Some(now.time);
            let message = Message::Frontier(frontier);
            out.push(Action::Send(from, Channel::Sync, message));
        } else if !answered {
            session.beacon_sent = Some(now.time);
            out.push(Action::Send(from, Channel::Sync, Message::Beacon(mine)));
        }
    }

    /// Says what this node has beside a peer's frontier. Where it is plainly behind it says nothing, for that is asked for; but
    /// what it has of the peer's own log it always says: by that the peer learns that the log is whole.
    pub(super) fn answer_frontier(
        &mut self,
        from: PeerId,
        theirs: &[FrontierEntry],
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        let Some(session) = self.sessions.get_mut(&from) else {
            return;
        };
        // Where both showed theirs, that was the answer.
        let soon = |at| is_soon(at, FRONTIER_PAUSE_MS, now);
        if soon(session.frontier_sent) || soon(session.difference_sent) {
            return;
        }
        session.difference_sent = Some(now.time);
        let region = session.region.clone();
        let own: BTreeSet<LogId> = self
            .authorities
            .0
            .iter()
            .filter(|(_, authority)| Some(authority.region()) == region.as_ref())
            .map(|(log, _)| *log)
            .collect();
        let named: BTreeMap<LogId, &FrontierEntry> =
            theirs.iter().map(|entry| (entry.log, entry)).collect();
        let mut beside = frontier(history);
        beside.retain(|mine| {
            let theirs = named.get(&mine.log);
            own.contains(&mine.log) || !theirs.is_some_and(|theirs| says_enough(theirs, mine))
        });
        let message = Message::Difference(beside);
        out.push(Action::Send(from, Channel::Sync, message));
    }
}

/// Whether a peer that shows `theirs` of a log needs not hear of `mine`: it is the same, or a step towards it.
fn says_enough(theirs: &FrontierEntry, mine: &FrontierEntry) -> bool {
    let behind = mine.epoch == theirs.epoch && mine.seq < theirs.seq && !mine.forked;
    mine == theirs || behind
}

fn is_soon(at: Option<Timestamp>, pause_ms: u64, now: Now) -> bool {
    at.is_some_and(|at| is_within(at, pause_ms, now.time))
}

//! Checkpoints: when a home may write one, and what it says of the home's accounts, sums and promises.

use std::collections::{BTreeMap, BTreeSet};

use city_protocol::refusal::Refusal::{self, *};

use super::answers::passes;
use super::keys::Key;
use super::spec::{Account, DEADLINE, Ledger, Sent, Who, first, home_of};
use super::words::Verdict;

/// Least time between the states of two checkpoints.
const GAP: u64 = 60 * 60_000;

/// What a log's state is, as far as others go on from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The time of the vertex that it is the state of.
    pub(crate) time: u64,
    pub(crate) epoch: u64,
    /// Epochs of the other home in which it was convicted.
    pub(crate) faults: BTreeSet<u64>,
    pub(crate) officers_used: u64,
    /// Granted, ungranted, shortfall, available, open, settled, accepted.
    pub(crate) sums: [u64; 7],
    /// Accounts, each with the key that counts alone.
    pub(crate) accounts: BTreeMap<Who, Account>,
    /// Keys that came after the first.
    pub(crate) later_keys: BTreeSet<Key>,
    /// Transfers that are neither settled nor refunded, and their amounts.
    pub(crate) open: BTreeMap<usize, u64>,
    /// Answers that could still be contradicted, and whether they are a no.
    pub(crate) answers: BTreeMap<usize, bool>,
    /// Accepted from the other home, and settled to it.
    pub(crate) clearing: [u64; 2],
    /// Charters after the first, by number.
    pub(crate) later_charters: BTreeSet<usize>,
    /// The board: how long what stands there is, or that it is deleted.
    pub(crate) notes: BTreeMap<String, Option<usize>>,
}

impl Ledger {
    /// A home says what its state is: once of each state, and an hour later than the last time.
    pub(super) fn checkpoint(&mut self, at: usize) -> Result<Verdict, Refusal> {
        if !self.changed[at] {
            return Ok(Verdict::Repeated);
        }
        let last = self.says[at].checkpoint.as_ref();
        first([
            (
                last.is_some_and(|last| self.heads[at] < last.time + GAP),
                Busy,
            ),
            (self.stopped[at], NotSequencing),
        ])?;
        self.says[at].checkpoint = Some(self.state_of(at));
        Ok(Verdict::Booked(None))
    }

    /// What a home accepted from the other, and settled to it.
    pub(crate) fn clearing(&self, at: usize) -> [u64; 2] {
        let other = 1 - at;
        let sum = |which: &dyn Fn(&Sent) -> bool| {
            let sent = self.transfers.iter().filter(|sent| which(sent));
            sent.map(|sent| sent.amount).sum()
        };
        let accepted = sum(&|sent| sent.accepted && passes(sent, other, at));
        let settled = sum(&|sent| sent.settled && passes(sent, at, other));
        [accepted, settled]
    }

    fn state_of(&self, at: usize) -> State {
        let home = &self.homes[at];
        let time = self.heads[at];
        let mut state = State {
            time,
            epoch: self.says[at].epoch,
            faults: self.says[at].faults.clone(),
            officers_used: home.officers_used,
            ..State::default()
        };
        for (who, account) in &self.accounts {
            if home_of(*who) == at {
                let keys = vec![account.key()];
                let later = account.keys[1..].iter().map(|key| (*who, *key));
                state.later_keys.extend(later);
                let account = Account {
                    keys,
                    ..account.clone()
                };
                state.accounts.insert(*who, account);
            }
        }
        let available = state.accounts.values().map(|it| it.available).sum();
        state.sums = [
            home.granted,
            home.ungranted,
            home.shortfall,
            available,
            home.open_out,
            home.settled_out,
            home.accepted_in,
        ];
        for (n, sent) in self.transfers.iter().enumerate() {
            let (from, to) = (home_of(sent.from) == at, home_of(sent.to) == at);
            if from && sent.is_open() {
                state.open.insert(n, sent.amount);
            }
            if to && sent.is_answered() && (sent.adopted || sent.at + DEADLINE >= time) {
                state.answers.insert(n, sent.rejected);
            }
        }
        state.clearing = self.clearing(at);
        state.later_charters = (2..=self.says[at].charters.len()).collect();
        let board = self.says[at].board.iter();
        let notes = board.map(|(key, note)| (key.clone(), note.text.map(|text| text.bytes)));
        state.notes = notes.collect();
        state
    }
}

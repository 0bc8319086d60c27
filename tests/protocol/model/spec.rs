//! The rules of the ledger (DESIGN §5, §6) in integers and maps: what a home answers, and what everybody
//! has afterwards. Nothing here is signed, encoded or stored.
//!
//! People 0 and 1 live in 金沢市 (home 0), people 2 and 3 in 小松市 (home 1). Amounts are hundredths, times
//! milliseconds. Of several things that are wrong the first in the order of the text is named.

use std::collections::BTreeMap;
use std::sync::Arc;

use city_protocol::refusal::Refusal::{self, *};

use crate::world::BEGIN;

use super::faults::Log;
use super::filling::home_asked;
use super::published::Published;
use super::steps::{Evidence, Step};
use super::words::{Request, Verdict};

/// One of the four people.
pub(crate) type Who = usize;

/// 愛貨.
pub(super) const AIKA: u16 = 101;
/// 他者への未払愛貨.
pub(super) const PAYABLE: u16 = 203;
/// 他者からの借入愛貨.
pub(super) const BORROWED: u16 = 205;
/// 愛貨贈与差額.
pub(super) const GRANTED: u16 = 305;
/// 愛の行動受取.
pub(super) const RECEIVED: u16 = 401;
/// 愛の行動消費, where the sender names no other account.
pub(super) const EXPENSE: u16 = 501;
/// How long a proof of place is fresh.
pub(super) const FRESH: u64 = 5 * 60_000;
/// How far a client's clock may run ahead.
pub(super) const AHEAD: u64 = 5 * 60_000;
/// A day.
pub(super) const DAY: u64 = 24 * 60 * 60_000;
/// How long a receiver may accept.
pub(super) const DEADLINE: u64 = 180 * DAY;
/// How long a transfer waits for an account that is not there, or has no key.
pub(super) const GRACE: u64 = 7 * DAY;
/// How much 小松市 takes from 金沢市 beyond what 金沢市 took from it.
pub(super) const LIMIT: u64 = 10_000;
/// How often a home looks for what is overdue.
pub(super) const ROUND: u64 = 60 * 60_000;

/// Where a person's account is kept.
pub(crate) const fn home_of(who: Who) -> usize {
    who / 2
}

/// A person's account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// The sequence number that the next transfer or acceptance must carry, less one.
    pub(crate) used: u64,
    /// What can be spent.
    pub(crate) available: u64,
    /// What was sent and is not settled yet.
    pub(crate) open_out: u64,
    /// Its keys, the newest last: which of the person's.
    pub(crate) keys: Vec<u64>,
    /// Nothing is taken from it until officers give it another key.
    pub(crate) revoked: bool,
    /// What the home takes for it.
    pub(crate) order: Option<Order>,
}

impl Account {
    /// The key that counts, or was closed last.
    pub(super) fn key(&self) -> u64 {
        self.keys.last().copied().unwrap_or_default()
    }
}

/// What a home takes for somebody by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Up to which amount.
    pub(crate) most: Option<u64>,
    /// Until when.
    pub(crate) until: Option<u64>,
    /// From whom alone.
    pub(crate) only: Option<Who>,
}

/// One line of a journal: whose books, code of the chart, debit, amount.
pub(crate) type Line = (Who, u16, bool, u64);

/// What a municipality's log adds up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Municipality {
    pub(crate) officers_used: u64,
    pub(crate) granted: u64,
    pub(crate) ungranted: u64,
    /// What it answers for and nobody had.
    pub(crate) shortfall: u64,
    pub(crate) open_out: u64,
    pub(crate) settled_out: u64,
    pub(crate) accepted_in: u64,
    pub(crate) journal: Vec<Line>,
}

/// A transfer that its sender's home has sequenced.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(super) from: Who,
    pub(super) to: Who,
    pub(super) id: u64,
    pub(super) amount: u64,
    pub(super) at: u64,
    /// Whether the receiver's home has heard of it.
    pub(super) known: bool,
    pub(super) accepted: bool,
    /// The receiver, or their home, said no.
    pub(super) rejected: bool,
    pub(super) settled: bool,
    /// Whether the sender's home has heard the answer.
    pub(super) answer_known: bool,
    /// The receiver's home answers for an answer that it lost.
    pub(super) adopted: bool,
    /// A cut took it back, and nobody answers for it.
    pub(super) lost: bool,
    /// With which of their keys the sender signed it.
    pub(super) key: u64,
    /// The sender has it back, and whether the receiver's home has heard of that.
    pub(super) refunded: bool,
    pub(super) refund_known: bool,
}

impl Sent {
    pub(super) const fn is_answered(&self) -> bool {
        self.accepted || self.rejected
    }

    pub(super) const fn is_within_one_home(&self) -> bool {
        home_of(self.from) == home_of(self.to)
    }

    /// Whether its sender's home still has it open.
    pub(super) const fn is_open(&self) -> bool {
        !self.settled && !self.refunded && !self.lost
    }

    /// From whom, to whom, how much.
    pub(super) const fn parties(&self) -> (Who, Who, u64) {
        (self.from, self.to, self.amount)
    }
}

/// A proof of place. Two of the same content are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) who: Who,
    pub(super) id: u64,
    pub(super) at: u64,
    pub(super) evidence: Evidence,
    /// Whether the home has it in memory.
    pub(super) held: bool,
}

/// Everything there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) now: u64,
    pub(crate) accounts: BTreeMap<Who, Account>,
    pub(crate) homes: [Municipality; 2],
    pub(crate) transfers: Vec<Sent>,
    /// Transfers in the order in which they were accepted.
    pub(super) accepted: Vec<usize>,
    /// Which home rests on which transfer of the other, or its answer, in the order in which it came to.
    pub(super) rests: Vec<(usize, usize)>,
    /// Whether each home knows that it was convicted and may not sign; whether the other home knows it.
    pub(super) stopped: [bool; 2],
    pub(super) convicted: [bool; 2],
    /// What became of what was lost, in a word each.
    pub(crate) adopted: Vec<&'static str>,
    /// What each home's log said after each step of its epoch.
    pub(super) past: [Vec<Arc<Log>>; 2],
    /// How many keys each person has made beside the one to enrol with.
    pub(super) keys_made: [u64; 4],
    /// How many officers each home has named.
    pub(super) officers_made: [u64; 2],
    pub(super) proofs: Vec<Proof>,
    /// When each home looks for what is overdue the next time.
    pub(super) rounds: [u64; 2],
    /// The time of each home's newest vertex.
    pub(super) heads: [u64; 2],
    /// The time of the other home's newest vertex that each has heard of.
    pub(super) heard: [u64; 2],
    /// Whether each home's newest vertex is no checkpoint.
    pub(super) changed: [bool; 2],
    /// What each home says of itself, and what the others have heard of that.
    pub(super) says: [Published; 2],
    pub(super) told: [Published; 2],
    /// Transfer ids that clients have chosen so far: 1, 2, …
    pub(super) ids: u64,
    /// What was booked, and when it was made.
    pub(crate) booked: Vec<(u64, Request)>,
    /// What was asked last, and the answer.
    pub(crate) last: Option<(Request, Verdict)>,
}

impl Ledger {
    /// Nothing has happened yet.
    pub(crate) fn begin() -> Self {
        let now = BEGIN.plus_ms(1000).0;
        let mut ledger = Self {
            now,
            rounds: [now + ROUND; 2],
            heads: [now; 2],
            changed: [true; 2],
            says: [0, 1].map(Published::of),
            told: [0, 1].map(Published::of),
            officers_made: [3; 2],
            ..Self::default()
        };
        ledger.remember();
        ledger
    }

    /// Over both homes: what can be spent and what is on its way is what was granted.
    pub(crate) fn conserved(&self) -> bool {
        let sum = |of: fn(&Municipality) -> u64| self.homes.iter().map(of).sum::<u64>();
        let available: u64 = self
            .accounts
            .values()
            .map(|account| account.available)
            .sum();
        let in_transit = sum(|home| home.open_out) + sum(|home| home.settled_out);
        let made = sum(|home| home.granted) + sum(|home| home.shortfall);
        available + in_transit + sum(|home| home.ungranted) == made + sum(|home| home.accepted_in)
    }

    /// Transfers that nobody has answered yet.
    pub(crate) fn open(&self) -> Vec<usize> {
        let numbers = 0..self.transfers.len();
        let open = |n: &usize| {
            let sent = &self.transfers[*n];
            !sent.is_answered() && sent.is_open()
        };
        numbers.filter(open).collect()
    }

    /// Whether the post has something for a home to act on.
    pub(crate) fn is_awaited(&self) -> bool {
        let news = |sent: &Sent| !sent.known || sent.is_answered() && !sent.answer_known;
        self.transfers.iter().any(|sent| !sent.lost && news(sent))
    }

    /// Whether a transfer waits at its receiver's home for somebody who has an account there.
    pub(crate) fn is_waiting(&self, n: usize) -> bool {
        let sent = &self.transfers[n];
        let account = self.accounts.get(&sent.to);
        sent.known && account.is_some_and(|account| !account.revoked)
    }

    /// Asks, answers, and remembers both.
    pub(crate) fn take(&mut self, step: &Step) {
        let request = self.request(step);
        let identity = self.identity(&request);
        let written = [0, 1].map(|home: usize| self.homes[home].journal.len());
        // Whoever says the same a second time gets the first receipt.
        let verdict = if self.booked.contains(&identity) {
            Verdict::Repeated
        } else {
            self.answer(&request).unwrap_or_else(Verdict::Refused)
        };
        if matches!(verdict, Verdict::Booked(_)) {
            let home = home_asked(&request);
            self.wrote(home);
            self.changed[home] = !matches!(request, Request::Checkpoint(_));
            if request.is_handed_in() {
                self.booked.push(identity);
            }
        }
        // Of what a home enters in one step the order is its own affair.
        for (home, written) in self.homes.iter_mut().zip(written) {
            if let Some(lines) = home.journal.get_mut(written..) {
                lines.sort_unstable();
            }
        }
        self.remember();
        self.last = Some((request, verdict));
    }

    fn answer(&mut self, request: &Request) -> Result<Verdict, Refusal> {
        match *request {
            Request::Enrol { who, at } => self.enrol(who, at),
            Request::Grant(to, ref by) => self.grant(to, by),
            Request::Ungrant(from, ref by) => self.ungrant(from, by),
            Request::Correct(who, transfer, ref by) => self.correct(who, transfer, by),
            Request::Prove { who, id, evidence } => self.prove(who, id, evidence),
            Request::Transfer(ref draft) => self.transfer(draft),
            Request::Answer(ref said) => self.say(said),
            Request::Order {
                who,
                key,
                sequence,
                takes,
            } => self.order(who, key, sequence, takes),
            Request::Rotate {
                who,
                key,
                sequence,
                new,
                signed,
            } => self.rotate(who, key, sequence, new, signed),
            Request::Revoke { who, key, sequence } => self.revoke(who, key, sequence),
            Request::Close {
                who,
                ref signers,
                sequence,
            } => self.close(who, signers, sequence),
            Request::Recover {
                who,
                ref signers,
                sequence,
                new,
            } => self.recover(who, signers, sequence, new),
            Request::Note { at, ref key, text } => self.note(at, key, text),
            Request::Elect(ref elected) => self.elect(elected),
            Request::Epoch(ref begun) => self.begin_epoch(begun),
            Request::Lie { home, to } => Ok(self.lie(home, to)),
            Request::Checkpoint(home) => self.checkpoint(home),
            Request::Again(_) => Ok(Verdict::Repeated),
            Request::Carry => Ok(self.carry()),
            Request::Clock { ms, tick } => Ok(self.clock(ms, tick)),
            Request::Restart(home) => Ok(self.restart(home)),
        }
    }

    /// A home's log gets a vertex.
    pub(super) fn wrote(&mut self, home: usize) {
        self.heads[home] = self.now;
        self.changed[home] = true;
    }

    /// Changes an account, and books.
    pub(super) fn balance(&mut self, who: Who, change: impl FnOnce(&mut Account)) -> Verdict {
        let account = self.accounts.entry(who).or_default();
        change(account);
        Verdict::Booked(Some(account.available))
    }

    /// An account opens once, at its own home.
    fn enrol(&mut self, who: Who, at: usize) -> Result<Verdict, Refusal> {
        first([
            (self.stopped[at], NotSequencing),
            (at != home_of(who), WrongHome),
            (self.accounts.contains_key(&who), AccountExists),
        ])?;
        let keys = vec![0];
        let account = Account {
            keys,
            ..Account::default()
        };
        self.accounts.insert(who, account);
        Ok(Verdict::Booked(None))
    }

    /// Somebody's account, which is there.
    pub(super) fn account(&mut self, who: Who) -> &mut Account {
        self.accounts.get_mut(&who).expect("an account")
    }
}

/// The first refusal whose condition holds.
pub(super) fn first<const N: usize>(refusals: [(bool, Refusal); N]) -> Result<(), Refusal> {
    match refusals.into_iter().find(|(applies, _)| *applies) {
        Some((_, refusal)) => Err(refusal),
        None => Ok(()),
    }
}

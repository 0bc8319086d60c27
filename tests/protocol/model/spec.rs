//! The rules of the ledger (DESIGN §5, §6) in integers and maps: what a home answers, and what everybody
//! has afterwards. Nothing here is signed, encoded or stored.
//!
//! People 0 and 1 live in 金沢市 (home 0), people 2 and 3 in 小松市 (home 1). Amounts are hundredths, times
//! milliseconds. Of several things that are wrong the first in the order of the text is named.

use std::collections::BTreeMap;

use city_protocol::journal::{AIKA, GRANTED, PAYABLE, RECEIVED};
use city_protocol::refusal::Refusal::{self, *};

use crate::world::BEGIN;

use super::steps::{Evidence, Id, Much, ProofOf, Signers, Step};

pub(crate) type Who = usize;
/// 愛の行動消費, where the sender names no other account.
const EXPENSE: u16 = 501;
/// How long a proof of place is fresh.
const FRESH: u64 = 5 * 60_000;
/// How far a client's clock may run ahead.
const AHEAD: u64 = 5 * 60_000;
/// How long a receiver may accept.
const DEADLINE: u64 = 180 * 24 * 60 * 60_000;

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
}

/// One line of a journal: whose books, code of the chart, debit, amount.
pub(crate) type Line = (Who, u16, bool, u64);

/// What a municipality's log adds up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Municipality {
    pub(crate) officers_used: u64,
    pub(crate) granted: u64,
    pub(crate) open_out: u64,
    pub(crate) settled_out: u64,
    pub(crate) accepted_in: u64,
    pub(crate) journal: Vec<Line>,
}

/// A transfer that its sender's home has sequenced.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    from: Who,
    to: Who,
    id: u64,
    amount: u64,
    at: u64,
    /// Whether the receiver's home has heard of it.
    known: bool,
    accepted: bool,
    settled: bool,
}

/// A proof of place. Two of the same content are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Proof {
    who: Who,
    id: u64,
    at: u64,
    evidence: Evidence,
    /// Whether the home has it in memory.
    held: bool,
}

/// What somebody asks a home, with all numbers filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Enrol {
        who: Who,
        at: usize,
    },
    Grant {
        to: Who,
        at: usize,
        signers: Signers,
        sequence: u64,
        amount: u64,
    },
    Prove {
        who: Who,
        id: u64,
        evidence: Evidence,
    },
    Transfer(Draft),
    Accept {
        by: Who,
        transfer: usize,
        sequence: u64,
        amount: u64,
    },
    /// What was booked as the n-th is submitted once more.
    Again(usize),
    /// All that the homes have to say to each other is carried.
    Carry,
    Clock {
        ms: u64,
        tick: bool,
    },
    Restart(usize),
}

/// A transfer as its author signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) from: Who,
    pub(crate) to: Who,
    /// Whose key signs.
    pub(crate) signer: Who,
    /// The home that is asked.
    pub(crate) at: usize,
    pub(crate) amount: u64,
    pub(crate) sequence: u64,
    pub(crate) id: u64,
    pub(crate) created_at: u64,
    pub(crate) expires_at: u64,
    /// Its proof, by number; `None` names one that was never made.
    pub(crate) proof: Option<usize>,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Booked now; available to the account afterwards, where the entry moves 愛貨.
    Booked(Option<u64>),
    /// Booked before: the first receipt.
    Repeated,
    Refused(Refusal),
    /// Nothing was asked that could be booked.
    Done,
}

impl Verdict {
    /// `booked`, `repeated`, `done`, or the refusal's code.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Booked(_) => "booked".into(),
            Self::Repeated => "repeated".into(),
            Self::Refused(refusal) => refusal.code().into(),
            Self::Done => "done".into(),
        }
    }
}

/// Everything there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) now: u64,
    pub(crate) accounts: BTreeMap<Who, Account>,
    pub(crate) homes: [Municipality; 2],
    pub(crate) transfers: Vec<Sent>,
    /// Transfers in the order in which they were accepted.
    accepted: Vec<usize>,
    proofs: Vec<Proof>,
    /// Transfer ids that clients have chosen so far: 1, 2, …
    ids: u64,
    /// What was booked, and when it was made.
    pub(crate) booked: Vec<(u64, Request)>,
    /// What was asked last, and the answer.
    pub(crate) last: Option<(Request, Verdict)>,
}

impl Ledger {
    /// Nothing has happened yet.
    pub(crate) fn begin() -> Self {
        Self {
            now: BEGIN.plus_ms(1000).0,
            ..Self::default()
        }
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
        available + in_transit == sum(|home| home.granted) + sum(|home| home.accepted_in)
    }

    /// Asks, answers, and remembers both.
    pub(crate) fn take(&mut self, step: &Step) {
        let request = self.request(step);
        let identity = self.identity(&request);
        // Whoever says the same a second time gets the first receipt.
        let verdict = if self.booked.contains(&identity) {
            Verdict::Repeated
        } else {
            self.answer(&request).unwrap_or_else(Verdict::Refused)
        };
        if matches!(verdict, Verdict::Booked(_)) {
            self.booked.push(identity);
        }
        self.last = Some((request, verdict));
    }

    /// What makes two submissions the same: all that is signed, and not who signed it.
    fn identity(&self, request: &Request) -> (u64, Request) {
        let mut words = request.clone();
        match &mut words {
            Request::Grant { signers, .. } => *signers = Signers::Two,
            Request::Transfer(draft) => {
                let content = |n: usize| Proof {
                    held: true,
                    ..self.proofs[n]
                };
                let first = |n| (0..=n).find(|m| content(*m) == content(n));
                draft.proof = draft.proof.and_then(first);
            }
            _ => {}
        }
        (self.now, words)
    }

    fn answer(&mut self, request: &Request) -> Result<Verdict, Refusal> {
        match *request {
            Request::Enrol { who, at } => self.enrol(who, at),
            Request::Grant {
                to,
                at,
                signers,
                sequence,
                amount,
            } => self.grant(to, at, signers, sequence, amount),
            Request::Prove { who, id, evidence } => self.prove(who, id, evidence),
            Request::Transfer(ref draft) => self.transfer(draft),
            Request::Accept {
                by,
                transfer,
                sequence,
                amount,
            } => self.accept(by, transfer, sequence, amount),
            Request::Again(_) => Ok(Verdict::Repeated),
            Request::Carry => Ok(self.carry()),
            Request::Clock { ms, tick } => Ok(self.clock(ms, tick)),
            Request::Restart(home) => Ok(self.restart(home)),
        }
    }

    /// Fills in the numbers: whose turn it is, how much there is, what time it is.
    fn request(&mut self, step: &Step) -> Request {
        match *step {
            Step::Enrol { who, elsewhere } => Request::Enrol {
                who,
                at: home_of(who) ^ usize::from(elsewhere),
            },
            Step::Grant {
                to,
                elsewhere,
                signers,
                turn,
                amount,
            } => {
                let at = home_of(to) ^ usize::from(elsewhere);
                let sequence = turn.after(self.homes[at].officers_used);
                let amount = self.amount(to, amount);
                Request::Grant {
                    to,
                    at,
                    signers,
                    sequence,
                    amount,
                }
            }
            Step::Prove { who, id, evidence } => Request::Prove {
                who,
                id: self.id(id),
                evidence,
            },
            Step::Transfer {
                from,
                to,
                signer,
                elsewhere,
                amount,
                turn,
                id,
                dated,
                proof,
            } => {
                let (amount, id) = (self.amount(from, amount), self.id(id));
                let proof = match proof {
                    ProofOf::Now => self
                        .prove(from, id, Evidence::Inside)
                        .ok()
                        .map(|_| self.proofs.len() - 1),
                    ProofOf::Before(n) => Some(n)
                        .filter(|_| !self.proofs.is_empty())
                        .map(|n| n % self.proofs.len()),
                    ProofOf::Nothing => None,
                };
                let (created_at, expires_at) = dated.around(self.now, AHEAD);
                Request::Transfer(Draft {
                    from,
                    to,
                    signer: signer.unwrap_or(from),
                    at: home_of(from) ^ usize::from(elsewhere),
                    amount,
                    sequence: turn.after(self.used(from)),
                    id,
                    created_at,
                    expires_at,
                    proof,
                })
            }
            Step::Accept {
                by,
                transfer,
                turn,
                other_amount,
            } => {
                let transfer = transfer % self.transfers.len();
                let sent = &self.transfers[transfer];
                let by = by.unwrap_or(sent.to);
                Request::Accept {
                    by,
                    transfer,
                    sequence: turn.after(self.used(by)),
                    amount: sent.amount + u64::from(other_amount),
                }
            }
            Step::Again(n) => Request::Again(n % self.booked.len()),
            Step::Carry => Request::Carry,
            Step::Clock { ms, tick } => Request::Clock { ms, tick },
            Step::Restart(home) => Request::Restart(home),
        }
    }

    fn used(&self, who: Who) -> u64 {
        self.accounts.get(&who).map_or(0, |account| account.used)
    }

    fn amount(&self, who: Who, much: Much) -> u64 {
        let available = self
            .accounts
            .get(&who)
            .map_or(0, |account| account.available);
        match much {
            Much::This(amount) => amount,
            Much::All => available,
            Much::OneTooMany => available + 1,
        }
    }

    fn id(&mut self, id: Id) -> u64 {
        match id {
            Id::Of(n) if self.ids > 0 => 1 + n % self.ids,
            Id::Of(_) | Id::New => {
                self.ids += 1;
                self.ids
            }
        }
    }

    /// Changes an account, and books.
    fn balance(&mut self, who: Who, change: impl FnOnce(&mut Account)) -> Verdict {
        let account = self.accounts.entry(who).or_default();
        change(account);
        Verdict::Booked(Some(account.available))
    }

    /// An account opens once, at its own home.
    fn enrol(&mut self, who: Who, at: usize) -> Result<Verdict, Refusal> {
        first([
            (at != home_of(who), WrongHome),
            (self.accounts.contains_key(&who), AccountExists),
        ])?;
        self.accounts.insert(who, Account::default());
        Ok(Verdict::Booked(None))
    }

    /// Two of a municipality's three officers give an account 愛貨, each grant in its turn.
    fn grant(
        &mut self,
        to: Who,
        at: usize,
        signers: Signers,
        sequence: u64,
        amount: u64,
    ) -> Result<Verdict, Refusal> {
        let used = self.homes[at].officers_used;
        first([
            (amount == 0, BadAmount),
            (sequence == 0, BadField),
            (
                at != home_of(to) || !self.accounts.contains_key(&to),
                UnknownAccount,
            ),
            (sequence <= used, SequenceUsed),
            (sequence > used + 1, SequenceGap),
            (signers.too_few(), OfficersShort),
            (signers == Signers::OneForged, BadSignature),
        ])?;
        let home = &mut self.homes[at];
        home.officers_used = sequence;
        home.granted += amount;
        home.journal.push((to, AIKA, true, amount));
        home.journal.push((to, GRANTED, false, amount));
        Ok(self.balance(to, |account| account.available += amount))
    }

    /// A home holds a proof for whoever has an account there.
    fn prove(&mut self, who: Who, id: u64, evidence: Evidence) -> Result<Verdict, Refusal> {
        first([(!self.accounts.contains_key(&who), UnknownAccount)])?;
        let (at, held) = (self.now, true);
        self.proofs.push(Proof {
            who,
            id,
            at,
            evidence,
            held,
        });
        Ok(Verdict::Done)
    }

    /// A transfer takes 愛貨 from what is available; whether the receiver exists is not asked.
    fn transfer(&mut self, draft: &Draft) -> Result<Verdict, Refusal> {
        let Draft {
            from,
            to,
            id,
            amount,
            sequence,
            ..
        } = *draft;
        let account = self.accounts.get(&from).cloned();
        let next = account.as_ref().map_or(0, |account| account.used + 1);
        let id_is_used = self
            .transfers
            .iter()
            .any(|sent| (sent.from, sent.id) == (from, id));
        first([
            (amount == 0, BadAmount),
            (from == to, SameAccount),
            (sequence == 0, BadField),
            (draft.at != home_of(from), WrongHome),
            (account.is_none(), UnknownAccount),
            (draft.signer != from, WrongKey),
            (sequence < next, SequenceUsed),
            (sequence > next, SequenceGap),
            (id_is_used, TransferIdUsed),
            (draft.created_at > self.now + AHEAD, FutureDated),
            (draft.expires_at < self.now, Expired),
        ])?;
        self.placed(draft)?;
        let available = account.map_or(0, |account| account.available);
        first([(amount > available, Overdraft)])?;

        let home = &mut self.homes[home_of(from)];
        home.open_out += amount;
        home.journal.push((from, EXPENSE, true, amount));
        home.journal.push((from, PAYABLE, false, amount));
        self.transfers.push(Sent {
            from,
            to,
            id,
            amount,
            at: self.now,
            known: home_of(from) == home_of(to),
            accepted: false,
            settled: false,
        });
        Ok(self.balance(from, |account| {
            account.used = sequence;
            account.available -= amount;
            account.open_out += amount;
        }))
    }

    /// The proof is held by this home, made for this account and transfer, fresh, good enough, and inside.
    fn placed(&self, draft: &Draft) -> Result<(), Refusal> {
        let named = draft.proof.map(|n| self.proofs[n]);
        let held = |named: &Proof| {
            self.proofs.contains(&Proof {
                held: true,
                ..*named
            })
        };
        let here = |named: &Proof| home_of(named.who) == draft.at;
        let proof = named.filter(held).filter(here).ok_or(PlaceUnknown)?;
        first([
            (
                (proof.who, proof.id) != (draft.from, draft.id),
                PlaceMismatch,
            ),
            (proof.evidence == Evidence::Nowhere, NoPosition),
            (proof.evidence != Evidence::Inside, PlaceInsufficient),
            (self.now - proof.at > FRESH, PlaceInsufficient),
        ])
    }

    /// The receiver, and nobody else, takes a transfer, once and in time.
    fn accept(
        &mut self,
        by: Who,
        n: usize,
        sequence: u64,
        amount: u64,
    ) -> Result<Verdict, Refusal> {
        let sent = self.transfers[n].clone();
        let account = self.accounts.get(&by);
        let next = account.map_or(0, |account| account.used + 1);
        first([
            (amount == 0, BadAmount),
            (sequence == 0, BadField),
            (
                sent.accepted && home_of(by) == home_of(sent.to),
                AlreadyAccepted,
            ),
            (account.is_none(), UnknownAccount),
            (sequence < next, SequenceUsed),
            (sequence > next, SequenceGap),
            (by != sent.to || !sent.known, UnknownTransfer),
            (amount != sent.amount, TransferMismatch),
            (self.now > sent.at + DEADLINE, DeadlinePassed),
        ])?;
        self.transfers[n].accepted = true;
        self.accepted.push(n);
        let home = &mut self.homes[home_of(by)];
        home.accepted_in += amount;
        home.journal.push((by, AIKA, true, amount));
        home.journal.push((by, RECEIVED, false, amount));
        let booked = self.balance(by, |account| {
            account.used = sequence;
            account.available += amount;
        });
        if home_of(sent.from) == home_of(by) {
            self.settle(n);
        }
        Ok(booked)
    }

    /// The sender's home closes a transfer whose acceptance it has seen.
    fn settle(&mut self, n: usize) {
        let sent = &mut self.transfers[n];
        sent.settled = true;
        let (from, amount) = (sent.from, sent.amount);
        let home = &mut self.homes[home_of(from)];
        home.open_out -= amount;
        home.settled_out += amount;
        home.journal.push((from, PAYABLE, true, amount));
        home.journal.push((from, AIKA, false, amount));
        self.balance(from, |account| account.open_out -= amount);
    }

    fn carry(&mut self) -> Verdict {
        for n in self.accepted.clone() {
            if !self.transfers[n].settled {
                self.settle(n);
            }
        }
        self.transfers.iter_mut().for_each(|sent| sent.known = true);
        Verdict::Done
    }

    /// Time passes. Old proofs are forgotten when the home is woken, not before.
    fn clock(&mut self, ms: u64, tick: bool) -> Verdict {
        self.now += ms;
        let now = self.now;
        for proof in self.proofs.iter_mut().filter(|_| tick) {
            proof.held &= now - proof.at <= FRESH;
        }
        Verdict::Done
    }

    /// A home that starts again has its log, and forgets what it held in memory.
    fn restart(&mut self, home: usize) -> Verdict {
        for proof in self
            .proofs
            .iter_mut()
            .filter(|proof| home_of(proof.who) == home)
        {
            proof.held = false;
        }
        Verdict::Done
    }
}

/// The first refusal whose condition holds.
fn first<const N: usize>(refusals: [(bool, Refusal); N]) -> Result<(), Refusal> {
    match refusals.into_iter().find(|(applies, _)| *applies) {
        Some((_, refusal)) => Err(refusal),
        None => Ok(()),
    }
}

//! What people say to homes in full, with all numbers filled in, and what homes answer.

use city_protocol::refusal::Refusal;

use super::spec::{AHEAD, Ledger, Proof, Who, home_of};
use super::steps::{Evidence, Id, Much, ProofOf, Signers, Step};

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

impl Ledger {
    /// Fills in the numbers: whose turn it is, how much there is, what time it is.
    pub(super) fn request(&mut self, step: &Step) -> Request {
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
                let made = self.proofs.len();
                let (from, id, proof) = match proof {
                    ProofOf::Now => {
                        let id = self.id(id);
                        let proof = self.prove(from, id, Evidence::Inside);
                        (from, id, proof.ok().map(|_| made))
                    }
                    ProofOf::Its(n) if made > 0 => {
                        let proof = self.proofs[n % made];
                        (proof.who, proof.id, Some(n % made))
                    }
                    ProofOf::Other(n) if made > 0 => (from, self.id(id), Some(n % made)),
                    ProofOf::Its(_) | ProofOf::Other(_) | ProofOf::Nothing => {
                        (from, self.id(id), None)
                    }
                };
                let amount = self.amount(from, amount);
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

    /// What makes two submissions the same: all that is signed, and not who signed it.
    pub(super) fn identity(&self, request: &Request) -> (u64, Request) {
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
}

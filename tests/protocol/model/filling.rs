//! Fills in the numbers of a step: whose turn it is, how much there is, what time it is.

use super::board::{LONGEST, REGIONS, Text};
use super::keys::Key;
use super::spec::{AHEAD, Ledger, Order, Proof, Who, home_of};
use super::steps::{
    Cut, Evidence, Follows, Hand, Id, Length, Much, New, Place, ProofOf, Signed, Signers, Step,
    Takes, Turn,
};
use super::words::{Begun, Decided, Draft, Elected, Request, Said, Signatures};

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
                let amount = self.amount(to, amount);
                Request::Grant(to, self.decide(to, elsewhere, signers, turn, amount))
            }
            Step::Ungrant {
                from,
                elsewhere,
                signers,
                turn,
                amount,
            } => {
                let amount = self.amount(from, amount);
                Request::Ungrant(from, self.decide(from, elsewhere, signers, turn, amount))
            }
            Step::Correct {
                transfer,
                who,
                signers,
                turn,
                other_amount,
            } => {
                let transfer = transfer.map(|n| n % self.transfers.len());
                let sent = transfer.map(|n| self.transfers[n].parties());
                let whose = sent.map_or(0, |(from, ..)| from);
                let amount = sent.map_or(1, |(.., amount)| amount) + u64::from(other_amount);
                let by = self.decide(whose, false, signers, turn, amount);
                Request::Correct(who.unwrap_or(whose), transfer, by)
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
                hand,
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
                    signer: self.key_in(signer.unwrap_or(from), hand),
                    at: home_of(from) ^ usize::from(elsewhere),
                    amount,
                    sequence: turn.after(self.used(from)),
                    id,
                    created_at,
                    expires_at,
                    proof,
                })
            }
            Step::Answer {
                rejects,
                by,
                hand,
                transfer,
                turn,
                other_amount,
            } => {
                let transfer = transfer % self.transfers.len();
                let sent = &self.transfers[transfer];
                let by = by.unwrap_or(sent.to);
                Request::Answer(Said {
                    rejects,
                    by,
                    key: self.key_in(by, hand).1,
                    transfer,
                    sequence: turn.after(self.used(by)),
                    amount: sent.amount + u64::from(other_amount),
                })
            }
            Step::Order {
                who,
                hand,
                turn,
                takes,
            } => {
                let now = self.now;
                let order = |takes: Takes| Order {
                    most: takes.most,
                    until: takes.during.map(|ms| now + ms),
                    only: (takes.neighbour || home_of(who) == 1).then_some(who ^ 1),
                };
                Request::Order {
                    who,
                    key: self.key_in(who, hand).1,
                    sequence: turn.after(self.used(who)),
                    takes: takes.map(order),
                }
            }
            Step::Rotate {
                who,
                hand,
                turn,
                new,
                signed,
            } => {
                let key = self.key_in(who, hand).1;
                Request::Rotate {
                    who,
                    key,
                    sequence: turn.after(self.used(who)),
                    new: self.new_key(who, new),
                    signed,
                }
            }
            Step::Revoke { who, hand, turn } => Request::Revoke {
                who,
                key: self.key_in(who, hand).1,
                sequence: turn.after(self.used(who)),
            },
            Step::Close { who, signers, turn } => Request::Close {
                who,
                signers: self.signing(home_of(who), signers),
                sequence: turn.after(self.homes[home_of(who)].officers_used),
            },
            Step::Recover {
                who,
                signers,
                turn,
                new,
            } => Request::Recover {
                who,
                signers: self.signing(home_of(who), signers),
                sequence: turn.after(self.homes[home_of(who)].officers_used),
                new: self.new_key(who, new),
            },
            Step::Elect {
                home,
                next,
                follows,
                signers,
                turn,
            } => {
                let newest = self.says[home].charters.len();
                let (after, number) = match follows {
                    Follows::Newest => (newest, newest + 1),
                    Follows::First => (1, 2),
                    Follows::Skips => (newest, newest + 2),
                    Follows::Again => (newest, newest),
                };
                Request::Elect(Elected {
                    at: home,
                    number,
                    after,
                    next: self.next(home, next),
                    signers: self.signing(home, signers),
                    sequence: turn.after(self.homes[home].officers_used),
                })
            }
            Step::Note { home, key, text } => Request::Note {
                at: home,
                key: key_of(home, key),
                text: self.text(text),
            },
            Step::Lie { home, back } => {
                let newest = self.past[home].len() - 1;
                let to = self.moment(home, newest.saturating_sub(back));
                Request::Lie { home, to }
            }
            Step::Epoch {
                home,
                cut,
                signers,
                turn,
            } => Request::Epoch(Begun {
                at: home,
                old_epoch: self.says[home].epoch + u64::from(matches!(cut, Cut::OtherEpoch)),
                at_head: !matches!(cut, Cut::Lower),
                signers: self.signing(home, signers),
                sequence: turn.after(self.homes[home].officers_used),
            }),
            Step::Checkpoint(home) => Request::Checkpoint(home),
            Step::Again(n) => Request::Again(n % self.booked.len()),
            Step::Carry => Request::Carry,
            Step::Clock { ms, tick } => Request::Clock { ms, tick },
            Step::Restart(home) => Request::Restart(home),
        }
    }

    fn decide(
        &self,
        about: Who,
        elsewhere: bool,
        signers: Signers,
        turn: Turn,
        amount: u64,
    ) -> Decided {
        let at = home_of(about) ^ usize::from(elsewhere);
        Decided {
            at,
            signers: self.signing(at, signers),
            sequence: turn.after(self.homes[at].officers_used),
            amount,
        }
    }

    /// The key with which somebody signs.
    fn key_in(&self, who: Who, hand: Hand) -> Key {
        let keys = self.accounts.get(&who).map_or(&[0][..], |it| &it.keys);
        let nth = match hand {
            Hand::Newest => keys.len() - 1,
            Hand::Older => keys.len().saturating_sub(2),
        };
        (who, keys[nth])
    }

    /// The key that an account is to have.
    fn new_key(&mut self, who: Who, new: New) -> Key {
        let neighbour = self.accounts.contains_key(&(who ^ 1));
        match new {
            New::Same => self.key_in(who, Hand::Newest),
            New::First => (who, 0),
            New::Neighbours if neighbour => self.key_in(who ^ 1, Hand::Newest),
            New::Fresh | New::Neighbours => {
                self.keys_made[who] += 1;
                (who, self.keys_made[who])
            }
        }
    }

    /// What a note says; no two say the same.
    fn text(&mut self, length: Length) -> Option<Text> {
        let bytes = match length {
            Length::Nothing => return None,
            Length::Empty => 0,
            Length::Word => 8,
            Length::Longest => LONGEST,
            Length::TooLong => LONGEST + 1,
        };
        let number = if bytes == 0 {
            0
        } else {
            self.says[0].notes + self.says[1].notes
        } as u64;
        Some(Text { number, bytes })
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
            Request::Grant(_, by) | Request::Ungrant(_, by) | Request::Correct(_, _, by) => {
                by.signers = Signatures::default();
            }
            Request::Close { signers, .. } | Request::Recover { signers, .. } => {
                *signers = Signatures::default();
            }
            Request::Elect(elected) => elected.signers = Signatures::default(),
            Request::Rotate { signed, .. } => *signed = Signed::Both,
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

/// A key of the board.
fn key_of(home: usize, place: Place) -> String {
    let own = REGIONS[home];
    match place {
        Place::Common(n) => format!("掲示 {n}"),
        Place::Own(n) => format!("{own}/{n}"),
        Place::Others => format!("{}/0", REGIONS[1 - home]),
        Place::Bare => format!("{own}/"),
        Place::Likewise => format!("{own}1/0"),
    }
}

/// The home that a request went to, where one did.
pub(super) fn home_asked(request: &Request) -> usize {
    match request {
        Request::Enrol { at, .. } | Request::Note { at, .. } | Request::Checkpoint(at) => *at,
        Request::Grant(_, by) | Request::Ungrant(_, by) | Request::Correct(_, _, by) => by.at,
        Request::Elect(elected) => elected.at,
        Request::Epoch(begun) => begun.at,
        Request::Transfer(draft) => draft.at,
        Request::Answer(said) => home_of(said.by),
        Request::Prove { who, .. }
        | Request::Order { who, .. }
        | Request::Rotate { who, .. }
        | Request::Revoke { who, .. }
        | Request::Close { who, .. }
        | Request::Recover { who, .. } => home_of(*who),
        Request::Again(_)
        | Request::Carry
        | Request::Lie { .. }
        | Request::Clock { .. }
        | Request::Restart(_) => {
            unreachable!("nobody is asked anything that is booked")
        }
    }
}

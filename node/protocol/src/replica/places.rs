//! Proofs of place that wait for their transfer: held five minutes in memory, nothing is written.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{Action, Now, Outcome, PlaceRequest, Replica, Ticket};
use crate::amount::Timestamp;
use crate::ids::{AccountId, Digest};
use crate::ledger::{History, Rows as _};
use crate::place::proof::FRESH_MS;
use crate::place::{Binding, PlaceProof};
use crate::refusal::Refusal;

/// Most proofs held at once: a busy kiosk row for five minutes; about 2 MiB.
const MAX_HELD: usize = 4096;

/// Proofs by their digest, and whose they are. Nothing here looks through all proofs for one request.
#[derive(Debug, Default)]
pub(super) struct HeldPlaces {
    proofs: BTreeMap<Digest, Held>,
    /// Digests of each account, the oldest first.
    of_account: BTreeMap<AccountId, VecDeque<Digest>>,
}

/// A proof and its encoding, whose hash its digest is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    pub(super) proof: Arc<PlaceProof>,
    pub(super) encoded: Vec<u8>,
    /// Since when it is held: a terminal's may have been made long before.
    since: Timestamp,
}

impl HeldPlaces {
    /// The proof with this digest, if it is still held.
    pub(super) fn get(&self, digest: &Digest) -> Option<&Held> {
        self.proofs.get(digest)
    }

    pub(super) fn forget_old(&mut self, now: Timestamp) {
        let proofs = &mut self.proofs;
        let old = |held: &Held| now.since(held.since) > FRESH_MS;
        for mine in self.of_account.values_mut() {
            while mine
                .front()
                .is_some_and(|first| proofs.get(first).is_none_or(old))
            {
                mine.pop_front().and_then(|first| proofs.remove(&first));
            }
        }
        self.of_account.retain(|_, mine| !mine.is_empty());
    }

    fn hold(&mut self, proof: PlaceProof, since: Timestamp) -> Result<(), Refusal> {
        if self.proofs.len() >= MAX_HELD {
            self.make_room()?;
        }
        let encoded = proof.encode();
        // By the rule by which others read it: what they would refuse must not be signed.
        let proof = Arc::new(PlaceProof::decode(&encoded)?);
        let (digest, account) = (Digest::of(&[&encoded]), proof.account);
        let held = Held {
            proof,
            encoded,
            since,
        };
        if self.proofs.insert(digest, held).is_none() {
            self.of_account
                .entry(account)
                .or_default()
                .push_back(digest);
        }
        Ok(())
    }

    /// Takes the oldest proof of whoever holds most, so that nobody fills the table alone.
    fn make_room(&mut self) -> Result<(), Refusal> {
        let most = self.of_account.values_mut().max_by_key(|mine| mine.len());
        let most = most.filter(|mine| mine.len() > 1).ok_or(Refusal::Busy)?;
        most.pop_front()
            .and_then(|oldest| self.proofs.remove(&oldest));
        Ok(())
    }
}

impl Replica {
    pub(super) fn hold_place(
        &mut self,
        ticket: Ticket,
        request: PlaceRequest,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        let known = self
            .rows_now(history)
            .account(&self.home.log(), &request.account);
        if known.is_none() {
            out.push(Action::Reply(ticket, Err(Refusal::UnknownAccount)));
            return;
        }
        let binding = Binding {
            network: self.network,
            subject: request.subject,
            account: request.account,
            transfer_id: request.transfer_id,
            nonce: request.nonce,
        };
        let proof = PlaceProof::new(
            binding,
            &request.verdict,
            &self.policy,
            now.time,
            request.raw,
        );
        let held = self.places.hold(proof.clone(), now.time);
        out.push(Action::Reply(
            ticket,
            held.map(|()| Outcome::Place(Box::new(proof))),
        ));
    }

    /// Holds what a terminal proved. How much it counts when its transfer comes, is judged then: what is not fresh any
    /// more is a claim.
    pub(super) fn hold_others_place(
        &mut self,
        ticket: Ticket,
        proof: PlaceProof,
        now: Now,
        history: &dyn History,
        out: &mut Vec<Action>,
    ) {
        let held = self.may_hold(&proof, now, history);
        let held = held.and_then(|()| self.places.hold(proof.clone(), now.time));
        out.push(Action::Reply(
            ticket,
            held.map(|()| Outcome::Place(Box::new(proof))),
        ));
    }

    fn may_hold(&self, proof: &PlaceProof, now: Now, history: &dyn History) -> Result<(), Refusal> {
        if proof.network != self.network {
            return Err(Refusal::WrongNetwork);
        }
        super::admit::dated(proof.time, now)?;
        let known = self
            .rows_now(history)
            .account(&self.home.log(), &proof.account);
        known.map(drop).ok_or(Refusal::UnknownAccount)
    }

    /// A proof that is held at the moment.
    #[must_use]
    pub fn held_place(&self, digest: &Digest) -> Option<PlaceProof> {
        let held = self.places.get(digest)?;
        Some(PlaceProof::clone(&held.proof))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{KeyId, LogId, NetworkId, TransferId};
    use crate::place::{Grade, Subject};

    fn proof(account: u8, n: usize, time: u64) -> PlaceProof {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&(n as u64).to_be_bytes());
        PlaceProof {
            v: 1,
            network: NetworkId::of(b"genesis"),
            subject: Subject::Node,
            account: AccountId::new(&LogId([1; 32]), &KeyId([account; 32])),
            transfer_id: TransferId([account; 16]),
            nonce,
            grade: Grade::None,
            reasons: Vec::new(),
            municipality: None,
            lat_e7: None,
            lon_e7: None,
            time: Timestamp(time),
            fix_time: None,
            satellites_used: None,
            hdop_centi: None,
            boundary: None,
            policy: 1,
            raw: None,
        }
    }

    #[test]
    fn one_account_cannot_crowd_the_others_out() {
        let mut held = HeldPlaces::default();
        let honest = proof(1, 0, 0);
        held.hold(honest.clone(), Timestamp(1)).unwrap();
        for n in 0..2 * MAX_HELD {
            held.hold(proof(2, n, 1), Timestamp(1)).unwrap();
        }
        assert_eq!(held.proofs.len(), MAX_HELD);
        let kept = held.get(&honest.digest()).map(|held| &*held.proof);
        assert_eq!(kept, Some(&honest));
        held.hold(proof(3, 0, 1), Timestamp(1)).unwrap();
        assert!(
            held.get(&proof(2, MAX_HELD, 1).digest()).is_none(),
            "the oldest of the most"
        );
        assert!(held.get(&proof(2, 2 * MAX_HELD - 1, 1).digest()).is_some());
    }

    #[test]
    fn what_is_old_is_forgotten_and_nothing_of_it_stays() {
        let mut held = HeldPlaces::default();
        let (old, young) = (proof(1, 0, 0), proof(1, 1, 10));
        held.hold(old.clone(), Timestamp(0)).unwrap();
        held.hold(old.clone(), Timestamp(0)).unwrap();
        held.hold(young.clone(), Timestamp(10)).unwrap();
        held.forget_old(Timestamp(FRESH_MS + 1));
        assert!(held.get(&old.digest()).is_none());
        assert!(held.get(&young.digest()).is_some());
        held.forget_old(Timestamp(FRESH_MS + 11));
        assert!(held.proofs.is_empty() && held.of_account.is_empty());
    }

    #[test]
    fn what_a_terminal_proved_long_before_is_held_from_when_it_came() {
        let mut held = HeldPlaces::default();
        let late = proof(1, 0, 0);
        let came = Timestamp(10 * FRESH_MS);
        held.hold(late.clone(), came).unwrap();
        held.forget_old(came.plus_ms(FRESH_MS));
        assert!(held.get(&late.digest()).is_some());
        held.forget_old(came.plus_ms(FRESH_MS + 1));
        assert!(held.get(&late.digest()).is_none());
    }
}

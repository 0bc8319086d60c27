//! Proofs of place that wait for their transfer: held five minutes in memory, nothing is written.

use std::collections::BTreeMap;

use super::{Action, Now, Outcome, PlaceRequest, Replica, Ticket};
use crate::amount::Timestamp;
use crate::ids::{AccountId, Digest};
use crate::ledger::{History, Rows as _};
use crate::place::proof::FRESH_MS;
use crate::place::{Binding, PlaceProof};
use crate::refusal::Refusal;

/// Most proofs held at once: a busy kiosk row for five minutes; about 2 MiB.
const MAX_HELD: usize = 4096;

/// Proofs by their digest.
#[derive(Debug, Default)]
pub(super) struct HeldPlaces(BTreeMap<Digest, PlaceProof>);

impl HeldPlaces {
    /// The proof with this digest, if it is still held.
    pub(super) fn get(&self, digest: &Digest) -> Option<&PlaceProof> {
        self.0.get(digest)
    }

    pub(super) fn forget_old(&mut self, now: Timestamp) {
        self.0.retain(|_, proof| now.since(proof.time) <= FRESH_MS);
    }

    fn hold(&mut self, proof: PlaceProof, now: Timestamp) -> Result<(), Refusal> {
        if self.0.len() >= MAX_HELD {
            self.forget_old(now);
        }
        if self.0.len() >= MAX_HELD {
            self.make_room()?;
        }
        self.0.insert(proof.digest(), proof);
        Ok(())
    }
}

impl HeldPlaces {
    /// Takes the oldest proof of whoever holds most, so that nobody fills the table alone.
    fn make_room(&mut self) -> Result<(), Refusal> {
        let mut counts: BTreeMap<AccountId, usize> = BTreeMap::new();
        for held in self.0.values() {
            *counts.entry(held.account).or_default() += 1;
        }
        let (most, count) = counts
            .into_iter()
            .max_by_key(|(_, count)| *count)
            .ok_or(Refusal::Busy)?;
        if count == 1 {
            return Err(Refusal::Busy);
        }
        let theirs = self.0.iter().filter(|(_, held)| held.account == most);
        let oldest = theirs
            .min_by_key(|(_, held)| held.time)
            .map(|(digest, _)| *digest);
        oldest.and_then(|digest| self.0.remove(&digest));
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
}

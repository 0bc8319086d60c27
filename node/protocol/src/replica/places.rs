//! Proofs of place that wait for their transfer: held five minutes in memory, nothing is written.

use std::collections::BTreeMap;

use super::{Action, Now, Outcome, PlaceRequest, Replica, Ticket};
use crate::amount::Timestamp;
use crate::ids::Digest;
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
            return Err(Refusal::Busy);
        }
        self.0.insert(proof.digest(), proof);
        Ok(())
    }
}

impl Replica {
    pub(super) fn hold_place(
        &mut self,
        ticket: Ticket,
        request: PlaceRequest,
        now: Now,
        out: &mut Vec<Action>,
    ) {
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

//! The proof that what was accepted in time was given back as expired: the receipts of the transfer, of the acceptance
//! and of the refund, for whoever has the genesis record. It is evidence for people; no log stops counting by it, because
//! what a receiver's home says is nothing that the sender's log is judged by.

use serde::{Deserialize, Serialize};

use super::ACCEPT_DEADLINE_MS;
use crate::amount::{Amount, Timestamp};
use crate::body::{
    Answer, Kind, PersonBody as _, Refund, RefundReason, Transfer, identity, read_person_body,
};
use crate::codec;
use crate::genesis::Genesis;
use crate::ids::Digest;
use crate::refusal::Refusal;
use crate::vertex::{MAX_RECEIPT, Receipt, VerifiedReceipt};

/// Longest proof in bytes: three receipts.
pub const MAX_FALSE_REFUND: usize = 3 * MAX_RECEIPT;

/// A proof as it is stored and sent: deterministic DAG-CBOR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FalseRefund {
    /// Form: 1.
    pub v: u64,
    /// The receipt of the transfer.
    pub transfer: Receipt,
    /// The receipt of its acceptance, by its receiver or by a standing order.
    pub accept: Receipt,
    /// The receipt of its refund as expired.
    pub refund: Receipt,
}

/// A proof that holds.
#[derive(Clone, Debug)]
pub struct VerifiedFalseRefund {
    /// Identity of the transfer.
    pub identity: Digest,
    /// Its amount.
    pub amount: Amount,
    /// Until when it could be accepted.
    pub deadline: Timestamp,
    /// The transfer, as its sender's home booked it.
    pub transfer: VerifiedReceipt,
    /// The acceptance, as its receiver's home booked it.
    pub accept: VerifiedReceipt,
    /// The refund, as the sender's home booked it.
    pub refund: VerifiedReceipt,
}

impl FalseRefund {
    /// The proof of these three receipts.
    #[must_use]
    pub const fn of(transfer: Receipt, accept: Receipt, refund: Receipt) -> Self {
        Self {
            v: 1,
            transfer,
            accept,
            refund,
        }
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::BadCbor`] or [`Refusal::UnknownVersion`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        codec::decode_version(bytes, MAX_FALSE_REFUND, 1)
    }

    /// The proof's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Verifies with nothing but the genesis record.
    ///
    /// # Errors
    /// Those of [`Receipt::verify`] and of the bodies' forms; [`Refusal::DeadlinePassed`] for an acceptance behind the
    /// deadline; [`Refusal::BadEntry`] where the three are not about one transfer, or show nothing false.
    pub fn verify(&self, genesis: &Genesis) -> Result<VerifiedFalseRefund, Refusal> {
        let transfer = self.transfer.verify(genesis)?;
        let accept = self.accept.verify(genesis)?;
        let refund = self.refund.verify(genesis)?;
        let kinds = [&transfer, &accept, &refund].map(|receipt| receipt.entry.kind);
        if kinds != [Kind::Transfer, Kind::Accept, Kind::Refund] {
            return Err(Refusal::BadEntry);
        }
        let body: Transfer = read_person_body(&transfer.entry.body)?;
        let identity = identity(Transfer::TAG, &transfer.entry.body);
        let (sent, taken) = (&transfer.header.header, &accept.header.header);
        let (given_back, back) = (&refund.header.header, Refund::read(&refund.entry.body)?);
        let answer = Answer::read(accept.entry.kind, &accept.entry.body)?;
        let at = (back.own.epoch, back.own.seq, back.own.index);
        let one = sent.log == body.home
            && given_back.log == sent.log
            && taken.log == body.receiver_home
            && (answer.transfer, back.transfer) == (identity, identity)
            && (answer.amount, back.amount) == (body.amount, body.amount)
            && answer.sender_home == sent.log
            && at == (sent.epoch, sent.seq, transfer.index)
            && back.reason == RefundReason::Expired;
        if !one {
            return Err(Refusal::BadEntry);
        }
        let deadline = sent.time.plus_ms(ACCEPT_DEADLINE_MS);
        if taken.time > deadline {
            return Err(Refusal::DeadlinePassed);
        }
        Ok(VerifiedFalseRefund {
            identity,
            amount: body.amount,
            deadline,
            transfer,
            accept,
            refund,
        })
    }
}

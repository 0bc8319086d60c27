//! Answers to a transfer, in the log of the receiver's home: `accept` and `reject`, each signed by the receiver or
//! written by the home.
//!
//! What the receiver signs is canonical JSON ([`Accept`], [`Reject`]); what the home writes by a standing order, or
//! because nobody can take the transfer, is DAG-CBOR without a signature. [`Answer`] reads both.

use serde::{Deserialize, Serialize};

use super::person::common_fields;
use super::{Accept, Common, Kind, OwnEntry, PersonBody, read_person_body};
use crate::amount::{Amount, Timestamp};
use crate::codec;
use crate::crypto::{Algorithm, DomainTag, TAG_REJECT};
use crate::ids::{AccountId, Digest, KeyId, LogId, NetworkId, TransferId};
use crate::refusal::Refusal;

/// Longest answer that a home writes, in bytes: ids and amounts.
const MAX_STANDING: usize = 1024;

/// Does not take a transfer (receiver's home).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reject {
    /// Form of the body: 1.
    pub version: u64,
    /// `reject`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// Algorithm of the signing key.
    pub alg: Algorithm,
    /// Signing key.
    pub key: KeyId,
    /// The receiver's home.
    pub home: LogId,
    /// The receiver's next sequence number.
    pub sequence: u64,
    /// When the person made it.
    pub created_at: Timestamp,
    /// Identity of the transfer.
    pub transfer: Digest,
    /// The transfer's own id.
    pub transfer_id: TransferId,
    /// Sender of the transfer.
    pub sender: AccountId,
    /// Home of the sender.
    pub sender_home: LogId,
    /// Amount of the transfer.
    pub amount: Amount,
}

impl PersonBody for Reject {
    const KIND: Kind = Kind::Reject;
    const TAG: DomainTag = TAG_REJECT;

    common_fields!();

    fn check(&self) -> Result<(), Refusal> {
        self.amount.positive()?;
        if self.sequence == 0 {
            Err(Refusal::BadField)
        } else {
            Ok(())
        }
    }
}

/// The home takes a transfer by the receiver's standing order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingAccept {
    /// Form of the body: 1.
    pub v: u64,
    /// Identity of the transfer.
    pub transfer: Digest,
    /// The transfer's own id.
    pub transfer_id: TransferId,
    /// Sender of the transfer.
    pub sender: AccountId,
    /// Home of the sender.
    pub sender_home: LogId,
    /// Receiver.
    pub receiver: AccountId,
    /// Amount of the transfer.
    pub amount: Amount,
    /// Where the receiver's order stands in this log.
    pub order: OwnEntry,
}

/// Why a home does not take a transfer that its receiver said nothing about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectReason {
    /// The home keeps no such account.
    UnknownReceiver,
    /// The receiver's key is closed.
    Revoked,
    /// The clearing limit of the sender's home is used up.
    Limit,
}

impl RejectReason {
    /// The stable code, as it stands in the body.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownReceiver => "unknown-receiver",
            Self::Revoked => "revoked",
            Self::Limit => "limit",
        }
    }
}

/// The home does not take a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingReject {
    /// Form of the body: 1.
    pub v: u64,
    /// Identity of the transfer.
    pub transfer: Digest,
    /// The transfer's own id.
    pub transfer_id: TransferId,
    /// Sender of the transfer.
    pub sender: AccountId,
    /// Home of the sender.
    pub sender_home: LogId,
    /// Receiver.
    pub receiver: AccountId,
    /// Amount of the transfer.
    pub amount: Amount,
    /// Why.
    pub reason: RejectReason,
}

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// The receiver, with a signature.
    Receiver(Common),
    /// The home, by the receiver's standing order at this place of its log.
    Order(AccountId, OwnEntry),
    /// The home, because nobody can take it.
    Home(AccountId, RejectReason),
}

/// An `accept` or `reject`, whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the transfer is taken.
    pub accepts: bool,
    /// Who says so.
    pub by: AnsweredBy,
    /// Identity of the transfer.
    pub transfer: Digest,
    /// The transfer's own id.
    pub transfer_id: TransferId,
    /// Sender of the transfer.
    pub sender: AccountId,
    /// Home of the sender.
    pub sender_home: LogId,
    /// Amount of the transfer.
    pub amount: Amount,
}

impl Answer {
    /// Reads the body of an `accept` or `reject`.
    ///
    /// # Errors
    /// [`Refusal::BadEntry`] for another kind, and the refusals of the body's form.
    pub fn read(kind: Kind, bytes: &[u8]) -> Result<Self, Refusal> {
        match (kind, !is_home_authored(bytes)) {
            (Kind::Accept, true) => read_person_body::<Accept>(bytes).map(|body| (&body).into()),
            (Kind::Reject, true) => read_person_body::<Reject>(bytes).map(Into::into),
            (Kind::Accept, false) => StandingAccept::read(bytes).map(Into::into),
            (Kind::Reject, false) => StandingReject::read(bytes).map(Into::into),
            _ => Err(Refusal::BadEntry),
        }
    }

    /// The receiver, where the home wrote the answer: a person's body names its key alone.
    #[must_use]
    pub const fn receiver(&self) -> Option<AccountId> {
        match &self.by {
            AnsweredBy::Receiver(_) => None,
            AnsweredBy::Order(account, _) | AnsweredBy::Home(account, _) => Some(*account),
        }
    }
}

/// Whether an answer's body is one that a home writes: JSON of a person begins with a brace, a CBOR map never does.
#[must_use]
pub fn is_home_authored(bytes: &[u8]) -> bool {
    bytes.first() != Some(&b'{')
}

impl From<&Accept> for Answer {
    fn from(body: &Accept) -> Self {
        Self {
            accepts: true,
            by: AnsweredBy::Receiver(body.common()),
            transfer: body.transfer,
            transfer_id: body.transfer_id,
            sender: body.sender,
            sender_home: body.sender_home,
            amount: body.amount,
        }
    }
}

impl From<Reject> for Answer {
    fn from(body: Reject) -> Self {
        Self {
            accepts: false,
            by: AnsweredBy::Receiver(body.common()),
            transfer: body.transfer,
            transfer_id: body.transfer_id,
            sender: body.sender,
            sender_home: body.sender_home,
            amount: body.amount,
        }
    }
}

impl From<StandingAccept> for Answer {
    fn from(body: StandingAccept) -> Self {
        Self {
            accepts: true,
            by: AnsweredBy::Order(body.receiver, body.order),
            transfer: body.transfer,
            transfer_id: body.transfer_id,
            sender: body.sender,
            sender_home: body.sender_home,
            amount: body.amount,
        }
    }
}

impl From<StandingReject> for Answer {
    fn from(body: StandingReject) -> Self {
        Self {
            accepts: false,
            by: AnsweredBy::Home(body.receiver, body.reason),
            transfer: body.transfer,
            transfer_id: body.transfer_id,
            sender: body.sender,
            sender_home: body.sender_home,
            amount: body.amount,
        }
    }
}

impl StandingAccept {
    /// Reads the body.
    ///
    /// # Errors
    /// [`Refusal::BadCbor`], [`Refusal::UnknownVersion`] or [`Refusal::BadAmount`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let body: Self = codec::decode_version(bytes, MAX_STANDING, super::BODY_VERSION)?;
        body.amount.positive()?;
        Ok(body)
    }
}

impl StandingReject {
    /// Reads the body.
    ///
    /// # Errors
    /// [`Refusal::BadCbor`], [`Refusal::UnknownVersion`] or [`Refusal::BadAmount`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let body: Self = codec::decode_version(bytes, MAX_STANDING, super::BODY_VERSION)?;
        body.amount.positive()?;
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_home_writes_reads_back_as_an_answer() {
        let home = LogId([1; 32]);
        let account = |n| AccountId::new(&home, &KeyId([n; 32]));
        let order = OwnEntry {
            epoch: 1,
            seq: 2,
            index: 3,
        };
        let accept = StandingAccept {
            v: 1,
            transfer: Digest([2; 32]),
            transfer_id: TransferId([3; 16]),
            sender: account(4),
            sender_home: home,
            receiver: account(5),
            amount: Amount::from_hundredths(100),
            order,
        };
        let answer = Answer::read(Kind::Accept, &codec::encode(&accept)).unwrap();
        assert!(answer.accepts);
        assert_eq!(answer.by, AnsweredBy::Order(account(5), order));
        assert_eq!(answer.receiver(), Some(account(5)));
        // What is an acceptance is no rejection.
        let as_reject = Answer::read(Kind::Reject, &codec::encode(&accept));
        assert_eq!(as_reject, Err(Refusal::BadCbor));
        assert_eq!(Answer::read(Kind::Settle, b"{}"), Err(Refusal::BadEntry));
        let nothing = StandingAccept {
            amount: Amount::ZERO,
            ..accept
        };
        let read = Answer::read(Kind::Accept, &codec::encode(&nothing));
        assert_eq!(read, Err(Refusal::BadAmount));
    }
}

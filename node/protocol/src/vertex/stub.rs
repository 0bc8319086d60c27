//! A stub: what a node keeps of a body that it pruned. The hash of each entry, by which its header still vouches for
//! it, and what each entry did to the log's state, so that the log can be folded again and its journal read.
//!
//! A node's own writing, beside a header that it found valid: a peer that sends one proves nothing by it. An operator can
//! take others' from a file, as far as a checkpoint behind them bears them out ([`super::VerifiedVertex::verify_stub`]).

use serde::{Deserialize, Serialize};

use super::{Entry, Header, MAX_BODY, MAX_ENTRIES, merkle_root};
use crate::amount::{Amount, Timestamp};
use crate::body::Kind;
use crate::codec;
use crate::ids::{AccountId, BlockId, Digest, LogId, TransferId};
use crate::refusal::Refusal;

/// What a transfer did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentStub {
    /// Identity.
    pub transfer: Digest,
    /// Its own id.
    pub transfer_id: TransferId,
    /// SHA-256 over its immutable fields, as people are shown it.
    pub hash: Digest,
    /// When the sender's home received it.
    pub received_at: Timestamp,
    /// Amount, in hundredths.
    pub amount: Amount,
    /// Sender.
    pub sender: AccountId,
    /// Receiver.
    pub receiver: AccountId,
    /// The receiver's home.
    pub receiver_home: LogId,
    /// Code of the expense account that was debited.
    pub debit: u16,
}

/// What an `accept` or `reject` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnsweredStub {
    /// Identity of the transfer.
    pub transfer: Digest,
    /// Who sent it.
    pub sender: AccountId,
    /// The sender's home.
    pub sender_home: LogId,
    /// The receiver.
    pub account: AccountId,
    /// Amount of the transfer, in hundredths.
    pub amount: Amount,
    /// The transfer's deadline.
    pub deadline: Timestamp,
    /// Whether the receiver signed it, which took one of their sequence numbers.
    pub signed: bool,
}

/// What a `settle` or `refund` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosedStub {
    /// Identity of the transfer.
    pub transfer: Digest,
    /// Its amount, in hundredths.
    pub amount: Amount,
}

/// What one entry did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryStub {
    /// A proof of place: nothing.
    Place,
    /// A transfer was sent.
    Transfer(SentStub),
    /// A transfer was taken.
    Accept(AnsweredStub),
    /// A transfer was refused.
    Reject(AnsweredStub),
    /// An own transfer was settled.
    Settle(ClosedStub),
    /// An own transfer was given back.
    Refund(ClosedStub),
}

impl EntryStub {
    /// The kind of the entry.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Place => Kind::Place,
            Self::Transfer(_) => Kind::Transfer,
            Self::Accept(_) => Kind::Accept,
            Self::Reject(_) => Kind::Reject,
            Self::Settle(_) => Kind::Settle,
            Self::Refund(_) => Kind::Refund,
        }
    }
}

/// What is left of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stub {
    /// Form: 1.
    pub v: u64,
    /// SHA-256 of the body block: no link, because the block is not there.
    pub pruned: Digest,
    /// The leaf hash of each entry.
    pub leaves: Vec<Digest>,
    /// What each entry did.
    pub entries: Vec<EntryStub>,
}

impl Stub {
    /// Whether a body with these entries can have a stub, by their kinds alone. Everything that says whose keys count,
    /// who decided what, or who broke a rule stays whole for ever.
    #[must_use]
    pub fn may_replace(entries: &[Entry]) -> bool {
        let moves = |entry: &Entry| {
            matches!(
                entry.kind,
                Kind::Place
                    | Kind::Transfer
                    | Kind::Accept
                    | Kind::Reject
                    | Kind::Settle
                    | Kind::Refund
            )
        };
        !entries.is_empty() && entries.iter().all(moves)
    }

    /// Reads a stub.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::BadCbor`] or [`Refusal::UnknownVersion`], and [`Refusal::BadEntry`] where hashes and
    /// entries are not as many, none, or more than a vertex has.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let stub: Self = codec::decode_version(bytes, MAX_BODY, 1)?;
        let count = stub.leaves.len();
        if count == stub.entries.len() && (1..=MAX_ENTRIES).contains(&count) {
            Ok(stub)
        } else {
            Err(Refusal::BadEntry)
        }
    }

    /// The stub's block.
    #[must_use]
    pub fn to_block(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The id of the body that it stands for.
    #[must_use]
    pub const fn body(&self) -> BlockId {
        BlockId::from_digest(self.pruned.0)
    }

    /// Whether the header vouches for these hashes, and names the body.
    #[must_use]
    pub fn belongs_to(&self, header: &Header) -> bool {
        let leaves: Vec<[u8; 32]> = self.leaves.iter().map(|leaf| leaf.0).collect();
        header.body == self.body()
            && header.count == leaves.len() as u64
            && header.entries_root.0 == merkle_root(&leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_reads_back_and_half_a_one_is_refused() {
        let settled = ClosedStub {
            transfer: Digest([4; 32]),
            amount: Amount::from_hundredths(5),
        };
        let stub = Stub {
            v: 1,
            pruned: Digest([1; 32]),
            leaves: vec![Digest([2; 32]), Digest([3; 32])],
            entries: vec![EntryStub::Place, EntryStub::Settle(settled)],
        };
        assert_eq!(Stub::read(&stub.to_block()), Ok(stub.clone()));
        assert_eq!(codec::links(&stub.to_block()), Ok(Vec::new()));
        let check = |stub: &Stub, expected| assert_eq!(Stub::read(&stub.to_block()), Err(expected));
        let short = Stub {
            leaves: vec![Digest([2; 32])],
            ..stub.clone()
        };
        check(&short, Refusal::BadEntry);
        let none = Stub {
            leaves: Vec::new(),
            entries: Vec::new(),
            ..stub.clone()
        };
        check(&none, Refusal::BadEntry);
        check(&Stub { v: 2, ..stub }, Refusal::UnknownVersion);
        // Neither a body nor a header is one.
        assert!(Stub::read(&super::super::encode_body(&[])).is_err());
    }

    #[test]
    fn what_says_whose_keys_count_or_who_decided_keeps_its_body() {
        let of = |kinds: &[Kind]| -> Vec<Entry> {
            let entry = |kind: &Kind| Entry::home_authored(*kind, Vec::new());
            kinds.iter().map(entry).collect()
        };
        assert!(Stub::may_replace(&of(&[Kind::Place, Kind::Transfer])));
        assert!(Stub::may_replace(&of(&[Kind::Accept, Kind::Settle])));
        assert!(!Stub::may_replace(&[]));
        for kind in [
            Kind::Charter,
            Kind::Start,
            Kind::Enrol,
            Kind::Rotate,
            Kind::Revoke,
            Kind::Recover,
            Kind::Order,
            Kind::Grant,
            Kind::Ungrant,
            Kind::Correct,
            Kind::EpochStart,
            Kind::Fault,
            Kind::Adopt,
            Kind::Trust,
            Kind::Note,
            Kind::Checkpoint,
        ] {
            let with_others = [Kind::Place, Kind::Transfer, kind];
            assert!(!Stub::may_replace(&of(&with_others)), "{kind}");
        }
    }
}

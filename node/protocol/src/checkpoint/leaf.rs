//! The leaves of a log's state: everything that a fold needs to go on from here and judge as one that folded from the
//! beginning. Their form is final and does not follow the index: rows may change, leaves may not.
//!
//! Integers only: no floats, and nothing that is as wide as the machine.

use serde::{Deserialize, Serialize};

use crate::amount::{Amount, Timestamp};
use crate::body::{Label, OwnEntry};
use crate::codec;
use crate::ids::{AccountId, BlockId, Digest, KeyId, LogId, NetworkId, TransferId, sha256};
use crate::ledger::note_name;
use crate::refusal::Refusal;

/// Longest leaf in bytes; the longest is a transfer's, of some 400.
const MAX_LEAF: usize = 1024;

/// Sums over the log, in hundredths (DESIGN §6.1). All of them always stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// Everything granted.
    pub granted: u64,
    /// Everything taken back by officers.
    pub ungranted: u64,
    /// What was adopted beyond what its accounts had.
    pub shortfall: u64,
    /// Σ available over the accounts.
    pub available: u64,
    /// Sent and neither settled nor refunded.
    pub open_out: u64,
    /// Sent and settled.
    pub settled_out: u64,
    /// Accepted.
    pub accepted_in: u64,
}

/// The log as a whole: the first leaf, and the only one of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLeaf {
    /// Network.
    pub network: NetworkId,
    /// Log.
    pub log: LogId,
    /// Epoch.
    pub epoch: u64,
    /// Position.
    pub seq: u64,
    /// The vertex there.
    pub head: BlockId,
    /// Its time.
    pub time: Timestamp,
    /// The first vertex, where the charter stands.
    pub first: BlockId,
    /// H(body) of the charter in force.
    pub charter: Digest,
    /// Last officers' sequence used.
    pub officers_sequence: u64,
    /// Entries so far.
    pub entries: u64,
    /// Sums.
    pub sums: Sums,
}

/// The first vertex of an epoch after the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochLeaf {
    /// Epoch.
    pub epoch: u64,
    /// Its first position.
    pub seq: u64,
    /// The vertex there.
    pub first: BlockId,
}

/// A charter after the first that the one in force rests on, or that one itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CharterLeaf {
    /// H(body).
    pub charter: Digest,
    /// The charter before it.
    pub before: Digest,
    /// Epoch in which it was booked.
    pub epoch: u64,
    /// The vertex whose first entry it is.
    pub vertex: BlockId,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountLeaf {
    /// Account.
    pub account: AccountId,
    /// Its key: the active one, or the one that was closed last.
    pub key: KeyId,
    /// Where the entry stands that names this key.
    pub key_at: OwnEntry,
    /// Whether the key is closed.
    pub revoked: bool,
    /// The next sequence number.
    pub next_sequence: u64,
    /// 愛貨 − 他者への未払愛貨, in hundredths.
    pub available: Amount,
    /// 他者への未払愛貨, in hundredths.
    pub open_out: Amount,
    /// Where the standing order in force stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OwnEntry>,
}

/// A key that an account got by `rotate` or `recover`: with the account's id, its key history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyLeaf {
    /// Key.
    pub key: KeyId,
    /// Whose.
    pub account: AccountId,
}

/// A transfer that is neither settled nor refunded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferLeaf {
    /// Identity.
    pub transfer: Digest,
    /// Where it stands.
    pub at: OwnEntry,
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
    /// Its own id.
    pub transfer_id: TransferId,
}

/// An answer that a second one could still contradict: its transfer's deadline has not passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerLeaf {
    /// Identity of the transfer.
    pub transfer: Digest,
    /// Where the answer stands.
    pub at: OwnEntry,
    /// Whether it is a `reject`.
    pub rejected: bool,
    /// The transfer's deadline.
    pub deadline: Timestamp,
}

/// A `fault` that the log entered: beyond this cut it cites nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultLeaf {
    /// The log at fault.
    pub log: LogId,
    /// Its epoch.
    pub epoch: u64,
    /// The last position that counts.
    pub cut: u64,
}

/// What passed between this home and another, in hundredths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClearingLeaf {
    /// The other's log.
    pub log: LogId,
    /// Accepted from its accounts.
    pub accepted: u64,
    /// Settled to its accounts.
    pub settled: u64,
}

/// What the log has under a key of the board; deleted ones among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoteLeaf {
    /// The key.
    pub key: Label,
    /// Where the entry stands that says it last.
    pub at: OwnEntry,
    /// Length of the value.
    pub bytes: u64,
    /// Whether it is deleted.
    pub gone: bool,
}

/// One leaf, under the name of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leaf {
    /// The log.
    Log(LogLeaf),
    /// An epoch.
    Epoch(EpochLeaf),
    /// An account.
    Account(AccountLeaf),
    /// A key.
    Key(KeyLeaf),
    /// An open transfer.
    Transfer(TransferLeaf),
    /// An answer.
    Answer(AnswerLeaf),
    /// A fault.
    Fault(FaultLeaf),
    /// What passed between two homes.
    Clearing(ClearingLeaf),
    /// A later charter.
    Charter(CharterLeaf),
    /// A note.
    Note(NoteLeaf),
}

impl Leaf {
    /// Where the leaf stands among the others: kinds in the order in which they are named here, within a kind by id.
    #[must_use]
    pub fn order(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Log(leaf) => (0, leaf.log.0.to_vec()),
            Self::Epoch(leaf) => (1, leaf.epoch.to_be_bytes().to_vec()),
            Self::Account(leaf) => (2, leaf.account.as_str().as_bytes().to_vec()),
            Self::Key(leaf) => (3, leaf.key.0.to_vec()),
            Self::Transfer(leaf) => (4, leaf.transfer.0.to_vec()),
            Self::Answer(leaf) => (5, leaf.transfer.0.to_vec()),
            Self::Fault(leaf) => (6, [&leaf.log.0[..], &leaf.epoch.to_be_bytes()].concat()),
            Self::Clearing(leaf) => (7, leaf.log.0.to_vec()),
            Self::Charter(leaf) => (8, leaf.charter.0.to_vec()),
            Self::Note(leaf) => (9, note_name(leaf.key.as_str()).0.to_vec()),
        }
    }

    /// The leaf's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a leaf.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] or [`Refusal::BadCbor`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        codec::decode(bytes, MAX_LEAF)
    }

    /// The hash of a leaf's bytes in the tree: SHA-256(0x00 ‖ bytes).
    #[must_use]
    pub fn hash(bytes: &[u8]) -> [u8; 32] {
        sha256(&[&[0], bytes])
    }
}

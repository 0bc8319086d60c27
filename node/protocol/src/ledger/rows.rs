//! The rows of the index: small keys, small values, one table a kind of question. Everything here can
//! be rebuilt by folding the logs again.

use serde::{Deserialize, Serialize};

use crate::amount::{Amount, Timestamp};
use crate::body::{Label, OwnEntry};
use crate::ids::{AccountId, BlockId, Digest, KeyId, LogId, TransferId};
use crate::refusal::Refusal;
use crate::vertex::Header;

/// A table of the index by the first byte of its keys. `b` and `P` are the node's own: where blocks stand, and what is left of pruned
/// bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Table {
    /// `log` → [`LogRow`].
    Log = b'l',
    /// `log ‖ account` → [`AccountRow`].
    Account = b'a',
    /// `log ‖ identity` → [`TransferRow`]: transfers that leave this log's accounts.
    Transfer = b't',
    /// `log ‖ account ‖ transfer id` → identity.
    TransferId = b'i',
    /// `log ‖ identity` → receiver's home, for transfers still open.
    Open = b'o',
    /// `receiver's home ‖ identity of the transfer` → [`AnswerRow`].
    Answer = b'r',
    /// `receiver's home ‖ receiver ‖ identity` → [`IncomingRow`]: what waits to be accepted.
    Incoming = b'w',
    /// `receiver's home ‖ receiver ‖ identity` → where the answer stands: what was accepted or rejected for an account.
    Received = b'R',
    /// `log ‖ key id` → the account that got this key by `rotate` or `recover`. (A key that somebody enrolled
    /// with is in the account's own id.)
    Key = b'k',
    /// `log ‖ identity` → where a submission that is not a transfer or acceptance stands.
    Submission = b'd',
    /// `log ‖ epoch` → [`EpochRow`], for ever; the first epoch has none.
    Epoch = b'e',
    /// `log` → [`HeadersRow`], while headers of it are stored that are not folded.
    Headers = b'j',
    /// `log ‖ H(body)` → [`CharterRow`], for ever; the first charter has none.
    Charter = b'g',
    /// `log ‖ epoch ‖ seq` → vertex id.
    Position = b'v',
    /// `vertex id` → [`VertexRow`].
    Vertex = b'h',
    /// `log ‖ log at fault ‖ epoch` → cut: the fault entries of a log.
    FaultEntry = b'f',
    /// `log ‖ epoch` → [`FaultRow`]: equivocations that this node holds proof of.
    Fault = b'x',
    /// `log ‖ epoch` → the vertex that broke a rule: evidence.
    Invalid = b'z',
    /// `log ‖ log of another home` → [`ClearingRow`].
    Clearing = b'c',
    /// `log ‖ log that rests on it` → [`WitnessRow`].
    Witness = b'y',
    /// `log ‖ position of the vertex that carries it` → [`CheckpointRow`].
    Checkpoint = b'q',
    /// `log` → [`TreeRow`] as of the newest checkpoint; `log ‖ number` → the roots of its full subtrees.
    Tree = b'm',
    /// `log` → where its newest `trust` entry stands.
    Trust = b's',
    /// `log ‖ SHA-256 of the key` → [`NoteRow`].
    Note = b'u',
    /// `log` → [`NotesRow`].
    Notes = b'p',
    /// Nothing → the arrival order that the next vertex gets.
    Order = b'n',
}

/// A row key.
#[must_use]
pub fn key(table: Table, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + parts.iter().map(|p| p.len()).sum::<usize>());
    out.push(table as u8);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// The key of the row that says which vertex stands at a position.
#[must_use]
pub fn position_key(log: &LogId, epoch: u64, seq: u64) -> Vec<u8> {
    let position = [&log.0[..], &epoch.to_be_bytes(), &seq.to_be_bytes()];
    key(Table::Position, &position)
}

/// Sums over a log, in hundredths (DESIGN §6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Everything granted.
    #[serde(rename = "g")]
    pub granted: u64,
    /// Everything taken back by officers.
    #[serde(rename = "n", default, skip_serializing_if = "is_zero")]
    pub ungranted: u64,
    /// What was adopted beyond what its accounts had.
    #[serde(rename = "h", default, skip_serializing_if = "is_zero")]
    pub shortfall: u64,
    /// Σ available over the accounts.
    #[serde(rename = "a")]
    pub available: u64,
    /// Sent and neither settled nor refunded.
    #[serde(rename = "o")]
    pub open_out: u64,
    /// Sent and settled.
    #[serde(rename = "s")]
    pub settled_out: u64,
    /// Accepted from transfers of any log.
    #[serde(rename = "i")]
    pub accepted_in: u64,
}

impl Totals {
    /// Whether Σ available + open_out + settled_out − accepted_in = grants − ungrants + shortfall.
    #[must_use]
    pub fn conserved(&self) -> bool {
        let sum =
            i128::from(self.available) + i128::from(self.open_out) + i128::from(self.settled_out)
                - i128::from(self.accepted_in);
        let made = i128::from(self.granted) - i128::from(self.ungranted);
        sum == made + i128::from(self.shortfall)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
const fn is_zero(sum: &u64) -> bool {
    *sum == 0
}

/// Where and why a log stopped counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frozen {
    /// Two vertices at one position; the log counts up to this position.
    #[serde(rename = "e")]
    Equivocation(u64),
    /// The vertex after this position breaks a rule.
    #[serde(rename = "i")]
    Invalid(u64),
    /// The vertex after this position is of a newer version; it counts again after an upgrade.
    #[serde(rename = "u")]
    Unsupported(u64),
}

impl Frozen {
    /// The last position that counts.
    #[must_use]
    pub const fn cut(&self) -> u64 {
        match self {
            Self::Equivocation(cut) | Self::Invalid(cut) | Self::Unsupported(cut) => *cut,
        }
    }

    /// Its name in status and problem reports.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Equivocation(_) => "equivocation",
            Self::Invalid(_) => "invalid",
            Self::Unsupported(_) => "unsupported",
        }
    }
}

/// A log's head and sums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    /// Epoch.
    #[serde(rename = "e")]
    pub epoch: u64,
    /// Position of the head.
    #[serde(rename = "s")]
    pub seq: u64,
    /// The head.
    #[serde(rename = "h")]
    pub head: BlockId,
    /// Its time.
    #[serde(rename = "t")]
    pub time: Timestamp,
    /// First vertex, where the charter stands.
    #[serde(rename = "f")]
    pub first: BlockId,
    /// H(body) of the charter in force; absent for the first, which stands in the first vertex.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub charter: Option<Digest>,
    /// Last officers' sequence used.
    #[serde(rename = "k")]
    pub officers_sequence: u64,
    /// Entries so far.
    #[serde(rename = "n")]
    pub entries: u64,
    /// Sums.
    #[serde(rename = "u")]
    pub totals: Totals,
    /// Whether it stopped counting.
    #[serde(rename = "z", default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
}

impl LogRow {
    /// The same at the end of the headers that go on behind it.
    #[must_use]
    pub fn headed(self, headers: HeadersRow) -> Self {
        Self {
            epoch: headers.epoch,
            seq: headers.seq,
            head: headers.head,
            time: headers.time,
            charter: headers.charter,
            ..self
        }
    }
}

/// Where the headers of a log end whose entries are not here, or not all of them. What is folded of it ends before; of
/// what lies between the two only the headers are stored, besides the vertices that begin an epoch or bring a charter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadersRow {
    /// Epoch.
    #[serde(rename = "e")]
    pub epoch: u64,
    /// Position of the last header.
    #[serde(rename = "s")]
    pub seq: u64,
    /// The vertex that it makes.
    #[serde(rename = "h")]
    pub head: BlockId,
    /// Its time.
    #[serde(rename = "t")]
    pub time: Timestamp,
    /// H(body) of the charter in force; absent for the first.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub charter: Option<Digest>,
    /// Whether the bodies are wanted, whatever the policy: it addressed this home, or headers alone do not tell how it goes on.
    #[serde(rename = "w", default, skip_serializing_if = "std::ops::Not::not")]
    pub wanted: bool,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// Its key: the active one, or the one that was closed last.
    #[serde(rename = "k")]
    pub key: KeyId,
    /// Where the entry stands that names this key: `enrol`, `rotate` or `recover`.
    #[serde(rename = "e")]
    pub key_at: OwnEntry,
    /// Whether the key is closed: nothing is taken from the account until it is recovered.
    #[serde(rename = "r", default, skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
    /// The next sequence number.
    #[serde(rename = "s")]
    pub next_sequence: u64,
    /// 愛貨 − 他者への未払愛貨.
    #[serde(rename = "a")]
    pub available: Amount,
    /// 他者への未払愛貨: sent and not yet settled.
    #[serde(rename = "o")]
    pub open_out: Amount,
    /// Where the standing order in force stands.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OwnEntry>,
}

impl AccountRow {
    /// Whether something signed with this key is the account's.
    ///
    /// # Errors
    /// [`Refusal::WrongKey`] or [`Refusal::KeyRevoked`].
    pub fn admits(&self, key: &KeyId) -> Result<(), Refusal> {
        if self.key != *key {
            Err(Refusal::WrongKey)
        } else if self.revoked {
            Err(Refusal::KeyRevoked)
        } else {
            Ok(())
        }
    }
}

/// How far a transfer has come in its sender's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferState {
    /// Sequenced; neither settled nor refunded.
    #[serde(rename = "o")]
    Open,
    /// Settled.
    #[serde(rename = "s")]
    Settled,
    /// Given back to the sender.
    #[serde(rename = "r")]
    Refunded,
}

/// A transfer in its sender's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRow {
    /// State.
    #[serde(rename = "z")]
    pub state: TransferState,
    /// Where it stands.
    #[serde(rename = "p")]
    pub at: OwnEntry,
    /// When the sender's home received it.
    #[serde(rename = "t")]
    pub received_at: Timestamp,
    /// Amount.
    #[serde(rename = "a")]
    pub amount: Amount,
    /// Sender.
    #[serde(rename = "s")]
    pub sender: AccountId,
    /// Receiver.
    #[serde(rename = "r")]
    pub receiver: AccountId,
    /// The receiver's home.
    #[serde(rename = "h")]
    pub receiver_home: LogId,
    /// Its own id.
    #[serde(rename = "i")]
    pub transfer_id: TransferId,
}

/// The one answer to a transfer, in the log of the receiver's home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerRow {
    /// Where it stands.
    #[serde(rename = "p")]
    pub at: OwnEntry,
    /// Whether it is a `reject`.
    #[serde(rename = "r", default, skip_serializing_if = "std::ops::Not::not")]
    pub rejected: bool,
    /// The transfer's deadline: after it no second answer is possible, whatever is remembered.
    #[serde(rename = "d")]
    pub deadline: Timestamp,
}

impl AnswerRow {
    /// Why the transfer cannot be answered once more.
    #[must_use]
    pub const fn refuses_another(&self) -> Refusal {
        if self.rejected {
            Refusal::AlreadyAnswered
        } else {
            Refusal::AlreadyAccepted
        }
    }
}

/// What passed between two homes, as one of them booked it, in hundredths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearingRow {
    /// Accepted from the other's accounts.
    #[serde(rename = "i")]
    pub accepted: u64,
    /// Settled to the other's accounts.
    #[serde(rename = "o")]
    pub settled: u64,
}

impl ClearingRow {
    /// What was accepted from the other's accounts beyond what was settled to them.
    #[must_use]
    pub const fn balance(&self) -> u64 {
        self.accepted.saturating_sub(self.settled)
    }
}

/// Up to where a log is an ancestor of another's vertices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessRow {
    /// Epoch.
    #[serde(rename = "e")]
    pub epoch: u64,
    /// Position.
    #[serde(rename = "s")]
    pub seq: u64,
}

impl WitnessRow {
    /// Epoch and position, by which two are compared: a later epoch's chain contains what counts of the earlier ones.
    #[must_use]
    pub const fn position(&self) -> (u64, u64) {
        (self.epoch, self.seq)
    }
}

/// A transfer that waits to be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncomingRow {
    /// The sender's log.
    #[serde(rename = "l")]
    pub log: LogId,
    /// Where it stands there.
    #[serde(rename = "p")]
    pub at: OwnEntry,
    /// When the sender's home received it.
    #[serde(rename = "t")]
    pub received_at: Timestamp,
}

/// What a log has under a key of the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRow {
    /// The key.
    #[serde(rename = "k")]
    pub key: Label,
    /// Where the entry stands that says it last.
    #[serde(rename = "p")]
    pub at: OwnEntry,
    /// Length of the value.
    #[serde(rename = "b")]
    pub bytes: u64,
    /// Whether it is deleted.
    #[serde(rename = "g", default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

/// How much a log has on the board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotesRow {
    /// Keys, deleted ones among them.
    #[serde(rename = "n")]
    pub count: u64,
    /// Bytes of the values.
    #[serde(rename = "b")]
    pub bytes: u64,
}

/// What is remembered of a verified header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VertexRow {
    /// Log.
    #[serde(rename = "l")]
    pub log: LogId,
    /// Epoch.
    #[serde(rename = "e")]
    pub epoch: u64,
    /// Position.
    #[serde(rename = "s")]
    pub seq: u64,
    /// Time.
    #[serde(rename = "t")]
    pub time: Timestamp,
    /// Number of entries.
    #[serde(rename = "n")]
    pub count: u64,
    /// Merkle root.
    #[serde(rename = "r")]
    pub entries_root: Digest,
    /// Body block.
    #[serde(rename = "b")]
    pub body: BlockId,
    /// Position in this node's own order of arrival: parents and cites stand lower, so sending in this
    /// order is causal.
    #[serde(rename = "o")]
    pub order: u64,
    /// Vertices on the longest way back to the genesis record, itself among them, over `prev` and parents; those that
    /// are not known here count nothing.
    #[serde(rename = "d")]
    pub depth: u64,
}

impl VertexRow {
    /// That of a vertex with this header.
    #[must_use]
    pub const fn of(h: &Header, order: u64, depth: u64) -> Self {
        Self {
            log: h.log,
            epoch: h.epoch,
            seq: h.seq,
            time: h.time,
            count: h.count,
            entries_root: h.entries_root,
            body: h.body,
            order,
            depth,
        }
    }
}

/// An epoch's first vertex, whether it still counts or not: its `epoch-start` names the epoch's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRow {
    /// Position.
    #[serde(rename = "s")]
    pub seq: u64,
    /// The vertex.
    #[serde(rename = "v")]
    pub id: BlockId,
}

/// Where a later charter stands, whether it still counts or not: the epochs that were begun under it need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CharterRow {
    /// The charter before it.
    #[serde(rename = "b")]
    pub before: Digest,
    /// Epoch.
    #[serde(rename = "e")]
    pub epoch: u64,
    /// The vertex: its first entry is the charter.
    #[serde(rename = "v")]
    pub vertex: BlockId,
}

/// A checkpoint that was found to be the state of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRow {
    /// Where its entry stands.
    #[serde(rename = "p")]
    pub at: OwnEntry,
    /// The epoch whose state it is.
    #[serde(rename = "e")]
    pub epoch: u64,
    /// The position whose state it is.
    #[serde(rename = "s")]
    pub seq: u64,
    /// The time of the vertex there.
    #[serde(rename = "t")]
    pub time: Timestamp,
    /// The block that lists the snapshot's.
    #[serde(rename = "b")]
    pub snapshot: BlockId,
}

/// The tree over a log's vertices as of its newest checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeRow {
    /// Vertices under it: the position whose state the checkpoint is.
    #[serde(rename = "n")]
    pub count: u64,
    /// Where the checkpoint's entry stands.
    #[serde(rename = "p")]
    pub at: OwnEntry,
    /// The time of the vertex at that position.
    #[serde(rename = "t")]
    pub time: Timestamp,
}

/// Proof of an equivocation: the two headers stand in the store under these ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRow {
    /// The last common position.
    #[serde(rename = "c")]
    pub cut: u64,
    /// The two vertices at `cut + 1`, lower id first; or the two that begin the epoch.
    #[serde(rename = "v")]
    pub vertices: [BlockId; 2],
    /// Whether they are two beginnings of the epoch, with their bodies, and not two headers of one position.
    #[serde(rename = "b", default, skip_serializing_if = "std::ops::Not::not")]
    pub beginnings: bool,
}

/// Reads a row value of this software's own writing.
///
/// # Errors
/// [`Refusal::BadCbor`] for a damaged index.
pub(super) fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_ipld_dagcbor::from_slice(bytes).map_err(|_| Refusal::BadCbor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    /// The index takes values of at most 512 bytes.
    #[test]
    fn the_largest_rows_fit_the_index() {
        let id = BlockId::of(b"x");
        let log = LogId([0xff; 32]);
        let account = AccountId::new(&log, &KeyId([0xff; 32]));
        let at = OwnEntry {
            epoch: u64::MAX,
            seq: u64::MAX,
            index: u64::MAX,
        };
        let time = Timestamp(u64::MAX);
        let amount = Amount::from_hundredths(u64::MAX);
        let sums = u64::MAX;
        let totals = Totals {
            granted: sums,
            ungranted: sums,
            shortfall: sums,
            available: sums,
            open_out: sums,
            settled_out: sums,
            accepted_in: sums,
        };
        let rows = [
            codec::encode(&LogRow {
                epoch: u64::MAX,
                seq: u64::MAX,
                head: id,
                time,
                first: id,
                charter: Some(Digest([0xff; 32])),
                officers_sequence: u64::MAX,
                entries: u64::MAX,
                totals,
                frozen: Some(Frozen::Invalid(u64::MAX)),
            }),
            codec::encode(&AccountRow {
                key: KeyId([0xff; 32]),
                key_at: at,
                revoked: true,
                next_sequence: u64::MAX,
                available: amount,
                open_out: amount,
                order: Some(at),
            }),
            codec::encode(&TransferRow {
                state: TransferState::Settled,
                at,
                received_at: time,
                amount,
                sender: account,
                receiver: account,
                receiver_home: log,
                transfer_id: TransferId([1; 16]),
            }),
            codec::encode(&VertexRow {
                log,
                epoch: u64::MAX,
                seq: u64::MAX,
                time,
                count: 256,
                entries_root: Digest([1; 32]),
                body: id,
                order: u64::MAX,
                depth: u64::MAX,
            }),
            codec::encode(&NoteRow {
                key: Label::new(&"k".repeat(256)).unwrap(),
                at,
                bytes: u64::MAX,
                gone: true,
            }),
        ];
        for row in rows {
            assert!(row.len() <= 512, "{} bytes", row.len());
        }
    }
}

//! Transfers as people see them: what was sent, what waits, what was answered, and how far each has come.

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::RejectReason;
use city_protocol::client::Waiting;
use city_protocol::ids::{AccountId, Digest, LogId, TransferId};
use city_protocol::ledger::PeopleState;
use serde::{Deserialize, Serialize};

use super::Der;

/// `GET /send/api/accounts/{id}/outgoing?after=…&limit=…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutgoingPage {
    /// 1.
    pub schema: u64,
    /// The account.
    pub account: AccountId,
    /// In order of their transfer ids, without their receipts.
    pub transfers: Vec<TransferPage>,
    /// If there may be more: `after` of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<TransferId>,
}

/// One transfer that waits for its receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncomingItem {
    /// Identity of the transfer.
    pub transfer: Digest,
    /// Its own id.
    pub transfer_id: TransferId,
    /// Sender.
    pub sender: AccountId,
    /// The sender's home.
    pub sender_home: LogId,
    /// Amount.
    pub amount: Amount,
    /// When the sender's home received it.
    pub received_at: Timestamp,
    /// Until when it may be answered.
    pub deadline: Timestamp,
    /// Digest of its immutable fields.
    pub transaction_hash: Digest,
    /// `sequenced` or `witnessed`: what waits is not settled. Empty where an older home does not say.
    #[serde(default)]
    pub finality: String,
    /// How many other municipalities witness the vertex that it stands in.
    #[serde(default)]
    pub witnesses: u64,
}

impl From<&IncomingItem> for Waiting {
    fn from(item: &IncomingItem) -> Self {
        Self {
            transfer: item.transfer,
            transfer_id: item.transfer_id,
            sender: item.sender,
            sender_home: item.sender_home,
            amount: item.amount,
        }
    }
}

/// `GET /send/api/accounts/{id}/incoming?after=…&limit=…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncomingPage {
    /// 1.
    pub schema: u64,
    /// The account.
    pub account: AccountId,
    /// In order of their identities.
    pub transfers: Vec<IncomingItem>,
    /// If there may be more: `after` of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Digest>,
}

/// What was said to a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerSaid {
    /// It was taken.
    Accepted,
    /// It was not.
    Rejected,
}

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerFrom {
    /// The receiver.
    Receiver,
    /// The home, by the receiver's standing order.
    Order,
    /// The home, because nobody could take it.
    Home,
}

/// One transfer that was answered. What is absent stands in the sender's log, which is not here, or in a body that was
/// pruned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedItem {
    /// Identity of the transfer.
    pub transfer: Digest,
    /// Its own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_id: Option<TransferId>,
    /// Sender.
    pub sender: AccountId,
    /// The sender's home.
    pub sender_home: LogId,
    /// Amount.
    pub amount: Amount,
    /// When the sender's home received it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Timestamp>,
    /// What was said to it.
    pub answer: AnswerSaid,
    /// Who said it.
    pub by: AnswerFrom,
    /// Why the home did not take it, if it was the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<RejectReason>,
    /// Time of the vertex with the answer.
    pub answered_at: Timestamp,
    /// How far the transfer has come.
    pub state: StatePage,
    /// `sequenced`, `witnessed` or `settled`: of the transfer; of the answer where the transfer is not here.
    pub finality: String,
    /// How many other municipalities witness the vertex that it stands in.
    #[serde(default)]
    pub witnesses: u64,
}

/// `GET /send/api/accounts/{id}/received?after=…&limit=…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedPage {
    /// 1.
    pub schema: u64,
    /// The account.
    pub account: AccountId,
    /// In order of their identities.
    pub transfers: Vec<ReceivedItem>,
    /// If there may be more: `after` of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Digest>,
}

/// A state for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatePage {
    /// `pending`, `received`, `complete`, `rejected` or `expired`.
    pub code: String,
    /// In Japanese.
    pub ja: String,
    /// In English.
    pub en: String,
}

impl From<PeopleState> for StatePage {
    fn from(state: PeopleState) -> Self {
        Self {
            code: state.code().into(),
            ja: state.ja().into(),
            en: state.en().into(),
        }
    }
}

/// `GET /send/api/transfers/{identity}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferPage {
    /// 1.
    pub schema: u64,
    /// Identity of the transfer.
    pub transfer: Digest,
    /// How far it has come.
    pub state: StatePage,
    /// `sequenced`, `witnessed` or `settled`.
    pub finality: String,
    /// How many other municipalities witness the vertex that it stands in.
    #[serde(default)]
    pub witnesses: u64,
    /// Its own id.
    pub transfer_id: TransferId,
    /// Sender.
    pub sender: AccountId,
    /// The sender's home.
    pub sender_home: LogId,
    /// Receiver.
    pub receiver: AccountId,
    /// The receiver's home.
    pub receiver_home: LogId,
    /// Amount.
    pub amount: Amount,
    /// When the sender's home received it.
    pub received_at: Timestamp,
    /// The exact JSON that was signed, with the sealed `message`, where only this transfer was asked for and its body is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The receipt's DAG-CBOR in base64, at the sender's home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Der>,
    /// The receipt of its answer, at the receiver's home once it is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_receipt: Option<Der>,
}

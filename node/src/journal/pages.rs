//! The JSON of what the journal answers, shared by the admin socket and the command line. Moments are milliseconds since
//! the Unix epoch; every page has `schema`.

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::ids::{AccountId, BlockId, Digest, LogId};
use serde::{Deserialize, Serialize};

use crate::api::wire::StatePage;

/// A log whose journal can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalLog {
    /// Log.
    pub log: LogId,
    /// Whose it is.
    pub region: String,
    /// The municipality's name, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Epoch of the head.
    pub epoch: u64,
    /// Position of the head.
    pub seq: u64,
    /// Its time.
    pub time: Timestamp,
    /// The position up to which the log goes on; set where only its headers are here from behind the head above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_to: Option<u64>,
}

/// `GET /v1/journal/logs`: the logs that this node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsPage {
    /// 1.
    pub schema: u64,
    /// The logs, in order of their ids.
    pub logs: Vec<JournalLog>,
}

/// One posting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Log.
    pub log: LogId,
    /// Time of the vertex.
    pub time: Timestamp,
    /// The vertex.
    pub vertex: BlockId,
    /// Epoch of the entry.
    pub epoch: u64,
    /// Its position.
    pub seq: u64,
    /// Its index in the vertex.
    pub index: u64,
    /// Kind of the entry.
    pub kind: String,
    /// What it is booked for: identity of the transfer, or of the officers' decision where there is none. None from a node of an
    /// older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Digest>,
    /// Whose books.
    pub account: AccountId,
    /// Account of the chart.
    pub code: u16,
    /// Amount on the debit side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debit: Option<Amount>,
    /// Amount on the credit side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<Amount>,
}

/// `GET /v1/journal/lines`: postings in the log's order; the lines of one entry are never parted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinesPage {
    /// 1.
    pub schema: u64,
    /// Postings.
    pub lines: Vec<Line>,
    /// Where the next page begins; none if this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// What an account of the chart came to in somebody's books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Whose books.
    pub account: AccountId,
    /// Account of the chart.
    pub code: u16,
    /// Debits less credits, in hundredths.
    pub hundredths: i64,
}

/// `GET /v1/journal/sums`: sums over a part of the postings; the pages of a question are to be added up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumsPage {
    /// 1.
    pub schema: u64,
    /// The sums.
    pub sums: Vec<Sum>,
    /// Where the next page begins; none if this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// `GET /v1/journal/accounts/{account}`: an account and its log, of one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BooksPage {
    /// 1.
    pub schema: u64,
    /// Account.
    pub account: AccountId,
    /// Its home.
    pub home: JournalLog,
    /// 愛貨 − 他者への未払愛貨.
    pub available: Amount,
    /// 他者への未払愛貨.
    pub open_out: Amount,
}

/// Who the other side of a movement is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counterparty {
    /// Account.
    pub account: AccountId,
    /// Its home.
    pub home: LogId,
    /// The home's region, if this node knows the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The municipality's name, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// One change of what is available to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// Time of the vertex.
    pub time: Timestamp,
    /// The vertex.
    pub vertex: BlockId,
    /// Epoch of the entry.
    pub epoch: u64,
    /// Its position.
    pub seq: u64,
    /// Its index in the vertex.
    pub index: u64,
    /// Kind of the entry.
    pub kind: String,
    /// Account of the chart that stands against it.
    pub code: u16,
    /// How much more, or less, is available, in hundredths.
    pub hundredths: i64,
    /// The other side of a transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<Counterparty>,
    /// Identity of the transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Digest>,
    /// Its transaction hash, where this node has its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_hash: Option<Digest>,
    /// How far it has come, as of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StatePage>,
}

/// `GET /v1/journal/movements`: what changed an account, in the log's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovementsPage {
    /// 1.
    pub schema: u64,
    /// Movements.
    pub movements: Vec<Movement>,
    /// Where the next page begins; none if this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

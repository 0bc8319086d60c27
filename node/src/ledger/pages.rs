//! The JSON of what is shown of the ledger, shared by the admin socket and the command line. Moments are milliseconds
//! since the Unix epoch.

use city_protocol::amount::Timestamp;
use city_protocol::crypto::Algorithm;
use city_protocol::ids::{BlockId, Digest, KeyId, LogId, NetworkId};
use city_protocol::vertex::Booked;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Whose a log is, as far as its charter is at hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogName {
    /// The log.
    pub log: LogId,
    /// Its municipality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name of the municipality, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A log's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadShown {
    /// Whose it is.
    #[serde(flatten)]
    pub of: LogName,
    /// Whether it is this home's.
    pub own: bool,
    /// Epoch.
    pub epoch: u64,
    /// Position.
    pub seq: u64,
    /// The vertex.
    pub head: BlockId,
    /// Its time.
    pub time: Timestamp,
    /// Entries so far, as far as they are here.
    pub entries: u64,
    /// The position behind which only headers are here; absent where all of it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_behind: Option<u64>,
    /// The position up to which stubs of somebody else's writing stand for bodies: its home signed the state there, and what
    /// came before was not seen here as people signed it. Absent where nothing was taken on trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_up_to: Option<u64>,
    /// `equivocation`, `invalid` or `unsupported`, if the log stopped counting; `seq` is its last position then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
    /// How many other municipalities' vertices rest on this head, where that is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnessed_by: Option<u64>,
}

/// `GET /v1/ledger/heads`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadsPage {
    /// 1.
    pub schema: u64,
    /// Network.
    pub network: NetworkId,
    /// In order of the logs' ids.
    pub heads: Vec<HeadShown>,
}

/// Where a vertex stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stands {
    /// The vertex.
    pub vertex: BlockId,
    /// Whose log.
    #[serde(flatten)]
    pub of: LogName,
    /// Epoch.
    pub epoch: u64,
    /// Position.
    pub seq: u64,
}

/// Who signed an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedBy {
    /// Algorithm.
    pub alg: Algorithm,
    /// Key.
    pub key: KeyId,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryShown {
    /// Its place in the vertex.
    pub index: u64,
    /// Its kind.
    pub kind: String,
    /// What happened, in a sentence.
    pub words: String,
    /// Identity of what was submitted; none of what the home wrote itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Digest>,
    /// Who signed it; nobody but the home where it is empty.
    pub signed_by: Vec<SignedBy>,
    /// What the home booked.
    pub booked: Booked,
    /// How many entries or vertices it rests on.
    pub cites: u64,
    /// The body: as it was signed, or the DAG-JSON of what the home wrote.
    pub body: Value,
}

/// `GET /v1/ledger/vertices/{id}` and `GET /v1/ledger/positions/{log}/{seq}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VertexShown {
    /// 1.
    pub schema: u64,
    /// Where it stands.
    #[serde(flatten)]
    pub stands: Stands,
    /// Its time.
    pub time: Timestamp,
    /// The vertex before it; the genesis record for the first.
    pub prev: BlockId,
    /// Vertices of other logs that its author had verified.
    pub parents: Vec<Parent>,
    /// Other homes that its transfers address.
    pub to: Vec<LogName>,
    /// Number of entries.
    pub count: u64,
    /// Merkle root over them.
    pub entries_root: Digest,
    /// The body block.
    pub body: BlockId,
    /// Who signed: the node's key.
    pub signed_by: SignedBy,
    /// Hash of the charter in force.
    pub charter: Digest,
    /// Its entries; none if the body is not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<EntryShown>>,
}

/// A vertex that another rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The vertex.
    pub vertex: BlockId,
    /// Where it stands, if its header is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands: Option<Stands>,
}

/// `GET /v1/ledger/entries/{identity}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryPage {
    /// 1.
    pub schema: u64,
    /// The vertex, with that entry alone.
    pub vertex: VertexShown,
}

/// One line of a log: a vertex and what stands in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VertexLine {
    /// Where it stands.
    #[serde(flatten)]
    pub stands: Stands,
    /// Its time.
    pub time: Timestamp,
    /// The vertex before it.
    pub prev: BlockId,
    /// Vertices of other logs that its author had verified.
    pub parents: Vec<BlockId>,
    /// Kind and sentence of each entry; none if the body is not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<(String, String)>>,
}

/// `GET /v1/ledger/logs/{log}?after=SEQ&limit=N`, and `GET /v1/ledger/last/{n}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinesPage {
    /// 1.
    pub schema: u64,
    /// In the order of the log; of `last`, in the order in which this node stored them.
    pub vertices: Vec<VertexLine>,
    /// If there may be more: `after` of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

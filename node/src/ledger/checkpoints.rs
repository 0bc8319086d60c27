//! Checkpoints and proofs as pages: what the admin socket answers, and the command line reads of a running node or a
//! stopped one alike.

use std::fmt;
use std::str::FromStr;

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::body::OwnEntry;
use city_protocol::checkpoint::{Held, Proof};
use city_protocol::ids::{AccountId, BlockId, Digest, LogId};
use city_protocol::json::base64_bytes;
use city_protocol::ledger::CheckpointRow;
use serde::{Deserialize, Serialize};

use super::proof::{ProofError, Prover};

/// Most checkpoints that are listed: two years of daily ones.
pub const MAX_LISTED: usize = 1_000;

/// What a proof is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provable {
    /// An entry of a log, by position and index.
    Entry(LogId, u64, u64),
    /// The entry of what was submitted.
    Submitted(Digest),
    /// What an account had at its home's newest checkpoint.
    Account(AccountId),
}

impl FromStr for Provable {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        if let Ok(account) = text.parse() {
            return Ok(Self::Account(account));
        }
        if let Ok(identity) = text.parse() {
            return Ok(Self::Submitted(identity));
        }
        let parts: Vec<&str> = text.split(':').collect();
        let [log, seq, index] = parts[..] else {
            return Err(Refusal::BadId);
        };
        let number = |text: &str| text.parse().map_err(|_| Refusal::BadId);
        Ok(Self::Entry(log.parse()?, number(seq)?, number(index)?))
    }
}

impl fmt::Display for Provable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(log, seq, index) => write!(f, "{log}:{seq}:{index}"),
            Self::Submitted(identity) => identity.fmt(f),
            Self::Account(account) => account.fmt(f),
        }
    }
}

/// `GET /v1/ledger/proofs/{what}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofPage {
    /// 1.
    pub schema: u64,
    /// The proof's DAG-CBOR, base64.
    #[serde(with = "base64_bytes")]
    pub proof: Vec<u8>,
}

/// What a checkpoint says, whose receipt was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldShown {
    /// The log.
    pub log: LogId,
    /// Whose it is.
    pub region: String,
    /// The epoch whose state it is.
    pub epoch: u64,
    /// The position whose state it is.
    pub seq: u64,
    /// Merkle root over the log's vertices.
    pub vertices_root: Digest,
    /// Merkle root over the leaves of the state.
    pub state_root: Digest,
    /// How many leaves.
    pub leaves: u64,
    /// The block that lists those of the state.
    pub snapshot: BlockId,
    /// The vertex that carries it.
    pub vertex: BlockId,
    /// Its index there.
    pub index: u64,
    /// The position of that vertex.
    pub at: u64,
    /// Its time.
    pub time: Timestamp,
}

impl From<&Held> for HeldShown {
    fn from(held: &Held) -> Self {
        let (body, receipt) = (&held.body, &held.receipt);
        let h = &receipt.header.header;
        Self {
            log: h.log,
            region: receipt.authority.region().to_string(),
            epoch: body.position.epoch,
            seq: body.position.seq,
            vertices_root: body.vertices_root,
            state_root: body.state_root,
            leaves: body.leaves,
            snapshot: body.snapshot,
            vertex: receipt.vertex,
            index: receipt.index,
            at: h.seq,
            time: h.time,
        }
    }
}

/// `POST /v1/ledger/checkpoints`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointPage {
    /// 1.
    pub schema: u64,
    /// What it says.
    pub checkpoint: HeldShown,
    /// Whether nothing was booked since the last one: this is it.
    pub repeated: bool,
}

/// A checkpoint that this node found to be the state of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointShown {
    /// The epoch whose state it is.
    pub epoch: u64,
    /// The position whose state it is.
    pub seq: u64,
    /// The time of the vertex there.
    pub time: Timestamp,
    /// Where its entry stands.
    pub at: OwnEntry,
    /// The block that lists those of its state.
    pub snapshot: BlockId,
}

impl From<CheckpointRow> for CheckpointShown {
    fn from(row: CheckpointRow) -> Self {
        Self {
            epoch: row.epoch,
            seq: row.seq,
            time: row.time,
            at: row.at,
            snapshot: row.snapshot,
        }
    }
}

/// `GET /v1/ledger/checkpoints/{log}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointsPage {
    /// 1.
    pub schema: u64,
    /// The log.
    pub log: LogId,
    /// The newest, oldest first: at most [`MAX_LISTED`].
    pub checkpoints: Vec<CheckpointShown>,
    /// What the newest says; none where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<HeldShown>,
}

impl Prover<'_> {
    /// The proof of what is asked for; with `checkpoint` also that an entry's vertex stands under the newest one.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn prove(&self, what: &Provable, checkpoint: bool) -> Result<Proof, ProofError> {
        match what {
            Provable::Account(account) => {
                let home = self.home_of(account).ok_or(ProofError::NoAccount)?;
                self.account(&home, account)
            }
            Provable::Submitted(identity) => {
                let (log, at) = self.find(identity).ok_or(ProofError::Absent)?;
                self.entry(&log, at, checkpoint)
            }
            Provable::Entry(log, seq, index) => {
                let at = self.at(log, *seq, *index).ok_or(ProofError::Absent)?;
                self.entry(log, at, checkpoint)
            }
        }
    }

    /// The newest checkpoints of a log.
    #[must_use]
    pub fn checkpoints(&self, log: &LogId) -> CheckpointsPage {
        let rows = self.rows(log);
        let newest = rows.len().saturating_sub(MAX_LISTED);
        let receipt = self.checkpoint(log);
        let held = receipt.and_then(|receipt| Held::verify(&receipt, self.genesis).ok());
        CheckpointsPage {
            schema: crate::api::wire::SCHEMA,
            log: *log,
            checkpoints: rows[newest..].iter().copied().map(Into::into).collect(),
            newest: held.as_ref().map(Into::into),
        }
    }
}

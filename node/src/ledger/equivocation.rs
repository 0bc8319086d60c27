//! What other homes, or this one, signed twice: what the store remembers of it, and the proof for whoever was not there.

use city_protocol::Refusal;
use city_protocol::body::{Fault, FaultReason, Kind};
use city_protocol::codec;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::ledger::{
    FaultProof, FaultRow, Rows as _, Table, key, stored_authority, try_read_row,
};
use city_protocol::vertex::{Board, Entry, decode_body};
use serde::{Deserialize, Serialize};

use super::pages::LogName;
use super::read::Reader;
use crate::api::wire::SCHEMA;
use crate::journal::log_rows;

/// Most faults that are listed: more than one in each other municipality of a country is no list for people.
pub const MAX_LISTED: usize = 2_000;
/// Most vertices of one log that are looked through for its `fault` entry, from the head: some hundred MiB are read.
const MAX_SEARCHED: u64 = 100_000;
/// Longest entry inside a fault, in bytes: a whole body.
const MAX_PIECE: usize = city_protocol::vertex::MAX_BODY;

/// Something that was signed twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EquivocationShown {
    /// Whose log.
    #[serde(flatten)]
    pub of: LogName,
    /// Whether it is this home's.
    pub own: bool,
    /// Epoch.
    pub epoch: u64,
    /// `equivocation`: two vertices at one position · `epoch-starts`: one epoch begun twice.
    pub reason: FaultReason,
    /// The last position that counts.
    pub cut: u64,
    /// The two vertices, as far as they are known here; lower id first.
    pub vertices: Vec<BlockId>,
    /// The other homes, and this one, that entered a `fault` about it into their logs.
    pub entered_by: Vec<LogName>,
}

/// `GET /v1/ledger/equivocations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EquivocationsPage {
    /// 1.
    pub schema: u64,
    /// In order of the logs' ids and of their epochs.
    pub equivocations: Vec<EquivocationShown>,
    /// Whether there are more than are listed.
    pub truncated: bool,
}

/// `GET /v1/ledger/equivocations/{log}/{epoch}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EquivocationPage {
    /// 1.
    pub schema: u64,
    /// What was signed twice.
    #[serde(flatten)]
    pub shown: EquivocationShown,
    /// The proof's bytes in base64; none where what it needs is not stored here whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

impl Reader<'_> {
    /// All that this node holds against any log.
    #[must_use]
    pub fn equivocations(&self) -> EquivocationsPage {
        let rows = self
            .history
            .rows(&key(Table::Fault, &[]), None, MAX_LISTED + 1);
        let shown = |(name, row): &(Vec<u8>, Vec<u8>)| {
            let (log, epoch) = name.get(1..)?.split_at_checked(32)?;
            let (log, epoch) = (log.try_into().ok()?, epoch.try_into().ok()?);
            Some(self.equivocation(LogId(log), u64::from_be_bytes(epoch), &try_read_row(row)?))
        };
        EquivocationsPage {
            schema: SCHEMA,
            equivocations: rows.iter().take(MAX_LISTED).filter_map(shown).collect(),
            truncated: rows.len() > MAX_LISTED,
        }
    }

    /// What a log signed twice in an epoch, with its proof.
    #[must_use]
    pub fn equivocation_of(&self, log: &LogId, epoch: u64) -> Option<EquivocationPage> {
        use base64::Engine as _;
        let row = self.history.fault(log, epoch)?;
        let proof = self.fault_proof(log, epoch, &row);
        let encode =
            |proof: FaultProof| base64::engine::general_purpose::STANDARD.encode(proof.to_bytes());
        Some(EquivocationPage {
            schema: SCHEMA,
            shown: self.equivocation(*log, epoch, &row),
            proof: proof.map(encode),
        })
    }

    fn equivocation(&self, log: LogId, epoch: u64, row: &FaultRow) -> EquivocationShown {
        let mut vertices = row.vertices.to_vec();
        vertices.sort_unstable();
        vertices.dedup();
        let authors = log_rows(self.history).into_iter().map(|(author, _)| author);
        EquivocationShown {
            of: self.name(log),
            own: log == self.own,
            epoch,
            reason: if row.beginnings {
                FaultReason::EpochStarts
            } else {
                FaultReason::Equivocation
            },
            cut: row.cut,
            vertices,
            entered_by: authors
                .filter(|author| self.history.fault_cut(author, &log, epoch).is_some())
                .map(|author| self.name(author))
                .collect(),
        }
    }

    /// The proof, which holds; none where a piece of it is not stored here.
    fn fault_proof(&self, log: &LogId, epoch: u64, row: &FaultRow) -> Option<FaultProof> {
        let signers = if row.beginnings { epoch - 1 } else { epoch };
        let newest = self.history.log(log)?.epoch;
        let authority = stored_authority(self.history, self.genesis, log, newest)?;
        let proof = if row.beginnings {
            let (a, b) = self.beginnings(log, epoch, row)?;
            // The newest charter whose officers signed one of them rests on the others'.
            let began = |board: &Board| {
                [&a, &b]
                    .iter()
                    .any(|entry| board.signed(entry, &[]).is_ok())
            };
            let boards = authority.boards().filter(|(_, board)| began(board));
            let charter = boards.last().map(|(charter, _)| charter);
            FaultProof::of_beginnings(authority.entries(signers, charter), &a, &b)
        } else {
            let [a, b] = row.vertices.map(|id| self.history.block(&id));
            FaultProof::of_vertices(authority.entries(signers, None), &a?, &b?)
        };
        let holds = |proof: &FaultProof| -> Result<_, Refusal> { proof.verify(self.genesis) };
        proof.ok().filter(|proof| holds(proof).is_ok())
    }

    /// The two entries that begin an epoch: of the two vertices, or as another home wrote them into its `fault`.
    fn beginnings(&self, log: &LogId, epoch: u64, row: &FaultRow) -> Option<(Entry, Entry)> {
        let first = |id: &BlockId| -> Option<Entry> {
            let vertex = self.history.vertex(id)?;
            let entries = decode_body(&self.history.block(&vertex.body)?).ok()?;
            entries.into_iter().next()
        };
        let [a, b] = &row.vertices;
        if a != b
            && let Some(both) = first(a).zip(first(b))
        {
            return Some(both);
        }
        let authors = log_rows(self.history).into_iter().map(|(author, _)| author);
        let fault = authors
            .filter(|author| self.history.fault_cut(author, log, epoch) == Some(row.cut))
            .find_map(|author| self.fault_entry(&author, log, epoch, row.cut))?;
        let [a, b] = fault.evidence.as_slice() else {
            return None;
        };
        let entry = |bytes: &[u8]| codec::decode(bytes, MAX_PIECE).ok();
        entry(a).zip(entry(b))
    }

    /// The `fault` about two beginnings of an epoch that an author entered.
    fn fault_entry(&self, author: &LogId, log: &LogId, epoch: u64, cut: u64) -> Option<Fault> {
        let row = self.history.log(author)?;
        let meant = |fault: &Fault| {
            (fault.log, fault.epoch, fault.cut, fault.reason)
                == (*log, epoch, cut, FaultReason::EpochStarts)
        };
        let lowest = row.seq.saturating_sub(MAX_SEARCHED) + 1;
        (lowest..=row.seq).rev().find_map(|seq| {
            let id = self.history.vertex_on_chain(author, row.epoch, seq)?;
            let body = self.history.block(&self.history.vertex(&id)?.body)?;
            let entries = decode_body(&body).ok()?.into_iter();
            entries
                .filter(|entry| entry.kind == Kind::Fault)
                .filter_map(|entry| Fault::read(&entry.body).ok())
                .find(meant)
        })
    }
}

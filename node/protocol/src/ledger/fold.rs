//! The fold: entries go in one by one; each is checked by the rules and changes rows, or changes
//! nothing. The same code runs for a vertex that this home is about to sign and for one that a peer
//! sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::judge::Missing;
use super::rows::{CharterRow, EpochRow, LogRow, Table, Totals, VertexRow, key, position_key};
use super::view::{Changes, Layers, Rows};
use crate::amount::Timestamp;
use crate::body::{Kind, OwnEntry};
use crate::ids::{BlockId, Digest, LogId, NetworkId};
use crate::place::PlaceProof;
use crate::refusal::Refusal;
use crate::vertex::{Authority, Entry, KeySource, Known, SignedHeader};

/// Why an entry does not go in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoldError {
    /// It breaks a rule.
    Refused(Refusal),
    /// Something that it rests on is not here yet.
    Waiting(Missing),
}

impl From<Refusal> for FoldError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What every rule may look at.
#[derive(Clone, Copy)]
pub struct FoldContext<'a> {
    /// Network.
    pub network: NetworkId,
    /// Authority of the log that is folded.
    pub authority: &'a Authority,
    /// Keys that are at hand.
    pub keys: &'a dyn KeySource,
    /// Rows and blocks.
    pub layers: Layers<'a>,
}

/// A vertex in the making: the state after the entries so far.
#[derive(Clone, Debug)]
pub struct Fold {
    /// Log.
    pub(super) log: LogId,
    /// Position of this vertex.
    pub(super) position: (u64, u64),
    /// Whether the vertex begins an epoch.
    pub(super) new_epoch: bool,
    /// Whether the vertex was known before, so that others may rest on it.
    pub(super) again: bool,
    /// The log's row as of now.
    pub(super) row: LogRow,
    /// What changed so far.
    pub(super) changes: Changes,
    /// Entries so far.
    pub(super) entries: Vec<Entry>,
    /// The later charter that it brings, and the one before.
    pub(super) amended: Option<(Digest, Digest)>,
    /// A proof of place that waits for its transfer, and H of its bytes.
    pub(super) place: Option<(Arc<PlaceProof>, Digest)>,
    /// Other homes that are addressed.
    pub(super) to: BTreeSet<LogId>,
    /// Whether its body is not here any more: it was found valid with it.
    pub(super) pruned: bool,
    /// The vertex may not be earlier than this.
    pub(super) not_before: Timestamp,
    /// The vertex may not be later than this.
    pub(super) not_after: Timestamp,
}

/// A vertex that was folded to its end.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Everything that is to be written.
    pub changes: Changes,
    /// The log's row after it.
    pub row: LogRow,
    /// Its entries.
    pub entries: Vec<Entry>,
}

impl Fold {
    /// Begins the vertex after the log's head; `None` begins the log, and the epoch after the head's begins that
    /// epoch: a log that stood still goes on.
    #[must_use]
    pub fn begin(log: LogId, genesis: NetworkId, head: Option<LogRow>, epoch: u64) -> Self {
        let mut row = head.unwrap_or(LogRow {
            epoch: 1,
            seq: 0,
            head: genesis,
            time: Timestamp(0),
            first: genesis,
            charter: None,
            officers_sequence: 0,
            entries: 0,
            totals: Totals::default(),
            frozen: None,
        });
        let new_epoch = row.seq > 0 && epoch == row.epoch + 1;
        if new_epoch {
            row.frozen = None;
        }
        Self {
            log,
            position: (row.epoch + u64::from(new_epoch), row.seq + 1),
            new_epoch,
            again: false,
            pruned: false,
            not_before: row.time,
            not_after: Timestamp(u64::MAX),
            row,
            changes: Changes::default(),
            entries: Vec::new(),
            amended: None,
            place: None,
            to: BTreeSet::new(),
        }
    }

    /// The same for a vertex that was known before.
    #[must_use]
    pub fn again(self, again: bool) -> Self {
        Self { again, ..self }
    }

    /// Entries so far.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Rows as of the entries so far.
    #[must_use]
    pub const fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Other homes addressed so far.
    #[must_use]
    pub const fn to(&self) -> &BTreeSet<LogId> {
        &self.to
    }

    /// The log's row before this vertex, with the sums as of the entries so far.
    #[must_use]
    pub const fn row(&self) -> &LogRow {
        &self.row
    }

    /// The earliest and latest time that this vertex may carry.
    #[must_use]
    pub const fn time_bounds(&self) -> (Timestamp, Timestamp) {
        (self.not_before, self.not_after)
    }

    /// Where the next entry will stand.
    #[must_use]
    pub fn next_position(&self) -> OwnEntry {
        OwnEntry {
            epoch: self.position.0,
            seq: self.position.1,
            index: self.entries.len() as u64,
        }
    }

    /// Takes one entry, or leaves everything as it was.
    ///
    /// # Errors
    /// [`FoldError`].
    pub fn push(
        &mut self,
        ctx: &FoldContext<'_>,
        entry: Entry,
        known: &Known,
    ) -> Result<(), FoldError> {
        if self.place.is_some() && entry.kind != Kind::Transfer {
            return Err(Refusal::BadEntry.into());
        }
        let first_vertex = self.position.1 == 1;
        if !first_vertex && !self.new_epoch && self.again_without_body(ctx, known)? {
            self.entries.push(entry);
            self.row.entries += 1;
            return Ok(());
        }
        match (entry.kind, first_vertex, self.entries.len()) {
            (Kind::EpochStart, _, 0) if self.new_epoch => self.epoch_start(ctx, &entry, known)?,
            (Kind::Start, _, 1) if self.new_epoch => self.start(&entry)?,
            (_, _, 0) if self.new_epoch => return Err(Refusal::BadEntry.into()),
            (Kind::EpochStart, ..) => return Err(Refusal::BadEntry.into()),
            (Kind::Charter, true, 0) => self.charter(ctx, &entry)?,
            (Kind::Charter, false, 0) => self.amend(ctx, &entry, known)?,
            (Kind::Start, true, 1) | (Kind::Start, false, 0) => self.start(&entry)?,
            (Kind::Start, false, 1) if self.amended.is_some() => self.start(&entry)?,
            (Kind::Charter | Kind::Start, ..) | (_, true, 0 | 1) => {
                return Err(Refusal::BadEntry.into());
            }
            (Kind::Enrol, ..) => self.enrol(ctx, &entry, known)?,
            (Kind::Rotate, ..) => self.rotate(ctx, &entry, known)?,
            (Kind::Revoke, ..) => self.revoke(ctx, &entry, known)?,
            (Kind::Recover, ..) => self.recover(ctx, &entry, known)?,
            (Kind::Grant, ..) => self.grant(ctx, &entry, known)?,
            (Kind::Place, ..) => self.place(ctx, &entry, known)?,
            (Kind::Transfer, ..) => self.transfer(ctx, &entry, known)?,
            (Kind::Accept, ..) => self.accept(ctx, &entry, known)?,
            (Kind::Settle, ..) => self.settle(ctx, &entry)?,
            (Kind::Fault, ..) => self.fault(ctx, &entry)?,
            (Kind::Trust, ..) => self.trust(&entry)?,
            (Kind::Note, ..) => self.note(ctx, &entry)?,
            (Kind::Order, ..) => self.order(ctx, &entry, known)?,
            (Kind::Ungrant, ..) => self.ungrant(ctx, &entry, known)?,
            (Kind::Correct, ..) => self.correct(ctx, &entry, known)?,
            (Kind::Reject, ..) => self.reject(ctx, &entry, known)?,
            (Kind::Refund, ..) => self.refund(ctx, &entry)?,
            (Kind::Adopt, ..) => self.adopt(ctx, &entry)?,
            (Kind::Checkpoint, ..) => self.checkpoint(ctx, &entry)?,
        }
        self.entries.push(entry);
        self.row.entries += 1;
        Ok(())
    }

    /// Takes back a proof of place whose transfer was refused.
    pub fn drop_pending_place(&mut self) {
        if self.place.take().is_some() {
            self.entries.pop();
            self.row.entries -= 1;
        }
    }

    /// Closes the vertex under its signed header and gives everything that is to be written.
    ///
    /// # Errors
    /// [`Refusal::BadVertex`] or [`Refusal::BadEntry`] when the header does not fit what was folded.
    pub fn finish(
        mut self,
        ctx: &FoldContext<'_>,
        header: &SignedHeader,
        body_block: Vec<u8>,
        order: u64,
    ) -> Result<Finished, Refusal> {
        let h = &header.header;
        if self.place.is_some() {
            return Err(Refusal::BadEntry);
        }
        let complete = match self.position.1 {
            1 => self.entries.len() >= 2,
            _ => !self.new_epoch || !self.entries.is_empty(),
        };
        let fits = complete
            && (h.epoch, h.seq) == self.position
            && h.prev == self.row.head
            && h.to.iter().eq(&self.to)
            && (self.not_before..=self.not_after).contains(&h.time);
        if !fits {
            return Err(Refusal::BadVertex);
        }
        let depth = ctx.layers.depth_of(h);
        self.row.epoch = h.epoch;
        self.row.seq = h.seq;
        self.row.head = header.id;
        self.row.time = h.time;
        if h.seq == 1 {
            self.row.first = header.id;
        }
        debug_assert!(
            self.row.totals.conserved(),
            "the sums of a folded log balance"
        );
        let mut changes = self.changes;
        changes.put(position_key(&self.log, h.epoch, h.seq), &header.id);
        changes.put(
            key(Table::Vertex, &[header.id.digest()]),
            &VertexRow::of(h, order, depth),
        );
        if self.new_epoch {
            let first = EpochRow {
                seq: h.seq,
                id: header.id,
            };
            let epoch = h.epoch.to_be_bytes();
            changes.put(key(Table::Epoch, &[&self.log.0, &epoch]), &first);
        }
        if let Some((charter, before)) = self.amended {
            let row = CharterRow {
                before,
                epoch: h.epoch,
                vertex: header.id,
            };
            changes.put(key(Table::Charter, &[&self.log.0, &charter.0]), &row);
        }
        changes.put(key(Table::Log, &[&self.log.0]), &self.row);
        if !self.pruned {
            changes.blocks.push((h.body, body_block));
        }
        changes.blocks.push((header.id, header.block.clone()));
        Ok(Finished {
            changes,
            row: self.row,
            entries: self.entries,
        })
    }

    /// Rows as this vertex has left them so far.
    pub(super) fn rows<'a>(&'a self, ctx: &FoldContext<'a>) -> Layers<'a> {
        ctx.layers.with(&self.changes)
    }

    /// Whether a vertex that holds what it holds so far can still carry an entry which the home received
    /// at this time and had to sequence until `last`.
    pub(super) fn can_be_dated(&self, received: Timestamp, last: Timestamp) -> bool {
        self.not_before.max(received) <= self.not_after.min(last)
    }

    /// Notes when the home received an entry, and until when it had to sequence it.
    pub(super) fn dated(&mut self, received: Timestamp, last: Timestamp) {
        self.not_before = self.not_before.max(received);
        self.not_after = self.not_after.min(last);
    }

    /// The vertex that an entry cites, once the cite was proven.
    pub(super) fn proven_vertex(
        &self,
        ctx: &FoldContext<'_>,
        cite: &crate::vertex::EntryCite,
    ) -> Result<VertexRow, FoldError> {
        let rows = self.rows(ctx);
        let Some(vertex) = rows.vertex(&cite.vertex) else {
            return Err(FoldError::Waiting(Missing::Vertex(cite.vertex)));
        };
        let path: Vec<[u8; 32]> = cite.path.iter().map(|digest| digest.0).collect();
        let proven = crate::vertex::verify_path(
            &cite.leaf(),
            cite.index,
            vertex.count,
            &path,
            &vertex.entries_root.0,
        );
        let counts = vertex.log != self.log && !self.beyond_cut(ctx, &vertex);
        if proven && counts {
            Ok(vertex)
        } else {
            Err(Refusal::BadCite.into())
        }
    }

    /// Whether a vertex stands beyond the cut of a fault that this log entered.
    pub(super) fn beyond_cut(&self, ctx: &FoldContext<'_>, vertex: &VertexRow) -> bool {
        let rows = self.rows(ctx);
        let cut = rows.fault_cut(&self.log, &vertex.log, vertex.epoch);
        cut.is_some_and(|cut| vertex.seq > cut)
    }

    /// Sets where a submission stands.
    pub(super) fn note_submission(&mut self, identity: &Digest) {
        let at = self.next_position();
        self.changes
            .put(key(Table::Submission, &[&self.log.0, &identity.0]), &at);
    }

    /// H(body) of the charter in force after the entries so far: what the vertex's header names.
    #[must_use]
    pub fn in_force(&self, authority: &Authority) -> Digest {
        self.row.charter.unwrap_or(authority.charter_hash)
    }

    /// The id of the head before this vertex.
    #[must_use]
    pub const fn prev(&self) -> BlockId {
        self.row.head
    }
}

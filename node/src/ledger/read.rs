//! Reads the ledger's pages out of the store, by way of the index: of what is durable and counts.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};

use city_protocol::body::{
    Accept, Charter, Enrol, Grant, Kind, OfficersBody, Order, OwnEntry, PersonBody, Recover,
    Reject, Revoke, Rotate, Transfer, identity,
};
use city_protocol::codec;
use city_protocol::crypto::DomainTag;
use city_protocol::genesis::Genesis;
use city_protocol::ids::{BlockId, Digest, LogId};
use city_protocol::json;
use city_protocol::ledger::{History, LogRow, Rows as _, Table, WitnessRow, key, try_read_row};
use city_protocol::region::Region;
use city_protocol::replica::MAX_LOGS;
use city_protocol::replica::head_rows;
use city_protocol::vertex::{Entry, SignedHeader, decode_body};
use serde_json::Value;

use super::pages::{
    EntryPage, EntryShown, HeadShown, HeadsPage, LinesPage, LogName, Parent, SignedBy, Stands,
    VertexLine, VertexShown,
};
use super::words::words;
use crate::api::wire::SCHEMA;
use crate::journal::log_rows;

/// Most vertices on one page: each has a body of up to 1 MiB.
pub const MAX_PAGE: usize = 100;
/// Most vertices in one drawing: more nobody can look at.
pub const MAX_LAST: usize = 1_000;

/// A reader of what one node has.
pub struct Reader<'a> {
    pub(super) history: &'a dyn History,
    pub(super) genesis: &'a Genesis,
    pub(super) own: LogId,
    names: &'a BTreeMap<String, String>,
    regions: RefCell<BTreeMap<LogId, Option<Region>>>,
    trusted: BTreeMap<LogId, u64>,
}

impl<'a> Reader<'a> {
    /// Reads for the home of this log; `names` are those of municipalities by their codes.
    #[must_use]
    pub fn new(
        history: &'a dyn History,
        genesis: &'a Genesis,
        own: LogId,
        names: &'a BTreeMap<String, String>,
    ) -> Self {
        Self {
            history,
            genesis,
            own,
            names,
            regions: RefCell::default(),
            trusted: BTreeMap::new(),
        }
    }

    /// The same where these logs were taken on trust, up to these positions.
    #[must_use]
    pub fn with_trusted(self, trusted: BTreeMap<LogId, u64>) -> Self {
        Self { trusted, ..self }
    }

    /// The frontier.
    #[must_use]
    pub fn heads(&self) -> HeadsPage {
        let heads = head_rows(self.history).into_iter();
        HeadsPage {
            schema: SCHEMA,
            network: self.genesis.network(),
            heads: heads
                .filter(|(_, row)| row.seq > 0)
                .map(|(log, row)| self.head(log, &row))
                .collect(),
        }
    }

    fn head(&self, log: LogId, row: &LogRow) -> HeadShown {
        HeadShown {
            of: self.name(log),
            own: log == self.own,
            epoch: row.epoch,
            seq: row.seq,
            head: row.head,
            time: row.time,
            entries: row.entries,
            headers_behind: self.headers_behind(&log),
            trusted_up_to: self.trusted.get(&log).copied(),
            frozen: row.frozen.map(|frozen| frozen.as_str().into()),
            witnessed_by: self.witnesses(&log, row),
        }
    }

    /// The position behind which only headers are here.
    fn headers_behind(&self, log: &LogId) -> Option<u64> {
        self.history.headers(log)?;
        Some(self.history.log(log)?.seq)
    }

    /// How many other logs rest on the head; none where nothing is remembered of it.
    fn witnesses(&self, log: &LogId, row: &LogRow) -> Option<u64> {
        let rows = self
            .history
            .rows(&key(Table::Witness, &[&log.0]), None, MAX_LOGS);
        let rests = |value: &[u8]| {
            let witness: Option<WitnessRow> = try_read_row(value);
            witness.is_some_and(|at| (at.epoch, at.seq) >= (row.epoch, row.seq))
        };
        let known = !rows.is_empty();
        let on_head = rows.iter().filter(|(_, value)| rests(value)).count();
        known.then_some(on_head as u64)
    }

    /// Whose a log is.
    pub(super) fn name(&self, log: LogId) -> LogName {
        let mut regions = self.regions.borrow_mut();
        let region = regions
            .entry(log)
            .or_insert_with(|| self.region(&log))
            .as_ref();
        LogName {
            log,
            region: region.map(ToString::to_string),
            name: region.and_then(|region| self.names.get(region.municipality()).cloned()),
        }
    }

    fn region(&self, log: &LogId) -> Option<Region> {
        let row = self.history.log(log)?;
        let first = self.history.vertex(&row.first)?;
        let entries = decode_body(&self.history.block(&first.body)?).ok()?;
        let charter = entries
            .first()
            .filter(|entry| entry.kind == Kind::Charter)?;
        let charter: Charter = json::read(&charter.body, json::MAX_CHARTER_BODY).ok()?;
        Some(charter.region)
    }

    fn stands(&self, id: &BlockId) -> Option<Stands> {
        let row = self.history.vertex(id)?;
        Some(Stands {
            vertex: *id,
            of: self.name(row.log),
            epoch: row.epoch,
            seq: row.seq,
        })
    }

    /// A vertex by its id.
    #[must_use]
    pub fn vertex(&self, id: &BlockId) -> Option<VertexShown> {
        let header = SignedHeader::read(&self.history.block(id)?).ok()?;
        let h = &header.header;
        let entries = self.entries(&h.body);
        let shown = |(index, entry): (u64, &Entry)| shown(index, entry);
        let parent = |vertex: &BlockId| Parent {
            vertex: *vertex,
            stands: self.stands(vertex),
        };
        Some(VertexShown {
            schema: SCHEMA,
            stands: Stands {
                vertex: *id,
                of: self.name(h.log),
                epoch: h.epoch,
                seq: h.seq,
            },
            time: h.time,
            prev: h.prev,
            parents: h.parents.iter().map(parent).collect(),
            to: h.to.iter().map(|log| self.name(*log)).collect(),
            count: h.count,
            entries_root: h.entries_root,
            body: h.body,
            signed_by: SignedBy {
                alg: h.alg,
                key: h.key,
            },
            charter: h.charter,
            entries: entries.map(|entries| (0..).zip(&entries).map(shown).collect()),
        })
    }

    /// The vertex at a position of a log, on the chain that counts.
    #[must_use]
    pub fn at(&self, log: &LogId, seq: u64) -> Option<VertexShown> {
        self.vertex(&self.position(log, seq)?)
    }

    fn position(&self, log: &LogId, seq: u64) -> Option<BlockId> {
        let row = self.history.head(log)?;
        let counts = (1..=row.seq).contains(&seq);
        counts.then(|| self.history.vertex_on_chain(log, row.epoch, seq))?
    }

    /// The entry of a submission, in the own log first.
    #[must_use]
    pub fn entry(&self, identity: &Digest) -> Option<EntryPage> {
        let of = |log: &LogId| {
            let at = self.submission(log, identity)?;
            let id = self.history.vertex_at(log, at.epoch, at.seq)?;
            let mut vertex = self.vertex(&id)?;
            let entries = vertex.entries.as_mut()?;
            entries.retain(|entry| entry.index == at.index);
            (!entries.is_empty()).then_some(EntryPage {
                schema: SCHEMA,
                vertex,
            })
        };
        let others = || {
            let rows = log_rows(self.history).into_iter();
            rows.filter(|(log, _)| *log != self.own)
                .find_map(|(log, _)| of(&log))
        };
        of(&self.own).or_else(others)
    }

    fn submission(&self, log: &LogId, identity: &Digest) -> Option<OwnEntry> {
        let transfer = self.history.transfer(log, identity).map(|row| row.at);
        transfer.or_else(|| self.history.submission(log, identity))
    }

    fn entries(&self, body: &BlockId) -> Option<Vec<Entry>> {
        decode_body(&self.history.block(body)?).ok()
    }

    fn line(&self, id: &BlockId) -> Option<VertexLine> {
        let header = SignedHeader::read(&self.history.block(id)?).ok()?;
        let h = &header.header;
        let told = |entry: &Entry| {
            let body = body_of(entry);
            (entry.kind.to_string(), words(entry, &body))
        };
        let entries = self.entries(&h.body);
        Some(VertexLine {
            stands: Stands {
                vertex: *id,
                of: self.name(h.log),
                epoch: h.epoch,
                seq: h.seq,
            },
            time: h.time,
            prev: h.prev,
            parents: h.parents.clone(),
            entries: entries.map(|entries| entries.iter().map(told).collect()),
        })
    }

    /// Vertices of a log behind a position.
    #[must_use]
    pub fn lines(&self, log: &LogId, after: u64, limit: usize) -> Option<LinesPage> {
        let row = self.history.log(log)?;
        let limit = limit.min(MAX_PAGE) as u64;
        let last = row.seq.min(after.saturating_add(limit));
        let line = |seq| self.line(&self.history.vertex_on_chain(log, row.epoch, seq)?);
        Some(LinesPage {
            schema: SCHEMA,
            vertices: (after.saturating_add(1)..=last).filter_map(line).collect(),
            next: (last < row.seq).then_some(last),
        })
    }

    /// The last vertices of all logs, in the order in which this node stored them.
    #[must_use]
    pub fn last(&self, count: usize) -> LinesPage {
        let count = count.min(MAX_LAST);
        let mut heap = BinaryHeap::new();
        let mut seen = HashSet::new();
        let mut push = |heap: &mut BinaryHeap<(u64, BlockId)>, id: BlockId| {
            // What is cited singly has a header here, and perhaps no vertex before it.
            if let Some(row) = self.history.vertex(&id).filter(|_| seen.insert(id)) {
                heap.push((row.order, id));
            }
        };
        for (_, row) in log_rows(self.history) {
            push(&mut heap, row.head);
        }
        let mut found = Vec::new();
        while let Some((order, id)) = heap.pop().filter(|_| found.len() < count) {
            if let Some(line) = self.line(&id) {
                push(&mut heap, line.prev);
                found.push((Reverse(order), line));
            }
        }
        found.reverse();
        LinesPage {
            schema: SCHEMA,
            vertices: found.into_iter().map(|(_, line)| line).collect(),
            next: None,
        }
    }
}

fn shown(index: u64, entry: &Entry) -> EntryShown {
    let body = body_of(entry);
    let signed = entry.sig.iter();
    EntryShown {
        index,
        kind: entry.kind.to_string(),
        words: words(entry, &body),
        identity: tag_of(entry.kind)
            .filter(|_| !entry.sig.is_empty())
            .map(|tag| identity(tag, &entry.body)),
        signed_by: signed
            .map(|sig| SignedBy {
                alg: sig.alg,
                key: sig.key,
            })
            .collect(),
        booked: entry.booked.clone(),
        cites: entry.cites.len() as u64,
        body,
    }
}

/// The body as JSON: what was signed is JSON, what the home wrote is DAG-CBOR.
fn body_of(entry: &Entry) -> Value {
    serde_json::from_slice(&entry.body)
        .ok()
        .or_else(|| codec::to_json(&entry.body))
        .unwrap_or(Value::Null)
}

/// The tag under which a kind is signed.
pub(crate) fn tag_of(kind: Kind) -> Option<DomainTag> {
    Some(match kind {
        Kind::Enrol => Enrol::TAG,
        Kind::Transfer => Transfer::TAG,
        Kind::Accept => Accept::TAG,
        Kind::Reject => Reject::TAG,
        Kind::Order => Order::TAG,
        Kind::Rotate => Rotate::TAG,
        Kind::Revoke => Revoke::TAG,
        Kind::Recover => Recover::TAG,
        Kind::Grant => Grant::TAG,
        _ => return None,
    })
}

//! Witnesses: up to where each log is an ancestor of other logs' vertices, and the vertices that a home writes for
//! no other reason than to witness a log that names it (DESIGN §5). How final that makes an entry is `ledger::finality`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Now, Replica};
use crate::amount::Timestamp;
use crate::body::Kind;
use crate::ids::LogId;
use crate::ledger::{Frozen, History, Rows, Table, VertexRow, WitnessRow, key, witnesses_of};
use crate::vertex::{Cite, Entry, Header, MAX_PARENT_AHEAD_MS};

/// How long a log that names this home may stay without a witness, in milliseconds: a home that books anything
/// witnesses by the way, and then no vertex is spent on it.
const PATIENCE_MS: u64 = 30 * 1000;
/// Shortest time between two vertices that only witness, in milliseconds: five minutes. A header is 5 KB.
const PAUSE_MS: u64 = 5 * 60 * 1000;
/// How many vertices below a head are looked at after a start: what was owed then is owed still.
const LOOK_BACK: u64 = 16;

/// What this home owes the logs that name it.
#[derive(Debug, Default)]
pub(super) struct Witnessing {
    owed: BTreeMap<LogId, Owed>,
    /// When this run last wrote a vertex only to witness.
    last: Option<Timestamp>,
}

/// Positions of a log that need a witness, and since when this home has them.
#[derive(Clone, Copy, Debug)]
struct Owed {
    oldest: ((u64, u64), Timestamp),
    newest: ((u64, u64), Timestamp),
}

impl Witnessing {
    /// Logs to which a witness is owed.
    pub(super) fn logs(&self) -> impl Iterator<Item = &LogId> {
        self.owed.keys()
    }

    fn owes(&mut self, log: LogId, position: (u64, u64), now: Timestamp) {
        let newest = (position, now);
        let owed = self.owed.entry(log).or_insert(Owed {
            oldest: newest,
            newest,
        });
        owed.newest = newest;
    }
}

impl Replica {
    /// Notes what a vertex that counts now rests on, and whether its log asks this home to witness it.
    pub(super) fn note_witness(
        &mut self,
        header: &Header,
        entries: &[Entry],
        now: Option<Now>,
        history: &dyn History,
    ) {
        let cited = entries.iter().flat_map(|entry| &entry.cites);
        let cited = cited.filter_map(|cite| match cite {
            Cite::Entry(cite) => Some(cite.vertex),
            Cite::Vertex(id) => Some(*id),
            Cite::Own(_) => None,
        });
        let rests_on: BTreeSet<_> = header.parents.iter().copied().chain(cited).collect();
        for id in rests_on {
            let rows = self.layers(history);
            let Some(vertex) = rows.vertex(&id).filter(|vertex| vertex.log != header.log) else {
                continue;
            };
            let Some(row) = what_counts(&rows, &vertex, id) else {
                continue;
            };
            let known = rows.witness(&vertex.log, &header.log);
            if known.is_none_or(|known| known.position() < row.position()) {
                let name = key(Table::Witness, &[&vertex.log.0, &header.log.0]);
                self.batch.put(name, &row);
            }
        }
        if let Some(now) = now
            && entries.iter().any(needs_witness)
            && self.is_witness_of(&header.log)
        {
            let position = (header.epoch, header.seq);
            self.witnessing.owes(header.log, position, now.time);
        }
    }

    /// Whether the log's charter in force names this home.
    pub(super) fn is_witness_of(&self, log: &LogId) -> bool {
        let own = self.home.log();
        let authority = self.authorities.0.get(log);
        *log != own && authority.is_some_and(|a| a.witnesses().contains(&own))
    }

    /// Of a log that stands at a cut now, nothing beyond it is witnessed.
    pub(super) fn cut_witnesses(&mut self, log: LogId, frozen: Frozen, history: &dyn History) {
        self.witnessing.owed.remove(&log);
        let Frozen::Equivocation(cut) = frozen else {
            return;
        };
        let Some(epoch) = self.layers(history).log(&log).map(|row| row.epoch) else {
            return;
        };
        for (name, value) in self.all_rows(&key(Table::Witness, &[&log.0]), history) {
            let row: WitnessRow = crate::ledger::read_row(&value);
            if row.position() > (epoch, cut) {
                self.batch.put(name, &WitnessRow { epoch, seq: cut });
            }
        }
    }

    /// After a start: what logs that name this home have at their heads, and nobody witnesses.
    pub(super) fn recall_owed(&mut self, now: Now, history: &dyn History) {
        let known = self.authorities.0.keys().copied();
        let asking: Vec<LogId> = known.filter(|log| self.is_witness_of(log)).collect();
        for log in asking {
            let Some(row) = history.log(&log).filter(|row| row.frozen.is_none()) else {
                continue;
            };
            let unwitnessed = |seq: &u64| {
                let id = history.vertex_on_chain(&log, row.epoch, *seq);
                let vertex = id.and_then(|id| history.vertex(&id));
                vertex.is_some_and(|vertex| {
                    let position = (vertex.epoch, vertex.seq);
                    witnesses_of(history, &log, position) == 0 && has_worth(history, &vertex)
                })
            };
            let lowest = row.seq.saturating_sub(LOOK_BACK).max(1);
            if let Some(seq) = (lowest..=row.seq).rev().find(unwitnessed) {
                let epoch = history.epoch_of(&log, row.epoch, seq);
                self.witnessing.owes(log, (epoch, seq), now.time);
            }
        }
    }

    /// Writes a vertex that only witnesses, if one has been owed for long enough.
    pub(super) fn witness_owed(&mut self, now: Now, history: &dyn History) {
        let mut owed = std::mem::take(&mut self.witnessing.owed);
        owed.retain(|log, owed| {
            let witnessed = |position| self.is_witnessed(log, position, history);
            if witnessed(owed.oldest.0) {
                owed.oldest = owed.newest;
            }
            !witnessed(owed.oldest.0)
        });
        let late = |owed: &Owed| now.time.since(owed.oldest.1) >= PATIENCE_MS;
        let due = owed
            .iter()
            .any(|(log, owed)| late(owed) && self.can_be_parent(log, now.time, history));
        self.witnessing.owed = owed;
        let paused = |last: Timestamp| now.time.since(last) < PAUSE_MS;
        if due && !self.witnessing.last.is_some_and(paused) && self.write_anything(now, history) {
            self.witnessing.last = Some(now.time);
        }
    }

    fn is_witnessed(&self, log: &LogId, position: (u64, u64), history: &dyn History) -> bool {
        let rows = self.all_rows(&key(Table::Witness, &[&log.0]), history);
        let mut rows = rows.iter().map(|(_, row)| crate::ledger::read_row(row));
        rows.any(|row: WitnessRow| row.position() >= position)
    }

    /// Whether the log's head may be a parent of a vertex with this time.
    pub(super) fn can_be_parent(
        &self,
        log: &LogId,
        time: Timestamp,
        history: &dyn History,
    ) -> bool {
        self.layers(history).log(log).is_some_and(|row| {
            row.frozen.is_none() && row.seq > 0 && row.time.minus_ms(MAX_PARENT_AHEAD_MS) <= time
        })
    }
}

/// Up to where a vertex that something rests on makes its log witnessed: where it stands, or its log's cut below it.
fn what_counts(
    rows: &impl Rows,
    vertex: &VertexRow,
    id: crate::ids::BlockId,
) -> Option<WitnessRow> {
    let VertexRow { epoch, seq, .. } = *vertex;
    if rows.vertex_at(&vertex.log, epoch, seq) == Some(id) {
        return Some(WitnessRow { epoch, seq });
    }
    let row = rows.log(&vertex.log)?;
    let cut = if epoch < row.epoch {
        rows.first_of_epoch(&vertex.log, epoch + 1)?
            .saturating_sub(1)
    } else {
        row.frozen?.cut()
    };
    let seq = seq.min(cut);
    Some(WitnessRow { epoch, seq })
}

/// Whether an entry is one that a home's charter wants witnessed (DESIGN §5).
fn needs_witness(entry: &Entry) -> bool {
    !matches!(
        entry.kind,
        Kind::Start | Kind::Trust | Kind::Fault | Kind::Checkpoint
    )
}

fn has_worth(history: &dyn History, vertex: &VertexRow) -> bool {
    let entries = history.block(&vertex.body);
    let entries = entries.and_then(|body| crate::vertex::decode_body(&body).ok());
    entries.is_some_and(|entries| entries.iter().any(needs_witness))
}

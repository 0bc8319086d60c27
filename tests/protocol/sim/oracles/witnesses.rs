//! Who witnesses whom, found again by looking at every vertex, and whether those who are named did it.

use std::collections::BTreeMap;

use city_protocol::body::Kind;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::ledger::{
    LogRow, Rows as _, Table, VertexRow, WitnessRow, read_row, witnesses_of,
};
use city_protocol::replica::log_rows;
use city_protocol::vertex::{Cite, SignedHeader, decode_body};

use super::books::audited;
use super::step::table;
use super::{Finding, ensure};
use crate::disk::Disk;
use crate::sim::stage::Sim;

/// The highest position of the first log that vertices of the second rest on.
type Rests = BTreeMap<(LogId, LogId), (u64, u64)>;

/// What a home says of who witnesses whom, it can prove; and it leaves nothing out.
pub(crate) fn witnesses_rest_on_it(sim: &Sim) -> Finding {
    for home in sim.honest() {
        let disk = &sim.world.homes[home].disk;
        let logs: BTreeMap<LogId, LogRow> = log_rows(disk.read()).into_iter().collect();
        let stored = table(Table::Vertex, disk).into_iter();
        let all: Vec<(BlockId, VertexRow)> = stored
            .filter_map(|(key, row)| Some((stored_id(disk, key)?, read_row(row))))
            .collect();
        let counts = |id: &BlockId, row: &VertexRow| {
            disk.read().vertex_at(&row.log, row.epoch, row.seq) == Some(*id)
        };
        let counted: Vec<_> = all.iter().filter(|(id, row)| counts(id, row)).collect();
        let at_least = rests(disk, counted.iter().copied(), counts);
        let at_most = rests(disk, all.iter(), |_, _| true);
        let shown: Rests = table(Table::Witness, disk)
            .into_iter()
            .map(|(key, row)| {
                let log = |at: usize| LogId(key[at..at + 32].try_into().unwrap());
                ((log(1), log(33)), read_row::<WitnessRow>(row).position())
            })
            .collect();
        for (pair, position) in &shown {
            let names = || [pair.0, pair.1].map(|log| sim.name_of(&log));
            let head = logs.get(&pair.0).map(|row| (row.epoch, row.seq));
            let proven = at_most.get(pair);
            ensure(
                proven.is_some_and(|most| position <= most) && Some(*position) <= head,
                || {
                    let names = names();
                    format!(
                        "{home} shows {names:?} at {position:?}; {proven:?} is so, and the head is {head:?}"
                    )
                },
            )?;
        }
        for (pair, position) in &at_least {
            let found = shown.get(pair);
            ensure(found >= Some(position), || {
                let names = [pair.0, pair.1].map(|log| sim.name_of(&log));
                format!("{home} shows {names:?} at {found:?}, and {position:?} is so")
            })?;
        }
    }
    Ok(())
}

/// The id of the vertex under a key of its table, which holds the digest alone.
fn stored_id(disk: &Disk, key: &[u8]) -> Option<BlockId> {
    let mut stored = disk.blocks.keys();
    stored.find(|id| id.digest()[..] == key[1..]).copied()
}

/// What these vertices rest on, among vertices that count as `basis` says.
fn rests<'a>(
    disk: &Disk,
    vertices: impl Iterator<Item = &'a (BlockId, VertexRow)>,
    basis: impl Fn(&BlockId, &VertexRow) -> bool,
) -> Rests {
    let mut rests = Rests::new();
    for (id, vertex) in vertices {
        let header = disk.read().block(id).expect("a vertex has its header");
        let mut named = SignedHeader::read(&header).unwrap().header.parents;
        let body = disk.read().block(&vertex.body);
        for entry in body
            .and_then(|body| decode_body(&body).ok())
            .unwrap_or_default()
        {
            named.extend(entry.cites.iter().filter_map(|cite| match cite {
                Cite::Entry(cite) => Some(cite.vertex),
                Cite::Vertex(id) => Some(*id),
                Cite::Own(_) => None,
            }));
        }
        for id in named {
            let Some(parent) = disk.read().vertex(&id) else {
                continue;
            };
            if parent.log != vertex.log && basis(&id, &parent) {
                let highest = rests.entry((parent.log, vertex.log)).or_default();
                *highest = (*highest).max((parent.epoch, parent.seq));
            }
        }
    }
    rests
}

/// What an honest home booked, and an honest home that its charter names knows of, has a witness in the end.
pub(crate) fn the_named_witness(sim: &Sim) -> Finding {
    let disk = &sim.world.homes[audited(sim)].disk;
    for home in sim.honest() {
        let h = &sim.world.homes[home];
        let log = h.log();
        let books = |named: &LogId| {
            let witness = sim
                .honest()
                .into_iter()
                .find(|other| sim.world.homes[*other].log() == *named && sim.is_clean(named));
            witness.is_some_and(|other| {
                let other = &sim.world.homes[other];
                other.replica.status(other.disk.read()).sequencing
            })
        };
        if !sim.is_clean(&log) || !h.authority.charter.witnesses.iter().any(books) {
            continue;
        }
        let row = h.row(&log);
        let owed = (1..=row.seq).rev().find(|seq| {
            let id = disk.read().vertex_on_chain(&log, row.epoch, *seq);
            let vertex = id.and_then(|id| disk.read().vertex(&id));
            let body = vertex.and_then(|vertex| disk.read().block(&vertex.body));
            let entries = body.and_then(|body| decode_body(&body).ok());
            entries.into_iter().flatten().any(|entry| {
                ![Kind::Start, Kind::Trust, Kind::Fault, Kind::Checkpoint].contains(&entry.kind)
            })
        });
        if let Some(seq) = owed {
            let epoch = disk.read().epoch_of(&log, row.epoch, seq);
            ensure(witnesses_of(disk.read(), &log, (epoch, seq)) > 0, || {
                format!("nobody witnesses {seq} of {home}")
            })?;
        }
    }
    Ok(())
}

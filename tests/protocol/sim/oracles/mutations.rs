//! Every oracle can complain: a healthy story is told once, one thing in it is spoilt, and the oracle that watches
//! over it says so.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use city_protocol::body::OwnEntry;
use city_protocol::codec;
use city_protocol::ids::{Digest, LogId};
use city_protocol::ledger::{
    AccountRow, FaultRow, Frozen, LogRow, Rows as _, Table, TransferRow, TransferState, VertexRow,
    WitnessRow, key, read_row,
};
use city_protocol::vertex::SignedHeader;

use super::books::{Sums, audited, in_transit, sums_of};
use super::step::table;
use super::{ORACLES, complaints};
use crate::liar::{Liar, start};
use crate::sim::stage::Sim;
use crate::sim::tricks::Trick;

/// A story whose liar is convicted: the first one that there is.
fn told() -> Sim {
    static SEED: OnceLock<u64> = OnceLock::new();
    let convicted = |seed: &u64| {
        let sim = Sim::play(*seed);
        let home = sim.honest()[0];
        let row = sim
            .liar()
            .map(|liar| sim.world.homes[home].row(&sim.world.homes[liar].log()));
        sim.excused.is_empty()
            && row.is_some_and(|row| matches!(row.frozen, Some(Frozen::Equivocation(_))))
    };
    Sim::play(*SEED.get_or_init(|| (1..).find(convicted).expect("some liar is convicted")))
}

/// Spoils a healthy story; these oracles find something, and no story needs all of them.
#[track_caller]
fn check(spoil: impl FnOnce(&mut Sim), expected: &[&str]) {
    let mut sim = told();
    assert_eq!(complaints(&sim), [""; 0], "the story is healthy before");
    spoil(&mut sim);
    let found: Vec<_> = ORACLES
        .iter()
        .filter(|(_, oracle)| oracle(&sim).is_err())
        .map(|(name, _)| *name)
        .collect();
    for name in expected {
        assert!(found.contains(name), "{name} is silent; {found:?} complain");
    }
}

/// Changes one row of a table on the disk of the home whose books are looked at.
fn change<T>(sim: &mut Sim, which: Table, change: impl Fn(&mut T) -> bool)
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let home = audited(sim);
    let rows = table(which, &sim.world.homes[home].disk);
    let changed = rows.into_iter().find_map(|(key, row)| {
        let mut row: T = read_row(row);
        change(&mut row).then(|| (key.to_vec(), codec::encode(&row)))
    });
    let (key, row) = changed.expect("there is such a row");
    sim.world.homes[home].disk.rows.insert(key, row);
}

#[test]
fn a_wrong_balance_is_found() {
    let richer = |row: &mut AccountRow| {
        row.available = row.available.plus("0.01".parse().unwrap()).unwrap();
        true
    };
    check(
        |sim| change(sim, Table::Account, richer),
        &[
            "homes are in step",
            "books balance",
            "the index is what the log says",
        ],
    );
}

#[test]
fn a_sum_that_does_not_add_up_is_found() {
    let minted = |row: &mut LogRow| {
        row.totals.available += 1;
        true
    };
    check(
        |sim| change(sim, Table::Log, minted),
        &["books balance", "the index is what the log says"],
    );
    // Also one that satisfies the formula of its own log.
    let minted = |row: &mut LogRow| {
        row.totals.available += 1;
        row.totals.granted += 1;
        true
    };
    check(
        |sim| change(sim, Table::Log, minted),
        &["books balance", "the index is what the log says"],
    );
}

#[test]
fn another_head_is_found() {
    let behind = |row: &mut LogRow| {
        row.seq -= 1;
        true
    };
    check(
        |sim| change(sim, Table::Log, behind),
        &["homes are in step"],
    );
}

#[test]
fn a_lost_acknowledged_entry_is_found() {
    let lose = |sim: &mut Sim| {
        let acked = sim
            .acked
            .iter()
            .find(|acked| sim.is_clean(&acked.log))
            .unwrap();
        let (log, at) = (acked.log, acked.at);
        let home = audited(sim);
        let position = [&log.0[..], &at.epoch.to_be_bytes(), &at.seq.to_be_bytes()];
        sim.world.homes[home]
            .disk
            .rows
            .remove(&key(Table::Position, &position));
    };
    check(lose, &["acknowledged entries stand", "homes are in step"]);
    // Another entry in its place is no better than none.
    let replace = |sim: &mut Sim| {
        let clean: Vec<_> = sim
            .acked
            .iter()
            .map(|acked| sim.is_clean(&acked.log))
            .collect();
        let at = clean.iter().position(|clean| *clean).unwrap();
        sim.acked[at].at = OwnEntry {
            index: sim.acked[at].at.index + 1,
            ..sim.acked[at].at
        };
    };
    check(replace, &["acknowledged entries stand"]);
}

#[test]
fn a_swallowed_proof_is_found() {
    let swallow = |sim: &mut Sim| {
        let liar = sim.liar().unwrap();
        let log = sim.world.homes[liar].log();
        let home = sim.honest()[0];
        let disk = &mut sim.world.homes[home].disk;
        let row = disk.read().log(&log).unwrap();
        assert!(row.frozen.is_some(), "the liar of this story is convicted");
        let fault = key(Table::Fault, &[&log.0, &row.epoch.to_be_bytes()]);
        disk.rows.remove(&fault).expect("with a proof");
    };
    check(swallow, &["nobody forks unnoticed"]);
}

#[test]
fn a_fork_that_nobody_noticed_is_found() {
    let fork = |sim: &mut Sim| {
        let author = sim.honest()[0];
        let mut pen = Liar::new(&sim.world, author);
        let row = sim.world.homes[author].row(&pen.log);
        (pen.seq, pen.prev) = (row.seq, row.head);
        let vertex = pen.sign(&[start("a second one")]);
        let home = sim.honest()[1];
        sim.world.homes[home]
            .disk
            .blocks
            .insert(vertex.id, Arc::new(vertex.header));
    };
    check(fork, &["nobody forks unnoticed"]);
}

#[test]
fn two_verdicts_on_one_vertex_are_found() {
    let disagree = |sim: &mut Sim| {
        let home = sim.honest()[0];
        let id = *sim.world.homes[home].verdicts.keys().next().unwrap();
        sim.world.homes[home].verdicts.insert(id, [false].into());
    };
    check(disagree, &["verdicts agree"]);
}

#[test]
fn a_trick_that_somebody_believed_is_found() {
    let believe = |sim: &mut Sim| {
        let home = sim.honest()[0];
        let (log, head) = {
            let h = &sim.world.homes[sim.liar().unwrap()];
            (h.log(), sim.world.homes[home].row(&h.log()).head)
        };
        assert!(sim.world.homes[home].row(&log).seq > 1);
        sim.tricks.insert(head, Trick::FalseSettle);
    };
    check(believe, &["nobody believes a trick"]);
    // And two honest homes at which a liar's log ends differently.
    let behind = |sim: &mut Sim| {
        let log = sim.world.homes[sim.liar().unwrap()].log();
        let home = sim.honest()[0];
        let row = sim.world.homes[home].row(&log);
        let behind = LogRow {
            seq: row.seq - 1,
            ..row
        };
        let name = key(Table::Log, &[&log.0]);
        let disk = &mut sim.world.homes[home].disk;
        disk.rows.insert(name, codec::encode(&behind));
    };
    check(behind, &["nobody believes a trick", "homes are in step"]);
}

#[test]
fn a_transfer_that_never_arrived_is_found() {
    let open = |sim: &mut Sim| {
        let of = |home: usize| {
            let own = sim.world.homes[home].log();
            let rows = table(Table::Transfer, &sim.world.homes[home].disk);
            rows.into_iter().find_map(|(name, row)| {
                let mut row: TransferRow = read_row(row);
                let mine = name[1..33] == own.0 && sim.is_clean(&row.receiver_home);
                row.state = TransferState::Open;
                mine.then(|| (home, name.to_vec(), codec::encode(&row)))
            })
        };
        let sent = sim.honest().into_iter().find_map(of);
        let (home, name, row) = sent.expect("somebody sent something");
        sim.world.homes[home].disk.rows.insert(name, row);
    };
    check(open, &["what was sent arrived", "homes are in step"]);
}

#[test]
fn a_body_that_says_something_else_is_found() {
    // The last vertex of an honest log is taken away from under its index.
    let lose = |sim: &mut Sim| {
        let home = audited(sim);
        let h = &mut sim.world.homes[home];
        let row = h.row(&h.log());
        let header = SignedHeader::read(&h.disk.blocks[&row.head]).unwrap();
        h.disk.blocks.remove(&header.header.body);
    };
    check(lose, &["books balance", "the index is what the log says"]);
}

#[test]
fn a_conviction_of_an_honest_home_is_found() {
    let mut sim = told();
    let honest = sim.honest();
    let log = sim.world.homes[honest[1]].log();
    sim.world.homes[honest[0]]
        .frozen
        .push((log, Frozen::Invalid(3), None));
    let peer = sim.world.homes[honest[1]].peer();
    let refusal = city_protocol::refusal::Refusal::BadVertex;
    sim.world.homes[honest[0]]
        .disconnected
        .push((peer, refusal));
    sim.follow_up();
    assert_eq!(sim.complaints.len(), 2, "{:?}", sim.complaints);
}

#[test]
fn another_answer_to_the_same_submission_is_found() {
    let mut sim = told();
    let mut clean = sim
        .remembered
        .iter()
        .filter(|(acked, ..)| sim.is_clean(&acked.log));
    let (mut before, home, submission) = clean.next().cloned().unwrap();
    sim.ask(home, submission.clone(), Some(before.clone()));
    sim.commit(home);
    assert_eq!(sim.complaints, [""; 0]);
    before.at.seq += 1;
    sim.ask(home, submission, Some(before));
    sim.commit(home);
    assert_eq!(sim.complaints.len(), 1);
}

/// Each transfer has two halves, in two logs; one that has lost the other, or another amount, is found.
#[test]
fn a_half_without_the_other_is_found() {
    type Spoil = fn(&mut BTreeMap<LogId, Sums>, &LogId, &LogId, &Digest);
    let sim = told();
    let home = audited(&sim);
    let sums = || sums_of(&sim, home).unwrap();
    in_transit(&sim, home, &sums()).unwrap();
    let whole = sums();
    let taken = |(log, sums): (&LogId, &Sums)| {
        let mut taken = sums.accepted.iter();
        let clean = |from: &LogId| from != log && sim.is_clean(from) && sim.is_clean(log);
        let found = taken.find(|(_, (from, _))| clean(from))?;
        Some((found.1.0, *log, *found.0))
    };
    let (from, to, transfer) = whole.iter().find_map(taken).expect("something arrived");
    let spoils: [Spoil; 4] = [
        |logs, from, _, transfer| {
            logs.get_mut(from).unwrap().sent_to.remove(transfer);
        },
        |logs, _, to, transfer| {
            logs.get_mut(to).unwrap().accepted.remove(transfer);
        },
        |logs, _, to, transfer| {
            let accepted = &mut logs.get_mut(to).unwrap().accepted;
            accepted.get_mut(transfer).unwrap().1 += 1;
        },
        |logs, from, to, transfer| {
            let sent = logs.get_mut(from).unwrap().sent_to.remove(transfer);
            logs.get_mut(to)
                .unwrap()
                .sent_to
                .insert(*transfer, sent.unwrap());
        },
    ];
    for spoil in spoils {
        let mut logs = sums();
        spoil(&mut logs, &from, &to, &transfer);
        in_transit(&sim, home, &logs).unwrap_err();
    }
}

#[test]
fn a_proof_that_proves_nothing_is_found() {
    let same = |row: &mut FaultRow| {
        row.vertices[1] = row.vertices[0];
        true
    };
    check(
        |sim| change(sim, Table::Fault, same),
        &["the index is what the log says"],
    );
}

#[test]
fn a_vertex_that_is_shown_otherwise_is_found() {
    let later = |row: &mut VertexRow| {
        row.time = row.time.plus_ms(1);
        true
    };
    check(
        |sim| change(sim, Table::Vertex, later),
        &["the index is what the log says"],
    );
}

#[test]
fn a_vertex_row_too_many_is_found() {
    let invent = |sim: &mut Sim| {
        let home = audited(sim);
        let rows = table(Table::Vertex, &sim.world.homes[home].disk).into_values();
        let rows: Vec<VertexRow> = rows.map(read_row).collect();
        let clean = rows.into_iter().find(|row| sim.is_clean(&row.log));
        let row = clean.unwrap();
        let disk = &mut sim.world.homes[home].disk;
        disk.rows
            .insert(key(Table::Vertex, &[&[9; 32]]), codec::encode(&row));
    };
    check(invent, &["the index is what the log says"]);
}

#[test]
fn a_witness_that_never_was_is_found() {
    let higher = |row: &mut WitnessRow| {
        row.seq += 1;
        true
    };
    check(
        |sim| change(sim, Table::Witness, higher),
        &["witnesses rest on it"],
    );
}

#[test]
fn a_witness_that_is_forgotten_is_found() {
    let forget = |sim: &mut Sim| {
        let home = audited(sim);
        let disk = &mut sim.world.homes[home].disk;
        disk.rows.retain(|key, _| key[0] != Table::Witness as u8);
    };
    check(forget, &["witnesses rest on it", "the named witness"]);
}

/// A transfer that was accepted has one end: whoever gives it back to its sender, too, takes it from the receiver.
#[test]
fn a_refund_of_what_was_accepted_is_found() {
    let refunded = |row: &mut TransferRow| {
        let settled = row.state == TransferState::Settled;
        row.state = TransferState::Refunded;
        settled
    };
    check(
        |sim| change(sim, Table::Transfer, refunded),
        &["homes are in step", "the index is what the log says"],
    );
}

#[test]
fn what_officers_took_back_and_is_shown_otherwise_is_found() {
    let more = |row: &mut LogRow| {
        row.totals.ungranted += 1;
        row.totals.available -= 1;
        true
    };
    check(
        |sim| change(sim, Table::Log, more),
        &["books balance", "the index is what the log says"],
    );
}

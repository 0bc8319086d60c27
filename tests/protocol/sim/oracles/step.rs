//! Honest homes end with the same heads and balances, and nothing stays on its way.

use std::collections::BTreeMap;

use city_protocol::ids::{Digest, LogId};
use city_protocol::ledger::{LogRow, Rows as _, Table, TransferRow, TransferState, read_row};

use super::{Finding, ensure};
use crate::disk::Disk;
use crate::sim::stage::Sim;

/// Tables that are the same on every home that followed the same logs.
pub(super) const SHARED: [Table; 17] = [
    Table::Account,
    Table::Key,
    Table::Epoch,
    Table::Clearing,
    Table::Checkpoint,
    Table::Tree,
    Table::Transfer,
    Table::TransferId,
    Table::Open,
    Table::Answer,
    Table::Incoming,
    Table::Received,
    Table::Submission,
    Table::Position,
    Table::Trust,
    Table::Note,
    Table::Notes,
];

/// Heads, balances and everything else that follows from the logs are the same everywhere.
pub(crate) fn homes_are_in_step(sim: &Sim) -> Finding {
    let honest = sim.honest();
    let first = &sim.world.homes[honest[0]];
    for home in &honest {
        let h = &sim.world.homes[*home];
        let status = h.replica.status(h.disk.read());
        // A home that restored a copy of itself may stand still for ever, with all that it owes.
        let stands_still = sim.excused.contains(home) && !status.sequencing;
        // The liar may have dated something far ahead.
        let moving = status.in_flight - status.early;
        ensure(moving == 0 || stands_still, || {
            let books = status.sequencing;
            format!(
                "{moving} in flight at {home}, which books: {books}; {}",
                heads(sim, *home)
            )
        })?;
        let hash = first.replica.status(first.disk.read()).frontier_hash;
        ensure(status.frontier_hash == hash, || {
            format!(
                "{} and {home} have other frontiers:\n{}\n{}",
                honest[0],
                heads(sim, honest[0]),
                heads(sim, *home)
            )
        })?;
        for table in SHARED {
            let there = format!("between {} and {home}", honest[0]);
            same_rows(sim, table, &first.disk, &h.disk)
                .map_err(|what| format!("{what} {there}"))?;
        }
    }
    Ok(())
}

/// The heads that a home has.
pub(crate) fn heads(sim: &Sim, home: usize) -> String {
    let rows = table(Table::Log, &sim.world.homes[home].disk);
    let shown = rows.into_iter().map(|(key, row)| {
        let row: LogRow = read_row(row);
        let log = LogId(key[1..].try_into().unwrap());
        format!(
            "{} at {} {} {:?}",
            sim.name_of(&log),
            row.seq,
            &row.head.to_string()[50..],
            row.frozen
        )
    });
    shown.collect::<Vec<_>>().join("; ")
}

/// Whether two disks have the same rows in a table; else the first that differs.
pub(super) fn same_rows(sim: &Sim, which: Table, a: &Disk, b: &Disk) -> Finding {
    let (a, b) = (table(which, a), table(which, b));
    let only = a.iter().find(|(key, row)| b.get(*key) != Some(*row));
    let other = b.keys().find(|key| !a.contains_key(*key));
    let Some(key) = only.map(|(key, _)| *key).or(other.copied()) else {
        return Ok(());
    };
    let log = key.get(1..33).map(|log| LogId(log.try_into().unwrap()));
    let log = log.map_or_else(String::new, |log| sim.name_of(&log));
    let rows = [a, b].map(|rows| {
        rows.get(key).map(|row| {
            row.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        })
    });
    Err(format!(
        "table {} of {log} differs: {} is {rows:?}",
        char::from(which as u8),
        String::from_utf8_lossy(&key[33..])
    ))
}

/// The rows of a table.
pub(super) fn table(which: Table, disk: &Disk) -> BTreeMap<&[u8], &[u8]> {
    let prefix = which as u8;
    disk.rows
        .range(vec![prefix]..vec![prefix + 1])
        .map(|(key, row)| (key.as_slice(), row.as_slice()))
        .collect()
}

/// What an honest home sent to an honest home was answered, by a person or by time, and closed as the answer says:
/// everybody took all there was to take. A transfer has one end: who was credited, nobody refunds.
pub(crate) fn what_was_sent_arrived(sim: &Sim) -> Finding {
    for home in sim.honest() {
        let h = &sim.world.homes[home];
        if !sim.is_clean(&h.log()) {
            continue;
        }
        for (key, row) in table(Table::Transfer, &h.disk) {
            let row: TransferRow = read_row(row);
            let own = key[1..33] == h.log().0;
            if own && sim.is_clean(&row.receiver_home) {
                let transfer = Digest(key[33..].try_into().unwrap());
                let answer = h.disk.read().answer(&row.receiver_home, &transfer);
                let told = match answer {
                    Some(answer) if answer.rejected => row.state == TransferState::Refunded,
                    Some(_) => row.state == TransferState::Settled,
                    // Nobody answered in time.
                    None => row.state == TransferState::Refunded && sim.plan.ages,
                };
                ensure(told, || {
                    let (at, state, to) = (row.at, row.state, sim.name_of(&row.receiver_home));
                    let receiver = h.disk.read().account(&row.receiver_home, &row.receiver);
                    format!(
                        "the transfer at {at:?} of {home} is {state:?}, and answered {answer:?} for {receiver:?} of {to}"
                    )
                })?;
            }
        }
    }
    Ok(())
}

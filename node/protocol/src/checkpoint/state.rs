//! The state of a log as leaves, and leaves as rows again.

use std::collections::BTreeMap;

use super::body::{Checkpoint, StatePosition};
use super::leaf::{
    AccountLeaf, AnswerLeaf, CharterLeaf, ClearingLeaf, EpochLeaf, FaultLeaf, KeyLeaf, Leaf,
    LogLeaf, NoteLeaf, Sums, TransferLeaf,
};
use super::snapshot::{Snapshot, SnapshotWriter};
use super::tree::{Tree, vertex_leaf};
use crate::ids::{AccountId, Digest, KeyId, LogId, NetworkId};
use crate::ledger::{
    AccountRow, AnswerRow, Changes, CharterRow, ClearingRow, EpochRow, Layers, LogRow, NoteRow,
    NotesRow, Rows as _, Table, Totals, TransferRow, TransferState, key, note_name, read_row,
};
use crate::refusal::Refusal;

/// What makes a leaf of a row: of its name behind the log, and its value.
type RowLeaf<'a> = dyn FnMut(&[u8], &[u8]) -> Option<Leaf> + 'a;

/// The leaves of a log's state as the rows have it, in order. `charter` is the log's first. Rows are read once, nothing is held but what is given to
/// `leaf`.
///
/// # Errors
/// What `leaf` says, or [`Refusal::BadCheckpoint`] for a log that has no state yet.
pub fn leaves_of(
    rows: &Layers<'_>,
    network: NetworkId,
    charter: Digest,
    log: LogId,
    mut leaf: impl FnMut(Leaf) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let row = rows
        .log(&log)
        .filter(|row| row.seq > 0)
        .ok_or(Refusal::BadCheckpoint)?;
    let in_force = row.charter.unwrap_or(charter);
    leaf(Leaf::Log(log_leaf(network, in_force, log, &row)))?;
    for epoch in 2..=row.epoch {
        if let Some(EpochRow { seq, id: first }) = rows.epoch(&log, epoch) {
            leaf(Leaf::Epoch(EpochLeaf { epoch, seq, first }))?;
        }
    }
    let mut each = |table: Table, make: &mut RowLeaf<'_>| {
        let prefix = key(table, &[&log.0]);
        rows.try_each_row(&prefix, |name, value| {
            match make(&name[prefix.len()..], value) {
                Some(made) => leaf(made),
                None => Ok(()),
            }
        })
    };
    each(Table::Account, &mut |name, value| {
        Some(Leaf::Account(account_leaf(name, value)))
    })?;
    each(Table::Key, &mut |name, value| {
        Some(Leaf::Key(KeyLeaf {
            key: KeyId(id(name)),
            account: read_row(value),
        }))
    })?;
    each(Table::Open, &mut |name, _| {
        let transfer = Digest(id(name));
        let row = rows.transfer(&log, &transfer)?;
        Some(Leaf::Transfer(transfer_leaf(transfer, row)))
    })?;
    each(Table::Answer, &mut |name, value| {
        let answer: AnswerRow = read_row(value);
        (answer.deadline >= row.time).then(|| {
            Leaf::Answer(AnswerLeaf {
                transfer: Digest(id(name)),
                at: answer.at,
                rejected: answer.rejected,
                deadline: answer.deadline,
            })
        })
    })?;
    each(Table::FaultEntry, &mut |name, value| {
        let (accused, epoch) = name.split_at(32);
        Some(Leaf::Fault(FaultLeaf {
            log: LogId(id(accused)),
            epoch: u64::from_be_bytes(epoch.try_into().expect("a key of the index is whole")),
            cut: read_row(value),
        }))
    })?;
    each(Table::Clearing, &mut |name, value| {
        let row: ClearingRow = read_row(value);
        Some(Leaf::Clearing(ClearingLeaf {
            log: LogId(id(name)),
            accepted: row.accepted,
            settled: row.settled,
        }))
    })?;
    charters_of(rows, &log, row.charter)
        .into_iter()
        .try_for_each(|made| leaf(Leaf::Charter(made)))?;
    rows.try_each_row(&key(Table::Note, &[&log.0]), |_, value| {
        let NoteRow {
            key,
            at,
            bytes,
            gone,
        } = read_row(value);
        leaf(Leaf::Note(NoteLeaf {
            key,
            at,
            bytes,
            gone,
        }))
    })
}

/// The charters after the first that this one rests on, with it, in order of their ids.
fn charters_of(rows: &Layers<'_>, log: &LogId, in_force: Option<Digest>) -> Vec<CharterLeaf> {
    let mut leaves = Vec::new();
    let mut next = in_force;
    while let Some((charter, row)) = next.and_then(|id| Some((id, rows.charter(log, &id)?))) {
        let CharterRow {
            before,
            epoch,
            vertex,
        } = row;
        leaves.push(CharterLeaf {
            charter,
            before,
            epoch,
            vertex,
        });
        next = Some(before);
    }
    leaves.sort_by_key(|leaf| leaf.charter);
    leaves
}

fn id(name: &[u8]) -> [u8; 32] {
    name.try_into().expect("a key of the index is whole")
}

fn log_leaf(network: NetworkId, charter: Digest, log: LogId, row: &LogRow) -> LogLeaf {
    let totals = row.totals;
    LogLeaf {
        network,
        log,
        epoch: row.epoch,
        seq: row.seq,
        head: row.head,
        time: row.time,
        first: row.first,
        charter,
        officers_sequence: row.officers_sequence,
        entries: row.entries,
        sums: Sums {
            granted: totals.granted,
            ungranted: totals.ungranted,
            shortfall: totals.shortfall,
            available: totals.available,
            open_out: totals.open_out,
            settled_out: totals.settled_out,
            accepted_in: totals.accepted_in,
        },
    }
}

fn account_leaf(name: &[u8], value: &[u8]) -> AccountLeaf {
    let account = std::str::from_utf8(name)
        .ok()
        .and_then(|id| id.parse().ok());
    let row: AccountRow = read_row(value);
    AccountLeaf {
        account: account.expect("a key of the index is whole"),
        key: row.key,
        key_at: row.key_at,
        revoked: row.revoked,
        next_sequence: row.next_sequence,
        available: row.available,
        open_out: row.open_out,
        order: row.order,
    }
}

fn transfer_leaf(transfer: Digest, row: TransferRow) -> TransferLeaf {
    TransferLeaf {
        transfer,
        at: row.at,
        received_at: row.received_at,
        amount: row.amount,
        sender: row.sender,
        receiver: row.receiver,
        receiver_home: row.receiver_home,
        transfer_id: row.transfer_id,
    }
}

/// The checkpoint of a log at its head, its snapshot, and the tree over its vertices, which grew from `tree`. `charter` is
/// the log's first.
///
/// It costs the log's accounts, open transfers and answers, and the vertices that came since `tree`.
///
/// # Errors
/// [`Refusal::BadCheckpoint`] for a log that has no state; [`Refusal::TooLarge`] for one that has too much.
pub fn take(
    rows: &Layers<'_>,
    network: NetworkId,
    charter: Digest,
    log: LogId,
    mut tree: Tree,
) -> Result<(Checkpoint, Snapshot, Tree), Refusal> {
    let mut writer = SnapshotWriter::default();
    leaves_of(rows, network, charter, log, |leaf| writer.push(&leaf))?;
    let snapshot = writer.finish()?;
    let row = rows.log(&log).ok_or(Refusal::BadCheckpoint)?;
    for seq in tree.count() + 1..=row.seq {
        let id = rows
            .vertex_on_chain(&log, row.epoch, seq)
            .ok_or(Refusal::BadCheckpoint)?;
        tree.push(vertex_leaf(&id));
    }
    let checkpoint = Checkpoint {
        v: 1,
        position: StatePosition {
            epoch: row.epoch,
            seq: row.seq,
        },
        vertices_root: Digest(tree.root()),
        state_root: Digest(snapshot.root),
        leaves: snapshot.leaves,
        snapshot: snapshot.id,
    };
    Ok((checkpoint, snapshot, tree))
}

/// What a snapshot's leaves say of single transfers, beside the rows that they are.
#[derive(Default)]
pub(crate) struct Restored {
    /// The log's row.
    pub(crate) row: Option<LogRow>,
    /// The charter in force, as the log's leaf names it.
    charter: Option<Digest>,
    /// How much the log has on the board.
    notes: NotesRow,
    /// Open transfers.
    pub(crate) open: BTreeMap<Digest, TransferRow>,
}

/// Puts a leaf of this log back as the rows that it was.
pub(crate) fn restore(log: LogId, leaf: Leaf, changes: &mut Changes, restored: &mut Restored) {
    let name = |table, id: &[u8]| key(table, &[&log.0, id]);
    match leaf {
        Leaf::Log(leaf) => {
            restored.charter = Some(leaf.charter);
            restored.row = Some(log_row(&leaf));
        }
        // Kept for ever, whatever counts.
        Leaf::Epoch(_) => {}
        Leaf::Account(leaf) => {
            let row = AccountRow::from(&leaf);
            changes.put(name(Table::Account, account_name(&leaf.account)), &row);
        }
        Leaf::Key(leaf) => changes.put(name(Table::Key, &leaf.key.0), &leaf.account),
        Leaf::Transfer(leaf) => {
            let row = TransferRow {
                state: TransferState::Open,
                at: leaf.at,
                received_at: leaf.received_at,
                amount: leaf.amount,
                sender: leaf.sender,
                receiver: leaf.receiver,
                receiver_home: leaf.receiver_home,
                transfer_id: leaf.transfer_id,
            };
            changes.put(name(Table::Transfer, &leaf.transfer.0), &row);
            changes.put(name(Table::Open, &leaf.transfer.0), &row.receiver_home);
            let by_id = [account_name(&row.sender), &row.transfer_id.0].concat();
            changes.put(name(Table::TransferId, &by_id), &leaf.transfer);
            restored.open.insert(leaf.transfer, row);
        }
        Leaf::Answer(leaf) => changes.put(
            name(Table::Answer, &leaf.transfer.0),
            &AnswerRow {
                at: leaf.at,
                rejected: leaf.rejected,
                deadline: leaf.deadline,
            },
        ),
        Leaf::Fault(leaf) => {
            let accused = [&leaf.log.0[..], &leaf.epoch.to_be_bytes()].concat();
            changes.put(name(Table::FaultEntry, &accused), &leaf.cut);
        }
        Leaf::Clearing(leaf) => changes.put(
            name(Table::Clearing, &leaf.log.0),
            &ClearingRow {
                accepted: leaf.accepted,
                settled: leaf.settled,
            },
        ),
        Leaf::Charter(leaf) => {
            // The log's leaf comes first. The first charter has no leaf, and the row does not name it.
            if let Some(row) = &mut restored.row
                && restored.charter == Some(leaf.charter)
            {
                row.charter = restored.charter;
            }
            let row = CharterRow {
                before: leaf.before,
                epoch: leaf.epoch,
                vertex: leaf.vertex,
            };
            changes.put(name(Table::Charter, &leaf.charter.0), &row);
        }
        Leaf::Note(leaf) => {
            restored.notes.count += 1;
            restored.notes.bytes += leaf.bytes;
            changes.put(name(Table::Notes, &[]), &restored.notes);
            let id = note_name(leaf.key.as_str());
            let row = NoteRow {
                key: leaf.key,
                at: leaf.at,
                bytes: leaf.bytes,
                gone: leaf.gone,
            };
            changes.put(name(Table::Note, &id.0), &row);
        }
    }
}

fn account_name(account: &AccountId) -> &[u8] {
    account.as_str().as_bytes()
}

fn log_row(leaf: &LogLeaf) -> LogRow {
    let sums = leaf.sums;
    LogRow {
        epoch: leaf.epoch,
        seq: leaf.seq,
        head: leaf.head,
        time: leaf.time,
        first: leaf.first,
        charter: None,
        officers_sequence: leaf.officers_sequence,
        entries: leaf.entries,
        totals: Totals {
            granted: sums.granted,
            ungranted: sums.ungranted,
            shortfall: sums.shortfall,
            available: sums.available,
            open_out: sums.open_out,
            settled_out: sums.settled_out,
            accepted_in: sums.accepted_in,
        },
        frozen: None,
    }
}

impl From<&AccountLeaf> for AccountRow {
    fn from(leaf: &AccountLeaf) -> Self {
        Self {
            key: leaf.key,
            key_at: leaf.key_at,
            revoked: leaf.revoked,
            next_sequence: leaf.next_sequence,
            available: leaf.available,
            open_out: leaf.open_out,
            order: leaf.order,
        }
    }
}

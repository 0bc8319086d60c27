//! Checkpoints of the own log, made daily or when somebody asks; and the state of any log put back from one that this
//! node found to be right, so that folding again does not begin at the charter.

use super::{Action, Now, Outcome, Replica, Ticket, stored_receipt};
use crate::body::{Kind, OwnEntry};
use crate::checkpoint::{Restored, read_block, read_list, restore, take};
use crate::codec;
use crate::ids::{Digest, LogId};
use crate::ledger::{
    AnswerRow, CheckpointRow, History, IncomingRow, LogRow, MIN_CHECKPOINT_GAP_MS, Rows, Table,
    TransferRow, TreeRow, key, read_row, tree_of,
};
use crate::refusal::Refusal;
use crate::vertex::{Entry, Known};

impl Replica {
    /// Has the own log get a checkpoint each so many milliseconds, if anything was booked; `None`, as it is at first,
    /// only when somebody asks.
    pub fn checkpoint_every(&mut self, ms: Option<u64>) {
        self.checkpoint_every_ms = ms.map(|ms| ms.max(MIN_CHECKPOINT_GAP_MS));
    }

    /// Enters a checkpoint if one is due.
    pub(super) fn enter_due_checkpoint(&mut self, now: Now, history: &dyn History) {
        let Some(every) = self.checkpoint_every_ms else {
            return;
        };
        let (rows, log) = (self.layers(history), self.home.log());
        // Who writes nothing, a terminal or a home that is held, does not walk over its state each second either.
        if !self.home.sequences(&rows) {
            return;
        }
        let Some(row) = rows.log(&log).filter(|row| row.seq > 0) else {
            return;
        };
        let (since, behind) = match self.last_checkpoint(history) {
            Some(last) => (last.time, last.at.seq),
            // Charter and start are no state that anybody waits for.
            None => (
                rows.vertex(&row.first).map_or(row.time, |first| first.time),
                1,
            ),
        };
        // A vertex of its own after the last one, and not the checkpoint's.
        if row.seq > behind && now.time >= since.plus_ms(every) {
            // Too soon behind the last state, or no clock: it will be due again.
            let _later = self.enter_checkpoint(now, history);
        }
    }

    /// Enters a checkpoint because somebody asks; the same again where nothing was booked since the last.
    pub(super) fn make_checkpoint(&mut self, ticket: Ticket, now: Now, history: &dyn History) {
        self.seal(now, history);
        let rows = self.layers(history);
        let head = rows.log(&self.home.log()).map(|row| row.seq);
        let last = self.last_checkpoint(history).map(|last| last.at);
        if let Some(at) = last.filter(|at| Some(at.seq) == head) {
            let body = rows.entry(&self.home.log(), &at).map(|entry| entry.body);
            let identity = Digest::of(&[&body.unwrap_or_default()]);
            let booked = stored_receipt(&rows, &self.home.authority, identity, at);
            let answer = booked.ok_or(Refusal::NotSequencing);
            let answer = answer.map(|booked| Outcome::Booked(Box::new(booked)));
            self.after.push(Action::Reply(ticket, answer));
            return;
        }
        match self.enter_checkpoint(now, history) {
            Ok((identity, at)) => {
                let open = self.open.as_mut().expect("push leaves the vertex open");
                open.wait_for_first(ticket, identity, at.index);
            }
            Err(refusal) => self.after.push(Action::Reply(ticket, Err(refusal))),
        }
    }

    fn enter_checkpoint(
        &mut self,
        now: Now,
        history: &dyn History,
    ) -> Result<(Digest, OwnEntry), Refusal> {
        // What waits is part of the state, and the entry stands alone: it can be large work.
        self.seal(now, history);
        let (rows, log) = (self.layers(history), self.home.log());
        let row = rows.log(&log).ok_or(Refusal::NotSequencing)?;
        let last = self.last_checkpoint(history);
        if last.is_some_and(|last| row.time < last.time.plus_ms(MIN_CHECKPOINT_GAP_MS)) {
            return Err(Refusal::Busy);
        }
        let charter = self.home.authority.charter_hash;
        let (body, ..) = take(&rows, self.network, charter, log, tree_of(&rows, &log))?;
        let body = codec::encode(&body);
        let identity = Digest::of(&[&body]);
        let entry = Entry::home_authored(Kind::Checkpoint, body);
        self.push(vec![(entry, Known::default())], now, history)?;
        let open = self.open.as_ref().expect("push leaves the vertex open");
        Ok((identity, open.last_position()))
    }

    fn last_checkpoint(&self, history: &dyn History) -> Option<TreeRow> {
        let rows = self.layers(history);
        rows.typed(&key(Table::Tree, &[&self.home.log().0]))
    }

    /// The newest checkpoint of a log from which its state up to `cut` can be folded.
    pub(super) fn checkpoint_for(
        &self,
        log: LogId,
        epoch: u64,
        cut: u64,
        history: &dyn History,
    ) -> Option<CheckpointRow> {
        let rows = self.layers(history);
        let mut found = Vec::new();
        let prefix = key(Table::Checkpoint, &[&log.0]);
        let all = rows.try_each_row(&prefix, |_, value| {
            let row: CheckpointRow = read_row(value);
            if row.at.seq <= cut {
                found.push(row);
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(()) = all;
        let whole = |row: &CheckpointRow| {
            let list = rows.get_block(&row.snapshot);
            let blocks = list.and_then(|list| read_list(&list).ok());
            blocks.is_some_and(|ids| ids.iter().all(|id| rows.get_block(id).is_some()))
                && self.has_bodies(log, epoch, row.seq + 1..=cut, history)
        };
        found.into_iter().rev().find(whole)
    }

    /// Whether a row of a log's state was as it is at a checkpoint's position, and need not be put back.
    pub(super) fn stood(
        &self,
        log: LogId,
        table: Table,
        value: &[u8],
        base: &CheckpointRow,
        history: &dyn History,
    ) -> bool {
        let rows = self.layers(history);
        let stood = |at: &OwnEntry| at.seq <= base.seq;
        match table {
            Table::Transfer => stood(&read_row::<TransferRow>(value).at),
            // Those of transfers that are dropped are dropped before.
            Table::TransferId => rows.transfer(&log, &read_row(value)).is_some(),
            Table::Answer => stood(&read_row::<AnswerRow>(value).at),
            Table::Received | Table::Submission | Table::Trust => stood(&read_row(value)),
            Table::Checkpoint => stood(&read_row::<CheckpointRow>(value).at),
            _ => false,
        }
    }

    /// Puts the state of a checkpoint back; gives the log's row there.
    pub(super) fn put_back(
        &mut self,
        log: LogId,
        base: &CheckpointRow,
        history: &dyn History,
    ) -> LogRow {
        let mut restored = Restored::default();
        let list = self.layers(history).get_block(&base.snapshot);
        let list = list.and_then(|list| read_list(&list).ok());
        for id in list.expect("looked at before") {
            let block = self.layers(history).get_block(&id);
            let leaves = block.and_then(|block| read_block(&block).ok());
            for leaf in leaves.expect("looked at before") {
                restore(log, leaf, &mut self.batch, &mut restored);
            }
        }
        for (identity, row) in &restored.open {
            let rows = self.layers(history);
            if rows.answer(&row.receiver_home, identity).is_none() {
                let receiver = row.receiver.as_str().as_bytes();
                let home = &row.receiver_home.0;
                let name = key(Table::Incoming, &[home, receiver, &identity.0]);
                let (at, received_at) = (row.at, row.received_at);
                self.batch.put(
                    name,
                    &IncomingRow {
                        log,
                        at,
                        received_at,
                    },
                );
            }
        }
        let row = restored.row.expect("a state begins with its log");
        self.batch.put(key(Table::Log, &[&log.0]), &row);
        row
    }
}

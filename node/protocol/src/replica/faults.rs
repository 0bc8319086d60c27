//! Faults: a log that puts two vertices at one position convicts itself. Its state is folded again up to
//! the last common vertex, the proof is kept for ever and sent to everybody.

use serde_bytes::ByteBuf;

use super::{Action, Now, Replica};
use crate::body::Fault;
use crate::ids::LogId;
use crate::ledger::{
    FaultRow, Fold, Frozen, History, LogRow, Rows, Table, TransferRow, convicts, key,
};
use crate::sync::{Channel, Message};
use crate::vertex::{Checked, KeySource, SignedHeader, decode_body};

/// Rows read at once while a log's state is dropped.
const PAGE: usize = 1024;
/// Tables whose keys begin with the log whose state they are.
const STATE_TABLES: [Table; 7] = [
    Table::Account,
    Table::Transfer,
    Table::TransferId,
    Table::Open,
    Table::Accepted,
    Table::Submission,
    Table::FaultEntry,
];

impl Replica {
    /// Looks at two header blocks of one position; if both are signed by the log, it is convicted.
    pub(super) fn convict_blocks(&mut self, a: &[u8], b: &[u8], now: Now, history: &dyn History) {
        let (Ok(a), Ok(b)) = (SignedHeader::read(a), SignedHeader::read(b)) else { return };
        let (a, b) = if a.id < b.id { (a, b) } else { (b, a) };
        let h = &a.header;
        let Some(cut) = h.seq.checked_sub(1) else { return };
        let rows = self.layers(history);
        if rows.fault(&h.log, h.epoch).is_some_and(|known| known.cut <= cut) {
            return;
        }
        let Some(accused) = self.authorities.authority(&h.log) else { return };
        let fault = Fault {
            v: 1,
            log: h.log,
            epoch: h.epoch,
            reason: Fault::EQUIVOCATION.into(),
            cut,
            evidence: vec![ByteBuf::from(a.block.clone()), ByteBuf::from(b.block.clone())],
        };
        if convicts(&fault, &accused.node_key, self.network).is_err() {
            return;
        }
        let row = rows.log(&h.log);
        self.batch.put(
            key(Table::Fault, &[&h.log.0, &h.epoch.to_be_bytes()]),
            &FaultRow { cut, vertices: [a.id, b.id] },
        );
        for header in [&a, &b] {
            if self.layers(history).get_block(&header.id).is_none() {
                self.batch.blocks.push((header.id, header.block.clone()));
            }
        }
        match row {
            Some(row) if row.seq > cut => self.fold_again(h.log, cut, history),
            Some(_) => {}
            None => {
                let empty = Fold::begin(h.log, self.network, None);
                self.batch.put(key(Table::Log, &[&h.log.0]), empty.row());
            }
        }
        self.freeze(h.log, Frozen::Equivocation(cut), None, history);
        let proof = Message::Proof(ByteBuf::from(a.block), ByteBuf::from(b.block));
        for (peer, session) in &self.sessions {
            if session.established() {
                self.after.push(Action::Send(*peer, Channel::Live, proof.clone()));
            }
        }
        if h.log == self.home.log() {
            self.open = None;
        } else {
            self.enter_fault(&fault, now, history);
        }
    }

    /// Drops a log's state and folds its vertices up to `cut` again.
    fn fold_again(&mut self, log: LogId, cut: u64, history: &dyn History) {
        let Some(old) = self.layers(history).log(&log) else { return };
        self.drop_state(log, history);
        for seq in cut + 1..=old.seq {
            let position = [&log.0[..], &old.epoch.to_be_bytes(), &seq.to_be_bytes()];
            self.batch.delete(key(Table::Position, &position));
        }
        let Some(authority) = self.authorities.authority(&log) else { return };
        let mut row: Option<LogRow> = None;
        for seq in 1..=cut {
            let rows = self.layers(history);
            let stored = rows.vertex_at(&log, old.epoch, seq).and_then(|id| {
                let vertex = rows.vertex(&id)?;
                let header = SignedHeader::read(&rows.get_block(&id)?).ok()?;
                Some((header, rows.get_block(&vertex.body)?, vertex.order))
            });
            let (header, body, order) = stored.expect("a log's vertices up to its head are stored");
            let entries = decode_body(&body).expect("a stored body was decoded before");
            let mut fold = Fold::begin(log, self.network, row);
            let ctx = self.context(&authority, history);
            for entry in entries {
                let good = vec![Checked::Good; entry.sig.len()];
                fold.push(&ctx, entry, &good).expect("what was valid stays valid");
            }
            let (mut changes, next) =
                fold.finish(&header, body, order).expect("what was valid stays valid");
            changes.blocks.clear();
            self.batch.absorb(changes);
            row = Some(next);
        }
        let row = row.unwrap_or_else(|| Fold::begin(log, self.network, None).row().clone());
        self.batch.put(key(Table::Log, &[&log.0]), &row);
    }

    /// Deletes every row of a log's state, and what waits for receivers because of it.
    fn drop_state(&mut self, log: LogId, history: &dyn History) {
        for table in STATE_TABLES {
            let prefix = key(table, &[&log.0]);
            for (name, value) in self.all_rows(&prefix, history) {
                if table == Table::Transfer
                    && let Ok(row) = serde_ipld_dagcbor::from_slice::<TransferRow>(&value)
                {
                    let identity = &name[prefix.len()..];
                    let receiver = row.receiver.as_str().as_bytes();
                    let waiting =
                        key(Table::Incoming, &[&row.receiver_home.0, receiver, identity]);
                    self.batch.delete(waiting);
                }
                self.batch.delete(name);
            }
        }
    }

    /// All rows under a prefix, durable or in the batch.
    fn all_rows(&self, prefix: &[u8], history: &dyn History) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = std::collections::BTreeMap::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = history.rows(prefix, after.as_deref(), PAGE);
            after = page.last().map(|(name, _)| name.clone());
            let done = page.len() < PAGE;
            all.extend(page);
            if done {
                break;
            }
        }
        let pending = self.batch.rows.range(prefix.to_vec()..);
        for (name, value) in pending.take_while(|(name, _)| name.starts_with(prefix)) {
            match value {
                Some(value) => drop(all.insert(name.clone(), value.clone())),
                None => drop(all.remove(name)),
            }
        }
        all.into_iter().collect()
    }
}

//! Faults: a log that puts two vertices at one position convicts itself. Its state is folded again up to
//! the last common vertex, the proof is kept for ever and sent to everybody.

use std::ops::RangeInclusive;

use super::serve::proof_of;
use super::{Action, Now, Replica};
use crate::body::{Answer, Fault, Kind};
use crate::ids::LogId;
use crate::ledger::{
    AnswerRow, CheckpointRow, FaultRow, Fold, Frozen, History, IncomingRow, LogRow, Rows, Table,
    TransferRow, TransferState, beginnings, convicts, key, try_read_row,
};
use crate::refusal::Refusal;
use crate::sync::{Channel, Message};
use crate::vertex::{EntryStub, KeySource, SignedHeader, VerifiedVertex};

/// Rows read at once while a log's state is dropped.
const PAGE: usize = 1024;
/// Tables whose keys begin with the log whose state they are.
pub(super) const STATE_TABLES: [Table; 15] = [
    Table::Account,
    Table::Key,
    Table::Transfer,
    Table::TransferId,
    Table::Open,
    Table::Answer,
    Table::Received,
    Table::Clearing,
    Table::Submission,
    Table::FaultEntry,
    Table::Checkpoint,
    Table::Tree,
    Table::Trust,
    Table::Note,
    Table::Notes,
];

/// Most headers without a body that wait for their rival while the store is replayed: the node writes them in
/// pairs, one of each conviction and one of each step that a fork is walked back.
const MAX_HALVES: usize = 4096;

impl Replica {
    /// Looks at two header blocks of one position; if both are signed by the log, it is convicted.
    /// `live` is false while the own store is replayed: then nothing is entered into the own log.
    ///
    /// # Errors
    /// The refusal of what is no proof. What is known already, or of a log that is not known, is none.
    pub(super) fn convict_blocks(
        &mut self,
        a: &[u8],
        b: &[u8],
        live: bool,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let (a, b) = (SignedHeader::read(a)?, SignedHeader::read(b)?);
        let (a, b) = if a.id < b.id { (a, b) } else { (b, a) };
        let h = &a.header;
        let cut = h.seq.checked_sub(1).ok_or(Refusal::BadEntry)?;
        let rows = self.layers(history);
        // Also where only headers say so, a closed epoch forks no more.
        let closed = rows.head(&h.log).is_some_and(|head| head.epoch > h.epoch);
        if closed
            || rows
                .fault(&h.log, h.epoch)
                .is_some_and(|known| known.cut <= cut)
        {
            return Ok(());
        }
        let Some(accused) = self.authorities.authority(&h.log) else {
            return Ok(());
        };
        let (log, epoch) = (h.log, h.epoch);
        let fault = Fault::equivocation(log, epoch, cut, a.block.clone(), b.block.clone());
        let Some(signer) = accused.key_of(epoch) else {
            return Ok(());
        };
        let own = [&a, &b]
            .iter()
            .all(|header| header.header.key == signer.id());
        if epoch > 1 && !own {
            // Signed under another beginning of the epoch than the one that counts here: no proof, and no lie of who
            // sends it.
            return Ok(());
        }
        convicts(&fault, &accused, Some(signer), &[], self.network)?;
        let Some(row) = rows.log(&log).filter(|row| row.epoch == epoch) else {
            if self.by_headers(&log) {
                // What is folded ends in an epoch before it.
                self.follow_whole(log, history);
            }
            return Ok(());
        };
        if row.seq > cut && !self.can_fold(log, epoch, cut, history) {
            // The own store is damaged: the log counts as it is until its blocks are here again.
            return Ok(());
        }
        for header in [&a, &b] {
            if self.layers(history).get_block(&header.id).is_none() {
                self.batch.blocks.push((header.id, header.block.clone()));
            }
        }
        let known = FaultRow {
            cut,
            vertices: [a.id, b.id],
            beginnings: false,
        };
        self.convicted(&fault, &known, live, now, history);
        Ok(())
    }

    /// A vertex that begins an epoch in another way than the one that is followed here, as officers decided it twice:
    /// the log goes back to the lower of their cuts, and stands there.
    pub(super) fn convict_beginning(
        &mut self,
        vertex: &VerifiedVertex,
        live: bool,
        now: Now,
        history: &dyn History,
    ) {
        let h = &vertex.header.header;
        let (log, epoch) = (h.log, h.epoch);
        let first = vertex.entries.iter().flatten().next();
        let Some(other) = first.filter(|entry| entry.kind == Kind::EpochStart) else {
            return;
        };
        self.fold_up_to(&log, epoch, Some(vertex.id()), history);
        let rows = self.layers(history);
        let Some(row) = rows.log(&log).filter(|row| row.epoch == epoch) else {
            return;
        };
        let accused = self.authorities.authority(&log);
        let Some((accused, followed)) = accused.zip(rows.epoch(&log, epoch)) else {
            return;
        };
        let Some(start) = accused.start_of(epoch) else {
            return;
        };
        let Ok((cut, a, b)) = beginnings(start, other) else {
            return;
        };
        let fault = Fault::epoch_starts(log, epoch, cut, a, b);
        let known = rows.fault(&log, epoch);
        let boards: Vec<_> = accused.boards().map(|(_, board)| board).collect();
        let news = known.is_none_or(|known| known.cut > cut)
            && convicts(&fault, &accused, None, &boards, self.network).is_ok()
            && (row.seq <= cut || self.can_fold(log, epoch, cut, history));
        if !news {
            return;
        }
        if self.layers(history).vertex(&vertex.id()).is_none() {
            self.store_aside(vertex, history);
        }
        let known = FaultRow {
            cut,
            vertices: [followed.id, vertex.id()],
            beginnings: true,
        };
        self.convicted(&fault, &known, live, now, history);
    }

    /// Somebody's `fault` entry proves two beginnings of an epoch of which at most one is here as a vertex.
    pub(super) fn convict_beginnings(
        &mut self,
        fault: &Fault,
        live: bool,
        now: Now,
        history: &dyn History,
    ) {
        self.fold_up_to(&fault.log, fault.epoch, None, history);
        let rows = self.layers(history);
        let row = rows.log(&fault.log).filter(|row| row.epoch == fault.epoch);
        let followed = rows.epoch(&fault.log, fault.epoch);
        let (Some(row), Some(followed)) = (row, followed) else {
            return;
        };
        let known = rows.fault(&fault.log, fault.epoch);
        let news = known.is_none_or(|known| known.cut > fault.cut)
            && (row.seq <= fault.cut || self.can_fold(fault.log, fault.epoch, fault.cut, history));
        if news {
            let known = FaultRow {
                cut: fault.cut,
                vertices: [followed.id; 2],
                beginnings: true,
            };
            self.convicted(fault, &known, live, now, history);
        }
    }

    /// Goes back to the cut, keeps the proof, tells everybody, and enters it into the own log.
    fn convicted(
        &mut self,
        fault: &Fault,
        known: &FaultRow,
        live: bool,
        now: Now,
        history: &dyn History,
    ) {
        let (log, epoch, cut) = (fault.log, fault.epoch, fault.cut);
        if known.beginnings {
            // What was refused as lower than this epoch's beginning is judged again.
            self.refused.clear();
        }
        self.batch
            .put(key(Table::Fault, &[&log.0, &epoch.to_be_bytes()]), known);
        if log == self.home.log() {
            self.abandon_open(Refusal::NotSequencing);
        }
        let row = self.layers(history).log(&log);
        if row.is_some_and(|row| row.seq > cut) {
            self.fold_again(log, cut, history);
        }
        self.freeze(log, Frozen::Equivocation(cut), None, history);
        let proof = proof_of(known, &self.layers(history));
        for (peer, session) in &self.sessions {
            if session.established() {
                let send = |message: &Message| Action::Send(*peer, Channel::Live, message.clone());
                self.after.extend(proof.iter().map(send));
            }
        }
        if live && log != self.home.log() {
            let rows = self.rows_now(history);
            if rows.fault_cut(&self.home.log(), &log, epoch).is_none() {
                self.enter_fault(fault, now, history);
            } else {
                // A fork is walked back step by step: where it ends is entered with the next tick.
                self.owes_faults = true;
            }
        }
    }

    /// A stored header without its body: with another of the same position it convicts its log again, so that a
    /// conviction survives the index, also one of the own log.
    pub(super) fn evidence(&mut self, header: SignedHeader, now: Now, history: &dyn History) {
        let h = &header.header;
        if !self.pair(&header, now, history) && self.halves.len() < MAX_HALVES {
            self.halves.insert((h.log, h.epoch, h.seq), header);
        }
    }

    /// Whether a replayed header convicts its log together with another of its position that is stored.
    pub(super) fn pair(&mut self, header: &SignedHeader, now: Now, history: &dyn History) -> bool {
        let h = &header.header;
        let position = (h.log, h.epoch, h.seq);
        let rows = self.layers(history);
        let stored = |id| rows.get_block(&id).filter(|_| id != header.id);
        let folded = rows.vertex_at(&h.log, h.epoch, h.seq).and_then(stored);
        let refused = || rows.invalid(&h.log, h.epoch).and_then(stored);
        let waits = || {
            self.pen
                .rival(header)
                .map(|rival| rival.header.block.clone())
        };
        let half = || {
            let half = self.halves.get(&position)?;
            (half.id != header.id).then(|| half.block.clone())
        };
        // A refusal means that the two prove nothing, as when they were stored.
        let convicted = folded
            .or_else(half)
            .or_else(refused)
            .or_else(waits)
            .is_some_and(|rival| {
                self.convict_blocks(&rival, &header.block, false, now, history)
                    .is_ok()
            });
        if convicted {
            self.drop_halves(position);
        }
        convicted
    }

    /// Halves at a position of a convicted log, and behind it, have nothing more to say.
    fn drop_halves(&mut self, (log, epoch, seq): (LogId, u64, u64)) {
        self.halves
            .retain(|(l, e, s), _| (*l, *e) != (log, epoch) || *s < seq);
    }

    /// Whether a log's state up to `cut` can be folded: every block can be read, from the beginning or from a checkpoint.
    pub(super) fn can_fold(&self, log: LogId, epoch: u64, cut: u64, history: &dyn History) -> bool {
        self.checkpoint_for(log, epoch, cut, history).is_some()
            || self.has_bodies(log, epoch, 1..=cut, history)
    }

    /// Whether every block of a log in these positions can be read, or what is left of it.
    pub(super) fn has_bodies(
        &self,
        log: LogId,
        epoch: u64,
        mut positions: RangeInclusive<u64>,
        history: &dyn History,
    ) -> bool {
        let rows = self.layers(history);
        positions.all(|seq| {
            rows.vertex_on_chain(&log, epoch, seq)
                .and_then(|id| rows.get_block(&id).and(rows.vertex(&id)))
                .is_some_and(|vertex| {
                    rows.get_block(&vertex.body).is_some() || rows.get_stub(&vertex.body).is_some()
                })
        })
    }

    /// Drops a log's state and folds its vertices up to `cut` again, from the newest checkpoint before it.
    pub(super) fn fold_again(&mut self, log: LogId, cut: u64, history: &dyn History) {
        let Some(old) = self.layers(history).log(&log) else {
            return;
        };
        let base = self.checkpoint_for(log, old.epoch, cut, history);
        self.drop_state(log, base.as_ref(), history);
        // Of the newest epoch, but where its officers began it twice: their cuts lie in the one before.
        let stood = old.frozen.map_or(0, |frozen| frozen.cut());
        self.drop_positions(log, old.epoch, cut + 1..=old.seq.max(stood), history);
        let Some(authority) = self.authorities.authority(&log) else {
            return;
        };
        let mut row: Option<LogRow> = base.map(|base| self.put_back(log, &base, history));
        for seq in base.map_or(1, |base| base.seq + 1)..=cut {
            let rows = self.layers(history);
            let stored = rows.vertex_on_chain(&log, old.epoch, seq).and_then(|id| {
                let vertex = rows.vertex(&id)?;
                let header = SignedHeader::read(&rows.get_block(&id)?).ok()?;
                Some((header, rows.stored_entries(&vertex.body)?, vertex.order))
            });
            let stored = stored.expect("a log's vertices up to its head are stored");
            let (header, entries, order) = stored;
            // An epoch of which nothing is left was begun all the same.
            let row_before = row.map(|row: LogRow| LogRow {
                epoch: row.epoch.max(header.header.epoch.saturating_sub(1)),
                ..row
            });
            let epoch = header.header.epoch;
            let mut fold = Fold::begin(log, self.network, row_before, epoch).again(true);
            let ctx = self.context(&authority, history);
            for (entry, known) in entries {
                fold.push(&ctx, entry, &known)
                    .expect("what was valid stays valid");
            }
            let mut finished = fold
                .finish(&ctx, &header, Vec::new(), order)
                .expect("what was valid stays valid");
            finished.changes.blocks.clear();
            self.batch.absorb(finished.changes);
            row = Some(finished.row);
        }
        // A log that stands at nothing keeps its charter: its authority is read there after a restart.
        let row = row.unwrap_or_else(|| LogRow {
            first: old.first,
            ..Fold::begin(log, self.network, None, 1).row().clone()
        });
        // Also where nothing of the newest epoch is left: it was begun, and a position of it was signed.
        let row = LogRow {
            epoch: old.epoch,
            ..row
        };
        self.batch.put(key(Table::Log, &[&log.0]), &row);
        self.put_in_force(log, row.charter);
    }

    /// Deletes every row of a log's state, and what waits for receivers because of it; with a checkpoint only what it
    /// puts back and what came after it.
    fn drop_state(&mut self, log: LogId, base: Option<&CheckpointRow>, history: &dyn History) {
        for table in STATE_TABLES {
            let prefix = key(table, &[&log.0]);
            for (name, value) in self.all_rows(&prefix, history) {
                if base.is_some_and(|base| self.stood(log, table, &value, base, history)) {
                    continue;
                }
                if table == Table::Transfer
                    && let Ok(row) = serde_ipld_dagcbor::from_slice::<TransferRow>(&value)
                {
                    let identity = &name[prefix.len()..];
                    let receiver = row.receiver.as_str().as_bytes();
                    let waiting = key(Table::Incoming, &[&row.receiver_home.0, receiver, identity]);
                    self.batch.delete(waiting);
                }
                if table == Table::Answer {
                    self.wait_again(log, &name[prefix.len()..], &value, history);
                }
                self.batch.delete(name);
            }
        }
    }

    /// A transfer whose answer does not count any more waits for its receiver again, unless the sender has it back.
    fn wait_again(&mut self, home: LogId, transfer: &[u8], at: &[u8], history: &dyn History) {
        let rows = self.layers(history);
        let answered = try_read_row::<AnswerRow>(at).and_then(|answer| {
            if let Some(entry) = rows.entry(&home, &answer.at) {
                let answer = Answer::read(entry.kind, &entry.body).ok()?;
                return Some((answer.sender_home, answer.transfer));
            }
            match rows.entry_stub(&home, &answer.at)? {
                EntryStub::Accept(stub) | EntryStub::Reject(stub) => {
                    Some((stub.sender_home, stub.transfer))
                }
                _ => None,
            }
        });
        let Some((sender_home, identity)) = answered else {
            return;
        };
        let sent = rows.transfer(&sender_home, &identity);
        let Some(sent) = sent.filter(|sent| sent.state != TransferState::Refunded) else {
            return;
        };
        let receiver = sent.receiver.as_str().as_bytes();
        let waiting = IncomingRow {
            log: sender_home,
            at: sent.at,
            received_at: sent.received_at,
        };
        let name = key(Table::Incoming, &[&home.0, receiver, transfer]);
        self.batch.put(name, &waiting);
    }

    /// All rows under a prefix, durable or in the batch.
    pub(super) fn all_rows(&self, prefix: &[u8], history: &dyn History) -> Vec<(Vec<u8>, Vec<u8>)> {
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

//! What the home enters by itself: settlements of own transfers that were accepted, and faults.

use super::receipts::VertexBody;
use super::{Now, Replica, log_rows};
use crate::body::{Accept, Fault, Kind, Settle, read_person_body};
use crate::codec;
use crate::ids::{BlockId, Digest, LogId};
use crate::ledger::{Frozen, History, Rows, Table, TransferState, beginnings, key};
use crate::refusal::Refusal;
use crate::vertex::{Cite, Entry, Known, decode_body};

/// Own transfers looked at in one step of the sweep, and for `status`.
const SWEEP: usize = 1024;

impl Replica {
    /// Enters the settlement of an own transfer that its receiver accepted.
    pub(super) fn settle(
        &mut self,
        transfer: &Digest,
        cite: Cite,
        cited: Option<BlockId>,
        now: Now,
        history: &dyn History,
    ) {
        let Some(row) = self.rows_now(history).transfer(&self.home.log(), transfer) else {
            return;
        };
        if row.state != TransferState::Open {
            return;
        }
        let body = Settle {
            v: 1,
            transfer: *transfer,
            own: row.at,
            amount: row.amount,
            reason: Settle::ACCEPTED.into(),
        };
        let mut entry = Entry::home_authored(Kind::Settle, codec::encode(&body));
        entry.cites = vec![cite];
        match self.push(vec![(entry, Known::default())], now, history) {
            Ok(()) => self
                .open
                .as_mut()
                .expect("push leaves the vertex open")
                .cites(cited),
            // The clock will be better known later; the sweep finds it then.
            Err(Refusal::ClockUnknown) => self.sweep_from_the_beginning(),
            Err(_) => {}
        }
    }

    /// What was accepted elsewhere while nothing could be entered is looked for again: after a start, a
    /// full disk or without a clock.
    pub(super) fn sweep_from_the_beginning(&mut self) {
        self.sweep = Some(Vec::new());
        self.owes_faults = true;
    }

    /// Missed faults, then one step of the sweep: one page of own open transfers.
    pub(super) fn sweep(&mut self, now: Now, history: &dyn History) {
        if std::mem::take(&mut self.owes_faults) {
            self.enter_missed_faults(now, history);
        }
        let Some(after) = self.sweep.take() else {
            return;
        };
        let (page, last) = self.open_transfers(&after, history);
        if page.len() == SWEEP {
            self.sweep = last;
        }
        for (identity, home) in page {
            let rows = self.rows_now(history);
            let Some(at) = rows.accepted(&home, &identity) else {
                continue;
            };
            if home == self.home.log() {
                self.settle(&identity, Cite::Own(at), None, now, history);
            } else if let Some(vertex) = rows.vertex_at(&home, at.epoch, at.seq)
                && let Some(body) = VertexBody::read(&rows, vertex)
                && let Some(cite) = body.cite(at.index)
            {
                self.settle(&identity, cite, Some(vertex), now, history);
            }
        }
    }

    /// How many own transfers were accepted elsewhere but not settled, of the first page.
    pub(super) fn unsettled(&self, history: &dyn History) -> usize {
        let (page, _) = self.open_transfers(&[], history);
        page.iter()
            .filter(|(identity, home)| history.accepted(home, identity).is_some())
            .count()
    }

    /// A page of own open transfers with their receivers' homes, and the key of its last row.
    fn open_transfers(
        &self,
        after: &[u8],
        history: &dyn History,
    ) -> (Vec<(Digest, LogId)>, Option<Vec<u8>>) {
        let prefix = key(Table::Open, &[&self.home.log().0]);
        let after = Some(after).filter(|after| !after.is_empty());
        let page = history.rows(&prefix, after, SWEEP);
        let last = page.last().map(|(key, _)| key.clone());
        let open = |(key, _): (Vec<u8>, Vec<u8>)| {
            let identity = Digest(key.get(prefix.len()..)?.try_into().ok()?);
            Some((identity, history.typed(&key)?))
        };
        (page.into_iter().filter_map(open).collect(), last)
    }

    /// Enters a fault into the own log, once per log and epoch; again where the fault turned out to be earlier.
    pub(super) fn enter_fault(&mut self, fault: &Fault, now: Now, history: &dyn History) {
        let rows = self.rows_now(history);
        if rows
            .fault_cut(&self.home.log(), &fault.log, fault.epoch)
            .is_some_and(|cut| cut <= fault.cut)
        {
            return;
        }
        let mut entry = Entry::home_authored(Kind::Fault, codec::encode(fault));
        let first = rows.epoch(&fault.log, fault.epoch).map(|first| first.id);
        let first = first.filter(|_| fault.needs_first());
        entry.cites.extend(first.map(Cite::Vertex));
        match self.push(vec![(entry, Known::default())], now, history) {
            Ok(()) => self
                .open
                .as_mut()
                .expect("push leaves the vertex open")
                .cites(first),
            Err(Refusal::ClockUnknown) => self.owes_faults = true,
            Err(_) => {}
        }
    }

    /// Enters the faults of which this node holds proof but could not write.
    fn enter_missed_faults(&mut self, now: Now, history: &dyn History) {
        for (log, row) in log_rows(history) {
            if log == self.home.log() {
                continue;
            }
            let fault = match row.frozen {
                Some(Frozen::Equivocation(_)) => proven(log, row.epoch, history),
                Some(Frozen::Invalid(cut)) => history
                    .invalid(&log, row.epoch)
                    .and_then(|id| history.block(&id))
                    .map(|header| Fault::invalid(log, row.epoch, cut, header)),
                Some(Frozen::Unsupported(_)) | None => None,
            };
            if let Some(fault) = fault {
                self.enter_fault(&fault, now, history);
            }
        }
    }
}

/// The fault of which this node holds proof, as an entry says it.
fn proven(log: LogId, epoch: u64, history: &dyn History) -> Option<Fault> {
    let known = history.fault(&log, epoch)?;
    if !known.beginnings {
        let [Some(a), Some(b)] = known.vertices.map(|id| history.block(&id)) else {
            return None;
        };
        return Some(Fault::equivocation(log, epoch, known.cut, a, b));
    }
    let first = |id: BlockId| {
        let body = history.block(&history.vertex(&id)?.body)?;
        decode_body(&body).ok()?.into_iter().next()
    };
    let [Some(one), Some(other)] = known.vertices.map(first) else {
        return None;
    };
    let (cut, a, b) = beginnings(&one, &other).ok()?;
    Some(Fault::epoch_starts(log, epoch, cut, a, b))
}

/// The acceptances in a vertex whose transfers come from this log, with their positions.
pub(super) fn acceptances_of(entries: &[Entry], log: &LogId) -> Vec<(usize, Accept)> {
    entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.kind == Kind::Accept)
        .filter_map(|(i, entry)| Some((i, read_person_body::<Accept>(&entry.body).ok()?)))
        .filter(|(_, accept)| accept.sender_home == *log)
        .collect()
}

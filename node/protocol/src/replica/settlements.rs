//! What the home enters by itself: how own transfers that were answered are closed, and faults.

use std::collections::BTreeSet;

use super::{Now, Replica, log_rows};
use crate::body::{Answer, Fault, FaultReason, Kind, RefundReason, Settle};
use crate::codec;
use crate::ids::{BlockId, Digest, LogId};
use crate::ledger::{Frozen, History, Rows, TransferState, beginnings};
use crate::refusal::Refusal;
use crate::vertex::{Cite, Entry, Known, decode_body};

impl Replica {
    /// Enters the settlement of an own transfer that its receiver accepted.
    fn settle(
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
        self.push_closing(entry, cited, now, history);
    }

    /// Closes an own transfer by the answer that is cited.
    pub(super) fn close(
        &mut self,
        transfer: &Digest,
        accepts: bool,
        cite: Cite,
        cited: Option<BlockId>,
        now: Now,
        history: &dyn History,
    ) {
        if accepts {
            self.settle(transfer, cite, cited, now, history);
        } else {
            let reason = RefundReason::Rejected;
            self.refund(transfer, reason, Some(cite), cited, now, history);
        }
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
        let cited: Vec<BlockId> = match fault.reason {
            FaultReason::EpochStarts => self.boards_of(fault, history),
            _ => first.into_iter().collect(),
        };
        entry.cites.extend(cited.iter().copied().map(Cite::Vertex));
        match self.push(vec![(entry, Known::default())], now, history) {
            Ok(()) => {
                let open = self.open.as_mut().expect("push leaves the vertex open");
                cited
                    .into_iter()
                    .for_each(|vertex| open.cites(Some(vertex)));
            }
            Err(Refusal::ClockUnknown) => self.owes_faults = true,
            Err(_) => {}
        }
    }

    /// The vertices that name the officers of later charters who began an epoch twice.
    fn boards_of(&self, fault: &Fault, history: &dyn History) -> Vec<BlockId> {
        let Some(accused) = self.authorities.0.get(&fault.log) else {
            return Vec::new();
        };
        let rows = self.rows_now(history);
        let mut cited = BTreeSet::new();
        for bytes in &fault.evidence {
            let Ok(entry) = codec::decode::<Entry>(bytes, bytes.len()) else {
                continue;
            };
            let signed = accused
                .boards()
                .find(|(_, board)| board.signed(&entry, &[]).is_ok());
            let named = signed.and_then(|(charter, _)| rows.charter(&fault.log, &charter));
            cited.extend(named.map(|row| row.vertex));
        }
        cited.into_iter().collect()
    }

    /// Enters the faults of which this node holds proof but could not write.
    pub(super) fn enter_missed_faults(&mut self, now: Now, history: &dyn History) {
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

/// The answers in a vertex whose transfers come from this log, with their positions.
pub(super) fn answers_in(entries: &[Entry], log: &LogId) -> Vec<(usize, Answer)> {
    entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| matches!(entry.kind, Kind::Accept | Kind::Reject))
        .filter_map(|(i, entry)| Some((i, Answer::read(entry.kind, &entry.body).ok()?)))
        .filter(|(_, answer)| answer.sender_home == *log)
        .collect()
}

//! What the home enters by itself: how own transfers that were answered are closed, and faults.

use super::{Now, Replica, log_rows};
use crate::body::{Answer, Fault, Kind, RefundReason, Settle};
use crate::codec;
use crate::ids::{BlockId, Digest, LogId};
use crate::ledger::{Frozen, History, Rows, TransferState};
use crate::refusal::Refusal;
use crate::vertex::{Cite, Entry, Known};

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

    /// Enters a fault into the own log, once per log and epoch; again where the fork turned out to be earlier.
    pub(super) fn enter_fault(&mut self, fault: &Fault, now: Now, history: &dyn History) {
        // That of a later epoch is known, kept and told, and not entered: see the rule.
        if fault.epoch > 1 {
            return;
        }
        let rows = self.rows_now(history);
        if rows
            .fault_cut(&self.home.log(), &fault.log, fault.epoch)
            .is_some_and(|cut| cut <= fault.cut)
        {
            return;
        }
        let entry = Entry::home_authored(Kind::Fault, codec::encode(fault));
        if self.push(vec![(entry, Known::default())], now, history) == Err(Refusal::ClockUnknown) {
            self.sweep_from_the_beginning();
        }
    }

    /// Enters the faults of which this node holds proof but could not write.
    pub(super) fn enter_missed_faults(&mut self, now: Now, history: &dyn History) {
        for (log, row) in log_rows(history) {
            if !matches!(row.frozen, Some(Frozen::Equivocation(_))) || log == self.home.log() {
                continue;
            }
            let Some(known) = history.fault(&log, row.epoch) else {
                continue;
            };
            let [Some(a), Some(b)] = known.vertices.map(|id| history.block(&id)) else {
                continue;
            };
            let fault = Fault::equivocation(log, row.epoch, known.cut, a, b);
            self.enter_fault(&fault, now, history);
        }
    }
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

//! The sweep: own transfers that were answered or that nobody answered in time, and what waits here for an answer. It
//! goes through them page by page, one page a tick: after a start, after what could not be written, and each hour.

use super::answers::deadline_of;
use super::receipts::VertexBody;
use super::{ClockQuality, Now, Replica};
use crate::amount::Timestamp;
use crate::body::{Kind, Refund, RefundReason};
use crate::codec;
use crate::ids::{BlockId, Digest, LogId};
use crate::ledger::{ACCEPT_DEADLINE_MS, History, IncomingRow, Rows, Table, TransferState, key};
use crate::refusal::Refusal;
use crate::vertex::{Cite, Entry, Known};

/// Rows looked at in one step, and for `status`.
const SWEEP: usize = 1024;
/// How often everything is looked at again, in milliseconds: deadlines and graces are days, so an hour is soon enough.
const SWEEP_EVERY_MS: u64 = 60 * 60 * 1000;

/// Where the sweep stands.
#[derive(Default)]
pub(super) struct Sweep {
    /// Own open transfers: the key behind which the next page begins; `None` when they are done.
    open: Option<Vec<u8>>,
    /// What waits for an answer here.
    incoming: Option<Vec<u8>>,
    /// When it begins again.
    next: Timestamp,
}

impl Replica {
    /// What was answered elsewhere while nothing could be entered is looked for again: after a start, a full disk or
    /// without a clock.
    pub(super) fn sweep_from_the_beginning(&mut self) {
        self.sweep.open = Some(Vec::new());
        self.sweep.incoming = Some(Vec::new());
        self.owes_faults = true;
    }

    /// One step of the sweep: missed faults, then one page of own open transfers, and one of those that wait here.
    pub(super) fn sweep(&mut self, now: Now, history: &dyn History) {
        if self.sweep.next <= now.time {
            self.sweep.next = now.time.plus_ms(SWEEP_EVERY_MS);
            self.sweep_from_the_beginning();
        }
        if std::mem::take(&mut self.owes_faults) {
            self.enter_missed_faults(now, history);
        }
        self.sweep_open(now, history);
        self.sweep_incoming(now, history);
    }

    fn sweep_open(&mut self, now: Now, history: &dyn History) {
        let Some(after) = self.sweep.open.take() else {
            return;
        };
        let (page, last) = self.open_transfers(&after, history);
        if page.len() == SWEEP {
            self.sweep.open = last;
        }
        for (transfer, home) in page {
            self.close_if_answered(&transfer, &home, now, history);
        }
    }

    fn close_if_answered(
        &mut self,
        transfer: &Digest,
        home: &LogId,
        now: Now,
        history: &dyn History,
    ) {
        let rows = self.rows_now(history);
        let Some(answer) = rows.answer(home, transfer) else {
            self.refund_expired(transfer, home, now, history);
            return;
        };
        let (at, accepts) = (answer.at, !answer.rejected);
        if *home == self.home.log() {
            self.close(transfer, accepts, Cite::Own(at), None, now, history);
        } else if let Some(vertex) = rows.vertex_at(home, at.epoch, at.seq)
            && let Some(body) = VertexBody::read(&rows, vertex)
            && let Some(cite) = body.cite(at.index)
        {
            self.close(transfer, accepts, cite, Some(vertex), now, history);
        }
    }

    /// Gives back an own transfer that nobody answered before its deadline, once the receiver's home shows that the
    /// deadline has passed there.
    fn refund_expired(&mut self, transfer: &Digest, home: &LogId, now: Now, history: &dyn History) {
        if now.quality == ClockQuality::Floor {
            return;
        }
        let own = self.home.log();
        let rows = self.rows_now(history);
        let waits = |row: &crate::ledger::TransferRow| {
            // Its vertex is not older than its receipt: most are passed over without reading that.
            row.state == TransferState::Open
                && row.received_at.plus_ms(ACCEPT_DEADLINE_MS) < now.time
        };
        let Some(row) = rows.transfer(&own, transfer).filter(waits) else {
            return;
        };
        let Some(deadline) = deadline_of(&rows, &own, &row.at).filter(|last| *last < now.time)
        else {
            return;
        };
        let cited = if *home == own {
            None
        } else {
            match first_after(&rows, home, deadline) {
                Some(vertex) => Some(vertex),
                // Its log shows nothing yet: an answer may still be on its way.
                None => return,
            }
        };
        let reason = RefundReason::Expired;
        let cite = cited.map(Cite::Vertex);
        self.refund(transfer, reason, cite, cited, now, history);
    }

    /// Enters that an own transfer went back.
    pub(super) fn refund(
        &mut self,
        transfer: &Digest,
        reason: RefundReason,
        cite: Option<Cite>,
        cited: Option<BlockId>,
        now: Now,
        history: &dyn History,
    ) {
        let row = self
            .rows_now(history)
            .transfer(&self.home.log(), transfer)
            .filter(|row| row.state == TransferState::Open);
        let Some(row) = row else { return };
        let body = Refund {
            v: 1,
            transfer: *transfer,
            own: row.at,
            amount: row.amount,
            reason,
        };
        let mut entry = Entry::home_authored(Kind::Refund, codec::encode(&body));
        entry.cites = cite.into_iter().collect();
        self.push_closing(entry, cited, now, history);
    }

    /// Puts in what closes an own transfer.
    pub(super) fn push_closing(
        &mut self,
        entry: Entry,
        cited: Option<BlockId>,
        now: Now,
        history: &dyn History,
    ) {
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

    /// A page of what waits here: what the home answers by itself, and what nobody can answer any more.
    fn sweep_incoming(&mut self, now: Now, history: &dyn History) {
        let Some(after) = self.sweep.incoming.take() else {
            return;
        };
        let home = self.home.log();
        if now.quality == ClockQuality::Floor || !self.home.sequences(history) {
            self.sweep.incoming = Some(after);
            return;
        }
        let prefix = key(Table::Incoming, &[&home.0]);
        let page = history.rows(
            &prefix,
            Some(&after[..]).filter(|after| !after.is_empty()),
            SWEEP,
        );
        if page.len() == SWEEP {
            self.sweep.incoming = page.last().map(|(name, _)| name.clone());
        }
        let mut passed = None;
        for (name, _) in page {
            let Some((waiting, transfer)) = self.incoming_at(&name, history) else {
                continue;
            };
            let rows = self.rows_now(history);
            match deadline_of(&rows, &waiting.log, &waiting.at) {
                Some(deadline) if deadline < now.time => passed = passed.max(Some(deadline)),
                _ => self.answer_by_itself(&waiting.log, &transfer, now, history),
            }
        }
        if let Some(deadline) = passed {
            self.show_that_it_passed(deadline, now, history);
        }
    }

    /// A row of what waits, as of now, with the transfer's identity.
    fn incoming_at(&self, name: &[u8], history: &dyn History) -> Option<(IncomingRow, Digest)> {
        let waiting = self.rows_now(history).typed(name)?;
        let identity = name.len().checked_sub(32).and_then(|at| name.get(at..))?;
        Some((waiting, Digest(identity.try_into().ok()?)))
    }

    /// The sender's home refunds by a vertex of this log that is later than the deadline: there is one, empty if need
    /// be.
    fn show_that_it_passed(&mut self, deadline: Timestamp, now: Now, history: &dyn History) {
        let rows = self.rows_now(history);
        let silent = |row: crate::ledger::LogRow| row.time <= deadline;
        if rows.log(&self.home.log()).is_some_and(silent) {
            self.write_anything(now, history);
        }
    }

    /// How many own transfers were answered elsewhere but not closed, of the first page.
    pub(super) fn unsettled(&self, history: &dyn History) -> usize {
        let (page, _) = self.open_transfers(&[], history);
        page.iter()
            .filter(|(identity, home)| history.answer(home, identity).is_some())
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
}

/// The first vertex of a log that is later than this moment: times never fall along a log.
fn first_after(rows: &impl Rows, log: &LogId, moment: Timestamp) -> Option<BlockId> {
    let head = rows.log(log).filter(|head| head.time > moment)?;
    let at = |seq| rows.vertex_on_chain(log, head.epoch, seq);
    // It stands at `low` at the earliest and at `high` at the latest.
    let (mut low, mut high) = (1, head.seq);
    while low < high {
        let middle = low + (high - low) / 2;
        if rows.vertex(&at(middle)?)?.time > moment {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    at(low)
}

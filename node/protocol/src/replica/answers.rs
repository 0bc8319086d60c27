//! Answers: what receivers submit, and what the home answers by itself, by a standing order or because nobody can take
//! the transfer. A transfer is looked at when it arrives, and again by the sweep (`expiry`).

use super::admit::{dated, signed_entry};
use super::receipts::VertexBody;
use super::seal::SETTLE_ROOM;
use super::{Now, Replica, Ticket};
use crate::amount::{Amount, Timestamp};
use crate::body::{
    Accept, Kind, Order, OwnEntry, PersonBody, Reject, RejectReason, StandingAccept,
    StandingReject, Transfer, identity, read_person_body,
};
use crate::codec;
use crate::crypto::DomainTag;
use crate::ids::{BlockId, Digest, LogId};
use crate::json::MAX_SIGNED_BODY;
use crate::ledger::{ACCEPT_DEADLINE_MS, AccountRow, History, Rows, TransferRow, TransferState};
use crate::refusal::Refusal;
use crate::stage::Verified;
use crate::vertex::{Checked, Cite, Entry, Known, KnownBody as _, VerifiedVertex};

/// Bytes of a cited transfer and an answer that the home writes.
const STANDING_ROOM: usize = 2 * MAX_SIGNED_BODY;

impl Replica {
    pub(super) fn admit_accept(
        &mut self,
        ticket: Ticket,
        accept: Verified<Accept>,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let (submitted, hashes) = (accept.identity(), accept.hashes());
        let (body, bytes, sig) = accept.into_parts();
        if let Some(repeated) =
            self.answered_before(ticket, &body.transfer, (Accept::TAG, submitted), history)
        {
            return repeated;
        }
        let home = self.home.log();
        let rows = self.rows_now(history);
        let account = rows.account_of_key(&home, &body.key);
        let balance = self
            .in_turn(&rows, &account, &body.common())?
            .plus(body.amount)?;
        dated(body.created_at, now)?;
        if body.sender_home != home {
            self.within_limit(&body.sender_home, body.amount, history)?;
        }
        let (cite, cited) = self.cite_transfer(&body.sender_home, &body.transfer, now, history)?;
        // Within one home the settlement stands in the same vertex.
        self.make_room(2, MAX_SIGNED_BODY + SETTLE_ROOM, now, history);
        let mut entry = signed_entry(Kind::Accept, bytes, vec![sig], now);
        entry.booked.balance_after = Some(balance);
        entry.cites = vec![cite];
        let (transfer, within) = (body.transfer, body.sender_home == home);
        let entries = vec![(entry, body.known(submitted, hashes))];
        self.book(ticket, submitted, entries, now, history)?;
        self.answered(&transfer, true, within, cited, now, history);
        Ok(())
    }

    pub(super) fn admit_reject(
        &mut self,
        ticket: Ticket,
        reject: Verified<Reject>,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let submitted = reject.identity();
        let (body, bytes, sig) = reject.into_parts();
        if let Some(repeated) =
            self.answered_before(ticket, &body.transfer, (Reject::TAG, submitted), history)
        {
            return repeated;
        }
        let home = self.home.log();
        let rows = self.rows_now(history);
        let account = rows.account_of_key(&home, &body.key);
        self.in_turn(&rows, &account, &body.common())?;
        dated(body.created_at, now)?;
        let (cite, cited) = self.cite_transfer(&body.sender_home, &body.transfer, now, history)?;
        self.make_room(2, MAX_SIGNED_BODY + SETTLE_ROOM, now, history);
        let mut entry = signed_entry(Kind::Reject, bytes, vec![sig], now);
        entry.cites = vec![cite];
        let known = Known::signatures(vec![Checked::Good]);
        self.book(ticket, submitted, vec![(entry, known)], now, history)?;
        let within = body.sender_home == home;
        self.answered(&body.transfer, false, within, cited, now, history);
        Ok(())
    }

    /// What to say to an answer where the transfer has one: the first receipt again if it is the same.
    fn answered_before(
        &mut self,
        ticket: Ticket,
        transfer: &Digest,
        (tag, submitted): (DomainTag, Digest),
        history: &dyn History,
    ) -> Option<Result<(), Refusal>> {
        let answer = self.rows_now(history).answer(&self.home.log(), transfer)?;
        let same = self
            .entry_now(&answer.at, history)
            .is_some_and(|entry| identity(tag, &entry.body) == submitted);
        Some(if same {
            self.repeat(ticket, submitted, answer.at, history)
        } else {
            Err(answer.refuses_another())
        })
    }

    /// The last entry of the open vertex answers a transfer: within one home its sender's side is closed beside it.
    fn answered(
        &mut self,
        transfer: &Digest,
        accepts: bool,
        within: bool,
        cited: Option<BlockId>,
        now: Now,
        history: &dyn History,
    ) {
        let open = self.open.as_mut().expect("what was pushed stands in it");
        open.cites(cited);
        if within {
            let cite = Cite::Own(open.last_position());
            self.close(transfer, accepts, cite, None, now, history);
        }
    }

    /// Whether so much more may be accepted from another home.
    fn within_limit(
        &self,
        other: &LogId,
        amount: Amount,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let Some(authority) = self.authorities.0.get(other) else {
            return Err(Refusal::UnknownTransfer);
        };
        let limit = self.clearing.limit_of(authority.region());
        let taken = self.rows_now(history).clearing(&self.home.log(), other);
        let then = taken.balance().checked_add(amount.hundredths());
        if then.is_some_and(|then| then <= limit.hundredths()) {
            Ok(())
        } else {
            Err(Refusal::ClearingLimit)
        }
    }

    /// The cite of the transfer that an answer names, from the sender's log or the own.
    fn cite_transfer(
        &mut self,
        sender_home: &LogId,
        transfer: &Digest,
        now: Now,
        history: &dyn History,
    ) -> Result<(Cite, Option<BlockId>), Refusal> {
        let rows = self.rows_now(history);
        let own = *sender_home == self.home.log();
        let frozen = rows
            .log(sender_home)
            .is_some_and(|row| row.frozen.is_some());
        if frozen && !own {
            return Err(Refusal::LogFrozen);
        }
        let transfer = rows
            .transfer(sender_home, transfer)
            .ok_or(Refusal::UnknownTransfer)?;
        // It went back in time only by an answer, which a cut of this log took away. Behind the deadline the fold says so.
        let deadline = deadline_of(&rows, sender_home, &transfer.at);
        let in_time = deadline.is_none_or(|deadline| now.time <= deadline);
        if transfer.state == TransferState::Refunded && in_time {
            return Err(Refusal::AlreadyAnswered);
        }
        if own {
            return Ok((Cite::Own(transfer.at), None));
        }
        let vertex = rows
            .vertex_at(sender_home, transfer.at.epoch, transfer.at.seq)
            .ok_or(Refusal::UnknownTransfer)?;
        // Who sends to many sends to them in one vertex: it is read once for all their acceptances.
        if self.cited.as_ref().is_none_or(|cited| cited.id != vertex) {
            let read = VertexBody::read(&rows, vertex);
            self.cited = read;
        }
        let cited = self.cited.as_ref();
        let cite = cited.and_then(|cited| cited.cite(transfer.at.index));
        Ok((cite.ok_or(Refusal::UnknownTransfer)?, Some(vertex)))
    }

    /// Looks at the transfers of a vertex that just arrived, as far as they are for accounts of this home.
    pub(super) fn answer_arrivals(
        &mut self,
        vertex: &VerifiedVertex,
        now: Now,
        history: &dyn History,
    ) {
        let h = &vertex.header.header;
        let home = self.home.log();
        let Ok(entries) = &vertex.entries else { return };
        if !h.to.contains(&home) || !self.home.sequences(&self.layers(history)) {
            return;
        }
        for (entry, known) in entries.iter().zip(&vertex.known) {
            if entry.kind != Kind::Transfer {
                continue;
            }
            let Ok(body) = known.body::<Transfer>(entry) else {
                continue;
            };
            if body.receiver_home == home {
                let transfer = known.identity::<Transfer>(entry);
                self.answer_by_itself(&h.log, &transfer, now, history);
            }
        }
    }

    /// Answers a transfer for which nobody needs to be asked.
    pub(super) fn answer_by_itself(
        &mut self,
        sender_home: &LogId,
        transfer: &Digest,
        now: Now,
        history: &dyn History,
    ) {
        let home = self.home.log();
        let rows = self.rows_now(history);
        let Some(row) = rows.transfer(sender_home, transfer) else {
            return;
        };
        let account = rows.account(&home, &row.receiver);
        let is_asked = |account: &AccountRow| !account.revoked && account.order.is_none();
        if *sender_home == home && account.as_ref().is_some_and(is_asked) {
            // Most of a town's transfers: whatever else there is to look up, it is for the receiver to say.
            return;
        }
        if rows.answer(&home, transfer).is_some() {
            return;
        }
        let waits = |row: &TransferRow| {
            row.state == TransferState::Open
                && row.receiver_home == home
                && now.time <= deadline_of(&rows, sender_home, &row.at).unwrap_or(now.time)
        };
        if !waits(&row) {
            return;
        }
        let grace_is_over = row.received_at.plus_ms(self.clearing.grace_ms) <= now.time;
        let beyond = *sender_home != home
            && self.within_limit(sender_home, row.amount, history) == Err(Refusal::ClearingLimit);
        // What goes wrong here goes wrong again for whoever asks, and the sweep tries again.
        let _refused = match account {
            Some(account) if !account.revoked => {
                if beyond && self.clearing.reject_over_limit {
                    let because = RejectReason::Limit;
                    self.reject_for(sender_home, transfer, &row, because, now, history)
                } else if let Some(order) = account.order.filter(|_| !beyond) {
                    let balance = account.available.plus(row.amount);
                    balance.and_then(|balance| {
                        self.accept_by(order, sender_home, transfer, &row, balance, now, history)
                    })
                } else {
                    Ok(())
                }
            }
            Some(_) if grace_is_over => {
                let because = RejectReason::Revoked;
                self.reject_for(sender_home, transfer, &row, because, now, history)
            }
            None if grace_is_over => {
                let because = RejectReason::UnknownReceiver;
                self.reject_for(sender_home, transfer, &row, because, now, history)
            }
            Some(_) | None => Ok(()),
        };
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what was looked up once is handed on"
    )]
    fn accept_by(
        &mut self,
        at: OwnEntry,
        sender_home: &LogId,
        transfer: &Digest,
        row: &TransferRow,
        balance: Amount,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let order = self.entry_now(&at, history).ok_or(Refusal::OrderMismatch)?;
        let order: Order = read_person_body(&order.body)?;
        if !order.takes(&row.sender, row.amount, now.time) {
            return Ok(());
        }
        let (cite, cited) = self.cite_transfer(sender_home, transfer, now, history)?;
        self.make_room(2, STANDING_ROOM + SETTLE_ROOM, now, history);
        let body = StandingAccept {
            v: 1,
            transfer: *transfer,
            transfer_id: row.transfer_id,
            sender: row.sender,
            sender_home: *sender_home,
            receiver: row.receiver,
            amount: row.amount,
            order: at,
        };
        let mut entry = Entry::home_authored(Kind::Accept, codec::encode(&body));
        entry.booked.received_at = Some(now.time);
        entry.booked.balance_after = Some(balance);
        entry.cites = vec![cite];
        self.push(vec![(entry, Known::default())], now, history)?;
        let within = *sender_home == self.home.log();
        self.answered(transfer, true, within, cited, now, history);
        Ok(())
    }

    fn reject_for(
        &mut self,
        sender_home: &LogId,
        transfer: &Digest,
        row: &TransferRow,
        reason: RejectReason,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let (cite, cited) = self.cite_transfer(sender_home, transfer, now, history)?;
        self.make_room(2, STANDING_ROOM + SETTLE_ROOM, now, history);
        let body = StandingReject {
            v: 1,
            transfer: *transfer,
            transfer_id: row.transfer_id,
            sender: row.sender,
            sender_home: *sender_home,
            receiver: row.receiver,
            amount: row.amount,
            reason,
        };
        let mut entry = Entry::home_authored(Kind::Reject, codec::encode(&body));
        entry.booked.received_at = Some(now.time);
        entry.cites = vec![cite];
        self.push(vec![(entry, Known::default())], now, history)?;
        let within = *sender_home == self.home.log();
        self.answered(transfer, false, within, cited, now, history);
        Ok(())
    }
}

/// Until when a transfer at this place of a log may be answered; nothing while its vertex is being collected.
pub fn deadline_of(rows: &(impl Rows + ?Sized), log: &LogId, at: &OwnEntry) -> Option<Timestamp> {
    let vertex = rows.vertex(&rows.vertex_at(log, at.epoch, at.seq)?)?;
    Some(vertex.time.plus_ms(ACCEPT_DEADLINE_MS))
}

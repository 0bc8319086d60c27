//! The rules of `accept` and `settle`: each rests on the other home's entry. What `reject` and `refund` share with them
//! stands here too.

use std::borrow::Cow;

use super::ACCEPT_DEADLINE_MS;
use super::checks::{Folded, NEVER, add, exactly, incoming_key, received_at, subtract};
use super::fold::{Fold, FoldContext, FoldError};
use super::rows::{
    AccountRow, AnswerRow, ClearingRow, Table, Totals, TransferRow, TransferState, key,
};
use super::view::Rows;
use crate::amount::{Amount, Timestamp};
use crate::body::{
    Accept, Answer, AnsweredBy, Kind, OwnEntry, PersonBody, Settle, Transfer, identity,
    is_home_authored, read_person_body,
};
use crate::ids::{AccountId, Digest, LogId};
use crate::refusal::Refusal;
use crate::vertex::{Booked, Cite, Entry, Known};

/// Until when an answer may be given.
#[derive(Clone, Copy)]
pub(super) struct Until {
    /// The transfer's deadline.
    pub(super) deadline: Timestamp,
    /// The last time that the answer's own vertex may have.
    pub(super) last: Timestamp,
}

/// What is left when a transfer was taken.
pub(super) struct Taken {
    receiver: AccountRow,
    totals: Totals,
    clearing: Option<(LogId, ClearingRow)>,
}

impl Fold {
    pub(super) fn accept(&mut self, ctx: &FoldContext<'_>, entry: &Entry, known: &Known) -> Folded {
        if is_home_authored(&entry.body) {
            return self.standing_accept(ctx, entry);
        }
        let body: Cow<'_, Accept> = known.body(entry)?;
        self.addressed(ctx, &body.common())?;
        let account = self.rows(ctx).account_of_key(&self.log, &body.key);
        let mut receiver = self.signer(ctx, entry, known, &account, &body.common())?;
        receiver.next_sequence += 1;
        let answer = Answer::from(&*body);
        let deadline = self.answered_transfer(ctx, entry, &answer, &account)?;
        self.take_in(ctx, entry, &answer, (&account, receiver), deadline)
    }

    /// Books an acceptance, whoever wrote it: the amount, the answer, and what one home took from the other. The
    /// vertex may not be later than `last`.
    pub(super) fn take_in(
        &mut self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        answer: &Answer,
        (account, receiver): (&AccountId, AccountRow),
        Until { deadline, last }: Until,
    ) -> Folded {
        let taken = self.taken(ctx, receiver, &answer.sender_home, answer.amount)?;
        let received_at = received_at(entry)?;
        let booked = Booked {
            received_at: Some(received_at),
            balance_after: Some(taken.receiver.available),
            ..Booked::default()
        };
        exactly(entry, booked, 1)?;
        self.datable(received_at, last, Refusal::DeadlinePassed)?;

        self.put_taken(account, taken);
        self.put_answer(&answer.transfer, !answer.accepts, account, deadline);
        self.dated(received_at, last);
        Ok(())
    }

    /// What an acceptance moves: the amount, the sums, and what one home took from the other.
    pub(super) fn taken(
        &self,
        ctx: &FoldContext<'_>,
        mut receiver: AccountRow,
        sender_home: &LogId,
        amount: Amount,
    ) -> Result<Taken, Refusal> {
        receiver.available = receiver.available.plus(amount)?;
        let mut totals = self.row.totals;
        totals.available = add(totals.available, amount)?;
        totals.accepted_in = add(totals.accepted_in, amount)?;
        let other = Some(*sender_home).filter(|log| *log != self.log);
        let clearing = other.map(|log| {
            let mut row = self.rows(ctx).clearing(&self.log, &log);
            row.accepted = add(row.accepted, amount)?;
            Ok::<_, Refusal>((log, row))
        });
        Ok(Taken {
            receiver,
            totals,
            clearing: clearing.transpose()?,
        })
    }

    pub(super) fn put_taken(&mut self, account: &AccountId, taken: Taken) {
        self.put_account(account, &taken.receiver);
        if let Some((log, row)) = taken.clearing {
            self.put_clearing(&log, &row);
        }
        self.row.totals = taken.totals;
    }

    /// The transfer has its one answer, and waits for nobody any more.
    pub(super) fn put_answer(
        &mut self,
        transfer: &Digest,
        rejected: bool,
        account: &AccountId,
        deadline: Timestamp,
    ) {
        let row = AnswerRow {
            at: self.next_position(),
            rejected,
            deadline,
        };
        self.put_answered(transfer, account, &row);
    }

    /// The answer by the transfer, and by whom it is for.
    pub(super) fn put_answered(&mut self, transfer: &Digest, account: &AccountId, row: &AnswerRow) {
        let name = key(Table::Answer, &[&self.log.0, &transfer.0]);
        self.changes.put(name, row);
        let receiver = account.as_str().as_bytes();
        let name = key(Table::Received, &[&self.log.0, receiver, &transfer.0]);
        self.changes.put(name, &row.at);
        self.changes
            .delete(incoming_key(&self.log, account, transfer));
    }

    pub(super) fn put_clearing(&mut self, other: &LogId, row: &ClearingRow) {
        let name = key(Table::Clearing, &[&self.log.0, &other.0]);
        self.changes.put(name, row);
    }

    /// Checks that a transfer is answered for the first time, and that what the answer cites is the transfer that it
    /// names; gives its deadline.
    pub(super) fn answered_transfer(
        &self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        answer: &Answer,
        account: &AccountId,
    ) -> Result<Until, FoldError> {
        if let Some(row) = self.rows(ctx).answer(&self.log, &answer.transfer) {
            return Err(row.refuses_another().into());
        }
        let deadline = self.cited_transfer(ctx, entry, answer, account)?;
        Ok(Until {
            deadline,
            last: deadline,
        })
    }

    /// Checks that the transfer which an answer cites is the one it names; gives its deadline.
    fn cited_transfer(
        &self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        body: &Answer,
        account: &AccountId,
    ) -> Result<Timestamp, FoldError> {
        match entry.cites.as_slice() {
            [Cite::Entry(cite)] => {
                let vertex = self.proven_vertex(ctx, cite)?;
                let transfer: Transfer = read_person_body(&cite.body)?;
                if transfer.receiver != *account {
                    return Err(Refusal::UnknownTransfer.into());
                }
                let same = identity(Transfer::TAG, &cite.body) == body.transfer
                    && cite.kind == Transfer::KIND
                    && vertex.log == body.sender_home
                    && transfer.home == body.sender_home
                    && transfer.receiver_home == self.log
                    && transfer.sender == body.sender
                    && transfer.transfer_id == body.transfer_id
                    && transfer.amount == body.amount;
                if !same {
                    return Err(Refusal::TransferMismatch.into());
                }
                Ok(vertex.time.plus_ms(ACCEPT_DEADLINE_MS))
            }
            [Cite::Own(at)] => {
                let transfer = self
                    .rows(ctx)
                    .transfer(&self.log, &body.transfer)
                    .filter(|transfer| transfer.receiver == *account)
                    .ok_or(Refusal::UnknownTransfer)?;
                let same = transfer.at == *at
                    && body.sender_home == self.log
                    && transfer.receiver_home == self.log
                    && transfer.sender == body.sender
                    && transfer.transfer_id == body.transfer_id
                    && transfer.amount == body.amount;
                if !same {
                    return Err(Refusal::TransferMismatch.into());
                }
                // Answered in the very vertex that sent it, a transfer is never late.
                Ok(self.own_deadline(ctx, at).unwrap_or(NEVER))
            }
            _ => Err(Refusal::BadCite.into()),
        }
    }

    /// Until when a transfer of this log may be answered; nothing where this very vertex sends it.
    pub(super) fn own_deadline(&self, ctx: &FoldContext<'_>, at: &OwnEntry) -> Option<Timestamp> {
        if (at.epoch, at.seq) == self.position {
            return None;
        }
        let rows = self.rows(ctx);
        let vertex = rows.vertex(&rows.vertex_at(&self.log, at.epoch, at.seq)?)?;
        Some(vertex.time.plus_ms(ACCEPT_DEADLINE_MS))
    }

    pub(super) fn settle(&mut self, ctx: &FoldContext<'_>, entry: &Entry) -> Folded {
        let body = Settle::read(&entry.body)?;
        let transfer = self.open_transfer(ctx, &body.transfer, &body.own, body.amount)?;
        self.proves_answer(ctx, entry, &body.transfer, &transfer, true)?;
        if !entry.sig.is_empty() {
            return Err(Refusal::BadEntry.into());
        }
        exactly(entry, Booked::default(), 1)?;
        self.settled(ctx, &body.transfer, transfer)
    }

    /// Books a settlement: the amount leaves the sender's debts, and what one home settled to the other.
    pub(super) fn settled(
        &mut self,
        ctx: &FoldContext<'_>,
        identity: &Digest,
        transfer: TransferRow,
    ) -> Folded {
        let amount = transfer.amount;
        let mut sender = self.account_of(ctx, &transfer.sender)?;
        sender.open_out = sender.open_out.minus(amount)?;
        let mut totals = self.row.totals;
        totals.open_out = subtract(totals.open_out, amount)?;
        totals.settled_out = add(totals.settled_out, amount)?;
        let other = transfer.receiver_home;
        let clearing = if other == self.log {
            None
        } else {
            let mut row = self.rows(ctx).clearing(&self.log, &other);
            row.settled = add(row.settled, amount)?;
            Some(row)
        };

        if let Some(row) = clearing {
            self.put_clearing(&other, &row);
        }
        self.row.totals = totals;
        self.close(identity, transfer, TransferState::Settled, &sender);
        Ok(())
    }

    /// The open transfer of this log that an entry is about.
    pub(super) fn open_transfer(
        &self,
        ctx: &FoldContext<'_>,
        identity: &Digest,
        own: &OwnEntry,
        amount: Amount,
    ) -> Result<TransferRow, Refusal> {
        let transfer = self.rows(ctx).transfer(&self.log, identity);
        let transfer = transfer.ok_or(Refusal::UnknownTransfer)?;
        let named = transfer.at == *own && transfer.amount == amount;
        if transfer.state == TransferState::Open && named {
            Ok(transfer)
        } else {
            Err(Refusal::TransferMismatch)
        }
    }

    /// An own transfer is settled or given back: nothing is open any more.
    pub(super) fn close(
        &mut self,
        identity: &Digest,
        mut transfer: TransferRow,
        state: TransferState,
        sender: &AccountRow,
    ) {
        transfer.state = state;
        self.put_account(&transfer.sender, sender);
        let name = |table| key(table, &[&self.log.0, &identity.0]);
        let (row, open) = (name(Table::Transfer), name(Table::Open));
        self.changes.put(row, &transfer);
        self.changes.delete(open);
    }

    /// Checks that an entry cites the answer of the receiver's home to this very transfer.
    pub(super) fn proves_answer(
        &self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        identity: &Digest,
        transfer: &TransferRow,
        accepts: bool,
    ) -> Folded {
        let proven = match entry.cites.as_slice() {
            [Cite::Entry(cite)] => {
                let vertex = self.proven_vertex(ctx, cite)?;
                if !matches!(cite.kind, Kind::Accept | Kind::Reject) {
                    return Err(Refusal::BadCite.into());
                }
                let answer = Answer::read(cite.kind, &cite.body)?;
                let written_there = match &answer.by {
                    AnsweredBy::Receiver(common) => common.home == transfer.receiver_home,
                    AnsweredBy::Order(account, _) | AnsweredBy::Home(account, _) => {
                        *account == transfer.receiver
                    }
                };
                vertex.log == transfer.receiver_home
                    && written_there
                    && answer.accepts == accepts
                    && answer.sender_home == self.log
                    && answer.transfer == *identity
                    && answer.amount == transfer.amount
            }
            [Cite::Own(at)] => {
                let answer = self.rows(ctx).answer(&self.log, identity);
                let answer = answer.filter(|answer| answer.rejected != accepts);
                transfer.receiver_home == self.log && answer.map(|answer| answer.at) == Some(*at)
            }
            _ => false,
        };
        if proven {
            Ok(())
        } else {
            Err(Refusal::BadCite.into())
        }
    }
}

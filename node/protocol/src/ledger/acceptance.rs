//! The rules of `accept` and `settle`: each rests on the other home's entry.

use std::borrow::Cow;

use super::ACCEPT_DEADLINE_MS;
use super::checks::{Folded, NEVER, add, exactly, incoming_key, received_at, subtract};
use super::fold::{Fold, FoldContext, FoldError};
use super::rows::{AnswerRow, Table, TransferRow, TransferState, key};
use super::view::Rows;
use crate::amount::Timestamp;
use crate::body::{Accept, PersonBody, Settle, Transfer, identity, read_person_body};
use crate::ids::{AccountId, Digest};
use crate::refusal::Refusal;
use crate::vertex::{Booked, Cite, Entry, Known};

impl Fold {
    pub(super) fn accept(&mut self, ctx: &FoldContext<'_>, entry: &Entry, known: &Known) -> Folded {
        let body: Cow<'_, Accept> = known.body(entry)?;
        self.addressed(ctx, &body.common())?;
        let account = self.rows(ctx).account_of_key(&self.log, &body.key);
        let mut receiver = self.signer(ctx, entry, known, &account, &body.common())?;
        match self.rows(ctx).answer(&self.log, &body.transfer) {
            None => {}
            Some(AnswerRow { rejected: true, .. }) => return Err(Refusal::AlreadyAnswered.into()),
            Some(_) => return Err(Refusal::AlreadyAccepted.into()),
        }
        let deadline = self.accepted_transfer(ctx, entry, &body, &account)?;

        receiver.available = receiver.available.plus(body.amount)?;
        receiver.next_sequence += 1;
        let mut totals = self.row.totals;
        totals.available = add(totals.available, body.amount)?;
        totals.accepted_in = add(totals.accepted_in, body.amount)?;
        let received_at = received_at(entry)?;
        let booked = Booked {
            received_at: Some(received_at),
            balance_after: Some(receiver.available),
            ..Booked::default()
        };
        exactly(entry, booked, 1)?;
        self.datable(received_at, deadline, Refusal::DeadlinePassed)?;

        let at = self.next_position();
        self.put_account(&account, &receiver);
        let answer = AnswerRow {
            at,
            rejected: false,
            deadline,
        };
        self.changes.put(
            key(Table::Answer, &[&self.log.0, &body.transfer.0]),
            &answer,
        );
        self.changes
            .delete(incoming_key(&self.log, &account, &body.transfer));
        self.row.totals = totals;
        self.dated(received_at, deadline);
        Ok(())
    }

    /// Checks that the transfer which an `accept` cites is the one it names; gives its deadline.
    fn accepted_transfer(
        &self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        body: &Accept,
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
                // Taken in the very vertex that sent it, a transfer is never late.
                let sent = (at.epoch, at.seq) != self.position;
                let vertex = sent.then(|| self.rows(ctx).vertex_at(&self.log, at.epoch, at.seq));
                let time = vertex
                    .flatten()
                    .and_then(|id| self.rows(ctx).vertex(&id))
                    .map(|v| v.time);
                Ok(time.map_or(NEVER, |time| time.plus_ms(ACCEPT_DEADLINE_MS)))
            }
            _ => Err(Refusal::BadCite.into()),
        }
    }

    pub(super) fn settle(&mut self, ctx: &FoldContext<'_>, entry: &Entry) -> Folded {
        let body = Settle::read(&entry.body)?;
        let rows = self.rows(ctx);
        let mut transfer = rows
            .transfer(&self.log, &body.transfer)
            .ok_or(Refusal::UnknownTransfer)?;
        let open = transfer.state == TransferState::Open
            && transfer.at == body.own
            && transfer.amount == body.amount;
        if !open {
            return Err(Refusal::TransferMismatch.into());
        }
        self.proves_acceptance(ctx, entry, &body.transfer, &transfer)?;
        if !entry.sig.is_empty() {
            return Err(Refusal::BadEntry.into());
        }
        exactly(entry, Booked::default(), 1)?;
        let mut sender = rows
            .account(&self.log, &transfer.sender)
            .ok_or(Refusal::UnknownAccount)?;
        sender.open_out = sender.open_out.minus(body.amount)?;
        let mut totals = self.row.totals;
        totals.open_out = subtract(totals.open_out, body.amount)?;
        totals.settled_out = add(totals.settled_out, body.amount)?;

        transfer.state = TransferState::Settled;
        self.put_account(&transfer.sender, &sender);
        self.changes.put(
            key(Table::Transfer, &[&self.log.0, &body.transfer.0]),
            &transfer,
        );
        self.changes
            .delete(key(Table::Open, &[&self.log.0, &body.transfer.0]));
        self.row.totals = totals;
        Ok(())
    }

    /// Checks that a `settle` cites the receiver's acceptance of this very transfer.
    fn proves_acceptance(
        &self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        identity: &Digest,
        transfer: &TransferRow,
    ) -> Folded {
        let proven = match entry.cites.as_slice() {
            [Cite::Entry(cite)] => {
                let vertex = self.proven_vertex(ctx, cite)?;
                let accept: Accept = read_person_body(&cite.body)?;
                cite.kind == Accept::KIND
                    && vertex.log == transfer.receiver_home
                    && accept.home == transfer.receiver_home
                    && accept.sender_home == self.log
                    && accept.transfer == *identity
                    && accept.amount == transfer.amount
            }
            [Cite::Own(at)] => {
                transfer.receiver_home == self.log
                    && self.rows(ctx).accepted(&self.log, identity) == Some(*at)
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

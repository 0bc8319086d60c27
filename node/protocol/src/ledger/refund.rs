//! The rule of `refund`: the sender gets back what was rejected, or what nobody answered before the deadline.

use super::checks::{Folded, NEVER, add, exactly, incoming_key, subtract};
use super::fold::{Fold, FoldContext, FoldError};
use super::judge::Missing;
use super::rows::{AccountRow, Totals, TransferRow, TransferState};
use super::view::Rows;
use crate::amount::Timestamp;
use crate::body::{Refund, RefundReason};
use crate::ids::{BlockId, Digest};
use crate::refusal::Refusal;
use crate::vertex::{Booked, Cite, Entry, SignedHeader};

/// What is left when a transfer went back: the sender's account, and the sums of the log.
pub(super) struct GivenBack {
    pub(super) sender: AccountRow,
    pub(super) totals: Totals,
}

impl Fold {
    pub(super) fn refund(&mut self, ctx: &FoldContext<'_>, entry: &Entry) -> Folded {
        let body = Refund::read(&entry.body)?;
        let transfer = self.open_transfer(ctx, &body.transfer, &body.own, body.amount)?;
        let within = transfer.receiver_home == self.log;
        let not_before = match body.reason {
            RefundReason::Rejected => {
                self.proves_answer(ctx, entry, &body.transfer, &transfer, false)?;
                Timestamp(0)
            }
            RefundReason::Expired if within => self.expired_here(ctx, &body.transfer, &transfer)?,
            RefundReason::Expired => {
                self.expired_there(ctx, entry, &transfer)?;
                Timestamp(0)
            }
        };
        if !entry.sig.is_empty() {
            return Err(Refusal::BadEntry.into());
        }
        let alone = within && body.reason == RefundReason::Expired;
        exactly(entry, Booked::default(), usize::from(!alone))?;
        let back = self.given_back(ctx, &transfer)?;

        self.give_back(&body.transfer, transfer, back);
        self.dated(not_before, NEVER);
        Ok(())
    }

    /// Within one home the log itself shows that nobody answered; gives the earliest time of the vertex.
    fn expired_here(
        &self,
        ctx: &FoldContext<'_>,
        identity: &Digest,
        transfer: &TransferRow,
    ) -> Result<Timestamp, Refusal> {
        if self.rows(ctx).answer(&self.log, identity).is_some() {
            return Err(Refusal::AlreadyAnswered);
        }
        let deadline = self.own_deadline(ctx, &transfer.at);
        let later = deadline.ok_or(Refusal::NotExpired)?.plus_ms(1);
        self.datable(later, NEVER, Refusal::NotExpired)?;
        Ok(later)
    }

    /// Between two homes the receiver's shows its first vertex behind the deadline: whatever it accepted in time stands
    /// before that. Whether it did, its own log says, not this one: who refunds what was accepted convicts itself by the
    /// two receipts.
    fn expired_there(
        &self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        transfer: &TransferRow,
    ) -> Result<(), FoldError> {
        let [Cite::Vertex(id)] = entry.cites.as_slice() else {
            return Err(Refusal::BadCite.into());
        };
        let rows = self.rows(ctx);
        let missing = |id: BlockId| FoldError::Waiting(Missing::Vertex(id));
        let vertex = rows.vertex(id).ok_or_else(|| missing(*id))?;
        if vertex.log != transfer.receiver_home || self.beyond_cut(ctx, &vertex) {
            return Err(Refusal::BadCite.into());
        }
        let deadline = self.own_deadline(ctx, &transfer.at);
        let deadline = deadline.ok_or(Refusal::NotExpired)?;
        if vertex.time <= deadline {
            return Err(Refusal::NotExpired.into());
        }
        let block = rows.get_block(id).ok_or_else(|| missing(*id))?;
        let prev = SignedHeader::read(&block)?.header.prev;
        // Before a log's first vertex there was nothing that could have been late.
        if prev != ctx.network {
            let prev = rows.vertex(&prev).ok_or_else(|| missing(prev))?;
            if prev.time > deadline {
                return Err(Refusal::NotExpired.into());
            }
        }
        Ok(())
    }

    /// The sender's account and the sums after a transfer went back.
    pub(super) fn given_back(
        &self,
        ctx: &FoldContext<'_>,
        transfer: &TransferRow,
    ) -> Result<GivenBack, Refusal> {
        let mut sender = self.account_of(ctx, &transfer.sender)?;
        sender.open_out = sender.open_out.minus(transfer.amount)?;
        sender.available = sender.available.plus(transfer.amount)?;
        let mut totals = self.row.totals;
        totals.open_out = subtract(totals.open_out, transfer.amount)?;
        totals.available = add(totals.available, transfer.amount)?;
        Ok(GivenBack { sender, totals })
    }

    /// The transfer is the sender's again, and waits for nobody.
    pub(super) fn give_back(&mut self, identity: &Digest, transfer: TransferRow, back: GivenBack) {
        let waiting = incoming_key(&transfer.receiver_home, &transfer.receiver, identity);
        self.changes.delete(waiting);
        self.row.totals = back.totals;
        self.close(identity, transfer, TransferState::Refunded, &back.sender);
    }
}

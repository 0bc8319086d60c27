//! The rules of `order`, and of the `accept` that a home writes by it.

use super::acceptance::Until;
use super::checks::{Folded, received_at};
use super::fold::{Fold, FoldContext};
use crate::body::{Kind, Order, OwnEntry, PersonBody, StandingAccept, read_person_body};
use crate::refusal::Refusal;
use crate::vertex::{Entry, Known};

impl Fold {
    pub(super) fn order(&mut self, ctx: &FoldContext<'_>, entry: &Entry, known: &Known) -> Folded {
        let body: Order = read_person_body(&entry.body)?;
        let common = body.common();
        self.addressed(ctx, &common)?;
        let mut row = self.signer(ctx, entry, known, &body.account, &common)?;
        self.booked_plainly(entry)?;

        row.next_sequence += 1;
        row.order = body.accept.then(|| self.next_position());
        self.put_account(&body.account, &row);
        self.submitted(Order::TAG, entry)
    }

    /// The home takes a transfer by the receiver's order: the receiver's turn and key are not asked, but a closed key
    /// suspends the order.
    pub(super) fn standing_accept(&mut self, ctx: &FoldContext<'_>, entry: &Entry) -> Folded {
        let body = StandingAccept::read(&entry.body)?;
        if !entry.sig.is_empty() {
            return Err(Refusal::BadEntry.into());
        }
        let receiver = self.account_of(ctx, &body.receiver)?;
        if receiver.revoked {
            return Err(Refusal::KeyRevoked.into());
        }
        if receiver.order != Some(body.order) {
            return Err(Refusal::OrderMismatch.into());
        }
        let order = self.order_at(ctx, &body.order)?;
        let received_at = received_at(entry)?;
        if !order.takes(&body.sender, body.amount, received_at) {
            return Err(Refusal::OrderMismatch.into());
        }
        let account = body.receiver;
        let answer = body.into();
        let Until { deadline, last } = self.answered_transfer(ctx, entry, &answer, &account)?;
        // Also the vertex itself stands within the order's time, whatever the home says of when it received it.
        let last = order.until.map_or(last, |until| until.min(last));
        let until = Until { deadline, last };
        self.take_in(ctx, entry, &answer, (&account, receiver), until)
    }

    fn order_at(&self, ctx: &FoldContext<'_>, at: &OwnEntry) -> Result<Order, Refusal> {
        let entry = self.own_entry(ctx, at);
        let entry = entry.filter(|entry| entry.kind == Kind::Order);
        read_person_body(&entry.ok_or(Refusal::OrderMismatch)?.body)
    }
}

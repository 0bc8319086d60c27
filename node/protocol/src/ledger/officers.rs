//! The rules of `ungrant` and `correct`: what officers take back, and what they put right.

use super::SILENCE_MS;
use super::checks::{Folded, NEVER, exactly, received_at, subtract};
use super::fold::{Fold, FoldContext};
use super::rows::TransferState;
use super::view::Rows;
use crate::amount::{Amount, Timestamp};
use crate::body::{Correct, OfficersBody, Ungrant, read_officers_body};
use crate::ids::Digest;
use crate::refusal::Refusal;
use crate::vertex::{Booked, Entry, Known};

impl Fold {
    pub(super) fn ungrant(
        &mut self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        known: &Known,
    ) -> Folded {
        let body: Ungrant = read_officers_body(&entry.body)?;
        self.decided(ctx, &body.decision(), entry, known)?;
        let mut row = self.account_of(ctx, &body.account)?;
        row.available = row.available.minus(body.amount)?;
        let mut totals = self.row.totals;
        totals.available = subtract(totals.available, body.amount)?;
        totals.ungranted = super::checks::add(totals.ungranted, body.amount)?;
        self.booked_with_balance(entry, row.available, Timestamp(0))?;

        self.row.totals = totals;
        self.row.officers_sequence = body.officers_sequence;
        self.put_account(&body.account, &row);
        self.submitted(Ungrant::TAG, entry)
    }

    pub(super) fn correct(
        &mut self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        known: &Known,
    ) -> Folded {
        let body: Correct = read_officers_body(&entry.body)?;
        self.decided(ctx, &body.decision(), entry, known)?;
        match body.transfer {
            Some(transfer) => self.correct_transfer(ctx, entry, &body, &transfer)?,
            None => self.correct_shortfall(ctx, entry, &body)?,
        }
        self.row.officers_sequence = body.officers_sequence;
        self.submitted(Correct::TAG, entry)
    }

    /// The receiver's home was silent for a year behind the deadline.
    fn correct_transfer(
        &mut self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        body: &Correct,
        identity: &Digest,
    ) -> Folded {
        let transfer = self.rows(ctx).transfer(&self.log, identity);
        let transfer = transfer.ok_or(Refusal::UnknownTransfer)?;
        let named = transfer.sender == body.account && transfer.amount == body.amount;
        if transfer.state != TransferState::Open || !named {
            return Err(Refusal::TransferMismatch.into());
        }
        // What this very log answered is not silence. What another answered, it cannot know.
        if transfer.receiver_home == self.log
            && self.rows(ctx).answer(&self.log, identity).is_some()
        {
            return Err(Refusal::AlreadyAnswered.into());
        }
        let deadline = self.own_deadline(ctx, &transfer.at);
        let silent = deadline.ok_or(Refusal::NotExpired)?.plus_ms(SILENCE_MS);
        let later = silent.plus_ms(1);
        self.datable(later, NEVER, Refusal::NotExpired)?;
        let back = self.given_back(ctx, &transfer)?;
        self.booked_with_balance(entry, back.sender.available, later)?;

        self.give_back(identity, transfer, back);
        self.dated(later, NEVER);
        Ok(())
    }

    /// An account makes good a part of what the log had booked twice.
    fn correct_shortfall(
        &mut self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        body: &Correct,
    ) -> Folded {
        let mut row = self.account_of(ctx, &body.account)?;
        row.available = row.available.minus(body.amount)?;
        let mut totals = self.row.totals;
        totals.shortfall = subtract(totals.shortfall, body.amount)?;
        totals.available = subtract(totals.available, body.amount)?;
        self.booked_with_balance(entry, row.available, Timestamp(0))?;

        self.row.totals = totals;
        self.put_account(&body.account, &row);
        Ok(())
    }

    /// When the home received it and what is available after it are booked, and it rests on nothing. The vertex is not
    /// earlier than `not_before`.
    fn booked_with_balance(
        &self,
        entry: &Entry,
        balance: Amount,
        not_before: Timestamp,
    ) -> Result<(), Refusal> {
        let received_at = received_at(entry)?;
        let booked = Booked {
            received_at: Some(received_at),
            balance_after: Some(balance),
            ..Booked::default()
        };
        exactly(entry, booked, 0)?;
        self.datable(received_at.max(not_before), NEVER, Refusal::BadBooking)
    }
}

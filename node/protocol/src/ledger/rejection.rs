//! The rule of `reject`: the receiver, or their home where nobody can take it, says no.

use super::acceptance::Until;
use super::checks::{Folded, exactly, received_at};
use super::fold::{Fold, FoldContext};
use super::view::Rows;
use crate::body::{Answer, AnsweredBy, Kind, RejectReason};
use crate::ids::AccountId;
use crate::refusal::Refusal;
use crate::vertex::{Booked, Entry, Known};

impl Fold {
    pub(super) fn reject(&mut self, ctx: &FoldContext<'_>, entry: &Entry, known: &Known) -> Folded {
        let answer = Answer::read(Kind::Reject, &entry.body)?;
        let (account, receiver) = match &answer.by {
            AnsweredBy::Receiver(common) => {
                self.addressed(ctx, common)?;
                let account = self.rows(ctx).account_of_key(&self.log, &common.key);
                let mut row = self.signer(ctx, entry, known, &account, common)?;
                row.next_sequence += 1;
                (account, Some(row))
            }
            AnsweredBy::Home(account, reason) => {
                if !entry.sig.is_empty() || !self.is_true(ctx, account, *reason) {
                    return Err(Refusal::BadEntry.into());
                }
                (*account, None)
            }
            AnsweredBy::Order(..) => return Err(Refusal::BadEntry.into()),
        };
        let Until { deadline, last } = self.answered_transfer(ctx, entry, &answer, &account)?;
        let received_at = received_at(entry)?;
        let booked = Booked {
            received_at: Some(received_at),
            ..Booked::default()
        };
        exactly(entry, booked, 1)?;
        self.datable(received_at, last, Refusal::DeadlinePassed)?;

        if let Some(row) = receiver {
            self.put_account(&account, &row);
        }
        self.put_answer(&answer.transfer, true, &account, deadline);
        self.dated(received_at, last);
        Ok(())
    }

    /// Whether the log itself says why its home takes nothing for this account.
    fn is_true(&self, ctx: &FoldContext<'_>, account: &AccountId, reason: RejectReason) -> bool {
        let row = self.rows(ctx).account(&self.log, account);
        match reason {
            RejectReason::UnknownReceiver => row.is_none(),
            RejectReason::Revoked => row.is_some_and(|row| row.revoked),
            // How much a home takes from another is its own policy.
            RejectReason::Limit => true,
        }
    }
}

//! The rule of each kind of entry (DESIGN §6). Every rule first checks everything, then changes rows:
//! an entry that is refused leaves no trace.

use std::borrow::Cow;

use super::checks::{
    Folded, NEVER, add, exactly, grade_that_counts, incoming_key, one_signature, plain,
    received_at, subtract,
};
use super::fold::{Fold, FoldContext};
use super::rows::{AccountRow, IncomingRow, Table, Totals, TransferRow, TransferState, key};
use super::view::{Layers, Rows};
use crate::amount::Amount;
use crate::body::{
    Enrol, Grant, OfficersBody, PersonBody, Start, Transfer, identity, read_officers_body,
    read_person_body,
};
use crate::crypto::TAG_GRANT;
use crate::ids::Digest;
use crate::journal::is_expense;
use crate::refusal::Refusal;
use crate::vertex::{Booked, Checked, Entry, Known};

impl Fold {
    pub(super) fn charter(&mut self, ctx: &FoldContext<'_>, entry: &Entry) -> Folded {
        let authority = ctx.authority;
        if entry.body != authority.charter_body || authority.log != self.log {
            return Err(Refusal::BadEntry.into());
        }
        plain(entry)?;
        self.dated(authority.charter.created_at, NEVER);
        Ok(())
    }

    pub(super) fn start(&self, entry: &Entry) -> Folded {
        Start::read(&entry.body)?;
        Ok(plain(entry)?)
    }

    pub(super) fn enrol(&mut self, ctx: &FoldContext<'_>, entry: &Entry, known: &Known) -> Folded {
        let body: Enrol = read_person_body(&entry.body)?;
        self.addressed(ctx, &body.common())?;
        let account = body.account();
        if self.rows(ctx).account(&self.log, &account).is_some() {
            return Err(Refusal::AccountExists.into());
        }
        let key = body.signing_key()?;
        self.unused(ctx, &key)?;
        one_signature(entry, body.key)?;
        match known.checked() {
            [Checked::Good] => {}
            _ => crate::vertex::verify_entry_signature(entry, body.key, &key)?,
        }
        let received_at = received_at(entry)?;
        exactly(
            entry,
            Booked {
                received_at: Some(received_at),
                ..Booked::default()
            },
            0,
        )?;
        self.datable(received_at, NEVER, Refusal::BadBooking)?;

        let row = AccountRow {
            key: body.key,
            key_at: self.next_position(),
            revoked: false,
            next_sequence: 1,
            available: Amount::ZERO,
            open_out: Amount::ZERO,
            order: None,
        };
        self.put_account(&account, &row);
        self.note_submission(&identity(Enrol::TAG, &entry.body));
        self.dated(received_at, NEVER);
        Ok(())
    }

    pub(super) fn grant(&mut self, ctx: &FoldContext<'_>, entry: &Entry, known: &Known) -> Folded {
        let body: Grant = read_officers_body(&entry.body)?;
        self.decided(ctx, &body.decision(), entry, known)?;
        let mut row = self
            .rows(ctx)
            .account(&self.log, &body.account)
            .ok_or(Refusal::UnknownAccount)?;
        row.available = row.available.plus(body.amount)?;
        let mut totals = self.row.totals;
        totals.granted = add(totals.granted, body.amount)?;
        totals.available = add(totals.available, body.amount)?;
        let received_at = received_at(entry)?;
        let booked = Booked {
            received_at: Some(received_at),
            balance_after: Some(row.available),
            ..Booked::default()
        };
        exactly(entry, booked, 0)?;
        self.datable(received_at, NEVER, Refusal::BadBooking)?;

        self.row.totals = totals;
        self.row.officers_sequence = body.officers_sequence;
        self.put_account(&body.account, &row);
        self.note_submission(&identity(TAG_GRANT, &entry.body));
        self.dated(received_at, NEVER);
        Ok(())
    }

    pub(super) fn place(&mut self, ctx: &FoldContext<'_>, entry: &Entry, known: &Known) -> Folded {
        let proof = known.proof(entry)?;
        if proof.network != ctx.network {
            return Err(Refusal::WrongNetwork.into());
        }
        plain(entry)?;
        self.place = Some((proof, known.body_hash(entry)));
        Ok(())
    }

    pub(super) fn transfer(
        &mut self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        known: &Known,
    ) -> Folded {
        let body: Cow<'_, Transfer> = known.body(entry)?;
        self.addressed(ctx, &body.common())?;
        let mut sender = self.signer(ctx, entry, known, &body.sender, &body.common())?;

        let (proof, digest) = self.place.as_ref().ok_or(Refusal::PlaceUnknown)?;
        let received_at = received_at(entry)?;
        let place = grade_that_counts(proof, &body, received_at)?;
        if *digest != body.proof_of_place {
            return Err(Refusal::PlaceMismatch.into());
        }

        sender.next_sequence += 1;
        let (sender, totals) = self.sent(sender, body.amount)?;
        let booked = Booked {
            received_at: Some(received_at),
            balance_after: Some(sender.available),
            // The home decides the expense account; nobody reads the private details again.
            debit: entry.booked.debit.filter(|code| is_expense(*code)),
            place: Some(place),
            ..Booked::default()
        };
        if booked.debit.is_none() {
            return Err(Refusal::BadBooking.into());
        }
        exactly(entry, booked, 0)?;
        self.datable(received_at, body.expires_at, Refusal::Expired)?;
        let away = body.receiver_home != self.log;
        let room = self.to.len() < crate::vertex::MAX_TO || self.to.contains(&body.receiver_home);
        if away && !room {
            return Err(Refusal::BadVertex.into());
        }

        let at = self.next_position();
        let transfer = known.identity::<Transfer>(entry);
        // What was adopted is booked; before the first cut there is nothing to adopt, and nothing is looked up.
        if self.position.0 > 1 && self.rows(ctx).transfer(&self.log, &transfer).is_some() {
            return Err(Refusal::SequenceUsed.into());
        }
        let row = TransferRow {
            state: TransferState::Open,
            at,
            received_at,
            amount: body.amount,
            sender: body.sender,
            receiver: body.receiver,
            receiver_home: body.receiver_home,
            transfer_id: body.transfer_id,
        };
        self.put_sent(ctx, &transfer, &row, (&sender, totals));
        self.place = None;
        self.dated(received_at, body.expires_at);
        Ok(())
    }

    /// The sender's account and the sums when so much was sent.
    pub(super) fn sent(
        &self,
        mut sender: AccountRow,
        amount: Amount,
    ) -> Result<(AccountRow, Totals), Refusal> {
        sender.available = sender.available.minus(amount)?;
        sender.open_out = sender.open_out.plus(amount)?;
        let mut totals = self.row.totals;
        totals.available = subtract(totals.available, amount)?;
        totals.open_out = add(totals.open_out, amount)?;
        Ok((sender, totals))
    }

    /// A transfer is on its way, and waits for its receiver.
    pub(super) fn put_sent(
        &mut self,
        ctx: &FoldContext<'_>,
        identity: &Digest,
        row: &TransferRow,
        (sender, totals): (&AccountRow, Totals),
    ) {
        self.put_account(&row.sender, sender);
        let name = |table| key(table, &[&self.log.0, &identity.0]);
        let (transfer, open) = (name(Table::Transfer), name(Table::Open));
        self.changes.put(transfer, row);
        let by_id = [
            &self.log.0[..],
            row.sender.as_str().as_bytes(),
            &row.transfer_id.0,
        ];
        self.changes.put(key(Table::TransferId, &by_id), identity);
        self.changes.put(open, &row.receiver_home);
        // When a log is folded again its receivers may have answered already; who cites a vertex has seen it.
        let answered = |rows: Layers<'_>| rows.answer(&row.receiver_home, identity).is_some();
        if !(self.again && answered(self.rows(ctx))) {
            let (at, received_at) = (row.at, row.received_at);
            self.changes.put(
                incoming_key(&row.receiver_home, &row.receiver, identity),
                &IncomingRow {
                    log: self.log,
                    at,
                    received_at,
                },
            );
        }
        self.row.totals = totals;
        if row.receiver_home != self.log {
            self.to.insert(row.receiver_home);
        }
    }
}

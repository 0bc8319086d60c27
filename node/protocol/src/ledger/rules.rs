//! The rule of each kind of entry (DESIGN §6). Every rule first checks everything, then changes rows:
//! an entry that is refused leaves no trace.

use super::ACCEPT_DEADLINE_MS;
use super::fold::{Fold, FoldContext, FoldError};
use super::judge::{Missing, convicts};
use super::rows::{AccountRow, IncomingRow, Table, TransferRow, TransferState, key};
use super::view::Rows;
use crate::amount::{Amount, Timestamp};
use crate::body::{
    Accept, Common, Enrol, Fault, Grant, OwnEntry, PersonBody, Settle, Start, Transfer, identity,
    read_person_body,
};
use crate::crypto::TAG_GRANT;
use crate::ids::{AccountId, Digest, KeyId, LogId};
use crate::journal::debit_for_transfer;
use crate::place::{Grade, PlaceProof};
use crate::refusal::Refusal;
use crate::vertex::{Booked, Checked, Cite, Entry};

/// A last time that never comes.
const NEVER: Timestamp = Timestamp(u64::MAX);

type Folded = Result<(), FoldError>;

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

    pub(super) fn enrol(
        &mut self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        checked: &[Checked],
    ) -> Folded {
        let body: Enrol = read_person_body(&entry.body)?;
        self.addressed(ctx, &body.common())?;
        let account = body.account();
        if self.rows(ctx).account(&self.log, &account).is_some() {
            return Err(Refusal::AccountExists.into());
        }
        one_signature(entry, body.key)?;
        match checked {
            [Checked::Good] => {}
            _ => crate::vertex::verify_entry_signature(entry, body.key, &body.signing_key()?)?,
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
            enrolled: self.next_position(),
            next_sequence: 1,
            available: Amount::ZERO,
            open_out: Amount::ZERO,
        };
        self.put_account(&account, &row);
        self.note_submission(&identity(Enrol::TAG, &entry.body));
        self.dated(received_at, NEVER);
        Ok(())
    }

    pub(super) fn grant(
        &mut self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        checked: &[Checked],
    ) -> Folded {
        let body = Grant::read(&entry.body)?;
        if body.network != ctx.network {
            return Err(Refusal::WrongNetwork.into());
        }
        if body.home != self.log {
            return Err(Refusal::WrongHome.into());
        }
        match body
            .officers_sequence
            .cmp(&(self.row.officers_sequence + 1))
        {
            std::cmp::Ordering::Less => return Err(Refusal::SequenceUsed.into()),
            std::cmp::Ordering::Greater => return Err(Refusal::SequenceGap.into()),
            std::cmp::Ordering::Equal => {}
        }
        officers_signed(ctx, entry, checked)?;
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

    pub(super) fn place(&mut self, ctx: &FoldContext<'_>, entry: &Entry) -> Folded {
        let proof = PlaceProof::decode(&entry.body)?;
        if proof.network != ctx.network {
            return Err(Refusal::WrongNetwork.into());
        }
        plain(entry)?;
        self.place = Some(proof);
        Ok(())
    }

    pub(super) fn transfer(
        &mut self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        checked: &[Checked],
    ) -> Folded {
        let body: Transfer = read_person_body(&entry.body)?;
        self.addressed(ctx, &body.common())?;
        let mut sender = self.signer(ctx, entry, checked, &body.sender, &body.common())?;

        let proof = self.place.as_ref().ok_or(Refusal::PlaceUnknown)?;
        let received_at = received_at(entry)?;
        let place = grade_that_counts(proof, &body, received_at)?;
        let previous = self.entries.last().ok_or(Refusal::PlaceUnknown)?;
        if Digest::of(&[&previous.body]) != body.proof_of_place {
            return Err(Refusal::PlaceMismatch.into());
        }

        sender.available = sender.available.minus(body.amount)?;
        sender.open_out = sender.open_out.plus(body.amount)?;
        sender.next_sequence += 1;
        let mut totals = self.row.totals;
        totals.available = subtract(totals.available, body.amount)?;
        totals.open_out = add(totals.open_out, body.amount)?;
        let booked = Booked {
            received_at: Some(received_at),
            balance_after: Some(sender.available),
            debit: Some(debit_for_transfer(body.account_title)),
            place: Some(place),
        };
        exactly(entry, booked, 0)?;
        self.datable(received_at, body.expires_at, Refusal::Expired)?;
        let away = body.receiver_home != self.log;
        let room = self.to.len() < crate::vertex::MAX_TO || self.to.contains(&body.receiver_home);
        if away && !room {
            return Err(Refusal::BadVertex.into());
        }

        let at = self.next_position();
        let transfer = identity(Transfer::TAG, &entry.body);
        self.put_account(&body.sender, &sender);
        self.changes.put(
            key(Table::Transfer, &[&self.log.0, &transfer.0]),
            &TransferRow {
                state: TransferState::Open,
                at,
                received_at,
                amount: body.amount,
                sender: body.sender,
                receiver: body.receiver,
                receiver_home: body.receiver_home,
                transfer_id: body.transfer_id,
            },
        );
        let by_id = [
            &self.log.0[..],
            body.sender.as_str().as_bytes(),
            &body.transfer_id.0,
        ];
        self.changes.put(key(Table::TransferId, &by_id), &transfer);
        self.changes.put(
            key(Table::Open, &[&self.log.0, &transfer.0]),
            &body.receiver_home,
        );
        // When a log is folded again its receivers may have accepted already.
        if self
            .rows(ctx)
            .accepted(&body.receiver_home, &transfer)
            .is_none()
        {
            self.changes.put(
                incoming_key(&body.receiver_home, &body.receiver, &transfer),
                &IncomingRow {
                    log: self.log,
                    at,
                    received_at,
                },
            );
        }
        self.row.totals = totals;
        self.place = None;
        self.dated(received_at, body.expires_at);
        if away {
            self.to.insert(body.receiver_home);
        }
        Ok(())
    }

    pub(super) fn accept(
        &mut self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        checked: &[Checked],
    ) -> Folded {
        let body: Accept = read_person_body(&entry.body)?;
        self.addressed(ctx, &body.common())?;
        let account = AccountId::new(&body.home, &body.key);
        let mut receiver = self.signer(ctx, entry, checked, &account, &body.common())?;
        if self.rows(ctx).accepted(&self.log, &body.transfer).is_some() {
            return Err(Refusal::AlreadyAccepted.into());
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
        self.changes
            .put(key(Table::Accepted, &[&self.log.0, &body.transfer.0]), &at);
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

    pub(super) fn fault(&mut self, ctx: &FoldContext<'_>, entry: &Entry) -> Folded {
        let body = Fault::read(&entry.body)?;
        plain(entry)?;
        if self
            .rows(ctx)
            .fault_cut(&self.log, &body.log, body.epoch)
            .is_some()
        {
            return Err(Refusal::BadEntry.into());
        }
        let Some(accused) = ctx.keys.authority(&body.log) else {
            return Err(FoldError::Waiting(Missing::Log(body.log)));
        };
        convicts(&body, &accused.node_key, ctx.network)?;
        let parts = [&self.log.0[..], &body.log.0, &body.epoch.to_be_bytes()];
        self.changes.put(key(Table::FaultEntry, &parts), &body.cut);
        Ok(())
    }

    /// Refuses an entry that no time of this vertex fits.
    fn datable(&self, received: Timestamp, last: Timestamp, late: Refusal) -> Result<(), Refusal> {
        if self.can_be_dated(received, last) {
            Ok(())
        } else {
            Err(late)
        }
    }

    /// Network and home of a person's body.
    fn addressed(&self, ctx: &FoldContext<'_>, common: &Common) -> Result<(), Refusal> {
        if common.network != ctx.network {
            Err(Refusal::WrongNetwork)
        } else if common.home != self.log {
            Err(Refusal::WrongHome)
        } else {
            Ok(())
        }
    }

    /// The account that signs, after its key, sequence and signature were checked.
    fn signer(
        &self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        checked: &[Checked],
        account: &AccountId,
        common: &Common,
    ) -> Result<AccountRow, FoldError> {
        let rows = self.rows(ctx);
        let row = rows
            .account(&self.log, account)
            .ok_or(Refusal::UnknownAccount)?;
        if row.key != common.key {
            return Err(Refusal::WrongKey.into());
        }
        one_signature(entry, common.key)?;
        match checked {
            [Checked::Good] => {}
            // Also what the pool found bad: the reason is to be the same whoever checked it.
            _ => self.check_with_enrolled_key(ctx, entry, &row.enrolled, common.key)?,
        }
        match common.sequence.cmp(&row.next_sequence) {
            std::cmp::Ordering::Less => Err(Refusal::SequenceUsed.into()),
            std::cmp::Ordering::Greater => Err(Refusal::SequenceGap.into()),
            std::cmp::Ordering::Equal => Ok(row),
        }
    }

    fn check_with_enrolled_key(
        &self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        enrolled: &OwnEntry,
        key: KeyId,
    ) -> Result<(), Refusal> {
        if let Some(known) = ctx.keys.public_key(&key) {
            return crate::vertex::verify_entry_signature(entry, key, &known);
        }
        let in_this_vertex = (enrolled.epoch, enrolled.seq) == self.position;
        let enrolment = if in_this_vertex {
            usize::try_from(enrolled.index)
                .ok()
                .and_then(|i| self.entries.get(i).cloned())
        } else {
            self.rows(ctx).entry(&self.log, enrolled)
        };
        let enrolment = enrolment.ok_or(Refusal::UnknownAccount)?;
        let body: Enrol = read_person_body(&enrolment.body)?;
        crate::vertex::verify_entry_signature(entry, key, &body.signing_key()?)
    }

    fn put_account(&mut self, account: &AccountId, row: &AccountRow) {
        let key = key(Table::Account, &[&self.log.0, account.as_str().as_bytes()]);
        self.changes.put(key, row);
    }
}

/// Key of the row that says a transfer waits for its receiver.
fn incoming_key(home: &LogId, receiver: &AccountId, identity: &Digest) -> Vec<u8> {
    key(
        Table::Incoming,
        &[&home.0, receiver.as_str().as_bytes(), &identity.0],
    )
}

/// The place grade as it counts for this transfer: a stale proof is only a claim.
fn grade_that_counts(
    proof: &PlaceProof,
    body: &Transfer,
    received_at: Timestamp,
) -> Result<Grade, Refusal> {
    if proof.account != body.sender || proof.transfer_id != body.transfer_id {
        return Err(Refusal::PlaceMismatch);
    }
    Ok(if proof.fresh_at(received_at) {
        proof.grade
    } else {
        proof.grade.min(Grade::Claimed)
    })
}

/// What a home writes itself, with neither signatures, bookings nor cites.
fn plain(entry: &Entry) -> Result<(), Refusal> {
    let bare = entry.sig.is_empty() && entry.cites.is_empty();
    if bare && entry.booked == Booked::default() {
        Ok(())
    } else {
        Err(Refusal::BadEntry)
    }
}

fn received_at(entry: &Entry) -> Result<Timestamp, Refusal> {
    entry.booked.received_at.ok_or(Refusal::BadBooking)
}

/// What the home booked is what the rules give, and the entry rests on as many things as its kind.
fn exactly(entry: &Entry, booked: Booked, cites: usize) -> Result<(), Refusal> {
    if entry.booked != booked {
        Err(Refusal::BadBooking)
    } else if entry.cites.len() != cites {
        Err(Refusal::BadCite)
    } else {
        Ok(())
    }
}

fn one_signature(entry: &Entry, key: KeyId) -> Result<(), Refusal> {
    match entry.sig.as_slice() {
        [sig] if sig.key == key => Ok(()),
        [_] => Err(Refusal::WrongKey),
        _ => Err(Refusal::BadEntry),
    }
}

/// At least k distinct officers signed, all of them officers, in order of their key ids.
fn officers_signed(
    ctx: &FoldContext<'_>,
    entry: &Entry,
    checked: &[Checked],
) -> Result<(), Refusal> {
    let enough = entry.sig.len() as u64 >= ctx.authority.charter.officers.k;
    if !enough || !entry.sig.is_sorted_by(|a, b| a.key < b.key) {
        return Err(Refusal::OfficersShort);
    }
    for (i, sig) in entry.sig.iter().enumerate() {
        let officer = ctx
            .authority
            .officers()
            .iter()
            .find(|key| key.id() == sig.key)
            .ok_or(Refusal::OfficersShort)?;
        if checked.get(i) != Some(&Checked::Good) {
            crate::vertex::verify_entry_signature(entry, sig.key, officer)?;
        }
    }
    Ok(())
}

fn add(sum: u64, amount: Amount) -> Result<u64, Refusal> {
    sum.checked_add(amount.hundredths())
        .ok_or(Refusal::OutOfRange)
}

fn subtract(sum: u64, amount: Amount) -> Result<u64, Refusal> {
    sum.checked_sub(amount.hundredths())
        .ok_or(Refusal::OutOfRange)
}

//! Admission: what people and officers submit is checked against the clock, the account's turn and the
//! municipality's policy, gets its bookings, and goes into the open vertex.

use std::sync::Arc;

use super::answers::deadline_of;
use super::{Action, Now, Outcome, Replica, Ticket, stored_receipt};
use crate::amount::{Amount, Timestamp};
use crate::body::OfficersBody as _;
use crate::body::{
    Common, Correct, Decision, Grant, Kind, MAX_FUTURE_MS, OfficersRevoke, Order, OwnEntry,
    PersonBody, Recover, Revoke, Rotate, Transfer, Ungrant, identity, is_officers_revoke,
    read_officers_body, read_person_body,
};
use crate::crypto::{DomainTag, TAG_GRANT};
use crate::ids::{AccountId, Digest, LogId, NetworkId};
use crate::ledger::{History, Rows, SILENCE_MS, Table, key};
use crate::refusal::Refusal;
use crate::stage::{SignedBySeveral, Submission, Verified};
use crate::vertex::{Booked, Checked, Entry, EntrySignature, Known, KnownBody as _};

impl Replica {
    pub(super) fn submit(
        &mut self,
        ticket: Ticket,
        submission: Submission,
        now: Now,
        history: &dyn History,
    ) {
        if let Err(refusal) = self.admit(ticket, submission, now, history) {
            self.after.push(Action::Reply(ticket, Err(refusal)));
        }
    }

    fn admit(
        &mut self,
        ticket: Ticket,
        submission: Submission,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        match submission {
            Submission::Enrol(body) => {
                let identity = body.identity();
                if let Some(at) = self
                    .rows_now(history)
                    .submission(&self.home.log(), &identity)
                {
                    return self.repeat(ticket, identity, at, history);
                }
                dated(body.body().created_at, now)?;
                let (_, bytes, sig) = body.into_parts();
                let entry = signed_entry(Kind::Enrol, bytes, vec![sig], now);
                let known = Known::signatures(vec![Checked::Good]);
                self.book(ticket, identity, vec![(entry, known)], now, history)
            }
            Submission::Rotate(signed) => {
                let made = read_person_body::<Rotate>(&signed.bytes)?.created_at;
                self.admit_keys(
                    ticket,
                    (Kind::Rotate, Rotate::TAG),
                    signed,
                    made,
                    now,
                    history,
                )
            }
            Submission::Revoke(signed) => {
                let made = if is_officers_revoke(&signed.bytes) {
                    read_officers_body::<OfficersRevoke>(&signed.bytes)?.created_at
                } else {
                    read_person_body::<Revoke>(&signed.bytes)?.created_at
                };
                self.admit_keys(
                    ticket,
                    (Kind::Revoke, Revoke::TAG),
                    signed,
                    made,
                    now,
                    history,
                )
            }
            Submission::Order(signed) => {
                let made = signed.body().created_at;
                let (_, bytes, sig) = signed.into_parts();
                let signatures = vec![sig];
                let signed = SignedBySeveral { bytes, signatures };
                let kind = (Kind::Order, Order::TAG);
                self.admit_keys(ticket, kind, signed, made, now, history)
            }
            Submission::Recover(signed) => {
                let made = read_officers_body::<Recover>(&signed.bytes)?.created_at;
                self.admit_keys(
                    ticket,
                    (Kind::Recover, Recover::TAG),
                    signed,
                    made,
                    now,
                    history,
                )
            }
            Submission::Grant(signed) => {
                let body = read_officers_body::<Grant>(&signed.bytes)?;
                let decided = (Kind::Grant, TAG_GRANT, body.decision());
                let plus = |balance: Amount| balance.plus(body.amount);
                self.admit_decision(
                    ticket,
                    decided,
                    signed,
                    (&body.account, &plus),
                    now,
                    history,
                )
            }
            Submission::Ungrant(signed) => {
                let body = read_officers_body::<Ungrant>(&signed.bytes)?;
                let decided = (Kind::Ungrant, Ungrant::TAG, body.decision());
                let minus = |balance: Amount| balance.minus(body.amount);
                self.admit_decision(
                    ticket,
                    decided,
                    signed,
                    (&body.account, &minus),
                    now,
                    history,
                )
            }
            Submission::Amend(signed) => self.admit_amendment(ticket, signed, now, history),
            Submission::Correct(signed) => self.admit_correct(ticket, signed, now, history),
            Submission::Transfer(transfer) => self.admit_transfer(ticket, transfer, now, history),
            Submission::Accept(accept) => self.admit_accept(ticket, accept, now, history),
            Submission::Reject(reject) => self.admit_reject(ticket, reject, now, history),
        }
    }

    /// What changes an account's keys: the fold says whether those who signed may.
    fn admit_keys(
        &mut self,
        ticket: Ticket,
        (kind, tag): (Kind, DomainTag),
        signed: SignedBySeveral,
        created_at: Timestamp,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let identity = identity(tag, &signed.bytes);
        let rows = self.rows_now(history);
        if let Some(at) = rows.submission(&self.home.log(), &identity) {
            return self.repeat(ticket, identity, at, history);
        }
        dated(created_at, now)?;
        let (signatures, known) = in_order(signed.signatures);
        let entry = signed_entry(kind, signed.bytes, signatures, now);
        self.book(ticket, identity, vec![(entry, known)], now, history)
    }

    /// What officers decide about an account's balance, which becomes what `then` says.
    fn admit_decision(
        &mut self,
        ticket: Ticket,
        (kind, tag, decision): (Kind, DomainTag, Decision),
        signed: SignedBySeveral,
        (account, then): (&AccountId, &dyn Fn(Amount) -> Result<Amount, Refusal>),
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let identity = identity(tag, &signed.bytes);
        let rows = self.rows_now(history);
        if let Some(at) = rows.submission(&self.home.log(), &identity) {
            return self.repeat(ticket, identity, at, history);
        }
        self.addressed(&decision.network, &decision.home)?;
        dated(decision.created_at, now)?;
        let account = rows
            .account(&self.home.log(), account)
            .ok_or(Refusal::UnknownAccount)?;
        let balance = then(account.available)?;
        let (signatures, known) = in_order(signed.signatures);
        let mut entry = signed_entry(kind, signed.bytes, signatures, now);
        entry.booked.balance_after = Some(balance);
        self.book(ticket, identity, vec![(entry, known)], now, history)
    }

    fn admit_correct(
        &mut self,
        ticket: Ticket,
        signed: SignedBySeveral,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let body = read_officers_body::<Correct>(&signed.bytes)?;
        let decided = (Kind::Correct, Correct::TAG, body.decision());
        let repeated = self
            .rows_now(history)
            .submission(&self.home.log(), &identity(Correct::TAG, &signed.bytes));
        if let (Some(transfer), None) = (&body.transfer, repeated) {
            self.is_silent(transfer, now, history)?;
        }
        let back = body.transfer.is_some();
        let then = |balance: Amount| match back {
            true => balance.plus(body.amount),
            false => balance.minus(body.amount),
        };
        self.admit_decision(
            ticket,
            decided,
            signed,
            (&body.account, &then),
            now,
            history,
        )
    }

    /// Whether nobody answered an own transfer, as far as is known here, until a year behind its deadline: by the
    /// clock, or else the vertex would be dated ahead of it.
    fn is_silent(&self, transfer: &Digest, now: Now, history: &dyn History) -> Result<(), Refusal> {
        let (rows, home) = (self.rows_now(history), self.home.log());
        let row = rows.transfer(&home, transfer);
        let row = row.ok_or(Refusal::UnknownTransfer)?;
        if rows.answer(&row.receiver_home, transfer).is_some() {
            return Err(Refusal::AlreadyAnswered);
        }
        let deadline = deadline_of(&rows, &home, &row.at);
        let silent = deadline.map(|deadline| deadline.plus_ms(SILENCE_MS));
        if silent.is_some_and(|silent| silent < now.time) {
            Ok(())
        } else {
            Err(Refusal::NotExpired)
        }
    }

    fn admit_transfer(
        &mut self,
        ticket: Ticket,
        transfer: Verified<Transfer>,
        now: Now,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        let (identity, hashes) = (transfer.identity(), transfer.hashes());
        let expense = transfer.expense();
        let (body, bytes, sig) = transfer.into_parts();
        let home = self.home.log();
        let rows = self.rows_now(history);
        let by_id = [
            &home.0[..],
            body.sender.as_str().as_bytes(),
            &body.transfer_id.0,
        ];
        // Every booked transfer has such a row, so that one look finds both a repetition and a clash.
        let same_id: Option<Digest> = rows.typed(&key(Table::TransferId, &by_id));
        if same_id == Some(identity)
            && let Some(row) = rows.transfer(&home, &identity)
        {
            return self.repeat(ticket, identity, row.at, history);
        }
        let balance = self.in_turn(&rows, &body.sender, &body.common())?;
        if same_id.is_some() {
            return Err(Refusal::TransferIdUsed);
        }
        dated(body.created_at, now)?;
        if body.expires_at < now.time {
            return Err(Refusal::Expired);
        }
        let held = self
            .places
            .get(&body.proof_of_place)
            .ok_or(Refusal::PlaceUnknown)?;
        let proof = &held.proof;
        proof.binds(&self.network, &body.sender, &body.transfer_id)?;
        proof.admit(self.home.authority.region(), &self.policy, now.time)?;
        let balance = balance.minus(body.amount)?;
        let confirming = &self.home.confirming;
        confirming.admits(&body.sender, body.amount, now.time)?;

        let place = Entry::home_authored(Kind::Place, held.encoded.clone());
        let known_place = Known::place(Arc::clone(proof), body.proof_of_place);
        let grade = proof.grade_at(now.time);
        let mut entry = signed_entry(Kind::Transfer, bytes, vec![sig], now);
        entry.booked.balance_after = Some(balance);
        entry.booked.debit = Some(expense.code());
        entry.booked.place = Some(grade);
        let within = body.receiver_home == home;
        let (sender, amount) = (body.sender, body.amount);
        let entries = vec![(place, known_place), (entry, body.known(identity, hashes))];
        self.book(ticket, identity, entries, now, history)?;
        self.home.confirming.sends(sender, amount, now.time);
        if within {
            self.answer_by_itself(&home, &identity, now, history);
        }
        Ok(())
    }

    /// The account's balance, if the key is its own and it is this number's turn.
    pub(super) fn in_turn(
        &self,
        rows: &impl Rows,
        account: &AccountId,
        common: &Common,
    ) -> Result<Amount, Refusal> {
        self.addressed(&common.network, &common.home)?;
        let row = rows
            .account(&self.home.log(), account)
            .ok_or(Refusal::UnknownAccount)?;
        row.admits(&common.key)?;
        match common.sequence.cmp(&row.next_sequence) {
            std::cmp::Ordering::Less => Err(Refusal::SequenceUsed),
            std::cmp::Ordering::Greater => Err(Refusal::SequenceGap),
            std::cmp::Ordering::Equal => Ok(row.available),
        }
    }

    /// Whether a body is meant for this network and this home.
    fn addressed(&self, network: &NetworkId, home: &LogId) -> Result<(), Refusal> {
        if *network != self.network {
            Err(Refusal::WrongNetwork)
        } else if *home != self.home.log() {
            Err(Refusal::WrongHome)
        } else {
            Ok(())
        }
    }

    /// Answers with the first receipt of something that was booked before.
    pub(super) fn repeat(
        &mut self,
        ticket: Ticket,
        identity: Digest,
        at: OwnEntry,
        history: &dyn History,
    ) -> Result<(), Refusal> {
        if let Some(open) = &mut self.open {
            let here = open.fold.next_position();
            if (at.epoch, at.seq) == (here.epoch, here.seq) {
                open.wait_for(ticket, identity, at.index);
                return Ok(());
            }
        }
        let authority = self.home.authority();
        let rows = self.layers(history);
        let booked = stored_receipt(&rows, &authority, identity, at);
        let booked = booked.ok_or_else(|| match rows.entry_stub(&authority.log, &at) {
            Some(_) => Refusal::BodyPruned,
            None => Refusal::NotSequencing,
        })?;
        self.after
            .push(Action::Reply(ticket, Ok(Outcome::Booked(Box::new(booked)))));
        Ok(())
    }
}

/// A client's clock may run ahead of the home's, but not far.
pub(super) fn dated(created_at: Timestamp, now: Now) -> Result<(), Refusal> {
    if created_at > now.time.plus_ms(MAX_FUTURE_MS) {
        Err(Refusal::FutureDated)
    } else {
        Ok(())
    }
}

/// Signatures as an entry has them; none of them is known to be good.
fn in_order(mut signatures: Vec<EntrySignature>) -> (Vec<EntrySignature>, Known) {
    signatures.sort_by_key(|sig| sig.key);
    let known = Known::signatures(vec![Checked::Unknown; signatures.len()]);
    (signatures, known)
}

/// What officers decided about the log itself, received now.
pub(super) fn officers_entry(kind: Kind, signed: SignedBySeveral, now: Now) -> Entry {
    let (signatures, _) = in_order(signed.signatures);
    signed_entry(kind, signed.bytes, signatures, now)
}

/// An entry that somebody submitted, received now.
pub(super) fn signed_entry(kind: Kind, body: Vec<u8>, sig: Vec<EntrySignature>, now: Now) -> Entry {
    let booked = Booked {
        received_at: Some(now.time),
        ..Booked::default()
    };
    Entry {
        kind,
        body,
        sig,
        booked,
        cites: Vec::new(),
    }
}

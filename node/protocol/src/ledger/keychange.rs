//! The rules of `rotate`, `revoke` and `recover`: which key an account has from here on; of `epoch-start`: which key
//! signs the log; and of a later `charter`: who decides in it.

use super::checks::{Folded, NEVER, exactly, received_at};
use super::fold::{Fold, FoldContext};
use super::rows::{AccountRow, Table, key};
use super::view::Rows;
use crate::body::{
    Amendment, Common, Decision, EpochStart, NewKeys, OfficersBody, OfficersRevoke, PersonBody,
    Recover, Revoke, Rotate, identity, is_officers_revoke, read_officers_body, read_person_body,
};
use crate::crypto::{DomainTag, PublicKey};
use crate::ids::{AccountId, Digest, KeyId, sha256};
use crate::refusal::Refusal;
use crate::vertex::{Booked, Checked, Entry, Known, verify_entry_signature};

impl Fold {
    pub(super) fn rotate(&mut self, ctx: &FoldContext<'_>, entry: &Entry, known: &Known) -> Folded {
        let body: Rotate = read_person_body(&entry.body)?;
        let common = body.common();
        self.addressed(ctx, &common)?;
        let mut row = self.active(ctx, &body.account, common.key)?;
        let new = body.new.signing_key()?;
        // Both or nothing: neither key alone says who the account belongs to from now on.
        let mut signers = [common.key, new.id()];
        signers.sort_unstable();
        if !entry.sig.iter().map(|sig| sig.key).eq(signers) {
            return Err(Refusal::WrongKey.into());
        }
        let good = |id| checked(entry, known, id) == Some(Checked::Good);
        if !good(common.key) {
            self.check_with_active_key(ctx, entry, &row.key_at, common.key)?;
        }
        if !good(new.id()) {
            verify_entry_signature(entry, new.id(), &new)?;
        }
        in_turn(&common, &row)?;
        self.unused(ctx, &new)?;
        self.booked_plainly(entry)?;

        row.next_sequence += 1;
        self.replace_key(&body.account, row, &new);
        self.submitted(Rotate::TAG, entry)
    }

    pub(super) fn revoke(&mut self, ctx: &FoldContext<'_>, entry: &Entry, known: &Known) -> Folded {
        if is_officers_revoke(&entry.body) {
            let body: OfficersRevoke = read_officers_body(&entry.body)?;
            self.decided(ctx, &body.decision(), entry, known)?;
            let row = self.account_of(ctx, &body.account)?;
            if row.revoked {
                return Err(Refusal::KeyRevoked.into());
            }
            self.booked_plainly(entry)?;
            self.row.officers_sequence = body.officers_sequence;
            self.close_key(&body.account, row);
        } else {
            let body: Revoke = read_person_body(&entry.body)?;
            self.addressed(ctx, &body.common())?;
            let mut row = self.signer(ctx, entry, known, &body.account, &body.common())?;
            self.booked_plainly(entry)?;
            row.next_sequence += 1;
            self.close_key(&body.account, row);
        }
        self.submitted(Revoke::TAG, entry)
    }

    pub(super) fn recover(
        &mut self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        known: &Known,
    ) -> Folded {
        let body: Recover = read_officers_body(&entry.body)?;
        self.decided(ctx, &body.decision(), entry, known)?;
        let row = self.account_of(ctx, &body.account)?;
        let new = body.new.signing_key()?;
        self.unused(ctx, &new)?;
        self.booked_plainly(entry)?;

        self.row.officers_sequence = body.officers_sequence;
        self.replace_key(&body.account, row, &new);
        self.submitted(Recover::TAG, entry)
    }

    pub(super) fn epoch_start(
        &mut self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        known: &Known,
    ) -> Folded {
        let body: EpochStart = read_officers_body(&entry.body)?;
        self.decided(ctx, &body.decision(), entry, known)?;
        // Its certificate was judged when the authority took it.
        if ctx.authority.start_of(self.position.0) != Some(entry) {
            return Err(Refusal::BadEntry.into());
        }
        let ended = (self.row.epoch, self.row.seq, self.row.head);
        // Of what earlier epochs closed nothing is taken back: the epoch that ends loses its beginning at most.
        let first = self.rows(ctx).first_of_epoch(&self.log, self.row.epoch);
        let within = first.is_some_and(|first| body.cut_seq + 1 >= first)
            // Begun twice, it goes back to the lower cut, whichever beginning is followed here.
            || self
                .rows(ctx)
                .fault(&self.log, self.row.epoch)
                .is_some_and(|fault| fault.beginnings && body.cut_seq >= fault.cut);
        if (body.old_epoch, body.cut_seq, body.cut) != ended || !within {
            return Err(Refusal::EpochMismatch.into());
        }
        if body.node_certificate.is_some() {
            self.of_no_account(ctx, ctx.authority.node_key())?;
        }
        self.booked_plainly(entry)?;

        self.row.officers_sequence = body.officers_sequence;
        self.submitted(EpochStart::TAG, entry)
    }

    pub(super) fn amend(&mut self, ctx: &FoldContext<'_>, entry: &Entry, known: &Known) -> Folded {
        let body: Amendment = read_officers_body(&entry.body)?;
        self.decided(ctx, &body.decision(), entry, known)?;
        let before = self.in_force(ctx.authority);
        let charter = Digest(sha256(&[&entry.body]));
        // Who its officers are was judged when the authority took it.
        let named = ctx.authority.board_of(&charter);
        let named = named.filter(|_| body.before == before);
        for key in named.ok_or(Refusal::CharterMismatch)?.keys() {
            self.no_accounts_twin(ctx, key)?;
        }
        self.booked_plainly(entry)?;

        self.row.officers_sequence = body.officers_sequence;
        self.row.charter = Some(charter);
        self.amended = Some((charter, before));
        self.submitted(Amendment::TAG, entry)
    }

    /// Network, home, number and signatures of what officers decide.
    pub(super) fn decided(
        &self,
        ctx: &FoldContext<'_>,
        decision: &Decision,
        entry: &Entry,
        known: &Known,
    ) -> Folded {
        if decision.network != ctx.network {
            return Err(Refusal::WrongNetwork.into());
        }
        if decision.home != self.log {
            return Err(Refusal::WrongHome.into());
        }
        // What a cut took back was decided before: it is decided again, not sent again.
        let since = ctx.authority.since(self.position.0);
        if self.position.0 > 1 && since.is_some_and(|since| decision.created_at < since) {
            return Err(Refusal::Expired.into());
        }
        let next = self.row.officers_sequence + 1;
        match decision.officers_sequence.cmp(&next) {
            std::cmp::Ordering::Less => Err(Refusal::SequenceUsed.into()),
            std::cmp::Ordering::Greater => Err(Refusal::SequenceGap.into()),
            std::cmp::Ordering::Equal => {
                let board = ctx.authority.board_of(&self.in_force(ctx.authority));
                let board = board.ok_or(Refusal::CharterMismatch)?;
                Ok(board.signed(entry, known.checked())?)
            }
        }
    }

    /// Refuses a key whose suite the network does not list, and one that an account of this log, its node or an
    /// officer has or had, under whatever algorithm: the same bytes may work in two, and one key has one.
    pub(super) fn unused(&self, ctx: &FoldContext<'_>, new: &PublicKey) -> Result<(), Refusal> {
        let charter = self.in_force(ctx.authority);
        ctx.authority.admits(new, self.position.0, &charter)?;
        self.of_no_account(ctx, new)
    }

    fn of_no_account(&self, ctx: &FoldContext<'_>, key: &PublicKey) -> Result<(), Refusal> {
        if key.ids_of_bytes().iter().any(|id| self.is_taken(ctx, id)) {
            Err(Refusal::KeyUsed)
        } else {
            Ok(())
        }
    }

    /// An officer may have an account and its key, but not the same bytes under another algorithm.
    fn no_accounts_twin(&self, ctx: &FoldContext<'_>, key: &PublicKey) -> Result<(), Refusal> {
        let twins = key.ids_of_bytes();
        let mut twins = twins.iter().filter(|id| **id != key.id());
        if twins.any(|id| self.is_taken(ctx, id)) {
            Err(Refusal::KeyUsed)
        } else {
            Ok(())
        }
    }

    /// Whether an account of this log has or had the key with this id.
    fn is_taken(&self, ctx: &FoldContext<'_>, id: &KeyId) -> bool {
        let rows = self.rows(ctx);
        let enrolled = AccountId::new(&self.log, id);
        rows.key_owner(&self.log, id).is_some() || rows.account(&self.log, &enrolled).is_some()
    }

    pub(super) fn account_of(
        &self,
        ctx: &FoldContext<'_>,
        account: &AccountId,
    ) -> Result<AccountRow, Refusal> {
        let row = self.rows(ctx).account(&self.log, account);
        row.ok_or(Refusal::UnknownAccount)
    }

    /// The account, if this is its key and it is open.
    pub(super) fn active(
        &self,
        ctx: &FoldContext<'_>,
        account: &AccountId,
        key: KeyId,
    ) -> Result<AccountRow, Refusal> {
        let row = self.account_of(ctx, account)?;
        row.admits(&key)?;
        Ok(row)
    }

    /// Nothing is booked but when the home received it, and it rests on nothing.
    pub(super) fn booked_plainly(&self, entry: &Entry) -> Result<(), Refusal> {
        let received_at = received_at(entry)?;
        let booked = Booked {
            received_at: Some(received_at),
            ..Booked::default()
        };
        exactly(entry, booked, 0)?;
        self.datable(received_at, NEVER, Refusal::BadBooking)
    }

    fn replace_key(&mut self, account: &AccountId, row: AccountRow, new: &PublicKey) {
        let row = AccountRow {
            key: new.id(),
            key_at: self.next_position(),
            revoked: false,
            ..row
        };
        self.put_account(account, &row);
        self.changes
            .put(key(Table::Key, &[&self.log.0, &new.id().0]), account);
    }

    fn close_key(&mut self, account: &AccountId, row: AccountRow) {
        let revoked = true;
        self.put_account(account, &AccountRow { revoked, ..row });
    }

    pub(super) fn submitted(&mut self, tag: DomainTag, entry: &Entry) -> Folded {
        self.note_submission(&identity(tag, &entry.body));
        self.dated(received_at(entry)?, NEVER);
        Ok(())
    }
}

/// The signing key that an entry gives an account: what `enrol`, `rotate` and `recover` say.
///
/// # Errors
/// [`Refusal::BadEntry`] for an entry of another kind, and the refusals of the body.
pub fn key_named_by(entry: &Entry) -> Result<PublicKey, Refusal> {
    use crate::body::{Enrol, Kind};
    let of_new = |new: NewKeys| new.signing_key();
    match entry.kind {
        Kind::Enrol => read_person_body::<Enrol>(&entry.body)?.signing_key(),
        Kind::Rotate => of_new(read_person_body::<Rotate>(&entry.body)?.new),
        Kind::Recover => of_new(read_officers_body::<Recover>(&entry.body)?.new),
        _ => Err(Refusal::BadEntry),
    }
}

/// What is known of the signature that `id` made.
fn checked(entry: &Entry, known: &Known, id: KeyId) -> Option<Checked> {
    let at = entry.sig.iter().position(|sig| sig.key == id)?;
    known.checked().get(at).copied()
}

/// Whether it is this number's turn.
pub(super) fn in_turn(common: &Common, row: &AccountRow) -> Result<(), Refusal> {
    match common.sequence.cmp(&row.next_sequence) {
        std::cmp::Ordering::Less => Err(Refusal::SequenceUsed),
        std::cmp::Ordering::Greater => Err(Refusal::SequenceGap),
        std::cmp::Ordering::Equal => Ok(()),
    }
}

//! What several rules ask: whose turn it is, who signed, what may be booked.

use super::fold::{Fold, FoldContext, FoldError};
use super::keychange::{in_turn, key_named_by};
use super::rows::{AccountRow, Table, key};
use super::view::Rows;
use crate::amount::{Amount, Timestamp};
use crate::body::{Common, OwnEntry, Transfer};
use crate::ids::{AccountId, Digest, KeyId, LogId};
use crate::place::{Grade, PlaceProof};
use crate::refusal::Refusal;
use crate::vertex::{Booked, Checked, Entry, Known};

/// A last time that never comes.
pub(super) const NEVER: Timestamp = Timestamp(u64::MAX);

pub(super) type Folded = Result<(), FoldError>;

impl Fold {
    /// Refuses an entry that no time of this vertex fits.
    pub(super) fn datable(
        &self,
        received: Timestamp,
        last: Timestamp,
        late: Refusal,
    ) -> Result<(), Refusal> {
        if self.can_be_dated(received, last) {
            Ok(())
        } else {
            Err(late)
        }
    }

    /// Network and home of a person's body.
    pub(super) fn addressed(&self, ctx: &FoldContext<'_>, common: &Common) -> Result<(), Refusal> {
        if common.network != ctx.network {
            Err(Refusal::WrongNetwork)
        } else if common.home != self.log {
            Err(Refusal::WrongHome)
        } else {
            Ok(())
        }
    }

    /// The account that signs, after its key, sequence and signature were checked.
    pub(super) fn signer(
        &self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        known: &Known,
        account: &AccountId,
        common: &Common,
    ) -> Result<AccountRow, FoldError> {
        let row = self.active(ctx, account, common.key)?;
        one_signature(entry, common.key)?;
        match known.checked() {
            [Checked::Good] => {}
            // Also what the pool found bad: the reason is to be the same whoever checked it.
            _ => self.check_with_active_key(ctx, entry, &row.key_at, common.key)?,
        }
        in_turn(common, &row)?;
        Ok(row)
    }

    /// Checks with the key that the entry at `named` gave the account.
    pub(super) fn check_with_active_key(
        &self,
        ctx: &FoldContext<'_>,
        entry: &Entry,
        named: &OwnEntry,
        key: KeyId,
    ) -> Result<(), Refusal> {
        if let Some(known) = ctx.keys.public_key(&key) {
            return crate::vertex::verify_entry_signature(entry, key, &known);
        }
        let naming = self.own_entry(ctx, named);
        let naming = naming.ok_or(Refusal::UnknownAccount)?;
        crate::vertex::verify_entry_signature(entry, key, &key_named_by(&naming)?)
    }

    /// An earlier entry of this log, also of this vertex.
    pub(super) fn own_entry(&self, ctx: &FoldContext<'_>, at: &OwnEntry) -> Option<Entry> {
        if (at.epoch, at.seq) == self.position {
            let index = usize::try_from(at.index).ok()?;
            return self.entries.get(index).cloned();
        }
        self.rows(ctx).entry(&self.log, at)
    }

    pub(super) fn put_account(&mut self, account: &AccountId, row: &AccountRow) {
        let key = key(Table::Account, &[&self.log.0, account.as_str().as_bytes()]);
        self.changes.put(key, row);
    }
}

/// Key of the row that says a transfer waits for its receiver.
pub(super) fn incoming_key(home: &LogId, receiver: &AccountId, identity: &Digest) -> Vec<u8> {
    key(
        Table::Incoming,
        &[&home.0, receiver.as_str().as_bytes(), &identity.0],
    )
}

/// The place grade as it counts for this transfer: a stale proof is only a claim.
pub(super) fn grade_that_counts(
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
pub(super) fn plain(entry: &Entry) -> Result<(), Refusal> {
    let bare = entry.sig.is_empty() && entry.cites.is_empty();
    if bare && entry.booked == Booked::default() {
        Ok(())
    } else {
        Err(Refusal::BadEntry)
    }
}

pub(super) fn received_at(entry: &Entry) -> Result<Timestamp, Refusal> {
    entry.booked.received_at.ok_or(Refusal::BadBooking)
}

/// What the home booked is what the rules give, and the entry rests on as many things as its kind.
pub(super) fn exactly(entry: &Entry, booked: Booked, cites: usize) -> Result<(), Refusal> {
    let unconfirmed = entry.booked.unconfirmed;
    let may_say_so = unconfirmed == Some(true) && booked.received_at.is_some();
    let booked = Booked {
        unconfirmed: unconfirmed.filter(|_| may_say_so),
        ..booked
    };
    if entry.booked != booked {
        Err(Refusal::BadBooking)
    } else if entry.cites.len() != cites {
        Err(Refusal::BadCite)
    } else {
        Ok(())
    }
}

pub(super) fn one_signature(entry: &Entry, key: KeyId) -> Result<(), Refusal> {
    match entry.sig.as_slice() {
        [sig] if sig.key == key => Ok(()),
        [_] => Err(Refusal::WrongKey),
        _ => Err(Refusal::BadEntry),
    }
}

pub(super) fn add(sum: u64, amount: Amount) -> Result<u64, Refusal> {
    sum.checked_add(amount.hundredths())
        .ok_or(Refusal::OutOfRange)
}

pub(super) fn subtract(sum: u64, amount: Amount) -> Result<u64, Refusal> {
    sum.checked_sub(amount.hundredths())
        .ok_or(Refusal::OutOfRange)
}

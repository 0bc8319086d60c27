//! What a liar changes of single entries, with the help of whoever signed them or without.

use arbitrary::Arbitrary;
use city_protocol::amount::Amount;
use city_protocol::body::{Kind, is_officers_revoke, officer_message};
use city_protocol::crypto::{self, DomainTag, Signer as _};
use city_protocol::json;
use city_protocol::place::Grade;
use city_protocol::vertex::{Cite, Entry, EntrySignature};
use serde_json::Value;

use super::later;
use crate::edits::{Edit, apply};
use crate::town::town;

/// What a liar changes of an entry.
#[derive(Arbitrary, Debug)]
pub(super) enum EntryLie {
    Swap(u8, u8),
    Remove(u8),
    Twice(u8),
    Foreign(u8, u8),
    Start(u8),
    Kind(u8, u8),
    Body(u8, Edit),
    /// Whoever signed it signs another amount, and the home books it.
    Amount(u8, u32),
    /// Whoever signed it signs another value of some field.
    Field(u8, u8, u64),
    Received(u8, Option<i32>),
    Balance(u8, Option<u32>),
    Debit(u8, Option<u16>),
    Place(u8, u8),
    Unconfirmed(u8, Option<bool>),
    Signature(u8, Edit),
    NoSignature(u8),
    SignatureOf(u8, u8),
    NoCites(u8),
    CitesOf(u8, u8),
    CiteIndex(u8, u8),
    Shortfall(u8, Option<u16>),
}

impl EntryLie {
    pub(super) fn apply(self, entries: &mut Vec<Entry>) {
        let count = entries.len();
        if count == 0 {
            return;
        }
        let place = |n: u8| usize::from(n) % count;
        let foreign = |n: u8| ENTRIES.with(|all| all[usize::from(n) % all.len()].clone());
        match self {
            Self::Swap(a, b) => entries.swap(place(a), place(b)),
            Self::Remove(n) => drop(entries.remove(place(n))),
            Self::Twice(n) => entries.insert(place(n), entries[place(n)].clone()),
            Self::Foreign(n, which) => entries.insert(place(n), foreign(which)),
            Self::Start(n) => {
                let start = ENTRIES.with(|all| all.iter().find(|e| e.kind == Kind::Start).cloned());
                entries.insert(place(n), start.expect("every log has one"));
            }
            Self::Kind(n, which) => entries[place(n)].kind = foreign(which).kind,
            Self::Body(n, edit) => apply(&mut entries[place(n)].body, &[edit]),
            Self::Amount(n, amount) => amount_of(&mut entries[place(n)], amount),
            Self::Field(n, field, value) => field_of(&mut entries[place(n)], field, value),
            Self::Received(n, shift) => {
                let at = &mut entries[place(n)].booked.received_at;
                *at = shift.map(|seconds| later(at.unwrap_or_default(), seconds));
            }
            Self::Balance(n, balance) => {
                let balance = balance.map(|balance| Amount::from_hundredths(balance.into()));
                entries[place(n)].booked.balance_after = balance;
            }
            Self::Debit(n, code) => entries[place(n)].booked.debit = code,
            Self::Place(n, grade) => {
                let grades = [
                    Grade::None,
                    Grade::Suspect,
                    Grade::Claimed,
                    Grade::Plausible,
                    Grade::Attested,
                ];
                entries[place(n)].booked.place = grades.get(usize::from(grade)).copied();
            }
            Self::Unconfirmed(n, said) => entries[place(n)].booked.unconfirmed = said,
            Self::Signature(n, edit) => {
                for sig in &mut entries[place(n)].sig {
                    apply(&mut sig.sig, std::slice::from_ref(&edit));
                }
            }
            Self::NoSignature(n) => drop(entries[place(n)].sig.pop()),
            Self::SignatureOf(n, which) => entries[place(n)].sig = foreign(which).sig,
            Self::NoCites(n) => entries[place(n)].cites.clear(),
            Self::CitesOf(n, which) => entries[place(n)].cites = foreign(which).cites,
            Self::CiteIndex(n, index) => {
                for cite in &mut entries[place(n)].cites {
                    match cite {
                        Cite::Entry(cite) => cite.index = index.into(),
                        Cite::Own(own) => own.index = index.into(),
                        // It names no index.
                        Cite::Vertex(_) => {}
                    }
                }
            }
            Self::Shortfall(n, short) => {
                let short = short.map(|short| Amount::from_hundredths(short.into()));
                entries[place(n)].booked.shortfall = short;
            }
        }
    }
}

thread_local! {
    static ENTRIES: Vec<Entry> = town().receipts().into_iter().map(|receipt| receipt.entry).collect();
}

/// Another amount in a JSON body; the home books what follows from it.
fn amount_of(entry: &mut Entry, amount: u32) {
    let new = Amount::from_hundredths(amount.into());
    let mut old = None;
    signed_again(entry, |body| {
        old = body
            .get("amount")
            .and_then(Value::as_str)
            .and_then(|text| text.parse::<Amount>().ok());
        body["amount"] = new.to_string().into();
    });
    let spends = matches!(entry.kind, Kind::Transfer | Kind::Ungrant);
    if let (Some(old), Some(balance)) = (old, &mut entry.booked.balance_after) {
        let (more, less) = if spends { (old, new) } else { (new, old) };
        let sum = balance.hundredths().wrapping_add(more.hundredths());
        *balance = Amount::from_hundredths(sum.wrapping_sub(less.hundredths()));
    }
}

/// Another number in a JSON body, or the value of another field.
fn field_of(entry: &mut Entry, field: u8, value: u64) {
    signed_again(entry, |body| {
        let Some(fields) = body.as_object_mut() else {
            return;
        };
        let names: Vec<_> = fields.keys().cloned().collect();
        let name = &names[usize::from(field) % names.len()];
        let new = match fields.get(name) {
            Some(Value::Number(_)) => Value::from(value),
            _ => fields[&names[usize::try_from(value).unwrap_or(0) % names.len()]].clone(),
        };
        fields.insert(name.clone(), new);
    });
}

/// Changes a JSON body and has everybody sign it who signed it before.
fn signed_again(entry: &mut Entry, change: impl FnOnce(&mut Value)) {
    let Some((tag, officers)) = tag(entry) else {
        return;
    };
    let Ok(mut body) = serde_json::from_slice::<Value>(&entry.body) else {
        return;
    };
    change(&mut body);
    entry.body = json::canonical(&body);
    for sig in &mut entry.sig {
        let Some(key) = town().secrets.get(&sig.key) else {
            continue;
        };
        let public = key.public();
        let message = if officers {
            officer_message(public.algorithm(), &public.id(), &entry.body)
        } else {
            entry.body.clone()
        };
        *sig = EntrySignature::new(public.id(), &key.sign(tag, &message));
    }
}

/// Under what a JSON body is signed, and whether by officers.
fn tag(entry: &Entry) -> Option<(DomainTag, bool)> {
    Some(match entry.kind {
        Kind::Transfer => (crypto::TAG_TRANSFER, false),
        Kind::Accept => (crypto::TAG_ACCEPT, false),
        Kind::Reject => (crypto::TAG_REJECT, false),
        Kind::Order => (crypto::TAG_ORDER, false),
        Kind::Enrol => (crypto::TAG_ENROL, false),
        Kind::Rotate => (crypto::TAG_ROTATE, false),
        Kind::Revoke => (crypto::TAG_REVOKE, is_officers_revoke(&entry.body)),
        Kind::Grant => (crypto::TAG_GRANT, true),
        Kind::Ungrant => (crypto::TAG_UNGRANT, true),
        Kind::Correct => (crypto::TAG_CORRECT, true),
        Kind::Recover => (crypto::TAG_RECOVER, true),
        Kind::EpochStart => (crypto::TAG_EPOCH_START, true),
        Kind::Charter => (crypto::TAG_AMENDMENT, true),
        _ => return None,
    })
}

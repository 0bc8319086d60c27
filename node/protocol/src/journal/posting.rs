//! Posting rules (DESIGN §6, Journal): what each entry does to the accounts of its own log.

use super::{AIKA, BORROWED, GRANTED, PAYABLE, RECEIVED};
use crate::amount::{Amount, Timestamp};
use crate::body::{
    Adopt, Answer, Correct, Grant, Kind, OfficersBody, OwnEntry, PersonBody, Refund, Settle,
    Transfer, Ungrant, identity, read_officers_body, read_person_body,
};
use crate::ids::{AccountId, BlockId, Digest, LogId};
use crate::ledger::{History, Rows as _};
use crate::refusal::Refusal;
use crate::vertex::{Cite, ClosedStub, Entry, EntryCite, EntryStub};

/// Debit or credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// 借方.
    Debit,
    /// 貸方.
    Credit,
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Posting {
    /// Log whose entry this is.
    pub log: LogId,
    /// Whose books.
    pub account: AccountId,
    /// Time of the vertex.
    pub time: Timestamp,
    /// The vertex.
    pub vertex: BlockId,
    /// Where the entry stands.
    pub entry: OwnEntry,
    /// Code of the chart.
    pub code: u16,
    /// Side.
    pub side: Side,
    /// Amount.
    pub amount: Amount,
    /// What it is booked for: identity of the transfer, or of the officers' decision where there is none.
    pub about: Digest,
}

/// Between whom a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parties {
    /// Who sends.
    pub sender: AccountId,
    /// Who receives.
    pub receiver: AccountId,
}

/// The transfers that were booked before, for the entries that close, take or give back one of them.
pub trait Booked {
    /// Between whom the transfer with this identity in this log is.
    fn parties(&self, log: &LogId, transfer: &Digest) -> Option<Parties>;
    /// The expense account that its home booked for it. Asked only where a transfer comes back.
    fn debit(&self, log: &LogId, transfer: &Digest) -> Option<u16>;
}

impl Booked for dyn History + '_ {
    fn parties(&self, log: &LogId, transfer: &Digest) -> Option<Parties> {
        let row = self.transfer(log, transfer)?;
        let (sender, receiver) = (row.sender, row.receiver);
        Some(Parties { sender, receiver })
    }

    fn debit(&self, log: &LogId, transfer: &Digest) -> Option<u16> {
        let row = self.transfer(log, transfer)?;
        if let Some(entry) = self.entry(log, &row.at) {
            return entry.booked.debit;
        }
        match self.entry_stub(log, &row.at)? {
            EntryStub::Transfer(sent) => Some(sent.debit),
            _ => None,
        }
    }
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Log.
    pub log: LogId,
    /// Time of the vertex.
    pub time: Timestamp,
    /// The vertex.
    pub vertex: BlockId,
    /// Position.
    pub at: OwnEntry,
}

/// The lines of one entry.
struct Booking<'a> {
    place: &'a Place,
    about: Digest,
}

impl Place {
    const fn about(&self, about: Digest) -> Booking<'_> {
        Booking { place: self, about }
    }
}

impl Booking<'_> {
    fn line(&self, account: AccountId, code: u16, side: Side, amount: Amount) -> Posting {
        let place = self.place;
        Posting {
            log: place.log,
            account,
            time: place.time,
            vertex: place.vertex,
            entry: place.at,
            code,
            side,
            amount,
            about: self.about,
        }
    }

    fn pair(&self, account: AccountId, debit: u16, credit: u16, amount: Amount) -> Vec<Posting> {
        vec![
            self.line(account, debit, Side::Debit, amount),
            self.line(account, credit, Side::Credit, amount),
        ]
    }
}

/// The postings of one entry at its place. Entries without an effect on balances give none.
///
/// # Errors
/// The refusals of the body's form, and [`Refusal::UnknownTransfer`] where `booked` does not know a transfer that the
/// entry is about; an entry of a valid log gives none.
pub fn postings(
    entry: &Entry,
    place: &Place,
    booked: &(impl Booked + ?Sized),
) -> Result<Vec<Posting>, Refusal> {
    let own = |transfer: &Digest| {
        let parties = booked.parties(&place.log, transfer);
        parties.ok_or(Refusal::UnknownTransfer)
    };
    let given_back = |sender, transfer: &Digest, amount| {
        let debit = booked.debit(&place.log, transfer);
        let debit = debit.ok_or(Refusal::UnknownTransfer)?;
        let booking = place.about(*transfer);
        Ok(booking.pair(sender, PAYABLE, debit, amount))
    };
    let by_officers = |tag| place.about(identity(tag, &entry.body));
    match entry.kind {
        Kind::Grant => {
            let grant = read_officers_body::<Grant>(&entry.body)?;
            Ok(by_officers(Grant::TAG).pair(grant.account, AIKA, GRANTED, grant.amount))
        }
        Kind::Ungrant => {
            let ungrant = read_officers_body::<Ungrant>(&entry.body)?;
            let booking = by_officers(Ungrant::TAG);
            Ok(booking.pair(ungrant.account, GRANTED, AIKA, ungrant.amount))
        }
        Kind::Transfer => {
            let transfer: Transfer = read_person_body(&entry.body)?;
            let debit = entry.booked.debit.ok_or(Refusal::BadBooking)?;
            let booking = place.about(identity(Transfer::TAG, &entry.body));
            Ok(booking.pair(transfer.sender, debit, PAYABLE, transfer.amount))
        }
        Kind::Accept => {
            let answer = Answer::read(entry.kind, &entry.body)?;
            // Not from the signing key: after a `rotate` it does not give the account's id.
            let receiver = answer.receiver().or_else(|| cited_receiver(entry));
            let receiver = match receiver {
                Some(receiver) => receiver,
                None => own(&answer.transfer)?.receiver,
            };
            let booking = place.about(answer.transfer);
            Ok(booking.pair(receiver, AIKA, RECEIVED, answer.amount))
        }
        Kind::Settle => {
            let settle = Settle::read(&entry.body)?;
            let sender = own(&settle.transfer)?.sender;
            let booking = place.about(settle.transfer);
            Ok(booking.pair(sender, PAYABLE, AIKA, settle.amount))
        }
        Kind::Refund => {
            let refund = Refund::read(&entry.body)?;
            let sender = own(&refund.transfer)?.sender;
            given_back(sender, &refund.transfer, refund.amount)
        }
        Kind::Correct => {
            let correct = read_officers_body::<Correct>(&entry.body)?;
            match correct.transfer {
                Some(transfer) => given_back(correct.account, &transfer, correct.amount),
                None => {
                    let booking = by_officers(Correct::TAG);
                    Ok(booking.pair(correct.account, BORROWED, AIKA, correct.amount))
                }
            }
        }
        Kind::Adopt => adopted(entry, place, booked),
        Kind::Reject
        | Kind::Checkpoint
        | Kind::Trust
        | Kind::Note
        | Kind::Order
        | Kind::Charter
        | Kind::Enrol
        | Kind::Rotate
        | Kind::Revoke
        | Kind::Recover
        | Kind::EpochStart
        | Kind::Place
        | Kind::Start
        | Kind::Fault => Ok(Vec::new()),
    }
}

/// The same of what is left of an entry whose body was pruned.
///
/// # Errors
/// [`Refusal::UnknownTransfer`] where `booked` does not know a transfer that it closes.
pub fn stub_postings(
    stub: &EntryStub,
    place: &Place,
    booked: &(impl Booked + ?Sized),
) -> Result<Vec<Posting>, Refusal> {
    let sender = |transfer: &Digest| {
        let parties = booked.parties(&place.log, transfer);
        Ok::<_, Refusal>(parties.ok_or(Refusal::UnknownTransfer)?.sender)
    };
    match stub {
        EntryStub::Place | EntryStub::Reject(_) => Ok(Vec::new()),
        EntryStub::Transfer(sent) => {
            let booking = place.about(sent.transfer);
            Ok(booking.pair(sent.sender, sent.debit, PAYABLE, sent.amount))
        }
        EntryStub::Accept(answer) => {
            let booking = place.about(answer.transfer);
            Ok(booking.pair(answer.account, AIKA, RECEIVED, answer.amount))
        }
        EntryStub::Settle(ClosedStub { transfer, amount }) => {
            let booking = place.about(*transfer);
            Ok(booking.pair(sender(transfer)?, PAYABLE, AIKA, *amount))
        }
        EntryStub::Refund(ClosedStub { transfer, amount }) => {
            let debit = booked.debit(&place.log, transfer);
            let debit = debit.ok_or(Refusal::UnknownTransfer)?;
            let booking = place.about(*transfer);
            Ok(booking.pair(sender(transfer)?, PAYABLE, debit, *amount))
        }
    }
}

/// An entry that the log lost at a cut. Its transfer is closed already, where it was accepted: nothing is owed to
/// others. What the sender did not have is borrowed from others, and `booked.shortfall` says how much that is.
fn adopted(
    entry: &Entry,
    place: &Place,
    booked: &(impl Booked + ?Sized),
) -> Result<Vec<Posting>, Refusal> {
    let adopt = Adopt::read(&entry.body)?;
    let lost = cited(entry).next().ok_or(Refusal::BadCite)?;
    let booking = place.about(adopt.transfer);
    match lost.kind {
        Kind::Transfer => {
            let transfer: Transfer = read_person_body(&lost.body)?;
            let debit = lost.booked.debit.ok_or(Refusal::BadBooking)?;
            let borrowed = entry.booked.shortfall.unwrap_or_default();
            let taken = adopt.amount.minus(borrowed);
            let taken = taken.map_err(|_| Refusal::BadBooking)?;
            let credits = [(AIKA, taken), (BORROWED, borrowed)];
            let credits = credits
                .into_iter()
                .filter(|(_, amount)| *amount > Amount::ZERO);
            let mut lines = vec![booking.line(transfer.sender, debit, Side::Debit, adopt.amount)];
            lines.extend(
                credits.map(|(code, amount)| {
                    booking.line(transfer.sender, code, Side::Credit, amount)
                }),
            );
            Ok(lines)
        }
        Kind::Accept => {
            let answer = Answer::read(lost.kind, &lost.body)?;
            // A signed acceptance names the transfer, and the sender's log names who receives it.
            let receiver = answer.receiver().or_else(|| {
                let parties = booked.parties(&answer.sender_home, &answer.transfer)?;
                Some(parties.receiver)
            });
            let receiver = receiver.ok_or(Refusal::UnknownTransfer)?;
            Ok(booking.pair(receiver, AIKA, RECEIVED, adopt.amount))
        }
        // The answer stands again; nothing moves.
        Kind::Reject => Ok(Vec::new()),
        _ => Err(Refusal::BadCite),
    }
}

/// The entries of other logs, or of what a cut took away, that an entry rests on.
fn cited(entry: &Entry) -> impl Iterator<Item = &EntryCite> {
    entry.cites.iter().filter_map(|cite| match cite {
        Cite::Entry(cite) => Some(&**cite),
        Cite::Own(_) | Cite::Vertex(_) => None,
    })
}

/// The receiver that a transfer of another log names.
fn cited_receiver(entry: &Entry) -> Option<AccountId> {
    cited(entry).find_map(|cite| {
        let transfer = read_person_body::<Transfer>(&cite.body);
        transfer.ok().map(|transfer| transfer.receiver)
    })
}

#[cfg(test)]
#[path = "posting_tests.rs"]
mod tests;

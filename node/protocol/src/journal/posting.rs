//! Posting rules (DESIGN §6, Journal): what each entry does to the accounts of its own log.

use super::{AIKA, GRANTED, PAYABLE, RECEIVED};
use crate::amount::{Amount, Timestamp};
use crate::body::{
    Accept, Grant, Kind, OwnEntry, Settle, Transfer, read_officers_body, read_person_body,
};
use crate::ids::{AccountId, BlockId, Digest, LogId};
use crate::refusal::Refusal;
use crate::vertex::Entry;

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
}

/// Between whom a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parties {
    /// Who sends.
    pub sender: AccountId,
    /// Who receives.
    pub receiver: AccountId,
}

/// The postings of one entry at its place. `sent` gives the parties of a transfer of this log, which a `settle`
/// closes or an `accept` takes. Entries without an effect on balances give none.
///
/// # Errors
/// The refusals of the body's form; an entry of a valid log gives none.
pub fn postings(
    entry: &Entry,
    log: LogId,
    time: Timestamp,
    vertex: BlockId,
    at: OwnEntry,
    sent: impl FnOnce(&Digest) -> Option<Parties>,
) -> Result<Vec<Posting>, Refusal> {
    let pair = |account, debit, credit, amount| {
        [(debit, Side::Debit), (credit, Side::Credit)]
            .map(|(code, side)| Posting {
                log,
                account,
                time,
                vertex,
                entry: at,
                code,
                side,
                amount,
            })
            .to_vec()
    };
    match entry.kind {
        Kind::Grant => {
            let grant = read_officers_body::<Grant>(&entry.body)?;
            Ok(pair(grant.account, AIKA, GRANTED, grant.amount))
        }
        Kind::Transfer => {
            let transfer: Transfer = read_person_body(&entry.body)?;
            let debit = entry.booked.debit.ok_or(Refusal::BadBooking)?;
            Ok(pair(transfer.sender, debit, PAYABLE, transfer.amount))
        }
        Kind::Accept => {
            let accept: Accept = read_person_body(&entry.body)?;
            // Not from the signing key: after a `rotate` it does not give the account's id.
            let receiver = cited_receiver(entry).or_else(|| Some(sent(&accept.transfer)?.receiver));
            let account = receiver.ok_or(Refusal::UnknownTransfer)?;
            Ok(pair(account, AIKA, RECEIVED, accept.amount))
        }
        Kind::Settle => {
            let settle = Settle::read(&entry.body)?;
            let account = sent(&settle.transfer)
                .ok_or(Refusal::UnknownTransfer)?
                .sender;
            Ok(pair(account, PAYABLE, AIKA, settle.amount))
        }
        // No rule takes these yet.
        Kind::Ungrant
        | Kind::Correct
        | Kind::Reject
        | Kind::Refund
        | Kind::Adopt
        | Kind::Checkpoint
        | Kind::Trust
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

/// The receiver that a transfer of another log names.
fn cited_receiver(entry: &Entry) -> Option<AccountId> {
    entry.cites.iter().find_map(|cite| match cite {
        crate::vertex::Cite::Entry(cite) => read_person_body::<Transfer>(&cite.body)
            .ok()
            .map(|transfer| transfer.receiver),
        crate::vertex::Cite::Own(_) | crate::vertex::Cite::Vertex(_) => None,
    })
}

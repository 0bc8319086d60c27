//! The journal as the node reads it: `shown` by way of the index, `rebuilt` from the segments alone. Both
//! derive postings by the protocol's rules; `audit` compares them and checks every sum.
//!
//! `ask` what can be asked of it · `read` a page of it at a time · `pages` the answers · `logs` which logs there are ·
//! `item` one entry, also one whose body was pruned · `state` how far a transfer has come · `account` one account's movements · `statement` the same as a page for that person · `export` CSV, hledger, JSON ·
//! `lang` both languages.

mod account;
mod ask;
mod audit;
pub mod export;
mod item;
pub mod lang;
mod logs;
pub mod pages;
mod read;
mod state;
pub mod statement;

use std::collections::{BTreeMap, HashMap};

use city_protocol::Refusal;
use city_protocol::body::{OwnEntry, PersonBody as _, Transfer, identity, read_person_body};
use city_protocol::ids::{AccountId, BlockId, Digest, LogId};
use city_protocol::journal::{AIKA, Booked, PAYABLE, Parties, Place, Posting, Side};
use city_protocol::ledger::{History, LogRow, Rows as _};
use city_protocol::vertex::{EntryStub, SignedHeader};

use item::Item;

pub use city_protocol::replica::log_rows;

pub use account::movements;
pub use ask::Ask;
pub use audit::{Audit, audit};
pub use logs::{Names, books, logs};
pub use read::{lines, sums};
pub(crate) use state::people_state;

use crate::engine::each_vertex;
use crate::store::{ReadError, Store};

/// Postings of every log, in order of log, vertex and entry.
pub type Journal = BTreeMap<LogId, Vec<Posting>>;

/// Balances by account and code: debits less credits, in hundredths.
pub type Balances = BTreeMap<(AccountId, u16), i128>;

/// The journal by way of the index, as the API shows it, up to the given heads.
///
/// # Errors
/// The refusal of an entry that a valid log cannot hold: the index or the log is damaged.
pub fn shown(history: &dyn History, heads: &[(LogId, LogRow)]) -> Result<Journal, Refusal> {
    heads
        .iter()
        .map(|(log, row)| Ok((*log, shown_log(history, *log, row)?)))
        .collect()
}

fn shown_log(history: &dyn History, log: LogId, row: &LogRow) -> Result<Vec<Posting>, Refusal> {
    let mut lines = Vec::new();
    for seq in 1..=row.seq {
        let id = history
            .vertex_on_chain(&log, row.epoch, seq)
            .ok_or(Refusal::BadVertex)?;
        let vertex = history.vertex(&id).ok_or(Refusal::BadVertex)?;
        let (entries, _) = Item::of_body(history, &vertex.body)?;
        let first = Place {
            log,
            vertex: id,
            time: vertex.time,
            at: first_entry(vertex.epoch, seq),
        };
        post(&entries, first, &mut lines, history)?;
    }
    Ok(lines)
}

/// The journal from the segments alone, up to the given heads: a log counts up to its cut. Bad places do not
/// matter where nothing up to the heads is missing: what stood there was fetched again, or does not count.
///
/// # Errors
/// [`RebuiltError`]. If damage is why something is missing it is noted, and the node stops.
pub fn rebuilt(store: &Store, heads: &[(LogId, LogRow)]) -> Result<Journal, RebuiltError> {
    let counted: HashMap<LogId, &LogRow> = heads.iter().map(|(log, row)| (*log, row)).collect();
    let counts = |header: &SignedHeader| {
        let row = counted.get(&header.header.log);
        row.is_some_and(|row| header.header.seq <= row.seq)
    };
    // What was fetched again stands behind what follows from it, so all transfers are learned first.
    let mut sent = Sent::default();
    let (_, bad) = each_vertex(store, |header, body, _| {
        if let Some(body) = body.filter(|_| counts(header)) {
            sent.0.extend(sent_in(header, &body.bytes));
        }
    })?;
    let mut lines: HashMap<BlockId, (BlockId, Result<Vec<Posting>, Refusal>)> = HashMap::new();
    each_vertex(store, |header, body, _| {
        if let Some(body) = body.filter(|_| counts(header)) {
            let posted = || (header.header.prev, lines_of(header, &body.bytes, &sent));
            lines.entry(header.id).or_insert_with(posted);
        }
    })?;
    let mut journal = Journal::new();
    for (log, row) in counted {
        // Back from the head: of two vertices at one position the one below it counts, also across epochs.
        let mut vertices = Vec::new();
        let mut at = row.head;
        for _ in 0..row.seq {
            let found = lines.remove(&at).map(|(prev, posted)| {
                at = prev;
                posted
            });
            match (found, bad.first()) {
                (Some(Ok(postings)), _) => vertices.push(postings),
                (_, Some(at)) => {
                    if let Err(error) = store.ledger().met_damage(*at) {
                        tracing::error!(%error, "the damage could not be noted");
                    }
                    return Err(ReadError::Damaged(*at).into());
                }
                (Some(Err(refusal)), None) => return Err(refusal.into()),
                (None, None) => return Err(Refusal::BadVertex.into()),
            }
        }
        let all = vertices.into_iter().rev().flatten();
        journal.insert(log, all.collect());
    }
    Ok(journal)
}

/// The transfers of every log: between whom they are, and which expense was booked.
#[derive(Default)]
struct Sent(HashMap<(LogId, Digest), Agreed>);

/// Between whom a transfer is, and the expense that was booked.
type Agreed = (Parties, Option<u16>);

impl Booked for Sent {
    fn parties(&self, log: &LogId, transfer: &Digest) -> Option<Parties> {
        self.0.get(&(*log, *transfer)).map(|(parties, _)| *parties)
    }

    fn debit(&self, log: &LogId, transfer: &Digest) -> Option<u16> {
        self.0.get(&(*log, *transfer))?.1
    }
}

/// A vertex's transfers; none if it cannot be read, which its lines tell.
fn sent_in(header: &SignedHeader, body: &[u8]) -> Vec<((LogId, Digest), Agreed)> {
    let parties = |item: &Item| match item {
        Item::Entry(entry) if entry.kind == Transfer::KIND => {
            let transfer: Transfer = read_person_body(&entry.body).ok()?;
            let id = identity(Transfer::TAG, &entry.body);
            let (sender, receiver) = (transfer.sender, transfer.receiver);
            let parties = Parties { sender, receiver };
            Some(((header.header.log, id), (parties, entry.booked.debit)))
        }
        Item::Stub(EntryStub::Transfer(sent)) => {
            let (sender, receiver) = (sent.sender, sent.receiver);
            let parties = Parties { sender, receiver };
            let id = (header.header.log, sent.transfer);
            Some((id, (parties, Some(sent.debit))))
        }
        _ => None,
    };
    let items = Item::of_block(body).unwrap_or_default();
    items.iter().filter_map(parties).collect()
}

fn lines_of(header: &SignedHeader, body: &[u8], sent: &Sent) -> Result<Vec<Posting>, Refusal> {
    let h = &header.header;
    let first = Place {
        log: h.log,
        vertex: header.id,
        time: h.time,
        at: first_entry(h.epoch, h.seq),
    };
    let mut lines = Vec::new();
    post(&Item::of_block(body)?, first, &mut lines, sent)?;
    Ok(lines)
}

/// Why the journal could not be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuiltError {
    /// The segments cannot be read.
    #[error("the ledger's segments cannot be read")]
    Read(#[from] ReadError),
    /// They hold something that a valid log cannot hold.
    #[error("the ledger holds an entry that no rule allows: {0}")]
    Entry(#[from] Refusal),
}

const fn first_entry(epoch: u64, seq: u64) -> OwnEntry {
    OwnEntry {
        epoch,
        seq,
        index: 0,
    }
}

/// The postings of a vertex, whose first entry stands at `first`.
fn post(
    entries: &[Item],
    first: Place,
    lines: &mut Vec<Posting>,
    booked: &(impl Booked + ?Sized),
) -> Result<(), Refusal> {
    for (index, entry) in (0..).zip(entries) {
        let at = OwnEntry { index, ..first.at };
        lines.extend(entry.postings(&Place { at, ..first }, booked)?);
    }
    Ok(())
}

/// Balances of a log's accounts from its postings.
#[must_use]
pub fn balances(lines: &[Posting]) -> Balances {
    let mut balances = Balances::new();
    for line in lines {
        let amount = i128::from(line.amount.hundredths());
        let signed = if line.side == Side::Debit {
            amount
        } else {
            -amount
        };
        *balances.entry((line.account, line.code)).or_default() += signed;
    }
    balances
}

/// What is available to an account: 愛貨 − 他者への未払愛貨 (a liability's balance is negative here).
#[must_use]
pub fn available(balances: &Balances, account: &AccountId) -> i128 {
    let of = |code| balances.get(&(*account, code)).copied().unwrap_or(0);
    of(AIKA) + of(PAYABLE)
}

//! Who signs a log and decides in it, out of what is stored of it.

use super::view::Rows;
use crate::genesis::Genesis;
use crate::ids::{BlockId, Digest, LogId};
use crate::vertex::{Authority, Entry, SignedHeader, entry_of_body};

/// The authority of a log up to an epoch; with the charter in force at its head, where that is its newest epoch. `None`
/// where a block of it is missing.
#[must_use]
pub fn stored_authority<R: Rows + ?Sized>(
    rows: &R,
    genesis: &Genesis,
    log: &LogId,
    epoch: u64,
) -> Option<Authority> {
    let row = rows.head(log)?;
    let charter = first_entry(rows, &row.first)?;
    let mut authority = Authority::from_charter(genesis, &charter.body).ok()?;
    for epoch in 2..=epoch {
        let first = rows.epoch(log, epoch)?.id;
        let header = SignedHeader::read(&rows.get_block(&first)?).ok()?;
        let charter = header.header.charter;
        authority = with_charter(rows, genesis, authority, charter)?;
        let start = first_entry(rows, &first)?;
        authority = authority.begin_epoch(genesis, &start, charter).ok()?;
    }
    match row.charter.filter(|_| epoch >= row.epoch) {
        Some(charter) => with_charter(rows, genesis, authority, charter),
        None if epoch >= row.epoch => Some(authority.under(None)),
        None => Some(authority),
    }
}

/// The authority with this charter and all that it rests on, and it in force.
fn with_charter<R: Rows + ?Sized>(
    rows: &R,
    genesis: &Genesis,
    authority: Authority,
    charter: Digest,
) -> Option<Authority> {
    let (mut missing, mut next) = (Vec::new(), charter);
    while !authority.knows(&next) {
        let row = rows.charter(&authority.log, &next)?;
        missing.push(row);
        next = row.before;
    }
    let amended = missing.iter().rev().try_fold(authority, |known, row| {
        let entry = first_entry(rows, &row.vertex)?;
        known.amend(genesis, &entry, row.epoch).ok()
    })?;
    Some(amended.under(Some(charter)))
}

fn first_entry<R: Rows + ?Sized>(rows: &R, vertex: &BlockId) -> Option<Entry> {
    let vertex = rows.vertex(vertex)?;
    entry_of_body(&rows.get_block(&vertex.body)?, 0)
}

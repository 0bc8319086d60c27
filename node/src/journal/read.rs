//! The journal a page at a time, by way of the index: never more in memory than a page, whatever the ledger's length.
//!
//! A page ends behind a whole vertex. Time narrows what is read, because a log's vertices never go back in time; an
//! account does not: there is no index of accounts, so each body is read, but only what names the account is parsed.

use std::collections::BTreeMap;

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::body::{Kind, OwnEntry};
use city_protocol::ids::{AccountId, BlockId};
use city_protocol::journal::{Place, Posting, Side};
use city_protocol::ledger::{History, Rows as _, VertexRow};
use city_protocol::vertex::{Cite, Entry};

use super::ask::Ask;
use super::item::Item;
use super::pages::{Line, LinesPage, Sum, SumsPage};
use crate::api::wire::SCHEMA;

/// Lines behind which a page ends: with those of one more vertex 2,500 of some 450 bytes, a quarter of what a client
/// takes as an answer.
const PAGE_LINES: usize = 2_000;
/// Sums behind which a page ends, for the same reason.
const PAGE_SUMS: usize = 8_000;
/// Bytes of vertices behind which a page ends: a question that finds nothing answers within a second all the same.
const PAGE_BYTES: usize = 64 << 20;
/// Vertices behind which a page ends.
const PAGE_VERTICES: u64 = 20_000;

/// Postings, a page of them.
///
/// # Errors
/// The refusal of an entry that a valid log cannot hold, or [`Refusal::BadVertex`] where the log is not there up to
/// the position that was asked for.
pub fn lines(history: &dyn History, ask: &Ask) -> Result<LinesPage, Refusal> {
    let mut lines = Vec::new();
    let next = each_entry(history, ask, &mut lines, |lines, place, item, found| {
        lines.extend(found.into_iter().map(|posting| line(item, place, &posting)));
        Ok(lines.len() < PAGE_LINES)
    })?;
    Ok(LinesPage {
        schema: SCHEMA,
        lines,
        next,
    })
}

fn line(item: &Item, place: &Place, posting: &Posting) -> Line {
    let on = |side| (posting.side == side).then_some(posting.amount);
    Line {
        log: place.log,
        time: place.time,
        vertex: place.vertex,
        epoch: place.at.epoch,
        seq: place.at.seq,
        index: place.at.index,
        kind: item.kind().as_str().into(),
        about: Some(posting.about),
        account: posting.account,
        code: posting.code,
        debit: on(Side::Debit),
        credit: on(Side::Credit),
    }
}

/// Sums of postings by account and code, a page of them.
///
/// # Errors
/// As [`lines`].
pub fn sums(history: &dyn History, ask: &Ask) -> Result<SumsPage, Refusal> {
    let mut sums: BTreeMap<(AccountId, u16), i64> = BTreeMap::new();
    let next = each_entry(history, ask, &mut sums, |sums, _, _, found| {
        for posting in found {
            let sum = sums.entry((posting.account, posting.code)).or_default();
            let amount = i64::try_from(posting.amount.hundredths());
            let amount = amount.map_err(|_| Refusal::OutOfRange)?;
            let signed = match posting.side {
                Side::Debit => amount,
                Side::Credit => -amount,
            };
            *sum = sum.checked_add(signed).ok_or(Refusal::OutOfRange)?;
        }
        Ok(sums.len() < PAGE_SUMS)
    })?;
    let sums = sums.into_iter().map(|((account, code), hundredths)| Sum {
        account,
        code,
        hundredths,
    });
    Ok(SumsPage {
        schema: SCHEMA,
        sums: sums.collect(),
        next,
    })
}

/// Gives each entry that posts anything of what is asked for, until the page is full: `take` says whether there is
/// room for more. Answers where the next page begins.
pub(super) fn each_entry<T>(
    history: &dyn History,
    ask: &Ask,
    page: &mut T,
    mut take: impl FnMut(&mut T, &Place, &Item, Vec<Posting>) -> Result<bool, Refusal>,
) -> Result<Option<u64>, Refusal> {
    let first = match ask.from {
        Some(from) => first_since(history, ask, from)?,
        None => 1,
    };
    let last = match ask.until {
        Some(until) => first_since(history, ask, until)? - 1,
        None => ask.upto,
    };
    let begin = first.max(ask.after.saturating_add(1));
    let mut bytes = 0;
    for seq in begin..=last {
        let (id, vertex) = vertex(history, ask, seq)?;
        let (items, read) = Item::of_body(history, &vertex.body)?;
        bytes += read;
        let mut room = true;
        for (index, item) in (0..).zip(items) {
            let of_others =
                |account| matches!(&item, Item::Entry(entry) if !may_touch(entry, &account));
            if ask.account.is_some_and(of_others) {
                continue;
            }
            let place = Place {
                log: ask.log,
                time: vertex.time,
                vertex: id,
                at: OwnEntry {
                    epoch: vertex.epoch,
                    seq,
                    index,
                },
            };
            let mut found = item.postings(&place, history)?;
            found.retain(|posting| {
                ask.account.is_none_or(|account| posting.account == account)
                    && ask.code.is_none_or(|code| posting.code == code)
            });
            if !found.is_empty() {
                room = take(page, &place, &item, found)?;
            }
        }
        let full = !room || bytes >= PAGE_BYTES || seq - begin >= PAGE_VERTICES;
        if full && seq < last {
            return Ok(Some(seq));
        }
    }
    Ok(None)
}

fn vertex(history: &dyn History, ask: &Ask, seq: u64) -> Result<(BlockId, VertexRow), Refusal> {
    let id = history.vertex_on_chain(&ask.log, ask.epoch, seq);
    let id = id.ok_or(Refusal::BadVertex)?;
    Ok((id, history.vertex(&id).ok_or(Refusal::BadVertex)?))
}

/// The first position whose vertex is not earlier than a moment; the one behind the last if there is none.
fn first_since(history: &dyn History, ask: &Ask, moment: Timestamp) -> Result<u64, Refusal> {
    let (mut low, mut high) = (1, ask.upto + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if vertex(history, ask, middle)?.1.time < moment {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// Whether an entry can be about an account, as far as its bytes tell without parsing them: most are about others, and
/// parsing what people signed is most of the work.
fn may_touch(entry: &Entry, account: &AccountId) -> bool {
    let name = account.as_str().as_bytes();
    let named = |body: &[u8]| body.windows(name.len()).any(|part| part == name);
    match entry.kind {
        Kind::Transfer | Kind::Grant | Kind::Ungrant | Kind::Correct => named(&entry.body),
        // A signed acceptance names its key alone; the transfer that it cites names the receiver.
        Kind::Accept => entry.cites.iter().all(|cite| match cite {
            Cite::Entry(cite) => named(&cite.body),
            Cite::Own(_) | Cite::Vertex(_) => true,
        }),
        _ => true,
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;

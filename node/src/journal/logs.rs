//! Which logs there are, whose they are, and what their municipalities are called.

use std::collections::BTreeMap;

use city_protocol::body::{Charter, Kind};
use city_protocol::ids::{AccountId, LogId};
use city_protocol::ledger::{History, LogRow, Rows as _};
use city_protocol::region::Region;
use city_protocol::vertex::decode_body;

use super::log_rows;
use super::pages::{BooksPage, JournalLog, LogsPage};
use crate::api::wire::SCHEMA;

/// Names of municipalities by code.
pub type Names = BTreeMap<String, String>;

/// How often a head and an account are read until no commit came between.
const TRIES: u32 = 50;

/// The logs that have begun.
#[must_use]
pub fn logs(history: &dyn History, names: &Names) -> LogsPage {
    let logs = log_rows(history).into_iter();
    let logs = logs.filter_map(|(log, row)| named(history, names, log, &row));
    LogsPage {
        schema: SCHEMA,
        logs: logs.collect(),
    }
}

/// An account with its home's head, of one moment. None if no log here has the account.
#[must_use]
pub fn books(history: &dyn History, names: &Names, account: &AccountId) -> Option<BooksPage> {
    let rows = log_rows(history);
    let (log, mut head) = rows.into_iter().find(|(log, _)| account.is_of(log))?;
    for _ in 0..TRIES {
        let row = history.account(&log, account)?;
        let now = history.log(&log)?;
        // A commit moves a head and its accounts at once.
        if now == head {
            return Some(BooksPage {
                schema: SCHEMA,
                account: *account,
                home: named(history, names, log, &head)?,
                available: row.available,
                open_out: row.open_out,
            });
        }
        head = now;
    }
    None
}

fn named(history: &dyn History, names: &Names, log: LogId, row: &LogRow) -> Option<JournalLog> {
    let region = region_of(history, row)?;
    Some(JournalLog {
        log,
        name: names.get(region.municipality()).cloned(),
        region: region.to_string(),
        epoch: row.epoch,
        seq: row.seq,
        time: row.time,
        headers_to: history.headers(&log).map(|headers| headers.seq),
    })
}

/// The region that a log's charter names.
fn region_of(history: &dyn History, row: &LogRow) -> Option<Region> {
    let vertex = history.vertex(&row.first)?;
    let entries = decode_body(&history.block(&vertex.body)?).ok()?;
    let charter = entries
        .first()
        .filter(|entry| entry.kind == Kind::Charter)?;
    Some(Charter::read(&charter.body).ok()?.region)
}

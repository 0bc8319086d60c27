//! The accounts of this home, for its operator.

use axum::Json;
use axum::extract::State;
use city_protocol::Refusal;
use city_protocol::ids::{AccountId, LogId};
use city_protocol::ledger::{AccountRow, History, Rows as _, Table, key, key_named_by};

use super::AdminState;
use super::pages::{AccountShown, AccountsPage};
use crate::api::Problem;
use crate::api::extract::Page;
use crate::api::wire::SCHEMA;

/// Most accounts on one page: each reads the vertex in which its key stands, up to 1 MiB.
const MAX_PAGE: usize = 200;

/// `GET /v1/accounts`.
pub(super) async fn list(
    State(admin): State<AdminState>,
    page: Page<AccountId>,
) -> Result<Json<AccountsPage>, Problem> {
    let limit = page.limit.unwrap_or(MAX_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let detail = format!("limit is 1 to {MAX_PAGE}");
        return Err(Problem::from(Refusal::BadField).with_detail(detail));
    }
    let engine = admin.engine.clone();
    let read = move || read(engine.history(), &engine.log(), page.after, limit);
    let page = tokio::task::spawn_blocking(read).await;
    page.map(Json).map_err(|_| Problem::internal())
}

fn read(
    history: &dyn History,
    log: &LogId,
    after: Option<AccountId>,
    limit: usize,
) -> AccountsPage {
    let prefix = key(Table::Account, &[&log.0]);
    let after = after.map(|id| [&prefix[..], id.as_str().as_bytes()].concat());
    let rows = history.rows(&prefix, after.as_deref(), limit);
    let id = |name: &[u8]| {
        let id = std::str::from_utf8(name.get(prefix.len()..)?).ok()?;
        id.parse::<AccountId>().ok()
    };
    let shown = |name: &[u8]| Some(account(history, log, id(name)?, history.typed(name)?));
    AccountsPage {
        schema: SCHEMA,
        log: *log,
        accounts: rows.iter().filter_map(|(name, _)| shown(name)).collect(),
        next: rows
            .last()
            .filter(|_| rows.len() == limit)
            .and_then(|(name, _)| id(name)),
    }
}

fn account(
    history: &dyn History,
    log: &LogId,
    account: AccountId,
    row: AccountRow,
) -> AccountShown {
    let named = history.entry(log, &row.key_at);
    let key = named.and_then(|entry| key_named_by(&entry).ok());
    let at = history.vertex_at(log, row.key_at.epoch, row.key_at.seq);
    let vertex = at.and_then(|id| history.vertex(&id));
    AccountShown {
        account,
        available: row.available,
        open_out: row.open_out,
        key: row.key,
        alg: key.map(|key| key.algorithm()),
        key_since: vertex.map(|vertex| vertex.time),
        revoked: row.revoked,
        next_sequence: row.next_sequence,
    }
}

//! What is listed: the homes that this one knows, and what an account has sent.

use axum::Json;
use axum::extract::State;
use city_protocol::Refusal;
use city_protocol::ids::{AccountId, Digest, LogId, TransferId};
use city_protocol::ledger::{History as _, Rows as _, Table, key, try_read_row};
use city_protocol::vertex::KeySource as _;

use super::ask::{MAX_PAGE, rows, transfer_page};
use super::extract::{Id, Page};
use super::who::Asker;
use super::wire::{HomesPage, KnownHome, OutgoingPage, SCHEMA};
use super::{ApiState, Problem};
use crate::engine::StoreHistory;
use crate::journal::log_rows;

/// `GET /send/api/homes`: to whom something can be sent from here. Public, as the charters are.
pub(super) async fn homes(State(api): State<ApiState>) -> Json<HomesPage> {
    let directory = api.engine.directory();
    let known = |(log, _)| {
        let authority = directory.authority(&log)?;
        Some(KnownHome {
            log,
            region: authority.region().clone(),
            suite: authority.node_key().algorithm().suite(),
        })
    };
    Json(HomesPage {
        schema: SCHEMA,
        network: api.engine.genesis().network(),
        homes: log_rows(api.engine.history())
            .into_iter()
            .filter_map(known)
            .collect(),
    })
}

/// `GET /send/api/accounts/{id}/outgoing`.
pub(super) async fn outgoing(
    State(api): State<ApiState>,
    asker: Asker,
    Id(account): Id<AccountId>,
    page: Page<TransferId>,
) -> Result<Json<OutgoingPage>, Problem> {
    asker.is(&account)?;
    let home = api.engine.log();
    if rows(api.engine.history())
        .account(&home, &account)
        .is_none()
    {
        return Err(Refusal::UnknownAccount.into());
    }
    let limit = page.limit.unwrap_or(MAX_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let detail = format!("limit is 1 to {MAX_PAGE}");
        return Err(Problem::from(Refusal::BadField).with_detail(detail));
    }
    let page = api
        .reading(move |history| read_outgoing(history, &home, &account, page.after, limit))
        .await?;
    Ok(Json(page))
}

fn read_outgoing(
    history: &StoreHistory,
    home: &LogId,
    account: &AccountId,
    after: Option<TransferId>,
    limit: usize,
) -> OutgoingPage {
    let prefix = key(Table::TransferId, &[&home.0, account.as_str().as_bytes()]);
    let after = after.map(|id| [&prefix[..], &id.0].concat());
    let found = history.rows(&prefix, after.as_deref(), limit);
    let last = found
        .last()
        .and_then(|(name, _)| Some(TransferId(name.get(prefix.len()..)?.try_into().ok()?)));
    let transfer = |value: &[u8]| {
        let transfer: Digest = try_read_row(value)?;
        let row = rows(history).transfer(home, &transfer)?;
        Some(transfer_page(history, transfer, *home, row, None))
    };
    OutgoingPage {
        schema: SCHEMA,
        account: *account,
        next: last.filter(|_| found.len() == limit),
        transfers: found
            .iter()
            .filter_map(|(_, value)| transfer(value))
            .collect(),
    }
}

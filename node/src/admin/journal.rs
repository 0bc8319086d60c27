//! Pages of the journal for an operator. Each reads a bounded part of one log, away from the threads that wait for
//! sockets; the caller asks for the next one.

use axum::Json;
use axum::extract::{RawQuery, State};
use city_protocol::Refusal;
use city_protocol::ids::AccountId;
use city_protocol::ledger::History;
use serde::Serialize;

use super::AdminState;
use crate::api::Problem;
use crate::api::extract::Id;
use crate::engine::utc;
use crate::journal::pages::{BooksPage, LinesPage, LogsPage, MovementsPage, SumsPage};
use crate::journal::{self, Ask, Names};

type Answer<T> = Result<Json<T>, Problem>;

/// `GET /v1/journal/logs`.
pub(super) async fn logs(State(admin): State<AdminState>) -> Answer<LogsPage> {
    read(admin, |history, names| Ok(journal::logs(history, names))).await
}

/// `GET /v1/journal/lines`.
pub(super) async fn lines(State(admin): State<AdminState>, query: RawQuery) -> Answer<LinesPage> {
    let ask = asked(query)?;
    read(admin, move |history, _| journal::lines(history, &ask)).await
}

/// `GET /v1/journal/sums`.
pub(super) async fn sums(State(admin): State<AdminState>, query: RawQuery) -> Answer<SumsPage> {
    let ask = asked(query)?;
    read(admin, move |history, _| journal::sums(history, &ask)).await
}

/// `GET /v1/journal/movements`.
pub(super) async fn movements(
    State(admin): State<AdminState>,
    query: RawQuery,
) -> Answer<MovementsPage> {
    let ask = asked(query)?;
    let job =
        move |history: &dyn History, names: &Names| journal::movements(history, names, &ask, utc());
    read(admin, job).await
}

/// `GET /v1/journal/accounts/{account}`.
pub(super) async fn books(
    State(admin): State<AdminState>,
    Id(account): Id<AccountId>,
) -> Answer<BooksPage> {
    let job = move |history: &dyn History, names: &Names| {
        journal::books(history, names, &account).ok_or(Refusal::UnknownAccount)
    };
    read(admin, job).await
}

fn asked(RawQuery(query): RawQuery) -> Result<Ask, Refusal> {
    query.unwrap_or_default().parse()
}

async fn read<T: Serialize + Send + 'static>(
    admin: AdminState,
    job: impl FnOnce(&dyn History, &Names) -> Result<T, Refusal> + Send + 'static,
) -> Answer<T> {
    let (engine, names) = (admin.engine.clone(), admin.names.clone());
    let job = move || job(engine.history(), &names);
    let page = tokio::task::spawn_blocking(job).await;
    Ok(Json(page.map_err(|_| Problem::internal())??))
}

//! The drafts that a terminal keeps, for its operator: what they are, sending one, dropping one.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use city_protocol::Refusal;
use city_protocol::ids::Digest;

use super::AdminState;
use super::pages::{DroppedPage, OutboxPage};
use crate::api::Problem;
use crate::api::extract::Id;
use crate::api::forward::answered;
use crate::api::wire::{SCHEMA, TransferForm};
use crate::engine::utc;
use crate::terminal::{Answer, Outbox, OutboxError, Terminal};

/// `GET /v1/outbox`.
pub(super) async fn list(State(admin): State<AdminState>) -> Result<Json<OutboxPage>, Problem> {
    let (terminal, outbox) = admin.drafts()?;
    Ok(Json(OutboxPage {
        schema: SCHEMA,
        home: terminal.page(),
        drafts: outbox.list(),
    }))
}

/// `POST /v1/outbox/{identity}/send`: what the home says to it, as it says it. What is booked is kept no longer.
pub(super) async fn send(
    State(admin): State<AdminState>,
    Id(identity): Id<Digest>,
) -> Result<Response, Problem> {
    let (terminal, outbox) = admin.drafts()?;
    let reading = outbox.clone();
    let content = waited(move || reading.content(&identity, utc())).await?;
    let content = content.ok_or_else(Problem::no_draft)?;
    let form: TransferForm =
        serde_json::from_str(&content.form).map_err(|_| Problem::internal())?;
    let bytes = content.form.as_bytes().to_vec();
    let answer = terminal
        .transfer(bytes.into(), &form.body, content.place)
        .await;
    if let Ok(Answer::Booked(_, page)) = &answer {
        if page.identity != identity {
            tracing::error!(%identity, "the home names another transfer in its answer");
            return Err(Refusal::BadReceipt.into());
        }
        waited(move || outbox.forget(&identity)).await?;
    }
    answered(answer)
}

/// `POST /v1/outbox/{identity}/drop`.
pub(super) async fn forget(
    State(admin): State<AdminState>,
    Id(identity): Id<Digest>,
) -> Result<Json<DroppedPage>, Problem> {
    let (_, outbox) = admin.drafts()?;
    match waited(move || outbox.forget(&identity)).await? {
        true => Ok(Json(DroppedPage {
            schema: SCHEMA,
            identity,
        })),
        false => Err(Problem::no_draft()),
    }
}

impl AdminState {
    /// The drafts of a terminal; a home has none.
    fn drafts(&self) -> Result<(Terminal, Outbox), Problem> {
        let terminal = self.terminal.clone().ok_or_else(Problem::no_terminal)?;
        let outbox = terminal.outbox().cloned();
        let outbox = outbox.ok_or_else(Problem::no_key_ring)?;
        Ok((terminal, outbox))
    }
}

/// Waits for the disk away from the threads that wait for sockets.
async fn waited<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, OutboxError> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(job).await;
    done.map_err(|_| Problem::internal())?
        .map_err(|error| Problem::outbox(&error))
}

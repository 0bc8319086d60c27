//! What a terminal does with submissions: it hands them to its home, byte for byte, and the answer back. What could not be
//! delivered it keeps where it is asked to.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use city_protocol::Refusal;
use city_protocol::body::{PersonBody as _, Transfer};
use city_protocol::stage::Signed;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::extract::RawJson;
use super::wire::{KeptPage, SCHEMA, TransferForm};
use super::{ApiState, Problem};
use crate::client::Reply;
use crate::engine::utc;
use crate::terminal::{Answer, HomeError, Terminal};

/// Where a home takes submissions that name no proof of place.
const FORWARDED: [&str; 11] = [
    "/send/api/enrol",
    "/send/api/grants",
    "/send/api/ungrants",
    "/send/api/corrections",
    "/send/api/charters",
    "/send/api/rotations",
    "/send/api/revocations",
    "/send/api/recoveries",
    "/send/api/accepts",
    "/send/api/rejects",
    "/send/api/orders",
];

/// What the forms of all submissions have: the text that was signed. The rest is the home's to read.
#[derive(Deserialize)]
struct Submitted {
    body: String,
}

/// The routes of a terminal in the place of its home's.
pub(super) fn submissions(terminal: &Terminal) -> Router<ApiState> {
    let mut routes = Router::new();
    for path in FORWARDED {
        let terminal = terminal.clone();
        let relay = move |RawJson(form, submitted): RawJson<Submitted>| {
            let terminal = terminal.clone();
            async move { answered(terminal.submit(path, form.into(), &submitted.body).await) }
        };
        routes = routes.route(path, post(relay));
    }
    routes
        .route("/send/api/transfers", post(transfer))
        .route("/send/api/outbox/transfers", post(keep))
        .route(
            "/send/api/transfers/{identity}/private",
            get(async || Problem::at_the_home()),
        )
}

/// `POST /send/api/transfers`.
async fn transfer(
    State(api): State<ApiState>,
    RawJson(form, submitted): RawJson<Submitted>,
) -> Result<Response, Problem> {
    let terminal = api.terminal.as_ref().ok_or_else(Problem::not_found)?;
    answered(terminal.transfer(form.into(), &submitted.body, None).await)
}

/// `POST /send/api/outbox/transfers`: keeps a transfer of somebody who is known here, with the proof of place that this
/// terminal made for it; durable when it is answered.
async fn keep(
    State(api): State<ApiState>,
    RawJson(bytes, form): RawJson<TransferForm>,
) -> Result<(StatusCode, Json<KeptPage>), Problem> {
    let terminal = api.terminal.as_ref().ok_or_else(Problem::not_found)?;
    let outbox = terminal.outbox().ok_or_else(Problem::no_key_ring)?.clone();
    let (form, _private) = form.split();
    let signed = Signed::<Transfer>::read(form.body.as_bytes(), form.signature.read()?)?;
    let common = signed.body().common();
    api.for_us(&common.network, &common.home)?;
    // Strangers fill no disk: only what an account of this home signed is kept. Whether it is booked, the home says later.
    let key = api.engine.active_key(&signed.body().sender)?;
    let verified = {
        let signed = signed.clone();
        api.on_pool(move || signed.verify(&key)).await??
    };
    let place = terminal.place_of(&verified.body().proof_of_place).await?;
    let text = String::from_utf8(bytes).map_err(|_| Refusal::BadJson)?;
    let text = Zeroizing::new(text);
    let keeping = move || outbox.keep(&text, &signed, place.as_ref(), utc());
    let kept = tokio::task::spawn_blocking(keeping).await;
    let draft = kept
        .map_err(|_| Problem::internal())?
        .map_err(|error| Problem::outbox(&error))?;
    let page = KeptPage {
        schema: SCHEMA,
        identity: draft.identity,
        kept_at: draft.kept_at,
        expires_at: draft.expires_at,
    };
    Ok((StatusCode::CREATED, Json(page)))
}

/// What whoever submitted is told.
pub(crate) fn answered(answer: Result<Answer, HomeError>) -> Result<Response, Problem> {
    let (reply, media_type) = match answer {
        Ok(Answer::Booked(reply, _)) => (reply, "application/json"),
        Ok(Answer::Refused(reply, _)) => (reply, "application/problem+json"),
        Err(error) => return Err(Problem::home(&error)),
    };
    let Reply {
        status,
        retry_after,
        body,
    } = reply;
    let mut response = (status, Body::from(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

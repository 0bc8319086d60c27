//! The admin socket: what operators ask a running node on its own machine. HTTP and JSON over a Unix socket.
//!
//! `socket` binding, serving and removing it · `gather` reading the node · `pages` the JSON of the answers ·
//! `show` the same for people · `store` exports and figures · `transfers` one transfer · `probe` keys are tried · `outbox` a
//! terminal's drafts · `accounts` the home's accounts · `ledger` the DAG · `notes` the board · `journal` pages of the journal ·
//! `whitelist` who may connect, `whitelist_file` that as files · `enrolment` who asks to · `recommend` what peers say of others · `key_exchange` certificates between nodes · `rotation` transport keys that follow others ·
//! `upkeep` what is taken away or read again ·
//! `netcheck` every peer, tried
//! out. Operators may ask everything, others whom the file lets in the status only.

mod accounts;
mod enrolment;
mod gather;
mod journal;
mod key_exchange;
mod ledger;
pub mod netcheck;
mod notes;
mod outbox;
pub mod pages;
mod place_proof;
mod probe;
mod recommend;
pub(crate) mod rotation;
pub mod show;
mod socket;
mod store;
mod transfers;
mod trust;
mod upkeep;
mod whitelist;
pub(crate) mod whitelist_file;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use libp2p::PeerId;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use place_proof::PlaceProofForm;
pub use probe::OwnKeys;
pub(crate) use socket::check_path;
pub use socket::{AdminSocket, MAX_SOCKET_PATH, Operators, SocketError};

use crate::access::audit::{AuditVerdict, LinesPage, Which};
use crate::access::{AccessLog, Class, Event};
use crate::api::Problem;
use crate::api::peer::Peer;
use crate::api::problem::refusal_code;
use crate::api::serve::listen;
use crate::api::wire::SCHEMA;
use crate::config::Network;
use crate::engine::{EngineHandle, Hold, OwnCertificate, SystemClock, TransportKey};
use crate::keys::{Exchanged, Keystore, exchange};
use crate::net::NetHandle;
use crate::pki::{DoorKeeper, DoorKind, OperatorName};
use crate::place::antenna::Antenna;
use crate::private::Keeper;
use crate::setup::DataDir;
use crate::terminal::Terminal;

/// What the admin socket shows; cheap to clone.
#[derive(Clone)]
pub struct AdminState {
    /// The engine.
    pub engine: EngineHandle,
    /// The antenna.
    pub antenna: Antenna,
    /// The network; none while it is not started.
    pub net: Option<NetHandle>,
    /// The configuration's file.
    pub config: PathBuf,
    /// What the configuration says of the network.
    pub network: Arc<Network>,
    /// Why this run does not book, if opening found a reason.
    pub hold: Option<Hold>,
    /// The clock.
    pub clock: SystemClock,
    /// When the node started.
    pub started: Instant,
    /// The node's peer id.
    pub peer_id: PeerId,
    /// The node's secrets at rest; none where nothing is kept, as in a test.
    pub keys: Option<NodeKeys>,
    /// The node's own keys, to try them; none where nothing is signed, as in a test.
    pub own: Option<OwnKeys>,
    /// The whitelist.
    pub trust: crate::trust::Keeper,
    /// What signs requests to other nodes; none where there is no network.
    pub transport: Option<TransportKey>,
    /// The certificate that peers are shown; none where there is no network.
    pub certificate: Option<OwnCertificate>,
    /// Names of municipalities by code, as far as the boundary index knows them.
    pub names: Arc<BTreeMap<String, String>>,
    /// Certificates, roots and lists as they hold.
    pub doors: DoorKeeper,
    /// Where operators' actions are noted.
    pub access: AccessLog,
    /// Private values; none where none are kept.
    pub private: Option<Keeper>,
    /// The line to the home, at a terminal.
    pub terminal: Option<Terminal>,
}

/// The node's secrets at rest.
#[derive(Clone)]
pub struct NodeKeys {
    /// The key store.
    pub keystore: Arc<Keystore>,
    /// Where the files stand that it wraps.
    pub data: DataDir,
    /// What the TPM's counter showed at the start, if it agreed with the data directory.
    pub confirmed: Option<u64>,
}

/// Who asks: by SO_PEERCRED, or by a TLS client certificate.
#[derive(Clone, Debug)]
enum Caller {
    /// Anybody who may read the status.
    Reader,
    /// An operator, with the name that the access log has: `uid 1000` or the certificate's.
    Operator(Arc<str>),
}

/// All routes.
pub fn router(state: AdminState) -> Router {
    let operators = Router::new()
        .route("/v1/balances", get(balances))
        .route("/v1/accounts", get(accounts::list))
        .route("/v1/ledger/heads", get(ledger::heads))
        .route("/v1/ledger/vertices/{id}", get(ledger::vertex))
        .route("/v1/ledger/positions/{log}/{seq}", get(ledger::position))
        .route("/v1/ledger/entries/{identity}", get(ledger::entry))
        .route("/v1/ledger/logs/{log}", get(ledger::lines))
        .route("/v1/ledger/last/{count}", get(ledger::last))
        .route("/v1/ledger/checkpoints", post(ledger::make_checkpoint))
        .route("/v1/ledger/checkpoints/{log}", get(ledger::checkpoints))
        .route(
            "/v1/ledger/checkpoints/{log}/export",
            get(ledger::export_checkpoint),
        )
        .route("/v1/ledger/proofs/{what}", get(ledger::proof))
        .route(
            "/v1/ledger/proofs/{what}/checkpoint",
            get(ledger::proof_under),
        )
        .route(
            "/v1/ledger/false-refunds/{identity}",
            get(ledger::false_refund),
        )
        .route("/v1/ledger/equivocations", get(ledger::equivocations))
        .route(
            "/v1/ledger/equivocations/{log}/{epoch}",
            get(ledger::equivocation),
        )
        .route("/v1/notes", get(notes::all).post(notes::write))
        .route("/v1/notes/{key}", get(notes::one))
        .route("/v1/notes/under/{prefix}", get(notes::under))
        .route("/v1/audit", get(audit))
        .route("/v1/verify", get(verify))
        .route("/v1/store/export", get(store::export))
        .route("/v1/store/stats", get(store::stats))
        .route("/v1/store/pin", get(store::pin))
        .route("/v1/netcheck", get(netcheck::look))
        .route("/v1/place/clear-spoofing", post(clear_spoofing))
        .route("/v1/place/proof", post(place_proof::prove))
        .route("/v1/records/{log}/{after}", get(records))
        .route("/v1/records/verify", get(verify_records))
        .route("/v1/transfers/{identity}", get(transfers::show))
        .route("/v1/private/{identity}", get(transfers::private))
        .route("/v1/private/{identity}/erase", post(transfers::erase))
        .route("/v1/outbox", get(outbox::list))
        .route("/v1/outbox/{identity}/send", post(outbox::send))
        .route("/v1/outbox/{identity}/drop", post(outbox::forget))
        .route("/v1/keys/rotate-master", post(rotate_master))
        .route("/v1/keys/rotate-transport", post(rotation::rotate))
        .route("/v1/keys/probe", post(probe::keys))
        .route("/v1/rotations", get(rotation::list))
        .route("/v1/rotations/follow", post(rotation::follow))
        .route("/v1/whitelist", get(whitelist::list))
        .route(
            "/v1/whitelist/{peer}",
            get(whitelist::show).post(whitelist::add),
        )
        .route("/v1/whitelist/{peer}/keys", post(whitelist::add_key))
        .route("/v1/whitelist/{peer}/remove", post(whitelist::remove))
        .route("/v1/whitelist-file/export", post(whitelist_file::export))
        .route("/v1/whitelist-file/import", post(whitelist_file::import))
        .route("/v1/enrolment", get(enrolment::show))
        .route("/v1/enrolment/ask", post(enrolment::ask))
        .route("/v1/enrolment/{peer}/approve", post(enrolment::approve))
        .route("/v1/enrolment/{peer}/ignore", post(enrolment::ignore))
        .route("/v1/peer-keys/announce", post(key_exchange::announce))
        .route("/v1/peer-keys/request", post(key_exchange::request))
        .route("/v1/upkeep/cleanup", post(upkeep::cleanup))
        .route("/v1/upkeep/reload", post(upkeep::reload))
        .route("/v1/recommendations", get(recommend::list))
        .route("/v1/recommendations/{peer}", post(recommend::recommend))
        .route("/v1/recommendations/{peer}/revoke", post(recommend::revoke))
        .route("/v1/journal/logs", get(journal::logs))
        .route("/v1/journal/lines", get(journal::lines))
        .route("/v1/journal/sums", get(journal::sums))
        .route("/v1/journal/movements", get(journal::movements))
        .route("/v1/journal/accounts/{account}", get(journal::books))
        .route_layer(from_fn_with_state(state.access.clone(), noted))
        .route_layer(from_fn(operators_only));
    // As with the status, who looks once a second does nothing that is noted.
    let watching = Router::new()
        .route("/v1/place", get(place))
        .route("/v1/place/outline", get(outline))
        .route_layer(from_fn(operators_only));
    Router::new()
        .route("/v1/status", get(status))
        .merge(operators)
        .merge(watching)
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(state)
}

async fn operators_only(request: Request, next: Next) -> Response {
    match request.extensions().get::<Caller>() {
        Some(Caller::Operator(_)) => next.run(request).await,
        Some(Caller::Reader) | None => Problem::operators_only().into_response(),
    }
}

/// Notes what an operator does, before it is done. Reading the status is no action: programs do it all day.
async fn noted(State(access): State<AccessLog>, request: Request, next: Next) -> Response {
    if let Some(Caller::Operator(who)) = request.extensions().get::<Caller>() {
        let what = format!("{} {}", request.method(), request.uri().path());
        access.write(Event::once(Class::Operator, who, &what)).await;
    }
    next.run(request).await
}

/// Counts what is refused at the operators' door, whoever asks.
async fn refusals_counted(
    State(access): State<AccessLog>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    if let Some(code) = refusal_code(&response) {
        access.refused(Class::Refused, code);
    }
    response
}

/// Serves operators over HTTPS until `stop`: the socket's routes, for certificates that name one of these, or any
/// where none is listed.
pub async fn serve_operators(
    listener: TcpListener,
    keeper: DoorKeeper,
    state: AdminState,
    operators: BTreeSet<OperatorName>,
    stop: CancellationToken,
) {
    let access = state.access.clone();
    let app = router(state)
        .layer(from_fn(operators_only))
        .layer(from_fn_with_state(
            Arc::new(operators),
            named_by_certificate,
        ))
        .layer(from_fn_with_state(access.clone(), refusals_counted));
    listen(listener, DoorKind::Operator, keeper, app, access, stop).await;
}

/// Who a certificate names, as the routes know callers. One that names an account, or an operator of others only,
/// operates nothing.
async fn named_by_certificate(
    State(operators): State<Arc<BTreeSet<OperatorName>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let operator = request.extensions().get::<Peer>().and_then(Peer::operator);
    let ours = |name: &&OperatorName| operators.is_empty() || operators.contains(*name);
    if let Some(name) = operator.filter(ours) {
        let caller = Caller::Operator(name.as_str().into());
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

async fn status(State(admin): State<AdminState>) -> Result<Json<pages::Status>, Problem> {
    Ok(Json(admin.status().await?))
}

async fn balances(State(admin): State<AdminState>) -> Result<Json<pages::Balances>, Problem> {
    Ok(Json(admin.balances().await?))
}

async fn audit(State(admin): State<AdminState>) -> Result<Json<pages::AuditPage>, Problem> {
    Ok(Json(admin.audit().await?))
}

async fn verify(State(admin): State<AdminState>) -> Result<Json<pages::VerifyPage>, Problem> {
    Ok(Json(admin.verify().await?))
}

async fn rotate_master(State(admin): State<AdminState>) -> Result<Json<Exchanged>, Problem> {
    let keys = admin.keys.ok_or_else(Problem::not_found)?;
    // argon2id and the TPM take their time, and the disk is waited for.
    let exchanged = tokio::task::spawn_blocking(move || {
        let files = keys.data.secret_files()?;
        exchange(&keys.keystore, None, &files)
    });
    match exchanged.await {
        Ok(Ok(done)) => {
            tracing::warn!(master = %done.entry.id, "the master secret was exchanged");
            Ok(Json(done))
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "the master secret was not exchanged");
            Err(Problem::keys(&error))
        }
        Err(_) => Err(Problem::internal()),
    }
}

async fn records(
    State(admin): State<AdminState>,
    path: Result<Path<(Which, u64)>, PathRejection>,
) -> Result<Json<LinesPage>, Problem> {
    let Path((log, after)) = path.map_err(|_| Problem::not_found())?;
    Ok(Json(admin.records(log, after).await?))
}

async fn verify_records(State(admin): State<AdminState>) -> Result<Json<AuditVerdict>, Problem> {
    Ok(Json(admin.verify_records().await?))
}

async fn place(State(admin): State<AdminState>) -> Result<Json<serde_json::Value>, Problem> {
    Ok(Json(admin.place()?))
}

async fn outline(State(admin): State<AdminState>) -> Json<pages::OutlinePage> {
    Json(pages::OutlinePage {
        schema: SCHEMA,
        outline: admin.antenna.outline(),
    })
}

async fn clear_spoofing(
    State(admin): State<AdminState>,
) -> Result<Json<pages::ClearedPage>, Problem> {
    let antenna = admin.antenna;
    let cleared = gather::blocking(move || {
        antenna.clear_spoofing().map_err(|error| {
            tracing::error!(%error, "the note of indicated spoofing could not be removed; it still counts");
            Problem::internal().with_detail(error.to_string())
        })
    });
    let since = cleared.await?;
    if let Some(since) = since {
        tracing::warn!(since = since.0, "an operator cleared indicated spoofing");
    }
    Ok(Json(pages::ClearedPage {
        schema: SCHEMA,
        indicated_since: since,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::StatusCode;
    use tower::ServiceExt as _;

    #[tokio::test]
    async fn only_operators_pass_the_gate() {
        let app = Router::new()
            .route("/v1/audit", get(async || "sums"))
            .route_layer(from_fn(operators_only));
        let ask = |caller: Option<Caller>| {
            let mut request = Request::get("/v1/audit").body(Body::empty()).unwrap();
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            app.clone().oneshot(request)
        };
        let status = |answer: Result<Response, _>| answer.unwrap().status();
        assert_eq!(status(ask(None).await), StatusCode::FORBIDDEN);
        let guest = ask(Some(Caller::Reader)).await;
        assert_eq!(status(guest), StatusCode::FORBIDDEN);
        let operator = ask(Some(Caller::Operator("hanako".into()))).await;
        assert_eq!(status(operator), StatusCode::OK);
    }
}

//! The HTTPS API: how apps, the kiosk screen and officers reach a home.
//!
//! `serve` listener, TLS, limits and draining · `rate` who may ask how often · `extract` reading requests ·
//! `wire` the JSON of requests and replies · `problem` refusals as HTTP · `submit` what is booked · `keys` how an account's keys change · `ask` what
//! is only read · `listing` what is listed · `place` proofs of place · `private` values that two people share ·
//! `expiry` until when an algorithm is taken · `forward` what a terminal hands to its home. Nothing is decided here that the engine decides.

pub(crate) mod ask;
mod challenge;
mod expiry;
pub(crate) mod extract;
pub(crate) mod forward;
mod keys;
mod listing;
mod login;
pub(crate) mod peer;
pub(crate) mod place;
pub(crate) mod private;
pub mod problem;
mod rate;
pub(crate) mod serve;
mod submit;
pub mod token;
mod who;
pub mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use city_protocol::crypto::NotAfter;
use city_protocol::replica::Clearing;

pub(crate) use extract::JsonBody;
pub use extract::MAX_BODY;
pub use problem::Problem;
pub use rate::{Limits, RateLimiter};
pub use serve::serve;

use crate::access::AccessLog;
use crate::engine::{EngineHandle, SystemClock};
use crate::pki::Clients;
use crate::place::antenna::Antenna;
use crate::private::Keeper;
use crate::terminal::Terminal;
use login::Doorbell;
use peer::{Peer, Shown};
use token::Tokens;

/// Who gets in, and where that is noted.
pub struct Gate {
    /// People's certificates.
    pub clients: Clients,
    /// Tokens of those who are logged in.
    pub tokens: Tokens,
    /// The access log.
    pub access: AccessLog,
}

/// What the handlers share; cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    engine: EngineHandle,
    antenna: Antenna,
    clock: SystemClock,
    clients: Clients,
    tokens: Arc<Tokens>,
    access: AccessLog,
    doorbell: Arc<Doorbell>,
    credit: Option<Arc<str>>,
    not_after: Arc<NotAfter>,
    clearing: Option<Arc<Clearing>>,
    private: Option<Keeper>,
    terminal: Option<Terminal>,
    rate: Arc<RateLimiter>,
}

impl ApiState {
    /// The API of this engine and antenna, for whom the gate lets in.
    #[must_use]
    pub fn new(engine: EngineHandle, antenna: Antenna, clock: SystemClock, gate: Gate) -> Self {
        let Gate {
            clients,
            tokens,
            access,
        } = gate;
        let rate = Arc::new(RateLimiter::new(Limits::default()));
        Self {
            engine,
            antenna,
            clock,
            clients,
            tokens: Arc::new(tokens),
            access,
            doorbell: Arc::new(Doorbell::new()),
            credit: None,
            not_after: Arc::default(),
            clearing: None,
            private: None,
            terminal: None,
            rate,
        }
    }

    /// Names the source of the boundary data, as its licence asks.
    #[must_use]
    pub fn with_boundary_credit(mut self, credit: &str) -> Self {
        self.credit = (!credit.is_empty()).then(|| credit.into());
        self
    }

    /// Until when which algorithm is taken.
    #[must_use]
    pub fn with_not_after(mut self, not_after: NotAfter) -> Self {
        self.not_after = Arc::new(not_after);
        self
    }

    /// Says what the home takes from other municipalities.
    #[must_use]
    pub fn with_clearing(mut self, clearing: Clearing) -> Self {
        self.clearing = Some(Arc::new(clearing));
        self
    }

    /// Keeps private values; without, they are refused.
    #[must_use]
    pub fn with_private(mut self, keeper: Option<Keeper>) -> Self {
        self.private = keeper;
        self
    }

    /// The API of a terminal, which hands to its home what people submit.
    #[must_use]
    pub fn with_terminal(mut self, terminal: Option<Terminal>) -> Self {
        self.terminal = terminal;
        self
    }

    /// Other limits than the default ones.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.rate = Arc::new(RateLimiter::new(limits));
        self
    }
}

/// All routes, with limits and headers around them.
pub fn router(state: ApiState) -> Router {
    let submissions = match &state.terminal {
        None => submissions(),
        Some(terminal) => forward::submissions(terminal),
    };
    Router::new()
        .route("/send/api/node", get(ask::node))
        .route("/send/api/login/challenge", post(login::challenge))
        .route("/send/api/login", post(login::login))
        .route("/send/api/logout", post(login::logout))
        .route("/send/api/charter", get(ask::charter))
        .route("/send/api/place", post(place::prove))
        .route("/send/api/transfers/{identity}", get(ask::transfer))
        .route("/send/api/accounts/{account}", get(ask::account))
        .route("/send/api/accounts/{account}/incoming", get(ask::incoming))
        .route(
            "/send/api/accounts/{account}/outgoing",
            get(listing::outgoing),
        )
        .route(
            "/send/api/accounts/{account}/received",
            get(listing::received),
        )
        .route("/send/api/homes", get(listing::homes))
        .merge(submissions)
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(from_fn_with_state(state.clone(), guard))
        .with_state(state)
}

/// What only a home does.
fn submissions() -> Router<ApiState> {
    Router::new()
        .route("/send/api/enrol", post(submit::enrol))
        .route("/send/api/grants", post(submit::grant))
        .route("/send/api/ungrants", post(submit::ungrant))
        .route("/send/api/corrections", post(submit::correct))
        .route("/send/api/charters", post(submit::charter))
        .route("/send/api/rotations", post(keys::rotate))
        .route("/send/api/revocations", post(keys::revoke))
        .route("/send/api/recoveries", post(keys::recover))
        .route("/send/api/place/signed", post(place::hold))
        .route("/send/api/transfers", post(submit::transfer))
        .route(
            "/send/api/transfers/{identity}/private",
            get(private::private),
        )
        .route("/send/api/accepts", post(submit::accept))
        .route("/send/api/rejects", post(submit::reject))
        .route("/send/api/orders", post(submit::order))
}

/// What stands on every answer. No HSTS: it would bind every port of the host name, also the plain ones of
/// loopback, and nothing here is served without TLS.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
];

/// The rate limit before, a deadline around and the headers behind every handler.
async fn guard(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().cloned();
    let peer = peer.unwrap_or_default();
    let mut response = match state.rate.take(peer.source) {
        Ok(()) => {
            if let Shown::Refused(refusal) = &peer.shown {
                Problem::certificate(*refusal).into_response()
            } else {
                let answer = tokio::time::timeout(serve::REQUEST_TIMEOUT, next.run(request));
                let late = |_| Problem::from(city_protocol::Refusal::Busy).into_response();
                answer.await.unwrap_or_else(late)
            }
        }
        Err(wait) => Problem::too_many_requests(wait).into_response(),
    };
    if let Some(code) = problem::refusal_code(&response) {
        state.access.refused(problem::class(code), code);
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

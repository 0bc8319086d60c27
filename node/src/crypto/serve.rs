//! The demo service: signing and sealing over HTTP on loopback, for trying things out from another program.
//!
//! Its keys are made when it starts and end with it; a named test key may sign instead, never one of a node or a CA.
//! There is no TLS and no login, so it listens on loopback only and answers only to loopback's own names: a web page
//! whose name was pointed at 127.0.0.1 gets nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use city_protocol::crypto::{Algorithm, PublicKey, SecretKey};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::limit::ConcurrencyLimitLayer;
use zeroize::Zeroizing;

use super::aead::{self, Sealed};
use super::case::Reason;
use super::message;
use super::secret::{ALG, SymmetricKey};
use crate::api::{JsonBody, MAX_BODY};
use crate::daemon::{DaemonError, stop_signal};
use crate::keys::{self, KeyFileError};
use crate::setup::{CaDir, DataDir};

/// Version of every answer.
const SCHEMA: u64 = 1;
/// Most requests that are worked on at once: a handful of cores' work.
const MAX_AT_ONCE: usize = 16;
/// How long one request may take, its body included.
const TIMEOUT: Duration = Duration::from_secs(16);
/// How long answers that are under way may take after the end was asked for.
const DRAIN: Duration = Duration::from_secs(2);

/// The demo service could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Not a loopback address.
    #[error(
        "--listen {0}: the demo service has neither TLS nor login and listens on loopback only; \
         write 127.0.0.1:8083 or [::1]:8083"
    )]
    NotLoopback(SocketAddr),
    /// The key belongs to a node or a CA.
    #[error(
        "--key {}: lies in the data or CA directory {}; a node's keys are never demonstrated: make a test key with \
         city-node crypto keygen --alg dilithium5 test.key", key.display(), directory.display()
    )]
    NodesKey {
        /// The key file.
        key: PathBuf,
        /// The directory.
        directory: PathBuf,
    },
    /// The key is of another algorithm.
    #[error("--key {}: a key of {algorithm}; this service signs with dilithium5", key.display())]
    OtherAlgorithm {
        /// The key file.
        key: PathBuf,
        /// Its algorithm.
        algorithm: Algorithm,
    },
    /// The key file cannot be read.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The system refused.
    #[error("--listen {address}: {source}; is another program listening there?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Signals cannot be waited for.
    #[error(transparent)]
    Signals(#[from] DaemonError),
}

/// The keys of the demonstration.
#[derive(Debug)]
pub struct Demo {
    signing: SecretKey,
    field: SymmetricKey,
}

impl Demo {
    /// Throw-away keys, or a named test key for signing.
    ///
    /// # Errors
    /// [`ServeError::NodesKey`], [`ServeError::OtherAlgorithm`] or [`ServeError::Key`].
    pub fn new(key: Option<&Path>) -> Result<Self, ServeError> {
        let signing = match key {
            None => SecretKey::generate(Algorithm::Dilithium5),
            Some(path) => {
                if let Some(directory) = home_of(path) {
                    let key = path.into();
                    return Err(ServeError::NodesKey { key, directory });
                }
                let key = keys::load_signing(path)?;
                let algorithm = key.public().algorithm();
                if algorithm != Algorithm::Dilithium5 {
                    let key = path.into();
                    return Err(ServeError::OtherAlgorithm { key, algorithm });
                }
                key
            }
        };
        Ok(Self {
            signing,
            field: SymmetricKey::generate(),
        })
    }
}

/// The data or CA directory that a file lies in, however it is linked to.
fn home_of(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let is_home = |directory: &&Path| {
        let (data, ca) = (DataDir::new(*directory), CaDir::new(*directory));
        data.genesis().exists() || data.charter().exists() || ca.genesis().exists()
    };
    path.ancestors().skip(1).find(is_home).map(Into::into)
}

/// Serves until SIGTERM or Ctrl-C.
///
/// # Errors
/// A [`ServeError`].
pub async fn run(address: SocketAddr, demo: Demo) -> Result<(), ServeError> {
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback(address));
    }
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let key = demo.signing.public().id();
    eprintln!(
        "demo service on http://{address}, loopback only, no login: for trying things out, never for real keys\n\
         signs with the test key {key}; GET / says what there is; Ctrl-C ends it"
    );
    let (ended, end) = tokio::sync::watch::channel(false);
    let server = axum::serve(listener, router(demo, address)).with_graceful_shutdown(async move {
        let mut end = end;
        let _ = end.wait_for(|ended| *ended).await;
    });
    let server = tokio::spawn(server.into_future());
    let signal = stop_signal(false).await;
    let _ = ended.send(true);
    // A client that keeps its connection open does not keep the service.
    let _ = tokio::time::timeout(DRAIN, server).await;
    eprintln!("demo service ended; its throw-away keys are gone");
    signal?;
    Ok(())
}

/// All routes behind the checks on the host's name, size, time and number of requests.
pub fn router(demo: Demo, address: SocketAddr) -> Router {
    let names = Names(Arc::new([
        address.to_string(),
        format!("127.0.0.1:{}", address.port()),
        format!("[::1]:{}", address.port()),
        format!("localhost:{}", address.port()),
    ]));
    Router::new()
        .route("/", get(index))
        .route("/sign/dilithium", post(sign))
        .route("/verify/dilithium", post(verify))
        .route("/enc/field", post(seal))
        .route("/dec/field", post(open))
        .fallback(async || refuse(StatusCode::NOT_FOUND, "not-found"))
        .method_not_allowed_fallback(async || {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(ConcurrencyLimitLayer::new(MAX_AT_ONCE))
        .layer(from_fn_with_state(names, guard))
        .with_state(Arc::new(demo))
}

/// The values of `Host` that mean this service.
#[derive(Clone)]
struct Names(Arc<[String; 4]>);

async fn guard(State(names): State<Names>, request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let ours = host.is_some_and(|host| names.0.iter().any(|name| name.eq_ignore_ascii_case(host)));
    let mut response = if ours && hosts.next().is_none() {
        match tokio::time::timeout(TIMEOUT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => refuse(StatusCode::REQUEST_TIMEOUT, "timeout"),
        }
    } else {
        refuse(StatusCode::MISDIRECTED_REQUEST, "other-host")
    };
    let headers = response.headers_mut();
    let never = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, never);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

fn refuse(status: StatusCode, code: &str) -> Response {
    let body = json!({ "schema": SCHEMA, "ok": false, "reason": code });
    (status, Json(body)).into_response()
}

/// A request that cannot be answered because of its fields.
struct Bad(Reason);

impl From<Reason> for Bad {
    fn from(reason: Reason) -> Self {
        Self(reason)
    }
}

impl IntoResponse for Bad {
    fn into_response(self) -> Response {
        refuse(StatusCode::BAD_REQUEST, self.0.code())
    }
}

type Answer = Result<Json<Value>, Bad>;

async fn index(State(demo): State<Arc<Demo>>) -> Json<Value> {
    let key = demo.signing.public();
    Json(json!({
        "schema": SCHEMA,
        "service": "city-node crypto serve: a demonstration with test keys",
        "sign": { "alg": key.algorithm(), "key": key.id(), "public_key": HEXLOWER.encode(key.as_bytes()) },
        "routes": {
            "POST /sign/dilithium": "message or message_hex, context? -> signature",
            "POST /verify/dilithium": "message or message_hex, signature, context?, public_key? -> ok, reason",
            "POST /enc/field": "value or value_hex, aad? -> iv, tag, ciphertext",
            "POST /dec/field": "iv, tag, ciphertext, aad? -> ok, value, value_hex",
        },
    }))
}

/// Text, or bytes in hexadecimal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignForm {
    message: Option<String>,
    message_hex: Option<String>,
    #[serde(default)]
    context: String,
}

async fn sign(State(demo): State<Arc<Demo>>, JsonBody(form): JsonBody<SignForm>) -> Answer {
    let content = content(form.message, form.message_hex.as_deref())?;
    let signature = message::sign(&demo.signing, form.context.as_bytes(), &content);
    let key = demo.signing.public();
    Ok(Json(json!({
        "schema": SCHEMA, "alg": key.algorithm(), "key": key.id(),
        "public_key": HEXLOWER.encode(key.as_bytes()), "signature": HEXLOWER.encode(signature.as_bytes()),
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyForm {
    message: Option<String>,
    message_hex: Option<String>,
    #[serde(default)]
    context: String,
    signature: String,
    /// The service's own if it is left out.
    public_key: Option<String>,
}

async fn verify(State(demo): State<Arc<Demo>>, JsonBody(form): JsonBody<VerifyForm>) -> Answer {
    let content = content(form.message, form.message_hex.as_deref())?;
    let signature = hex(&form.signature)?;
    let key = match &form.public_key {
        None => demo.signing.public().clone(),
        Some(key) => {
            PublicKey::new(Algorithm::Dilithium5, &hex(key)?).map_err(|_| Reason::BadKey)?
        }
    };
    let outcome = message::verify(&key, form.context.as_bytes(), &content, &signature);
    let reason = outcome.err().map(Reason::code);
    Ok(Json(
        json!({ "schema": SCHEMA, "ok": outcome.is_ok(), "reason": reason }),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SealForm {
    value: Option<String>,
    value_hex: Option<String>,
    #[serde(default)]
    aad: String,
}

async fn seal(State(demo): State<Arc<Demo>>, JsonBody(form): JsonBody<SealForm>) -> Answer {
    let value = content(form.value, form.value_hex.as_deref())?;
    let Sealed {
        iv,
        tag,
        ciphertext,
    } = aead::seal(demo.field.expose_secret(), form.aad.as_bytes(), &value)?;
    Ok(Json(json!({
        "schema": SCHEMA, "alg": ALG, "iv": HEXLOWER.encode(&iv), "tag": HEXLOWER.encode(&tag),
        "ciphertext": HEXLOWER.encode(&ciphertext),
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenForm {
    iv: String,
    tag: String,
    ciphertext: String,
    #[serde(default)]
    aad: String,
}

async fn open(State(demo): State<Arc<Demo>>, JsonBody(form): JsonBody<OpenForm>) -> Answer {
    let (iv, tag, ciphertext) = (hex(&form.iv)?, hex(&form.tag)?, hex(&form.ciphertext)?);
    let (key, aad) = (demo.field.expose_secret(), form.aad.as_bytes());
    Ok(Json(
        match aead::open(ALG, key, &iv, aad, &ciphertext, &tag) {
            Ok(value) => json!({
                "schema": SCHEMA, "ok": true, "reason": null,
                "value": std::str::from_utf8(&value).ok(), "value_hex": HEXLOWER.encode(&value),
            }),
            Err(reason) => json!({ "schema": SCHEMA, "ok": false, "reason": reason.code() }),
        },
    ))
}

/// One of the two, exactly.
fn content(text: Option<String>, in_hex: Option<&str>) -> Result<Zeroizing<Vec<u8>>, Reason> {
    match (text, in_hex) {
        (Some(text), None) => Ok(Zeroizing::new(text.into_bytes())),
        (None, Some(text)) => hex(text),
        (None, None) => Err(Reason::MissingField),
        (Some(_), Some(_)) => Err(Reason::BadField),
    }
}

fn hex(text: &str) -> Result<Zeroizing<Vec<u8>>, Reason> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
    bytes.map(Zeroizing::new).map_err(|_| Reason::BadField)
}

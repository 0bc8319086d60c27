//! One small HTTP/1.1 client: one connection that is kept and opened again, JSON both ways, a deadline.
//!
//! Every call may be repeated: submissions are idempotent. So a call on a kept connection that the server has
//! closed meanwhile is tried once more on a new one.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use super::ClientError;
use super::address::authority;
use crate::api::problem::ProblemBody;

/// How long connecting and the handshake may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take: `verify` of a large store is the longest.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest answer in bytes: the largest proof (three receipts, each of a home that elected its officers many times) in base64, and room.
const MAX_ANSWER: usize = 24 << 20;

/// Where the other side is.
pub(super) enum Target {
    /// An admin socket.
    Socket(PathBuf),
    /// An HTTPS listener.
    Tls {
        host: String,
        port: u16,
        name: ServerName<'static>,
        config: Arc<ClientConfig>,
    },
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// After how many seconds to ask again, if it says so.
    pub retry_after: Option<u64>,
    /// Its body.
    pub body: Bytes,
}

/// A connection that is opened when it is needed.
pub(super) struct Link {
    target: Target,
    open: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Link {
    pub(super) fn new(target: Target) -> Self {
        let open = Mutex::new(None);
        Self { target, open }
    }

    /// Opens the connection if there is none.
    pub(super) async fn connect(&self) -> Result<(), ClientError> {
        let mut open = self.open.lock().await;
        if open.is_none() {
            *open = Some(self.dial().await?);
        }
        Ok(())
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::GET, path, Bytes::new(), None).await
    }

    /// With a token, if there is one.
    pub(super) async fn get_as<T: DeserializeOwned>(
        &self,
        path: &str,
        token: Option<&str>,
    ) -> Result<T, ClientError> {
        self.ask(Method::GET, path, Bytes::new(), token).await
    }

    pub(super) async fn post<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).expect("requests have text keys");
        self.ask(Method::POST, path, body.into(), None).await
    }

    /// With a token and an empty body.
    pub(super) async fn post_as<T: DeserializeOwned>(
        &self,
        path: &str,
        token: Option<&str>,
    ) -> Result<T, ClientError> {
        self.ask(Method::POST, path, Bytes::new(), token).await
    }

    /// Asks and reads the answer as it is: status and bytes.
    pub(super) async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        token: Option<&str>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let mut open = self.open.lock().await;
        let kept = open.take();
        if let Some(mut sender) = kept.filter(|sender| !sender.is_closed()) {
            match self
                .exchange(&mut sender, &method, path, &body, token)
                .await
            {
                Err(ClientError::Broken(_)) => {}
                Ok(reply) => {
                    *open = Some(sender);
                    return Ok((reply.status, reply.body));
                }
                Err(error) => return Err(error),
            }
        }
        let mut sender = self.dial().await?;
        let reply = self
            .exchange(&mut sender, &method, path, &body, token)
            .await?;
        *open = Some(sender);
        Ok((reply.status, reply.body))
    }

    /// Takes an answer in pieces, each within the time that an answer may take.
    pub(super) async fn pull(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        // On a connection of its own: one that was cut within an answer is of no more use.
        let mut sender = self.dial().await?;
        let request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header(HOST, "localhost")
            .body(Full::new(Bytes::new()))
            .map_err(|_| ClientError::Address(path.into()))?;
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, sender.send_request(request));
        let response = answer.await.map_err(|_| ClientError::Timeout)??;
        let status = response.status();
        let mut body = response.into_body();
        let mut problem = Vec::new();
        loop {
            let piece = tokio::time::timeout(ANSWER_TIMEOUT, body.frame()).await;
            let Some(piece) = piece.map_err(|_| ClientError::Timeout)? else {
                break;
            };
            let Ok(piece) = piece?.into_data() else {
                continue;
            };
            if status.is_success() {
                take(&piece)?;
            } else if problem.len() + piece.len() <= MAX_ANSWER {
                problem.extend_from_slice(&piece);
            }
        }
        if status.is_success() {
            return Ok(());
        }
        let problem = serde_json::from_slice(&problem).map_err(|_| ClientError::BadReply {
            status: status.as_u16(),
        })?;
        Err(ClientError::Problem(Box::new(problem)))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        token: Option<&str>,
    ) -> Result<T, ClientError> {
        let (status, bytes) = self.raw(method, path, body, token).await?;
        let bad = ClientError::BadReply {
            status: status.as_u16(),
        };
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|_| bad);
        }
        let problem: ProblemBody = serde_json::from_slice(&bytes).map_err(|_| bad)?;
        Err(ClientError::Problem(Box::new(problem)))
    }

    /// Asks on this connection.
    pub(super) async fn exchange(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        method: &Method,
        path: &str,
        body: &Bytes,
        token: Option<&str>,
    ) -> Result<Reply, ClientError> {
        let host = match &self.target {
            Target::Socket(_) => "localhost".to_owned(),
            Target::Tls { host, port, .. } => authority(host, *port),
        };
        let mut request = Request::builder();
        if let Some(token) = token {
            let mut value =
                HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| ClientError::Token)?;
            // Not shown by anything that prints headers.
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let request = request
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(ACCEPT, "application/json, application/problem+json")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body.clone()))
            .map_err(|_| ClientError::Address(path.into()))?;
        let answer = async {
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            let status = response.status();
            let retry_after = response.headers().get(RETRY_AFTER);
            let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
            let body = Limited::new(response.into_body(), MAX_ANSWER)
                .collect()
                .await;
            let body = body.map_err(broken)?.to_bytes();
            Ok(Reply {
                status,
                retry_after,
                body,
            })
        };
        tokio::time::timeout(ANSWER_TIMEOUT, answer)
            .await
            .unwrap_or(Err(ClientError::Timeout))
    }

    /// Opens a connection.
    pub(super) async fn dial(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let dialling = async {
            match &self.target {
                Target::Socket(path) => {
                    let stream = UnixStream::connect(path).await;
                    speak(stream.map_err(|error| socket_error(path, error))?).await
                }
                Target::Tls {
                    host,
                    port,
                    name,
                    config,
                } => {
                    let address = authority(host, *port);
                    let unreachable = |source| ClientError::Unreachable {
                        address: address.clone(),
                        source,
                    };
                    let stream = TcpStream::connect((host.as_str(), *port)).await;
                    let stream = stream.map_err(unreachable)?;
                    stream.set_nodelay(true).map_err(unreachable)?;
                    let connector = TlsConnector::from(Arc::clone(config));
                    let stream = connector.connect(name.clone(), stream).await;
                    let stream = stream.map_err(|source| ClientError::Handshake {
                        address: address.clone(),
                        source,
                    })?;
                    speak(stream).await
                }
            }
        };
        tokio::time::timeout(CONNECT_TIMEOUT, dialling)
            .await
            .unwrap_or(Err(ClientError::Timeout))
    }
}

async fn speak<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Ends with the sender; what went wrong the sender's caller hears.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

fn socket_error(path: &std::path::Path, error: io::Error) -> ClientError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ClientError::NotRunning { path }
        }
        io::ErrorKind::PermissionDenied => ClientError::NotAllowed { path },
        _ => ClientError::Unreachable {
            address: path.display().to_string(),
            source: error,
        },
    }
}

fn broken(error: Box<dyn std::error::Error + Send + Sync>) -> ClientError {
    if error.is::<LengthLimitError>() {
        return ClientError::TooLong(MAX_ANSWER);
    }
    match error.downcast::<hyper::Error>() {
        Ok(error) => ClientError::Broken(*error),
        Err(_) => ClientError::Timeout,
    }
}

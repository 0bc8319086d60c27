//! The listener: TLS over TCP, one task a connection, everything under a limit or a deadline, and an orderly end.
//!
//! What strangers do wrong before their first request (noise, failed handshakes, slow headers) ends their
//! connection and is not logged, but for certificates that the operators' door refuses: those are counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use super::peer::{Peer, Shown};
use super::rate::network;
use super::{ApiState, router};
use crate::access::{AccessLog, Class};
use crate::pki::{DoorKeeper, DoorKind, Doors, TlsRefusal};

/// Open connections: 256 of some 100 KB with TLS buffers are 25 MB.
const MAX_CONNECTIONS: usize = 256;
/// Open connections of one address: a school behind one router, but not the whole listener.
const MAX_PER_SOURCE: usize = 64;
/// How long a TLS handshake may take: three round trips on a bad mobile link.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request's headers may take, and how long a connection may stay idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a request may take from its headers to its answer: a body, the pool, one fsync on an SD card.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection is kept: one that reads its answers slowly does not hold its place for ever.
const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// How long the last answer of such a connection may take; the admin socket's `verify` is the longest.
const LAST_ANSWER: Duration = Duration::from_secs(120);
/// Read buffer of a connection, which also bounds a request's headers.
const MAX_BUFFER: usize = 32 * 1024;
/// Most headers of a request.
const MAX_HEADERS: usize = 64;
/// How long running requests may take after the stop; below the daemon's own deadline of 5 s.
const DRAIN: Duration = Duration::from_secs(3);
/// Pause after accept fails, which it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the API for apps until `stop`, then ends what runs: idle connections at once, requests within 3 s.
pub async fn serve(
    listener: TcpListener,
    keeper: DoorKeeper,
    state: ApiState,
    stop: CancellationToken,
) {
    let access = state.access.clone();
    let app = router(state);
    listen(listener, DoorKind::App, keeper, app, access, stop).await;
}

/// Serves one door.
pub(crate) async fn listen(
    listener: TcpListener,
    kind: DoorKind,
    keeper: DoorKeeper,
    app: Router,
    access: AccessLog,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let sources = Sources::default();
    let tracker = TaskTracker::new();
    // Cancelled when draining took too long.
    let cut = CancellationToken::new();
    let accept = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let place = place.expect("nobody closes this semaphore");
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "the API cannot accept connections; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(source) = sources.enter(address.ip()) else {
                continue;
            };
            let visit = Visit {
                source: address.ip(),
                kind,
                keeper: keeper.clone(),
                access: access.clone(),
                stop: stop.clone(),
            };
            let serving = visit.serve(stream, app.clone());
            let cut = cut.clone();
            tracker.spawn(async move {
                cut.run_until_cancelled(serving).await;
                drop((place, source));
            });
        }
    };
    stop.run_until_cancelled(accept).await;
    drop(listener);
    drain(&tracker, &cut, DRAIN).await;
}

/// Waits for running connections, and ends them when that takes too long.
pub(crate) async fn drain(tracker: &TaskTracker, cut: &CancellationToken, deadline: Duration) {
    tracker.close();
    if tokio::time::timeout(deadline, tracker.wait())
        .await
        .is_err()
    {
        cut.cancel();
        tracker.wait().await;
    }
}

/// The code of a handshake that failed for the client's certificate.
fn refused_certificate(error: &std::io::Error) -> Option<&'static str> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::NoCertificatesPresented => Some("no-certificate"),
        rustls::Error::InvalidCertificate(why) => Some(TlsRefusal::code_of(why)),
        _ => None,
    }
}

/// One connection from its handshake to its end.
struct Visit {
    source: IpAddr,
    kind: DoorKind,
    keeper: DoorKeeper,
    access: AccessLog,
    stop: CancellationToken,
}

impl Visit {
    async fn serve(self, stream: TcpStream, app: Router) {
        // From here on every exchange of the doors is seen, also one during the handshake.
        let mut exchanges = self.keeper.watch();
        let doors = Arc::clone(&exchanges.borrow_and_update());
        let acceptor = TlsAcceptor::from(Arc::clone(&doors.door(self.kind).config));
        // Small answers should not wait for Nagle; without it they are only slower.
        let _slower = stream.set_nodelay(true);
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream));
        let stream = match self.stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => stream,
            Some(Ok(Err(error))) => {
                if let Some(reason) = refused_certificate(&error) {
                    self.access.refused(Class::Refused, reason);
                }
                return;
            }
            Some(Err(_)) | None => return,
        };
        let chain = stream.get_ref().1.peer_certificates();
        let chain = chain.map(|chain| {
            let owned = chain.iter().map(|der| der.clone().into_owned());
            owned.collect::<Vec<_>>()
        });
        let judge = |doors: &Doors| {
            let now = self.keeper.clock().now().time;
            Shown::judge(chain.as_deref(), doors, now)
        };
        let peer = Peer {
            source: self.source,
            shown: judge(&doors),
        };
        // A certificate that ends, ends its connection.
        let left = peer.shown.not_after().map_or(LIFETIME, |end| {
            let left = end.0.saturating_sub(self.keeper.clock().now().time.0);
            LIFETIME.min(Duration::from_millis(left))
        });
        drop(doors);
        let judged_otherwise = async {
            loop {
                // The doors that never change have no sender.
                if exchanges.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                let doors = Arc::clone(&exchanges.borrow_and_update());
                if judge(&doors) != peer.shown {
                    return;
                }
            }
        };
        // Dropped in the middle of whatever it does: who was revoked gets no last answer.
        tokio::select! {
            () = drive_for(stream, app, peer.clone(), self.stop.clone(), left) => {}
            () = judged_otherwise => {}
        }
    }
}

/// Speaks HTTP/1.1 on one connection until either side ends it; `who` stands beside every request.
pub(crate) async fn drive<T: Clone + Send + Sync + 'static>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: Router,
    who: T,
    stop: CancellationToken,
) {
    drive_for(stream, app, who, stop, LIFETIME).await;
}

async fn drive_for<T: Clone + Send + Sync + 'static>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: Router,
    who: T,
    stop: CancellationToken,
    lifetime: Duration,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(who.clone());
        app.clone().call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_BUFFER)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let until = async { drop(tokio::time::timeout(lifetime, stop.cancelled()).await) };
    // How a stranger's connection ends is its own matter.
    tokio::select! {
        _ended = serving.as_mut() => {}
        () = until => {
            serving.as_mut().graceful_shutdown();
            let _ended = tokio::time::timeout(LAST_ANSWER, serving).await;
        }
    }
}

/// Open connections by source.
#[derive(Clone, Default)]
struct Sources(Arc<Mutex<HashMap<IpAddr, usize>>>);

const HELD: &str = "no holder of this lock panics";

impl Sources {
    /// Counts a connection; `None` if its source has too many.
    fn enter(&self, source: IpAddr) -> Option<Entered> {
        let source = network(source);
        let mut open = self.0.lock().expect(HELD);
        let count = open.entry(source).or_default();
        if *count >= MAX_PER_SOURCE {
            return None;
        }
        *count += 1;
        Some(Entered {
            sources: self.clone(),
            source,
        })
    }
}

/// A counted connection.
struct Entered {
    sources: Sources,
    source: IpAddr,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.sources.0.lock().expect(HELD);
        if let Some(count) = open.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_cannot_take_the_whole_listener() {
        let sources = Sources::default();
        let greedy = IpAddr::from([192, 0, 2, 1]);
        let mut held: Vec<_> = (0..MAX_PER_SOURCE)
            .map(|_| sources.enter(greedy).unwrap())
            .collect();
        assert!(sources.enter(greedy).is_none());
        assert!(sources.enter(IpAddr::from([192, 0, 2, 2])).is_some());
        held.pop();
        assert!(sources.enter(greedy).is_some());
        drop(held);
        assert!(
            sources.0.lock().unwrap().is_empty(),
            "nothing is left behind"
        );
    }
}

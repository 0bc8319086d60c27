//! The store of a running node: exports as streams, figures, and where it ends for a backup.

use std::error::Error;
use std::io;
use std::pin::Pin as Pinned;
use std::task::{Context, Poll};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use city_protocol::Refusal;
use city_protocol::ids::BlockId;
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::AdminState;
use crate::api::Problem;
use crate::engine::{ExportError, Pin, Selection, StoreStats, export as blocks, stats as figures};
use crate::store::car;

/// IANA's media type of CAR files.
const CAR: &str = "application/vnd.ipld.car; version=1";
/// Bytes of a piece of the stream.
const PIECE: usize = 256 << 10;
/// Pieces that wait for a slow reader.
const PIECES: usize = 4;

/// What is exported: `log` is a log id or a region, `from` and `to` are positions, `stubs` is `true` or `false`. None needs
/// escapes.
fn selection(query: &str) -> Result<Selection, Refusal> {
    let mut selection = Selection::default();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or(Refusal::BadField)?;
        let number = || value.parse().map_err(|_| Refusal::BadField);
        match name {
            "log" => selection.logs = Some(value.parse()?),
            "from" => selection.from = Some(number()?),
            "to" => selection.to = Some(number()?),
            "stubs" => selection.stubs = value.parse().map_err(|_| Refusal::BadField)?,
            _ => return Err(Refusal::BadField),
        }
    }
    Ok(selection)
}

/// The rest of a stream behind its first piece.
struct Pieces<E> {
    first: Option<Bytes>,
    rest: mpsc::Receiver<Result<Bytes, E>>,
}

impl<E: Error + Send + Sync + 'static> hyper::body::Body for Pieces<E> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pinned<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let next = this.rest.poll_recv(context);
        // An error ends the connection within the stream, so that nobody takes a part for the whole.
        next.map(|piece| piece.map(|piece| piece.map(Frame::data).map_err(io::Error::other)))
    }
}

pub(super) async fn export(State(admin): State<AdminState>, uri: Uri) -> Result<Response, Problem> {
    let selection = selection(uri.query().unwrap_or_default())?;
    let history = admin.engine.history().clone();
    let genesis = admin.engine.genesis().clone();
    let network = genesis.network();
    let job = move |put: Put<'_>| blocks(history.store(), &genesis, &selection, put);
    stream(network, job, |error| match error {
        ExportError::Nothing => Problem::not_found().with_detail(error.to_string()),
        error => not_exported(&error),
    })
    .await
}

/// What was to be exported could not be read.
pub(super) fn not_exported(error: &(dyn Error + 'static)) -> Problem {
    tracing::error!(error, "the ledger could not be exported");
    Problem::internal().with_detail(error.to_string())
}

/// Where the blocks of a stream go.
pub(super) type Put<'a> = &'a mut dyn FnMut(&BlockId, &[u8]) -> io::Result<()>;

/// Answers with a CAR of this root, made away from the threads that wait for sockets. `problem` is the answer to an error before the
/// first piece is full; a later one ends the connection.
pub(super) async fn stream<E: Error + Send + Sync + 'static>(
    root: BlockId,
    blocks: impl FnOnce(Put<'_>) -> Result<(), E> + Send + 'static,
    problem: impl FnOnce(E) -> Problem,
) -> Result<Response, Problem> {
    let (pieces, mut rest) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        let mut piece = car::header(&root);
        let done = blocks(&mut |id, block| {
            car::push_section(&mut piece, id, block);
            if piece.len() < PIECE {
                return Ok(());
            }
            let whole = std::mem::take(&mut piece);
            pieces.blocking_send(Ok(whole.into())).map_err(gone)
        });
        // Whoever asked may have gone.
        let _gone = pieces.blocking_send(done.map(|()| piece.into()));
    });
    match rest.recv().await {
        Some(Ok(first)) => {
            let first = Some(first);
            let body = Body::new(Pieces { first, rest });
            Ok(([(CONTENT_TYPE, CAR)], body).into_response())
        }
        Some(Err(error)) => Err(problem(error)),
        None => Err(Problem::internal()),
    }
}

pub(super) async fn stats(State(admin): State<AdminState>) -> Result<Json<StoreStats>, Problem> {
    let history = admin.engine.history().clone();
    let genesis = admin.engine.genesis().clone();
    let dir = admin.keys.ok_or_else(Problem::not_found)?.data;
    let job = move || figures(history.store(), &genesis, dir.path());
    match tokio::task::spawn_blocking(job).await {
        Ok(Ok(stats)) => Ok(Json(stats)),
        Ok(Err(error)) => {
            tracing::error!(%error, "the store could not be measured");
            Err(Problem::internal().with_detail(error.to_string()))
        }
        Err(_) => Err(Problem::internal()),
    }
}

pub(super) async fn pin(State(admin): State<AdminState>) -> Json<Pin> {
    Json(Pin::of(admin.engine.history(), &admin.engine.log()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Logs;

    #[test]
    fn a_selection_is_read_whole_or_refused() {
        assert_eq!(selection(""), Ok(Selection::default()));
        let region = "Asia/JP/17/17201".parse().unwrap();
        let expected = Selection {
            logs: Some(Logs::Of(region)),
            from: Some(2),
            to: Some(9),
            stubs: false,
        };
        assert_eq!(selection("log=Asia/JP/17/17201&from=2&to=9"), Ok(expected));
        let stubs = Selection {
            stubs: true,
            ..Selection::default()
        };
        assert_eq!(selection("stubs=true"), Ok(stubs));
        for bad in ["from", "from=-1", "log=nobody", "upto=3", "stubs=1"] {
            assert!(selection(bad).is_err(), "{bad}");
        }
    }
}

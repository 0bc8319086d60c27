//! The ledger's pages for an operator; `crate::ledger` reads them.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use city_protocol::Refusal;
use city_protocol::checkpoint::Held;
use city_protocol::ids::{BlockId, Digest, LogId};

use super::AdminState;
use super::store::{Put, not_exported, stream};
use crate::api::Problem;
use crate::api::extract::{Id, Page};
use crate::api::wire::SCHEMA;
use crate::daemon::checkpoint::TOO_SOON;
use crate::ledger::checkpoints::{CheckpointPage, CheckpointsPage, ProofPage, Provable};
use crate::ledger::equivocation::{EquivocationPage, EquivocationsPage};
use crate::ledger::export::Exported;
use crate::ledger::pages::{EntryPage, HeadsPage, LinesPage, VertexShown};
use crate::ledger::proof::{ProofError, Prover};
use crate::ledger::read::{MAX_LAST, MAX_PAGE, Reader};

/// A number in a path or query.
pub(super) struct Number(u64);

impl FromStr for Number {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        text.parse().map(Self).map_err(|_| Refusal::BadField)
    }
}

impl AdminState {
    /// Reads away from the threads that wait for sockets.
    pub(super) async fn looking<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reader<'_>) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let engine = self.engine.clone();
        let names: Arc<BTreeMap<String, String>> = Arc::clone(&self.names);
        let trusted = self.trusted_up_to()?;
        let job = move || {
            let genesis = engine.genesis();
            let reader = Reader::new(engine.history(), genesis, engine.log(), &names);
            look(&reader.with_trusted(trusted))
        };
        let read = tokio::task::spawn_blocking(job).await;
        read.map_err(|_| Problem::internal())
    }

    async fn proving<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Prover<'_>) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let engine = self.engine.clone();
        let job = move || look(&Prover::new(engine.history(), engine.genesis()));
        let made = tokio::task::spawn_blocking(job).await;
        made.map_err(|_| Problem::internal())
    }

    async fn proof(
        &self,
        prove: impl FnOnce(&Prover<'_>) -> Result<Vec<u8>, ProofError> + Send + 'static,
    ) -> Result<Json<ProofPage>, Problem> {
        let proof = self.proving(prove).await?;
        let proof = proof.map_err(|error| Problem::no_proof(&error))?;
        Ok(Json(ProofPage {
            schema: SCHEMA,
            proof,
        }))
    }
}

/// `GET /v1/ledger/heads`.
pub(super) async fn heads(State(admin): State<AdminState>) -> Result<Json<HeadsPage>, Problem> {
    let look = |reader: &Reader<'_>| reader.heads();
    admin.looking(look).await.map(Json)
}

/// `GET /v1/ledger/vertices/{id}`.
pub(super) async fn vertex(
    State(admin): State<AdminState>,
    Id(id): Id<BlockId>,
) -> Result<Json<VertexShown>, Problem> {
    let found = admin.looking(move |reader| reader.vertex(&id)).await?;
    found.map(Json).ok_or_else(Problem::not_found)
}

/// `GET /v1/ledger/positions/{log}/{seq}`.
pub(super) async fn position(
    State(admin): State<AdminState>,
    path: Result<Path<(String, u64)>, PathRejection>,
) -> Result<Json<VertexShown>, Problem> {
    let Path((log, seq)) = path.map_err(|_| Refusal::BadId)?;
    let log: LogId = log.parse()?;
    let found = admin.looking(move |reader| reader.at(&log, seq)).await?;
    found.map(Json).ok_or_else(Problem::not_found)
}

/// `GET /v1/ledger/entries/{identity}`.
pub(super) async fn entry(
    State(admin): State<AdminState>,
    Id(identity): Id<Digest>,
) -> Result<Json<EntryPage>, Problem> {
    let found = admin.looking(move |reader| reader.entry(&identity)).await?;
    found.map(Json).ok_or_else(Problem::not_found)
}

/// `GET /v1/ledger/logs/{log}?after=SEQ&limit=N`.
pub(super) async fn lines(
    State(admin): State<AdminState>,
    Id(log): Id<LogId>,
    page: Page<Number>,
) -> Result<Json<LinesPage>, Problem> {
    let after = page.after.map_or(0, |Number(after)| after);
    let limit = page.limit.unwrap_or(MAX_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let detail = format!("limit is 1 to {MAX_PAGE}");
        return Err(Problem::from(Refusal::BadField).with_detail(detail));
    }
    let look = move |reader: &Reader<'_>| reader.lines(&log, after, limit);
    let found = admin.looking(look).await?;
    found.map(Json).ok_or_else(|| Refusal::UnknownLog.into())
}

/// `GET /v1/ledger/last/{n}`.
pub(super) async fn last(
    State(admin): State<AdminState>,
    Id(Number(count)): Id<Number>,
) -> Result<Json<LinesPage>, Problem> {
    let count = usize::try_from(count).unwrap_or(MAX_LAST);
    let look = move |reader: &Reader<'_>| reader.last(count);
    admin.looking(look).await.map(Json)
}

/// `GET /v1/ledger/checkpoints/{log}`.
pub(super) async fn checkpoints(
    State(admin): State<AdminState>,
    Id(log): Id<LogId>,
) -> Result<Json<CheckpointsPage>, Problem> {
    let look = move |prover: &Prover<'_>| prover.checkpoints(&log);
    admin.proving(look).await.map(Json)
}

/// `GET /v1/ledger/checkpoints/{log}/export`: the newest one with its state, as `ledger checkpoint export` writes it.
pub(super) async fn export_checkpoint(
    State(admin): State<AdminState>,
    Id(log): Id<LogId>,
) -> Result<Response, Problem> {
    let look = move |prover: &Prover<'_>| Exported::newest(prover, &log);
    let exported = admin.proving(look).await?;
    let exported = exported.map_err(|error| Problem::no_proof(&error))?;
    let history = admin.engine.history().clone();
    let root = exported.root();
    let job = move |put: Put<'_>| exported.blocks(&history, put);
    stream(root, job, |error| not_exported(&error)).await
}

/// `POST /v1/ledger/checkpoints`.
pub(super) async fn make_checkpoint(
    State(admin): State<AdminState>,
) -> Result<Json<CheckpointPage>, Problem> {
    let booked = admin.engine.checkpoint().await.map_err(|refusal| {
        let problem = Problem::from(refusal);
        match refusal {
            Refusal::Busy => problem.with_detail(TOO_SOON),
            _ => problem,
        }
    })?;
    let held = Held::verify(&booked.receipt, admin.engine.genesis())?;
    Ok(Json(CheckpointPage {
        schema: SCHEMA,
        checkpoint: (&held).into(),
        repeated: booked.repeated,
    }))
}

/// `GET /v1/ledger/proofs/{what}`, and `…/checkpoint` behind it for a proof under the newest one.
pub(super) async fn proof(
    State(admin): State<AdminState>,
    Id(what): Id<Provable>,
) -> Result<Json<ProofPage>, Problem> {
    admin
        .proof(move |prover| Ok(prover.prove(&what, false)?.to_bytes()))
        .await
}

pub(super) async fn proof_under(
    State(admin): State<AdminState>,
    Id(what): Id<Provable>,
) -> Result<Json<ProofPage>, Problem> {
    admin
        .proof(move |prover| Ok(prover.prove(&what, true)?.to_bytes()))
        .await
}

/// `GET /v1/ledger/false-refunds/{identity}`: the proof that a transfer was given back although it was accepted in time.
pub(super) async fn false_refund(
    State(admin): State<AdminState>,
    Id(identity): Id<Digest>,
) -> Result<Json<ProofPage>, Problem> {
    admin
        .proof(move |prover| Ok(prover.false_refund(&identity)?.to_bytes()))
        .await
}

/// `GET /v1/ledger/equivocations`.
pub(super) async fn equivocations(
    State(admin): State<AdminState>,
) -> Result<Json<EquivocationsPage>, Problem> {
    let look = |reader: &Reader<'_>| reader.equivocations();
    admin.looking(look).await.map(Json)
}

/// `GET /v1/ledger/equivocations/{log}/{epoch}`.
pub(super) async fn equivocation(
    State(admin): State<AdminState>,
    path: Result<Path<(String, u64)>, PathRejection>,
) -> Result<Json<EquivocationPage>, Problem> {
    let Path((log, epoch)) = path.map_err(|_| Refusal::BadId)?;
    let log: LogId = log.parse()?;
    let look = move |reader: &Reader<'_>| reader.equivocation_of(&log, epoch);
    let found = admin.looking(look).await?;
    found.map(Json).ok_or_else(Problem::not_found)
}

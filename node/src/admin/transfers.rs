//! One transfer for an operator: how far it has come, the body that was signed, and its private values, which can be
//! erased.

use axum::Json;
use axum::extract::State;
use city_protocol::Refusal;
use city_protocol::body::{PrivateField, Transfer, read_person_body};
use city_protocol::ids::Digest;
use city_protocol::ledger::{History, Rows as _};

use super::AdminState;
use super::pages::{ErasedPage, SignedField, TransferShown};
use crate::api::Problem;
use crate::api::ask::{find_transfer, transfer_page};
use crate::api::extract::Id;
use crate::api::private::{page, told};
use crate::api::wire::{PrivatePage, SCHEMA};
use crate::engine::StoreHistory;

/// `GET /v1/transfers/{identity}`.
pub(super) async fn show(
    State(admin): State<AdminState>,
    Id(transfer): Id<Digest>,
) -> Result<Json<TransferShown>, Problem> {
    let (engine, names) = (admin.engine.clone(), admin.clone());
    let found = tokio::task::spawn_blocking(move || {
        let (history, home) = (engine.history(), engine.log());
        read(history, &home, transfer)
    });
    let mut shown = found.await.map_err(|_| Problem::internal())??;
    shown.sender_region = names.region_of(&shown.transfer.sender_home);
    shown.receiver_region = names.region_of(&shown.transfer.receiver_home);
    Ok(Json(shown))
}

fn read(
    history: &StoreHistory,
    home: &city_protocol::ids::LogId,
    transfer: Digest,
) -> Result<TransferShown, Refusal> {
    let found = find_transfer(history, home, &transfer);
    let (log, row) = found.ok_or(Refusal::UnknownTransfer)?;
    let rows: &dyn History = history;
    let signed = rows.transfer_body(&log, &row.at, &transfer);
    let text = signed.ok_or_else(|| match rows.entry_stub(&log, &row.at) {
        Some(_) => Refusal::BodyPruned,
        None => Refusal::UnknownTransfer,
    })?;
    let body: Transfer = read_person_body(&text)?;
    let signed = PrivateField::ALL.into_iter().filter_map(|field| {
        let digest = field.signed_in(&body)?;
        Some(SignedField { field, digest })
    });
    Ok(TransferShown {
        schema: SCHEMA,
        transaction_hash: body.transaction_hash(),
        signed: signed.collect(),
        body: String::from_utf8(text).map_err(|_| Refusal::BadJson)?,
        sender_region: None,
        receiver_region: None,
        transfer: transfer_page(history, transfer, log, row, None),
    })
}

/// `GET /v1/private/{identity}`.
pub(super) async fn private(
    State(admin): State<AdminState>,
    Id(transfer): Id<Digest>,
) -> Result<Json<PrivatePage>, Problem> {
    let keeper = admin.private.ok_or_else(Problem::no_key_ring)?;
    Ok(Json(page(keeper.vault(), transfer).await?))
}

/// `POST /v1/private/{identity}/erase`.
pub(super) async fn erase(
    State(admin): State<AdminState>,
    Id(transfer): Id<Digest>,
) -> Result<Json<ErasedPage>, Problem> {
    let keeper = admin.private.ok_or_else(Problem::no_key_ring)?;
    let erased = keeper.vault().erase(transfer).await;
    let erased = erased.map_err(|error| told(&error))?;
    if erased {
        tracing::warn!(%transfer, "an operator erased private values");
    }
    Ok(Json(ErasedPage {
        schema: SCHEMA,
        transfer,
        erased,
    }))
}

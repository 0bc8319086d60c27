//! Private values of a transfer, for its sender and receiver alone.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Extension, State};
use city_protocol::Refusal;
use city_protocol::ids::Digest;
use city_protocol::ledger::TransferRow;

use super::ask::find_transfer;
use super::extract::Id;
use super::peer::Peer;
use super::wire::{KeptAs, PrivatePage, SCHEMA};
use super::{ApiState, Problem};
use crate::private::{Kept, Vault, VaultError};

/// Whether who asks may see the private values of this transfer: its sender and its receiver, proven by the account's
/// TLS certificate. Other proofs of who asks have their place here.
fn may_see(peer: &Peer, transfer: &TransferRow) -> Result<(), Problem> {
    let account = peer.account().ok_or_else(Problem::account_required)?;
    if *account == transfer.sender || *account == transfer.receiver {
        Ok(())
    } else {
        Err(Problem::not_a_party())
    }
}

/// `GET /send/api/transfers/{identity}/private`.
pub(super) async fn private(
    State(api): State<ApiState>,
    peer: Option<Extension<Peer>>,
    Id(transfer): Id<Digest>,
) -> Result<Json<PrivatePage>, Problem> {
    let Extension(peer) = peer.unwrap_or_default();
    let home = api.engine.log();
    let found = api
        .reading(move |history| find_transfer(history, &home, &transfer))
        .await?;
    let (_, row) = found.ok_or(Refusal::UnknownTransfer)?;
    may_see(&peer, &row)?;
    let keeper = api.private.as_ref().ok_or_else(Problem::no_key_ring)?;
    Ok(Json(page(keeper.vault(), transfer).await?))
}

/// What this node keeps of a transfer.
pub(crate) async fn page(vault: &Vault, transfer: Digest) -> Result<PrivatePage, Problem> {
    let vault = vault.clone();
    let kept = tokio::task::spawn_blocking(move || vault.get(&transfer)).await;
    let kept = kept.map_err(|_| Problem::internal())?;
    let (kept, values) = match kept.map_err(|error| told(&error))? {
        Kept::Nothing => (KeptAs::Nothing, BTreeMap::new()),
        Kept::Erased => (KeptAs::Erased, BTreeMap::new()),
        Kept::Values(values) => (KeptAs::Values, values.into()),
    };
    Ok(PrivatePage {
        schema: SCHEMA,
        transfer,
        kept,
        values,
    })
}

/// What a caller is told; what it was stands in the log.
pub(crate) fn told(error: &VaultError) -> Problem {
    match error {
        VaultError::Full => Refusal::StorageFull.into(),
        _ => {
            tracing::error!(%error, "private values");
            Problem::internal()
        }
    }
}

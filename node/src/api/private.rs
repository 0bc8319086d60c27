//! Private values of a transfer, for its sender and receiver alone.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use city_protocol::Refusal;
use city_protocol::ids::{AccountId, Digest};
use city_protocol::ledger::TransferRow;

use super::ask::find_transfer;
use super::extract::Id;
use super::who::Asker;
use super::wire::{KeptAs, PrivatePage, SCHEMA};
use super::{ApiState, Problem};
use crate::private::{Kept, Vault, VaultError};

/// Whether who asks may see the private values of this transfer: its sender and its receiver. Others' transfers are as
/// unknown as those that do not exist.
fn may_see(who: &AccountId, transfer: &TransferRow) -> bool {
    *who == transfer.sender || *who == transfer.receiver
}

/// `GET /send/api/transfers/{identity}/private`.
pub(super) async fn private(
    State(api): State<ApiState>,
    asker: Asker,
    Id(transfer): Id<Digest>,
) -> Result<Json<PrivatePage>, Problem> {
    let who = asker.needed()?;
    let home = api.engine.log();
    let found = api
        .reading(move |history| find_transfer(history, &home, &transfer))
        .await?;
    found
        .filter(|(_, row)| may_see(&who, row))
        .ok_or(Refusal::UnknownTransfer)?;
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

//! Opens the private values, erases those whose transfers were not booked, and starts their courier.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::DaemonError;
use crate::engine::{EngineHandle, Hold, Outgoing};
use crate::keys::Keyring;
use crate::private::{Courier, Keeper, Post, Vault};
use crate::setup::DataDir;
use crate::trust;

/// Private values that are open, and what waits for their courier.
pub(super) type Private = (Keeper, mpsc::Receiver<Post>);

/// Opens the private values; none where there is no key ring, because nothing is ever kept in the clear.
pub(super) async fn open(
    dir: &DataDir,
    ring: Option<Arc<Keyring>>,
) -> Result<Option<Private>, DaemonError> {
    let Some(ring) = ring else {
        tracing::warn!(
            "no key ring: private values of transfers are refused; city-node key seal makes one"
        );
        return Ok(None);
    };
    let directory = dir.private_values();
    // A long file is read whole.
    let opening = tokio::task::spawn_blocking(move || Vault::open(&directory, ring));
    let vault = opening.await.map_err(|_| DaemonError::OpenDied)??;
    Ok(Some(Keeper::new(vault)))
}

/// Before anything is booked: erases what was left by a node that ended between keeping and booking. Then the courier
/// goes to work.
pub(super) async fn start(
    (keeper, posts): Private,
    engine: &EngineHandle,
    trust: &trust::Keeper,
    hold: Option<Hold>,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Keeper, DaemonError> {
    // Of a log that is not whole nobody knows what was booked.
    if hold.is_none() {
        match keeper.erase_orphans(engine).await? {
            0 => {}
            erased => tracing::warn!(
                erased,
                "private values without a booked transfer are erased"
            ),
        }
    }
    let courier = Courier::new(
        engine.clone(),
        trust.clone(),
        keeper.vault().clone(),
        outgoing,
    );
    tasks.spawn(courier.run(posts, stop.clone()));
    Ok(keeper)
}

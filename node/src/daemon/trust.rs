//! Lists of revoked certificates on their way: the operator's newest into the own log, and those of other logs into what
//! this node admits by.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use city_protocol::ledger::History;
use city_protocol::vertex::KeySource as _;
use tokio_util::sync::CancellationToken;

use crate::engine::EngineHandle;
use crate::pki::DoorKeeper;
use crate::pki::log_lists::LogLists;
use crate::pki::own_lists::own_trust;

/// How often the logs' newest entries are looked at: as often as the files are. A look is one reading of a table with
/// a row a log.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Tells the engine what the operator's files say, now and whenever they were exchanged; `chain` is the node
/// certificate's.
pub(super) async fn say_own(
    crls: PathBuf,
    chain: Vec<Vec<u8>>,
    engine: EngineHandle,
    keeper: DoorKeeper,
    stop: CancellationToken,
) {
    let own = Arc::new((crls, chain, Arc::clone(engine.authority())));
    let mut changes = keeper.watch();
    loop {
        changes.borrow_and_update();
        let now = keeper.clock().now().time;
        let (own, genesis) = (Arc::clone(&own), Arc::clone(engine.genesis()));
        let read = move || {
            let (crls, chain, authority) = &*own;
            own_trust(crls, chain, &genesis.roots, authority.region(), now)
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(Some(body))) => engine.trust(body).await,
            Ok(Ok(None)) | Err(_) => {}
            // Why is told by whoever looks after the files.
            Ok(Err(_)) => tracing::warn!("what is in crls/ is not entered into the log"),
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

/// Keeps the newest lists that the logs carry.
pub(super) async fn follow(
    mut lists: LogLists,
    engine: EngineHandle,
    keeper: DoorKeeper,
    stop: CancellationToken,
) {
    let mut told = false;
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        let (engine, now) = (engine.clone(), keeper.clock().now().time);
        let looked = tokio::task::spawn_blocking(move || {
            let history: &dyn History = engine.history();
            let region_of = |log: &_| Some(engine.directory().authority(log)?.region().clone());
            let looked = lists.look(history, region_of, now);
            (lists, looked)
        });
        let Ok((back, looked)) = looked.await else {
            tracing::error!("following other logs' lists ended by a bug; its report stands above");
            return;
        };
        lists = back;
        match looked {
            Ok(_) => told = false,
            // Tried again with each look; said once until it is mended.
            Err(error) if !told => {
                told = true;
                tracing::error!(%error, "lists of revoked certificates that logs carry are not kept");
            }
            Err(_) => {}
        }
    }
}

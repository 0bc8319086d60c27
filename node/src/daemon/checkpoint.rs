//! A checkpoint of the own log on a node that is not running: opens, books, closes.

use std::sync::Arc;
use std::time::Duration;

use city_protocol::Refusal;
use city_protocol::replica::BookedEntry;
use tokio::sync::mpsc;

use super::open::{OpenError, Opened, last_vertex, open};
use crate::config::Config;
use crate::engine::{Engine, EngineConfig, EngineError, SystemClock};
use crate::setup::{DataDir, Identity};
use crate::store::StoreError;

/// How often a running home writes a checkpoint, if anything was booked, in milliseconds: daily (DESIGN §8, `checkpoints`).
pub const CHECKPOINT_EVERY_MS: u64 = 24 * 60 * 60 * 1000;
/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(10);

/// Why there is no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The data directory could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Closing failed.
    #[error(transparent)]
    Close(#[from] StoreError),
    /// The last one is too new.
    #[error("the last checkpoint of this log is less than an hour old; make the next one later")]
    TooSoon,
    /// The rules refuse it.
    #[error("refused ({code}): {0}", code = .0.code())]
    Refused(Refusal),
}

/// Writes a checkpoint of the own log.
///
/// # Errors
/// [`MakeError`].
pub async fn make(
    dir: &DataDir,
    config: &Config,
    identity: &Identity,
) -> Result<BookedEntry, MakeError> {
    let Opened { store, replica, .. } = open(dir, config, identity, &mut |_| ())?;
    let store = Arc::new(store);
    let (outgoing, _nobody) = mpsc::unbounded_channel();
    let engine = Engine::start(EngineConfig {
        genesis: Arc::clone(&identity.genesis),
        authority: Arc::clone(&identity.authority),
        replica,
        store: Arc::clone(&store),
        clock: SystemClock::new(config.clock.trust_system, last_vertex(&store)),
        peers: config.network.peers.len(),
        outgoing,
    })?;
    let booked = engine.handle().checkpoint().await;
    engine.stopped().await?;
    let deadline = tokio::time::Instant::now() + CLOSE;
    if let Some(store) = super::alone(store, deadline).await {
        store.close()?;
    }
    booked.map_err(|refusal| match refusal {
        Refusal::Busy => MakeError::TooSoon,
        refusal => MakeError::Refused(refusal),
    })
}

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

/// Why there is none yet.
pub const TOO_SOON: &str =
    "the last checkpoint of this log is less than an hour old; make the next one later";
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
    #[error("{TOO_SOON}")]
    TooSoon,
    /// This home has peers, and a stopped one hears nobody.
    #[error(
        "this home has peers that may know more of its log, and hears none while it is stopped: start it, and do this again; or \
         set home.confirm_wait_s = 0 for this once, if no older copy of the data directory was put back"
    )]
    Unheard,
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
    let Opened {
        store,
        replica,
        peers,
        ..
    } = open(dir, config, identity, &mut |_| ())?;
    let store = Arc::new(store);
    let (outgoing, _nobody) = mpsc::unbounded_channel();
    let engine = Engine::start(EngineConfig {
        genesis: Arc::clone(&identity.genesis),
        authority: Arc::clone(&identity.authority),
        replica,
        store: Arc::clone(&store),
        clock: SystemClock::new(config.clock.trust_system, last_vertex(&store)),
        peers,
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
        Refusal::Unconfirmed => MakeError::Unheard,
        refusal => MakeError::Refused(refusal),
    })
}

//! Opens what a terminal has and a home has not: the line to its home, and the drafts that it keeps.

use std::sync::Arc;

use super::DaemonError;
use crate::config::Config;
use crate::engine::{EngineHandle, utc};
use crate::keys::Keyring;
use crate::setup::{DataDir, Identity, read_tls_roots};
use crate::terminal::{self, Outbox, Terminal};

/// The terminal that the configuration describes; none at a home.
pub(super) async fn open(
    dir: &DataDir,
    config: &Config,
    identity: &Identity,
    engine: &EngineHandle,
    ring: Option<Arc<Keyring>>,
) -> Result<Option<Terminal>, DaemonError> {
    let Some(settings) = &config.terminal else {
        return Ok(None);
    };
    let roots = read_tls_roots(&dir.resolve(&settings.tls_root));
    let outbox = match ring {
        Some(ring) => Some(drafts(dir, ring).await?),
        None => {
            tracing::warn!(
                "no key ring: no drafts are kept; stop the node and run city-node key seal"
            );
            None
        }
    };
    let config = terminal::Config {
        home: settings.home.clone(),
        tls_roots: roots.map_err(DaemonError::HomeRoots)?,
        engine: engine.clone(),
        key: Arc::clone(&identity.signer),
        certificate: identity.node_certificate.clone(),
        chain: identity.chain.clone(),
        outbox,
    };
    let terminal = Terminal::new(config, utc()).map_err(DaemonError::Home)?;
    Ok(Some(terminal))
}

async fn drafts(dir: &DataDir, ring: Arc<Keyring>) -> Result<Outbox, DaemonError> {
    let directory = dir.outbox();
    let opening = tokio::task::spawn_blocking(move || Outbox::open(directory, ring));
    let opened = opening.await.map_err(|_| DaemonError::OpenDied)?;
    opened.map_err(DaemonError::Outbox)
}

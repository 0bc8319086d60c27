//! What is done to the store of a node that does not run: importing a CAR file, and compacting the ledger.

use std::sync::Arc;

use city_protocol::body::Start;
use city_protocol::replica::{Replica, ReplicaConfig};

use super::open::{OpenError, Opened, open, open_for_reading, remove_index};
use super::rollback;
use crate::config::Config;
use crate::engine::{ImportError, ImportReport, Importer, Terms, compact as leave_out};
use crate::setup::{DataDir, Identity};
use crate::store::{ArchiveReader, CompactError, Compacted, StoreOptions};

/// Why an import or a compaction did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The import.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The compaction.
    #[error(transparent)]
    Compact(#[from] CompactError),
}

/// Imports a CAR file into a node that does not run.
///
/// # Errors
/// [`UpkeepError`].
pub fn import(
    (dir, config, identity): (&DataDir, &Config, &Identity),
    file: &ArchiveReader,
    terms: Terms,
    progress: &mut dyn FnMut(u64),
) -> Result<ImportReport, UpkeepError> {
    let Opened { store, .. } = open(dir, config, identity, &mut |_| ())?;
    let store = Arc::new(store);
    let mut options = StoreOptions::new();
    options.limits.space_reserve = config.store.reserve_mib << 20;
    // It enters nothing, so it needs no key.
    let replica = || {
        Replica::new(ReplicaConfig {
            genesis: Arc::clone(&identity.genesis),
            authority: Arc::clone(&identity.authority),
            signers: Vec::new(),
            policy: config.place.policy.clone(),
            start: Start {
                v: 1,
                software: "import".into(),
                clock: "floor".into(),
                trust: None,
            },
            may_sequence: false,
        })
    };
    let importer = Importer {
        store: &store,
        dir: dir.path().to_owned(),
        options,
        genesis: &identity.genesis,
        own: identity.authority.log,
        replica: &replica,
        terms,
    };
    let report = importer.import(file, progress);
    let store = Arc::into_inner(store).expect("importing keeps no reference");
    store.close().map_err(OpenError::Store)?;
    Ok(report?)
}

/// Writes the ledger of a node that does not run again without what is dead. The next open makes the index again.
///
/// # Errors
/// [`UpkeepError`].
pub fn compact(dir: &DataDir, identity: &Identity) -> Result<Option<Compacted>, UpkeepError> {
    let (store, damage) = open_for_reading(dir, identity)?;
    if let Some(damage) = damage {
        return Err(CompactError::Damaged(damage.at).into());
    }
    // The index goes, and what it knew of the own log with it.
    rollback::remember(&store, &identity.authority.log)?;
    let done = leave_out(store)?;
    if done.is_some() {
        remove_index(dir)?;
    }
    Ok(done)
}

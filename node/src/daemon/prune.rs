//! `ledger prune` on a node that does not run: plan, archive, write the ledger again, and look whether everybody has what
//! they had.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use city_protocol::amount::Timestamp;
use city_protocol::ids::LogId;
use city_protocol::ledger::LogRow;

use super::open::{OpenError, Opened, open, open_for_reading, remove_index};
use super::rollback;
use crate::config::Config;
use crate::engine::{PruneError, PrunePlan, PruneReport, StoreHistory};
use crate::journal::log_rows;
use crate::setup::{DataDir, Identity};
use crate::store::{ArchiveReader, ArchiveWriter, CompactError, OsFiles, Store, StoreError};

/// Why nothing was pruned, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum PruningError {
    /// The data directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The archive or the ledger.
    #[error(transparent)]
    Prune(#[from] PruneError),
    /// Nobody said where the bodies go.
    #[error("there is something to prune: say where it goes with --export FILE.car")]
    NoArchive,
    /// The archive cannot be made.
    #[error("{}: the archive cannot be made ({source}); it may not be there yet; nothing was pruned", path.display())]
    Archive {
        /// Its path.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The logs do not come to what they came to before.
    #[error(
        "after pruning log {log} does not come to what it came to before: stop, keep the archive, and import it again \
         (city-node store import {}); please report this", archive.display()
    )]
    Differs {
        /// The log.
        log: LogId,
        /// The archive.
        archive: PathBuf,
    },
}

/// What is to be pruned, and where it goes.
pub struct Pruning<'a> {
    /// Only vertices that are older.
    pub before: Timestamp,
    /// The archive; only for a dry run there may be none.
    pub archive: Option<&'a Path>,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// Prunes. The archive is durable and was read again before anything goes; `folded` is told how many vertices of the new
/// index are done.
///
/// # Errors
/// [`PruningError`].
pub fn prune(
    (dir, config, identity): (&DataDir, &Config, &Identity),
    pruning: &Pruning<'_>,
    folded: &mut dyn FnMut(u64),
) -> Result<PruneReport, PruningError> {
    let (store, damage) = open_for_reading(dir, identity)?;
    store.close().map_err(OpenError::Store)?;
    if let Some(damage) = damage {
        return Err(PruneError::Compact(CompactError::Damaged(damage.at)).into());
    }
    let Opened { store, .. } = open(dir, config, identity, folded)?;
    let (store, plan, heads) = planned(store, pruning.before)?;
    let report = plan.report.clone();
    if pruning.dry_run || plan.is_empty() {
        store.close().map_err(OpenError::Store)?;
        return Ok(report);
    }
    let archived = match pruning.archive {
        Some(path) => archive(&store, identity, &plan, path).map(|()| path),
        None => Err(PruningError::NoArchive),
    };
    let path = match archived {
        Ok(path) => path,
        Err(error) => {
            store.close().map_err(OpenError::Store)?;
            return Err(error);
        }
    };
    // The index goes, and what it knew of the own log with it.
    rollback::remember(&store, &identity.authority.log)?;
    plan.prune(store)?;
    remove_index(dir)?;
    let Opened { store, .. } = open(dir, config, identity, folded)?;
    let store = Arc::new(store);
    let after = log_rows(&StoreHistory::new(Arc::clone(&store)));
    let store = Arc::into_inner(store).expect("reading keeps no reference");
    store.close().map_err(OpenError::Store)?;
    let differs = heads.iter().find(|head| !after.contains(head));
    match differs {
        None => Ok(report),
        Some((log, _)) => Err(PruningError::Differs {
            log: *log,
            archive: path.to_owned(),
        }),
    }
}

/// A store, what is to be done to it, and how far its logs are.
type Planned = (Store, PrunePlan, Vec<(LogId, LogRow)>);

fn planned(store: Store, before: Timestamp) -> Result<Planned, PruningError> {
    let store = Arc::new(store);
    let history = StoreHistory::new(Arc::clone(&store));
    let plan = PrunePlan::make(&store, &history, before);
    let heads = log_rows(&history);
    drop(history);
    let store = Arc::into_inner(store).expect("reading keeps no reference");
    match plan {
        Ok(plan) => Ok((store, plan, heads)),
        Err(error) => {
            let closed: Result<(), StoreError> = store.close();
            closed.map_err(OpenError::Store)?;
            Err(PruneError::Read(error).into())
        }
    }
}

fn archive(
    store: &Store,
    identity: &Identity,
    plan: &PrunePlan,
    path: &Path,
) -> Result<(), PruningError> {
    let failed = |source| PruningError::Archive {
        path: path.to_owned(),
        source,
    };
    let mut file =
        ArchiveWriter::begin(Arc::new(OsFiles), path, &identity.network).map_err(failed)?;
    plan.archive(store, &identity.genesis, &mut |id, block| {
        file.push(id, block)
    })?;
    file.finish().map_err(PruneError::Write)?;
    let written = ArchiveReader::open(&OsFiles, path).map_err(PruneError::Archive)?;
    Ok(plan.check(&written)?)
}

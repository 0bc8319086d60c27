//! Opening: the store, the genesis block, the whitelist, the replica and an index that is up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use city_drivers::gnss::{ReceiverConfig, Source};
use city_protocol::amount::Timestamp;
use city_protocol::body::Start;
use city_protocol::crypto::Signer;
use city_protocol::genesis::Purpose;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::pki::Role;
use city_protocol::place::{BoundaryIndex, Survey};
use city_protocol::replica::{Confirmation, Replica, ReplicaConfig};

use super::{counter, names_of, rollback};
use crate::config::{Config, Private};
use crate::engine::{
    Counter, Hold, RebuildError, RebuildReport, StoreHistory, SystemClock, bring_up_to_date, utc,
};
use crate::journal::log_rows;
use crate::keys::{Keyring, KeystoreError, PrivateFields};
use crate::place::antenna::AntennaConfig;
use crate::place::latch::SpoofingLatch;
use crate::setup::{DataDir, Identity};
use crate::store::{
    AppendError, Damage, IndexError, OpenOutcome, OpenReport, ReadError, Store, StoreError,
    StoreOptions, TrustedError, Watermark,
};
use crate::trust::{self, TrustError};

/// Name and version that stand in `start` entries and hellos.
const SOFTWARE: &str = concat!("city-node ", env!("CARGO_PKG_VERSION"));

/// What opening gives.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// The replica, its index up to date.
    pub replica: Replica,
    /// How many peers the whitelist has.
    pub peers: usize,
    /// What the configuration lists; the trust log has the rest.
    pub listed: trust::Wanted,
    /// Where names of peers are kept, if they are encrypted.
    pub names: Option<PrivateFields>,
    /// The outlines, if there are any.
    pub boundary: Option<BoundaryIndex>,
    /// What was folded to bring the index up to date.
    pub folded: RebuildReport,
    /// Why the own log is not extended in this run, if it is not.
    pub hold: Option<Hold>,
    /// The data keys for fields that are encrypted at rest; none in a directory from before there were any.
    pub ring: Option<Arc<Keyring>>,
    /// The counter against rollback, if one is configured.
    pub counter: Option<Box<dyn Counter>>,
    /// What that counter shows, if it agrees with the directory.
    pub confirmed: Option<u64>,
}

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The genesis block could not be written.
    #[error("the genesis block could not be written")]
    Genesis(#[from] AppendError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The index could not be made again.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// The key ring, the private values, or the counter against rollback.
    #[error(transparent)]
    Keys(#[from] KeystoreError),
    /// The notes about the own log.
    #[error(
        "HIGHWATER, NEVER_BEGUN or GONE in the data directory cannot be read or written; look at the disk and the rights"
    )]
    Notes(#[source] std::io::Error),
    /// What was taken on trust.
    #[error(transparent)]
    Trusted(#[from] TrustedError),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The trust log.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The boundary index cannot be read.
    #[error(
        "{path}: the boundary index cannot be read ({why}); make it again with `city-node place import`"
    )]
    Boundary {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// The node has not run yet, or its ledger is gone.
    #[error("{}: there is no ledger yet, so nothing to look at; start the node first", path.display())]
    NoLedger {
        /// Where it would stand.
        path: PathBuf,
    },
    /// The index could not be set aside.
    #[error("{path}: the index could not be removed ({source}); look at the directory's rights")]
    Aside {
        /// The index directory.
        path: String,
        /// What the operating system says.
        source: std::io::Error,
    },
}

/// Opens everything that a node stands on.
///
/// # Errors
/// [`OpenError`].
pub fn open(
    dir: &DataDir,
    config: &Config,
    identity: &Identity,
    progress: &mut dyn FnMut(u64),
) -> Result<Opened, OpenError> {
    let boundary = read_boundary(dir, config)?;
    let (store, found) = open_store(dir, config, identity)?;
    let ring = Keyring::open(Arc::clone(&identity.keystore))?.map(Arc::new);
    let names = private_names(dir, config, ring.as_ref())?;
    let listed = trust::wanted(config, utc());
    match trust::reconcile(store.trust(), names.as_ref(), &listed, utc()) {
        Ok(0) => {}
        Ok(changed) => tracing::info!(changed, "whitelist changed; recorded in the trust log"),
        // What the configuration lists is in force all the same.
        Err(error) if error.is_full() => {
            tracing::warn!("disk full: the changed whitelist is recorded at a later start");
        }
        Err(error) => return Err(error.into()),
    }
    let peers = trust::Fold::of(store.trust())?
        .listed
        .len()
        .max(listed.len());
    let clock = SystemClock::new(config.clock.trust_system, Timestamp(0))
        .now()
        .quality;
    let trust = store.trust().head();
    let trusted: BTreeSet<LogId> = store.notes().trusted_up_to()?.into_keys().collect();
    let replica = |may_sequence| {
        let mut replica = Replica::new(ReplicaConfig {
            genesis: Arc::clone(&identity.genesis),
            authority: Arc::clone(&identity.authority),
            signers: signers(identity),
            policy: config.place.policy.clone(),
            start: Start {
                v: 1,
                software: SOFTWARE.into(),
                clock: clock.as_str().into(),
                trust,
            },
            may_sequence,
        })
        .with_clearing(config.clearing.clone())
        .with_follow(config.follow.clone())
        .with_trusted(trusted.clone());
        replica.checkpoint_every(config.checkpoint.every_ms);
        replica
    };
    let store = Arc::new(store);
    let folded = fold(
        &store,
        identity,
        &mut replica(false),
        found.outcome,
        progress,
    )?;
    // Before it is judged, which may note that the log has begun.
    let first = rollback::is_first_start(&store, &identity.authority.log)?;
    // Before the log is judged: an old copy is whole, and old.
    let counted = counter::judge(&store, counter::configured(config)?)?;
    // Whether the own log may be extended is known only now, from what is in the index.
    let damaged = found.damaged || folded.damaged > 0;
    let is_home = identity.role == Role::Home;
    let judged = if is_home {
        rollback::judge(&store, &identity.authority.log, damaged)?
    } else {
        rollback::go_on(&store, &identity.authority.log, damaged)?;
        None
    };
    let full = found.full.then_some(Hold::DiskFull);
    let hold = counted.hold.or(judged).or(full);
    if let Some(hold) = hold {
        let (why, remedy) = (hold.code(), hold.remedy());
        tracing::error!(why, remedy, "this node signs nothing");
    }
    let known = if !is_home || first || counted.confirmed.is_some() {
        Confirmation::Confirmed
    } else {
        rollback::unconfirmed(config, peers > 0)
    };
    let store = Arc::into_inner(store).expect("folding keeps no reference");
    Ok(Opened {
        store,
        replica: replica(is_home && hold.is_none()).with_confirmation(known),
        peers,
        listed,
        names,
        boundary,
        folded,
        hold,
        ring,
        counter: counted.counter,
        confirmed: counted.confirmed,
    })
}

/// The keys that may sign the own log: the log says which does. A terminal's key signs none.
fn signers(identity: &Identity) -> Vec<Box<dyn Signer>> {
    if identity.role == Role::Terminal {
        return Vec::new();
    }
    let keys = std::iter::once(&identity.signer).chain(&identity.next_signer);
    keys.map(|key| Box::new(Arc::clone(key)) as Box<dyn Signer>)
        .collect()
}

/// Where the names in the whitelist are kept, if they are encrypted.
pub fn private_names(
    dir: &DataDir,
    config: &Config,
    ring: Option<&Arc<Keyring>>,
) -> Result<Option<PrivateFields>, OpenError> {
    if !config.keys.encrypt.contains(&Private::Names) {
        return Ok(None);
    }
    let Some(ring) = ring else {
        tracing::warn!(
            "there is no key ring: names in the trust log are not encrypted; stop the node and run city-node key seal"
        );
        return Ok(None);
    };
    Ok(Some(PrivateFields::open(dir.private(), Arc::clone(ring))?))
}

/// What opening the store found.
struct Found {
    outcome: OpenOutcome,
    /// Blocks may be lost.
    damaged: bool,
    /// There was no room for the genesis block.
    full: bool,
}

/// Opens the store; a new one gets its genesis block.
fn open_store(
    dir: &DataDir,
    config: &Config,
    identity: &Identity,
) -> Result<(Store, Found), OpenError> {
    let reserve = config.store.reserve_mib << 20;
    let (mut store, mut report) = open_kept(dir, identity, reserve)?;
    if let Some(Damage { at }) = report.trust.damage {
        let (segment, offset) = (at.segment, at.offset);
        tracing::error!(
            segment,
            offset,
            "the trust log is damaged: decisions are missing in it"
        );
    }
    let damage = report.ledger.damage;
    let indexed = matches!(
        report.index,
        OpenOutcome::Current(_) | OpenOutcome::CatchUp(_)
    );
    if let Some(damage) = damage {
        tracing::error!(
            segment = damage.at.segment,
            offset = damage.at.offset,
            "the ledger is damaged"
        );
        // An index made again names only what can be read, and the rest is fetched from peers.
        if indexed {
            rollback::remember(&store, &identity.authority.log)?;
            store.close()?;
            remove_index(dir)?;
            (store, report) = open_kept(dir, identity, reserve)?;
        }
    }
    let mut full = false;
    if report.index == OpenOutcome::Empty {
        let block = identity.genesis.to_block();
        let id = BlockId::of(&block);
        match store.append_group(&[(id, &block)]) {
            Ok(at) => {
                let last = at.last().expect("one block was appended");
                store.commit_rows(Vec::new(), &Watermark::after(last, id, 1))?;
            }
            // It can be looked at, and it begins when it is started with room.
            Err(AppendError::Full { .. }) => full = true,
            Err(error) => return Err(error.into()),
        }
    }
    let found = Found {
        outcome: report.index,
        damaged: damage.is_some(),
        full,
    };
    Ok((store, found))
}

/// Opens the store, and keeps what an index knew of the own log that the log does not hold.
fn open_kept(
    dir: &DataDir,
    identity: &Identity,
    reserve: u64,
) -> Result<(Store, OpenReport), OpenError> {
    let mut options = StoreOptions::new();
    options.limits.space_reserve = reserve;
    options.keep_row = Some(rollback::row_key(&identity.authority.log));
    let (store, report) = Store::open(dir.path(), identity.genesis.network(), options)?;
    rollback::remember_kept(&store)?;
    Ok((store, report))
}

/// Folds what the index does not know, and tells how far it is.
fn fold(
    store: &Arc<Store>,
    identity: &Identity,
    replica: &mut Replica,
    outcome: OpenOutcome,
    progress: &mut dyn FnMut(u64),
) -> Result<RebuildReport, OpenError> {
    match outcome {
        OpenOutcome::Rebuild(reason) => tracing::warn!(?reason, "making the index again"),
        OpenOutcome::CatchUp(_) => tracing::info!("catching up the index"),
        OpenOutcome::Empty | OpenOutcome::Current(_) => {}
    }
    Ok(bring_up_to_date(
        store,
        &identity.genesis,
        replica,
        outcome,
        progress,
    )?)
}

/// Opens the store of a node that is not running, for looking at it; says where its ledger is known to be
/// damaged.
///
/// # Errors
/// [`OpenError::NoLedger`] or [`OpenError::Store`].
pub fn open_for_reading(
    dir: &DataDir,
    identity: &Identity,
) -> Result<(Store, Option<Damage>), OpenError> {
    let ledger = dir.ledger();
    if !ledger.exists() {
        return Err(OpenError::NoLedger { path: ledger });
    }
    // Nothing is appended; a full disk is no reason not to look.
    let (store, report) = open_kept(dir, identity, 0)?;
    if report.index == OpenOutcome::Empty {
        store.close()?;
        return Err(OpenError::NoLedger { path: ledger });
    }
    Ok((store, report.ledger.damage))
}

/// Opens the store of a node that is not running, for its trust log, which it may have before its first start: an operator lists
/// peers whom the node is to hear then.
///
/// # Errors
/// [`OpenError::Store`].
pub fn open_for_trust(dir: &DataDir, identity: &Identity) -> Result<Store, OpenError> {
    // An empty ledger says no more than none: whether the own log may begin is read from notes.
    Ok(open_kept(dir, identity, 0)?.0)
}

/// Opens the store of a node that is not running, with an index that is up to date; what is missing in it is folded
/// first, as at a start.
///
/// # Errors
/// [`OpenError`].
pub fn open_indexed(
    dir: &DataDir,
    config: &Config,
    identity: &Identity,
    progress: &mut dyn FnMut(u64),
) -> Result<Store, OpenError> {
    let ledger = dir.ledger();
    if !ledger.exists() {
        return Err(OpenError::NoLedger { path: ledger });
    }
    let (store, report) = open_kept(dir, identity, 0)?;
    if matches!(report.index, OpenOutcome::Current(_)) {
        return Ok(store);
    }
    store.close()?;
    Ok(open(dir, config, identity, progress)?.store)
}

/// Names of municipalities by code, as far as the boundary index knows them.
#[must_use]
pub fn place_names(dir: &DataDir, config: &Config) -> BTreeMap<String, String> {
    let index = read_boundary(dir, config).ok().flatten();
    index.as_ref().map(names_of).unwrap_or_default()
}

/// Sets the index aside, so that the next opening makes it again. Refused while the node runs.
///
/// # Errors
/// [`OpenError`].
pub fn set_index_aside(dir: &DataDir, identity: &Identity) -> Result<(), OpenError> {
    let (store, _) = open_for_reading(dir, identity)?;
    rollback::remember(&store, &identity.authority.log)?;
    store.close()?;
    remove_index(dir)
}

pub(super) fn remove_index(dir: &DataDir) -> Result<(), OpenError> {
    let index = dir.index();
    match std::fs::remove_dir_all(&index) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(OpenError::Aside {
            path: index.display().to_string(),
            source: error,
        }),
        _ => Ok(()),
    }
}

pub(super) fn read_boundary(
    dir: &DataDir,
    config: &Config,
) -> Result<Option<BoundaryIndex>, OpenError> {
    let path = dir.resolve(&config.place.boundary);
    let failed = |why: String| OpenError::Boundary {
        path: path.display().to_string(),
        why,
    };
    match std::fs::read(&path) {
        Ok(bytes) => BoundaryIndex::decode(&bytes)
            .map(Some)
            .map_err(|refusal| failed(refusal.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), "no boundary index: place proofs say `no-boundary`");
            Ok(None)
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The time of the newest vertex here: the clock is not believed below it.
pub(super) fn last_vertex(store: &Arc<Store>) -> Timestamp {
    let history = StoreHistory::new(Arc::clone(store));
    log_rows(&history)
        .iter()
        .map(|(_, row)| row.time)
        .max()
        .unwrap_or(Timestamp(0))
}

/// What the antenna rests on.
pub(super) fn antenna_config(
    dir: &DataDir,
    config: &Config,
    identity: &Identity,
    boundary: Option<BoundaryIndex>,
) -> AntennaConfig {
    let receiver = config.gnss.device.as_ref().map(|device| ReceiverConfig {
        source: match Source::of(device) {
            Source::Serial(device) => Source::Serial(dir.resolve(&device)),
            other => other,
        },
        baud: config.gnss.baud,
        configure: config.gnss.configure,
    });
    AntennaConfig {
        receiver,
        recorded: config.gnss.is_recorded(),
        purpose_allows_recorded: identity.genesis.purpose != Purpose::Live,
        boundary,
        home: identity.authority.region().clone(),
        policy: config.place.policy.clone(),
        survey: config.place.surveyed.map(|point| Survey {
            point,
            radius_m: config.place.surveyed_radius_m,
        }),
        latch: Some(SpoofingLatch::open(&dir.spoofing(), utc())),
    }
}

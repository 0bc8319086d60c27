//! Begins an epoch of the own log on a node that is not running: opens, books, closes, and puts the new keys in place.

use std::sync::Arc;
use std::time::Duration;

use city_protocol::Refusal;
use city_protocol::ids::LogId;
use city_protocol::ledger::{History, LogRow, Rows as _, stored_authority};
use city_protocol::pki::Role;
use city_protocol::replica::BookedEntry;
use city_protocol::stage::SignedBySeveral;
use city_protocol::vertex::{KeySource as _, SignedHeader};
use tokio::sync::mpsc;

use super::open::{OpenError, Opened, last_vertex, open};
use crate::config::Config;
use crate::engine::{Engine, EngineConfig, EngineError, StoreHistory, SystemClock};
use crate::keys::KeystoreError;
use crate::setup::{DataDir, Identity, IdentityError, epoch};
use crate::store::{Store, StoreError};

/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(10);

/// Why an epoch was not begun.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The data directory could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The key store is in use.
    #[error(transparent)]
    Keys(#[from] KeystoreError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Closing failed.
    #[error(transparent)]
    Close(#[from] StoreError),
    /// The own log is empty: there is nothing to end.
    #[error("this log has no vertex yet: run the node once, or let it fetch its log from peers")]
    Empty,
    /// A terminal has no log.
    #[error("this is a terminal, which has no log of its own: do this on the home")]
    Terminal,
    /// Peers or the past know of a newer epoch than this ledger.
    #[error(
        "this log was in epoch {known} already, and here it ends in epoch {here}: let the node fetch its log from a peer first"
    )]
    Behind {
        /// What HIGHWATER says.
        known: u64,
        /// What the ledger says.
        here: u64,
    },
    /// HIGHWATER cannot be read.
    #[error(
        "HIGHWATER or GONE in the data directory cannot be read or written; look at the disk and the rights"
    )]
    Notes(#[source] std::io::Error),
    /// The rules refuse it.
    #[error("refused ({code}): {0}", code = .0.code())]
    Refused(Refusal),
    /// It has begun, but the keys could not be put in place.
    #[error(
        "the epoch has begun, but its keys could not be put in place; mend this and start the node: {0}"
    )]
    TakeOver(#[source] IdentityError),
}

/// The own log's head, what a new epoch would end at, and how many officers must sign there.
///
/// # Errors
/// [`EpochError::Terminal`], [`EpochError::Open`], [`EpochError::Empty`] or [`EpochError::Close`].
pub fn head(
    dir: &DataDir,
    config: &Config,
    identity: &Identity,
) -> Result<(LogRow, u64), EpochError> {
    if identity.role == Role::Terminal {
        return Err(EpochError::Terminal);
    }
    let opened = open(dir, config, identity, &mut |_| ())?;
    let store = Arc::new(opened.store);
    let log = &identity.authority.log;
    let head = row(&store, log).and_then(|row| {
        let history = StoreHistory::new(Arc::clone(&store));
        let history: &dyn History = &history;
        let authority = stored_authority(history, &identity.genesis, log, row.epoch)?;
        Some((row, authority.board().k()))
    });
    if let Some(store) = Arc::into_inner(store) {
        store.close()?;
    }
    head.ok_or(EpochError::Empty)
}

fn row(store: &Arc<Store>, log: &LogId) -> Option<LogRow> {
    let history = StoreHistory::new(Arc::clone(store));
    let history: &dyn History = &history;
    history.log(log)
}

/// Begins the epoch that the officers signed. The caller has locked the key store before the identity was read.
///
/// # Errors
/// An [`EpochError`]; but for the last, nothing was booked.
pub async fn begin(
    dir: &DataDir,
    config: &Config,
    identity: &Identity,
    signed: SignedBySeveral,
) -> Result<BookedEntry, EpochError> {
    if identity.role == Role::Terminal {
        return Err(EpochError::Terminal);
    }
    let Opened {
        store,
        replica,
        peers,
        ..
    } = open(dir, config, identity, &mut |_| ())?;
    let store = Arc::new(store);
    let here = row(&store, &identity.authority.log).map_or(0, |row| row.epoch);
    let mark = store.notes().high_water().map_err(EpochError::Notes)?;
    // The mark that cannot be read is as high as can be, and says nothing of epochs.
    let known = mark
        .filter(|mark| mark.head.is_some())
        .map_or(0, |mark| mark.epoch);
    if known > here {
        return Err(EpochError::Behind { known, here });
    }
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
    let booked = engine.handle().begin_epoch(signed).await;
    let newest = engine
        .handle()
        .directory()
        .authority(&identity.authority.log);
    engine.stopped().await?;
    let begun = booked.is_ok();
    let deadline = tokio::time::Instant::now() + CLOSE;
    if let Some(store) = super::alone(store, deadline).await {
        // What the log lost beyond the cut the officers gave up: nobody waits for it any more.
        let noted = if begun {
            store.notes().clear_gone()
        } else {
            Ok(())
        };
        store.close()?;
        noted.map_err(EpochError::Notes)?;
    }
    let booked = booked.map_err(EpochError::Refused)?;
    if let Some(newest) = newest {
        let key = newest.node_key();
        epoch::take_over(dir, &identity.keystore, key).map_err(EpochError::TakeOver)?;
    }
    Ok(booked)
}

/// Ends the exchange of keys that an interrupted [`begin`] left: the log is signed by the next key already.
///
/// # Errors
/// [`IdentityError`].
pub(super) fn resume(
    dir: &DataDir,
    identity: &Identity,
    store: &Arc<Store>,
) -> Result<(), IdentityError> {
    let Some(next) = &identity.next_signer else {
        return Ok(());
    };
    let history = StoreHistory::new(Arc::clone(store));
    let history: &dyn History = &history;
    let head = history
        .log(&identity.authority.log)
        .and_then(|row| history.block(&row.head))
        .and_then(|block| SignedHeader::read(&block).ok());
    if head.is_some_and(|head| head.header.key == next.public().id())
        && epoch::take_over(dir, &identity.keystore, next.public())?
    {
        tracing::warn!(
            "the keys of the epoch that had begun are in place now; its certificate is announced from the next start on"
        );
    }
    Ok(())
}

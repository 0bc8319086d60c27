//! Who gets in at the doors: opens people's certificates, tokens and the access log, and notes the start. A start
//! names the head of the trust log: if the head of the start before is not in it, the trust log lost its end.

use std::sync::Arc;

use city_protocol::ids::BlockId;
use tokio_util::sync::CancellationToken;

use super::DaemonError;
use crate::access::{AccessLog, Class, Event, Log};
use crate::api::Gate;
use crate::api::token::Tokens;
use crate::config::Config;
use crate::engine::{EngineHandle, SystemClock};
use crate::pki::{Clients, DoorFiles, DoorKeeper, DoorTerms, DoorWatch, TrustFiles};
use crate::setup::{DataDir, Identity};
use crate::store::SideLog;

/// What the line of a start without any decision about trust says.
const NO_HEAD: &str = "none";

/// The doors' files and the task that looks after them.
pub(super) fn doors(
    dir: &DataDir,
    config: &Config,
    identity: &Identity,
    clock: SystemClock,
) -> Result<(DoorWatch, DoorKeeper), DaemonError> {
    let files = DoorFiles {
        certificate: dir.tls_certificate(),
        key: dir.tls_key(),
        keystore: Arc::clone(&identity.keystore),
        trust: TrustFiles {
            tls_roots: dir.tls_root(),
            crls: dir.crls(),
            marks: dir.crl_marks(),
            from_logs: dir.crls_from_logs(),
        },
    };
    let terms = DoorTerms {
        roots: identity.genesis.roots.clone().into(),
        clock,
        tls12: config.api.tls12,
        others: vec![(
            "the node certificate (certs/node.pem)".into(),
            identity.node_certificate_ends,
        )],
    };
    Ok(DoorWatch::open(files, terms)?)
}

/// Everything that the API asks about people.
pub(super) fn open(
    dir: &DataDir,
    identity: &Identity,
    keeper: &DoorKeeper,
    access: AccessLog,
) -> Result<Gate, DaemonError> {
    let region = identity.authority.region().clone();
    let clients = Clients::open(dir.clients(), keeper.clone(), region);
    let tokens = Tokens::open(
        &identity.keystore,
        &dir.token_key(),
        &dir.revoked_tokens(),
        &identity.authority.log,
        &identity.network,
        keeper.clock().now().time,
    )?;
    Ok(Gate {
        clients: clients.map_err(DaemonError::Clients)?,
        tokens,
        access,
    })
}

/// Opens the access log and writes the line of the start.
pub(super) fn access(
    dir: &DataDir,
    identity: &Identity,
    reserve: u64,
    trust: &SideLog,
) -> Result<AccessLog, DaemonError> {
    let root = BlockId::of(&identity.genesis.to_block());
    let access = AccessLog::open(&dir.access(), root, reserve)?;
    if let Some(lost) = lost_head(&access, trust) {
        tracing::error!(head = %lost, "the trust log lost its end: decisions that were in force at the last start are not in it; restore the trust directory from a backup");
        access.note(Event::once(Class::Trust, "", &format!("lost {lost}")));
    }
    let head = trust.head().map_or(NO_HEAD.into(), |head| head.to_string());
    access.note(Event::once(Class::Start, "", &head));
    access.anchor();
    Ok(access)
}

/// The head that the last start named, if the trust log does not have it any more.
pub(crate) fn lost_head(access: &AccessLog, trust: &SideLog) -> Option<String> {
    let starts = access.lines(Log::Access).filter_map(Result::ok);
    let starts = starts.filter(|(_, record)| record.class == Class::Start);
    let (_, last) = starts.last()?;
    let known = last.what == NO_HEAD
        || last
            .what
            .parse::<BlockId>()
            .is_ok_and(|head| trust.contains(&head));
    (!known).then_some(last.what)
}

/// Tells the engine what is revoked, now and whenever that changes: for the certificates that peers announce.
pub(super) async fn tell_engine(keeper: DoorKeeper, engine: EngineHandle, stop: CancellationToken) {
    let mut changes = keeper.watch();
    loop {
        let lists = Arc::clone(&changes.borrow_and_update().trust.crls);
        engine.lists(lists).await;
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

/// Looks after the doors' files until `stop`; every exchange is noted.
pub(super) async fn look_after(watch: DoorWatch, access: AccessLog, stop: CancellationToken) {
    let access = Arc::new(access);
    let noted = move |generation: u64, lists: usize| {
        let what = format!("exchange {generation}: {lists} lists of revoked certificates");
        access.note(Event::once(Class::Trust, "", &what));
    };
    watch
        .run(
            move |doors| noted(doors.generation, doors.trust.crls.iter().count()),
            stop,
        )
        .await;
}

//! The daemon: opens the store, brings the index up to date, judges whether the own log
//! may be extended (`rollback`), starts the tasks (`terminal` those of a kiosk), and stops in order.

mod asking;
pub mod checkpoint;
mod counter;
mod enrol;
pub mod epoch;
pub(crate) mod gate;
mod notify;
mod open;
mod private;
pub mod prune;
mod rollback;
mod terminal;
mod trust;
mod upkeep;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use city_protocol::pki::Role;
use city_protocol::place::BoundaryIndex;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{AccessError, Class, Event};
use crate::admin::{
    AdminSocket, AdminState, NodeKeys, Operators, OwnKeys, SocketError, serve_operators,
};
use crate::api::token::TokenError;
use crate::api::{self, ApiState};
use crate::config::Config;
use crate::engine::{
    Bridge, Engine, EngineConfig, EngineError, Hold, OwnCertificate, SystemClock, TransportKey, utc,
};
use crate::keys::KeystoreError;
use crate::net::{self, NetConfig, NetError};
use crate::pki::log_lists::LogLists;
use crate::pki::reload::DoorError;
use crate::place::antenna::Antenna;
use crate::private::VaultError;
use crate::setup::{DataDir, Identity, rotation};
use crate::store::{SchemaError, Store, StoreError};

pub use open::{
    OpenError, Opened, open, open_for_reading, open_for_trust, open_indexed, place_names,
    private_names, set_index_aside,
};
pub use upkeep::{UpkeepError, compact, import};

/// Frames and events of the network that wait: with 1.1 MB frames this bounds memory.
const NET_EVENTS: usize = 16;
/// Everything that stops has this long; systemd would wait longer.
const STOP_WITHIN: Duration = Duration::from_millis(4500);

/// How often a long rebuild says how far it is.
const PROGRESS: Duration = Duration::from_secs(2);
/// Pause between two looks whether the store is free.
const STORE_POLL: Duration = Duration::from_millis(10);

/// Why the daemon did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The store, identity or index.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Opening panicked (where a panic does not end the process).
    #[error("opening the data directory ended by a bug; its report stands above")]
    OpenDied,
    /// The key store.
    #[error(transparent)]
    Keys(#[from] KeystoreError),
    /// Private values.
    #[error("private values cannot be kept")]
    Private(#[from] VaultError),
    /// The whitelist.
    #[error(transparent)]
    Whitelist(#[from] crate::trust::ChangeError),
    /// The network.
    #[error("the peer network could not be started (network.listen, network.peer in config.toml)")]
    Net(#[from] NetError),
    /// The certificates of the API.
    #[error(transparent)]
    Doors(#[from] DoorError),
    /// The keys of the epoch that has begun could not be put in place.
    #[error("the keys of the new epoch could not be put in place: {0}")]
    Epoch(#[source] crate::setup::IdentityError),
    /// People's certificates.
    #[error("clients/ in the data directory cannot be read ({0}); look at its rights")]
    Clients(#[source] std::io::Error),
    /// The key of the tokens.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The home's TLS roots.
    #[error("terminal.tls_root in config.toml: {0}")]
    HomeRoots(#[source] crate::setup::IdentityError),
    /// The line to the home.
    #[error("the line to the home could not be set up (terminal.tls_root in config.toml): {0}")]
    Home(#[source] crate::client::ClientError),
    /// The drafts of a terminal.
    #[error("outbox/ in the data directory cannot be read ({0}); look at its rights")]
    Outbox(#[source] std::io::Error),
    /// The access log.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The API's address.
    #[error("the API cannot listen on {address} ({key} in config.toml): {source}")]
    ApiListen {
        /// The configuration's key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The admin socket.
    #[error("the admin socket could not be opened")]
    Admin(#[from] SocketError),
    /// Signals could not be waited for.
    #[error("signals cannot be waited for")]
    Signals(#[source] std::io::Error),
    /// The engine stopped by a fault.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Closing failed.
    #[error(transparent)]
    Close(#[from] StoreError),
}

impl DaemonError {
    /// Whether no further start can help before somebody does something: the data is of a newer version.
    #[must_use]
    pub const fn is_refused_data(&self) -> bool {
        matches!(
            self,
            Self::Open(OpenError::Store(StoreError::Schema(
                SchemaError::Newer { .. } | SchemaError::Unreadable { .. }
            )))
        )
    }
}

/// Runs the node until `stop` or a fault, then closes everything in order. `config` was read from `file`, which is read
/// again when an operator wants it.
///
/// # Errors
/// [`DaemonError`].
pub async fn serve(
    dir: DataDir,
    (config, file): (Config, PathBuf),
    identity: Identity,
    stop: CancellationToken,
) -> Result<(), DaemonError> {
    let started = Instant::now();
    let node = Arc::new((dir, config, identity));
    let opening = Arc::clone(&node);
    let opening = tokio::task::spawn_blocking(move || {
        let (dir, config, identity) = &*opening;
        notify::opening("opening the data directory");
        let mut told = Instant::now();
        let mut progress = |vertices| {
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                tracing::info!(vertices, "folded");
                let line = format!("bringing the index up to date: {vertices} vertices folded");
                notify::opening(&line);
            }
        };
        open(dir, config, identity, &mut progress)
    });
    let opened = tokio::select! {
        opened = opening => opened.map_err(|_| DaemonError::OpenDied)??,
        () = stop.cancelled() => {
            tracing::info!("stopped while opening; the next start goes on from there");
            return Ok(());
        }
    };
    let (dir, config, identity) = &*node;
    let Opened {
        store,
        replica,
        listed,
        names: peer_names,
        boundary,
        hold,
        counter,
        confirmed,
        ring,
        ..
    } = opened;
    // Held until the end: other commands do not exchange the keys of a running node.
    let _in_use = identity.keystore.lock(false)?;
    // Before the engine starts, because a start that fails here should not write to the log.
    let (listener, address) = bind(config.api.listen, "api.listen").await?;
    let operator_door = match config.api.operator_listen {
        Some(address) => Some(bind(address, "api.operator_listen").await?),
        None => None,
    };
    let admin = AdminSocket::bind(&dir.admin_socket(), operators(dir)).await?;
    let names = boundary.as_ref().map(names_of).unwrap_or_default();
    let credit = boundary
        .as_ref()
        .map(|index| index.credit().to_owned())
        .unwrap_or_default();
    let store = Arc::new(store);
    let own_id = identity.transport.public().to_peer_id();
    let trust = crate::trust::Keeper::open(
        Arc::clone(&store),
        peer_names,
        &listed,
        own_id,
        config.network.recommended(),
    )?;
    epoch::resume(dir, identity, &store).map_err(DaemonError::Epoch)?;
    let clock = SystemClock::new(config.clock.trust_system, open::last_vertex(&store));
    let (door_watch, keeper) = gate::doors(dir, config, identity, clock)?;
    let reserve = config.store.reserve_mib << 20;
    let access = gate::access(dir, identity, reserve, store.trust())?;
    let gate = gate::open(dir, identity, &keeper, access.clone())?;
    let antenna = Antenna::new(open::antenna_config(dir, config, identity, boundary));
    let (outgoing, to_send) = mpsc::unbounded_channel();
    let drafts = ring.clone();
    // A terminal is none of the two homes that keep them.
    let private = match identity.role {
        Role::Home => private::open(dir, ring).await?,
        Role::Terminal => None,
    };
    let engine_config = EngineConfig {
        genesis: Arc::clone(&identity.genesis),
        authority: Arc::clone(&identity.authority),
        replica,
        store: Arc::clone(&store),
        clock,
        // Nobody is heard under a peer id that ended.
        peers: trust.allowed().len() - trust.fold(|fold| fold.outdated().count()),
        outgoing: outgoing.clone(),
    };
    let mut engine = Engine::start_counting(engine_config, counter)?;
    let tasks = TaskTracker::new();
    let private = match private {
        Some(private) => {
            let engine = engine.handle();
            Some(private::start(private, engine, &trust, hold, outgoing, &tasks, &stop).await?)
        }
        None => None,
    };

    let terminal = terminal::open(dir, config, identity, engine.handle(), drafts).await?;
    if let Some(terminal) = &terminal {
        tasks.spawn(terminal.clone().watch(stop.clone()));
    }

    let requests = config.network.accept_whitelist_requests.then(|| {
        let (desk, requests) = mpsc::channel(enrol::WAITING);
        tasks.spawn(enrol::take(requests, trust.clone(), stop.clone()));
        desk
    });
    let (words, said) = mpsc::channel(enrol::WORDS);
    let (readers_words, said_by_readers) = mpsc::channel(enrol::WORDS_OF_READERS);
    let (net_events, events) = mpsc::channel(NET_EVENTS);
    let net_config = NetConfig {
        listen: config.network.listen.clone(),
        bootstrap: config.bootstrap().chain(trust.addresses()).collect(),
        quic: config.network.quic,
        mdns: config.network.mdns,
        requests,
        limits: config.network.limits.clone(),
        ..NetConfig::default()
    };
    let (net, net_task) = net::start(
        net_config,
        identity.transport.clone(),
        trust.allowed().clone(),
        net_events,
    )?;
    let key = TransportKey::new(identity.transport.clone()).expect("transport keys are Ed25519");
    let certificate = OwnCertificate::new(identity.node_certificate.clone(), &identity.chain);
    let oldest = config.network.max_message_age_hours * 60 * 60 * 1000;
    trust.remember(dir.seen(), oldest, utc());
    for rotation in rotation::leading_to(
        &own_id.to_string(),
        &rotation::records(dir).map_err(KeystoreError::from)?,
    ) {
        trust.carry(rotation.signed);
    }
    let ear = enrol::Ear {
        trust: trust.clone(),
        doors: keeper.clone(),
        key: key.clone(),
        net: net.clone(),
        engine: engine.handle().clone(),
        share_keys: config.network.auto_share_keys,
        network: identity.network,
        access: access.clone(),
    };
    tasks.spawn(ear.hear(said, said_by_readers, stop.clone()));
    if config.network.auto_request_keys {
        let asker = asking::Asker {
            trust: trust.clone(),
            key: key.clone(),
            net: net.clone(),
        };
        tasks.spawn(asker.ask(stop.clone()));
    }
    let bridge = Bridge {
        engine: engine.handle().clone(),
        net: net.clone(),
        key: key.clone(),
        certificate: certificate.clone(),
        trust: trust.clone(),
        post: private.as_ref().map(|private| private.post().clone()),
        limits: config.network.limits.clone(),
        words,
        readers_words: trust.hears_readers().then_some(readers_words),
        request_keys: config.network.auto_request_keys,
    };

    let own = identity.signer.public().algorithm();
    if config.not_after.admits(own, clock.now().time).is_err() {
        tracing::warn!(
            suite = own.suite().id(),
            "the node's own keys are of a suite that [crypto.not_after] takes no more; plan new keys for the node"
        );
    }
    // Before the first peer can say hello.
    let lists = Arc::clone(&keeper.now().trust.crls);
    engine.handle().lists(lists).await;
    tasks.spawn(gate::tell_engine(
        keeper.clone(),
        engine.handle().clone(),
        stop.clone(),
    ));
    if identity.role == Role::Home {
        tasks.spawn(trust::say_own(
            dir.crls(),
            identity.chain.clone(),
            engine.handle().clone(),
            keeper.clone(),
            stop.clone(),
        ));
    }
    let roots = identity.genesis.roots.clone().into();
    tasks.spawn(trust::follow(
        LogLists::new(dir.crls_from_logs(), roots),
        engine.handle().clone(),
        keeper.clone(),
        stop.clone(),
    ));
    tasks.spawn(bridge.run(events, to_send));
    let antenna_task = tokio::spawn(antenna.clone().run());
    let api_state = ApiState::new(engine.handle().clone(), antenna.clone(), clock, gate)
        .with_boundary_credit(&credit)
        .with_not_after(config.not_after.clone())
        .with_clearing(config.clearing.clone())
        .with_private(private.clone())
        .with_terminal(terminal.clone());
    tasks.spawn(api::serve(
        listener,
        keeper.clone(),
        api_state,
        stop.clone(),
    ));
    tasks.spawn(gate::look_after(door_watch, access.clone(), stop.clone()));
    let admin_state = AdminState {
        engine: engine.handle().clone(),
        antenna,
        net: Some(net.clone()),
        config: file,
        network: Arc::new(config.network.clone()),
        hold,
        clock,
        started,
        peer_id: own_id,
        trust,
        transport: Some(key),
        certificate: Some(certificate),
        keys: Some(NodeKeys {
            keystore: Arc::clone(&identity.keystore),
            data: dir.clone(),
            confirmed,
        }),
        own: Some(OwnKeys {
            signer: Arc::clone(&identity.signer),
            next: identity.next_signer.clone(),
            kem: Arc::clone(&identity.kem),
            transport: identity.transport.clone(),
        }),
        names: Arc::new(names),
        doors: keeper.clone(),
        access: access.clone(),
        private,
        terminal,
    };
    if let Some((listener, address)) = operator_door {
        tracing::info!(%address, "operators are served");
        let operators = config.api.operators.clone();
        if operators.is_empty() {
            tracing::info!(
                "api.operators is empty: every operator's certificate of the TLS roots operates this node"
            );
        }
        let (admin, stop) = (admin_state.clone(), stop.clone());
        tasks.spawn(serve_operators(listener, keeper, admin, operators, stop));
    }
    tasks.spawn(admin.serve(admin_state, stop.clone()));
    tasks.close();
    tracing::info!(
        region = %identity.authority.region(),
        log = %identity.authority.log,
        api = %address,
        "ready"
    );
    notify::ready(&one_line(config, identity, address, hold));
    let watchdog_task = tokio::spawn(notify::watchdog(engine.pulse().clone()));

    let fault = tokio::select! {
        () = stop.cancelled() => None,
        fault = engine.fault() => Some(fault),
    };
    stop.cancel();
    // Before it is told that the node stops: nothing is fed after that.
    watchdog_task.abort();
    tracing::info!("stopping: no new requests, then everything that waits is written");
    notify::stopping(match &fault {
        None => "stopping: everything that waits is written",
        Some(_) => "stopping after a fault; the journal says which",
    });
    antenna_task.abort();
    let orderly = async {
        net.shutdown().await;
        drop(net);
        // A network task that panicked has nothing left to stop.
        let _ended = net_task.await;
        tasks.wait().await;
        engine.stopped().await
    };
    let deadline = tokio::time::Instant::now() + STOP_WITHIN;
    let stopped = tokio::time::timeout_at(deadline, orderly).await;
    if let Some(fault) = fault {
        return Err(fault.into());
    }
    access.note(Event::once(Class::Stop, "", "in order"));
    access.close();
    match stopped {
        Ok(ended) => ended?,
        Err(_) => tracing::warn!("not everything stopped in time; what is durable is safe"),
    }
    match alone(store, deadline).await {
        Some(store) => Ok(store.close()?),
        None => {
            tracing::warn!("the store is still being read; the next start catches up the index");
            Ok(())
        }
    }
}

async fn bind(
    address: SocketAddr,
    key: &'static str,
) -> Result<(TcpListener, SocketAddr), DaemonError> {
    let failed = |source| DaemonError::ApiListen {
        key,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().unwrap_or(address);
    Ok((listener, address))
}

/// How the node is, as `systemctl status` shows it.
fn one_line(
    config: &Config,
    identity: &Identity,
    address: SocketAddr,
    hold: Option<Hold>,
) -> String {
    let region = identity.authority.region();
    if let Some(terminal) = &config.terminal {
        return format!(
            "terminal of {region}, API at {address}, home {}",
            terminal.home
        );
    }
    match hold {
        None => format!("{region}, API at {address}"),
        Some(hold) => format!(
            "{region}, API at {address}; signs nothing ({}): see city-node status",
            hold.code()
        ),
    }
}

/// Who operates this node by its admin socket.
fn operators(dir: &DataDir) -> Operators {
    if dir.is_packaged() {
        Operators::WhoeverGetsIn
    } else {
        Operators::OwnUser
    }
}

/// The store, once nobody else holds it: an audit or a verification that was asked for may still read.
async fn alone(mut store: Arc<Store>, deadline: tokio::time::Instant) -> Option<Store> {
    loop {
        store = match Arc::try_unwrap(store) {
            Ok(store) => return Some(store),
            Err(held) if tokio::time::Instant::now() < deadline => held,
            Err(_) => return None,
        };
        tokio::time::sleep(STORE_POLL).await;
    }
}

/// Waits for SIGTERM or SIGINT; with `stdin` also for the end of standard input, so that a node started
/// by another program does not outlive it.
///
/// # Errors
/// [`DaemonError::Signals`].
pub async fn stop_signal(stdin: bool) -> Result<&'static str, DaemonError> {
    use tokio::io::AsyncReadExt as _;
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate()).map_err(DaemonError::Signals)?;
    let mut int = signal(SignalKind::interrupt()).map_err(DaemonError::Signals)?;
    let closed = async {
        if !stdin {
            return std::future::pending().await;
        }
        let mut input = tokio::io::stdin();
        let mut byte = [0];
        // An error ends the wait as the end does: nobody is there any more.
        while input.read(&mut byte).await.is_ok_and(|n| n > 0) {}
    };
    Ok(tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
        () = closed => "end of standard input",
    })
}

/// Names of municipalities by code, for looking at a node that is not running; none where there are no outlines.
#[must_use]
pub fn names(dir: &DataDir, config: &Config) -> BTreeMap<String, String> {
    let there = dir.resolve(&config.place.boundary).exists();
    let index = there.then(|| open::read_boundary(dir, config).ok().flatten());
    index.flatten().as_ref().map(names_of).unwrap_or_default()
}

/// Names of municipalities by code.
fn names_of(index: &BoundaryIndex) -> BTreeMap<String, String> {
    let municipalities = index.municipalities().iter();
    municipalities
        .map(|city| (city.code.clone(), city.name.clone()))
        .collect()
}

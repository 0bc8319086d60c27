//! The loop that owns the swarm: `select` picks what happened, `apply` acts on it without waiting. Owns the dialling, which
//! connection of a peer carries its session, and the stop.

use super::{
    DialFailure, NetCommand, NetError, NetEvent, NetHandle, Whitelist,
    config::{Limits, NetConfig},
    dial::{Book, split_peer},
    gate::{GateEvent, Opened},
    handle::Shared,
    session::{Over, Session},
    transport::{Behaviour, BehaviourEvent, swarm},
};
use libp2p::{
    PeerId, Swarm,
    core::ConnectedPoint,
    futures::StreamExt,
    identify,
    identity::Keypair,
    mdns, ping,
    swarm::{
        ConnectionId, DialError, ListenError, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::{Interval, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Commands that may wait; each takes the task microseconds.
const COMMANDS: usize = 64;
/// Listening and DialFailed events that may wait for a busy consumer; older news is dropped and counted.
const NOTICES: usize = 256;
/// Sessions that may wait to say that they are over.
const OVER: usize = 64;
/// How often due dials and expired whitelist entries are looked for.
const TICK: Duration = Duration::from_millis(250);
/// Two connections of one peer younger than this come from both sides dialling at once. A node dials only peers it has no
/// connection with, so a later one means that the peer has lost the first.
const SIMULTANEOUS: Duration = Duration::from_secs(10);
/// After the drain: for goodbyes and for a consumer that still takes Disconnected events.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Characters kept of what a peer calls itself.
const MAX_AGENT: usize = 64;

/// The network task.
pub(super) struct Task {
    me: PeerId,
    swarm: Swarm<Behaviour>,
    limits: Limits,
    shared: Arc<Shared>,
    book: Book,
    slots: HashMap<PeerId, Slot>,
    sessions: JoinSet<PeerId>,
    /// Own dials that reached the peer and whose streams are not open yet.
    unproven: HashSet<ConnectionId>,
    /// What the peers call themselves, by connection: identify may be done before the streams are.
    agents: HashMap<ConnectionId, String>,
    notices: VecDeque<NetEvent>,
    events: mpsc::Sender<NetEvent>,
    commands: mpsc::Receiver<NetCommand>,
    over: (mpsc::Sender<Over>, mpsc::Receiver<Over>),
    ticks: Interval,
    stopping: Option<Instant>,
}

/// A peer's session, and the connection that takes over when it has ended.
struct Slot {
    standing: Standing,
    stop: CancellationToken,
    next: Option<(Standing, Opened)>,
}

/// What decides between two connections of one peer.
#[derive(Clone, Copy, Debug)]
struct Standing {
    connection: ConnectionId,
    /// Dialled by the one of the two with the smaller peer id: both sides see this alike.
    by_smaller: bool,
    since: Instant,
}

impl Standing {
    /// Whether a connection that has just opened replaces this one.
    fn yields_to(&self, new: &Self) -> bool {
        new.by_smaller || !self.by_smaller || new.since.duration_since(self.since) > SIMULTANEOUS
    }
}

enum Happening {
    Swarm(Box<SwarmEvent<BehaviourEvent>>),
    Command(Option<NetCommand>),
    Whitelist,
    Tick,
    Over(Over),
    Ended(Result<PeerId, JoinError>),
    Room(mpsc::OwnedPermit<NetEvent>),
    ConsumerGone,
}

impl Task {
    pub(super) fn new(
        config: NetConfig,
        keypair: &Keypair,
        whitelist: Whitelist,
        events: mpsc::Sender<NetEvent>,
    ) -> Result<(NetHandle, Self), NetError> {
        config.limits.check()?;
        let seed = match config.jitter_seed {
            Some(seed) => seed,
            None => getrandom::u64().map_err(|error| NetError::Random(error.to_string()))?,
        };
        let now = Instant::now();
        let mut book = Book::new(&config.limits, seed);
        for address in &config.bootstrap {
            let (peer, address) = split_peer(address.clone())
                .ok_or_else(|| NetError::BootstrapWithoutPeer(address.clone()))?;
            book.add(peer, address, now);
        }
        let shared = Arc::new(Shared::new(whitelist, Arc::clone(&config.clock)));
        let mut swarm = swarm(&config, keypair, &shared)?;
        for address in &config.listen {
            swarm
                .listen_on(address.clone())
                .map_err(|source| NetError::Listen {
                    address: address.clone(),
                    source,
                })?;
        }
        let (sender, commands) = mpsc::channel(COMMANDS);
        let handle = NetHandle {
            commands: sender,
            shared: Arc::clone(&shared),
        };
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let task = Self {
            me: keypair.public().to_peer_id(),
            swarm,
            limits: config.limits,
            shared,
            book,
            slots: HashMap::new(),
            sessions: JoinSet::new(),
            unproven: HashSet::new(),
            agents: HashMap::new(),
            notices: VecDeque::new(),
            events,
            commands,
            over: mpsc::channel(OVER),
            ticks,
            stopping: None,
        };
        Ok((handle, task))
    }

    pub(super) async fn run(mut self) {
        while !self.stopped() {
            let happening = self.select().await;
            self.apply(happening);
        }
        // What has not ended by now waits for a consumer that does not come.
        self.sessions.abort_all();
        self.shared.links_mut().clear();
        self.shared.listening_mut().clear();
        info!("network stopped");
    }

    async fn select(&mut self) -> Happening {
        let running = self.stopping.is_none();
        tokio::select! {
            event = self.swarm.select_next_some() => Happening::Swarm(Box::new(event)),
            command = self.commands.recv(), if running => Happening::Command(command),
            () = self.shared.whitelist.changed(), if running => Happening::Whitelist,
            _ = self.ticks.tick() => Happening::Tick,
            Some(over) = self.over.1.recv() => Happening::Over(over),
            Some(ended) = self.sessions.join_next() => Happening::Ended(ended),
            room = self.events.clone().reserve_owned(), if !self.notices.is_empty() => {
                room.map_or(Happening::ConsumerGone, Happening::Room)
            }
            () = self.events.closed(), if running => Happening::ConsumerGone,
        }
    }

    fn apply(&mut self, happening: Happening) {
        match happening {
            Happening::Swarm(event) => self.on_swarm(*event),
            Happening::Command(Some(command)) => self.on_command(command),
            Happening::Command(None) => self.begin_stop(),
            Happening::ConsumerGone => {
                self.notices.clear();
                self.begin_stop();
            }
            Happening::Whitelist | Happening::Tick => self.on_tick(),
            Happening::Over(over) => self.on_over(&over),
            Happening::Ended(Ok(peer)) => self.on_ended(peer),
            Happening::Ended(Err(error)) => {
                if let Ok(bug) = error.try_into_panic() {
                    std::panic::resume_unwind(bug);
                }
            }
            Happening::Room(room) => {
                if let Some(notice) = self.notices.pop_front() {
                    room.send(notice);
                }
            }
        }
    }

    fn on_command(&mut self, command: NetCommand) {
        match command {
            NetCommand::AddAddress { peer, address } => {
                let address = match split_peer(address.clone()) {
                    Some((named, bare)) if named == peer => bare,
                    Some(_) => return debug!(%peer, %address, "address names another peer"),
                    None => address,
                };
                let now = Instant::now();
                self.book.add(peer, address, now);
                self.book.forgive(&peer, now);
            }
            NetCommand::Close { peer, reason } => {
                info!(%peer, reason, "closing the connection");
                self.expel(&peer);
                // The peer was not connected, which is what was asked for.
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            NetCommand::Shutdown => self.begin_stop(),
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::NewListenAddr { address, .. } => {
                info!(%address, "listening");
                self.shared.listening_mut().push(address.clone());
                self.notice(NetEvent::Listening { address });
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.shared
                    .listening_mut()
                    .retain(|other| *other != address);
            }
            SwarmEvent::ListenerClosed {
                addresses, reason, ..
            } => {
                self.shared
                    .listening_mut()
                    .retain(|other| !addresses.contains(other));
                if self.stopping.is_none() {
                    warn!(?addresses, ?reason, "listener closed");
                }
            }
            SwarmEvent::ListenerError { error, .. } => debug!(%error, "listener"),
            SwarmEvent::IncomingConnectionError { error, .. } => {
                // Denied ones are counted where they are denied.
                if !matches!(error, ListenError::Denied { .. }) {
                    self.shared
                        .counters
                        .failed_handshakes
                        .fetch_add(1, Ordering::Relaxed);
                }
                debug!(%error, "incoming connection");
            }
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint: ConnectedPoint::Dialer { .. },
                ..
            } => {
                self.book.reached(&peer_id);
                self.unproven.insert(connection_id);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                ..
            } => self.on_closed(peer_id, connection_id),
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => self.dial_failed(peer, reason_of(error)),
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gate(GateEvent::Opened(opened)) => self.on_opened(opened),
            BehaviourEvent::Gate(GateEvent::SetupFailed { peer, error }) => {
                debug!(%peer, %error, "connection without streams");
            }
            BehaviourEvent::Ping(ping::Event {
                peer,
                connection,
                result: Err(error),
            }) => {
                debug!(%peer, %error, "ping failed");
                self.swarm.close_connection(connection);
            }
            BehaviourEvent::Identify(identify::Event::Received {
                connection_id,
                peer_id,
                info,
            }) => {
                let agent = info.agent_version.chars().filter(|c| !c.is_control());
                self.agents
                    .insert(connection_id, agent.take(MAX_AGENT).collect());
                self.name(&peer_id, connection_id);
            }
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                let now = Instant::now();
                for (peer, address) in found {
                    if peer != self.me
                        && self.shared.whitelist.contains(&peer, (self.shared.clock)())
                    {
                        let bare = split_peer(address.clone()).map_or(address, |(_, bare)| bare);
                        self.book.add(peer, bare, now);
                    }
                }
            }
            _ => {}
        }
    }

    /// A peer's streams are open: start its session, or let the better of two connections have it.
    fn on_opened(&mut self, opened: Opened) {
        let (peer, connection) = (opened.peer, opened.connection);
        self.unproven.remove(&connection);
        let standing = Standing {
            connection,
            by_smaller: opened.dialer == (self.me.to_bytes() < peer.to_bytes()),
            since: Instant::now(),
        };
        if self.stopping.is_some() {
            self.swarm.close_connection(connection);
            return;
        }
        let Some(slot) = self.slots.get_mut(&peer) else {
            return self.begin_session(standing, opened);
        };
        let rival = slot
            .next
            .as_ref()
            .map_or(&slot.standing, |(standing, _)| standing);
        let rival_lives = slot.next.is_some() || !slot.stop.is_cancelled();
        if rival_lives && !rival.yields_to(&standing) {
            self.swarm.close_connection(connection);
            return;
        }
        slot.stop.cancel();
        if let Some((older, _)) = slot.next.replace((standing, opened)) {
            self.swarm.close_connection(older.connection);
        }
    }

    fn begin_session(&mut self, standing: Standing, opened: Opened) {
        let peer = opened.peer;
        debug!(%peer, address = %opened.address, "session begins");
        let stop = CancellationToken::new();
        let session = Session::new(
            opened,
            &self.limits,
            Arc::clone(&self.shared),
            self.events.clone(),
            self.over.0.clone(),
            stop.clone(),
        );
        self.sessions.spawn(session.run());
        let slot = Slot {
            standing,
            stop,
            next: None,
        };
        self.slots.insert(peer, slot);
        self.name(&peer, standing.connection);
    }

    /// Writes what a peer calls itself beside its connection, when both are known.
    fn name(&self, peer: &PeerId, connection: ConnectionId) {
        if let Some(agent) = self.agents.get(&connection)
            && let Some(link) = self.shared.links().get(peer)
            && link.connection == connection
        {
            link.agent.get_or_init(|| agent.clone());
        }
    }

    /// A session carries no more frames, though its last event may still wait for the consumer: any newer connection is better.
    fn on_over(&mut self, over: &Over) {
        self.swarm.close_connection(over.connection);
        if let Some(slot) = self.slots.get_mut(&over.peer)
            && slot.standing.connection == over.connection
        {
            slot.stop.cancel();
        }
    }

    /// A session has said its last event: its successor begins, or the peer is called again after a pause.
    fn on_ended(&mut self, peer: PeerId) {
        let now = Instant::now();
        let Some(slot) = self.slots.remove(&peer) else {
            return;
        };
        match slot.next {
            Some((standing, opened)) if self.stopping.is_none() => {
                self.begin_session(standing, opened)
            }
            _ => self
                .book
                .lost(&peer, now.duration_since(slot.standing.since), now),
        }
    }

    fn on_closed(&mut self, peer: PeerId, connection: ConnectionId) {
        self.agents.remove(&connection);
        if self.unproven.remove(&connection) {
            self.dial_failed(peer, DialFailure::ClosedEarly);
        }
        if let Some(slot) = self.slots.get_mut(&peer)
            && slot
                .next
                .as_ref()
                .is_some_and(|(next, _)| next.connection == connection)
        {
            slot.next = None;
        }
        // A session reads its streams to their end by itself.
    }

    fn dial_failed(&mut self, peer: PeerId, reason: DialFailure) {
        debug!(%peer, %reason, "dial failed");
        self.book.failed(&peer, Instant::now());
        self.notice(NetEvent::DialFailed { peer, reason });
    }

    fn notice(&mut self, notice: NetEvent) {
        if self.notices.len() >= NOTICES {
            self.shared
                .counters
                .dropped_notices
                .fetch_add(1, Ordering::Relaxed);
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }

    /// Ends a peer's session now: no frame of it is delivered after this, beyond those already in the events queue.
    fn expel(&mut self, peer: &PeerId) {
        if let Some(slot) = self.slots.get_mut(peer) {
            slot.stop.cancel();
            slot.next = None;
        }
    }

    fn on_tick(&mut self) {
        let now_ms = (self.shared.clock)();
        for peer in self.swarm.behaviour_mut().gate.sweep(now_ms) {
            info!(%peer, "no longer on the whitelist: closing");
            self.expel(&peer);
        }
        if let Some(deadline) = self.stopping {
            if Instant::now() >= deadline {
                self.slots.values().for_each(|slot| slot.stop.cancel());
            }
            return;
        }
        self.dial_due(now_ms);
    }

    fn dial_due(&mut self, now_ms: u64) {
        let most = usize::try_from(self.limits.pending_outgoing).unwrap_or(usize::MAX);
        let room = most.saturating_sub(self.book.dialing());
        let (me, shared, swarm, slots) = (&self.me, &self.shared, &self.swarm, &self.slots);
        let due = self.book.due(Instant::now(), room, |peer| {
            peer != me
                && shared.whitelist.contains(peer, now_ms)
                && !swarm.is_connected(peer)
                && !slots.contains_key(peer)
        });
        for (peer, addresses) in due {
            let call = DialOpts::peer_id(peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(addresses)
                .build();
            match self.swarm.dial(call) {
                Ok(()) => self.book.started(&peer),
                Err(DialError::DialPeerConditionFalse(_)) => {}
                Err(error) => self.dial_failed(peer, reason_of(error)),
            }
        }
    }

    /// Closes the door and the queues; what is queued may still leave.
    fn begin_stop(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        let drain = if self.events.is_closed() {
            Duration::ZERO
        } else {
            self.limits.drain
        };
        self.stopping = Some(Instant::now() + drain);
        self.swarm.behaviour_mut().gate.close();
        self.shared.links_mut().clear();
        for slot in self.slots.values_mut() {
            slot.next = None;
        }
    }

    fn stopped(&self) -> bool {
        self.stopping.is_some_and(|deadline| {
            let quiet = self.sessions.is_empty() && self.swarm.network_info().num_peers() == 0;
            quiet || Instant::now() >= deadline + LAST_WORDS
        })
    }
}

fn reason_of(error: DialError) -> DialFailure {
    match error {
        DialError::WrongPeerId { obtained, address } => {
            DialFailure::WrongPeerId { obtained, address }
        }
        DialError::Denied { cause } => DialFailure::Refused(cause.to_string()),
        DialError::Transport(tried) => {
            let tried: Vec<String> = tried
                .into_iter()
                .map(|(address, error)| format!("{address}: {error}"))
                .collect();
            DialFailure::Unreachable(tried.join("; "))
        }
        other => DialFailure::Unreachable(other.to_string()),
    }
}

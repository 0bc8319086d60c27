//! The loop that owns the swarm: `select` picks what happened, `apply` acts on it without waiting.
//! Owns the dialling and the stop; the peers' sessions stand in `slots`.

use super::{
    DialFailure, EnrolError, Enrolment, NetCommand, NetError, NetEvent, NetHandle, Whitelist,
    alive::Alive,
    bans::{Bans, COMES_AND_GOES},
    config::{Limits, NetConfig},
    dial::{Book, STABLE, split_peer},
    enrol,
    gate::GateEvent,
    handle::Shared,
    handler::SetupError,
    memory::Memory,
    near::Near,
    slots::{Ended, Slots, Word},
    transport::{Behaviour, BehaviourEvent, swarm},
};
use city_protocol::trust::EnrolVerdict;
use libp2p::{
    Multiaddr, PeerId, Stream, Swarm, TransportError,
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
    collections::{HashMap, HashSet},
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Interval, MissedTickBehavior, interval},
};
use tracing::{debug, info, warn};

/// Commands that may wait; each takes the task microseconds.
const COMMANDS: usize = 64;
/// Listening and DialFailed events that may wait for a busy consumer; further ones are counted
/// and dropped.
const NOTICES: usize = 256;
/// How often due dials and expired whitelist entries are looked for.
const TICK: Duration = Duration::from_millis(250);
/// After the drain: for goodbyes and for a consumer that still takes Disconnected events.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Characters kept of why a call failed: all its addresses, each with a sentence.
const MAX_REASON: usize = 1024;
/// Characters kept of what a peer calls itself.
const MAX_AGENT: usize = 64;

/// A request of this node on its way to a peer.
struct Asking {
    request: Vec<u8>,
    answer: oneshot::Sender<Result<EnrolVerdict, EnrolError>>,
}

/// The network task.
pub(super) struct Task {
    me: PeerId,
    swarm: Swarm<Behaviour>,
    limits: Limits,
    shared: Arc<Shared>,
    book: Book,
    slots: Slots,
    alive: Alive,
    bans: Bans,
    memory: Memory,
    near: Near,
    /// Own dials that reached the peer and whose streams are not open yet.
    unproven: HashSet<ConnectionId>,
    /// Own requests to be whitelisted, by the connection that is dialled for each.
    asking: HashMap<ConnectionId, Asking>,
    /// Those of them whose stream is open, until the connection is closed.
    handing: HashSet<ConnectionId>,
    /// Where strangers' requests go, if they are taken.
    desk: Option<mpsc::Sender<Enrolment>>,
    /// Exchanges of requests and answers; each ends with its connection's number. At most as many as the gate lets in: one of each
    /// stranger's connection, and of each of a reader's, who has two; and the own.
    exchanges: JoinSet<ConnectionId>,
    /// What identify said, by connection: it may be done before the streams are.
    said: HashMap<ConnectionId, Said>,
    notices: mpsc::Sender<NetEvent>,
    /// Takes notices to the consumer at its pace; ends with the task.
    _courier: JoinSet<()>,
    events: mpsc::Sender<NetEvent>,
    commands: mpsc::Receiver<NetCommand>,
    ticks: Interval,
    stopping: Option<Instant>,
}

/// What a peer says in identify.
struct Said {
    /// What it calls itself.
    agent: String,
    /// Where it sees this node.
    observed: Multiaddr,
}

enum Happening {
    Swarm(Box<SwarmEvent<BehaviourEvent>>),
    Command(Option<NetCommand>),
    Whitelist,
    Tick,
    Session(Word),
    Exchanged(Option<ConnectionId>),
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
        let mut book = Book::new(&config.limits, seed, config.quic);
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
        let me = keypair.public().to_peer_id();
        let limits = config.limits;
        let (notices, mut waiting) = mpsc::channel(NOTICES);
        let mut courier = JoinSet::new();
        let consumer = events.clone();
        courier.spawn(async move {
            while let Some(notice) = waiting.recv().await {
                // A consumer that has gone ends the task by itself.
                let _ = consumer.send(notice).await;
            }
        });
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let task = Self {
            me,
            swarm,
            slots: Slots::new(me, limits.clone(), Arc::clone(&shared), events.clone()),
            alive: Alive::new(limits.silence),
            bans: Bans::new(&limits),
            memory: Memory::default(),
            near: Near::default(),
            limits,
            shared,
            book,
            unproven: HashSet::new(),
            asking: HashMap::new(),
            handing: HashSet::new(),
            desk: config.requests,
            exchanges: JoinSet::new(),
            said: HashMap::new(),
            notices,
            _courier: courier,
            events,
            commands,
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
        // A session that has not ended by now waits for a consumer that does not come: it ends
        // here.
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
            word = self.slots.word() => Happening::Session(word),
            Some(done) = self.exchanges.join_next() => Happening::Exchanged(done.ok()),
            () = self.events.closed(), if running => Happening::ConsumerGone,
        }
    }

    fn apply(&mut self, happening: Happening) {
        match happening {
            Happening::Swarm(event) => self.on_swarm(*event),
            Happening::Command(Some(command)) => self.on_command(command),
            Happening::Command(None) | Happening::ConsumerGone => self.begin_stop(),
            Happening::Whitelist => {
                self.call_near(|_| true);
                self.on_tick();
            }
            Happening::Tick => self.on_tick(),
            Happening::Exchanged(connection) => {
                // One that panicked ends with its time.
                if let Some(connection) = connection {
                    self.swarm.close_connection(connection);
                }
            }
            Happening::Session(Word::Over(over)) => {
                self.slots.over(&over);
                self.swarm.close_connection(over.connection);
                if over.offence {
                    self.ban(over.peer, "a frame that is too large");
                }
            }
            Happening::Session(Word::Ended(peer)) => {
                if let Some(ended) = self.slots.ended(&peer) {
                    self.on_ended(peer, &ended);
                }
            }
        }
    }

    fn on_ended(&mut self, peer: PeerId, ended: &Ended) {
        let now = Instant::now();
        if !ended.replaced {
            self.book.lost(&peer, ended.lasted, now);
        }
        if ended.lasted < STABLE
            && let Some(ban) = self.bans.short(peer, now)
        {
            self.banned(&peer, ban, COMES_AND_GOES);
            self.slots.expel(&peer);
            // Unless another connection took the place of this one, it has gone.
            let _ = self.swarm.disconnect_peer_id(peer);
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
                self.dial_due((self.shared.clock)());
            }
            NetCommand::Enrol {
                peer,
                address,
                request,
                answer,
            } => self.ask(peer, address, Asking { request, answer }),
            NetCommand::Forget { peer } => {
                self.book.forget(&peer);
                self.call_near(|near| *near == peer);
            }
            NetCommand::Accepted { peer } => self.memory.accepted(&peer),
            NetCommand::Close { peer, reason } => {
                info!(%peer, reason, "closing the connection");
                let whitelist = &self.shared.whitelist;
                self.memory.sent_away(peer, &reason, whitelist);
                self.slots.expel(&peer);
                // The peer was not connected, which is what was asked for.
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            NetCommand::Ban { peer, reason } => self.ban(peer, &reason),
            NetCommand::Banned { peer, answer } => {
                // Who asked may have gone.
                let _gone = answer.send(self.bans.banned(&peer, Instant::now()));
            }
            NetCommand::Look(reply) => {
                // Who asked may have gone.
                let greetings = self.shared.greetings();
                let known = self
                    .memory
                    .look(&self.book, &self.bans, &greetings, Instant::now());
                drop(greetings);
                let _gone = reply.send(known);
            }
            NetCommand::Shutdown => self.begin_stop(),
        }
    }

    /// Not again while it lasts: what is still on its way from the connection adds nothing.
    fn ban(&mut self, peer: PeerId, reason: &str) {
        let now = Instant::now();
        if self.bans.left(&peer, now).is_none() {
            let ban = self.bans.offend(peer, reason, now);
            self.banned(&peer, ban, reason);
        }
        self.slots.expel(&peer);
        // It may have gone by itself.
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    fn banned(&self, peer: &PeerId, ban: Duration, reason: &str) {
        self.shared.counters.bans.fetch_add(1, Ordering::Relaxed);
        warn!(%peer, reason, for_s = ban.as_secs(), "not spoken to for a while");
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::NewListenAddr { address, .. } => {
                info!(%address, "listening");
                self.book.forgive_all(Instant::now());
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
            } if !self.asking.contains_key(&connection_id) => {
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
                connection_id,
                error,
            } => match self.asking.remove(&connection_id) {
                // Nobody may wait any more.
                Some(asking) => drop(asking.answer.send(Err(reason_of(error).into()))),
                None => self.dial_failed(peer, reason_of(error)),
            },
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gate(GateEvent::Opened(opened)) => {
                let (peer, connection) = (opened.peer, opened.connection);
                self.unproven.remove(&connection);
                self.alive.heard(connection, Instant::now());
                self.memory.reached(&peer);
                let turned_down = if self.bans.left(&peer, Instant::now()).is_some() {
                    if !opened.dialer {
                        self.swarm.behaviour_mut().gate.turned_down(&opened.address);
                    }
                    let calls = &self.shared.counters.banned_calls;
                    calls.fetch_add(1, Ordering::Relaxed);
                    Some(connection)
                } else if self.stopping.is_none() {
                    self.slots.opened(opened)
                } else {
                    Some(connection)
                };
                if let Some(unwanted) = turned_down {
                    self.swarm.close_connection(unwanted);
                }
                self.name(&peer, connection);
            }
            BehaviourEvent::Gate(GateEvent::Enrol {
                peer,
                connection,
                address,
                stream,
                read,
            }) => self.exchange(peer, connection, address, stream, read),
            BehaviourEvent::Gate(GateEvent::SetupFailed {
                peer,
                connection,
                error,
            }) => {
                debug!(%peer, %error, "connection without streams");
                if let Some(asking) = self.asking.remove(&connection) {
                    let error = match error {
                        SetupError::NoRequests => EnrolError::NotTaken,
                        _ => EnrolError::Silent,
                    };
                    // Nobody may wait any more.
                    let _gone = asking.answer.send(Err(error));
                }
            }
            // Who asks to be whitelisted runs no ping; a session without one ends as it falls silent.
            BehaviourEvent::Ping(ping::Event {
                result: Err(ping::Failure::Unsupported),
                ..
            }) => {}
            BehaviourEvent::Ping(ping::Event {
                peer,
                connection,
                result: Err(error),
            }) => {
                debug!(%peer, %error, "ping failed");
                self.close_dead(&peer, connection);
            }
            BehaviourEvent::Ping(ping::Event {
                peer,
                connection,
                result: Ok(rtt),
            }) => {
                self.alive.heard(connection, Instant::now());
                if let Some(link) = self.shared.links().get(&peer)
                    && link.connection == connection
                {
                    let us = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
                    link.rtt_us.store(us.max(1), Ordering::Relaxed);
                }
            }
            BehaviourEvent::Identify(identify::Event::Received {
                connection_id,
                peer_id,
                info,
            }) => {
                let agent = info.agent_version.chars().filter(|c| !c.is_control());
                let said = Said {
                    agent: agent.take(MAX_AGENT).collect(),
                    observed: info.observed_addr,
                };
                self.said.insert(connection_id, said);
                self.name(&peer_id, connection_id);
            }
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                let now_ms = (self.shared.clock)();
                let me = self.me;
                for (peer, address) in found.into_iter().filter(|(peer, _)| *peer != me) {
                    let listed = self.shared.whitelist.contains(&peer, now_ms);
                    let bare = split_peer(address.clone()).map_or(address, |(_, bare)| bare);
                    self.near.seen(peer, bare, listed);
                    self.call_near(|near| *near == peer);
                }
            }
            BehaviourEvent::Mdns(mdns::Event::Expired(gone)) => {
                for (peer, address) in gone {
                    let bare = split_peer(address.clone()).map_or(address, |(_, bare)| bare);
                    self.near.gone(&peer, &bare);
                }
            }
            _ => {}
        }
    }

    /// Has those called that are listed and seen on the local network.
    fn call_near(&mut self, which: impl Fn(&PeerId) -> bool) {
        let (now, now_ms) = (Instant::now(), (self.shared.clock)());
        let whitelist = &self.shared.whitelist;
        let wanted = |peer: &PeerId| which(peer) && whitelist.contains(peer, now_ms);
        for (peer, address) in self.near.of(wanted) {
            // Never in the place of what an operator named.
            if self.book.has_room(&peer) {
                self.book.add(peer, address, now);
            }
        }
    }

    /// Writes what a peer said beside its connection, when both are known.
    fn name(&self, peer: &PeerId, connection: ConnectionId) {
        if let Some(said) = self.said.get(&connection)
            && let Some(link) = self.shared.links().get(peer)
            && link.connection == connection
        {
            link.agent.get_or_init(|| said.agent.clone());
            link.observed.get_or_init(|| said.observed.clone());
        }
    }

    fn on_closed(&mut self, peer: PeerId, connection: ConnectionId) {
        if let Some(asking) = self.asking.remove(&connection) {
            // Turned away before a stream was open. Nobody may wait any more.
            let _gone = asking.answer.send(Err(EnrolError::Silent));
        }
        self.handing.remove(&connection);
        self.said.remove(&connection);
        self.alive.gone(connection);
        self.slots.closed(&peer, connection);
        if self.unproven.remove(&connection) {
            self.dial_failed(peer, DialFailure::ClosedEarly);
        }
    }

    /// Dials a peer only to hand it a request.
    fn ask(&mut self, peer: PeerId, address: Multiaddr, asking: Asking) {
        let refused = if self.asking.len() + self.handing.len() >= enrol::MAX_ASKING {
            Some(EnrolError::Busy)
        } else {
            let call = DialOpts::peer_id(peer)
                .condition(PeerCondition::Always)
                .addresses(vec![address])
                .build();
            let connection = call.connection_id();
            self.swarm.behaviour_mut().gate.ask(connection);
            match self.swarm.dial(call) {
                Ok(()) => {
                    self.asking.insert(connection, asking);
                    return;
                }
                Err(error) => Some(reason_of(error).into()),
            }
        };
        if let Some(error) = refused {
            // Nobody may wait any more.
            let _gone = asking.answer.send(Err(error));
        }
    }

    /// Exchanges a request and its answer with a peer that is a stranger to one of the two.
    fn exchange(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        address: Multiaddr,
        stream: Box<Stream>,
        read: bool,
    ) {
        match (self.asking.remove(&connection), &self.desk) {
            (Some(Asking { request, answer }), _) => {
                self.handing.insert(connection);
                self.exchanges.spawn(async move {
                    // Nobody may wait any more.
                    let _gone = answer.send(enrol::ask(stream, request).await);
                    connection
                });
            }
            (None, Some(desk)) => {
                let desk = desk.clone();
                self.exchanges.spawn(async move {
                    enrol::answer(stream, peer, address, desk, read).await;
                    connection
                });
            }
            (None, None) => drop(self.swarm.close_connection(connection)),
        }
    }

    fn dial_failed(&mut self, peer: PeerId, reason: DialFailure) {
        debug!(%peer, %reason, "dial failed");
        self.book.failed(&peer, Instant::now());
        // The peer's own call was faster: nothing has failed.
        if !self.slots.contains(&peer) {
            self.memory
                .failed(peer, reason.clone(), &self.shared.whitelist);
            self.notice(NetEvent::DialFailed { peer, reason });
        }
    }

    fn notice(&mut self, notice: NetEvent) {
        if self.notices.try_send(notice).is_err() {
            let dropped = &self.shared.counters.dropped_notices;
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn on_tick(&mut self) {
        let now_ms = (self.shared.clock)();
        for peer in self.swarm.behaviour_mut().gate.sweep(now_ms) {
            info!(%peer, "no longer on the whitelist: closing");
            self.slots.expel(&peer);
        }
        if let Some(deadline) = self.stopping {
            if Instant::now() >= deadline {
                self.slots.stop();
            }
            if self.slots.is_empty() {
                self.hang_up();
            }
            return;
        }
        self.drop_the_dead();
        self.bans.decay(Instant::now());
        self.dial_due(now_ms);
    }

    fn drop_the_dead(&mut self) {
        let links = self.shared.links();
        let received = links
            .iter()
            .map(|(peer, link)| (*peer, link.connection, link.traffic.received_so_far()));
        let dead = self.alive.dead(received, Instant::now());
        drop(links);
        for (peer, connection) in dead {
            debug!(%peer, "not a word for too long");
            self.close_dead(&peer, connection);
        }
    }

    fn close_dead(&mut self, peer: &PeerId, connection: ConnectionId) {
        self.alive.gone(connection);
        self.slots.cut(peer, connection);
        self.swarm.close_connection(connection);
    }

    fn dial_due(&mut self, now_ms: u64) {
        let most = usize::try_from(self.limits.pending_outgoing).unwrap_or(usize::MAX);
        let room = most.saturating_sub(self.book.dialing());
        let (me, shared, swarm, slots) = (&self.me, &self.shared, &self.swarm, &self.slots);
        let (bans, now) = (&self.bans, Instant::now());
        let due = self.book.due(now, room, |peer| {
            peer != me
                && bans.left(peer, now).is_none()
                && shared.whitelist.contains(peer, now_ms)
                && !swarm.is_connected(peer)
                && !slots.contains(peer)
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
        self.slots.drain();
    }

    /// Closes the connections that no session has, or has any more.
    fn hang_up(&mut self) {
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            // It may have gone by itself.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    fn stopped(&self) -> bool {
        self.stopping.is_some_and(|deadline| {
            let quiet = self.slots.is_empty() && self.swarm.network_info().num_peers() == 0;
            quiet || Instant::now() >= deadline + LAST_WORDS
        })
    }
}

/// What the transport says; libp2p's own words leave it out.
fn why(error: &TransportError<io::Error>) -> String {
    match error {
        TransportError::Other(error) => error.to_string(),
        unsupported => unsupported.to_string(),
    }
}

/// Part of it is what somebody wrote into the DNS, and is shown at terminals: without control characters, and not all of it.
fn plain(text: &str) -> String {
    let text = text.chars().take(MAX_REASON);
    text.map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
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
                .map(|(address, error)| format!("{address}: {}", why(&error)))
                .collect();
            DialFailure::Unreachable(plain(&tried.join("; ")))
        }
        other => DialFailure::Unreachable(plain(&other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_dns_does_not_write_at_the_terminal() {
        let address: Multiaddr = "/dnsaddr/komatsu.example".parse().expect("an address");
        let said = io::Error::other(format!("no record: \x1b[2J\u{9b}1m{}", "x".repeat(9000)));
        let error = DialError::Transport(vec![(address, TransportError::Other(said))]);
        let told = reason_of(error).to_string();
        assert!(told.contains("no record: \u{fffd}[2J\u{fffd}1mx"), "{told}");
        assert!(!told.contains(char::is_control));
        assert!(told.chars().count() < MAX_REASON + 100);
    }
}

//! The door: decides for each connection, when TLS has proved the peer and before any application
//! byte, whether it gets a handler at all, and for what. Owns the list of open connections and closes
//! those whose peer is no longer whitelisted. It stands first among the behaviours, so for a stranger no
//! other handler is made.

use super::{
    Carrier,
    config::Limits,
    enrol,
    handle::Shared,
    handler::{Handler, Kind, Outcome, SetupError},
    vain::{Source, Vain},
};
use libp2p::{
    Multiaddr, PeerId, Stream,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour,
        THandlerInEvent, ToSwarm, behaviour::ListenFailure,
    },
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

/// How often it is told that as many are connected from an address as may be, in milliseconds.
const CROWDED_MS: u64 = 60_000;

/// Why the gate keeps somebody out; the remote sees only a closed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the peer is not on the whitelist")]
    NotListed,
    #[error("too many handshakes at once from this address")]
    BusySource,
    #[error("too many handshakes at once over QUIC")]
    BusyQuic,
    #[error("too many handshakes from this address led to nothing")]
    InVain,
    #[error("too many connections from this address")]
    CrowdedSource,
    #[error("the node is shutting down")]
    Closing,
}

/// What the gate tells the task.
#[derive(Debug)]
pub(super) enum GateEvent {
    /// A whitelisted peer's streams are open.
    Opened(Opened),
    /// The stream for one request is open: a stranger's, or one of this node at another.
    Enrol {
        peer: PeerId,
        connection: ConnectionId,
        address: Multiaddr,
        stream: Box<Stream>,
        /// Whether its request is read.
        read: bool,
    },
    /// A connection is being closed because its streams did not come about.
    SetupFailed {
        peer: PeerId,
        connection: ConnectionId,
        error: SetupError,
    },
}

/// A connection with its streams.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    pub(super) address: Multiaddr,
    pub(super) dialer: bool,
    /// Whether the peer may only read.
    pub(super) reads_only: bool,
    pub(super) sync: Box<Stream>,
    pub(super) live: Box<Stream>,
}

/// The door.
pub(super) struct Gate {
    shared: Arc<Shared>,
    setup: Duration,
    /// Callers' connections from one address.
    connected_per_source: usize,
    /// When it was told that an address had as many.
    crowded_ms: u64,
    per_source: usize,
    /// Handshakes of callers over QUIC at once. A datagram's sender is not proved as TCP's handshake proves it, so whoever
    /// makes senders up takes at most half of the places at the door: the other half is TCP's.
    over_quic: usize,
    /// Handshakes from one address in a while that may lead to nothing: to nobody who is listed, or to no streams.
    in_vain: u32,
    vain: Vain,
    /// Peers that may read at once.
    readers: usize,
    now_ms: u64,
    closing: bool,
    connections: HashMap<ConnectionId, Caller>,
    /// Apart by what carries them: who makes up a peer's address in datagrams does not keep its TCP out.
    handshakes: HashMap<ConnectionId, Source>,
    /// Whether strangers may ask to be whitelisted; how many at once, and of these from one address.
    requests: bool,
    strangers: usize,
    strangers_per_source: usize,
    rate: enrol::Rate,
    /// Own dials that are only to ask.
    asking: HashSet<ConnectionId>,
    /// At most two for each connection. Filled between polls of the swarm or within one, so nobody
    /// needs waking.
    actions: VecDeque<ToSwarm<GateEvent, Infallible>>,
}

struct Caller {
    peer: PeerId,
    address: Multiaddr,
    kind: Kind,
    /// To whom it is counted if it ends before its streams are open.
    unopened: Option<Source>,
}

impl Gate {
    pub(super) fn new(shared: Arc<Shared>, limits: &Limits, requests: bool) -> Self {
        let many = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            now_ms: (shared.clock)(),
            shared,
            setup: limits.setup,
            connected_per_source: many(limits.established_per_source),
            crowded_ms: 0,
            per_source: many(limits.pending_per_source),
            over_quic: many(limits.pending_incoming.div_ceil(2)),
            in_vain: limits.in_vain_per_source,
            vain: Vain::default(),
            readers: many(limits.readers),
            closing: false,
            connections: HashMap::new(),
            handshakes: HashMap::new(),
            requests,
            strangers: many(limits.strangers),
            strangers_per_source: many(limits.strangers_per_source),
            rate: enrol::Rate::new(limits.requests, limits.requests_per_source),
            asking: HashSet::new(),
            actions: VecDeque::new(),
        }
    }

    /// Takes the time and closes the connections of peers that are no longer whitelisted, or may no longer read, or may do more
    /// by now and come back for that; answers with these peers.
    pub(super) fn sweep(&mut self, now_ms: u64) -> Vec<PeerId> {
        self.now_ms = now_ms;
        let whitelist = &self.shared.whitelist;
        let stays = |caller: &Caller| match caller.kind {
            Kind::Asked | Kind::Stranger => true,
            Kind::Called | Kind::Caller => whitelist.contains(&caller.peer, now_ms),
            Kind::Reader { .. } => whitelist.reads(&caller.peer, now_ms).is_some(),
        };
        let mut expelled: Vec<PeerId> = self
            .connections
            .values()
            .filter(|caller| !stays(caller))
            .map(|caller| caller.peer)
            .collect();
        expelled.sort_unstable();
        expelled.dedup();
        self.actions
            .extend(expelled.iter().map(|peer_id| ToSwarm::CloseConnection {
                peer_id: *peer_id,
                connection: CloseConnection::All,
            }));
        expelled
    }

    /// From now on nobody comes in.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// Lets this dial through although its peer may not be whitelisted: it is to ask for just that.
    pub(super) fn ask(&mut self, connection: ConnectionId) {
        self.asking.insert(connection);
    }

    /// What a caller's connection is for.
    fn receive(&self, peer: &PeerId, remote: &Multiaddr) -> Result<Kind, ConnectionDenied> {
        match self.admit(peer) {
            Ok(()) => Ok(Kind::Caller),
            Err(denied) => {
                let stranger = matches!(denied.downcast_ref(), Some(Refusal::NotListed));
                let reads = self.shared.whitelist.reads(peer, self.now_ms).is_some();
                if stranger && reads && self.has_room_to_read(peer) {
                    let asks = self.requests;
                    Ok(Kind::Reader { asks })
                } else if stranger && self.requests && self.has_room(source(remote)) {
                    Ok(Kind::Stranger)
                } else {
                    Err(denied)
                }
            }
        }
    }

    /// Readers have places of their own, and each one or, as a connection that is lost is noticed late, two.
    fn has_room_to_read(&self, peer: &PeerId) -> bool {
        let callers = self.connections.values();
        let readers = callers.filter(|caller| caller.kind.reads_only());
        let (own, others): (Vec<_>, Vec<_>) = readers.partition(|caller| caller.peer == *peer);
        let others: HashSet<PeerId> = others.into_iter().map(|caller| caller.peer).collect();
        own.len() < 2 && others.len() < self.readers
    }

    fn has_room(&self, from: Option<IpAddr>) -> bool {
        let strangers = || {
            let callers = self.connections.values();
            callers.filter(|caller| caller.kind == Kind::Stranger)
        };
        let near = strangers().filter(|caller| source(&caller.address) == from);
        strangers().count() < self.strangers && near.count() < self.strangers_per_source
    }

    /// Whether as many are connected from this address as may be.
    fn is_crowded(&self, from: Option<IpAddr>) -> bool {
        let callers = self.connections.values();
        let near =
            callers.filter(|caller| !caller.kind.dialer() && source(&caller.address) == from);
        from.is_some() && near.count() >= self.connected_per_source
    }

    /// Why one more handshake from here is too many now.
    fn busy(&mut self, carrier: Carrier, source: IpAddr) -> Option<Refusal> {
        if self.vain.of(&(carrier, source), self.now_ms) >= self.in_vain {
            return Some(Refusal::InVain);
        }
        let alike = self.handshakes.values();
        let alike = alike.filter(|(other, _)| *other == carrier);
        let (mut held, mut near) = (0, 0);
        for (_, other) in alike {
            held += 1;
            near += usize::from(*other == source);
        }
        if near >= self.per_source {
            Some(Refusal::BusySource)
        } else if carrier == Carrier::Quic && held >= self.over_quic {
            Some(Refusal::BusyQuic)
        } else {
            None
        }
    }

    /// A handshake led to nothing.
    fn wasted(&mut self, source: Source) {
        if self.vain.count(source, self.now_ms) == self.in_vain {
            let (carrier, address) = source;
            tracing::warn!(%address, %carrier, "an address is not spoken to for some seconds: too many handshakes from there led to nobody who is listed (network.limits.in_vain_per_source)");
        }
    }

    /// A listed peer came from where as many are connected as may be: its handshake was in vain. Told once a minute, for a line that
    /// many share needs a higher limit.
    fn crowded(&mut self, from: Source) {
        self.wasted(from);
        if self.crowded_ms.abs_diff(self.now_ms) >= CROWDED_MS {
            self.crowded_ms = self.now_ms;
            let address = from.1;
            tracing::warn!(%address, "a listed peer is refused: as many are connected from there as may be (network.limits.connections_per_source)");
        }
    }

    /// A listed peer that was turned away for its faults called again.
    pub(super) fn turned_down(&mut self, address: &Multiaddr) {
        if let Some(address_of) = source(address) {
            self.wasted((Carrier::of(address), address_of));
        }
    }

    fn leave(&mut self, connection: ConnectionId) {
        let left = self.connections.remove(&connection);
        if let Some(source) = left.and_then(|caller| caller.unopened) {
            self.wasted(source);
        }
        self.asking.remove(&connection);
        self.shared.strangers_mut().remove(&connection);
    }

    fn admit(&self, peer: &PeerId) -> Result<(), ConnectionDenied> {
        if self.closing {
            return Err(ConnectionDenied::new(Refusal::Closing));
        }
        if !self.shared.whitelist.contains(peer, self.now_ms) {
            return Err(ConnectionDenied::new(Refusal::NotListed));
        }
        Ok(())
    }

    fn enter(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        kind: Kind,
        unopened: Option<Source>,
    ) -> Handler {
        let address = address.clone();
        if kind.is_enrolment() {
            self.shared.strangers_mut().insert(connection);
        }
        self.connections.insert(
            connection,
            Caller {
                peer,
                address,
                kind,
                unopened,
            },
        );
        Handler::new(kind, self.setup)
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = Handler;
    type ToSwarm = GateEvent;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if self.closing {
            return Err(ConnectionDenied::new(Refusal::Closing));
        }
        let carrier = Carrier::of(remote);
        if let Some(source) = source(remote) {
            if let Some(refusal) = self.busy(carrier, source) {
                let refused = &self.shared.counters.refused_sources;
                refused.fetch_add(1, Ordering::Relaxed);
                return Err(ConnectionDenied::new(refusal));
            }
            self.handshakes.insert(connection, (carrier, source));
        }
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        let mut from = self.handshakes.remove(&connection);
        let kind = self.receive(&peer, remote);
        if !matches!(kind, Ok(Kind::Caller | Kind::Reader { .. }))
            && let Some(from) = from.take()
        {
            self.wasted(from);
        }
        let kind = kind.inspect_err(|denied| {
            if let Some(Refusal::NotListed) = denied.downcast_ref() {
                self.shared
                    .counters
                    .denied_strangers
                    .fetch_add(1, Ordering::Relaxed);
            }
        })?;
        if self.is_crowded(source(remote)) {
            let refused = &self.shared.counters.refused_sources;
            refused.fetch_add(1, Ordering::Relaxed);
            if let Some(from) = from {
                self.crowded(from);
            }
            return Err(ConnectionDenied::new(Refusal::CrowdedSource));
        }
        Ok(self.enter(connection, peer, remote, kind, from))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if self.asking.contains(&connection) && !self.closing {
            return Ok(Vec::new());
        }
        let peer = peer.ok_or_else(|| ConnectionDenied::new(Refusal::NotListed))?;
        self.admit(&peer)?;
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        if self.asking.contains(&connection) && !self.closing {
            return Ok(self.enter(connection, peer, address, Kind::Asked, None));
        }
        self.admit(&peer)?;
        Ok(self.enter(connection, peer, address, Kind::Called, None))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(closed) => self.leave(closed.connection_id),
            // Also comes when a later behaviour refuses a connection that has entered.
            FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                if let Some(from) = self.handshakes.remove(&connection_id) {
                    self.wasted(from);
                }
                self.leave(connection_id);
            }
            FromSwarm::DialFailure(failure) => self.leave(failure.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        outcome: Outcome,
    ) {
        match outcome {
            Outcome::Open { sync, live } => {
                let Some(caller) = self.connections.get_mut(&connection) else {
                    return;
                };
                caller.unopened = None;
                self.actions
                    .push_back(ToSwarm::GenerateEvent(GateEvent::Opened(Opened {
                        peer,
                        connection,
                        address: caller.address.clone(),
                        dialer: caller.kind.dialer(),
                        reads_only: caller.kind.reads_only(),
                        sync,
                        live,
                    })));
            }
            Outcome::Enrol(stream) => {
                let Some(caller) = self.connections.get(&connection) else {
                    return;
                };
                let read = caller.kind == Kind::Asked
                    || self.rate.take(source(&caller.address), self.now_ms);
                self.actions
                    .push_back(ToSwarm::GenerateEvent(GateEvent::Enrol {
                        peer,
                        connection,
                        address: caller.address.clone(),
                        stream,
                        read,
                    }));
            }
            Outcome::Failed(error) => {
                self.actions
                    .push_back(ToSwarm::GenerateEvent(GateEvent::SetupFailed {
                        peer,
                        connection,
                        error,
                    }));
                self.actions.push_back(ToSwarm::CloseConnection {
                    peer_id: peer,
                    connection: CloseConnection::One(connection),
                });
            }
        }
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<GateEvent, THandlerInEvent<Self>>> {
        self.actions.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// What counts as one caller before TLS: an IPv4 address, or the /64 that one household or host
/// commands.
fn source(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6((ip.to_bits() >> 64 << 64).into())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Whitelist, vain::WINDOW_MS};

    #[tokio::test]
    async fn a_reader_is_sent_away_at_the_end_of_its_time_or_as_its_word_is_taken_back() {
        let (whitelist, peer) = (Whitelist::default(), PeerId::random());
        whitelist.set_readers([(peer, 100)]);
        let shared = Arc::new(Shared::new(whitelist.clone(), Arc::new(|| 50)));
        let mut gate = Gate::new(shared, &Limits::default(), false);
        let address: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().expect("an address");
        let kind = gate.receive(&peer, &address).expect("it reads");
        assert_eq!(kind, Kind::Reader { asks: false });
        let _handler = gate.enter(ConnectionId::new_unchecked(1), peer, &address, kind, None);
        assert_eq!(gate.sweep(99), []);
        assert_eq!(gate.sweep(100), [peer]);
        assert_eq!(gate.sweep(99), []);
        whitelist.set_readers([]);
        assert_eq!(gate.sweep(99), [peer]);
        assert!(gate.receive(&peer, &address).is_err());
    }

    /// Strangers from one address use up what it may waste; who is listed and comes from there is not counted, and the address is
    /// heard again after a while.
    #[tokio::test]
    async fn an_address_of_many_strangers_is_refused_before_tls() {
        let shared = Arc::new(Shared::new(Whitelist::default(), Arc::new(|| 0)));
        let friend = PeerId::random();
        shared.whitelist.insert(friend, None).expect("room");
        let limits = Limits::default();
        let mut gate = Gate::new(Arc::clone(&shared), &limits, false);
        let here: Multiaddr = "/ip4/192.0.2.9/tcp/1".parse().expect("an address");
        let mut calls = 0;
        let mut call = |gate: &mut Gate, from: &str, peer: PeerId| {
            calls += 1;
            let connection = ConnectionId::new_unchecked(calls);
            let from = from.parse().expect("an address");
            gate.handle_pending_inbound_connection(connection, &here, &from)?;
            let entered =
                gate.handle_established_inbound_connection(connection, peer, &here, &from);
            Ok::<_, ConnectionDenied>(entered.is_ok())
        };
        let (theirs, other) = ("/ip4/192.0.2.1/tcp/9", "/ip4/192.0.2.2/tcp/9");
        for _ in 0..limits.in_vain_per_source {
            assert!(call(&mut gate, theirs, friend).expect("heard"));
            assert!(!call(&mut gate, theirs, PeerId::random()).expect("heard"));
        }
        let refused = call(&mut gate, theirs, PeerId::random()).expect_err("refused");
        assert_eq!(refused.downcast_ref(), Some(&Refusal::InVain));
        assert!(!call(&mut gate, other, PeerId::random()).expect("heard"));
        gate.sweep(WINDOW_MS);
        assert!(call(&mut gate, theirs, friend).expect("heard"));
        // Who is listed and hangs up before its streams are open, or is banned, costs as much.
        let unopened: Vec<ConnectionId> = gate.connections.keys().copied().collect();
        assert!(unopened.len() > limits.in_vain_per_source as usize);
        for connection in unopened {
            gate.leave(connection);
        }
        assert!(call(&mut gate, theirs, friend).is_err());
        for _ in 0..limits.in_vain_per_source {
            gate.turned_down(&other.parse().expect("an address"));
        }
        assert!(call(&mut gate, other, friend).is_err());
    }

    /// As many as may be come from one address; who calls from another, and whom this node calls there, is not kept out.
    #[tokio::test]
    async fn one_address_holds_so_many_connections_and_no_more() {
        let shared = Arc::new(Shared::new(Whitelist::default(), Arc::new(|| 50)));
        let limits = Limits {
            established_per_source: 3,
            ..Limits::default()
        };
        let mut gate = Gate::new(Arc::clone(&shared), &limits, false);
        let here: Multiaddr = "/ip4/192.0.2.9/tcp/1".parse().expect("an address");
        let mut calls = 0;
        let mut call = |gate: &mut Gate, from: &str| {
            calls += 1;
            let connection = ConnectionId::new_unchecked(calls);
            let (peer, from) = (PeerId::random(), from.parse().expect("an address"));
            shared.whitelist.insert(peer, None).expect("room");
            gate.handle_pending_inbound_connection(connection, &here, &from)?;
            gate.handle_established_inbound_connection(connection, peer, &here, &from)?;
            Ok::<_, ConnectionDenied>(connection)
        };
        let (one, other) = ("/ip6/2001:db8::1/tcp/9", "/ip6/2001:db8:0:1::1/tcp/9");
        let own = PeerId::random();
        let address = one.parse().expect("an address");
        let dialled = ConnectionId::new_unchecked(99);
        let _handler = gate.enter(dialled, own, &address, Kind::Called, None);
        let first = call(&mut gate, one).expect("the first");
        for _ in 1..3 {
            call(&mut gate, "/ip6/2001:db8::2/tcp/8").expect("room");
        }
        let refused = call(&mut gate, one).expect_err("one too many");
        assert_eq!(refused.downcast_ref(), Some(&Refusal::CrowdedSource));
        call(&mut gate, other).expect("from elsewhere");
        gate.leave(first);
        call(&mut gate, one).expect("there is room again");
    }

    /// Sixty-four made-up senders take all places that QUIC has; TCP's callers, from one of these addresses or another, find theirs.
    #[tokio::test]
    async fn made_up_datagrams_do_not_shut_the_door_for_tcp() {
        let shared = Arc::new(Shared::new(Whitelist::default(), Arc::new(|| 50)));
        let limits = Limits::default();
        let mut gate = Gate::new(Arc::clone(&shared), &limits, false);
        let mut calls = 0;
        let mut call = |address: String| {
            calls += 1;
            let here = "/ip4/192.0.2.9/tcp/1".parse().expect("an address");
            let from = address.parse().expect("an address");
            let connection = ConnectionId::new_unchecked(calls);
            gate.handle_pending_inbound_connection(connection, &here, &from)
                .is_ok()
        };
        let per_source = limits.pending_per_source;
        let from_one = (0..per_source + 9).filter(|_| call("/ip4/192.0.2.1/udp/9/quic-v1".into()));
        assert_eq!(from_one.count(), per_source as usize);
        let of_many = (0..200).filter(|n| call(format!("/ip4/198.51.100.{n}/udp/9/quic-v1")));
        assert_eq!(
            of_many.count(),
            (limits.pending_incoming / 2 - per_source) as usize
        );
        assert!(call("/ip4/192.0.2.1/tcp/9".into()));
        assert!(call("/ip4/198.51.100.1/tcp/9".into()));
        assert_eq!(
            shared.counters.refused_sources.load(Ordering::Relaxed),
            9 + 200 - u64::from(limits.pending_incoming / 2 - per_source)
        );
    }
}

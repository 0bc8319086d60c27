//! The door: decides for each connection, when TLS has proved the peer and before any application
//! byte, whether it gets a handler at all. Owns the list of open connections and closes those whose
//! peer is no longer whitelisted. It stands first among the behaviours, so for a stranger no other
//! handler is made.

use super::{
    handle::Shared,
    handler::{Handler, Outcome, SetupError},
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
    collections::{HashMap, VecDeque},
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

/// Why the gate keeps somebody out; the remote sees only a closed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the peer is not on the whitelist")]
    NotListed,
    #[error("too many handshakes at once from this address")]
    BusySource,
    #[error("the node is shutting down")]
    Closing,
}

/// What the gate tells the task.
#[derive(Debug)]
pub(super) enum GateEvent {
    /// A whitelisted peer's streams are open.
    Opened(Opened),
    /// A connection is being closed because its streams did not come about.
    SetupFailed { peer: PeerId, error: SetupError },
}

/// A connection with its streams.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    pub(super) address: Multiaddr,
    pub(super) dialer: bool,
    pub(super) sync: Box<Stream>,
    pub(super) live: Box<Stream>,
}

/// The door.
pub(super) struct Gate {
    shared: Arc<Shared>,
    setup: Duration,
    per_source: usize,
    now_ms: u64,
    closing: bool,
    connections: HashMap<ConnectionId, Caller>,
    handshakes: HashMap<ConnectionId, IpAddr>,
    /// At most two for each connection. Filled between polls of the swarm or within one, so nobody
    /// needs waking.
    actions: VecDeque<ToSwarm<GateEvent, Infallible>>,
}

struct Caller {
    peer: PeerId,
    address: Multiaddr,
    dialer: bool,
}

impl Gate {
    pub(super) fn new(shared: Arc<Shared>, setup: Duration, per_source: u32) -> Self {
        Self {
            now_ms: (shared.clock)(),
            shared,
            setup,
            per_source: usize::try_from(per_source).unwrap_or(usize::MAX),
            closing: false,
            connections: HashMap::new(),
            handshakes: HashMap::new(),
            actions: VecDeque::new(),
        }
    }

    /// Takes the time and closes the connections of peers that are no longer whitelisted; answers
    /// with these peers.
    pub(super) fn sweep(&mut self, now_ms: u64) -> Vec<PeerId> {
        self.now_ms = now_ms;
        let whitelist = &self.shared.whitelist;
        let mut expelled: Vec<PeerId> = self
            .connections
            .values()
            .map(|caller| caller.peer)
            .filter(|peer| !whitelist.contains(peer, now_ms))
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
        dialer: bool,
    ) -> Handler {
        let address = address.clone();
        self.connections.insert(
            connection,
            Caller {
                peer,
                address,
                dialer,
            },
        );
        Handler::new(dialer, self.setup)
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
        if let Some(source) = source(remote) {
            let held = self
                .handshakes
                .values()
                .filter(|other| **other == source)
                .count();
            if held >= self.per_source {
                self.shared
                    .counters
                    .refused_sources
                    .fetch_add(1, Ordering::Relaxed);
                return Err(ConnectionDenied::new(Refusal::BusySource));
            }
            self.handshakes.insert(connection, source);
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
        self.handshakes.remove(&connection);
        self.admit(&peer).inspect_err(|denied| {
            if let Some(Refusal::NotListed) = denied.downcast_ref() {
                self.shared
                    .counters
                    .denied_strangers
                    .fetch_add(1, Ordering::Relaxed);
            }
        })?;
        Ok(self.enter(connection, peer, remote, false))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
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
        self.admit(&peer)?;
        Ok(self.enter(connection, peer, address, true))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(closed) => {
                self.connections.remove(&closed.connection_id);
            }
            // Also comes when a later behaviour refuses a connection that has entered.
            FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.handshakes.remove(&connection_id);
                self.connections.remove(&connection_id);
            }
            FromSwarm::DialFailure(failure) => {
                self.connections.remove(&failure.connection_id);
            }
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
                let Some(caller) = self.connections.get(&connection) else {
                    return;
                };
                self.actions
                    .push_back(ToSwarm::GenerateEvent(GateEvent::Opened(Opened {
                        peer,
                        connection,
                        address: caller.address.clone(),
                        dialer: caller.dialer,
                        sync,
                        live,
                    })));
            }
            Outcome::Failed(error) => {
                self.actions
                    .push_back(ToSwarm::GenerateEvent(GateEvent::SetupFailed {
                        peer,
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

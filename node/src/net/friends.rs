//! Behaviours that run for whitelisted peers only: on a stranger's connection their handlers do not exist. Owns
//! nothing but the choice, which the gate has made before.

use super::handle::Shared;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        behaviour::toggle::{Toggle, ToggleConnectionHandler},
        handler::ConnectionEvent,
    },
};
use std::{
    sync::Arc,
    task::{Context, Poll},
};

/// A behaviour for whitelisted peers.
pub(super) struct Friends<B> {
    shared: Arc<Shared>,
    on: Toggle<B>,
    off: Toggle<B>,
}

impl<B: NetworkBehaviour> Friends<B> {
    pub(super) fn only(behaviour: B, shared: Arc<Shared>) -> Self {
        Self {
            shared,
            on: Some(behaviour).into(),
            off: None.into(),
        }
    }

    /// The behaviour for this connection, and whether it is there at all.
    fn of(&mut self, connection: ConnectionId) -> (&mut Toggle<B>, bool) {
        if self.shared.is_strangers(connection) {
            (&mut self.off, false)
        } else {
            (&mut self.on, true)
        }
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Friends<B> {
    type ConnectionHandler = Quiet<THandler<B>>;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.on
            .handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<Quiet<THandler<B>>, ConnectionDenied> {
        let (behaviour, speaks) = self.of(connection);
        let inner =
            behaviour.handle_established_inbound_connection(connection, peer, local, remote)?;
        Ok(Quiet { inner, speaks })
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let (behaviour, _) = self.of(connection);
        behaviour.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<Quiet<THandler<B>>, ConnectionDenied> {
        let (behaviour, speaks) = self.of(connection);
        let inner = behaviour
            .handle_established_outbound_connection(connection, peer, address, role, port)?;
        Ok(Quiet { inner, speaks })
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.on.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.on.on_connection_handler_event(peer, connection, event);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.on.poll(cx)
    }
}

/// A handler that may be none. What a behaviour tells "any" of a peer's connections is lost on a stranger's, where
/// libp2p's own would panic.
pub(super) struct Quiet<H> {
    inner: ToggleConnectionHandler<H>,
    speaks: bool,
}

type Inner<H> = ToggleConnectionHandler<H>;

impl<H: ConnectionHandler> ConnectionHandler for Quiet<H> {
    type FromBehaviour = <Inner<H> as ConnectionHandler>::FromBehaviour;
    type ToBehaviour = <Inner<H> as ConnectionHandler>::ToBehaviour;
    type InboundProtocol = <Inner<H> as ConnectionHandler>::InboundProtocol;
    type OutboundProtocol = <Inner<H> as ConnectionHandler>::OutboundProtocol;
    type InboundOpenInfo = <Inner<H> as ConnectionHandler>::InboundOpenInfo;
    type OutboundOpenInfo = <Inner<H> as ConnectionHandler>::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        self.inner.listen_protocol()
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        if self.speaks {
            self.inner.on_behaviour_event(event);
        }
    }

    fn connection_keep_alive(&self) -> bool {
        self.inner.connection_keep_alive()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<
        ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>,
    > {
        self.inner.poll(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner.poll_close(cx)
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            '_,
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        self.inner.on_connection_event(event);
    }
}

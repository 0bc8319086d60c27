//! The bridge between the network and the engine: one lane a connection, and what the engine wants sent.
//!
//! It never waits for the engine, and the engine never waits for it: its queue has no bound of its own, but
//! is emptied at once into the lanes, whose outboxes have one in messages and in bytes.

use std::collections::HashMap;

use city_protocol::sync::Message;
use city_protocol::trust::{KeyAnnouncement, PeerId, TransportSigner};
use libp2p::identity::Keypair;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::lane::Lane;
use super::{EngineHandle, Outgoing, libp2p_peer, protocol_peer, utc};
use crate::net::{NetCommand, NetEvent, NetHandle};

/// The transport key as the signer of announcements.
pub struct TransportKey(Keypair);

impl TransportKey {
    /// Wraps a keypair; `None` unless it is Ed25519.
    #[must_use]
    pub fn new(keypair: Keypair) -> Option<Self> {
        keypair
            .clone()
            .try_into_ed25519()
            .ok()
            .map(|_| Self(keypair))
    }
}

impl TransportSigner for TransportKey {
    fn peer_id(&self) -> PeerId {
        protocol_peer(&self.0.public().to_peer_id()).expect("checked to be Ed25519")
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.0.sign(message).expect("Ed25519 signs every message");
        signature
            .try_into()
            .expect("an Ed25519 signature has 64 bytes")
    }
}

/// Everything the bridge needs.
pub struct Bridge {
    /// The engine.
    pub engine: EngineHandle,
    /// The network.
    pub net: NetHandle,
    /// Signs the announcement in hello.
    pub key: TransportKey,
    /// The node certificate and its chain.
    pub announcement: KeyAnnouncement,
}

/// A whitelisted peer, connected or with something of an earlier connection still under way.
#[derive(Default)]
struct Peer {
    lane: Option<Lane>,
    /// The engine's view of an earlier connection that is not complete yet.
    earlier: Option<JoinHandle<()>>,
    /// Connections that the engine is told of and has not greeted yet. It greets each exactly once, before
    /// anything else, so until this is 0 what it wants sent or closed belongs to an earlier connection.
    ungreeted: usize,
    /// Whether closing was asked for: once is enough.
    closing: bool,
}

impl Peer {
    fn is_gone(&self) -> bool {
        self.lane.is_none()
            && self.ungreeted == 0
            && self.earlier.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Bridge {
    /// Runs until the network's events end.
    pub async fn run(
        self,
        mut events: mpsc::Receiver<NetEvent>,
        mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    ) {
        let mut peers: HashMap<PeerId, Peer> = HashMap::new();
        loop {
            let close = tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.event(event, &mut peers),
                    None => return,
                },
                Some(message) = outgoing.recv() => outgo(message, &mut peers),
            };
            if let Some((peer, reason)) = close {
                let reason = reason.into();
                let close = NetCommand::Close {
                    peer: libp2p_peer(&peer),
                    reason,
                };
                // The network stops only together with this bridge.
                let _stopping = self.net.command(close).await;
            }
        }
    }

    /// Takes what the network tells; gives the peer that is to be closed, and why.
    fn event(
        &self,
        event: NetEvent,
        peers: &mut HashMap<PeerId, Peer>,
    ) -> Option<(PeerId, &'static str)> {
        match event {
            NetEvent::Connected { peer, address, .. } => {
                let id = protocol_peer(&peer)?;
                tracing::info!(%peer, %address, "peer connected");
                peers.retain(|_, peer| !peer.is_gone());
                let known = peers.entry(id).or_default();
                let before = known.lane.take().map(Lane::end).or(known.earlier.take());
                let mut nonce = [0; 16];
                getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
                let signed = self.announcement.sign(&self.key, nonce, utc());
                let lane = Lane::begin(id, self.engine.clone(), self.net.clone(), signed, before);
                known.lane = Some(lane);
                known.ungreeted += 1;
                known.closing = false;
                None
            }
            NetEvent::Disconnected { peer } => {
                tracing::info!(%peer, "peer disconnected");
                let known = peers.get_mut(&protocol_peer(&peer)?)?;
                known.earlier = known.lane.take().map(Lane::end).or(known.earlier.take());
                None
            }
            NetEvent::Frame {
                peer,
                channel,
                bytes,
            } => {
                let id = protocol_peer(&peer)?;
                let known = peers.get_mut(&id)?;
                let room = known.closing || known.lane.as_ref()?.take(channel, bytes);
                known.close_unless(room, id, "it sends more than it was given credit for")
            }
            NetEvent::Listening { address } => {
                tracing::info!(%address, "listening for peers");
                None
            }
            NetEvent::DialFailed { peer, reason } => {
                tracing::debug!(?peer, ?reason, "dial failed");
                None
            }
        }
    }
}

/// Takes what the engine wants; gives the peer that is to be closed, and why.
fn outgo(message: Outgoing, peers: &mut HashMap<PeerId, Peer>) -> Option<(PeerId, &'static str)> {
    match message {
        Outgoing::Send(peer, channel, message) => {
            let known = peers.get_mut(&peer)?;
            if matches!(message, Message::Hello(_)) {
                known.ungreeted = known.ungreeted.saturating_sub(1);
            }
            if known.ungreeted > 0 || known.closing {
                return None;
            }
            let room = known.lane.as_ref()?.send(channel, &message);
            known.close_unless(room, peer, "it does not take what it asked for")
        }
        Outgoing::Disconnect(peer, refusal) => {
            let known = peers.get_mut(&peer)?;
            if known.ungreeted > 0 || known.closing || known.lane.is_none() {
                return None;
            }
            tracing::warn!(peer = %libp2p_peer(&peer), code = refusal.code(), "peer sent away");
            known.close_unless(false, peer, refusal.code())
        }
    }
}

impl Peer {
    fn close_unless(
        &mut self,
        fine: bool,
        peer: PeerId,
        reason: &'static str,
    ) -> Option<(PeerId, &'static str)> {
        self.closing |= !fine;
        (!fine).then_some((peer, reason))
    }
}

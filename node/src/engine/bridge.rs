//! The bridge between the network and the engine: one lane a connection, and what the engine wants sent.
//!
//! It never waits for the engine, and the engine never waits for it: its queue has no bound of its own, but
//! is emptied at once into the lanes, whose outboxes have one in messages and in bytes.

use std::collections::HashMap;

use city_protocol::region::Region;
use city_protocol::sync::Message;
use city_protocol::trust::{KeyAnnouncement, PeerId, TransportSigner};
use libp2p::identity::Keypair;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::lane::{Greeting, Lane};
use super::{EngineHandle, Outgoing, libp2p_peer, protocol_peer, utc};
use crate::net::{NetCommand, NetEvent, NetHandle};
use crate::private::Post;

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
    /// The regions for which the whitelist names its peers.
    pub regions: HashMap<PeerId, Region>,
    /// Who carries private values; none where none are kept.
    pub post: Option<mpsc::Sender<Post>>,
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
                let region = self.regions.get(&id).cloned();
                let greeting = Greeting {
                    announcement: signed,
                    region,
                    post: self.post.clone(),
                };
                let lane = Lane::begin(id, self.engine.clone(), self.net.clone(), greeting, before);
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
            known.greets(&message);
            if !known.is_heard() {
                return None;
            }
            let room = known.lane.as_ref()?.send(channel, &message);
            known.close_unless(room, peer, "it does not take what it asked for")
        }
        Outgoing::Disconnect(peer, refusal) => {
            let known = peers.get_mut(&peer)?;
            if !known.is_heard() || known.lane.is_none() {
                return None;
            }
            tracing::warn!(peer = %libp2p_peer(&peer), code = refusal.code(), "peer sent away");
            known.close_unless(false, peer, refusal.code())
        }
    }
}

impl Peer {
    /// Notes a message that the engine wants sent, if it is the one that begins a connection.
    fn greets(&mut self, message: &Message) {
        if matches!(message, Message::Hello(_)) {
            self.ungreeted = self.ungreeted.saturating_sub(1);
        }
    }

    /// Whether what the engine wants is meant for the present connection.
    const fn is_heard(&self) -> bool {
        self.ungreeted == 0 && !self.closing
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use city_protocol::ids::{BlockId, Digest};
    use city_protocol::sync::{Hello, PROTOCOL_VERSION};

    /// The engine is behind: it still greets the connection before the present one.
    #[test]
    fn what_was_meant_for_an_earlier_connection_is_not_sent() {
        let keypair = Keypair::generate_ed25519();
        let key = TransportKey::new(keypair).expect("Ed25519");
        let announcement = KeyAnnouncement {
            certificate: Vec::new(),
            chain: Vec::new(),
        };
        let hello = Message::Hello(Box::new(Hello {
            v: PROTOCOL_VERSION,
            network: BlockId::of(b"genesis"),
            software: "test".into(),
            announcement: announcement.sign(&key, [1; 16], utc()),
            follows: Vec::new(),
        }));
        let beacon = Message::Beacon(Digest([0; 32]));
        let mut peer = Peer {
            ungreeted: 2,
            ..Peer::default()
        };
        let mut heard = |message| {
            peer.greets(message);
            peer.is_heard()
        };
        let story = [&beacon, &hello, &beacon, &hello, &beacon].map(&mut heard);
        assert_eq!(story, [false, false, false, true, true]);
    }
}

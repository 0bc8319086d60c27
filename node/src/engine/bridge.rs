//! The bridge between the network's frames and the engine: decodes, has vertices verified on every core, and
//! hands everything of one peer on in the order in which it came.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use city_protocol::Refusal;
use city_protocol::replica::Input;
use city_protocol::sync::{Channel, Message};
use city_protocol::trust::{KeyAnnouncement, PeerId, TransportSigner};
use city_protocol::vertex::VerifiedVertex;
use libp2p::identity::Keypair;
use tokio::sync::{mpsc, oneshot};

use super::commit::Request;
use super::{EngineHandle, Outgoing, libp2p_peer, protocol_peer, utc};
use crate::net::{self, NetCommand, NetEvent, NetHandle};

/// Frames of one peer that wait to be decoded. With credit an honest peer stays far below.
const PEER_FRAMES: usize = 2048;
/// Bytes of one peer that wait to be verified: twice what credit allows.
const PEER_BYTES: usize = 10 << 20;
/// Vertices of one peer that are verified at once or wait for their turn.
const VERIFYING: usize = 32;
/// Messages that wait for one peer. With credit and one message a change this is far from full.
const OUTBOX: usize = 8192;

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

/// One connected peer.
struct Peer {
    frames: mpsc::Sender<(Channel, Vec<u8>)>,
    waiting: Arc<AtomicUsize>,
    outbox: mpsc::Sender<(Channel, Vec<u8>)>,
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
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.event(event, &mut peers).await,
                    None => return,
                },
                Some(message) = outgoing.recv() => self.outgoing(message, &peers).await,
            }
        }
    }

    async fn event(&self, event: NetEvent, peers: &mut HashMap<PeerId, Peer>) {
        match event {
            NetEvent::Connected { peer, address, .. } => {
                let Some(id) = protocol_peer(&peer) else {
                    return;
                };
                tracing::info!(%peer, %address, "peer connected");
                peers.insert(id, self.begin(id));
                let mut nonce = [0; 16];
                getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
                let signed = self.announcement.sign(&self.key, nonce, utc());
                self.tell(Input::Connected(id, Box::new(signed))).await;
            }
            NetEvent::Disconnected { peer } => {
                let Some(id) = protocol_peer(&peer) else {
                    return;
                };
                tracing::info!(%peer, "peer disconnected");
                peers.remove(&id);
                self.tell(Input::Disconnected(id)).await;
            }
            NetEvent::Frame {
                peer,
                channel,
                bytes,
            } => {
                let Some(id) = protocol_peer(&peer) else {
                    return;
                };
                let Some(known) = peers.get(&id) else { return };
                let waiting = known.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
                let full = waiting > PEER_BYTES
                    || known.frames.try_send((from_net(channel), bytes)).is_err();
                if full {
                    self.close(id, "it sends more than it was given credit for")
                        .await;
                }
            }
            NetEvent::Listening { address } => tracing::info!(%address, "listening for peers"),
            NetEvent::DialFailed { peer, reason } => {
                tracing::debug!(?peer, ?reason, "dial failed");
            }
        }
    }

    async fn outgoing(&self, message: Outgoing, peers: &HashMap<PeerId, Peer>) {
        match message {
            Outgoing::Send(peer, channel, message) => {
                let Some(known) = peers.get(&peer) else {
                    return;
                };
                if known.outbox.try_send((channel, message.encode())).is_err() {
                    self.close(peer, "it does not take what it asked for").await;
                }
            }
            Outgoing::Disconnect(peer, refusal) => {
                tracing::warn!(peer = %libp2p_peer(&peer), code = refusal.code(), "peer sent away");
                self.close(peer, refusal.code()).await;
            }
        }
    }

    async fn close(&self, peer: PeerId, reason: &str) {
        let close = NetCommand::Close {
            peer: libp2p_peer(&peer),
            reason: reason.into(),
        };
        // The network stops only together with this bridge.
        let _stopping = self.net.command(close).await;
    }

    async fn tell(&self, input: Input) {
        // The engine's own end is reported by the daemon.
        let _stopping = self
            .engine
            .requests
            .send(Request::Input(Box::new(input)))
            .await;
    }

    /// Starts the tasks of one peer; they end when its channels are dropped.
    fn begin(&self, peer: PeerId) -> Peer {
        let (frames, inbox) = mpsc::channel(PEER_FRAMES);
        let (outbox, to_send) = mpsc::channel(OUTBOX);
        let (turns, in_turn) = mpsc::channel(VERIFYING);
        let waiting = Arc::new(AtomicUsize::new(0));
        tokio::spawn(decode(peer, self.engine.clone(), inbox, turns));
        tokio::spawn(forward(
            peer,
            self.engine.clone(),
            in_turn,
            Arc::clone(&waiting),
        ));
        tokio::spawn(send(libp2p_peer(&peer), self.net.clone(), to_send));
        Peer {
            frames,
            waiting,
            outbox,
        }
    }
}

const fn from_net(channel: net::Channel) -> Channel {
    match channel {
        net::Channel::Sync => Channel::Sync,
        net::Channel::Live => Channel::Live,
    }
}

const fn to_net(channel: Channel) -> net::Channel {
    match channel {
        Channel::Sync => net::Channel::Sync,
        Channel::Live => net::Channel::Live,
    }
}

/// What is handed on in turn: a decoded frame and its size.
enum Turn {
    Ready(Input, usize),
    Verifying(oneshot::Receiver<Verification>, usize),
}

/// The verdict on two blocks, and the blocks, in case they have to be looked at again.
type Verification = (Result<Box<VerifiedVertex>, Refusal>, Vec<u8>, Vec<u8>);

/// Decodes a peer's frames and sends vertices to the pool.
async fn decode(
    peer: PeerId,
    engine: EngineHandle,
    mut frames: mpsc::Receiver<(Channel, Vec<u8>)>,
    turns: mpsc::Sender<Turn>,
) {
    while let Some((channel, frame)) = frames.recv().await {
        let size = frame.len();
        let turn = match Message::decode(&frame) {
            Err(refusal) => Turn::Ready(Input::Garbage(peer, refusal), size),
            Ok(Message::Vertex(header, body)) => {
                let (done, verified) = oneshot::channel();
                let (header, body) = (header.into_vec(), body.into_vec());
                let engine = engine.clone();
                tokio::spawn(async move {
                    let pool = engine.pool().clone();
                    let verified = pool.run(move || verify(&engine, header, body)).await;
                    if let Some(verified) = verified {
                        // The peer may have gone meanwhile.
                        let _gone = done.send(verified);
                    }
                });
                Turn::Verifying(verified, size)
            }
            Ok(message) => Turn::Ready(Input::Message(peer, channel, message), size),
        };
        if turns.send(turn).await.is_err() {
            return;
        }
    }
}

fn verify(engine: &EngineHandle, header: Vec<u8>, body: Vec<u8>) -> Verification {
    let directory = engine.directory();
    let verified = VerifiedVertex::verify(engine.genesis(), &**directory, &header, body.clone());
    if let Ok(vertex) = &verified {
        directory.learn_authority(&vertex.authority);
        if let Ok(entries) = &vertex.entries {
            directory.learn_enrolments(entries);
        }
    }
    (verified.map(Box::new), header, body)
}

/// Hands a peer's messages to the engine, in the order in which they came.
async fn forward(
    peer: PeerId,
    engine: EngineHandle,
    mut turns: mpsc::Receiver<Turn>,
    waiting: Arc<AtomicUsize>,
) {
    while let Some(turn) = turns.recv().await {
        let (input, size) = match turn {
            Turn::Ready(input, size) => (input, size),
            Turn::Verifying(verified, size) => {
                let Ok((verdict, header, body)) = verified.await else {
                    return;
                };
                let verdict = match verdict {
                    // Its log's first vertex stood right before it and is known by now.
                    Err(Refusal::UnknownLog) => verify(&engine, header, body).0,
                    other => other,
                };
                let input = match verdict {
                    Ok(vertex) => Input::Vertex(peer, vertex, size as u64),
                    Err(refusal) => Input::Garbage(peer, refusal),
                };
                (input, size)
            }
        };
        waiting.fetch_sub(size, Ordering::Relaxed);
        if engine
            .requests
            .send(Request::Input(Box::new(input)))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Sends what waits for a peer, as fast as it takes it.
async fn send(
    peer: libp2p::PeerId,
    net: NetHandle,
    mut outbox: mpsc::Receiver<(Channel, Vec<u8>)>,
) {
    while let Some((channel, frame)) = outbox.recv().await {
        if net.send(&peer, to_net(channel), frame).await.is_err() {
            return;
        }
    }
}

//! The bridge between the network and the engine: one lane a connection, and what the engine wants sent.
//!
//! It never waits for the engine, and the engine never waits for it: its queue has no bound of its own, but
//! is emptied at once into the lanes, whose outboxes have one in messages and in bytes.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use city_protocol::Refusal;
use city_protocol::sync::{Channel, Message};
use city_protocol::trust::{
    KeyAnnouncement, KeyResponse, Nonce, PeerId, ToOne, TransportSigner, TrustRecommendation,
    WhitelistList,
};
use libp2p::identity::Keypair;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::ears::Word;
use super::lane::{Greeting, Lane};
use super::outbox::{Pace, owes, pace};
use super::{EngineHandle, Outgoing, libp2p_peer, protocol_peer, utc};
use crate::net::{Limits, NetCommand, NetEvent, NetHandle};
use crate::private::Post;
use crate::trust::Keeper;

/// The transport key as the signer of announcements.
#[derive(Clone)]
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

impl TransportKey {
    /// The message by which this node recommends a peer, or takes that back.
    #[must_use]
    pub fn say(&self, said: &TrustRecommendation) -> Message {
        Message::Recommend(Box::new(said.sign(self, nonce(), utc())))
    }

    /// The message by which this node announces its own certificate.
    #[must_use]
    pub fn announce(&self, own: &KeyAnnouncement) -> Message {
        Message::KeyAnnouncement(Box::new(own.sign(self, nonce(), utc())))
    }

    /// The message by which this node asks a peer for these nodes' certificates; `None` where the peer is the only one
    /// that is asked about.
    #[must_use]
    pub fn ask(&self, trust: &Keeper, of: &PeerId, wanted: &[libp2p::PeerId]) -> Option<Message> {
        let nonce = nonce();
        let request = trust.ask(&libp2p_peer(of), wanted, nonce)?;
        Some(Message::KeyRequest(Box::new(request.sign(
            self,
            of,
            nonce,
            utc(),
        ))))
    }

    /// Asks everybody who is connected, and does not only read, for these nodes' certificates; gives who was asked. Who takes
    /// nothing now is asked with its next connection.
    #[must_use]
    pub fn ask_all(
        &self,
        trust: &Keeper,
        net: &NetHandle,
        wanted: &[libp2p::PeerId],
    ) -> Vec<libp2p::PeerId> {
        let peers = net.stats().peers.into_iter().filter(|it| !it.reads_only);
        let asked = peers.filter_map(|it| {
            let request = self.ask(trust, &protocol_peer(&it.peer)?, wanted)?;
            let sent = net.try_send(&it.peer, crate::net::Channel::Sync, request.encode());
            sent.ok().map(|()| it.peer)
        });
        asked.collect()
    }

    /// What this node lists, signed as a file.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] where that is too much for one.
    pub fn list(&self, list: &WhitelistList) -> Result<Vec<u8>, Refusal> {
        list.sign(self, nonce(), utc())
    }

    /// The message by which this node answers a peer's request.
    #[must_use]
    pub fn answer(&self, to: &PeerId, answer: &KeyResponse) -> Message {
        Message::KeyResponse(Box::new(answer.sign(self, to, nonce(), utc())))
    }
}

fn nonce() -> Nonce {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
    nonce
}

/// The node certificate that this node shows; a renewed one takes its place while the node runs. Cheap to clone.
#[derive(Clone)]
pub struct OwnCertificate(Arc<RwLock<KeyAnnouncement>>);

impl OwnCertificate {
    /// The certificate with its intermediates, DER.
    #[must_use]
    pub fn new(certificate: Vec<u8>, chain: &[Vec<u8>]) -> Self {
        let chain = chain.iter().cloned().map(Into::into).collect();
        Self(Arc::new(RwLock::new(KeyAnnouncement {
            certificate,
            chain,
        })))
    }

    /// As it is now.
    #[must_use]
    pub fn now(&self) -> KeyAnnouncement {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Shows another from now on.
    pub fn renew(&self, renewed: KeyAnnouncement) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = renewed;
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
    pub certificate: OwnCertificate,
    /// The whitelist, which names regions for its peers.
    pub trust: Keeper,
    /// Who carries private values; none where none are kept.
    pub post: Option<mpsc::Sender<Post>>,
    /// Who hears what peers say of others, and of keys.
    pub words: mpsc::Sender<Word>,
    /// Who hears what those say of others who may only read; none where that never counts.
    pub readers_words: Option<mpsc::Sender<Word>>,
    /// Whether peers are asked for certificates that this node does not hold.
    pub request_keys: bool,
    /// What a peer may have this node do for nothing.
    pub limits: Limits,
}

/// What is to be done about a peer's connection.
enum Verdict {
    /// It ends; the peer may come back.
    Close(PeerId, &'static str),
    /// It ends, and the peer is not spoken to for a while.
    Ban(PeerId, &'static str),
}

/// Whether an honest peer may be refused so: its clock is wrong, its certificate is over, or it is of another network or
/// version. It may come back when that is mended.
const fn may_be_honest(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::BadCertificate
            | Refusal::Expired
            | Refusal::FutureDated
            | Refusal::UnknownVersion
            | Refusal::WrongNetwork
    )
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
    /// Whether its hello was accepted.
    accepted: bool,
    /// Whether it may only read.
    reads_only: bool,
    /// How fast it is sent something while it may only read, over all its connections.
    pace: Option<Pace>,
}

impl Peer {
    fn is_gone(&self) -> bool {
        self.lane.is_none()
            && self.ungreeted == 0
            && self.pace.as_ref().is_none_or(|pace| owes(pace).is_zero())
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
                Some(message) = outgoing.recv() => {
                    let greeted = greeted_by(&message);
                    if let Some(peer) = accepted_by(&message, &mut peers) {
                        if let Some(lane) = peers.get(&peer).and_then(|known| known.lane.as_ref()) {
                            lane.accepted();
                        }
                        let peer = libp2p_peer(&peer);
                        // The network stops only together with this bridge.
                        let _stopping = self.net.command(NetCommand::Accepted { peer }).await;
                    }
                    let verdict = outgo(message, &mut peers);
                    if let Some(known) = greeted.and_then(|peer| peers.get(&peer)) {
                        self.hand_on(known);
                    }
                    verdict
                }
            };
            let command = match close {
                None => continue,
                Some(Verdict::Close(peer, reason)) => NetCommand::Close {
                    peer: libp2p_peer(&peer),
                    reason: reason.into(),
                },
                Some(Verdict::Ban(peer, reason)) => NetCommand::Ban {
                    peer: libp2p_peer(&peer),
                    reason: reason.into(),
                },
            };
            // The network stops only together with this bridge.
            let _stopping = self.net.command(command).await;
        }
    }

    /// Tells a listed peer which transport keys changed, behind the hello: on a slow line nothing waits for it.
    fn hand_on(&self, known: &Peer) {
        let lane = known.lane.as_ref().filter(|_| known.is_heard());
        let Some(lane) = lane.filter(|_| !known.reads_only) else {
            return;
        };
        for signed in self.trust.carried(utc()) {
            let message = Message::Rotation(Box::new((*signed).clone()));
            let _room = lane.send(Channel::Sync, &message);
        }
    }

    /// Asks a peer for certificates that are not held, away from here: all that are held are read for it.
    fn ask_for_keys(&self, id: PeerId) {
        let (key, trust, net) = (self.key.clone(), self.trust.clone(), self.net.clone());
        tokio::task::spawn_blocking(move || {
            let wanted = trust.without_certificate(utc());
            if let Some(request) = key.ask(&trust, &id, &wanted) {
                // One that takes nothing now is asked with its next connection.
                let frame = request.encode();
                let _full = net.try_send(&libp2p_peer(&id), crate::net::Channel::Sync, frame);
            }
        });
    }

    /// Takes what the network tells; gives what is to be done.
    fn event(&self, event: NetEvent, peers: &mut HashMap<PeerId, Peer>) -> Option<Verdict> {
        match event {
            NetEvent::Connected {
                peer,
                address,
                reads_only,
                ..
            } => {
                let id = protocol_peer(&peer)?;
                tracing::info!(%peer, %address, reads_only, "peer connected");
                peers.retain(|_, peer| !peer.is_gone());
                let known = peers.entry(id).or_default();
                let before = known.lane.take().map(Lane::end).or(known.earlier.take());
                let pace = reads_only.then(|| {
                    let new = || pace(self.limits.reader_rate);
                    known.pace.get_or_insert_with(new).clone()
                });
                let signed = self.certificate.now().sign(&self.key, nonce(), utc());
                let region = if reads_only {
                    let reader = self.trust.reader(&peer.to_string(), utc());
                    reader.and_then(|reader| reader.region)
                } else {
                    let listed = self.trust.listed(&peer.to_string());
                    listed.and_then(|listed| listed.region().cloned())
                };
                let greeting = Greeting {
                    announcement: signed,
                    region,
                    post: self.post.clone(),
                    limits: self.limits.clone(),
                    words: if reads_only {
                        self.readers_words.clone()
                    } else {
                        Some(self.words.clone())
                    },
                    reads_only,
                    pace,
                };
                let lane = Lane::begin(id, self.engine.clone(), self.net.clone(), greeting, before);
                if !reads_only {
                    for said in self.trust.recommends(utc()) {
                        // A lane that begins has room for all of them.
                        let _room = lane.send(Channel::Sync, &self.key.say(&said));
                    }
                    if self.request_keys {
                        self.ask_for_keys(id);
                    }
                }
                known.lane = Some(lane);
                known.reads_only = reads_only;
                known.ungreeted += 1;
                known.closing = false;
                known.accepted = false;
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
                let reason = "it sends more than it was given credit for";
                known.unless(room, Verdict::Ban(id, reason))
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

/// Whom a message greets: the first one of a connection.
const fn greeted_by(message: &Outgoing) -> Option<PeerId> {
    match message {
        Outgoing::Send(peer, _, Message::Hello(_)) => Some(*peer),
        _ => None,
    }
}

/// Whose hello the engine has accepted, as the first comparison on the connection tells.
fn accepted_by(message: &Outgoing, peers: &mut HashMap<PeerId, Peer>) -> Option<PeerId> {
    let Outgoing::Send(peer, _, Message::Beacon(_)) = message else {
        return None;
    };
    let known = peers.get_mut(peer).filter(|known| known.is_heard())?;
    (!std::mem::replace(&mut known.accepted, true)).then_some(*peer)
}

/// Takes what the engine wants; gives what is to be done.
fn outgo(message: Outgoing, peers: &mut HashMap<PeerId, Peer>) -> Option<Verdict> {
    match message {
        Outgoing::Send(peer, channel, message) => {
            let known = peers.get_mut(&peer)?;
            known.greets(&message);
            if !known.is_heard() {
                return None;
            }
            let room = known.lane.as_ref()?.send(channel, &message);
            let reason = "it does not take what it asked for";
            known.unless(room, Verdict::Close(peer, reason))
        }
        Outgoing::Disconnect(peer, refusal) => {
            let known = peers.get_mut(&peer)?;
            if !known.is_heard() || known.lane.is_none() {
                return None;
            }
            tracing::warn!(peer = %libp2p_peer(&peer), code = refusal.code(), "peer sent away");
            let verdict = if may_be_honest(refusal) {
                Verdict::Close(peer, refusal.code())
            } else {
                Verdict::Ban(peer, refusal.code())
            };
            known.unless(false, verdict)
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

    fn unless(&mut self, fine: bool, otherwise: Verdict) -> Option<Verdict> {
        self.closing |= !fine;
        (!fine).then_some(otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use city_protocol::ids::{BlockId, Digest};
    use city_protocol::sync::{Beacon, Hello, PROTOCOL_VERSION};

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
            reads_only: false,
        }));
        let beacon = Message::Beacon(Beacon {
            hash: Digest([0; 32]),
            sum: 0,
        });
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
        // That it compares says once that the hello was accepted, and of an earlier connection nothing.
        let id = key.peer_id();
        peer.ungreeted = 1;
        let mut peers = HashMap::from([(id, peer)]);
        let mut accepted = |message: &Message| {
            let message = Outgoing::Send(id, Channel::Sync, message.clone());
            let accepted = accepted_by(&message, &mut peers);
            let _verdict = outgo(message, &mut peers);
            accepted
        };
        let story = [&beacon, &hello, &beacon, &beacon].map(&mut accepted);
        assert_eq!(story, [None, None, Some(id), None]);
    }
}

//! What the rest of the node holds of the network: commands, sending, the whitelist and a picture
//! of the state. Owns the table of connected peers that sending and the task share; changes nothing
//! in it but by the task.

use super::{Channel, DialFailure, EnrolError, Whitelist, config::Clock, stream::Outbox};
use city_protocol::trust::EnrolVerdict;
use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// What the task is asked to do. Frames do not go this way: see [`NetHandle::send`].
#[derive(Debug)]
pub enum NetCommand {
    /// Remember where a peer may be reached, and try it at once if it is whitelisted and not
    /// connected.
    AddAddress {
        /// Whom.
        peer: PeerId,
        /// Where, with or without `/p2p/…`.
        address: Multiaddr,
    },
    /// Dial a peer once, only to hand it a request; see [`NetHandle::enrol`].
    Enrol {
        /// Whom.
        peer: PeerId,
        /// Where, without `/p2p/…`.
        address: Multiaddr,
        /// The request, signed.
        request: Vec<u8>,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<EnrolVerdict, EnrolError>>,
    },
    /// Forget where a peer may be reached.
    Forget {
        /// Whom.
        peer: PeerId,
    },
    /// A peer's hello was accepted: why an earlier connection was ended is over.
    Accepted {
        /// Whose.
        peer: PeerId,
    },
    /// End the connections with a peer, for instance because it breaks the sync rules. It may come
    /// back after a pause.
    Close {
        /// Whom.
        peer: PeerId,
        /// Why, for the log.
        reason: String,
    },
    /// The same for a peer that broke the rules: for a while it is not called, and its calls are closed before a frame
    /// of them is read. The while doubles with each time, and is forgotten in time.
    Ban {
        /// Whom.
        peer: PeerId,
        /// Why, for the log.
        reason: String,
    },
    /// Say whether a peer is not spoken to for a while.
    Banned {
        /// Whom.
        peer: PeerId,
        /// Where the answer goes.
        answer: oneshot::Sender<Option<Banned>>,
    },
    /// Say what is known of every peer that may be called or is connected.
    Look(oneshot::Sender<HashMap<PeerId, Known>>),
    /// Send what is queued, close everything, end the task.
    Shutdown,
}

/// What is known of one peer.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Where it is called, without its peer id.
    pub addresses: Vec<Multiaddr>,
    /// Calls since the last that worked.
    pub failures: u32,
    /// Why the last call failed, if the last one did.
    pub failure: Option<DialFailure>,
    /// That it is not spoken to, because it broke the rules.
    pub banned: Option<Banned>,
    /// Why this node ended the last connection that it ended.
    pub sent_away: Option<String>,
    /// What it said of itself in its last hello.
    pub greeting: Option<Greeting>,
}

/// A peer that is not spoken to for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Banned {
    /// For how long yet.
    pub left: Duration,
    /// Why, as the log says it.
    pub why: String,
}

/// What a peer said of itself in its hello. Nobody has checked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Version of the sync protocol.
    pub version: u64,
    /// Its program.
    pub software: String,
    /// By how much its clock is ahead of this node's, milliseconds, less the time that the hello travelled.
    pub ahead_ms: i64,
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No connection with this peer, or it ended while the frame waited.
    #[error("the peer is not connected")]
    NotConnected,
    /// The peer's queue has no room now (only from [`NetHandle::try_send`]).
    #[error("the peer's queue is full")]
    Full,
    /// More bytes than [`super::MAX_FRAME`].
    #[error("a frame of {0} bytes is too large")]
    TooLarge(usize),
    /// The network has stopped.
    #[error("the network has stopped")]
    Stopped,
}

/// The network, for everybody else. Cloning is cheap.
#[derive(Clone)]
pub struct NetHandle {
    pub(super) commands: mpsc::Sender<NetCommand>,
    pub(super) shared: Arc<Shared>,
}

impl NetHandle {
    /// Queues a frame for one stream of a peer and waits while its queue is full. One caller's
    /// frames for one stream keep their order. Ok means queued: it is lost if the connection ends
    /// first.
    pub async fn send(
        &self,
        peer: &PeerId,
        channel: Channel,
        frame: Vec<u8>,
    ) -> Result<(), SendError> {
        let link = self.link(peer)?;
        link.outbox(channel).send(frame).await
    }

    /// Queues a frame, or says [`SendError::Full`].
    pub fn try_send(
        &self,
        peer: &PeerId,
        channel: Channel,
        frame: Vec<u8>,
    ) -> Result<(), SendError> {
        self.link(peer)?.outbox(channel).try_send(frame)
    }

    /// Gives the task a command; waits while it has too many.
    pub async fn command(&self, command: NetCommand) -> Result<(), SendError> {
        self.commands
            .send(command)
            .await
            .map_err(|_| SendError::Stopped)
    }

    /// Asks a peer to whitelist this node: dials it once, hands over the request, takes the answer and hangs up.
    ///
    /// # Errors
    /// [`EnrolError`]; [`EnrolError::Silent`] also when the network stops.
    pub async fn enrol(
        &self,
        peer: PeerId,
        address: Multiaddr,
        request: Vec<u8>,
    ) -> Result<EnrolVerdict, EnrolError> {
        let (answer, answered) = oneshot::channel();
        let command = NetCommand::Enrol {
            peer,
            address,
            request,
            answer,
        };
        self.command(command)
            .await
            .map_err(|_| EnrolError::Silent)?;
        answered.await.unwrap_or(Err(EnrolError::Silent))
    }

    /// Asks the network to stop; await the join handle for the end.
    pub async fn shutdown(&self) {
        // A task that has ended already is what was asked for.
        let _ = self.command(NetCommand::Shutdown).await;
    }

    /// The whitelist by which the network goes.
    #[must_use]
    pub fn whitelist(&self) -> &Whitelist {
        &self.shared.whitelist
    }

    /// Notes what a connected peer said of itself.
    pub fn greeted(&self, peer: PeerId, greeting: Greeting) {
        let whitelist = &self.shared.whitelist;
        let mut greetings = self.shared.greetings();
        // Bounded by the whitelist: who has left it is forgotten.
        greetings.retain(|peer, _| whitelist.contains(peer, 0));
        greetings.insert(peer, greeting);
    }

    /// Counts a vertex of a peer that was verified in vain.
    pub fn wasted(&self) {
        let wasted = &self.shared.counters.wasted_verifications;
        wasted.fetch_add(1, Ordering::Relaxed);
    }

    /// What is known of every peer; none where the network has stopped.
    pub async fn look(&self) -> HashMap<PeerId, Known> {
        let (reply, answer) = oneshot::channel();
        if self.command(NetCommand::Look(reply)).await.is_err() {
            return HashMap::new();
        }
        answer.await.unwrap_or_default()
    }

    /// Whether a peer is not spoken to for a while; no where the network has stopped.
    pub async fn banned(&self, peer: PeerId) -> Option<Banned> {
        let (answer, banned) = oneshot::channel();
        self.command(NetCommand::Banned { peer, answer })
            .await
            .ok()?;
        banned.await.ok().flatten()
    }

    /// The state now.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        self.shared.stats()
    }

    fn link(&self, peer: &PeerId) -> Result<Arc<Link>, SendError> {
        self.shared
            .links()
            .get(peer)
            .cloned()
            .ok_or(SendError::NotConnected)
    }
}

impl fmt::Debug for NetHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetHandle").finish_non_exhaustive()
    }
}

/// The network's state at one moment. Counters run from the start of the task.
#[derive(Clone, Debug, Default)]
pub struct NetStats {
    /// Bound addresses.
    pub listening: Vec<Multiaddr>,
    /// Connected peers, by peer id.
    pub peers: Vec<PeerStats>,
    /// Callers that TLS proved to be somebody not on the whitelist.
    pub denied_strangers: u64,
    /// Calls refused because their address, or all callers over QUIC, already had too many handshakes under way, or because too many from their
    /// address led to nothing, or as many were connected from there as may be.
    pub refused_sources: u64,
    /// Calls that ended before their handshake was done: noise, scanners, lost connections.
    pub failed_handshakes: u64,
    /// Connections ended because the peer broke the framing or did not drain.
    pub faulty_streams: u64,
    /// Times that a peer broke the rules and was banned for a while.
    pub bans: u64,
    /// Calls of peers that were banned.
    pub banned_calls: u64,
    /// Vertices of peers that were verified in vain: whoever sends one is cut off.
    pub wasted_verifications: u64,
    /// Listening and DialFailed events that nobody took in time.
    pub dropped_notices: u64,
    /// Bytes of all frames received, bodies only.
    pub bytes_in: u64,
    /// Bytes of all frames handed to the transport, bodies only.
    pub bytes_out: u64,
}

/// One connected peer.
#[derive(Clone, Debug)]
pub struct PeerStats {
    /// Who.
    pub peer: PeerId,
    /// The remote address.
    pub address: Multiaddr,
    /// Whether this node dialled.
    pub dialer: bool,
    /// Whether the peer may only read.
    pub reads_only: bool,
    /// Since when, milliseconds since the Unix epoch by the configured clock.
    pub since_ms: u64,
    /// The peer's program, as it says itself (at most 64 characters); known a moment after
    /// connecting.
    pub agent: Option<String>,
    /// How long the last ping took, there and back; none until one was answered.
    pub rtt: Option<Duration>,
    /// This node's address as the peer sees it; known a moment after connecting.
    pub observed: Option<Multiaddr>,
    /// Frame bytes received on this connection, bodies only.
    pub bytes_in: u64,
    /// Frame bytes handed to the transport on this connection, bodies only.
    pub bytes_out: u64,
}

/// What the task, the gate, the sessions and the handles share.
pub(super) struct Shared {
    pub(super) whitelist: Whitelist,
    pub(super) clock: Clock,
    pub(super) counters: Counters,
    links: RwLock<HashMap<PeerId, Arc<Link>>>,
    greetings: Mutex<HashMap<PeerId, Greeting>>,
    listening: RwLock<Vec<Multiaddr>>,
    /// Connections on which nothing runs but one request.
    strangers: Mutex<HashSet<ConnectionId>>,
}

/// Totals; no figure here belongs to a single stranger.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) denied_strangers: AtomicU64,
    pub(super) refused_sources: AtomicU64,
    pub(super) failed_handshakes: AtomicU64,
    pub(super) faulty_streams: AtomicU64,
    pub(super) bans: AtomicU64,
    pub(super) banned_calls: AtomicU64,
    pub(super) wasted_verifications: AtomicU64,
    pub(super) dropped_notices: AtomicU64,
    pub(super) traffic: Traffic,
}

/// Frame bytes, bodies only.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Traffic {
    pub(super) fn received(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes received so far.
    pub(super) fn received_so_far(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A connected peer as the senders see it. Its queues end when the last holder lets go.
pub(super) struct Link {
    pub(super) connection: ConnectionId,
    pub(super) address: Multiaddr,
    pub(super) dialer: bool,
    pub(super) reads_only: bool,
    pub(super) since_ms: u64,
    pub(super) agent: OnceLock<String>,
    pub(super) observed: OnceLock<Multiaddr>,
    /// How long the last ping took, microseconds; 0 until one was answered.
    pub(super) rtt_us: AtomicU64,
    pub(super) traffic: Arc<Traffic>,
    pub(super) sync: Outbox,
    pub(super) live: Outbox,
}

impl Link {
    fn outbox(&self, channel: Channel) -> &Outbox {
        match channel {
            Channel::Sync => &self.sync,
            Channel::Live => &self.live,
        }
    }
}

const LOCK: &str = "no holder of this lock panics";

impl Shared {
    pub(super) fn new(whitelist: Whitelist, clock: Clock) -> Self {
        Self {
            whitelist,
            clock,
            counters: Counters::default(),
            links: RwLock::default(),
            greetings: Mutex::default(),
            listening: RwLock::default(),
            strangers: Mutex::default(),
        }
    }

    pub(super) fn strangers_mut(&self) -> MutexGuard<'_, HashSet<ConnectionId>> {
        self.strangers.lock().expect(LOCK)
    }

    pub(super) fn is_strangers(&self, connection: ConnectionId) -> bool {
        self.strangers_mut().contains(&connection)
    }

    pub(super) fn greetings(&self) -> MutexGuard<'_, HashMap<PeerId, Greeting>> {
        self.greetings.lock().expect(LOCK)
    }

    pub(super) fn links(&self) -> RwLockReadGuard<'_, HashMap<PeerId, Arc<Link>>> {
        self.links.read().expect(LOCK)
    }

    pub(super) fn links_mut(&self) -> RwLockWriteGuard<'_, HashMap<PeerId, Arc<Link>>> {
        self.links.write().expect(LOCK)
    }

    /// Takes a peer off the table, unless another connection of it stands there by now.
    pub(super) fn unlink(&self, peer: &PeerId, connection: ConnectionId) {
        let mut links = self.links_mut();
        if links
            .get(peer)
            .is_some_and(|link| link.connection == connection)
        {
            links.remove(peer);
        }
    }

    pub(super) fn listening_mut(&self) -> RwLockWriteGuard<'_, Vec<Multiaddr>> {
        self.listening.write().expect(LOCK)
    }

    fn stats(&self) -> NetStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut peers: Vec<PeerStats> = self
            .links()
            .iter()
            .map(|(peer, link)| PeerStats {
                peer: *peer,
                address: link.address.clone(),
                dialer: link.dialer,
                reads_only: link.reads_only,
                since_ms: link.since_ms,
                agent: link.agent.get().cloned(),
                observed: link.observed.get().cloned(),
                rtt: Some(count(&link.rtt_us))
                    .filter(|us| *us > 0)
                    .map(Duration::from_micros),
                bytes_in: count(&link.traffic.bytes_in),
                bytes_out: count(&link.traffic.bytes_out),
            })
            .collect();
        peers.sort_unstable_by_key(|peer| peer.peer);
        NetStats {
            listening: self.listening.read().expect(LOCK).clone(),
            peers,
            denied_strangers: count(&self.counters.denied_strangers),
            refused_sources: count(&self.counters.refused_sources),
            failed_handshakes: count(&self.counters.failed_handshakes),
            faulty_streams: count(&self.counters.faulty_streams),
            bans: count(&self.counters.bans),
            banned_calls: count(&self.counters.banned_calls),
            wasted_verifications: count(&self.counters.wasted_verifications),
            dropped_notices: count(&self.counters.dropped_notices),
            bytes_in: count(&self.counters.traffic.bytes_in),
            bytes_out: count(&self.counters.traffic.bytes_out),
        }
    }
}

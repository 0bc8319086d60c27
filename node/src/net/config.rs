//! What can be set about the network, and every limit with its unit and reason. Owns no state.

use super::{Enrolment, NetError, stream::MAX_FRAME};
use libp2p::Multiaddr;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::mpsc;

/// Answers the time in milliseconds since the Unix epoch; whitelist entries expire by it.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How the network is set up.
#[derive(Clone)]
pub struct NetConfig {
    /// Addresses to listen on, such as `/ip4/0.0.0.0/tcp/4001`; port 0 takes a free one. Empty:
    /// only dial.
    pub listen: Vec<Multiaddr>,
    /// Whether QUIC is spoken beside TCP: `/ip4/0.0.0.0/udp/4001/quic-v1`. Without it such an address
    /// is neither listened on nor called.
    pub quic: bool,
    /// Known peers, each with `/p2p/<peer id>`; dialled while they are whitelisted.
    pub bootstrap: Vec<Multiaddr>,
    /// Look for whitelisted peers on the local network. This announces the node's peer id there.
    pub mdns: bool,
    /// Where strangers' requests to be whitelisted go; `None`: strangers are turned away.
    pub requests: Option<mpsc::Sender<Enrolment>>,
    /// Program name and version, told to whitelisted peers.
    pub agent: String,
    /// The bounds.
    pub limits: Limits,
    /// The clock by which whitelist entries expire.
    pub clock: Clock,
    /// Seed of the back-off's jitter; `None` takes one from the operating system.
    pub jitter_seed: Option<u64>,
}

/// The bounds of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Established connections: some 1,900 municipalities, each for a moment with two.
    pub established: u32,
    /// Established connections with one peer: both dial at once, and one stale pair.
    pub established_per_peer: u32,
    /// Callers' established connections from one IPv4 address or IPv6 /64: all municipalities of a prefecture may come through
    /// its one address, each with a few.
    pub established_per_source: u32,
    /// Handshakes of callers at once; each costs a core about a millisecond.
    pub pending_incoming: u32,
    /// Of these, from one IPv4 address or IPv6 /64: one stranger cannot take all the places.
    pub pending_per_source: u32,
    /// Handshakes from one such address in ten seconds that may lead to nobody who is listed. Further ones are refused
    /// before TLS: on two slow cores they would take the processor from those who are listed.
    pub in_vain_per_source: u32,
    /// Strangers that ask to be whitelisted at once: each costs yamux's buffers and one small frame.
    pub strangers: u32,
    /// Of these, from one IPv4 address or IPv6 /64.
    pub strangers_per_source: u32,
    /// Their requests that are read in an hour: far more than municipalities join.
    pub requests: u32,
    /// Of these, from one such address: a few tries of an operator.
    pub requests_per_source: u32,
    /// Own dials at once.
    pub pending_outgoing: u32,
    /// Resident memory of the process, bytes, beyond which new connections are refused.
    pub memory: usize,
    /// Frames waiting for one stream of one peer.
    pub queue_frames: usize,
    /// Bytes waiting for one stream of one peer; at least one frame of [`MAX_FRAME`].
    pub queue_bytes: usize,
    /// A peer that takes, or in the midst of a frame gives, not one byte for this long is cut off.
    pub stall: Duration,
    /// TCP, TLS and yamux together, or QUIC's handshake, for callers and for own dials.
    pub handshake: Duration,
    /// From the connection to its two open streams.
    pub setup: Duration,
    /// Between pings; an answer may take 20 s.
    pub ping: Duration,
    /// A peer that answers no ping and sends no frame for this long is gone. Longer than `ping` + 20 s would be
    /// late, shorter would cut off who is busy at the end of a slow line.
    pub silence: Duration,
    /// Pause after the first failed dial; it doubles.
    pub backoff_min: Duration,
    /// Longest pause between dials: once a line is back, who was called in vain is reached well within half a
    /// minute.
    pub backoff_max: Duration,
    /// Vertices of one peer that are verified before their verdicts are known: so many it can waste at most before
    /// it is cut off. Eight keep as many cores busy.
    pub verifications: usize,
    /// Bytes of control messages that a peer may send in one second; those beyond wait. Each counts at least 128
    /// bytes. An honest peer of a thousand logs sends a tenth of it.
    pub control_rate: usize,
    /// The same at once: sixteen seconds' worth, a few frontiers of the largest network.
    pub control_burst: usize,
    /// How long a peer that broke the rules is not spoken to; it doubles with each time. Long enough to end a flood,
    /// short enough for a peer that was mended.
    pub ban: Duration,
    /// Longest such pause.
    pub ban_max: Duration,
    /// After so long without another, one time is forgotten.
    pub ban_decay: Duration,
    /// Peers that may only read, because others recommend them, at once: a courtesy beside the work for listed ones.
    pub readers: u32,
    /// Bytes that are sent to such a peer in one second: a ledger of 50 MB is with it in a quarter of an hour, and all of them
    /// together take half of a line of 10 Mbit/s.
    pub reader_rate: usize,
    /// How long a shutdown waits for queued frames to leave; the daemon has 5 s in all.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            established: 4096,
            established_per_peer: 4,
            established_per_source: 256,
            pending_incoming: 128,
            pending_per_source: 32,
            in_vain_per_source: 64,
            strangers: 16,
            strangers_per_source: 4,
            requests: 120,
            requests_per_source: 6,
            pending_outgoing: 32,
            memory: 1 << 30,
            queue_frames: 64,
            queue_bytes: 4 << 20,
            stall: Duration::from_secs(60),
            handshake: Duration::from_secs(15),
            setup: Duration::from_secs(15),
            ping: Duration::from_secs(15),
            silence: Duration::from_secs(35),
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(20),
            verifications: 8,
            control_rate: 256 << 10,
            control_burst: 4 << 20,
            ban: Duration::from_secs(10),
            ban_max: Duration::from_secs(60 * 60),
            ban_decay: Duration::from_secs(60 * 60),
            readers: 8,
            reader_rate: 64 << 10,
            drain: Duration::from_secs(2),
        }
    }
}

impl Limits {
    /// Refuses limits under which nothing could ever be sent or dialled.
    pub(super) fn check(&self) -> Result<(), NetError> {
        if self.queue_bytes < MAX_FRAME || u32::try_from(self.queue_bytes).is_err() {
            return Err(NetError::Limits(
                "queue_bytes must hold one frame and be below 4 GiB",
            ));
        }
        if self.queue_frames == 0 || self.pending_outgoing == 0 || self.established_per_peer < 2 {
            return Err(NetError::Limits(
                "queue_frames and pending_outgoing must be at least 1, established_per_peer at least 2",
            ));
        }
        if self.silence <= self.ping || self.ban_max < self.ban {
            return Err(NetError::Limits(
                "silence must be longer than ping, and ban_max at least ban",
            ));
        }
        if [self.verifications, self.control_rate, self.reader_rate].contains(&0)
            || self.ban_decay.is_zero()
        {
            return Err(NetError::Limits(
                "verifications, control_rate, reader_rate and ban_decay must be above 0",
            ));
        }
        if self.backoff_min.is_zero() || self.backoff_max < self.backoff_min {
            return Err(NetError::Limits(
                "backoff_min must be above 0 and at most backoff_max",
            ));
        }
        Ok(())
    }
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            quic: false,
            bootstrap: Vec::new(),
            mdns: false,
            requests: None,
            agent: concat!("city-node/", env!("CARGO_PKG_VERSION")).to_owned(),
            limits: Limits::default(),
            clock: Arc::new(system_clock),
            jitter_seed: None,
        }
    }
}

/// The system's clock; a clock before 1970 reads as 0, so that entries do not expire by it.
fn system_clock() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

impl fmt::Debug for NetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetConfig")
            .field("listen", &self.listen)
            .field("quic", &self.quic)
            .field("bootstrap", &self.bootstrap)
            .field("mdns", &self.mdns)
            .field("agent", &self.agent)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

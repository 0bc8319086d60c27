//! Frames between whitelisted peers: libp2p over TCP, TLS 1.3 and yamux, or over QUIC. Owns the connections and
//! their limits; does not know what a frame means: the sync rules stand elsewhere.
//!
//! `config` what can be set · `whitelist` who may connect · `handle` what the node holds · `task`
//! the loop · `gate`, `handler` the door, `friends` what runs behind it, `enrol` what strangers may say · `slots`, `session`,
//! `stream` a peer's frames · `dial` when to call whom · `near` who is seen on the local network · `alive` who is gone · `bans` who is not spoken to · `vain` who is refused before TLS · `memory` why somebody
//! was not reached · `transport` the stack below · `carrier` which of the two an
//! address means.

mod alive;
mod bans;
mod carrier;
mod config;
mod dial;
mod enrol;
mod friends;
mod gate;
mod handle;
mod handler;
mod memory;
mod near;
mod session;
mod slots;
mod stream;
mod task;
mod transport;
mod vain;
mod whitelist;

pub use carrier::Carrier;
pub use config::{Clock, Limits, NetConfig};
pub use enrol::{EnrolError, Enrolment};
pub use handle::{Banned, Greeting, Known, NetCommand, NetHandle, NetStats, PeerStats, SendError};
pub use stream::MAX_FRAME;
pub use whitelist::{MAX_WHITELIST, Whitelist, WhitelistFull};

use libp2p::{Multiaddr, PeerId, TransportError, identity::Keypair};
use std::{fmt, io};
use tokio::{sync::mpsc, task::JoinHandle};

/// The two streams of a connection: one cannot hold up the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// `/city-node/sync/1`: control messages and backfill.
    Sync,
    /// `/city-node/live/1`: what has just happened.
    Live,
}

/// What the network tells the node. For one peer the order is Connected, Frame…, Disconnected.
#[derive(Debug)]
pub enum NetEvent {
    /// A socket listens here; `address` carries the real port.
    Listening {
        /// The bound address, without a peer id.
        address: Multiaddr,
    },
    /// Both streams of a peer are open that is whitelisted, or may read.
    Connected {
        /// Who, as TLS proved it.
        peer: PeerId,
        /// The remote address.
        address: Multiaddr,
        /// Whether this node dialled.
        dialer: bool,
        /// Whether the peer may only read.
        reads_only: bool,
    },
    /// The peer's connection is gone; exactly once for each Connected, except that after a shutdown
    /// the end of the events stands for those that the consumer did not take in time. Frames queued
    /// for it may be lost.
    Disconnected {
        /// Who.
        peer: PeerId,
    },
    /// One frame of a connected peer.
    Frame {
        /// Who sent it.
        peer: PeerId,
        /// On which stream.
        channel: Channel,
        /// The frame's body, at most [`MAX_FRAME`] bytes.
        bytes: Vec<u8>,
    },
    /// An attempt to reach a whitelisted peer failed; the next one follows by itself.
    DialFailed {
        /// Who was to be reached.
        peer: PeerId,
        /// Why not.
        reason: DialFailure,
    },
}

/// Why a peer was not reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialFailure {
    /// Somebody else answers there: check the address or the peer id.
    #[error("peer {obtained} answers at {address}; check the address or the peer id")]
    WrongPeerId {
        /// Who answers.
        obtained: PeerId,
        /// Where.
        address: Multiaddr,
    },
    /// The peer closed before the streams were open; most often it has not whitelisted this node.
    /// If its answer comes within the handshake, this reads as [`Self::Unreachable`].
    #[error("the peer closed the connection; has it whitelisted this node?")]
    ClosedEarly,
    /// No address answered, or the handshake broke off.
    #[error("not reached: {0}")]
    Unreachable(String),
    /// This node's own limits refused the attempt.
    #[error("refused by this node's connection limits: {0}")]
    Refused(String),
}

/// Why the network could not start.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A bootstrap address lacks the peer it belongs to.
    #[error("bootstrap address {0} must end in /p2p/<peer id>")]
    BootstrapWithoutPeer(Multiaddr),
    /// A listen address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address as configured.
        address: Multiaddr,
        /// What the transport said.
        source: TransportError<io::Error>,
    },
    /// The node's TLS certificate could not be made.
    #[error("cannot make the transport's TLS certificate: {0}")]
    Tls(String),
    /// The local network's multicast socket could not be opened.
    #[error("cannot start mDNS (set mdns = false to run without): {0}")]
    Mdns(#[source] io::Error),
    /// The operating system gave no randomness for the back-off's jitter.
    #[error("no randomness from the operating system: {0}")]
    Random(String),
    /// A limit contradicts another.
    #[error("limits: {0}")]
    Limits(&'static str),
}

/// Binds the listen addresses and starts the network task on the current tokio runtime (it panics
/// outside of one).
///
/// Frames wait in `events`: a consumer that stops reading stops the peers, by back-pressure.
/// Dropping the receiver, or the last handle, stops the network as [`NetHandle::shutdown`] does;
/// the join handle ends when every socket is closed.
pub fn start(
    config: NetConfig,
    keypair: Keypair,
    whitelist: Whitelist,
    events: mpsc::Sender<NetEvent>,
) -> Result<(NetHandle, JoinHandle<()>), NetError> {
    let (handle, task) = task::Task::new(config, &keypair, whitelist, events)?;
    Ok((handle, tokio::spawn(task.run())))
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync => "sync",
            Self::Live => "live",
        })
    }
}

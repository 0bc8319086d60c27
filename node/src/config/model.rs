//! The configuration as the node uses it: every field has a type that cannot be wrong.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use city_drivers::gnss::{Baud, Source};
use city_protocol::amount::{Amount, Timestamp};
use city_protocol::crypto::NotAfter;
use city_protocol::place::{PlacePolicy, Point};
use city_protocol::region::Region;
use city_protocol::replica::{Clearing, Follow};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::client::Address;
use crate::keys::{BackendKind, TpmSettings};
use crate::net::{Limits, MAX_WHITELIST};
use crate::pki::OperatorName;
use crate::trust::Role;

/// A day in milliseconds.
pub(super) const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Most whitelisted peers in the file: what the network takes.
pub const MAX_PEERS: usize = MAX_WHITELIST;
/// How long a first peer is waited for by default, in seconds: a connection, its TLS and two hellos take less than one, and
/// a box that was restarted together with its router a few more.
const CONFIRM_WAIT_S: u64 = 10;
/// What an account may send in a day by default while nobody was heard, 1000.00: what a household spends in a day, so that
/// people go on to pay; and what officers have to settle for each who paid, if the directory was an old copy after all.
const UNCONFIRMED_LIMIT: Amount = Amount::from_hundredths(100_000);

/// The node's configuration. Relative paths are relative to the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[node]`.
    pub node: Node,
    /// `[network]`.
    pub network: Network,
    /// `[api]`.
    pub api: Api,
    /// `[terminal]`; `None`: this node is a home.
    pub terminal: Option<Terminal>,
    /// `[gnss]`.
    pub gnss: Gnss,
    /// `[place]`.
    pub place: Place,
    /// `[home]`.
    pub home: Home,
    /// `[clearing]`.
    pub clearing: Clearing,
    /// `[follow]`.
    pub follow: Follow,
    /// `[crypto.not_after]`.
    pub not_after: NotAfter,
    /// `[keys]`.
    pub keys: Keys,
    /// `[clock]`.
    pub clock: Clock,
    /// `[store]`.
    pub store: Store,
    /// `[checkpoint]`.
    pub checkpoint: Checkpoint,
    /// `[retention]`.
    pub retention: Retention,
    /// `[log]`.
    pub log: Log,
}

/// Which municipality the node belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The municipality.
    pub region: Region,
}

/// Connections with other municipalities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Where to listen, each `/ip4|ip6/…/tcp/…`, or `/ip4|ip6/…/udp/…/quic-v1` where QUIC is on.
    pub listen: Vec<Multiaddr>,
    /// Whether QUIC is spoken beside TCP.
    pub quic: bool,
    /// Whether to look for peers on the local network.
    pub mdns: bool,
    /// Whether nodes that are not whitelisted may ask to be.
    pub accept_whitelist_requests: bool,
    /// Whether peers get node certificates that they ask for.
    pub auto_share_keys: bool,
    /// Whether peers are asked for node certificates that this node does not hold.
    pub auto_request_keys: bool,
    /// How old a peer's message about keys may be, in hours.
    pub max_message_age_hours: u64,
    /// How many peers have to recommend a node before an operator can approve it.
    pub recommendations_needed: u64,
    /// How many peers have to recommend a node before it may read without an operator's word; 0: it may not.
    pub recommendations_to_read: u64,
    /// Through how many steps recommendations may have a node read.
    pub recommendation_depth: u64,
    /// The whitelist.
    pub peers: Vec<Peer>,
    /// `[network.limits]`.
    pub limits: Limits,
}

/// A whitelisted peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its peer id.
    pub peer_id: PeerId,
    /// Its name, for people.
    pub name: String,
    /// Its municipality.
    pub region: Region,
    /// Where to call it, without its peer id.
    pub addresses: Vec<Multiaddr>,
    /// When the permission ends.
    pub expires_at: Option<Timestamp>,
    /// What it is listed for.
    pub roles: BTreeSet<Role>,
}

/// HTTPS for apps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Where to listen for apps.
    pub listen: SocketAddr,
    /// Where to listen for operators with a certificate; `None`: nowhere.
    pub operator_listen: Option<SocketAddr>,
    /// Who of those with a certificate operates this node; empty: all of them.
    pub operators: BTreeSet<OperatorName>,
    /// Whether TLS 1.2 is spoken beside 1.3.
    pub tls12: bool,
}

/// What makes a node a terminal: the home that it forwards to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Where the home's API is.
    pub home: Address,
    /// The roots (PEM) that its TLS certificate is judged by.
    pub tls_root: PathBuf,
}

impl Terminal {
    /// A terminal of the home at this address, whose TLS certificate comes from the network's own root.
    #[must_use]
    pub fn of(home: Address) -> Self {
        Self {
            home,
            tls_root: "network/tls-root.pem".into(),
        }
    }
}

/// The receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gnss {
    /// Its serial device, `auto`, gpsd's address or a recorded file (`gnss::Source` reads it); `None`: no receiver.
    pub device: Option<PathBuf>,
    /// Speed of a serial line.
    pub baud: Baud,
    /// A u-blox receiver that answers is asked for the messages that place checking uses.
    pub configure: bool,
    /// It plays a recording or is simulated; only where the genesis record is not `live`.
    pub recorded: bool,
}

impl Gnss {
    /// Whether it is a recorded file, or declared to play a recording.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        let source = self.device.as_deref().map(Source::of);
        self.recorded || matches!(source, Some(Source::Recording(_)))
    }
}

/// How far from the surveyed point positions may be unless somebody says otherwise, metres: an HDOP of 5 at two standard
/// deviations of 5 m.
pub const SURVEYED_RADIUS_M: u32 = 50;

/// How a place is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The boundary index.
    pub boundary: PathBuf,
    /// Where the antenna of a fixed installation is.
    pub surveyed: Option<Point>,
    /// How far from it positions may be, metres.
    pub surveyed_radius_m: u32,
    /// What the municipality asks of evidence; its `check()` has passed.
    pub policy: PlacePolicy,
}

/// What the home does until it knows that its log is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// How long a first peer is waited for before anything is signed, in seconds.
    pub confirm_wait_s: u64,
    /// How much each account may send in a day while nobody was heard.
    pub unconfirmed_limit: Amount,
}

/// Where secrets are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Where the master secret is kept.
    pub backend: BackendKind,
    /// The TPM and what new secrets are bound to.
    pub tpm: TpmSettings,
    /// Index of the TPM's counter against rollback; none: it is not used.
    pub tpm_counter: Option<u32>,
    /// Which fields are encrypted at rest.
    pub encrypt: BTreeSet<Private>,
}

/// A class of fields that are encrypted at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Private {
    /// Names of people and peers.
    Names,
    /// Coordinates as they were measured.
    Coordinates,
    /// Notes that are marked private.
    Notes,
}

impl Private {
    /// Every class: the default.
    pub const ALL: [Self; 3] = [Self::Names, Self::Coordinates, Self::Notes];
}

impl fmt::Display for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Names => "names",
            Self::Coordinates => "coordinates",
            Self::Notes => "notes",
        })
    }
}

impl FromStr for Private {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|class| class.to_string() == text)
            .ok_or("no such class of fields")
    }
}

/// The node's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Take the system's time although there is no clock that runs while the machine is off.
    pub trust_system: bool,
}

/// The ledger's disk and memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Disk space kept free, MiB.
    pub reserve_mib: u64,
    /// The index's cache, MiB.
    pub cache_mib: u64,
}

/// Checkpoints of the own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How often a running home writes one, if anything was booked, in milliseconds; `None`: only when somebody asks.
    pub every_ms: Option<u64>,
}

/// What is kept, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How old bodies of complete transfers are before they may be pruned, in milliseconds; `None`: they stay for ever.
    pub bodies_ms: Option<u64>,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// What is logged.
    pub level: LogLevel,
}

/// A level word, and after commas `target=level`; tracing's filter language cut down to what can be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(pub(super) String);

impl LogLevel {
    /// The filter as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Config {
    /// The defaults for a municipality: no peers, no receiver, the API on loopback.
    ///
    /// # Panics
    /// Never: the default address is part of the program and a test reads it.
    #[must_use]
    pub fn for_region(region: Region) -> Self {
        // 7420 and 8443: unassigned by IANA and the usual second HTTPS port; both need no privilege.
        let listen = "/ip4/0.0.0.0/tcp/7420"
            .parse()
            .expect("a well-formed address");
        Self {
            node: Node { region },
            network: Network {
                listen: vec![listen],
                quic: false,
                mdns: false,
                accept_whitelist_requests: false,
                auto_share_keys: true,
                auto_request_keys: true,
                max_message_age_hours: 24,
                recommendations_needed: 1,
                recommendations_to_read: 1,
                recommendation_depth: 1,
                peers: Vec::new(),
                limits: Limits::default(),
            },
            api: Api {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
                operator_listen: None,
                operators: BTreeSet::new(),
                tls12: false,
            },
            terminal: None,
            gnss: Gnss {
                device: None,
                baud: Baud::Fixed(9600),
                configure: true,
                recorded: false,
            },
            place: Place {
                boundary: "boundary.cbor".into(),
                surveyed: None,
                surveyed_radius_m: SURVEYED_RADIUS_M,
                policy: PlacePolicy::default(),
            },
            home: Home {
                confirm_wait_s: CONFIRM_WAIT_S,
                unconfirmed_limit: UNCONFIRMED_LIMIT,
            },
            clearing: Clearing::default(),
            follow: Follow::default(),
            not_after: NotAfter::default(),
            keys: Keys {
                backend: BackendKind::File,
                tpm: TpmSettings::default(),
                tpm_counter: None,
                encrypt: Private::ALL.into(),
            },
            clock: Clock {
                trust_system: false,
            },
            store: Store {
                reserve_mib: 64,
                cache_mib: 32,
            },
            checkpoint: Checkpoint {
                every_ms: Some(DAY_MS),
            },
            retention: Retention {
                bodies_ms: Some(183 * DAY_MS),
            },
            log: Log {
                level: LogLevel("info".into()),
            },
        }
    }

    /// The whitelist's entries of the own municipality: at a terminal, its home and further terminals.
    pub fn own_peers(&self) -> impl Iterator<Item = &Peer> {
        let own = &self.node.region;
        self.network
            .peers
            .iter()
            .filter(move |peer| peer.region == *own)
    }

    /// Where known peers are called: each address with the peer's id behind it.
    pub fn bootstrap(&self) -> impl Iterator<Item = Multiaddr> + '_ {
        self.network.peers.iter().flat_map(|peer| {
            let id = Protocol::P2p(peer.peer_id);
            peer.addresses
                .iter()
                .map(move |address| address.clone().with(id.clone()))
        })
    }
}

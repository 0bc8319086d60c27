//! The configuration as the node uses it: every field has a type that cannot be wrong.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use city_protocol::amount::Timestamp;
use city_protocol::crypto::NotAfter;
use city_protocol::place::PlacePolicy;
use city_protocol::region::Region;
use city_protocol::replica::Clearing;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::keys::{BackendKind, TpmSettings};
use crate::net::MAX_WHITELIST;
use crate::pki::OperatorName;

/// Most whitelisted peers in the file: what the network takes.
pub const MAX_PEERS: usize = MAX_WHITELIST;

/// The node's configuration. Relative paths are relative to the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[node]`.
    pub node: Node,
    /// `[network]`.
    pub network: Network,
    /// `[api]`.
    pub api: Api,
    /// `[gnss]`.
    pub gnss: Gnss,
    /// `[place]`.
    pub place: Place,
    /// `[clearing]`.
    pub clearing: Clearing,
    /// `[crypto.not_after]`.
    pub not_after: NotAfter,
    /// `[keys]`.
    pub keys: Keys,
    /// `[clock]`.
    pub clock: Clock,
    /// `[store]`.
    pub store: Store,
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
    /// Where to listen, each `/ip4|ip6/…/tcp/…`.
    pub listen: Vec<Multiaddr>,
    /// Whether to look for peers on the local network.
    pub mdns: bool,
    /// The whitelist.
    pub peers: Vec<Peer>,
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

/// The receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gnss {
    /// Its serial device; `None`: no receiver.
    pub device: Option<PathBuf>,
    /// Bits per second.
    pub baud: u32,
    /// It plays a recording or is simulated; only where the genesis record is not `live`.
    pub recorded: bool,
}

/// How a place is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The boundary index.
    pub boundary: PathBuf,
    /// What the municipality asks of evidence; its `check()` has passed.
    pub policy: PlacePolicy,
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
                mdns: false,
                peers: Vec::new(),
            },
            api: Api {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
                operator_listen: None,
                operators: BTreeSet::new(),
                tls12: false,
            },
            gnss: Gnss {
                device: None,
                baud: 9600,
                recorded: false,
            },
            place: Place {
                boundary: "boundary.cbor".into(),
                policy: PlacePolicy::default(),
            },
            clearing: Clearing::default(),
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
            log: Log {
                level: LogLevel("info".into()),
            },
        }
    }

    /// The whitelist as the network takes it: peer ids with their expiry in milliseconds.
    pub fn whitelist(&self) -> impl Iterator<Item = (PeerId, Option<u64>)> + '_ {
        self.network
            .peers
            .iter()
            .map(|peer| (peer.peer_id, peer.expires_at.map(|at| at.0)))
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

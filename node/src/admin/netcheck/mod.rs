//! `GET /v1/netcheck`: the network as it is at this moment, with a TCP connection, or a question over QUIC, to every address that is known. Owns the
//! trying out; what it means is judged in `judge`, and shown to people in `show`.

mod judge;
mod page;
mod quic;
pub mod show;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use city_protocol::amount::Timestamp;
use city_protocol::region::Region;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use page::{AddressTried, Heads, Listen, Nat, NetCheckPage, PeerCheck};

use super::AdminState;
use crate::api::Problem;
use crate::api::wire::SCHEMA;
use crate::config::Network;
use crate::engine::libp2p_peer;
use crate::net::{Carrier, Known, NetStats, PeerStats};

/// A TCP connection or an answer that takes longer is not there: a round trip around the world with some losses.
const PATIENCE: Duration = Duration::from_secs(4);
/// Connections that are tried at once: 1,900 peers take a minute at worst.
const AT_ONCE: usize = 128;

/// A peer that is listed, by the configuration or by an operator.
struct Wanted {
    peer_id: PeerId,
    name: String,
    /// None where nobody named one.
    region: Option<Region>,
    /// Where it is to be called, without its peer id.
    addresses: Vec<Multiaddr>,
    expires_at: Option<Timestamp>,
    /// The peer id that followed it, where the configuration still names this one.
    followed_by: Option<String>,
}

/// Everybody on the whitelist: those of the configuration in its order, then those of operators by their ids.
fn wanted(admin: &AdminState) -> Vec<Wanted> {
    let configured = &admin.network.peers;
    let place = |peer: &PeerId| configured.iter().position(|one| one.peer_id == *peer);
    let mut wanted: Vec<Wanted> = admin.trust.fold(|fold| {
        let listed = fold.listed.iter();
        listed
            .filter_map(|(id, listed)| {
                let peer_id: PeerId = id.parse().ok()?;
                let named = listed.entries().flat_map(|entry| &entry.addresses);
                let addresses = named.filter_map(|address| address.parse().ok()).collect();
                let mut names = listed.entries().map(|entry| &entry.name);
                let name = names.find(|name| !name.is_empty());
                Some(Wanted {
                    peer_id,
                    name: name.cloned().unwrap_or_default(),
                    region: listed.region().cloned(),
                    addresses,
                    expires_at: listed.expires_at(),
                    followed_by: listed.rotated.as_ref().map(|rotated| rotated.to.clone()),
                })
            })
            .collect()
    });
    wanted.sort_by_key(|peer| place(&peer.peer_id).unwrap_or(usize::MAX));
    wanted
}

/// Looks at the network, and tries every address.
pub(super) async fn look(State(admin): State<AdminState>) -> Result<Json<NetCheckPage>, Problem> {
    let net = admin.net.clone().ok_or_else(Problem::not_found)?;
    let known = net.look().await;
    let stats = net.stats();
    let replica = admin.engine.status().await?;
    let accepted: HashSet<PeerId> = replica
        .peers
        .into_iter()
        .map(|(peer, _)| libp2p_peer(&peer))
        .collect();
    let only_read_at: HashSet<PeerId> = replica.read_only_at.iter().map(libp2p_peer).collect();
    let compared: HashMap<PeerId, Heads> = replica
        .compared
        .into_iter()
        .map(|(peer, at, equal)| (libp2p_peer(&peer), Heads { equal, at }))
        .collect();
    let wanted = wanted(&admin);
    let mut tried = try_all(&wanted, &known, admin.network.quic).await;
    let now = admin.clock.now().time;
    let peers = wanted.iter().map(|listed| {
        let peer = listed.peer_id;
        let facts = judge::Facts {
            listed,
            now,
            whitelisted: net.whitelist().contains(&peer, now.0),
            link: stats.peers.iter().find(|link| link.peer == peer),
            accepted: accepted.contains(&peer),
            only_read_at: only_read_at.contains(&peer),
            known: known.get(&peer),
            tried: tried.remove(&peer).unwrap_or_default(),
            heads: compared.get(&peer).copied(),
            me: &admin.peer_id,
        };
        judge::peer(facts)
    });
    let peers: Vec<PeerCheck> = peers.collect();
    let listens = listens(&admin.network, &stats);
    let ok = listens.iter().all(|listen| listen.bound) && peers.iter().all(|peer| peer.ok);
    Ok(Json(NetCheckPage {
        schema: SCHEMA,
        ok,
        peer_id: admin.peer_id.to_string(),
        listens,
        nat: nat(&stats),
        strangers: stats.denied_strangers,
        peers,
    }))
}

/// Whether each configured address is bound: itself, or for a wildcard an address of its kind with its port.
fn listens(network: &Network, stats: &NetStats) -> Vec<Listen> {
    let bound = |wanted: &Multiaddr| {
        let (ip, port) = (ip(wanted), port(wanted));
        let fits = |have: &&Multiaddr| {
            let same_ip = match (ip, self::ip(have)) {
                (Some(wanted), Some(have)) if wanted.is_unspecified() => {
                    wanted.is_ipv4() == have.is_ipv4()
                }
                (wanted, have) => wanted == have,
            };
            let same = Carrier::of(wanted) == Carrier::of(have) && same_ip;
            same && (port == Some(0) || port == self::port(have))
        };
        stats
            .listening
            .iter()
            .filter(fits)
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let wanted = network.listen.iter();
    wanted
        .map(|address| {
            let bound_as = bound(address);
            Listen {
                address: address.to_string(),
                bound: !bound_as.is_empty(),
                bound_as,
            }
        })
        .collect()
}

/// What peers see of this node's address, where this node called them: of who was called a peer sees what it dialled from.
fn nat(stats: &NetStats) -> Nat {
    let mut seen: Vec<IpAddr> = stats
        .peers
        .iter()
        .filter(|link| link.dialer)
        .filter_map(|link| ip(link.observed.as_ref()?))
        .collect();
    seen.sort_unstable();
    seen.dedup();
    let own: Vec<IpAddr> = stats.listening.iter().filter_map(ip).collect();
    judge::nat(&seen, &own)
}

fn ip(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    })
}

fn port(address: &Multiaddr) -> Option<u16> {
    address.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    })
}

/// The host of an address that the system's resolver or the socket itself takes; none for `/dnsaddr`, which is a list.
fn host(address: &Multiaddr) -> Option<String> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(ip.to_string()),
        Protocol::Ip6(ip) => Some(ip.to_string()),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => Some(name.to_string()),
        _ => None,
    })
}

/// Tries every address of every peer, the configured ones and those that were found.
async fn try_all(
    wanted: &[Wanted],
    known: &HashMap<PeerId, Known>,
    quic: bool,
) -> HashMap<PeerId, Vec<AddressTried>> {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut tries = JoinSet::new();
    for listed in wanted {
        let mut addresses = listed.addresses.clone();
        if let Some(known) = known.get(&listed.peer_id) {
            let found = known.addresses.iter();
            let new: Vec<_> = found
                .filter(|found| !addresses.contains(found))
                .cloned()
                .collect();
            addresses.extend(new);
        }
        for (number, address) in addresses.into_iter().enumerate() {
            let (peer, room) = (listed.peer_id, Arc::clone(&room));
            tries.spawn(async move {
                let _place = room.acquire_owned().await;
                (peer, number, try_one(&address, quic).await)
            });
        }
    }
    let mut tried: HashMap<PeerId, BTreeMap<usize, AddressTried>> = HashMap::new();
    while let Some(done) = tries.join_next().await {
        // A task that panicked has tried nothing.
        if let Ok((peer, number, one)) = done {
            tried.entry(peer).or_default().insert(number, one);
        }
    }
    tried
        .into_iter()
        .map(|(peer, tried)| (peer, tried.into_values().collect()))
        .collect()
}

/// Opens a TCP connection and closes it, or asks over QUIC; that is not tried where this node does not speak it.
async fn try_one(address: &Multiaddr, quic: bool) -> AddressTried {
    let begun = Instant::now();
    let carrier = Carrier::of(address);
    let outcome = match (host(address), port(address), carrier) {
        (_, _, Carrier::Quic) if !quic => Err("not tried: QUIC is off here (network.quic)".into()),
        (Some(host), Some(port), _) => {
            let at = (host.as_str(), port);
            let trying = async {
                match carrier {
                    Carrier::Tcp => TcpStream::connect(at).await.map(drop),
                    Carrier::Quic => quic::ask(at).await,
                }
            };
            match timeout(PATIENCE, trying).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("no answer in {} s", PATIENCE.as_secs())),
            }
        }
        _ => Err("not tried: what stands in the DNS is looked up when the peer is called".into()),
    };
    AddressTried {
        address: address.to_string(),
        tcp: carrier == Carrier::Tcp && outcome.is_ok(),
        quic: (carrier == Carrier::Quic).then_some(outcome.is_ok()),
        took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        error: outcome.err(),
    }
}

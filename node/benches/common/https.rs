//! The real HTTPS API of a town, and clients with connections that are kept.

use std::net::Ipv4Addr;
use std::slice;
use std::sync::Arc;
use std::time::Instant;

use city_node::access::AccessLog;
use city_node::api::token::Tokens;
use city_node::api::{self, ApiState, Gate, Limits};
use city_node::client::ApiClient;
use city_node::engine::{SystemClock, utc};
use city_node::pki::{Clients, DoorKeeper, DoorTerms, ShownCertificate, TrustStore};
use city_node::place::antenna::{Antenna, AntennaConfig};
use city_node::place::outlines::demo_boundary;
use city_protocol::amount::Timestamp;
use city_protocol::body::Transfer;
use city_protocol::ids::BlockId;
use city_protocol::pki::Crls;
use city_protocol::stage::Signed;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::limits::per_s;
use super::town::Town;
use super::work::Encoded;

/// Connections at once: as many as the API takes from one address.
pub const CLIENTS: usize = 64;
/// The rate limit is not what is measured.
const NO_LIMIT: Limits = Limits {
    source_per_s: 1_000_000,
    source_burst: 1_000_000,
    total_per_s: 1_000_000,
    total_burst: 1_000_000,
    logins_per_s: 1_000_000,
    logins_burst: 1_000_000,
};

/// Serves the town's API on loopback; gives its address. It ends with the runtime.
pub async fn serve(town: &Town) -> String {
    let identity = town.site.identity();
    let antenna = Antenna::new(AntennaConfig {
        receiver: None,
        recorded: false,
        survey: None,
        latch: None,
        purpose_allows_recorded: true,
        boundary: Some(demo_boundary()),
        home: identity.authority.region().clone(),
        policy: town.site.config.place.policy.clone(),
    });
    let clock = SystemClock::new(true, Timestamp(0));
    let roots = identity.genesis.roots.clone().into();
    let trust = TrustStore::new(slice::from_ref(&identity.tls_root), roots, Crls::none());
    let trust = trust.expect("a root");
    let terms = DoorTerms {
        roots: Arc::clone(&trust.roots),
        clock,
        tls12: false,
        others: Vec::new(),
    };
    let keeper = DoorKeeper::fixed(identity.tls.clone(), trust, &terms).expect("a certificate");
    let region = identity.authority.region().clone();
    let clients = Clients::open(town.site.data.clients(), keeper.clone(), region);
    let clients = clients.expect("a directory");
    // Everybody was here before: what is measured is a home's day, not its first morning.
    for sender in &town.people.senders {
        let shown = ShownCertificate {
            leaf: sender.certificate.clone(),
            chain: Vec::new(),
        };
        let key = sender.key.public();
        let admitted = clients.admit(&sender.account, key, Some(&shown), None, utc());
        admitted.expect("a good certificate");
    }
    let (home, network) = (identity.authority.log, identity.network);
    let (key, revoked) = (town.site.data.token_key(), town.site.data.revoked_tokens());
    let root = BlockId::of(&identity.genesis.to_block());
    let gate = Gate {
        clients,
        tokens: Tokens::open(&identity.keystore, &key, &revoked, &home, &network, utc())
            .expect("a key"),
        access: AccessLog::open(&town.site.data.access(), root, 0).expect("a log"),
    };
    let state = ApiState::new(town.handle().clone(), antenna, clock, gate).with_limits(NO_LIMIT);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    let forever = CancellationToken::new();
    tokio::spawn(api::serve(listener, keeper, state, forever));
    format!("https://{address}")
}

/// Accepted transfers a second over HTTPS: every client its share of the senders, one request after the other
/// on a connection of its own that is open already. Clients and server share the cores.
pub async fn accept(town: &Town, address: &str, work: Vec<Vec<Encoded>>) -> f64 {
    let root = town.site.identity().tls_root;
    let mut shares: Vec<Vec<Signed<Transfer>>> = vec![Vec::new(); CLIENTS];
    let read = |(_, bytes, signature): Encoded| Signed::read(&bytes, signature);
    for (n, mine) in work.into_iter().enumerate() {
        let signed = mine.into_iter().map(|encoded| read(encoded).expect("one"));
        shares[n % CLIENTS].extend(signed);
    }
    let count = shares.iter().map(Vec::len).sum();
    let mut ready = Vec::new();
    for share in shares {
        let client = ApiClient::new(address, slice::from_ref(&root)).expect("a client");
        client.node().await.expect("an answer");
        ready.push((client, share));
    }
    let begun = Instant::now();
    let tasks: Vec<_> = ready
        .into_iter()
        .map(|(client, share)| {
            tokio::spawn(async move {
                for signed in share {
                    client.transfer(&signed).await.expect("accepted");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("accepted");
    }
    per_s(count, begun.elapsed())
}

//! The data directory of a terminal: its own keys, certified as a terminal of its home's municipality, and its home's
//! charter in the place of one of its own. It begins no log.

use std::path::PathBuf;

use city_protocol::amount::Timestamp;
use city_protocol::crypto::Suite;
use city_protocol::ids::{LogId, NetworkId};
use city_protocol::json::MAX_CHARTER_BODY;
use city_protocol::pki::Role;
use city_protocol::region::Region;
use city_protocol::vertex;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::directory::{DataDir, Staged, make_private};
use super::error::InitError;
use super::identity::load_identity_from;
use super::init::{
    Boundary, admitted, boundary, copy_lists, make_node, make_tls, protect, to_pem, write_config,
};
use super::network::join;
use crate::config::{Config, Overrides, Peer};
use crate::keys::Passphrase;
use crate::keys::file::{read_public_up_to, write_public};
use crate::place::import::ImportReport;

/// What a data directory is to become.
#[derive(Debug)]
pub struct TerminalRequest {
    /// Where it will stand; not there yet, or empty.
    pub data: DataDir,
    /// The configuration that is written: the municipality, and where its home's API is. The home is put among its peers.
    pub config: Config,
    /// Where the home's peers reach it, at least one address; its peer id stands behind, or else the charter's counts.
    pub home_addresses: Vec<Multiaddr>,
    /// The CA of the home's network, with `genesis.cbor` beside it.
    pub ca: PathBuf,
    /// The passphrase of its keys, if they are sealed.
    pub passphrase: Option<Passphrase>,
    /// The home's `charter.json`.
    pub charter: PathBuf,
    /// Suite of the terminal's own keys; the network must admit it.
    pub suite: Suite,
    /// Where the boundaries come from.
    pub boundary: Boundary,
    /// Names of the API beside localhost, for its TLS certificate.
    pub api_names: Vec<String>,
    /// The time.
    pub now: Timestamp,
}

/// What was made.
#[derive(Debug)]
pub struct TerminalReport {
    /// The data directory.
    pub data: DataDir,
    /// The network.
    pub network: NetworkId,
    /// The municipality.
    pub region: Region,
    /// Suite of the terminal's keys.
    pub suite: Suite,
    /// The home's log.
    pub log: LogId,
    /// The terminal's libp2p peer id.
    pub peer_id: PeerId,
    /// What importing the boundaries kept and skipped, if they were imported.
    pub boundary: Option<ImportReport>,
    /// Directories beside it that an init left which was killed.
    pub leftovers: Vec<PathBuf>,
}

/// Makes a terminal's data directory.
///
/// # Errors
/// An [`InitError`]; nothing is left of what was begun.
pub fn init_terminal(request: TerminalRequest) -> Result<TerminalReport, InitError> {
    let TerminalRequest {
        data,
        mut config,
        suite,
        now,
        ..
    } = request;
    let region = config.node.region.clone();
    let network = join(&request.ca, request.passphrase.as_ref())?;
    let (genesis, authority) = (&network.genesis, &network.authority);
    let body = read_public_up_to(&request.charter, MAX_CHARTER_BODY as u64)?;
    let home = vertex::Authority::from_charter(genesis, &body).map_err(|refusal| {
        InitError::HomeCharter {
            path: request.charter.clone(),
            refusal,
        }
    })?;
    if *home.region() != region {
        return Err(InitError::OtherHome {
            region: region.to_string(),
            home: home.region().to_string(),
            path: request.charter,
        });
    }
    admitted(genesis, suite, &[])?;
    let (boundary, report) = boundary(request.boundary, genesis.purpose, &region)?;
    let name = boundary.municipality(region.municipality());
    config.network.peers.push(Peer {
        peer_id: peer_id(&request.home_addresses, &home),
        name: name.map_or_else(|| region.to_string(), |city| city.name.clone()),
        region: region.clone(),
        addresses: request.home_addresses,
        expires_at: None,
        roles: crate::trust::Role::sync_only(),
    });
    // Before anything is made: what is written must be read again.
    let config = Config::from_text(&data.config(), &config.to_toml(), &Overrides::none())?;

    let staged = Staged::begin(data.path())?;
    let leftovers = staged.leftovers().to_vec();
    let draft = DataDir::new(staged.path());
    for part in ["network", "keys", "certs"] {
        make_private(&draft.path().join(part))?;
    }
    write_public(&draft.genesis(), &genesis.to_block())?;
    let tls_root = to_pem(&[authority.tls_root().to_vec()]);
    write_public(&draft.tls_root(), tls_root.as_bytes())?;
    copy_lists(authority, &draft)?;
    write_public(&draft.boundary(), &boundary.encode())?;
    let peer_id = make_node(&draft, authority, (Role::Terminal, suite), &region, now)?;
    make_tls(&draft, authority, &request.api_names, now)?;
    write_public(&draft.charter(), &body)?;
    write_config(&draft, &config)?;

    let keystore = protect(&draft, &config)?;
    // What was written is read as the daemon will read it.
    let config = Config::load_with(&draft.config(), &Overrides::none())?;
    let identity = load_identity_from(&draft, keystore)?;
    identity.admits(&config, &draft.config(), &draft)?;
    staged.name()?.keep();
    Ok(TerminalReport {
        data,
        network: genesis.network(),
        region,
        suite,
        log: home.log,
        peer_id,
        boundary: report,
        leftovers,
    })
}

/// The home's peer id: the one behind its addresses, or the one in its charter.
fn peer_id(addresses: &[Multiaddr], home: &vertex::Authority) -> PeerId {
    let behind = |address: &Multiaddr| {
        address.iter().find_map(|part| match part {
            Protocol::P2p(id) => Some(id),
            _ => None,
        })
    };
    addresses.iter().find_map(behind).unwrap_or_else(|| {
        let named = home.peer_id().parse();
        named.expect("a charter's certificate names a peer id")
    })
}

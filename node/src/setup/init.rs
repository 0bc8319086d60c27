//! The order of birth: PQ and classical root → genesis → node keys → node certificate → charter → log id.
//!
//! Everything is made in a directory aside, read back as the daemon would, and only then named.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use city_protocol::amount::Timestamp;
use city_protocol::body::{BODY_VERSION, Charter, Kind, Officer, Officers};
use city_protocol::crypto::{KemSecretKey, PublicKey, SecretKey, Suite};
use city_protocol::genesis::{Genesis, Purpose};
use city_protocol::ids::{LogId, NetworkId};
use city_protocol::json;
use city_protocol::pki::Role;
use city_protocol::place::BoundaryIndex;
use city_protocol::region::Region;
use city_protocol::vertex;
use libp2p::PeerId;
use libp2p::identity::Keypair;
use rustls::pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use x509_cert::der::pem::{LineEnding, encode_string};
use zeroize::Zeroizing;

use super::directory::{DataDir, Staged, make_private};
use super::error::InitError;
use super::host;
use super::identity::{load_identity_from, read_chain};
use super::network::{NetworkChoice, open_network};
use crate::config::{Config, Overrides};
use crate::keys::file::{write_public, write_secret};
use crate::keys::{self, Access, KeyFileError, Keystore, KeystoreError};
use crate::pki::{Authority, NodeRequest, TlsError, TlsIdentity, Validity};
use crate::place::import::{self, ImportOptions, ImportReport};
use crate::place::outlines::demo_boundary;

/// How long a root is valid, days: 20 years, longer than any node below it.
pub const ROOT_DAYS: u64 = 7_300;
/// How long a node certificate is valid, days: five years, a box's life.
pub const NODE_DAYS: u64 = 1_825;
/// How long a TLS server certificate is valid, days: the most that Apple's clients take from private roots.
pub const TLS_DAYS: u64 = 825;
/// How long a revocation list is in date, days; it is used 45 days more, with a warning.
pub const LIST_DAYS: u64 = 30;
/// Most officers: what a charter takes; the protocol judges it again.
pub(super) const MAX_OFFICERS: usize = 9;
/// How far certificates are dated back, milliseconds: an hour for the clocks of other nodes.
const BACKDATED_MS: u64 = 60 * 60 * 1000;

/// What a data directory is to become.
#[derive(Debug)]
pub struct InitRequest {
    /// Where it will stand; not there yet, or empty.
    pub data: DataDir,
    /// The configuration that is written; its region is the municipality.
    pub config: Config,
    /// Which network it belongs to.
    pub network: NetworkChoice,
    /// Suite of the node's own keys; the network must admit it.
    pub suite: Suite,
    /// The officers' public keys, at least one.
    pub officers: Vec<PublicKey>,
    /// How many of them must sign.
    pub officers_needed: u64,
    /// Logs that are asked to witness.
    pub witnesses: Vec<LogId>,
    /// Where the boundaries come from.
    pub boundary: Boundary,
    /// Names of the API beside localhost, for its TLS certificate.
    pub api_names: Vec<String>,
    /// The time.
    pub now: Timestamp,
}

/// Where boundaries come from.
#[derive(Debug)]
pub enum Boundary {
    /// GeoJSON files or directories of them.
    Import(Vec<PathBuf>),
    /// An index that has been read already.
    Index(BoundaryIndex),
    /// The demo's outlines: never in a live network.
    CoarseDemo,
}

/// What was made.
#[derive(Debug)]
pub struct InitReport {
    /// The data directory.
    pub data: DataDir,
    /// The network.
    pub network: NetworkId,
    /// What it is for.
    pub purpose: Purpose,
    /// The municipality.
    pub region: Region,
    /// Suite of the node's keys.
    pub suite: Suite,
    /// The municipality's log.
    pub log: LogId,
    /// The node's libp2p peer id.
    pub peer_id: PeerId,
    /// The CA's directory.
    pub ca: PathBuf,
    /// What importing the boundaries kept and skipped, if they were imported.
    pub boundary: Option<ImportReport>,
    /// Directories beside it that an init left which was killed.
    pub leftovers: Vec<PathBuf>,
}

/// The CA's lists of revoked certificates as they are now: the node judges by them from its first start on.
pub(super) fn copy_lists(authority: &Authority, draft: &DataDir) -> Result<(), InitError> {
    make_private(&draft.crls())?;
    for (name, list) in authority.lists()? {
        write_public(&draft.crls().join(name), &list)?;
    }
    Ok(())
}

/// Makes a data directory. Its secrets are kept as the configuration says; in files they stand in the clear, for this
/// user alone.
///
/// # Errors
/// An [`InitError`]; nothing is left of what was begun.
pub fn init(request: InitRequest) -> Result<InitReport, InitError> {
    let InitRequest {
        data,
        config,
        suite,
        now,
        ..
    } = request;
    let officers = to_officers(&request.officers, request.officers_needed)?;
    let region = config.node.region.clone();
    let staged = Staged::begin(data.path())?;
    let leftovers = staged.leftovers().to_vec();
    let draft = DataDir::new(staged.path());
    for part in ["network", "keys", "certs"] {
        make_private(&draft.path().join(part))?;
    }

    let network = open_network(request.network, &data, &draft, &region, now)?;
    let (genesis, authority) = (&network.genesis, &network.authority);
    admitted(genesis, suite, &request.officers)?;
    write_public(&draft.genesis(), &genesis.to_block())?;
    let tls_root = to_pem(&[authority.tls_root().to_vec()]);
    write_public(&draft.tls_root(), tls_root.as_bytes())?;

    copy_lists(authority, &draft)?;

    let (boundary, report) = boundary(request.boundary, genesis.purpose, &region)?;
    write_public(&draft.boundary(), &boundary.encode())?;

    let peer_id = make_node(&draft, authority, (Role::Home, suite), &region, now)?;
    make_tls(&draft, authority, &request.api_names, now)?;

    let mut chain = read_node_chain(&draft)?;
    let issuers = chain.split_off(1);
    let node_certificate = chain.remove(0);
    let charter = json::canonical(&Charter {
        version: BODY_VERSION,
        kind: Kind::Charter,
        network: genesis.network(),
        region: region.clone(),
        created_at: now,
        suite,
        node_certificate,
        chain: issuers,
        officers,
        witnesses: request.witnesses,
    });
    let founded = vertex::Authority::from_charter(genesis, &charter)
        .map_err(|refusal| InitError::Charter { refusal })?;
    write_public(&draft.charter(), &charter)?;
    write_config(&draft, &config)?;
    // Only where this stands may a node without a ledger begin its log.
    write_public(
        &draft.never_begun(),
        b"The log of this node has never begun. The node removes this file; never restore it.\n",
    )?;

    let keystore = protect(&draft, &config)?;
    // What was written is read as the daemon will read it.
    Config::load_with(&draft.config(), &Overrides::none())?;
    load_identity_from(&draft, keystore)?;
    let ca = network.staged.map(Staged::name).transpose()?;
    let named = staged.name()?;
    if let Some(path) = &network.record {
        write_public(path, &network.genesis.to_block())?;
    }
    named.keep();
    if let Some(ca) = ca {
        ca.keep();
    }
    Ok(InitReport {
        data,
        network: network.genesis.network(),
        purpose: network.genesis.purpose,
        region,
        suite,
        log: founded.log,
        peer_id,
        ca: network.ca,
        boundary: report,
        leftovers,
    })
}

/// Gives the draft its first master secret and its key ring, and wraps its keys.
pub(super) fn protect(draft: &DataDir, config: &Config) -> Result<Keystore, InitError> {
    let (kind, tpm) = (config.keys.backend, &config.keys.tpm);
    let keystore = Keystore::open(&draft.keys(), &mut Access::unattended())?;
    let backend = keys::backend(kind, None, tpm).map_err(KeystoreError::from)?;
    keys::exchange(&keystore, Some(backend), &draft.secret_files()?)?;
    Ok(keystore)
}

/// Writes the configuration in place of the one that is there, as a commented file.
///
/// # Errors
/// A [`KeyFileError`] that names the file.
pub fn write_config(data: &DataDir, config: &Config) -> Result<(), KeyFileError> {
    write_public(&data.config(), config.to_toml().as_bytes())
}

fn to_officers(keys: &[PublicKey], needed: u64) -> Result<Officers, InitError> {
    let different: BTreeSet<_> = keys.iter().map(PublicKey::id).collect();
    let given = different.len();
    let sound = given == keys.len()
        && (1..=MAX_OFFICERS).contains(&given)
        && (1..=given as u64).contains(&needed);
    if !sound {
        return Err(InitError::Officers { given, needed });
    }
    let officer = |key: &PublicKey| Officer {
        alg: key.algorithm(),
        key: key.as_bytes().to_vec(),
    };
    Ok(Officers {
        k: needed,
        keys: keys.iter().map(officer).collect(),
    })
}

/// Says it of the arguments before anything is made; the charter is judged by the same rule.
pub(super) fn admitted(
    genesis: &Genesis,
    suite: Suite,
    officers: &[PublicKey],
) -> Result<(), InitError> {
    let node = std::iter::once(("--suite", suite));
    let officers = officers
        .iter()
        .map(|key| ("--officer", key.algorithm().suite()));
    for (whose, suite) in node.chain(officers) {
        if genesis.admits(suite).is_err() {
            let known = genesis.suites.iter().map(|suite| suite.id());
            return Err(InitError::Suite {
                whose,
                suite,
                known: known.collect::<Vec<_>>().join(", "),
            });
        }
    }
    Ok(())
}

pub(super) fn boundary(
    source: Boundary,
    purpose: Purpose,
    region: &Region,
) -> Result<(BoundaryIndex, Option<ImportReport>), InitError> {
    let (index, report) = match source {
        Boundary::CoarseDemo if purpose == Purpose::Live => return Err(InitError::CoarseForLive),
        Boundary::CoarseDemo => (demo_boundary(), None),
        Boundary::Index(index) => (index, None),
        Boundary::Import(paths) => {
            let import = import::import(&paths, &ImportOptions::default())?;
            (import.index, Some(import.report))
        }
    };
    match index.municipality(region.municipality()) {
        Some(_) => Ok((index, report)),
        None => Err(InitError::NotInBoundaries {
            code: region.municipality().into(),
        }),
    }
}

/// Makes the node's keys and its certificate.
pub(super) fn make_node(
    draft: &DataDir,
    authority: &Authority,
    (role, suite): (Role, Suite),
    region: &Region,
    now: Timestamp,
) -> Result<PeerId, InitError> {
    let ledger = SecretKey::generate(suite.signing());
    let kem = KemSecretKey::generate(suite.kem());
    let transport = Keypair::generate_ed25519();
    let peer_id = transport.public().to_peer_id();
    keys::save_signing(&draft.ledger_key(), &ledger)?;
    keys::save_kem(&draft.kem_key(), &kem)?;
    keys::save_transport(&draft.transport_key(), &transport)?;
    let request = NodeRequest {
        region,
        role,
        key: ledger.public(),
        peer_id: &peer_id.to_string(),
        kem: Some(kem.public()),
    };
    let certificate = authority.issue_node(&request, validity(now, NODE_DAYS))?;
    let chain = [&[certificate], authority.chain()].concat();
    write_public(&draft.node_certificate(), to_pem(&chain).as_bytes())?;
    Ok(peer_id)
}

/// Makes the TLS server certificate: for this machine, and for the names that were asked for.
pub(super) fn make_tls(
    draft: &DataDir,
    authority: &Authority,
    api_names: &[String],
    now: Timestamp,
) -> Result<(), InitError> {
    let mut names = BTreeSet::from(["localhost".to_owned()]);
    names.extend(host::name());
    let mut addresses = BTreeSet::from([
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ]);
    for name in api_names {
        match name.parse() {
            Ok(address) => drop(addresses.insert(address)),
            Err(_) => drop(names.insert(name.clone())),
        }
    }
    let names: Vec<String> = names.into_iter().collect();
    let addresses: Vec<IpAddr> = addresses.into_iter().collect();
    let identity = authority.issue_tls_server(&names, &addresses, validity(now, TLS_DAYS))?;
    let TlsIdentity { chain, key } = identity;
    let chain: Vec<Vec<u8>> = chain
        .iter()
        .map(|certificate| certificate.to_vec())
        .collect();
    write_public(&draft.tls_certificate(), to_pem(&chain).as_bytes())?;
    let pem = encode_string("PRIVATE KEY", LineEnding::LF, key.secret_der())
        .map(Zeroizing::new)
        .map_err(|_| TlsError::Validity)?;
    write_secret(&draft.tls_key(), pem.as_bytes())?;
    Ok(())
}

/// The node certificate and its issuers, as the charter holds them: base64 of DER, a type that only its
/// serde makes.
fn read_node_chain<D: DeserializeOwned>(draft: &DataDir) -> Result<Vec<D>, InitError> {
    let chain = read_chain(&draft.node_certificate())?;
    let held = |der: &CertificateDer<'_>| {
        let text = STANDARD.encode(der);
        serde_json::from_value(text.into()).expect("base64 of DER is what a charter holds")
    };
    Ok(chain.iter().map(held).collect())
}

/// From an hour ago, for the clocks of other nodes, to this many days from now.
pub(crate) fn validity(now: Timestamp, days: u64) -> Validity {
    let whole = Validity::days(now, days);
    Validity {
        not_before: now.minus_ms(BACKDATED_MS),
        ..whole
    }
}

pub(super) fn to_pem(ders: &[Vec<u8>]) -> String {
    let pem = |der: &Vec<u8>| {
        encode_string("CERTIFICATE", LineEnding::LF, der).expect("DER in memory has a PEM form")
    };
    ders.iter().map(pem).collect()
}

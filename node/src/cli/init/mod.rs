//! `init`: from arguments to a data directory; `terminal` that of a kiosk.

mod terminal;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use city_protocol::amount::Timestamp;
use city_protocol::crypto::Suite;
use city_protocol::genesis::Purpose;
use city_protocol::ids::LogId;
use city_protocol::region::{Region, RegionPrefix};
use clap::{Args, ValueEnum};
use libp2p::Multiaddr;
use serde_json::json;

use super::ca::{CA_PASSPHRASE, RoleArg, unlock};
use super::exit::{Exit, Failure, Outcome};
use super::output;
use super::passphrase::PassphraseArgs;
use super::suite::suites;
use crate::client::Address;
use crate::config::{Config, Overrides};
use crate::keys::{self, BackendKind};
use crate::place::import::ImportReport;
use crate::setup::{
    Boundary, CaDir, CaProtection, DataDir, InitReport, InitRequest, NetworkChoice, host, init,
    package,
};

/// Arguments of `init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  A new network for a trial, whose CA stands in data/ca:
    city-node init --data-dir data --region Asia/JP/17/17201 --new-network trial --purpose test \\
        --officer a.pub --officer b.pub --officer c.pub --officers-needed 2 --boundaries N03-21_17_210101.geojson
  A second municipality of the same network on this machine:
    city-node init --data-dir komatsu --region Asia/JP/17/17203 --network data/ca \\
        --officer k.pub --officers-needed 1 --boundaries N03-21_17_210101.geojson
  A kiosk of 金沢市, which stands in the town hall and forwards to the home there (docs/terminal.md):
    city-node init --role terminal --data-dir kiosk --region Asia/JP/17/17201 --network data/ca \\
        --home https://node.kanazawa.example:8443 --home-charter data/charter.json \\
        --home-peer /dns/node.kanazawa.example/tcp/7420 --boundaries N03-21_17_210101.geojson
  The node of the installed package, with the same flags and without --data-dir:
    sudo -u city-node city-node init --region Asia/JP/17/17201 …

Officers make their keys themselves (city-node key generate officer.key) and hand over the .pub file.
A failed init leaves nothing behind; an existing directory is never written to.")]
pub struct InitArgs {
    /// The data directory to make; it must not exist yet, or be empty.
    #[arg(long, value_name = "DIR", env = "CITY_NODE_DATA_DIR", default_value = package::DATA_DIR)]
    data_dir: PathBuf,
    /// The municipality: Continent/Country/Prefecture/Municipality in codes.
    #[arg(long, value_name = "REGION")]
    region: Region,
    /// What the node is to the municipality: its home, or a terminal (a kiosk) of a home that is there [default: home].
    #[arg(long, value_enum, value_name = "ROLE")]
    role: Option<RoleArg>,
    /// The home's app port, for a terminal: https://HOST:PORT.
    #[arg(long, value_name = "URL", requires = "role")]
    home: Option<Address>,
    /// The home's charter.json, for a terminal.
    #[arg(long, value_name = "FILE", requires = "role")]
    home_charter: Option<PathBuf>,
    /// Where the home's log comes from, for a terminal: /dns/HOST/tcp/PORT, with /p2p/PEER behind if the home has another
    /// peer id now than its charter names; may be repeated.
    #[arg(long = "home-peer", value_name = "MULTIADDR", requires = "role")]
    home_peers: Vec<Multiaddr>,
    #[command(flatten)]
    network: NetworkArgs,
    /// What a new root may speak for [default: the region's prefecture].
    #[arg(long, value_name = "PREFIX", requires = "new_network")]
    prefix: Option<RegionPrefix>,
    /// Where the new network's CA is to stand [default: ca/ in the data directory]; a CA that stands there already, made by
    /// `ca init`, is the one that the network rests on.
    #[arg(long, value_name = "DIR", requires = "new_network")]
    ca: Option<PathBuf>,
    /// Leave the new CA's keys unencrypted: for trials on a machine that is yours alone.
    #[arg(long, requires = "new_network", conflicts_with = "ca_passphrase_file")]
    ca_unencrypted: bool,
    /// What opens the CA's keys, or is to seal a new CA's: a file (mode 0600) with the passphrase.
    #[arg(long, value_name = "FILE")]
    ca_passphrase_file: Option<PathBuf>,
    /// What the new network is for; only demo and test take simulated and recorded receivers.
    #[arg(long, value_enum, requires = "new_network")]
    purpose: Option<PurposeArg>,
    /// Which algorithms the node's own keys have: dilithium5-ntru or fips (ML-DSA-87, ML-KEM-1024).
    #[arg(long, value_parser = suites(), default_value = Suite::Dilithium5Ntru.id())]
    suite: Suite,
    /// Which algorithm the new network's post-quantum root signs with [default: as --suite].
    #[arg(long, value_parser = suites(), requires = "new_network")]
    ca_suite: Option<Suite>,
    /// A suite that the new network admits, for nodes, officers and people; may be repeated [default: both].
    #[arg(long = "admit-suite", value_name = "SUITE", value_parser = suites(), requires = "new_network")]
    admit_suites: Vec<Suite>,
    /// An officer's public key (.pub file); repeat for each officer, at most 9. A terminal has none.
    #[arg(
        long = "officer",
        value_name = "FILE",
        required_unless_present = "role"
    )]
    officers: Vec<PathBuf>,
    /// How many of the officers must sign a grant.
    #[arg(long, value_name = "K", required_unless_present = "role")]
    officers_needed: Option<u64>,
    /// A log id that is asked to witness this municipality's log; repeat for each, at most 7.
    #[arg(long = "witness", value_name = "LOG")]
    witnesses: Vec<LogId>,
    #[command(flatten)]
    boundary: BoundaryArgs,
    /// A further host name or address of the API, for its TLS certificate; may be repeated.
    #[arg(long = "api-name", value_name = "NAME")]
    api_names: Vec<String>,
    /// Where the API listens [default: 127.0.0.1:8443].
    #[arg(long, value_name = "ADDRESS:PORT")]
    api_listen: Option<SocketAddr>,
    /// Where other nodes reach this one [default: /ip4/0.0.0.0/tcp/7420]; may be repeated.
    #[arg(long = "listen", value_name = "MULTIADDR")]
    listen: Vec<Multiaddr>,
    /// The GNSS receiver's serial device.
    #[arg(long, value_name = "DEVICE")]
    device: Option<PathBuf>,
    /// Where the node's master secret is kept: file (protect it later with `key seal --with-passphrase`), credential
    /// or tpm [default: file].
    #[arg(long, value_name = "BACKEND")]
    key_backend: Option<BackendKind>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// New network or existing one.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct NetworkArgs {
    /// Found a new network of this name.
    #[arg(long, value_name = "NAME", requires = "purpose")]
    new_network: Option<String>,
    /// Join the network of the CA in this directory, with its genesis.cbor beside it.
    #[arg(long, value_name = "CA_DIR")]
    network: Option<PathBuf>,
}

/// Where boundaries come from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct BoundaryArgs {
    /// Municipal boundaries: a GeoJSON file or a directory of them; may be repeated.
    #[arg(long, value_name = "PATH")]
    boundaries: Vec<PathBuf>,
    /// Hand-drawn outlines of three cities of 石川県: for trying things out, not official.
    #[arg(long)]
    coarse_demo_boundaries: bool,
}

impl BoundaryArgs {
    fn source(self) -> Boundary {
        if self.coarse_demo_boundaries {
            Boundary::CoarseDemo
        } else {
            Boundary::Import(self.boundaries)
        }
    }
}

/// A network's purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PurposeArg {
    /// A demonstration.
    Demo,
    /// A test.
    Test,
    /// The real thing; the CA's passphrase is yours then (--ca-passphrase-file), or its systemd credential.
    Live,
}

impl From<PurposeArg> for Purpose {
    fn from(purpose: PurposeArg) -> Self {
        match purpose {
            PurposeArg::Demo => Self::Demo,
            PurposeArg::Test => Self::Test,
            PurposeArg::Live => Self::Live,
        }
    }
}

pub(super) fn run(args: InitArgs) -> Outcome {
    if args.role == Some(RoleArg::Terminal) {
        return terminal::run(args);
    }
    if args.home.is_some() || args.home_charter.is_some() || !args.home_peers.is_empty() {
        let why = anyhow::anyhow!("--home, --home-charter and --home-peer are for --role terminal");
        return Err(Failure::new(Exit::Usage, why));
    }
    let json = args.json;
    let request = request(args)?;
    let trust_system = request.config.clock.trust_system;
    let progress = output::spinner("making keys and certificates, reading boundaries");
    let report = init(request);
    progress.finish_and_clear();
    let report = report?;
    if json {
        output::object(json!({
            "data_dir": report.data.path(),
            "config": report.data.config(),
            "network": report.network,
            "purpose": report.purpose,
            "region": report.region,
            "suite": report.suite,
            "log": report.log,
            "peer_id": report.peer_id.to_string(),
            "ca": report.ca,
            "ca_passphrase": made_up(&report.data),
            "tls_root": report.data.tls_root(),
            "trust_system": trust_system,
            "boundary": report.boundary,
            "leftovers": report.leftovers,
        }))?;
    } else {
        output::text(&told(&report))?;
    }
    Ok(Exit::Ok)
}

/// The configuration that the arguments make.
fn configuration(args: &InitArgs) -> Config {
    let mut config = Config::for_region(args.region.clone());
    config.clock.trust_system = host::is_virtual();
    if let Some(listen) = args.api_listen {
        config.api.listen = listen;
    }
    if !args.listen.is_empty() {
        config.network.listen.clone_from(&args.listen);
    }
    config.gnss.device.clone_from(&args.device);
    config.keys.backend = args.key_backend.unwrap_or(BackendKind::File);
    config
}

fn request(args: InitArgs) -> anyhow::Result<InitRequest> {
    let config = configuration(&args);
    // Arguments go through the same checks as a file, so that what is written can be read.
    let data = DataDir::new(args.data_dir);
    let config = Config::from_text(&data.config(), &config.to_toml(), &Overrides::none())
        .context("the arguments would make a configuration with mistakes")?;

    let ca_passphrase = PassphraseArgs::from_file(args.ca_passphrase_file);
    let network = match (args.network.new_network, args.network.network) {
        (Some(name), _) if args.ca.as_deref().is_some_and(CaDir::stands_in) => {
            let ca = args.ca.context("a CA that is there has a directory")?;
            if args.ca_suite.is_some() || args.ca_unencrypted {
                anyhow::bail!(
                    "{}: this CA is there already; leave out --ca-suite and --ca-unencrypted",
                    ca.display()
                );
            }
            NetworkChoice::NewUnder {
                name,
                purpose: args
                    .purpose
                    .context("--purpose is needed with --new-network")?
                    .into(),
                prefix: args.prefix,
                passphrase: unlock(&ca, &ca_passphrase)
                    .context("the CA's keys are sealed; give --ca-passphrase-file FILE")?,
                ca,
                suites: admitted(args.admit_suites),
            }
        }
        (Some(name), _) => NetworkChoice::New {
            name,
            purpose: args
                .purpose
                .context("--purpose is needed with --new-network")?
                .into(),
            prefix: args.prefix,
            ca: args.ca,
            protection: match ca_passphrase.without_asking(CA_PASSPHRASE)? {
                _ if args.ca_unencrypted => CaProtection::Unencrypted,
                Some(passphrase) => CaProtection::Given(passphrase),
                // Nobody is asked here: what is made up stands in a file, and the answer says where.
                None => CaProtection::Generated,
            },
            ca_suite: args.ca_suite.unwrap_or(args.suite),
            suites: admitted(args.admit_suites),
        },
        (None, Some(ca)) => NetworkChoice::Join {
            passphrase: unlock(&ca, &ca_passphrase)
                .context("the CA's keys are sealed; give --ca-passphrase-file FILE")?,
            ca,
        },
        (None, None) => anyhow::bail!("give --new-network NAME or --network CA_DIR"),
    };
    let officers = args
        .officers
        .iter()
        .map(|file| keys::load_signing_public(file));
    Ok(InitRequest {
        data,
        config,
        network,
        suite: args.suite,
        officers: officers.collect::<Result<_, _>>()?,
        // None is refused with the number of officers.
        officers_needed: args.officers_needed.unwrap_or(0),
        witnesses: args.witnesses,
        boundary: args.boundary.source(),
        api_names: args.api_names,
        now: now()?,
    })
}

/// All suites if none is named.
fn admitted(suites: Vec<Suite>) -> Vec<Suite> {
    match suites {
        none if none.is_empty() => Suite::ALL.to_vec(),
        some => some,
    }
}

fn told(report: &InitReport) -> String {
    let InitReport {
        data,
        network,
        region,
        log,
        peer_id,
        ca,
        ..
    } = report;
    let directory = data.path().display();
    let boundaries = boundaries_told(report.boundary.as_ref());
    let leftovers = leftovers_told(&report.leftovers);
    let start = start_told(data);
    format!(
        "{directory} is ready.\n\
         region   {region}\n\
         network  {network}\n\
         log      {log}\n\
         peer id  {peer_id}\n\
         CA       {ca}  (its keys can make any node of this network: keep them away from others)\n\
         {passphrase}{boundaries}{leftovers}\n\
         Next:\n  \
         1. read and edit {config}\n  \
         2. city-node config check {config}\n  \
         3. {start}\n\
         Other nodes whitelist this one by its peer id; apps trust {tls_root}.\n",
        ca = ca.display(),
        passphrase = passphrase_told(data),
        config = data.config().display(),
        tls_root = data.tls_root().display(),
    )
}

/// What was left out of the boundaries.
fn boundaries_told(report: Option<&ImportReport>) -> String {
    let skipped = report.map_or(0, |report| {
        report.skipped.len()
            + report.more_skipped
            + report.build.problems.len()
            + report.build.more_problems
    });
    match skipped {
        0 => String::new(),
        some => format!(
            "boundaries: {some} features or parts were skipped; city-node place import names them\n"
        ),
    }
}

fn leftovers_told(leftovers: &[PathBuf]) -> String {
    let told = leftovers.iter().map(|path| {
        let path = path.display();
        format!("{path}: left by an init that was interrupted; it holds keys: remove it\n")
    });
    told.collect()
}

/// How the node is started.
fn start_told(data: &DataDir) -> String {
    if data.is_packaged() {
        "sudo systemctl start city-node".to_owned()
    } else {
        format!("city-node run --data-dir {}", data.path().display())
    }
}

/// Where the CA's passphrase stands, if it was made up.
fn passphrase_told(data: &DataDir) -> String {
    made_up(data).map_or_else(String::new, |path| {
        format!(
            "passphrase of the CA: {path}  (write it down, keep it away from the CA's keys, then remove the file)\n",
            path = path.display()
        )
    })
}

fn made_up(data: &DataDir) -> Option<PathBuf> {
    Some(data.ca_passphrase()).filter(|path| path.exists())
}

fn now() -> anyhow::Result<Timestamp> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("this machine's clock is before 1970; set it first")?;
    Ok(Timestamp(u64::try_from(since.as_millis())?))
}

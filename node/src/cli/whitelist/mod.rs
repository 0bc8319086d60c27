//! `whitelist`: which peers may connect; `file` the same as a file, for other operators and of them.

mod file;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use city_protocol::region::Region;
use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::{Exit, Failure, Outcome};
use super::output::{self, printable};
use super::trusted::{Common, Trusted, with};
use crate::config::rfc3339;
use crate::trust::keyfile::MAX_KEY_FILE;
use crate::trust::pages::{AddForm, EntryShown, KeyShown, ListedPage, PeerShown, PeerText, Source};
use crate::trust::{KeyKind, Role};

/// What can be done with the whitelist.
#[derive(Debug, Subcommand)]
pub enum WhitelistCommand {
    /// List a peer, or list it anew on other terms: recorded in the trust log before this answers.
    #[command(after_help = "\
Examples:
  city-node whitelist add 12D3KooW… -n 小松市 --region Asia/JP/17/17203 --address /dns/komatsu.example/tcp/7420
  city-node whitelist add 12D3KooW… -n 小松市 -k komatsu-node.pem -e 720

KEYFILE proves that the peer id is the one that was meant: the peer's libp2p public key (raw protobuf, Base64 or hex), or its
node certificate (PEM), which is judged by the network's roots and names the municipality. What config.toml lists
([[network.peer]]) stands beside this and is changed there.")]
    Add(Box<AddArgs>),
    /// Hold a key of a listed peer: its libp2p public key or its node certificate.
    AddKey {
        /// The peer's id.
        peer: PeerText,
        /// The key or certificate; - reads standard input.
        keyfile: PathBuf,
        /// Which node, and how it answers.
        #[command(flatten)]
        common: Common,
    },
    /// Take back what an operator listed; open connections end.
    Remove {
        /// The peer's id.
        peer: PeerText,
        /// Which node, and how it answers.
        #[command(flatten)]
        common: Common,
    },
    /// List every peer, with where its entry comes from.
    List {
        /// Which node, and how it answers.
        #[command(flatten)]
        common: Common,
    },
    /// Write the whitelist, signed by this node, into a file for operators of other nodes.
    #[command(after_help = "\
Examples:
  city-node whitelist export --signed list.cbor
  city-node whitelist export --signed list.cbor 12D3KooW…

On it are peer ids, names, municipalities and when each permission ends; no roles, addresses or keys. It is taken for a day. Names leave
the node with it, also those that are encrypted at rest.")]
    Export(file::ExportArgs),
    /// Show another node's list, and list here who is named of it.
    #[command(after_help = "\
Examples:
  city-node whitelist import list.cbor                  # shows it, adds nobody
  city-node whitelist import list.cbor 12D3KooW… -e 720
  city-node whitelist import list.cbor --all

The list must be signed by a peer on this node's whitelist, within the last day. Who is added gets the role sync only, no longer than the
list says, and no address: it calls, or `whitelist add` names one. Who is listed here already keeps its terms.")]
    Import(file::ImportArgs),
    /// Say whether a peer may connect now.
    #[command(after_help = "Exit codes: 0 it is listed and in force · 4 it is not.")]
    Check {
        /// The peer's id.
        peer: PeerText,
        /// Which node, and how it answers.
        #[command(flatten)]
        common: Common,
    },
}

/// Arguments of `whitelist add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The peer's id, as its `city-node init` or `city-node key show` printed it.
    peer: PeerText,
    /// Its name, for people.
    #[arg(short, long, value_name = "NAME")]
    name: Option<String>,
    /// For so many hours; without it, until it is removed.
    #[arg(short = 'e', long, value_name = "HOURS")]
    hours: Option<u64>,
    /// Its libp2p public key or node certificate; - reads standard input.
    #[arg(short, long, value_name = "KEYFILE")]
    key: Option<PathBuf>,
    /// Its municipality in codes: its node certificate must name the same. A certificate in KEYFILE names it, too.
    #[arg(long, value_name = "REGION")]
    region: Option<Region>,
    /// What it is listed for: sync; with recommend, what it recommends may be looked at, too.
    #[arg(
        long,
        value_name = "ROLES",
        value_delimiter = ',',
        default_value = "sync"
    )]
    roles: Vec<Role>,
    /// Where to call it, such as /dns/node.example/tcp/7420; may be given more than once. Without one it calls, or
    /// mDNS finds it.
    #[arg(long, value_name = "MULTIADDR")]
    address: Vec<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(command: WhitelistCommand) -> Outcome {
    super::logging::start("warn");
    match command {
        WhitelistCommand::Add(args) => add(*args),
        WhitelistCommand::AddKey {
            peer,
            keyfile,
            common,
        } => {
            let file = key_file(&keyfile)?;
            changed(&common, |trusted| trusted.add_key(&peer, &file))
        }
        WhitelistCommand::Remove { peer, common } => {
            changed(&common, |trusted| trusted.remove(&peer))
        }
        WhitelistCommand::Export(args) => file::export(args),
        WhitelistCommand::Import(args) => file::import(args),
        WhitelistCommand::List { common } => list(&common),
        WhitelistCommand::Check { peer, common } => check(&peer, &common),
    }
}

fn add(args: AddArgs) -> Outcome {
    let key = args.key.as_deref().map(key_file).transpose()?;
    let form = AddForm {
        name: args.name,
        hours: args.hours,
        region: args.region,
        roles: args.roles,
        addresses: args.address,
        key: key.map(|key| STANDARD.encode(key)),
    };
    changed(&args.common, |trusted| trusted.add(&args.peer, form))
}

/// Reads no more than a key file may have, and one byte.
fn key_file(path: &Path) -> Result<Vec<u8>, Failure> {
    use anyhow::Context as _;
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let most = MAX_KEY_FILE as u64 + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("{}: the key file cannot be read", path.display()))?;
    Ok(bytes)
}

fn changed(
    common: &Common,
    change: impl FnOnce(&Trusted) -> anyhow::Result<ListedPage>,
) -> Outcome {
    let page = with(common, change)?;
    if common.json {
        output::object(json!({ "peer": page.peer, "listed": page.listed }))?;
    } else {
        output::text(&match &page.listed {
            Some(listed) => told(listed),
            None => format!("{} is not on the whitelist any more\n", page.peer),
        })?;
    }
    Ok(Exit::Ok)
}

fn list(common: &Common) -> Outcome {
    let peers = with(common, Trusted::all)?;
    if common.json {
        output::object(json!({ "peers": peers }))?;
        return Ok(Exit::Ok);
    }
    let mut text: String = peers.iter().map(told).collect();
    if peers.is_empty() {
        text += "nobody is on the whitelist\n";
    }
    output::text(&text)?;
    Ok(Exit::Ok)
}

fn check(peer: &PeerText, common: &Common) -> Outcome {
    let listed = with(common, |trusted| trusted.listed(peer))?;
    let in_force = listed.as_ref().is_some_and(|listed| listed.in_force);
    if common.json {
        output::object(json!({ "peer": peer, "in_force": in_force, "listed": listed }))?;
    } else {
        output::text(&match &listed {
            Some(listed) => told(listed),
            None => format!("{peer} is not on the whitelist\n"),
        })?;
    }
    Ok(if in_force {
        Exit::Ok
    } else {
        Exit::CheckFailed
    })
}

/// A peer, its entries and keys.
pub(super) fn told(listed: &PeerShown) -> String {
    let force = match (listed.in_force, listed.expires_at) {
        (false, _) if listed.rotated_to.is_some() => "ROTATED".to_owned(),
        (false, _) => "EXPIRED".to_owned(),
        (true, None) => "in force".to_owned(),
        (true, Some(at)) => format!("in force until {}", rfc3339(at)),
    };
    let mut text = format!("{}  {force}\n", listed.peer);
    if let Some(new) = &listed.rotated_to {
        text += &format!(
            "  its key was followed by {new}: write that into config.toml ([[network.peer]])\n"
        );
    }
    text.extend(listed.entries.iter().map(entry));
    text.extend(listed.keys.iter().map(key));
    text
}

fn entry(entry: &EntryShown) -> String {
    let source = match entry.source {
        Source::Config => "config.toml".to_owned(),
        // What passed over with a rotation is still its maker's.
        Source::Operator if entry.by == "config" => "from config.toml".to_owned(),
        Source::Operator => format!("operator {}", entry.by),
    };
    let name = match entry.name.as_str() {
        "" => "-".to_owned(),
        name => printable(name),
    };
    let region = entry
        .region
        .as_ref()
        .map_or("-".into(), ToString::to_string);
    let roles: Vec<String> = entry.roles.iter().map(ToString::to_string).collect();
    let until = match entry.expires_at {
        None => "without an end".to_owned(),
        Some(at) if entry.expired => format!("EXPIRED {}", rfc3339(at)),
        Some(at) => format!("until {}", rfc3339(at)),
    };
    let at: String = entry.addresses.iter().map(|at| format!(" {at}")).collect();
    let at = if at.is_empty() { " it calls" } else { &at };
    format!(
        "  {source}  {name}  {region}  {}  since {}  {until}\n    addresses:{at}\n",
        roles.join(","),
        rfc3339(entry.at),
    )
}

fn key(key: &KeyShown) -> String {
    let kind = match key.kind {
        KeyKind::Transport => "transport key",
        KeyKind::NodeCertificate => "node certificate",
    };
    let ledger = key.ledger_key.as_ref();
    let ledger = ledger.map_or(String::new(), |id| format!("  ledger key {id}"));
    format!("    {kind}  {}{ledger}\n", key.fingerprint)
}

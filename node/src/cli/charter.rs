//! `officers charter`: who decides at a home, and who is to decide from now on.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use city_protocol::Refusal;
use city_protocol::body::{Officer, Officers};
use city_protocol::client::officer;
use city_protocol::crypto::PublicKey;
use city_protocol::ids::{KeyId, LogId};
use clap::{Args, Subcommand};
use serde_json::json;

use super::account::certificates;
use super::exit::{Exit, Outcome};
use super::launch::runtime;
use super::renewal::write_proposal;
use super::{input, output};
use crate::api::wire::CharterPage;
use crate::client::ApiClient;
use crate::engine::utc;
use crate::keys;

/// Longest saved page in bytes: nine officers' keys are 32 KB.
const MAX_PAGE: usize = 64 * 1024;

/// What can be done with a home's charter.
#[derive(Debug, Subcommand)]
pub enum CharterCommand {
    /// Show the charter in force: its number, its officers and its witnesses.
    #[command(after_help = "\
Examples:
  city-node officers charter show --node https://node.example:8443 --tls-root tls-root.pem
  city-node officers charter show --node … --tls-root … --json > charter.json    (for work without a network)")]
    Show(ShowArgs),
    /// Write down who the officers and witnesses are to be from now on.
    #[command(after_help = "\
Examples:
  city-node officers charter propose --add d.pub --remove bq3v… --reason 選挙 --node … --tls-root … --out next.json
  city-node officers charter propose --officers-needed 3 --reason 議決 --charter charter.json --out next.json
  city-node officers charter propose --witness ubqxbxvmedbb… --witness w2lk… --reason 証人 --charter charter.json --out next.json

Then the officers in force sign it (city-node officers sign) and it is handed in (city-node officers submit). It counts from its
vertex on: what was signed before and is handed in later needs enough of the new officers. The node key and the municipality stay.
Officers whose keys were stolen can undo their own dismissal as long as the epoch lasts: begin a new one after it (city-node epoch).")]
    Propose(ProposeArgs),
}

/// Where the charter in force is learned.
#[derive(Debug, Args)]
struct SourceArgs {
    /// What the home said of its charter (city-node officers charter show --json), for work without a network.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "node",
        conflicts_with = "node"
    )]
    charter: Option<PathBuf>,
    /// The home's address, to ask it now.
    #[arg(long, value_name = "URL", requires = "tls_root")]
    node: Option<String>,
    /// The network's TLS root (PEM).
    #[arg(long, value_name = "FILE")]
    tls_root: Option<PathBuf>,
}

/// Arguments of `officers charter show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Where from.
    #[command(flatten)]
    source: SourceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `officers charter propose`.
#[derive(Debug, Args)]
pub struct ProposeArgs {
    /// An officer who comes: their public key (.pub file); may be repeated.
    #[arg(long, value_name = "FILE")]
    add: Vec<PathBuf>,
    /// An officer who goes: their key id; may be repeated.
    #[arg(long, value_name = "KEY_ID")]
    remove: Vec<KeyId>,
    /// How many of the officers must sign from now on; as many as now without it.
    #[arg(long, value_name = "NUMBER")]
    officers_needed: Option<u64>,
    /// A log that is asked to witness this one from now on, in place of those of now; may be repeated, at most 7.
    #[arg(long, value_name = "LOG", conflicts_with = "no_witnesses")]
    witness: Vec<LogId>,
    /// No witnesses from now on.
    #[arg(long)]
    no_witnesses: bool,
    /// Why, for whoever reads the ledger.
    #[arg(long)]
    reason: String,
    /// Where the charter in force is learned.
    #[command(flatten)]
    source: SourceArgs,
    /// Where the text for the officers is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl SourceArgs {
    fn page(&self) -> anyhow::Result<CharterPage> {
        match (&self.charter, &self.node, &self.tls_root) {
            (Some(file), ..) => saved(file),
            (None, Some(node), Some(root)) => {
                let api = ApiClient::new(node, &certificates(root)?)?;
                Ok(runtime()?.block_on(api.charter())?)
            }
            _ => unreachable!("clap asks for one of them"),
        }
    }
}

fn saved(file: &Path) -> anyhow::Result<CharterPage> {
    let bytes = input::read_whole(file, MAX_PAGE)?;
    serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "{}: not a charter as a home says it; write it with: city-node officers charter show --json",
            file.display()
        )
    })
}

pub(super) fn run(command: &CharterCommand) -> Outcome {
    match command {
        CharterCommand::Show(args) => show(args),
        CharterCommand::Propose(args) => propose(args),
    }
}

fn show(args: &ShowArgs) -> Outcome {
    let page = args.source.page()?;
    if args.json {
        output::object(json!(page))?;
        return Ok(Exit::Ok);
    }
    let mut text = format!(
        "charter {} of {}\n  {}\n  log {}\n{} of {} officers must sign; their next number is {}:\n",
        page.number,
        page.region,
        page.charter,
        page.log,
        page.k,
        page.officers.len(),
        page.officers_sequence,
    );
    for officer in &page.officers {
        text += &format!("  {}  {}\n", officer.key, officer.alg);
    }
    text += match page.witnesses.is_empty() {
        true => "no witnesses\n",
        false => "witnesses:\n",
    };
    for witness in &page.witnesses {
        text += &format!("  {witness}\n");
    }
    output::text(&text)?;
    Ok(Exit::Ok)
}

fn propose(args: &ProposeArgs) -> Outcome {
    let page = args.source.page()?;
    let keys = next_officers(&page, &args.add, &args.remove)?;
    let k = args.officers_needed.unwrap_or(page.k);
    if !(1..=keys.len() as u64).contains(&k) {
        bail_text(&format!(
            "{k} of {} officers cannot sign; give --officers-needed from 1 to {}",
            keys.len(),
            keys.len()
        ))?;
    }
    let witnesses = match (args.witness.is_empty(), args.no_witnesses) {
        (false, _) => args.witness.clone(),
        (true, true) => Vec::new(),
        (true, false) => page.witnesses.clone(),
    };
    let in_force = page.officers.iter().map(|officer| officer.key);
    let same =
        in_force.eq(keys.iter().map(PublicKey::id)) && (k, &witnesses) == (page.k, &page.witnesses);
    if same {
        bail_text(
            "nothing changes; give --add, --remove, --officers-needed, --witness or --no-witnesses",
        )?;
    }
    let officer = |key: &PublicKey| Officer {
        alg: key.algorithm(),
        key: key.as_bytes().to_vec(),
    };
    let keys = keys.iter().map(officer).collect();
    let officers = Officers { k, keys };
    let before = (&page).into();
    let body = officer::charter(&page, before, officers, witnesses, &args.reason, utc());
    let body = body.map_err(|refusal| match refusal {
        Refusal::BadField => anyhow::anyhow!(
            "no charter that a log takes: 1 to 9 officers, each once, at most 7 witnesses, at most {} charters, and a reason of 1 to 64 characters",
            city_protocol::body::MAX_CHARTERS
        ),
        other => other.into(),
    })?;
    write_proposal(&body, &args.out, (page.k, page.officers.len() as u64))
}

/// The officers of now without those who go, and those who come behind them.
fn next_officers(
    page: &CharterPage,
    add: &[PathBuf],
    remove: &[KeyId],
) -> anyhow::Result<Vec<PublicKey>> {
    for key in remove {
        if !page.officers.iter().any(|officer| officer.key == *key) {
            bail!(
                "--remove {key}: not an officer of charter {}; see: city-node officers charter show",
                page.number
            );
        }
    }
    let stay = page
        .officers
        .iter()
        .filter(|officer| !remove.contains(&officer.key));
    let stay = stay.map(|officer| Ok(PublicKey::new(officer.alg, &officer.public_key)?));
    let come = add.iter().map(|file| Ok(keys::load_signing_public(file)?));
    let keys = stay.chain(come).collect::<anyhow::Result<Vec<_>>>()?;
    let mut ids: Vec<_> = keys.iter().map(PublicKey::id).collect();
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!("{}: an officer already; leave the --add out", twice[0]);
    }
    Ok(keys)
}

fn bail_text(text: &str) -> anyhow::Result<()> {
    bail!("{text}")
}

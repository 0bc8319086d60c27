//! `store export`: of a running node by its admin socket, else from its data directory.

use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use city_protocol::ids::BlockId;
use clap::Args;
use serde_json::json;

use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::passphrase::PassphraseArgs;
use crate::cli::run::PlaceArgs;
use crate::cli::{launch, output};
use crate::client::{AdminClient, ClientError};
use crate::daemon;
use crate::engine::{Inventory, LogPart, Logs, Selection, export};
use crate::store::{ArchiveWriter, OsFiles, car};

/// Most blocks outside of an export that the text names; `--json` names all.
const SHOWN: usize = 5;

/// Arguments of `store export`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  city-node store export ledger.car --data-dir data
  city-node store export - --data-dir data | ipfs dag import
  city-node store export kanazawa.car --log Asia/JP/17/17201 --from 100 --to 200 --json
  city-node store export ledger.car --stubs --data-dir data

The file is CAR version 1: its root is the genesis block, which is in it, and every block stands behind those to which it
links. The answer names the blocks to which something links and that are not in it. With - the file goes to standard
output and the answer to standard error. A file that is there is not overwritten.")]
pub struct ExportArgs {
    /// The file to make, or - for standard output.
    file: PathBuf,
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// The passphrase of the node's keys.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Only this log: its id, or the region of its municipality.
    #[arg(long, value_name = "ID|REGION")]
    log: Option<String>,
    /// Only vertices from this position on.
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
    /// Only vertices up to this position.
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
    /// Write what is left of bodies that were pruned here, too: a node that joins takes it with --trust-checkpoints, where
    /// nobody has the bodies any more.
    #[arg(long)]
    stubs: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Where the blocks go.
enum Target {
    File(ArchiveWriter),
    Stdout(BufWriter<io::Stdout>),
}

impl Target {
    fn begin(path: &Path, root: &BlockId) -> io::Result<Self> {
        if path == Path::new("-") {
            let mut out = BufWriter::new(io::stdout());
            out.write_all(&car::header(root))?;
            return Ok(Self::Stdout(out));
        }
        ArchiveWriter::begin(Arc::new(OsFiles), path, root).map(Self::File)
    }

    fn push(&mut self, id: &BlockId, block: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.push(id, block),
            Self::Stdout(out) => {
                let mut section = Vec::with_capacity(block.len() + 64);
                car::push_section(&mut section, id, block);
                out.write_all(&section)
            }
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::File(file) => file.finish().map(drop),
            Self::Stdout(mut out) => out.flush(),
        }
    }
}

pub(in crate::cli) fn run(args: &ExportArgs) -> Outcome {
    let logs = args.log.as_deref().map(str::parse::<Logs>).transpose();
    let usage = |_| {
        let text = args.log.as_deref().unwrap_or_default();
        let error = anyhow::anyhow!(
            "--log {text}: neither a log id (52 characters) nor a region such as Asia/JP/17/17201"
        );
        Failure::new(Exit::Usage, error)
    };
    let selection = Selection {
        logs: logs.map_err(usage)?,
        from: args.from,
        to: args.to,
        stubs: args.stubs,
    };
    let bar = launch::counter("blocks exported");
    let mut inventory = Inventory::default();
    let mut write = |target: &mut Target, id: &BlockId, block: &[u8]| -> io::Result<()> {
        inventory.take(id, block);
        bar.inc(1);
        target.push(id, block)
    };
    let begin = |root: &BlockId| {
        let name = args.file.display();
        Target::begin(&args.file, root)
            .with_context(|| format!("{name} could not be made (it may not be there yet)"))
    };
    let socket = args.place.locate().data.admin_socket();
    let runtime = launch::runtime()?;
    let connected = runtime.block_on(AdminClient::connect(&socket));
    let target = match connected {
        Ok(client) => {
            let network = runtime.block_on(client.status())?.network;
            let mut target = begin(&network)?;
            let mut take = |id: &BlockId, block: &[u8]| write(&mut target, id, block);
            runtime.block_on(client.export(&query(args), &mut take))?;
            target
        }
        Err(ClientError::NotRunning { .. }) => {
            let (data, _, identity) = launch::read(&args.place, &args.passphrase)?;
            let (store, _) = daemon::open_for_reading(&data, &identity)?;
            let mut target = begin(&identity.network)?;
            let mut take = |id: &BlockId, block: &[u8]| write(&mut target, id, block);
            let done = export(&store, &identity.genesis, &selection, &mut take);
            store.close()?;
            done?;
            target
        }
        Err(error) => return Err(error.into()),
    };
    target
        .finish()
        .with_context(|| format!("{} could not be written", args.file.display()))?;
    bar.finish_and_clear();
    answer(args, &inventory)?;
    Ok(Exit::Ok)
}

/// The selection as the admin socket reads it. Ids and regions need no escapes in a URL.
fn query(args: &ExportArgs) -> String {
    let number = |name: &str, value: Option<u64>| value.map(|value| format!("{name}={value}"));
    let log = args.log.as_ref().map(|log| format!("log={log}"));
    let stubs = args.stubs.then(|| "stubs=true".to_owned());
    let (from, to) = (number("from", args.from), number("to", args.to));
    let parts = [log, from, to, stubs];
    parts.into_iter().flatten().collect::<Vec<_>>().join("&")
}

fn answer(args: &ExportArgs, inventory: &Inventory) -> io::Result<()> {
    let outside = inventory.outside();
    let text = if args.json {
        let logs: Vec<&LogPart> = inventory.logs().collect();
        let object = json!({
            "schema": output::SCHEMA,
            "file": args.file,
            "blocks": inventory.blocks(),
            "stubs": inventory.stubs(),
            "logs": logs,
            "outside": outside.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        format!("{object}\n")
    } else {
        let logs: String = inventory.logs().map(told).collect();
        let named = outside.iter().take(SHOWN).map(|id| format!("  {id}\n"));
        let links = match outside.len() {
            0 => "every link leads to a block in it\n".to_owned(),
            count => format!(
                "{count} blocks to which it links are not in it (--json names all):\n{}",
                named.collect::<String>()
            ),
        };
        let stubs = match inventory.stubs() {
            0 => String::new(),
            stubs => format!(
                "{stubs} bodies were pruned: stubs stand in their places (store import --trust-checkpoints takes them)\n"
            ),
        };
        let file = args.file.display();
        format!(
            "{file}: {} blocks\n{logs}{stubs}{links}",
            inventory.blocks()
        )
    };
    if args.file == Path::new("-") {
        return io::stderr().write_all(text.as_bytes());
    }
    output::text(&text)
}

fn told(part: &LogPart) -> String {
    let LogPart {
        log,
        vertices,
        entries,
        from,
        to,
        ..
    } = part;
    format!("  log {log}: {vertices} vertices ({from} to {to}), {entries} entries\n")
}

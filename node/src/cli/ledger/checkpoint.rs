//! `ledger checkpoint`: the state of a log, taken, shown, handed on and checked.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use city_protocol::Refusal;
use city_protocol::checkpoint::{Held, Leaf};
use city_protocol::vertex::Receipt;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::super::exit::{Exit, Failure, Outcome};
use super::super::passphrase::PassphraseArgs;
use super::super::run::PlaceArgs;
use super::super::{launch, output};
use super::proof_file::{genesis, refused};
use super::source::SourceArgs;
use crate::client::{AdminClient, ClientError};
use crate::config::rfc3339;
use crate::daemon;
use crate::daemon::checkpoint::MakeError;
use crate::ledger::checkpoints::{CheckpointShown, HeldShown};
use crate::ledger::export;
use crate::ledger::proof::ProofError;
use crate::store::{ArchiveWriter, OsFiles};

/// What can be done with checkpoints.
#[derive(Debug, Subcommand)]
pub enum CheckpointCommand {
    /// Show the newest checkpoint of a log.
    Show(ShowArgs),
    /// List the checkpoints of a log that this node found to be its state.
    List(ShowArgs),
    /// Write the newest checkpoint of a log, with its state, for the prefecture and the continent above.
    #[command(after_help = "\
Example:
  city-node ledger checkpoint export 17201 --out kanazawa.car --data-dir data")]
    Export(ExportArgs),
    /// Check such a file with nothing but the genesis record: the state is made again from its blocks.
    #[command(after_help = "\
Example:
  city-node ledger checkpoint verify kanazawa.car --genesis data/network/genesis.cbor

Exit codes: 0 it holds · 4 it does not.")]
    Verify(VerifyArgs),
    /// Write a checkpoint of this home's log now: of a running node, or of a stopped one.
    #[command(after_help = "\
Example:
  city-node ledger checkpoint make --data-dir data

At most one an hour; a running node writes one a day (checkpoint.every) by itself, if anything was booked.")]
    Make(MakeArgs),
}

/// Arguments of `ledger checkpoint show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The log: this home's if none is named.
    log: Option<String>,
    /// Which node.
    #[command(flatten)]
    source: SourceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `ledger checkpoint export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The log: this home's if none is named.
    log: Option<String>,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Which node.
    #[command(flatten)]
    source: SourceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `ledger checkpoint verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The file.
    file: PathBuf,
    /// The network's genesis record.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `ledger checkpoint make`.
#[derive(Debug, Args)]
pub struct MakeArgs {
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// The passphrase of the node's keys.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &CheckpointCommand) -> Outcome {
    match command {
        CheckpointCommand::Show(args) => show(args),
        CheckpointCommand::List(args) => list(args),
        CheckpointCommand::Export(args) => export_file(args),
        CheckpointCommand::Verify(args) => verify(args),
        CheckpointCommand::Make(args) => make(args),
    }
}

fn fields(held: &HeldShown) -> Value {
    json!({
        "log": held.log, "region": held.region,
        "epoch": held.epoch, "seq": held.seq,
        "vertices_root": held.vertices_root, "state_root": held.state_root,
        "leaves": held.leaves, "snapshot": held.snapshot,
        "vertex": held.vertex, "index": held.index, "time": rfc3339(held.time),
    })
}

fn told(held: &HeldShown) -> String {
    format!(
        "log        {} ({})\nstate of   epoch {}, seq {}, {} leaves\nvertices   {}\nstate      {}\nsnapshot   {}\nstands in  {} at seq {}, {}\n",
        held.log,
        held.region,
        held.epoch,
        held.seq,
        held.leaves,
        held.vertices_root,
        held.state_root,
        held.snapshot,
        held.vertex,
        held.at,
        rfc3339(held.time),
    )
}

fn show(args: &ShowArgs) -> Outcome {
    let source = args.source.open()?;
    let log = source.log(args.log.as_deref())?;
    let held = source.checkpoints(&log)?.newest;
    let held = held.ok_or(ProofError::NoCheckpoint)?;
    if args.json {
        output::object(fields(&held))?;
    } else {
        output::text(&told(&held))?;
    }
    Ok(Exit::Ok)
}

fn list(args: &ShowArgs) -> Outcome {
    let source = args.source.open()?;
    let log = source.log(args.log.as_deref())?;
    let page = source.checkpoints(&log)?;
    if args.json {
        output::object(json!({ "log": page.log, "checkpoints": page.checkpoints }))?;
        return Ok(Exit::Ok);
    }
    let line = |shown: &CheckpointShown| {
        format!(
            "{}  state of epoch {}, seq {}; stands at seq {}; snapshot {}\n",
            rfc3339(shown.time),
            shown.epoch,
            shown.seq,
            shown.at.seq,
            shown.snapshot,
        )
    };
    let lines: String = page.checkpoints.iter().map(line).collect();
    let none = "no checkpoint of this log was judged here yet\n".to_owned();
    output::text(if lines.is_empty() { &none } else { &lines })?;
    Ok(Exit::Ok)
}

fn export_file(args: &ExportArgs) -> Outcome {
    let source = args.source.open()?;
    let log = source.log(args.log.as_deref())?;
    let named = |what: &'static str| {
        let out = args.out.display();
        move |error: io::Error| io::Error::new(error.kind(), format!("{out}: {what}: {error}"))
    };
    let mut file: Option<ArchiveWriter> = None;
    let (mut receipt, mut blocks) = (Vec::new(), 0_u64);
    source.checkpoint_blocks(&log, &mut |id, block| {
        let writer = match &mut file {
            Some(writer) => writer,
            None => {
                receipt = block.to_vec();
                let begun = ArchiveWriter::begin(Arc::new(OsFiles), &args.out, id);
                file.insert(begun.map_err(named("cannot be made anew"))?)
            }
        };
        blocks += 1;
        writer.push(id, block).map_err(named("cannot be written"))
    })?;
    let held = Held::verify(&Receipt::read(&receipt)?, &genesis(&args.source.genesis())?)?;
    let shown = HeldShown::from(&held);
    let file = file.context("the checkpoint has no blocks")?;
    file.finish()
        .with_context(|| format!("{} could not be written", args.out.display()))?;
    if args.json {
        let mut object = fields(&shown);
        object["file"] = json!(args.out);
        object["blocks"] = json!(blocks);
        output::object(object)?;
    } else {
        output::text(&format!(
            "{}: {blocks} blocks\n{}",
            args.out.display(),
            told(&shown)
        ))?;
    }
    Ok(Exit::Ok)
}

fn verify(args: &VerifyArgs) -> Outcome {
    let genesis = genesis(&args.genesis)?;
    let file = open(&args.file)?;
    let (mut accounts, mut open_transfers) = (0_u64, 0_u64);
    let look = |leaf: &Leaf| match leaf {
        Leaf::Account(_) => accounts += 1,
        Leaf::Transfer(_) => open_transfers += 1,
        _ => {}
    };
    let verdict = export::verify(&mut BufReader::new(file), &genesis, look);
    match &verdict {
        Ok(held) if args.json => {
            let mut object = fields(&held.into());
            object["valid"] = json!(true);
            object["accounts"] = json!(accounts);
            object["open_transfers"] = json!(open_transfers);
            output::object(object)?;
        }
        Err(refusal) if args.json => output::object(refused(*refusal))?,
        Ok(held) => output::text(&format!(
            "{}: holds; its state was made again: {accounts} accounts, {open_transfers} open transfers\n{}",
            args.file.display(),
            told(&held.into())
        ))?,
        Err(refusal) => output::text(&format!(
            "{}: does NOT hold: {refusal} ({})\n",
            args.file.display(),
            refusal.code()
        ))?,
    }
    Ok(match verdict {
        Ok(_) => Exit::Ok,
        Err(_) => Exit::CheckFailed,
    })
}

fn open(path: &Path) -> anyhow::Result<File> {
    let file = File::open(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    if file.metadata()?.len() > export::MAX_EXPORT {
        bail!("{}: longer than 4 GiB, which is the most", path.display());
    }
    Ok(file)
}

fn make(args: &MakeArgs) -> Outcome {
    let socket = args.place.locate().data.admin_socket();
    let runtime = launch::runtime()?;
    let asked = runtime.block_on(async {
        let admin = AdminClient::connect(&socket).await?;
        admin.make_checkpoint().await
    });
    let (held, repeated) = match asked {
        Ok(page) => (page.checkpoint, page.repeated),
        Err(error) if error.code() == Some(Refusal::Busy.code()) => {
            return Err(anyhow::anyhow!(MakeError::TooSoon).into());
        }
        Err(ClientError::NotRunning { .. }) => {
            let (data, config, identity) = launch::read(&args.place, &args.passphrase)?;
            let made = runtime.block_on(daemon::checkpoint::make(&data, &config, &identity));
            let booked = made.map_err(|error| Failure::new(Exit::Failed, error))?;
            let held = Held::verify(&booked.receipt, &identity.genesis)?;
            ((&held).into(), booked.repeated)
        }
        Err(error) => return Err(error.into()),
    };
    if args.json {
        let mut object = fields(&held);
        object["repeated"] = json!(repeated);
        output::object(object)?;
    } else {
        let again = if repeated {
            "Nothing was booked since the last one:\n"
        } else {
            ""
        };
        output::text(&format!("{again}{}", told(&held)))?;
    }
    Ok(Exit::Ok)
}

//! `ledger checkpoint`: the state of a log, taken, shown, handed on and checked.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use city_protocol::checkpoint::{Held, Leaf};
use city_protocol::ledger::History as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::super::exit::{Exit, Failure, Outcome};
use super::super::passphrase::PassphraseArgs;
use super::super::run::PlaceArgs;
use super::super::{launch, output};
use super::prove::{genesis, refused};
use super::source::SourceArgs;
use crate::config::rfc3339;
use crate::daemon;
use crate::ledger::export;
use crate::ledger::proof::{ProofError, Prover};

/// What can be done with checkpoints.
#[derive(Debug, Subcommand)]
pub enum CheckpointCommand {
    /// Show the newest checkpoint of a log.
    Show(ShowArgs),
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
    /// Write a checkpoint of this home's log now. The node is stopped.
    #[command(after_help = "\
Example:
  city-node ledger checkpoint make --data-dir data

At most one an hour; a running node writes one a day by itself, if anything was booked.")]
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
        CheckpointCommand::Export(args) => export_file(args),
        CheckpointCommand::Verify(args) => verify(args),
        CheckpointCommand::Make(args) => make(args),
    }
}

fn fields(held: &Held) -> Value {
    let (body, h) = (&held.body, &held.receipt.header.header);
    json!({
        "log": h.log, "region": held.receipt.authority.region(),
        "epoch": body.position.epoch, "seq": body.position.seq,
        "vertices_root": body.vertices_root, "state_root": body.state_root,
        "leaves": body.leaves, "snapshot": body.snapshot,
        "vertex": held.receipt.vertex, "index": held.receipt.index, "time": rfc3339(h.time),
    })
}

fn told(held: &Held) -> String {
    let (body, h) = (&held.body, &held.receipt.header.header);
    format!(
        "log        {} ({})\nstate of   epoch {}, seq {}, {} leaves\nvertices   {}\nstate      {}\nsnapshot   {}\nstands in  {} at seq {}, {}\n",
        h.log,
        held.receipt.authority.region(),
        body.position.epoch,
        body.position.seq,
        body.leaves,
        body.vertices_root,
        body.state_root,
        body.snapshot,
        held.receipt.vertex,
        h.seq,
        rfc3339(h.time),
    )
}

fn show(args: &ShowArgs) -> Outcome {
    let source = args.source.open()?;
    let log = source.log(args.log.as_deref())?;
    let (history, identity) = source.stopped()?;
    let receipt = Prover::new(history, &identity.genesis).checkpoint(&log);
    let receipt = receipt.ok_or(ProofError::NoCheckpoint)?;
    let held = Held::verify(&receipt, &identity.genesis)?;
    if args.json {
        output::object(fields(&held))?;
    } else {
        output::text(&told(&held))?;
    }
    Ok(Exit::Ok)
}

fn export_file(args: &ExportArgs) -> Outcome {
    let source = args.source.open()?;
    let log = source.log(args.log.as_deref())?;
    let (history, identity) = source.stopped()?;
    let receipt = Prover::new(history, &identity.genesis).checkpoint(&log);
    let receipt = receipt.ok_or(ProofError::NoCheckpoint)?;
    let held = Held::verify(&receipt, &identity.genesis)?;
    let file = File::create_new(&args.out)
        .with_context(|| format!("{}: cannot be made anew", args.out.display()))?;
    let mut out = BufWriter::new(file);
    let written = export::write(
        &receipt,
        &held.body.snapshot,
        |id| history.block(id),
        &mut out,
    );
    let synced = written.and_then(|blocks| {
        out.flush()?;
        out.get_ref().sync_all()?;
        Ok(blocks)
    });
    let blocks = match synced {
        Ok(blocks) => blocks,
        Err(error) => {
            // Half a file would look like a whole one to who copies it.
            let _gone = fs::remove_file(&args.out);
            return Err(error.into());
        }
    };
    if args.json {
        let mut object = fields(&held);
        object["file"] = json!(args.out);
        object["blocks"] = json!(blocks);
        output::object(object)?;
    } else {
        output::text(&format!(
            "{}: {blocks} blocks\n{}",
            args.out.display(),
            told(&held)
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
            let mut object = fields(held);
            object["valid"] = json!(true);
            object["accounts"] = json!(accounts);
            object["open_transfers"] = json!(open_transfers);
            output::object(object)?;
        }
        Err(refusal) if args.json => output::object(refused(*refusal))?,
        Ok(held) => output::text(&format!(
            "{}: holds; its state was made again: {accounts} accounts, {open_transfers} open transfers\n{}",
            args.file.display(),
            told(held)
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
    let (data, config, identity) = launch::read(&args.place, &args.passphrase)?;
    let made = launch::runtime()?.block_on(daemon::checkpoint::make(&data, &config, &identity));
    let booked = made.map_err(|error| Failure::new(Exit::Failed, error))?;
    let held = Held::verify(&booked.receipt, &identity.genesis)?;
    if args.json {
        let mut object = fields(&held);
        object["repeated"] = json!(booked.repeated);
        output::object(object)?;
    } else {
        let again = if booked.repeated {
            "Nothing was booked since the last one:\n"
        } else {
            ""
        };
        output::text(&format!("{again}{}", told(&held)))?;
    }
    Ok(Exit::Ok)
}

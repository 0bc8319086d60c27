//! `store import`: into the data directory of a node that does not run.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::passphrase::PassphraseArgs;
use crate::cli::run::PlaceArgs;
use crate::cli::{launch, output};
use crate::daemon::{self, UpkeepError};
use crate::engine::{ImportError, ImportReport};
use crate::store::{ArchiveReader, OsFiles};

/// Arguments of `store import`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  city-node store import ledger.car --data-dir data
  city-node store import ledger.car --data-dir data --with-faults --json

Every hash, signature and rule is checked before anything is kept; of a file that is refused nothing is. What is here is
passed over. Of the node's own log it takes newer vertices, too: the repair of a ledger that lost its end. Where it then has
more than the node remembers to have signed, the node signs nothing until its peers have nothing newer.

Exit codes: 0 taken · 1 failed · 4 the file does not hold; the answer names the block and the code.")]
pub struct ImportArgs {
    /// The CAR file.
    file: PathBuf,
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// The passphrase of the node's keys.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Take proofs against logs, too, and freeze these here.
    #[arg(long)]
    with_faults: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(args: &ImportArgs) -> Outcome {
    let refused = |error: ImportError| {
        let exit = match error {
            ImportError::Archive(_)
            | ImportError::OtherNetwork { .. }
            | ImportError::Refused { .. }
            | ImportError::Missing { .. }
            | ImportError::Fault { .. } => Exit::CheckFailed,
            _ => Exit::Failed,
        };
        let error = anyhow::Error::new(error).context(args.file.display().to_string());
        Failure::new(exit, error)
    };
    let file = ArchiveReader::open(&OsFiles, &args.file);
    let file = file.map_err(|error| refused(error.into()))?;
    let (data, config, identity) = launch::read(&args.place, &args.passphrase)?;
    let bar = launch::counter("vertices judged");
    let node = (&data, &config, &identity);
    let done = daemon::import(node, &file, args.with_faults, &mut |done| {
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = match done {
        Ok(report) => report,
        Err(UpkeepError::Import(error)) => return Err(refused(error)),
        Err(error) => return Err(error.into()),
    };
    if args.json {
        let frozen = report.frozen.iter();
        let frozen: Vec<_> = frozen
            .map(|(log, code)| json!({ "log": log, "code": code }))
            .collect();
        output::object(json!({
            "logs": report.logs,
            "known": report.known,
            "bodies": report.bodies,
            "left_out": report.left_out,
            "frozen": frozen,
            "own_unconfirmed": report.own_unconfirmed,
        }))?;
    } else {
        output::text(&told(&report))?;
    }
    Ok(Exit::Ok)
}

fn told(report: &ImportReport) -> String {
    let logs = report.logs.iter().map(|part| {
        let (log, vertices, entries, seq) = (part.log, part.vertices, part.entries, part.seq);
        format!("  log {log}: {vertices} vertices, {entries} entries; its head is {seq} now\n")
    });
    let frozen = report.frozen.iter();
    let frozen =
        frozen.map(|(log, code)| format!("  log {log} does not count any more ({code})\n"));
    let came: u64 = report.logs.iter().map(|part| part.vertices).sum();
    let lines: String = logs.chain(frozen).collect();
    let own = if report.own_unconfirmed {
        "the own log may be longer than this: the node signs nothing until its peers have nothing newer of it\n"
    } else {
        ""
    };
    let (known, left) = (report.known, report.left_out);
    let bodies = match report.bodies {
        0 => String::new(),
        bodies => format!("{bodies} bodies that were pruned are here again\n"),
    };
    format!(
        "{came} vertices came, {known} were here, {left} blocks are no vertex's\n{bodies}{lines}{own}"
    )
}

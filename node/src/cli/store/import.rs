//! `store import`: into the data directory of a node that does not run.

use std::path::PathBuf;

use city_protocol::ids::BlockId;
use clap::Args;
use serde_json::json;

use crate::access::{AccessLog, Class, Event};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::passphrase::PassphraseArgs;
use crate::cli::run::PlaceArgs;
use crate::cli::{launch, output};
use crate::daemon::{self, UpkeepError};
use crate::engine::{ImportError, ImportReport, Terms, TrustedLog};
use crate::setup::{DataDir, Identity};
use crate::store::{ArchiveReader, OsFiles};

/// Arguments of `store import`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  city-node store import ledger.car --data-dir data
  city-node store import ledger.car --data-dir data --with-faults --json
  city-node store import ledger.car --data-dir data --trust-checkpoints

Every hash, signature and rule is checked before anything is kept; of a file that is refused nothing is. What is here is
passed over. Of the node's own log it takes newer vertices, too: the repair of a ledger that lost its end. Where it then has
more than the node remembers to have signed, the node signs nothing until its peers have nothing newer.

With --trust-checkpoints a file of `store export --stubs` is taken, too, where nobody has the bodies any more. Balances and sums are
then those that each home signed in a checkpoint behind the stubs; who paid whom before it is the word of whoever wrote the
file. That is remembered (TRUSTED) and told by `ledger heads`, `status` and `ledger verify` until the bodies are imported.

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
    /// Take stubs in the place of bodies that nobody has any more, as far as a checkpoint behind them bears them out.
    #[arg(long)]
    trust_checkpoints: bool,
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
            | ImportError::Stubbed { .. }
            | ImportError::OwnStub { .. }
            | ImportError::BadStub { .. }
            | ImportError::Lies { .. }
            | ImportError::NoCheckpoint { .. }
            | ImportError::Differs { .. }
            | ImportError::Fault { .. } => Exit::CheckFailed,
            _ => Exit::Failed,
        };
        let error = anyhow::Error::new(error).context(args.file.display().to_string());
        Failure::new(exit, error)
    };
    let file = ArchiveReader::open(&OsFiles, &args.file);
    let file = file.map_err(|error| refused(error.into()))?;
    let digest = args.trust_checkpoints.then(|| file.digest()).transpose();
    let terms = Terms {
        with_faults: args.with_faults,
        on_trust: digest.map_err(|error| refused(error.into()))?,
    };
    let (data, config, identity) = launch::read(&args.place, &args.passphrase)?;
    let bar = launch::counter("vertices judged");
    let node = (&data, &config, &identity);
    let done = daemon::import(node, &file, terms, &mut |done| {
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = match done {
        Ok(report) => report,
        Err(UpkeepError::Import(error)) => return Err(refused(error)),
        Err(error) => return Err(error.into()),
    };
    record(&data, &identity, terms, &report)?;
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
            "trusted": report.trusted,
            "borne_out": report.borne_out,
            "frozen": frozen,
            "own_unconfirmed": report.own_unconfirmed,
        }))?;
    } else {
        output::text(&told(&report))?;
    }
    Ok(Exit::Ok)
}

/// What was taken on trust, and what is no more, stands in the access log as an operator's decision.
fn record(
    data: &DataDir,
    identity: &Identity,
    terms: Terms,
    report: &ImportReport,
) -> anyhow::Result<()> {
    let file = terms
        .on_trust
        .map_or_else(String::new, |file| format!(" {file}"));
    let taken = report.trusted.iter().map(|part| {
        let TrustedLog { log, seq, .. } = part;
        format!("checkpoint-trust {log} {seq}{file}")
    });
    let borne_out = report.borne_out.iter();
    let borne_out = borne_out.map(|log| format!("checkpoint-trust-end {log}"));
    let decided: Vec<String> = taken.chain(borne_out).collect();
    if decided.is_empty() {
        return Ok(());
    }
    let root = BlockId::of(&identity.genesis.to_block());
    let access = AccessLog::open(&data.access(), root, 0)?;
    let who = format!("uid {}", rustix::process::geteuid().as_raw());
    for what in &decided {
        access.note(Event::once(Class::Trust, &who, what));
    }
    access.close();
    Ok(())
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
    let trusted = report.trusted.iter().map(|part| {
        let (log, seq, bodies) = (part.log, part.seq, part.bodies);
        format!(
            "  log {log}: trusted up to seq {seq}: stubs stand for {bodies} bodies. Its home signed the balances and sums there in a checkpoint; who \
             paid whom before it is the word of whoever wrote this file (docs/store.md)\n"
        )
    });
    let trusted: String = trusted.collect();
    let borne_out = report.borne_out.iter();
    let borne_out: String = borne_out
        .map(|log| {
            format!("  log {log}: all bodies are here; nothing of it is on trust any more\n")
        })
        .collect();
    format!(
        "{came} vertices came, {known} were here, {left} blocks are no vertex's\n{bodies}{lines}{trusted}{borne_out}{own}"
    )
}

//! `ledger prune`: of a node that does not run.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::anyhow;
use city_protocol::amount::Timestamp;
use clap::Args;
use jiff::tz::TimeZone;
use serde_json::json;

use super::super::exit::{Exit, Failure, Outcome};
use super::super::journal::period;
use super::super::passphrase::PassphraseArgs;
use super::super::run::PlaceArgs;
use super::super::{launch, output};
use crate::config::{Config, rfc3339};
use crate::daemon::prune::{Pruning, PruningError, prune};
use crate::engine::{PruneReport, utc};

/// Arguments of `ledger prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Prune what was booked before this day or moment, such as 2026-01-01 or 2026-01-01T12:00:00Z [default: by
    /// retention.bodies].
    #[arg(long, value_name = "DATE", value_parser = moment)]
    before: Option<Timestamp>,
    /// The archive to which the bodies go first; it may not be there yet.
    #[arg(long, value_name = "FILE.car", required_unless_present = "dry_run")]
    export: Option<PathBuf>,
    /// Only say what would go.
    #[arg(long, conflicts_with = "export")]
    dry_run: bool,
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

pub(super) fn run(args: &PruneArgs) -> Outcome {
    let (data, config, identity) = launch::read(&args.place, &args.passphrase)?;
    let before = before(args, &config)?;
    let bar = launch::counter("vertices folded");
    let pruning = Pruning {
        before,
        archive: args.export.as_deref(),
        dry_run: args.dry_run,
    };
    let node = (&data, &config, &identity);
    let done = prune(node, &pruning, &mut |done| bar.set_position(done));
    bar.finish_and_clear();
    let report = match done {
        Ok(report) => report,
        Err(error @ PruningError::NoArchive) => {
            return Err(Failure::new(Exit::Usage, anyhow!(error)));
        }
        Err(error) => return Err(error.into()),
    };
    if args.json {
        let archive = args.export.as_ref().filter(|_| report.bodies() > 0);
        output::object(json!({
            "dry_run": args.dry_run,
            "before": before,
            "bodies": report.bodies(),
            "bytes": report.bytes(),
            "stub_bytes": report.stub_bytes,
            "logs": report.logs,
            "stays": report.stays,
            "archive": archive,
            "more": report.more,
        }))?;
    } else {
        output::text(&told(args, before, &report))?;
    }
    Ok(Exit::Ok)
}

/// Only what is older than this goes.
fn before(args: &PruneArgs, config: &Config) -> Result<Timestamp, Failure> {
    let now = utc();
    let usage = |error| Failure::new(Exit::Usage, error);
    let Some(age) = config.retention.bodies_ms else {
        return Err(usage(anyhow!(
            "retention.bodies is off: this node keeps every body; set it to a number of days first (city-node config show)"
        )));
    };
    match args.before {
        None => Ok(now.minus_ms(age)),
        Some(before) if before > now => {
            let before = rfc3339(before);
            Err(usage(anyhow!("--before {before} has not come yet")))
        }
        Some(before) => Ok(before),
    }
}

/// A moment, or the beginning of a day of the system's time zone.
fn moment(text: &str) -> Result<Timestamp, String> {
    period::moment(text, &TimeZone::system()).map_err(|error| error.to_string())
}

fn told(args: &PruneArgs, before: Timestamp, report: &PruneReport) -> String {
    let mut text = String::new();
    for log in &report.logs {
        let _ = writeln!(
            text,
            "  log {}: {} bodies, {} entries, {} bytes, behind the checkpoint of position {}",
            log.log, log.bodies, log.entries, log.bytes, log.checkpoint
        );
    }
    for (why, count) in &report.stays {
        let why = match *why {
            "kept" => "hold more than transfers and their answers, and are never pruned",
            "open" => {
                "hold a transfer that is not complete, or whose sender's home is not known here"
            }
            "evidence" => "prove a fault",
            "no-checkpoint" => "stand behind no checkpoint that this node verified",
            _ => "do not count",
        };
        let _ = writeln!(text, "  {count} bodies stay: they {why}");
    }
    let (bodies, bytes, left) = (report.bodies(), report.bytes(), report.stub_bytes);
    let before = rfc3339(before);
    match &args.export {
        _ if bodies == 0 => text + &format!("nothing to prune before {before}\n"),
        None => {
            text + &format!(
                "{bodies} bodies of {bytes} bytes before {before} would go; {left} bytes would be left of them\n"
            )
        }
        Some(archive) => {
            let again = if report.more {
                "; there is more: run it again"
            } else {
                ""
            };
            let archive = archive.display();
            text + &format!(
                "{bodies} bodies of {bytes} bytes before {before} are in {archive} and not in the ledger any more; {left} bytes are left of them{again}\n\
                 keep that file: receipts of what is in it are made from it (ledger prove --from), or from the node again after store import\n"
            )
        }
    }
}

//! `ledger equivocation`: what a log signed twice, and the proof of it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use city_protocol::Refusal;
use city_protocol::body::FaultReason;
use city_protocol::genesis::Genesis;
use city_protocol::ledger::{FaultProof, MAX_FAULT_PROOF, SignedTwice, VerifiedFault};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::super::exit::{Exit, Outcome};
use super::super::output;
use super::proof_file::{self, CheckArgs, Shown};
use super::show::name;
use super::source::{Source, SourceArgs, means};
use crate::config::rfc3339;
use crate::ledger::equivocation::{EquivocationPage, EquivocationShown};

/// What can be done with what was signed twice.
#[derive(Debug, Subcommand)]
pub enum EquivocationCommand {
    /// List what this node holds against any log.
    #[command(after_help = "\
Examples:
  city-node ledger equivocation list
  city-node ledger equivocation list --data-dir data --json")]
    List(ListArgs),
    /// Show what a log signed twice.
    #[command(after_help = "\
Example:
  city-node ledger equivocation show 17201")]
    Show(ShowArgs),
    /// Write the proof that convicts a log: one file, for whoever has the genesis record.
    #[command(after_help = "\
Example:
  city-node ledger equivocation export 17201 --out kanazawa.fault")]
    Export(ExportArgs),
    /// Check such a file with nothing but the genesis record.
    #[command(after_help = "\
Example:
  city-node ledger equivocation verify kanazawa.fault --genesis data/network/genesis.cbor

Exit codes: 0 it convicts · 4 it does not.")]
    Verify(CheckArgs),
}

/// Arguments of `ledger equivocation list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Which node.
    #[command(flatten)]
    source: SourceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Which log did it.
#[derive(Debug, Args)]
struct Accused {
    /// The log: its id or the beginning of it, its region, code or name.
    log: String,
    /// The epoch: its newest with a fault if none is named.
    #[arg(long, value_name = "N")]
    epoch: Option<u64>,
}

/// Arguments of `ledger equivocation show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Which log.
    #[command(flatten)]
    accused: Accused,
    /// Which node.
    #[command(flatten)]
    source: SourceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `ledger equivocation export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Which log.
    #[command(flatten)]
    accused: Accused,
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

pub(super) fn run(command: &EquivocationCommand) -> Outcome {
    match command {
        EquivocationCommand::List(args) => list(args),
        EquivocationCommand::Show(args) => show(args),
        EquivocationCommand::Export(args) => export(args),
        EquivocationCommand::Verify(args) => verify(args),
    }
}

fn list(args: &ListArgs) -> Outcome {
    let page = args.source.open()?.equivocations()?;
    if args.json {
        output::object(serde_json::to_value(&page)?)?;
        return Ok(Exit::Ok);
    }
    if page.equivocations.is_empty() {
        output::text("no log that is known here signed anything twice\n")?;
    }
    let mut lines: String = page.equivocations.iter().map(line).collect();
    if page.truncated {
        lines += "… and more, which are not listed\n";
    }
    output::text(&lines)?;
    Ok(Exit::Ok)
}

fn line(shown: &EquivocationShown) -> String {
    format!(
        "{}{} {}; it counts up to position {}\n",
        name(&shown.of),
        if shown.own { " — this home —" } else { "" },
        did(shown.reason, shown.epoch, shown.cut),
        shown.cut
    )
}

/// What a log did, in words.
fn did(reason: FaultReason, epoch: u64, cut: u64) -> String {
    match reason {
        FaultReason::EpochStarts => format!("began epoch {epoch} twice"),
        _ => format!(
            "signed two vertices at position {} of epoch {epoch}",
            cut.saturating_add(1)
        ),
    }
}

/// The page of the log and epoch that are meant.
fn find(source: &Source, accused: &Accused) -> anyhow::Result<EquivocationPage> {
    let all = source.equivocations()?.equivocations;
    let meant = all.iter().filter(|shown| {
        means(&shown.of, &accused.log) && accused.epoch.is_none_or(|epoch| epoch == shown.epoch)
    });
    let meant: Vec<&EquivocationShown> = meant.collect();
    let Some(newest) = meant.last() else {
        bail!(
            "nothing is held here against {:?}; city-node ledger equivocation list says what is",
            accused.log
        )
    };
    if meant.iter().any(|shown| shown.of.log != newest.of.log) {
        bail!(
            "{:?} names more than one log: give more of its id",
            accused.log
        );
    }
    let page = source.equivocation(newest.of.log, newest.epoch)?;
    page.context("it is gone since it was listed; ask again")
}

/// The proof of a page and its bytes.
fn proof(page: &EquivocationPage) -> anyhow::Result<Option<(FaultProof, Vec<u8>)>> {
    let Some(proof) = &page.proof else {
        return Ok(None);
    };
    let bytes = STANDARD.decode(proof).context("the proof is no base64")?;
    Ok(Some((FaultProof::read(&bytes)?, bytes)))
}

fn show(args: &ShowArgs) -> Outcome {
    let page = find(&args.source.open()?, &args.accused)?;
    let proof = proof(&page)?;
    let twice = proof.as_ref().map(|(proof, _)| proof.twice()).transpose();
    let twice = twice.context("the node gave a proof that cannot be read")?;
    let bytes = proof.as_ref().map(|(_, bytes)| bytes.len());
    if args.json {
        let mut fields = serde_json::to_value(&page.shown)?;
        fields["twice"] = twice.as_ref().map_or(Value::Null, twice_fields);
        fields["proof_bytes"] = bytes.into();
        output::object(fields)?;
        return Ok(Exit::Ok);
    }
    let mut text = line(&page.shown);
    text += &format!("  log        {}\n", page.shown.of.log);
    match &twice {
        Some(twice) => text += &twice_lines(twice),
        None => {
            for id in &page.shown.vertices {
                text += &format!("  vertex     {id}\n");
            }
        }
    }
    for author in &page.shown.entered_by {
        text += &format!("  entered by {}\n", name(author));
    }
    text += &match bytes {
        Some(bytes) => format!(
            "  proof      {bytes} bytes; city-node ledger equivocation export {} --epoch {} --out FILE\n",
            page.shown.of.log, page.shown.epoch
        ),
        None => "  proof      not stored here whole; ask another municipality for it\n".to_owned(),
    };
    output::text(&text)?;
    Ok(Exit::Ok)
}

fn export(args: &ExportArgs) -> Outcome {
    let page = find(&args.source.open()?, &args.accused)?;
    let Some((_, bytes)) = proof(&page)? else {
        return Err(anyhow::anyhow!(
            "what proves it is not stored here whole; ask another municipality for its export"
        )
        .into());
    };
    let fields = args
        .json
        .then(|| json!({ "log": page.shown.of.log, "epoch": page.shown.epoch }));
    proof_file::write(&args.out, &bytes, "equivocation verify", fields)
}

fn verify(args: &CheckArgs) -> Outcome {
    let verify = |bytes: &[u8], genesis: &Genesis| FaultProof::read(bytes)?.verify(genesis);
    proof_file::check(args, MAX_FAULT_PROOF, verify, &Shown { fields, told })
}

const fn reason(twice: &SignedTwice) -> FaultReason {
    match twice {
        SignedTwice::Vertices(_) => FaultReason::Equivocation,
        SignedTwice::Beginnings(_) => FaultReason::EpochStarts,
    }
}

fn fields(fault: &VerifiedFault) -> Value {
    json!({
        "valid": true, "log": fault.authority.log, "region": fault.authority.region(), "epoch": fault.epoch,
        "reason": reason(&fault.twice), "cut": fault.cut, "twice": twice_fields(&fault.twice),
    })
}

fn told(verdict: &Result<VerifiedFault, Refusal>) -> String {
    let fault = match verdict {
        Ok(fault) => fault,
        Err(refusal) => return format!("convicts NOBODY: {refusal} ({})\n", refusal.code()),
    };
    let who = match &fault.twice {
        SignedTwice::Vertices(_) => "its node's key",
        SignedTwice::Beginnings(_) => "its officers",
    };
    format!(
        "convicts {}: it {}, by the signatures of {who}\n  log        {}\n  counts     up to position {}\n{}",
        fault.authority.region(),
        did(reason(&fault.twice), fault.epoch, fault.cut),
        fault.authority.log,
        fault.cut,
        twice_lines(&fault.twice)
    )
}

fn twice_fields(twice: &SignedTwice) -> Value {
    match twice {
        SignedTwice::Vertices(headers) => {
            let header = headers.iter().map(|header| {
                let h = &header.header;
                json!({
                    "vertex": header.id, "epoch": h.epoch, "seq": h.seq, "prev": h.prev, "time": rfc3339(h.time),
                    "count": h.count, "entries_root": h.entries_root, "alg": h.alg, "key": h.key,
                })
            });
            header.collect()
        }
        SignedTwice::Beginnings(starts) => {
            let start = starts.iter().map(|start| {
                json!({
                    "cut": start.cut, "cut_seq": start.cut_seq, "officers_sequence": start.officers_sequence,
                    "created_at": rfc3339(start.created_at), "reason": start.reason,
                })
            });
            start.collect()
        }
    }
}

fn twice_lines(twice: &SignedTwice) -> String {
    match twice {
        SignedTwice::Vertices(headers) => {
            let line = |header: &city_protocol::vertex::SignedHeader| {
                let h = &header.header;
                format!(
                    "  vertex     {}, {}, {} entries, signed with {} key {}\n",
                    header.id,
                    rfc3339(h.time),
                    h.count,
                    h.alg,
                    h.key
                )
            };
            headers.iter().map(line).collect()
        }
        SignedTwice::Beginnings(starts) => {
            let line = |start: &city_protocol::body::EpochStart| {
                format!(
                    "  beginning  behind position {} ({}), {}: {}\n",
                    start.cut_seq,
                    start.cut,
                    rfc3339(start.created_at),
                    output::printable(start.reason.as_str())
                )
            };
            starts.iter().map(line).collect()
        }
    }
}

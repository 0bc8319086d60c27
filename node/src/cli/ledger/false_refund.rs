//! `ledger false-refund`: what was accepted in time and given back as expired all the same.

use std::path::PathBuf;

use city_protocol::Refusal;
use city_protocol::genesis::Genesis;
use city_protocol::ids::Digest;
use city_protocol::ledger::{FalseRefund, MAX_FALSE_REFUND, VerifiedFalseRefund};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::super::exit::Outcome;
use super::proof_file::{self, CheckArgs, Shown};
use super::source::SourceArgs;
use crate::config::rfc3339;

/// What can be done with a false refund.
#[derive(Debug, Subcommand)]
pub enum FalseRefundCommand {
    /// Write the proof: the receipts of a transfer, its acceptance and its refund, for whoever has the genesis record.
    #[command(after_help = "\
Example:
  city-node ledger false-refund export sha256:08d7… --out kanazawa.refund --data-dir data

The node has followed both homes, and runs or is stopped.")]
    Export(ExportArgs),
    /// Check such a file with nothing but the genesis record.
    #[command(after_help = "\
Example:
  city-node ledger false-refund verify kanazawa.refund --genesis data/network/genesis.cbor

Exit codes: 0 it shows a false refund · 4 it does not.")]
    Verify(CheckArgs),
}

/// Arguments of `ledger false-refund export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Identity of the transfer: sha256: and 64 hexadecimal digits.
    identity: Digest,
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

pub(super) fn run(command: &FalseRefundCommand) -> Outcome {
    match command {
        FalseRefundCommand::Export(args) => export(args),
        FalseRefundCommand::Verify(args) => verify(args),
    }
}

fn export(args: &ExportArgs) -> Outcome {
    let source = args.source.open()?;
    let bytes = source.false_refund(&args.identity)?;
    let fields = args.json.then(|| json!({}));
    proof_file::write(&args.out, &bytes, "false-refund verify", fields)
}

fn verify(args: &CheckArgs) -> Outcome {
    let verify = |bytes: &[u8], genesis: &Genesis| FalseRefund::read(bytes)?.verify(genesis);
    proof_file::check(args, MAX_FALSE_REFUND, verify, &Shown { fields, told })
}

fn fields(proof: &VerifiedFalseRefund) -> Value {
    let place = |receipt: &city_protocol::vertex::VerifiedReceipt| {
        let h = &receipt.header.header;
        json!({
            "log": h.log, "region": receipt.authority.region(), "vertex": receipt.vertex, "epoch": h.epoch,
            "seq": h.seq, "index": receipt.index, "time": rfc3339(h.time),
        })
    };
    json!({
        "valid": true, "identity": proof.identity, "amount": proof.amount, "deadline": rfc3339(proof.deadline),
        "transfer": place(&proof.transfer), "accept": place(&proof.accept), "refund": place(&proof.refund),
    })
}

fn told(verdict: &Result<VerifiedFalseRefund, Refusal>) -> String {
    let proof = match verdict {
        Ok(proof) => proof,
        Err(refusal) => return format!("shows NOTHING false: {refusal} ({})\n", refusal.code()),
    };
    let time =
        |receipt: &city_protocol::vertex::VerifiedReceipt| rfc3339(receipt.header.header.time);
    let region =
        |receipt: &city_protocol::vertex::VerifiedReceipt| receipt.authority.region().clone();
    format!(
        "{} gave back as expired what {} had accepted in time\n  transfer   {}, {}, sent {}\n  deadline   {}\n  accepted   {}, vertex {}\n  given back {}, vertex {}\n",
        region(&proof.refund),
        region(&proof.accept),
        proof.identity,
        proof.amount,
        time(&proof.transfer),
        rfc3339(proof.deadline),
        time(&proof.accept),
        proof.accept.vertex,
        time(&proof.refund),
        proof.refund.vertex,
    )
}

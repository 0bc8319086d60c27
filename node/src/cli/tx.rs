//! `tx verify-receipt`: checks a receipt with nothing but the genesis record.

use std::path::{Path, PathBuf};

use city_protocol::Refusal;
use city_protocol::body::{Kind, Transfer, read_person_body};
use city_protocol::genesis::{Genesis, MAX_GENESIS};
use city_protocol::vertex::{MAX_RECEIPT, Receipt, VerifiedReceipt};
use clap::Subcommand;
use serde_json::{Value, json};

use super::exit::{Exit, Outcome};
use super::input::read;
use super::output;
use crate::config::rfc3339;

/// What can be done with transactions.
#[derive(Debug, Subcommand)]
pub enum TxCommand {
    /// Verify a receipt offline: every hash, path and signature up to the network's roots.
    #[command(after_help = "\
Examples:
  city-node tx verify-receipt receipt.cbor --genesis data/network/genesis.cbor
  cat receipt.cbor | city-node tx verify-receipt - --genesis genesis.cbor --json

The answer is valid as of the receipt: what was booked later is not in it.
Exit codes: 0 it holds · 4 it does not.")]
    VerifyReceipt {
        /// The receipt (DAG-CBOR as the API gives it); - reads standard input.
        file: PathBuf,
        /// The network's genesis record.
        #[arg(long, value_name = "FILE")]
        genesis: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &TxCommand) -> Outcome {
    let TxCommand::VerifyReceipt {
        file,
        genesis,
        json,
    } = command;
    let record = Genesis::read(&read(genesis, MAX_GENESIS)?).map_err(|refusal| {
        anyhow::anyhow!(
            "{}: not a genesis record ({refusal}); copy it from the network's CA or a data directory",
            genesis.display()
        )
    })?;
    let bytes = read(file, MAX_RECEIPT)?;
    let verdict = Receipt::read(&bytes).and_then(|receipt| receipt.verify(&record));
    let exit = if verdict.is_ok() {
        Exit::Ok
    } else {
        Exit::CheckFailed
    };
    if *json {
        output::object(match &verdict {
            Ok(receipt) => fields(receipt),
            Err(refusal) => json!({
                "valid": false, "code": refusal.code(), "reason": refusal.to_string(),
            }),
        })?;
    } else {
        output::text(&told(file, &verdict))?;
    }
    Ok(exit)
}

fn fields(receipt: &VerifiedReceipt) -> Value {
    let h = &receipt.header.header;
    json!({
        "valid": true,
        "network": h.network,
        "region": receipt.authority.region(),
        "log": h.log,
        "vertex": receipt.vertex,
        "epoch": h.epoch,
        "seq": h.seq,
        "index": receipt.index,
        "time": rfc3339(h.time),
        "kind": receipt.entry.kind.as_str(),
        "balance_after": receipt.entry.booked.balance_after,
        "place": receipt.entry.booked.place.map(|grade| grade.code()),
        // Bodies of people and homes are JSON; what is not stays out.
        "body": serde_json::from_slice::<Value>(&receipt.entry.body).ok(),
    })
}

fn told(file: &Path, verdict: &Result<VerifiedReceipt, Refusal>) -> String {
    let file = file.display();
    let receipt = match verdict {
        Ok(receipt) => receipt,
        Err(refusal) => {
            return format!("{file}: does NOT hold: {refusal} ({})\n", refusal.code());
        }
    };
    let h = &receipt.header.header;
    let mut text = format!(
        "{file}: holds, valid as of this receipt\n\
         booked by  {} (log {})\n\
         entry      {} at epoch {}, seq {}, index {}\n\
         vertex     {}\n\
         time       {}\n",
        receipt.authority.region(),
        h.log,
        receipt.entry.kind.as_str(),
        h.epoch,
        h.seq,
        receipt.index,
        receipt.vertex,
        rfc3339(h.time),
    );
    if receipt.entry.kind == Kind::Transfer
        && let Ok(transfer) = read_person_body::<Transfer>(&receipt.entry.body)
    {
        text += &format!("sender     {}\n", transfer.sender);
        text += &format!(
            "receiver   {} ({})\n",
            transfer.receiver, transfer.receiver_municipality
        );
        text += &format!("amount     {}\n", transfer.amount);
    }
    if let Some(balance) = receipt.entry.booked.balance_after {
        text += &format!("balance    {balance} after it\n");
    }
    text
}

//! Transactions. `verify-receipt` checks a receipt with nothing but the genesis record (here) · `form` a transfer's two
//! files · `draft`, `sign`, `send` (with `place`) the way out · `list`, `answer`, `receipt` the way back · `show` what stands
//! in a receipt or in the node (`about` what a receipt is about) · `outbox` what a terminal keeps · `message` opening what is sealed · `private` erasing values, and proving one.

mod about;
mod answer;
mod draft;
mod form;
mod list;
mod message;
mod outbox;
mod private;
mod receipt;
mod send;
mod show;
mod sign;

use std::path::{Path, PathBuf};

use city_protocol::Refusal;
use city_protocol::genesis::{Genesis, MAX_GENESIS};
use city_protocol::vertex::{Booked, MAX_RECEIPT, Receipt, VerifiedReceipt};
use clap::Subcommand;
use serde_json::{Value, json};

use super::exit::{Exit, Outcome};
use super::input::read;
use super::output;
use crate::config::rfc3339;
use about::About;

/// What can be done with transactions.
#[derive(Debug, Subcommand)]
pub enum TxCommand {
    /// Write a transfer down. No keys are needed, and with saved pages of the homes no network.
    Draft(Box<draft::DraftArgs>),
    /// Ask the home for the proof of place that a draft needs.
    Place(send::PlaceArgs),
    /// Sign a draft with a wallet, without a network.
    Sign(sign::SignArgs),
    /// Send a transfer: a draft, proven in place and signed on the way, or what was signed before.
    Send(Box<send::SendArgs>),
    /// Transfers that a terminal keeps because its home could not be reached.
    #[command(subcommand)]
    Outbox(outbox::OutboxCommand),
    /// List what an account has sent, what waits for it, and what was answered.
    List(list::ListArgs),
    /// Take a transfer that waits.
    #[command(after_help = "\
Example:
  city-node tx list --wallet yosa.wallet --incoming --state pending --node https://node.example:8443 --tls-root tls-root.pem
  city-node tx accept sha256:08d7… --wallet yosa.wallet --node https://node.example:8443 --tls-root tls-root.pem

Doing it again is harmless: the home says what became of it.
Exit codes: 0 accepted, now or before · 1 answered otherwise before, refused or not reached.")]
    Accept(answer::AnswerArgs),
    /// Turn down a transfer that waits: the sender gets it back.
    #[command(after_help = "\
Example:
  city-node tx reject sha256:08d7… --wallet yosa.wallet --node https://node.example:8443 --tls-root tls-root.pem

It cannot be taken afterwards. Doing it again is harmless: the home says what became of it.
Exit codes: 0 rejected, now or before · 1 answered otherwise before, refused or not reached.")]
    Reject(answer::AnswerArgs),
    /// Fetch the receipt of a transfer, or of the answer to it, and keep it.
    Receipt(receipt::ReceiptArgs),
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
    /// Show a transfer: in a receipt, or as the running node has it, with its private values; open its sealed message.
    Show(Box<show::ShowArgs>),
    /// Erase the private values of a transfer from this node. The ledger stays as it is and stays valid.
    ErasePrivate(private::EraseArgs),
    /// Prove offline that a value is the one that the sender signed: by a receipt and the value's salt.
    VerifyPrivate(private::VerifyArgs),
}

pub(super) fn run(command: &TxCommand) -> Outcome {
    match command {
        TxCommand::Draft(args) => draft::run(args),
        TxCommand::Place(args) => send::place(args),
        TxCommand::Sign(args) => sign::run(args),
        TxCommand::Send(args) => send::run(args),
        TxCommand::Outbox(command) => outbox::run(command),
        TxCommand::List(args) => list::run(args),
        TxCommand::Accept(args) => answer::run(args, answer::Answer::Accept),
        TxCommand::Reject(args) => answer::run(args, answer::Answer::Reject),
        TxCommand::Receipt(args) => receipt::run(args),
        TxCommand::VerifyReceipt {
            file,
            genesis,
            json,
        } => verify(file, genesis, *json),
        TxCommand::Show(args) => show::run(args),
        TxCommand::ErasePrivate(args) => private::erase(args),
        TxCommand::VerifyPrivate(args) => private::verify(args),
    }
}

/// Reads a receipt and judges it.
fn judge(file: &Path, genesis: &Path) -> anyhow::Result<Result<VerifiedReceipt, Refusal>> {
    let record = Genesis::read(&read(genesis, MAX_GENESIS)?).map_err(|refusal| {
        anyhow::anyhow!(
            "{}: not a genesis record ({refusal}); copy it from the network's CA or a data directory",
            genesis.display()
        )
    })?;
    let bytes = read(file, MAX_RECEIPT)?;
    Ok(Receipt::read(&bytes).and_then(|receipt| receipt.verify(&record)))
}

fn verify(file: &Path, genesis: &Path, json: bool) -> Outcome {
    let verdict = judge(file, genesis)?;
    let exit = if verdict.is_ok() {
        Exit::Ok
    } else {
        Exit::CheckFailed
    };
    if json {
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
    let mut fields = json!({
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
        "unconfirmed": is_unconfirmed(&receipt.entry.booked),
        // Bodies of people and homes are JSON; what is not stays out.
        "body": serde_json::from_slice::<Value>(&receipt.entry.body).ok(),
    });
    if let Ok(about) = About::read(&receipt.entry) {
        about.put(&mut fields);
    }
    fields
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
    if let Ok(about) = About::read(&receipt.entry) {
        text += &about.text();
    }
    if let Some(balance) = receipt.entry.booked.balance_after {
        text += &format!("balance    {balance} after it\n");
    }
    text + note(&receipt.entry.booked)
}

fn is_unconfirmed(booked: &Booked) -> bool {
    booked.unconfirmed == Some(true)
}

/// What people should know of a booking beside its figures; empty where there is nothing.
fn note(booked: &Booked) -> &'static str {
    if is_unconfirmed(booked) {
        "unconfirmed (未確認): when its home booked this, no peer had confirmed that the home's log was whole\n"
    } else {
        ""
    }
}

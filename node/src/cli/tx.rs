//! `tx verify-receipt`: checks a receipt with nothing but the genesis record. `tx show`: what stands in it, and its sealed
//! message for whom that was sealed.

use std::path::{Path, PathBuf};

use city_protocol::Refusal;
use city_protocol::body::{Kind, Transfer, read_person_body};
use city_protocol::crypto::SealedBoxContext;
use city_protocol::genesis::{Genesis, MAX_GENESIS};
use city_protocol::vertex::{MAX_RECEIPT, Receipt, VerifiedReceipt};
use clap::Subcommand;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::account;
use super::exit::{Exit, Failure, Outcome};
use super::input::read;
use super::output;
use super::passphrase::PassphraseArgs;
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
    /// Show the transfer in a receipt; with the receiver's wallet, open its sealed message.
    #[command(after_help = "\
Examples:
  city-node tx show receipt.cbor --genesis genesis.cbor
  city-node tx show receipt.cbor --genesis genesis.cbor --open yosa.wallet

The node cannot open the message, only the receiver's key can. Exit codes: 0 shown · 4 the receipt does not hold, or
the message is not for this wallet.")]
    Show {
        /// The receipt of a transfer (DAG-CBOR as the API gives it); - reads standard input.
        file: PathBuf,
        /// The network's genesis record.
        #[arg(long, value_name = "FILE")]
        genesis: PathBuf,
        /// Open the message with the keys in this wallet.
        #[arg(long, value_name = "WALLET")]
        open: Option<PathBuf>,
        /// The wallet's passphrase.
        #[command(flatten)]
        passphrase: PassphraseArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &TxCommand) -> Outcome {
    match command {
        TxCommand::VerifyReceipt {
            file,
            genesis,
            json,
        } => verify(file, genesis, *json),
        TxCommand::Show {
            file,
            genesis,
            open,
            passphrase,
            json,
        } => show(file, genesis, open.as_deref(), passphrase, *json),
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

fn show(
    file: &Path,
    genesis: &Path,
    wallet: Option<&Path>,
    passphrase: &PassphraseArgs,
    json: bool,
) -> Outcome {
    let receipt = judge(file, genesis)?;
    let transfer = receipt.and_then(|receipt| match receipt.entry.kind {
        Kind::Transfer => read_person_body::<Transfer>(&receipt.entry.body),
        _ => Err(Refusal::BadField),
    });
    let transfer = match transfer {
        Ok(transfer) => transfer,
        Err(refusal) => {
            let why = anyhow::anyhow!(
                "{}: not the receipt of a transfer that holds: {refusal} ({})",
                file.display(),
                refusal.code()
            );
            return Err(Failure::new(Exit::CheckFailed, why));
        }
    };
    let message = match wallet {
        Some(path) => Some(open_message(&transfer, path, passphrase)?),
        None => None,
    };
    if json {
        output::object(json!({
            "transfer": transfer,
            "message": message.as_ref().map(|text| text.as_str()),
        }))?;
        return Ok(Exit::Ok);
    }
    let mut text = format!(
        "sender     {} ({})\nreceiver   {} ({})\namount     {}\nwritten    {}\ntransfer   {}\n",
        transfer.sender,
        transfer.sender_municipality,
        transfer.receiver,
        transfer.receiver_municipality,
        transfer.amount,
        rfc3339(transfer.created_at),
        transfer.transfer_id,
    );
    text += &match (&transfer.message, &message) {
        (_, Some(message)) => format!("message    {}\n", message.as_str()),
        (Some(sealed), None) => format!(
            "message    sealed for the key {} ({}); open it with --open WALLET\n",
            sealed.key, sealed.alg
        ),
        (None, None) => "message    none\n".into(),
    };
    output::text(&text)?;
    Ok(Exit::Ok)
}

/// Opens the message of a transfer with the keys of a wallet.
fn open_message(
    transfer: &Transfer,
    wallet: &Path,
    passphrase: &PassphraseArgs,
) -> Result<Zeroizing<String>, Failure> {
    let not_for = |why: &str| {
        let why = anyhow::anyhow!("{}: {why}", wallet.display());
        Failure::new(Exit::CheckFailed, why)
    };
    let sealed = transfer
        .message
        .as_ref()
        .ok_or_else(|| not_for("this transfer carries no message"))?;
    let wallet = account::open(wallet, passphrase)?;
    let context = SealedBoxContext {
        network: transfer.network,
        sender: transfer.sender,
        receiver: transfer.receiver,
        transfer_id: transfer.transfer_id,
    };
    let opened = wallet.kem().open(&context, sealed).map_err(|refusal| {
        not_for(match refusal {
            Refusal::WrongKey => "the message was sealed for another key than this wallet's",
            _ => "the message does not open: it was changed, or moved from another transfer",
        })
    })?;
    let text = std::str::from_utf8(&opened).map_err(|_| not_for("the message is not text"))?;
    Ok(Zeroizing::new(text.to_owned()))
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

//! `tx receipt`: the receipt of what was sent, or of the answer that was given, fetched and kept.

use std::path::PathBuf;

use anyhow::Context as _;
use city_protocol::genesis::{Genesis, MAX_GENESIS};
use city_protocol::ids::Digest;
use city_protocol::vertex::Receipt;
use clap::Args;
use serde_json::json;

use super::super::account::again;
use super::super::exit::{Exit, Failure, Outcome};
use super::super::home::{HomeArgs, WalletArgs, person};
use super::super::input::{keep, read};
use super::super::launch::runtime;
use super::super::output;
use crate::api::wire::Der;
use crate::client::ClientError;

/// Arguments of `tx receipt`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node tx receipt sha256:08d7… --wallet chiyo.wallet --node https://node.example:8443 --tls-root tls-root.pem --out leek.receipt
  city-node tx receipt sha256:08d7… --wallet chiyo.wallet --node … --tls-root … --genesis genesis.cbor --out leek.receipt

The sender gets the transfer's receipt from their home, the receiver that of their answer from theirs. With --genesis it is
verified before it is kept. The file appears whole or not at all, and replaces nothing.
Exit codes: 0 kept · 1 there is none (yet) · 4 it does not hold.")]
pub struct ReceiptArgs {
    /// Identity of the transfer: sha256: and 64 hexadecimal digits.
    identity: Digest,
    /// Whose wallet.
    #[command(flatten)]
    wallet: WalletArgs,
    /// The person's home.
    #[command(flatten)]
    home: HomeArgs,
    /// Verify it with the network's genesis record.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// The new file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReceiptArgs) -> Outcome {
    let wallet = args.wallet.open()?;
    let api = args.home.api()?;
    let page = runtime()?.block_on(async {
        let home = api.node().await?;
        let person = person(wallet, &home, args.wallet.account);
        api.login(&person).await?;
        let page = api
            .transfer_state(&person.account(), &args.identity)
            .await?;
        Ok::<_, ClientError>((person.account(), page))
    });
    let (account, page) = page.map_err(again)?;
    // In one home both are there: each gets what is theirs.
    let (what, receipt) = match account == page.receiver {
        true => ("answer", page.answer_receipt.or(page.receipt)),
        false => ("transfer", page.receipt),
    };
    let Some(Der(receipt)) = receipt else {
        return Err(anyhow::anyhow!(
            "this home has no receipt for {account} of it yet; its state is: {}",
            page.state.en
        )
        .into());
    };
    if let Some(genesis) = &args.genesis {
        let record = Genesis::read(&read(genesis, MAX_GENESIS)?)
            .with_context(|| format!("{}: not a genesis record", genesis.display()))?;
        let verdict = Receipt::read(&receipt).and_then(|receipt| receipt.verify(&record));
        if let Err(refusal) = verdict {
            let why = anyhow::anyhow!(
                "the home gave a receipt that does NOT hold: {refusal} ({}); it was not kept",
                refusal.code()
            );
            return Err(Failure::new(Exit::CheckFailed, why));
        }
    }
    keep(&args.out, &receipt)?;
    if args.json {
        output::object(json!({
            "transfer": args.identity, "of": what, "state": page.state, "finality": page.finality,
            "file": args.out, "bytes": receipt.len(), "verified": args.genesis.is_some(),
        }))?;
    } else {
        output::text(&format!(
            "{}: the receipt of the {what}, {} bytes{}\nstate      {} ({}), {}\n",
            args.out.display(),
            receipt.len(),
            match args.genesis {
                Some(_) => ", and it holds",
                None => "; verify it: city-node tx verify-receipt FILE --genesis FILE",
            },
            page.state.en,
            page.state.ja,
            page.finality,
        ))?;
    }
    Ok(Exit::Ok)
}

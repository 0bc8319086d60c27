//! `tx sign`: a draft becomes a signed transfer, with a wallet and without a network.

use std::path::PathBuf;

use anyhow::bail;
use city_protocol::body::Transfer;
use city_protocol::client::EXPIRES_MS;
use clap::Args;

use super::super::exit::{Exit, Outcome};
use super::super::home::WalletArgs;
use super::super::input::write_private;
use super::super::output;
use super::draft::fields;
use super::form::{DraftForm, Form, Settled, read_proof};
use crate::client::wallet::Wallet;
use crate::engine::utc;

/// Arguments of `tx sign`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples, where the wallet is on a machine without a network:
  city-node tx place leek.json --node https://node.example:8443 --tls-root tls-root.pem --out place.json   (connected)
  city-node tx sign leek.json --wallet chiyo.wallet --proof place.json --sequence 7 --out signed.json      (not connected)
  city-node tx send signed.json --node https://node.example:8443 --tls-root tls-root.pem                   (connected)

A proof of place is fresh for five minutes, and what is signed must be sent within ten. The sequence number is the account's
next: one more than in its last entry (city-node tx list tells it).")]
pub struct SignArgs {
    /// The draft; - reads standard input.
    draft: PathBuf,
    /// Whose wallet.
    #[command(flatten)]
    wallet: WalletArgs,
    /// The proof of place (city-node tx place).
    #[arg(long, value_name = "FILE")]
    proof: PathBuf,
    /// The account's next sequence number, unless the draft has it.
    #[arg(long)]
    sequence: Option<u64>,
    /// What is to be sent; - prints it.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print one JSON object about it.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SignArgs) -> Outcome {
    let draft = match Form::read(&args.draft)? {
        Form::Draft(draft) => draft,
        Form::Signed(_) => {
            return Err(anyhow::anyhow!(
                "{}: is signed already; send it with: city-node tx send",
                args.draft.display()
            )
            .into());
        }
    };
    if args.sequence.is_none() && !draft.has_sequence() {
        return Err(anyhow::anyhow!(
            "the draft has no sequence number yet: give --sequence, the account's next number"
        )
        .into());
    }
    let wallet = args.wallet.open()?;
    let transfer = is_of(&draft, &wallet)?;
    let settled = Settled {
        sequence: args.sequence,
        proof_of_place: Some(read_proof(&args.proof, &transfer)?),
        now: utc(),
        valid_ms: EXPIRES_MS,
    };
    let (signing, _) = wallet.into_keys();
    let form = draft.sign(&settled, &signing)?;
    let signed = form.signed()?;
    if args.out.as_os_str() == "-" {
        output::bytes(&form.to_bytes())?;
        return Ok(Exit::Ok);
    }
    write_private(&args.out, &form.to_bytes())?;
    if args.json {
        let mut told = fields(signed.body());
        told["file"] = args.out.display().to_string().into();
        told["identity"] = signed.identity().to_string().into();
        output::object(told)?;
    } else {
        output::text(&format!(
            "{}: signed with {} ({}); send it within ten minutes\namount     {}\nidentity   {}\nhash       {}\n",
            args.out.display(),
            signing.public().id(),
            signing.public().algorithm(),
            signed.body().amount,
            signed.identity(),
            signed.body().transaction_hash(),
        ))?;
    }
    Ok(Exit::Ok)
}

/// The draft as a transfer, if this wallet is its sender's.
pub(super) fn is_of(draft: &DraftForm, wallet: &Wallet) -> anyhow::Result<Transfer> {
    let transfer = draft.shown()?;
    if transfer.key != wallet.signing_public().id() {
        bail!(
            "the draft is for the key {}, the wallet has {}: name the other wallet, or write the draft anew",
            transfer.key,
            wallet.signing_public().id()
        );
    }
    Ok(transfer)
}

//! `grant`: officers give an account 愛貨. Signing and handing in are the same for every decision (`officers`).

use std::path::PathBuf;

use city_protocol::amount::Amount;
use city_protocol::client::officer::{self, NextDecision};
use city_protocol::ids::AccountId;
use clap::{Args, Subcommand};

use super::exit::Outcome;
use super::home::HomePageArgs;
use super::officers;
use super::renewal::{self, SubmitArgs, propose};
use crate::engine::utc;

/// What can be done about grants.
#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// Write down for the officers that an account is to get 愛貨.
    #[command(after_help = "\
Examples:
  city-node grant propose --account ubqxbxvmedbbampu-… --amount 1000.00 --reason 地域の応援 \\
      --node https://node.example:8443 --tls-root tls-root.pem --out grant.json
  city-node grant propose --account … --amount 1000.00 --reason … --home home.json --officers-sequence 7 --out grant.json

Without a network: home.json is what `account policy --json` wrote, and --officers-sequence the log's next number.
The officers decide one after the other: of two proposals with the same number only one is booked.")]
    Propose(ProposeArgs),
    /// Read a decision and sign it with an officer's key; without a network.
    #[command(after_help = "\
Example:
  city-node grant sign grant.json --key officer-1.key --out 1.json

What is signed is shown first. The signature is one JSON object; it says nothing about the other officers.")]
    Sign(officers::SignArgs),
    /// Hand it in with the officers' signatures.
    #[command(after_help = "\
Example:
  city-node grant submit grant.json 1.json 2.json --node https://node.example:8443 --tls-root tls-root.pem --receipt grant.receipt

Doing it again after a time-out is harmless: the home says that it was booked already.")]
    Submit(SubmitArgs),
}

/// Arguments of `grant propose`.
#[derive(Debug, Args)]
pub struct ProposeArgs {
    /// Who receives.
    #[arg(long)]
    account: AccountId,
    /// How much, such as 1000.00.
    #[arg(long)]
    amount: Amount,
    /// Why, for whoever reads the ledger.
    #[arg(long)]
    reason: String,
    /// The account's home.
    #[command(flatten)]
    home: HomePageArgs,
    /// The log's next officers' number [default: what the home says].
    #[arg(long, value_name = "N")]
    officers_sequence: Option<u64>,
    /// Where the text for the officers is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(command: &GrantCommand) -> Outcome {
    match command {
        GrantCommand::Propose(args) => write(args),
        GrantCommand::Sign(args) => officers::sign(args),
        GrantCommand::Submit(args) => renewal::submit(args),
    }
}

fn write(args: &ProposeArgs) -> Outcome {
    let home = args.home.page()?;
    if !args.account.is_of(&home.log) {
        return Err(anyhow::anyhow!(
            "{} is no account of {}: name the account's own home",
            args.account,
            home.region
        )
        .into());
    }
    let mut next = NextDecision::from(&home);
    if let Some(number) = args.officers_sequence {
        next.officers_sequence = number;
    }
    let body = officer::grant(next, args.account, args.amount, &args.reason, utc())?;
    propose(&body, &args.out, &home)
}

//! `account enrol`: the account is opened at its home.

use std::path::PathBuf;

use anyhow::Context as _;
use city_protocol::Refusal;
use clap::Args;
use serde_json::json;

use super::super::exit::{Exit, Outcome};
use super::super::launch::runtime;
use super::super::output;
use super::super::passphrase::PassphraseArgs;
use super::{again, certificates, open};
use crate::client::person::Person;
use crate::client::{ApiClient, ClientError};
use crate::engine::utc;
use crate::keys::file::write_secret;

/// Arguments of `account enrol`.
#[derive(Debug, Args)]
pub struct EnrolArgs {
    /// The wallet.
    pub file: PathBuf,
    /// The home's address.
    #[arg(long, value_name = "URL")]
    pub node: String,
    /// The network's TLS root (PEM).
    #[arg(long, value_name = "FILE")]
    pub tls_root: PathBuf,
    /// The person's certificate, and its intermediates (PEM, leaf first).
    #[arg(long, value_name = "FILE")]
    pub certificate: PathBuf,
    /// Write the receipt (DAG-CBOR) to this new file.
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<PathBuf>,
    /// The wallet's passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &EnrolArgs) -> Outcome {
    let wallet = open(&args.file, &args.passphrase)?;
    let roots = certificates(&args.tls_root)?;
    let chain = certificates(&args.certificate)?;
    let (leaf, chain) = chain
        .split_first()
        .context("a file of certificates holds one at least")?;
    let chain: Vec<Vec<u8>> = chain.iter().map(|der| der.to_vec()).collect();
    let done = runtime()?.block_on(async {
        let api = ApiClient::new(&args.node, &roots)?;
        let home = api.node().await?;
        let (signing, kem) = wallet.into_keys();
        let person = Person::new(signing, kem, &home);
        let signed = person.enrol(leaf, utc())?;
        let account = person.account();
        let done = match api.enrol(&signed, leaf, &chain).await {
            Ok(done) => Some(done),
            // Written anew it is another enrolment to the home; who can log in with this key enrolled with it.
            Err(error) if error.code() == Some(Refusal::AccountExists.code()) => {
                match api.login(&person).await {
                    Ok(_) => None,
                    Err(_) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        Ok::<_, ClientError>((account, home, done))
    });
    let (account, home, done) = done.map_err(again)?;
    if let (Some(path), Some(done)) = (&args.receipt, &done) {
        write_secret(path, &done.receipt)?;
    }
    let repeated = done.as_ref().is_none_or(|done| done.repeated);
    if args.json {
        output::object(json!({
            "account": account,
            "region": home.region,
            "log": home.log,
            "vertex": done.as_ref().map(|done| done.vertex),
            "repeated": repeated,
            "finality": done.as_ref().map(|done| &done.finality),
            "witnesses": done.as_ref().map(|done| done.witnesses),
        }))?;
    } else {
        let verb = if repeated {
            "was booked already: nothing was done twice"
        } else {
            "is booked"
        };
        let mut text = format!(
            "account  {account}\nhome     {} (log {})\nThe enrolment {verb}.\n",
            home.region, home.log
        );
        if let Some(done) = &done {
            let finality = output::finality(&done.finality, done.witnesses);
            text += &format!("finality {finality}\n");
        }
        output::text(&text)?;
    }
    Ok(Exit::Ok)
}

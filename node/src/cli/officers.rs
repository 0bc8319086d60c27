//! `officers`: an officer reads what is to be decided and signs it, offline, with a key file alone; what enough of them
//! signed is handed in.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use city_protocol::amount::Amount;
use city_protocol::client::officer;
use city_protocol::ids::{AccountId, Digest};
use city_protocol::json::MAX_CHARTER_BODY;
use city_protocol::vertex::EntrySignature;
use clap::{Args, Subcommand};

use super::charter::{self, CharterCommand};
use super::exit::{Exit, Outcome};
use super::home::HomePageArgs;
use super::renewal::{self, OfficersRevokeArgs, SubmitArgs};
use super::{decision, input, output};
use crate::api::wire::SignatureForm;
use crate::engine::utc;
use crate::keys;

/// Longest signature file in bytes: some 4,700 bytes in base64, and room.
const MAX_SIGNATURE: usize = 16 * 1024;

/// What officers can do.
#[derive(Debug, Subcommand)]
pub enum OfficersCommand {
    /// Read a decision (grant, revoke, recover, charter, epoch-start), and sign it with an officer's key.
    #[command(after_help = "\
Example:
  city-node officers sign epoch.json --key officer-1.key --out 1.json

What is signed is shown first. The signature is one JSON object; it says nothing about the other officers.")]
    Sign(SignArgs),
    /// Write down that an account's key is to be closed.
    #[command(after_help = "\
Example:
  city-node officers revoke ubqxbxvmedbbampu-… --reason 盗難 --node https://node.example:8443 --tls-root tls-root.pem --out revoke.json")]
    Revoke(OfficersRevokeArgs),
    /// Write down that an account is to give 愛貨 back: at most what it has available.
    #[command(after_help = "\
Example:
  city-node officers ungrant ubqxbxvmedbbampu-… --amount 100.00 --reason 誤付与 --node https://node.example:8443 --tls-root tls-root.pem --out ungrant.json")]
    Ungrant(TakeBackArgs),
    /// Write down what no rule puts right: a transfer whose receiver's home fell silent goes back, or an account makes good
    /// a part of the log's shortfall.
    #[command(after_help = "\
Examples:
  city-node officers correct ubqxbxvmedbbampu-… --amount 100.00 --transfer sha256:08d7… --reason 先方の停止 --node … --tls-root … --out correct.json
  city-node officers correct ubqxbxvmedbbampu-… --amount 100.00 --reason 不足の補填 --node … --tls-root … --out correct.json

A transfer goes back when its receiver's home has been silent for a year behind the 180 days of the deadline, whole and to its
sender; the home refuses it while an answer is known.")]
    Correct(CorrectArgs),
    /// Show who decides at a home, or write down who is to from now on.
    #[command(subcommand)]
    Charter(CharterCommand),
    /// Hand in what officers decided, with their signatures.
    #[command(after_help = "\
Example:
  city-node officers submit revoke.json 1.json 2.json --node https://node.example:8443 --tls-root tls-root.pem")]
    Submit(SubmitArgs),
}

/// Arguments of `officers sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// The decision: the exact bytes that are to be signed.
    body: PathBuf,
    /// The officer's key file.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the signature is written; without it, to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Arguments of `officers ungrant`, and within those of `officers correct`.
#[derive(Debug, Args)]
pub struct TakeBackArgs {
    /// The account.
    account: AccountId,
    /// How much, such as 100.00.
    #[arg(long)]
    amount: Amount,
    /// Why, for whoever reads the ledger.
    #[arg(long)]
    reason: String,
    /// The account's home.
    #[command(flatten)]
    home: HomePageArgs,
    /// Where the text for the officers is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Arguments of `officers correct`.
#[derive(Debug, Args)]
pub struct CorrectArgs {
    /// Whom it is about, and how much.
    #[command(flatten)]
    what: TakeBackArgs,
    /// Identity of the transfer that goes back to this account: sha256: and 64 hexadecimal digits.
    #[arg(long, value_name = "IDENTITY")]
    transfer: Option<Digest>,
}

fn ungrant(args: &TakeBackArgs) -> Outcome {
    let home = args.home.page()?;
    let body = officer::ungrant(&home, args.account, args.amount, &args.reason, utc())?;
    renewal::propose(&body, &args.out, &home)
}

fn correct(CorrectArgs { what, transfer }: &CorrectArgs) -> Outcome {
    let home = what.home.page()?;
    let about = (what.account, what.amount);
    let body = officer::correct(&home, about, *transfer, &what.reason, utc())?;
    renewal::propose(&body, &what.out, &home)
}

pub(super) fn run(command: &OfficersCommand) -> Outcome {
    match command {
        OfficersCommand::Sign(args) => sign(args),
        OfficersCommand::Revoke(args) => renewal::officers_revoke(args),
        OfficersCommand::Ungrant(args) => ungrant(args),
        OfficersCommand::Correct(args) => correct(args),
        OfficersCommand::Charter(command) => charter::run(command),
        OfficersCommand::Submit(args) => renewal::submit(args),
    }
}

/// Signs a decision: exactly these bytes, after they were read and told.
pub(super) fn sign(args: &SignArgs) -> Outcome {
    let bytes = input::read_whole(&args.body, MAX_CHARTER_BODY)?;
    let key = keys::load_signing(&args.key)?;
    match decision::read(&bytes) {
        Ok(read) => {
            let signature = read.kind.sign(&bytes, &key);
            write(&read.told, &SignatureForm::from(&signature), args.out.as_deref())
        }
        Err(refusal) => Err(anyhow::anyhow!(
            "{}: not a decision that officers sign ({}: {refusal}); give the file as it was proposed, byte for byte",
            args.body.display(),
            refusal.code()
        )
        .into()),
    }
}

fn write(told: &str, signature: &SignatureForm, out: Option<&Path>) -> Outcome {
    let mut json = serde_json::to_vec(signature).context("a signature has a JSON form")?;
    json.push(b'\n');
    match out {
        Some(path) => input::write_new(path, &json)?,
        None => output::bytes(&json)?,
    }
    eprintln!("Signed: {told}");
    Ok(Exit::Ok)
}

/// Reads what [`sign`] wrote.
pub(super) fn read_signature(path: &Path) -> anyhow::Result<EntrySignature> {
    let bytes = input::read_whole(path, MAX_SIGNATURE)?;
    let form: Result<SignatureForm, _> = serde_json::from_slice(&bytes);
    form.ok()
        .and_then(|form| form.read().ok())
        .with_context(|| {
            format!(
                "{}: not a signature as `city-node officers sign` writes it",
                path.display()
            )
        })
}

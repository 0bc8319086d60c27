//! `officers`: an officer reads what is to be decided and signs it, offline, with a key file alone; what enough of them
//! signed is handed in.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use city_protocol::Refusal;
use city_protocol::body::{
    EpochStart, Grant, OfficersBody, OfficersRevoke, Recover, officer_message, read_officers_body,
};
use city_protocol::crypto::{SecretKey, Signer as _};
use city_protocol::json::MAX_CHARTER_BODY;
use city_protocol::vertex::EntrySignature;
use clap::Subcommand;

use super::exit::{Exit, Outcome};
use super::renewal::{self, OfficersRevokeArgs, SubmitArgs};
use super::{input, output};
use crate::api::wire::SignatureForm;
use crate::keys;

/// Longest signature file in bytes: some 4,700 bytes in base64, and room.
const MAX_SIGNATURE: usize = 16 * 1024;

/// What officers can do.
#[derive(Debug, Subcommand)]
pub enum OfficersCommand {
    /// Read a decision (grant, revoke, recover, epoch-start), and sign it with an officer's key.
    #[command(after_help = "\
Example:
  city-node officers sign epoch.json --key officer-1.key --out 1.json

What is signed is shown first. The signature is one JSON object; it says nothing about the other officers.")]
    Sign {
        /// The decision: the exact bytes that are to be signed.
        body: PathBuf,
        /// The officer's key file.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Where the signature is written; without it, to standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Write down that an account's key is to be closed.
    #[command(after_help = "\
Example:
  city-node officers revoke ubqxbxvmedbbampu-… --reason 盗難 --node https://node.example:8443 --tls-root tls-root.pem --out revoke.json")]
    Revoke(OfficersRevokeArgs),
    /// Hand in a grant, revocation or recovery with the officers' signatures.
    #[command(after_help = "\
Example:
  city-node officers submit revoke.json 1.json 2.json --node https://node.example:8443 --tls-root tls-root.pem")]
    Submit(SubmitArgs),
}

pub(super) fn run(command: &OfficersCommand) -> Outcome {
    match command {
        OfficersCommand::Sign { body, key, out } => sign(body, key, out.as_deref()),
        OfficersCommand::Revoke(args) => renewal::officers_revoke(args),
        OfficersCommand::Submit(args) => renewal::submit(args),
    }
}

fn sign(body: &Path, key: &Path, out: Option<&Path>) -> Outcome {
    let bytes = input::read_whole(body, MAX_CHARTER_BODY)?;
    let key = keys::load_signing(key)?;
    let read = [
        decision::<Grant>(&bytes, &key, |grant| {
            format!(
                "grant {} to {}: {}",
                grant.amount,
                grant.account,
                grant.reason.as_str()
            )
        }),
        decision::<OfficersRevoke>(&bytes, &key, |revoke| {
            format!(
                "close the key of {}: {}",
                revoke.account,
                revoke.reason.as_str()
            )
        }),
        decision::<Recover>(&bytes, &key, |recover| {
            let alg = recover.new.alg;
            format!(
                "new {alg} keys for {}: {}",
                recover.account,
                recover.reason.as_str()
            )
        }),
        decision::<EpochStart>(&bytes, &key, |start| {
            let key = match start.node_certificate {
                Some(_) => "with a new node key",
                None => "with the same node key",
            };
            format!(
                "end epoch {} of log {} at position {} and begin the next {key}: {}",
                start.old_epoch,
                start.home,
                start.cut_seq,
                start.reason.as_str()
            )
        }),
    ];
    // One kind at most reads it: each names its own.
    let mut refusals = Vec::new();
    for one in read {
        match one {
            Ok((told, signature)) => return write(&told, &signature, out),
            Err(refusal) => refusals.push(refusal),
        }
    }
    let told = refusals
        .iter()
        .find(|refusal| **refusal != Refusal::BadField)
        .unwrap_or(&Refusal::BadField);
    Err(anyhow::anyhow!(
        "{}: not a decision that officers sign ({}: {told}); give the file as it was proposed, byte for byte",
        body.display(),
        told.code()
    )
    .into())
}

fn decision<B: OfficersBody>(
    bytes: &[u8],
    key: &SecretKey,
    tell: impl FnOnce(&B) -> String,
) -> Result<(String, SignatureForm), Refusal> {
    let body: B = read_officers_body(bytes)?;
    let public = key.public();
    let message = officer_message(public.algorithm(), &public.id(), bytes);
    let signature = EntrySignature::new(public.id(), &key.sign(B::TAG, &message));
    Ok((tell(&body), SignatureForm::from(&signature)))
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

//! `account rotate`, `revoke`, `recover` and `officers submit`: an account gets other keys, or loses them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use city_protocol::body::{Kind, OfficersBody};
use city_protocol::ids::AccountId;
use city_protocol::json::{self, MAX_CHARTER_BODY};
use city_protocol::stage::SignedBySeveral;
use clap::Args;
use serde_json::json;

use super::account::{again, certificates, open};
use super::exit::{Exit, Outcome};
use super::home::{HomeArgs, person};
use super::launch::runtime;
use super::officers::read_signature;
use super::passphrase::PassphraseArgs;
use super::{decision, input, output};
use crate::api::wire::{NodePage, SubmittedPage};
use crate::client::{ClientError, officer};
use crate::engine::utc;

/// Arguments of `account rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// The wallet with the keys that the account has now.
    file: PathBuf,
    /// The wallet with its keys from now on (city-node account create).
    #[arg(long, value_name = "WALLET")]
    to: PathBuf,
    /// The certificate for the new keys, of the same account, and its intermediates (PEM, leaf first).
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// The account, if its keys were changed before.
    #[arg(long)]
    account: Option<AccountId>,
    /// The home.
    #[command(flatten)]
    home: HomeArgs,
    /// The old wallet's passphrase.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Read the new wallet's passphrase from this file (mode 0600), if it is another one.
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `account revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The wallet with the keys that are to be closed.
    file: PathBuf,
    /// Why, for whoever reads the ledger.
    #[arg(long)]
    reason: String,
    /// The account, if its keys were changed before.
    #[arg(long)]
    account: Option<AccountId>,
    /// The home.
    #[command(flatten)]
    home: HomeArgs,
    /// The wallet's passphrase.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `account recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// The wallet with the new keys (city-node account create).
    file: PathBuf,
    /// The account whose keys are lost or closed.
    #[arg(long)]
    account: AccountId,
    /// The certificate for the new keys, of that account (PEM, leaf first).
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Why, for whoever reads the ledger.
    #[arg(long)]
    reason: String,
    /// Where the text for the officers is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The home.
    #[command(flatten)]
    home: HomeArgs,
    /// The wallet's passphrase.
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Arguments of `officers revoke`.
#[derive(Debug, Args)]
pub struct OfficersRevokeArgs {
    /// The account whose key is to be closed.
    account: AccountId,
    /// Why, for whoever reads the ledger.
    #[arg(long)]
    reason: String,
    /// Where the text for the officers is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The home.
    #[command(flatten)]
    home: HomeArgs,
}

/// Arguments of `officers submit`.
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// The decision: a grant, a charter, a revocation or a recovery.
    body: PathBuf,
    /// The officers' signatures.
    #[arg(required = true, value_name = "SIGNATURE")]
    signatures: Vec<PathBuf>,
    /// Write the receipt (DAG-CBOR) to this new file.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// With a recovery: the certificate for the new keys (PEM, leaf first).
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The home.
    #[command(flatten)]
    home: HomeArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A leaf and its intermediates, DER.
fn chain(path: &Path) -> anyhow::Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let ders = certificates(path)?;
    let (leaf, chain) = ders
        .split_first()
        .context("a file of certificates holds one at least")?;
    Ok((
        leaf.to_vec(),
        chain.iter().map(|der| der.to_vec()).collect(),
    ))
}

pub(super) fn rotate(args: &RotateArgs) -> Outcome {
    let old = open(&args.file, &args.passphrase)?;
    let new = match &args.new_passphrase_file {
        Some(file) => open(&args.to, &PassphraseArgs::from_file(Some(file.clone())))?,
        None => open(&args.to, &args.passphrase)?,
    };
    let api = args.home.api()?;
    let (leaf, chain) = chain(&args.certificate)?;
    let done = runtime()?.block_on(async {
        let home = api.node().await?;
        let old = person(old, &home, args.account);
        let account = old.account();
        let new = person(new, &home, Some(account));
        let next = match api.login(&old).await {
            Ok(_) => api.account(&account).await?.next_sequence,
            // The new key may have the account already: this was done before a time-out.
            Err(error) => match api.login(&new).await {
                Ok(_) => return Ok((account, None)),
                Err(_) => return Err(error),
            },
        };
        let signed = old.rotate(&new, &leaf, next, utc())?;
        let page = api.rotate(&signed, &leaf, &chain).await?;
        Ok::<_, ClientError>((account, Some(page)))
    });
    let (account, page) = done.map_err(again)?;
    let what = format!("{account} has the keys of {} now", args.to.display());
    told(page.as_ref(), &what, args.json)
}

pub(super) fn revoke(args: &RevokeArgs) -> Outcome {
    let wallet = open(&args.file, &args.passphrase)?;
    let api = args.home.api()?;
    let done = runtime()?.block_on(async {
        let home = api.node().await?;
        let person = person(wallet, &home, args.account);
        let account = person.account();
        api.login(&person).await?;
        let next = api.account(&account).await?.next_sequence;
        let signed = person.revoke(&args.reason, next, utc())?;
        Ok::<_, ClientError>((account, api.revoke(&signed).await?))
    });
    let (account, page) = done.map_err(again)?;
    let what = format!("{account} is closed; the officers can give it new keys");
    told(Some(&page), &what, args.json)
}

pub(super) fn recover(args: &RecoverArgs) -> Outcome {
    let wallet = open(&args.file, &args.passphrase)?;
    let api = args.home.api()?;
    let (leaf, _) = chain(&args.certificate)?;
    let home = runtime()?.block_on(api.node())?;
    let person = person(wallet, &home, Some(args.account));
    let keys = person.new_keys(&leaf);
    let body = officer::recover(&home, args.account, keys, &args.reason, utc())?;
    propose(&body, &args.out, &home)
}

pub(super) fn officers_revoke(args: &OfficersRevokeArgs) -> Outcome {
    let api = args.home.api()?;
    let home = runtime()?.block_on(api.node())?;
    let body = officer::revoke(&home, args.account, &args.reason, utc())?;
    propose(&body, &args.out, &home)
}

pub(super) fn propose<B: OfficersBody>(body: &B, out: &Path, home: &NodePage) -> Outcome {
    write_proposal(body, out, (home.officers.k, home.officers.n))
}

/// Writes the exact bytes, and says how many of how many officers sign them.
pub(super) fn write_proposal<B: OfficersBody>(body: &B, out: &Path, (k, n): (u64, u64)) -> Outcome {
    let bytes = json::canonical(body);
    input::write_new(out, &bytes)?;
    output::text(&format!(
        "{}: {k} of {n} officers sign it: city-node officers sign {} --key OFFICER.key --out SIGNATURE.json\n",
        out.display(),
        out.display(),
    ))?;
    Ok(Exit::Ok)
}

pub(super) fn submit(args: &SubmitArgs) -> Outcome {
    // A charter is the longest; each kind has its own limit.
    let bytes = input::read_whole(&args.body, MAX_CHARTER_BODY)?.to_vec();
    let signatures = args.signatures.iter().map(|path| read_signature(path));
    let signatures = signatures.collect::<anyhow::Result<Vec<_>>>()?;
    let api = args.home.api()?;
    let kind = decision::read(&bytes).map(|read| read.kind);
    let recovers = matches!(kind, Ok(kind) if kind.kind == Kind::Recover);
    let path = kind.ok().and_then(|kind| kind.path);
    let signed = SignedBySeveral { bytes, signatures };
    let renewed = match (&args.certificate, recovers) {
        (Some(path), true) => Some(chain(path)?),
        (None, true) => bail_text("a recovery needs --certificate")?,
        (Some(_), false) => bail_text("--certificate goes with a recovery only")?,
        (None, false) => None,
    };
    let page = runtime()?.block_on(async {
        match (path, &renewed) {
            (_, Some((leaf, chain))) => api.recover(&signed, leaf, chain).await.map(Some),
            (Some(path), None) => api.decided(path, &signed).await.map(Some),
            (None, None) => Ok(None),
        }
    });
    match page.map_err(again)? {
        Some(page) => {
            if let Some(path) = &args.receipt {
                input::keep(path, &page.receipt)?;
            }
            told(Some(&page), "the officers' decision", args.json)
        }
        None => bail_text(
            "not a grant, ungrant, correction, charter, revocation or recovery of officers; an epoch begins with: city-node epoch begin",
        )?,
    }
}

fn bail_text<T>(text: &'static str) -> anyhow::Result<T> {
    bail!(text)
}

fn told(page: Option<&SubmittedPage>, what: &str, json: bool) -> Outcome {
    let repeated = page.is_none_or(|page| page.repeated);
    if json {
        output::object(json!({
            "vertex": page.map(|page| page.vertex),
            "at": page.map(|page| page.at),
            "repeated": repeated,
            "finality": page.map(|page| &page.finality),
            "witnesses": page.map(|page| page.witnesses),
        }))?;
        return Ok(Exit::Ok);
    }
    let mut text = match repeated {
        true => format!("{what}: was booked already, nothing was done twice.\n"),
        false => format!("{what}: booked.\n"),
    };
    if let Some(page) = page {
        text += &format!(
            "finality   {}\n",
            output::finality(&page.finality, page.witnesses)
        );
    }
    output::text(&text)?;
    Ok(Exit::Ok)
}

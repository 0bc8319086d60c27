//! `tx place` and `tx send`: the proof of place, and the transfer on its way.
//!
//! A draft is sent in this order (DESIGN §7): its transfer id is chosen already → proof of place → signed with that
//! proof's digest → kept beside the draft → submitted. What was kept is what is sent again after a time-out, byte for byte,
//! and the home answers with the first receipt.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use city_protocol::Refusal;
use city_protocol::body::Transfer;
use city_protocol::client::EXPIRES_MS;
use city_protocol::place::{Claim, Point};
use city_protocol::stage::Signed;
use clap::Args;
use serde_json::json;

use super::super::account::again;
use super::super::exit::{Exit, Failure, Outcome};
use super::super::home::{CertificateArgs, HomeArgs, person};
use super::super::input::{keep, write_new};
use super::super::launch::runtime;
use super::super::output;
use super::super::passphrase::PassphraseArgs;
use super::draft::fields;
use super::form::{DraftForm, Form, Settled, SignedForm};
use super::sign::is_of;
use super::{is_unconfirmed, note};
use crate::api::problem::{HOME_SILENT, HOME_UNREACHABLE};
use crate::api::wire::{KeptPage, PlacePage, SubmittedPage};
use crate::client::person::random;
use crate::client::{ApiClient, ClientError};
use crate::config::rfc3339;
use crate::engine::utc;

/// Refusals that say that what was kept is not booked and never will be: it is signed anew.
const SIGN_ANEW: [Refusal; 4] = [
    Refusal::PlaceUnknown,
    Refusal::PlaceInsufficient,
    Refusal::Expired,
    Refusal::SequenceUsed,
];

/// A minute in milliseconds.
const MINUTE_MS: u64 = 60_000;

/// Where the sender says that they are, instead of the home's antenna.
#[derive(Debug, Args)]
pub(super) struct ClaimArgs {
    /// Your own latitude, decimal degrees: few homes take somebody's own word.
    #[arg(
        long,
        value_name = "DEGREES",
        allow_negative_numbers = true,
        requires = "lon"
    )]
    lat: Option<String>,
    /// Your own longitude, decimal degrees.
    #[arg(
        long,
        value_name = "DEGREES",
        allow_negative_numbers = true,
        requires = "lat"
    )]
    lon: Option<String>,
    /// How exact they are, metres (one sigma).
    #[arg(
        long,
        value_name = "METRES",
        requires = "lat",
        value_parser = clap::value_parser!(u32).range(..=MAX_ACCURACY_M)
    )]
    accuracy: Option<u32>,
}

/// Least exact position that can be said, metres: as millimetres it fits a number of 32 bits.
const MAX_ACCURACY_M: i64 = 4_000_000;

impl ClaimArgs {
    fn claim(&self) -> anyhow::Result<Option<Claim>> {
        let (Some(lat), Some(lon)) = (&self.lat, &self.lon) else {
            return Ok(None);
        };
        let point = Point::from_decimal(lat, lon).map_err(|_| {
            anyhow::anyhow!(
                "--lat {lat} --lon {lon}: not a point; write decimal degrees such as --lat 36.5613 --lon 136.6562"
            )
        })?;
        let accuracy_mm = self.accuracy.map(|metres| metres.saturating_mul(1000));
        Ok(Some(Claim { point, accuracy_mm }))
    }
}

/// Asks for the proof of place of a transfer: of the antenna, or of what the sender says.
async fn ask_place(
    api: &ApiClient,
    transfer: &Transfer,
    claim: Option<&Claim>,
) -> Result<PlacePage, ClientError> {
    let (sender, id, nonce) = (&transfer.sender, &transfer.transfer_id, random());
    match claim {
        Some(claim) => api.place_claimed(sender, id, &nonce, claim).await,
        None => api.place(sender, id, &nonce).await,
    }
}

/// Arguments of `tx place`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  city-node tx place leek.json --node https://node.example:8443 --tls-root tls-root.pem --out place.json
  city-node tx place leek.json --node … --tls-root … --lat 36.5613 --lon 136.6562 --accuracy 10 --out place.json

By itself the home's antenna is asked. --lat and --lon say where you are yourself: that is a claim, and only a home whose policy
says place.policy.required = \"claimed\" takes it. The home holds the proof for five minutes, for this transfer alone. Nothing is written.
Exit codes: 0 the home would take a transfer with it · 4 it would not; the answer says why.")]
pub struct PlaceArgs {
    /// The draft.
    draft: PathBuf,
    /// The sender's home.
    #[command(flatten)]
    home: HomeArgs,
    #[command(flatten)]
    claim: ClaimArgs,
    /// Where the proof is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print one JSON object about it.
    #[arg(long)]
    json: bool,
}

/// Arguments of `tx send`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  city-node tx send leek.json --wallet chiyo.wallet --node https://node.example:8443 --tls-root tls-root.pem
  city-node tx send leek.json --wallet chiyo.wallet --node … --tls-root … --receipt leek.receipt
  city-node tx send signed.json --node … --tls-root …                       (what `tx sign` wrote; no wallet is needed)

A draft is proven in place, signed and kept as DRAFT.signed before it is sent. Doing it again after a time-out is harmless: the
home says that it was booked already, and gives the first receipt. At a terminal (a kiosk) --node is the terminal; where that
does not reach the home, --keep leaves the transfer with it, until somebody sends it (city-node tx outbox) or it expires.
Exit codes: 0 booked · 1 refused or not reached · 4 the place evidence is not what the home asks for; nothing was sent.")]
pub struct SendArgs {
    /// A draft, or what was signed.
    file: PathBuf,
    /// The wallet that signs the draft.
    #[arg(long, value_name = "FILE")]
    wallet: Option<PathBuf>,
    /// The sender's home.
    #[command(flatten)]
    home: HomeArgs,
    /// Where a terminal does not reach the home: have it keep the transfer for later.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    claim: ClaimArgs,
    /// For how many minutes from its signing a draft may be booked, at most a week: longer where a terminal is to keep it.
    /// What was signed before keeps its own [default: 10].
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..=10_080))]
    valid_minutes: Option<u64>,
    #[command(flatten)]
    certificate: CertificateArgs,
    /// Write the receipt (DAG-CBOR) to this new file.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// The wallet's passphrase.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn place(args: &PlaceArgs) -> Outcome {
    let Form::Draft(draft) = Form::read(&args.draft)? else {
        return Err(anyhow::anyhow!(
            "{}: is signed already, with the proof that it names",
            args.draft.display()
        )
        .into());
    };
    let transfer = draft.shown()?;
    let api = args.home.api()?;
    let claim = args.claim.claim()?;
    let page = runtime()?.block_on(ask_place(&api, &transfer, claim.as_ref()))?;
    let bytes = serde_json::to_vec(&page).context("a page has a JSON form")?;
    write_new(&args.out, &bytes)?;
    if args.json {
        output::object(json!({
            "file": args.out, "digest": page.digest, "grade": page.grade, "reasons": page.reasons,
            "time": page.time, "satisfies_policy": page.satisfies_policy, "code": page.code,
        }))?;
    } else {
        output::text(&format!(
            "{}: {}, good for five minutes\n",
            args.out.display(),
            told_place(&page)
        ))?;
    }
    Ok(match page.satisfies_policy {
        true => Exit::Ok,
        false => Exit::CheckFailed,
    })
}

fn told_place(page: &PlacePage) -> String {
    let mut text = format!("place {}", page.grade.code());
    if let Some(municipality) = &page.municipality {
        text += &format!(" in {municipality}");
    }
    if !page.reasons.is_empty() {
        text += &format!(" [{}]", page.reasons.join(", "));
    }
    if let Some(code) = &page.code {
        text += &format!(": NOT enough here ({code})");
    }
    text
}

/// What sending came to.
enum Sent {
    Booked(Box<Signed<Transfer>>, Box<SubmittedPage>),
    /// The home would refuse it for its place: nothing was signed.
    Nowhere(Box<PlacePage>),
    /// The terminal did not reach its home, for this reason, and keeps the transfer.
    Kept(ClientError, KeptPage),
}

pub(super) fn run(args: &SendArgs) -> Outcome {
    sent(args).map_err(|failure| kept_anyway(args, failure))
}

/// Where the home is not reached nothing was accepted, and what is to be sent stays where it is.
fn kept_anyway(args: &SendArgs, failure: Failure) -> Failure {
    let error = failure.error.downcast_ref::<ClientError>();
    let unreachable = |error: &ClientError| {
        matches!(error, ClientError::Unreachable { .. }) || error.code() == Some(HOME_UNREACHABLE)
    };
    match error {
        Some(error) if unreachable(error) => Failure {
            error: failure.error.context(format!(
                "the home is not reached ({HOME_UNREACHABLE}): nothing was accepted; {} is kept, send it again later",
                args.file.display()
            )),
            ..failure
        },
        _ => failure,
    }
}

fn sent(args: &SendArgs) -> Outcome {
    let sent = match (Form::read(&args.file)?, &args.wallet) {
        (Form::Signed(_), None) if args.claim.lat.is_some() => {
            return Err(anyhow::anyhow!(
                "{}: is signed already, with the proof that it names; send it without --lat and --lon",
                args.file.display()
            )
            .into());
        }
        (Form::Signed(form), None) => submit(args, &form)?.map_err(again)?,
        (Form::Signed(_), Some(_)) => {
            return Err(anyhow::anyhow!(
                "{}: is signed already; send it without --wallet",
                args.file.display()
            )
            .into());
        }
        (Form::Draft(draft), Some(wallet)) => from_draft(args, &draft, wallet)?,
        (Form::Draft(_), None) => {
            return Err(anyhow::anyhow!(
                "{}: a draft; name the wallet that signs it with --wallet, or sign it with: city-node tx sign",
                args.file.display()
            )
            .into());
        }
    };
    match sent {
        Sent::Booked(signed, page) => told(args, &signed, &page),
        Sent::Kept(error, page) => {
            if args.json {
                output::object(json!({
                    "sent": false, "kept": true, "code": error.code(), "identity": page.identity,
                    "kept_at": page.kept_at, "expires_at": page.expires_at,
                }))?;
            }
            eprintln!(
                "city-node: {error}; the terminal keeps the transfer until {}: send it from there with \
                 city-node tx outbox send {}, or send {} again",
                rfc3339(page.expires_at),
                page.identity,
                args.file.display()
            );
            Ok(Exit::Failed)
        }
        Sent::Nowhere(page) => {
            if args.json {
                output::object(json!({
                    "sent": false, "grade": page.grade, "reasons": page.reasons, "code": page.code,
                }))?;
            }
            let remedy = match args.claim.lat {
                None => "go where the antenna sees the sky, or ask the operator (city-node status)",
                Some(_) => {
                    "a home takes somebody's own word only within its municipality, and where place.policy.required says \
                     \"claimed\": send without --lat and --lon, or ask the operator"
                }
            };
            eprintln!(
                "city-node: nothing was sent: {}; {remedy}",
                told_place(&page)
            );
            Ok(Exit::CheckFailed)
        }
    }
}

/// Submits what was signed.
fn submit(args: &SendArgs, form: &SignedForm) -> anyhow::Result<Result<Sent, ClientError>> {
    let signed = form.signed()?;
    let api = args.home.api()?;
    args.certificate.known_to(&api, signed.signature().key)?;
    let runtime = runtime()?;
    let error = match runtime.block_on(api.send(&signed, form.private())) {
        Ok(page) => return Ok(Ok(Sent::Booked(Box::new(signed), Box::new(page)))),
        Err(error) => error,
    };
    let away = [HOME_UNREACHABLE, HOME_SILENT];
    if !args.keep || !error.code().is_some_and(|code| away.contains(&code)) {
        return Ok(Err(error));
    }
    let kept = runtime.block_on(api.keep(&signed, form.private()));
    let kept = kept.with_context(|| format!("{error}; and the terminal does not keep it"))?;
    Ok(Ok(Sent::Kept(error, kept)))
}

/// The file beside a draft with what was signed of it.
fn signed_path(draft: &Path) -> PathBuf {
    let mut name = draft.as_os_str().to_owned();
    name.push(".signed");
    name.into()
}

fn from_draft(args: &SendArgs, draft: &DraftForm, wallet: &Path) -> anyhow::Result<Sent> {
    if args.file == Path::new("-") {
        bail!("what is signed is kept beside the draft: write the draft to a file first");
    }
    let kept = signed_path(&args.file);
    if kept.symlink_metadata().is_ok() {
        let Form::Signed(form) = Form::read(&kept)? else {
            bail!(
                "{}: not what was signed of the draft; move it away",
                kept.display()
            );
        };
        if form.signed()?.body().transfer_id != draft.shown()?.transfer_id {
            bail!(
                "{}: was signed of another draft; move it away",
                kept.display()
            );
        }
        if let Some(told) = keeps_its_own(args, form.signed()?.body()) {
            eprintln!("city-node: {}: {told}", kept.display());
        }
        match submit(args, &form)? {
            Err(error) if is_over(&error) => {}
            answer => return answer.map_err(again),
        }
    }
    let wallet = super::super::account::open(wallet, &args.passphrase)?;
    let transfer = is_of(draft, &wallet)?;
    let api = args.home.api()?;
    let claim = args.claim.claim()?;
    let prepared = runtime()?.block_on(async {
        let home = api.node().await?;
        let person = person(wallet, &home, Some(transfer.sender));
        api.login(&person).await?;
        let next = api.account(&transfer.sender).await?.next_sequence;
        let place = ask_place(&api, &transfer, claim.as_ref()).await?;
        Ok::<_, ClientError>((person, next, place))
    });
    let (person, next, place) = prepared?;
    if !place.satisfies_policy {
        return Ok(Sent::Nowhere(Box::new(place)));
    }
    let settled = Settled {
        sequence: Some(next),
        proof_of_place: Some(place.digest),
        now: utc(),
        valid_ms: args.valid_minutes.map_or(EXPIRES_MS, |n| n * MINUTE_MS),
    };
    let form = draft.sign(&settled, person.signing())?;
    form.keep(&kept)?;
    submit(args, &form)?.map_err(again)
}

/// What to say where what was signed before is not as long valid as is asked for now. It may be on its way already, so it
/// is not signed anew: another text would be another transfer.
fn keeps_its_own(args: &SendArgs, signed: &Transfer) -> Option<String> {
    let asked = signed.created_at.plus_ms(args.valid_minutes? * MINUTE_MS);
    (asked != signed.expires_at).then(|| {
        format!(
            "was signed before and is sent as it is, without --valid-minutes: it expires {}",
            rfc3339(signed.expires_at)
        )
    })
}

/// Whether the home says that what was kept is not booked, and cannot be any more.
fn is_over(error: &ClientError) -> bool {
    let code = error.code();
    SIGN_ANEW.iter().any(|refusal| code == Some(refusal.code()))
}

fn told(args: &SendArgs, signed: &Signed<Transfer>, page: &SubmittedPage) -> Outcome {
    if page.identity != signed.identity() {
        return Err(anyhow::anyhow!("the home's answer is another transfer's").into());
    }
    if let Some(path) = &args.receipt {
        keep(path, &page.receipt)?;
    }
    if args.json {
        let mut told = fields(signed.body());
        told["sent"] = true.into();
        told["identity"] = json!(page.identity);
        told["vertex"] = json!(page.vertex);
        told["at"] = json!(page.at);
        told["repeated"] = page.repeated.into();
        told["finality"] = json!(page.finality);
        told["balance_after"] = json!(page.booked.balance_after);
        told["place"] = json!(page.booked.place.map(|grade| grade.code()));
        told["unconfirmed"] = is_unconfirmed(&page.booked).into();
        told["receipt"] = json!(args.receipt);
        output::object(told)?;
        return Ok(Exit::Ok);
    }
    let body = signed.body();
    let mut text = match page.repeated {
        true => {
            "was booked already: nothing was sent twice, this is the first receipt\n".to_owned()
        }
        false => "booked\n".to_owned(),
    };
    text += &format!(
        "amount     {} to {} ({})\nidentity   {}\nhash       {}\nvertex     {}, entry {}\nfinality   {}\n",
        body.amount,
        body.receiver,
        body.receiver_municipality,
        page.identity,
        body.transaction_hash(),
        page.vertex,
        page.at.index,
        page.finality,
    );
    if let Some(balance) = page.booked.balance_after {
        text += &format!("balance    {balance} after it\n");
    }
    text += note(&page.booked);
    if let Some(path) = &args.receipt {
        text += &format!("receipt    {}\n", path.display());
    }
    output::text(&text)?;
    Ok(Exit::Ok)
}

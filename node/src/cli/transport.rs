//! `key rotate transport`: the node's peer id changes, and its peers follow.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use city_protocol::pki::{MAX_CERTIFICATE_DER, MAX_INTERMEDIATES};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::exit::{Exit, Failure, Outcome};
use super::launch::{self, runtime};
use super::passphrase::PassphraseArgs;
use super::run::PlaceArgs;
use super::{input, output};
use crate::client::{AdminClient, ClientError};
use crate::config::rfc3339;
use crate::engine::utc;
use crate::keys::file::read_public_up_to;
use crate::keys::{Keystore, public_path};
use crate::pki::read_crls;
use crate::setup::rotation::{self, OwnRotation, Present};
use crate::trust::pages::{RotateForm, RotatedPage};

/// Longest certificate file in bytes: a leaf and its intermediates in PEM, a third longer than DER.
const MAX_PEM: u64 = ((1 + MAX_INTERMEDIATES) * MAX_CERTIFICATE_DER * 3 / 2) as u64;

/// What can be done about the transport key.
#[derive(Debug, Subcommand)]
pub enum TransportCommand {
    /// Make the next transport key, and say what the CA has to certify. Nothing changes yet; the node may run.
    Prepare(PrepareArgs),
    /// Put the next transport key and its certificate in place; peers are told, and follow. The node has the new peer id from
    /// its next start.
    #[command(after_help = "\
Examples:
  city-node key rotate transport finish --data-dir data --certificate node-next.pem
  city-node key rotate transport finish --data-dir data --certificate node-next.pem --out rotation.cbor

A running node tells every connected peer at once; they do not speak with its old peer id any more, so restart it then. Of a
stopped one, give the record to a peer as a file (city-node peer follow-rotation); whoever followed tells the others. Cut off
anywhere, the next start has either key, whole; do it again where nothing had changed.")]
    Finish(FinishArgs),
    /// Show the records of earlier changes, and which change waits; or write the newest record to a file.
    Show(ShowArgs),
}

/// Arguments of `prepare`.
#[derive(Debug, Args)]
pub struct PrepareArgs {
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// The passphrase of the node's keys.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `finish`.
#[derive(Debug, Args)]
pub struct FinishArgs {
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// The passphrase of the node's keys, if it does not run.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// The node certificate for the next peer id (PEM, leaf first, without the root).
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Write the record to this new file, too.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// Write the newest record to this new file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &TransportCommand) -> Outcome {
    super::logging::start("warn");
    match command {
        TransportCommand::Prepare(args) => prepare(args),
        TransportCommand::Finish(args) => finish(args),
        TransportCommand::Show(args) => show(args),
    }
}

fn prepare(args: &PrepareArgs) -> Outcome {
    let (data, config, identity) = launch::read(&args.place, &args.passphrase)?;
    let next = rotation::prepare(&data, &identity.keystore)?;
    let (peer, region) = (
        next.public().to_peer_id().to_string(),
        identity.authority.region(),
    );
    let role = match &config.terminal {
        None => "home",
        Some(_) => "terminal",
    };
    let (ledger, kem) = (
        public_path(&data.ledger_key()),
        public_path(&data.kem_key()),
    );
    if args.json {
        output::object(json!({
            "peer_id": peer, "region": region, "role": role, "ledger_public": ledger, "kem_public": kem,
        }))?;
    } else {
        output::text(&format!(
            "The next transport key is ready: {peer}\nHave the CA certify it, with the keys that the node keeps:\n  \
             city-node ca issue node --ca CA --region {region} --role {role} --peer-id {peer} \\\n      \
             --key {} --kem {} --out node-next.pem\n",
            ledger.display(),
            kem.display(),
        ))?;
    }
    Ok(Exit::Ok)
}

fn finish(args: &FinishArgs) -> Outcome {
    let pem = read_public_up_to(&args.certificate, MAX_PEM)?;
    let form = RotateForm {
        certificate: String::from_utf8(pem).context("the certificate is not PEM")?,
    };
    let socket = args.place.locate().data.admin_socket();
    let asked = runtime()?.block_on(async {
        let admin = AdminClient::connect(&socket).await?;
        admin.rotate_transport(&form).await
    });
    let (page, running) = match asked {
        Err(ClientError::NotRunning { .. }) => (finish_stopped(args, &form)?, false),
        other => (other?, true),
    };
    if let Some(out) = &args.out {
        export(&page.file, out)?;
    }
    if args.json {
        output::object(json!({
            "old": page.old, "new": page.new, "made_at": rfc3339(page.made_at), "expires_at": rfc3339(page.expires_at),
            "file": page.file, "told": page.told, "running": running,
        }))?;
        return Ok(Exit::Ok);
    }
    let next = if running {
        format!(
            "{} connected peers were told. Restart the node now: who follows does not speak with the old peer id any more.\n",
            page.told.len()
        )
    } else {
        "Before the node can connect, one peer has to have the record: city-node peer follow-rotation FILE there.\n".into()
    };
    output::text(&format!(
        "{} is followed by {} from the next start on; peers can follow until {}\n  record: {}\n{next}\
         Make a new backup of the keys (city-node key backup): no peer lets in what is restored from an earlier one.\n",
        page.old,
        page.new,
        rfc3339(page.expires_at),
        page.file,
    ))?;
    Ok(Exit::Ok)
}

fn finish_stopped(args: &FinishArgs, form: &RotateForm) -> Result<RotatedPage, Failure> {
    let keys = args.place.locate().data.keys();
    // Nobody else changes or uses the node's keys meanwhile.
    let _alone = Keystore::lock_directory(&keys, true)?;
    let (data, _, identity) = launch::read(&args.place, &args.passphrase)?;
    let crls = read_crls(&data.crls())?;
    let present = Present {
        transport: &identity.transport,
        ledger: identity.signer.public(),
        kem: identity.kem.public(),
        crls: &crls,
        now: utc(),
    };
    let pem = form.certificate.as_bytes();
    let rotated = rotation::finish(&data, &identity.keystore, present, pem)?;
    Ok(RotatedPage::of(&rotated, Vec::new()))
}

/// Writes a record to a new file.
fn export(record: &str, out: &Path) -> anyhow::Result<()> {
    let bytes = read_public_up_to(Path::new(record), city_protocol::trust::MAX_ROTATION as u64)?;
    Ok(input::write_new(out, &bytes)?)
}

fn show(args: &ShowArgs) -> Outcome {
    let data = args.place.locate().data;
    let records = rotation::records(&data)?;
    let waits = data.next_transport_key().exists();
    if let Some(out) = &args.out {
        let newest = records
            .last()
            .context("there is no record: the transport key was never changed")?;
        export(&newest.path.display().to_string(), out)?;
    }
    if args.json {
        let records: Vec<Value> = records.iter().map(shown).collect();
        output::object(json!({ "records": records, "prepared": waits }))?;
        return Ok(Exit::Ok);
    }
    let now = utc();
    let mut text: String = records
        .iter()
        .map(|record| {
            let until = match record.said.expires_at {
                at if now < at => format!("can be followed until {}", rfc3339(at)),
                at => format!("could be followed until {}", rfc3339(at)),
            };
            format!(
                "{}  {} is followed by {}\n  {until}  {}\n",
                rfc3339(record.said.made_at),
                record.said.old,
                record.said.new,
                record.path.display(),
            )
        })
        .collect();
    if records.is_empty() {
        text += "the transport key was never changed\n";
    }
    if waits {
        text += "the next transport key is made and waits for its certificate: city-node key rotate transport finish\n";
    }
    output::text(&text)?;
    Ok(Exit::Ok)
}

fn shown(record: &OwnRotation) -> Value {
    let said = &record.said;
    json!({
        "old": said.old.to_string(), "new": said.new.to_string(), "network": said.network,
        "made_at": rfc3339(said.made_at), "expires_at": rfc3339(said.expires_at), "file": record.path,
    })
}

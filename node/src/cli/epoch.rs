//! `epoch`: a node key ends, and the next begins. On a node that is not running.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use city_protocol::body::{Der, EpochStart, Kind, Label, OfficersBody as _, read_officers_body};
use city_protocol::crypto::Suite;
use city_protocol::json;
use city_protocol::json::MAX_CHARTER_BODY;
use city_protocol::stage::SignedBySeveral;
use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::{Exit, Failure, Outcome};
use super::officers::read_signature;
use super::passphrase::PassphraseArgs;
use super::run::PlaceArgs;
use super::suite::suites;
use super::{input, launch, output};
use crate::daemon::epoch as operation;
use crate::engine::utc;
use crate::keys::{Keystore, KeystoreError, Lock, public_path};
use crate::setup::epoch;

/// What can be done about epochs.
#[derive(Debug, Subcommand)]
pub enum EpochCommand {
    /// Make the keys of the next epoch, beside those of the present one. Nothing changes yet.
    #[command(after_help = "\
Example, from a suite that ends to the next:
  city-node epoch prepare --data-dir data --suite fips
  city-node ca issue node --help      (the CA certifies keys/ledger-next.key.pub and keys/kem-next.key.pub)")]
    Prepare(PrepareArgs),
    /// Write down for the officers which epoch ends where; stop the node before.
    #[command(after_help = "\
Examples:
  city-node epoch propose --data-dir data --certificate node-next.pem --reason '鍵の交換' --out epoch.json
  city-node epoch propose --data-dir data --reason 'restored from a backup' --out epoch.json

Before it, let the node fetch its own log from every peer that can be reached (city-node status): what stands beyond the
end does not count any more. Until the epoch begins the node must stay stopped, or its log moves on.")]
    Propose(ProposeArgs),
    /// Begin the epoch that the officers signed.
    #[command(after_help = "\
Example:
  city-node officers sign epoch.json --key officer-1.key --out 1.json    (each officer, anywhere)
  city-node epoch begin --data-dir data epoch.json 1.json 2.json
  city-node run --data-dir data

Exit codes: 0 begun · 1 refused, and nothing has changed.")]
    Begin(BeginArgs),
}

/// Arguments of `epoch prepare`.
#[derive(Debug, Args)]
pub struct PrepareArgs {
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// The passphrase of the node's keys.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Algorithms of the new keys.
    #[arg(long, value_parser = suites(), default_value = Suite::Dilithium5Ntru.id())]
    suite: Suite,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `epoch propose`.
#[derive(Debug, Args)]
pub struct ProposeArgs {
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// The passphrase of the node's keys.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// The node certificate for the keys that `epoch prepare` made (PEM, leaf first, without the root); without it the node key
    /// stays.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Why, for whoever reads the ledger.
    #[arg(long)]
    reason: String,
    /// Where the text for the officers is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Arguments of `epoch begin`.
#[derive(Debug, Args)]
pub struct BeginArgs {
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// The passphrase of the node's keys.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// What `epoch propose` wrote.
    body: PathBuf,
    /// The officers' signatures.
    #[arg(required = true, value_name = "SIGNATURE")]
    signatures: Vec<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &EpochCommand) -> Outcome {
    super::logging::start("warn");
    match command {
        EpochCommand::Prepare(args) => prepare(args),
        EpochCommand::Propose(args) => propose(args),
        EpochCommand::Begin(args) => begin(args),
    }
}

/// Nobody else changes or uses the node's keys meanwhile.
fn alone(place: &PlaceArgs) -> Result<Lock, KeystoreError> {
    Keystore::lock_directory(&place.locate().data.keys(), true)
}

fn prepare(args: &PrepareArgs) -> Outcome {
    let _alone = alone(&args.place)?;
    let (data, _, identity) = launch::read(&args.place, &args.passphrase)?;
    let admitted = identity.genesis.suites.contains(&args.suite);
    if !admitted {
        let suites: Vec<_> = identity
            .genesis
            .suites
            .iter()
            .map(|suite| suite.id())
            .collect();
        let suites = suites.join(", ");
        return Err(anyhow::anyhow!(
            "this network takes no keys of {}, only of {suites}",
            args.suite
        )
        .into());
    }
    let next = epoch::prepare(&data, &identity.keystore, args.suite)?;
    let (ledger, kem) = (
        public_path(&data.next_ledger_key()),
        public_path(&data.next_kem_key()),
    );
    let (public, peer) = (
        next.signer.public(),
        identity.transport.public().to_peer_id(),
    );
    if args.json {
        output::object(json!({
            "algorithm": public.algorithm().id(),
            "key": public.id(),
            "kem_algorithm": next.kem.public().algorithm().id(),
            "kem_key": next.kem.public().id(),
            "ledger_public": ledger, "kem_public": kem,
            "region": identity.authority.region(), "peer_id": peer.to_string(),
        }))?;
    } else {
        output::text(&format!(
            "Keys of the next epoch are ready ({}, {}):\n  {}\n  {}\nHave the CA issue a node certificate for them: region {}, peer id {peer}.\n",
            public.algorithm(),
            next.kem.public().algorithm(),
            ledger.display(),
            kem.display(),
            identity.authority.region(),
        ))?;
    }
    Ok(Exit::Ok)
}

fn propose(args: &ProposeArgs) -> Outcome {
    let _alone = alone(&args.place)?;
    let (data, config, identity) = launch::read(&args.place, &args.passphrase)?;
    let next = epoch::next_keys(&data, &identity.keystore)?;
    let mut chain = match (&args.certificate, &next) {
        (None, None) => Vec::new(),
        (Some(pem), Some(next)) => {
            let peer = identity.transport.public().to_peer_id().to_string();
            epoch::certify(&data, next, &peer, pem, |chain| {
                data.judge_certificate(chain)
            })?
        }
        (Some(_), None) => {
            return Err(anyhow::anyhow!(
                "there are no keys for this certificate; make them with: city-node epoch prepare"
            )
            .into());
        }
        (None, Some(_)) => {
            return Err(anyhow::anyhow!(
                "{} waits to take over: name its certificate with --certificate, or remove it if it is not to be used",
                data.next_ledger_key().display()
            )
            .into());
        }
    };
    let (row, k) = operation::head(&data, &config, &identity)?;
    let leaf = (!chain.is_empty()).then(|| Der(chain.remove(0)));
    let body = EpochStart {
        version: 1,
        kind: Kind::EpochStart,
        network: identity.network,
        home: identity.authority.log,
        officers_sequence: row.officers_sequence + 1,
        created_at: utc(),
        old_epoch: row.epoch,
        cut_seq: row.seq,
        cut: row.head,
        node_certificate: leaf,
        chain: chain.into_iter().map(Der).collect(),
        reason: Label::new(&args.reason)
            .context("--reason: empty, longer than 64 characters, or with control characters")?,
    };
    let bytes = json::canonical(&body);
    read_officers_body::<EpochStart>(&bytes)?;
    input::write_new(&args.out, &bytes)?;
    output::text(&format!(
        "{}: epoch {} of {} is to end at position {} ({}).\n{k} officers sign it: city-node officers sign {} --key OFFICER.key --out SIGNATURE.json\n",
        args.out.display(),
        row.epoch,
        identity.authority.region(),
        row.seq,
        row.head,
        args.out.display(),
    ))?;
    Ok(Exit::Ok)
}

fn begin(args: &BeginArgs) -> Outcome {
    let bytes = input::read_whole(&args.body, MAX_CHARTER_BODY)?.to_vec();
    let body: EpochStart =
        read_officers_body(&bytes).map_err(|refusal| not_one(&args.body, refusal))?;
    let signatures = args.signatures.iter().map(|path| read_signature(path));
    let signatures = signatures.collect::<anyhow::Result<Vec<_>>>()?;
    let signed = SignedBySeveral { bytes, signatures };
    let _alone = alone(&args.place)?;
    let (data, config, identity) = launch::read(&args.place, &args.passphrase)?;
    let begun = launch::runtime()?.block_on(operation::begin(&data, &config, &identity, signed));
    let booked = begun.map_err(|error| Failure::new(Exit::Failed, error))?;
    let epoch = body.decision().officers_sequence;
    if args.json {
        output::object(json!({
            "epoch": booked.at.epoch, "seq": booked.at.seq, "vertex": booked.vertex,
            "officers_sequence": epoch, "repeated": booked.repeated,
        }))?;
    } else {
        let again = if booked.repeated {
            " had begun already"
        } else {
            " has begun"
        };
        output::text(&format!(
            "Epoch {}{again} at position {} ({}).\n",
            booked.at.epoch, booked.at.seq, booked.vertex
        ))?;
    }
    Ok(Exit::Ok)
}

fn not_one(path: &Path, refusal: city_protocol::Refusal) -> anyhow::Error {
    anyhow::anyhow!(
        "{}: not what `epoch propose` writes ({}: {refusal})",
        path.display(),
        refusal.code()
    )
}

//! `place proof` and `place verify`: where a node says that it is, as a file.

use std::path::PathBuf;

use anyhow::Context as _;
use city_protocol::pki::Crls;
use clap::Args;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde_json::json;

use crate::admin::PlaceProofForm;
use crate::api::place::degrees;
use crate::api::wire::SignedPlaceForm;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::input;
use crate::cli::launch::{asked, runtime};
use crate::cli::ledger::genesis;
use crate::cli::output;
use crate::cli::run::PlaceArgs;
use crate::client::AdminClient;
use crate::config::rfc3339;
use crate::engine::utc;
use crate::pki::read_crls;
use crate::place::proof_file::{Expected, MAX_PLACE_FILE, verify};

/// Arguments of `place proof`.
#[derive(Debug, Args)]
pub struct ProofArgs {
    /// The challenge of who asks: 32 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    nonce: Nonce,
    /// The account that it is for; without it, nobody's.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// The transfer that it is for; without it, none.
    #[arg(long, value_name = "ID")]
    transfer_id: Option<String>,
    /// The new file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `place verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The proof; - reads standard input.
    file: PathBuf,
    /// The network's genesis record.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The challenge that it must answer: 32 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    nonce: Option<Nonce>,
    /// The peer id of the node that must have made it.
    #[arg(long, value_name = "PEER")]
    node: Option<String>,
    /// A directory of lists of revoked certificates, such as a node's crls/.
    #[arg(long, value_name = "DIR")]
    crls: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

type Nonce = [u8; 16];

fn nonce(text: &str) -> Result<Nonce, String> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| "write 32 hexadecimal digits, such as `openssl rand -hex 16` gives".into())
}

pub(super) fn prove(args: &ProofArgs) -> Outcome {
    let socket = args.place.locate().data.admin_socket();
    let form = PlaceProofForm {
        nonce: HEXLOWER.encode(&args.nonce),
        account: args.account.clone(),
        transfer_id: args.transfer_id.clone(),
    };
    let proving = async {
        AdminClient::connect(&socket)
            .await?
            .prove_place(&form)
            .await
    };
    let signed = asked(runtime()?.block_on(proving))?;
    let bytes = serde_json::to_vec_pretty(&signed)?;
    input::write_new(&args.out, &bytes)?;
    if args.json {
        output::object(json!({ "file": args.out, "bytes": bytes.len() }))?;
    } else {
        let (file, bytes) = (args.out.display(), bytes.len());
        output::text(&format!(
            "{file}: {bytes} bytes, good for five minutes; check it with: city-node place verify {file} --genesis GENESIS --nonce {}\n",
            form.nonce
        ))?;
    }
    Ok(Exit::Ok)
}

pub(super) fn check(args: &VerifyArgs) -> Outcome {
    let genesis = genesis(&args.genesis)?;
    let bytes = input::read(&args.file, MAX_PLACE_FILE)?;
    let form: SignedPlaceForm = serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "{}: not a proof of place; one is made with: city-node place proof",
            args.file.display()
        )
    })?;
    let crls = args.crls.as_deref().map(read_crls).transpose()?;
    let expected = Expected {
        genesis: &genesis,
        crls: &crls.unwrap_or_else(Crls::none),
        at: utc(),
        nonce: args.nonce,
        node: args.node.as_deref(),
    };
    let verdict = verify(form, &expected);
    let (proof, node) = match verdict {
        Ok(held) => held,
        Err(refused) => {
            if args.json {
                output::object(json!({
                    "valid": false, "code": refused.code(), "reason": refused.to_string(),
                }))?;
            } else {
                output::text(&format!(
                    "{}: does NOT hold: {refused} ({})\n",
                    args.file.display(),
                    refused.code()
                ))?;
            }
            return Ok(Exit::CheckFailed);
        }
    };
    let reasons: Vec<_> = proof.reasons.iter().map(|code| code.as_str()).collect();
    let (lat, lon) = (proof.lat_e7.map(degrees), proof.lon_e7.map(degrees));
    let nonce = HEXLOWER.encode(&proof.nonce);
    if args.json {
        output::object(json!({
            "valid": true, "node": node.peer_id, "region": node.region, "nonce": nonce, "time": rfc3339(proof.time),
            "grade": proof.grade, "reasons": reasons, "municipality": proof.municipality, "lat": lat, "lon": lon,
            "account": proof.account, "transfer_id": proof.transfer_id, "boundary": proof.boundary, "policy": proof.policy,
        }))?;
    } else {
        let place = match (lat, lon) {
            (Some(lat), Some(lon)) => format!("{lat} {lon}"),
            _ => "-".into(),
        };
        output::text(&format!(
            "{}: holds\nnode       {} of {}\ntime       {}\nplace      {place}, municipality {}\ngrade      {:?} [{}]\nnonce      {nonce}\n",
            args.file.display(),
            node.peer_id,
            node.region,
            rfc3339(proof.time),
            proof.municipality.as_deref().unwrap_or("-"),
            proof.grade,
            reasons.join(" "),
        ))?;
    }
    Ok(Exit::Ok)
}

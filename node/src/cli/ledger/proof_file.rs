//! A proof as a file: written once, and checked by whoever has the genesis record. What the commands that prove
//! something share.

use std::path::{Path, PathBuf};

use city_protocol::Refusal;
use city_protocol::genesis::{Genesis, MAX_GENESIS};
use clap::Args;
use serde_json::{Value, json};

use super::super::exit::{Exit, Outcome};
use super::super::{input, output};

/// Arguments of checking a proof.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The proof; - reads standard input.
    file: PathBuf,
    /// The network's genesis record.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A verdict on a proof, as it is shown.
pub(super) struct Shown<T> {
    /// The fields of one that holds.
    pub(super) fields: fn(&T) -> Value,
    /// The text, behind the file's name.
    pub(super) told: fn(&Result<T, Refusal>) -> String,
}

/// Writes a proof to a file that is not there yet, and says how it is checked: by `check`, a command of `ledger`. With
/// `--json` these fields stand beside the file.
pub(super) fn write(out: &Path, bytes: &[u8], check: &str, fields: Option<Value>) -> Outcome {
    input::write_new(out, bytes)?;
    if let Some(mut object) = fields {
        object["file"] = json!(out);
        object["bytes"] = json!(bytes.len());
        output::object(object)?;
    } else {
        let (file, bytes) = (out.display(), bytes.len());
        output::text(&format!(
            "{file}: {bytes} bytes; check it with: city-node ledger {check} {file} --genesis GENESIS\n"
        ))?;
    }
    Ok(Exit::Ok)
}

/// Checks a proof of at most so many bytes with the genesis record alone.
pub(super) fn check<T>(
    args: &CheckArgs,
    most: usize,
    verify: impl FnOnce(&[u8], &Genesis) -> Result<T, Refusal>,
    shown: &Shown<T>,
) -> Outcome {
    let genesis = genesis(&args.genesis)?;
    let bytes = input::read(&args.file, most)?;
    let verdict = verify(&bytes, &genesis);
    if args.json {
        output::object(match &verdict {
            Ok(proof) => (shown.fields)(proof),
            Err(refusal) => refused(*refusal),
        })?;
    } else {
        let told = (shown.told)(&verdict);
        output::text(&format!("{}: {told}", args.file.display()))?;
    }
    Ok(match verdict {
        Ok(_) => Exit::Ok,
        Err(_) => Exit::CheckFailed,
    })
}

/// How a refusal looks in JSON.
pub(super) fn refused(refusal: Refusal) -> Value {
    json!({ "valid": false, "code": refusal.code(), "reason": refusal.to_string() })
}

/// The genesis record in a file.
pub(in crate::cli) fn genesis(file: &Path) -> anyhow::Result<Genesis> {
    Genesis::read(&input::read(file, MAX_GENESIS)?).map_err(|refusal| {
        anyhow::anyhow!(
            "{}: not a genesis record ({refusal}); copy it from the network's CA or a data directory",
            file.display()
        )
    })
}

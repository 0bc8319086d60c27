//! `account backup` and `restore`: a wallet on paper, and back.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::super::exit::{Exit, Outcome};
use super::super::output;
use crate::client::paper::{self, Ground};
use crate::client::wallet::MAX_WALLET;
use crate::keys::file::{read_secret, write_secret};

/// Most that is read of texts: forty codes of 1,700 characters.
const MAX_TEXTS: u64 = 128 * 1024;

pub(super) fn backup(file: &Path, ground: Ground, texts_only: bool) -> Outcome {
    let sealed = read_secret(file)?;
    let texts = paper::texts(&sealed).with_context(|| file.display().to_string())?;
    let mut out = String::new();
    for (i, text) in texts.iter().enumerate() {
        if texts_only {
            out += &format!("{text}\n");
        } else {
            out += &format!(
                "city-node wallet, code {} of {}; restore: scan all, then city-node account restore\n{}\n\n",
                i + 1,
                texts.len(),
                paper::code(text, ground)
            );
        }
    }
    output::text(&out)?;
    Ok(Exit::Ok)
}

pub(super) fn restore(texts: &Path, out: &Path, json: bool) -> Outcome {
    let mut lines = String::new();
    let failed = || format!("{}: cannot be read as text", texts.display());
    if texts == Path::new("-") {
        let input = std::io::stdin().lock();
        input
            .take(MAX_TEXTS)
            .read_to_string(&mut lines)
            .with_context(failed)?;
    } else {
        let input = fs::File::open(texts).with_context(failed)?;
        input
            .take(MAX_TEXTS)
            .read_to_string(&mut lines)
            .with_context(failed)?;
    }
    let sealed = paper::join(&lines).with_context(|| texts.display().to_string())?;
    if sealed.len() as u64 > MAX_WALLET {
        bail_too_long()?;
    }
    write_secret(out, &sealed)?;
    if json {
        output::object(json!({ "file": out, "bytes": sealed.len() }))?;
    } else {
        output::text(&format!(
            "{}: whole, and still sealed by its passphrase; try it: city-node account show {}\n",
            out.display(),
            out.display()
        ))?;
    }
    Ok(Exit::Ok)
}

fn bail_too_long() -> anyhow::Result<()> {
    bail!("longer than a wallet can be; scan the codes again")
}

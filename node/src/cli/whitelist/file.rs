//! Whitelists as files: this node's for others, and others' to choose from.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use city_protocol::trust::MAX_SIGNED_DATA;
use clap::Args;
use serde_json::json;

use super::super::exit::{Exit, Outcome};
use super::super::output::{self, printable};
use super::super::trusted::{Common, with};
use crate::config::rfc3339;
use crate::trust::pages::{ImportForm, ImportedEntry, ImportedPage, ImportedState, PeerText};

/// Arguments of `whitelist export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Where the signed list is written; it must not exist yet.
    #[arg(long, value_name = "FILE")]
    signed: PathBuf,
    /// Which peers; without them, all that are in force.
    peers: Vec<PeerText>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `whitelist import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The list; - reads standard input.
    file: PathBuf,
    /// Who of it is listed here.
    peers: Vec<PeerText>,
    /// List everybody on it who is not listed here.
    #[arg(long, conflicts_with = "peers")]
    all: bool,
    /// For so many hours at most; without it, as long as the list says.
    #[arg(short = 'e', long, value_name = "HOURS")]
    hours: Option<u64>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn export(args: ExportArgs) -> Outcome {
    let (bytes, count) = with(&args.common, |trusted| trusted.export(args.peers))?;
    let path = args.signed.display();
    let mut options = std::fs::OpenOptions::new();
    // Names of peers are nobody else's business.
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.signed);
    let mut file =
        file.with_context(|| format!("{path}: cannot be made; name a file that does not exist"))?;
    let written = file.write_all(&bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a list is in the way of the next try.
        let _gone = std::fs::remove_file(&args.signed);
        let failed = anyhow::Error::new(error);
        return Err(failed
            .context(format!("{path}: cannot be written; look at the disk"))
            .into());
    }
    if args.common.json {
        output::object(json!({ "file": args.signed, "entries": count }))?;
    } else {
        output::text(&format!("{count} peers are on {path}, for a day\n"))?;
    }
    Ok(Exit::Ok)
}

pub(super) fn import(args: ImportArgs) -> Outcome {
    let form = ImportForm {
        list: STANDARD.encode(read(&args.file)?),
        all: args.all,
        peers: args.peers,
        hours: args.hours,
    };
    let page = with(&args.common, |trusted| trusted.import(&form))?;
    let stands = |entry: &ImportedEntry| {
        !form.peers.contains(&entry.peer)
            || matches!(entry.state, ImportedState::Added | ImportedState::Listed)
    };
    let all_stand = page.entries.iter().all(stands);
    if args.common.json {
        output::object(json!({
            "signer": page.signer, "signed_at": page.signed_at, "entries": page.entries,
        }))?;
    } else {
        output::text(&told(&page))?;
    }
    // Somebody who was named is not listed now: the line says why.
    Ok(if all_stand {
        Exit::Ok
    } else {
        Exit::CheckFailed
    })
}

/// Reads no more than a list may have, and one byte.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let most = MAX_SIGNED_DATA as u64 + 1;
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("{}: the list cannot be read", path.display()))?;
    Ok(bytes)
}

fn told(page: &ImportedPage) -> String {
    let mut text = format!("signed by {} at {}\n", page.signer, rfc3339(page.signed_at));
    text.extend(page.entries.iter().map(line));
    text
}

fn line(entry: &ImportedEntry) -> String {
    let state = match entry.state {
        ImportedState::Offered => "not listed here",
        ImportedState::Added => "ADDED",
        ImportedState::Listed => "listed here already",
        ImportedState::Ended => "its entry here has ended: whitelist remove it first",
        ImportedState::Ignored => "ignored here: only whitelist add lists it",
        ImportedState::Over => "ends within the hour",
        ImportedState::Myself => "this node",
    };
    let name = match entry.name.as_str() {
        "" => "-".to_owned(),
        name => printable(name),
    };
    let region = entry.region.as_ref();
    let region = region.map_or("-".into(), ToString::to_string);
    let until = match entry.expires_at {
        None => "without an end".to_owned(),
        Some(at) => format!("until {}", rfc3339(at)),
    };
    format!("{}  {name}  {region}  {until}  {state}\n", entry.peer)
}

//! `key backup` and `key restore`: a node in one sealed file, and a node of it again on another machine.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::exit::{Exit, Outcome};
use super::output;
use super::passphrase::PassphraseArgs;
use super::run::PlaceArgs;
use crate::config::{Config, rfc3339};
use crate::engine::utc;
use crate::keys::BackendKind;
use crate::keys::file::{read_public_up_to, write_secret};
use crate::setup::{BackupOf, DataDir, MAX_BACKUP, back_up, restore};

/// What the passphrase is asked for.
const WHAT: &str = "the backup";
/// The credential with it.
const CREDENTIAL: &str = "city-node.backup-passphrase";

/// Arguments of `key backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Which node.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The file to make; it is never overwritten.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Read the backup's passphrase from this file (mode 0600) instead of the terminal.
    #[arg(long, value_name = "FILE")]
    pub backup_passphrase_file: Option<PathBuf>,
    /// The passphrase that the node's keys have now, if they have one.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `key restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup.
    pub file: PathBuf,
    /// The data directory to make; it must not exist yet, or be empty.
    #[arg(long, value_name = "DIR", env = "CITY_NODE_DATA_DIR", default_value = crate::setup::package::DATA_DIR)]
    pub data_dir: PathBuf,
    /// Where the new machine keeps the master secret, instead of what the configuration in the backup says: file,
    /// credential or tpm.
    #[arg(long, value_name = "BACKEND")]
    pub key_backend: Option<BackendKind>,
    /// The backup's passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run_backup(args: &BackupArgs) -> Outcome {
    let located = args.place.locate();
    let config = Config::load(&located.config)?;
    let identity = super::run::identity(&located, &config, &args.passphrase)?;
    let source = PassphraseArgs::from_file(args.backup_passphrase_file.clone());
    let passphrase = source.new_for(WHAT, CREDENTIAL)?;
    let now = utc();
    let (sealed, of) = back_up(&located.data, &located.config, &identity, &passphrase, now)?;
    write_secret(&args.out, &sealed)?;
    if args.json {
        output::object(fields(&of, &args.out))?;
    } else {
        output::text(&format!(
            "{}: backup of {} (log {}), {} files, sealed by the passphrase\n\
             Keep it away from this machine, and the passphrase away from it. It holds no ledger: peers have that. \
             A CA beside this node has its own directory: back that up, too.\n\
             Make another one after keys or configuration were changed.\n",
            args.out.display(),
            of.region,
            of.log,
            of.files.len(),
        ))?;
        if !of.files.iter().any(|file| file.starts_with("trust/")) {
            output::text(
                "The whitelist is not in it: its log is too long, or nobody was ever listed. Keep the directory trust/ by city-node store backup.\n",
            )?;
        }
    }
    Ok(Exit::Ok)
}

pub(super) fn run_restore(args: &RestoreArgs) -> Outcome {
    let sealed = read_public_up_to(&args.file, MAX_BACKUP)?;
    let passphrase = args.passphrase.of(WHAT, CREDENTIAL)?;
    let data = DataDir::new(&args.data_dir);
    let of = restore(&sealed, &passphrase, &data, args.key_backend)?;
    if args.json {
        output::object(fields(&of, &args.data_dir))?;
    } else {
        let directory = data.path().display();
        if Config::load(&data.config())?.keys.backend == BackendKind::File {
            output::text(
                "The keys of the node are plain files now (mode 0600), as keys.backend = \"file\" has it; if they were under a \
                 passphrase: city-node key seal --with-passphrase --data-dir DIR, before it starts\n",
            )?;
        }
        output::text(&format!(
            "{directory}: {} (log {}), as of {}\n\
             Only one machine may run this log: make sure that the old one never starts again.\n\
             Next:\n  \
             1. read {config}: addresses and devices are those of the old machine; and look through \
             `city-node whitelist list`: whom operators listed or removed since is not known here\n  \
             2. city-node run --data-dir {directory}\n  \
             3. wait: the node signs nothing until every whitelisted peer was heard and its own log is back; \
             `city-node status` says so\n  \
             4. restart it: it books again\n",
            of.region,
            of.log,
            rfc3339(of.created_at),
            config = data.config().display(),
        ))?;
    }
    Ok(Exit::Ok)
}

fn fields(of: &BackupOf, path: &std::path::Path) -> serde_json::Value {
    json!({
        "path": path,
        "region": of.region,
        "network": of.network,
        "log": of.log,
        "created_at": of.created_at,
        "files": of.files,
    })
}

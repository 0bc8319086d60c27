//! `store backup`: of a running node up to where its ledger ends now, or of one that does not run.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use crate::cli::exit::{Exit, Outcome};
use crate::cli::passphrase::PassphraseArgs;
use crate::cli::run::PlaceArgs;
use crate::cli::{launch, output};
use crate::client::{AdminClient, ClientError};
use crate::daemon;
use crate::engine::{Pin, utc};
use crate::setup::{Whose, back_up, copy_data};
use crate::store::{Files, OsFiles};

/// What the passphrase of the keys in it is asked for, as `key backup` does.
const WHAT: &str = "the backup";
const CREDENTIAL: &str = "city-node.backup-passphrase";

/// Arguments of `store backup`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  city-node store backup /mnt/usb/kanazawa-2026-11-29 --data-dir data
  city-node store backup /mnt/usb/kanazawa --with-keys --backup-passphrase-file passphrase

It holds the ledger, the trust log, the access logs, private values (encrypted), certificates, configuration and notes; not
the index, which is made again, and keys only with --with-keys, in the sealed file keys.backup that `key restore` takes.
BACKUP.json says when and at which head it was made. A node that runs on a copy of it signs nothing until its peers have
nothing newer of its log (docs/store.md).")]
pub struct StoreBackupArgs {
    /// The directory to make; it must not exist yet, or be empty.
    dir: PathBuf,
    /// Which node.
    #[command(flatten)]
    place: PlaceArgs,
    /// The passphrase that the node's keys have now, if they have one.
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Put the node's keys in, too, sealed by a passphrase.
    #[arg(long)]
    with_keys: bool,
    /// Read the passphrase of these from this file (mode 0600) instead of the terminal.
    #[arg(long, value_name = "FILE", requires = "with_keys")]
    backup_passphrase_file: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(args: &StoreBackupArgs) -> Outcome {
    let (data, _, identity) = launch::read(&args.place, &args.passphrase)?;
    let config = args.place.locate().config;
    let now = utc();
    let sealed = if args.with_keys {
        let source = PassphraseArgs::from_file(args.backup_passphrase_file.clone());
        let passphrase = source.new_for(WHAT, CREDENTIAL)?;
        Some(back_up(&data, &config, &identity, &passphrase, now)?.0)
    } else {
        None
    };
    let whose = Whose {
        region: identity.authority.region().clone(),
        network: identity.network,
        log: identity.authority.log,
    };
    let files: Arc<dyn Files> = Arc::new(OsFiles);
    let spinner = output::spinner("copying");
    let copy = |pin: Pin| {
        let place = (&data, config.as_path());
        copy_data(
            &files,
            place,
            &args.dir,
            (&whose, pin),
            sealed.as_deref(),
            now,
        )
    };
    let runtime = launch::runtime()?;
    let socket = data.admin_socket();
    let made = match runtime.block_on(AdminClient::connect(&socket)) {
        Ok(client) => copy(runtime.block_on(client.pin())?)?,
        Err(ClientError::NotRunning { .. }) => {
            // Held open: nobody starts the node meanwhile.
            let (store, _) = daemon::open_for_reading(&data, &identity)?;
            let pin = Pin::read(&store, &whose.log);
            let made = pin.map(copy);
            store.close()?;
            made??
        }
        Err(error) => return Err(error.into()),
    };
    spinner.finish_and_clear();
    let bytes: u64 = made.files.iter().map(|file| file.bytes).sum();
    if args.json {
        output::object(json!({
            "path": args.dir,
            "region": made.region,
            "log": made.log,
            "made_at": made.made_at,
            "epoch": made.own.epoch,
            "seq": made.own.seq,
            "keys": made.keys,
            "files": made.files.len(),
            "bytes": bytes,
        }))?;
    } else {
        let keys = if made.keys {
            "the keys are in keys.backup, sealed by the passphrase"
        } else {
            "no keys are in it: `city-node key backup` makes a backup of them"
        };
        output::text(&format!(
            "{}: {} (log {}) as of epoch {} position {}, {} files, {bytes} bytes\n{keys}\n",
            args.dir.display(),
            made.region,
            made.log,
            made.own.epoch,
            made.own.seq,
            made.files.len(),
        ))?;
    }
    Ok(Exit::Ok)
}

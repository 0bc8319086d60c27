//! `key generate` and `key show`: key files of officers and people. Secrets are never printed.

use std::path::{Path, PathBuf};

use anyhow::bail;
use city_protocol::crypto::{KemSecretKey, SecretKey, Suite};
use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::backup::{self, BackupArgs, RestoreArgs};
use super::exit::{Exit, Outcome};
use super::keylist;
use super::keystore::{self, RotateTlsArgs, SealArgs};
use super::launch::{asked, runtime};
use super::output;
use super::passphrase::PassphraseArgs;
use super::run::PlaceArgs;
use super::suite::suites;
use super::transport::{self, TransportCommand};
use crate::client::AdminClient;
use crate::keys::{self, KeyFileError, public_path};

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key pair: FILE with the secret (mode 0600) and FILE.pub, which may be passed on.
    #[command(after_help = "\
Examples:
  city-node key generate officer.key
  city-node key generate --kind kem person-kem.key
  city-node key generate --suite fips officer-fips.key

Keep FILE where nobody else reads it and back it up: nothing replaces a lost key.")]
    Generate {
        /// The file to make; it is never overwritten.
        file: PathBuf,
        /// What the key is for.
        #[arg(long, value_enum, default_value_t = Kind::Signing)]
        kind: Kind,
        /// Which algorithms: dilithium5-ntru or fips (ML-DSA-87, ML-KEM-1024).
        #[arg(long, value_parser = suites(), default_value = Suite::Dilithium5Ntru.id())]
        suite: Suite,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Show kind, algorithm and id of a key file, secret or .pub; without one, all keys of a node and what to do about them.
    #[command(after_help = "\
Examples:
  city-node key show officer.key.pub
  city-node key show data/keys/transport.key
  city-node key show --data-dir data")]
    Show {
        /// The key file; left out: the keys of the node.
        file: Option<PathBuf>,
        /// Which node.
        #[command(flatten)]
        place: PlaceArgs,
        /// The passphrase of the node's keys.
        #[command(flatten)]
        passphrase: PassphraseArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Keep the master secret where keys.backend in the configuration says, and wrap the node's keys by it.
    #[command(after_help = "\
Examples:
  set keys.backend = \"tpm\" in data/config.toml, then:  city-node key seal --data-dir data
  a passphrase for keys in files:                       city-node key seal --data-dir data --with-passphrase

The node must be stopped. Every step is durable before the next; after a cut, do it again: it goes on. Keys are
replaced only after what replaces them was read back.")]
    Seal(SealArgs),
    /// Write one file, sealed by a passphrase, with all of a node that cannot be made or fetched again.
    #[command(after_help = "\
Example:
  city-node key backup --data-dir data --out kanazawa.backup

In it: keys, key ring, certificates, charter, genesis record, configuration, boundaries. Not in it: the ledger.")]
    Backup(BackupArgs),
    /// Make a data directory of a backup, for a new machine. The node fetches its log from its peers before it signs.
    #[command(after_help = "\
Examples:
  city-node key restore kanazawa.backup --data-dir data
  city-node key restore kanazawa.backup --data-dir data --key-backend file

docs/replace-a-box.md has the whole procedure.")]
    Restore(RestoreArgs),
    /// Exchange a single key. (Ledger and sealing key: city-node epoch.)
    #[command(subcommand)]
    Rotate(RotateCommand),
    /// Make a new data key and seal what is encrypted at rest again with it, when the old one may be known to others.
    #[command(after_help = "\
Example:
  city-node key re-encrypt --data-dir data

The node must be stopped.")]
    ReEncrypt {
        /// Which node.
        #[command(flatten)]
        place: PlaceArgs,
        /// The passphrase of the node's keys.
        #[command(flatten)]
        passphrase: PassphraseArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Have the running node try every own key, and judge again the certificate and keys of every peer: what connected ones
    /// announced, what is held of the others on the whitelist.
    #[command(after_help = "\
Example:
  city-node key probe --data-dir data

Exit codes: 0 all hold · 3 the daemon is not running · 4 one does not; its line says why.")]
    Probe {
        /// Which node.
        #[command(flatten)]
        place: PlaceArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Exchange the master secret and wrap everything by the new one, while the node runs or not.
    #[command(after_help = "\
Examples:
  city-node key rotate-master
  city-node key rotate-master --data-dir data

With keys.backend = \"credential\" the new one is the credential city-node.master.next (docs/keys.md).")]
    RotateMaster {
        /// Which node.
        #[command(flatten)]
        place: PlaceArgs,
        /// Of a node that is not running.
        #[command(flatten)]
        passphrase: PassphraseArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// What can be exchanged alone.
#[derive(Debug, Subcommand)]
pub enum RotateCommand {
    /// Put a new TLS certificate and its key in place; a running node takes them within seconds.
    #[command(after_help = "\
Example:
  city-node key rotate tls --data-dir data --certificate new.pem --key new.key

Both are judged as a pair before anything is replaced. Cut off in between, do it again.")]
    Tls(RotateTlsArgs),
    /// Have another transport key, which is another peer id; peers follow without their operators' doing.
    #[command(subcommand)]
    #[command(after_help = "\
Example:
  city-node key rotate transport prepare --data-dir data
  city-node ca issue node …                        (at the CA, as `prepare` says)
  city-node key rotate transport finish --data-dir data --certificate node-next.pem
  and restart the node")]
    Transport(TransportCommand),
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Signs, for officers and people.
    Signing,
    /// Opens what is sealed for a person.
    Kem,
}

pub(super) fn run(command: &KeyCommand) -> Outcome {
    match command {
        KeyCommand::Generate {
            file,
            kind,
            suite,
            json,
        } => generate(file, *kind, *suite, *json),
        KeyCommand::Show {
            file: Some(file),
            json,
            ..
        } => show(file, *json),
        KeyCommand::Show {
            file: None,
            place,
            passphrase,
            json,
        } => keylist::run(place, passphrase, *json),
        KeyCommand::Backup(args) => backup::run_backup(args),
        KeyCommand::Restore(args) => backup::run_restore(args),
        KeyCommand::Rotate(RotateCommand::Tls(args)) => keystore::rotate_tls(args),
        KeyCommand::Rotate(RotateCommand::Transport(command)) => transport::run(command),
        KeyCommand::ReEncrypt {
            place,
            passphrase,
            json,
        } => keystore::re_encrypt(place, passphrase, *json),
        KeyCommand::Probe { place, json } => probe(place, *json),
        KeyCommand::Seal(args) => keystore::seal(args),
        KeyCommand::RotateMaster {
            place,
            passphrase,
            json,
        } => keystore::rotate_master(place, passphrase, *json),
    }
}

/// Tries a running node's keys, a line each.
fn probe(place: &PlaceArgs, json: bool) -> Outcome {
    let socket = place.locate().data.admin_socket();
    let tried =
        runtime()?.block_on(async { AdminClient::connect(&socket).await?.probe_keys().await });
    let page = asked(tried)?;
    if json {
        output::object(json!({ "lines": page.lines }))?;
    } else {
        let lines = page.lines.iter().map(|line| {
            let mark = if line.ok { "ok    " } else { "FAILED" };
            format!("{mark} {} {}: {}\n", line.whose, line.what, line.found)
        });
        output::text(&lines.collect::<String>())?;
    }
    if page.lines.iter().all(|line| line.ok) {
        Ok(Exit::Ok)
    } else {
        Ok(Exit::CheckFailed)
    }
}

/// What may be shown of a key.
pub(super) struct Shown {
    pub(super) kind: &'static str,
    pub(super) alg: &'static str,
    pub(super) id: String,
}

impl Shown {
    fn signing(key: &city_protocol::crypto::PublicKey) -> Self {
        Self {
            kind: "signing",
            alg: key.algorithm().id(),
            id: key.id().to_string(),
        }
    }

    fn kem(key: &city_protocol::crypto::KemPublicKey) -> Self {
        Self {
            kind: "kem",
            alg: key.algorithm().id(),
            id: key.id().to_string(),
        }
    }
}

fn generate(file: &Path, kind: Kind, suite: Suite, json: bool) -> Outcome {
    let public = public_path(file);
    // The secret file is never replaced; neither is somebody else's public half.
    if public.symlink_metadata().is_ok() {
        bail_exists(&public)?;
    }
    let shown = match kind {
        Kind::Signing => {
            let key = SecretKey::generate(suite.signing());
            keys::save_signing(file, &key)?;
            Shown::signing(key.public())
        }
        Kind::Kem => {
            let key = KemSecretKey::generate(suite.kem());
            keys::save_kem(file, &key)?;
            Shown::kem(key.public())
        }
    };
    if json {
        output::object(json!({
            "kind": shown.kind, "alg": shown.alg, "id": shown.id, "secret": file, "public": public,
        }))?;
    } else {
        output::text(&format!(
            "{kind} key ({alg}), id {id}\n  secret: {secret} (keep it to yourself, back it up)\n  public: {public}\n",
            kind = shown.kind,
            alg = shown.alg,
            id = shown.id,
            secret = file.display(),
            public = public.display(),
        ))?;
    }
    Ok(Exit::Ok)
}

fn bail_exists(path: &Path) -> Result<(), KeyFileError> {
    Err(KeyFileError::Exists { path: path.into() })
}

fn show(file: &Path, json: bool) -> Outcome {
    let shown = read(file)?;
    if json {
        output::object(
            json!({ "kind": shown.kind, "alg": shown.alg, "id": shown.id, "file": file }),
        )?;
    } else {
        let name = if shown.kind == "transport" {
            "peer id"
        } else {
            "id"
        };
        output::text(&format!(
            "{} key ({}), {name} {}\n",
            shown.kind, shown.alg, shown.id
        ))?;
    }
    Ok(Exit::Ok)
}

/// Reads a key file of any kind.
pub(super) fn read(file: &Path) -> anyhow::Result<Shown> {
    let other_kind = |error: &KeyFileError| matches!(error, KeyFileError::Content { .. });
    let public = file.extension().is_some_and(|extension| extension == "pub");
    let signing = if public {
        keys::load_signing_public(file).map(|key| Shown::signing(&key))
    } else {
        keys::load_signing(file).map(|key| Shown::signing(key.public()))
    };
    match signing {
        Err(error) if other_kind(&error) => {}
        other => return Ok(other?),
    }
    let kem = if public {
        keys::load_kem_public(file).map(|key| Shown::kem(&key))
    } else {
        keys::load_kem(file).map(|key| Shown::kem(key.public()))
    };
    match kem {
        Err(error) if other_kind(&error) => {}
        other => return Ok(other?),
    }
    match keys::load_transport(file) {
        Ok(key) => {
            let id = key.public().to_peer_id().to_string();
            Ok(Shown {
                kind: "transport",
                alg: "ed25519",
                id,
            })
        }
        Err(_) => bail!(
            "{}: neither a signing, KEM nor transport key file; name a .key or .pub file of city-node",
            file.display()
        ),
    }
}

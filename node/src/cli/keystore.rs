//! `key seal`, `key rotate-master`, `key re-encrypt`: exchanging what protects a node's keys, while it runs or not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use city_protocol::pki::CertificateRefusal;
use city_protocol::pki::foreign::Usage;
use clap::Args;
use serde_json::json;

use super::exit::{Exit, Failure, Outcome};
use super::launch::runtime;
use super::output;
use super::passphrase::PassphraseArgs;
use super::run::{Located, PlaceArgs};
use crate::client::{AdminClient, ClientError};
use crate::config::Config;
use crate::engine::utc;
use crate::keys::file::{read_public_up_to, read_secret, write_public};
use crate::keys::{
    self, Access, BackendKind, Exchanged, Keyring, Keystore, KeystoreError, Lock,
    PASSPHRASE_CREDENTIAL, Passphrase, PrivateFields,
};
use crate::pki::case::{Case, CrlOptions};
use crate::pki::trust_store::{MAX_CRL_FILES, MAX_TRUST_FILE, list_files};
use crate::private::wrap_again;
use crate::setup::{DataDir, read_tls};
use crate::terminal::seal_again;

/// Longest PEM file: a leaf, its intermediates, and room.
const MAX_PEM: u64 = 256 * 1024;
/// What the passphrase is asked for.
const WHAT: &str = "the node's keys";

/// Arguments of `key seal`.
#[derive(Debug, Args)]
pub struct SealArgs {
    /// Which node.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// With keys.backend = "file": protect the keys with a passphrase, which each start then needs.
    #[arg(long)]
    pub with_passphrase: bool,
    /// Read the new passphrase from this file (mode 0600) instead of the terminal.
    #[arg(long, value_name = "FILE", requires = "with_passphrase")]
    pub new_passphrase_file: Option<PathBuf>,
    /// The passphrase that the keys have now, if they have one.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `key rotate tls`.
#[derive(Debug, Args)]
pub struct RotateTlsArgs {
    /// Which node.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The new certificate (PEM, leaf first), from the CA.
    #[arg(long, value_name = "FILE")]
    pub certificate: PathBuf,
    /// Its key (PKCS#8 in PEM, mode 0600).
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Take a certificate that none of the network's TLS roots issued: whoever connects must trust its issuer otherwise.
    #[arg(long)]
    pub foreign: bool,
    /// The passphrase of the node's keys.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Takes the key store of a node that is not running for itself, and opens it.
fn open_alone(
    located: &Located,
    config: &Config,
    passphrase: &PassphraseArgs,
) -> anyhow::Result<(Lock, Keystore)> {
    // Before it is read: whoever changes it meanwhile would write back what was there.
    let alone = Keystore::lock_directory(&located.data.keys(), true)?;
    Ok((alone, open(located, config, passphrase)?))
}

/// Opens the key store of a node.
pub(super) fn open(
    located: &Located,
    config: &Config,
    passphrase: &PassphraseArgs,
) -> anyhow::Result<Keystore> {
    let mut ask = || passphrase.of(WHAT, PASSPHRASE_CREDENTIAL);
    let mut access = Access {
        tpm: config.keys.tpm.clone(),
        passphrase: Some(&mut ask),
    };
    Ok(Keystore::open(&located.data.keys(), &mut access)?)
}

/// Moves the master secret to the back-end that the configuration names.
pub(super) fn seal(args: &SealArgs) -> Outcome {
    let located = args.place.locate();
    let config = Config::load(&located.config)?;
    let kind = config.keys.backend;
    if args.with_passphrase && kind != BackendKind::File {
        let usage = anyhow::anyhow!(
            "--with-passphrase is for keys.backend = \"file\", and it is \"{kind}\" in {}",
            located.config.display()
        );
        return Err(Failure::new(Exit::Usage, usage));
    }
    let (_alone, store) = open_alone(&located, &config, &args.passphrase)?;
    let passphrase: Option<Passphrase> = if args.with_passphrase {
        let source = PassphraseArgs::from_file(args.new_passphrase_file.clone());
        // Not from the credential: that is the old one's.
        Some(source.new_for(WHAT, "city-node.new-passphrase")?)
    } else {
        None
    };
    let backend = keys::backend(kind, passphrase, &config.keys.tpm)?;
    let done = keys::exchange(&store, Some(backend), &located.data.secret_files()?)?;
    tell(&done, args.json)
}

/// Exchanges the master secret for another one in the same back-end.
pub(super) fn rotate_master(place: &PlaceArgs, passphrase: &PassphraseArgs, json: bool) -> Outcome {
    let located = place.locate();
    let config = Config::load(&located.config)?;
    // A running node does it itself: it seals fields meanwhile.
    let asked = runtime()?.block_on(async {
        let admin = AdminClient::connect(&located.data.admin_socket()).await?;
        admin.rotate_master().await
    });
    let done = match asked {
        Err(ClientError::NotRunning { .. }) => {
            let (_alone, store) = open_alone(&located, &config, passphrase)?;
            keys::exchange(&store, None, &located.data.secret_files()?)?
        }
        other => other?,
    };
    tell(&done, json)
}

/// Makes a new data key, seals all that is encrypted at rest again with it, and forgets the old ones.
pub(super) fn re_encrypt(place: &PlaceArgs, passphrase: &PassphraseArgs, json: bool) -> Outcome {
    let located = place.locate();
    let config = Config::load(&located.config)?;
    let (_alone, store) = open_alone(&located, &config, passphrase)?;
    let store = Arc::new(store);
    let ring = Keyring::open(Arc::clone(&store))?.ok_or_else(|| KeystoreError::NoMaster {
        directory: located.data.keys(),
    })?;
    let ring = Arc::new(ring);
    let private = PrivateFields::open(located.data.private(), Arc::clone(&ring))?;
    // Each step is durable: after a cut both keys are there, and doing it again makes a third and forgets them.
    let key = ring.rotate()?;
    let fields = private.seal_again()?;
    let transfers = wrap_again(&located.data.private_values(), &ring)?;
    let drafts = seal_again(&located.data.outbox(), &ring)?;
    let forgotten = ring.forget_old()?;
    if json {
        output::object(json!({
            "data_key": key, "fields": fields, "transfers": transfers, "drafts": drafts,
            "forgotten": forgotten,
        }))?;
    } else {
        output::text(&format!(
            "data key {key}: {fields} fields sealed again, and the private values of {transfers} transfers; {} old keys forgotten\n\
             Copies of the disk from before, with the master secret of then, still open: exchange that, too: city-node key rotate-master\n",
            forgotten.len()
        ))?;
    }
    Ok(Exit::Ok)
}

/// Puts a new TLS certificate and its key in place of those in use.
pub(super) fn rotate_tls(args: &RotateTlsArgs) -> Outcome {
    let located = args.place.locate();
    let config = Config::load(&located.config)?;
    let store = open(&located, &config, &args.passphrase)?;
    let data = &located.data;
    // Judged as a pair before anything is replaced.
    read_tls(&args.certificate, &args.key, &store)?;
    let certificate = read_public_up_to(&args.certificate, MAX_PEM)?;
    if !args.foreign {
        judge_tls(data, &args.certificate, &certificate)?;
    }
    let key = read_secret(&args.key)?;
    store.replace(&data.tls_key(), &key)?;
    write_public(&data.tls_certificate(), &certificate)?;
    // As the node will read it.
    read_tls(&data.tls_certificate(), &data.tls_key(), &store)?;
    if args.json {
        output::object(json!({ "certificate": data.tls_certificate(), "key": data.tls_key() }))?;
    } else {
        output::text(&format!(
            "{} and its key were replaced; a running node takes them within seconds\n\
             {} is still there: remove it, if nothing else needs it\n",
            data.tls_certificate().display(),
            args.key.display()
        ))?;
    }
    Ok(Exit::Ok)
}

/// Whether clients of this network take the certificate: its path, its use, and that no list here names it.
fn judge_tls(data: &DataDir, path: &Path, pem: &[u8]) -> anyhow::Result<()> {
    let text = |pem: &[u8]| String::from_utf8_lossy(pem).into_owned();
    let roots = text(&read_public_up_to(&data.tls_root(), MAX_PEM)?);
    let judge = |lists: &[String]| -> anyhow::Result<_> {
        let mut case = Case {
            usage: Some(Usage::Server),
            ..Case::default()
        };
        Case::read_certificates(&roots, &mut case.roots)?;
        case.read_leaf(&text(pem))?;
        lists.iter().for_each(|list| case.read_crls(list));
        Ok(case.judge(utc(), CrlOptions::default()))
    };
    let mut lists = Vec::new();
    for list in list_files(&data.crls(), MAX_CRL_FILES)? {
        lists.push(text(&read_public_up_to(&list, MAX_TRUST_FILE)?));
    }
    // A list that is missing or late is told by `status`, and no reason to keep the old certificate.
    let listed = judge(&lists)?;
    let verdict = if listed.reason == CertificateRefusal::Revoked.code() {
        listed
    } else {
        judge(&[])?
    };
    if !verdict.is_valid() {
        anyhow::bail!(
            "{}: clients of this network would refuse it: {} ({}); have the CA issue one (city-node ca issue tls-server), or say \
             --foreign if its root is to be trusted otherwise. Nothing was changed",
            path.display(),
            verdict.reason,
            verdict.detail.unwrap_or_default()
        );
    }
    Ok(())
}

fn tell(done: &Exchanged, json: bool) -> Outcome {
    let entry = done.entry;
    if json {
        output::object(json!({
            "master": entry.id,
            "backend": entry.backend,
            "before": done.before.map(|before| json!({
                "master": before.id, "backend": before.backend,
            })),
            "files": done.files,
            "wrapped": done.wrapped,
            "resumed": done.resumed,
        }))?;
        return Ok(Exit::Ok);
    }
    let mut text = String::new();
    if done.resumed {
        text += "an exchange that was cut off was brought to its end\n";
    }
    text += &format!("master secret {}, kept by {}\n", entry.id, entry.backend);
    if let Some(before) = done.before {
        text += &format!(
            "before it     {}, kept by {}: no longer in use\n",
            before.id, before.backend
        );
    }
    text += &format!("{} files are under it\n", done.files.len());
    text += if done.wrapped {
        "The keys are wrapped. What stood on this disk and in backups before may still be found there: where that matters, \
         rotate the keys themselves.\n"
    } else {
        "The keys are plain files for this user alone (mode 0600): whoever reads the disk has them.\n"
    };
    output::text(&text)?;
    Ok(Exit::Ok)
}

//! `account`: a person's keys in a file that a passphrase seals (here), `backup` its copy on paper, and the account at a
//! home: `enrol` opens it, `show` shows it, `order` says what is
//! taken without asking, `list` is the operator's, `policy` says what a home asks. What changes an account's keys stands in
//! `renewal`.

mod backup;
mod enrol;
mod list;
mod order;
mod policy;
mod show;
mod statement;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use city_protocol::crypto::Suite;
use city_protocol::ids::{AccountId, LogId};
use clap::Subcommand;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

use super::exit::{Exit, Outcome};
use super::output;
use super::passphrase::PassphraseArgs;
use super::renewal::{self, RecoverArgs, RevokeArgs, RotateArgs};
use super::suite::suites;
use crate::api::problem::{CERTIFICATE_REQUIRED, LOGIN_REFUSED};
use crate::client::ClientError;
use crate::client::paper::Ground;
use crate::client::wallet::Wallet;
use crate::keys::file::{read_public_up_to, read_secret, write_secret};
use crate::keys::{public_path, save_kem_public, save_signing_public};

/// What the passphrase is asked for.
const WHAT: &str = "the wallet";
/// The credential with it.
pub(super) const CREDENTIAL: &str = "city-node.wallet-passphrase";
/// Longest PEM file: a leaf, its intermediates, and room.
const MAX_PEM: u64 = 256 * 1024;

/// What can be done with a person's keys and account.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Make a person's signing and sealing keys, in one file that a passphrase seals.
    #[command(after_help = "\
Examples:
  city-node account create --out chiyo.wallet
  city-node account create --out chiyo.wallet --suite fips

Beside it stand chiyo.wallet.pub and chiyo.wallet.kem.pub, which the CA needs. Nothing replaces lost keys but the officers of
the municipality: make a backup at once (city-node account backup).")]
    Create {
        /// The file to make; it is never overwritten.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Which algorithms: dilithium5-ntru or fips (ML-DSA-87, ML-KEM-1024).
        #[arg(long, value_parser = suites(), default_value = Suite::Dilithium5Ntru.id())]
        suite: Suite,
        /// The wallet's passphrase.
        #[command(flatten)]
        passphrase: PassphraseArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Show the public part of a wallet, and the account that it has at a home.
    Show(show::ShowArgs),
    /// Print a wallet, still sealed, as QR codes for paper; or as their texts.
    #[command(after_help = "\
Examples:
  city-node account backup chiyo.wallet > chiyo.txt        # print it, with a small fixed-width font
  city-node account backup chiyo.wallet --dark-background   # on a dark screen, to be scanned from it
  city-node account backup chiyo.wallet --texts > texts    # the same without pictures

The codes are worth nothing without the passphrase, and the passphrase nothing without the codes: keep them apart.
A dilithium5-ntru wallet takes eleven codes, because its keys do not come from a short seed; fips takes four.")]
    Backup {
        /// The wallet.
        file: PathBuf,
        /// Draw for a terminal with a dark background, instead of for paper.
        #[arg(long)]
        dark_background: bool,
        /// One text a line instead of pictures.
        #[arg(long, conflicts_with = "dark_background")]
        texts: bool,
    },
    /// Make a wallet of the texts of its QR codes, one a line, in any order.
    #[command(after_help = "\
Examples:
  city-node account restore texts --out chiyo.wallet
  cat scanned-* | city-node account restore - --out chiyo.wallet")]
    Restore {
        /// The texts; - reads standard input.
        texts: PathBuf,
        /// The file to make; it is never overwritten.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Open the account at its home, with the certificate that the CA issued.
    #[command(after_help = "\
Example:
  city-node account enrol chiyo.wallet --node https://node.example:8443 --tls-root tls-root.pem --certificate chiyo.pem

Doing it again after a time-out is harmless: the home says that it was booked already.")]
    Enrol(enrol::EnrolArgs),
    /// List the accounts of a home, for its operator.
    List(list::ListArgs),
    /// Show what a home asks of a transfer, of keys and of officers.
    Policy(policy::PolicyArgs),
    /// Say which transfers the home takes for you without asking each time; show or end that.
    #[command(subcommand)]
    Order(order::OrderCommand),
    /// Give the account the keys of another wallet, also of another suite; both sign.
    #[command(after_help = "\
Example:
  city-node account create --out new.wallet --suite fips
  city-node ca issue client --help                       (the CA certifies the new keys for the same account)
  city-node account rotate chiyo.wallet --to new.wallet --certificate new.pem --node https://node.example:8443 --tls-root tls-root.pem

The account and its money stay; what the old keys signed stays valid. Doing it again after a time-out is harmless.")]
    Rotate(RotateArgs),
    /// Close the account's key: nothing is taken from it any more until officers give it another.
    #[command(after_help = "\
Example:
  city-node account revoke chiyo.wallet --reason 紛失 --node https://node.example:8443 --tls-root tls-root.pem")]
    Revoke(RevokeArgs),
    /// Write down for the officers that an account is to get the keys of this wallet.
    #[command(after_help = "\
Example:
  city-node account recover new.wallet --account ubqxbxvmedbbampu-… --certificate new.pem --reason 本人確認済み \\
      --node https://node.example:8443 --tls-root tls-root.pem --out recover.json
  city-node officers sign recover.json --key officer-1.key --out 1.json      (each officer)
  city-node officers submit recover.json 1.json 2.json --certificate new.pem --node … --tls-root …")]
    Recover(RecoverArgs),
    /// Show a person's statement: every change between two days, with opening and closing balance.
    Statement(statement::StatementArgs),
}

pub(super) fn run(command: &AccountCommand) -> Outcome {
    match command {
        AccountCommand::Create {
            out,
            suite,
            passphrase,
            json,
        } => create(out, *suite, passphrase, *json),
        AccountCommand::Show(args) => show::run(args),
        AccountCommand::Backup {
            file,
            dark_background,
            texts,
        } => {
            let ground = match dark_background {
                true => Ground::Dark,
                false => Ground::Light,
            };
            backup::backup(file, ground, *texts)
        }
        AccountCommand::Restore { texts, out, json } => backup::restore(texts, out, *json),
        AccountCommand::Enrol(args) => enrol::run(args),
        AccountCommand::List(args) => list::run(args),
        AccountCommand::Policy(args) => policy::run(args),
        AccountCommand::Order(command) => order::run(command),
        AccountCommand::Rotate(args) => renewal::rotate(args),
        AccountCommand::Revoke(args) => renewal::revoke(args),
        AccountCommand::Recover(args) => renewal::recover(args),
        AccountCommand::Statement(args) => statement::run(args),
    }
}

/// Opens a wallet file.
pub(super) fn open(file: &Path, passphrase: &PassphraseArgs) -> anyhow::Result<Wallet> {
    let sealed = read_secret(file)?;
    let passphrase = passphrase.of(WHAT, CREDENTIAL)?;
    Wallet::open(&sealed, &passphrase).with_context(|| file.display().to_string())
}

fn create(out: &Path, suite: Suite, passphrase: &PassphraseArgs, json: bool) -> Outcome {
    let (public, kem_public) = (public_path(out), kem_path(out));
    for path in [out, &public, &kem_public] {
        if path.symlink_metadata().is_ok() {
            return Err(crate::keys::KeyFileError::Exists { path: path.into() }.into());
        }
    }
    let passphrase = passphrase.new_for(WHAT, CREDENTIAL)?;
    let wallet = Wallet::generate(suite);
    write_secret(out, &wallet.seal(&passphrase)?)?;
    save_signing_public(&public, wallet.signing_public())?;
    save_kem_public(&kem_public, wallet.kem_public())?;
    if json {
        let mut object = fields(&wallet, None);
        object["file"] = json!(out);
        object["public"] = json!(public);
        object["kem_public"] = json!(kem_public);
        output::object(object)?;
    } else {
        output::text(&format!(
            "{}: a new wallet, sealed by the passphrase\n{}\
             for the CA   {} and {}\n\
             Make a backup now: city-node account backup {}\n",
            out.display(),
            told(&wallet, None),
            public.display(),
            kem_public.display(),
            out.display(),
        ))?;
    }
    Ok(Exit::Ok)
}

fn kem_path(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".kem");
    public_path(Path::new(&name))
}

fn account(wallet: &Wallet, home: LogId) -> AccountId {
    AccountId::new(&home, &wallet.signing_public().id())
}

fn fields(wallet: &Wallet, home: Option<LogId>) -> serde_json::Value {
    json!({
        "suite": wallet.signing_public().algorithm().suite().id(),
        "alg": wallet.signing_public().algorithm(),
        "key": wallet.signing_public().id(),
        "kem_alg": wallet.kem_public().algorithm(),
        "kem_key": wallet.kem_public().id(),
        "home": home,
        "account": home.map(|home| account(wallet, home)),
    })
}

fn told(wallet: &Wallet, home: Option<LogId>) -> String {
    let (signing, kem) = (wallet.signing_public(), wallet.kem_public());
    let mut text = format!(
        "signing key  {} ({})\nsealing key  {} ({})\n",
        signing.id(),
        signing.algorithm(),
        kem.id(),
        kem.algorithm(),
    );
    if let Some(home) = home {
        text += &format!(
            "account      {} (while this is the key that enrolled)\n",
            account(wallet, home)
        );
    }
    text
}

/// Where it is not known whether the home booked it, doing it again tells; where the home knows no such account, its keys
/// may have been changed.
pub(super) fn again(error: ClientError) -> anyhow::Error {
    if error.code() == Some(LOGIN_REFUSED) {
        return anyhow::Error::from(error).context(
            "this wallet's key is not that of an account here; an account whose keys were changed is named with --account",
        );
    }
    if error.code() == Some(CERTIFICATE_REQUIRED) {
        return anyhow::Error::from(error).context(
            "the home does not hold this account's certificate, as after a move to a new box: give it along once (--certificate FILE)",
        );
    }
    let unknown = matches!(error, ClientError::Timeout | ClientError::Broken(_));
    let error = anyhow::Error::from(error);
    if unknown {
        error
            .context("it is not known whether it was booked; do it again: it is never booked twice")
    } else {
        error
    }
}

pub(super) fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = read_public_up_to(path, MAX_PEM)?;
    let ders: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match ders {
        Ok(ders) if !ders.is_empty() => Ok(ders),
        _ => bail!(
            "{}: holds no PEM certificates; name the right file",
            path.display()
        ),
    }
}

//! `crypto`: the algorithms as a tool. The clap tree; `keys`, `signatures`, `seals` do the work, `batch` and the demo
//! service stand in `crate::crypto`.

mod keys;
mod seals;
mod signatures;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::exit::{Exit, Outcome};
use super::{input, output};
use crate::crypto::case::Task;
use crate::crypto::{batch, serve};

/// Longest file that is signed, sealed or opened, in bytes: it is held in memory, some three times.
const MAX_CONTENT: usize = 64 << 20;

/// What can be tried.
#[derive(Debug, Subcommand)]
pub enum CryptoCommand {
    /// Make a key file (mode 0600) of any algorithm, or take over an ML-DSA key from PKCS#8.
    #[command(after_help = "\
Examples:
  city-node crypto keygen --alg ml-dsa-87 a.key
  city-node crypto keygen --alg aes-256-gcm box.key
  city-node crypto keygen --from ML-DSA-87-both.priv taken-over.key

A PKCS#8 key is checked in itself: seed and expanded key must be one key (exit code 4 if not).")]
    Keygen(keys::KeygenArgs),
    /// Sign a file, in a context of your choice.
    #[command(after_help = "\
Examples:
  city-node crypto sign a.key letter.txt --out letter.sig
  echo hello | city-node crypto sign a.key --context 2026 --out hello.sig

What is signed is the tag city-node/file/v1, the length-prefixed --context and the file: such a signature means
nothing in a ledger. --raw signs exactly the file's bytes, for other software; bytes that begin like a ledger's
message are refused. An RSA key in PKCS#8 (PEM) always signs exactly the bytes: PKCS#1 v1.5 with SHA-256.")]
    Sign(signatures::SignArgs),
    /// Check a signature, or a batch of them.
    #[command(after_help = "\
Examples:
  city-node crypto verify a.key.pub letter.sig letter.txt
  city-node crypto verify --batch vectors.jsonl

A batch has one JSON case a line: id, alg, public_key, message, signature, and context if there is one, in
hexadecimal; each is answered by one line: {\"id\":…,\"ok\":true|false,\"reason\":…}. Algorithms of a batch: dilithium5,
ml-dsa-44|65|87, rsa-pkcs1-sha256|384|512 (public_key: DER), ed25519, ecdsa-p256-sha256, ecdsa-p384-sha384,
ecdsa-p521-sha512 (with -p1363 for raw r and s).
Exit codes: 0 it verifies, or every line of the batch was answered · 4 it does not verify.")]
    Verify(signatures::VerifyArgs),
    /// Make a shared secret for the owner of a KEM key, and the ciphertext that carries it.
    #[command(after_help = "\
Example:
  city-node crypto encapsulate b.kem.pub --ciphertext to-b.ct --secret mine.key
  city-node crypto encrypt mine.key letter.txt --out letter.box

--secret becomes a key file for encrypt and decrypt.")]
    Encapsulate(seals::EncapsulateArgs),
    /// Take the shared secret out of a KEM ciphertext, or out of a batch of them.
    #[command(after_help = "\
Examples:
  city-node crypto decapsulate b.kem to-b.ct --secret same.key
  city-node crypto decapsulate --batch vectors.jsonl

A batch has one JSON case a line: id, alg, secret_key, ciphertext in hexadecimal; the answer holds shared_secret.
Algorithms of a batch: ntru-hps-2048-509, -2048-677, -4096-821, -4096-1229, ntru-hrss-701, -1373 (also as ntruhps…),
ml-kem-512|768|1024. A ciphertext that was made for another key gives another secret, as the specifications want it.")]
    Decapsulate(seals::DecapsulateArgs),
    /// Seal a file with AES-256-GCM.
    #[command(after_help = "\
Example:
  city-node crypto encrypt box.key letter.txt --out letter.box --aad draft

The box is iv (12 bytes) | tag (16 bytes) | ciphertext, under a fresh IV.")]
    Encrypt(seals::EncryptArgs),
    /// Open a file that was sealed with AES-256-GCM, or a batch of cases.
    #[command(after_help = "\
Examples:
  city-node crypto decrypt box.key letter.box --out letter.txt --aad draft
  city-node crypto decrypt --batch vectors.jsonl

A batch has one JSON case a line: id, alg (aes-128-gcm, aes-192-gcm, aes-256-gcm, or aes-gcm by the key's length),
key, iv, ciphertext, tag, and aad if there is one, in hexadecimal; the answer holds plaintext. Tags have 16 bytes.
Exit codes: 0 it opened, or every line of the batch was answered · 4 it is not authentic.")]
    Decrypt(seals::DecryptArgs),
    /// Show what identifies a key file, a certificate or a PKCS#8 key.
    #[command(after_help = "\
Examples:
  city-node crypto fingerprint a.key.pub
  city-node crypto fingerprint data/certs/node.pem

Of a key its id, of a certificate SHA-256 of its DER, of a PKCS#8 key SHA-256 of its raw public key (exit code 4 if
the key contradicts itself).")]
    Fingerprint(keys::FingerprintArgs),
    /// Serve signing and sealing with throw-away keys on loopback, until SIGTERM or Ctrl-C.
    #[command(after_help = "\
Example:
  city-node crypto serve --listen 127.0.0.1:8083
  curl -s http://127.0.0.1:8083/sign/dilithium -H 'content-type: application/json' -d '{\"message\":\"hello\"}'

Never a node's keys: a key file in a data or CA directory is refused, and so is any address but loopback.")]
    Serve(ServeArgs),
}

/// Arguments of `crypto serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to listen: a loopback address.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8083")]
    listen: SocketAddr,
    /// A dilithium5 test key to sign with, instead of a throw-away one.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

pub(super) fn run(command: CryptoCommand) -> Outcome {
    match command {
        CryptoCommand::Keygen(args) => keys::keygen(&args),
        CryptoCommand::Sign(args) => signatures::sign(&args),
        CryptoCommand::Verify(args) => signatures::verify(&args),
        CryptoCommand::Encapsulate(args) => seals::encapsulate(&args),
        CryptoCommand::Decapsulate(args) => seals::decapsulate(&args),
        CryptoCommand::Encrypt(args) => seals::encrypt(&args),
        CryptoCommand::Decrypt(args) => seals::decrypt(&args),
        CryptoCommand::Fingerprint(args) => keys::fingerprint(&args),
        CryptoCommand::Serve(args) => {
            let demo = serve::Demo::new(args.key.as_deref())?;
            super::launch::runtime()?.block_on(serve::run(args.listen, demo))?;
            Ok(Exit::Ok)
        }
    }
}

/// Answers a batch; refused cases are answers, too.
fn answer_all(task: Task, file: &Path) -> Outcome {
    match batch::run(task, input::open(file)?, io::stdout().lock()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        done => {
            let tally = done.with_context(|| file.display().to_string())?;
            tracing::debug!(
                lines = tally.lines,
                refused = tally.refused,
                "batch answered"
            );
            Ok(Exit::Ok)
        }
    }
}

/// Tells a verdict, as text or JSON, and ends with 4 where it is a no.
fn verdict(json: bool, what: &Path, outcome: Result<(), crate::crypto::Reason>) -> Outcome {
    if json {
        let code = outcome.err().map(|reason| reason.code());
        output::object(serde_json::json!({ "ok": outcome.is_ok(), "reason": code }))?;
    } else {
        output::text(&match outcome {
            Ok(()) => format!("{}: holds\n", what.display()),
            Err(reason) => {
                format!(
                    "{}: does NOT hold: {reason} ({})\n",
                    what.display(),
                    reason.code()
                )
            }
        })?;
    }
    Ok(if outcome.is_ok() {
        Exit::Ok
    } else {
        Exit::CheckFailed
    })
}

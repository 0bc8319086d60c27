//! `crypto sign` and `crypto verify`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use city_protocol::crypto::RsaSecretKey;
use clap::Args;
use data_encoding::HEXLOWER;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;

use super::super::exit::{Exit, Failure, Outcome};
use super::super::{input, output};
use super::{MAX_CONTENT, answer_all, verdict};
use crate::crypto::case::Task;
use crate::crypto::scheme::{SignatureScheme, signature_ids};
use crate::crypto::{Reason, message};
use crate::keys;
use crate::keys::file::read_secret;

/// What every message of the ledger begins with: nothing like it is signed with `--raw`.
const LEDGER_PREFIX: &[u8] = b"city-node/";
/// What a PEM file with a PKCS#8 key begins with.
const PKCS8_PEM: &[u8] = b"-----BEGIN PRIVATE KEY-----";
/// Longest signature file in bytes: of RSA with 8,192 bits 1,024, of ours 4,627.
const MAX_SIGNATURE: usize = 8 * 1024;
/// Longest public key in DER or raw, in bytes.
const MAX_PUBLIC_KEY: usize = 16 * 1024;

/// Arguments of `crypto sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// A signing key file, or an RSA key in PKCS#8 (PEM).
    key: PathBuf,
    /// What to sign; - reads standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// The file to make for the signature's bytes; it is never overwritten. Without it, hexadecimal is printed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What the signature is for; whoever checks it must name the same.
    #[arg(long, default_value = "", conflicts_with = "raw")]
    context: String,
    /// Sign exactly the bytes, without tag and context.
    #[arg(long)]
    raw: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `crypto verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The public key: a .pub file, or with --alg the key itself (raw or DER).
    #[arg(required_unless_present = "batch")]
    key: Option<PathBuf>,
    /// The signature's bytes.
    #[arg(required_unless_present = "batch")]
    signature: Option<PathBuf>,
    /// What was signed; - reads standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// What the signature is for.
    #[arg(long, default_value = "", conflicts_with = "raw")]
    context: String,
    /// The signature is over exactly the bytes.
    #[arg(long)]
    raw: bool,
    /// The key is no key file but a public key of this algorithm; the signature is over exactly the bytes.
    #[arg(long, value_name = "ALG", conflicts_with_all = ["context", "raw"])]
    alg: Option<String>,
    /// Answer a file of JSON cases instead, one a line; - reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "signature", "file", "context", "raw", "alg"])]
    batch: Option<PathBuf>,
    /// Print one JSON object; a batch always does, one a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn sign(args: &SignArgs) -> Outcome {
    let content = input::read_whole(&args.file, MAX_CONTENT)?;
    let secret = read_secret(&args.key)?;
    let (alg, signature) = if secret.trim_ascii_start().starts_with(PKCS8_PEM) {
        if !args.context.is_empty() {
            return Err(anyhow::anyhow!(
                "--context: an RSA signature is over exactly the bytes; leave it out"
            )
            .into());
        }
        (
            "rsa-pkcs1-sha256",
            rsa(&args.key, &secret)?.sign_sha256(&content),
        )
    } else {
        let key = keys::load_signing(&args.key)?;
        let signature = if args.raw {
            if content.starts_with(LEDGER_PREFIX) {
                return Err(anyhow::anyhow!(
                    "{}: begins like a message of a ledger, and is not signed with --raw; leave --raw out",
                    args.file.display()
                )
                .into());
            }
            key.sign_raw(&content)
        } else {
            message::sign(&key, args.context.as_bytes(), &content)
        };
        (key.public().algorithm().id(), signature.as_bytes().to_vec())
    };
    if let Some(out) = &args.out {
        input::write_new(out, &signature)?;
    }
    let hex = HEXLOWER.encode(&signature);
    if args.json {
        output::object(json!({ "alg": alg, "signature": hex, "file": args.out }))?;
    } else if let Some(out) = &args.out {
        output::text(&format!(
            "{}: {alg} signature, {} bytes\n",
            out.display(),
            signature.len()
        ))?;
    } else {
        output::text(&format!("{hex}\n"))?;
    }
    Ok(Exit::Ok)
}

fn rsa(path: &Path, pem: &[u8]) -> anyhow::Result<RsaSecretKey> {
    let no_key = || {
        format!(
            "{}: not an RSA key of 2048 to 8192 bits in unencrypted PKCS#8; export it again",
            path.display()
        )
    };
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem)
        .ok()
        .with_context(no_key)?;
    RsaSecretKey::from_pkcs8(der.secret_pkcs8_der())
        .ok()
        .with_context(no_key)
}

pub(super) fn verify(args: &VerifyArgs) -> Outcome {
    if let Some(batch) = &args.batch {
        return answer_all(Task::Verify, batch);
    }
    let (Some(key), Some(signature)) = (&args.key, &args.signature) else {
        return Err(anyhow::anyhow!("give KEY and SIGNATURE, or --batch FILE").into());
    };
    let bytes = input::read(signature, MAX_SIGNATURE)?;
    let outcome = if let Some(alg) = &args.alg {
        let scheme = SignatureScheme::of(alg).map_err(|_| {
            let known: Vec<_> = signature_ids().collect();
            let known = known.join(", ");
            let error = anyhow::anyhow!("--alg {alg}: not known; there are {known}");
            Failure::new(Exit::Usage, error)
        })?;
        let key = public_der(&input::read_whole(key, MAX_PUBLIC_KEY)?);
        let content = input::read_whole(&args.file, MAX_CONTENT)?;
        scheme.verify(&key, &content, &[], &bytes)
    } else {
        let key = keys::load_signing_public(key)?;
        let content = input::read_whole(&args.file, MAX_CONTENT)?;
        if args.raw {
            key.verify_raw(&content, &bytes)
                .map_err(Reason::of_signature)
        } else {
            message::verify(&key, args.context.as_bytes(), &content, &bytes)
        }
    };
    verdict(args.json, &args.file, outcome)
}

/// The DER in a PEM file, or the bytes as they are.
fn public_der(bytes: &[u8]) -> Vec<u8> {
    rustls_pki_types::SubjectPublicKeyInfoDer::from_pem_slice(bytes)
        .map_or_else(|_| bytes.to_vec(), |der| der.to_vec())
}

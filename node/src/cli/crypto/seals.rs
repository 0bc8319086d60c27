//! `crypto encapsulate`, `decapsulate`, `encrypt` and `decrypt`.

use std::path::PathBuf;

use clap::Args;
use data_encoding::HEXLOWER;
use serde_json::json;

use super::super::exit::{Exit, Failure, Outcome};
use super::super::{input, output};
use super::{MAX_CONTENT, answer_all, verdict};
use crate::crypto::aead::{self, IV_LEN, Sealed, TAG_LEN};
use crate::crypto::case::Task;
use crate::crypto::secret::{ALG, SymmetricKey};
use crate::keys::{self, KeyFileError};

/// Longest KEM ciphertext in bytes: of NTRU-HRSS-1373 2,401.
const MAX_CIPHERTEXT: usize = 4 * 1024;

/// Arguments of `crypto encapsulate`.
#[derive(Debug, Args)]
pub struct EncapsulateArgs {
    /// The receiver's KEM key (.pub file).
    key: PathBuf,
    /// The file to make for the ciphertext; it is never overwritten.
    #[arg(long, value_name = "FILE")]
    ciphertext: PathBuf,
    /// The key file to make for the shared secret.
    #[arg(long, value_name = "FILE")]
    secret: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `crypto decapsulate`.
#[derive(Debug, Args)]
pub struct DecapsulateArgs {
    /// The KEM key file.
    #[arg(required_unless_present = "batch")]
    key: Option<PathBuf>,
    /// The ciphertext.
    #[arg(required_unless_present = "batch")]
    ciphertext: Option<PathBuf>,
    /// The key file to make for the shared secret.
    #[arg(long, value_name = "FILE", required_unless_present = "batch")]
    secret: Option<PathBuf>,
    /// Answer a file of JSON cases instead, one a line; - reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "ciphertext", "secret"])]
    batch: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `crypto encrypt`.
#[derive(Debug, Args)]
pub struct EncryptArgs {
    /// A symmetric key file.
    key: PathBuf,
    /// What to seal; - reads standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// The file to make for the box; it is never overwritten.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What the box is bound to; whoever opens it must name the same.
    #[arg(long, default_value = "")]
    aad: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `crypto decrypt`.
#[derive(Debug, Args)]
pub struct DecryptArgs {
    /// A symmetric key file.
    #[arg(required_unless_present = "batch")]
    key: Option<PathBuf>,
    /// The box; - reads standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// The file to make for the text, mode 0600; without it the text goes to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What the box is bound to.
    #[arg(long, default_value = "")]
    aad: String,
    /// Answer a file of JSON cases instead, one a line; - reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "file", "out", "aad"])]
    batch: Option<PathBuf>,
    /// Print the verdict as one JSON object; a batch always does, one a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn encapsulate(args: &EncapsulateArgs) -> Outcome {
    let key = keys::load_kem_public(&args.key)?;
    let (ciphertext, secret) = key.encapsulate();
    if args.ciphertext.symlink_metadata().is_ok() {
        let path = args.ciphertext.clone();
        return Err(KeyFileError::Exists { path }.into());
    }
    SymmetricKey::from_shared(secret.expose_secret()).save(&args.secret)?;
    input::write_new(&args.ciphertext, &ciphertext)?;
    let alg = key.algorithm().id();
    if args.json {
        output::object(json!({
            "alg": alg, "key": key.id().to_string(), "ciphertext": args.ciphertext, "secret": args.secret,
        }))?;
    } else {
        output::text(&format!(
            "{alg} to key {}\n  ciphertext: {} (send it)\n  secret: {} (keep it to yourself)\n",
            key.id(),
            args.ciphertext.display(),
            args.secret.display(),
        ))?;
    }
    Ok(Exit::Ok)
}

pub(super) fn decapsulate(args: &DecapsulateArgs) -> Outcome {
    if let Some(batch) = &args.batch {
        return answer_all(Task::Decapsulate, batch);
    }
    let (Some(key), Some(file), Some(out)) = (&args.key, &args.ciphertext, &args.secret) else {
        return Err(anyhow::anyhow!("give KEY, CIPHERTEXT and --secret, or --batch FILE").into());
    };
    let key = keys::load_kem(key)?;
    let ciphertext = input::read(file, MAX_CIPHERTEXT)?;
    let Ok(secret) = key.decapsulate(&ciphertext) else {
        let (alg, length) = (key.public().algorithm(), ciphertext.len());
        return Err(anyhow::anyhow!(
            "{}: {length} bytes; a ciphertext of {alg} has {}",
            file.display(),
            alg.ciphertext_len()
        )
        .into());
    };
    SymmetricKey::from_shared(secret.expose_secret()).save(out)?;
    if args.json {
        output::object(json!({ "alg": key.public().algorithm().id(), "secret": out }))?;
    } else {
        output::text(&format!(
            "secret: {} (keep it to yourself)\n",
            out.display()
        ))?;
    }
    Ok(Exit::Ok)
}

pub(super) fn encrypt(args: &EncryptArgs) -> Outcome {
    let key = SymmetricKey::load(&args.key)?;
    let text = input::read_whole(&args.file, MAX_CONTENT)?;
    let Sealed {
        iv,
        tag,
        ciphertext,
    } = aead::seal(key.expose_secret(), args.aad.as_bytes(), &text)?;
    input::write_new(&args.out, &[&iv[..], &tag, &ciphertext].concat())?;
    if args.json {
        output::object(json!({
            "alg": ALG, "iv": HEXLOWER.encode(&iv), "tag": HEXLOWER.encode(&tag), "file": args.out,
        }))?;
    } else {
        output::text(&format!(
            "{}: {} bytes sealed\n",
            args.out.display(),
            text.len()
        ))?;
    }
    Ok(Exit::Ok)
}

pub(super) fn decrypt(args: &DecryptArgs) -> Outcome {
    if let Some(batch) = &args.batch {
        return answer_all(Task::Decrypt, batch);
    }
    let Some(key) = &args.key else {
        return Err(anyhow::anyhow!("give KEY, or --batch FILE").into());
    };
    if args.json && args.out.is_none() {
        let why = "--json: give --out FILE for the text, which otherwise goes to standard output";
        return Err(Failure::new(Exit::Usage, anyhow::anyhow!(why)));
    }
    let key = SymmetricKey::load(key)?;
    let sealed = input::read_whole(&args.file, MAX_CONTENT + IV_LEN + TAG_LEN)?;
    let Some((iv, rest)) = sealed.split_at_checked(IV_LEN) else {
        return Err(short(args).into());
    };
    let Some((tag, ciphertext)) = rest.split_at_checked(TAG_LEN) else {
        return Err(short(args).into());
    };
    let aad = args.aad.as_bytes();
    match aead::open(ALG, key.expose_secret(), iv, aad, ciphertext, tag) {
        Err(reason) if args.json => verdict(true, &args.file, Err(reason)),
        Err(reason) => {
            // The verdict is no text of the box: it goes where errors go.
            eprintln!(
                "city-node: {}: does NOT open: {reason} ({})",
                args.file.display(),
                reason.code()
            );
            Ok(Exit::CheckFailed)
        }
        Ok(text) => {
            match &args.out {
                Some(out) => input::write_private(out, &text)?,
                None => output::bytes(&text)?,
            }
            if args.json {
                return verdict(true, &args.file, Ok(()));
            }
            Ok(Exit::Ok)
        }
    }
}

fn short(args: &DecryptArgs) -> anyhow::Error {
    anyhow::anyhow!(
        "{}: shorter than {} bytes, so not a box; name the file that `crypto encrypt` made",
        args.file.display(),
        IV_LEN + TAG_LEN
    )
}

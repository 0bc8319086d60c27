//! `crypto keygen` and `crypto fingerprint`.

use std::path::{Path, PathBuf};

use city_protocol::Refusal;
use city_protocol::crypto::{
    Algorithm, KemAlgorithm, KemSecretKey, MlDsaImport, Pkcs8Refusal, SecretKey,
};
use city_protocol::ids::Digest;
use clap::Args;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::json;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::super::exit::{Exit, Failure, Outcome};
use super::super::key::{self, Shown};
use super::super::{input, output};
use crate::crypto::secret::{ALG, SymmetricKey};
use crate::keys::{self, KeyFileError, public_path};

/// Largest file with a key or a certificate in bytes: PEM of an expanded ML-DSA-87 key has about 7,000.
const MAX_FILE: usize = 64 * 1024;

/// Arguments of `crypto keygen`.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// The file to make; it is never overwritten. The public half stands beside it in FILE.pub.
    file: PathBuf,
    /// dilithium5, ml-dsa-87, ntru-hps-4096-821, ntru-hrss-701, ml-kem-1024 or aes-256-gcm.
    #[arg(
        long,
        value_name = "ALG",
        required_unless_present = "from",
        conflicts_with = "from"
    )]
    alg: Option<String>,
    /// Take over an ML-DSA-87 key from unencrypted PKCS#8, PEM or DER.
    #[arg(long, value_name = "PKCS8")]
    from: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `crypto fingerprint`.
#[derive(Debug, Args)]
pub struct FingerprintArgs {
    /// A key file, its .pub, a certificate (PEM or DER) or an ML-DSA key in PKCS#8 (PEM or DER).
    file: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What is told of a new or known key.
struct Told {
    kind: &'static str,
    alg: String,
    id: String,
}

impl Told {
    fn signing(key: &city_protocol::crypto::PublicKey) -> Self {
        Self {
            kind: "signing",
            alg: key.algorithm().to_string(),
            id: key.id().to_string(),
        }
    }

    fn kem(key: &city_protocol::crypto::KemPublicKey) -> Self {
        Self {
            kind: "kem",
            alg: key.algorithm().to_string(),
            id: key.id().to_string(),
        }
    }
}

pub(super) fn keygen(args: &KeygenArgs) -> Outcome {
    let (file, public) = (&args.file, public_path(&args.file));
    if public.symlink_metadata().is_ok() {
        return Err(KeyFileError::Exists { path: public }.into());
    }
    let alg = args.alg.as_deref().unwrap_or_default();
    let told = if let Some(from) = &args.from {
        let key = taken_over(from)?;
        keys::save_signing(file, &key)?;
        Told::signing(key.public())
    } else if let Ok(algorithm) = alg.parse::<Algorithm>() {
        let key = SecretKey::generate(algorithm);
        keys::save_signing(file, &key)?;
        Told::signing(key.public())
    } else if let Ok(algorithm) = alg.parse::<KemAlgorithm>() {
        let key = KemSecretKey::generate(algorithm);
        keys::save_kem(file, &key)?;
        Told::kem(key.public())
    } else if alg == ALG {
        SymmetricKey::generate().save(file)?;
        if args.json {
            output::object(json!({ "kind": "symmetric", "alg": ALG, "secret": file }))?;
        } else {
            output::text(&format!(
                "symmetric key ({ALG})\n  secret: {}\n",
                file.display()
            ))?;
        }
        return Ok(Exit::Ok);
    } else {
        return Err(unknown(alg));
    };
    if args.json {
        output::object(json!({
            "kind": told.kind, "alg": told.alg, "id": told.id, "secret": file, "public": public,
        }))?;
    } else {
        output::text(&format!(
            "{} key ({}), id {}\n  secret: {} (keep it to yourself, back it up)\n  public: {}\n",
            told.kind,
            told.alg,
            told.id,
            file.display(),
            public.display(),
        ))?;
    }
    Ok(Exit::Ok)
}

fn unknown(alg: &str) -> Failure {
    let signing = Algorithm::ALL.iter().map(|algorithm| algorithm.id());
    let kem = KemAlgorithm::ALL.iter().map(|algorithm| algorithm.id());
    let known: Vec<_> = signing.chain(kem).chain([ALG]).collect();
    let known = known.join(", ");
    Failure::new(
        Exit::Usage,
        anyhow::anyhow!("--alg {alg}: not known; there are {known}"),
    )
}

fn taken_over(path: &Path) -> Result<SecretKey, Failure> {
    let import = import(path, &input::read_whole(path, MAX_FILE)?)?;
    let key = import.to_ledger_key().map_err(|refusal| match refusal {
        Refusal::UnknownAlgorithm => anyhow::anyhow!(
            "{}: an {} key; only ml-dsa-87 is an algorithm of the ledger",
            path.display(),
            import.set().id()
        ),
        _ => anyhow::anyhow!(
            "{}: the expanded key without its seed cannot be stored; export it with its seed",
            path.display()
        ),
    })?;
    Ok(key)
}

/// Reads PKCS#8; a key that contradicts itself ends with 4.
fn import(path: &Path, bytes: &[u8]) -> Result<MlDsaImport, Failure> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(bytes);
    let der = der.as_ref().map_or(bytes, |der| der.secret_pkcs8_der());
    MlDsaImport::from_pkcs8(der).map_err(|refusal| {
        let exit = match refusal {
            Pkcs8Refusal::SeedMismatch | Pkcs8Refusal::Inconsistent => Exit::CheckFailed,
            _ => Exit::Failed,
        };
        let error = anyhow::anyhow!("{}: {refusal} ({})", path.display(), refusal.code());
        Failure::new(exit, error)
    })
}

pub(super) fn fingerprint(args: &FingerprintArgs) -> Outcome {
    let told = identify(&args.file)?;
    if args.json {
        output::object(json!({
            "kind": told.kind, "alg": told.alg, "fingerprint": told.id, "file": args.file,
        }))?;
    } else {
        output::text(&format!("{} ({}), {}\n", told.kind, told.alg, told.id))?;
    }
    Ok(Exit::Ok)
}

fn identify(path: &Path) -> Result<Told, Failure> {
    let bytes = input::read_whole(path, MAX_FILE)?;
    // Our own key files are JSON objects.
    if bytes.trim_ascii_start().starts_with(b"{") {
        let Shown { kind, alg, id } = key::read(path)?;
        let alg = alg.into();
        return Ok(Told { kind, alg, id });
    }
    if let Ok(der) = CertificateDer::from_pem_slice(&bytes) {
        return Ok(certificate(&der));
    }
    if Certificate::from_der(&bytes).is_ok() {
        return Ok(certificate(&bytes));
    }
    let import = import(path, &bytes)?;
    Ok(Told {
        kind: "pkcs8",
        alg: import.set().id().into(),
        id: Digest::of(&[import.public()]).to_string(),
    })
}

fn certificate(der: &[u8]) -> Told {
    Told {
        kind: "certificate",
        alg: "sha256".into(),
        id: city_protocol::pki::fingerprint(der).to_string(),
    }
}

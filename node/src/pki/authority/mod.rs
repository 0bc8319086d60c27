//! A CA as a directory: post-quantum and classical issuers, each with its key file, and a register of what
//! was issued. Index card: `certify` issues certificates · `lists` revokes, and issues lists · `overview`
//! tells what can be told without keys.
//!
//! `root.pem` and `tls-root.pem` are public, `root.key` and `tls-root.key` secret (0600, sealed unless asked
//! otherwise). A further root for roll-over has `-2`, `-3` … behind its name; the newest issues. In the
//! directory of a CA below another one, `intermediate.pem` (its certificate and those above it, without the
//! root) and `intermediate.key` stand in place of a post-quantum root.

mod certify;
mod lists;
mod overview;
#[cfg(test)]
mod tests;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use city_protocol::crypto::{SecretKey, Suite};
use city_protocol::pki::algorithms::read_key_info;
use city_protocol::pki::{CertificateRefusal, MAX_CRL_ENTRIES, Root};
use city_protocol::region::RegionPrefix;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::pem::{LineEnding, encode_string};

pub use self::lists::{ListFile, Selector, Withdrawn};
pub use self::overview::{IssuerState, Overview};
use super::ca_keys::{self, CaLock};
use super::issue::{self, IssueError, Issuer, Validity};
use super::register::{Register, RegisterError};
use super::tls::{TlsAuthority, TlsError};
use crate::keys::file::{read_public, write_public};
use crate::keys::{KeyFileError, Passphrase, PassphraseError};

/// The post-quantum root's files, without their ending.
const ROOT: &str = "root";
/// The files of a post-quantum issuer below another CA.
const INTERMEDIATE: &str = "intermediate";
/// The classical root's files.
const TLS_ROOT: &str = "tls-root";
/// What stands before the name of a post-quantum root in that of the classical one made along with it.
const TLS_PREFIX: &str = "tls-";
/// What stands after the CA's name in the classical root, so that the two have different names.
const TLS_SUFFIX: &str = " TLS";
/// Most roots of a kind, one after the other: one every five years for a human life.
const MAX_GENERATIONS: usize = 16;

/// Something went wrong with a CA's directory; the text names the file and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// There is a CA, or part of one, in the directory.
    #[error("{path}: a CA stands here already and is not overwritten; choose another directory")]
    Exists {
        /// The file that is there.
        path: PathBuf,
    },
    /// There is no CA in the directory.
    #[error(
        "{path}: no CA stands here (no root.pem or intermediate.pem); name its directory with --ca"
    )]
    None {
        /// The directory.
        path: PathBuf,
    },
    /// The directory cannot be made or read.
    #[error("{path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// A certificate file does not hold certificates.
    #[error("{path}: not a PEM certificate; restore it from a backup")]
    Pem {
        /// The file.
        path: PathBuf,
    },
    /// A certificate and its key file do not fit.
    #[error("{certificate} and {key} do not belong together; restore both from one backup")]
    Pair {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// A key file is sealed, and no passphrase was given.
    #[error("{path}: sealed by a passphrase; give --passphrase-file FILE, or run it on a terminal")]
    Sealed {
        /// The key file.
        path: PathBuf,
    },
    /// A key file could not be sealed or opened.
    #[error("{path}: {source}")]
    Passphrase {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: PassphraseError,
    },
    /// The CA has been rolled over too often.
    #[error("{path}: there are {MAX_GENERATIONS} roots already; move the oldest ones away")]
    Generations {
        /// The directory.
        path: PathBuf,
    },
    /// A certificate for an intermediate does not certify its key, or is no CA's.
    #[error(
        "{path}: not a CA certificate for this key, followed by those above it; ask the CA above for it"
    )]
    NotIntermediate {
        /// The file.
        path: PathBuf,
    },
    /// Nothing that was issued is meant.
    #[error("{0}: this CA issued no such certificate; `ca show` lists them")]
    Unknown(String),
    /// There is no such issuer.
    #[error("{0}: no issuer of this CA; `ca show` names them, such as root or tls-root")]
    Issuer(String),
    /// A list has more entries than nodes take.
    #[error(
        "the list of {issuer} would name {entries} certificates, and nodes take {MAX_CRL_ENTRIES} at most; no list \
         of it was written. Begin a further root (ca init --add-root), have what is still valid issued by it, and \
         take this one from the nodes' trust"
    )]
    ListTooLong {
        /// Whose list.
        issuer: String,
        /// How many it would name.
        entries: usize,
    },
    /// The register cannot be read or written.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// A certificate or list could not be issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A TLS certificate could not be issued.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A post-quantum issuer.
#[derive(Debug)]
struct PqIssuer {
    /// The name of its files.
    id: String,
    /// Its certificate, and for an intermediate those above it without the root.
    chain: Vec<Vec<u8>>,
    key: SecretKey,
}

/// A classical issuer.
#[derive(Debug)]
struct TlsIssuer {
    id: String,
    authority: TlsAuthority,
}

/// An open CA: its issuers with their keys in memory.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
    /// The oldest first.
    pq: Vec<PqIssuer>,
    /// Which of them issues.
    active: usize,
    /// The oldest first.
    tls: Vec<TlsIssuer>,
    active_tls: usize,
    register: Mutex<Register>,
}

impl Authority {
    /// Makes a new CA called `name` with fresh keys; the directory is made (0700) if it is not there.
    ///
    /// Its post-quantum root is of this suite. The keys are written before the certificates: a directory with
    /// certificates is complete.
    ///
    /// # Errors
    /// [`AuthorityError::Exists`] if any of the CA's files is there already; others as they come.
    pub fn create(
        directory: &Path,
        name: &str,
        suite: Suite,
        lock: &CaLock,
        validity: Validity,
    ) -> Result<Self, AuthorityError> {
        nothing_there(directory)?;
        let key = SecretKey::generate(suite.signing());
        let root = issue::root(name, &key, validity)?;
        let tls = TlsAuthority::create(&format!("{name}{TLS_SUFFIX}"), validity)?;
        make_directory(directory)?;
        let pq = PqIssuer {
            id: ROOT.into(),
            chain: vec![root],
            key,
        };
        Self::write(directory, pq, TLS_ROOT.into(), tls, lock)
    }

    /// Makes a CA below another one, from the certificate which that one issued for `key` (with those above
    /// it behind it, without the root); its classical root is its own.
    ///
    /// # Errors
    /// [`AuthorityError::NotIntermediate`] if they do not fit; others as they come.
    pub fn create_intermediate(
        directory: &Path,
        certificates: &Path,
        key: SecretKey,
        lock: &CaLock,
        validity: Validity,
    ) -> Result<Self, AuthorityError> {
        nothing_there(directory)?;
        let chain = read_pem(certificates)?;
        let misfit = |_| AuthorityError::NotIntermediate {
            path: certificates.to_owned(),
        };
        let issuer = Issuer::new(&chain[0], &key).map_err(misfit)?;
        let name = issuer.name().map_err(misfit)?;
        if !issuer.is_authority() {
            return Err(misfit(IssueError::IssuerKey));
        }
        let tls = TlsAuthority::create(&format!("{name}{TLS_SUFFIX}"), validity)?;
        make_directory(directory)?;
        let pq = PqIssuer {
            id: INTERMEDIATE.into(),
            chain,
            key,
        };
        Self::write(directory, pq, TLS_ROOT.into(), tls, lock)
    }

    /// Opens the CA in a directory and checks that certificates and keys belong together.
    ///
    /// # Errors
    /// An [`AuthorityError`] that names the file.
    pub fn open(directory: &Path, passphrase: Option<&Passphrase>) -> Result<Self, AuthorityError> {
        let mut pq = Vec::new();
        for id in generations(INTERMEDIATE).chain(generations(ROOT)) {
            if certificate(directory, &id).exists() {
                pq.push(open_pq(directory, id, passphrase)?);
            }
        }
        let mut tls = Vec::new();
        for id in generations(TLS_ROOT) {
            if certificate(directory, &id).exists() {
                tls.push(open_tls(directory, id, passphrase)?);
            }
        }
        let none = || AuthorityError::None {
            path: directory.to_owned(),
        };
        if tls.is_empty() {
            return Err(none());
        }
        Ok(Self {
            directory: directory.to_owned(),
            active: pq.len().checked_sub(1).ok_or_else(none)?,
            active_tls: tls.len() - 1,
            pq,
            tls,
            register: Mutex::new(Register::open(directory)?),
        })
    }

    /// Whether any key of the CA in a directory is sealed.
    ///
    /// # Errors
    /// An [`AuthorityError`] that names the file.
    pub fn is_sealed(directory: &Path) -> Result<bool, AuthorityError> {
        for id in [INTERMEDIATE, ROOT, TLS_ROOT]
            .into_iter()
            .flat_map(generations)
        {
            if certificate(directory, &id).exists() && ca_keys::is_sealed(&key(directory, &id))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds a further post-quantum and a further classical root, which issue from now on; what the older
    /// ones issued stays good for whoever trusts them.
    ///
    /// # Errors
    /// An [`AuthorityError`].
    pub fn add_root(
        &mut self,
        name: &str,
        suite: Suite,
        lock: &CaLock,
        validity: Validity,
    ) -> Result<(), AuthorityError> {
        let directory = self.directory.clone();
        let free = |stem| {
            let mut ids = generations(stem);
            ids.find(|id| !certificate(&directory, id).exists() && !key(&directory, id).exists())
                .ok_or_else(|| AuthorityError::Generations {
                    path: directory.clone(),
                })
        };
        let (id, tls_id) = (free(ROOT)?, free(TLS_ROOT)?);
        let secret = SecretKey::generate(suite.signing());
        let root = issue::root(name, &secret, validity)?;
        let tls = TlsAuthority::create(&format!("{name}{TLS_SUFFIX}"), validity)?;
        let pq = PqIssuer {
            id,
            chain: vec![root],
            key: secret,
        };
        let added = Self::write(&directory, pq, tls_id, tls, lock)?;
        self.pq.extend(added.pq);
        self.tls.extend(added.tls);
        self.active = self.pq.len() - 1;
        self.active_tls = self.tls.len() - 1;
        Ok(())
    }

    fn write(
        directory: &Path,
        pq: PqIssuer,
        tls_id: String,
        tls: TlsAuthority,
        lock: &CaLock,
    ) -> Result<Self, AuthorityError> {
        lock.write_signing(&key(directory, &pq.id), &pq.key)?;
        lock.write(&key(directory, &tls_id), tls.expose_key_pem().as_bytes())?;
        let chain: Result<String, IssueError> = pq.chain.iter().map(|der| to_pem(der)).collect();
        write_public(&certificate(directory, &pq.id), chain?.as_bytes())?;
        let tls_root = to_pem(tls.certificate())?;
        write_public(&certificate(directory, &tls_id), tls_root.as_bytes())?;
        Ok(Self {
            directory: directory.to_owned(),
            pq: vec![pq],
            active: 0,
            active_tls: 0,
            tls: vec![TlsIssuer {
                id: tls_id,
                authority: tls,
            }],
            register: Mutex::new(Register::open(directory)?),
        })
    }

    /// Lets the newest root that is one of these issue: a charter rests on the roots of its genesis record.
    /// A CA below another one issues under its own certificate. Whether there is such an issuer.
    pub fn issue_under(&mut self, roots: &[Root]) -> bool {
        let fits = |issuer: &PqIssuer| {
            issuer.id.starts_with(INTERMEDIATE)
                || roots.iter().any(|root| root.der == issuer.chain[0])
        };
        match self.pq.iter().rposition(fits) {
            Some(found) => {
                self.active = found;
                true
            }
            None => false,
        }
    }

    /// Lets the issuer with these files (`root`, `root-2`, `tls-root`, …) issue what is of its kind, and the one
    /// that was made along with it what is of the other.
    ///
    /// # Errors
    /// [`AuthorityError::Issuer`].
    pub fn issue_by(&mut self, id: &str) -> Result<(), AuthorityError> {
        let generation = id.strip_prefix(TLS_PREFIX).unwrap_or(id);
        let tls = format!("{TLS_PREFIX}{generation}");
        let pq = self.pq.iter().position(|issuer| issuer.id == generation);
        let tls = self.tls.iter().position(|issuer| issuer.id == tls);
        let known = if id == generation { pq } else { tls };
        if known.is_none() {
            return Err(AuthorityError::Issuer(id.to_owned()));
        }
        self.active = pq.unwrap_or(self.active);
        self.active_tls = tls.unwrap_or(self.active_tls);
        Ok(())
    }

    /// The certificate of the post-quantum issuer, in DER.
    #[must_use]
    pub fn root_der(&self) -> &[u8] {
        &self.pq[self.active].chain[0]
    }

    /// What goes along with what the post-quantum issuer signs: its own certificate and those above it, but
    /// no root.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        let issuer = &self.pq[self.active];
        if issuer.id.starts_with(INTERMEDIATE) {
            &issuer.chain
        } else {
            &[]
        }
    }

    /// The post-quantum root pinned to a part of the world, as a genesis lists it.
    ///
    /// # Errors
    /// A [`CertificateRefusal`] if the directory's root is not one that could be trusted.
    pub fn root(&self, prefix: RegionPrefix) -> Result<Root, CertificateRefusal> {
        Root::new(self.root_der().to_vec(), prefix)
    }

    /// The classical root that issues: what TLS clients trust.
    #[must_use]
    pub fn tls_root(&self) -> &CertificateDer<'static> {
        self.tls_issuer().authority.certificate()
    }

    /// Every classical root, the oldest first: what TLS clients trust while one takes over from another.
    pub fn tls_roots(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.tls.iter().map(|issuer| issuer.authority.certificate())
    }

    /// The classical side that issues.
    #[must_use]
    pub fn tls(&self) -> &TlsAuthority {
        &self.tls_issuer().authority
    }

    fn tls_issuer(&self) -> &TlsIssuer {
        &self.tls[self.active_tls]
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        // What is in memory is what was read or made durable, whoever panicked meanwhile.
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_pq(
    directory: &Path,
    id: String,
    passphrase: Option<&Passphrase>,
) -> Result<PqIssuer, AuthorityError> {
    let paths = (certificate(directory, &id), key(directory, &id));
    let pair = || AuthorityError::Pair {
        certificate: paths.0.clone(),
        key: paths.1.clone(),
    };
    let chain = read_pem(&paths.0)?;
    let read = Certificate::from_der(&chain[0]).map_err(|_| pair())?;
    let public = read_key_info(read.tbs_certificate().subject_public_key_info());
    let public = public.map_err(|_| pair())?;
    let key = ca_keys::read_signing(&paths.1, &public, passphrase)?.ok_or_else(pair)?;
    Ok(PqIssuer { id, chain, key })
}

fn open_tls(
    directory: &Path,
    id: String,
    passphrase: Option<&Passphrase>,
) -> Result<TlsIssuer, AuthorityError> {
    let paths = (certificate(directory, &id), key(directory, &id));
    let key = ca_keys::read(&paths.1, passphrase)?;
    let root = CertificateDer::from(read_pem(&paths.0)?.remove(0));
    let authority = std::str::from_utf8(&key)
        .ok()
        .and_then(|key| TlsAuthority::open(root, key).ok())
        .ok_or(AuthorityError::Pair {
            certificate: paths.0,
            key: paths.1,
        })?;
    Ok(TlsIssuer { id, authority })
}

/// The names of an issuer's files: `root`, `root-2`, `root-3` …
fn generations(stem: &str) -> impl Iterator<Item = String> {
    (1..=MAX_GENERATIONS).map(move |n| match n {
        1 => stem.to_owned(),
        n => format!("{stem}-{n}"),
    })
}

fn certificate(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{id}.pem"))
}

fn key(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{id}.key"))
}

fn nothing_there(directory: &Path) -> Result<(), AuthorityError> {
    for id in [ROOT, INTERMEDIATE, TLS_ROOT] {
        for path in [certificate(directory, id), key(directory, id)] {
            if path.symlink_metadata().is_ok() {
                return Err(AuthorityError::Exists { path });
            }
        }
    }
    Ok(())
}

fn make_directory(directory: &Path) -> Result<(), AuthorityError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| AuthorityError::Directory {
            path: directory.to_owned(),
            source,
        })
}

fn to_pem(der: &[u8]) -> Result<String, IssueError> {
    encode_string("CERTIFICATE", LineEnding::LF, der)
        .map_err(|error| IssueError::Encoding(error.into()))
}

/// At least one certificate.
fn read_pem(path: &Path) -> Result<Vec<Vec<u8>>, AuthorityError> {
    let pem = read_public(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem)
        .map(|der| der.map(|der| der.to_vec()))
        .collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(AuthorityError::Pem {
            path: path.to_owned(),
        }),
    }
}

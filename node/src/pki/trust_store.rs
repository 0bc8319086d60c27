//! The trust store: whom this node believes at admission. Roots pinned to regions (from the genesis record),
//! classical roots (`network/tls-root.pem`) and lists of what is revoked (`crls/`), as one unchanging picture
//! that is exchanged as a whole. Reading the files stands here; noticing that they changed in `reload`.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use city_protocol::pki::Root;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::tls_trust::{TlsList, TlsTrust, TlsTrustError};

/// Most files in `crls/`: two lists of each of some sixty issuers.
pub const MAX_CRL_FILES: usize = 128;
/// Largest list in bytes: 100,000 lines of some 40 bytes.
pub const MAX_CRL_BYTES: u64 = 4 << 20;

/// Why the trust store could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TrustStoreError {
    /// The system refused.
    #[error("{path}: cannot be read ({source}); look at the file and its rights")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Too many files.
    #[error("{path}: more than {MAX_CRL_FILES} files; remove lists that newer ones replaced")]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
    /// Too large.
    #[error(
        "{path}: larger than {MAX_CRL_BYTES} bytes; it is not a list of revoked certificates that this node takes"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file is not what it should be.
    #[error("{path}: {source}; put a good file in its place, or remove it")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TlsTrustError,
    },
    /// Neither PEM nor DER.
    #[error("{path}: holds no X.509 CRL in PEM or DER; put a good file in its place, or remove it")]
    NotAList {
        /// The file.
        path: PathBuf,
    },
}

/// Where the trust store's files are.
#[derive(Clone, Debug)]
pub struct TrustFiles {
    /// The classical roots, PEM.
    pub tls_roots: PathBuf,
    /// The directory of lists; need not exist.
    pub crls: PathBuf,
}

/// Whom the node believes; unchanging.
#[derive(Debug)]
pub struct TrustStore {
    /// Classical roots and lists.
    pub tls: TlsTrust,
    /// Post-quantum roots, pinned to regions.
    pub roots: Arc<[Root]>,
}

impl TrustStore {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TrustStoreError`], which names the file.
    pub fn read(files: &TrustFiles, roots: Arc<[Root]>) -> Result<Self, TrustStoreError> {
        let tls_roots = read_roots(&files.tls_roots)?;
        let mut lists = Vec::new();
        for path in list_files(&files.crls)? {
            for der in read_lists(&path)? {
                let failed = |source| TrustStoreError::File {
                    path: path.clone(),
                    source,
                };
                if let Some(list) = TlsList::read(&der).map_err(failed)? {
                    list.check(&tls_roots).map_err(failed)?;
                    lists.push(list);
                }
            }
        }
        let tls = TlsTrust::new(&tls_roots, &lists).map_err(|source| TrustStoreError::File {
            path: files.tls_roots.clone(),
            source,
        })?;
        Ok(Self { tls, roots })
    }

    /// One that admits nobody by certificate, until its files can be read.
    #[must_use]
    pub fn closed(roots: Arc<[Root]>) -> Self {
        Self {
            tls: TlsTrust::closed(),
            roots,
        }
    }
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustStoreError> {
    let pem = read(path)?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    roots.map_err(|_| TrustStoreError::File {
        path: path.to_owned(),
        source: TlsTrustError::Roots(0),
    })
}

/// The files of a directory that need not be there, in order; hidden ones are somebody's unfinished copies.
fn list_files(dir: &Path) -> Result<Vec<PathBuf>, TrustStoreError> {
    let failed = |source| TrustStoreError::Io {
        path: dir.to_owned(),
        source,
    };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if files.len() == MAX_CRL_FILES {
            return Err(TrustStoreError::TooMany {
                path: dir.to_owned(),
            });
        }
        files.push(entry.path());
    }
    files.sort();
    Ok(files)
}

/// The lists of one file, DER each: one in DER, or any number in PEM.
fn read_lists(path: &Path) -> Result<Vec<Vec<u8>>, TrustStoreError> {
    let bytes = read(path)?;
    // A SEQUENCE: DER. PEM is text.
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes]);
    }
    let none = || TrustStoreError::NotAList {
        path: path.to_owned(),
    };
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes)
        .map(|list| list.map(|der| der.to_vec()))
        .collect();
    let lists = lists.map_err(|_| none())?;
    if lists.is_empty() {
        Err(none())
    } else {
        Ok(lists)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TrustStoreError> {
    let failed = |source| TrustStoreError::Io {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_CRL_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_CRL_BYTES {
        return Err(TrustStoreError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

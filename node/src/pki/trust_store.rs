//! The trust store: whom this node believes at admission. Roots pinned to regions (from the genesis record),
//! classical roots (`network/tls-root.pem`) and lists of what is revoked (`crls/`), as one unchanging picture
//! that is exchanged as a whole. Reading the files stands here; noticing that they changed in `reload`.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use city_protocol::amount::Timestamp;
use city_protocol::pki::{Crl, CrlRefusal, Crls, MAX_CRL_DER, Root};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::list_marks::{ListMarks, WentBack};
use super::log_lists::MAX_LOG_LISTS;
use super::tls_trust::{RootState, TlsTrust, TlsTrustError};
use crate::keys::KeyFileError;

/// Most files in `crls/`: two lists of each of some sixty issuers.
pub const MAX_CRL_FILES: usize = 128;
/// Largest file in bytes: the largest list in PEM, a third longer than DER, and room.
pub const MAX_TRUST_FILE: u64 = MAX_CRL_DER as u64 * 3 / 2;

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
    #[error("{path}: more than {most} files; remove lists that newer ones replaced")]
    TooMany {
        /// The directory.
        path: PathBuf,
        /// How many are taken.
        most: usize,
    },
    /// Too large.
    #[error(
        "{path}: larger than {MAX_TRUST_FILE} bytes; it is not a list of revoked certificates that this node takes"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The roots are not what they should be.
    #[error("{path}: {source}; put a good file in its place")]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TlsTrustError,
    },
    /// A list is not what it should be.
    #[error("{path}: {refusal}; put a good file in its place, or remove it")]
    List {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        refusal: CrlRefusal,
    },
    /// A list is older than one that was used.
    #[error(
        "{path}: {source}: an older list lets revoked certificates in again. Put the CA's newest list there; if the \
         CA itself began anew, remove {marks} and restart the node"
    )]
    WentBack {
        /// The directory of lists.
        path: PathBuf,
        /// Which.
        source: Box<WentBack>,
        /// What remembers.
        marks: PathBuf,
    },
    /// What remembers how new lists were is damaged.
    #[error(
        "{path}: {source}; put the newest list of every CA into crls/, remove this file and restart the node"
    )]
    Marks {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// How new the lists are cannot be remembered.
    #[error("how new the lists of revoked certificates are cannot be remembered: {0}")]
    Remember(#[from] KeyFileError),
    /// Neither PEM nor DER.
    #[error(
        "{path}: holds no X.509 CRL in PEM or DER, and no CA's certificate in PEM; put a good file in its place, or remove it"
    )]
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
    /// What remembers how new they were; made when there are any.
    pub marks: PathBuf,
    /// The directory of lists that logs carry, each verified before it was kept; need not exist.
    pub from_logs: PathBuf,
}

/// Whom the node believes; unchanging.
#[derive(Debug)]
pub struct TrustStore {
    /// Classical roots, for TLS clients.
    pub tls: TlsTrust,
    /// Post-quantum roots, pinned to regions, for people's certificates.
    pub roots: Arc<[Root]>,
    /// Lists of what is revoked, of both.
    pub crls: Arc<Crls>,
    /// It could not be read: nobody is admitted by certificate.
    pub closed: bool,
}

impl TrustStore {
    /// A trust store of these.
    ///
    /// # Errors
    /// [`TlsTrustError`].
    pub fn new(
        tls_roots: &[CertificateDer<'static>],
        roots: Arc<[Root]>,
        crls: Crls,
    ) -> Result<Self, TlsTrustError> {
        let crls = Arc::new(crls);
        Ok(Self {
            tls: TlsTrust::new(tls_roots, Arc::clone(&crls))?,
            roots,
            crls,
            closed: false,
        })
    }

    /// Reads the files, and remembers how new the lists are.
    ///
    /// # Errors
    /// [`TrustStoreError`], which names the file; also of a list that is older than one that was read before.
    pub fn read(files: &TrustFiles, roots: Arc<[Root]>) -> Result<Self, TrustStoreError> {
        let tls_roots = read_roots(&files.tls_roots)?;
        let crls = read_crls(&files.crls)?;
        let marks = read_marks(&files.marks)?;
        let after = marks
            .after(&crls)
            .map_err(|source| TrustStoreError::WentBack {
                path: files.crls.clone(),
                source: Box::new(source),
                marks: files.marks.clone(),
            })?;
        // Only the operator's own files are held to the marks: what logs carry cannot shut the node.
        let (crls, left_out) = crls.joined(kept_lists(&files.from_logs)?);
        if left_out > 0 {
            tracing::warn!(
                left_out,
                "more lists of revoked certificates than this node takes: the oldest that logs carry do not count"
            );
        }
        let store =
            Self::new(&tls_roots, roots, crls).map_err(|source| TrustStoreError::Roots {
                path: files.tls_roots.clone(),
                source,
            })?;
        if after != marks {
            after.write(&files.marks)?;
        }
        Ok(store)
    }

    /// One that admits nobody by certificate, until its files can be read.
    #[must_use]
    pub fn closed(roots: Arc<[Root]>) -> Self {
        Self {
            tls: TlsTrust::closed(),
            roots,
            crls: Arc::default(),
            closed: true,
        }
    }

    /// Every root, classical and post-quantum, as it is shown.
    #[must_use]
    pub fn states(&self, now: Timestamp) -> Vec<(&'static str, RootState)> {
        let tls = self.tls.states(now).map(|state| ("TLS root", state));
        let roots = self.roots.iter();
        let roots = roots.filter_map(|root| RootState::of(&root.der, &self.crls, now));
        tls.chain(roots.map(|state| ("root", state))).collect()
    }
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustStoreError> {
    let pem = read(path)?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    roots.map_err(|_| TrustStoreError::Roots {
        path: path.to_owned(),
        source: TlsTrustError::Roots(0),
    })
}

/// A node that never read a list has no marks yet.
fn read_marks(path: &Path) -> Result<ListMarks, TrustStoreError> {
    match read(path) {
        Ok(json) => ListMarks::parse(&json).map_err(|source| TrustStoreError::Marks {
            path: path.to_owned(),
            source,
        }),
        Err(TrustStoreError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(ListMarks::default())
        }
        Err(error) => Err(error),
    }
}

/// The lists that logs carry and this node keeps. One that does not read is made again with the log's next entry.
fn kept_lists(dir: &Path) -> Result<Vec<Crl>, TrustStoreError> {
    let files = list_files(dir, MAX_LOG_LISTS)?;
    let lists = files.iter().filter_map(|path| {
        let list = read(path).ok().and_then(|der| Crl::read(&der).ok());
        if list.is_none() {
            tracing::warn!(path = %path.display(), "a list of revoked certificates that a log carries cannot be read; remove the file and restart the node");
        }
        list
    });
    Ok(lists.collect())
}

/// The files of a directory that need not be there, in order, at most so many; hidden ones are somebody's unfinished
/// copies.
pub(crate) fn list_files(dir: &Path, most: usize) -> Result<Vec<PathBuf>, TrustStoreError> {
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
        if files.len() == most {
            return Err(TrustStoreError::TooMany {
                path: dir.to_owned(),
                most,
            });
        }
        files.push(entry.path());
    }
    files.sort();
    Ok(files)
}

/// The lists of a directory as they are, whatever was there before.
///
/// # Errors
/// [`TrustStoreError`], which names the file.
pub fn read_crls(dir: &Path) -> Result<Crls, TrustStoreError> {
    let mut lists = Vec::new();
    for path in list_files(dir, MAX_CRL_FILES)? {
        lists.extend(read_lists(&path)?);
    }
    Crls::new(lists).map_err(|refusal| TrustStoreError::List {
        path: dir.to_owned(),
        refusal,
    })
}

/// What one file of `crls/` holds, in DER: one list, or in PEM any number of lists and of CAs' certificates.
pub(super) struct ListFile {
    pub(super) lists: Vec<Vec<u8>>,
    pub(super) certificates: Vec<Vec<u8>>,
}

/// Reads a file of `crls/`; its lists and certificates are not judged yet.
pub(super) fn read_list_file(path: &Path) -> Result<ListFile, TrustStoreError> {
    let bytes = read(path)?;
    // A SEQUENCE: DER. PEM is text.
    if bytes.first() == Some(&0x30) {
        let (lists, certificates) = (vec![bytes], Vec::new());
        return Ok(ListFile {
            lists,
            certificates,
        });
    }
    let malformed = |_| TrustStoreError::List {
        path: path.to_owned(),
        refusal: CrlRefusal::Malformed,
    };
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes)
        .map(|list| list.map(|der| der.as_ref().to_vec()))
        .collect();
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes)
        .map(|one| one.map(|der| der.to_vec()))
        .collect();
    let file = ListFile {
        lists: lists.map_err(malformed)?,
        certificates: certificates.map_err(malformed)?,
    };
    if file.lists.is_empty() && file.certificates.is_empty() {
        return Err(TrustStoreError::NotAList {
            path: path.to_owned(),
        });
    }
    Ok(file)
}

fn read_lists(path: &Path) -> Result<Vec<Crl>, TrustStoreError> {
    let file = read_list_file(path)?;
    let lists: Result<Vec<Crl>, _> = file.lists.iter().map(|der| Crl::read(der)).collect();
    lists.map_err(|refusal| TrustStoreError::List {
        path: path.to_owned(),
        refusal,
    })
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TrustStoreError> {
    let failed = |source| TrustStoreError::Io {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_TRUST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_TRUST_FILE {
        return Err(TrustStoreError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::revocation::{ListRequest, Reason, Revocation};
    use crate::pki::{TlsAuthority, Validity};

    /// 2026-04-01T00:00:00Z.
    const APRIL: Timestamp = Timestamp(1_775_001_600_000);
    const DAY: u64 = 24 * 60 * 60 * 1000;

    /// 石川県's CA and a node's files, and what reading them says.
    struct Node {
        dir: tempfile::TempDir,
        ca: TlsAuthority,
    }

    impl Node {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let ca = TlsAuthority::create("石川県 CA TLS", Validity::days(APRIL, 3650)).unwrap();
            fs::create_dir(dir.path().join("crls")).unwrap();
            let pem = pem::encode("CERTIFICATE", ca.certificate());
            fs::write(dir.path().join("tls-root.pem"), pem).unwrap();
            Self { dir, ca }
        }

        fn list(&self, number: u64, day: u64) -> Vec<u8> {
            let revoked = Revocation {
                serial: vec![7],
                at: APRIL,
                reason: Reason::KeyCompromise,
            };
            let request = ListRequest {
                number,
                dates: Validity::days(APRIL.plus_ms(day * DAY), 30),
                revoked: &[revoked],
            };
            self.ca.crl(&request).unwrap()
        }

        fn put(&self, name: &str, list: &[u8]) {
            fs::write(self.dir.path().join("crls").join(name), list).unwrap();
        }

        fn read(&self) -> Result<usize, TrustStoreError> {
            let path = |name: &str| self.dir.path().join(name);
            let files = TrustFiles {
                tls_roots: path("tls-root.pem"),
                crls: path("crls"),
                marks: path("crl-marks.json"),
                from_logs: path("crls-from-logs"),
            };
            TrustStore::read(&files, Arc::default()).map(|store| store.crls.iter().count())
        }
    }

    mod pem {
        use x509_cert::der::pem::{LineEnding, encode_string};

        pub(super) fn encode(label: &str, der: &[u8]) -> String {
            encode_string(label, LineEnding::LF, der).unwrap()
        }
    }

    /// A reviewer's finding: an older list in place of a newer one gave back what had been revoked.
    #[test]
    fn a_list_does_not_go_back() {
        let node = Node::new();
        assert_eq!(node.read().unwrap(), 0);
        assert!(!node.dir.path().join("crl-marks.json").exists());
        node.put("root.crl", &node.list(4, 4));
        assert_eq!(node.read().unwrap(), 1);
        node.put("root.crl", &node.list(5, 5));
        assert_eq!(node.read().unwrap(), 1);
        let refused = |what: &str| {
            let told = node.read().unwrap_err().to_string();
            for part in ["石川県 CA TLS", "2026-04-06", "crl-marks.json", what] {
                assert!(told.contains(part), "{told}");
            }
        };
        // By number, and under one number by date; each look is a new reading, as after a restart.
        node.put("root.crl", &node.list(4, 4));
        refused("number 0x04");
        refused("number 0x04");
        node.put("root.crl", &node.list(4, 9));
        refused("number 0x04");
        node.put("root.crl", &node.list(5, 4));
        refused("2026-04-05");
        // Older ones may stand beside the newest; none at all is told elsewhere, and forgets nothing.
        node.put("newest.crl", &node.list(5, 5));
        assert_eq!(node.read().unwrap(), 2);
        fs::remove_file(node.dir.path().join("crls/newest.crl")).unwrap();
        fs::remove_file(node.dir.path().join("crls/root.crl")).unwrap();
        assert_eq!(node.read().unwrap(), 0);
        node.put("root.crl", &node.list(3, 3));
        refused("number 0x03");
        // Another CA of the same name has another series.
        let other = Node::new();
        node.put("root.crl", &other.list(1, 1));
        assert_eq!(node.read().unwrap(), 1);
        node.put("root.crl", &node.list(6, 6));
        assert_eq!(node.read().unwrap(), 1);
        // A CA that began anew, and a file that is damaged: the remedies that the texts name.
        let marks = node.dir.path().join("crl-marks.json");
        node.put("root.crl", &node.list(1, 20));
        assert!(node.read().is_err());
        fs::remove_file(&marks).unwrap();
        assert_eq!(node.read().unwrap(), 1);
        fs::write(&marks, "{\"v\":2,\"lists\":{}}").unwrap();
        let told = node.read().unwrap_err().to_string();
        assert!(told.contains("version 2"), "{told}");
    }
}

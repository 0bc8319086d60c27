//! A municipal CA as a directory: one post-quantum and one classical root, each with its key file.
//!
//! `root.pem` and `tls-root.pem` are public; `root.key` is a signing key file, `tls-root.key` PKCS#8 in
//! PEM, both 0600. What was issued is not kept here yet: that comes with CRLs.

use std::fs::DirBuilder;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use city_protocol::crypto::{SecretKey, Suite};
use city_protocol::pki::{CertificateRefusal, Root};
use city_protocol::region::RegionPrefix;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::der::pem::{LineEnding, encode_string};

use super::issue::{self, ClientRequest, IssueError, Issuer, NodeRequest, Validity};
use super::tls::{TlsAuthority, TlsError, TlsIdentity};
use crate::keys::file::{read_public, read_secret, write_public, write_secret};
use crate::keys::{self, KeyFileError};

/// The post-quantum root certificate.
const ROOT: &str = "root.pem";
/// Its signing key.
const ROOT_KEY: &str = "root.key";
/// The classical root certificate.
const TLS_ROOT: &str = "tls-root.pem";
/// Its key.
const TLS_ROOT_KEY: &str = "tls-root.key";
/// What stands after the CA's name in the classical root, so that the two have different names.
const TLS_SUFFIX: &str = " TLS";

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
    /// The directory cannot be made.
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
    /// A certificate file does not hold one certificate.
    #[error("{path}: not a PEM certificate; restore it from a backup")]
    Pem {
        /// The file.
        path: PathBuf,
    },
    /// A root certificate and its key file do not fit.
    #[error("{certificate} and {key} do not belong together; restore both from one backup")]
    Pair {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// A certificate could not be issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A TLS certificate could not be issued.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// An open CA: both roots with their keys in memory.
#[derive(Debug)]
pub struct Authority {
    root: Vec<u8>,
    key: SecretKey,
    tls: TlsAuthority,
}

impl Authority {
    /// Makes a new CA called `name` with fresh keys, its post-quantum root of this suite; the directory is made (0700) if it is not there.
    ///
    /// The keys are written before the certificates: a directory with certificates is complete.
    ///
    /// # Errors
    /// [`AuthorityError::Exists`] if any of the CA's files is there already; others as they come.
    pub fn create(
        directory: &Path,
        name: &str,
        suite: Suite,
        validity: Validity,
    ) -> Result<Self, AuthorityError> {
        for file in [ROOT, ROOT_KEY, TLS_ROOT, TLS_ROOT_KEY] {
            let path = directory.join(file);
            if path.symlink_metadata().is_ok() {
                return Err(AuthorityError::Exists { path });
            }
        }
        let key = SecretKey::generate(suite.signing());
        let root = issue::root(name, &key, validity)?;
        let tls = TlsAuthority::create(&format!("{name}{TLS_SUFFIX}"), validity)?;

        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| AuthorityError::Directory {
                path: directory.to_owned(),
                source,
            })?;
        keys::save_signing(&directory.join(ROOT_KEY), &key)?;
        write_secret(
            &directory.join(TLS_ROOT_KEY),
            tls.expose_key_pem().as_bytes(),
        )?;
        write_public(&directory.join(ROOT), to_pem(&root)?.as_bytes())?;
        let tls_root = to_pem(tls.certificate())?;
        write_public(&directory.join(TLS_ROOT), tls_root.as_bytes())?;
        Ok(Self { root, key, tls })
    }

    /// Opens the CA in a directory and checks that certificates and keys belong together.
    ///
    /// # Errors
    /// An [`AuthorityError`] that names the file.
    pub fn open(directory: &Path) -> Result<Self, AuthorityError> {
        let pair = |certificate, key| AuthorityError::Pair {
            certificate: directory.join(certificate),
            key: directory.join(key),
        };
        let key = keys::load_signing(&directory.join(ROOT_KEY))?;
        let root = read_pem(&directory.join(ROOT))?.to_vec();
        Issuer::new(&root, &key).map_err(|_| pair(ROOT, ROOT_KEY))?;
        let tls_key = read_secret(&directory.join(TLS_ROOT_KEY))?;
        let tls_root = read_pem(&directory.join(TLS_ROOT))?;
        let tls = std::str::from_utf8(&tls_key)
            .ok()
            .and_then(|key| TlsAuthority::open(tls_root, key).ok())
            .ok_or_else(|| pair(TLS_ROOT, TLS_ROOT_KEY))?;
        Ok(Self { root, key, tls })
    }

    /// The post-quantum root in DER.
    #[must_use]
    pub fn root_der(&self) -> &[u8] {
        &self.root
    }

    /// The post-quantum root pinned to a part of the world, as a genesis lists it.
    ///
    /// # Errors
    /// A [`CertificateRefusal`] if the directory's root is not one that could be trusted.
    pub fn root(&self, prefix: RegionPrefix) -> Result<Root, CertificateRefusal> {
        Root::new(self.root.clone(), prefix)
    }

    /// The classical root: what TLS clients trust.
    #[must_use]
    pub const fn tls_root(&self) -> &CertificateDer<'static> {
        self.tls.certificate()
    }

    /// The classical side.
    #[must_use]
    pub const fn tls(&self) -> &TlsAuthority {
        &self.tls
    }

    /// Issues a node certificate in DER.
    ///
    /// # Errors
    /// An [`IssueError`].
    pub fn issue_node(
        &self,
        request: &NodeRequest<'_>,
        validity: Validity,
    ) -> Result<Vec<u8>, IssueError> {
        Issuer::new(&self.root, &self.key)?.node(request, validity)
    }

    /// Issues a person's certificate in DER.
    ///
    /// # Errors
    /// An [`IssueError`].
    pub fn issue_client(
        &self,
        request: &ClientRequest<'_>,
        validity: Validity,
    ) -> Result<Vec<u8>, IssueError> {
        Issuer::new(&self.root, &self.key)?.client(request, validity)
    }

    /// Issues a TLS server certificate with a fresh key.
    ///
    /// # Errors
    /// A [`TlsError`].
    pub fn issue_tls_server(
        &self,
        names: &[String],
        addresses: &[IpAddr],
        validity: Validity,
    ) -> Result<TlsIdentity, TlsError> {
        self.tls.server(names, addresses, validity)
    }
}

fn to_pem(der: &[u8]) -> Result<String, IssueError> {
    encode_string("CERTIFICATE", LineEnding::LF, der)
        .map_err(|error| IssueError::Encoding(error.into()))
}

fn read_pem(path: &Path) -> Result<CertificateDer<'static>, AuthorityError> {
    CertificateDer::from_pem_slice(&read_public(path)?).map_err(|_| AuthorityError::Pem {
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use city_protocol::amount::Timestamp;
    use city_protocol::crypto::KemSecretKey;
    use city_protocol::ids::{AccountId, LogId};
    use city_protocol::pki::{Crls, Role, verify_client, verify_node};
    use city_protocol::region::Region;
    use libp2p::identity::Keypair;

    use super::*;

    /// 2026-04-01T00:00:00Z.
    const APRIL: Timestamp = Timestamp(1_775_001_600_000);

    #[test]
    fn a_ca_of_either_suite_is_made_opened_and_issues_what_is_admitted() {
        // A root of one suite may certify keys of the other: the network lists which there are.
        for (ca, leaf) in [
            (Suite::Dilithium5Ntru, Suite::Dilithium5Ntru),
            (Suite::Fips, Suite::Fips),
            (Suite::Fips, Suite::Dilithium5Ntru),
        ] {
            made_opened_and_issuing(ca, leaf);
        }
    }

    fn made_opened_and_issuing(suite: Suite, leaf: Suite) {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca");
        let made = Authority::create(&ca, "石川県 CA", suite, Validity::days(APRIL, 3650)).unwrap();
        for file in [ROOT_KEY, TLS_ROOT_KEY] {
            let mode = fs::metadata(ca.join(file)).unwrap().mode() & 0o7777;
            assert_eq!(mode, 0o600, "{file}");
        }
        let again = Authority::create(&ca, "石川県 CA", suite, Validity::days(APRIL, 3650));
        assert!(matches!(again, Err(AuthorityError::Exists { .. })));

        let authority = Authority::open(&ca).unwrap();
        assert_eq!(authority.root_der(), made.root_der());
        assert_eq!(authority.tls_root(), made.tls_root());
        let roots = [authority.root("Asia/JP/17".parse().unwrap()).unwrap()];
        let region: Region = "Asia/JP/17/17201".parse().unwrap();
        let at = APRIL.plus_ms(1);
        let year = Validity::days(APRIL, 365);

        let key = SecretKey::generate(leaf.signing());
        let kem = KemSecretKey::generate(leaf.kem());
        let peer_id = Keypair::generate_ed25519()
            .public()
            .to_peer_id()
            .to_string();
        let request = NodeRequest {
            region: &region,
            role: Role::Home,
            key: key.public(),
            peer_id: &peer_id,
            kem: Some(kem.public()),
        };
        let node = authority.issue_node(&request, year).unwrap();
        let node = verify_node(&roots, &node, &[], &Crls::none(), at)
            .unwrap()
            .certificate;
        assert_eq!(
            (node.region, node.role, node.peer_id),
            (region.clone(), Role::Home, peer_id)
        );
        assert_eq!(
            (&node.key, node.kem.as_ref()),
            (key.public(), Some(kem.public()))
        );
        assert_eq!((node.not_before, node.not_after), (APRIL, year.not_after));

        let account = AccountId::new(&LogId([7; 32]), &key.public().id());
        let request = ClientRequest {
            account: &account,
            key: key.public(),
            kem: Some(kem.public()),
        };
        let client = authority.issue_client(&request, year).unwrap();
        let client = verify_client(&roots, &client, &[], &Crls::none(), at, &region)
            .unwrap()
            .certificate;
        assert_eq!(client.account, account);
        assert_eq!(
            (&client.key, client.kem.as_ref()),
            (key.public(), Some(kem.public()))
        );
    }

    #[test]
    fn a_damaged_directory_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        Authority::create(&one, "CA", Suite::Fips, Validity::days(APRIL, 1)).unwrap();
        Authority::create(&two, "CA", Suite::Fips, Validity::days(APRIL, 1)).unwrap();
        let told = |what: &[&str]| {
            let error = Authority::open(&one).unwrap_err().to_string();
            for word in what {
                assert!(error.contains(word), "{error} lacks {word}");
            }
        };
        let exchange = |file: &str| fs::copy(two.join(file), one.join(file)).unwrap();
        exchange(TLS_ROOT);
        told(&["tls-root.pem", "tls-root.key"]);
        exchange(ROOT);
        told(&["root.pem", "root.key", "backup"]);
        fs::write(one.join(ROOT), "no PEM").unwrap();
        told(&["root.pem", "not a PEM certificate"]);
        fs::set_permissions(one.join(ROOT_KEY), fs::Permissions::from_mode(0o640)).unwrap();
        told(&["root.key", "chmod 600"]);
        fs::remove_file(one.join(ROOT_KEY)).unwrap();
        told(&["root.key", "no such key file"]);
    }
}

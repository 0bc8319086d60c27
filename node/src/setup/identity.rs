//! Reads who this node is: genesis, charter, keys and certificates, each checked against the others
//! before any of them is used.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::crypto::{KemPublicKey, KemSecretKey, PublicKey, SecretKey};
use city_protocol::genesis::{Genesis, MAX_GENESIS, Purpose};
use city_protocol::ids::NetworkId;
use city_protocol::json::MAX_CHARTER_BODY;
use city_protocol::pki::{
    Crls, MAX_CERTIFICATE_DER, MAX_INTERMEDIATES, NodeCertificate, Role, verify_node,
};
use city_protocol::vertex::Authority;
use libp2p::identity::Keypair;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::pem::decode_vec;

use super::directory::{DataDir, foreign_owner};
use super::epoch;
use super::error::IdentityError;
use super::rotation;
use crate::config::Config;
use crate::keys::{self, Access, BackendKind, Keystore, KeystoreError};
use crate::pki::TlsIdentity;

/// What the PEM file of a key in its usual form says it is (RFC 7468 section 10).
const PKCS8_LABEL: &str = "PRIVATE KEY";
/// Longest certificate file in bytes: a leaf and its intermediates in PEM, a third longer than DER.
const MAX_PEM: usize = (1 + MAX_INTERMEDIATES) * MAX_CERTIFICATE_DER * 3 / 2;

/// Who this node is. Its parts belong together: [`load_identity`] made sure.
#[derive(Debug)]
pub struct Identity {
    /// The genesis record.
    pub genesis: Arc<Genesis>,
    /// Its id.
    pub network: NetworkId,
    /// Whether it is the municipality's home, or a terminal of it.
    pub role: Role,
    /// The municipality's log and who signs it; holds the charter's exact bytes.
    pub authority: Arc<Authority>,
    /// The key that signs vertices, or at a terminal its proofs of place.
    pub signer: Arc<SecretKey>,
    /// The key that is to sign the next epoch, if it was prepared.
    pub next_signer: Option<Arc<SecretKey>>,
    /// The key that opens what is sealed for the node.
    pub kem: Arc<KemSecretKey>,
    /// The transport key.
    pub transport: Keypair,
    /// The node certificate in DER.
    pub node_certificate: Vec<u8>,
    /// Its last second.
    pub node_certificate_ends: Timestamp,
    /// Its intermediates towards a genesis root, in DER.
    pub chain: Vec<Vec<u8>>,
    /// The API's certificate and key.
    pub tls: TlsIdentity,
    /// The classical root, which TLS clients trust.
    pub tls_root: CertificateDer<'static>,
    /// Where its secrets are kept.
    pub keystore: Arc<Keystore>,
}

/// One that cannot be looked at is judged by its files, whose errors name them.
fn check_owner(data: &DataDir) -> Result<(), IdentityError> {
    let metadata = std::fs::metadata(data.path()).ok();
    match metadata.as_ref().and_then(foreign_owner) {
        None => Ok(()),
        Some(owner) => Err(IdentityError::OtherUser {
            path: data.path().into(),
            owner,
        }),
    }
}

/// Reads the identity of a data directory whose master secret needs neither a passphrase nor an unusual TPM.
///
/// # Errors
/// An [`IdentityError`] that names the file and what to do.
pub fn load_identity(data: &DataDir) -> Result<Identity, IdentityError> {
    load_identity_with(data, &mut Access::unattended())
}

/// Reads the identity of a data directory.
///
/// # Errors
/// An [`IdentityError`] that names the file and what to do.
pub fn load_identity_with(
    data: &DataDir,
    access: &mut Access<'_>,
) -> Result<Identity, IdentityError> {
    check_owner(data)?;
    load_identity_from(data, Keystore::open(&data.keys(), access)?)
}

/// Reads the identity of a data directory whose key store is open.
pub(super) fn load_identity_from(
    data: &DataDir,
    keystore: Keystore,
) -> Result<Identity, IdentityError> {
    let genesis = read_genesis(&data.genesis())?;
    let authority = read_charter(data, &genesis)?;

    let mut node_chain: Vec<Vec<u8>> = read_chain(&data.node_certificate())?
        .iter()
        .map(|der| der.to_vec())
        .collect();
    let certificate = judged(data, &genesis, &authority, &node_chain)?;
    let node_certificate = node_chain.remove(0);
    epoch::resume(data, &keystore, &certificate.key)?;
    rotation::resume(data, &keystore, &certificate.peer_id)?;
    let next = epoch::next_keys(data, &keystore)?;

    let other_key = |key, what| IdentityError::OtherKey {
        key,
        what,
        certificate: data.node_certificate(),
    };
    let path = data.ledger_key();
    let signer = keys::read_signing(&path, &keystore.read(&path)?)?;
    if *signer.public() != certificate.key {
        return Err(other_key(data.ledger_key(), "ledger key"));
    }
    let path = data.kem_key();
    let kem = keys::read_kem(&path, &keystore.read(&path)?)?;
    if certificate.kem.as_ref() != Some(kem.public()) {
        return Err(other_key(data.kem_key(), "KEM key"));
    }
    let path = data.transport_key();
    let transport = keys::read_transport(&path, &keystore.read(&path)?)?;
    if transport.public().to_peer_id().to_string() != certificate.peer_id {
        return Err(other_key(data.transport_key(), "transport key (peer id)"));
    }

    let mut roots = read_chain(&data.tls_root())?;
    Ok(Identity {
        network: genesis.network(),
        role: certificate.role,
        tls: read_tls(&data.tls_certificate(), &data.tls_key(), &keystore)?,
        tls_root: roots.remove(0),
        genesis: Arc::new(genesis),
        authority: Arc::new(authority),
        signer: Arc::new(signer),
        next_signer: next.map(|next| Arc::new(next.signer)),
        kem: Arc::new(kem),
        transport,
        node_certificate,
        node_certificate_ends: certificate.not_after,
        chain: node_chain,
        keystore: Arc::new(keystore),
    })
}

impl DataDir {
    /// Reads the node certificate anew: leaf first, then its intermediates. It must be for the keys that the running node
    /// has, or it counts only after a restart with its own.
    ///
    /// # Errors
    /// An [`IdentityError`] that names the file.
    pub fn renewed_certificate(
        &self,
        signer: &PublicKey,
        kem: &KemPublicKey,
        peer: &str,
    ) -> Result<Vec<Vec<u8>>, IdentityError> {
        let genesis = read_genesis(&self.genesis())?;
        let authority = read_charter(self, &genesis)?;
        let chain = read_chain(&self.node_certificate())?;
        let chain: Vec<Vec<u8>> = chain.iter().map(|der| der.to_vec()).collect();
        let certificate = judged(self, &genesis, &authority, &chain)?;
        let other_key = |key, what| IdentityError::OtherKey {
            key,
            what,
            certificate: self.node_certificate(),
        };
        if certificate.key != *signer {
            return Err(other_key(self.ledger_key(), "ledger key"));
        }
        if certificate.kem.as_ref() != Some(kem) {
            return Err(other_key(self.kem_key(), "KEM key"));
        }
        if certificate.peer_id != peer {
            return Err(other_key(self.transport_key(), "transport key (peer id)"));
        }
        Ok(chain)
    }
}

impl Identity {
    /// Checks that a configuration is this node's: its municipality, its role, its key back-end, and no recordings in a
    /// live network.
    ///
    /// # Errors
    /// [`IdentityError::OtherRegion`], [`IdentityError::NoTerminal`], [`IdentityError::NoHome`], [`IdentityError::Keystore`] or [`IdentityError::RecordedInLive`]; `file` stands
    /// in them.
    pub fn admits(
        &self,
        config: &Config,
        file: &Path,
        data: &DataDir,
    ) -> Result<(), IdentityError> {
        if config.node.region != *self.authority.region() {
            return Err(IdentityError::OtherRegion {
                config: file.into(),
                configured: config.node.region.to_string(),
                charter: data.charter(),
                chartered: self.authority.region().to_string(),
            });
        }
        match (self.role, &config.terminal) {
            (Role::Home, None) | (Role::Terminal, Some(_)) => {}
            (Role::Home, Some(_)) => {
                return Err(IdentityError::NoTerminal {
                    config: file.into(),
                    certificate: data.node_certificate(),
                });
            }
            (Role::Terminal, None) => {
                return Err(IdentityError::NoHome {
                    config: file.into(),
                    certificate: data.node_certificate(),
                });
            }
        }
        // A directory from before there were key stores is one of plain files.
        let found = self.keystore.entries().first().map(|entry| entry.backend);
        let found = found.unwrap_or(BackendKind::File);
        if found != config.keys.backend {
            return Err(IdentityError::Keystore(KeystoreError::OtherBackend {
                configured: config.keys.backend,
                found,
            }));
        }
        if config.gnss.is_recorded() && self.genesis.purpose == Purpose::Live {
            return Err(IdentityError::RecordedInLive {
                config: file.into(),
            });
        }
        Ok(())
    }
}

/// Judges a node certificate (leaf first) of this municipality at its own first moment: what is expired can be renewed,
/// and peers say by their clocks whether they take it.
pub(super) fn judged(
    data: &DataDir,
    genesis: &Genesis,
    authority: &Authority,
    chain: &[Vec<u8>],
) -> Result<NodeCertificate, IdentityError> {
    let other = || IdentityError::OtherCertificate {
        certificate: data.node_certificate(),
        charter: data.charter(),
    };
    let (leaf, chain) = chain.split_first().ok_or_else(other)?;
    let begins = first_moment(leaf).ok_or_else(other)?;
    let admitted = verify_node(&genesis.roots, leaf, chain, &Crls::none(), begins);
    let certificate = admitted.map_err(|_| other())?.certificate;
    if certificate.region == *authority.region() {
        Ok(certificate)
    } else {
        Err(other())
    }
}

/// The roots that a terminal judges its home's TLS certificate by.
///
/// # Errors
/// An [`IdentityError`] that names the file.
pub(crate) fn read_tls_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    read_chain(path)
}

/// notBefore of a certificate.
fn first_moment(der: &[u8]) -> Option<Timestamp> {
    let certificate = Certificate::from_der(der).ok()?;
    let begins = certificate.tbs_certificate().validity().not_before;
    let since_1970 = begins.to_unix_duration().as_millis();
    u64::try_from(since_1970).ok().map(Timestamp)
}

/// Reads a genesis record.
pub(super) fn read_genesis(path: &Path) -> Result<Genesis, IdentityError> {
    Genesis::read(&read(path, MAX_GENESIS)?).map_err(|refusal| IdentityError::Genesis {
        path: path.into(),
        refusal,
    })
}

/// Reads the certificates of a PEM file, at least one.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let bad = || IdentityError::Pem { path: path.into() };
    let pem = read(path, MAX_PEM)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(bad)
}

/// The certificates of a PEM text, leaf first: as many as a path has at most, DER.
pub(super) fn pem_chain(pem: &[u8]) -> Option<Vec<Vec<u8>>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.ok()?;
    let fits = (1..=1 + MAX_INTERMEDIATES).contains(&chain.len());
    fits.then(|| chain.iter().map(|der| der.to_vec()).collect())
}

pub(super) fn read_charter(data: &DataDir, genesis: &Genesis) -> Result<Authority, IdentityError> {
    let body = read(&data.charter(), MAX_CHARTER_BODY)?;
    Authority::from_charter(genesis, &body).map_err(|refusal| match refusal {
        Refusal::WrongNetwork => IdentityError::OtherNetwork {
            charter: data.charter(),
            genesis: data.genesis(),
        },
        refusal => IdentityError::Charter {
            path: data.charter(),
            refusal,
        },
    })
}

/// Reads the API's certificate, and its key out of the key store; they must belong together.
///
/// # Errors
/// An [`IdentityError`] that names the file.
pub(crate) fn read_tls(
    certificate: &Path,
    key: &Path,
    keystore: &Keystore,
) -> Result<TlsIdentity, IdentityError> {
    let chain = read_chain(certificate)?;
    let pem = keystore.read(key)?;
    let secret = match decode_vec(&pem) {
        // rustls' reader leaves the key's text behind in memory that was freed; other forms are still its.
        Ok((PKCS8_LABEL, der)) => PrivateKeyDer::Pkcs8(der.into()),
        _ => PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| IdentityError::TlsKey { path: key.into() })?,
    };
    let identity = TlsIdentity { chain, key: secret };
    identity.check().map_err(|source| IdentityError::TlsPair {
        certificate: certificate.into(),
        key: key.into(),
        source,
    })?;
    Ok(identity)
}

fn read(path: &Path, limit: usize) -> Result<Vec<u8>, IdentityError> {
    let failed = |source| IdentityError::Read {
        path: path.into(),
        source,
    };
    let limit = limit as u64;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(IdentityError::TooLarge {
            path: path.into(),
            limit,
        });
    }
    Ok(bytes)
}

//! The keys of the next epoch: made beside those of the present one, and put in their place once it has begun.
//!
//! The certificate is the point of no return: when `certs/node.pem` certifies the next key, the exchange goes on to
//! its end, also at the next start.

use std::fs;
use std::path::Path;

use city_protocol::crypto::{KemSecretKey, PublicKey, SecretKey, Suite};
use city_protocol::pki::{NodeCertificate, Role};

use super::directory::DataDir;
use super::error::IdentityError;
use super::identity::{judged, read_chain};
use super::init::to_pem;
use crate::keys::file::{remove, write_public};
use crate::keys::{self, Keystore, public_path};

/// Keys for the next epoch, without a certificate or with one.
pub struct NextKeys {
    /// The key that is to sign vertices.
    pub signer: SecretKey,
    /// The key that is to open what is sealed for the node.
    pub kem: KemSecretKey,
}

/// Makes the keys of the next epoch, or reads those that were made before.
///
/// # Errors
/// An [`IdentityError`] that names the file.
pub fn prepare(data: &DataDir, store: &Keystore, suite: Suite) -> Result<NextKeys, IdentityError> {
    if let Some(made) = next_keys(data, store)? {
        return Ok(made);
    }
    let next = NextKeys {
        signer: SecretKey::generate(suite.signing()),
        kem: KemSecretKey::generate(suite.kem()),
    };
    // The ledger key last: where it is, both are. What an earlier attempt left alone was used by nobody.
    keys::put_kem(
        store,
        &data.next_kem_key(),
        &next.kem,
        data.next_kem_key().exists(),
    )?;
    keys::put_signing(store, &data.next_ledger_key(), &next.signer, false)?;
    Ok(next)
}

/// The keys of the next epoch, if they were made.
///
/// # Errors
/// An [`IdentityError`] that names the file.
pub fn next_keys(data: &DataDir, store: &Keystore) -> Result<Option<NextKeys>, IdentityError> {
    let path = data.next_ledger_key();
    if !path.exists() {
        return Ok(None);
    }
    let signer = keys::read_signing(&path, &store.read(&path)?)?;
    let path = data.next_kem_key();
    let kem = keys::read_kem(&path, &store.read(&path)?)?;
    Ok(Some(NextKeys { signer, kem }))
}

/// Puts the certificate of the next keys (PEM, leaf first) into the data directory, after it was judged: this
/// municipality's, for these keys and this peer id, which is the node's.
///
/// # Errors
/// An [`IdentityError`] that names the file.
pub fn certify(
    data: &DataDir,
    next: &NextKeys,
    peer: &str,
    pem: &Path,
    judge: impl FnOnce(&[Vec<u8>]) -> Result<NodeCertificate, IdentityError>,
) -> Result<Vec<Vec<u8>>, IdentityError> {
    let chain: Vec<Vec<u8>> = read_chain(pem)?.iter().map(|der| der.to_vec()).collect();
    let certificate = judge(&chain)?;
    let other = |key, what| IdentityError::OtherKey {
        key,
        what,
        certificate: pem.into(),
    };
    if certificate.key != *next.signer.public() {
        return Err(other(data.next_ledger_key(), "ledger key"));
    }
    if certificate.kem.as_ref() != Some(next.kem.public()) {
        return Err(other(data.next_kem_key(), "KEM key"));
    }
    // The transport key may have been changed since the CA was asked.
    if certificate.peer_id != peer {
        return Err(other(data.transport_key(), "transport key (peer id)"));
    }
    write_public(&data.next_node_certificate(), to_pem(&chain).as_bytes())?;
    Ok(chain)
}

/// Puts the next epoch's keys in the place of the old ones, if this key signs the log now. Can be done again after
/// it was cut off anywhere.
///
/// # Errors
/// An [`IdentityError`] that names the file.
pub fn take_over(
    data: &DataDir,
    store: &Keystore,
    signs_now: &PublicKey,
) -> Result<bool, IdentityError> {
    let Some(next) = next_keys(data, store)?.filter(|next| next.signer.public() == signs_now)
    else {
        return Ok(false);
    };
    let certificate = data.next_node_certificate();
    if certificate.exists() {
        let chain: Vec<Vec<u8>> = read_chain(&certificate)?
            .iter()
            .map(|der| der.to_vec())
            .collect();
        write_public(&data.node_certificate(), to_pem(&chain).as_bytes())?;
    }
    finish(data, store, &next)?;
    Ok(true)
}

/// Brings an exchange to its end that was cut off behind the certificate.
pub(super) fn resume(
    data: &DataDir,
    store: &Keystore,
    certified: &PublicKey,
) -> Result<(), IdentityError> {
    match next_keys(data, store)? {
        Some(next) if next.signer.public() == certified => finish(data, store, &next),
        _ => Ok(()),
    }
}

fn finish(data: &DataDir, store: &Keystore, next: &NextKeys) -> Result<(), IdentityError> {
    keys::put_kem(store, &data.kem_key(), &next.kem, true)?;
    keys::put_signing(store, &data.ledger_key(), &next.signer, true)?;
    // All is in its place. The ledger key before the KEM key: where it is, both are.
    let (kem, ledger) = (data.next_kem_key(), data.next_ledger_key());
    for path in [
        data.next_node_certificate(),
        public_path(&kem),
        public_path(&ledger),
        ledger,
        kem,
    ] {
        if fs::exists(&path).unwrap_or(true) {
            remove(&path)?;
        }
    }
    Ok(())
}

impl DataDir {
    /// Judges a home's certificate of this directory's municipality, whatever its dates.
    ///
    /// # Errors
    /// An [`IdentityError`] that names the file.
    pub fn judge_certificate(&self, chain: &[Vec<u8>]) -> Result<NodeCertificate, IdentityError> {
        let genesis = super::identity::read_genesis(&self.genesis())?;
        let authority = super::identity::read_charter(self, &genesis)?;
        let certificate = judged(self, &genesis, &authority, chain)?;
        match certificate.role {
            Role::Home => Ok(certificate),
            Role::Terminal => Err(IdentityError::OtherCertificate {
                certificate: self.next_node_certificate(),
                charter: self.charter(),
            }),
        }
    }
}

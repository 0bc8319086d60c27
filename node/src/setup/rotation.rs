//! The transport key is followed by another: the next one is made beside it, certified by the CA, and put in its place
//! together with a record by which peers follow.
//!
//! The certificate is the point of no return, as with an epoch's keys: when `certs/node.pem` names the next peer id, the
//! exchange goes on to its end at the next start. The record stands before.

use std::fs;
use std::path::{Path, PathBuf};

use city_protocol::amount::Timestamp;
use city_protocol::crypto::{KemPublicKey, PublicKey};
use city_protocol::pki::Crls;
use city_protocol::trust::{
    MAX_ROTATION, Predecessor, ROTATION_MS, Rotation, RotationJudges, RotationRefusal,
    SignedRotation, TransportSigner as _,
};
use libp2p::identity::Keypair;

use super::directory::DataDir;
use super::error::IdentityError;
use super::identity::{judged, pem_chain, read_chain, read_charter, read_genesis};
use super::init::to_pem;
use crate::engine::TransportKey;
use crate::keys::file::{read_public_up_to, remove, write_public};
use crate::keys::{self, KeyFileError, Keystore, KeystoreError};
use crate::trust::MAX_OWN_CARRIED;

/// Most records that are looked at: a key that is changed each week leaves these in five years.
const MAX_RECORDS: usize = 256;

/// Why the transport key was not exchanged.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// There is no next key.
    #[error("there is no next transport key; make it with: city-node key rotate transport prepare")]
    NotPrepared,
    /// It was exchanged since the node started.
    #[error("the transport key was exchanged since this node started; restart it first")]
    Restart,
    /// The keys of an epoch wait for theirs.
    #[error("{}: the certificate of the next epoch's keys names the present peer id; begin that epoch first, or remove the file", path.display())]
    Epoch {
        /// That certificate.
        path: PathBuf,
    },
    /// Peers would not follow it.
    #[error(
        "no peer would follow with this certificate: {0}; have the CA issue another. Nothing was changed"
    )]
    Refused(#[from] RotationRefusal),
    /// It is for other keys.
    #[error(
        "the certificate is for another {0} than the node has; have the CA issue one for keys/ledger.key.pub and keys/kem.key.pub. Nothing was changed"
    )]
    OtherKey(&'static str),
    /// It is no file of certificates.
    #[error("what is to be the node certificate is no PEM of one to four certificates, leaf first")]
    Pem,
    /// A file of the data directory.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The key store.
    #[error(transparent)]
    Keys(#[from] KeystoreError),
    /// A key file.
    #[error(transparent)]
    File(#[from] KeyFileError),
}

/// What the node has and keeps.
#[derive(Clone, Copy)]
pub struct Present<'a> {
    /// The transport key that ends.
    pub transport: &'a Keypair,
    /// The ledger key.
    pub ledger: &'a PublicKey,
    /// The KEM key.
    pub kem: &'a KemPublicKey,
    /// What is revoked.
    pub crls: &'a Crls,
    /// The time.
    pub now: Timestamp,
}

/// A rotation of this node, as it stands in the data directory.
#[derive(Clone, Debug)]
pub struct OwnRotation {
    /// Where.
    pub path: PathBuf,
    /// As it travels.
    pub signed: SignedRotation,
    /// What it says.
    pub said: Rotation,
}

impl DataDir {
    /// `keys/transport-next.key`, which is to follow the transport key; there until it has.
    #[must_use]
    pub fn next_transport_key(&self) -> PathBuf {
        self.keys().join("transport-next.key")
    }

    /// `certs/rotation-PEER.cbor`, by which peers follow to this peer id of the node.
    #[must_use]
    pub fn rotation(&self, new: &str) -> PathBuf {
        self.certs().join(format!("rotation-{new}.cbor"))
    }

    fn certs(&self) -> PathBuf {
        self.path().join("certs")
    }
}

/// Makes the next transport key, or reads the one that was made before.
///
/// # Errors
/// [`RotateError`].
pub fn prepare(data: &DataDir, store: &Keystore) -> Result<Keypair, RotateError> {
    if let Some(made) = next_key(data, store)? {
        return Ok(made);
    }
    let next = Keypair::generate_ed25519();
    keys::put_transport(store, &data.next_transport_key(), &next, false)?;
    Ok(next)
}

/// The next transport key, if it was made.
///
/// # Errors
/// [`IdentityError`].
pub fn next_key(data: &DataDir, store: &Keystore) -> Result<Option<Keypair>, IdentityError> {
    let path = data.next_transport_key();
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(keys::read_transport(&path, &store.read(&path)?)?))
}

/// Puts the next transport key and its certificate (`pem`, leaf first) in the place of the present ones, with the record by
/// which peers follow. All of it was judged before, as peers judge it. After a cut it can be done again, or the next start
/// goes on.
///
/// # Errors
/// [`RotateError`]; the present key and certificate stand then.
pub fn finish(
    data: &DataDir,
    store: &Keystore,
    present: Present<'_>,
    pem: &[u8],
) -> Result<OwnRotation, RotateError> {
    let next = next_key(data, store)?.ok_or(RotateError::NotPrepared)?;
    let path = data.transport_key();
    let stands = keys::read_transport(&path, &store.read(&path)?)?;
    if stands.public() != present.transport.public() {
        return Err(RotateError::Restart);
    }
    let waits = data.next_node_certificate();
    if waits.exists() {
        return Err(RotateError::Epoch { path: waits });
    }
    let chain = pem_chain(pem).ok_or(RotateError::Pem)?;
    let (signed, said) = sign(data, &next, present, &chain)?;
    let path = data.rotation(&said.new.to_string());
    write_public(&path, &signed.encode())?;
    write_public(&data.node_certificate(), to_pem(&chain).as_bytes())?;
    take_over(data, store, &next)?;
    Ok(OwnRotation { path, signed, said })
}

/// Signs the record, if every peer would follow it now.
fn sign(
    data: &DataDir,
    next: &Keypair,
    present: Present<'_>,
    chain: &[Vec<u8>],
) -> Result<(SignedRotation, Rotation), RotateError> {
    let genesis = read_genesis(&data.genesis())?;
    let authority = read_charter(data, &genesis)?;
    let now: Vec<Vec<u8>> = read_chain(&data.node_certificate())?
        .iter()
        .map(|der| der.to_vec())
        .collect();
    let certified = judged(data, &genesis, &authority, &now)?;
    let key = |key: &Keypair| TransportKey::new(key.clone()).expect("transport keys are Ed25519");
    let (old, new) = (key(present.transport), key(next));
    let (leaf, intermediates) = chain.split_first().ok_or(RotateError::Pem)?;
    let said = Rotation {
        network: genesis.network(),
        old: old.peer_id(),
        new: new.peer_id(),
        certificate: leaf.clone(),
        chain: intermediates.to_vec(),
        made_at: present.now,
        expires_at: present.now.plus_ms(ROTATION_MS),
    };
    let signed = said.sign(&old, &new);
    let before = Predecessor {
        region: authority.region(),
        role: Some(certified.role),
    };
    let judges = RotationJudges {
        network: &said.network,
        roots: &genesis.roots,
        crls: present.crls,
        now: present.now,
    };
    let (said, certificate) = signed.judge(before, judges)?;
    if certificate.key != *present.ledger {
        return Err(RotateError::OtherKey("ledger key"));
    }
    if certificate.kem.as_ref() != Some(present.kem) {
        return Err(RotateError::OtherKey("KEM key"));
    }
    Ok((signed, said))
}

/// Brings an exchange to its end that was cut off behind the certificate.
pub(super) fn resume(
    data: &DataDir,
    store: &Keystore,
    certified: &str,
) -> Result<(), IdentityError> {
    match next_key(data, store)? {
        Some(next) if next.public().to_peer_id().to_string() == certified => {
            take_over(data, store, &next)
        }
        _ => Ok(()),
    }
}

fn take_over(data: &DataDir, store: &Keystore, next: &Keypair) -> Result<(), IdentityError> {
    keys::put_transport(store, &data.transport_key(), next, true)?;
    remove(&data.next_transport_key())?;
    Ok(())
}

/// The rotations of this node, the oldest first; what does not read is passed over.
///
/// # Errors
/// [`KeyFileError`].
pub fn records(data: &DataDir) -> Result<Vec<OwnRotation>, KeyFileError> {
    let directory = data.certs();
    let failed = |source| KeyFileError::Io {
        path: directory.clone(),
        source,
    };
    let mut records = Vec::new();
    for entry in fs::read_dir(&directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if is_record(&path) && records.len() < MAX_RECORDS {
            records.extend(read(path));
        }
    }
    records.sort_by_key(|record| record.said.made_at);
    Ok(records)
}

fn is_record(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("rotation-") && name.ends_with(".cbor"))
}

fn read(path: PathBuf) -> Option<OwnRotation> {
    let bytes = read_public_up_to(&path, MAX_ROTATION as u64).ok()?;
    let signed = SignedRotation::decode(&bytes).ok()?;
    let said = signed.said().ok()?;
    Some(OwnRotation { path, signed, said })
}

/// Those that lead to this peer id, the oldest first: one that was signed and cut off does not.
#[must_use]
pub fn leading_to(own: &str, records: &[OwnRotation]) -> Vec<OwnRotation> {
    let mut leading: Vec<OwnRotation> = Vec::new();
    let mut to = own.to_owned();
    while leading.len() < MAX_OWN_CARRIED {
        let before = records
            .iter()
            .rev()
            .find(|record| record.said.new.to_string() == to);
        let Some(record) = before else { break };
        to = record.said.old.to_string();
        leading.push(record.clone());
    }
    leading.reverse();
    leading
}

//! Keys and signatures under named algorithms, and the sealed box.
//!
//! Owns the registry of algorithms and suites and the wrappers around pqcrypto and aws-lc-rs; files, TPM and
//! certificates stand elsewhere. Every key has one algorithm; an unknown id is refused.
//!
//! Key generation, encapsulation and hedged signing take randomness from the operating system inside pqcrypto and
//! aws-lc-rs: the one exception to "randomness is an argument" in this crate.

mod aead;
mod algorithm;
mod field;
mod kem;
mod legacy;
mod not_after;
mod pkcs8;
mod sealed;
mod secret_id;
mod sign;

pub use aead::{AEAD_IV_LEN, AEAD_KEY_LEN, AEAD_OVERHEAD, AeadKey, NotAuthentic};
pub use algorithm::{Algorithm, KemAlgorithm, Suite};
pub use field::{DataKey, DataKeyId, FIELD_OVERHEAD, FieldError, FieldPlace, MAX_BOXES, sealed_by};
pub use kem::{KemPublicKey, KemSecretKey, SHARED_SECRET_LEN, SharedSecret, decapsulate};
pub use legacy::{RsaHash, RsaSecretKey, verify_rsa};
pub use not_after::NotAfter;
pub use pkcs8::{MlDsaImport, MlDsaSet, Pkcs8Refusal};
pub use sealed::{SealedBox, SealedBoxContext};
pub use secret_id::{SECRET_ID_LEN, SecretId};
pub use sign::{PublicKey, SecretKey, Signature, Signer, one_algorithm_each};

/// Fresh random bytes of the operating system, for ids, nonces and salts.
///
/// # Panics
/// If the operating system gives none: nothing secret can be made then.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// A domain tag: every signed or hashed message begins with one, so no signature serves two purposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainTag(pub &'static [u8]);

/// Tag of key ids.
pub const TAG_KEY: DomainTag = DomainTag(b"city-node/key/v1\0");
/// Tag of log ids.
pub const TAG_CHARTER: DomainTag = DomainTag(b"city-node/charter/v1\0");
/// Tag of vertex headers.
pub const TAG_VERTEX: DomainTag = DomainTag(b"city-node/vertex/v1\0");
/// Tag of enrolments.
pub const TAG_ENROL: DomainTag = DomainTag(b"city-node/enrol/v1\0");
/// Tag of rotations.
pub const TAG_ROTATE: DomainTag = DomainTag(b"city-node/rotate/v1\0");
/// Tag of revocations.
pub const TAG_REVOKE: DomainTag = DomainTag(b"city-node/revoke/v1\0");
/// Tag of recoveries.
pub const TAG_RECOVER: DomainTag = DomainTag(b"city-node/recover/v1\0");
/// Tag of epochs' beginnings.
pub const TAG_EPOCH_START: DomainTag = DomainTag(b"city-node/epoch-start/v1\0");
/// Tag of transfers.
pub const TAG_TRANSFER: DomainTag = DomainTag(b"city-node/transfer/v1\0");
/// Tag of acceptances.
pub const TAG_ACCEPT: DomainTag = DomainTag(b"city-node/accept/v1\0");
/// Tag of grants.
pub const TAG_GRANT: DomainTag = DomainTag(b"city-node/grant/v1\0");
/// Officers: `ungrant`.
pub const TAG_UNGRANT: DomainTag = DomainTag(b"city-node/ungrant/v1\0");
/// Officers: `correct`.
pub const TAG_CORRECT: DomainTag = DomainTag(b"city-node/correct/v1\0");
/// Officers: a later `charter`.
pub const TAG_AMENDMENT: DomainTag = DomainTag(b"city-node/amendment/v1\0");
/// Persons: `reject`.
pub const TAG_REJECT: DomainTag = DomainTag(b"city-node/reject/v1\0");
/// Persons: `order`.
pub const TAG_ORDER: DomainTag = DomainTag(b"city-node/order/v1\0");
/// Tag of logins.
pub const TAG_LOGIN: DomainTag = DomainTag(b"city-node/login/v1\0");
/// Tag of proofs of place that a terminal signs for its home.
pub const TAG_PLACE: DomainTag = DomainTag(b"city-node/place/v1\0");
/// Tag of what `city-node crypto sign` signs: files and demonstrations, never anything of the ledger.
pub const TAG_FILE: DomainTag = DomainTag(b"city-node/file/v1\0");
/// Tag of what a node signs only to try its keys.
pub const TAG_PROBE: DomainTag = DomainTag(b"city-node/probe/v1\0");
/// Tag of messages between nodes signed by a transport key.
pub const TAG_SIGNED_DATA: DomainTag = DomainTag(b"city-node/signed-data/v1\0");
/// Tag of statements that one transport key follows another.
pub const TAG_TRANSPORT_ROTATION: DomainTag = DomainTag(b"city-node/transport-rotation/v1\0");

impl DomainTag {
    /// The tag followed by `body`: the bytes that are signed.
    #[must_use]
    pub fn message(self, body: &[u8]) -> Vec<u8> {
        [self.0, body].concat()
    }
}

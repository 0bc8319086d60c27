//! Signature algorithms: `dilithium5` of pqcrypto-dilithium 0.5 (pq-crystals commit 918af1a6, a FIPS 204
//! draft: neither round 3.1 nor final ML-DSA-87, and compatible with neither), in portable C only,
//! because its AVX2 code accepts signatures that the portable code refuses.

use std::fmt;
use std::str::FromStr;

use pqcrypto_dilithium::dilithium5;
use pqcrypto_traits::sign::{DetachedSignature as _, PublicKey as _, SecretKey as _};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{DomainTag, TAG_KEY};
use crate::ids::{KeyId, length_prefixed, sha256};
use crate::refusal::Refusal;

/// A signature algorithm by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// `dilithium5`: pqcrypto-dilithium 0.5.0, keys 2592 and 4896 bytes, signatures 4627 bytes.
    Dilithium5,
}

impl Algorithm {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Dilithium5];

    /// The id that stands in bodies, keys and signatures.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Dilithium5 => "dilithium5",
        }
    }

    /// Public key length in bytes.
    #[must_use]
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::Dilithium5 => 2592,
        }
    }

    /// Secret key length in bytes.
    #[must_use]
    pub const fn secret_key_len(self) -> usize {
        match self {
            Self::Dilithium5 => 4896,
        }
    }

    /// Signature length in bytes.
    #[must_use]
    pub const fn signature_len(self) -> usize {
        match self {
            Self::Dilithium5 => 4627,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Algorithm {
    type Err = Refusal;

    fn from_str(id: &str) -> Result<Self, Refusal> {
        match id {
            "dilithium5" => Ok(Self::Dilithium5),
            _ => Err(Refusal::UnknownAlgorithm),
        }
    }
}

impl Serialize for Algorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// A signature: an algorithm id and bytes of exactly its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature {
    algorithm: Algorithm,
    bytes: Box<[u8]>,
}

impl Signature {
    /// Takes the bytes of a signature.
    ///
    /// # Errors
    /// [`Refusal::SignatureLength`] unless the length is exactly the algorithm's.
    pub fn new(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() != algorithm.signature_len() {
            return Err(Refusal::SignatureLength);
        }
        Ok(Self {
            algorithm,
            bytes: bytes.into(),
        })
    }

    /// Its algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Signature({}, {} bytes)",
            self.algorithm,
            self.bytes.len()
        )
    }
}

/// A public key under one algorithm.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    bytes: Box<[u8]>,
    id: KeyId,
}

impl PublicKey {
    /// Takes the raw bytes of a public key.
    ///
    /// # Errors
    /// [`Refusal::BadKey`] unless the length is exactly the algorithm's.
    pub fn new(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() != algorithm.public_key_len() {
            return Err(Refusal::BadKey);
        }
        let alg = length_prefixed(algorithm.id().as_bytes());
        let id = KeyId(sha256(&[TAG_KEY.0, &alg, bytes]));
        Ok(Self {
            algorithm,
            bytes: bytes.into(),
            id,
        })
    }

    /// Its algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its key id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The ids that the same bytes would have under every algorithm with keys of this length, the own one among
    /// them.
    #[must_use]
    pub fn ids_of_bytes(&self) -> Vec<KeyId> {
        let as_key = |algorithm: &Algorithm| Self::new(*algorithm, &self.bytes).ok();
        let keys = Algorithm::ALL.iter().filter_map(as_key);
        keys.map(|key| key.id()).collect()
    }

    /// Checks a signature over `tag ‖ body`.
    ///
    /// # Errors
    /// [`Refusal::WrongAlgorithm`] or [`Refusal::BadSignature`].
    pub fn verify(
        &self,
        tag: DomainTag,
        body: &[u8],
        signature: &Signature,
    ) -> Result<(), Refusal> {
        if signature.algorithm != self.algorithm {
            return Err(Refusal::WrongAlgorithm);
        }
        self.verify_raw(&tag.message(body), &signature.bytes)
    }

    /// Checks a signature over exactly `message`, without a domain tag: for certificates, whose
    /// message form is X.509's own.
    ///
    /// # Errors
    /// [`Refusal::SignatureLength`] or [`Refusal::BadSignature`].
    pub fn verify_raw(&self, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        // `DetachedSignature::from_bytes` takes short input, so the exact length is checked first.
        if signature.len() != self.algorithm.signature_len() {
            return Err(Refusal::SignatureLength);
        }
        match self.algorithm {
            Algorithm::Dilithium5 => {
                let signature = dilithium5::DetachedSignature::from_bytes(signature)
                    .map_err(|_| Refusal::SignatureLength)?;
                let key =
                    dilithium5::PublicKey::from_bytes(&self.bytes).map_err(|_| Refusal::BadKey)?;
                dilithium5::verify_detached_signature(&signature, message, &key)
                    .map_err(|_| Refusal::BadSignature)
            }
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.algorithm, self.id)
    }
}

/// A secret signing key with its public half. Not `Copy`, not comparable, zeroized when dropped,
/// redacted in `Debug`.
///
/// While it signs, pqcrypto's own (`Copy`, never zeroized) type holds a copy on the stack: that crate
/// gives no way to wipe it.
pub struct SecretKey {
    public: PublicKey,
    secret: Zeroizing<Box<[u8]>>,
}

impl SecretKey {
    /// Makes a new key pair with randomness of the operating system.
    #[must_use]
    pub fn generate(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Dilithium5 => {
                let (public, secret) = dilithium5::keypair();
                Self::from_parts(algorithm, public.as_bytes(), secret.as_bytes())
                    .expect("lengths are the algorithm's own")
            }
        }
    }

    /// Takes a stored key pair and proves with one signature that the halves belong together.
    ///
    /// # Errors
    /// [`Refusal::BadKey`].
    pub fn from_parts(algorithm: Algorithm, public: &[u8], secret: &[u8]) -> Result<Self, Refusal> {
        if secret.len() != algorithm.secret_key_len() {
            return Err(Refusal::BadKey);
        }
        let key = Self {
            public: PublicKey::new(algorithm, public)?,
            secret: Zeroizing::new(secret.into()),
        };
        let probe = key.sign_raw(b"key pair check");
        key.public
            .verify_raw(b"key pair check", probe.as_bytes())
            .map_err(|_| Refusal::BadKey)?;
        Ok(key)
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The secret bytes, for the key file only.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        &self.secret
    }

    /// Signs exactly `message`, without a domain tag: for certificates.
    #[must_use]
    pub fn sign_raw(&self, message: &[u8]) -> Signature {
        match self.public.algorithm {
            Algorithm::Dilithium5 => {
                let key = dilithium5::SecretKey::from_bytes(&self.secret)
                    .expect("length was checked when the key was read");
                let signature = dilithium5::detached_sign(message, &key);
                Signature::new(Algorithm::Dilithium5, signature.as_bytes())
                    .expect("a fresh signature has the full length")
            }
        }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, redacted)", self.public.id)
    }
}

/// Something that signs tagged bodies: a key in memory, and later one behind a device.
pub trait Signer: Send {
    /// The public half of the signing key.
    fn public_key(&self) -> &PublicKey;
    /// Signs `tag ‖ body`.
    fn sign(&self, tag: DomainTag, body: &[u8]) -> Signature;
}

impl Signer for SecretKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, tag: DomainTag, body: &[u8]) -> Signature {
        self.sign_raw(&tag.message(body))
    }
}

impl<T: Signer + Sync + ?Sized> Signer for std::sync::Arc<T> {
    fn public_key(&self) -> &PublicKey {
        (**self).public_key()
    }

    fn sign(&self, tag: DomainTag, body: &[u8]) -> Signature {
        (**self).sign(tag, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{TAG_ACCEPT, TAG_TRANSFER};

    #[test]
    fn a_signature_serves_one_tag_one_body_one_key() {
        let key = SecretKey::generate(Algorithm::Dilithium5);
        let other = SecretKey::generate(Algorithm::Dilithium5);
        let signature = key.sign(TAG_TRANSFER, b"body");
        let check = |key: &SecretKey, tag, body: &[u8]| key.public().verify(tag, body, &signature);
        assert_eq!(check(&key, TAG_TRANSFER, b"body"), Ok(()));
        assert_eq!(check(&key, TAG_ACCEPT, b"body"), Err(Refusal::BadSignature));
        assert_eq!(
            check(&key, TAG_TRANSFER, b"bodY"),
            Err(Refusal::BadSignature)
        );
        assert_eq!(
            check(&other, TAG_TRANSFER, b"body"),
            Err(Refusal::BadSignature)
        );
    }

    #[test]
    fn lengths_are_exact() {
        let key = SecretKey::generate(Algorithm::Dilithium5);
        let signature = key.sign(TAG_TRANSFER, b"body");
        let short = &signature.as_bytes()[..4626];
        assert_eq!(
            Signature::new(Algorithm::Dilithium5, short),
            Err(Refusal::SignatureLength)
        );
        let long = [signature.as_bytes(), &[0]].concat();
        assert_eq!(
            Signature::new(Algorithm::Dilithium5, &long),
            Err(Refusal::SignatureLength)
        );
        assert_eq!(
            key.public().verify_raw(b"body", short),
            Err(Refusal::SignatureLength)
        );
        assert_eq!(
            PublicKey::new(Algorithm::Dilithium5, &[0; 2591]),
            Err(Refusal::BadKey)
        );
        assert_eq!(
            "dilithium3".parse::<Algorithm>(),
            Err(Refusal::UnknownAlgorithm)
        );
    }

    #[test]
    fn halves_of_different_pairs_are_refused_and_debug_is_redacted() {
        let one = SecretKey::generate(Algorithm::Dilithium5);
        let two = SecretKey::generate(Algorithm::Dilithium5);
        let mixed = SecretKey::from_parts(
            Algorithm::Dilithium5,
            one.public().as_bytes(),
            two.expose_secret(),
        );
        assert!(matches!(mixed, Err(Refusal::BadKey)));
        assert!(format!("{one:?}").contains("redacted"));
    }
}

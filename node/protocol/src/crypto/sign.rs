//! Keys and signatures under named algorithms.
//!
//! `dilithium5` is pqcrypto-dilithium 0.5 (pq-crystals commit 918af1a6, a FIPS 204 draft: neither round 3.1 nor final
//! ML-DSA-87, and compatible with neither), in portable C only, because its AVX2 code accepts signatures that the
//! portable code refuses. `ml-dsa-87` is final FIPS 204 in aws-lc-rs, with an empty context string: what a signature is
//! for stands in our own domain tag, for both algorithms alike.

use std::fmt;

use aws_lc_rs::rand;
use aws_lc_rs::signature::{
    KeyPair as _, ML_DSA_87, ML_DSA_87_SIGNING, PqdsaKeyPair, UnparsedPublicKey,
};
use pqcrypto_dilithium::dilithium5;
use pqcrypto_traits::sign::{DetachedSignature as _, PublicKey as _, SecretKey as _};
use zeroize::Zeroizing;

use super::algorithm::Algorithm;
use super::{DomainTag, TAG_KEY};
use crate::ids::{KeyId, length_prefixed, sha256};
use crate::refusal::Refusal;

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
            Algorithm::MlDsa87 => UnparsedPublicKey::new(&ML_DSA_87, &self.bytes)
                .verify(message, signature)
                .map_err(|_| Refusal::BadSignature),
        }
    }
}

impl PublicKey {
    /// Whether the other is the same raw key under another algorithm. The schemes are relatives: a key pair of one works
    /// in the other, so whoever used it twice would sign for both.
    #[must_use]
    pub fn is_twin_of(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.algorithm != other.algorithm
    }
}

/// Refuses one raw key under two algorithms.
///
/// # Errors
/// [`Refusal::WrongAlgorithm`].
pub fn one_algorithm_each(keys: &[PublicKey]) -> Result<(), Refusal> {
    let mut sorted: Vec<&PublicKey> = keys.iter().collect();
    sorted.sort_unstable_by(|one, other| one.bytes.cmp(&other.bytes));
    if sorted.windows(2).any(|pair| pair[0].is_twin_of(pair[1])) {
        Err(Refusal::WrongAlgorithm)
    } else {
        Ok(())
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
/// While a `dilithium5` key signs, pqcrypto's own (`Copy`, never zeroized) type holds a copy on the stack: that crate
/// gives no way to wipe it.
pub struct SecretKey {
    public: PublicKey,
    /// As it is stored: [`Algorithm::secret_key_len`] bytes.
    secret: Zeroizing<Box<[u8]>>,
    /// What an `ml-dsa-87` seed expands to, in memory that AWS-LC wipes when it is freed.
    expanded: Option<PqdsaKeyPair>,
}

impl SecretKey {
    /// Makes a new key pair with randomness of the operating system.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    #[must_use]
    pub fn generate(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Dilithium5 => {
                let (public, secret) = dilithium5::keypair();
                Self::from_parts(algorithm, public.as_bytes(), secret.as_bytes())
                    .expect("a fresh pair belongs together")
            }
            Algorithm::MlDsa87 => {
                let mut seed = Zeroizing::new([0; 32]);
                rand::fill(&mut *seed).expect("the operating system gives randomness");
                Self::from_seed(&*seed).expect("every 32 bytes are a seed")
            }
        }
    }

    /// The `ml-dsa-87` key of a seed (FIPS 204 section 6.1).
    ///
    /// # Errors
    /// [`Refusal::BadKey`] unless there are 32 bytes.
    pub fn from_seed(seed: &[u8]) -> Result<Self, Refusal> {
        let pair =
            PqdsaKeyPair::from_seed(&ML_DSA_87_SIGNING, seed).map_err(|_| Refusal::BadKey)?;
        Ok(Self {
            public: PublicKey::new(Algorithm::MlDsa87, pair.public_key().as_ref())?,
            secret: Zeroizing::new(seed.into()),
            expanded: Some(pair),
        })
    }

    /// Takes a stored key pair and proves that the halves belong together: a `dilithium5` pair by one signature, an
    /// `ml-dsa-87` pair by making the public half again.
    ///
    /// # Errors
    /// [`Refusal::BadKey`].
    pub fn from_parts(algorithm: Algorithm, public: &[u8], secret: &[u8]) -> Result<Self, Refusal> {
        if secret.len() != algorithm.secret_key_len() {
            return Err(Refusal::BadKey);
        }
        let public = PublicKey::new(algorithm, public)?;
        let key = match algorithm {
            Algorithm::Dilithium5 => Self {
                public,
                secret: Zeroizing::new(secret.into()),
                expanded: None,
            },
            Algorithm::MlDsa87 => {
                let key = Self::from_seed(secret)?;
                if key.public != public {
                    return Err(Refusal::BadKey);
                }
                return Ok(key);
            }
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

    /// The secret bytes as they are stored, for the key file only.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        &self.secret
    }

    /// Signs exactly `message`, without a domain tag: for certificates.
    ///
    /// # Panics
    /// If the operating system gives no randomness: `ml-dsa-87` signs hedged (FIPS 204 section 3.4).
    #[must_use]
    pub fn sign_raw(&self, message: &[u8]) -> Signature {
        let algorithm = self.public.algorithm;
        let bytes = match &self.expanded {
            Some(pair) => {
                let mut bytes = vec![0; algorithm.signature_len()];
                pair.sign(message, &mut bytes)
                    .expect("a whole key signs whatever fits into memory");
                bytes
            }
            None => {
                let key = dilithium5::SecretKey::from_bytes(&self.secret)
                    .expect("length was checked when the key was read");
                dilithium5::detached_sign(message, &key).as_bytes().to_vec()
            }
        };
        Signature::new(algorithm, &bytes).expect("a fresh signature has the full length")
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

    const BOTH: [Algorithm; 2] = [Algorithm::Dilithium5, Algorithm::MlDsa87];

    #[test]
    fn a_signature_serves_one_tag_one_body_one_key() {
        for algorithm in BOTH {
            let key = SecretKey::generate(algorithm);
            let other = SecretKey::generate(algorithm);
            let signature = key.sign(TAG_TRANSFER, b"body");
            let check =
                |key: &SecretKey, tag, body: &[u8]| key.public().verify(tag, body, &signature);
            let refused = Err(Refusal::BadSignature);
            assert_eq!(check(&key, TAG_TRANSFER, b"body"), Ok(()));
            assert_eq!(check(&key, TAG_ACCEPT, b"body"), refused);
            assert_eq!(check(&key, TAG_TRANSFER, b"bodY"), refused);
            assert_eq!(check(&other, TAG_TRANSFER, b"body"), refused);
        }
    }

    #[test]
    fn lengths_are_exact() {
        for algorithm in BOTH {
            let key = SecretKey::generate(algorithm);
            let signature = key.sign(TAG_TRANSFER, b"body");
            let refused = Err(Refusal::SignatureLength);
            let short = &signature.as_bytes()[..4626];
            assert_eq!(Signature::new(algorithm, short), refused);
            let long = [signature.as_bytes(), &[0]].concat();
            assert_eq!(Signature::new(algorithm, &long), refused);
            for wrong in [short, &long, &[]] {
                let verdict = key.public().verify_raw(b"body", wrong);
                assert_eq!(verdict, Err(Refusal::SignatureLength));
            }
            for wrong in [0, 2591, 2593] {
                let key = PublicKey::new(algorithm, &vec![0; wrong]);
                assert_eq!(key, Err(Refusal::BadKey));
            }
        }
    }

    #[test]
    fn halves_of_different_pairs_are_refused_and_debug_is_redacted() {
        for algorithm in BOTH {
            let one = SecretKey::generate(algorithm);
            let two = SecretKey::generate(algorithm);
            let stored = |public: &SecretKey, secret: &[u8]| {
                SecretKey::from_parts(algorithm, public.public().as_bytes(), secret).map(|_| ())
            };
            assert_eq!(stored(&one, one.expose_secret()), Ok(()));
            assert_eq!(stored(&one, two.expose_secret()), Err(Refusal::BadKey));
            assert_eq!(
                stored(&one, &one.expose_secret()[1..]),
                Err(Refusal::BadKey)
            );
            assert!(format!("{one:?}").contains("redacted"));
        }
    }

    #[test]
    fn one_raw_key_has_one_algorithm() {
        // The key bytes of one scheme work in the other: this is why the id is asked, and twins are refused.
        let key = SecretKey::generate(Algorithm::MlDsa87);
        let twin = PublicKey::new(Algorithm::Dilithium5, key.public().as_bytes()).unwrap();
        let other = SecretKey::generate(Algorithm::Dilithium5);
        assert_ne!(twin.id(), key.public().id());
        let signature = key.sign(TAG_TRANSFER, b"body");
        assert_eq!(
            twin.verify(TAG_TRANSFER, b"body", &signature),
            Err(Refusal::WrongAlgorithm)
        );
        assert_eq!(
            twin.verify_raw(&TAG_TRANSFER.message(b"body"), signature.as_bytes()),
            Err(Refusal::BadSignature)
        );
        let [a, b, c] = [key.public(), other.public(), &twin].map(Clone::clone);
        assert_eq!(
            one_algorithm_each(&[a.clone(), b.clone(), a.clone()]),
            Ok(())
        );
        assert_eq!(one_algorithm_each(&[a, b, c]), Err(Refusal::WrongAlgorithm));
    }

    #[test]
    fn a_seed_is_a_key() {
        let key = SecretKey::generate(Algorithm::MlDsa87);
        let again = SecretKey::from_seed(key.expose_secret()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(SecretKey::from_seed(&[0; 31]).err(), Some(Refusal::BadKey));
    }
}

//! Key encapsulation under named algorithms: NTRU of pqcrypto-ntru (PQClean's portable C), ML-KEM of aws-lc-rs.
//!
//! A public key is checked when it is read, so that encapsulating to it cannot fail later. The sealed box that is
//! built on this stands in `sealed`.

use std::fmt;

use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_1024};
use pqcrypto_ntru::{ntruhps4096821, ntruhrss701};
use pqcrypto_traits::kem::{Ciphertext as _, PublicKey as _, SecretKey as _, SharedSecret as _};
use zeroize::Zeroizing;

use super::TAG_KEY;
use super::algorithm::KemAlgorithm;
use crate::ids::{KeyId, length_prefixed, sha256};
use crate::refusal::Refusal;

/// Length of every shared secret in bytes.
pub const SHARED_SECRET_LEN: usize = 32;

/// What encapsulation and decapsulation agree on. Not `Copy`, zeroized when dropped, redacted in `Debug`.
pub struct SharedSecret(Zeroizing<[u8; SHARED_SECRET_LEN]>);

impl SharedSecret {
    fn new(bytes: &[u8]) -> Self {
        let mut secret = Zeroizing::new([0; SHARED_SECRET_LEN]);
        secret.copy_from_slice(bytes);
        Self(secret)
    }

    /// The secret bytes.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8; SHARED_SECRET_LEN] {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(redacted)")
    }
}

/// Opens a KEM ciphertext with the raw bytes of a secret key. A ciphertext that was not made for the key gives another
/// secret, as the specifications want it, and no error.
///
/// # Errors
/// [`Refusal::BadKey`] for a key of another length or an `ml-kem-1024` key that contradicts itself (FIPS 203 section
/// 7.3), [`Refusal::TooLarge`] for a ciphertext of another length.
pub fn decapsulate(
    algorithm: KemAlgorithm,
    secret: &[u8],
    ciphertext: &[u8],
) -> Result<SharedSecret, Refusal> {
    if secret.len() != algorithm.secret_key_len() {
        return Err(Refusal::BadKey);
    }
    if ciphertext.len() != algorithm.ciphertext_len() {
        return Err(Refusal::TooLarge);
    }
    macro_rules! ntru {
        ($set:ident) => {{
            let key = $set::SecretKey::from_bytes(secret).map_err(|_| Refusal::BadKey)?;
            let ciphertext =
                $set::Ciphertext::from_bytes(ciphertext).map_err(|_| Refusal::TooLarge)?;
            SharedSecret::new($set::decapsulate(&ciphertext, &key).as_bytes())
        }};
    }
    Ok(match algorithm {
        KemAlgorithm::NtruHps4096821 => ntru!(ntruhps4096821),
        KemAlgorithm::NtruHrss701 => ntru!(ntruhrss701),
        KemAlgorithm::MlKem1024 => {
            let key = DecapsulationKey::new(&ML_KEM_1024, secret).map_err(|_| Refusal::BadKey)?;
            // Lengths are right, so what is left is the key's own check of its hash.
            let shared = key.decapsulate(Ciphertext::from(ciphertext));
            SharedSecret::new(shared.map_err(|_| Refusal::BadKey)?.as_ref())
        }
    })
}

/// A public key for sealing.
#[derive(Clone, PartialEq, Eq)]
pub struct KemPublicKey {
    algorithm: KemAlgorithm,
    bytes: Box<[u8]>,
}

impl KemPublicKey {
    /// Takes raw bytes.
    ///
    /// # Errors
    /// [`Refusal::BadKey`] unless the length is exactly the algorithm's, and the bytes are the one spelling of a key:
    /// no spare bits set in `ntru-hrss-701`, coefficients below q in `ml-kem-1024` (FIPS 203 section 7.2).
    pub fn new(algorithm: KemAlgorithm, bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() != algorithm.public_key_len() {
            return Err(Refusal::BadKey);
        }
        match algorithm {
            KemAlgorithm::NtruHps4096821 => {}
            KemAlgorithm::NtruHrss701 => {
                // 700 coefficients of 13 bits fill 9,100 of 9,104 bits.
                if bytes.last().is_some_and(|last| last & 0xf0 != 0) {
                    return Err(Refusal::BadKey);
                }
            }
            KemAlgorithm::MlKem1024 => {
                // AWS-LC checks a key when it is used, so it is used once.
                EncapsulationKey::new(&ML_KEM_1024, bytes)
                    .map_err(|_| Refusal::BadKey)?
                    .encapsulate()
                    .map_err(|_| Refusal::BadKey)?;
            }
        }
        Ok(Self {
            algorithm,
            bytes: bytes.into(),
        })
    }

    /// Its algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> KemAlgorithm {
        self.algorithm
    }

    /// Its raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its key id, formed as for signing keys.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let alg = length_prefixed(self.algorithm.id().as_bytes());
        KeyId(sha256(&[TAG_KEY.0, &alg, &self.bytes]))
    }

    /// A fresh shared secret and the ciphertext that carries it to the owner of this key.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    #[must_use]
    pub fn encapsulate(&self) -> (Vec<u8>, SharedSecret) {
        macro_rules! ntru {
            ($set:ident) => {{
                let key = $set::PublicKey::from_bytes(&self.bytes)
                    .expect("length was checked when the key was read");
                let (secret, ciphertext) = $set::encapsulate(&key);
                (
                    ciphertext.as_bytes().to_vec(),
                    SharedSecret::new(secret.as_bytes()),
                )
            }};
        }
        match self.algorithm {
            KemAlgorithm::NtruHps4096821 => ntru!(ntruhps4096821),
            KemAlgorithm::NtruHrss701 => ntru!(ntruhrss701),
            KemAlgorithm::MlKem1024 => {
                let (ciphertext, secret) = EncapsulationKey::new(&ML_KEM_1024, &self.bytes)
                    .and_then(|key| key.encapsulate().map_err(Into::into))
                    .expect("the key was checked when it was read");
                (
                    ciphertext.as_ref().to_vec(),
                    SharedSecret::new(secret.as_ref()),
                )
            }
        }
    }
}

impl fmt::Debug for KemPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KemPublicKey({}, {})", self.algorithm, self.id())
    }
}

/// A secret key that opens sealed boxes: not `Copy`, zeroized, redacted.
pub struct KemSecretKey {
    public: KemPublicKey,
    secret: Zeroizing<Box<[u8]>>,
}

impl KemSecretKey {
    /// Makes a new key pair with randomness of the operating system.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    #[must_use]
    pub fn generate(algorithm: KemAlgorithm) -> Self {
        macro_rules! ntru {
            ($set:ident) => {{
                let (public, secret) = $set::keypair();
                Self::from_parts(algorithm, public.as_bytes(), secret.as_bytes())
            }};
        }
        let fresh = match algorithm {
            KemAlgorithm::NtruHps4096821 => ntru!(ntruhps4096821),
            KemAlgorithm::NtruHrss701 => ntru!(ntruhrss701),
            KemAlgorithm::MlKem1024 => {
                let pair = DecapsulationKey::generate(&ML_KEM_1024);
                let halves = pair.and_then(|pair| {
                    let public = pair.encapsulation_key()?.key_bytes()?;
                    Ok((public, pair.key_bytes()?))
                });
                let (public, secret) = halves.expect("the operating system gives randomness");
                Self::from_parts(algorithm, public.as_ref(), secret.as_ref())
            }
        };
        fresh.expect("a fresh pair belongs together")
    }

    /// Takes a stored key pair and proves with one shared secret that the halves belong together.
    ///
    /// # Errors
    /// [`Refusal::BadKey`].
    pub fn from_parts(
        algorithm: KemAlgorithm,
        public: &[u8],
        secret: &[u8],
    ) -> Result<Self, Refusal> {
        if secret.len() != algorithm.secret_key_len() {
            return Err(Refusal::BadKey);
        }
        let key = Self {
            public: KemPublicKey::new(algorithm, public)?,
            secret: Zeroizing::new(secret.into()),
        };
        let (ciphertext, sent) = key.public.encapsulate();
        // A secret of its own making that nobody else will ever use: comparing it may take what time it takes.
        if key.decapsulate(&ciphertext)?.expose_secret() == sent.expose_secret() {
            Ok(key)
        } else {
            Err(Refusal::BadKey)
        }
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &KemPublicKey {
        &self.public
    }

    /// The secret bytes, for the key file only.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        &self.secret
    }

    /// Opens a KEM ciphertext. One that was not made for this key gives another secret and no error.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] for a ciphertext of another length.
    pub fn decapsulate(&self, ciphertext: &[u8]) -> Result<SharedSecret, Refusal> {
        decapsulate(self.public.algorithm, &self.secret, ciphertext)
    }
}

impl fmt::Debug for KemSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KemSecretKey({}, redacted)", self.public.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_every_algorithm_agree() {
        for algorithm in KemAlgorithm::ALL.iter().copied() {
            let (key, other) = (
                KemSecretKey::generate(algorithm),
                KemSecretKey::generate(algorithm),
            );
            assert_eq!(key.public().as_bytes().len(), algorithm.public_key_len());
            let (ciphertext, sent) = key.public().encapsulate();
            assert_eq!(ciphertext.len(), algorithm.ciphertext_len());
            let got = |key: &KemSecretKey, ciphertext: &[u8]| {
                key.decapsulate(ciphertext).map(|s| *s.expose_secret())
            };
            assert_eq!(got(&key, &ciphertext), Ok(*sent.expose_secret()));
            // Implicit rejection: another secret, no error.
            assert_ne!(got(&other, &ciphertext), Ok(*sent.expose_secret()));
            let mut bent = ciphertext.clone();
            bent[0] ^= 1;
            assert_ne!(got(&key, &bent), Ok(*sent.expose_secret()));
            assert_eq!(got(&key, &ciphertext[1..]), Err(Refusal::TooLarge));
            assert_eq!(got(&key, &[]), Err(Refusal::TooLarge));

            let stored = |public: &KemSecretKey, secret: &[u8]| {
                KemSecretKey::from_parts(algorithm, public.public().as_bytes(), secret).map(|_| ())
            };
            assert_eq!(stored(&key, key.expose_secret()), Ok(()));
            assert_eq!(stored(&other, key.expose_secret()), Err(Refusal::BadKey));
            assert_eq!(
                stored(&key, &key.expose_secret()[1..]),
                Err(Refusal::BadKey)
            );
            assert!(format!("{key:?} {sent:?}").contains("redacted"));
        }
    }

    #[test]
    fn a_key_has_one_spelling() {
        let refused = |algorithm, bytes: &[u8]| {
            assert_eq!(
                KemPublicKey::new(algorithm, bytes).err(),
                Some(Refusal::BadKey)
            );
        };
        let key = KemSecretKey::generate(KemAlgorithm::NtruHrss701);
        let mut spare = key.public().as_bytes().to_vec();
        *spare.last_mut().unwrap() |= 0x80;
        refused(KemAlgorithm::NtruHrss701, &spare);

        let key = KemSecretKey::generate(KemAlgorithm::MlKem1024);
        let mut above_q = key.public().as_bytes().to_vec();
        above_q[..3].copy_from_slice(&[0xff, 0xff, 0xff]);
        refused(KemAlgorithm::MlKem1024, &above_q);
        refused(KemAlgorithm::MlKem1024, &above_q[1..]);
        // The key's own hash of its public half (FIPS 203 section 7.3).
        let mut secret = key.expose_secret().to_vec();
        secret[1536 + 1568] ^= 1;
        let (ciphertext, _) = key.public().encapsulate();
        assert_eq!(
            decapsulate(KemAlgorithm::MlKem1024, &secret, &ciphertext).err(),
            Some(Refusal::BadKey)
        );
    }
}

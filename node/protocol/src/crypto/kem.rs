//! The sealed box: a message that only its receiver can open (DESIGN §4).
//!
//! KEM → HKDF-SHA-256 → AES-256-GCM. The salt is SHA-256 of the KEM ciphertext; the context is both
//! `info` and the additional data; the key is single-use, so the IV is twelve zero bytes.

use std::fmt;
use std::str::FromStr;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hkdf::Hkdf;
use pqcrypto_ntru::ntruhps4096821;
use pqcrypto_traits::kem::{Ciphertext as _, PublicKey as _, SecretKey as _, SharedSecret as _};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::TAG_KEY;
use crate::ids::{AccountId, KeyId, NetworkId, TransferId, length_prefixed, sha256};
use crate::refusal::Refusal;

/// Label of the key derivation.
const LABEL: &[u8] = b"city-node/sealed-box/v1";

/// A key encapsulation algorithm by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KemAlgorithm {
    /// `ntru-hps-4096-821`: public key 1230, secret key 1590, ciphertext 1230 bytes.
    NtruHps4096821,
}

impl KemAlgorithm {
    /// The id that stands in bodies and certificates.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::NtruHps4096821 => "ntru-hps-4096-821",
        }
    }

    /// Public key length in bytes.
    #[must_use]
    pub const fn public_key_len(self) -> usize {
        1230
    }

    /// Ciphertext length in bytes.
    #[must_use]
    pub const fn ciphertext_len(self) -> usize {
        1230
    }

    /// Secret key length in bytes.
    #[must_use]
    pub const fn secret_key_len(self) -> usize {
        1590
    }
}

impl fmt::Display for KemAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for KemAlgorithm {
    type Err = Refusal;

    fn from_str(id: &str) -> Result<Self, Refusal> {
        match id {
            "ntru-hps-4096-821" => Ok(Self::NtruHps4096821),
            _ => Err(Refusal::UnknownAlgorithm),
        }
    }
}

impl Serialize for KemAlgorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl<'de> Deserialize<'de> for KemAlgorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
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
    /// [`Refusal::BadKey`] unless the length is exactly the algorithm's.
    pub fn new(algorithm: KemAlgorithm, bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() != algorithm.public_key_len() {
            return Err(Refusal::BadKey);
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

    /// Seals `message` for the owner of this key.
    ///
    /// # Panics
    /// Never: lengths were checked when the key was read.
    #[must_use]
    pub fn seal(&self, context: &SealedBoxContext, message: &[u8]) -> SealedBox {
        let key = ntruhps4096821::PublicKey::from_bytes(&self.bytes)
            .expect("length was checked when the key was read");
        let (secret, ciphertext) = ntruhps4096821::encapsulate(&key);
        let info = context.info(&self.id());
        let cipher = derive(secret.as_bytes(), ciphertext.as_bytes(), &info);
        let sealed = cipher
            .encrypt(
                &Nonce::default(),
                Payload {
                    msg: message,
                    aad: &info,
                },
            )
            .expect("a message in memory is below AES-GCM's limit of 64 GiB");
        SealedBox {
            alg: self.algorithm,
            key: self.id(),
            encapsulated: ciphertext.as_bytes().to_vec(),
            sealed,
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
    #[must_use]
    pub fn generate(algorithm: KemAlgorithm) -> Self {
        let (public, secret) = ntruhps4096821::keypair();
        Self::from_parts(algorithm, public.as_bytes(), secret.as_bytes())
            .expect("lengths are the algorithm's own")
    }

    /// Takes a stored key pair.
    ///
    /// # Errors
    /// [`Refusal::BadKey`] for a wrong length.
    pub fn from_parts(
        algorithm: KemAlgorithm,
        public: &[u8],
        secret: &[u8],
    ) -> Result<Self, Refusal> {
        if secret.len() != algorithm.secret_key_len() {
            return Err(Refusal::BadKey);
        }
        Ok(Self {
            public: KemPublicKey::new(algorithm, public)?,
            secret: Zeroizing::new(secret.into()),
        })
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

    /// Opens a box that was sealed for this key in exactly this context.
    ///
    /// # Errors
    /// [`Refusal::WrongKey`], [`Refusal::TooLarge`] for a ciphertext of another length, or
    /// [`Refusal::BadSignature`] when the box is not authentic.
    pub fn open(
        &self,
        context: &SealedBoxContext,
        sealed: &SealedBox,
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        if sealed.key != self.public.id() {
            return Err(Refusal::WrongKey);
        }
        if sealed.encapsulated.len() != sealed.alg.ciphertext_len() {
            return Err(Refusal::TooLarge);
        }
        let ciphertext = ntruhps4096821::Ciphertext::from_bytes(&sealed.encapsulated)
            .map_err(|_| Refusal::TooLarge)?;
        let key = ntruhps4096821::SecretKey::from_bytes(&self.secret)
            .expect("length was checked when the key was read");
        let secret = ntruhps4096821::decapsulate(&ciphertext, &key);
        let info = context.info(&sealed.key);
        derive(secret.as_bytes(), &sealed.encapsulated, &info)
            .decrypt(
                &Nonce::default(),
                Payload {
                    msg: &sealed.sealed,
                    aad: &info,
                },
            )
            .map(Zeroizing::new)
            .map_err(|_| Refusal::BadSignature)
    }
}

impl fmt::Debug for KemSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KemSecretKey({}, redacted)", self.public.id())
    }
}

/// What a sealed box is bound to: it opens nowhere else.
#[derive(Clone, Debug)]
pub struct SealedBoxContext {
    /// The network.
    pub network: NetworkId,
    /// The sender's account.
    pub sender: AccountId,
    /// The receiver's account.
    pub receiver: AccountId,
    /// The transfer that carries the box.
    pub transfer_id: TransferId,
}

impl SealedBoxContext {
    fn info(&self, receiver_key: &KeyId) -> Vec<u8> {
        [
            LABEL,
            self.network.digest(),
            self.sender.as_str().as_bytes(),
            self.receiver.as_str().as_bytes(),
            &receiver_key.0,
            &self.transfer_id.0,
        ]
        .into_iter()
        .flat_map(length_prefixed)
        .collect()
    }
}

/// A sealed message as it travels in a transfer's `message` field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedBox {
    /// KEM algorithm.
    pub alg: KemAlgorithm,
    /// Key id of the receiver's KEM key.
    pub key: KeyId,
    /// KEM ciphertext, base64 in JSON.
    #[serde(with = "crate::json::base64_bytes")]
    pub encapsulated: Vec<u8>,
    /// AES-256-GCM ciphertext and tag, base64 in JSON.
    #[serde(with = "crate::json::base64_bytes")]
    pub sealed: Vec<u8>,
}

fn derive(secret: &[u8], ciphertext: &[u8], info: &[u8]) -> Aes256Gcm {
    let salt = sha256(&[ciphertext]);
    let mut key = Zeroizing::new([0u8; 32]);
    Hkdf::<Sha256>::new(Some(&salt), secret)
        .expand(info, &mut *key)
        .expect("32 bytes are within HKDF-SHA-256's limit");
    Aes256Gcm::new_from_slice(&*key).expect("the key has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LogId;

    #[test]
    fn only_the_receiver_opens_and_only_in_its_context() {
        let receiver = KemSecretKey::generate(KemAlgorithm::NtruHps4096821);
        let stranger = KemSecretKey::generate(KemAlgorithm::NtruHps4096821);
        let account = |n: u8| AccountId::new(&LogId([n; 32]), &KeyId([n; 32]));
        let context = SealedBoxContext {
            network: NetworkId::of(b"genesis"),
            sender: account(1),
            receiver: account(2),
            transfer_id: TransferId([3; 16]),
        };
        let sealed = receiver.public().seal(&context, "ありがとう".as_bytes());
        assert_eq!(
            receiver.open(&context, &sealed).unwrap().as_slice(),
            "ありがとう".as_bytes()
        );
        assert_eq!(stranger.open(&context, &sealed), Err(Refusal::WrongKey));
        let elsewhere = SealedBoxContext {
            transfer_id: TransferId([4; 16]),
            ..context.clone()
        };
        assert_eq!(
            receiver.open(&elsewhere, &sealed),
            Err(Refusal::BadSignature)
        );
        let mut tampered = sealed.clone();
        tampered.sealed[0] ^= 1;
        assert_eq!(
            receiver.open(&context, &tampered),
            Err(Refusal::BadSignature)
        );
        let mut short = sealed;
        short.encapsulated.pop();
        assert_eq!(receiver.open(&context, &short), Err(Refusal::TooLarge));
    }
}

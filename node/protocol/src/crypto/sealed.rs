//! The sealed box: a message that only its receiver can open (DESIGN §4).
//!
//! KEM → HKDF-SHA-256 → AES-256-GCM. The salt is SHA-256 of the KEM ciphertext; the context is both
//! `info` and the additional data; the key is single-use, so the IV is twelve zero bytes.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::algorithm::KemAlgorithm;
use super::kem::{KemPublicKey, KemSecretKey};
use crate::ids::{AccountId, KeyId, NetworkId, TransferId, length_prefixed, sha256};
use crate::refusal::Refusal;

/// Label of the key derivation.
const LABEL: &[u8] = b"city-node/sealed-box/v1";

impl KemPublicKey {
    /// Seals `message` for the owner of this key.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    #[must_use]
    pub fn seal(&self, context: &SealedBoxContext, message: &[u8]) -> SealedBox {
        let (encapsulated, secret) = self.encapsulate();
        let info = context.info(&self.id());
        let sealed = derive(secret.expose_secret(), &encapsulated, &info)
            .encrypt(
                &Nonce::default(),
                Payload {
                    msg: message,
                    aad: &info,
                },
            )
            .expect("a message in memory is below AES-GCM's limit of 64 GiB");
        SealedBox {
            alg: self.algorithm(),
            key: self.id(),
            encapsulated,
            sealed,
        }
    }
}

impl KemSecretKey {
    /// Opens a box that was sealed for this key in exactly this context.
    ///
    /// # Errors
    /// [`Refusal::WrongKey`], [`Refusal::WrongAlgorithm`], [`Refusal::TooLarge`] for a KEM ciphertext of another
    /// length, or [`Refusal::BadSignature`] when the box is not authentic.
    pub fn open(
        &self,
        context: &SealedBoxContext,
        sealed: &SealedBox,
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        if sealed.key != self.public().id() {
            return Err(Refusal::WrongKey);
        }
        if sealed.alg != self.public().algorithm() {
            return Err(Refusal::WrongAlgorithm);
        }
        let secret = self.decapsulate(&sealed.encapsulated)?;
        let info = context.info(&sealed.key);
        derive(secret.expose_secret(), &sealed.encapsulated, &info)
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
        for algorithm in KemAlgorithm::ALL.iter().copied() {
            let receiver = KemSecretKey::generate(algorithm);
            let stranger = KemSecretKey::generate(algorithm);
            let account = |n: u8| AccountId::new(&LogId([n; 32]), &KeyId([n; 32]));
            let context = SealedBoxContext {
                network: NetworkId::of(b"genesis"),
                sender: account(1),
                receiver: account(2),
                transfer_id: TransferId([3; 16]),
            };
            let sealed = receiver.public().seal(&context, "ありがとう".as_bytes());
            let opened = |key: &KemSecretKey, context: &SealedBoxContext, sealed: &SealedBox| {
                key.open(context, sealed).map(|text| text.to_vec())
            };
            assert_eq!(
                opened(&receiver, &context, &sealed),
                Ok("ありがとう".as_bytes().to_vec())
            );
            assert_eq!(opened(&stranger, &context, &sealed), Err(Refusal::WrongKey));
            let elsewhere = SealedBoxContext {
                transfer_id: TransferId([4; 16]),
                ..context.clone()
            };
            assert_eq!(
                opened(&receiver, &elsewhere, &sealed),
                Err(Refusal::BadSignature)
            );
            let mut tampered = sealed.clone();
            tampered.sealed[0] ^= 1;
            assert_eq!(
                opened(&receiver, &context, &tampered),
                Err(Refusal::BadSignature)
            );
            let mut short = sealed.clone();
            short.encapsulated.pop();
            assert_eq!(opened(&receiver, &context, &short), Err(Refusal::TooLarge));
            let mut renamed = sealed;
            renamed.alg = match algorithm {
                KemAlgorithm::MlKem1024 => KemAlgorithm::NtruHps4096821,
                _ => KemAlgorithm::MlKem1024,
            };
            assert_eq!(
                opened(&receiver, &context, &renamed),
                Err(Refusal::WrongAlgorithm)
            );
        }
    }
}

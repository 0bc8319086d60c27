//! Keys that are the same in every run: made from a name. Dilithium5 keys are ML-DSA-87's, byte for byte;
//! only the signatures differ.

use std::sync::Arc;

use city_protocol::amount::Timestamp;
use city_protocol::crypto::{Algorithm, KemAlgorithm, KemPublicKey, SecretKey};
use city_protocol::ids::sha256;
use city_protocol::trust::{KeyAnnouncement, PeerId, SignedData, TransportSigner};
use ed25519_dalek::{Signer as _, SigningKey};
use fips204::ml_dsa_87;
use fips204::traits::{KeyGen as _, SerDes as _};

/// The Dilithium5 key of this name.
pub(crate) fn signing_key(name: &str) -> Arc<SecretKey> {
    let seed = sha256(&[b"signing key of ", name.as_bytes()]);
    let (public, secret) = ml_dsa_87::KG::keygen_from_seed(&seed);
    let (public, secret) = (public.into_bytes(), secret.into_bytes());
    Arc::new(SecretKey::from_parts(Algorithm::Dilithium5, &public, &secret).unwrap())
}

/// Bytes of the right length for an NTRU key: nobody opens boxes with it here.
pub(crate) fn kem_key(name: &str) -> KemPublicKey {
    let alg = KemAlgorithm::NtruHps4096821;
    KemPublicKey::new(alg, &noise(name, alg.public_key_len())).unwrap()
}

/// Bytes that look random and are the same in every run.
pub(crate) fn noise(name: &str, len: usize) -> Vec<u8> {
    let block = |n: u32| sha256(&[b"noise of ", name.as_bytes(), &n.to_be_bytes()]);
    (0..).flat_map(block).take(len).collect()
}

/// A transport key.
#[derive(Clone)]
pub(crate) struct Transport(SigningKey);

impl Transport {
    pub(crate) fn new(name: &str) -> Self {
        Self(SigningKey::from_bytes(&sha256(&[
            b"transport key of ",
            name.as_bytes(),
        ])))
    }

    pub(crate) fn announce(&self, certificate: &[u8], now: Timestamp) -> SignedData {
        let (certificate, chain) = (certificate.to_vec(), Vec::new());
        KeyAnnouncement { certificate, chain }.sign(self, [7; 16], now)
    }
}

impl TransportSigner for Transport {
    fn peer_id(&self) -> PeerId {
        PeerId::of_key(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

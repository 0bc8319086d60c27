//! RSA PKCS#1 v1.5, for certificates of other systems: what a municipality's older services sign with.
//!
//! Never a key of the ledger: these are types of their own, and no [`super::Algorithm`] names them.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{
    KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RsaParameters,
};

use crate::refusal::Refusal;

/// Most bits of a modulus that is signed with: 8,192, what verification takes.
const MAX_MODULUS_BYTES: usize = 1024;
/// Fewest bits of a modulus that is signed with: 2,048 (NIST SP 800-131A).
const MIN_MODULUS_BYTES: usize = 256;

/// The hash under an RSA signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaHash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl RsaHash {
    const fn parameters(self) -> &'static RsaParameters {
        match self {
            Self::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Sha384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        }
    }
}

/// Checks an RSASSA-PKCS1-v1_5 signature (RFC 8017 section 8.2). The key is DER: `SubjectPublicKeyInfo`, or the bare
/// `RSAPublicKey` of PKCS#1; its modulus has 2,048 to 8,192 bits.
///
/// # Errors
/// [`Refusal::BadKey`] for bytes that are no key, else [`Refusal::BadSignature`], also for a modulus of another size.
pub fn verify_rsa(
    hash: RsaHash,
    public_key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), Refusal> {
    ParsedPublicKey::new(hash.parameters(), public_key)
        .map_err(|_| Refusal::BadKey)?
        .verify_sig(message, signature)
        .map_err(|_| Refusal::BadSignature)
}

/// An RSA key that signs with SHA-256. Its secret stays in memory that AWS-LC wipes when it is freed.
pub struct RsaSecretKey(KeyPair);

impl RsaSecretKey {
    /// Reads an unencrypted PKCS#8 key; AWS-LC checks that its numbers belong together.
    ///
    /// # Errors
    /// [`Refusal::BadKey`], also for a modulus of fewer than 2,048 or more than 8,192 bits.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, Refusal> {
        let pair = KeyPair::from_pkcs8(der).map_err(|_| Refusal::BadKey)?;
        if (MIN_MODULUS_BYTES..=MAX_MODULUS_BYTES).contains(&pair.public_modulus_len()) {
            Ok(Self(pair))
        } else {
            Err(Refusal::BadKey)
        }
    }

    /// The public half: a DER `RSAPublicKey`, as [`verify_rsa`] takes it.
    #[must_use]
    pub fn public_der(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// Signs with SHA-256; the same message always gives the same signature.
    ///
    /// # Panics
    /// Never: a key that was read signs any message in memory.
    #[must_use]
    pub fn sign_sha256(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .expect("a key that was read signs any message in memory");
        signature
    }
}

impl fmt::Debug for RsaSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaSecretKey(redacted)")
    }
}

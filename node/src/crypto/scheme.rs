//! Signature and KEM schemes by id: the ledger's own, and their relatives that vectors are published for.
//!
//! Ids are compared without case, hyphens and underscores, so that NIST's spellings (`ntruhps2048509`) are taken too:
//! in this tool only. Lengths are exact before any call.

use aws_lc_rs::kem;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_FIXED, ED25519, ML_DSA_44,
    ML_DSA_65, ML_DSA_87, ParsedPublicKey, VerificationAlgorithm,
};
use city_protocol::Refusal;
use city_protocol::crypto::{
    Algorithm, KemAlgorithm, PublicKey, RsaHash, SHARED_SECRET_LEN, decapsulate, verify_rsa,
};
use fips204::traits::{SerDes as _, Verifier as _};
use fips204::{ml_dsa_44, ml_dsa_65, ml_dsa_87};
use pqcrypto_ntru::{ntruhps2048509, ntruhps2048677, ntruhps40961229, ntruhrss1373};
use pqcrypto_traits::kem::{Ciphertext as _, SecretKey as _, SharedSecret as _};
use zeroize::Zeroizing;

use super::case::Reason;

/// Longest context string of ML-DSA in bytes (FIPS 204 section 5.2).
const MAX_CONTEXT: usize = 255;

/// An ML-DSA parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MlDsa {
    Set44,
    Set65,
    Set87,
}

/// Whose rules a signature is checked by.
#[derive(Clone, Copy)]
enum Rules {
    /// pqcrypto-dilithium, as the ledger has it: no context string.
    Dilithium5,
    /// FIPS 204 with its context string.
    MlDsa(MlDsa),
    /// RSASSA-PKCS1-v1_5.
    Rsa(RsaHash),
    /// AWS-LC's, whatever length its keys and signatures have.
    AwsLc(&'static (dyn VerificationAlgorithm + 'static)),
}

/// A signature scheme that the tool can check.
#[derive(Clone, Copy)]
pub struct SignatureScheme(Rules);

/// Every signature scheme by its id.
const SIGNATURES: &[(&str, Rules)] = &[
    ("dilithium5", Rules::Dilithium5),
    ("ml-dsa-87", Rules::MlDsa(MlDsa::Set87)),
    ("ml-dsa-65", Rules::MlDsa(MlDsa::Set65)),
    ("ml-dsa-44", Rules::MlDsa(MlDsa::Set44)),
    ("rsa-pkcs1-sha256", Rules::Rsa(RsaHash::Sha256)),
    ("rsa-pkcs1-sha384", Rules::Rsa(RsaHash::Sha384)),
    ("rsa-pkcs1-sha512", Rules::Rsa(RsaHash::Sha512)),
    ("ed25519", Rules::AwsLc(&ED25519)),
    ("ecdsa-p256-sha256", Rules::AwsLc(&ECDSA_P256_SHA256_ASN1)),
    (
        "ecdsa-p256-sha256-p1363",
        Rules::AwsLc(&ECDSA_P256_SHA256_FIXED),
    ),
    ("ecdsa-p384-sha384", Rules::AwsLc(&ECDSA_P384_SHA384_ASN1)),
    (
        "ecdsa-p384-sha384-p1363",
        Rules::AwsLc(&ECDSA_P384_SHA384_FIXED),
    ),
    ("ecdsa-p521-sha512", Rules::AwsLc(&ECDSA_P521_SHA512_ASN1)),
    (
        "ecdsa-p521-sha512-p1363",
        Rules::AwsLc(&ECDSA_P521_SHA512_FIXED),
    ),
];

/// The ids that [`SignatureScheme::of`] knows.
pub fn signature_ids() -> impl Iterator<Item = &'static str> {
    SIGNATURES.iter().map(|(id, _)| *id)
}

impl SignatureScheme {
    /// The scheme of an id.
    ///
    /// # Errors
    /// [`Reason::UnknownAlgorithm`].
    pub fn of(id: &str) -> Result<Self, Reason> {
        let known = SIGNATURES.iter().find(|(known, _)| same(known, id));
        let (_, rules) = known.ok_or(Reason::UnknownAlgorithm)?;
        Ok(Self(*rules))
    }

    /// Checks a signature over exactly these bytes.
    ///
    /// # Errors
    /// The [`Reason`].
    pub fn verify(
        self,
        public_key: &[u8],
        message: &[u8],
        context: &[u8],
        signature: &[u8],
    ) -> Result<(), Reason> {
        if !context.is_empty() && !matches!(self.0, Rules::MlDsa(_)) {
            return Err(Reason::ContextUnsupported);
        }
        match self.0 {
            Rules::Dilithium5 => PublicKey::new(Algorithm::Dilithium5, public_key)
                .and_then(|key| key.verify_raw(message, signature))
                .map_err(Reason::of_signature),
            Rules::MlDsa(set) => set.verify(public_key, message, context, signature),
            Rules::Rsa(hash) => {
                verify_rsa(hash, public_key, message, signature).map_err(Reason::of_signature)
            }
            Rules::AwsLc(algorithm) => ParsedPublicKey::new(algorithm, public_key)
                .map_err(|_| Reason::BadKey)?
                .verify_sig(message, signature)
                .map_err(|_| Reason::BadSignature),
        }
    }
}

impl MlDsa {
    const fn public_key_len(self) -> usize {
        match self {
            Self::Set44 => ml_dsa_44::PK_LEN,
            Self::Set65 => ml_dsa_65::PK_LEN,
            Self::Set87 => ml_dsa_87::PK_LEN,
        }
    }

    const fn signature_len(self) -> usize {
        match self {
            Self::Set44 => ml_dsa_44::SIG_LEN,
            Self::Set65 => ml_dsa_65::SIG_LEN,
            Self::Set87 => ml_dsa_87::SIG_LEN,
        }
    }

    /// With the empty context string by AWS-LC, as the ledger does; AWS-LC's Rust API takes no other, so those are
    /// checked by fips204. Which of the two it is depends on nothing but the context's length.
    fn verify(
        self,
        public_key: &[u8],
        message: &[u8],
        context: &[u8],
        signature: &[u8],
    ) -> Result<(), Reason> {
        if context.len() > MAX_CONTEXT {
            return Err(Reason::ContextLength);
        }
        if public_key.len() != self.public_key_len() {
            return Err(Reason::BadKey);
        }
        if signature.len() != self.signature_len() {
            return Err(Reason::SignatureLength);
        }
        macro_rules! with_context {
            ($set:ident) => {{
                let key = public_key.try_into().map_err(|_| Reason::BadKey)?;
                let key = $set::PublicKey::try_from_bytes(key).map_err(|_| Reason::BadKey)?;
                let signature = signature.try_into().map_err(|_| Reason::SignatureLength)?;
                key.verify(message, &signature, context)
            }};
        }
        let good = if context.is_empty() {
            let algorithm = match self {
                Self::Set44 => &ML_DSA_44,
                Self::Set65 => &ML_DSA_65,
                Self::Set87 => &ML_DSA_87,
            };
            let key = ParsedPublicKey::new(algorithm, public_key).map_err(|_| Reason::BadKey)?;
            key.verify_sig(message, signature).is_ok()
        } else {
            match self {
                Self::Set44 => with_context!(ml_dsa_44),
                Self::Set65 => with_context!(ml_dsa_65),
                Self::Set87 => with_context!(ml_dsa_87),
            }
        };
        good.then_some(()).ok_or(Reason::BadSignature)
    }
}

/// A KEM that the tool can open ciphertexts of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KemScheme {
    /// One that the ledger knows.
    Ledger(KemAlgorithm),
    /// NTRU-HPS-2048-509.
    NtruHps2048509,
    /// NTRU-HPS-2048-677.
    NtruHps2048677,
    /// NTRU-HPS-4096-1229.
    NtruHps40961229,
    /// NTRU-HRSS-1373.
    NtruHrss1373,
    /// ML-KEM-512.
    MlKem512,
    /// ML-KEM-768.
    MlKem768,
}

/// Every KEM by its id.
const KEMS: &[(&str, KemScheme)] = &[
    (
        "ntru-hps-4096-821",
        KemScheme::Ledger(KemAlgorithm::NtruHps4096821),
    ),
    (
        "ntru-hrss-701",
        KemScheme::Ledger(KemAlgorithm::NtruHrss701),
    ),
    ("ml-kem-1024", KemScheme::Ledger(KemAlgorithm::MlKem1024)),
    ("ntru-hps-2048-509", KemScheme::NtruHps2048509),
    ("ntru-hps-2048-677", KemScheme::NtruHps2048677),
    ("ntru-hps-4096-1229", KemScheme::NtruHps40961229),
    ("ntru-hrss-1373", KemScheme::NtruHrss1373),
    ("ml-kem-512", KemScheme::MlKem512),
    ("ml-kem-768", KemScheme::MlKem768),
];

impl KemScheme {
    /// The scheme of an id.
    ///
    /// # Errors
    /// [`Reason::UnknownAlgorithm`].
    pub fn of(id: &str) -> Result<Self, Reason> {
        let known = KEMS.iter().find(|(known, _)| same(known, id));
        known.map(|(_, kem)| *kem).ok_or(Reason::UnknownAlgorithm)
    }

    /// Opens a ciphertext with the raw bytes of a secret key. A ciphertext that was not made for the key gives another
    /// secret and no error, as the specifications want it.
    ///
    /// # Errors
    /// [`Reason::KeyLength`], [`Reason::Length`] or [`Reason::BadKey`].
    pub fn decapsulate(
        self,
        secret: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Reason> {
        macro_rules! ntru {
            ($set:ident) => {{
                exact(
                    secret,
                    $set::secret_key_bytes(),
                    ciphertext,
                    $set::ciphertext_bytes(),
                )?;
                let key = $set::SecretKey::from_bytes(secret).map_err(|_| Reason::KeyLength)?;
                let ciphertext =
                    $set::Ciphertext::from_bytes(ciphertext).map_err(|_| Reason::Length)?;
                kept($set::decapsulate(&ciphertext, &key).as_bytes())
            }};
        }
        Ok(match self {
            Self::Ledger(kem) => {
                exact(
                    secret,
                    kem.secret_key_len(),
                    ciphertext,
                    kem.ciphertext_len(),
                )?;
                let shared =
                    decapsulate(kem, secret, ciphertext).map_err(|refusal| match refusal {
                        Refusal::TooLarge => Reason::Length,
                        _ => Reason::BadKey,
                    })?;
                kept(shared.expose_secret())
            }
            Self::NtruHps2048509 => ntru!(ntruhps2048509),
            Self::NtruHps2048677 => ntru!(ntruhps2048677),
            Self::NtruHps40961229 => ntru!(ntruhps40961229),
            Self::NtruHrss1373 => ntru!(ntruhrss1373),
            Self::MlKem512 => ml_kem(&kem::ML_KEM_512, 1632, 768, secret, ciphertext)?,
            Self::MlKem768 => ml_kem(&kem::ML_KEM_768, 2400, 1088, secret, ciphertext)?,
        })
    }
}

fn ml_kem(
    algorithm: &'static kem::Algorithm,
    secret_len: usize,
    ciphertext_len: usize,
    secret: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Reason> {
    exact(secret, secret_len, ciphertext, ciphertext_len)?;
    let key = kem::DecapsulationKey::new(algorithm, secret).map_err(|_| Reason::BadKey)?;
    let shared = key.decapsulate(kem::Ciphertext::from(ciphertext));
    Ok(kept(shared.map_err(|_| Reason::BadKey)?.as_ref()))
}

fn exact(
    secret: &[u8],
    secret_len: usize,
    ciphertext: &[u8],
    ciphertext_len: usize,
) -> Result<(), Reason> {
    if secret.len() != secret_len {
        Err(Reason::KeyLength)
    } else if ciphertext.len() != ciphertext_len {
        Err(Reason::Length)
    } else {
        Ok(())
    }
}

fn kept(secret: &[u8]) -> Zeroizing<Vec<u8>> {
    debug_assert_eq!(secret.len(), SHARED_SECRET_LEN);
    Zeroizing::new(secret.to_vec())
}

/// Whether two ids are the same but for case, hyphens and underscores.
pub(super) fn same(one: &str, other: &str) -> bool {
    let plain = |id: &str| {
        let letters = id.bytes().filter(|byte| !matches!(byte, b'-' | b'_'));
        letters
            .map(|byte| byte.to_ascii_lowercase())
            .collect::<Vec<_>>()
    };
    // No id is half as long: what a line claims is not copied whole.
    other.len() < 64 && plain(one) == plain(other)
}

#[cfg(test)]
#[path = "scheme_tests.rs"]
mod tests;

//! The algorithms of other systems: what may sign, and which keys a certificate may carry.

use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::aws_lc_rs as classical;
use x509_cert::der::asn1::{Any, UintRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::oid::db::fips204::{ID_ML_DSA_44, ID_ML_DSA_65, ID_ML_DSA_87};
use x509_cert::der::oid::db::rfc5912::{
    ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1, SECP_521_R_1,
};
use x509_cert::der::{Decode, Sequence};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use crate::pki::algorithms::{CERTIFICATE_ALGORITHMS, read_key_info};
use crate::pki::refusal::CertificateRefusal;

/// Ed25519 keys (RFC 8410 section 3).
const ID_ED_25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Shortest RSA modulus in bits: 112 bits of strength (NIST SP 800-57).
const MIN_RSA_BITS: usize = 2048;
/// Longest RSA modulus in bits: what aws-lc-rs verifies with.
const MAX_RSA_BITS: usize = 8192;

/// What other systems sign with. SHA-1 and MD5 are not among it.
static OTHERS: &[&dyn SignatureVerificationAlgorithm] = &[
    classical::ECDSA_P256_SHA256,
    classical::ECDSA_P256_SHA384,
    classical::ECDSA_P256_SHA512,
    classical::ECDSA_P384_SHA256,
    classical::ECDSA_P384_SHA384,
    classical::ECDSA_P384_SHA512,
    classical::ECDSA_P521_SHA256,
    classical::ECDSA_P521_SHA384,
    classical::ECDSA_P521_SHA512,
    classical::ED25519,
    classical::ML_DSA_44,
    classical::ML_DSA_65,
    classical::ML_DSA_87,
    classical::RSA_PKCS1_2048_8192_SHA256,
    classical::RSA_PKCS1_2048_8192_SHA384,
    classical::RSA_PKCS1_2048_8192_SHA512,
    classical::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
    classical::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
    classical::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    classical::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    classical::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    classical::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// Everything that may sign a certificate of another system, and what signs those of this network.
pub(super) fn all() -> Vec<&'static dyn SignatureVerificationAlgorithm> {
    let others = OTHERS.iter().filter(|other| {
        let same = |own: &&dyn SignatureVerificationAlgorithm| {
            own.signature_alg_id() == other.signature_alg_id()
        };
        !CERTIFICATE_ALGORITHMS.iter().any(same)
    });
    CERTIFICATE_ALGORITHMS
        .iter()
        .chain(others)
        .copied()
        .collect()
}

/// Whether the key is one that final ML-DSA signs with; such a key is for nothing else (RFC 9881
/// section 5).
pub(super) fn is_ml_dsa(info: &SubjectPublicKeyInfoOwned) -> bool {
    [ID_ML_DSA_44, ID_ML_DSA_65, ID_ML_DSA_87].contains(&info.algorithm.oid)
}

#[derive(Sequence)]
struct RsaKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// Checks that a key is of a known algorithm, has that algorithm's form and is long enough.
pub(super) fn check_key(info: &SubjectPublicKeyInfoOwned) -> Result<(), CertificateRefusal> {
    if read_key_info(info).is_ok() {
        return Ok(());
    }
    let key = info
        .subject_public_key
        .as_bytes()
        .ok_or(CertificateRefusal::Malformed)?;
    let parameters = &info.algorithm.parameters;
    match info.algorithm.oid {
        RSA_ENCRYPTION => {
            // RFC 3279 section 2.3.1: NULL.
            if !parameters.as_ref().is_some_and(Any::is_null) {
                return Err(CertificateRefusal::Malformed);
            }
            check_rsa(key)
        }
        ID_EC_PUBLIC_KEY => {
            let curve = parameters
                .as_ref()
                .and_then(|any| any.decode_as::<ObjectIdentifier>().ok())
                .ok_or(CertificateRefusal::Algorithm)?;
            let coordinate = match curve {
                SECP_256_R_1 => 32,
                SECP_384_R_1 => 48,
                SECP_521_R_1 => 66,
                _ => return Err(CertificateRefusal::WeakKey),
            };
            // RFC 5480 section 2.2: uncompressed must be supported; nobody sends the other.
            exact(key.first() == Some(&4) && key.len() == 1 + 2 * coordinate)
        }
        ID_ED_25519 => exact(parameters.is_none() && key.len() == 32),
        ID_ML_DSA_44 => exact(parameters.is_none() && key.len() == 1312),
        ID_ML_DSA_65 => exact(parameters.is_none() && key.len() == 1952),
        ID_ML_DSA_87 => exact(parameters.is_none() && key.len() == 2592),
        _ => Err(CertificateRefusal::Algorithm),
    }
}

fn exact(form: bool) -> Result<(), CertificateRefusal> {
    if form {
        Ok(())
    } else {
        Err(CertificateRefusal::Malformed)
    }
}

fn check_rsa(key: &[u8]) -> Result<(), CertificateRefusal> {
    let key = RsaKey::from_der(key).map_err(|_| CertificateRefusal::Malformed)?;
    let modulus = key.modulus.as_bytes();
    let zeros = modulus.first().map_or(8, |first| first.leading_zeros()) as usize;
    let bits = (modulus.len() * 8).saturating_sub(zeros);
    let exponent = key.exponent.as_bytes();
    let odd = exponent.last().is_some_and(|last| last & 1 == 1);
    let sound = odd && exponent != [1] && modulus.last().is_some_and(|last| last & 1 == 1);
    if (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) && bits % 8 == 0 && sound {
        Ok(())
    } else {
        Err(CertificateRefusal::WeakKey)
    }
}

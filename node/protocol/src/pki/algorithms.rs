//! How the project's signature algorithms stand in X.509, and their plugs for rustls-webpki.
//!
//! `dilithium5` is pq-crystals commit 918af1a6; the OID is that of ML-DSA-87-ipd, parameters absent,
//! for keys and signatures alike. 2.16.840.1.101.3.4.3.19 is final ML-DSA-87 and means another scheme.

use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use x509_cert::der::asn1::BitString;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::refusal::CertificateRefusal;
use crate::crypto::{Algorithm, PublicKey};

/// OID of `dilithium5` keys and signatures.
pub const DILITHIUM5_OID: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.2.267.12.8.7");

/// The content of the `AlgorithmIdentifier` of `dilithium5`: the OID in DER, no parameters.
const DILITHIUM5_ID: AlgorithmIdentifier = AlgorithmIdentifier::from_slice(&[
    0x06, 0x0b, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x02, 0x82, 0x0b, 0x0c, 0x08, 0x07,
]);

/// Every algorithm that may sign a certificate of the ledger.
pub static CERTIFICATE_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[&Dilithium5];

/// `dilithium5` as rustls-webpki asks for it.
#[derive(Debug)]
struct Dilithium5;

impl SignatureVerificationAlgorithm for Dilithium5 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        PublicKey::new(Algorithm::Dilithium5, public_key)
            .and_then(|key| key.verify_raw(message, signature))
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        DILITHIUM5_ID
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        DILITHIUM5_ID
    }
}

/// The `AlgorithmIdentifier` of keys and of signatures of this algorithm (RFC 5280 section 4.1.1.2).
#[must_use]
pub const fn identifier(algorithm: Algorithm) -> AlgorithmIdentifierOwned {
    match algorithm {
        Algorithm::Dilithium5 => AlgorithmIdentifierOwned {
            oid: DILITHIUM5_OID,
            parameters: None,
        },
    }
}

/// A signing key as `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7): the raw key in the bit string.
#[must_use]
pub fn key_info(key: &PublicKey) -> SubjectPublicKeyInfoOwned {
    SubjectPublicKeyInfoOwned {
        algorithm: identifier(key.algorithm()),
        subject_public_key: BitString::from_bytes(key.as_bytes())
            .expect("a public key is far below DER's length limit"),
    }
}

/// Reads a `SubjectPublicKeyInfo`.
///
/// # Errors
/// [`CertificateRefusal::Algorithm`] unless algorithm, absent parameters and key length are exact.
pub fn read_key_info(info: &SubjectPublicKeyInfoOwned) -> Result<PublicKey, CertificateRefusal> {
    if info.algorithm != identifier(Algorithm::Dilithium5) {
        return Err(CertificateRefusal::Algorithm);
    }
    let bytes = info
        .subject_public_key
        .as_bytes()
        .ok_or(CertificateRefusal::Algorithm)?;
    PublicKey::new(Algorithm::Dilithium5, bytes).map_err(|_| CertificateRefusal::Algorithm)
}

#[cfg(test)]
mod tests {
    use x509_cert::der::{Encode, asn1::Null};

    use super::*;
    use crate::crypto::SecretKey;

    #[test]
    fn the_two_spellings_of_the_identifier_agree() {
        assert_eq!(
            DILITHIUM5_ID.as_ref(),
            DILITHIUM5_OID.to_der().unwrap().as_slice()
        );
    }

    #[test]
    fn a_key_reads_back_and_other_forms_are_refused() {
        let key = SecretKey::generate(Algorithm::Dilithium5);
        let info = key_info(key.public());
        assert_eq!(read_key_info(&info).unwrap(), *key.public());

        let refused = |info: &SubjectPublicKeyInfoOwned| {
            assert_eq!(read_key_info(info), Err(CertificateRefusal::Algorithm));
        };
        let mut parameters = info.clone();
        parameters.algorithm.parameters = Some(Null.into());
        refused(&parameters);
        let mut final_ml_dsa = info.clone();
        final_ml_dsa.algorithm.oid = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");
        refused(&final_ml_dsa);
        let mut short = info;
        short.subject_public_key = BitString::from_bytes(&key.public().as_bytes()[1..]).unwrap();
        refused(&short);
    }

    #[test]
    fn the_plug_takes_exactly_what_the_key_takes() {
        let key = SecretKey::generate(Algorithm::Dilithium5);
        let signature = key.sign_raw(b"message");
        let check = |key: &[u8], message: &[u8], signature: &[u8]| {
            Dilithium5.verify_signature(key, message, signature).is_ok()
        };
        let (public, signature) = (key.public().as_bytes(), signature.as_bytes());
        assert!(check(public, b"message", signature));
        assert!(!check(public, b"massage", signature));
        assert!(!check(public, b"message", &signature[..4626]));
        assert!(!check(&public[..2591], b"message", signature));
    }
}

//! How the project's signature algorithms stand in X.509, and their plugs for rustls-webpki.
//!
//! `dilithium5` is pq-crystals commit 918af1a6; the OID is that of ML-DSA-87-ipd, parameters absent,
//! for keys and signatures alike. 2.16.840.1.101.3.4.3.19 is final ML-DSA-87 (RFC 9881), which is `ml-dsa-87` here.
//! Each OID has one algorithm: a key is never tried under the other.

use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use x509_cert::der::asn1::BitString;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::refusal::CertificateRefusal;
use crate::crypto::{Algorithm, PublicKey};

/// OID of `dilithium5` keys and signatures.
pub const DILITHIUM5_OID: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.2.267.12.8.7");

/// OID of `ml-dsa-87` keys and signatures (RFC 9881 section 2).
pub const ML_DSA_87_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");

/// The content of the `AlgorithmIdentifier` of `dilithium5`: the OID in DER, no parameters.
const DILITHIUM5_ID: AlgorithmIdentifier = AlgorithmIdentifier::from_slice(&[
    0x06, 0x0b, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x02, 0x82, 0x0b, 0x0c, 0x08, 0x07,
]);

/// The same of `ml-dsa-87`.
const ML_DSA_87_ID: AlgorithmIdentifier = AlgorithmIdentifier::from_slice(&[
    0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x13,
]);

/// Every algorithm that may sign a certificate of the ledger.
pub static CERTIFICATE_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] =
    &[&Plug(Algorithm::Dilithium5), &Plug(Algorithm::MlDsa87)];

/// An algorithm as rustls-webpki asks for it.
#[derive(Debug)]
struct Plug(Algorithm);

impl SignatureVerificationAlgorithm for Plug {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        PublicKey::new(self.0, public_key)
            .and_then(|key| key.verify_raw(message, signature))
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        match self.0 {
            Algorithm::Dilithium5 => DILITHIUM5_ID,
            Algorithm::MlDsa87 => ML_DSA_87_ID,
        }
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.public_key_alg_id()
    }
}

/// The OID of keys and of signatures of this algorithm.
#[must_use]
pub const fn oid(algorithm: Algorithm) -> ObjectIdentifier {
    match algorithm {
        Algorithm::Dilithium5 => DILITHIUM5_OID,
        Algorithm::MlDsa87 => ML_DSA_87_OID,
    }
}

/// The `AlgorithmIdentifier` of keys and of signatures of this algorithm (RFC 5280 section 4.1.1.2).
#[must_use]
pub const fn identifier(algorithm: Algorithm) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid: oid(algorithm),
        parameters: None,
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
    let algorithm = Algorithm::ALL
        .iter()
        .copied()
        .find(|algorithm| info.algorithm == identifier(*algorithm))
        .ok_or(CertificateRefusal::Algorithm)?;
    let bytes = info
        .subject_public_key
        .as_bytes()
        .ok_or(CertificateRefusal::Algorithm)?;
    PublicKey::new(algorithm, bytes).map_err(|_| CertificateRefusal::Algorithm)
}

#[cfg(test)]
mod tests {
    use x509_cert::der::{Encode, asn1::Null};

    use super::*;
    use crate::crypto::SecretKey;

    #[test]
    fn the_two_spellings_of_an_identifier_agree() {
        for algorithm in Algorithm::ALL.iter().copied() {
            let oid = oid(algorithm).to_der().unwrap();
            assert_eq!(Plug(algorithm).public_key_alg_id().as_ref(), oid);
        }
    }

    #[test]
    fn a_key_reads_back_and_other_forms_are_refused() {
        for algorithm in Algorithm::ALL.iter().copied() {
            let key = SecretKey::generate(algorithm);
            let info = key_info(key.public());
            assert_eq!(read_key_info(&info).unwrap(), *key.public());

            let refused = |info: &SubjectPublicKeyInfoOwned| {
                assert_eq!(read_key_info(info), Err(CertificateRefusal::Algorithm));
            };
            let mut parameters = info.clone();
            parameters.algorithm.parameters = Some(Null.into());
            refused(&parameters);
            let mut ml_dsa_65 = info.clone();
            ml_dsa_65.algorithm.oid = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
            refused(&ml_dsa_65);
            let mut short = info;
            short.subject_public_key =
                BitString::from_bytes(&key.public().as_bytes()[1..]).unwrap();
            refused(&short);
        }
    }

    #[test]
    fn the_plug_takes_exactly_what_the_key_takes() {
        for algorithm in Algorithm::ALL.iter().copied() {
            let key = SecretKey::generate(algorithm);
            let signature = key.sign_raw(b"message");
            let check = |key: &[u8], message: &[u8], signature: &[u8]| {
                let plug = Plug(algorithm);
                plug.verify_signature(key, message, signature).is_ok()
            };
            let (public, signature) = (key.public().as_bytes(), signature.as_bytes());
            assert!(check(public, b"message", signature));
            assert!(!check(public, b"massage", signature));
            assert!(!check(public, b"message", &signature[..4626]));
            assert!(!check(&public[..2591], b"message", signature));
            for other in Algorithm::ALL.iter().filter(|other| **other != algorithm) {
                let plug = Plug(*other);
                assert!(
                    plug.verify_signature(public, b"message", signature)
                        .is_err()
                );
            }
        }
    }
}

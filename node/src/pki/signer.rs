//! Our signing keys as x509-cert's builder asks for them. Nothing else in here.

use city_protocol::crypto::{PublicKey, SecretKey, Signature};
use city_protocol::pki::algorithms::{identifier, key_info};
use signature::{Keypair, Signer};
use x509_cert::der::asn1::BitString;
use x509_cert::der::{self, Document, Encode};
use x509_cert::spki::{
    self, AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, EncodePublicKey,
    SignatureBitStringEncoding,
};

/// A secret key that signs certificates.
pub(super) struct CertificateSigner<'a>(pub(super) &'a SecretKey);

/// Its public half.
#[derive(Clone)]
pub(super) struct CertificateKey(PublicKey);

/// A signature over a certificate's TBS bytes.
pub(super) struct CertificateSignature(Signature);

impl CertificateSignature {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Keypair for CertificateSigner<'_> {
    type VerifyingKey = CertificateKey;

    fn verifying_key(&self) -> CertificateKey {
        CertificateKey(self.0.public().clone())
    }
}

impl Signer<CertificateSignature> for CertificateSigner<'_> {
    fn try_sign(&self, message: &[u8]) -> Result<CertificateSignature, signature::Error> {
        Ok(CertificateSignature(self.0.sign_raw(message)))
    }
}

impl DynSignatureAlgorithmIdentifier for CertificateSigner<'_> {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(identifier(self.0.public().algorithm()))
    }
}

impl EncodePublicKey for CertificateKey {
    fn to_public_key_der(&self) -> spki::Result<Document> {
        Ok(Document::try_from(key_info(&self.0).to_der()?)?)
    }
}

impl SignatureBitStringEncoding for CertificateSignature {
    fn to_bitstring(&self) -> der::Result<BitString> {
        BitString::from_bytes(self.0.as_bytes())
    }
}

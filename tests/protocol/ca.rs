//! A certificate authority for tests: the forms of `pki::forms` under x509-cert's builder, with serial
//! numbers that are the same in every run.

use std::sync::Arc;
use std::time::Duration;

use city_protocol::amount::Timestamp;
use city_protocol::crypto::{KemPublicKey, PublicKey, SecretKey, Signature};
use city_protocol::ids::{AccountId, sha256};
use city_protocol::pki::algorithms::{identifier, key_info};
use city_protocol::pki::forms::{common_name, kem_extension, key_identifier, node_names};
use city_protocol::pki::{Role, Root};
use city_protocol::region::Region;
use signature::{Keypair, Signer};
use spki::{
    AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, EncodePublicKey,
    SignatureBitStringEncoding, SubjectPublicKeyInfoRef,
};
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::certificate::{Rfc5280, TbsCertificate, Version};
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::der::asn1::{BitString, OctetString, Uint};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use x509_cert::der::{self, DateTime, Document, Encode};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CrlNumber, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

/// A root that speaks for `Asia/JP`.
pub(crate) struct Ca {
    key: Arc<SecretKey>,
    name: Name,
    begin: Timestamp,
    pub(crate) root: Root,
}

impl Ca {
    pub(crate) fn new(name: &str, begin: Timestamp) -> Self {
        Self::with_key(name, super::keys::signing_key(name), begin)
    }

    pub(crate) fn with_key(name: &str, key: Arc<SecretKey>, begin: Timestamp) -> Self {
        let subject = common_name(name).unwrap();
        let basic = BasicConstraints {
            ca: true,
            path_len_constraint: None,
        };
        let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
        let mut extensions = vec![extension(&basic, true), extension(&usage, true)];
        extensions.extend(identifiers(key.public(), key.public()));
        let der = build(
            &key,
            &subject,
            subject.clone(),
            extensions,
            key.public(),
            begin,
        );
        let root = Root::new(der, "Asia/JP".parse().unwrap()).unwrap();
        Self {
            key,
            name: subject,
            begin,
            root,
        }
    }

    pub(crate) fn node(&self, region: &Region, key: &PublicKey, peer_id: &str) -> Vec<u8> {
        self.node_as(Role::Home, region, key, peer_id)
    }

    pub(crate) fn node_as(
        &self,
        role: Role,
        region: &Region,
        key: &PublicKey,
        peer_id: &str,
    ) -> Vec<u8> {
        let mut extensions = self.leaf(key, &[ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH]);
        extensions.push(extension(&node_names(peer_id, role).unwrap(), false));
        self.sign(region.as_str(), extensions, key)
    }

    /// The list of this number, which says so many milliseconds after the root's beginning that these serial numbers do
    /// not count any more.
    pub(crate) fn list(&self, number: u8, at_ms: u64, revoked: &[u8]) -> Vec<u8> {
        let time = |ms| {
            let at = Duration::from_secs(self.begin.plus_ms(ms).0 / 1000);
            Time::from(DateTime::from_unix_duration(at).unwrap())
        };
        let revoked: Vec<_> = revoked
            .iter()
            .map(|serial| RevokedCert {
                serial_number: SerialNumber::new(&[*serial]).unwrap(),
                revocation_date: time(at_ms),
                crl_entry_extensions: None,
            })
            .collect();
        let number = CrlNumber(Uint::new(&[number]).unwrap());
        let [_, authority] = identifiers(self.key.public(), self.key.public());
        let tbs = TbsCertList::<Rfc5280> {
            version: Version::V2,
            signature: identifier(self.key.public().algorithm()),
            issuer: self.name.clone(),
            this_update: time(at_ms),
            next_update: Some(time(at_ms + 30 * 24 * 60 * 60 * 1000)),
            revoked_certificates: (!revoked.is_empty()).then_some(revoked),
            crl_extensions: Some(vec![authority, extension(&number, false)]),
        };
        let signature = self.key.sign_raw(&tbs.to_der().unwrap());
        let list = CertificateList {
            signature_algorithm: tbs.signature.clone(),
            tbs_cert_list: tbs,
            signature: BitString::from_bytes(signature.as_bytes()).unwrap(),
        };
        list.to_der().unwrap()
    }

    pub(crate) fn client(
        &self,
        account: &AccountId,
        key: &PublicKey,
        kem: &KemPublicKey,
    ) -> Vec<u8> {
        let mut extensions = self.leaf(key, &[ID_KP_CLIENT_AUTH]);
        extensions.push(kem_extension(kem));
        self.sign(account.as_str(), extensions, key)
    }

    fn leaf(&self, key: &PublicKey, usages: &[der::oid::ObjectIdentifier]) -> Vec<Extension> {
        let usage = KeyUsage(KeyUsages::DigitalSignature.into());
        let extended = ExtendedKeyUsage(usages.to_vec());
        let mut extensions = vec![extension(&usage, true), extension(&extended, false)];
        extensions.extend(identifiers(key, self.key.public()));
        extensions
    }

    fn sign(&self, name: &str, extensions: Vec<Extension>, key: &PublicKey) -> Vec<u8> {
        build(
            &self.key,
            &self.name,
            common_name(name).unwrap(),
            extensions,
            key,
            self.begin,
        )
    }
}

fn build(
    issuer: &SecretKey,
    issuer_name: &Name,
    subject: Name,
    extensions: Vec<Extension>,
    key: &PublicKey,
    begin: Timestamp,
) -> Vec<u8> {
    let time = |at: Timestamp| {
        Time::from(DateTime::from_unix_duration(Duration::from_secs(at.0 / 1000)).unwrap())
    };
    let ten_years = begin.plus_ms(10 * 365 * 24 * 60 * 60 * 1000);
    let validity = Validity::new(time(begin), time(ten_years));
    let mut serial = sha256(&[b"serial", key.as_bytes()])[..20].to_vec();
    serial[0] = serial[0] & 0x7f | 0x40;
    let form = Form {
        issuer: issuer_name.clone(),
        subject,
        extensions,
    };
    let serial = SerialNumber::new(&serial).unwrap();
    let builder = CertificateBuilder::new(form, serial, validity, key_info(key)).unwrap();
    let certificate = builder
        .build::<_, CertificateSignature>(&CertificateSigner(issuer))
        .unwrap();
    certificate.to_der().unwrap()
}

fn identifiers(key: &PublicKey, issuer: &PublicKey) -> [Extension; 2] {
    let octets = |key| OctetString::new(key_identifier(key)).unwrap();
    let authority = AuthorityKeyIdentifier {
        key_identifier: Some(octets(issuer)),
        ..AuthorityKeyIdentifier::default()
    };
    [
        extension(&SubjectKeyIdentifier(octets(key)), false),
        extension(&authority, false),
    ]
}

fn extension<T: Encode + AssociatedOid>(value: &T, critical: bool) -> Extension {
    (critical, value)
        .to_extension(&Name::default(), &[])
        .unwrap()
}

struct Form {
    issuer: Name,
    subject: Name,
    extensions: Vec<Extension>,
}

impl BuilderProfile for Form {
    fn get_issuer(&self, _: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}

struct CertificateSigner<'a>(&'a SecretKey);

#[derive(Clone)]
struct CertificateKey(PublicKey);

struct CertificateSignature(Signature);

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

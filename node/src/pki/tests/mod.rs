//! Every way in which a certificate can be wrong, and the code with which it is refused.
//!
//! 石川県 runs a CA for `Asia/JP/17`; 金沢市's home and one person get certificates from it. Each line of
//! a table changes one thing of a good certificate. Here stand the parties; the stories beside.

mod clients;
mod crl;
mod foreign;
mod leaf;
mod lists;
mod path;
mod tls;
mod tls_trust;

use city_protocol::amount::Timestamp;
use city_protocol::crypto::{Algorithm, KemAlgorithm, KemSecretKey, SecretKey};
use city_protocol::ids::{AccountId, LogId};
use city_protocol::pki::algorithms::key_info;
use city_protocol::pki::forms::{KEM_KEY_OID, common_name, kem_extension, node_names};
use city_protocol::pki::{
    CertificateRefusal, Crls, MAX_CERTIFICATE_DER, MAX_INTERMEDIATES, MAX_ROOTS, Role, Root,
    verify_client, verify_node,
};
use city_protocol::region::Region;
use x509_cert::der::asn1::{BitString, Ia5String, OctetString};
use x509_cert::der::oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use x509_cert::der::oid::{AssociatedOid, ObjectIdentifier};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
};
use x509_cert::name::{Name, RdnSequence};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::ClientRequest;
use super::issue::{Issuer, Validity, authority_extensions, extension, leaf_extensions, root};
use super::tls::TlsAuthority;

/// 2026-04-01T00:00:00Z, the beginning of the fiscal year.
const APRIL: Timestamp = Timestamp(1_775_001_600_000);
const DAY: u64 = 24 * 60 * 60 * 1000;
const PEER: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

/// What a good node certificate is made of, for a line of the table to change.
struct Draft {
    subject: Name,
    extensions: Vec<Extension>,
    key: SubjectPublicKeyInfoOwned,
    validity: Validity,
}

impl Draft {
    /// Exchanges, adds or, with `None`, removes an extension.
    fn set<T: AssociatedOid>(&mut self, with: Option<Extension>) {
        self.extensions.retain(|e| e.extn_id != T::OID);
        self.extensions.extend(with);
    }

    fn usage(&mut self, usage: KeyUsages) {
        let usage = KeyUsage(usage.into());
        self.set::<KeyUsage>(Some(extension(&usage, true).unwrap()));
    }

    fn extended(&mut self, usages: &[ObjectIdentifier]) {
        let usages = ExtendedKeyUsage(usages.to_vec());
        self.set::<ExtendedKeyUsage>(Some(extension(&usages, false).unwrap()));
    }

    fn ca(&mut self, path_len_constraint: Option<u8>) {
        let basic = BasicConstraints {
            ca: true,
            path_len_constraint,
        };
        self.set::<BasicConstraints>(Some(extension(&basic, true).unwrap()));
    }

    fn unknown(&mut self, critical: bool) {
        self.extensions.push(Extension {
            extn_id: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.9"),
            critical,
            extn_value: OctetString::new([0x05, 0x00]).unwrap(),
        });
    }
}

struct Ishikawa {
    key: SecretKey,
    root: Vec<u8>,
    /// A further CA key, and the ledger key of 金沢市's home.
    city: SecretKey,
    node: SecretKey,
}

impl Ishikawa {
    fn new() -> Self {
        let [key, city, node] = [(); 3].map(|()| SecretKey::generate(Algorithm::Dilithium5));
        let root = root("石川県 CA", &key, Validity::days(APRIL, 3650)).unwrap();
        Self {
            key,
            root,
            city,
            node,
        }
    }

    fn roots(&self) -> Vec<Root> {
        vec![self.pinned("Asia/JP/17")]
    }

    fn pinned(&self, prefix: &str) -> Root {
        Root::new(self.root.clone(), prefix.parse().unwrap()).unwrap()
    }

    fn issuer(&self) -> Issuer<'_> {
        Issuer::new(&self.root, &self.key).unwrap()
    }

    fn node(&self) -> Draft {
        let usages = [ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH];
        let mut extensions =
            leaf_extensions(self.node.public(), self.key.public(), &usages).unwrap();
        let names = node_names(PEER, Role::Home).unwrap();
        extensions.push(extension(&names, false).unwrap());
        Draft {
            subject: common_name("Asia/JP/17/17201").unwrap(),
            extensions,
            key: key_info(self.node.public()),
            validity: Validity::days(APRIL, 365),
        }
    }

    /// The root over, with something changed: same name, same key.
    fn root_with(&self, change: impl Fn(&mut Draft)) -> Vec<u8> {
        let key = self.key.public();
        let draft = Draft {
            subject: common_name("石川県 CA").unwrap(),
            extensions: authority_extensions(key, key, None).unwrap(),
            key: key_info(key),
            validity: Validity::days(APRIL, 3650),
        };
        sign(&self.issuer(), draft, change)
    }

    /// An intermediate of 金沢市 with something changed.
    fn city_with(&self, change: impl Fn(&mut Draft)) -> Vec<u8> {
        let (city, key) = (self.city.public(), self.key.public());
        let draft = Draft {
            subject: common_name("金沢市 CA").unwrap(),
            extensions: authority_extensions(city, key, Some(0)).unwrap(),
            key: key_info(city),
            validity: Validity::days(APRIL, 3650),
        };
        sign(&self.issuer(), draft, change)
    }
}

fn sign(issuer: &Issuer<'_>, mut draft: Draft, change: impl Fn(&mut Draft)) -> Vec<u8> {
    change(&mut draft);
    issuer
        .sign(draft.subject, draft.extensions, draft.key, draft.validity)
        .unwrap()
}

fn code<T>(verdict: Result<T, CertificateRefusal>) -> &'static str {
    verdict.map_or_else(CertificateRefusal::code, |_| "ok")
}

fn at() -> Timestamp {
    APRIL.plus_ms(30 * DAY)
}

//! What the project writes into certificates: subject, alternative names, key identifier, KEM key.
//!
//! Both sides use it, the issuing node and the checks here, so that each form is written down once.
//! These forms are final; a new one needs a new OID or URI scheme.

use std::fmt;

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Any, Ia5String, OctetString, SetOfVec, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::{Decode, Encode, Sequence};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

use super::refusal::CertificateRefusal;
use crate::crypto::{KemAlgorithm, KemPublicKey, PublicKey};
use crate::ids::{AccountId, sha256};

/// OID of the extension with a KEM key: `SEQUENCE { algorithm UTF8String, key OCTET STRING }`.
///
/// 32473 is the enterprise number that IANA keeps for documentation (RFC 5612): it stands here until
/// the project has a number of its own, and then only new certificates carry the new OID.
pub const KEM_KEY_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1729.1");

/// Most characters of a common name (RFC 5280 appendix A.1, ub-common-name).
pub const MAX_COMMON_NAME: usize = 64;

/// Length of a key identifier in bytes: 160 bits (RFC 7093 section 2, method 1).
pub const KEY_IDENTIFIER_LEN: usize = 20;

/// Scheme of the alternative name with a libp2p peer id.
const PEER_ID_SCHEME: &str = "p2p:";
/// What every Ed25519 peer id begins with: base58btc of the identity multihash's first bytes.
const ED25519_PEER_ID_PREFIX: &str = "12D3KooW";
/// Length of every Ed25519 peer id in characters.
const ED25519_PEER_ID_LEN: usize = 52;

/// What a person's certificate is to bind: what the CA is asked for.
#[derive(Clone, Copy, Debug)]
pub struct ClientRequest<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// The person's signing key.
    pub key: &'a PublicKey,
    /// The person's key for sealing, if there is one.
    pub kem: Option<&'a KemPublicKey>,
}

/// What a node is to its municipality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The one node that sequences the municipality's log.
    Home,
    /// A further box that proves place and forwards submissions.
    Terminal,
}

impl Role {
    /// The alternative name: `city-node:home` or `city-node:terminal`.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Home => "city-node:home",
            Self::Terminal => "city-node:terminal",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Home => "home",
            Self::Terminal => "terminal",
        })
    }
}

/// A subject of exactly one relative name with exactly one common name, a UTF8String.
///
/// # Errors
/// [`CertificateRefusal::Name`] if the text is empty or longer than [`MAX_COMMON_NAME`] characters.
pub fn common_name(text: &str) -> Result<Name, CertificateRefusal> {
    if text.is_empty() || text.chars().count() > MAX_COMMON_NAME {
        return Err(CertificateRefusal::Name);
    }
    // Not `Name::from_str`: it splits at the slashes of a region.
    let value = Utf8StringRef::new(text).map_err(|_| CertificateRefusal::Name)?;
    let attribute = AttributeTypeAndValue {
        oid: COMMON_NAME,
        value: Any::from(value),
    };
    let relative = SetOfVec::try_from(vec![attribute]).map_err(|_| CertificateRefusal::Name)?;
    let der = vec![relative]
        .to_der()
        .map_err(|_| CertificateRefusal::Name)?;
    Name::from_der(&der).map_err(|_| CertificateRefusal::Name)
}

/// Reads back exactly what [`common_name`] writes.
///
/// # Errors
/// [`CertificateRefusal::Name`].
pub fn read_common_name(name: &Name) -> Result<String, CertificateRefusal> {
    let only = name.iter().next().ok_or(CertificateRefusal::Name)?;
    let text = only
        .value
        .decode_as::<Utf8StringRef<'_>>()
        .map_err(|_| CertificateRefusal::Name)?
        .as_str();
    if common_name(text)? == *name {
        Ok(text.into())
    } else {
        Err(CertificateRefusal::Name)
    }
}

/// The alternative names of a node: `p2p:<peer id>`, then its role.
///
/// # Errors
/// [`CertificateRefusal::AlternativeName`] if it is not an Ed25519 peer id.
pub fn node_names(peer_id: &str, role: Role) -> Result<SubjectAltName, CertificateRefusal> {
    if !is_ed25519_peer_id(peer_id) {
        return Err(CertificateRefusal::AlternativeName);
    }
    let uri = |text: &str| {
        Ia5String::new(text)
            .map(GeneralName::UniformResourceIdentifier)
            .map_err(|_| CertificateRefusal::AlternativeName)
    };
    Ok(SubjectAltName(vec![
        uri(&format!("{PEER_ID_SCHEME}{peer_id}"))?,
        uri(role.uri())?,
    ]))
}

/// Reads exactly one peer id and one role, in either order.
///
/// # Errors
/// [`CertificateRefusal::AlternativeName`] for anything missing, repeated, unknown or additional.
pub fn read_node_names(names: &SubjectAltName) -> Result<(String, Role), CertificateRefusal> {
    let (mut peer_id, mut role) = (None, None);
    for name in &names.0 {
        let GeneralName::UniformResourceIdentifier(uri) = name else {
            return Err(CertificateRefusal::AlternativeName);
        };
        let repeated = if let Some(id) = uri.as_str().strip_prefix(PEER_ID_SCHEME) {
            peer_id.replace(id).is_some()
        } else {
            let known = [Role::Home, Role::Terminal]
                .into_iter()
                .find(|role| role.uri() == uri.as_str())
                .ok_or(CertificateRefusal::AlternativeName)?;
            role.replace(known).is_some()
        };
        if repeated {
            return Err(CertificateRefusal::AlternativeName);
        }
    }
    match (peer_id, role) {
        (Some(peer_id), Some(role)) if is_ed25519_peer_id(peer_id) => Ok((peer_id.into(), role)),
        _ => Err(CertificateRefusal::AlternativeName),
    }
}

/// Whether the text has the form of an Ed25519 peer id; that it is one libp2p finds when it connects.
fn is_ed25519_peer_id(text: &str) -> bool {
    let is_base58 = |b: u8| b.is_ascii_alphanumeric() && !matches!(b, b'0' | b'O' | b'I' | b'l');
    text.len() == ED25519_PEER_ID_LEN
        && text.starts_with(ED25519_PEER_ID_PREFIX)
        && text.bytes().all(is_base58)
}

/// The key identifier of a signing key: the first 160 bits of SHA-256 over the raw key (RFC 7093
/// section 2, method 1).
#[must_use]
pub fn key_identifier(key: &PublicKey) -> [u8; KEY_IDENTIFIER_LEN] {
    let mut identifier = [0; KEY_IDENTIFIER_LEN];
    identifier.copy_from_slice(&sha256(&[key.as_bytes()])[..KEY_IDENTIFIER_LEN]);
    identifier
}

/// The content of the extension with a KEM key.
#[derive(Sequence)]
struct KemKey {
    algorithm: String,
    key: OctetString,
}

/// The non-critical extension with a KEM key.
///
/// # Panics
/// Never: a key of a known algorithm has a DER form.
#[must_use]
pub fn kem_extension(key: &KemPublicKey) -> Extension {
    let content = KemKey {
        algorithm: key.algorithm().id().into(),
        key: OctetString::new(key.as_bytes()).expect("a key is far below DER's length limit"),
    };
    let content = content.to_der().expect("two short fields have a DER form");
    Extension {
        extn_id: KEM_KEY_OID,
        critical: false,
        extn_value: OctetString::new(content).expect("a key is far below DER's length limit"),
    }
}

/// Reads the content of the extension with a KEM key.
///
/// # Errors
/// [`CertificateRefusal::Malformed`], or [`CertificateRefusal::Algorithm`] for an unknown algorithm or
/// a key of the wrong length.
pub fn read_kem_extension(extension: &Extension) -> Result<KemPublicKey, CertificateRefusal> {
    let content = KemKey::from_der(extension.extn_value.as_bytes())
        .map_err(|_| CertificateRefusal::Malformed)?;
    let algorithm: KemAlgorithm = content
        .algorithm
        .parse()
        .map_err(|_| CertificateRefusal::Algorithm)?;
    KemPublicKey::new(algorithm, content.key.as_bytes()).map_err(|_| CertificateRefusal::Algorithm)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;
    use crate::crypto::KemSecretKey;

    const PEER: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

    #[test]
    fn a_region_is_one_common_name() {
        let name = common_name("Asia/JP/17/17201").unwrap();
        assert_eq!(name.len(), 1);
        assert_eq!(read_common_name(&name).unwrap(), "Asia/JP/17/17201");
        let refused = |text: &str| {
            let name = Name::from_str(text).unwrap();
            assert_eq!(
                read_common_name(&name),
                Err(CertificateRefusal::Name),
                "{text}"
            );
        };
        refused("CN=one,O=two");
        refused("O=two");
        refused("CN=one+O=two");
        assert_eq!(
            read_common_name(&Name::default()),
            Err(CertificateRefusal::Name)
        );
        let check = |text: &str| common_name(text).map(|_| ());
        assert_eq!(check(&"長".repeat(64)), Ok(()));
        assert_eq!(check(&"x".repeat(65)), Err(CertificateRefusal::Name));
        assert_eq!(check(""), Err(CertificateRefusal::Name));
    }

    #[test]
    fn a_node_has_one_peer_id_and_one_role() {
        let names = node_names(PEER, Role::Terminal).unwrap();
        assert_eq!(
            read_node_names(&names).unwrap(),
            (PEER.to_owned(), Role::Terminal)
        );
        let check = |uris: &[&str]| {
            let uri = |text: &&str| {
                GeneralName::UniformResourceIdentifier(Ia5String::new(*text).unwrap())
            };
            read_node_names(&SubjectAltName(uris.iter().map(uri).collect())).map(|_| ())
        };
        let peer = format!("p2p:{PEER}");
        let refused = Err(CertificateRefusal::AlternativeName);
        assert_eq!(check(&["city-node:home", &peer]), Ok(()));
        assert_eq!(check(&[&peer]), refused);
        assert_eq!(check(&["city-node:home"]), refused);
        assert_eq!(check(&[&peer, "city-node:mayor"]), refused);
        assert_eq!(check(&[&peer, &peer, "city-node:home"]), refused);
        assert_eq!(
            check(&[&peer, "city-node:home", "city-node:terminal"]),
            refused
        );
        assert_eq!(
            check(&[
                "p2p:QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
                "city-node:home"
            ]),
            refused
        );
    }

    #[test]
    fn a_kem_key_reads_back() {
        for algorithm in KemAlgorithm::ALL.iter().copied() {
            let key = KemSecretKey::generate(algorithm);
            let extension = kem_extension(key.public());
            assert!(!extension.critical);
            assert_eq!(read_kem_extension(&extension).unwrap(), *key.public());
            let with = |algorithm: &str, key: &[u8]| {
                let content = KemKey {
                    algorithm: algorithm.into(),
                    key: OctetString::new(key).unwrap(),
                };
                read_kem_extension(&Extension {
                    extn_value: OctetString::new(content.to_der().unwrap()).unwrap(),
                    ..extension.clone()
                })
                .map(|_| ())
            };
            let bytes = key.public().as_bytes();
            let refused = Err(CertificateRefusal::Algorithm);
            assert_eq!(with(algorithm.id(), bytes), Ok(()));
            assert_eq!(with(algorithm.id(), &bytes[1..]), refused);
            assert_eq!(with("kyber", bytes), refused);
        }
    }
}

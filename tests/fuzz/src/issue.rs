//! Writes certificates field by field, right or wrong, and signs them: DER by hand, because no builder makes
//! what no CA should have made.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use city_protocol::amount::Timestamp;
use city_protocol::crypto::SecretKey;
use city_protocol::ids::{AccountId, LogId};
use city_protocol::pki::algorithms::{identifier, key_info};
use city_protocol::pki::forms::{common_name, kem_extension, node_names};
use city_protocol::pki::{Role, Root};
use city_protocol::trust::TransportSigner as _;
use x509_cert::der::asn1::OctetString;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use x509_cert::der::{DateTime, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages};
use x509_cert::time::{Time, Validity};

use crate::ca::Ca;
use crate::edits::{Edit, apply};
use crate::keys::{Transport, kem_key, signing_key};

/// An issuer between the leaf and the root.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Form {
    no_ca: bool,
    no_cert_sign: bool,
    path_len: Option<u8>,
    dates: Dates,
    strange: Option<Strange>,
}

/// A node's or a person's certificate.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Leaf {
    person: bool,
    claims_ca: Option<bool>,
    no_signature: bool,
    cert_sign: bool,
    usages: Usages,
    elsewhere: bool,
    dates: Dates,
    kem: bool,
    strange: Option<Strange>,
}

/// From and until, in seconds before and after the moment in question.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Dates(i8, i8);

/// An extension that nobody knows.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Strange {
    critical: bool,
}

/// What a leaf says it is for.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Usages {
    Both,
    Client,
    Server,
    None,
}

/// What stands in a certificate to be.
pub(crate) struct Content {
    subject: String,
    key: Arc<SecretKey>,
    dates: (Timestamp, Timestamp),
    extensions: Vec<Extension>,
}

impl Dates {
    fn around(self, at: Timestamp) -> (Timestamp, Timestamp) {
        let shift = |seconds: i8| {
            let ms = u64::from(seconds.unsigned_abs()) * 1000;
            if seconds < 0 {
                at.minus_ms(ms)
            } else {
                at.plus_ms(ms)
            }
        };
        (shift(self.0), shift(self.1))
    }

    const fn hold(self) -> bool {
        self.0 <= 0 && self.1 >= 0
    }
}

impl Form {
    /// The issuer's certificate.
    pub(crate) fn issuer(&self, at: Timestamp, name: &str) -> Content {
        let basic = BasicConstraints {
            ca: !self.no_ca,
            path_len_constraint: self.path_len.filter(|_| !self.no_ca).map(|n| n % 6),
        };
        let mut usages = KeyUsages::CRLSign.into();
        if !self.no_cert_sign {
            usages |= KeyUsages::KeyCertSign;
        }
        let mut extensions = vec![extension(&basic, true), extension(&KeyUsage(usages), true)];
        extensions.extend(self.strange.map(Strange::extension));
        Content {
            subject: name.to_owned(),
            key: known_key(name),
            dates: self.dates.around(at),
            extensions,
        }
    }

    /// Whether it may stand there, with so many issuers between it and the leaf.
    pub(crate) fn may_issue(&self, below: usize) -> bool {
        let long_enough = self
            .path_len
            .is_none_or(|most| usize::from(most % 6) >= below);
        !self.no_ca && !self.no_cert_sign && long_enough && self.dates.hold() && known(self.strange)
    }
}

impl Leaf {
    /// The leaf's certificate.
    pub(crate) fn form(&self, at: Timestamp) -> Content {
        let key = known_key("of the leaf");
        let mut usages = KeyUsages::KeyAgreement.into();
        if !self.no_signature {
            usages |= KeyUsages::DigitalSignature;
        }
        if self.cert_sign {
            usages |= KeyUsages::KeyCertSign;
        }
        let mut extensions = vec![extension(&KeyUsage(usages), true)];
        if let Some(ca) = self.claims_ca {
            let path_len_constraint = None;
            extensions.push(extension(
                &BasicConstraints {
                    ca,
                    path_len_constraint,
                },
                true,
            ));
        }
        let extended = match self.usages {
            Usages::Both => vec![ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH],
            Usages::Client => vec![ID_KP_CLIENT_AUTH],
            Usages::Server => vec![ID_KP_SERVER_AUTH],
            Usages::None => Vec::new(),
        };
        if self.usages != Usages::None {
            extensions.push(extension(&ExtendedKeyUsage(extended), false));
        }
        if self.kem {
            extensions.push(kem_extension(&kem_key("of the leaf")));
        }
        extensions.extend(self.strange.map(Strange::extension));
        let subject = if self.person {
            AccountId::new(&LogId([17; 32]), &key.public().id()).to_string()
        } else {
            let peer = Transport::new("of the leaf").peer_id().to_string();
            let names = node_names(&peer, Role::Home).expect("a peer id");
            extensions.push(extension(&names, false));
            let region = if self.elsewhere {
                "Europe/FR/75/75056"
            } else {
                "Asia/JP/17/17201"
            };
            region.to_owned()
        };
        Content {
            subject,
            key,
            dates: self.dates.around(at),
            extensions,
        }
    }

    /// Whether it may be admitted, under a good chain and for 金沢市.
    pub(crate) fn allowed(&self) -> bool {
        let used = match self.usages {
            Usages::Both => true,
            Usages::Client => self.person,
            Usages::Server | Usages::None => false,
        };
        used && self.claims_ca != Some(true)
            && !self.no_signature
            && !self.cert_sign
            && (self.person || !self.elsewhere)
            && self.dates.hold()
            && known(self.strange)
    }
}

impl Strange {
    fn extension(self) -> Extension {
        Extension {
            extn_id: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.9"),
            critical: self.critical,
            extn_value: OctetString::new([5, 0]).expect("two bytes"),
        }
    }
}

fn known(strange: Option<Strange>) -> bool {
    strange.is_none_or(|strange| !strange.critical)
}

fn extension<T: Encode + AssociatedOid>(value: &T, critical: bool) -> Extension {
    Extension {
        extn_id: T::OID,
        critical,
        extn_value: OctetString::new(value.to_der().expect("it has a DER form")).expect("short"),
    }
}

/// The certificate of this content under the issuer of this name; the edits change what is signed.
pub(crate) fn der_of(content: &Content, issuer: &str, edits: &[Edit]) -> Vec<u8> {
    let der = |value: &dyn ToDer| value.bytes();
    let algorithm = der(&identifier(content.key.public().algorithm()));
    let time = |at: Timestamp| {
        let date = DateTime::from_unix_duration(Duration::from_secs(at.0 / 1000));
        Time::from(date.expect("in this century"))
    };
    let (from, until) = content.dates;
    let extensions: Vec<_> = content.extensions.iter().map(|one| der(one)).collect();
    let mut tbs = tlv(
        0x30,
        &[
            &tlv(0xa0, &[&[0x02, 1, 2]]),
            &[0x02, 1, 77],
            &algorithm,
            &der(&common_name(issuer).expect("short")),
            &der(&Validity::<x509_cert::certificate::Rfc5280>::new(
                time(from),
                time(until),
            )),
            &der(&common_name(&content.subject).expect("short")),
            &der(&key_info(content.key.public())),
            &tlv(0xa3, &[&tlv(0x30, &[&extensions.concat()])]),
        ],
    );
    apply(&mut tbs, edits);
    let signature = known_key(issuer).sign_raw(&tbs);
    let bits = tlv(0x03, &[&[0], signature.as_bytes()]);
    tlv(0x30, &[&tbs, &algorithm, &bits])
}

/// Whatever has a DER form.
trait ToDer {
    fn bytes(&self) -> Vec<u8>;
}

impl<T: Encode> ToDer for T {
    fn bytes(&self) -> Vec<u8> {
        self.to_der().expect("it has a DER form")
    }
}

/// Tag, length in its shortest spelling, and the parts.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = content.len().to_be_bytes();
    let short = len
        .iter()
        .position(|byte| *byte != 0)
        .map_or(&len[7..], |from| &len[from..]);
    let mut out = vec![tag];
    if content.len() >= 128 {
        out.push(0x80 | u8::try_from(short.len()).expect("at most 8"));
    }
    out.extend(short);
    out.extend(content);
    out
}

thread_local! {
    static KEYS: RefCell<BTreeMap<String, Arc<SecretKey>>> = RefCell::default();
    static ROOTS: RefCell<BTreeMap<String, Root>> = RefCell::default();
}

/// The key of whoever has this name, made once.
fn known_key(name: &str) -> Arc<SecretKey> {
    KEYS.with_borrow_mut(|keys| {
        let made = keys.entry(name.to_owned());
        made.or_insert_with(|| signing_key(name)).clone()
    })
}

/// The root of this name, trusted for this prefix.
pub(crate) fn root_of(name: &str, prefix: &str, begin: Timestamp) -> Root {
    let root = ROOTS.with_borrow_mut(|roots| {
        let made = roots.entry(name.to_owned());
        made.or_insert_with(|| Ca::new(name, begin).root).clone()
    });
    Root {
        prefix: prefix.parse().expect("a prefix"),
        ..root
    }
}

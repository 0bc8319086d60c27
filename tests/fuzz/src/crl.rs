//! Revocation lists: whatever is imported is read within its limits or refused; a list that the issuer signed
//! revokes exactly what it names, is fresh, stale and useless at its dates; and one that it did not sign, or
//! that was changed afterwards, has no effect at all.

use arbitrary::Arbitrary;
use city_protocol::amount::Timestamp;
use city_protocol::pki::forms::common_name;
use city_protocol::pki::{
    CRL_GRACE_MS, CertificateRefusal, CertificateWarning, Crl, CrlRefusal, Crls, MAX_CRL_DER,
    verify_node,
};
use x509_cert::Certificate;
use x509_cert::certificate::{Rfc5280, Version};
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::der::asn1::{BitString, OctetString, Uint};
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{DateTime, Decode as _, Encode as _};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlNumber;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Time;

use crate::edits::{Edit, Input, apply};
use crate::keys::signing_key;
use crate::memory;
use crate::town::town;
use crate::world::BEGIN;

/// What reading one list may hold beside some copies of its bytes.
const MEMORY: usize = 2 << 20;
/// Bytes held for each byte of a list: an entry of 20 becomes two records with their own vectors.
const MEMORY_PER_BYTE: usize = 64;
/// Around when lists are dated and asked.
const AT: Timestamp = BEGIN.plus_ms(300 * 24 * 60 * 60 * 1000);

/// A list and when it is asked.
#[derive(Arbitrary, Debug)]
struct Story {
    number: u64,
    /// Serial numbers of other certificates.
    others: Vec<u64>,
    /// Whether it names the node's, too.
    names_it: bool,
    /// thisUpdate and nextUpdate, hours from `AT`.
    dates: (i16, i16),
    /// When it is asked, hours after `AT`.
    asked: u16,
    signer: Signer,
    /// An extension of the list that nobody knows.
    strange: Option<bool>,
    /// The same bytes are there twice.
    twice: bool,
    damage: Vec<Edit>,
}

/// Who signs under the issuer's name.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Signer {
    Issuer,
    Stranger,
    /// A stranger under its own name.
    Other,
}

/// Runs the target.
pub fn run(data: &[u8]) {
    match Input::of(data) {
        Some(Input::Raw(bytes)) => noise(bytes),
        Some(Input::Story(mut story)) => {
            if let Ok(story) = Story::arbitrary(&mut story) {
                tell(&story);
            }
        }
        None => {}
    }
}

/// Inputs to begin with: a list of two certificates, and some stories.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let story = Story {
        number: 7,
        others: vec![1, 2],
        names_it: true,
        dates: (-1, 720),
        asked: 0,
        signer: Signer::Issuer,
        strange: None,
        twice: false,
        damage: Vec::new(),
    };
    let mut seeds = vec![Input::raw(&list(&story))];
    seeds.extend((0..4).map(|n| [vec![1], vec![n; 64]].concat()));
    seeds
}

fn read(der: &[u8]) -> Result<Crl, CrlRefusal> {
    memory::within(MEMORY + MEMORY_PER_BYTE * der.len(), || {
        let read = Crl::read(der);
        let again = Crl::read(der);
        match (&read, again) {
            (Ok(one), Ok(two)) => assert_eq!(one.fingerprint(), two.fingerprint()),
            (Err(one), Err(two)) => assert_eq!(*one, two),
            (one, two) => panic!("{one:?} and then {two:?}"),
        }
        assert!(der.len() <= MAX_CRL_DER || matches!(read, Err(CrlRefusal::TooLarge)));
        read
    })
}

/// Bytes of a stranger, and the same as text.
fn noise(bytes: &[u8]) {
    let lists = Crl::read_pem(bytes).unwrap_or_default();
    for crl in read(bytes).into_iter().chain(lists) {
        // Only the list of the seeds is signed, and that one names the node.
        let (leaf, _) = node();
        let roots = &town().world.genesis.roots;
        let crls = Crls::new(vec![crl]).expect("one list");
        match verify_node(roots, &leaf, &[], &crls, AT) {
            Ok(admitted) => assert_eq!(admitted.warnings, [CertificateWarning::CrlNone]),
            Err(refusal) => assert_eq!(refusal, CertificateRefusal::Revoked),
        }
    }
}

/// The certificate of 金沢市's home and its serial number.
fn node() -> (Vec<u8>, SerialNumber) {
    let leaf = town().world.homes[0]
        .authority
        .charter
        .node_certificate
        .0
        .clone();
    let read = Certificate::from_der(&leaf).expect("a certificate");
    let serial = read.tbs_certificate().serial_number().clone();
    (leaf, serial)
}

fn hours(from: Timestamp, hours: i64) -> Timestamp {
    let ms = hours.unsigned_abs() * 60 * 60 * 1000;
    if hours < 0 {
        from.minus_ms(ms)
    } else {
        from.plus_ms(ms)
    }
}

fn list(story: &Story) -> Vec<u8> {
    let time = |shift: i16| {
        let at = hours(AT, shift.into());
        let date = DateTime::from_unix_duration(std::time::Duration::from_secs(at.0 / 1000));
        Time::from(date.expect("in this century"))
    };
    let (name, key) = match story.signer {
        Signer::Issuer => ("test root", "test root"),
        Signer::Stranger => ("test root", "a stranger's root"),
        Signer::Other => ("a stranger's root", "a stranger's root"),
    };
    let key = signing_key(key);
    let algorithm = city_protocol::pki::algorithms::identifier(key.public().algorithm());
    let others = story.others.iter().map(|other| other.to_be_bytes());
    let others = others.map(|bytes| SerialNumber::new(&bytes).expect("short"));
    let revoked: Vec<_> = others
        .chain(story.names_it.then(|| node().1))
        .map(|serial_number| RevokedCert {
            serial_number,
            revocation_date: time(story.dates.0),
            crl_entry_extensions: None,
        })
        .collect();
    let extension = |extn_id, critical, content: Vec<u8>| Extension {
        extn_id,
        critical,
        extn_value: OctetString::new(content).expect("short"),
    };
    let number = CrlNumber(Uint::new(&story.number.to_be_bytes()).expect("short"));
    let number = number.to_der().expect("a number has a DER form");
    let mut extensions = vec![extension(CrlNumber::OID, false, number)];
    extensions.extend(story.strange.map(|critical| {
        let unknown = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.9");
        extension(unknown, critical, vec![5, 0])
    }));
    let tbs = TbsCertList::<Rfc5280> {
        version: Version::V2,
        signature: algorithm.clone(),
        issuer: common_name(name).expect("short"),
        this_update: time(story.dates.0),
        next_update: Some(time(story.dates.1)),
        revoked_certificates: (!revoked.is_empty()).then_some(revoked),
        crl_extensions: Some(extensions),
    };
    let signature = key.sign_raw(&tbs.to_der().expect("a list has a DER form"));
    let list = CertificateList {
        tbs_cert_list: tbs,
        signature_algorithm: algorithm,
        signature: BitString::from_bytes(signature.as_bytes()).expect("short"),
    };
    list.to_der().expect("a list has a DER form")
}

fn tell(story: &Story) {
    let good = list(story);
    let mut der = good.clone();
    apply(&mut der, &story.damage);
    let read = match (read(&der), der == good) {
        (Ok(read), _) => read,
        (Err(refusal), true) => {
            assert_eq!(
                (refusal, story.strange),
                (CrlRefusal::Unsupported, Some(true))
            );
            return;
        }
        (Err(_), false) => return,
    };
    let (leaf, serial) = node();
    let mut lists = vec![read];
    if story.twice {
        lists.extend(Crl::read(&der));
    }
    let named = der == good && story.names_it;
    assert!(!named || lists[0].lists(serial.as_bytes()));
    let crls = Crls::new(lists).expect("at most two lists");
    assert_eq!(crls.iter().count(), 1);
    let at = hours(AT, story.asked.into());
    let judged = verify_node(&town().world.genesis.roots, &leaf, &[], &crls, at);
    let said = judged.as_ref().map(|admitted| admitted.warnings.as_slice());

    let (begins, ends) = (
        hours(AT, story.dates.0.into()),
        hours(AT, story.dates.1.into()),
    );
    let expected: Result<&[CertificateWarning], _> =
        if der != good || story.signer != Signer::Issuer {
            Ok(&[CertificateWarning::CrlNone])
        } else if story.names_it {
            Err(&CertificateRefusal::Revoked)
        } else if at < begins {
            Ok(&[CertificateWarning::CrlNone])
        } else if at >= ends.plus_ms(CRL_GRACE_MS) {
            Err(&CertificateRefusal::CrlExpired)
        } else if at >= ends {
            Ok(&[CertificateWarning::CrlStale])
        } else {
            Ok(&[])
        };
    assert_eq!(said, expected, "{story:?}");
}

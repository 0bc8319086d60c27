//! Revocation lists: what is on them is refused, what is stale or missing is said, what others sign has no
//! effect.

use city_protocol::pki::{
    Admitted, CRL_GRACE_MS, CertificateWarning, Crl, CrlRefusal, MAX_CRL_DER, NodeCertificate,
};

use x509_cert::der::pem::encode_string;

use super::super::revocation::{ListRequest, Reason, Revocation};
use super::*;

/// When the lists here are issued; the next comes 30 days later.
const ISSUED: Timestamp = APRIL;
const NEXT: Timestamp = APRIL.plus_ms(30 * DAY);

fn list(issuer: &Issuer<'_>, number: u64, from: Timestamp, revoked: &[&[u8]]) -> Vec<u8> {
    let revoked: Vec<_> = revoked
        .iter()
        .map(|certificate| Revocation {
            serial: serial_of(certificate),
            at: from,
            reason: Reason::KeyCompromise,
        })
        .collect();
    issuer
        .crl(&ListRequest {
            number,
            dates: Validity::days(from, 30),
            revoked: &revoked,
        })
        .unwrap()
}

fn serial_of(certificate: &[u8]) -> Vec<u8> {
    let read = x509_cert::Certificate::from_der(certificate).unwrap();
    read.tbs_certificate().serial_number().as_bytes().to_vec()
}

fn crls(ders: &[&[u8]]) -> Crls {
    Crls::new(ders.iter().map(|der| Crl::read(der).unwrap()).collect()).unwrap()
}

/// The code of a refusal, or the codes of the warnings.
fn verdict(judged: &Result<Admitted<NodeCertificate>, CertificateRefusal>) -> String {
    match judged {
        Ok(admitted) => admitted
            .warnings
            .iter()
            .map(|w| w.code())
            .collect::<Vec<_>>()
            .join(" "),
        Err(refusal) => refusal.code().to_owned(),
    }
}

#[test]
fn a_list_ages_from_fresh_over_stale_to_useless() {
    let ishikawa = Ishikawa::new();
    let (roots, issuer) = (ishikawa.roots(), ishikawa.issuer());
    let leaf = sign(&issuer, ishikawa.node(), |_| ());
    let other = sign(&issuer, ishikawa.node(), |_| ());
    let clean = list(&issuer, 1, ISSUED, &[&other]);
    let listed = list(&issuer, 2, ISSUED, &[&other, &leaf]);
    let check = |expected: &str, lists: &[&[u8]], at: Timestamp| {
        let judged = verify_node(&roots, &leaf, &[], &crls(lists), at);
        assert_eq!(verdict(&judged), expected, "at {}", at.0);
    };
    let end = NEXT.plus_ms(CRL_GRACE_MS);
    check("crl-none", &[], ISSUED);
    check("", &[&clean], ISSUED);
    check("", &[&clean], NEXT.minus_ms(1));
    check("crl-stale", &[&clean], NEXT);
    check("crl-stale", &[&clean], end.minus_ms(1));
    check("crl-expired", &[&clean], end);
    // What a list names is refused at any age; a newer list that no longer names it does not help.
    check("cert-revoked", &[&listed], ISSUED);
    check("cert-revoked", &[&listed], NEXT);
    check("cert-revoked", &[&listed], end);
    check("cert-revoked", &[&listed, &clean], ISSUED);
    // The newest list counts for the age.
    let newer = list(&issuer, 3, NEXT, &[&other]);
    check("", &[&clean, &newer], NEXT);
    check("crl-stale", &[&newer, &clean], NEXT.plus_ms(30 * DAY));
    // A list of the future is none yet, but what it names is named.
    check("crl-none", &[&newer], ISSUED);
    check("cert-revoked", &[&list(&issuer, 4, NEXT, &[&leaf])], ISSUED);
}

#[test]
fn a_verdict_ends_with_the_path_or_the_grace() {
    let ishikawa = Ishikawa::new();
    let (roots, issuer) = (ishikawa.roots(), ishikawa.issuer());
    let until = |days: u64, lists: &[&[u8]]| {
        let leaf = sign(&issuer, ishikawa.node(), |d| {
            d.validity = Validity::days(APRIL, days);
        });
        let judged = verify_node(&roots, &leaf, &[], &crls(lists), at()).unwrap();
        judged.valid_until
    };
    let clean = list(&issuer, 1, at(), &[]);
    assert_eq!(until(365, &[]), APRIL.plus_ms(365 * DAY));
    assert_eq!(until(9999, &[]), APRIL.plus_ms(3650 * DAY));
    assert_eq!(until(365, &[&clean]), at().plus_ms(30 * DAY + CRL_GRACE_MS));
    assert_eq!(until(40, &[&clean]), APRIL.plus_ms(40 * DAY));
}

#[test]
fn only_the_issuers_own_lists_count() {
    let ishikawa = Ishikawa::new();
    let roots = ishikawa.roots();
    let leaf = sign(&ishikawa.issuer(), ishikawa.node(), |_| ());
    let check = |expected: &str, lists: &[&[u8]]| {
        let judged = verify_node(&roots, &leaf, &[], &crls(lists), ISSUED);
        assert_eq!(verdict(&judged), expected);
    };
    let own = list(&ishikawa.issuer(), 1, ISSUED, &[]);
    let forged = list(&Ishikawa::new().issuer(), 9, ISSUED, &[&leaf]);
    check("crl-none", &[&forged]);
    check("", &[&own, &forged]);
    check("", &[&forged, &own]);
    // The right key under another name is another CA.
    let toyama = root("富山県 CA", &ishikawa.key, Validity::days(APRIL, 365)).unwrap();
    let toyama = Issuer::new(&toyama, &ishikawa.key).unwrap();
    check("crl-none", &[&list(&toyama, 1, ISSUED, &[&leaf])]);
}

#[test]
fn every_certificate_of_the_path_is_looked_up() {
    let ishikawa = Ishikawa::new();
    let roots = ishikawa.roots();
    let city = ishikawa.city_with(|_| ());
    let by_city = Issuer::new(&city, &ishikawa.city).unwrap();
    let leaf = sign(&by_city, ishikawa.node(), |_| ());
    let via = [city.clone()];
    let check = |expected: &str, via: &[Vec<u8>], lists: &[&[u8]]| {
        let judged = verify_node(&roots, &leaf, via, &crls(lists), ISSUED);
        assert_eq!(verdict(&judged), expected);
    };
    let of_root = list(&ishikawa.issuer(), 1, ISSUED, &[]);
    let of_city = list(&by_city, 1, ISSUED, &[]);
    check("", &via, &[&of_root, &of_city]);
    check("crl-none", &via, &[&of_root]);
    check("crl-none", &via, &[&of_city]);
    check(
        "cert-revoked",
        &via,
        &[&list(&ishikawa.issuer(), 2, ISSUED, &[&city])],
    );
    check(
        "cert-revoked",
        &via,
        &[&of_root, &list(&by_city, 2, ISSUED, &[&leaf])],
    );
    // The serial number of the leaf on the root's list is another certificate's.
    check(
        "",
        &via,
        &[&of_city, &list(&ishikawa.issuer(), 2, ISSUED, &[&leaf])],
    );
    // An intermediate that may not sign lists.
    let mute = ishikawa.city_with(|d| d.usage(KeyUsages::KeyCertSign));
    check(
        "crl-none",
        &[mute],
        &[&of_root, &list(&by_city, 2, ISSUED, &[&leaf])],
    );
}

#[test]
fn bytes_that_are_no_list_are_refused() {
    let ishikawa = Ishikawa::new();
    let good = list(&ishikawa.issuer(), 7, ISSUED, &[&ishikawa.root]);
    let read = Crl::read(&good).unwrap();
    assert_eq!((read.entries(), read.number()), (1, Some([7].as_slice())));
    assert_eq!((read.this_update(), read.next_update()), (ISSUED, NEXT));
    assert!(read.lists(&serial_of(&ishikawa.root)));

    let check = |expected: CrlRefusal, der: &[u8]| {
        assert_eq!(Crl::read(der).unwrap_err(), expected);
    };
    check(CrlRefusal::Malformed, b"");
    check(CrlRefusal::Malformed, &ishikawa.root);
    check(CrlRefusal::Malformed, &good[..good.len() - 1]);
    check(CrlRefusal::Malformed, &[good.as_slice(), &[0]].concat());
    check(CrlRefusal::TooLarge, &vec![0x30; MAX_CRL_DER + 1]);
    let pem = |der: &[u8]| encode_string("X509 CRL", Default::default(), der);
    let pem = [pem(&good).unwrap(), pem(&good).unwrap()].concat();
    let twice = Crl::read_pem(pem.as_bytes()).unwrap();
    assert_eq!(
        (twice.len(), Crls::new(twice).unwrap().iter().count()),
        (2, 1)
    );
    assert_eq!(CertificateWarning::CrlNone.code(), "crl-none");
}

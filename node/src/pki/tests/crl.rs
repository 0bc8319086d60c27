//! Revocation lists: what is on them is refused, what is stale or missing is said, what others sign has no
//! effect.

use city_protocol::pki::{
    Admitted, CRL_GRACE_MS, CertificateWarning, Crl, CrlRefusal, MAX_CRL_DER, NodeCertificate,
};

use city_protocol::pki::RevocationPolicy;
use city_protocol::pki::foreign::{Question, verify};
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;
use x509_cert::der::oid::db::rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT;
use x509_cert::der::pem::encode_string;
use x509_cert::ext::pkix::crl::CrlDistributionPoints;
use x509_cert::ext::pkix::crl::dp::{DistributionPoint, IssuingDistributionPoint};
use x509_cert::ext::pkix::name::DistributionPointName;

use super::super::revocation::{ListRequest, Reason, Revocation};
use super::*;

/// When the lists here are issued; the next comes 30 days later.
pub(super) const ISSUED: Timestamp = APRIL;
const NEXT: Timestamp = APRIL.plus_ms(30 * DAY);

pub(super) fn list(
    issuer: &Issuer<'_>,
    number: u64,
    from: Timestamp,
    revoked: &[&[u8]],
) -> Vec<u8> {
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

/// 石川県's lists at one place, only about some certificates.
fn point(uri: &str) -> Option<DistributionPointName> {
    let uri = GeneralName::UniformResourceIdentifier(Ia5String::new(uri).unwrap());
    Some(DistributionPointName::FullName(vec![uri]))
}

/// The list over, about users or CAs only, signed by `key`.
fn only(list: &[u8], users: bool, uri: &str, key: &SecretKey) -> Vec<u8> {
    let mut list = CertificateList::<Rfc5280>::from_der(list).unwrap();
    let scope = IssuingDistributionPoint {
        distribution_point: point(uri),
        only_contains_user_certs: users,
        only_contains_ca_certs: !users,
        only_some_reasons: None,
        indirect_crl: false,
        only_contains_attribute_certs: false,
    };
    let extensions = list.tbs_cert_list.crl_extensions.as_mut().unwrap();
    extensions.push(Extension {
        extn_id: ID_CE_ISSUING_DISTRIBUTION_POINT,
        critical: true,
        extn_value: OctetString::new(scope.to_der().unwrap()).unwrap(),
    });
    let signature = key.sign_raw(&list.tbs_cert_list.to_der().unwrap());
    list.signature = BitString::from_bytes(signature.as_bytes()).unwrap();
    list.to_der().unwrap()
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

/// A reviewer's finding: a CA-only list, expired or forged, beside a good one kept a leaf out.
#[test]
fn a_list_about_others_says_nothing_of_a_certificate() {
    const PLACE: &str = "http://ishikawa.example/crl";
    let ishikawa = Ishikawa::new();
    let (roots, issuer, key) = (ishikawa.roots(), ishikawa.issuer(), &ishikawa.key);
    let leaf = sign(&issuer, ishikawa.node(), |_| ());
    let city = ishikawa.city_with(|_| ());
    let by_city = Issuer::new(&city, &ishikawa.city).unwrap();
    let below = sign(&by_city, ishikawa.node(), |_| ());
    let now = NEXT.plus_ms(CRL_GRACE_MS + DAY);
    let (old, new) = (list(&issuer, 1, ISSUED, &[]), list(&issuer, 2, now, &[]));
    let naming = list(&issuer, 3, ISSUED, &[&leaf, &city]);
    let of_city = list(&by_city, 1, now, &[]);
    let check = |expected: &str, leaf: &[u8], via: &[Vec<u8>], lists: &[&[u8]]| {
        let judged = verify_node(&roots, leaf, via, &crls(lists), now);
        assert_eq!(verdict(&judged), expected);
    };
    let users = |list: &[u8]| only(list, true, PLACE, key);
    let cas = |list: &[u8]| only(list, false, PLACE, key);
    // Forged, expired or naming the leaf: a list about CAs is not asked about a leaf, and covers none.
    let forged = only(&naming, false, PLACE, &ishikawa.node);
    for about_cas in [&cas(&old), &cas(&naming), &cas(&new), &forged] {
        check("", &leaf, &[], &[about_cas, &users(&new)]);
        check("", &leaf, &[], &[about_cas, &new]);
        check("crl-none", &leaf, &[], &[about_cas]);
    }
    check("crl-expired", &leaf, &[], &[&users(&old)]);
    check("cert-revoked", &leaf, &[], &[&users(&naming), &new]);
    // One that is about everything and in date is enough beside an old one about some, in either order.
    check("", &leaf, &[], &[&users(&old), &new]);
    check("", &leaf, &[], &[&users(&new), &old]);
    // The same for a CA of the path.
    let via = [city.clone()];
    for about_users in [&users(&old), &users(&naming), &users(&new)] {
        check("", &below, &via, &[about_users, &cas(&new), &of_city]);
        check("crl-none", &below, &via, &[about_users, &of_city]);
    }
    check("crl-expired", &below, &via, &[&cas(&old), &of_city]);
    check("cert-revoked", &below, &via, &[&cas(&naming), &of_city]);

    // A certificate that says where its list is has it there only; webpki and we read that alike.
    let pointing = |uri: &str, ca: bool| {
        let points = CrlDistributionPoints(vec![DistributionPoint {
            distribution_point: point(uri),
            reasons: None,
            crl_issuer: None,
        }]);
        let point = |d: &mut Draft| {
            d.set::<CrlDistributionPoints>(Some(extension(&points, false).unwrap()));
        };
        if ca {
            ishikawa.city_with(point)
        } else {
            sign(&issuer, ishikawa.node(), point)
        }
    };
    let elsewhere = "http://elsewhere.example/crl";
    check("", &pointing(PLACE, false), &[], &[&users(&new)]);
    check(
        "crl-none",
        &pointing(elsewhere, false),
        &[],
        &[&users(&old)],
    );
    let lists = [cas(&old), of_city.clone()];
    let lists: Vec<_> = lists.iter().map(Vec::as_slice).collect();
    check("crl-expired", &below, &[pointing(PLACE, true)], &lists);
    check("crl-none", &below, &[pointing(elsewhere, true)], &lists);
}

/// A reviewer's finding: rustls-webpki does not know the keyUsage of an anchor.
#[test]
fn a_root_that_may_not_sign_lists_has_none() {
    let ishikawa = Ishikawa::new();
    let issuer = ishikawa.issuer();
    let mute = ishikawa.root_with(|d| d.usage(KeyUsages::KeyCertSign));
    let city = ishikawa.city_with(|_| ());
    let by_city = Issuer::new(&city, &ishikawa.city).unwrap();
    let leaf = sign(&issuer, ishikawa.node(), |_| ());
    let below = sign(&by_city, ishikawa.node(), |_| ());
    let naming = list(&issuer, 1, ISSUED, &[&leaf, &city]);
    let (clean, of_city) = (
        list(&issuer, 2, ISSUED, &[]),
        list(&by_city, 1, ISSUED, &[&below]),
    );
    let own = |root: &[u8], leaf: &[u8], via: &[Vec<u8>], lists: &[&[u8]]| {
        let roots = [Root::new(root.to_vec(), "Asia/JP/17".parse().unwrap()).unwrap()];
        verdict(&verify_node(&roots, leaf, via, &crls(lists), ISSUED))
    };
    let foreign = |root: &[u8], lists: &[&[u8]]| {
        code(verify(&Question {
            roots: &[root.to_vec()],
            intermediates: &[],
            leaf: &leaf,
            crls: &crls(lists),
            revocation: RevocationPolicy::STRICT,
            at: ISSUED,
            usage: None,
            name: None,
        }))
    };
    let via = [city.clone()];
    assert_eq!(own(&ishikawa.root, &leaf, &[], &[&naming]), "cert-revoked");
    assert_eq!(own(&mute, &leaf, &[], &[&naming]), "crl-none");
    assert_eq!(own(&mute, &leaf, &[], &[&clean]), "crl-none");
    assert_eq!(own(&mute, &below, &via, &[&naming]), "crl-none");
    assert_eq!(own(&mute, &below, &via, &[&of_city]), "cert-revoked");
    assert_eq!(foreign(&ishikawa.root, &[&clean]), "ok");
    assert_eq!(foreign(&ishikawa.root, &[&naming]), "cert-revoked");
    assert_eq!(foreign(&mute, &[&clean]), "crl-bad-signature");
    assert_eq!(foreign(&mute, &[&naming]), "crl-bad-signature");
    // No keyUsage at all says nothing against it; one without keyCertSign anchors no path at all.
    let silent = ishikawa.root_with(|d| d.set::<KeyUsage>(None));
    assert_eq!(foreign(&silent, &[&naming]), "cert-revoked");
    let lists_only = ishikawa.root_with(|d| d.usage(KeyUsages::CRLSign));
    assert_eq!(foreign(&lists_only, &[&clean]), "cert-key-usage");
    let refused = Root::new(lists_only, "Asia/JP/17".parse().unwrap());
    assert_eq!(code(refused), "cert-key-usage");
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

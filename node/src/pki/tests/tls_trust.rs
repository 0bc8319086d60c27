//! Paths of TLS client certificates: what is asked of a classical root and of CAs between it and a leaf.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;

use city_protocol::pki::Crl;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::{APRIL, Crls, Validity, at};
use crate::pki::TlsSubject;
use crate::pki::revocation::{ListRequest, Reason, Revocation};
use crate::pki::tls::TlsAuthority;
use crate::pki::tls_trust::{TlsRefusal, TlsTrust};

/// A key, and what its certificate says.
struct Party {
    key: KeyPair,
    params: CertificateParams,
}

/// From and to so many days after 2026-04-01.
fn lasts(params: &mut CertificateParams, from: u64, to: u64) {
    let day = |days| rcgen::date_time_ymd(2026, 4, 1) + Duration::from_secs(days * 86_400);
    params.not_before = day(from);
    params.not_after = day(to);
}

impl Party {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        lasts(&mut params, 0, 365);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        Self { key, params }
    }

    fn authority(name: &str) -> Self {
        let mut ca = Self::new(name);
        ca.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca
    }

    fn operator() -> Self {
        let mut leaf = Self::new("hanako");
        let uri = "city-node:operator".try_into().unwrap();
        leaf.params.subject_alt_names = vec![SanType::URI(uri)];
        leaf.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        leaf
    }

    /// Its own certificate with something changed: same name, same key.
    fn root(&self, change: impl Fn(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = self.params.clone();
        change(&mut params);
        params.self_signed(&self.key).unwrap().der().clone()
    }

    /// Somebody's certificate by this one, with something changed.
    fn issues(
        &self,
        to: &Self,
        change: impl Fn(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let mut params = to.params.clone();
        change(&mut params);
        let issuer = rcgen::Issuer::from_params(&self.params, &self.key);
        params.signed_by(&to.key, &issuer).unwrap().der().clone()
    }
}

fn unknown(critical: bool) -> impl Fn(&mut CertificateParams) {
    move |params| {
        let id = &[1, 3, 6, 1, 4, 1, 32473, 9];
        let mut extension = CustomExtension::from_oid_content(id, vec![0x05, 0x00]);
        extension.set_criticality(critical);
        params.custom_extensions = vec![extension];
    }
}

fn constrained(most: u8) -> impl Fn(&mut CertificateParams) {
    move |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(most))
}

fn judged(roots: &[&CertificateDer<'static>], chain: &[&CertificateDer<'static>]) -> &'static str {
    let roots: Vec<_> = roots.iter().map(|der| (*der).clone()).collect();
    let chain: Vec<_> = chain.iter().map(|der| (*der).clone()).collect();
    let trust = TlsTrust::new(&roots, Arc::new(Crls::none())).unwrap();
    let judged = trust.judge(&chain, at());
    judged.map_or_else(TlsRefusal::code, |_| "ok")
}

#[test]
fn a_ca_between_must_be_one_that_may_issue() {
    let (ishikawa, city) = (
        Party::authority("石川県 TLS"),
        Party::authority("金沢市 TLS"),
    );
    let hanako = Party::operator();
    let root = ishikawa.root(|_| ());
    let leaf = city.issues(&hanako, |_| ());
    let check = |expected: &str, what: &str, change: &dyn Fn(&mut CertificateParams)| {
        let via = ishikawa.issues(&city, change);
        assert_eq!(judged(&[&root], &[&leaf, &via]), expected, "{what}");
    };
    check("ok", "as it is", &|_| ());
    check("ok", "one that ends here", &constrained(0));
    check("ok", "unknown", &unknown(false));
    check("certificate-form", "unknown and critical", &unknown(true));
    check("certificate-form", "signs lists only", &|params| {
        params.key_usages = vec![KeyUsagePurpose::CrlSign];
    });
    check("certificate-form", "no usage", &|params| {
        params.key_usages.clear();
    });
    check("certificate-form", "no CA", &|params| {
        params.is_ca = IsCa::NoCa;
    });
    check("certificate-expired", "over", &|params| {
        lasts(params, 0, 29);
    });
    let direct = ishikawa.issues(&hanako, |_| ());
    assert_eq!(judged(&[&root], &[&direct]), "ok");
    assert_eq!(judged(&[&root], &[&leaf]), "certificate-unknown-issuer");
    for name in ["他 TLS", "石川県 TLS"] {
        let stranger = Party::authority(name).issues(&hanako, |_| ());
        assert_eq!(judged(&[&root], &[&stranger]), "certificate-unknown-issuer");
    }
    let critical = ishikawa.issues(&hanako, unknown(true));
    assert_eq!(judged(&[&root], &[&critical]), "certificate-form");
}

#[test]
fn what_a_list_names_is_revoked() {
    let authority = TlsAuthority::create("石川県 TLS", Validity::days(APRIL, 365)).unwrap();
    let hanako = TlsSubject::Operator("hanako".parse().unwrap());
    let client = || {
        authority
            .client(&hanako, Validity::days(APRIL, 365))
            .unwrap()
    };
    let (good, lost) = (client().chain, client().chain);
    let read = Certificate::from_der(&lost[0]).unwrap();
    let revoked = [Revocation {
        serial: read.tbs_certificate().serial_number().as_bytes().to_vec(),
        at: at(),
        reason: Reason::KeyCompromise,
    }];
    let list = authority.crl(&ListRequest {
        number: 1,
        dates: Validity::days(at(), 30),
        revoked: &revoked,
    });
    let crls = Crls::new(vec![Crl::read(&list.unwrap()).unwrap()]).unwrap();
    let trust = TlsTrust::new(&[authority.certificate().clone()], Arc::new(crls)).unwrap();
    assert!(trust.judge(&good, at()).is_ok());
    assert_eq!(trust.judge(&lost, at()), Err(TlsRefusal::Revoked));
    // Some clients send the root along, which must not be told as a path that is too long.
    let along = [lost[0].clone(), authority.certificate().clone()];
    assert_eq!(trust.judge(&along, at()), Err(TlsRefusal::Revoked));
    let along = [good[0].clone(), authority.certificate().clone()];
    assert!(trust.judge(&along, at()).is_ok());
    let later = at().plus_ms(80 * super::DAY);
    assert_eq!(trust.judge(&good, later), Err(TlsRefusal::ListExpired));
}

#[test]
fn a_root_is_taken_at_its_word() {
    let (ishikawa, city) = (
        Party::authority("石川県 TLS"),
        Party::authority("金沢市 TLS"),
    );
    let hanako = Party::operator();
    let via = ishikawa.issues(&city, |_| ());
    let below = city.issues(&hanako, |_| ());
    let direct = ishikawa.issues(&hanako, |_| ());
    let check = |root: &CertificateDer<'static>, directly: &str, below_a_ca: &str, what: &str| {
        assert_eq!(judged(&[root], &[&direct]), directly, "{what}");
        assert_eq!(judged(&[root], &[&below, &via]), below_a_ca, "{what}");
    };
    let good = ishikawa.root(|_| ());
    check(&good, "ok", "ok", "as it is");
    let short = ishikawa.root(constrained(0));
    check(&short, "ok", "certificate-form", "no CA below it");
    let form = "certificate-form";
    let lists = ishikawa.root(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]);
    check(&lists, form, form, "signs lists only");
    check(
        &ishikawa.root(unknown(true)),
        form,
        form,
        "unknown and critical",
    );
    let over = "certificate-expired";
    let old = ishikawa.root(|params| lasts(params, 0, 29));
    check(&old, over, over, "over");
    let early = "certificate-not-yet-valid";
    let next = ishikawa.root(|params| lasts(params, 31, 365));
    check(&next, early, early, "to come");

    // Of two with one name and one key, each is judged as itself: in any order the good one anchors.
    for bad in [&old, &next, &short, &lists] {
        assert_eq!(judged(&[bad, &good], &[&below, &via]), "ok");
        assert_eq!(judged(&[&good, bad], &[&below, &via]), "ok");
    }
}

//! Which lists of the operator's the own log is to carry, and which of those that logs carry are kept.

use std::fs;

use city_protocol::body::Trust;
use city_protocol::pki::Issuers;

use super::crl::{ISSUED, list};
use super::*;
use crate::pki::log_lists::LogLists;
use crate::pki::own_lists::own_trust;

fn pem(label: &str, der: &[u8]) -> String {
    use x509_cert::der::pem::{LineEnding, encode_string};
    encode_string(label, LineEnding::LF, der).unwrap()
}

fn kanazawa() -> Region {
    "Asia/JP/17/17201".parse().unwrap()
}

#[test]
fn the_log_carries_the_newest_of_the_cas_above_the_node() {
    let ishikawa = Ishikawa::new();
    let city = ishikawa.city_with(|_| ());
    let by_city = Issuer::new(&city, &ishikawa.city).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let say = |chain: &[Vec<u8>]| {
        let roots = ishikawa.roots();
        own_trust(dir.path(), chain, &roots, &kanazawa(), ISSUED).unwrap()
    };
    assert_eq!(say(&[]), None);
    let chain = [city.clone()];
    assert_eq!(say(&chain).unwrap().certificates, chain);

    let root = [1, 2].map(|number| list(&ishikawa.issuer(), number, ISSUED, &[]));
    let of_city = list(&by_city, 1, ISSUED, &[]);
    let tls = TlsAuthority::create("石川県 CA TLS", Validity::days(APRIL, 3650)).unwrap();
    let of_tls = tls
        .crl(&crate::pki::revocation::ListRequest {
            number: 1,
            dates: Validity::days(ISSUED, 30),
            revoked: &[],
        })
        .unwrap();
    // By the root's name and another key.
    let forged = {
        let other = root_of("石川県 CA");
        let issuer = Issuer::new(&other.0, &other.1).unwrap();
        list(&issuer, 9, ISSUED, &[])
    };
    let put = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    put("older.crl", &root[0]);
    put("tls.crl", &of_tls);
    put("forged.crl", &forged);
    let both = pem("CERTIFICATE", &city) + &pem("X509 CRL", &root[1]);
    put("newest.pem", both.as_bytes());
    let said = say(&[]).unwrap();
    assert_eq!(
        (said.lists, said.certificates),
        (vec![root[1].clone().into()], vec![city.clone().into()])
    );
    put("city.crl", &of_city);
    let said = say(&chain).unwrap();
    assert_eq!((said.lists.len(), said.certificates.len()), (2, 1));
    assert!(said.lists.iter().any(|der| **der == of_city));
    assert!(Trust::read(&city_protocol::codec::encode(&said)).is_ok());
}

fn root_of(name: &str) -> (Vec<u8>, SecretKey) {
    let key = SecretKey::generate(Algorithm::Dilithium5);
    (root(name, &key, Validity::days(APRIL, 3650)).unwrap(), key)
}

#[test]
fn of_what_a_log_carries_the_newest_is_kept_and_what_nobody_vouches_for_is_not() {
    let ishikawa = Ishikawa::new();
    let city = ishikawa.city_with(|_| ());
    let by_city = Issuer::new(&city, &ishikawa.city).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("crls-from-logs");
    let open = || LogLists::new(kept.clone(), ishikawa.roots().into());
    let mut lists = open();
    let log = LogId([1; 32]);
    let check = |lists: &mut LogLists, der: &Vec<u8>, via: &[&Vec<u8>], expected: usize| {
        let body = Trust {
            v: 1,
            lists: vec![der.clone().into()],
            certificates: via.iter().map(|der| (*der).clone().into()).collect(),
        };
        let newer = lists.keep(&log, &body, &kanazawa(), ISSUED).unwrap();
        assert_eq!(newer, expected);
    };
    let [one, two, three] = [1, 2, 3].map(|n| list(&ishikawa.issuer(), n, ISSUED, &[&city]));
    let (other_root, other_key) = root_of("石川県 CA");
    let forged = list(
        &Issuer::new(&other_root, &other_key).unwrap(),
        9,
        ISSUED,
        &[],
    );
    check(&mut lists, &forged, &[], 0);
    assert!(!kept.exists(), "nothing is written");
    check(&mut lists, &two, &[], 1);
    check(&mut lists, &two, &[], 0);
    check(&mut lists, &one, &[], 0);
    // Also after a restart, and beside a forged one that claims to be newer.
    let mut lists = open();
    check(&mut lists, &one, &[], 0);
    check(&mut lists, &forged, &[], 0);
    let files = || -> Vec<Vec<u8>> {
        let files = fs::read_dir(&kept).unwrap();
        files
            .map(|file| fs::read(file.unwrap().path()).unwrap())
            .collect()
    };
    assert_eq!(files(), [two]);
    check(&mut lists, &three, &[], 1);
    assert_eq!(files(), [three]);
    // An intermediate's counts only beside its certificate, and has a file of its own.
    let of_city = list(&by_city, 1, ISSUED, &[]);
    check(&mut lists, &of_city, &[], 0);
    check(&mut lists, &of_city, &[&city], 1);
    assert_eq!(files().len(), 2);
}

#[test]
fn a_ca_that_may_not_be_one_vouches_for_nothing() {
    let ishikawa = Ishikawa::new();
    let check = |change: &dyn Fn(&mut Draft), at: Timestamp, expected: CertificateRefusal| {
        let city = ishikawa.city_with(change);
        let issuers = Issuers::new(&ishikawa.roots(), &kanazawa(), &[&city], at);
        assert_eq!(issuers.refusal(0), Some(expected));
    };
    check(
        &|d| d.set::<BasicConstraints>(None),
        ISSUED,
        CertificateRefusal::NotCa,
    );
    check(
        &|d| d.usage(KeyUsages::CRLSign),
        ISSUED,
        CertificateRefusal::KeyUsage,
    );
    check(
        &|_| (),
        APRIL.plus_ms(4000 * DAY),
        CertificateRefusal::Expired,
    );
    // One that signs certificates only.
    let mute = ishikawa.city_with(|d| d.usage(KeyUsages::KeyCertSign));
    let by_city = Issuer::new(&mute, &ishikawa.city).unwrap();
    let issuers = Issuers::new(&ishikawa.roots(), &kanazawa(), &[&mute], ISSUED);
    assert_eq!(issuers.refusal(0), None);
    let judged = issuers.list(&list(&by_city, 1, ISSUED, &[]));
    assert_eq!(judged.map(|_| ()), Err(CertificateRefusal::KeyUsage));
}

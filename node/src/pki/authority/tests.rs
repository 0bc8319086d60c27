//! A CA's directory: made, opened, damaged, rolled over.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use city_protocol::amount::Timestamp;
use city_protocol::crypto::{Algorithm, KemSecretKey};
use city_protocol::ids::{AccountId, LogId};
use city_protocol::pki::{Crl, Crls, Role, verify_client, verify_node};
use city_protocol::region::Region;
use libp2p::identity::Keypair;

use super::lists::Selector;
use super::*;
use crate::pki::case::{Case, CrlOptions};
use crate::pki::revocation::Reason;
use crate::pki::tls::TlsKey;
use crate::pki::tls_client::TlsSubject;
use crate::pki::{ClientRequest, NodeRequest};

/// 2026-04-01T00:00:00Z.
const APRIL: Timestamp = Timestamp(1_775_001_600_000);

#[test]
fn a_ca_of_either_suite_is_made_opened_and_issues_what_is_admitted() {
    // A root of one suite may certify keys of the other: the network lists which there are.
    for (ca, leaf) in [
        (Suite::Dilithium5Ntru, Suite::Dilithium5Ntru),
        (Suite::Fips, Suite::Fips),
        (Suite::Fips, Suite::Dilithium5Ntru),
    ] {
        made_opened_and_issuing(ca, leaf);
    }
}

fn made_opened_and_issuing(suite: Suite, leaf: Suite) {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca");
    let made = Authority::create(
        &ca,
        "石川県 CA",
        suite,
        &CaLock::Unencrypted,
        Validity::days(APRIL, 3650),
    )
    .unwrap();
    for file in ["root.key", "tls-root.key"] {
        let mode = fs::metadata(ca.join(file)).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{file}");
    }
    let again = Authority::create(
        &ca,
        "石川県 CA",
        suite,
        &CaLock::Unencrypted,
        Validity::days(APRIL, 3650),
    );
    assert!(matches!(again, Err(AuthorityError::Exists { .. })));

    let authority = Authority::open(&ca, None).unwrap();
    assert_eq!(authority.root_der(), made.root_der());
    assert_eq!(authority.tls_root(), made.tls_root());
    let roots = [authority.root("Asia/JP/17".parse().unwrap()).unwrap()];
    let region: Region = "Asia/JP/17/17201".parse().unwrap();
    let at = APRIL.plus_ms(1);
    let year = Validity::days(APRIL, 365);

    let key = SecretKey::generate(leaf.signing());
    let kem = KemSecretKey::generate(leaf.kem());
    let peer_id = Keypair::generate_ed25519()
        .public()
        .to_peer_id()
        .to_string();
    let request = NodeRequest {
        region: &region,
        role: Role::Home,
        key: key.public(),
        peer_id: &peer_id,
        kem: Some(kem.public()),
    };
    let node = authority.issue_node(&request, year).unwrap();
    let node = verify_node(&roots, &node, &[], &Crls::none(), at)
        .unwrap()
        .certificate;
    assert_eq!(
        (node.region, node.role, node.peer_id),
        (region.clone(), Role::Home, peer_id)
    );
    assert_eq!(
        (&node.key, node.kem.as_ref()),
        (key.public(), Some(kem.public()))
    );
    assert_eq!((node.not_before, node.not_after), (APRIL, year.not_after));

    let account = AccountId::new(&LogId([7; 32]), &key.public().id());
    let request = ClientRequest {
        account: &account,
        key: key.public(),
        kem: Some(kem.public()),
    };
    let client = authority.issue_client(&request, year).unwrap();
    let client = verify_client(&roots, &client, &[], &Crls::none(), at, &region)
        .unwrap()
        .certificate;
    assert_eq!(client.account, account);
    assert_eq!(
        (&client.key, client.kem.as_ref()),
        (key.public(), Some(kem.public()))
    );
}

#[test]
fn a_damaged_directory_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    Authority::create(
        &one,
        "CA",
        Suite::Fips,
        &CaLock::Unencrypted,
        Validity::days(APRIL, 1),
    )
    .unwrap();
    Authority::create(
        &two,
        "CA",
        Suite::Fips,
        &CaLock::Unencrypted,
        Validity::days(APRIL, 1),
    )
    .unwrap();
    let told = |what: &[&str]| {
        let error = Authority::open(&one, None).unwrap_err().to_string();
        for word in what {
            assert!(error.contains(word), "{error} lacks {word}");
        }
    };
    let exchange = |file: &str| fs::copy(two.join(file), one.join(file)).unwrap();
    exchange("tls-root.pem");
    told(&["tls-root.pem", "tls-root.key"]);
    exchange("root.pem");
    told(&["root.pem", "root.key", "backup"]);
    fs::write(one.join("root.pem"), "no PEM").unwrap();
    told(&["root.pem", "not a PEM certificate"]);
    exchange("root.pem");
    fs::set_permissions(one.join("root.key"), fs::Permissions::from_mode(0o640)).unwrap();
    told(&["root.key", "chmod 600"]);
    fs::remove_file(one.join("root.key")).unwrap();
    told(&["root.key", "no such key file"]);
}

const DAY: u64 = 24 * 60 * 60 * 1000;

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(zeroize::Zeroizing::new(text.into())).unwrap()
}

fn ishikawa(directory: &Path) -> Authority {
    let years = Validity::days(APRIL, 3650);
    Authority::create(
        directory,
        "石川県 CA",
        Suite::Dilithium5Ntru,
        &CaLock::Unencrypted,
        years,
    )
    .unwrap()
}

/// A client certificate of the CA, and what a node with these roots and lists says of it.
fn judged(ca: &Authority, leaf: &[u8], roots: &[Root], lists: &[&ListFile]) -> &'static str {
    let region: Region = "Asia/JP/17/17201".parse().unwrap();
    let lists = lists.iter().flat_map(|list| {
        let pem = fs::read(&list.path).unwrap();
        Crl::read_pem(&pem).unwrap()
    });
    let crls = Crls::new(lists.collect()).unwrap();
    let at = APRIL.plus_ms(DAY);
    verify_client(roots, leaf, ca.chain(), &crls, at, &region).map_or_else(
        CertificateRefusal::code,
        |admitted| {
            admitted
                .warnings
                .first()
                .map_or("ok", |warning| warning.code())
        },
    )
}

fn client(ca: &Authority) -> Vec<u8> {
    let key = SecretKey::generate(Algorithm::Dilithium5);
    let request = ClientRequest {
        account: &AccountId::new(&LogId([7; 32]), &key.public().id()),
        key: key.public(),
        kem: None,
    };
    ca.issue_client(&request, Validity::days(APRIL, 365))
        .unwrap()
}

#[test]
fn what_is_revoked_stands_on_the_next_list() {
    let directory = tempfile::tempdir().unwrap();
    let ca = ishikawa(directory.path());
    let (good, lost) = (client(&ca), client(&ca));
    let roots = [ca.root("Asia/JP/17".parse().unwrap()).unwrap()];
    let month = Validity::days(APRIL, 30);
    assert_eq!(judged(&ca, &lost, &roots, &[]), "crl-none");
    let first = ca.write_lists(month).unwrap();
    assert_eq!(
        (first.len(), first[0].listed.number, first[0].listed.entries),
        (2, 1, 0)
    );
    assert_eq!(judged(&ca, &lost, &roots, &[&first[0]]), "ok");

    let pem = to_pem(&lost).unwrap();
    let which = Selector::of_certificate(pem.as_bytes()).unwrap();
    let revoked = ca.revoke(&which, Reason::KeyCompromise, APRIL).unwrap();
    assert!(!revoked.already);
    let again = ca
        .revoke(
            &revoked.issued.serial.parse().unwrap(),
            Reason::Superseded,
            APRIL.plus_ms(DAY),
        )
        .unwrap();
    let as_before = Withdrawn {
        already: true,
        ..revoked.clone()
    };
    assert_eq!(again, as_before);
    let unknown = ca.revoke(&"0badc0de".parse().unwrap(), Reason::Superseded, APRIL);
    assert!(matches!(unknown, Err(AuthorityError::Unknown(_))));

    // What one process entered, the next knows.
    let ca = Authority::open(directory.path(), None).unwrap();
    let second = ca.write_lists(month).unwrap();
    assert_eq!((second[0].listed.number, second[0].listed.entries), (2, 1));
    assert_eq!(
        second[1].listed.entries, 0,
        "the classical root issued none of it"
    );
    assert_eq!(judged(&ca, &lost, &roots, &[&second[0]]), "cert-revoked");
    assert_eq!(judged(&ca, &good, &roots, &[&second[0]]), "ok");
    let issued = Overview::read(directory.path()).unwrap().issued;
    assert_eq!(issued.len(), 2);
    assert_eq!(issued[1].1.as_ref().unwrap().reason, Reason::KeyCompromise);
    // Long after it expired, a list no longer names it.
    let later = Validity::days(APRIL.plus_ms(411 * DAY), 30);
    assert_eq!(ca.write_lists(later).unwrap()[0].listed.entries, 0);
}

#[test]
fn a_root_takes_over_from_another() {
    let directory = tempfile::tempdir().unwrap();
    let mut ca = ishikawa(directory.path());
    let old_leaf = client(&ca);
    let prefix = || "Asia/JP/17".parse().unwrap();
    let old = ca.root(prefix()).unwrap();
    let years = Validity::days(APRIL, 3650);
    ca.add_root("石川県 CA 2", Suite::Fips, &CaLock::Unencrypted, years)
        .unwrap();
    let new_leaf = client(&ca);
    let new = ca.root(prefix()).unwrap();
    assert_ne!(old, new);

    let lists = ca.write_lists(Validity::days(APRIL, 30)).unwrap();
    assert_eq!(lists.len(), 4);
    let lists: Vec<_> = lists.iter().collect();
    let check = |expected: &str, leaf: &[u8], roots: &[Root]| {
        assert_eq!(judged(&ca, leaf, roots, &lists), expected);
    };
    let both = [old.clone(), new.clone()];
    check("ok", &old_leaf, &both);
    check("ok", &new_leaf, &both);
    check("cert-unknown-issuer", &new_leaf, std::slice::from_ref(&old));
    check("cert-unknown-issuer", &old_leaf, std::slice::from_ref(&new));

    let mut again = Authority::open(directory.path(), None).unwrap();
    again.issue_by("root").unwrap();
    check("ok", &client(&again), std::slice::from_ref(&old));
    assert_eq!(again.tls_issuer().id, "tls-root");
    again.issue_by("tls-root-2").unwrap();
    assert_eq!(again.root_der(), new.der);
    assert!(matches!(
        again.issue_by("root-3"),
        Err(AuthorityError::Issuer(_))
    ));
    again.issue_by("root-2").unwrap();
    assert_eq!(again.tls_roots().count(), 2);
    assert_eq!(again.root_der(), new.der);
    assert!(again.issue_under(std::slice::from_ref(&old)));
    assert_eq!(again.root_der(), old.der);
    assert!(!again.issue_under(&[]));
}

#[test]
fn a_municipality_issues_below_its_prefecture() {
    let directory = tempfile::tempdir().unwrap();
    let (above, below) = (directory.path().join("pref"), directory.path().join("city"));
    let prefecture = ishikawa(&above);
    let key = SecretKey::generate(Algorithm::Dilithium5);
    let years = Validity::days(APRIL, 1825);
    let der = prefecture
        .issue_intermediate("金沢市 CA", key.public(), 0, years)
        .unwrap();
    let file = directory.path().join("city.pem");
    let lock = CaLock::Passphrase(passphrase("correct horse battery"));
    let stranger = SecretKey::generate(Algorithm::Dilithium5);
    write_public(&file, to_pem(&der).unwrap().as_bytes()).unwrap();
    let wrong = Authority::create_intermediate(&below, &file, stranger, &lock, years);
    assert!(matches!(wrong, Err(AuthorityError::NotIntermediate { .. })));
    let city = Authority::create_intermediate(&below, &file, key, &lock, years).unwrap();

    let town = SecretKey::generate(Algorithm::Dilithium5);
    let further = city.issue_intermediate("片町 CA", town.public(), 0, years);
    assert!(matches!(
        further,
        Err(AuthorityError::Issue(IssueError::PathLength(0)))
    ));

    let leaf = client(&city);
    let roots = [prefecture.root("Asia/JP/17".parse().unwrap()).unwrap()];
    let month = Validity::days(APRIL, 30);
    let (upper, lower) = (
        prefecture.write_lists(month).unwrap(),
        city.write_lists(month).unwrap(),
    );
    assert_eq!(judged(&city, &leaf, &roots, &[&upper[0], &lower[0]]), "ok");
    let which = Selector::of_certificate(to_pem(&der).unwrap().as_bytes()).unwrap();
    prefecture
        .revoke(&which, Reason::CaCompromise, APRIL)
        .unwrap();
    let upper = prefecture.write_lists(month).unwrap();
    assert_eq!(
        judged(&city, &leaf, &roots, &[&upper[0], &lower[0]]),
        "cert-revoked"
    );
}

#[test]
fn sealed_keys_need_their_passphrase() {
    let directory = tempfile::tempdir().unwrap();
    let good = passphrase("correct horse battery");
    let lock = CaLock::Passphrase(passphrase("correct horse battery"));
    let made = Authority::create(
        directory.path(),
        "CA",
        Suite::Fips,
        &lock,
        Validity::days(APRIL, 1),
    )
    .unwrap();
    assert!(Authority::is_sealed(directory.path()).unwrap());
    let told = |passphrase| {
        Authority::open(directory.path(), passphrase)
            .unwrap_err()
            .to_string()
    };
    assert!(told(None).contains("--passphrase-file"));
    assert!(told(Some(&passphrase("another horse entirely"))).contains("wrong passphrase"));
    let opened = Authority::open(directory.path(), Some(&good)).unwrap();
    assert_eq!(opened.root_der(), made.root_der());
    for file in ["root.key", "tls-root.key"] {
        let content = fs::read(directory.path().join(file)).unwrap();
        let secret = made.pq[0].key.expose_secret();
        assert!(
            !content.windows(32).any(|window| window == &secret[..32]),
            "{file}"
        );
        assert!(
            !content.windows(11).any(|window| window == b"PRIVATE KEY"),
            "{file}"
        );
    }
}

#[test]
fn openssl_reads_what_the_classical_root_issues() {
    use std::process::Command;
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: no openssl");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(directory.path())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let ca = ishikawa(directory.path());
    // The app keeps its key: the CA sees a request.
    let (made, text) = openssl(&[
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "app.key",
        "-out",
        "app.csr",
        "-subj",
        "/CN=whatever",
    ]);
    assert!(made, "{text}");
    let request = fs::read(path("app.csr")).unwrap();
    let mut changed = String::from_utf8(request.clone()).unwrap();
    let at = changed
        .rfind("==\n")
        .or(changed.rfind("=\n"))
        .map_or(changed.len() - 40, |at| at - 8);
    let other = if &changed[at..=at] == "A" { "B" } else { "A" };
    changed.replace_range(at..=at, other);
    assert!(matches!(
        TlsKey::from_request(changed.as_bytes()),
        Err(TlsError::Request(_))
    ));
    let key = TlsKey::from_request(&request).unwrap();
    let subject = TlsSubject::Operator("yamada".parse().unwrap());
    let year = Validity::days(APRIL, 365);
    let certificate = ca.certify_tls_client(&key, &subject, year).unwrap();
    let pem = to_pem(&certificate).unwrap();
    fs::write(path("app.pem"), &pem).unwrap();
    let at = (APRIL.plus_ms(DAY).0 / 1000).to_string();
    let verify = || {
        openssl(&[
            "verify",
            "-x509_strict",
            "-crl_check",
            "-purpose",
            "sslclient",
            "-attime",
            &at,
            "-CAfile",
            "tls-root.pem",
            "-CRLfile",
            "tls-root.crl.pem",
            "app.pem",
        ])
    };
    let month = Validity::days(APRIL, 30);
    ca.write_lists(month).unwrap();
    let (good, text) = verify();
    assert!(good, "{text}");
    let which = Selector::of_certificate(pem.as_bytes()).unwrap();
    ca.revoke(&which, Reason::CessationOfOperation, APRIL)
        .unwrap();
    ca.write_lists(month).unwrap();
    let (good, text) = verify();
    assert!(!good && text.contains("certificate revoked"), "{text}");
    let (_, text) = openssl(&["crl", "-in", "tls-root.crl.pem", "-noout", "-text"]);
    assert!(text.contains("Cessation Of Operation"), "{text}");

    // `ca verify` says the same of it.
    let verdict = |with_list: bool| {
        let mut case = Case::default();
        case.read_leaf(&pem).unwrap();
        let root = fs::read_to_string(path("tls-root.pem")).unwrap();
        Case::read_certificates(&root, &mut case.roots).unwrap();
        case.usage = Some(city_protocol::pki::foreign::Usage::Client);
        if with_list {
            case.read_crls(&fs::read_to_string(path("tls-root.crl.pem")).unwrap());
        }
        case.judge(APRIL.plus_ms(DAY), CrlOptions::default()).reason
    };
    assert_eq!((verdict(false), verdict(true)), ("valid", "cert-revoked"));
}

/// A reviewer's finding: nodes take no list of more entries than this.
#[test]
fn a_list_that_no_node_would_take_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let ca = ishikawa(directory.path());
    let month = Validity::days(APRIL, 30);
    ca.write_lists(month).unwrap();
    let register = directory.path().join("issued.jsonl");
    let before = fs::read_to_string(&register).unwrap();
    let revoke = |count: usize| {
        let line = |n: usize| {
            let not_after = APRIL.plus_ms(DAY).0;
            format!(
                "{{\"event\":\"revoked\",\"issuer\":\"root\",\"serial\":\"{n:08x}\",\"at\":1,\"reason\":\"superseded\",\"not_after\":{not_after}}}\n"
            )
        };
        let lines: String = (1..=count).map(line).collect();
        fs::write(&register, before.clone() + &lines).unwrap();
        Authority::open(directory.path(), None).unwrap()
    };
    let most = revoke(MAX_CRL_ENTRIES).write_lists(month).unwrap();
    assert_eq!(most[0].listed.entries, MAX_CRL_ENTRIES);
    let list = Crl::read_pem(&fs::read(&most[0].path).unwrap()).unwrap();
    assert_eq!(list[0].entries(), MAX_CRL_ENTRIES);
    let refused = revoke(MAX_CRL_ENTRIES + 1).write_lists(month).unwrap_err();
    assert!(refused.to_string().contains("50001"), "{refused}");
    let stands = Crl::read_pem(&fs::read(&most[0].path).unwrap()).unwrap();
    assert_eq!(stands[0].fingerprint(), list[0].fingerprint());
}

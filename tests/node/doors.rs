//! Who may speak to a node over HTTPS: real curl and openssl at both doors of a real daemon; a revocation, a
//! broken file and a renewed certificate arrive while it runs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

use city_node::access::audit::Which;
use city_node::client::ApiClient;
use city_node::client::person::Person;
use city_node::engine::utc;
use city_node::pki::revocation::{ListRequest, Reason, Revocation};
use city_node::pki::{Authority, CaLock, TlsIdentity, TlsSubject, Validity};
use city_protocol::crypto::Suite;
use city_protocol::ids::AccountId;
use rustls_pki_types::PrivateKeyDer;
use x509_cert::Certificate;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{Decode as _, pem::encode_string};

use crate::daemon::city::{City, Node, PATIENCE, alone};

/// Files of one client: certificate and key in PEM.
struct Shown {
    certificate: PathBuf,
    key: PathBuf,
    serial: Vec<u8>,
}

/// A city with a node that has both doors open, and its clients' files.
struct Hall {
    dir: tempfile::TempDir,
    city: City,
    node: Node,
    number: u64,
}

fn validity() -> Validity {
    Validity::days(utc().minus_ms(60_000), 2)
}

fn pem(label: &str, der: &[u8]) -> String {
    encode_string(label, LineEnding::LF, der).unwrap()
}

impl Hall {
    async fn open() -> Self {
        Self::open_for(&[]).await
    }

    /// With these operators only; all of the CA's if none is named.
    async fn open_for(operators: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut city = alone(dir.path(), dir.path().join("city"));
        city.config.api.operator_listen = Some(([127, 0, 0, 1], 0).into());
        let operators = operators.iter().map(|name| name.parse().unwrap());
        city.config.api.operators = operators.collect();
        city.configure();
        let node = city.ready().await;
        Self {
            dir,
            city,
            node,
            // The CA's own first list is number 1.
            number: 2,
        }
    }

    fn authority(&self) -> Authority {
        Authority::open(&self.city.ca, None).unwrap()
    }

    fn client(&self, file: &str, subject: &TlsSubject) -> Shown {
        let identity = self.authority().tls().client(subject, validity()).unwrap();
        self.keep(file, &identity)
    }

    fn keep(&self, file: &str, identity: &TlsIdentity) -> Shown {
        let path = |end: &str| self.dir.path().join(format!("{file}.{end}"));
        let leaf = &identity.chain[0];
        std::fs::write(path("pem"), pem("CERTIFICATE", leaf)).unwrap();
        let PrivateKeyDer::Pkcs8(key) = &identity.key else {
            panic!("PKCS#8 is what is issued")
        };
        std::fs::write(path("key"), pem("PRIVATE KEY", key.secret_pkcs8_der())).unwrap();
        let read = Certificate::from_der(leaf).unwrap();
        Shown {
            certificate: path("pem"),
            key: path("key"),
            serial: read.tbs_certificate().serial_number().as_bytes().to_vec(),
        }
    }

    /// The CA's next list arrives in `crls/`.
    fn revoke(&mut self, serials: &[&[u8]]) {
        let revoked: Vec<Revocation> = serials
            .iter()
            .map(|serial| Revocation {
                serial: serial.to_vec(),
                at: utc(),
                reason: Reason::KeyCompromise,
            })
            .collect();
        let request = ListRequest {
            number: self.number,
            dates: validity(),
            revoked: &revoked,
        };
        self.number += 1;
        let list = self.authority().tls().crl(&request).unwrap();
        let crls = self.city.data.crls();
        std::fs::create_dir_all(&crls).unwrap();
        std::fs::write(crls.join("tls.crl"), pem("X509 CRL", &list)).unwrap();
    }

    fn door(&self, key: &str) -> String {
        let log = self.node.log();
        let line = log.lines().find(|line| line.contains(key)).expect(&log);
        let address = line.split(key).nth(1).unwrap();
        address.split_whitespace().next().unwrap().to_owned()
    }

    fn app(&self) -> String {
        self.door("api=")
    }

    fn operators(&self) -> String {
        self.door("operators are served address=")
    }

    fn curl(&self, url: &str, shown: Option<&Shown>) -> Output {
        let mut curl = Command::new("curl");
        let root = self.city.data.tls_root();
        curl.args(["--silent", "--show-error", "--max-time", "20", "--include"]);
        curl.arg("--cacert").arg(root).arg(url);
        if let Some(shown) = shown {
            curl.arg("--cert").arg(&shown.certificate);
            curl.arg("--key").arg(&shown.key);
        }
        curl.output().unwrap()
    }

    /// Waits until the node has taken this many exchanges.
    async fn exchanges(&self, count: u64) {
        let begun = Instant::now();
        loop {
            let admin = self.node.admin().await.unwrap();
            let now = admin.status().await.unwrap().certificates.exchanges;
            if now >= count {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{}", self.node.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn hang_up(&self) {
        let pid = i32::try_from(self.node.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }
}

fn has(tool: &str) -> bool {
    let ask = if tool == "openssl" {
        "version"
    } else {
        "--version"
    };
    let mut found = Command::new(tool);
    let found = found.arg(ask).stdout(Stdio::null()).stderr(Stdio::null());
    let found = found.status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        eprintln!("skipped: no {tool}");
    }
    found
}

fn hanako() -> TlsSubject {
    TlsSubject::Operator("hanako".parse().unwrap())
}

fn somebody() -> TlsSubject {
    let account: AccountId = "ubqxbxvmedbbampu-7ubseqke45ungathniodw6tngc"
        .parse()
        .unwrap();
    TlsSubject::Account(account)
}

/// Status code and text of a curl call that got an answer.
fn answer(output: &Output) -> (u16, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    let status = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, text)
}

/// That curl was turned away by a TLS alert, with these words of OpenSSL.
#[track_caller]
fn alert(output: &Output, words: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{output:?}");
    assert!(told.contains("alert") && told.contains(words), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_at_both_doors() {
    if !has("curl") {
        return;
    }
    let mut hall = Hall::open().await;
    let operator = hall.client("hanako", &hanako());
    let person = hall.client("person", &somebody());
    let (app, operators) = (hall.app(), hall.operators());
    let node = format!("https://{app}/send/api/node");
    let status = format!("https://{operators}/v1/status");

    // Without a certificate: apps are served, operators' door says `certificate required`.
    assert_eq!(answer(&hall.curl(&node, None)).0, 200);
    alert(&hall.curl(&status, None), "certificate required");
    // With one: an operator is served, a person is no operator.
    let (code, text) = answer(&hall.curl(&status, Some(&operator)));
    assert!(code == 200 && text.contains("\"sequencing\""), "{text}");
    let (code, text) = answer(&hall.curl(&status, Some(&person)));
    assert!(code == 403 && text.contains("operators-only"), "{text}");
    assert_eq!(answer(&hall.curl(&node, Some(&person))).0, 200);
    // The operators' door has nothing of the app's, and the other way.
    let elsewhere = format!("https://{operators}/send/api/node");
    assert_eq!(answer(&hall.curl(&elsewhere, Some(&operator))).0, 404);

    // Somebody else's CA.
    let stranger = Authority::create(
        &hall.dir.path().join("other"),
        "他 CA",
        Suite::Dilithium5Ntru,
        &CaLock::Unencrypted,
        validity(),
    )
    .unwrap();
    let identity = stranger.tls().client(&hanako(), validity()).unwrap();
    let stranger = hall.keep("stranger", &identity);
    alert(&hall.curl(&status, Some(&stranger)), "unknown ca");
    let (code, text) = answer(&hall.curl(&node, Some(&stranger)));
    assert!(
        code == 401 && text.contains("certificate-unknown-issuer"),
        "{text}"
    );
    assert!(text.contains("application/problem+json"), "{text}");
    // A server's certificate is no client's.
    let names = ["localhost".to_owned()];
    let server = hall
        .authority()
        .issue_tls_server(&names, &[], validity())
        .unwrap();
    let server = hall.keep("server", &server);
    let (code, text) = answer(&hall.curl(&node, Some(&server)));
    assert!(code == 401 && text.contains("certificate-form"), "{text}");

    // A list arrives: both are revoked, in a running node, without a restart.
    hall.revoke(&[&operator.serial, &person.serial]);
    hall.exchanges(1).await;
    alert(&hall.curl(&status, Some(&operator)), "certificate revoked");
    let (code, text) = answer(&hall.curl(&node, Some(&person)));
    assert!(
        code == 401 && text.contains("certificate-revoked"),
        "{text}"
    );
    assert_eq!(answer(&hall.curl(&node, None)).0, 200);

    // A broken list keeps the old state, says so, and does not open the door again.
    let list = hall.city.data.crls().join("tls.crl");
    std::fs::write(
        &list,
        "-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n",
    )
    .unwrap();
    hall.hang_up();
    let begun = Instant::now();
    loop {
        let admin = hall.node.admin().await.unwrap();
        let told = admin
            .status()
            .await
            .unwrap()
            .certificates
            .warnings
            .join("\n");
        if told.contains("not in force") {
            assert!(
                told.contains("tls.crl") && told.contains("remove it"),
                "{told}"
            );
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{}", hall.node.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    alert(&hall.curl(&status, Some(&operator)), "certificate revoked");
    // The list before it is none either, though it can be read.
    let newest = hall.number;
    hall.number = 0;
    hall.revoke(&[]);
    hall.number = newest;
    let begun = Instant::now();
    loop {
        let admin = hall.node.admin().await.unwrap();
        let told = admin.status().await.unwrap().certificates.warnings;
        if told.join("\n").contains("judged by") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{}", hall.node.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    alert(&hall.curl(&status, Some(&operator)), "certificate revoked");
    // The next list has nothing on it: its CA took the revocation back.
    hall.revoke(&[]);
    hall.exchanges(2).await;
    assert_eq!(answer(&hall.curl(&status, Some(&operator))).0, 200);
    let text = std::fs::read_to_string(hall.dir.path().join("city/node.log")).unwrap();
    assert!(!text.contains("PRIVATE KEY"), "{text}");
}

/// `openssl s_client` that stays connected, and what it prints.
struct Session {
    child: Child,
    input: ChildStdin,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Session {
    fn open(root: &Path, address: &str, shown: Option<&Shown>, more: &[&str]) -> Self {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", address, "-verify_return_error"]);
        client
            .args(["-servername", "localhost", "-CAfile"])
            .arg(root);
        client.args(more);
        if let Some(shown) = shown {
            client.arg("-cert").arg(&shown.certificate);
            client.arg("-key").arg(&shown.key);
        }
        client.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = client.stderr(Stdio::null()).spawn().unwrap();
        let (tell, lines) = std::sync::mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _nobody = tell.send(line);
            }
        });
        let input = child.stdin.take().unwrap();
        Self {
            child,
            input,
            lines,
        }
    }

    fn get(&mut self, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let _gone = self.input.write_all(request.as_bytes());
    }

    fn wait_for(&self, words: &str) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(words) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        false
    }

    fn ends(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _over = self.child.kill();
        let _over = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_sees_tls_1_3_only_and_a_revoked_connection_is_cut() {
    if !has("openssl") {
        return;
    }
    let mut hall = Hall::open().await;
    let root = hall.city.data.tls_root();
    let (good, bad) = (
        hall.client("hanako", &hanako()),
        hall.client("taro", &TlsSubject::Operator("taro".parse().unwrap())),
    );
    let operators = hall.operators();
    let old = Session::open(&root, &hall.app(), None, &["-tls1_2"]);
    assert!(!old.wait_for("New, TLSv1"));
    let new = Session::open(&root, &hall.app(), None, &["-tls1_3"]);
    assert!(new.wait_for("New, TLSv1.3"));

    let mut kept = Session::open(&root, &operators, Some(&good), &[]);
    let mut lost = Session::open(&root, &operators, Some(&bad), &[]);
    for session in [&mut kept, &mut lost] {
        session.get("/v1/status");
        assert!(session.wait_for("200 OK"));
    }
    hall.revoke(&[&bad.serial]);
    hall.exchanges(1).await;
    assert!(
        lost.ends(),
        "an open connection of a revoked certificate ends"
    );
    assert!(kept.child.try_wait().unwrap().is_none());
    kept.get("/v1/status");
    assert!(kept.wait_for("200 OK"), "and no other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_served_without_a_restart_and_a_wrong_key_is_not() {
    let hall = Hall::open().await;
    let data = &hall.city.data;
    let root = hall.authority().tls_root().clone();
    let url = format!("https://{}", hall.app());
    let connect = || ApiClient::new(&url, std::slice::from_ref(&root)).unwrap();
    let api = connect();
    let before = api.node().await.unwrap();
    let authority = hall.authority();
    let address = ["127.0.0.1".parse().unwrap()];
    let renewed = authority
        .issue_tls_server(&[], &address, validity())
        .unwrap();
    // The certificate alone does not fit the key: the old pair stays.
    std::fs::write(
        data.tls_certificate(),
        pem("CERTIFICATE", &renewed.chain[0]),
    )
    .unwrap();
    let begun = Instant::now();
    while !hall.node.log().contains("the old ones stay in force") {
        assert!(begun.elapsed() < PATIENCE, "{}", hall.node.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(connect().node().await.unwrap().log, before.log);
    let PrivateKeyDer::Pkcs8(key) = &renewed.key else {
        panic!("PKCS#8 is what is issued")
    };
    let aside = data.path().join("tls.key.new");
    std::fs::write(&aside, pem("PRIVATE KEY", key.secret_pkcs8_der())).unwrap();
    std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(&aside, data.tls_key()).unwrap();
    hall.exchanges(1).await;
    // The renewed one ends in two days, which is said; new connections get it, and the old one goes on.
    let admin = hall.node.admin().await.unwrap();
    let warnings = admin
        .status()
        .await
        .unwrap()
        .certificates
        .warnings
        .join("\n");
    assert!(warnings.contains("certs/tls.pem) expires at"), "{warnings}");
    assert_eq!(connect().node().await.unwrap().log, before.log);
    assert_eq!(api.node().await.unwrap().log, before.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_speaks_for_its_account_and_an_operator_is_named_in_the_log() {
    if !has("curl") {
        return;
    }
    let hall = Hall::open().await;
    let api = hall.city.api(&hall.node);
    let (one, other) = (hall.city.citizen(&api).await, hall.city.citizen(&api).await);
    let shown = hall.client("one", &TlsSubject::Account(one.account()));
    let account = |of: &AccountId| format!("https://{}/send/api/accounts/{of}", hall.app());
    // No token: the certificate says who asks, and only what is theirs is told.
    let (code, text) = answer(&hall.curl(&account(&one.account()), Some(&shown)));
    assert!(
        code == 200 && text.contains("\"available\":\"0.00\""),
        "{text}"
    );
    let (code, text) = answer(&hall.curl(&account(&other.account()), Some(&shown)));
    assert!(code == 403 && text.contains("not-yours"), "{text}");
    let (code, text) = answer(&hall.curl(&account(&one.account()), None));
    assert!(
        code == 401 && text.contains("www-authenticate: Bearer"),
        "{text}"
    );

    let operator = hall.client("hanako", &hanako());
    let balances = format!("https://{}/v1/balances", hall.operators());
    assert_eq!(answer(&hall.curl(&balances, Some(&operator))).0, 200);
    let admin = hall.node.admin().await.unwrap();
    let lines = admin.records(Which::Access, 0).await.unwrap().lines;
    let done = lines.iter().find(|line| line.class == "operator").unwrap();
    assert_eq!((&*done.who, &*done.what), ("hanako", "GET /v1/balances"));
    // A key that was closed ends its account's certificate, too.
    let sequence = api.account(&one.account()).await.unwrap().next_sequence;
    let revoked = one.revoke("紛失", sequence, utc()).unwrap();
    api.revoke(&revoked).await.unwrap();
    let (code, text) = answer(&hall.curl(&account(&one.account()), Some(&shown)));
    assert!(code == 403 && text.contains("key-revoked"), "{text}");
    // Who holds an operator's certificate is nobody's account.
    let (code, _) = answer(&hall.curl(&account(&one.account()), Some(&operator)));
    assert_eq!(code, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_another_municipality_under_the_same_root_operates_nothing_here() {
    if !has("curl") {
        return;
    }
    let hall = Hall::open_for(&["hanako", "jiro"]).await;
    let ours = hall.client("hanako", &hanako());
    let theirs = TlsSubject::Operator("komatsu-taro".parse().unwrap());
    let theirs = hall.client("theirs", &theirs);
    for path in ["/v1/status", "/v1/balances"] {
        let url = format!("https://{}{path}", hall.operators());
        assert_eq!(answer(&hall.curl(&url, Some(&ours))).0, 200);
        let (code, text) = answer(&hall.curl(&url, Some(&theirs)));
        assert!(code == 403 && text.contains("operators-only"), "{text}");
    }
    // Who was refused at that door is counted, whether by an answer or by an alert.
    let url = format!("https://{}/v1/status", hall.operators());
    assert!(!hall.curl(&url, None).status.success());
    hall.node.stop().await;
    let mut audit = Command::new(env!("CARGO_BIN_EXE_city-node"));
    audit.args([
        "audit",
        "list",
        "--class",
        "refused",
        "--json",
        "--data-dir",
    ]);
    let listed = audit.arg(hall.city.data.path()).output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let lines = listed["lines"].as_array().unwrap().iter();
    let mut counts: Vec<_> = lines
        .map(|line| {
            (
                line["what"].as_str().unwrap(),
                line["count"].as_u64().unwrap(),
            )
        })
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [("no-certificate", 1), ("operators-only", 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_is_spoken_only_where_the_configuration_says_so() {
    if !has("openssl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut city = alone(dir.path(), dir.path().join("city"));
    city.config.api.tls12 = true;
    city.configure();
    let node = city.ready().await;
    let root = city.data.tls_root();
    let old = Session::open(&root, &node.address(), None, &["-tls1_2"]);
    assert!(old.wait_for("New, TLSv1.2"));
    let new = Session::open(&root, &node.address(), None, &[]);
    assert!(new.wait_for("New, TLSv1.3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trust_store_that_cannot_be_read_admits_nobody_and_the_node_runs() {
    let dir = tempfile::tempdir().unwrap();
    let city = alone(dir.path(), dir.path().join("city"));
    std::fs::create_dir_all(city.data.crls()).unwrap();
    std::fs::write(city.data.crls().join("half.crl"), [0x30, 0x82, 0x01]).unwrap();
    let node = city.ready().await;
    let api = city.api(&node);
    let person = Person::generate(&api.node().await.unwrap());
    let authority = Authority::open(&city.ca, None).unwrap();
    let certificate =
        person.request_certificate(|request| authority.issue_client(request, validity()).unwrap());
    let signed = person.enrol(&certificate, utc()).unwrap();
    let refused = api.enrol(&signed, &certificate, &[]).await.unwrap_err();
    assert_eq!(
        (refused.status(), refused.code()),
        (Some(503), Some("trust-store-closed"))
    );
    let admin = node.admin().await.unwrap();
    let told = admin
        .status()
        .await
        .unwrap()
        .certificates
        .warnings
        .join("\n");
    assert!(
        told.contains("half.crl") && told.contains("remove it"),
        "{told}"
    );
    // Mended, without a restart.
    std::fs::remove_file(city.data.crls().join("half.crl")).unwrap();
    let begun = Instant::now();
    while api.enrol(&signed, &certificate, &[]).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "{}", node.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

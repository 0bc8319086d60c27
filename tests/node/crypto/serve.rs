//! The demo service answers on loopback to loopback's names, with keys of its own, and ends when asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{expect, program};

struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut child = program(directory)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        errors.read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap();
        let address = address.split(',').next().unwrap().to_owned();
        assert!(line.contains("loopback only"), "{line}");
        // What else it says must not block it.
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        Self { child, address }
    }

    /// Status and body of one request, written by hand.
    fn ask(&self, head: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let length = body.len();
        let request =
            format!("{head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, serde_json::from_str(body).unwrap())
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let host = &self.address;
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json");
        self.ask(&head, &body.to_string())
    }

    fn end(mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn it_signs_checks_seals_and_opens() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let (status, signed) = service.post(
        "/sign/dilithium",
        &json!({"message": "やあ", "context": "x"}),
    );
    assert_eq!((status, &signed["alg"]), (200, &"dilithium5".into()));
    let verify = |message: &str, key: &Value| {
        let form = json!({
            "message": message, "context": "x", "signature": signed["signature"], "public_key": key,
        });
        service.post("/verify/dilithium", &form).1["ok"].clone()
    };
    assert_eq!(verify("やあ", &Value::Null), true);
    assert_eq!(verify("やあ", &signed["public_key"]), true);
    assert_eq!(verify("いや", &Value::Null), false);

    let (_, sealed) = service.post("/enc/field", &json!({"value": "花子", "aad": "name"}));
    let open = |aad: &str| {
        let form = json!({
            "iv": sealed["iv"], "tag": sealed["tag"], "ciphertext": sealed["ciphertext"], "aad": aad,
        });
        service.post("/dec/field", &form).1
    };
    assert_eq!(open("name")["value"], "花子");
    assert_eq!(
        (open("note")["ok"].clone(), open("note")["reason"].clone()),
        (false.into(), "bad-tag".into())
    );

    let refused = |path: &str, body: Value, status: u16, reason: &str| {
        let answer = service.post(path, &body);
        assert_eq!(
            (answer.0, &answer.1["reason"]),
            (status, &reason.into()),
            "{path} {body}"
        );
    };
    refused("/sign/dilithium", json!({}), 400, "missing-field");
    refused(
        "/sign/dilithium",
        json!({"message": "a", "message_hex": "00"}),
        400,
        "bad-field",
    );
    refused(
        "/sign/dilithium",
        json!({"message_hex": "0"}),
        400,
        "bad-field",
    );
    refused(
        "/verify/dilithium",
        json!({"message": "a", "signature": "00"}),
        200,
        "signature-length",
    );
    let short = json!({"message": "a", "signature": "00", "public_key": "00"});
    refused("/verify/dilithium", short, 400, "bad-key");
    refused(
        "/dec/field",
        json!({"iv": "", "tag": "", "ciphertext": ""}),
        200,
        "tag-length",
    );
    refused("/", json!({}), 405, "method-not-allowed");
    refused("/sign", json!({}), 404, "not-found");
    let large = service.post("/sign/dilithium", &json!({"message": "x".repeat(98_304)}));
    assert_eq!((large.0, &large.1["code"]), (413, &"too-large".into()));
    service.end();
}

#[test]
fn a_foreign_name_for_loopback_gets_nothing() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let port = service.address.rsplit_once(':').unwrap().1;
    let get = |hosts: &str| service.ask(&format!("GET / HTTP/1.1{hosts}"), "").0;
    assert_eq!(get(&format!("\r\nHost: {}", service.address)), 200);
    assert_eq!(get(&format!("\r\nHost: LocalHost:{port}")), 200);
    assert_eq!(get(&format!("\r\nHost: rebound.example:{port}")), 421);
    assert_eq!(get("\r\nHost: 127.0.0.1"), 421);
    assert_eq!(
        get(&format!("\r\nHost: {0}\r\nHost: {0}", service.address)),
        421
    );
    assert_eq!(service.ask("GET / HTTP/1.0", "").0, 421);
    // A page's form can post text without being asked, but not JSON.
    let head = format!(
        "POST /sign/dilithium HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain",
        service.address
    );
    assert_eq!(service.ask(&head, "{\"message\":\"x\"}").0, 415);
    service.end();
}

#[test]
fn a_named_test_key_signs_and_a_nodes_key_never_does() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    expect(here, 0, &["keygen", "--alg", "dilithium5", "test.key"]);
    let (shown, _) = expect(here, 0, &["fingerprint", "test.key.pub"]);
    let service = Service::start(here, &["--key", "test.key"]);
    let (_, signed) = service.post("/sign/dilithium", &json!({"message": "x"}));
    assert!(shown.contains(signed["key"].as_str().unwrap()), "{shown}");
    service.end();

    expect(here, 0, &["keygen", "--alg", "ml-dsa-87", "other.key"]);
    let (_, error) = expect(here, 1, &["serve", "--key", "other.key"]);
    assert!(error.contains("dilithium5"), "{error}");
    // What makes a directory a node's or a CA's is its genesis record.
    for (directory, genesis) in [
        ("data", "data/network/genesis.cbor"),
        ("ca", "ca/genesis.cbor"),
    ] {
        std::fs::create_dir_all(here.join(directory).join("network")).unwrap();
        std::fs::create_dir_all(here.join(directory).join("keys")).unwrap();
        std::fs::write(here.join(genesis), "").unwrap();
        let key = format!("{directory}/keys/ledger.key");
        expect(here, 0, &["keygen", "--alg", "dilithium5", &key]);
        let link = format!("{directory}.link");
        std::os::unix::fs::symlink(here.join(&key), here.join(&link)).unwrap();
        for path in [&key, &link] {
            let (_, error) = expect(here, 1, &["serve", "--key", path]);
            assert!(error.contains("never demonstrated"), "{error}");
        }
    }
}

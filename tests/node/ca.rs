//! 石川県 and 金沢市 run their CAs at the command line: the real binary, its files, answers and exit codes.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;

use city_node::engine::utc;
use city_node::pki::case::{CrlOptions, answer};
use city_node::setup::{DataDir, load_identity};
use serde_json::{Value, json as value};

use super::cli::{expect, json, kanazawa, program, run, stderr, stdout};

/// Splits a line of words: no argument here has a space in it.
fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn reason(directory: &Path, code: i32, line: &str) -> String {
    let answer = json(directory, code, &words(line));
    answer["reason"].as_str().expect("a code").to_owned()
}

#[test]
fn init_seals_a_new_ca_and_says_where_its_passphrase_stands() {
    let place = tempfile::tempdir().unwrap();
    let made = kanazawa(place.path());
    let passphrase = place.path().join(made["ca_passphrase"].as_str().unwrap());
    assert_eq!(fs::metadata(&passphrase).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(
        json(place.path(), 0, &words("ca show --ca data/ca --json"))["encrypted"],
        true
    );
    expect(place.path(), 0, &words("ca crl --ca data/ca"));

    // Kept elsewhere, as it should be, it has to be named.
    fs::rename(&passphrase, place.path().join("kept")).unwrap();
    let join = "init --data-dir komatsu --region Asia/JP/17/17203 --network data/ca --officer officer.key.pub \
                --officers-needed 1 --coarse-demo-boundaries";
    let refused = program(place.path())
        .args(words(join))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("--ca-passphrase-file"),
        "{}",
        stderr(&refused)
    );
    assert!(!place.path().join("komatsu").exists());
    fs::write(place.path().join("wrong"), "another passphrase\n").unwrap();
    let chmod = |name: &str| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(place.path().join(name), mode).unwrap();
    };
    chmod("wrong");
    let wrong = run(
        place.path(),
        &words(&format!("{join} --ca-passphrase-file wrong")),
    );
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr(&wrong).contains("wrong passphrase"));
    expect(
        place.path(),
        0,
        &words(&format!("{join} --ca-passphrase-file kept")),
    );
    load_identity(&DataDir::new(place.path().join("komatsu"))).unwrap();
}

#[test]
fn an_operators_certificate_is_issued_revoked_and_refused() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    kanazawa(at);
    let issue = "ca issue tls-client --ca data/ca --operator yamada --new-key y.key --out y.pem";
    expect(at, 0, &words(issue));
    assert_eq!(
        fs::metadata(at.join("y.key")).unwrap().mode() & 0o7777,
        0o600
    );
    let again = run(at, &words(issue));
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("y.key"));
    // Nothing is issued for files that stand, or for key and certificate in one.
    for (key, out, named) in [
        ("y.key", "z.pem", "y.key"),
        ("z.key", "y.pem", "y.pem"),
        ("z.pem", "z.pem", "z.pem"),
        ("./z.pem", "data/../z.pem", "z.pem"),
    ] {
        let issue = issue.replace("y.key", key).replace("y.pem", out);
        let refused = run(at, &words(&issue));
        assert_eq!(refused.status.code(), Some(1), "{issue}");
        assert!(stderr(&refused).contains(named), "{}", stderr(&refused));
        assert!(!at.join("z.pem").exists() && !at.join("z.key").exists());
    }
    let shown = json(at, 0, &words("ca show --ca data/ca --json"));
    assert_eq!(shown["issued"].as_array().unwrap().len(), 3, "{shown}");

    let verify = "ca verify --roots data/ca/tls-root.pem --crl data/ca/tls-root.crl.pem --usage client --json y.pem";
    assert_eq!(reason(at, 0, verify), "valid");
    assert_eq!(
        reason(at, 4, &verify.replace("client", "server")),
        "cert-key-usage"
    );
    let other = verify.replace("--roots data/ca/tls-root.pem", "--roots y.pem");
    assert_eq!(reason(at, 4, &other), "cert-unknown-issuer");
    assert_eq!(
        run(at, &words(&verify.replace("y.pem", "none.pem")))
            .status
            .code(),
        Some(1)
    );
    assert_eq!(
        run(at, &words(&verify.replace("client", "anything")))
            .status
            .code(),
        Some(2)
    );

    let revoke = "ca revoke --ca data/ca --reason privilege-withdrawn --json y.pem";
    let revoked = json(at, 0, &words(revoke));
    assert_eq!(revoked["crls"][1]["entries"], 1, "{revoked}");
    assert_eq!(reason(at, 4, verify), "cert-revoked");
    // Once more, because the lists could not be written, perhaps: they are; the first reason stands.
    let list = at.join("data/ca/tls-root.crl.pem");
    fs::remove_file(&list).unwrap();
    let again = json(
        at,
        0,
        &words(&revoke.replace("privilege-withdrawn", "superseded")),
    );
    assert_eq!(again["revoked"]["reason"], "privilege-withdrawn", "{again}");
    assert_eq!(
        (&revoked["already"], &again["already"]),
        (&value!(false), &value!(true))
    );
    assert_eq!(reason(at, 4, verify), "cert-revoked");
    let told = expect(at, 0, &words(&revoke.replace(" --json", "")));
    assert!(told.starts_with("revoked already"), "{told}");
    let shown = json(at, 0, &words("ca show --ca data/ca --json"));
    let states: Vec<_> = shown["issued"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["state"])
        .collect();
    assert_eq!(states, ["valid", "valid", "revoked"], "{shown}");
}

#[test]
fn a_municipality_below_its_prefecture_makes_its_own_node() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    kanazawa(at);
    expect(at, 0, &words("key generate hakusan.key"));
    expect(
        at,
        0,
        &words(
            "ca issue intermediate --ca data/ca --name 白山市 --key hakusan.key.pub --out hakusan.pem",
        ),
    );
    expect(
        at,
        0,
        &words(
            "ca init --ca hakusan-ca --intermediate hakusan.pem --key hakusan.key --unencrypted",
        ),
    );
    fs::copy(
        at.join("data/ca/genesis.cbor"),
        at.join("hakusan-ca/genesis.cbor"),
    )
    .unwrap();
    let init = "init --data-dir hakusan --region Asia/JP/17/17210 --network hakusan-ca --officer officer.key.pub \
                --officers-needed 1 --coarse-demo-boundaries";
    expect(at, 0, &words(init));
    let identity = load_identity(&DataDir::new(at.join("hakusan"))).unwrap();
    assert_eq!(identity.chain.len(), 1, "the municipality's CA goes along");

    // After a roll-over the charter of a new node still rests on the root of the genesis record.
    expect(
        at,
        0,
        &words("ca init --ca data/ca --add-root --name further"),
    );
    let komatsu = init
        .replace("hakusan-ca", "data/ca")
        .replace("hakusan", "komatsu")
        .replace("17210", "17203");
    expect(at, 0, &words(&komatsu));
    load_identity(&DataDir::new(at.join("komatsu"))).unwrap();
}

/// A reviewer's finding: `"crl"`, as the flag is called, was passed over, and a revoked leaf was valid.
#[test]
fn a_batch_takes_other_names_and_refuses_what_it_does_not_know() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    kanazawa(at);
    let read = |name: &str| fs::read_to_string(at.join(name)).unwrap();
    let root = read("data/ca/tls-root.pem");
    let issue = "ca issue tls-client --ca data/ca --operator yamada --new-key y.key --out y.pem";
    expect(at, 0, &words(issue));
    let (leaf, clean) = (read("y.pem"), read("data/ca/tls-root.crl.pem"));
    let revoke = "ca revoke --ca data/ca --reason key-compromise y.pem";
    expect(at, 0, &words(revoke));
    let list = read("data/ca/tls-root.crl.pem");
    let reason = |case: Value| {
        let answer = answer(case.to_string().as_bytes(), utc(), CrlOptions::default());
        assert_eq!(answer["ok"], answer["reason"] == "valid");
        (answer["reason"].clone(), answer["detail"].to_string())
    };
    let check =
        |expected: &str, case: Value| assert_eq!(reason(case.clone()).0, expected, "{case}");
    for crls in ["crl", "crls"] {
        let case = |list: &str| value!({"leaf": leaf, "roots": root, crls: list});
        check("valid", case(&clean));
        check("cert-revoked", case(&list));
    }
    for (leaf_is, roots_are) in [
        ("leaf", "root"),
        ("cert", "roots"),
        ("peer_certificate", "trusted_certs"),
    ] {
        for via in ["intermediate", "intermediates", "untrusted_intermediates"] {
            check("valid", value!({leaf_is: leaf, roots_are: [root], via: []}));
        }
    }
    for (usage, expected) in [
        ("client", "valid"),
        ("clientAuth", "valid"),
        ("CLIENT", "valid"),
        ("any", "valid"),
        ("server", "cert-key-usage"),
        ("serverAuth", "cert-key-usage"),
        ("SERVER", "cert-key-usage"),
        ("both", "bad-case"),
    ] {
        check(
            expected,
            value!({"leaf": leaf, "roots": root, "usage": usage}),
        );
    }
    for time in ["time", "validation_time"] {
        let case = value!({"leaf": leaf, "roots": root, time: "2020-01-01T00:00:00Z"});
        check("cert-not-yet-valid", case);
    }
    for name in ["name", "peer_name", "expected_peer_name"] {
        let case = value!({"leaf": leaf, "roots": root, name: "elsewhere.example"});
        check("cert-name-mismatch", case);
    }
    let said =
        value!({"leaf": leaf, "roots": root, "description": "ours", "expected": false, "title": 1});
    check("valid", said);
    check("bad-case", value!({"roots": root}));
    check(
        "bad-case",
        value!({"leaf": leaf, "roots": root, "crl": list, "crls": list}),
    );
    check("bad-case", value!([1]));
    let (code, detail) = reason(value!({"leaf": leaf, "roots": root, "revocation_lists": list}));
    assert_eq!(code, "unknown-field");
    assert!(detail.contains("revocation_lists"), "{detail}");
}

#[test]
fn a_batch_is_answered_line_by_line() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    kanazawa(at);
    let read = |name: &str| fs::read_to_string(at.join(name)).unwrap();
    let (root, leaf) = (read("data/ca/tls-root.pem"), read("data/certs/tls.pem"));
    let list = read("data/ca/tls-root.crl.pem");
    let case = |id: Value, more: Value| {
        let mut case = value!({"id": id, "leaf": leaf, "roots": root, "usage": "server"});
        case.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        case.to_string()
    };
    let cases = [
        case(1.into(), value!({})),
        case(
            "two".into(),
            value!({"crls": [list], "name": "localhost", "time": null}),
        ),
        case(3.into(), value!({"name": "elsewhere.example"})),
        case(4.into(), value!({"time": "2020-01-01T00:00:00Z"})),
        case(
            5.into(),
            value!({"roots": [root, root], "require_crl": true}),
        ),
        case(6.into(), value!({"crls": ["nonsense"]})),
        case(7.into(), value!({"time": "yesterday"})),
        "nonsense".into(),
        format!("{{\"id\":9,\"leaf\":\"{}\"}}", "x".repeat(16 << 20)),
        case(10.into(), value!({"usage": "client"})),
        String::new(),
        case(12.into(), value!({"usage": null})),
    ];
    let mut child = program(at)
        .args(["ca", "verify", "--batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(cases.join("\n").as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let answers: Vec<Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told: Vec<_> = answers
        .iter()
        .map(|answer| (answer["id"].to_string(), answer["reason"].as_str().unwrap()))
        .collect();
    let expected = [
        ("1", "valid"),
        ("\"two\"", "valid"),
        ("3", "cert-name-mismatch"),
        ("4", "cert-not-yet-valid"),
        ("5", "crl-none"),
        ("6", "crl-malformed"),
        ("7", "bad-case"),
        ("null", "bad-case"),
        ("null", "bad-case"),
        ("10", "cert-key-usage"),
        ("12", "valid"),
    ];
    let expected = expected.map(|(id, reason)| (id.to_owned(), reason));
    assert_eq!(told, expected);
    assert_eq!(answers[0]["warnings"], value!(["crl-none"]));
    assert_eq!(answers[1]["warnings"], value!([]));
    assert!(
        answers
            .iter()
            .all(|answer| answer["ok"] == (answer["reason"] == "valid"))
    );
}

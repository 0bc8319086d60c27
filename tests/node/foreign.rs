//! Certificate paths of other systems: the public suites (x509-limbo, the BSI cases that Botan keeps, the
//! examples of RFC 9881), each case with its verdict, and the list of those that are out of scope with the
//! reason.

use std::fs;
use std::path::PathBuf;

use city_node::pki::case::{Case, CrlOptions, answer, read_time};
use city_protocol::amount::Timestamp;
use serde_json::Value;

use crate::recorded::part;

/// 2026-04-01T00:00:00Z, for cases without a time of their own.
const NOW: Timestamp = Timestamp(1_775_001_600_000);

fn data(what: &str) -> Option<PathBuf> {
    part(&format!("crypto/{what}"))
}

/// Cases of x509-limbo that are out of scope.
const LIMBO_OUT: &[(&str, &str)] = &[
    (
        "rfc5280::aki::cross-signed-root-missing-aki",
        "the suite calls it ambiguous; cve::cve-2024-0567 trusts such a root and is to be valid",
    ),
    (
        "rfc5280::nc::permitted-self-issued",
        "webpki holds self-issued CAs to name constraints, too",
    ),
    (
        "rfc5280::nc::nc-permits-email-domain",
        "webpki refuses mailboxes under a constraint on mailboxes",
    ),
    (
        "rfc5280::nc::nc-permits-email-literal-double-asterisk",
        "as above",
    ),
    (
        "rfc5280::nc::nc-permits-email-literal-mid-asterisk",
        "as above",
    ),
    (
        "webpki::cn::ipv4-leading-zeros-mismatch",
        "CA/B Forum: the common name; here it means nothing",
    ),
    ("webpki::cn::ipv6-uncompressed-mismatch", "as above"),
    ("webpki::cn::punycode-not-in-san", "as above"),
    ("webpki::cn::not-in-san", "as above"),
    (
        "webpki::eku::ee-anyeku",
        "CA/B Forum: RFC 5280 has anyExtendedKeyUsage beside others",
    ),
    (
        "webpki::eku::ee-without-eku",
        "CA/B Forum: RFC 5280 leaves the extension out at will",
    ),
    (
        "webpki::san::public-suffix-private-namespace-wildcard-san",
        "needs the list of public suffixes",
    ),
    (
        "webpki::san::san-critical-with-nonempty-subject",
        "CA/B Forum: a SHOULD of RFC 5280",
    ),
];

#[test]
fn x509_limbo_agrees() {
    let Some(path) = data("x509-limbo/limbo-dev.json") else {
        return;
    };
    let suite: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for case in suite["testcases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let expected = case["expected_result"] == "SUCCESS";
        let mut line = case.clone();
        if line["expected_peer_name"].is_null() {
            line["name"] = line["expected_peer_names"][0].clone();
            line.as_object_mut().unwrap().remove("expected_peer_name");
        }
        let answer = answer(line.to_string().as_bytes(), NOW, CrlOptions::default());
        assert_eq!(answer["id"], case["id"]);
        let out = LIMBO_OUT.iter().any(|(out, _)| *out == id);
        let agrees = answer["ok"] == expected;
        if agrees == out {
            wrong.push(format!(
                "{id}: expected {expected}, got {} {}",
                answer["reason"], answer["detail"]
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_examples_of_rfc_9881_verify() {
    let Some(root) = data("pq-x509/rfc9881") else {
        return;
    };
    for set in ["44", "65", "87"] {
        let pem = fs::read_to_string(root.join(format!("ML-DSA-{set}.crt"))).unwrap();
        let judge = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut case = Case::default();
            case.read_leaf(&pem).unwrap();
            change(&mut case.leaf);
            case.roots.push(case.leaf.clone());
            case.judge(NOW, CrlOptions::default()).reason
        };
        assert_eq!(judge(&|_| ()), "valid", "ML-DSA-{set}");
        let bad = judge(&|der| *der.last_mut().unwrap() ^= 1);
        assert_eq!(bad, "cert-bad-signature", "ML-DSA-{set}");
        // The OIDs of the sets end with 17, 18 and 19: one set's key under another's name.
        let other = judge(&|der| {
            let oid = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03];
            let at: Vec<_> = (0..der.len() - 8)
                .filter(|n| der[*n..].starts_with(&oid))
                .collect();
            for n in at {
                der[n + 8] = if der[n + 8] == 19 { 17 } else { 19 };
            }
        });
        assert_eq!(other, "cert-malformed", "ML-DSA-{set}");
    }
}

/// Cases of the BSI that are out of scope.
const BSI_OUT: &[(&str, &str)] = &[
    (
        "common_13",
        "a critical certificatePolicies: policies are not processed, so it is refused",
    ),
    (
        "ext_17",
        "Botan's own note: its verdict is wrong, a non-critical policyConstraints is refused",
    ),
];

#[test]
fn the_cases_of_the_bsi_agree() {
    let Some(root) = data("x509-botan/bsi") else {
        return;
    };
    // When Botan judges them: its own test says so.
    let at = read_time("2017-08-19T08:00:00Z").unwrap();
    let mut wrong = Vec::new();
    let expected = fs::read_to_string(root.join("expected.txt")).unwrap();
    for line in expected.lines().filter(|line| line.contains('$')) {
        let (id, expected) = line.split_once('$').unwrap();
        let mut case = Case::default();
        let mut read = Vec::new();
        for file in fs::read_dir(root.join(id)).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let pem = || String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            if name.ends_with(".TC.pem.crt") {
                read.push(case.read_leaf(&pem()));
            } else if name.ends_with(".TA.pem.crt") {
                read.push(Case::read_certificates(&pem(), &mut case.roots));
            } else if name.ends_with(".ca.pem.crt") {
                read.push(Case::read_certificates(&pem(), &mut case.intermediates));
            }
        }
        for file in fs::read_dir(root.join(id).join("crls"))
            .into_iter()
            .flatten()
        {
            case.read_crls(&fs::read_to_string(file.unwrap().path()).unwrap());
        }
        let options = CrlOptions {
            required: id.starts_with("CRL"),
            ..CrlOptions::default()
        };
        let refused = read.into_iter().find_map(Result::err);
        let reason = refused.map_or_else(|| case.judge(at, options).reason, |r| r.code());
        let out = BSI_OUT.iter().any(|(out, _)| *out == id);
        let agrees = (reason == "valid") == (expected == "Verified");
        if agrees == out {
            wrong.push(format!("{id}: expected {expected}, got {reason}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

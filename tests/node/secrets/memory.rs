//! What stays in a node's memory after it has started: the passphrase does not, the form that its key files have
//! inside their wrapping does not; what it works with does, which shows that the search sees all of it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use city_node::setup::load_identity;
use data_encoding::BASE64;
use rustls_pki_types::PrivateKeyDer;
use serde_json::Value;

use crate::daemon::city::{alone, directory, run};

use super::{WORDS, good, unlocked, words};

/// Bytes that are read at once.
const STEP: usize = 1 << 20;

/// The names of those that stand in the memory of a process, where it can be written; `None` where the kernel does
/// not let this process look.
fn found<'n>(pid: u32, needles: &[(&'n str, &[u8])]) -> Option<Vec<&'n str>> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut found = vec![false; needles.len()];
    let overlap = needles.iter().map(|(_, needle)| needle.len()).max()? - 1;
    let mut seen = 0;
    for map in maps.lines() {
        let mut fields = map.split_whitespace();
        let (range, rights) = (fields.next()?, fields.next()?);
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-')?;
        let (mut at, to) = (
            u64::from_str_radix(from, 16).ok()?,
            u64::from_str_radix(to, 16).ok()?,
        );
        let mut tail: Vec<u8> = Vec::new();
        while at < to {
            let mut step = vec![0; STEP.min(usize::try_from(to - at).unwrap())];
            // A part that was unmapped meanwhile holds nothing any more.
            let Ok(read @ 1..) = memory.read_at(&mut step, at) else {
                break;
            };
            at += read as u64;
            seen += read;
            let part = [&tail, &step[..read]].concat();
            for ((_, needle), found) in needles.iter().zip(&mut found) {
                *found |= stands_in(&part, needle);
            }
            tail = part[part.len().saturating_sub(overlap)..].to_vec();
        }
    }
    let names = needles.iter().zip(found).filter(|(_, found)| *found);
    (seen > 0).then(|| names.map(|((name, _), _)| *name).collect())
}

/// Looks for the first byte, which is fast also without optimisation, since most of memory is zeros.
fn stands_in(haystack: &[u8], needle: &[u8]) -> bool {
    let mut rest = haystack;
    while let Some(at) = rest.iter().position(|byte| *byte == needle[0]) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_started_node_has_forgotten_its_passphrase() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let data = city.data.path().to_str().unwrap();
    let plain = load_identity(&city.data).unwrap();
    let words = words(root.path());
    let words = words.to_str().unwrap();
    good(&[
        "key",
        "seal",
        "--data-dir",
        data,
        "--with-passphrase",
        "--new-passphrase-file",
        words,
    ]);
    let mut node = city.start_as(run(&city.data, &["--passphrase-file", words]));
    node.comes_up().await.unwrap();

    // A part of each that stands in one line of its file, and at its place in base64.
    let ledger = plain.signer.expose_secret();
    let from = ledger.len() / 3 * 2;
    let part = &ledger[from - from % 3..][..48];
    let kem = BASE64.encode(&plain.kem.expose_secret()[..48]);
    let PrivateKeyDer::Pkcs8(tls) = &plain.tls.key else {
        panic!("PKCS#8 is what is issued")
    };
    let tls = BASE64.encode(&tls.secret_pkcs8_der()[48..66]);
    let identity = unlocked(&city.data);
    let token = identity.keystore.read(&city.data.token_key()).unwrap();
    let token = BASE64.encode(&der::pem::decode_vec(&token).unwrap().1[18..45]);
    let ring = city.data.keys().join("keyring.json");
    let ring: Value = serde_json::from_slice(&identity.keystore.read(&ring).unwrap()).unwrap();
    let data_key = ring["keys"][0]["secret"].as_str().unwrap();
    let text = BASE64.encode(part);
    let needles = [
        ("the ledger key", part),
        ("the passphrase", WORDS.as_bytes()),
        ("ledger.key as it stands in its file", text.as_bytes()),
        ("kem.key as it stands in its file", kem.as_bytes()),
        ("tls.key as it stands in its file", tls.as_bytes()),
        ("token.key as it stands in its file", token.as_bytes()),
        (
            "a data key as it stands in its file",
            &data_key.as_bytes()[..40],
        ),
    ];
    let pid = node.child.id();
    let Some(found) = found(pid, &needles) else {
        println!(
            "skipped: this kernel does not show a process's memory to its parent (kernel.yama.ptrace_scope)"
        );
        return;
    };
    // It signs with this key: who does not find it has not looked.
    assert_eq!(found, ["the ledger key"]);

    // While it runs, the master secret is exchanged without anybody typing; it opens with the same passphrase after.
    good(&["key", "rotate-master", "--data-dir", data]);
    assert_eq!(self::found(pid, &needles).unwrap(), ["the ledger key"]);
    node.stop().await;
    let told = good(&[
        "key",
        "show",
        "--data-dir",
        data,
        "--passphrase-file",
        words,
    ]);
    assert!(told.contains("wrapped by the master secret"), "{told}");
}

//! A home that signs two vertices at one position, end to end: its peer finds out, freezes its log at the cut and
//! enters that in its own.

use std::path::Path;

use city_node::setup::load_identity;
use city_node::store::{Position, Store, StoreOptions};
use city_protocol::body::{Kind, Start};
use city_protocol::ids::{BlockId, Digest};
use city_protocol::sync::Message;
use city_protocol::vertex::{Entry, SignedHeader, decode_body, encode_body, merkle_root};

use serde_json::Value;

use super::super::account::{good, run, text};
use super::city::{City, directory, found};
use super::speaker::{Speaker, hello};

/// All vertices of a stopped node's own store: header and body.
fn vertices(city: &City) -> Vec<(SignedHeader, Vec<u8>)> {
    let network = city.report.network;
    let (store, _) = Store::open(city.data.path(), network, StoreOptions::new()).unwrap();
    let mut body = Vec::new();
    let mut found = Vec::new();
    for block in store.blocks_from(Position::START) {
        let block = block.unwrap();
        match SignedHeader::read(&block.bytes) {
            Ok(header) => found.push((header, std::mem::take(&mut body))),
            Err(_) => body = block.bytes,
        }
    }
    store.close().unwrap();
    found
}

/// What an operator of 小松 is shown of 金沢's lie; the proof that is handed on, which convicts with the genesis record
/// alone.
fn handed_on(root: &Path, liar: &City, witness: &City, when: &str) -> Vec<u8> {
    let data = text(witness.data.path());
    let genesis = witness.data.path().join("network/genesis.cbor");
    let look = |arguments: &[&str]| {
        good(
            root,
            &[
                &["ledger", "equivocation"],
                arguments,
                &["--data-dir", data],
            ]
            .concat(),
        )
    };
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_str(&look(&[arguments, &["--json"]].concat())).unwrap()
    };
    let log = liar.report.log.to_string();
    let list = json(&["list"]);
    assert_eq!(list["schema"], 1);
    let [one] = list["equivocations"].as_array().unwrap().as_slice() else {
        panic!("one, not {list}")
    };
    assert_eq!(
        (&one["log"], &one["reason"]),
        (&log.clone().into(), &"equivocation".into())
    );
    assert_eq!(one["entered_by"].as_array().unwrap().len(), 1, "{one}");
    assert!(look(&["list"]).contains("signed two vertices at position"));
    let shown = json(&["show", "17201"]);
    assert_eq!(shown["twice"].as_array().unwrap().len(), 2, "{shown}");
    assert_eq!(shown["vertices"][0], shown["twice"][0]["vertex"]);
    let told = look(&["show", &log, "--epoch", "1"]);
    assert_eq!(told.matches("  vertex     bafyrei").count(), 2, "{told}");
    let all = [
        &["ledger", "equivocation", "show"],
        &["17203", "--data-dir", data][..],
    ]
    .concat();
    let (code, told) = run(root, &all);
    assert!(code == 1 && told.contains("nothing is held here"), "{told}");

    let file = root.join(format!("{when}.fault"));
    look(&["export", "17201", "--out", text(&file)]);
    let verify = |file: &Path, more: &[&str]| {
        let offline = [
            "ledger",
            "equivocation",
            "verify",
            text(file),
            "--genesis",
            text(&genesis),
        ];
        run(root, &[&offline, more].concat())
    };
    let (code, told) = verify(&file, &[]);
    assert_eq!(code, 0, "{told}");
    assert!(
        told.contains("convicts Asia/JP/17/17201: it signed two vertices at position"),
        "{told}"
    );
    let (code, told) = verify(&file, &["--json"]);
    let verdict: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (code, &verdict["valid"], &verdict["schema"]),
        (0, &true.into(), &1.into())
    );
    assert_eq!(
        (&verdict["log"], &verdict["cut"]),
        (&one["log"], &one["cut"])
    );

    let proof = std::fs::read(&file).unwrap();
    let mut forged = proof.clone();
    let at = forged.len() / 2;
    forged[at] ^= 1;
    let forgery = root.join(format!("{when}.forged"));
    std::fs::write(&forgery, forged).unwrap();
    let (code, told) = verify(&forgery, &[]);
    assert!(code == 4 && told.contains("convicts NOBODY"), "{told}");
    let (code, told) = verify(&forgery, &["--json"]);
    let verdict: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &verdict["valid"]), (4, &false.into()));
    proof
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_that_contradicts_itself_is_frozen_at_the_cut() {
    let root = directory();
    let cities = found(root.path(), 2);
    let [kanazawa, komatsu] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    kanazawa.citizen(&kanazawa.api(&a)).await;
    kanazawa.citizen(&kanazawa.api(&a)).await;
    let log = kanazawa.report.log;
    let seq = a
        .status()
        .await
        .frontier
        .iter()
        .find(|head| head.log == log)
        .unwrap()
        .seq;
    b.until("the honest log", |status| {
        status
            .frontier
            .iter()
            .any(|head| head.log == log && head.seq == seq)
    })
    .await;
    a.stop().await;

    // The key that signed its log signs another vertex at its last position.
    let identity = load_identity(&kanazawa.data).unwrap();
    let honest = vertices(kanazawa).into_iter().map(|(header, _)| header);
    let last = honest
        .filter(|header| header.header.log == log)
        .max_by_key(|h| h.header.seq);
    let last = last.expect("it has a log");
    assert_eq!(last.header.seq, seq);
    let body = Start {
        v: 1,
        software: "liar".into(),
        clock: "ntp".into(),
        trust: None,
    };
    let entries = [Entry::home_authored(
        Kind::Start,
        city_protocol::codec::encode(&body),
    )];
    let body = encode_body(&entries);
    let mut header = last.header.clone();
    (header.count, header.body) = (1, BlockId::of(&body));
    header.entries_root = Digest(merkle_root(&[entries[0].leaf()]));
    let lie = SignedHeader::sign(header, &*identity.signer);
    assert_ne!(lie.id, last.id);

    // It is told over the wire, with the right transport key and a proper hello.
    let mut speaker = Speaker::instead_of(kanazawa, komatsu);
    speaker.connected().await;
    speaker.says(&hello(&identity)).await;
    speaker
        .says(&Message::Vertex(lie.block.clone().into(), body.into()))
        .await;
    let seen = b
        .until("the fault", |status| !status.faults.is_empty())
        .await;
    assert_eq!(seen.faults.len(), 1, "{:?}", seen.faults);
    let fault = &seen.faults[0];
    assert_eq!(
        (fault.log, fault.reason.as_str(), fault.cut),
        (log, "equivocation", seq - 1)
    );
    let head = seen.frontier.iter().find(|head| head.log == log).unwrap();
    assert!(head.forked && head.seq == seq - 1, "{head:?}");
    speaker.hang_up().await;

    let running = handed_on(root.path(), kanazawa, komatsu, "running");
    b.check().await;
    b.stop().await;
    let stopped = handed_on(root.path(), kanazawa, komatsu, "stopped");
    assert_eq!(running, stopped, "the same proof, byte for byte");
    let own = vertices(komatsu)
        .into_iter()
        .filter(|(h, _)| h.header.log == komatsu.report.log);
    let entries: Vec<Entry> = own
        .flat_map(|(_, body)| decode_body(&body).unwrap())
        .collect();
    let faults = entries
        .iter()
        .filter(|entry| entry.kind == Kind::Fault)
        .count();
    assert_eq!(faults, 1, "it enters the fault once");

    // And it stays so, also when the index is made again.
    std::fs::remove_dir_all(komatsu.data.index()).unwrap();
    let b = komatsu.ready().await;
    let again = b.status().await;
    assert_eq!(again.faults, seen.faults);
    b.stop().await;
}

//! A home that signs two vertices at one position, end to end: its peer finds out, freezes its log at the cut and
//! enters that in its own.

use city_node::setup::load_identity;
use city_node::store::{Position, Store, StoreOptions};
use city_protocol::body::{Kind, Start};
use city_protocol::ids::{BlockId, Digest};
use city_protocol::sync::Message;
use city_protocol::vertex::{Entry, SignedHeader, decode_body, encode_body, merkle_root};

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

    b.check().await;
    b.stop().await;
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

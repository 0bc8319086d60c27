//! A long log is folded again: caught up after a crash, and from the beginning.

use std::process::Command;
use std::time::{Duration, Instant};

use city_node::setup::load_identity;
use city_node::store::{Position, Store, StoreOptions};
use city_protocol::body::{Kind, Start};
use city_protocol::codec;
use city_protocol::ids::{BlockId, Digest};
use city_protocol::vertex::{Entry, SignedHeader, encode_body, merkle_root};

use super::city::{City, alone, directory};

/// Enough to see a cost that grows with the square.
const VERTICES: u64 = 2000;
/// In the dev profile on a busy machine; it takes some seconds.
const WITHIN: Duration = Duration::from_secs(30);

/// Lets the stopped node's own log grow behind the back of its index.
fn grow(city: &City, count: u64) -> u64 {
    let identity = load_identity(&city.data).unwrap();
    let (store, _) =
        Store::open(city.data.path(), city.report.network, StoreOptions::new()).unwrap();
    let blocks = store.blocks_from(Position::START);
    let headers = blocks.filter_map(|block| SignedHeader::read(&block.unwrap().bytes).ok());
    let mut last = headers.last().expect("it has a vertex");
    let mut blocks: Vec<(BlockId, Vec<u8>)> = Vec::new();
    for i in 0..count {
        let body = Start {
            v: 1,
            software: format!("run {i}"),
            clock: "ntp".into(),
            trust: None,
        };
        let entries = [Entry::home_authored(Kind::Start, codec::encode(&body))];
        let body = encode_body(&entries);
        let mut header = last.header.clone();
        (header.seq, header.prev, header.count) = (header.seq + 1, last.id, 1);
        (header.parents, header.to, header.body) = (Vec::new(), Vec::new(), BlockId::of(&body));
        header.entries_root = Digest(merkle_root(&[entries[0].leaf()]));
        last = SignedHeader::sign(header, &*identity.signer);
        blocks.push((last.header.body, body));
        blocks.push((last.id, last.block.clone()));
    }
    for group in blocks.chunks(200) {
        let group: Vec<_> = group
            .iter()
            .map(|(id, bytes)| (*id, bytes.as_slice()))
            .collect();
        store.append_group(&group).unwrap();
    }
    store.close().unwrap();
    last.header.seq
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_log_is_folded_again_in_time() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let node = city.ready().await;
    city.citizen(&city.api(&node)).await;
    node.stop().await;
    let seq = grow(&city, VERTICES);

    let begun = Instant::now();
    let node = city.ready().await;
    println!(
        "caught up {VERTICES} vertices and started in {:?}",
        begun.elapsed()
    );
    assert!(node.log().contains("catching up"), "{}", node.log());
    assert!(begun.elapsed() < WITHIN, "{:?}", begun.elapsed());
    let status = node.status().await;
    assert_eq!(status.frontier[0].seq, seq, "{:?}", status.frontier);
    let before = status.frontier_hash;
    node.stop().await;

    let begun = Instant::now();
    let mut rebuild = Command::new(env!("CARGO_BIN_EXE_city-node"));
    let ran = rebuild
        .args(["store", "rebuild", "--data-dir"])
        .arg(city.data.path())
        .output();
    assert!(ran.unwrap().status.success());
    println!("made the index again in {:?}", begun.elapsed());
    assert!(begun.elapsed() < WITHIN, "{:?}", begun.elapsed());
    let node = city.ready().await;
    assert!(!node.log().contains("catching up"), "{}", node.log());
    assert_eq!(node.status().await.frontier_hash, before);
    node.stop().await;
}

//! A whitelisted home signs two vertices at one position, and builds on the second.

use std::time::Duration;

use city_node::setup::load_identity;
use city_node::store::{Position, Store, StoreOptions};
use city_protocol::body::{Kind, Start};
use city_protocol::ids::{BlockId, Digest, LogId};
use city_protocol::sync::Message;
use city_protocol::vertex::{Entry, SignedHeader, encode_body, merkle_root};
use libp2p::identity::Keypair;

use super::raw::{Target, listed};
use super::words::{Speaker, Traitor, say};
use crate::daemon::city::{City, directory, found};

/// All headers of a log in the store of a stopped node.
fn headers(city: &City, log: LogId) -> Vec<SignedHeader> {
    let network = city.report.network;
    let (store, _) = Store::open(city.data.path(), network, StoreOptions::new()).unwrap();
    let blocks = store.blocks_from(Position::START);
    let headers = blocks.filter_map(|block| SignedHeader::read(&block.unwrap().bytes).ok());
    let headers = headers.filter(|header| header.header.log == log).collect();
    store.close().unwrap();
    headers
}

/// Another vertex in the place of this one, with this parent of its own log, if another.
fn instead(traitor: &Traitor<'_>, of: &SignedHeader, said: &str) -> (SignedHeader, Vec<u8>) {
    let start = Start {
        v: 1,
        software: said.into(),
        clock: "ntp".into(),
        trust: None,
    };
    let entries = [Entry::home_authored(
        Kind::Start,
        city_protocol::codec::encode(&start),
    )];
    let body = encode_body(&entries);
    let mut header = of.header.clone();
    (header.count, header.body) = (1, BlockId::of(&body));
    header.entries_root = Digest(merkle_root(&[entries[0].leaf()]));
    (SignedHeader::sign(header, &*traitor.identity.signer), body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_that_signs_twice_is_frozen_its_friends_are_told_and_nothing_beyond_is_kept() {
    let root = directory();
    let mut cities = found(root.path(), 3);
    let keys: Vec<Keypair> = (0..2).map(|_| Keypair::generate_ed25519()).collect();
    let bad = cities[2].as_peer();
    let listed = listed(&keys, &bad);
    cities[0].config.network.peers.extend(listed);
    // 小松 knows 金沢 only: what it hears, it hears from there.
    cities[1].config.network.peers.truncate(1);
    for city in &cities {
        city.configure();
    }
    let [kanazawa, komatsu, hakusan] = &cities[..] else {
        unreachable!()
    };
    let (a, b, c) = (
        kanazawa.ready().await,
        komatsu.ready().await,
        hakusan.ready().await,
    );
    let log = hakusan.report.log;
    hakusan.citizen(&hakusan.api(&c)).await;
    let own = c.status().await;
    let own = own.frontier.iter().find(|head| head.log == log).unwrap();
    let seq = own.seq;
    for node in [&a, &b] {
        node.until("the honest part", |status| {
            let mut heads = status.frontier.iter();
            heads.any(|head| head.log == log && head.seq == seq)
        })
        .await;
    }
    c.stop().await;

    let honest = load_identity(&komatsu.data).unwrap();
    let traitor = Traitor::of(hakusan, komatsu.report.log, &honest);
    let mut last = headers(hakusan, log);
    last.sort_by_key(|header| header.header.seq);
    let last = last.pop().expect("it has a log");
    assert_eq!(last.header.seq, seq);
    let (lie, body) = instead(&traitor, &last, "liar");
    assert_ne!(lie.id, last.id);
    // And what follows on either branch.
    let mut beyond = Vec::new();
    for before in [&last, &lie] {
        let mut next = before.clone();
        next.header.seq += 1;
        next.header.prev = before.id;
        let (header, body) = instead(&traitor, &next, "beyond");
        beyond.push((header, body));
    }

    let mut target = Target::of(kanazawa, &a, keys);
    let key = target.key();
    let mut speaker = Speaker::begin(&target, &key).await;
    speaker.says(&say(traitor.hello(&key))).await;
    for (header, body) in std::iter::once(&(lie.clone(), body)).chain(&beyond) {
        let vertex = Message::Vertex(header.block.clone().into(), body.clone().into());
        speaker.says(&vertex.encode()).await;
    }
    for (who, node) in [("the node", &a), ("its friend", &b)] {
        let seen = node
            .until("the fault", |status| !status.faults.is_empty())
            .await;
        let fault = &seen.faults[0];
        assert_eq!(seen.faults.len(), 1, "{who}: {:?}", seen.faults);
        assert_eq!(
            (fault.log, fault.reason.as_str(), fault.cut),
            (log, "equivocation", seq - 1),
            "{who}"
        );
        let head = seen.frontier.iter().find(|head| head.log == log).unwrap();
        assert!(head.forked && head.seq == seq - 1, "{who}: {head:?}");
    }
    // Once more, when it is known: nothing comes of it.
    let key = target.key();
    let mut speaker = Speaker::begin(&target, &key).await;
    speaker.says(&say(traitor.hello(&key))).await;
    for (header, body) in &beyond {
        let vertex = Message::Vertex(header.block.clone().into(), body.clone().into());
        speaker.says(&vertex.encode()).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    target.stands("who signed twice, once more").await;
    komatsu.citizen(&komatsu.api(&b)).await;
    a.check().await;
    b.check().await;
    a.stop().await;
    b.stop().await;

    for city in [kanazawa, komatsu] {
        let kept = headers(city, log);
        let at = |seq: u64| kept.iter().filter(move |header| header.header.seq == seq);
        let proof: Vec<_> = at(seq).map(|header| header.id).collect();
        assert!(
            proof.contains(&last.id) && proof.contains(&lie.id),
            "the proof"
        );
        assert_eq!(at(seq + 1).count(), 0, "beyond the cut");
    }
}

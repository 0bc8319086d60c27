//! Three municipalities: one gets another address, one is taken off a whitelist while it is being sent the ledger, and one
//! has a clock that is ten minutes slow.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::lab::{Lab, PORT, same_heads};
use super::parted::books;
use crate::daemon::city::{City, Node, PATIENCE, directory, found_at};

const SOON: Duration = Duration::from_secs(30);
/// A peer whose address is gone is noticed by a ping that nobody answers, and then calls.
const NOTICED: Duration = Duration::from_secs(60);

#[test]
fn an_address_changes_a_permission_ends_and_a_clock_is_wrong() {
    let Some(lab) = Lab::build(3) else { return };
    lab.tell(|| story(&lab));
}

async fn story(lab: &Lab) {
    let root = directory();
    let mut cities = found_at(root.path(), &lab.sites());
    let peers: Vec<_> = cities.iter().map(|city| city.report.peer_id).collect();
    for city in &mut cities {
        for peer in &mut city.config.network.peers {
            let at = 1 + peers.iter().position(|id| *id == peer.peer_id).unwrap();
            peer.addresses = vec![format!("/ip4/10.77.0.{at}/tcp/{PORT}").parse().unwrap()];
        }
        city.configure();
    }
    let mut nodes = Vec::new();
    for (which, city) in cities.iter().enumerate().take(3) {
        nodes.push(lab.ready(city, which).await);
    }
    let [a, b, c] = <[Node; 3]>::try_from(nodes).ok().unwrap();
    c.until("both peers", |status| status.peers.len() == 2)
        .await;
    books(&cities[0], &a, 3).await;
    same_heads("at first", &[&a, &b, &c], SOON).await;

    // 白山 gets another address: the others know the old one only.
    lab.at(2, "ip addr del 10.77.0.3/24 dev wire");
    lab.at(2, "ip addr add 10.77.0.103/24 dev wire");
    books(&cities[2], &c, 3).await;
    same_heads("another address", &[&a, &b, &c], NOTICED).await;
    let status = a.status().await;
    let moved = |peer: &city_node::admin::pages::Peer| peer.address.contains("/10.77.0.103/");
    assert!(status.peers.iter().any(moved), "{status:#?}");

    // 小松 was away; while 金沢 sends it what it missed, its permission there ends.
    b.stop().await;
    books(&cities[0], &a, 120).await;
    lab.narrow(1, "1mbit");
    let b = lab.ready(&cities[1], 1).await;
    let log = cities[0].report.log;
    let seq = async |node: &Node| {
        let heads = node.status().await.frontier;
        heads
            .iter()
            .find(|head| head.log == log)
            .map_or(0, |head| head.seq)
    };
    let (before, all) = (seq(&b).await, seq(&a).await);
    let begun = Instant::now();
    while seq(&b).await <= before {
        assert!(begun.elapsed() < PATIENCE, "{}", b.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let removed = cities[1].report.peer_id;
    cities[0]
        .config
        .network
        .peers
        .retain(|peer| peer.peer_id != removed);
    cities[0].configure();
    a.stop().await;
    let some = seq(&b).await;
    let a = lab.ready(&cities[0], 0).await;
    println!("cut off at {some} of {all}, from {before}");
    // The rest comes from 白山, which has it.
    same_heads("taken off a whitelist", &[&b, &c], SOON).await;
    a.until("the refusal", |status| status.denied_strangers > 0)
        .await;
    books(&cities[0], &a, 1).await;
    same_heads("by way of another", &[&a, &b, &c], SOON).await;
    let status = a.status().await;
    assert_eq!(status.peers.len(), 1, "{status:#?}");
    assert!(seq(&b).await > all);

    slow_clock(lab, &cities, [&a, &b], c).await;
    for node in [&a, &b] {
        node.check().await;
    }
    for node in [a, b] {
        node.stop().await;
    }
}

/// 白山's clock is ten minutes slow, then ten minutes and more fast. Others do not speak to who greets them from the future.
async fn slow_clock(lab: &Lab, cities: &[City], others: [&Node; 2], c: Node) {
    let Some(library) = faketime() else {
        println!("skipped: a clock that is wrong needs libfaketime");
        return;
    };
    c.stop().await;
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME", "-10m"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let mut slow = lab.start(&cities[2], 2, &environment);
    slow.comes_up().await.unwrap();
    // It says so, follows the others, and signs nothing: its own log is younger than the time that it believes to be.
    let status = slow.status().await;
    assert_eq!(status.clock.quality, "floor", "{status:#?}");
    assert!(!status.sequencing, "{status:#?}");
    books(&cities[0], others[0], 2).await;
    same_heads("a slow clock", &[others[0], &slow], SOON).await;
    let status = slow.status().await;
    assert!(!status.sequencing, "{status:#?}");
    slow.stop().await;
    let right = lab.ready(&cities[2], 2).await;
    same_heads("the clock is right again", &[others[0], &right], SOON).await;
    right
        .until("to sign again", |status| status.sequencing)
        .await;
    right.stop().await;

    let environment = [environment[0], ("FAKETIME", "+11m"), environment[2]];
    let fast = lab.start(&cities[2], 2, &environment);
    let begun = Instant::now();
    while !others[0].log().contains("future-dated") {
        assert!(begun.elapsed() < PATIENCE, "{}", others[0].log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let status = others[0].status().await;
    assert!(
        status.peers.iter().all(|peer| peer.region.is_none()),
        "{status:#?}"
    );
    fast.stop().await;
}

/// Debian's libfaketime; nothing else shifts the wall clock of one process.
fn faketime() -> Option<PathBuf> {
    let all = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let mut found = all.map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    found.find(|library| library.exists())
}

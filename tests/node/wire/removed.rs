//! A peer is taken off the whitelist while it is being sent the ledger over a narrow line: it is cut off at once, and gets nothing
//! more.

use std::time::{Duration, Instant};

use super::lab::{Lab, PORT};
use super::parted::books;
use crate::daemon::city::{Node, PATIENCE, directory, found_at};

/// The line is cut within a second; a command and a question take their time, too.
const AT_ONCE: Duration = Duration::from_secs(2);
/// In that time the line carries 700 KB.
const AND_THEN: Duration = Duration::from_secs(6);

#[test]
fn a_peer_that_is_removed_while_it_fetches_gets_nothing_more() {
    let Some(lab) = Lab::build(2) else { return };
    lab.tell(|| story(&lab));
}

async fn story(lab: &Lab) {
    let root = directory();
    let mut cities = found_at(root.path(), &lab.sites());
    // 金沢市 lists 小松市 by an operator's word, and is called.
    cities[0].config.network.peers.clear();
    cities[1].config.network.peers[0].addresses =
        vec![format!("/ip4/10.77.0.1/tcp/{PORT}").parse().unwrap()];
    for city in &cities {
        city.configure();
    }
    let [kanazawa, komatsu] = &cities[..] else {
        unreachable!()
    };
    let a = lab.ready(kanazawa, 0).await;
    let id = komatsu.report.peer_id.to_string();
    kanazawa.answer(&["whitelist", "add"], &[&id], 0);
    a.until("to book", |status| status.sequencing).await;
    books(kanazawa, &a, 150).await;
    lab.narrow(1, "1mbit");
    let b = lab.ready(komatsu, 1).await;
    let log = kanazawa.report.log;
    let seq = async |node: &Node| {
        let heads = node.status().await.frontier;
        let head = heads.iter().find(|head| head.log == log);
        head.map_or(0, |head| head.seq)
    };
    let all = seq(&a).await;
    let begun = Instant::now();
    while seq(&b).await == 0 {
        assert!(begun.elapsed() < PATIENCE, "{}", b.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    kanazawa.answer(&["whitelist", "remove"], &[&id], 0);
    let begun = Instant::now();
    a.until("the cut", |status| status.peers.is_empty()).await;
    let there = b.until("the cut", |status| status.peers.is_empty()).await;
    let took = begun.elapsed();
    assert!(took < AT_ONCE, "{took:?}\n{}", a.log());
    let (some, stored) = (seq(&b).await, there.store.segment_bytes);
    assert!(some < all, "all had come before: {all}");
    tokio::time::sleep(AND_THEN).await;
    let later = b.status().await;
    let more = later.store.segment_bytes - stored;
    println!("cut off at {some} of {all} after {took:?}; then {more} bytes");
    // It calls again and again, and nobody speaks to it.
    assert_eq!((seq(&b).await, later.peers.len()), (some, 0), "{later:#?}");
    let here = a.status().await;
    assert!(here.peers.is_empty() && here.denied_strangers > 0);
    for node in [a, b] {
        node.stop().await;
    }
}

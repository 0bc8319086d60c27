//! A municipality that nobody listed reads what another recommends it for: three real nodes. It gets the ledger, gives
//! nothing, and its connection ends with the word that it stood on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::city::{City, Node, PATIENCE, directory, found};

fn done(city: &City, arguments: &[&str]) -> Value {
    city.answer(&[], arguments, 0)
}

fn id(city: &City) -> String {
    city.report.peer_id.to_string()
}

/// How many vertices a node has of a city's log.
async fn has(node: &Node, of: &City) -> u64 {
    let heads = node.status().await.frontier;
    let head = heads.iter().find(|head| head.log == of.report.log);
    head.map_or(0, |head| head.seq)
}

async fn reads(node: &Node, reader: &City) {
    let reader = id(reader);
    node.until("the reader", |status| {
        let mut peers = status.peers.iter();
        peers.any(|peer| peer.peer_id == reader && peer.reads_only && peer.region.is_some())
    })
    .await;
}

/// Waits until the reader is gone; gives how long that took.
async fn gone(node: &Node, reader: &City, begun: Instant) -> Duration {
    let reader = id(reader);
    node.until("the end", |status| {
        status.peers.iter().all(|peer| peer.peer_id != reader)
    })
    .await;
    begun.elapsed()
}

/// What `peer show` says of a city.
fn shown(at: &City, of: &City) -> Value {
    at.answer(&["peer", "show"], &[&id(of)], 4)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_a_neighbour_recommends_may_read_until_the_word_ends() {
    let root = directory();
    let mut cities = found(root.path(), 3);
    // 小松市 knows both and calls 金沢市 only; 白山市 calls 金沢市, which knows nobody by its file.
    cities[0].config.network.peers.clear();
    cities[1].config.network.peers[1].addresses.clear();
    cities[2].config.network.peers.truncate(1);
    for city in &mut cities {
        // Who was turned away comes back soon.
        city.config.network.limits.backoff_max = Duration::from_secs(1);
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
    let list = |roles: &str| {
        let arguments = ["whitelist", "add", &id(komatsu), "--roles", roles];
        done(kanazawa, &arguments);
    };
    list("sync,recommend");
    a.until("小松市", |status| {
        status.peers.len() == 1 && status.peers[0].region.is_some()
    })
    .await;
    let booked = hakusan.citizen(&hakusan.api(&c)).await;
    let read = kanazawa.citizen(&kanazawa.api(&a)).await;
    let forwarded = komatsu.citizen(&komatsu.api(&b)).await;
    drop((booked, read, forwarded));
    assert_eq!(shown(kanazawa, hakusan)["may_read"], false);
    assert_eq!(has(&c, kanazawa).await, 0);

    // One word, and it reads: what 金沢市 booked, and what 小松市 did; nobody gets anything of its own.
    let recommend = || done(komatsu, &["peer", "recommend", &id(hakusan)]);
    recommend();
    reads(&a, hakusan).await;
    let told = shown(kanazawa, hakusan);
    assert_eq!(
        (
            &told["may_read"],
            &told["may_connect"],
            &told["reads"]["by"][0]
        ),
        (&true.into(), &false.into(), &id(komatsu).into())
    );
    let tested = done(kanazawa, &["peer", "test-access", &id(hakusan)]);
    let line = &tested["peers"][0];
    assert_eq!(
        (&line["admitted"], &line["ok"]),
        (&false.into(), &true.into())
    );
    assert!(line["reads"]["until"].as_u64().is_some(), "{tested}");
    c.until("both logs", |status| {
        let has = |city: &City| {
            let mut heads = status.frontier.iter();
            heads.any(|head| head.log == city.report.log)
        };
        has(kanazawa) && has(komatsu)
    })
    .await;
    assert!(has(&c, hakusan).await > 0);
    for node in [&a, &b] {
        assert_eq!(has(node, hakusan).await, 0, "{}", node.log());
    }
    // Its certificate is held by nobody who did not list it.
    let held = done(kanazawa, &["whitelist", "list"]);
    assert_eq!(held["peers"].as_array().unwrap().len(), 1, "{held}");

    // Taken back, the role taken away, the recommender taken off: at once, which the gate's own tests hold to a clock; here
    // commands and questions take their time on a machine that is busy.
    let late = Duration::from_secs(10);
    done(komatsu, &["peer", "revoke", &id(hakusan)]);
    assert!(gone(&a, hakusan, Instant::now()).await < late);
    recommend();
    reads(&a, hakusan).await;
    let begun = Instant::now();
    list("sync");
    assert!(gone(&a, hakusan, begun).await < late);
    assert_eq!(shown(kanazawa, hakusan)["may_read"], false);
    list("sync,recommend");
    reads(&a, hakusan).await;
    let begun = Instant::now();
    done(kanazawa, &["whitelist", "remove", &id(komatsu)]);
    assert!(gone(&a, hakusan, begun).await < late);

    // Listed by an operator it is a peer like others, and what it booked comes.
    list("sync,recommend");
    reads_after_reconnect(&a, komatsu, hakusan).await;
    done(kanazawa, &["peer", "approve", &id(hakusan)]);
    let begun = Instant::now();
    while has(&a, hakusan).await == 0 {
        assert!(begun.elapsed() < PATIENCE, "{}", a.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // Taken off again it is none, and no reader either, whatever 小松市 still says of it.
    let begun = Instant::now();
    done(kanazawa, &["whitelist", "remove", &id(hakusan)]);
    assert!(gone(&a, hakusan, begun).await < late);
    let told = shown(kanazawa, hakusan);
    let said = told["recommended"].as_array().unwrap();
    assert!(said.iter().any(|said| said["counts"] == true), "{told}");
    assert_eq!(told["may_read"], false);
    let tested = done(kanazawa, &["peer", "test-access", &id(hakusan)]);
    let line = &tested["peers"][0];
    assert_eq!((&line["reads"], &line["ok"]), (&Value::Null, &true.into()));
    for node in [a, b, c] {
        node.stop().await;
    }
    assert_eq!(done(kanazawa, &["audit", "verify"])["ok"], true);
}

/// A recommender that was taken off has to say it again: it does as it connects.
async fn reads_after_reconnect(node: &Node, komatsu: &City, reader: &City) {
    let komatsu = id(komatsu);
    node.until("the recommender", |status| {
        status.peers.iter().any(|peer| peer.peer_id == komatsu)
    })
    .await;
    reads(node, reader).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_wants_no_readers_has_none() {
    let root = directory();
    let mut cities = found(root.path(), 3);
    cities[0].config.network.peers.clear();
    cities[0].config.network.recommendations_to_read = 0;
    cities[1].config.network.peers[1].addresses.clear();
    cities[2].config.network.peers.truncate(1);
    for city in &cities {
        city.configure();
    }
    let [kanazawa, komatsu, hakusan] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    let roles = ["--roles", "sync,recommend"];
    done(
        kanazawa,
        &["whitelist", "add", &id(komatsu), roles[0], roles[1]],
    );
    done(komatsu, &["peer", "recommend", &id(hakusan)]);
    let begun = Instant::now();
    while shown(kanazawa, hakusan)["reason"] != "recommended" {
        assert!(begun.elapsed() < PATIENCE, "{}", a.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let before = a.status().await.denied_strangers;
    let c = hakusan.ready().await;
    a.until("a call that is turned away", |status| {
        status.denied_strangers > before
    })
    .await;
    let status = a.status().await;
    assert!(status.peers.iter().all(|peer| !peer.reads_only));
    for node in [a, b, c] {
        node.stop().await;
    }
}

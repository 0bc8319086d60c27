//! A municipality that nobody listed reads what another recommends it for: real nodes. It gets the ledger, gives
//! nothing, and its connection ends with the word that it stood on, or with one behind that.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

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

/// 小松市 knows both and calls 金沢市 only; 白山市 calls 金沢市, which knows nobody by its file.
fn neighbours(root: &Path) -> Vec<City> {
    let mut cities = found(root, 3);
    cities[0].config.network.peers.clear();
    cities[1].config.network.peers[1].addresses.clear();
    cities[2].config.network.peers.truncate(1);
    cities
}

/// 小松市, which recommends 白山市, is listed at 金沢市 for that.
fn has_a_word_for(kanazawa: &City, komatsu: &City, hakusan: &City) {
    let roles = ["--roles", "sync,recommend"];
    let list = ["whitelist", "add", &id(komatsu), roles[0], roles[1]];
    done(kanazawa, &list);
    done(komatsu, &["peer", "recommend", &id(hakusan)]);
}

/// What `peer show` says of a city.
fn shown(at: &City, of: &City) -> Value {
    at.answer(&["peer", "show"], &[&id(of)], 4)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_a_neighbour_recommends_may_read_until_the_word_ends() {
    let root = directory();
    let mut cities = neighbours(root.path());
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

/// What the page of a city's node says of another, once it is so.
async fn checked(at: &City, of: &City, holds: impl Fn(&Value) -> bool) {
    let (of, begun) = (id(of), Instant::now());
    loop {
        let said = at.command(&["netcheck"], &[]);
        let page: Value = serde_json::from_slice(&said.stdout).unwrap();
        let mut peers = page["peers"].as_array().unwrap().iter();
        let line = peers.find(|peer| peer["peer_id"] == of.as_str()).unwrap();
        if holds(line) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{page:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_reads_is_told_so_and_asks_to_be_listed_beside_its_session() {
    let root = directory();
    let mut cities = neighbours(root.path());
    cities[0].config.network.accept_whitelist_requests = true;
    for city in &mut cities {
        city.config.network.limits.backoff_max = Duration::from_secs(1);
        city.configure();
    }
    let [kanazawa, komatsu, hakusan] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    has_a_word_for(kanazawa, komatsu, hakusan);
    let c = hakusan.ready().await;
    reads(&a, hakusan).await;

    // 白山市 knows that it only reads, and whom to ask.
    let own = id(hakusan);
    checked(hakusan, kanazawa, |line| {
        let remedy = line["remedy"].as_str().unwrap_or_default();
        line["lists_us"] == false && line["connected"] == true && remedy.contains(&own)
    })
    .await;
    let there = c.status().await;
    assert!(there.peers[0].only_read_at, "{there:#?}");
    let shown = hakusan.answer(&["peer", "show"], &[&id(kanazawa)], 0);
    assert_eq!(shown["connected"]["only_read_at"], true, "{shown}");

    let since = there.peers[0].since;
    let at = format!("{}/p2p/{}", kanazawa.config.network.listen[0], id(kanazawa));
    let ask = ["peer", "request-whitelist", &at, "--name", "白山市"];
    assert_eq!(done(hakusan, &ask)["verdict"], "pending");
    let pending = done(kanazawa, &["peer", "pending"]);
    assert_eq!(pending["pending"][0]["peer"], id(hakusan), "{pending}");
    // Its session stands, and reads on.
    let there = c.status().await;
    assert_eq!(there.peers[0].since, since, "{}", c.log());
    reads(&a, hakusan).await;

    done(kanazawa, &["peer", "approve", &id(hakusan)]);
    checked(hakusan, kanazawa, |line| {
        line["lists_us"] == true && line["hello"] == true
    })
    .await;
    let refused = hakusan.refusal(&ask[..2], &ask[2..], 1);
    assert!(refused.contains("whitelisted it already"), "{refused}");
    for node in [a, b, c] {
        node.stop().await;
    }
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
    let mut cities = neighbours(root.path());
    cities[0].config.network.recommendations_to_read = 0;
    for city in &cities {
        city.configure();
    }
    let [kanazawa, komatsu, hakusan] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    has_a_word_for(kanazawa, komatsu, hakusan);
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

/// 金沢市 knows 小松市 only, 小松市 knows 白山市, and 白山市 かほく市; those two call 金沢市.
fn in_a_row() -> (tempfile::TempDir, Vec<City>) {
    let root = directory();
    let mut cities = found(root.path(), 4);
    cities[0].config.network.peers.clear();
    cities[1].config.network.peers[1].addresses.clear();
    cities[1].config.network.peers.truncate(2);
    cities[2].config.network.peers.remove(1);
    cities[2].config.network.peers[1].addresses.clear();
    cities[3].config.network.peers.truncate(1);
    cities[0].config.network.recommendation_depth = 2;
    for city in &mut cities {
        // Who was turned away comes back soon.
        city.config.network.limits.backoff_max = Duration::from_secs(1);
        city.configure();
    }
    (root, cities)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_brings_another_as_far_as_recommendations_go() {
    let (_root, mut cities) = in_a_row();
    let [kanazawa, komatsu, hakusan, kahoku] = &mut cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    let (c, d) = (hakusan.ready().await, kahoku.ready().await);
    let list = |roles: &str| {
        let arguments = ["whitelist", "add", &id(komatsu), "--roles", roles];
        done(kanazawa, &arguments);
    };
    list("sync,recommend");
    a.until("小松市", |status| {
        status.peers.len() == 1 && status.peers[0].region.is_some()
    })
    .await;
    drop(kanazawa.citizen(&kanazawa.api(&a)).await);

    // 小松市 says it of 白山市, and 白山市, when it reads, of かほく市.
    done(komatsu, &["peer", "recommend", &id(hakusan)]);
    reads(&a, hakusan).await;
    assert_eq!(shown(kanazawa, kahoku)["may_read"], false);
    done(hakusan, &["peer", "recommend", &id(kahoku)]);
    reads(&a, kahoku).await;
    d.until("the log", |status| {
        let mut heads = status.frontier.iter();
        heads.any(|head| head.log == kanazawa.report.log)
    })
    .await;
    assert_eq!(has(&a, kahoku).await, 0, "{}", a.log());

    // Everything that shows it says by which way.
    let way = json!([id(komatsu), id(hakusan)]);
    let page = shown(kanazawa, kahoku);
    assert_eq!(
        (&page["may_read"], &page["reason"], &page["reads"]["paths"]),
        (&true.into(), &"recommended".into(), &json!([way]))
    );
    let heard = done(kanazawa, &["peer", "recommendations"]);
    assert_eq!(heard["depth"], 2);
    let heard = heard["recommended"].as_array().unwrap().clone();
    let of_reader = |said: &&Value| said["recommender"] == id(hakusan);
    let word = heard.iter().find(of_reader).unwrap();
    assert_eq!((&word["counts"], &word["path"]), (&false.into(), &way));
    let tested = done(kanazawa, &["peer", "test-access", &id(kahoku)]);
    let line = &tested["peers"][0];
    assert_eq!(
        (&line["ok"], &line["reads"]["paths"]),
        (&true.into(), &json!([way]))
    );
    let status = a.status().await;
    let mut peers = status.peers.iter();
    let reader = peers.find(|peer| peer.peer_id == id(kahoku)).unwrap();
    assert_eq!(json!(reader.reads.as_ref().unwrap().paths), json!([way]));
    let (by, whom) = (id(hakusan), id(komatsu));
    let sentence = format!("recommended by {by}, whom {whom} recommends until ");
    for arguments in [["show", &id(kahoku)], ["test-access", &id(kahoku)]] {
        let told = kanazawa.told(&["peer"], &arguments);
        assert!(told.contains(&format!("may read: {sentence}")), "{told}");
    }
    let shown_of_reader = kanazawa.told(&["peer"], &["recommendations"]);
    let words = format!("{by}, whom {whom} recommends, for reading only, recommends かほく市");
    assert!(shown_of_reader.contains(&words), "{shown_of_reader}");
    // It lets it read, and no operator approves anybody by it.
    let refused = kanazawa.refusal(&[], &["peer", "approve", &id(kahoku)], 1);
    assert!(refused.contains("nobody recommends it"), "{refused}");

    // 白山市's word ends, and 白山市 stays; 小松市's role, and both go; with the role both are back.
    let late = Duration::from_secs(10);
    done(hakusan, &["peer", "revoke", &id(kahoku)]);
    assert!(gone(&a, kahoku, Instant::now()).await < late);
    reads(&a, hakusan).await;
    done(hakusan, &["peer", "recommend", &id(kahoku)]);
    reads(&a, kahoku).await;
    let begun = Instant::now();
    list("sync");
    assert!(gone(&a, kahoku, begun).await < late);
    assert!(gone(&a, hakusan, begun).await < late);
    list("sync,recommend");
    reads(&a, hakusan).await;
    reads(&a, kahoku).await;

    // 小松市's word ends, and what stood on it for good: 白山市 says it again when it is back.
    done(komatsu, &["peer", "revoke", &id(hakusan)]);
    let begun = Instant::now();
    assert!(gone(&a, kahoku, begun).await < late);
    assert!(gone(&a, hakusan, begun).await < late);
    let heard = done(kanazawa, &["peer", "recommendations"]);
    assert_eq!(heard["recommended"], json!([]));
    done(komatsu, &["peer", "recommend", &id(hakusan)]);
    reads(&a, kahoku).await;

    // It stands in the trust log, and counts there as far as recommendations go.
    a.stop().await;
    assert_eq!(shown(kanazawa, kahoku)["may_read"], true);
    kanazawa.config.network.recommendation_depth = 1;
    kanazawa.configure();
    let page = shown(kanazawa, kahoku);
    assert_eq!(
        (&page["may_read"], &page["recommended"][0]["recommender"]),
        (&false.into(), &id(hakusan).into())
    );
    let a = kanazawa.ready().await;
    reads(&a, hakusan).await;
    let before = a.status().await.denied_strangers;
    a.until("a call that is turned away", |status| {
        status.denied_strangers > before
    })
    .await;
    let status = a.status().await;
    let mut peers = status.peers.iter();
    assert!(peers.all(|peer| peer.peer_id != id(kahoku)), "{}", a.log());
    for node in [a, b, c, d] {
        node.stop().await;
    }
    assert_eq!(done(kanazawa, &["audit", "verify"])["ok"], true);
}

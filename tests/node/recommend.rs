//! One municipality recommends another to its neighbour: three real nodes, by the command line.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::city::{City, Node, PATIENCE, directory, found};

fn done(city: &City, arguments: &[&str]) -> Value {
    city.answer(&[], arguments, 0)
}

fn refused(city: &City, arguments: &[&str]) -> String {
    city.refusal(&[], arguments, 1)
}

fn id(city: &City) -> String {
    city.report.peer_id.to_string()
}

fn heard(city: &City) -> Vec<Value> {
    let page = done(city, &["peer", "recommendations"]);
    page["recommended"].as_array().unwrap().clone()
}

/// Waits until the node has so many recommendations of others.
async fn hears(city: &City, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let heard = heard(city);
        if heard.len() == count {
            return heard;
        }
        assert!(begun.elapsed() < PATIENCE, "{heard:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn greeted(node: &Node) {
    node.until("the peer", |status| {
        status.peers.iter().any(|peer| peer.region.is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbours_word_is_heard_by_whom_it_is_for_and_an_operator_decides() {
    let root = directory();
    let mut cities = found(root.path(), 3);
    // 金沢市 knows nobody yet, 小松市 knows 金沢市 and 白山市.
    cities[0].config.network.peers.clear();
    cities[0].configure();
    let [kanazawa, komatsu, hakusan] = &mut cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    let address = komatsu.config.network.listen[0].to_string();
    let list = |city: &City, roles: &str| {
        let (komatsu, address) = (id(komatsu), address.as_str());
        done(
            city,
            &[
                "whitelist",
                "add",
                &komatsu,
                "--roles",
                roles,
                "--address",
                address,
                "-n",
                "小松市",
            ],
        );
    };
    list(kanazawa, "sync");
    greeted(&a).await;
    // Without the role nothing is heard, nor from whom nobody listed; and nobody recommends itself or whom it does not know.
    let own = done(komatsu, &["peer", "recommend", &id(hakusan)]);
    assert_eq!(own["own"][0]["name"], "白山市");
    let said = refused(komatsu, &["peer", "recommend", &id(hakusan)]);
    assert!(said.contains("already"), "{said}");
    let said = refused(komatsu, &["peer", "recommend", &id(komatsu)]);
    assert!(said.contains("own peer id"), "{said}");
    let said = refused(kanazawa, &["peer", "recommend", &id(hakusan)]);
    assert!(said.contains("not on the whitelist"), "{said}");
    let said = refused(komatsu, &["peer", "recommend", &id(kanazawa), "-e", "2161"]);
    assert!(said.contains("2160"), "{said}");
    assert!(heard(kanazawa).is_empty());

    // With the role it is heard with the next connection, and it is no entry.
    list(kanazawa, "sync,recommend");
    a.stop().await;
    let a = kanazawa.ready().await;
    let said = hears(kanazawa, 1).await;
    assert_eq!(
        (
            &said[0]["peer"],
            &said[0]["recommender"],
            &said[0]["name"],
            &said[0]["counts"]
        ),
        (
            &id(hakusan).into(),
            &id(komatsu).into(),
            &"白山市".into(),
            &true.into()
        )
    );
    let shown = kanazawa.command(&["peer", "show"], &[&id(hakusan)]);
    assert_eq!(shown.status.code(), Some(4));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["reason"], "recommended");
    // Its name is a private value.
    let trust = std::fs::read_dir(kanazawa.data.trust()).unwrap();
    for entry in trust {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("白山市"));
    }

    // Taken back, it goes at once; said again, it comes at once.
    done(komatsu, &["peer", "revoke", &id(hakusan)]);
    hears(kanazawa, 0).await;
    done(komatsu, &["peer", "revoke", &id(hakusan)]);
    let said = refused(komatsu, &["peer", "revoke", &id(kanazawa)]);
    assert!(said.contains("not recommended"), "{said}");
    let said = refused(kanazawa, &["peer", "approve", &id(hakusan)]);
    assert!(said.contains("nobody recommends it"), "{said}");
    done(komatsu, &["peer", "recommend", &id(hakusan), "-e", "48"]);
    hears(kanazawa, 1).await;
    // Who is away hears of it with the next connection.
    a.stop().await;
    done(komatsu, &["peer", "revoke", &id(hakusan)]);
    let a = kanazawa.ready().await;
    hears(kanazawa, 0).await;
    done(komatsu, &["peer", "recommend", &id(hakusan), "-e", "48"]);
    hears(kanazawa, 1).await;
    // An operator decides; with two needed, one is too few.
    a.stop().await;
    kanazawa.config.network.recommendations_needed = 2;
    kanazawa.configure();
    let said = refused(kanazawa, &["peer", "approve", &id(hakusan)]);
    assert!(said.contains("recommended by 1"), "{said}");
    kanazawa.config.network.recommendations_needed = 1;
    kanazawa.configure();
    let a = kanazawa.ready().await;
    assert_eq!(heard(kanazawa).len(), 1);
    let approved = done(kanazawa, &["peer", "approve", &id(hakusan), "-e", "24"]);
    let entry = &approved["listed"]["entries"][0];
    assert_eq!(
        (&entry["name"], &entry["region"]),
        (&"白山市".into(), &"Asia/JP/17/17210".into())
    );

    // The recommender goes, and its word with it; the entry was an operator's.
    done(kanazawa, &["whitelist", "remove", &id(komatsu)]);
    assert!(heard(kanazawa).is_empty());
    done(kanazawa, &["whitelist", "check", &id(hakusan)]);
    a.stop().await;
    b.stop().await;
    assert!(heard(kanazawa).is_empty());
    let verified = done(kanazawa, &["audit", "verify"]);
    assert_eq!(verified["ok"], true);
}

//! Three real nodes: one follows what does not concern it by headers, until it does.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use city_protocol::replica::FollowPolicy;
use serde_json::Value;

use crate::daemon::city::{City, PATIENCE, directory, found, in_step};
use crate::daemon::private::sent;

/// The head of a city's log at another.
fn head(at: &City, of: &City) -> Value {
    let page = at.answer(&["ledger", "heads"], &[], 0);
    let mut heads = page["heads"].as_array().unwrap().iter();
    let log = of.report.log.to_string();
    heads.find(|head| head["log"] == log).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_are_enough_until_somebody_sends_here() {
    let root = directory();
    let mut cities = found(root.path(), 3);
    let _line = cities[0].plug_in(Vec::new);
    cities[2].config.follow.policy = FollowPolicy::Headers;
    cities[2].configure();
    let [kanazawa, komatsu, hakusan] = &cities[..] else {
        unreachable!()
    };
    let (a, b, c) = (
        kanazawa.ready().await,
        komatsu.ready().await,
        hakusan.ready().await,
    );
    a.until("a place", |status| status.place.satisfies_policy)
        .await;
    let home = kanazawa.api(&a);
    let chiyojo = kanazawa.rich(&home, 1000).await;
    let yosa = komatsu.citizen(&komatsu.api(&b)).await;
    let page = komatsu.api(&b).node().await.unwrap();
    sent(&home, &chiyojo, &yosa, &page).await;
    in_step(&[&a, &b, &c]).await;
    let shown = head(hakusan, kanazawa);
    assert_eq!(shown["headers_behind"], 1, "{shown}");
    assert_eq!(shown["seq"], head(kanazawa, kanazawa)["seq"]);
    assert!(head(komatsu, kanazawa)["headers_behind"].is_null());
    let told = hakusan.command(&["ledger", "heads"], &[]);
    assert!(told.status.success());

    // Stopped, checked, and its index made again from what is stored.
    c.stop().await;
    let checked = hakusan.answer(&["store", "verify"], &[], 0);
    assert!(checked["headers"].as_u64() > Some(1), "{checked}");
    hakusan.answer(&["store", "rebuild"], &[], 0);
    assert_eq!(head(hakusan, kanazawa), shown);
    let c = hakusan.ready().await;
    in_step(&[&a, &b, &c]).await;
    assert_eq!(head(hakusan, kanazawa)["headers_behind"], 1);

    // Somebody there is sent something: all of 金沢's log is read, and its books hold.
    let there = hakusan.api(&c);
    let basho = hakusan.citizen(&there).await;
    let page = there.node().await.unwrap();
    sent(&home, &chiyojo, &basho, &page).await;
    in_step(&[&a, &b, &c]).await;
    let begun = Instant::now();
    while !head(hakusan, kanazawa)["headers_behind"].is_null() {
        assert!(begun.elapsed() < PATIENCE, "no bodies:\n{}", c.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        head(hakusan, kanazawa)["entries"],
        head(kanazawa, kanazawa)["entries"]
    );
    hakusan.answer(&["journal", "verify"], &[], 0);
    c.stop().await;
    hakusan.answer(&["store", "rebuild"], &[], 0);
    assert!(head(hakusan, kanazawa)["headers_behind"].is_null());
    hakusan.answer(&["ledger", "verify"], &[], 0);
}

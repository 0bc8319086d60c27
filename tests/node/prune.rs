//! 金沢市 prunes what is complete: 春子 sends 与謝 1.23 three times, 与謝 takes it twice. The bodies of two go into an archive; the
//! books, the balances and the state stay what they were, and what is in the archive can be proven out of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use city_node::client::ApiClient;
use city_node::client::person::{Order, Person, random};
use city_node::config::Config;
use city_node::engine::utc;
use city_protocol::amount::Amount;
use serde_json::Value;

use crate::daemon::city::{City, alone, directory};

fn city_node(city: &City, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_city-node"))
        .args(arguments)
        .arg("--data-dir")
        .arg(city.data.path())
        .env("TZ", "UTC")
        .env("LC_ALL", "en_US.UTF-8")
        .output()
        .unwrap()
}

/// Runs it, expects this exit code, and gives all that it said.
#[track_caller]
fn check(city: &City, arguments: &[&str], code: i32) -> String {
    let ran = city_node(city, arguments);
    let told = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {told}");
    told
}

#[track_caller]
fn json(city: &City, arguments: &[&str]) -> Value {
    let ran = city_node(city, &[arguments, &["--json"]].concat());
    assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    serde_json::from_slice(&ran.stdout).unwrap()
}

pub(crate) async fn sent(api: &ApiClient, from: &Person, to: &Person, taken: bool) {
    let home = api.node().await.unwrap();
    let mut order = Order::new(to.account(), &home, Amount::from_hundredths(123));
    order.sequence = api.account(&from.account()).await.unwrap().next_sequence;
    order.created_at = utc();
    let place = api
        .place(&from.account(), &order.transfer_id, &random())
        .await
        .unwrap();
    order.proof_of_place = place.digest;
    let (signed, private) = from.transfer(&order).unwrap();
    let booked = api.transfer_with(&signed, &private).await.unwrap();
    if !taken {
        return;
    }
    api.login(to).await.unwrap();
    let waiting = api.incoming(&to.account(), None).await.unwrap().transfers;
    let sequence = api.account(&to.account()).await.unwrap().next_sequence;
    let mut waiting = waiting.iter();
    let this = waiting
        .find(|item| item.transfer == booked.identity)
        .unwrap();
    let accept = to.accept(this, sequence, utc()).unwrap();
    api.accept(&accept).await.unwrap();
    api.login(from).await.unwrap();
}

/// What the books say, and what the newest checkpoint does.
fn books(city: &City, people: &[String; 2]) -> Vec<Value> {
    let [haruko, yosa] = people;
    let verified = json(city, &["journal", "verify"]);
    assert_eq!(verified["ok"], true, "{verified}");
    vec![
        json(city, &["journal", "list"]),
        json(city, &["journal", "statement", "--log", "17201"]),
        json(city, &["account", "statement", haruko]),
        json(city, &["account", "statement", yosa]),
        verified,
    ]
}

/// The entries of the own log with these kinds: `LOG:SEQ:INDEX`.
fn entries(city: &City, kind: &str) -> Vec<String> {
    let lines = check(city, &["ledger", "log", "--json"], 0);
    let vertices = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut found = Vec::new();
    for vertex in vertices {
        let (log, seq) = (
            vertex["log"].as_str().unwrap().to_owned(),
            vertex["seq"].clone(),
        );
        for (index, entry) in vertex["entries"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            if entry[0] == kind {
                found.push(format!("{log}:{seq}:{index}"));
            }
        }
    }
    found
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pruned_is_proven_out_of_the_archive_and_the_books_stay() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("data"));
    let _line = city.plug_in(Vec::new);
    let node = city.ready().await;
    node.until("a place", |status| status.place.satisfies_policy)
        .await;
    let api = city.api(&node);
    let haruko = city.rich(&api, 1000).await;
    let yosa = city.citizen(&api).await;
    api.login(&haruko).await.unwrap();
    for taken in [true, true, false] {
        sent(&api, &haruko, &yosa, taken).await;
        // A vertex of its own.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let archive = root.path().join("old.car");
    // Of a node that runs nothing is pruned.
    let told = check(&city, &["ledger", "prune", "--dry-run"], 1);
    assert!(told.contains("in use"), "{told}");
    node.stop().await;
    check(&city, &["ledger", "checkpoint", "make"], 0);
    let people = [haruko.account().to_string(), yosa.account().to_string()];
    let before = books(&city, &people);
    let transfers = entries(&city, "transfer");
    assert_eq!(transfers.len(), 3);
    let state = json(&city, &["ledger", "checkpoint", "show"])["state_root"].clone();

    // Nothing is half a year old.
    let young = json(&city, &["ledger", "prune", "--dry-run"]);
    assert_eq!(young["bodies"], 0, "{young}");
    let now = jiff::Timestamp::now().to_string();
    let before_now = ["ledger", "prune", "--before", &now];
    let told = check(&city, &before_now, 2);
    assert!(told.contains("--export"), "{told}");
    check(
        &city,
        &["ledger", "prune", "--before", "2999-01-01", "--dry-run"],
        2,
    );
    let dry = json(&city, &[&before_now[..], &["--dry-run"]].concat());
    assert_eq!(
        (&dry["bodies"], &dry["stays"]["open"]),
        (&4.into(), &1.into()),
        "{dry}"
    );
    let unmade = root.path().join("none").join("old.car");
    let told = check(
        &city,
        &[&before_now[..], &["--export", text(&unmade)]].concat(),
        1,
    );
    assert!(told.contains("nothing was pruned"), "{told}");

    let export = ["--export", text(&archive)];
    let done = json(&city, &[&before_now[..], &export].concat());
    assert_eq!(done["bodies"], 4, "{done}");
    let (bytes, left) = (
        done["bytes"].as_u64().unwrap(),
        done["stub_bytes"].as_u64().unwrap(),
    );
    assert!(left * 4 < bytes, "{left} bytes are left of {bytes}");
    let told = check(
        &city,
        &[&before_now[..], &["--export", text(&archive)]].concat(),
        0,
    );
    assert!(told.contains("nothing to prune"), "{told}");

    // Everything is as it was, by the index and by the segments.
    assert_eq!(books(&city, &people), before);
    let verified = json(&city, &["ledger", "verify"]);
    assert_eq!(
        (&verified["ok"], &verified["pruned"]),
        (&true.into(), &4.into()),
        "{verified}"
    );
    let told = check(&city, &["ledger", "verify"], 0);
    assert!(told.contains("4 bodies were pruned"), "{told}");
    std::fs::remove_dir_all(city.data.index()).unwrap();
    assert_eq!(books(&city, &people), before);
    let again = json(&city, &["ledger", "checkpoint", "show"])["state_root"].clone();
    assert_eq!(again, state);
    assert_eq!(json(&city, &["store", "stats"])["pruned"], 4);
    assert_eq!(entries(&city, "transfer").len(), 1, "one is here still");

    // A receipt of what went is made from the archive.
    let proof = root.path().join("entry.proof");
    let prove = [
        "ledger",
        "prove",
        &transfers[0],
        "--checkpoint",
        "--out",
        text(&proof),
    ];
    let told = check(&city, &prove, 1);
    assert!(
        told.contains("--from") && told.contains("store import"),
        "{told}"
    );
    check(
        &city,
        &[&prove[..], &["--from", text(&archive)]].concat(),
        0,
    );
    let genesis = city.data.genesis();
    let mut verify = Command::new(env!("CARGO_BIN_EXE_city-node"));
    verify.args([
        "ledger",
        "verify-proof",
        text(&proof),
        "--genesis",
        text(&genesis),
    ]);
    assert!(verify.output().unwrap().status.success());
    let mut spoilt = std::fs::read(&archive).unwrap();
    let middle = spoilt.len() / 2;
    spoilt[middle] ^= 1;
    let other = root.path().join("spoilt.car");
    std::fs::write(&other, spoilt).unwrap();
    std::fs::remove_file(&proof).unwrap();
    let told = check(&city, &[&prove[..], &["--from", text(&other)]].concat(), 1);
    assert!(told.contains("bad-block"), "{told}");

    // It runs, books, and everything that can be checked holds.
    let node = city.ready().await;
    node.until("a place", |status| status.place.satisfies_policy)
        .await;
    node.check().await;
    let api = city.api(&node);
    api.login(&haruko).await.unwrap();
    sent(&api, &haruko, &yosa, true).await;
    node.check().await;
    node.stop().await;
    let after = books(&city, &people);

    // And the bodies come back.
    let report = json(&city, &["store", "import", text(&archive)]);
    assert_eq!(
        (&report["bodies"], &report["logs"]),
        (&4.into(), &serde_json::json!([])),
        "{report}"
    );
    let again = json(&city, &["store", "import", text(&archive)]);
    assert_eq!(again["bodies"], 0, "{again}");
    assert_eq!(books(&city, &people), after);
    check(&city, &prove, 0);
    check(&city, &["ledger", "verify"], 0);
    std::fs::remove_dir_all(city.data.index()).unwrap();
    assert_eq!(books(&city, &people), after);
    check(&city, &["store", "compact"], 0);
    assert_eq!(books(&city, &people), after);
    // Pruned once more, there is nothing of them twice.
    let second = root.path().join("again.car");
    let done = json(
        &city,
        &[&before_now[..], &["--export", text(&second)]].concat(),
    );
    assert_eq!(done["bodies"], 4, "{done}");
    assert_eq!(json(&city, &["store", "stats"])["pruned"], 4);
    assert_eq!(books(&city, &people), after);
}

#[test]
fn who_keeps_every_body_prunes_nothing() {
    let root = directory();
    let city = alone(root.path(), root.path().join("data"));
    let mut config = Config::load(&city.data.config()).unwrap();
    config.retention.bodies_ms = None;
    std::fs::write(city.data.config(), config.to_toml()).unwrap();
    let told = check(&city, &["ledger", "prune", "--dry-run"], 2);
    assert!(told.contains("retention.bodies is off"), "{told}");
}

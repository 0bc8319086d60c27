//! Other officers: who decides at 金沢's home changes by the real binary, its peer follows, and receipts from before, of the
//! change and from after hold offline.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;

use city_node::admin::pages::Status;
use city_node::api::wire::CharterPage;
use city_node::keys;
use city_protocol::Refusal;
use city_protocol::ids::LogId;

use super::daemon::city::{City, Node, directory, found};

#[track_caller]
fn check(arguments: &[&str], code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
    let ran = command.args(arguments).output().unwrap();
    let told = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {told}");
    told
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn head(status: &Status, log: LogId) -> u64 {
    let mut heads = status.frontier.iter();
    heads
        .find(|head| head.log == log)
        .map_or(0, |head| head.seq)
}

/// With the home's address behind.
#[track_caller]
fn at_home(city: &City, node: &Node, arguments: &[&str], code: i32) -> String {
    let (address, root) = (format!("https://{}", node.address()), city.data.tls_root());
    let home = ["--node", &address, "--tls-root", text(&root)];
    check(&[arguments, &home].concat(), code)
}

fn charter(city: &City, node: &Node) -> CharterPage {
    let show = ["officers", "charter", "show", "--json"];
    let told = at_home(city, node, &show, 0);
    let value: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(value["schema"], 1);
    serde_json::from_value(value).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn officers_elect_others_and_everybody_knows_since_when() {
    let root = directory();
    let at = |name: &str| root.path().join(name);
    let mut cities = found(root.path(), 2);
    let log = cities[0].report.log;
    let peer = cities[1].ready().await;
    let node = cities[0].ready().await;
    let city = &cities[0];
    let api = city.api(&node);
    let hanako = city.rich(&api, 10_000).await;
    let first = charter(city, &node);
    assert_eq!((first.number, first.k, first.officers.len()), (1, 1, 2));
    let told = at_home(city, &node, &["officers", "charter", "show"], 0);
    assert!(told.contains("charter 1 of Asia/JP/17/17201"), "{told}");
    assert!(told.contains("1 of 2 officers must sign"), "{told}");

    let (old, new) = (at("old.key"), at("new.key"));
    keys::save_signing(&old, &city.officers[0]).unwrap();
    let generate = ["key", "generate", text(&new), "--suite", "dilithium5-ntru"];
    check(&generate, 0);
    let coming = keys::public_path(&new);
    let goes = city.officers[0].public().id().to_string();
    let (body, signature) = (at("next.json"), at("1.json"));
    let propose = |more: &[&str], code| {
        let fixed = ["--reason", "選挙", "--out", text(&body)];
        let all = [&["officers", "charter", "propose"], more, &fixed].concat();
        at_home(city, &node, &all, code)
    };
    assert!(propose(&[], 1).contains("nothing changes"));
    let unknown = "a".repeat(52);
    assert!(propose(&["--remove", &unknown], 1).contains("not an officer"));
    let second = at("second.pub");
    std::fs::copy(&coming, &second).unwrap();
    let twice = ["--add", text(&coming), "--add", text(&second)];
    assert!(propose(&twice, 1).contains("an officer already"));
    assert!(propose(&["--officers-needed", "3"], 1).contains("from 1 to 2"));
    assert!(propose(&["--no-witnesses", "--witness", &unknown], 2).contains("cannot be used"));
    let told = propose(&["--add", text(&coming), "--remove", &goes], 0);
    assert!(told.contains("1 of 2 officers sign it"), "{told}");
    let sign = [
        "officers",
        "sign",
        text(&body),
        "--key",
        text(&old),
        "--out",
        text(&signature),
    ];
    let told = check(&sign, 0);
    assert!(
        told.contains("charter 2 of Asia/JP/17/17201") && told.contains("1 of 2 officers decide"),
        "{told}"
    );
    // Whoever comes does not elect themselves.
    let own = at("own.json");
    check(
        &[
            "officers",
            "sign",
            text(&body),
            "--key",
            text(&new),
            "--out",
            text(&own),
        ],
        0,
    );
    let told = at_home(
        city,
        &node,
        &["officers", "submit", text(&body), text(&own)],
        1,
    );
    assert!(told.contains("officers-short"), "{told}");
    let receipt = at("charter.receipt");
    let submit = [
        "officers",
        "submit",
        text(&body),
        text(&signature),
        "--receipt",
        text(&receipt),
    ];
    assert!(at_home(city, &node, &submit, 0).contains("booked."));
    let again = at_home(city, &node, &submit, 0);
    assert!(again.contains("was booked already"), "{again}");

    let status = node.status().await;
    assert_eq!(
        (status.charter.number, status.charter.k, status.charter.n),
        (2, 1, 2)
    );
    let page = charter(city, &node);
    assert_eq!(Some(page.charter), status.charter.charter);
    assert!(
        !page
            .officers
            .iter()
            .any(|officer| officer.key.to_string() == goes)
    );
    // Who went decides nothing any more; who came does.
    let refused = city.grant(&api, &hanako, 100).await.unwrap_err();
    assert!(
        refused.code() == Some(Refusal::OfficersShort.code()),
        "{refused:?}"
    );
    let gone = std::mem::replace(
        &mut cities[0].officers[0],
        keys::load_signing(&new).unwrap(),
    );
    drop(gone);
    let city = &cities[0];
    city.grant(&api, &hanako, 100).await.unwrap();
    let seq = head(&node.status().await, log);
    peer.until("the log", |status| head(status, log) == seq)
        .await;

    // Everything holds with the genesis record alone, also out of the peer's store and of an index made again.
    let genesis = city.data.genesis();
    let genesis = ["--genesis", text(&genesis)];
    let verify = ["tx", "verify-receipt", text(&receipt)];
    let told = check(&[&verify[..], &genesis[..]].concat(), 0);
    assert!(told.contains("entry      charter "), "{told}");
    node.stop().await;
    peer.stop().await;
    let own = text(city.data.path());
    check(&["store", "rebuild", "--data-dir", own], 0);
    for (which, place) in cities.iter().enumerate() {
        let data = text(place.data.path());
        let node = ["--data-dir", data];
        check(&[&["ledger", "verify"], &node[..]].concat(), 0);
        let at_head = format!("17201:{seq}");
        let shown = check(&[&["ledger", "show", &at_head], &node[..]].concat(), 0);
        assert!(
            shown.contains(&format!("charter    {}", page.charter)),
            "{shown}"
        );
        for position in [1, seq - 1, seq] {
            let proof = at(&format!("{which}-{position}.proof"));
            let entry = format!("17201:{position}:0");
            let prove = ["ledger", "prove", &entry, "--out", text(&proof)];
            check(&[&prove[..], &node[..]].concat(), 0);
            let verify = ["ledger", "verify-proof", text(&proof)];
            check(&[&verify[..], &genesis[..]].concat(), 0);
        }
    }
    let node = cities[0].ready().await;
    assert_eq!(node.status().await.charter.number, 2);
    let api = cities[0].api(&node);
    cities[0].grant(&api, &hanako, 100).await.unwrap();
    node.stop().await;
}

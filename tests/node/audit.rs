//! What operators answer for: the two logs of a node that ran, shown, checked and exported by its own command line,
//! while it runs and after; and what is missing in them is noticed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output};

use city_node::config::Peer;
use libp2p::identity::Keypair;
use serde_json::Value;

use crate::daemon::city::{City, alone, directory};

fn audit(city: &City, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_city-node"))
        .arg("audit")
        .args(arguments)
        .arg("--data-dir")
        .arg(city.data.path())
        .output()
        .unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Class, who, what and count of the lines that are listed.
fn listed(city: &City, arguments: &[&str]) -> Vec<(String, String, String, u64)> {
    let output = audit(city, &[&["list", "--json"], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let lines = json(&output)["lines"].as_array().unwrap().clone();
    lines
        .iter()
        .map(|line| {
            let count = line["count"].as_u64().unwrap();
            (
                text(line, "class"),
                text(line, "who"),
                text(line, "what"),
                count,
            )
        })
        .collect()
}

fn verify(city: &City) -> (Option<i32>, Value) {
    let output = audit(city, &["verify", "--json"]);
    (output.status.code(), json(&output))
}

/// A peer that is nobody, for the whitelist.
fn peer(name: &str) -> Peer {
    Peer {
        peer_id: Keypair::generate_ed25519().public().to_peer_id(),
        name: name.into(),
        region: "Asia/JP/17/17203".parse().unwrap(),
        addresses: Vec::new(),
        expires_at: None,
        roles: city_node::trust::Role::sync_only(),
    }
}

fn copy(from: &Path, to: &Path) {
    let _none = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_people_and_strangers_did_is_there_and_nothing_can_be_cut_off() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    city.config.network.peers = vec![peer("小松市")];
    city.configure();
    let node = city.ready().await;
    let api = city.api(&node);
    let hanako = city.citizen(&api).await;
    api.logout(&hanako.account()).await.unwrap();
    for _ in 0..5 {
        api.account(&hanako.account()).await.unwrap_err();
    }
    let admin = node.admin().await.unwrap();
    admin.balances().await.unwrap();

    // While it runs.
    let account = hanako.account().to_string();
    let login = listed(&city, &["--class", "login", "--since", "1h"]);
    assert_eq!(
        login,
        [("login".into(), account.clone(), "login".into(), 1)]
    );
    let logout = listed(&city, &["--class", "logout"]);
    assert_eq!(logout, [("logout".into(), account, "logout".into(), 1)]);
    let operated = listed(&city, &["--class", "operator"]);
    let uid = format!("uid {}", rustix::process::geteuid().as_raw());
    let first = ("operator".into(), uid, "GET /v1/balances".into(), 1);
    assert_eq!(operated.first(), Some(&first));
    let added = listed(&city, &["--log", "trust"]);
    assert_eq!(
        (added.len(), &*added[0].0, &*added[0].1),
        (1, "whitelist-add", "config")
    );
    // The name is encrypted beside the log; the region is not.
    let what = &added[0].2;
    assert!(
        what.contains("Asia/JP/17/17203") && !what.contains("小松市"),
        "{added:?}"
    );
    assert!(listed(&city, &["--since", "2199-01-01T00:00:00Z"]).is_empty());
    let (code, verdict) = verify(&city);
    assert_eq!(
        (code, verdict["ok"].as_bool()),
        (Some(0), Some(true)),
        "{verdict}"
    );
    assert_eq!(verdict["heads_in_ledger"], 1);
    node.stop().await;

    // After: strangers are one line a reason, and the node's own end is there.
    let refused = listed(&city, &["--class", "refused"]);
    assert_eq!(
        refused,
        [("refused".into(), String::new(), "login-required".into(), 5)]
    );
    let all = listed(&city, &["--log", "access"]);
    assert_eq!((&*all[0].0, &*all.last().unwrap().0), ("start", "stop"));
    let output = audit(&city, &["export"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    // One decision about trust, a login, a logout, one kind of refusal.
    assert_eq!(lines.len(), all.len() + 4);
    let access: Vec<&Value> = lines
        .iter()
        .filter(|line| line["log"] == "access")
        .collect();
    for pair in access.windows(2) {
        assert_eq!(pair[1]["prev"], pair[0]["id"]);
    }
    let people: Vec<_> = lines
        .iter()
        .filter(|line| line["log"] == "logins")
        .collect();
    let classes: Vec<_> = people.iter().map(|line| &line["class"]).collect();
    assert_eq!(classes, ["login", "logout"]);
    assert_eq!(people[1]["prev"], people[0]["id"]);
    assert!(!text.contains("eyJ"), "no token");
    assert_eq!(verify(&city).0, Some(0));
    let told = String::from_utf8(audit(&city, &["verify"]).stdout).unwrap();
    assert!(told.contains("every number, link and head holds"), "{told}");

    // Another decision; then somebody puts the trust log of before back.
    let old = root.path().join("old");
    copy(&city.data.trust(), &old);
    city.config.network.peers.push(peer("白山市"));
    city.configure();
    let node = city.ready().await;
    city.citizen(&city.api(&node)).await;
    node.stop().await;
    assert_eq!(
        (verify(&city).0, listed(&city, &["--log", "trust"]).len()),
        (Some(0), 2)
    );
    copy(&old, &city.data.trust());
    let (code, verdict) = verify(&city);
    assert_eq!(code, Some(4), "{verdict}");
    let problems = verdict["trust"]["problems"].to_string();
    assert!(
        problems.contains("the ledger's vertex") && problems.contains("the last start"),
        "{problems}"
    );
    // The node says so, too, when it starts, and goes on.
    let node = city.ready().await;
    assert!(
        node.log().contains("the trust log lost its end"),
        "{}",
        node.log()
    );
    node.stop().await;

    // Or takes it away altogether; or the access log.
    std::fs::remove_dir_all(city.data.access().join("00000001")).unwrap();
    let (code, verdict) = verify(&city);
    assert_eq!(code, Some(4), "{verdict}");
    let problems = verdict["access"]["problems"].to_string();
    assert!(problems.contains("cut off"), "{problems}");
    std::fs::remove_dir_all(city.data.trust()).unwrap();
    assert_eq!(verify(&city).0, Some(4));
    let usage = audit(&city, &["list", "--class", "gossip"]);
    assert_eq!(usage.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&usage.stderr).contains("login-refused"));
    let usage = audit(&city, &["list", "--since", "yesterday"]);
    assert_eq!(usage.status.code(), Some(2));
}

//! Who may connect, as operators say it: on a node that runs and on one that does not, beside what the configuration
//! lists, over restarts, to its last second.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::time::Duration;

use city_node::engine::utc;
use libp2p::identity::Keypair;
use serde_json::Value;

use crate::daemon::city::{City, Node, directory, found};

fn done(city: &City, arguments: &[&str]) -> Value {
    city.answer(&["whitelist"], arguments, 0)
}

fn refused(city: &City, arguments: &[&str], code: i32) -> String {
    city.refusal(&["whitelist"], arguments, code)
}

fn peers(city: &City) -> Vec<Value> {
    done(city, &["list"])["peers"].as_array().unwrap().clone()
}

fn id(city: &City) -> String {
    city.report.peer_id.to_string()
}

fn address(city: &City) -> String {
    city.config.network.listen[0].to_string()
}

fn certificate(city: &City) -> String {
    city.data.node_certificate().display().to_string()
}

/// Waits until the node has greeted so many peers, and knows their municipality.
async fn greeted(node: &Node, count: usize) {
    node.until("the peers", |status| {
        status.peers.len() == count && status.peers.iter().all(|peer| peer.region.is_some())
    })
    .await;
}

/// Two cities that do not know each other.
fn strangers(root: &Path) -> Vec<City> {
    let mut cities = found(root, 2);
    for city in &mut cities {
        city.config.network.peers.clear();
        city.configure();
    }
    cities
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_listed_at_run_time_is_called_and_synced_and_stays_listed_until_it_is_removed()
 {
    let root = directory();
    let cities = strangers(root.path());
    let [kanazawa, komatsu] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    // 小松市 lets 金沢市 in by its certificate, which names the municipality; 金沢市 calls.
    let added = done(
        komatsu,
        &[
            "add",
            &id(kanazawa),
            "-n",
            "金沢市",
            "-k",
            &certificate(kanazawa),
        ],
    );
    let entry = &added["listed"]["entries"][0];
    assert_eq!(
        (&entry["source"], &entry["region"], &entry["name"]),
        (
            &"operator".into(),
            &"Asia/JP/17/17201".into(),
            &"金沢市".into()
        )
    );
    assert_eq!(added["listed"]["keys"][0]["kind"], "node-certificate");
    assert!(a.status().await.peers.is_empty());
    done(
        kanazawa,
        &[
            "add",
            &id(komatsu),
            "--region",
            "Asia/JP/17/17203",
            "--address",
            &address(komatsu),
            "-e",
            "24",
        ],
    );
    greeted(&a, 1).await;
    let person = komatsu.citizen(&komatsu.api(&b)).await;
    drop(person);
    let both = |status: &city_node::admin::pages::Status| status.frontier.len() == 2;
    a.until("小松市's log", both).await;
    b.until("金沢市's log", |status| {
        status
            .frontier
            .iter()
            .any(|head| head.log == kanazawa.report.log)
    })
    .await;

    // Also after a restart, with a configuration that says nothing of it.
    a.stop().await;
    let a = kanazawa.ready().await;
    greeted(&a, 1).await;
    let listed = peers(kanazawa);
    assert_eq!(
        (listed.len(), &listed[0]["in_force"]),
        (1, &Value::Bool(true))
    );
    let until = listed[0]["expires_at"].as_u64().unwrap();
    let day = 24 * 60 * 60 * 1000;
    assert!(until > utc().0 + day - 600_000 && until <= utc().0 + day);

    // Another municipality than the certificate's: it is not spoken to any more.
    done(
        kanazawa,
        &[
            "add",
            &id(komatsu),
            "--region",
            "Asia/JP/17/17210",
            "--address",
            &address(komatsu),
        ],
    );
    a.until("the end of the session", |status| {
        status.peers.iter().all(|peer| peer.region.is_none())
    })
    .await;
    done(
        kanazawa,
        &["add", &id(komatsu), "--address", &address(komatsu)],
    );
    greeted(&a, 1).await;

    // Removed: its connection ends, and neither calls the other through.
    done(kanazawa, &["remove", &id(komatsu)]);
    a.until("the end", |status| status.peers.is_empty()).await;
    b.until("the end", |status| status.peers.is_empty()).await;
    refused(kanazawa, &["check", &id(komatsu)], 4);
    assert!(peers(kanazawa).is_empty());
    shown_as_removed(kanazawa, komatsu);
    done(komatsu, &["check", &id(kanazawa)]);
    a.stop().await;
    b.stop().await;
    for (city, decisions) in [(kanazawa, 4), (komatsu, 1)] {
        let lines = audit(city, &["list", "--log", "trust"]);
        // What the other said of its own certificate stands there, too.
        let lines = lines["lines"].as_array().unwrap();
        let decided = lines.iter().filter(|line| line["who"] != "peer");
        assert_eq!(decided.count(), decisions, "{lines:#?}");
        let noted = audit(city, &["list", "--log", "access", "--class", "trust"]);
        assert_eq!(noted["lines"].as_array().unwrap().len(), decisions);
        assert_eq!(audit(city, &["verify"])["ok"], true);
    }
}

/// Who took a peer off the list, and when, is told on a node that runs.
fn shown_as_removed(city: &City, removed: &City) {
    let shown = |whom: &City| city.answer(&["peer"], &["show", &id(whom)], 4);
    let page = shown(removed);
    assert_eq!(page["reason"], "removed", "{page}");
    let at = page["removed"]["at"].as_u64().unwrap();
    assert!(at <= utc().0 && at + 600_000 > utc().0, "{page}");
    let told = city.told(&["peer", "show"], &[&id(removed)]);
    let by = page["removed"]["by"].as_str().unwrap();
    assert!(told.contains(&format!(" by {by}\n")), "{told}");
    assert_eq!(shown(city)["reason"], "self");
}

fn audit(city: &City, arguments: &[&str]) -> Value {
    let output = city.command(&["audit"], arguments);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_takes_the_same_and_a_bad_key_file_adds_nothing() {
    let root = directory();
    let mut cities = found(root.path(), 2);
    let komatsu_as_peer = cities[0].config.network.peers[0].clone();
    cities[1].config.network.peers.clear();
    cities[1].configure();
    let [kanazawa, komatsu] = &mut cities[..] else {
        unreachable!()
    };
    let somebody = Keypair::generate_ed25519().public();
    let somebody_id = somebody.to_peer_id().to_string();
    let file = |name: &str, content: &[u8]| {
        let path = root.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let hex: String = somebody
        .encode_protobuf()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let key = file("key.hex", format!(" {hex}\n").as_bytes());
    let cut = file("cut.hex", &hex.as_bytes()[2..]);

    // Before it ever ran an operator lists whom it is to hear then; it begins its log all the same.
    let early = Keypair::generate_ed25519()
        .public()
        .to_peer_id()
        .to_string();
    done(kanazawa, &["add", &early, "-n", "早い町"]);
    done(kanazawa, &["remove", &early]);
    let node = kanazawa.ready().await;
    node.until("its log", |status| status.sequencing).await;
    node.stop().await;
    komatsu.ready().await.stop().await;

    for running in [false, true] {
        let node = match running {
            true => Some(kanazawa.ready().await),
            false => None,
        };
        let before = peers(kanazawa);
        for (arguments, says) in [
            (
                &["add", &somebody_id, "-k", &cut][..],
                "no libp2p public key",
            ),
            (
                &["add", &somebody_id, "-k", "/nonexistent"],
                "cannot be read",
            ),
            (
                &["add", &somebody_id, "-k", &certificate(komatsu)],
                "belongs to 12D3",
            ),
            (&["add", &id(komatsu), "-k", &key], "belongs to 12D3"),
            (&["add", &id(kanazawa)], "own peer id"),
            (&["add", &somebody_id, "-n", "\n"], "the name"),
            (&["add", &somebody_id, "-e", "0"], "hours"),
            (
                &["add", &somebody_id, "--address", "/ip4/192.0.2.1/udp/1"],
                "the address",
            ),
            (&["add", &somebody_id, "--roles", "recommend"], "sync"),
            (&["add", &id(komatsu), "-n", "x"], "config.toml"),
            (&["remove", &id(komatsu)], "config.toml"),
            (&["remove", &somebody_id], "not on the whitelist"),
            (&["add-key", &somebody_id, &key], "not on the whitelist"),
            (
                &["add-key", &id(komatsu), &certificate(kanazawa)],
                "belongs to 12D3",
            ),
        ] {
            let said = refused(kanazawa, arguments, 1);
            assert!(said.contains(says), "{arguments:?}: {said}");
        }
        let wrong_region = ["add", &somebody_id, "--region", "here"];
        refused(kanazawa, &wrong_region, 2);
        refused(kanazawa, &["add", "12D3KooW"], 2);
        assert_eq!(peers(kanazawa), before);
        refused(kanazawa, &["check", &somebody_id], 4);

        let added = done(
            kanazawa,
            &[
                "add",
                &somebody_id,
                "-n",
                "白山市",
                "-k",
                &key,
                "--roles",
                "sync,recommend",
                "-e",
                "1",
            ],
        );
        assert_eq!(
            added["listed"]["entries"][0]["roles"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        done(kanazawa, &["check", &somebody_id]);
        done(kanazawa, &["add-key", &somebody_id, &key]);
        // A key may be held of whom the configuration lists.
        let held = done(kanazawa, &["add-key", &id(komatsu), &certificate(komatsu)]);
        assert_eq!(held["listed"]["entries"][0]["source"], "config");
        assert_eq!(held["listed"]["keys"].as_array().unwrap().len(), 1);
        let listed = peers(kanazawa);
        assert_eq!(listed.len(), 2);
        if let Some(node) = node {
            node.stop().await;
            assert_eq!(peers(kanazawa), listed);
        }
        done(kanazawa, &["remove", &somebody_id]);
    }
    assert_eq!(audit(kanazawa, &["verify"])["ok"], true);

    // The configuration takes over a peer that an operator listed, and lets go of it: the operator's entry stays.
    kanazawa.config.network.peers.clear();
    kanazawa.configure();
    done(kanazawa, &["add", &id(komatsu), "-n", "こまつ"]);
    kanazawa.ready().await.stop().await;
    kanazawa.config.network.peers = vec![komatsu_as_peer];
    kanazawa.configure();
    let node = kanazawa.ready().await;
    let sources = |listed: &Value| -> Vec<(String, String)> {
        let entries = listed["entries"].as_array().unwrap().iter();
        entries
            .map(|entry| {
                (
                    entry["source"].as_str().unwrap().into(),
                    entry["name"].as_str().unwrap().into(),
                )
            })
            .collect()
    };
    let config = ("config".to_owned(), "小松市".to_owned());
    let operator = ("operator".to_owned(), "こまつ".to_owned());
    assert_eq!(
        sources(&peers(kanazawa)[0]),
        [config.clone(), operator.clone()]
    );
    node.stop().await;
    kanazawa.config.network.peers.clear();
    kanazawa.configure();
    kanazawa.ready().await.stop().await;
    assert_eq!(sources(&peers(kanazawa)[0]), [operator]);
    // Names are encrypted: none stands in the trust log.
    for entry in std::fs::read_dir(kanazawa.data.trust()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("こまつ") && !text.contains("白山市"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_ends_at_its_second_also_for_an_open_connection() {
    let root = directory();
    let mut cities = found(root.path(), 2);
    let komatsu = cities[1].ready().await;
    let end = utc().plus_ms(9_000);
    cities[0].config.network.peers[0].expires_at = Some(end);
    cities[0].configure();
    let node = cities[0].ready().await;
    greeted(&node, 1).await;
    tokio::time::sleep(Duration::from_millis(end.0.saturating_sub(utc().0 + 700))).await;
    assert_eq!(node.status().await.peers.len(), 1, "not before");
    tokio::time::sleep(Duration::from_millis(
        (end.0 + 1_000).saturating_sub(utc().0),
    ))
    .await;
    assert!(node.status().await.peers.is_empty(), "{}", node.log());
    refused(&cities[0], &["check", &id(&cities[1])], 4);
    komatsu
        .until("the end", |status| status.peers.is_empty())
        .await;
    node.stop().await;
    komatsu.stop().await;
}

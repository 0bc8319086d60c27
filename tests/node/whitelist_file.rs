//! A whitelist as a file, from one operator to another, who takes of it what they know.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use city_node::engine::utc;
use libp2p::identity::Keypair;
use serde_json::Value;

use crate::daemon::city::{City, directory, found};

fn done(city: &City, arguments: &[&str]) -> Value {
    city.answer(&["whitelist"], arguments, 0)
}

fn refused(city: &City, arguments: &[&str]) -> String {
    city.refusal(&["whitelist"], arguments, 1)
}

fn states(page: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entries = page["entries"].as_array().unwrap().iter();
    let mut states: Vec<_> = entries
        .map(|entry| (text(&entry["peer"]), text(&entry["state"])))
        .collect();
    states.sort();
    states
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_takes_of_a_neighbours_list_whom_they_name_and_no_more_than_it_says() {
    let root = directory();
    let cities = found(root.path(), 2);
    let [kanazawa, komatsu] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    let somebody = || {
        Keypair::generate_ed25519()
            .public()
            .to_peer_id()
            .to_string()
    };
    let [short, long, over, unwanted] = [(); 4].map(|()| somebody());
    let region = ["--region", "Asia/JP/17/17210"];
    done(
        komatsu,
        &[
            "add",
            &short,
            "-n",
            "白山市",
            "-e",
            "5",
            region[0],
            region[1],
        ],
    );
    done(komatsu, &["add", &long, "--roles", "sync,recommend"]);
    done(komatsu, &["add", &over, "-e", "1"]);
    done(komatsu, &["add", &unwanted]);
    kanazawa.answer(&["peer"], &["ignore", &unwanted], 0);
    let file = root.path().join("list.cbor");
    let path = file.to_str().unwrap();
    let written = done(komatsu, &["export", "--signed", path]);
    assert_eq!(written["entries"], 5);
    let said = refused(komatsu, &["export", "--signed", path]);
    assert!(said.contains("does not exist"), "{said}");

    // Looked at, it adds nobody. What is left of an hour is less than one.
    let own = kanazawa.report.peer_id.to_string();
    let shown = done(kanazawa, &["import", path]);
    assert_eq!(shown["signer"], komatsu.report.peer_id.to_string());
    let mut expected = vec![
        (own.clone(), "myself".to_owned()),
        (short.clone(), "offered".to_owned()),
        (long.clone(), "offered".to_owned()),
        (over.clone(), "over".to_owned()),
        (unwanted.clone(), "ignored".to_owned()),
    ];
    expected.sort();
    assert_eq!(states(&shown), expected);
    let listed = |city: &City| done(city, &["list"])["peers"].as_array().unwrap().clone();
    assert_eq!(listed(kanazawa).len(), 1);

    // One is named: for `sync`, in its municipality, no longer than the list says.
    let said = refused(kanazawa, &["import", path, &short, &somebody()]);
    assert!(said.contains("does not stand on the list"), "{said}");
    assert_eq!(listed(kanazawa).len(), 1, "nothing was added");
    // Who is named and cannot be listed is told, also by the exit code.
    for none in [&over, &unwanted] {
        kanazawa.answer(&["whitelist"], &["import", path, none], 4);
    }
    assert_eq!(listed(kanazawa).len(), 1, "nothing was added");
    done(kanazawa, &["import", path, &short]);
    let entry = done(kanazawa, &["check", &short])["listed"].clone();
    let hour = 60 * 60 * 1000;
    let until = entry["expires_at"].as_u64().unwrap();
    assert!(
        until <= utc().0 + 5 * hour && until > utc().0 + 3 * hour,
        "{entry}"
    );
    let first = &entry["entries"][0];
    assert_eq!(
        (&first["name"], &first["region"]),
        (&"白山市".into(), &region[1].into())
    );

    // A stopped node takes the rest, and its own terms bound what the list leaves open.
    a.stop().await;
    done(kanazawa, &["import", path, "--all", "-e", "2"]);
    let entry = done(kanazawa, &["check", &long])["listed"].clone();
    assert_eq!(entry["entries"][0]["roles"], serde_json::json!(["sync"]));
    assert!(entry["expires_at"].as_u64().unwrap() <= utc().0 + 2 * hour);
    assert_eq!(
        listed(kanazawa).len(),
        3,
        "what is over or ignored is not added"
    );
    let kept = done(kanazawa, &["check", &short])["listed"]["expires_at"].clone();
    assert_eq!(kept, until, "who is listed keeps its terms");

    // Damaged, or of somebody whom this node does not know, it is not taken.
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() / 2;
    bytes[last] ^= 1;
    let damaged = root.path().join("damaged.cbor");
    std::fs::write(&damaged, &bytes).unwrap();
    let said = refused(kanazawa, &["import", damaged.to_str().unwrap(), "--all"]);
    assert!(said.contains("the list is not taken"), "{said}");
    b.stop().await;
    let other = root.path().join("other.cbor");
    let other = other.to_str().unwrap();
    done(kanazawa, &["export", "--signed", other, &short]);
    let shown = done(komatsu, &["import", other]);
    assert_eq!(states(&shown), [(short.clone(), "listed".to_owned())]);
    let mut stranger = komatsu.config.clone();
    stranger.network.peers.clear();
    city_node::setup::write_config(&komatsu.data, &stranger).unwrap();
    let said = refused(komatsu, &["import", other, "--all"]);
    assert!(said.contains("not on this node's whitelist"), "{said}");
    for city in [kanazawa, komatsu] {
        assert_eq!(city.answer(&["audit", "verify"], &[], 0)["ok"], true);
    }
}

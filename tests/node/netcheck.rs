//! `city-node netcheck` beside real nodes: what is well, what is not, and what it says to do.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use city_protocol::sync::PROTOCOL_VERSION;
use serde_json::Value;

use crate::account::{run, text};
use crate::daemon::city::{City, PATIENCE, directory, found};
use crate::ports::free_port;

/// Asks until what is said holds; gives the exit code and the page.
async fn asked(root: &Path, city: &City, holds: impl Fn(&Value) -> bool) -> (i32, Value) {
    let begun = std::time::Instant::now();
    loop {
        let data = text(city.data.path()).to_owned();
        let root = root.to_owned();
        // The node answers meanwhile.
        let asking = move || run(&root, &["netcheck", "--json", "--data-dir", &data]);
        let (code, said) = tokio::task::spawn_blocking(asking).await.unwrap();
        let page: Value = serde_json::from_str(&said).unwrap();
        if holds(&page) {
            return (code, page);
        }
        assert!(begun.elapsed() < PATIENCE, "{code}: {page:#}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_peer_is_tried_and_each_failure_has_its_remedy() {
    let root = directory();
    let mut cities = found(root.path(), 3);
    // 白山 does not let 金沢 in, and is not called by it; 金沢 calls.
    cities[2].config.network.peers.remove(0);
    cities[2].configure();
    let [kanazawa, komatsu, hakusan] = &cities[..] else {
        unreachable!()
    };
    let (a, b, c) = (
        kanazawa.ready().await,
        komatsu.ready().await,
        hakusan.ready().await,
    );
    let well = |page: &Value| {
        let peer = &page["peers"][0];
        peer["heads"]["equal"].is_boolean()
            && peer["ping_us"].is_u64()
            && page["nat"]["guess"] == "direct"
    };
    let (code, page) = asked(root.path(), komatsu, |page| {
        page["peers"][1]["hello"] == true && page["peers"][0]["hello"] == true
    })
    .await;
    assert_eq!(
        (code, &page["ok"], &page["schema"]),
        (0, &true.into(), &1.into()),
        "{page:#}"
    );
    let clock = page["peers"][0]["clock_ahead_ms"].as_i64().unwrap();
    assert!(clock.abs() < 5_000, "one clock: {clock} ms");
    assert_eq!(page["peers"][0]["protocol"], PROTOCOL_VERSION);
    assert_eq!(page["peers"][0]["addresses"][0]["tcp"], true);
    assert_eq!(page["listens"][0]["bound"], true);

    let (code, page) = asked(root.path(), kanazawa, |page| {
        page["peers"][1]["lists_us"] == false && page["peers"][0]["connected"] == true
    })
    .await;
    assert_eq!(code, 4, "{page:#}");
    let shut_out = &page["peers"][1];
    assert_eq!(
        (&shut_out["ok"], &shut_out["connected"]),
        (&false.into(), &false.into())
    );
    assert_eq!(shut_out["addresses"][0]["tcp"], true, "it is there");
    let own = kanazawa.report.peer_id.to_string();
    let remedy = shut_out["remedy"].as_str().unwrap();
    assert!(remedy.contains(&format!("to whitelist {own}")), "{remedy}");

    c.stop().await;
    let (code, page) = asked(root.path(), kanazawa, |page| {
        page["peers"][1]["addresses"][0]["tcp"] == false
    })
    .await;
    let remedy = page["peers"][1]["remedy"].as_str().unwrap();
    assert!(
        code == 4 && remedy.contains("no address answers"),
        "{remedy}"
    );

    // Who called sees itself as its peer sees it.
    let caller = match page["peers"][0]["called_by"].as_str().unwrap() {
        "us" => kanazawa,
        _ => komatsu,
    };
    let (_, page) = asked(root.path(), caller, well).await;
    assert_eq!(page["nat"]["observed"], serde_json::json!(["127.0.0.1"]));
    let (_, said) = {
        let (root, data) = (root.path().to_owned(), text(caller.data.path()).to_owned());
        let asking = move || run(&root, &["netcheck", "--data-dir", &data]);
        tokio::task::spawn_blocking(asking).await.unwrap()
    };
    for word in [
        "listen   /ip4/127.0.0.1/tcp/",
        "bound as",
        "heads ",
        &format!("sync/{PROTOCOL_VERSION}"),
        "nat      none seen",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    println!("{said}");
    a.stop().await;
    b.stop().await;
    let (code, said) = run(
        root.path(),
        &["netcheck", "--data-dir", text(kanazawa.data.path())],
    );
    assert_eq!(code, 3, "{said}");
}

/// An operator lists a peer with the address of nobody and another municipality, and puts one after the other right: each time
/// what is told is what holds now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_right_is_told_no_more() {
    let root = directory();
    let mut cities = found(root.path(), 2);
    cities[0].config.network.peers.clear();
    // 小松市 waits to be called.
    cities[1].config.network.peers[0].addresses.clear();
    for city in &cities {
        city.configure();
    }
    let [kanazawa, komatsu] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    let id = komatsu.report.peer_id.to_string();
    let list = |address: &str, region: &str| {
        let arguments = [&id, "--address", address, "--region", region];
        kanazawa.answer(&["whitelist", "add"], &arguments, 0);
    };
    let right = komatsu.config.network.listen[0].to_string();
    let wrong = format!("/ip4/127.0.0.1/tcp/{}", free_port());
    let only = |page: &Value, address: &str| {
        let tried = page["peers"][0]["addresses"].as_array().unwrap().clone();
        tried.len() == 1 && tried[0]["address"] == address
    };
    list(&wrong, "Asia/JP/17/17210");
    asked(root.path(), kanazawa, |page| {
        only(page, &wrong) && page["peers"][0]["addresses"][0]["tcp"] == false
    })
    .await;
    // Who has no name is told by its id.
    let data = text(kanazawa.data.path()).to_owned();
    let (place, unnamed) = (root.path().to_owned(), format!("     {id} ("));
    let asking = move || run(&place, &["netcheck", "--data-dir", &data]).1;
    let said = tokio::task::spawn_blocking(asking).await.unwrap();
    assert!(said.contains(&unnamed), "{said}");

    list(&right, "Asia/JP/17/17210");
    let refused = |page: &Value| {
        let remedy = page["peers"][0]["remedy"].as_str().unwrap_or_default();
        remedy.contains("its hello was refused (bad-certificate)")
    };
    asked(root.path(), kanazawa, |page| {
        only(page, &right) && refused(page)
    })
    .await;
    list(&right, "Asia/JP/17/17203");
    asked(root.path(), kanazawa, |page| {
        page["peers"][0]["hello"] == true
    })
    .await;
    b.stop().await;
    let (_, page) = asked(root.path(), kanazawa, |page| {
        page["peers"][0]["addresses"][0]["tcp"] == false && page["peers"][0]["connected"] == false
    })
    .await;
    let remedy = page["peers"][0]["remedy"].as_str().unwrap();
    assert!(remedy.contains("no address answers"), "{page:#}");
    a.stop().await;
}

/// Two nodes over QUIC alone: hello, sync, and what each page says of it; and a node where it is off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_quic_nodes_sync_and_every_page_says_so() {
    let root = directory();
    let mut cities = found(root.path(), 3);
    for city in &mut cities[..2] {
        let listen = format!("/ip4/127.0.0.1/udp/{}/quic-v1", free_port());
        city.config.network.quic = true;
        city.config.network.listen = vec![listen.parse().unwrap()];
    }
    let peers: Vec<_> = cities.iter().map(City::as_peer).collect();
    cities[0].config.network.peers = vec![peers[1].clone()];
    cities[1].config.network.peers = vec![peers[0].clone()];
    cities[2].config.network.peers = Vec::new();
    for city in &cities {
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
    kanazawa.citizen(&kanazawa.api(&a)).await;
    let log = kanazawa.report.log;
    let here = a.status().await;
    let seq = here
        .frontier
        .iter()
        .find(|head| head.log == log)
        .unwrap()
        .seq;
    let there = b
        .until("the log", |status| {
            let mut heads = status.frontier.iter();
            heads.any(|head| head.log == log && head.seq == seq)
        })
        .await;
    assert_eq!(there.peers[0].transport, "quic");
    assert!(
        there.peers[0].address.contains("/quic-v1"),
        "{:?}",
        there.peers
    );

    let (code, page) = asked(root.path(), kanazawa, |page| {
        page["peers"][0]["hello"] == true
    })
    .await;
    assert_eq!(code, 0, "{page:#}");
    let peer = &page["peers"][0];
    assert_eq!(peer["transport"], "quic");
    let address = &peer["addresses"][0];
    assert_eq!(
        (&address["quic"], &address["tcp"]),
        (&true.into(), &false.into()),
        "{page:#}"
    );
    assert_eq!(page["listens"][0]["bound"], true);
    let (_, said) = {
        let (root, data) = (
            root.path().to_owned(),
            text(kanazawa.data.path()).to_owned(),
        );
        let asking = move || run(&root, &["netcheck", "--data-dir", &data]);
        tokio::task::spawn_blocking(asking).await.unwrap()
    };
    for word in ["QUIC in ", "connected over QUIC, called by"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let id = komatsu.report.peer_id.to_string();
    let shown = kanazawa.answer(&[], &["peer", "show", &id], 0);
    assert_eq!(shown["connected"]["transport"], "quic", "{shown}");

    b.stop().await;
    let (code, page) = asked(root.path(), kanazawa, |page| {
        page["peers"][0]["addresses"][0]["quic"] == false
    })
    .await;
    let remedy = page["peers"][0]["remedy"].as_str().unwrap();
    assert!(
        code == 4 && remedy.contains("no address answers"),
        "{remedy}"
    );
    a.stop().await;

    // Where it is off, an operator is told so, with the node running and without it.
    let address = kanazawa.config.network.listen[0].to_string();
    let add: [&str; 5] = ["whitelist", "add", &id, "--address", &address];
    let told = hakusan.command(&[], &add);
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(
        !told.status.success() && said.contains("network.quic"),
        "{said}"
    );
    c.stop().await;
    let told = hakusan.command(&[], &add);
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(
        !told.status.success() && said.contains("network.quic"),
        "{said}"
    );
    assert_eq!(
        hakusan.answer(&[], &["whitelist", "list"], 0)["peers"],
        serde_json::json!([])
    );
}

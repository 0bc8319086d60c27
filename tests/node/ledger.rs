//! An operator looks at the ledger: the same answers from a running node and from its stopped store.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::account::{good, run, text};
use super::tx::Town;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_is_looked_at_while_the_node_runs_and_when_it_is_stopped() {
    let town = Town::with_two_people().await;
    town.grant();
    let home = town.home();
    let home: Vec<&str> = home.iter().map(String::as_str).collect();
    let draft = town.draft("leek.json", "123.45", &home);
    let wallet = town.file("chiyo.wallet");
    let sent = town.json(&["tx", "send", text(&draft), "--wallet", text(&wallet)]);
    let (identity, vertex) = (
        sent["identity"].as_str().unwrap(),
        sent["vertex"].as_str().unwrap(),
    );
    let seq = sent["at"]["seq"].as_u64().unwrap();
    let data = text(town.city.data.path()).to_owned();
    let root = town.city.data.path().parent().unwrap().to_owned();
    let look = |arguments: &[&str]| good(&root, &[arguments, &["--data-dir", &data]].concat());
    let json = |arguments: &[&str]| -> Value {
        let told = look(&[arguments, &["--json"]].concat());
        let value: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(value["schema"], 1, "{value}");
        value
    };

    let heads = json(&["ledger", "heads"]);
    let head = &heads["heads"][0];
    assert_eq!(
        (&head["own"], &head["seq"]),
        (&true.into(), &seq.into()),
        "{heads}"
    );
    assert_eq!(head["head"], vertex);
    assert_eq!(head["name"], "金沢市");
    assert!(look(&["ledger", "heads"]).contains("金沢市 (Asia/JP/17/17201) — this home"));

    // One vertex by each of its names.
    let shown = json(&["ledger", "show", vertex]);
    assert_eq!(shown["seq"], seq);
    let entries = shown["entries"].as_array().unwrap();
    assert_eq!(
        (&entries[0]["kind"], &entries[1]["kind"]),
        (&"place".into(), &"transfer".into())
    );
    assert_eq!(entries[1]["identity"], identity);
    assert_eq!(entries[1]["body"]["amount"], "123.45");
    assert_eq!(entries[1]["signed_by"].as_array().unwrap().len(), 1);
    let log = head["log"].as_str().unwrap();
    for name in ["17201", "金沢市", "Asia/JP/17/17201", log, &log[..12]] {
        assert_eq!(
            json(&["ledger", "show", &format!("{name}:{seq}")]),
            shown,
            "{name}"
        );
    }
    let entry = json(&["ledger", "show", identity]);
    assert_eq!(
        entry["entries"].as_array().unwrap().len(),
        1,
        "that entry alone"
    );
    assert_eq!(entry["entries"][0], entries[1]);
    assert_eq!(json(&["ledger", "show", &format!("17201:{seq}:1")]), entry);
    let told = look(&["ledger", "show", vertex]);
    let words = format!("{} sends 123.45 to {}", town.accounts[0], town.accounts[1]);
    assert!(told.contains(&words), "{told}");

    let lines = look(&["ledger", "log"]);
    for word in [
        "charter 1 of Asia/JP/17/17201: 1 of 2 officers decide",
        "opens an account",
        "地域の応援",
        &words,
    ] {
        assert!(lines.contains(word), "{word} is not in\n{lines}");
    }
    let of_json = look(&[
        "ledger", "log", "17201", "--from", "2", "--to", "3", "--json",
    ]);
    let seqs: Vec<Value> = of_json
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].clone())
        .collect();
    assert_eq!(seqs, [2, 3]);
    for (what, why) in [
        ("17203:1", "names no log"),
        ("17201:9999", "not here"),
        ("17201:1:99", "not here"),
        ("17201:x", "is no number"),
        ("nonsense", "no vertex"),
    ] {
        let (code, told) = run(&root, &["ledger", "show", what, "--data-dir", &data]);
        assert!(code == 1 && told.contains(why), "{what}: {told}");
    }

    let drawn = look(&["ledger", "dot", "--last", "3"]);
    assert_eq!(drawn.matches("[label=").count(), 3, "{drawn}");
    drawn_by_graphviz(&look(&["ledger", "dot"]));
    let told = look(&["ledger", "verify"]);
    assert!(
        told.contains("every hash, signature and link holds"),
        "{told}"
    );

    let (kept, node) = town.into_stopping();
    node.stop().await;
    assert_eq!(json(&["ledger", "heads"]), heads);
    assert_eq!(json(&["ledger", "show", vertex]), shown);
    assert_eq!(json(&["ledger", "show", identity]), entry);
    assert_eq!(look(&["ledger", "log"]), lines);
    let told = look(&["ledger", "verify"]);
    assert!(
        told.contains("every hash, signature and link holds"),
        "{told}"
    );
    drop(kept);
}

/// The real tool takes what we draw.
fn drawn_by_graphviz(drawn: &str) {
    let child = Command::new("dot")
        .arg("-Tsvg")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: no dot (graphviz)");
        return;
    };
    let mut input = child.stdin.take().unwrap();
    input.write_all(drawn.as_bytes()).unwrap();
    drop(input);
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.is_empty(), "{said}\n{drawn}");
    let svg = String::from_utf8_lossy(&ended.stdout);
    assert!(svg.contains("金沢市") && svg.contains("</svg>"), "{svg}");
}

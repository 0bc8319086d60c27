//! Checkpoints and proofs from the command line: made on a stopped node, checked with the genesis record alone.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::daemon::city::{alone, directory, found};

/// Runs it and expects this exit code; gives all that it said.
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

/// The same with the last byte turned: a signature, a path or a leaf, whatever stands there.
fn spoilt(file: &Path, at: usize) -> std::path::PathBuf {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.len() - 1 - at;
    bytes[at] ^= 1;
    let other = file.with_extension("spoilt");
    fs::write(&other, bytes).unwrap();
    other
}

#[test]
fn a_checkpoint_is_made_proven_under_handed_on_and_checked_offline() {
    let root = tempfile::tempdir().unwrap();
    let city = &found(root.path(), 1)[0];
    let data = root.path().join("city0");
    let node = ["--data-dir", text(&data)];
    let genesis = root.path().join("genesis.cbor");
    fs::copy(city.data.genesis(), &genesis).unwrap();
    let genesis = ["--genesis", text(&genesis)];

    let none = check(
        &[&["ledger", "checkpoint", "make"], &node[..], &["--json"]].concat(),
        0,
    );
    let made: Value = serde_json::from_str(&none).unwrap();
    assert_eq!(
        (&made["schema"], &made["repeated"]),
        (&1.into(), &false.into())
    );
    let again = check(
        &[&["ledger", "checkpoint", "make"], &node[..], &["--json"]].concat(),
        0,
    );
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["repeated"], true, "nothing was booked since");
    assert_eq!(again["vertex"], made["vertex"]);

    let shown = check(
        &[&["ledger", "checkpoint", "show"], &node[..], &["--json"]].concat(),
        0,
    );
    let shown: Value = serde_json::from_str(&shown).unwrap();
    for field in ["state_root", "vertices_root", "seq", "vertex"] {
        assert_eq!(shown[field], made[field], "{field}");
    }
    let log = shown["log"].as_str().unwrap();

    let proof = root.path().join("entry.proof");
    let entry = format!("{log}:1:0");
    let prove = [
        "ledger",
        "prove",
        &entry,
        "--checkpoint",
        "--out",
        text(&proof),
    ];
    check(&[&prove[..], &node[..]].concat(), 0);
    let verify = ["ledger", "verify-proof", text(&proof), "--json"];
    let held = check(&[&verify[..], &genesis[..]].concat(), 0);
    let held: Value = serde_json::from_str(&held).unwrap();
    assert_eq!(held["entry"]["kind"], "charter");
    assert_eq!(held["checkpoint"]["state_root"], made["state_root"]);
    let bad = spoilt(&proof, 200);
    let verify = ["ledger", "verify-proof", text(&bad)];
    let told = check(&[&verify[..], &genesis[..]].concat(), 4);
    assert!(told.contains("does NOT hold"), "{told}");

    let file = root.path().join("kanazawa.car");
    let export = ["ledger", "checkpoint", "export", "--out", text(&file)];
    check(&[&export[..], &node[..]].concat(), 0);
    let verify = ["ledger", "checkpoint", "verify", text(&file)];
    let told = check(&[&verify[..], &genesis[..]].concat(), 0);
    assert!(told.contains("its state was made again"), "{told}");
    let bad = spoilt(&file, 0);
    let verify = ["ledger", "checkpoint", "verify", text(&bad)];
    check(&[&verify[..], &genesis[..]].concat(), 4);
    // What is not covered yet has no proof under it, and says so.
    let later = format!("{log}:2:0");
    let prove = [
        "ledger",
        "prove",
        &later,
        "--checkpoint",
        "--out",
        text(&bad),
    ];
    let told = check(&[&prove[..], &node[..]].concat(), 1);
    assert!(told.contains("no checkpoint covers it yet"), "{told}");
}

/// What was asked of a stopped node can be asked of one that runs, with the same answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_node_makes_checkpoints_and_proofs_too() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let data = ["--data-dir", text(city.data.path())];
    let json = |arguments: &[&str]| -> Value {
        let told = check(&[arguments, &data[..], &["--json"]].concat(), 0);
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
    };
    let node = city.ready().await;
    let told = check(&[&["ledger", "checkpoint", "show"], &data[..]].concat(), 1);
    assert!(told.contains("no checkpoint covers it yet"), "{told}");
    let made = json(&["ledger", "checkpoint", "make"]);
    assert_eq!(made["repeated"], false);
    assert_eq!(json(&["ledger", "checkpoint", "make"])["repeated"], true);
    city.citizen(&city.api(&node)).await;
    let told = check(&[&["ledger", "checkpoint", "make"], &data[..]].concat(), 1);
    assert!(told.contains("less than an hour old"), "{told}");

    let log = made["log"].as_str().unwrap().to_owned();
    let entry = format!("{log}:1:0");
    let (running, stopped) = (root.path().join("a"), root.path().join("b"));
    let prove = |out: &Path, what: &str, code: i32| {
        let prove = ["ledger", "prove", what, "--checkpoint", "--out", text(out)];
        check(&[&prove[..], &data[..]].concat(), code)
    };
    prove(&running, &entry, 0);
    let told = prove(&root.path().join("c"), &format!("{log}:900:0"), 1);
    assert!(told.contains("nothing is stored there"), "{told}");
    let (nobody, file) = (format!("sha256:{}", "0".repeat(64)), root.path().join("f"));
    let refund = [
        "ledger",
        "false-refund",
        "export",
        &nobody,
        "--out",
        text(&file),
    ];
    let told = check(&[&refund[..], &data[..]].concat(), 1);
    assert!(told.contains("nothing is stored there"), "{told}");
    let shown = json(&["ledger", "checkpoint", "show"]);
    assert_eq!(shown["state_root"], made["state_root"]);
    let listed = json(&["ledger", "checkpoint", "list"]);
    assert_eq!(listed["checkpoints"].as_array().unwrap().len(), 1);
    assert_eq!(listed["checkpoints"][0]["seq"], made["seq"]);
    let told = check(&[&["ledger", "checkpoint", "list"], &data[..]].concat(), 0);
    assert!(told.contains("state of epoch 1"), "{told}");
    // With its state, as a file: once from the node that runs, once from its store.
    let (live, still) = (root.path().join("live.car"), root.path().join("still.car"));
    let export = |out: &Path| json(&["ledger", "checkpoint", "export", "--out", text(out)]);
    let exported = export(&live);
    let export_again = ["ledger", "checkpoint", "export", "--out", text(&live)];
    let told = check(&[&export_again[..], &data[..]].concat(), 1);
    assert!(told.contains("cannot be made anew"), "{told}");
    node.stop().await;
    assert_eq!(export(&still)["blocks"], exported["blocks"]);
    assert_eq!(fs::read(&live).unwrap(), fs::read(&still).unwrap());
    let genesis = text(&city.data.genesis()).to_owned();
    let verify = ["ledger", "checkpoint", "verify", text(&live)];
    let told = check(&[&verify[..], &["--genesis", &genesis]].concat(), 0);
    assert!(told.contains("its state was made again"), "{told}");

    prove(&stopped, &entry, 0);
    assert_eq!(fs::read(&running).unwrap(), fs::read(&stopped).unwrap());
    let listed_again = json(&["ledger", "checkpoint", "list"]);
    assert_eq!(listed_again, listed);
    assert_eq!(json(&["ledger", "checkpoint", "show"]), shown);
    let verify = [
        "ledger",
        "verify-proof",
        text(&running),
        "--genesis",
        &genesis,
    ];
    check(&verify, 0);
}

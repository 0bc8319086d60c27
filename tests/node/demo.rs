//! The demo with the real binary: three processes, one transfer, and nothing left behind.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::recorded::data;

fn city_node() -> Command {
    Command::new(env!("CARGO_BIN_EXE_city-node"))
}

fn demo(args: &[&str]) -> Value {
    let run = city_node()
        .arg("demo")
        .arg("--json")
        .args(args)
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    assert!(
        run.status.success(),
        "{args:?}: {}\n{out}\n{err}",
        run.status
    );
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
}

fn check_agreement(story: &Value) {
    assert_eq!(story["schema"], 1);
    for holds in ["ok", "conserved", "journal_matches"] {
        assert_eq!(story[holds], true, "{holds}: {story:#}");
    }
    let nodes = story["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    for node in nodes {
        assert_eq!(node["heads"], nodes[0]["heads"]);
        assert_eq!(node["heads"].as_object().unwrap().len(), 3);
        assert_eq!(node["balances"], nodes[0]["balances"]);
    }
}

fn amounts(story: &Value) -> Vec<String> {
    let balances = story["nodes"][0]["balances"].as_object().unwrap();
    let mut amounts: Vec<String> = balances
        .values()
        .map(|v| v.as_str().unwrap().to_owned())
        .collect();
    amounts.sort();
    amounts
}

#[test]
fn three_municipalities_move_123_45_and_agree() {
    let keep = tempfile::tempdir().unwrap();
    let dir = keep.path().join("kept");
    let story = demo(&["--keep", dir.to_str().unwrap()]);
    check_agreement(&story);
    assert_eq!(amounts(&story), ["123.45", "876.55"]);
    let regions: Vec<_> = story["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["region"].clone())
        .collect();
    assert_eq!(
        regions,
        ["Asia/JP/17/17201", "Asia/JP/17/17203", "Asia/JP/17/17210"]
    );
    for node in story["nodes"].as_array().unwrap() {
        let place = &node["place"];
        let code = node["region"].as_str().unwrap().rsplit('/').next().unwrap();
        assert_eq!(place["municipality"], code);
        assert_eq!(place["grade"], "plausible");
        let reasons = place["reasons"].as_array().unwrap();
        assert!(reasons.contains(&"simulated".into()), "{place}");
        assert!(place["satellites_used"].as_u64().unwrap() >= 4, "{place}");
    }
    assert!(
        story["steps"].as_array().unwrap().len() >= 8,
        "{:#}",
        story["steps"]
    );

    // What the sender wrote privately stands at both homes, encrypted, and not at the third.
    let kept = |code: &str| std::fs::read(dir.join(code).join("private/values")).unwrap();
    assert!(!kept("17201").is_empty() && !kept("17203").is_empty());
    assert_eq!(kept("17210"), b"");
    let words = "畑の手伝いのお礼".as_bytes();
    for code in ["17201", "17203"] {
        assert!(kept(code).windows(words.len()).all(|part| part != words));
    }

    // What was kept is a data directory like any other: it verifies, and folds to the same again.
    for code in ["17201", "17203", "17210"] {
        let data = dir.join(code);
        for command in [
            ["store", "verify"],
            ["store", "rebuild"],
            ["store", "verify"],
        ] {
            let run = city_node()
                .args(command)
                .arg("--data-dir")
                .arg(&data)
                .output()
                .unwrap();
            let err = String::from_utf8_lossy(&run.stderr);
            assert!(run.status.success(), "{command:?} {code}: {err}");
        }
    }
}

#[test]
fn an_old_recording_is_refused_unless_it_is_declared() {
    let Some(data) = data() else { return };
    let capture = data.join("gnss/rtklib/ubx_20080526.ubx");
    let boundaries = data.join("boundaries/jp_s0010/N03-21_19_210101.json");
    let args = [
        "--replay",
        capture.to_str().unwrap(),
        "--boundaries",
        boundaries.to_str().unwrap(),
    ];
    let story = demo(&args);
    check_agreement(&story);
    let place = &story["nodes"][0]["place"];
    assert_eq!(story["nodes"][0]["region"], "Asia/JP/19/19209");
    assert_eq!(place["municipality"], "19209");
    assert!(
        place["reasons"]
            .as_array()
            .unwrap()
            .contains(&"receiver-time-differs".into()),
        "{place}"
    );
    assert_eq!(story["refusal"]["code"], "place-insufficient");
    assert_eq!(amounts(&story), ["0.00", "1000.00"]);

    let story = demo(&[&args[..], &["--assume-recorded"]].concat());
    check_agreement(&story);
    let place = &story["nodes"][0]["place"];
    assert_eq!(place["municipality"], "19209");
    assert!(
        place["reasons"]
            .as_array()
            .unwrap()
            .contains(&"recorded".into()),
        "{place}"
    );
    assert!(story["refusal"].is_null());
    assert_eq!(amounts(&story), ["123.45", "876.55"]);
}

#[test]
fn mistakes_on_the_command_line_are_explained() {
    let check = |args: &[&str], expected: &str| {
        let run = city_node().arg("demo").args(args).output().unwrap();
        let err = String::from_utf8_lossy(&run.stderr);
        assert!(!run.status.success(), "{args:?}");
        assert!(err.contains(expected), "{args:?}: {err}");
    };
    check(&["--assume-recorded"], "--replay");
    check(
        &["--replay", "/nonexistent", "--boundaries", "/nonexistent"],
        "/nonexistent",
    );
    let full = tempfile::tempdir().unwrap();
    std::fs::write(full.path().join("x"), "x").unwrap();
    check(&["--keep", full.path().to_str().unwrap()], "not empty");
}

/// Processes whose command line names this directory.
fn processes_of(dir: &Path) -> Vec<u32> {
    let name = dir.to_str().unwrap();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.contains("run\0") && line.contains(name))
        })
        .collect()
}

/// Interrupted in the middle, by a signal or by being killed outright, it leaves no node behind.
#[test]
fn an_interrupted_demo_leaves_no_process_behind() {
    for signal in ["-INT", "-TERM", "-KILL"] {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().join("kept");
        let mut running = city_node()
            .args(["demo", "--keep", dir.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while processes_of(&dir).is_empty() {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "no node was started"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let killed = Command::new("kill")
            .args([signal, &running.id().to_string()])
            .status();
        assert!(killed.unwrap().success());
        let ended = running.wait().unwrap();
        assert!(!ended.success(), "{signal}");
        let begun = Instant::now();
        while !processes_of(&dir).is_empty() {
            assert!(
                begun.elapsed() < Duration::from_secs(8),
                "{signal}: nodes outlive the demo"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

//! The board from the command line: two homes write, read and delete; a stopped one is read, too.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use city_node::ledger::notes::{NoteForm, NoteValue};
use serde_json::Value;

use super::daemon::city::{City, PATIENCE, directory, found, in_step};

fn ask(city: &City, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_city-node"))
        .arg("note")
        .args(arguments)
        .arg("--data-dir")
        .arg(city.data.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// Expects this exit code; gives what stands on standard output, or what was said where it failed.
#[track_caller]
fn check(city: &City, arguments: &[&str], code: i32) -> String {
    let output = ask(city, arguments, b"");
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {output:?}"
    );
    let told = if code == 0 {
        output.stdout
    } else {
        output.stderr
    };
    String::from_utf8(told).unwrap()
}

#[track_caller]
fn json(city: &City, arguments: &[&str]) -> Value {
    let told = check(city, &[arguments, &["--json"]].concat(), 0);
    let value: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(value["schema"], 1, "{value}");
    value
}

/// Waits until a home reads this under the key.
async fn until(city: &City, key: &str, text: &str) {
    let begun = std::time::Instant::now();
    loop {
        let output = ask(city, &["get", key], b"");
        if output.status.success() && output.stdout == text.as_bytes() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{key}: {output:?}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

/// The body of the vertex at the head of a home's own log.
fn own_body(city: &City, of: &City) -> Value {
    let log = of.report.log.to_string();
    let heads = city.answer(&["ledger"], &["heads"], 0);
    let mut heads = heads["heads"].as_array().unwrap().iter();
    let head = heads.find(|head| head["log"] == log).unwrap();
    let position = format!("{log}:{}", head["seq"]);
    city.answer(&["ledger", "show"], &[&position], 0)["body"].clone()
}

/// Two homes that write the same at the same time write the same body, and each vertex counts, also when the index is made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_homes_wrote_alike_is_there_when_the_index_is_made_again() {
    let root = directory();
    let cities = found(root.path(), 2);
    let (a, b) = (cities[0].ready().await, cities[1].ready().await);
    in_step(&[&a, &b]).await;
    let (one, other) = (a.admin().await.unwrap(), b.admin().await.unwrap());
    let mut alike = 0;
    for n in 0..10 {
        let form = NoteForm {
            key: format!("key {n}"),
            value: Some(NoteValue(b"alike".to_vec())),
        };
        let (first, second) = tokio::join!(one.write_note(&form), other.write_note(&form));
        first.unwrap();
        second.unwrap();
        in_step(&[&a, &b]).await;
        alike += u32::from(own_body(&cities[0], &cities[0]) == own_body(&cities[0], &cities[1]));
    }
    // Who heard of the other's first names it.
    assert!(alike > 0, "never at the same time");
    a.stop().await;
    b.stop().await;
    for city in &cities {
        let before = city.answer(&["ledger"], &["heads"], 0);
        city.answer(&["store", "rebuild"], &[], 0);
        assert_eq!(city.answer(&["ledger"], &["heads"], 0), before);
        city.answer(&["store", "verify"], &[], 0);
    }
    println!("{alike} of 10 alike");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_homes_share_a_board() {
    let root = directory();
    let cities = found(root.path(), 2);
    let [kanazawa, komatsu] = &cities[..] else {
        unreachable!()
    };
    let told = check(kanazawa, &["add", "掲示", "x"], 3);
    assert!(told.contains("city-node run"), "{told}");
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    assert_eq!(
        check(kanazawa, &["list"], 0),
        "nothing stands on the board\n"
    );

    let told = check(kanazawa, &["add", "掲示", "one\ntwo"], 0);
    assert!(told.starts_with("掲示: 7 bytes, position "), "{told}");
    until(komatsu, "掲示", "one\ntwo").await;
    // From a file, from standard input, and bytes that are no text.
    let file = root.path().join("hours");
    std::fs::write(&file, [0xff, 0x00]).unwrap();
    let hours = "Asia/JP/17/17201/hours";
    let noted = json(kanazawa, &["add", hours, "--file", file.to_str().unwrap()]);
    assert_eq!(noted["key"], hours);
    let piped = ask(komatsu, &["add", "掲示", "-"], b"three");
    assert!(piped.status.success(), "{piped:?}");
    until(kanazawa, "掲示", "three").await;
    let shown = json(kanazawa, &["get", hours]);
    assert_eq!(
        (&shown["base64"], &shown["text"]),
        (&"/wA=".into(), &Value::Null)
    );
    assert_eq!(shown["by"]["region"], "Asia/JP/17/17201");

    // Under another's name, too long, no key, nothing there.
    let told = check(komatsu, &["add", hours, "never"], 1);
    assert!(told.contains("region path"), "{told}");
    let long = "x".repeat(64 * 1024 + 1);
    let piped = ask(komatsu, &["add", "long", "-"], long.as_bytes());
    assert_eq!(piped.status.code(), Some(1), "{piped:?}");
    let told = check(komatsu, &["add", "a\nb", "x"], 2);
    assert!(told.contains("control characters"), "{told}");
    check(komatsu, &["add", "k"], 2);
    check(komatsu, &["get", "nowhere"], 1);
    check(komatsu, &["delete", "nowhere"], 1);

    check(kanazawa, &["delete", "掲示"], 0);
    check(kanazawa, &["delete", "掲示"], 1);
    check(kanazawa, &["get", "掲示"], 1);
    let keys = |listed: &Value| -> Vec<(String, bool)> {
        let notes = listed["notes"].as_array().unwrap().iter();
        notes
            .map(|note| {
                (
                    note["key"].as_str().unwrap().into(),
                    note["deleted"].as_bool().unwrap(),
                )
            })
            .collect()
    };
    let all = json(kanazawa, &["list", "--deleted"]);
    assert_eq!(keys(&all), [(hours.into(), false), ("掲示".into(), true)]);
    assert_eq!(keys(&json(kanazawa, &["list"])), [(hours.into(), false)]);
    assert_eq!(keys(&json(kanazawa, &["list", "--prefix", "B"])), []);

    a.stop().await;
    b.stop().await;
    // What is not running is read, and not written.
    assert_eq!(keys(&json(kanazawa, &["list", "--deleted"])), keys(&all));
    assert_eq!(json(kanazawa, &["get", hours])["base64"], "/wA=");
    check(kanazawa, &["delete", hours], 3);
}

//! The console, as a pipe and as a person uses it, and the keys that it tries.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use city_node::setup::DataDir;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use super::city::{City, directory, found};

fn command(verb: &[&str], data: &DataDir, home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
    command
        .args(verb)
        .arg("--data-dir")
        .arg(data.path())
        .env("XDG_STATE_HOME", home)
        .stderr(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Pipes lines through a console: exit code, answers, errors.
fn piped(city: &City, lines: &str) -> (i32, String, String) {
    let home = city.data.path().parent().unwrap();
    let mut console = command(&["console"], &city.data, home);
    let mut console = console.stdin(Stdio::piped()).spawn().unwrap();
    // It may have ended before it reads.
    let _ended = console.stdin.take().unwrap().write_all(lines.as_bytes());
    let ended = console.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        ended.status.code().unwrap(),
        text(ended.stdout),
        text(ended.stderr),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_console_runs_lines_and_says_what_failed() {
    let root = directory();
    let cities = found(root.path(), 2);
    let [kanazawa, komatsu] = &cities[..] else {
        unreachable!()
    };
    let (code, _, told) = piped(kanazawa, "status\n");
    assert_eq!(code, 3, "{told}");

    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    a.until("the peer", |status| status.peers.len() == 1).await;
    let (code, page, told) = piped(
        kanazawa,
        "status\n\n# nothing\nledger heads\nverify-signature\n",
    );
    assert_eq!(code, 0, "{page}{told}");
    assert!(
        page.contains("sequencing  yes") && page.contains("this home"),
        "{page}"
    );
    let peer = format!(
        "ok     {} node certificate: Asia/JP/17/",
        komatsu.report.peer_id
    );
    assert!(
        page.contains(&peer) && page.contains("ok     own ledger key: dilithium5 "),
        "{page}"
    );

    let (code, page, told) = piped(kanazawa, "nothing\nget 'open\nstatus\nquit\nledger heads\n");
    assert_eq!(code, 2);
    assert!(
        told.contains("nothing") && told.contains("a quote is not closed"),
        "{told}"
    );
    assert!(
        page.contains("sequencing") && !page.contains("this home"),
        "{page}"
    );

    let tried = command(&["key", "probe", "--json"], &kanazawa.data, root.path())
        .output()
        .unwrap();
    let (code, page, told) = piped(
        kanazawa,
        "add market '土曜 9時'\nget market\nlist\npeers\ntest-access-control\ninfo\n",
    );
    assert_eq!(code, 0, "{page}{told}");
    let listed = format!("let in       {}  listed", komatsu.report.peer_id);
    assert!(page.matches("土曜 9時").count() >= 1, "{page}");
    assert!(
        page.contains(&listed) && page.matches("turned away").count() == 2,
        "{page}"
    );
    let (code, _, told) = piped(kanazawa, "delete market\nget market\n");
    assert_ne!(code, 0, "{told}");

    let peer_id = komatsu.report.peer_id.to_string();
    let tried: Value = serde_json::from_slice(&tried.stdout).unwrap();
    let whose: Vec<_> = tried["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| &line["whose"])
        .collect();
    assert_eq!(whose, ["own", "own", "own", "own", "own", peer_id.as_str()]);

    // The key on disk is another's now: nothing of the running node changed, and it is told.
    let key = kanazawa.data.tls_key();
    let kept = std::fs::read(&key).unwrap();
    std::fs::write(&key, std::fs::read(komatsu.data.tls_key()).unwrap()).unwrap();
    let (code, page, _) = piped(kanazawa, "verify-signature\n");
    assert_eq!(code, 4, "{page}");
    assert!(
        page.contains("FAILED own API certificate and key"),
        "{page}"
    );
    std::fs::write(&key, kept).unwrap();
    a.stop().await;
    b.stop().await;
}

/// What is over goes, and what stands in files is read again, without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_cleans_up_and_has_files_read_again() {
    let root = directory();
    let mut cities = found(root.path(), 2);
    let komatsu_as_peer = cities[0].config.network.peers[0].clone();
    cities[0].config.network.peers.clear();
    cities[0].configure();
    let (a, b) = (cities[0].ready().await, cities[1].ready().await);
    let (code, page, told) = piped(&cities[0], "cleanup\nreload-cache\n");
    assert_eq!(code, 0, "{page}{told}");
    let nothing = "entries 0, recommendations 0, requests 0, certificates 0, remembered messages 0";
    assert!(
        page.contains(nothing) && page.contains("read again; nothing changed"),
        "{page}"
    );

    // The file lists a peer now: it is called at once. Then it lists it no more.
    cities[0].config.network.peers = vec![komatsu_as_peer];
    cities[0].configure();
    let komatsu = cities[1].report.peer_id.to_string();
    let reload = |city: &City, code| city.answer(&["reload"], &[], code);
    assert_eq!(
        reload(&cities[0], 0)["listed"],
        serde_json::json!([komatsu])
    );
    a.until("the peer", |status| {
        status.peers.len() == 1 && status.peers[0].region.is_some()
    })
    .await;
    cities[0].config.network.peers.clear();
    cities[0].configure();
    assert_eq!(
        reload(&cities[0], 0)["unlisted"],
        serde_json::json!([komatsu])
    );
    a.until("the end", |status| status.peers.is_empty()).await;

    // What cannot be read is told, and everything stays as it was.
    let file = cities[0].data.config();
    let kept = std::fs::read(&file).unwrap();
    std::fs::write(&file, "[network]\nlisten = 7\n").unwrap();
    let certificate = cities[0].data.node_certificate();
    let own = std::fs::read(&certificate).unwrap();
    std::fs::write(
        &certificate,
        std::fs::read(cities[1].data.node_certificate()).unwrap(),
    )
    .unwrap();
    let told = reload(&cities[0], 4);
    assert_eq!(told["problems"].as_array().unwrap().len(), 2, "{told}");
    std::fs::write(&file, kept).unwrap();
    std::fs::write(&certificate, own).unwrap();
    assert_eq!(reload(&cities[0], 0)["problems"], serde_json::json!([]));
    a.stop().await;
    b.stop().await;
    let cleaned = cities[0].answer(&["peer", "cleanup"], &[], 0);
    assert_eq!(
        cleaned["entries"],
        serde_json::json!([]),
        "a stopped node, too"
    );
    assert_eq!(cities[0].answer(&["audit", "verify"], &[], 0)["ok"], true);
}

/// At a terminal: a prompt, completion by Tab, history by the arrow, Ctrl-D.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_gets_completion_and_the_history_of_the_last_console() {
    let root = directory();
    let city = super::city::alone(root.path(), root.path().join("d"));
    let node = city.ready().await;
    let first = typed(&city, root.path(), ["ledger hea\t\r", "\u{4}"]);
    assert!(first.contains("this home"), "{first}");
    // The line before.
    let second = typed(&city, root.path(), ["\u{1b}[A\r", "\u{4}"]);
    assert!(second.contains("this home"), "{second}");
    node.stop().await;
}

/// What a console shows to somebody who types these, each when the editor is ready for it.
fn typed(city: &City, home: &Path, keys: [&str; 2]) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let name = name.to_str().unwrap().to_owned();
    let line = || {
        let line = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&name);
        Stdio::from(line.unwrap())
    };
    // The command holds the line open until it is dropped.
    let mut console = command(&["console"], &city.data, home)
        .env("TERM", "xterm")
        .stdin(line())
        .stdout(line())
        .stderr(line())
        .spawn()
        .unwrap();
    let mut master = std::fs::File::from(master);
    let mut keys = keys.into_iter();
    let mut shown = Vec::new();
    let mut ready = 0;
    let mut part = [0; 4096];
    // Linux answers EIO when the last of the other side is closed.
    while let Ok(count @ 1..) = master.read(&mut part) {
        shown.extend_from_slice(&part[..count]);
        // The editor asks for bracketed paste when it begins a line.
        let begun = String::from_utf8_lossy(&shown)
            .matches("\u{1b}[?2004h")
            .count();
        if begun > ready
            && let Some(keys) = keys.next()
        {
            ready = begun;
            master.write_all(keys.as_bytes()).unwrap();
        }
    }
    let ended = console.wait().unwrap();
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(ended.success(), "{shown}");
    shown
}

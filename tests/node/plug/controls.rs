//! SQLite and sled on the same disk under the same cut: the one loses nothing that it acknowledged, the other
//! does, so that this harness would see a node that does.
//!
//! The writer is this test's own binary, started again on the machine: a disk that goes away may take the whole
//! process with it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

use super::machine::Machine;
use crate::daemon::city::{PATIENCE, directory};
use crate::store::Dice;

/// What the child does: `sqlite` or `sled`, `write` or `read`, and where.
const ROLE: &str = "CITY_NODE_PLUG_ROLE";
/// Before each acknowledged number, and before how many a reader found.
const ACKNOWLEDGED: &str = "acknowledged";
const FOUND: &str = "found";
const CUTS: u64 = 6;
const RECORD: [u8; 1000] = [7; 1000];

/// A store of numbered records.
trait Peer: Sized {
    fn open(dir: &Path) -> Self;
    /// Returns when the record is durable, as far as its documentation goes.
    fn put(&self, n: u64);
    /// How many records there are from the first without a gap.
    fn count(&self) -> u64;
}

impl Peer for Connection {
    fn open(dir: &Path) -> Self {
        let db = Self::open(dir.join("sqlite")).unwrap();
        db.pragma_update(None, "journal_mode", "WAL").unwrap();
        db.pragma_update(None, "synchronous", "FULL").unwrap();
        db.execute(
            "CREATE TABLE IF NOT EXISTS record (n INTEGER PRIMARY KEY, content BLOB)",
            [],
        )
        .unwrap();
        db
    }

    fn put(&self, n: u64) {
        let n = i64::try_from(n).unwrap();
        self.execute("INSERT INTO record VALUES (?1, ?2)", (n, &RECORD[..]))
            .unwrap();
    }

    fn count(&self) -> u64 {
        let has = |n: &u64| {
            let n = i64::try_from(*n).unwrap();
            self.query_row("SELECT n FROM record WHERE n = ?1", [n], |_| Ok(()))
                .is_ok()
        };
        (0..).take_while(has).count() as u64
    }
}

impl Peer for sled::Db {
    fn open(dir: &Path) -> Self {
        sled::open(dir.join("sled")).unwrap()
    }

    fn put(&self, n: u64) {
        self.insert(n.to_be_bytes(), &RECORD[..]).unwrap();
        self.flush().unwrap();
    }

    fn count(&self) -> u64 {
        let has = |n: &u64| self.get(n.to_be_bytes()).is_ok_and(|value| value.is_some());
        (0..).take_while(has).count() as u64
    }
}

/// Not a test: what the child does. Without its role it does nothing.
#[test]
#[ignore = "the tests below start it on a machine"]
fn as_child() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let words: Vec<&str> = role.split_whitespace().collect();
    match words[..] {
        ["sqlite", what, dir] => act::<Connection>(what, Path::new(dir)),
        ["sled", what, dir] => act::<sled::Db>(what, Path::new(dir)),
        _ => panic!("{role}"),
    }
}

fn act<P: Peer>(what: &str, dir: &Path) {
    let peer = P::open(dir);
    let mut out = std::io::stdout();
    let from = peer.count();
    writeln!(out, "\n{FOUND} {from}").unwrap();
    if what == "write" {
        for n in from.. {
            peer.put(n);
            writeln!(out, "{ACKNOWLEDGED} {n}").unwrap();
        }
    }
}

fn child(machine: &Machine, peer: &str, what: &str) -> Child {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args([
        "--exact",
        "plug::controls::as_child",
        "--ignored",
        "--nocapture",
    ]);
    program.env(
        ROLE,
        format!("{peer} {what} {}", machine.path("").display()),
    );
    machine.start(&program, Stdio::piped(), Stdio::null())
}

/// The number in a line that begins so.
fn number(line: &str, word: &str) -> Option<u64> {
    Some(line.strip_prefix(word)?.trim().parse().unwrap())
}

/// Pulls the plug while a child writes; gives how many it had acknowledged before. A later one does not count,
/// because a machine without power acknowledges nothing: ext4 may end a sync without an error that the
/// shutdown overtook.
fn cut(machine: &Machine, peer: &str, after: Duration) -> u64 {
    let mut writer = child(machine, peer, "write");
    let out = BufReader::new(writer.stdout.take().unwrap());
    let acknowledged = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&acknowledged);
    let listening = std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if let Some(n) = number(&line, ACKNOWLEDGED) {
                count.store(n + 1, Ordering::SeqCst);
            }
        }
    });
    assert!(machine.is_mounted(&mut writer));
    let begun = Instant::now();
    while acknowledged.load(Ordering::SeqCst) == 0 && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(after);
    let before = acknowledged.load(Ordering::SeqCst);
    machine.cut(writer.id());
    let _over = writer.kill();
    writer.wait().unwrap();
    listening.join().unwrap();
    before
}

/// What a child finds; nothing if it cannot open.
fn found(machine: &Machine, peer: &str) -> u64 {
    let reader = child(machine, peer, "read");
    let ran = reader.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    said.lines()
        .find_map(|line| number(line, FOUND))
        .unwrap_or(0)
}

/// How many acknowledged and how many lost records there were in all cuts, each of a new disk.
fn lost(peer: &str) -> Option<(u64, u64)> {
    let mut dice = Dice::new();
    let (mut acknowledged, mut lost) = (0, 0);
    for _ in 0..CUTS {
        let root: TempDir = directory();
        let content = root.path().join("content");
        std::fs::create_dir(&content).unwrap();
        let machine = match Machine::build(root.path(), &content, "data=ordered") {
            Ok(machine) => machine,
            Err(why) => {
                println!("skipped: {why}");
                return None;
            }
        };
        let after = Duration::from_millis(200 + dice.below(300));
        let before = cut(&machine, peer, after);
        let there = found(&machine, peer);
        println!("{peer}: {before} acknowledged, {there} there");
        acknowledged += before;
        lost += before.saturating_sub(there);
    }
    Some((acknowledged, lost))
}

#[test]
fn sqlite_loses_nothing_under_the_same_cut() {
    if let Some((acknowledged, lost)) = lost("sqlite") {
        assert!(acknowledged > CUTS, "{acknowledged} are no load");
        assert_eq!(lost, 0, "of {acknowledged}");
    }
}

#[test]
fn sled_loses_what_its_flush_acknowledged_and_the_harness_sees_it() {
    if let Some((acknowledged, lost)) = lost("sled") {
        assert!(acknowledged > CUTS, "{acknowledged} are no load");
        assert!(
            lost > 0,
            "of {acknowledged}: a cut that loses nothing shows nothing"
        );
    }
}

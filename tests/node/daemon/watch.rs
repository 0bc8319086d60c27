//! A technician watches the receiver: in a pipe, at a terminal, and of a recording.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

use super::city::{City, PATIENCE, alone, directory};
use super::receiver::write_recording;

/// `city-node place watch` on a city's node, with the environment of nobody.
fn watch(city: &City, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CITY_NODE_") {
            command.env_remove(name);
        }
    }
    command.args(["place", "watch", "--data-dir"]);
    command.arg(city.data.path()).args(more);
    command.env_remove("NO_COLOR").env("TERM", "xterm-256color");
    command
}

fn ended(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(ended) = child.try_wait().unwrap() {
            return ended;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The first lines in a pipe, which is closed behind them; how it ends then.
fn lines(city: &City, more: &[&str], count: usize) -> Vec<String> {
    let mut command = watch(city, more);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line
    };
    let lines = (0..count).map(|_| line()).collect();
    drop(out);
    assert!(ended(&mut child).success(), "a closed pipe is no error");
    lines
}

fn sentence(body: &str) -> Vec<u8> {
    let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${body}*{sum:02X}\r\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_pipe_it_is_a_line_per_epoch_until_nobody_reads() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let refused = watch(&city, &[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    let status = city.refusal(&["place", "status"], &[], 3);
    assert_eq!(said, status, "the same words as the other commands");

    let line = city.plug_in(|| sentence("GPTXT,01,01,02,ANTSTATUS=SHORT"));
    let node = city.ready().await;
    node.until("a place", |status| status.place.satisfies_policy)
        .await;
    let told = lines(&city, &[], 3);
    for line in &told {
        let expected = ["plausible", "17201 金沢市", "simulated", "SHORT CIRCUIT"];
        let missing = expected.iter().find(|part| !line.contains(**part));
        assert_eq!(missing, None, "{line}");
    }
    assert_ne!(told[0], told[1], "each is a new epoch");

    let objects = lines(&city, &["--json"], 2);
    let page: Value = serde_json::from_str(&objects[1]).unwrap();
    assert_eq!(page["schema"], 1);
    assert_eq!(page["summary"]["municipality"], "17201");
    assert_eq!(page["receiver"]["antenna"], "short");
    let notice = &page["receiver"]["notices"][0];
    assert_eq!(notice["text"], "ANTSTATUS=SHORT", "{notice}");
    assert_eq!(notice["severity"], "notice");
    let sky = page["satellites"].as_array().unwrap();
    let first = sky
        .iter()
        .find(|seen| seen["system"] == "gps" && seen["id"] == 5);
    let first = first.expect("the simulator's first satellite");
    assert_eq!(
        (&first["elevation_deg"], &first["azimuth_deg"]),
        (&61.into(), &164.into())
    );
    let shown = Command::new(env!("CARGO_BIN_EXE_city-node"))
        .args(["place", "status", "--data-dir"])
        .arg(city.data.path())
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("SHORT CIRCUIT") && shown.contains("notice: ANTSTATUS=SHORT"),
        "{shown}"
    );
    // Also where nothing more is to be written it ends when nobody reads.
    drop(line);
    node.until("the loss", |status| !status.receiver.connected)
        .await;
    lines(&city, &[], 1);
    node.stop().await;
}

/// A terminal with somebody at it.
struct Desk {
    master: File,
    line: OwnedFd,
    child: Child,
    bytes: Receiver<Vec<u8>>,
    shown: String,
}

const fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

impl Desk {
    fn sit_down(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let name = name.to_str().unwrap().to_owned();
        let open = || {
            let line = std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(&name);
            OwnedFd::from(line.unwrap())
        };
        tcsetwinsize(&master, size(24, 80)).unwrap();
        let line = open();
        let child = command
            .stdin(Stdio::from(open()))
            .stdout(Stdio::from(open()))
            .stderr(Stdio::from(open()))
            .spawn()
            .unwrap();
        let master = File::from(master);
        let mut reading = master.try_clone().unwrap();
        let (sender, bytes) = channel();
        thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(count @ 1..) = reading.read(&mut part) {
                if sender.send(part[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            master,
            line,
            child,
            bytes,
            shown: String::new(),
        }
    }

    /// Waits until all of these words were shown since the last look, and forgets what was shown. Blanks are not drawn.
    fn sees(&mut self, parts: &[&str]) -> String {
        let begun = Instant::now();
        while !parts.iter().all(|part| self.shown.contains(part)) {
            assert!(
                begun.elapsed() < PATIENCE,
                "{parts:?} not in {:?}",
                self.shown
            );
            if let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(100)) {
                self.shown += &String::from_utf8_lossy(&bytes);
            }
        }
        std::mem::take(&mut self.shown)
    }

    /// Leaves by this key or signal: it ends well, and the terminal is as it was.
    fn leaves(mut self, leave: impl FnOnce(&mut File, u32)) -> String {
        leave(&mut self.master, self.child.id());
        assert!(ended(&mut self.child).success());
        // The main screen, and the cursor.
        let shown = self.sees(&["\u{1b}[?1049l", "\u{1b}[?25h"]);
        let now = tcgetattr(&self.line).unwrap();
        let fresh = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        let usual = tcgetattr(&fresh).unwrap();
        assert_eq!(now.local_modes, usual.local_modes, "it echoes, by lines");
        assert_eq!(now.input_modes, usual.input_modes);
        assert_eq!(now.output_modes, usual.output_modes);
        shown
    }
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(sent.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_terminal_it_draws_and_gives_the_terminal_back() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let _line = city.plug_in(Vec::new);
    let node = city.ready().await;
    node.until("a place", |status| status.place.satisfies_policy)
        .await;

    let mut desk = Desk::sit_down(watch(&city, &[]));
    let drawn = desk.sees(&[
        "PLAUSIBLE",
        "C/N0",
        "sky",
        "17201",
        "G05",
        "simulates",
        "leaves",
    ]);
    assert!(drawn.contains("\u{1b}[?1049h"), "on a screen of its own");
    assert!(drawn.contains("38;5;"), "in colours: {drawn:?}");
    // A smaller window.
    tcsetwinsize(&desk.master, size(12, 40)).unwrap();
    signal(desk.child.id(), "-WINCH");
    desk.sees(&["PLAUSIBLE", "G05"]);
    desk.leaves(|keys, _| keys.write_all(b"q").unwrap());

    let mut plain = watch(&city, &[]);
    plain.env("NO_COLOR", "1");
    let mut desk = Desk::sit_down(plain);
    let drawn = desk.sees(&["PLAUSIBLE", "G05"]);
    assert!(!drawn.contains("38;5;"), "no colours: {drawn:?}");
    desk.leaves(|keys, _| keys.write_all(b"\x03").unwrap());

    // Asked to stop; and a node that goes away is told beside its last page.
    let mut desk = Desk::sit_down(watch(&city, &[]));
    desk.sees(&["PLAUSIBLE", "G05"]);
    // Half of what a key sends holds nobody up.
    desk.master.write_all(b"\x1b[").unwrap();
    node.stop().await;
    desk.sees(&["q leaves · "]);
    desk.leaves(|_, pid| signal(pid, "-TERM"));
}

#[test]
fn a_capture_is_watched_without_a_node_at_its_own_pace() {
    let root = directory();
    let file = root.path().join("roof.nmea");
    write_recording(&file, 10);
    let begun = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
    command.args(["place", "watch", "--json", "--replay"]);
    let played = command.arg(&file).output().unwrap();
    assert!(played.status.success(), "{played:?}");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1800), "{took:?}");
    let text = String::from_utf8(played.stdout).unwrap();
    let epochs: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(epochs.len(), 10);
    assert_eq!(epochs[9]["grade"], "plausible", "{}", epochs[9]);
}

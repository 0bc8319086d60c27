//! A field engineer looks at captures: `place replay` and `place survey` on recordings of real receivers, some of them
//! edited as an attack would look.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use city_drivers::gnss::replay::fixes;
use city_node::place::replay::{Epoch, Replay};
use city_protocol::amount::Timestamp;
use city_protocol::place::{Grade, PlacePolicy, Reason, Site};
use serde_json::Value;

use crate::recorded::data;

use super::cli::{expect, json, program, run, stderr};

/// 2026-11-21: when the captures are looked at.
const NOW: Timestamp = Timestamp(1_795_219_200_000);

/// All epochs of a capture, judged as if live, or as declared.
fn replayed(path: &Path, recorded: bool) -> Vec<Epoch> {
    let policy = PlacePolicy::default();
    let site = Site {
        boundary: None,
        home: None,
        survey: None,
        policy: &policy,
        purpose_allows_recorded: true,
    };
    let mut replay = Replay::new(site, NOW, recorded);
    let capture = fixes(File::open(path).unwrap());
    capture.map(|fix| replay.epoch(&fix.unwrap())).collect()
}

/// Epochs after the first anomalous one within which it must be noticed.
const NOTICED_WITHIN: usize = 5;

#[test]
fn every_edited_capture_is_suspect_soon_and_the_genuine_one_never() {
    let Some(data) = data() else { return };
    let folder = data.join("spoofing/synthetic");
    let labels: BTreeMap<String, Value> =
        serde_json::from_slice(&fs::read(folder.join("labels.json")).unwrap()).unwrap();
    let expected: BTreeMap<_, _> = [
        ("hokuto-01-jump", Reason::Jump),
        ("hokuto-02-drag", Reason::SpeedContradicted),
        ("hokuto-03-flat-cn0", Reason::Cn0Flat),
        ("hokuto-04-time-jump", Reason::TimeJump),
        ("hokuto-05-week-rollover", Reason::DateImplausible),
    ]
    .into();
    assert_eq!(labels.len(), 1 + expected.len(), "all captures are judged");
    for (name, label) in &labels {
        for recorded in [false, true] {
            let epochs = replayed(&folder.join(format!("{name}.nmea")), recorded);
            assert_eq!(
                Some(epochs.len() as u64),
                label["epochs"].as_u64(),
                "{name}"
            );
            let is_suspect = |epoch: &Epoch| epoch.grade == Grade::Suspect;
            let first = epochs.iter().position(is_suspect);
            let Some(anomalous) = label["first_anomalous_epoch"].as_u64() else {
                assert_eq!(first, None, "{name} is genuine");
                continue;
            };
            let anomalous = usize::try_from(anomalous).unwrap();
            let first = first.unwrap_or_else(|| panic!("{name} was never suspect"));
            println!("{name}: anomalous from {anomalous}, suspect from {first}");
            assert!(
                (anomalous..=anomalous + NOTICED_WITHIN).contains(&first),
                "{name}: {first}"
            );
            let reason = expected[name.as_str()];
            assert!(
                epochs[first].reasons.contains(&reason),
                "{name}: {:?}",
                epochs[first].reasons
            );
        }
    }
}

/// Genuine epochs with at least eight satellites that may be suspect, of a thousand.
const FALSE_ALARMS: usize = 10;

#[test]
fn genuine_receivers_are_hardly_ever_suspect() {
    let Some(data) = data() else { return };
    let (mut judged, mut alarms) = (0, Vec::new());
    let mut captures: Vec<_> = fs::read_dir(data.join("gnss/gpsd"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    captures.sort();
    for path in captures {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let seen = |epoch: &&Epoch| epoch.mode >= 2 && epoch.satellites_used >= Some(8);
        for epoch in replayed(&path, false).iter().filter(seen) {
            judged += 1;
            if epoch.grade == Grade::Suspect {
                let time = epoch.time.clone().unwrap_or_default();
                println!("{name} {time}: {:?}", epoch.reasons);
                alarms.push(name.clone());
            }
        }
    }
    println!(
        "{} of {judged} epochs with 8 satellites are suspect",
        alarms.len()
    );
    assert!(judged >= 1_000, "only {judged} epochs were judged");
    assert!(alarms.len() * 1000 <= judged * FALSE_ALARMS, "{alarms:?}");
    // Its receiver's clock stood at an older date before it knew the true one: rightly suspect, and no other is.
    alarms.dedup();
    assert_eq!(alarms, ["ublox-lea-4h"]);
}

/// NMEA 0183: the exclusive or of what stands between $ and *.
fn sentence(body: &str) -> String {
    let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${body}*{sum:02X}\r\n")
}

/// A minute of a receiver at 金沢市 without a date.
fn undated(seconds: u32) -> String {
    let epoch = |second: u32| {
        let time = format!("0900{second:02}.00");
        let noise = second % 3;
        sentence(&format!(
            "GPGGA,{time},3633.678{noise},N,13639.372,E,1,08,1.1,30.0,M,36.0,M,,"
        ))
    };
    (0..seconds).map(epoch).collect()
}

/// A receiver at 10 Hz that is suddenly half a kilometre farther north, after so many epochs.
fn jumping(epochs: u32, jump: u32) -> String {
    let epoch = |n: u32| {
        let time = format!("09{:02}{:02}.{}0", n / 600, n / 10 % 60, n % 10);
        let minutes = if n < jump { "33.678" } else { "33.978" };
        let at = format!("36{minutes}{},N,13639.372,E", n % 3);
        let rmc = sentence(&format!("GPRMC,{time},A,{at},0.1,0.0,201126,,,A"));
        let gga = sentence(&format!("GPGGA,{time},{at},1,08,1.1,30.0,M,36.0,M,,"));
        rmc + &gga
    };
    (0..epochs).map(epoch).collect()
}

#[test]
fn a_jump_is_remembered_for_a_minute_at_ten_a_second() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("fast.nmea");
    fs::write(&path, jumping(700, 50)).unwrap();
    let epochs = replayed(&path, false);
    assert_eq!(epochs.len(), 700);
    let jumped = |n: usize| epochs[n].reasons.contains(&Reason::Jump);
    let firsts: Vec<_> = (0..700)
        .filter(|&n| jumped(n) != jumped(n.max(1) - 1))
        .collect();
    // From the jump on, until the epoch before it is a minute old.
    assert_eq!(firsts, [50, 650], "{:?}", epochs[200].reasons);
    assert_eq!(epochs[699].figures.fixes, 601);
}

#[test]
fn a_replay_is_a_line_an_epoch() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    fs::write(at.join("a.nmea"), undated(10)).unwrap();
    let lines = expect(at, 0, &["place", "replay", "a.nmea", "--json"]);
    let epochs: Vec<Value> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(epochs.len(), 10);
    let first = &epochs[0];
    for field in [
        "time",
        "mode",
        "lat",
        "lon",
        "alt",
        "satellites_used",
        "satellites_in_view",
        "hdop",
        "cn0",
        "constellations",
        "grade",
        "reasons",
        "municipality",
    ] {
        assert!(first.get(field).is_some(), "{field}: {first}");
    }
    assert_eq!(
        (first["mode"].as_u64(), first["grade"].as_str()),
        (Some(3), Some("plausible"))
    );
    assert_eq!(
        (first["lat"].as_f64(), first["lon"].as_f64()),
        (Some(36.5613), Some(136.6562))
    );
    assert_eq!(
        (first["alt"].as_f64(), first["hdop"].as_f64()),
        (Some(30.0), Some(1.1))
    );

    // The municipality, the survey, a stricter policy, and what a recording is.
    let far = [
        "place",
        "replay",
        "a.nmea",
        "--json",
        "--surveyed",
        "36.6,136.6562",
    ];
    assert!(
        expect(at, 0, &far)
            .lines()
            .all(|line| line.contains("off-survey"))
    );
    let near = [&far[..5], &["36.5613,136.6562", "--assume-recorded"]].concat();
    let near = expect(at, 0, &near);
    assert!(!near.contains("not-surveyed") && near.lines().all(|l| l.contains("\"recorded\"")));
    fs::write(at.join("strict.toml"), "version = 2\nmin_satellites = 9\n").unwrap();
    let strict = expect(
        at,
        0,
        &["place", "replay", "a.nmea", "--policy", "strict.toml"],
    );
    assert!(
        strict
            .lines()
            .all(|l| l.starts_with('!') && l.contains("few-satellites")),
        "{strict}"
    );
    fs::write(at.join("wrong.toml"), "min_satelites = 9\n").unwrap();
    for (arguments, words) in [
        (
            &["a.nmea", "--policy", "wrong.toml"][..],
            &["wrong.toml", "min_satelites"][..],
        ),
        (
            &["a.nmea", "--surveyed", "here"],
            &["--surveyed here", "36.5613,136.6562"],
        ),
        (&["absent.nmea"], &["absent.nmea", "permissions"]),
        (&["strict.toml"], &["strict.toml: no epoch", "29 bytes"]),
    ] {
        let output = run(at, &[&["place", "replay"], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let told = stderr(&output);
        assert!(
            words.iter().all(|word| told.contains(word)),
            "{arguments:?}: {told}"
        );
    }
}

#[test]
fn a_capture_comes_through_a_pipe_and_its_reader_may_leave() {
    let place = tempfile::tempdir().unwrap();
    let mut child = program(place.path())
        .args(["place", "replay", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    drop(child.stdout.take());
    // It notices at its first line; a broken pipe here is that it left.
    let _ = stdin.write_all(undated(60).as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
}

#[test]
fn a_fixed_receiver_is_surveyed() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    fs::write(at.join("short.nmea"), undated(59)).unwrap();
    let short = run(at, &["place", "survey", "short.nmea"]);
    assert_eq!(short.status.code(), Some(1));
    assert!(
        stderr(&short).contains("59 good positions"),
        "{}",
        stderr(&short)
    );
    fs::write(at.join("minute.nmea"), undated(60)).unwrap();
    let told = expect(at, 0, &["place", "survey", "minute.nmea"]);
    let config = "[place]\nsurveyed = \"36.5613017,136.6562000\"\nsurveyed_radius_m = 50\n";
    assert!(told.ends_with(config), "{told}");
    let page = json(at, 0, &["place", "survey", "minute.nmea", "--json"]);
    assert_eq!(
        (
            page["config"].as_str(),
            page["proposal"]["positions"].as_u64()
        ),
        (Some(config), Some(60))
    );
}

//! Real captures: none panics or stalls, however it ends, and what is broken in them is not believed.

use crate::data;
use city_drivers::gnss::{Decoder, Fix, Jamming, Simulator, SimulatorConfig, Spoofing, replay};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn captures(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "log" || e == "ubx"))
        .collect();
    paths.sort();
    paths
}

fn fixes(bytes: &[u8]) -> Vec<Fix> {
    replay::fixes(bytes)
        .map(|fix| fix.expect("memory does not fail"))
        .collect()
}

#[test]
fn no_capture_panics_and_none_of_ours_is_refused() {
    let Some(folder) = data::gnss() else { return };
    let mut with_position = 0;
    for folder in ["gpsd", "pynmeagps", "pyubx2", "aerorust-nmea", "rtklib"].map(|f| folder.join(f))
    {
        for path in captures(&folder) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let bytes = fs::read(&path).unwrap();
            let mut decoder = Decoder::new();
            let mut count = 0_usize;
            let mut push = |fix: Fix| count += usize::from(fix.position().is_some());
            decoder.push(&bytes, &mut push);
            decoder.finish(&mut push);
            with_position += usize::from(count > 0);
            let allowed = match name.as_str() {
                // Old test material of a parser, broken on purpose.
                "nmea1.log" => 1000,
                "pygpsdata-nmeabadck.log" => 3,
                _ => 0,
            };
            assert!(
                decoder.refused() <= allowed,
                "{name}: {} refused",
                decoder.refused()
            );
        }
    }
    assert!(
        with_position >= 55,
        "{with_position} captures with a position"
    );
}

/// Longest that the whole of a capture may take, decoded in a debug build on a busy machine, for each megabyte.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn no_prefix_of_a_capture_panics_or_stalls() {
    let Some(folder) = data::gnss() else { return };
    let (mut prefixes, begun) = (0, Instant::now());
    for folder in ["gpsd", "pynmeagps", "pyubx2", "rtklib"].map(|f| folder.join(f)) {
        for path in captures(&folder) {
            let bytes = fs::read(&path).unwrap();
            let started = Instant::now();
            // The stream is decoded once; behind each byte a copy is told that it ended. So all prefixes cost no more than as
            // many ends.
            let mut decoder = Decoder::new();
            for byte in &bytes {
                decoder.push(std::slice::from_ref(byte), |_| {});
                let mut cut = decoder.clone();
                cut.finish(|_| {});
                prefixes += 1;
                let all = cut.counters();
                assert!(all.noise_bytes <= bytes.len() as u64, "{}", path.display());
            }
            let megabytes = u32::try_from(bytes.len() / 1_000_000 + 1).unwrap();
            assert!(
                started.elapsed() < PATIENCE * megabytes,
                "{}: {:?}",
                path.display(),
                started.elapsed()
            );
        }
    }
    println!("{prefixes} prefixes in {:?}", begun.elapsed());
    assert!(prefixes > 3_000_000, "{prefixes}");
}

#[test]
fn a_frame_with_a_broken_checksum_is_not_believed() {
    let Some(bytes) = data::capture("pyubx2/pygpsdata-MIXED3BADCK.log") else {
        return;
    };
    // Two seconds, each with NAV-PVT and GGA; the second NAV-PVT has a wrong checksum, and only it has an accuracy.
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    decoder.push(&bytes, |fix| found.push(fix));
    decoder.finish(|fix| found.push(fix));
    let counters = decoder.counters();
    assert_eq!(
        (counters.nmea, counters.ubx, counters.bad_checksums),
        (3, 1, 1)
    );
    let accuracies: Vec<_> = found.iter().map(|fix| fix.accuracy_mm).collect();
    assert_eq!(accuracies, [Some(8927), None]);
}

#[test]
fn a_sentence_with_a_broken_checksum_is_not_believed() {
    let Some(bytes) = data::capture("pynmeagps/pygpsdata-nmeabadck.log") else {
        return;
    };
    let mut decoder = Decoder::new();
    decoder.push(&bytes, |_| {});
    // Speed XXXXX twice, under a checksum that was made for a number.
    assert_eq!(decoder.counters().bad_checksums, 2);
    assert_eq!(decoder.counters().nmea, 1);
    let broken: Vec<u8> = simulated().replace("*", "*0").into_bytes();
    assert_eq!(fixes(&broken), []);
}

#[test]
fn real_frames_about_jamming_and_spoofing_are_read() {
    let (Some(nav), Some(mon), Some(mixed)) = (
        data::capture("pyubx2/pygpsdata-NAV.log"),
        data::capture("pyubx2/pygpsdata-MON.log"),
        data::capture("pyubx2/pygpsdata-MIXED.log"),
    ) else {
        return;
    };
    // MON-RF alone opens no epoch: the fix of the NAV frames behind it holds it, and two bands of NAV-SIG.
    let found = fixes(&[mon, nav].concat());
    assert_eq!(found[0].jamming, Some(Jamming::Critical));
    assert_eq!(found[0].signals.len(), 30);
    // A u-blox M8 under an open sky, whose detector runs.
    let found = fixes(&mixed);
    let states: Vec<_> = found.iter().filter_map(|fix| fix.spoofing).collect();
    // 32 frames; one came after its epoch was over and shares the next one's.
    assert_eq!(states, [Spoofing::NoneIndicated; 31]);
}

fn simulated() -> String {
    let config = SimulatorConfig {
        lat_e7: 365_610_000,
        lon_e7: 1_366_564_000,
        altitude_mm: 0,
        seed: 1,
    };
    Simulator::new(config).epoch(1_795_219_190_000)
}

//! gpsd's regression captures: none panics, and where gpsd reports a position for an instant, ours is the same.

use crate::data;
use city_drivers::gnss::{Decoder, Fix, FixMode, Simulator, SimulatorConfig, replay};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// gpsd computes in f64 and prints nine decimals; ours are 1e-7 degrees rounded.
const TOLERANCE_E9: i64 = 1000;

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

/// One position report of gpsd: mode (0–3), latitude and longitude in 1e-9 degrees.
type Report = (FixMode, i64, i64);

/// The last TPV report with a position for every instant that the `.chk` file has one for.
fn reports(chk: &str) -> BTreeMap<u64, Report> {
    #[expect(clippy::cast_possible_truncation, reason = "degrees times 1e9 fit")]
    let e9 = |value: &Value| value.as_f64().map(|degrees| (degrees * 1e9).round() as i64);
    chk.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|report| report["class"] == "TPV")
        .filter_map(|report| {
            let time = chrono::DateTime::parse_from_rfc3339(report["time"].as_str()?).ok()?;
            let mode = match report["mode"].as_i64()? {
                3 => FixMode::ThreeD,
                2 => FixMode::TwoD,
                _ => FixMode::None,
            };
            let time_ms = u64::try_from(time.timestamp_millis()).ok()?;
            Some((time_ms, (mode, e9(&report["lat"])?, e9(&report["lon"])?)))
        })
        .collect()
}

#[test]
fn positions_and_modes_are_those_of_gpsd() {
    let Some(folder) = data::gnss() else { return };
    let check = |name: &str, instants: usize| {
        let log = folder.join("gpsd").join(name);
        let ours: BTreeMap<_, _> = fixes(&fs::read(&log).unwrap())
            .into_iter()
            .filter_map(|fix| Some((fix.time_ms?, fix)))
            .collect();
        let theirs = reports(&fs::read_to_string(log.with_extension("log.chk")).unwrap());
        assert_eq!(
            theirs.len(),
            instants,
            "{name}: reports with time and position"
        );
        for (time_ms, (mode, lat, lon)) in theirs {
            let fix = ours
                .get(&time_ms)
                .unwrap_or_else(|| panic!("{name}: no epoch {time_ms}"));
            let (lat_e7, lon_e7) = fix
                .position()
                .unwrap_or_else(|| panic!("{name} {time_ms}: {fix:?}"));
            let apart = (i64::from(lat_e7) * 100 - lat)
                .abs()
                .max((i64::from(lon_e7) * 100 - lon).abs());
            assert!(
                apart <= TOLERANCE_E9,
                "{name} {time_ms}: {lat} {lon} are {lat_e7} {lon_e7}"
            );
            assert_eq!(fix.mode, mode, "{name} {time_ms}");
        }
    };
    check("bu353s4.log", 25); // SiRF IV, south and east
    check("et-332.log", 19); // SiRF III
    check("gr601-w.log", 9); // u-blox 6, west
    check("pharos-360.log", 21); // GLL before NMEA 2.3
    check("nl402u.log", 9); // u-blox 5
    check("navika-100-fix.log", 20); // SkyTraq
    check("skytraq-fix.log", 11); // GPS and BeiDou
    check("skytraq-PX1172RH_DS.log", 9); // five constellations, two bands
    check("quectel-eg25-g-2.log", 3); // GNS with three modes
    check("meinberg-gps164.log", 70); // RMC alone
    check("cat-ms352.log", 40); // marine: RMC and GGA without GSA
    check("ublox8-uniqid-monhw.log", 8); // NMEA and UBX mixed
    check("ublox-zed-f9p-hp.log", 28); // UBX NAV-PVT alone
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

fn simulated() -> String {
    let config = SimulatorConfig {
        lat_e7: 365_610_000,
        lon_e7: 1_366_564_000,
        altitude_mm: 0,
        seed: 1,
    };
    Simulator::new(config).epoch(1_795_219_190_000)
}

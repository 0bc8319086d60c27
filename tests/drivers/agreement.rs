//! Our epochs beside gpsd's own reading of its regression captures: position, mode and satellites used.
//!
//! gpsd's `.chk` files hold its reports and, of sentences, the sentence before each. A report belongs to the time of day of the
//! last sentence with a time, of binary captures to its own; the last report of an instant counts. Dates may be whole 1,024
//! weeks apart: gpsd guesses those that old receivers lose, we do not.

use crate::data;
use city_drivers::gnss::{Fix, FixMode, replay};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

/// gpsd computes in f64 and prints nine decimals; ours are 1e-7 degrees rounded. 1e-6 degrees are 11 cm.
const TOLERANCE_E9: i64 = 1000;

/// gpsd's times of binary messages carry a fraction that ours round.
const SAME_MS: u64 = 20;

/// A capture that agrees does so for this much of gpsd's epochs.
const BAR_PERCENT: usize = 97;

const DAY_MS: u64 = 86_400_000;

/// After so many weeks the week number of GPS begins anew.
const ROLLOVER_MS: u64 = 1024 * 7 * DAY_MS;

/// What is known of a capture: of how many of gpsd's epochs ours agree, and where they do not, why.
enum Known {
    /// At least 97 %.
    Agrees(usize, usize),
    /// Fewer, because of this.
    Differs(usize, usize, &'static str),
    /// gpsd reports no epoch, or a protocol that we do not read; ours has no position.
    Out(&'static str),
    /// gpsd's word is not in the data; we find so many positions.
    Alone(usize),
}
use Known::{Agrees, Alone, Differs, Out};

/// Altitude held, or made of three satellites: the receiver's word counts.
const TWO_D: &str = "GSA says 2D; gpsd calls a fix with an altitude in GGA 3D";
const CARRIED: &str =
    "gpsd carries mode and satellites over into epochs that have none; ours carry nothing";
const NAV_SOL: &str = "NAV-SOL, which NAV-PVT has replaced since 2011, is not read";

/// Every capture.
const KNOWN: &[(&str, Known)] = &[
    ("GPSmap-76S.log", Agrees(12, 12)),
    ("ac12_binary.log", Differs(0, 5, TWO_D)),
    ("ais-nmea-type6-fid55.log", Out("AIS")),
    ("ais-raw-messages.log", Out("AIS")),
    ("ait250.log", Agrees(33, 33)),
    ("beidou-bd.log", Agrees(10, 10)),
    ("blumax-gps009.log", Agrees(8, 8)),
    ("bt-q818.log", Agrees(10, 10)),
    ("bu303-climbing.log", Out("SiRF binary")),
    ("bu303-nofix.log", Out("SiRF binary")),
    ("bu303b-nofix.log", Out("SiRF binary")),
    ("bu353s4.log", Agrees(25, 25)),
    ("cat-ms352.log", Agrees(40, 40)),
    ("ch-4711.log", Differs(6, 13, TWO_D)),
    ("eXplorist110.log", Agrees(29, 29)),
    ("ericsson-gru04-02-70sec.log", Agrees(69, 71)),
    ("et-332.log", Agrees(19, 19)),
    ("foretrex-201.log", Differs(0, 6, TWO_D)),
    ("garmin-10x.log", Differs(11, 13, TWO_D)),
    ("garmin15x.log", Agrees(7, 7)),
    ("garmin18x-bin.log", Out("Garmin binary")),
    ("garmin38.log", Differs(5, 6, CARRIED)),
    ("geos-1m.log", Agrees(13, 13)),
    ("gpsdf.log", Agrees(51, 51)),
    ("gr601-w.log", Agrees(10, 10)),
    ("greis-binary.log", Out("GREIS binary")),
    ("greis-raw-2m.log", Out("GREIS binary")),
    ("greis-test.log", Out("GREIS binary")),
    ("hab-gpspi.log", Agrees(3, 3)),
    (
        "hemi.log",
        Differs(
            103,
            118,
            "GGA gives a position by 00 satellites; gpsd calls it no fix",
        ),
    ),
    ("hp58534a.log", Out("no reports")),
    ("italk-binary.log", Out("iTalk binary")),
    ("magellan-ec10.log", Agrees(38, 38)),
    ("meinberg-gps164.log", Agrees(90, 90)),
    ("mr-350p.log", Agrees(14, 14)),
    ("mtk-3301.log", Differs(8, 11, TWO_D)),
    ("myguide-3100.log", Agrees(13, 13)),
    ("naujoks-rtcm2.log", Out("RTCM 2")),
    ("navika-100-fix.log", Agrees(20, 20)),
    ("navisys-gr8013.log", Agrees(35, 35)),
    ("neo-m8n.log", Agrees(23, 23)),
    ("nl402u.log", Agrees(9, 9)),
    ("nokia-ld-4w.log", Agrees(19, 19)),
    (
        "oncore-binary-no-utc-offset.log",
        Out("Motorola Oncore binary"),
    ),
    ("oncore-binary.log", Out("Motorola Oncore binary")),
    ("oncore.log", Differs(1, 7, TWO_D)),
    ("pharos-360.log", Agrees(21, 21)),
    ("pypilot.log", Out("a compass: no position")),
    (
        "quectel-eg25-g-2.log",
        Differs(2, 3, "gpsd counts one of three systems in one epoch"),
    ),
    ("quectel-l76k-binary.log", Out("CASIC binary")),
    ("quectel-l76k-nmea.log", Agrees(150, 150)),
    ("quectelLC79D-1.log", Agrees(29, 29)),
    ("rgm3800.log", Differs(3, 4, TWO_D)),
    ("rtcm2.bend.log", Out("RTCM 2")),
    ("rtcm3.2.log", Out("RTCM 3")),
    ("rtcm3.log", Out("RTCM 3")),
    ("rx210.log", Agrees(61, 62)),
    ("sirf2.log", Out("SiRF binary")),
    ("sirfstarv.log", Out("SiRF binary")),
    ("skytraq-PX1172RH_DS.log", Agrees(9, 9)),
    ("skytraq-dgps.log", Agrees(96, 96)),
    ("skytraq-fix.log", Agrees(11, 11)),
    ("skytraq.log", Agrees(17, 17)),
    ("sounder.log", Agrees(122, 122)),
    (
        "st-teseo-liv4f.log",
        Differs(
            0,
            12,
            "a GSA for each band; gpsd counts a satellite anew in each",
        ),
    ),
    ("tcp-test.log", Agrees(1, 1)),
    ("telit-he910.log", Agrees(187, 187)),
    ("tn200-all.log", Agrees(9, 9)),
    ("tn204.log", Differs(4, 7, CARRIED)),
    ("tomtom-mkII.log", Differs(26, 28, TWO_D)),
    ("trimble-lassen_iq-3dfix.log", Out("TSIP")),
    ("trimble-lassen_iq.log", Out("TSIP")),
    ("trimble-res720-dr.log", Out("TSIP")),
    ("trimble-ressmt360-dr.log", Out("TSIP")),
    ("trimble-smtx-dr.log", Out("TSIP")),
    ("triton400.log", Differs(4, 5, CARRIED)),
    ("ublox-8-time.log", Out(NAV_SOL)),
    ("ublox-aek-4t.log", Out(NAV_SOL)),
    (
        "ublox-f9p-rtcm.log",
        Differs(0, 1, "gpsd counts the signals of NAV-SIG as satellites"),
    ),
    ("ublox-lea-4h.log", Differs(9, 13, TWO_D)),
    ("ublox-lea-4t.log", Out(NAV_SOL)),
    ("ublox-lea-5q.log", Agrees(10, 10)),
    (
        "ublox-ned-m8t-sbfrx3.log",
        Out("subframes alone: no position"),
    ),
    (
        "ublox-neo-m8l.log",
        Differs(
            17,
            189,
            "HNR-PVT, dead reckoning ten times a second, is not read",
        ),
    ),
    ("ublox-neo-m8p.log", Agrees(58, 58)),
    ("ublox-neo-m8t.log", Out(NAV_SOL)),
    ("ublox-neo-m8u.log", Agrees(2, 2)),
    ("ublox-sirf1.log", Out("SiRF binary")),
    ("ublox-zed-f9p-hp.log", Agrees(28, 28)),
    ("ublox-zed-f9p-rtk.log", Agrees(9, 9)),
    ("ublox-zed-f9p_hpg1.11.log", Alone(655)),
    (
        "ublox-zed-f9t-rtcm3.log",
        Differs(
            0,
            22,
            "a time-only fix: the position is typed in, not received; gpsd calls it 3D",
        ),
    ),
    (
        "ublox-zoe-m8b-logbatch.log",
        Out("a log of the past: no position"),
    ),
    ("ublox8-uniqid-monhw.log", Agrees(8, 8)),
    ("zodiac.log", Out("Zodiac binary")),
];

/// gpsd's word on one instant.
#[derive(Debug, Default)]
struct Told {
    mode: Option<FixMode>,
    /// With the date.
    time_ms: Option<u64>,
    /// 1e-9 degrees.
    position: Option<(i64, i64)>,
    /// Satellites used: gpsd says it anew with every sentence that adds to it. The last figure and the greatest.
    used: Option<(u64, u64)>,
}

fn reports_of(log: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(log.with_extension("log.chk")) {
        return Some(text);
    }
    let file = fs::File::open(log.with_extension("log.chk.gz")).ok()?;
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    Some(text)
}

/// Time of day of a sentence that has one, milliseconds.
fn time_of(sentence: &str) -> Option<u64> {
    let mut fields = sentence.split([',', '*']);
    let formatter = fields.next()?.get(3..)?;
    let time = fields.nth(match formatter {
        "RMC" | "GGA" | "GNS" | "ZDA" => 0,
        "GLL" => 4,
        _ => return None,
    })?;
    let number = |text: &str| text.parse::<u64>().ok();
    let minutes = number(time.get(..2)?)? * 60 + number(time.get(2..4)?)?;
    let (seconds, fraction) = time.get(4..)?.split_once('.').unwrap_or((&time[4..], ""));
    let thousandths = number(&format!("{fraction:0<3}")[..3])?;
    Some(minutes * 60_000 + number(seconds)? * 1000 + thousandths)
}

/// `binary`: the capture holds UBX frames. Of them gpsd makes sentences of its own, which then are not looked at.
fn told(reports: &str, binary: bool) -> BTreeMap<u64, Told> {
    let mut instants: BTreeMap<u64, Told> = BTreeMap::new();
    let (mut at, mut by_sentence) = (None, false);
    for line in reports.lines() {
        if line.starts_with('$') {
            let time = time_of(line).filter(|_| !binary);
            by_sentence |= time.is_some();
            at = time.or(at);
            continue;
        }
        let Ok(report) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let time_ms = report["time"].as_str().and_then(|time| {
            let time = chrono::DateTime::parse_from_rfc3339(time).unwrap();
            u64::try_from(time.timestamp_millis()).ok()
        });
        if let Some(time_ms) = time_ms.filter(|_| !by_sentence) {
            at = Some(time_ms % DAY_MS);
        }
        let Some(at) = at else { continue };
        if report["class"] == "TPV" {
            let instant = instants.entry(at).or_default();
            instant.mode = Some(match report["mode"].as_i64() {
                Some(3) => FixMode::ThreeD,
                Some(2) => FixMode::TwoD,
                _ => FixMode::None,
            });
            // Without a fix gpsd repeats the time of the last one.
            instant.time_ms = time_ms.filter(|time| time % DAY_MS == at);
            instant.position = e9(&report["lat"]).zip(e9(&report["lon"]));
        } else if report["class"] == "SKY"
            && let Some(used) = report["uSat"].as_u64()
        {
            let instant = instants.entry(at).or_default();
            let most = instant.used.map_or(used, |(_, most)| most.max(used));
            instant.used = Some((used, most));
        }
    }
    instants.retain(|_, instant| instant.mode.is_some());
    instants
}

fn e9(degrees: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "degrees times 1e9 fit")]
    degrees
        .as_f64()
        .map(|degrees| (degrees * 1e9).round() as i64)
}

/// A fix's time of day; receivers that never send a date have it in their sentences alone.
fn time_of_fix(fix: &Fix) -> Option<u64> {
    let text = String::from_utf8_lossy(&fix.raw);
    let sent = || {
        text.split('$')
            .find_map(|sentence| time_of(&format!("${sentence}")))
    };
    fix.time_ms.map(|time| time % DAY_MS).or_else(sent)
}

fn agrees(fix: &Fix, told: &Told) -> bool {
    let near = |ours: i32, theirs: i64| (i64::from(ours) * 100 - theirs).abs() <= TOLERANCE_E9;
    let position = match (fix.position(), told.position) {
        (Some(ours), Some(theirs)) => near(ours.0, theirs.0) && near(ours.1, theirs.1),
        (ours, theirs) => ours.is_none() && theirs.is_none(),
    };
    let used = u64::from(fix.satellites_used);
    let used = told
        .used
        .is_none_or(|(last, most)| used == last || used == most);
    let date = fix.time_ms.zip(told.time_ms).is_none_or(|(ours, theirs)| {
        let apart = ours.abs_diff(theirs) % ROLLOVER_MS;
        apart.min(ROLLOVER_MS - apart) <= SAME_MS
    });
    position && used && date && Some(fix.mode) == told.mode
}

/// Of how many of gpsd's epochs ours agree, and how many positions we found.
fn compare(log: &Path) -> (usize, usize, usize) {
    let capture = fs::read(log).unwrap();
    let mut fixes = replay::fixes(&capture[..]);
    let ours: Vec<Fix> = fixes
        .by_ref()
        .map(|fix| fix.expect("memory does not fail"))
        .collect();
    let binary = fixes.decoder().counters().ubx > 0;
    let positions = ours.iter().filter(|fix| fix.position().is_some()).count();
    let ours: BTreeMap<_, _> = ours
        .into_iter()
        .filter_map(|fix| Some((time_of_fix(&fix)?, fix)))
        .collect();
    let theirs = reports_of(log).map_or_else(BTreeMap::new, |reports| told(&reports, binary));
    let agreeing = theirs
        .iter()
        .filter(|(at, told)| {
            let near = ours
                .range(at.saturating_sub(SAME_MS)..=**at + SAME_MS)
                .next();
            let agreed = near.is_some_and(|(_, fix)| agrees(fix, told));
            if !agreed && std::env::var_os("CITY_NODE_SHOW").is_some() {
                println!("  {at}: {told:?}, ours {near:?}");
            }
            agreed
        })
        .count();
    (agreeing, theirs.len(), positions)
}

#[test]
fn our_epochs_are_those_of_gpsd() {
    let Some(folder) = data::gnss() else { return };
    let mut logs: Vec<_> = fs::read_dir(folder.join("gpsd"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    let mut wrong = Vec::new();
    for log in &logs {
        let name = log.file_name().unwrap().to_string_lossy();
        let (agreeing, epochs, positions) = compare(log);
        let known = KNOWN.iter().find(|(known, _)| *known == name);
        let (as_known, why) = match known.map(|(_, known)| known) {
            None => (false, "a new capture"),
            Some(Agrees(good, all)) => {
                let enough = good * 100 >= all * BAR_PERCENT && *all > 0;
                ((agreeing, epochs) == (*good, *all) && enough, "")
            }
            Some(Differs(good, all, why)) => {
                let too_few = good * 100 < all * BAR_PERCENT;
                ((agreeing, epochs) == (*good, *all) && too_few, *why)
            }
            Some(Out(why)) => (agreeing == 0 && positions == 0, *why),
            Some(Alone(all)) => (epochs == 0 && positions == *all, "no .chk"),
        };
        let found = format!("{agreeing} of {epochs} epochs agree, {positions} positions");
        println!("{name}: {found}; {why}");
        if !as_known {
            wrong.push(format!("{name}: {found}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "not as the table says:\n{}",
        wrong.join("\n")
    );
    assert_eq!(logs.len(), KNOWN.len(), "captures and rows of the table");
}

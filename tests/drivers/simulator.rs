//! What the simulator promises: a full fix at the point, and never mistaken for a real receiver.

use city_drivers::gnss::simulator::NOISE_E7;
use city_drivers::gnss::{
    Constellation, Fix, FixMode, Quality, Simulator, SimulatorConfig, replay,
};

/// The city hall of 金沢市.
const KANAZAWA: SimulatorConfig = SimulatorConfig {
    lat_e7: 365_610_000,
    lon_e7: 1_366_564_000,
    altitude_mm: 28_500,
    seed: 17_201,
};

/// 2026-11-20T23:59:50Z; midnight passes.
const START_MS: u64 = 1_795_219_190_000;

fn sentences(config: SimulatorConfig, seconds: u64) -> String {
    let mut simulator = Simulator::new(config);
    (0..seconds)
        .map(|s| simulator.epoch(START_MS + s * 1000))
        .collect()
}

fn fixes(text: &str) -> Vec<Fix> {
    replay::fixes(text.as_bytes())
        .map(|fix| fix.unwrap())
        .collect()
}

#[test]
fn every_epoch_is_a_full_fix_that_says_it_is_simulated() {
    let fixes = fixes(&sentences(KANAZAWA, 60));
    assert_eq!(fixes.len(), 60);
    for (second, fix) in (0..).zip(&fixes) {
        assert_eq!(fix.time_ms, Some(START_MS + second * 1000));
        assert_eq!(
            (fix.mode, fix.quality),
            (FixMode::ThreeD, Quality::Simulated)
        );
        assert_eq!(fix.satellites_used, 10);
        assert_eq!(fix.used_cn0().count(), 10);
        assert_eq!(fix.satellites_in_view(), 13);
        assert_eq!(
            fix.constellations_used(),
            [
                Constellation::Gps,
                Constellation::Glonass,
                Constellation::Qzss
            ]
        );
        let (lat_e7, lon_e7) = fix.position().unwrap();
        assert!((lat_e7 - KANAZAWA.lat_e7).abs() <= NOISE_E7);
        assert!((lon_e7 - KANAZAWA.lon_e7).abs() <= NOISE_E7);
        assert!((28_000..29_000).contains(&fix.altitude_mm.unwrap()));
        assert!((86..95).contains(&fix.hdop_centi.unwrap()));
        assert!(fix.speed_mm_s.unwrap() < 20);
    }
    // Neither position nor C/N0 is frozen, and the levels differ between satellites as in a real sky.
    assert!(
        fixes
            .windows(2)
            .any(|pair| pair[0].position() != pair[1].position())
    );
    let levels: Vec<_> = fixes[0].used_cn0().collect();
    assert!(
        levels.iter().max().unwrap() - levels.iter().min().unwrap() >= 6,
        "{levels:?}"
    );
}

#[test]
fn each_kind_of_position_sentence_is_marked() {
    let epoch = sentences(KANAZAWA, 1);
    for formatter in ["RMC", "GGA", "GNS"] {
        let only: String = epoch
            .split_inclusive("\r\n")
            .filter(|line| &line[3..6] == formatter || line[3..].starts_with("GSA"))
            .collect();
        let fixes = fixes(&only);
        assert_eq!(fixes.len(), 1, "{formatter}");
        assert_eq!(fixes[0].quality, Quality::Simulated, "{formatter}");
        assert!(fixes[0].position().is_some(), "{formatter}");
    }
    assert!(
        epoch.lines().all(|line| line.len() <= 82),
        "longer than NMEA 0183 allows:\n{epoch}"
    );
}

#[test]
fn the_seed_decides_all() {
    assert_eq!(sentences(KANAZAWA, 5), sentences(KANAZAWA, 5));
    let other = SimulatorConfig {
        seed: 17_203,
        ..KANAZAWA
    };
    assert_ne!(sentences(KANAZAWA, 5), sentences(other, 5));
}

#[test]
fn every_hemisphere_and_edge() {
    let extremes = [
        (0, 0),
        (-338_688_000, 1_512_093_000),
        (-5, -5),
        (899_999_990, -1_799_999_990),
        (-546_000_001, -683_000_003),
    ];
    for (lat_e7, lon_e7) in extremes {
        let config = SimulatorConfig {
            lat_e7,
            lon_e7,
            altitude_mm: -200,
            seed: 1,
        };
        for fix in fixes(&sentences(config, 3)) {
            let Some((lat, lon)) = fix.position() else {
                // Noise may lead over the pole, where no latitude is.
                assert!(lat_e7 > 899_999_800, "{lat_e7} {lon_e7}");
                continue;
            };
            assert!((lat - lat_e7).abs() <= NOISE_E7, "{lat} for {lat_e7}");
            assert!((lon - lon_e7).abs() <= NOISE_E7, "{lon} for {lon_e7}");
            assert!(fix.altitude_mm.unwrap() < 300);
        }
    }
}

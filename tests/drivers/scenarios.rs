//! What the simulator's scenarios promise to those who judge them: honest until the onset, then what their names say.

use city_drivers::gnss::scenario::ONSET;
use city_drivers::gnss::{Fix, FixMode, Play, Quality, Scenario, SimulatorConfig, replay};

const HAKUI: SimulatorConfig = SimulatorConfig {
    lat_e7: 368_936_000,
    lon_e7: 1_367_787_000,
    altitude_mm: 6_000,
    seed: 17_207,
};

/// 2026-11-20T12:00:00Z.
const START_MS: u64 = 1_795_176_000_000;

const EPOCHS: u32 = 120;

fn sentences(scenario: Scenario, seed: u64) -> String {
    let mut play = Play::new(scenario, SimulatorConfig { seed, ..HAKUI });
    (0..u64::from(EPOCHS))
        .filter_map(|second| play.epoch(START_MS + second * 1000))
        .collect()
}

fn fixes(scenario: Scenario) -> Vec<Fix> {
    replay::fixes(sentences(scenario, 1).as_bytes())
        .map(|fix| fix.unwrap())
        .collect()
}

/// The fixes before the onset, and those since.
fn halves(scenario: Scenario) -> (Vec<Fix>, Vec<Fix>) {
    let mut before = fixes(scenario);
    let since = before.split_off(usize::try_from(ONSET).unwrap());
    (before, since)
}

fn spread(fix: &Fix) -> u8 {
    let levels: Vec<_> = fix.used_cn0().collect();
    levels.iter().max().unwrap() - levels.iter().min().unwrap()
}

#[test]
fn the_seed_decides_all_and_every_position_is_marked() {
    for scenario in Scenario::ALL {
        let name = scenario.name();
        assert_eq!(name.parse(), Ok(scenario));
        assert_eq!(sentences(scenario, 5), sentences(scenario, 5), "{name}");
        assert_ne!(sentences(scenario, 5), sentences(scenario, 6), "{name}");
        let fixes = fixes(scenario);
        let all = if scenario == Scenario::Unplug {
            ONSET
        } else {
            EPOCHS
        };
        assert_eq!(fixes.len(), usize::try_from(all).unwrap(), "{name}");
        let mut placed = fixes.iter().filter(|fix| fix.position().is_some());
        assert!(
            placed.all(|fix| fix.quality == Quality::Simulated),
            "{name}"
        );
    }
    let error = "drag".parse::<Scenario>().unwrap_err();
    assert!(error.contains("drag-off"), "{error}");
}

#[test]
fn until_the_onset_the_attacks_are_an_open_sky() {
    let open = halves(Scenario::Unplug).0;
    for scenario in Scenario::ALL {
        let honest = !matches!(scenario, Scenario::ColdStart | Scenario::Urban);
        let before = halves(scenario).0;
        // The raw bytes are the same, too.
        assert_eq!(before == open, honest, "{}", scenario.name());
    }
}

#[test]
fn a_cold_start_finds_time_then_place() {
    let fixes = fixes(Scenario::ColdStart);
    assert_eq!(
        (fixes[9].time_ms, fixes[10].time_ms.is_some()),
        (None, true)
    );
    assert!(fixes[..30].iter().all(|fix| fix.mode == FixMode::None));
    assert_eq!(
        (fixes[30].mode, fixes[30].satellites_used),
        (FixMode::ThreeD, 4)
    );
    assert_eq!(fixes[119].satellites_used, 10);
}

#[test]
fn between_houses_it_is_weak_but_true() {
    for fix in fixes(Scenario::Urban) {
        assert!((5..=6).contains(&fix.satellites_used));
        assert!(fix.hdop_centi.unwrap() >= 210);
        assert!((fix.lat_e7.unwrap() - HAKUI.lat_e7).abs() <= 2_000);
        assert!(fix.used_cn0().max().unwrap() < 42);
    }
}

#[test]
fn a_jammer_drowns_the_signals() {
    let (_, since) = halves(Scenario::Jamming);
    let strongest = |fix: &Fix| fix.satellites.iter().filter_map(|s| s.cn0_dbhz).max();
    assert!(strongest(&since[0]) > strongest(&since[8]));
    assert!(since[20..].iter().all(|fix| fix.position().is_none()));
}

#[test]
fn attacks_on_the_position() {
    let north = |fix: &Fix| fix.lat_e7.unwrap() - HAKUI.lat_e7;
    let (before, since) = halves(Scenario::SpoofByJump);
    assert!(north(&before[59]).abs() <= 100 && north(&since[0]) > 400_000);
    let (_, since) = halves(Scenario::DragOff);
    // 60 seconds at five metres: 300 m, and the speed says that nothing moves.
    assert!((26_800..27_200).contains(&north(&since[59])));
    assert!(since.iter().all(|fix| fix.speed_mm_s.unwrap() < 20));
    let (before, since) = halves(Scenario::FrozenPosition);
    let last = &since[0];
    assert!(since.iter().all(|fix| fix.position() == last.position()));
    assert!(since.iter().all(|fix| fix.altitude_mm == last.altitude_mm));
    assert!(
        before
            .windows(2)
            .any(|pair| pair[0].position() != pair[1].position())
    );
}

#[test]
fn attacks_on_signals_and_time() {
    let (before, since) = halves(Scenario::FlatCn0);
    assert!(before.iter().all(|fix| spread(fix) >= 6));
    assert!(since.iter().all(|fix| spread(fix) == 0));
    let onset = START_MS + u64::from(ONSET) * 1000;
    let (_, since) = halves(Scenario::TimeJump);
    assert_eq!(since[0].time_ms, Some(onset + 120_000));
    let (_, since) = halves(Scenario::WeekRollover);
    assert_eq!(since[0].time_ms, Some(onset - 1024 * 7 * 86_400_000));
}

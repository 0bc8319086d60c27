//! Recorded files as the receiver: played once at their own pace, and what the receivers in them say in words.

use city_drivers::gnss::{
    AntennaState, Event, Protocol, ReceiverConfig, Simulator, SimulatorConfig, Source, run,
};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::timeout;

use crate::data::gnss;

/// Longer than any step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const START_MS: u64 = 1_795_219_190_000;

fn play(file: PathBuf) -> Receiver<Event> {
    let (events, received) = mpsc::channel(64);
    let config = ReceiverConfig {
        source: Source::Recording(file),
        ..ReceiverConfig::serial("", 9600)
    };
    tokio::spawn(run(config, events));
    received
}

async fn next(events: &mut Receiver<Event>) -> Event {
    let event = timeout(PATIENCE, events.recv()).await;
    event.expect("within the patience").expect("the task runs")
}

#[tokio::test]
async fn a_recording_is_played_once_at_its_own_pace() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("roof.nmea");
    let mut simulator = Simulator::new(SimulatorConfig {
        lat_e7: 364_085_000,
        lon_e7: 1_364_456_000,
        altitude_mm: 4_000,
        seed: 17_203,
    });
    let mut capture = "# Name: a roof in Komatsu\n".to_owned();
    for quarter in 0..5 {
        capture += &simulator.epoch(START_MS + quarter * 250);
    }
    std::fs::write(&file, capture).unwrap();
    let begun = Instant::now();
    let mut events = play(file.clone());
    assert_eq!(next(&mut events).await, Event::Connected);
    let heard = Event::Heard {
        device: format!("file:{}", file.display()),
        baud: None,
        protocol: Protocol::Nmea,
    };
    assert_eq!(next(&mut events).await, heard);
    for quarter in 0..5 {
        match next(&mut events).await {
            Event::Fix(fix) => assert_eq!(fix.time_ms, Some(START_MS + quarter * 250)),
            other => panic!("{other:?}"),
        }
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?} for a second");
    assert_eq!(next(&mut events).await, Event::Ended, "its last epoch too");
    let more = timeout(Duration::from_secs(3), events.recv()).await;
    assert!(more.is_err(), "it does not begin again: {more:?}");
}

#[tokio::test]
async fn a_recording_that_is_not_there_is_tried_again() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("roof.nmea");
    let mut events = play(file.clone());
    match next(&mut events).await {
        Event::Disconnected { reason, .. } => {
            assert!(
                reason.contains("roof.nmea") && reason.contains("gnss.device"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
    std::fs::write(&file, "no receiver\n").unwrap();
    while next(&mut events).await != Event::Connected {}
    while next(&mut events).await != Event::Ended {}
}

/// What a capture's receiver says at its beginning, until it has said something of its antenna.
async fn says(capture: &str) -> Option<(Vec<String>, AntennaState)> {
    let mut events = play(gnss()?.join(capture));
    let mut words = Vec::new();
    loop {
        if let Event::Notice(notice) = next(&mut events).await {
            words.push(format!("{}: {}", notice.severity.code(), notice.text));
            if let Some(antenna) = notice.antenna() {
                return Some((words, antenna));
            }
        }
    }
}

#[tokio::test]
async fn receivers_say_what_they_are_and_how_their_antenna_is() {
    // u-blox at its start.
    let Some((words, antenna)) = says("gpsd/ublox-neo-m8l.log").await else {
        return;
    };
    assert_eq!(antenna, AntennaState::Ok);
    for said in [
        "notice: HW UBX-M8030 00080000",
        "notice: PROTVER=19.20",
        "notice: MOD=NEO-M8L-0",
    ] {
        assert!(words.contains(&said.to_owned()), "{said}: {words:#?}");
    }
    // Quectel in each epoch.
    let (words, antenna) = says("gpsd/quectel-l76k-nmea.log").await.unwrap();
    assert_eq!(antenna, AntennaState::Ok);
    assert_eq!(words, ["warning: ANTENNA OK"]);
}

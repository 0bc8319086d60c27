//! The u-blox capture of 北杜市: NMEA and binary RXM frames on one line, 242 seconds on 26 May 2008.

use crate::data;
use city_drivers::gnss::{Fix, FixMode, Pty, Quality, ReceiverConfig, receiver, replay};
use tokio::sync::mpsc;

const CAPTURE: &str = "rtklib/ubx_20080526.ubx";

fn assert_is_hokuto(fixes: &[Fix]) {
    for fix in fixes {
        let (lat_e7, lon_e7) = fix.position().expect("the receiver had a fix all the time");
        assert!((lat_e7 - 358_729_000).abs() < 1_000, "{lat_e7}");
        assert!((lon_e7 - 1_383_898_000).abs() < 1_000, "{lon_e7}");
        assert_eq!(fix.mode, FixMode::ThreeD);
        assert_eq!(fix.quality, Quality::Differential); // MSAS
        assert!(
            (6..=10).contains(&fix.satellites_used),
            "{}",
            fix.satellites_used
        );
        assert!(fix.hdop_centi.is_some_and(|hdop| (90..200).contains(&hdop)));
        assert!(
            fix.altitude_mm
                .is_some_and(|mm| (940_000..970_000).contains(&mm))
        );
        assert!(fix.used_cn0().all(|cn0| (25..=55).contains(&cn0)));
        assert!(fix.satellites_in_view() >= usize::from(fix.satellites_used));
    }
    let times: Vec<_> = fixes.iter().filter_map(|fix| fix.time_ms).collect();
    assert!(
        times.windows(2).all(|pair| pair[1] == pair[0] + 1000),
        "one a second"
    );
}

#[test]
fn every_second_is_one_fix() {
    let Some(bytes) = data::capture(CAPTURE) else {
        return;
    };
    let fixes: Vec<_> = replay::fixes(&bytes[..]).map(|fix| fix.unwrap()).collect();
    assert!((240..=243).contains(&fixes.len()), "{} fixes", fixes.len());
    assert_is_hokuto(&fixes);
    // 2008-05-26T05:59:11Z
    assert_eq!(fixes[0].time_ms, Some(1_211_781_551_000));
    assert_eq!(fixes[0].position(), Some((358_729_082, 1_383_897_868)));
    assert_eq!(fixes[0].altitude_mm, Some(956_100));
    assert_eq!(fixes[0].speed_mm_s, Some(30));
    assert_eq!(fixes[0].satellites_used, 8);
    assert_eq!(
        fixes[0].constellations_used(),
        [city_drivers::gnss::Constellation::Gps]
    );
}

#[tokio::test]
async fn the_same_through_a_pseudo_terminal() {
    let Some(bytes) = data::capture(CAPTURE) else {
        return;
    };
    let expected: Vec<_> = replay::fixes(&bytes[..]).map(|fix| fix.unwrap()).collect();
    let pty = Pty::open().unwrap();
    let config = ReceiverConfig::serial(pty.path(), 115_200);
    let (events, mut received) = mpsc::channel(16);
    tokio::spawn(receiver::run(config, events));
    let player = tokio::spawn(async move {
        let mut pty = pty;
        replay::play(&bytes[..], &mut pty).await.unwrap();
        pty
    });
    let mut fixes = Vec::new();
    // The last epoch has no successor that would end it, but by then its last sentence is known.
    while fixes.len() < expected.len() - 1 {
        if let receiver::Event::Fix(fix) = received.recv().await.unwrap() {
            fixes.push(fix);
        }
    }
    assert_eq!(fixes, expected[..fixes.len()]);
    drop(player.await.unwrap());
}

#[test]
fn a_reader_that_fails_is_reported_once() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let mut fixes = replay::fixes(Broken);
    assert!(fixes.next().unwrap().is_err());
    assert!(fixes.next().is_none());
}

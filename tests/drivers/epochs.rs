//! When an epoch is complete, what is joined in it, and what is never carried over.

use city_drivers::gnss::{Decoder, Fix, FixMode, Quality};

/// Pushes sentence bodies (checksums are added) and gives the fixes each one completed.
fn completed(decoder: &mut Decoder, bodies: &[&str]) -> Vec<Fix> {
    let mut fixes = Vec::new();
    for body in bodies {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        decoder.push(format!("${body}*{sum:02X}\r\n").as_bytes(), |fix| {
            fixes.push(fix);
        });
    }
    fixes
}

fn all(bodies: &[&str]) -> Vec<Fix> {
    let mut decoder = Decoder::new();
    let mut fixes = completed(&mut decoder, bodies);
    decoder.finish(|fix| fixes.push(fix));
    fixes
}

fn rmc(time: &str) -> String {
    format!("GPRMC,{time},A,3633.66,N,13639.38,E,0.1,,201126,,,A")
}

fn gga(time: &str) -> String {
    format!("GPGGA,{time},3633.66,N,13639.38,E,1,08,0.9,28.5,M,37.0,M,,")
}

const GSA: &str = "GPGSA,A,3,05,09,12,14,15,18,22,26,,,,,1.6,0.9,1.3";

#[test]
fn from_the_third_epoch_on_the_last_sentence_ends_it() {
    let mut decoder = Decoder::new();
    for second in 0..6 {
        let time = format!("12000{second}.00");
        let early = completed(&mut decoder, &[&rmc(&time), &gga(&time)]);
        // The first two are ended by their successors.
        assert_eq!(
            early.len(),
            usize::from(second == 1 || second == 2),
            "second {second}"
        );
        let last = completed(&mut decoder, &[GSA]);
        assert_eq!(last.len(), usize::from(second >= 2), "second {second}");
    }
}

#[test]
fn a_sentence_that_comes_late_makes_it_learn_again() {
    let mut decoder = Decoder::new();
    let mut fixes = Vec::new();
    for second in 0..4 {
        let time = format!("12000{second}.00");
        fixes.extend(completed(&mut decoder, &[&rmc(&time), &gga(&time)]));
    }
    // The receiver is told to send GLL too, after the sentence that used to be last.
    for second in 4..9 {
        let time = format!("12000{second}.00");
        let gll = format!("GPGLL,3633.66,N,13639.38,E,{time},A,A");
        fixes.extend(completed(&mut decoder, &[&rmc(&time), &gga(&time), &gll]));
    }
    decoder.finish(|fix| fixes.push(fix));
    let times: Vec<_> = fixes
        .iter()
        .map(|fix| fix.time_ms.unwrap() / 1000 % 60)
        .collect();
    assert_eq!(
        times,
        [0, 1, 2, 3, 4, 5, 6, 7, 8],
        "no epoch twice, none lost"
    );
    assert!(String::from_utf8_lossy(&fixes[7].raw).contains("GLL"));
}

#[test]
fn without_a_time_a_repeated_sentence_starts_the_next() {
    let no_fix = [
        "GPRMC,,V,,,,,,,,,,N",
        "GPGGA,,,,,,0,00,99.99,,,,,,",
        "GPGSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99",
    ];
    let fixes = all(&[no_fix, no_fix, no_fix].concat());
    assert_eq!(fixes.len(), 3);
    assert!(
        fixes
            .iter()
            .all(|fix| fix.mode == FixMode::None && fix.time_ms.is_none())
    );
}

#[test]
fn a_clock_that_stands_still_still_gives_epochs() {
    let time = "120000.00";
    let (rmc, gga) = (rmc(time), gga(time));
    let fixes = all(&[rmc.as_str(), gga.as_str()].repeat(5));
    assert_eq!(fixes.len(), 5);
}

#[test]
fn the_date_goes_on_over_midnight_when_only_the_time_is_sent() {
    let fixes = all(&[
        &rmc("235959.00"),
        &gga("235959.00"),
        &gga("000000.00"),
        &gga("000001.00"),
    ]);
    // 2026-11-20T23:59:59Z and on.
    let times: Vec<_> = fixes.iter().map(|fix| fix.time_ms.unwrap()).collect();
    assert_eq!(
        times,
        [1_795_219_199_000, 1_795_219_200_000, 1_795_219_201_000]
    );
    assert_eq!(
        all(&[&gga("000000.00")])[0].time_ms,
        None,
        "no date, no time"
    );
}

#[test]
fn a_position_is_only_taken_when_nobody_denies_it() {
    let denied = |bodies: &[&str]| {
        let fixes = all(bodies);
        assert_eq!(
            (fixes.len(), fixes[0].mode, fixes[0].position()),
            (1, FixMode::None, None),
            "{bodies:?}"
        );
        assert_eq!(fixes[0].quality, Quality::Invalid);
    };
    denied(&[
        &rmc("120000.00").replace(",A,3633", ",V,3633"),
        &gga("120000.00"),
    ]);
    denied(&[&rmc("120000.00"), &gga("120000.00").replace("E,1,", "E,0,")]);
    denied(&[
        &rmc("120000.00"),
        &gga("120000.00"),
        "GPGSA,A,1,,,,,,,,,,,,,,,",
    ]);
}

#[test]
fn one_simulated_sentence_marks_the_epoch() {
    let fixes = all(&[&rmc("120000.00").replace(",,,A", ",,,S"), &gga("120000.00")]);
    assert_eq!(
        (fixes[0].quality, fixes[0].mode),
        (Quality::Simulated, FixMode::ThreeD)
    );
    let fixes = all(&[&rmc("120000.00"), &gga("120000.00").replace("E,1,", "E,7,")]);
    assert_eq!(fixes[0].quality, Quality::Manual);
}

#[test]
fn satellites_are_those_of_the_epoch_alone() {
    let gsv = "GPGSV,1,1,02,05,61,164,47,31,10,020,";
    let fixes = all(&[
        &rmc("120000.00"),
        &gga("120000.00"),
        GSA,
        gsv,
        &rmc("120001.00"),
        &gga("120001.00"),
        GSA,
    ]);
    let seen = |fix: &Fix| fix.satellites.iter().filter_map(|s| s.cn0_dbhz).count();
    assert_eq!((fixes[0].satellites.len(), seen(&fixes[0])), (9, 1));
    assert_eq!((fixes[1].satellites.len(), seen(&fixes[1])), (8, 0));
    assert!(fixes[0].satellites.iter().any(|s| s.id == 31 && !s.used));
}

#[test]
fn accuracy_comes_from_gst() {
    let fixes = all(&[&rmc("120000.00"), "GPGST,120000.00,1.2,,,,3.0,4.0,5.0"]);
    assert_eq!(fixes[0].accuracy_mm, Some(5000));
    assert_eq!(fixes[0].mode, FixMode::TwoD, "RMC alone knows no altitude");
}

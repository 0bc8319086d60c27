//! When an epoch is complete, what is joined in it, and what is never carried over.

use city_drivers::gnss::{Constellation, Decoder, Fix, FixMode, Quality, Spoofing};

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
fn satellites_stand_where_gsv_says() {
    let gsv = "GPGSV,1,1,04,05,61,164,47,31,,,,09,00,360,,12,95,400,30";
    let fixes = all(&[&rmc("120000.00"), &gga("120000.00"), GSA, gsv]);
    let stands = |id| {
        let seen = fixes[0].satellites.iter().find(|s| s.id == id).unwrap();
        (seen.elevation_deg, seen.azimuth_deg)
    };
    assert_eq!(
        stands(5),
        (Some(61), Some(164)),
        "GSA names it, GSV places it"
    );
    assert_eq!(stands(31), (None, None), "the receiver does not say");
    assert_eq!(stands(9), (Some(0), Some(0)), "360 is north");
    assert_eq!(stands(12), (None, None), "no such direction");
    assert_eq!(stands(14), (None, None), "used, and not listed");
}

#[test]
fn accuracy_comes_from_gst() {
    let fixes = all(&[&rmc("120000.00"), "GPGST,120000.00,1.2,,,,3.0,4.0,5.0"]);
    assert_eq!(fixes[0].accuracy_mm, Some(5000));
    assert_eq!(fixes[0].mode, FixMode::TwoD, "RMC alone knows no altitude");
}

#[test]
fn sentences_that_disagree_about_the_position_are_seen() {
    let apart = |bodies: &[&str]| all(bodies)[0].sentences_apart_e7;
    assert_eq!(apart(&[&rmc("120000.00")]), None, "one position");
    assert_eq!(apart(&[&rmc("120000.00"), &gga("120000.00")]), Some(0));
    // 0.06' north are 1e-3 degrees; west of the RMC and east of the GGA stands the GLL.
    let moved = gga("120000.00").replace("3633.66", "3633.72");
    let gll = "GPGLL,3633.66,N,13639.32,E,120000.00,A,A";
    assert_eq!(apart(&[&rmc("120000.00"), &moved]), Some(10_000));
    assert_eq!(
        apart(&[
            &rmc("120000.00"),
            &gga("120000.00").replace("13639.38", "13639.44"),
            gll
        ]),
        Some(20_000)
    );
    // Over the antimeridian the short way counts.
    assert_eq!(
        apart(&[
            &rmc("120000.00").replace("13639.38,E", "17959.97,E"),
            &gga("120000.00").replace("13639.38,E", "17959.97,W"),
        ]),
        Some(10_000)
    );
    let denied = gga("120000.00").replace("E,1,", "E,0,");
    assert_eq!(apart(&[&rmc("120000.00"), &denied]), None, "no fix");
}

#[test]
fn signals_of_one_satellite_are_told_apart() {
    let fixes = all(&[
        &rmc("120000.00"),
        GSA,
        "GPGSV,1,1,02,05,61,164,47,31,10,020,,1",
        "GPGSV,1,1,01,05,61,164,41,8",
    ]);
    let signals: Vec<_> = fixes[0]
        .signals
        .iter()
        .map(|s| (s.constellation, s.satellite, s.signal, s.cn0_dbhz))
        .collect();
    assert_eq!(
        signals,
        [
            (Constellation::Gps, 5, 1, 47),
            (Constellation::Gps, 5, 8, 41)
        ]
    );
    assert_eq!(fixes[0].used_of(Constellation::Gps), (8, vec![47]));
    assert_eq!(fixes[0].used_of(Constellation::Galileo), (0, vec![]));
}

fn ubx(class: u8, id: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_le_bytes();
    let body = [&[class, id], &len[..], payload].concat();
    let (a, b) = body.iter().fold((0_u8, 0_u8), |(a, b), byte| {
        let a = a.wrapping_add(*byte);
        (a, b.wrapping_add(a))
    });
    [&[0xB5, 0x62], &body[..], &[a, b]].concat()
}

/// NAV-PVT of this second: a 3D fix at 金沢市.
fn pvt(itow: u32) -> Vec<u8> {
    let mut payload = vec![0; 92];
    let mut put = |at: usize, bytes: &[u8]| payload[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &itow.to_le_bytes());
    put(4, &2026_u16.to_le_bytes());
    let second = u8::try_from(itow / 1000 % 60).unwrap();
    put(6, &[11, 21, 0, 0, second, 0x07]);
    put(20, &[3, 0x01, 0, 11]);
    put(24, &1_366_564_000_i32.to_le_bytes());
    put(28, &365_610_000_i32.to_le_bytes());
    ubx(0x01, 0x07, &payload)
}

/// NAV-STATUS of this second with this spoofDetState.
fn nav_status(itow: u32, state: u8) -> Vec<u8> {
    let mut payload = vec![0; 16];
    payload[..4].copy_from_slice(&itow.to_le_bytes());
    payload[4..8].copy_from_slice(&[3, 0x0D, 0, state << 3]);
    ubx(0x01, 0x03, &payload)
}

/// spoofDetState says so at the transition only: it must not go with an epoch whose solution was lost on the line.
#[test]
fn what_is_said_of_spoofing_outlives_an_epoch_without_a_solution() {
    let mut damaged = pvt(2000);
    damaged[40] ^= 1;
    let stream = [
        nav_status(1000, 1),
        pvt(1000),
        nav_status(2000, 2),
        damaged,
        nav_status(3000, 1),
        pvt(3000),
        nav_status(4000, 1),
        pvt(4000),
    ]
    .concat();
    let mut decoder = Decoder::new();
    let mut fixes = Vec::new();
    decoder.push(&stream, |fix| fixes.push(fix));
    decoder.finish(|fix| fixes.push(fix));
    let said: Vec<_> = fixes.iter().map(|fix| fix.spoofing).collect();
    let (none, indicated) = (Some(Spoofing::NoneIndicated), Some(Spoofing::Indicated));
    assert_eq!(said, [none, indicated, none]);
}

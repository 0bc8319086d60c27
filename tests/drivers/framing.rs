//! Framing: what is a sentence, what is a UBX frame, what is noise, at every way to cut the stream.

use crate::data;
use city_drivers::gnss::{Counters, Decoder, Fix, Framer, MAX_NMEA_SENTENCE};
use proptest::test_runner::{Config, RngSeed, TestRunner};

const GLL: &str = "$GPGLL,3552.37449,N,13823.38721,E,055911.00,A,D*6D";

fn ubx(class: u8, id: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xB5, 0x62];
    frame.extend([class, id]);
    frame.extend(u16::try_from(payload.len()).unwrap().to_le_bytes());
    frame.extend(payload);
    let sums = frame[2..].iter().fold([0_u8; 2], |[a, b], &byte| {
        let a = a.wrapping_add(byte);
        [a, b.wrapping_add(a)]
    });
    frame.extend(sums);
    frame
}

/// Frames as text, and the counters, at every way to cut the stream into equal reads.
fn check(stream: &[u8], expected: &[&str], noise_bytes: u64, bad_checksums: u64) {
    for size in 1..=stream.len().min(70) {
        let mut framer = Framer::new();
        let mut found = Vec::new();
        for read in stream.chunks(size) {
            framer.push(read, |f| found.push(format!("{f:?}")));
        }
        framer.finish(|f| found.push(format!("{f:?}")));
        assert_eq!(found, expected, "reads of {size} bytes");
        assert_eq!(
            framer.counters().noise_bytes,
            noise_bytes,
            "reads of {size}"
        );
        assert_eq!(framer.counters().bad_checksums, bad_checksums, "{size}");
    }
}

fn nmea(text: &str) -> String {
    format!("Nmea({text})")
}

#[test]
fn sentences_with_and_without_line_ends() {
    check(
        format!("{GLL}\r\n{GLL}{GLL}\n").as_bytes(),
        &[&*nmea(GLL); 3],
        0,
        0,
    );
}

#[test]
fn lower_case_checksum() {
    let lower = GLL.replace("6D", "6d");
    check(lower.as_bytes(), &[&nmea(&lower)], 0, 0);
}

#[test]
fn a_cut_sentence_does_not_take_the_next_with_it() {
    check(
        format!("$GPRMC,0307{GLL}\r\n").as_bytes(),
        &[&nmea(GLL)],
        11,
        0,
    );
}

#[test]
fn a_flipped_bit_is_a_bad_checksum() {
    let bad = GLL.replace("3552", "3553");
    check(
        format!("{bad}\r\n{GLL}\r\n").as_bytes(),
        &[&nmea(GLL)],
        50,
        1,
    );
}

#[test]
fn checksums_may_be_absent_until_one_was_seen() {
    let old = "$GPGLL,3552.37449,N,13823.38721,E";
    let many = format!("{old}\r\n").repeat(18);
    let noise = 16 * old.len() as u64;
    check(many.as_bytes(), &[&*nmea(old); 2], noise, 0);
    let stream = format!("{many}{GLL}\r\n{old}\r\n");
    let expected = [&*nmea(old), &nmea(old), &nmea(GLL)];
    check(stream.as_bytes(), &expected, noise + old.len() as u64, 0);
}

#[test]
fn dollar_inside_a_binary_payload_is_payload() {
    let mut stream = ubx(0x02, 0x10, GLL.as_bytes());
    stream.extend(GLL.as_bytes());
    check(&stream, &["Ubx(02 10, 50 bytes)", &nmea(GLL)], 0, 0);
}

#[test]
fn ubx_sync_in_noise_loses_nothing_within() {
    // The false header promises 200 bytes; a sentence and a real frame stand inside them.
    let mut stream = vec![0xB5, 0x62, 0x01, 0x07, 200, 0];
    stream.extend(GLL.as_bytes());
    stream.extend(ubx(0x0A, 0x04, b"x"));
    check(&stream, &[&nmea(GLL), "Ubx(0a 04, 1 bytes)"], 6, 0);
    stream.resize(208, 0);
    check(
        &stream,
        &[&nmea(GLL), "Ubx(0a 04, 1 bytes)"],
        6 + 208 - 6 - 50 - 9,
        1,
    );
}

#[test]
fn over_long_lines_and_lengths_are_stepped_over() {
    let mut stream = b"$GPTXT,".to_vec();
    stream.resize(5 * MAX_NMEA_SENTENCE, b'A');
    stream.extend(GLL.as_bytes());
    check(&stream, &[&nmea(GLL)], 5 * MAX_NMEA_SENTENCE as u64, 0);
    let mut stream = vec![0xB5, 0x62, 0x01, 0x07, 0xFF, 0xFF];
    stream.extend(GLL.as_bytes());
    check(&stream, &[&nmea(GLL)], 6, 0);
}

#[test]
fn an_impossible_length_holds_nothing_back() {
    let mut framer = Framer::new();
    let mut found = Vec::new();
    framer.push(&[0xB5, 0x62, 0x01, 0x07, 0x01, 0x10], |_| {});
    framer.push(GLL.as_bytes(), |f| found.push(format!("{f:?}")));
    assert_eq!(
        found,
        [nmea(GLL)],
        "without waiting for the end of the stream"
    );
}

fn decoded<'a>(reads: impl Iterator<Item = &'a [u8]>) -> (Vec<Fix>, Counters) {
    let mut decoder = Decoder::new();
    let mut fixes = Vec::new();
    for read in reads {
        decoder.push(read, |fix| fixes.push(fix));
    }
    decoder.finish(|fix| fixes.push(fix));
    (fixes, decoder.counters())
}

/// Captures that hold sentences and UBX frames, or frames cut by a bad line, and the epochs in them.
const MIXED: [(&str, usize); 5] = [
    ("gpsd/ublox8-uniqid-monhw.log", 8),
    ("gpsd/ublox-neo-m8l.log", 19),
    ("pyubx2/pygpsdata-MIXED.log", 39),
    ("pyubx2/pygpsdata-MIXED3BADCK.log", 2),
    ("rtklib/ubx_20080526.ubx", 242),
];

/// Any split of the byte stream gives the same epochs, in content and in order.
#[test]
fn any_split_of_a_mixed_capture_gives_the_same_epochs() {
    for (path, epochs) in MIXED {
        let Some(bytes) = data::capture(path) else {
            return;
        };
        let whole = decoded(std::iter::once(&bytes[..]));
        assert_eq!(whole.0.len(), epochs, "{path}");
        let config = Config {
            cases: 24,
            rng_seed: RngSeed::Fixed(data::seed()),
            failure_persistence: None,
            ..Config::default()
        };
        // A read of 0 bytes is one, too.
        let longest = proptest::sample::select(vec![1_usize, 2, 7, 100, 5000, 40_000]);
        let reads = (
            longest,
            proptest::collection::vec(proptest::num::usize::ANY, 64),
        );
        TestRunner::new(config)
            .run(&reads, |(longest, lengths)| {
                let mut rest = &bytes[..];
                let mut lengths = lengths.iter().cycle();
                let split = std::iter::from_fn(|| {
                    let len = lengths.next()? % (longest + 1);
                    let (read, after) = rest.split_at(len.min(rest.len()));
                    let more = !rest.is_empty();
                    rest = after;
                    more.then_some(read)
                });
                let found = decoded(split);
                proptest::prop_assert!(found == whole, "{path} in reads of up to {longest}");
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

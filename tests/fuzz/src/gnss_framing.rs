//! A receiver's bytes: framing, sentences, UBX messages, epochs. The answer depends on the bytes alone, never
//! on how they were cut into reads; every byte is in a frame, a line end or counted as noise; what comes out
//! is a place on this planet and no longer than its limits.

use arbitrary::{Arbitrary, Unstructured};
use city_drivers::gnss::{
    Counters, Decoder, Fix, Framer, MAX_NMEA_SENTENCE, MAX_RAW_EPOCH, MAX_SATELLITES,
    MAX_UBX_PAYLOAD, Simulator, SimulatorConfig,
};

use crate::edits::{Edit, Input, apply};
use crate::memory;

/// What a decoder may hold at once: its buffer and two epochs, each with as much again while they grow.
const MEMORY: usize = 256 * 1024;

/// Something on the line.
#[derive(Arbitrary, Debug)]
enum Part<'a> {
    /// A sentence with its true checksum, its body in the letters of NMEA 0183.
    Sentence(u8, u8, &'a [u8]),
    /// A UBX frame with its true checksum.
    Ubx(u8, u8, &'a [u8]),
    /// An epoch of the simulator, with changes that break it.
    Epoch(u16, Vec<Edit>),
    /// Anything.
    Noise(&'a [u8]),
}

const TALKERS: [&str; 8] = ["GP", "GN", "GL", "GA", "GB", "BD", "GQ", "QZ"];
const FORMATTERS: [&str; 10] = [
    "RMC", "GGA", "GNS", "GLL", "GSA", "GSV", "VTG", "ZDA", "GST", "TXT",
];
const LETTERS: &[u8; 32] = b"0123456789,,,,..-NSEWAVDMR012345";
/// Class and id of the messages that are read, and one that is not.
const MESSAGES: [(u8, u8); 10] = [
    (0x01, 0x07),
    (0x01, 0x35),
    (0x01, 0x03),
    (0x01, 0x43),
    (0x0a, 0x38),
    (0x01, 0x61),
    (0x01, 0x04),
    (0x0a, 0x09),
    (0x27, 0x09),
    (0x02, 0x15),
];

/// Runs the target.
pub fn run(data: &[u8]) {
    match Input::of(data) {
        Some(Input::Raw(bytes)) => check(bytes, bytes.first().copied().unwrap_or(0)),
        Some(Input::Story(story)) => drop(tell(story)),
        None => {}
    }
}

/// Runs the target `nmea`: the lines of the input as sentences under true checksums, so that every byte reaches a parser.
pub fn run_nmea(data: &[u8]) {
    let mut line = Vec::new();
    for body in data.split(|&b| b == b'\n') {
        let body: Vec<u8> = body
            .iter()
            .copied()
            .filter(|b| (b' '..=b'~').contains(b) && !b"$*".contains(b))
            .collect();
        let sum = body.iter().fold(0, |sum, byte| sum ^ byte);
        line.push(b'$');
        line.extend(body);
        line.extend(format!("*{sum:02X}\r\n").into_bytes());
    }
    check(&line, data.first().copied().unwrap_or(0));
}

/// Runs the target `ubx`: payloads of the messages that are read, as frames under true checksums. Each begins with a byte for the
/// message and one for its length, up to 1,020 bytes.
pub fn run_ubx(data: &[u8]) {
    let mut line = Vec::new();
    let mut rest = data;
    while let [message, len, after @ ..] = rest {
        let (class, id) = MESSAGES[usize::from(*message) % MESSAGES.len()];
        let (payload, after) = after.split_at((4 * usize::from(*len)).min(after.len()));
        line.extend(ubx(class, id, payload));
        rest = after;
    }
    check(&line, data.first().copied().unwrap_or(0));
}

/// Inputs for `nmea` to begin with: the simulator's sentences, without what is put around them.
#[must_use]
pub fn nmea_seeds() -> Vec<Vec<u8>> {
    let bodies = |epoch: String| {
        let bodies = epoch.lines().filter_map(|line| line[1..].split('*').next());
        bodies.collect::<Vec<_>>().join("\n").into_bytes()
    };
    let mut seeds: Vec<_> = (0..3).map(|second| bodies(epoch(second))).collect();
    seeds.push(b"GPGSV,4,2,12,17,30,269,30,19,,,13,21,19,157,39,22,58,098,35,1".to_vec());
    seeds.push(b"PQGSA,A,3,12,,,,,,,,,,,,1.2,0.9,0.9,4".to_vec());
    seeds
}

/// Inputs for `ubx` to begin with: an empty message of each kind, in the length that it has.
#[must_use]
pub fn ubx_seeds() -> Vec<Vec<u8>> {
    let lengths = [92, 20, 16, 24, 28, 4, 20, 60, 12, 16];
    let one = |message: u8, len: u8| {
        let mut seed = vec![message, len / 4];
        seed.resize(2 + usize::from(len), 1);
        seed
    };
    (0..)
        .zip(lengths)
        .map(|(message, len)| one(message, len))
        .collect()
}

/// Inputs to begin with.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let epochs = (0..3).map(|second| epoch(second).into_bytes());
    let mut seeds: Vec<_> = epochs.clone().map(|bytes| Input::raw(&bytes)).collect();
    seeds.push(Input::raw(&epochs.collect::<Vec<_>>().concat()));
    seeds.push(Input::raw(&ubx(0x01, 0x07, &[0; 92])));
    seeds.push(Input::raw(&ubx(0x01, 0x35, &[0; 8 + 12 * 4])));
    seeds.push(Input::raw(
        b"$GPGLL,3552.37449,N,13823.38721,E,055911.00,A,D*6D\r\n",
    ));
    seeds
}

fn tell(mut story: Unstructured<'_>) -> arbitrary::Result<()> {
    let cut = story.arbitrary()?;
    let parts: Vec<Part<'_>> = story.arbitrary()?;
    let mut line = Vec::new();
    for part in parts {
        match part {
            Part::Sentence(talker, formatter, body) => {
                let mut sentence = String::from(TALKERS[usize::from(talker) % TALKERS.len()]);
                sentence += FORMATTERS[usize::from(formatter) % FORMATTERS.len()];
                sentence.push(',');
                let letter = |byte: &u8| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]);
                sentence.extend(body.iter().map(letter));
                let sum = sentence.bytes().fold(0, |sum, byte| sum ^ byte);
                line.extend(format!("${sentence}*{sum:02X}\r\n").into_bytes());
            }
            Part::Ubx(message, fill, payload) => {
                let (class, id) = MESSAGES[usize::from(message) % MESSAGES.len()];
                let mut payload = payload[..payload.len().min(MAX_UBX_PAYLOAD)].to_vec();
                // The lengths that NAV-PVT and NAV-SAT really have, more often than by chance.
                if fill & 1 == 0 {
                    payload.resize(
                        if id == 0x07 {
                            92
                        } else {
                            8 + 12 * usize::from(fill / 8)
                        },
                        fill,
                    );
                }
                line.extend(ubx(class, id, &payload));
            }
            Part::Epoch(second, edits) => {
                let mut bytes = epoch(u64::from(second)).into_bytes();
                apply(&mut bytes, &edits);
                line.extend(bytes);
            }
            Part::Noise(bytes) => line.extend(bytes),
        }
    }
    check(&line, cut);
    Ok(())
}

fn check(line: &[u8], cut: u8) {
    let (whole, counted) = memory::within(MEMORY + 4 * line.len(), || decode([line]));
    for fix in &whole {
        plausible(fix);
    }
    let size = 1 + usize::from(cut);
    assert_eq!(
        decode(line.chunks(size)),
        (whole, counted),
        "reads of {size} bytes"
    );
    every_byte_is_accounted_for(line);
}

fn decode<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Fix>, (Counters, u64)) {
    let mut decoder = Decoder::new();
    let mut fixes = Vec::new();
    for read in reads {
        decoder.push(read, |fix| fixes.push(fix));
    }
    decoder.finish(|fix| fixes.push(fix));
    (fixes, (decoder.counters(), decoder.refused()))
}

fn plausible(fix: &Fix) {
    assert!(fix.satellites.len() <= MAX_SATELLITES);
    assert!(fix.raw.len() <= MAX_RAW_EPOCH);
    assert_eq!(fix.lat_e7.is_some(), fix.lon_e7.is_some(), "both or none");
    if let Some((lat, lon)) = fix.position() {
        assert!(
            lat.abs() <= 900_000_000 && lon.abs() <= 1_800_000_000,
            "{lat} {lon}"
        );
    }
    let mut names: Vec<_> = fix
        .satellites
        .iter()
        .map(|s| (s.constellation, s.id))
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), fix.satellites.len(), "each satellite once");
}

fn every_byte_is_accounted_for(line: &[u8]) {
    let mut framer = Framer::new();
    let mut framed = Vec::new();
    let take = |raw: &[u8], framed: &mut Vec<u8>| {
        assert!(raw.len() <= MAX_NMEA_SENTENCE.max(MAX_UBX_PAYLOAD + 8) + 2);
        framed.extend_from_slice(raw);
    };
    framer.push(line, |frame| take(frame.raw(), &mut framed));
    framer.finish(|frame| take(frame.raw(), &mut framed));
    let ends = |bytes: &[u8]| {
        bytes
            .iter()
            .filter(|b| matches!(**b, b'\r' | b'\n'))
            .count()
    };
    let plain = line.len() - ends(line);
    let in_frames = framed.len() - ends(&framed);
    let noise = usize::try_from(framer.counters().noise_bytes).expect("as long as the line");
    assert_eq!(noise + in_frames, plain);
    // Frames stand in the line in their order.
    let mut rest = line.iter();
    assert!(framed.iter().all(|byte| rest.any(|other| other == byte)));
}

fn ubx(class: u8, id: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xB5, 0x62, class, id];
    let len = u16::try_from(payload.len()).expect("bounded by the caller");
    frame.extend(len.to_le_bytes());
    frame.extend(payload);
    let sums = frame[2..].iter().fold([0_u8; 2], |[a, b], byte| {
        let a = a.wrapping_add(*byte);
        [a, b.wrapping_add(a)]
    });
    frame.extend(sums);
    frame
}

/// One second of a receiver that stands in 金沢市.
fn epoch(second: u64) -> String {
    let config = SimulatorConfig {
        lat_e7: 365_613_000,
        lon_e7: 1_366_562_000,
        altitude_mm: 28_000,
        seed: 1,
    };
    Simulator::new(config).epoch(1_774_828_800_000 + second * 1000)
}

//! Noise, cuts and flipped bits: nothing panics, nothing valid is lost, nothing broken is believed.

use crate::data;
use city_drivers::gnss::{Decoder, Fix, MAX_RAW_EPOCH, MAX_SATELLITES, Simulator, SimulatorConfig};

/// Sebastiano Vigna's xorshift64*: enough to be hostile with.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[7]).collect()
    }
}

fn decode(reads: impl IntoIterator<Item = impl AsRef<[u8]>>) -> (Vec<Fix>, Decoder) {
    let mut decoder = Decoder::new();
    let mut fixes = Vec::new();
    for read in reads {
        decoder.push(read.as_ref(), |fix| fixes.push(fix));
    }
    decoder.finish(|fix| fixes.push(fix));
    (fixes, decoder)
}

fn simulated_sentences(seconds: u64, seed: u64) -> Vec<String> {
    let config = SimulatorConfig {
        lat_e7: 364_025_000,
        lon_e7: 1_364_456_000,
        altitude_mm: 5_000,
        seed,
    };
    let mut simulator = Simulator::new(config);
    (0..seconds)
        .flat_map(|s| {
            let epoch = simulator.epoch(1_795_219_190_000 + s * 1000);
            epoch
                .split_inclusive('\n')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Noise as lines carry it: binary, false sync bytes with plausible headers, cut sentences, over-long text.
fn noise(random: &mut Random) -> Vec<u8> {
    match random.below(5) {
        0 => {
            let len = random.below(300);
            random.bytes(len)
        }
        1 => vec![0xB5, 0x62, 0x01, 0x07, random.next().to_le_bytes()[3], 0],
        2 => b"$GNGGA,120000.00,3624.1".to_vec(),
        3 => {
            let mut line = b"$GPTXT,".to_vec();
            line.resize(line.len() + random.below(4000), b'x');
            line
        }
        _ => vec![b'$'; random.below(20)],
    }
}

#[test]
fn noise_between_sentences_loses_no_epoch() {
    let mut random = Random(data::seed());
    let mut accidents = 0;
    for round in 0..30 {
        let sentences = simulated_sentences(20, random.next());
        let (clean, _) = decode(&sentences);
        assert_eq!(clean.len(), 20);
        let mut stream = Vec::new();
        for sentence in &sentences {
            stream.extend(noise(&mut random));
            // A line end, as after any cut: else "$GP" of the noise could run into what follows.
            stream.extend(b"\r\n");
            stream.extend(sentence.as_bytes());
        }
        let (found, decoder) = decode([&stream]);
        if decoder.counters().ubx > 0 {
            // One false UBX header in 65,536 finds a checksum that fits, and takes the sentences within.
            accidents += 1;
            continue;
        }
        let times = |fixes: &[Fix]| fixes.iter().map(|fix| fix.time_ms).collect::<Vec<_>>();
        assert_eq!(times(&found), times(&clean), "round {round}");
        assert!(
            found == clean,
            "round {round}: the same times but other contents"
        );
        assert!(decoder.counters().noise_bytes > 10_000);
    }
    assert!(accidents <= 2, "{accidents} rounds with a false UBX frame");
}

#[test]
fn any_split_gives_the_same_fixes() {
    let mut random = Random(data::seed());
    let mut stream = Vec::new();
    for sentence in simulated_sentences(8, 1) {
        stream.extend(noise(&mut random));
        stream.extend(sentence.as_bytes());
    }
    if let Some(capture) = data::capture("gpsd/ublox8-uniqid-monhw.log") {
        stream.extend(capture);
    }
    let (whole, decoder) = decode([&stream]);
    let counters = decoder.counters();
    for round in 0..40 {
        let mut rest = &stream[..];
        let mut reads = Vec::new();
        while !rest.is_empty() {
            let longest = if round % 2 == 0 { 20 } else { 9000 };
            let (read, after) = rest.split_at(1 + random.below(longest.min(rest.len())));
            reads.push(read);
            rest = after;
        }
        let (fixes, decoder) = decode(reads);
        assert_eq!(fixes, whole, "round {round}");
        assert_eq!(decoder.counters(), counters, "round {round}");
    }
}

#[test]
fn a_damaged_stream_never_panics_and_stays_bounded() {
    let mut random = Random(data::seed());
    let mut streams: Vec<Vec<u8>> = vec![simulated_sentences(5, 2).concat().into_bytes()];
    for path in [
        "gpsd/ublox-zed-f9p-hp.log",
        "gpsd/bu353s4.log",
        "pyubx2/pygpsdata-MIXED.log",
    ] {
        streams.extend(data::capture(path));
    }
    for stream in streams {
        for _ in 0..60 {
            let mut damaged = stream.clone();
            for _ in 0..1 + random.below(200) {
                let at = random.below(damaged.len());
                match random.below(3) {
                    0 => damaged[at] ^= 1 << random.below(8),
                    1 => damaged.truncate(at.max(1)),
                    _ => damaged.insert(at, random.next().to_le_bytes()[5]),
                }
            }
            let (fixes, _) = decode(damaged.chunks(1 + random.below(500)));
            for fix in fixes {
                assert!(fix.satellites.len() <= MAX_SATELLITES);
                assert!(fix.raw.len() <= MAX_RAW_EPOCH);
            }
        }
    }
}

#[test]
fn valid_checksums_around_nonsense_never_panic() {
    let mut random = Random(data::seed());
    let alphabet = b"0123456789,,,,..-NSEWAVDM $SZ";
    let mut decoder = Decoder::new();
    for _ in 0..20_000 {
        let formatter = [
            "RMC", "GGA", "GNS", "GLL", "GSA", "GSV", "VTG", "ZDA", "GST",
        ][random.below(9)];
        let talker = ["GP", "GN", "GA", "BD", "QZ", "XX"][random.below(6)];
        let mut body = format!("{talker}{formatter},");
        for _ in 0..random.below(120) {
            body.push(char::from(alphabet[random.below(alphabet.len())]));
        }
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        decoder.push(format!("${body}*{sum:02x}").as_bytes(), |fix| {
            assert!(fix.position().is_none_or(|(lat, lon)| {
                lat.abs() <= 900_000_000 && lon.abs() <= 1_800_000_000
            }));
        });
    }
    let (refused, read) = (decoder.refused(), decoder.counters().nmea);
    assert!(refused > 1000 && read > 4000, "{refused} refused of {read}");
}

#[test]
fn satellites_and_raw_bytes_of_one_epoch_are_bounded() {
    let mut stream = String::new();
    for page in 0..200 {
        let group: String = (0..4)
            .map(|i| format!(",{},10,020,30", 500 + page * 4 + i))
            .collect();
        let body = format!("GPGSV,9,1,36{group},{:060}", 0);
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        stream += &format!("${body}*{sum:02X}\r\n");
    }
    stream += &simulated_sentences(1, 3).concat();
    let (fixes, _) = decode([stream]);
    assert_eq!(fixes.len(), 1);
    assert_eq!(fixes[0].satellites.len(), MAX_SATELLITES);
    assert!(fixes[0].raw.len() <= MAX_RAW_EPOCH && fixes[0].raw.len() > MAX_RAW_EPOCH / 2);
}

//! An honest receiver simulator: NMEA 0183 4.1 epochs of a fixed antenna, marked as simulated in every position sentence.
//!
//! Owns the sentences and their small deterministic variation. Has no clock: the caller says which second it is.

use chrono::DateTime;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::MissedTickBehavior;

/// Greatest distance of a simulated position from the configured one in latitude and longitude, 1e-7 degrees: 1.1 m north,
/// at most as much east.
pub const NOISE_E7: i32 = 100;

/// Greatest step of the position from one epoch to the next, 1e-7 degrees: 0.1 m.
const STEP_E7: i32 = 9;

/// Where the simulated antenna stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulatorConfig {
    /// Latitude, 1e-7 degrees.
    pub lat_e7: i32,
    /// Longitude, 1e-7 degrees.
    pub lon_e7: i32,
    /// Altitude above mean sea level, millimetres.
    pub altitude_mm: i32,
    /// The same seed gives the same sentences.
    pub seed: u64,
}

/// A receiver that does not exist.
#[derive(Debug, Clone)]
pub struct Simulator {
    config: SimulatorConfig,
    random: u64,
    north_e7: i32,
    east_e7: i32,
}

/// What stands between the satellites and the simulated receiver in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    /// Most satellites used; with fewer than four there is no fix.
    pub(super) used: usize,
    /// Taken off every carrier-to-noise density, dB.
    pub(super) attenuation_db: u8,
    /// Every carrier-to-noise density is this, dB-Hz.
    pub(super) flat_cn0: Option<u8>,
    /// The position reported lies so far north and east of the true one, 1e-7 degrees.
    pub(super) shift_e7: (i32, i32),
    /// The position does not even waver.
    pub(super) frozen: bool,
    /// The position wavers so many times as much.
    pub(super) unrest: i32,
    /// Horizontal dilution of precision, hundredths, before it wavers.
    pub(super) hdop_centi: u64,
    /// The receiver knows the time.
    pub(super) timed: bool,
}

impl Default for Condition {
    /// An open sky.
    fn default() -> Self {
        Self {
            used: SKY.len(),
            attenuation_db: 0,
            flat_cn0: None,
            shift_e7: (0, 0),
            frozen: false,
            unrest: 1,
            hdop_centi: 86,
            timed: true,
        }
    }
}

/// A solution in three dimensions takes four satellites.
const LEAST_USED: usize = 4;

/// A signal weaker than this is not tracked, dB-Hz.
const TRACKED_DBHZ: u64 = 10;

/// The simulated sky: talker, number, elevation, azimuth (degrees), usual C/N0 (dB-Hz), used in the solution.
const SKY: [(&str, u8, u8, u16, u8, bool); 13] = [
    ("GP", 5, 61, 164, 47, true),
    ("GP", 9, 52, 39, 45, true),
    ("GP", 12, 64, 124, 48, true),
    ("GP", 14, 30, 308, 39, true),
    ("GP", 15, 20, 105, 37, true),
    ("GP", 18, 62, 202, 46, true),
    ("GP", 22, 55, 291, 44, true),
    ("GP", 26, 5, 107, 28, false),
    ("GL", 67, 41, 320, 40, true),
    ("GL", 76, 27, 251, 35, true),
    ("GL", 83, 9, 48, 30, false),
    ("GQ", 2, 79, 97, 45, true),
    ("GQ", 3, 22, 212, 33, false),
];

/// Systems of the sky with their GNSS system id (NMEA 0183 4.11, table 20).
const SYSTEMS: [(&str, u8); 3] = [("GP", 1), ("GL", 2), ("GQ", 5)];

impl Simulator {
    /// A simulator at the configured point.
    #[must_use]
    pub fn new(config: SimulatorConfig) -> Self {
        Self {
            config,
            random: config.seed,
            north_e7: 0,
            east_e7: 0,
        }
    }

    /// The sentences of the epoch at `time_ms` (UTC, milliseconds since the Unix epoch): RMC, GGA, GNS, GSA, GSV. A time
    /// after the year 9999 gives an epoch without date and time.
    pub fn epoch(&mut self, time_ms: u64) -> String {
        self.epoch_under(time_ms, Condition::default())
    }

    /// The same under a condition.
    pub(super) fn epoch_under(&mut self, time_ms: u64, condition: Condition) -> String {
        if !condition.frozen {
            self.north_e7 = self.wander(self.north_e7);
            self.east_e7 = self.wander(self.east_e7);
        }
        let time = i64::try_from(time_ms)
            .ok()
            .filter(|_| condition.timed)
            .and_then(DateTime::from_timestamp_millis);
        let clock = time.map_or_else(String::new, |t| {
            format!(
                "{}.{:02}",
                t.format("%H%M%S"),
                t.timestamp_subsec_millis() / 10
            )
        });
        let date = time.map_or_else(String::new, |t| t.format("%d%m%y").to_string());
        let used: Vec<_> = SKY.iter().filter(|s| s.5).take(condition.used).collect();
        let used = if used.len() < LEAST_USED {
            Vec::new()
        } else {
            used
        };
        let hdop = condition.hdop_centi + self.below(9);
        let hdop = format!("{}.{:02}", hdop / 100, hdop % 100);
        let waver = if condition.frozen {
            0
        } else {
            self.below_signed(400)
        };
        let altitude = thousandths(self.config.altitude_mm.saturating_add(waver));
        let speed = format!("0.{:03}", self.below(30));
        let at = |center: i32, offset: i32, shift: i32| {
            let offset = offset.saturating_mul(condition.unrest);
            center.saturating_add(offset).saturating_add(shift)
        };
        let (north, east) = condition.shift_e7;
        let lat = at(self.config.lat_e7, self.north_e7, north);
        let lat = coordinate(lat, 2, ['N', 'S']);
        let lon = at(self.config.lon_e7, self.east_e7, east);
        let lon = coordinate(lon, 3, ['E', 'W']);

        let mut out = String::new();
        if used.is_empty() {
            sentence(&mut out, &format!("GNRMC,{clock},V,,,,,,,{date},,,N,V"));
            sentence(&mut out, &format!("GNGGA,{clock},,,,,0,00,99.99,,,,,,"));
        } else {
            let count = used.len();
            // NMEA asks for status V with mode S; receivers and test equipment send A, and a reader has to look at the mode.
            sentence(
                &mut out,
                &format!("GNRMC,{clock},A,{lat},{lon},{speed},,{date},,,S,V"),
            );
            // Quality 8: simulator mode.
            sentence(
                &mut out,
                &format!("GNGGA,{clock},{lat},{lon},8,{count:02},{hdop},{altitude},M,37.0,M,,"),
            );
            sentence(
                &mut out,
                &format!("GNGNS,{clock},{lat},{lon},SSNN,{count:02},{hdop},{altitude},37.0,,,V"),
            );
        }
        for (talker, system) in SYSTEMS {
            let mode = if used.is_empty() { '1' } else { '3' };
            let mut line = format!("GNGSA,A,{mode}");
            let mut numbers = used.iter().filter(|s| s.0 == talker).map(|s| s.1);
            for _ in 0..12 {
                match numbers.next() {
                    Some(number) => write!(line, ",{number:02}").expect("a String takes all"),
                    None => line.push(','),
                }
            }
            write!(line, ",1.62,{hdop},1.35,{system}").expect("a String takes all");
            sentence(&mut out, &line);
        }
        for (talker, _) in SYSTEMS {
            self.satellites_in_view(&mut out, talker, condition);
        }
        out
    }

    /// Writes an epoch into `sink` now and after every `interval`, until writing fails. `now_ms` is asked for the UTC time
    /// of each (milliseconds since the Unix epoch).
    ///
    /// # Errors
    ///
    /// The error of the sink; this never returns otherwise.
    pub async fn feed(
        &mut self,
        mut sink: impl AsyncWrite + Unpin,
        interval: Duration,
        mut now_ms: impl FnMut() -> u64,
    ) -> io::Result<std::convert::Infallible> {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let epoch = self.epoch(now_ms());
            sink.write_all(epoch.as_bytes()).await?;
        }
    }

    fn satellites_in_view(&mut self, out: &mut String, talker: &str, condition: Condition) {
        let visible: Vec<_> = SKY.iter().filter(|s| s.0 == talker).collect();
        let pages = visible.len().div_ceil(4);
        for (page, group) in visible.chunks(4).enumerate() {
            let mut line = format!("{talker}GSV,{pages},{},{:02}", page + 1, visible.len());
            for (_, number, elevation, azimuth, cn0, _) in group {
                let cn0 = u64::from(*cn0) + self.below(4) - 2;
                let cn0 = cn0.saturating_sub(condition.attenuation_db.into());
                let cn0 = condition.flat_cn0.map_or(cn0, u64::from);
                let level = match cn0 {
                    TRACKED_DBHZ.. => format!("{cn0:02}"),
                    _ => String::new(),
                };
                write!(line, ",{number:02},{elevation:02},{azimuth:03},{level}")
                    .expect("a String takes all");
            }
            // Signal id 1: L1 C/A (GPS, QZSS) and G1 C/A (GLONASS).
            line.push_str(",1");
            sentence(out, &line);
        }
    }

    fn wander(&mut self, offset_e7: i32) -> i32 {
        (offset_e7 + self.below_signed(STEP_E7 + 1)).clamp(-NOISE_E7, NOISE_E7)
    }

    /// A number in `-(bound - 1)..bound`.
    fn below_signed(&mut self, bound: i32) -> i32 {
        let span = u64::try_from(2 * bound - 1).expect("bounds are positive");
        i32::try_from(self.below(span)).expect("below an i32") - (bound - 1)
    }

    /// A number below `bound`, by Steele, Lea and Flood's SplitMix64.
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// `ddmm.mmmmmmm,N`: seven decimals of a minute hold 1e-7 degrees exactly.
fn coordinate(value_e7: i32, degree_digits: usize, [positive, negative]: [char; 2]) -> String {
    let magnitude = u64::from(value_e7.unsigned_abs());
    let minutes_e7 = magnitude % 10_000_000 * 60;
    let hemisphere = if value_e7 < 0 { negative } else { positive };
    format!(
        "{:0degree_digits$}{:02}.{:07},{hemisphere}",
        magnitude / 10_000_000,
        minutes_e7 / 10_000_000,
        minutes_e7 % 10_000_000,
    )
}

/// Thousandths as a decimal number with three places.
fn thousandths(value: i32) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let magnitude = value.unsigned_abs();
    format!("{sign}{}.{:03}", magnitude / 1000, magnitude % 1000)
}

fn sentence(out: &mut String, body: &str) {
    let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    write!(out, "${body}*{sum:02X}\r\n").expect("a String takes all");
}

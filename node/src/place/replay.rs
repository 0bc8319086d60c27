//! A capture judged epoch by epoch, as fast as it can be read: `place replay`, and what a field engineer learns from it.
//!
//! Owns the clock of a capture and the line of an epoch. Reading bytes is the drivers', the verdict is the core's.

use city_drivers::gnss::Fix;
use city_protocol::amount::Timestamp;
use city_protocol::place::{
    self, Figures, FixMode, Grade, Observation, Point, Reason, Sample, SeenSatellite, Site, System,
};
use serde::Serialize;

use super::sample::sample;
use crate::api::place::degrees;
use crate::config::rfc3339;

/// Time that an epoch without a date is taken to last, milliseconds: the usual 1 Hz.
const UNDATED_MS: u64 = 1000;

/// Judges the epochs of one capture in order; holds no more than the core's window.
pub struct Replay<'a> {
    site: Site<'a>,
    seen: Observation,
    now: Timestamp,
    clock: Timestamp,
}

/// One epoch and its verdict, as `place replay --json` prints it.
#[derive(Debug, Serialize)]
pub struct Epoch {
    /// The receiver's UTC, RFC 3339.
    pub time: Option<String>,
    /// 0: the receiver says nothing of a fix, 1: no fix, 2: without altitude, 3: with.
    pub mode: u8,
    /// The position, if the receiver stands by it.
    #[serde(skip)]
    pub point: Option<Point>,
    /// Latitude, decimal degrees.
    pub lat: Option<f64>,
    /// Longitude, decimal degrees.
    pub lon: Option<f64>,
    /// The receiver's UTC of the position.
    #[serde(skip)]
    pub fix_time: Option<Timestamp>,
    /// The satellites that it lists.
    #[serde(skip)]
    pub satellites: Vec<SeenSatellite>,
    /// Altitude above mean sea level, metres.
    pub alt: Option<f64>,
    /// Satellites used.
    pub satellites_used: Option<u8>,
    /// Satellites in view.
    pub satellites_in_view: Option<u8>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f64>,
    /// The same in hundredths, of the epoch that the verdict rests on.
    #[serde(skip)]
    pub hdop_centi: Option<u16>,
    /// C/N0 of the used satellites, dB-Hz.
    pub cn0: Vec<u8>,
    /// Systems of the used satellites.
    pub constellations: Vec<System>,
    /// Strength of the evidence up to here.
    pub grade: Grade,
    /// Why it is not stronger.
    pub reasons: Vec<Reason>,
    /// Code of the municipality, if outlines were given.
    pub municipality: Option<String>,
    /// The figures behind the verdict.
    pub figures: Figures,
}

impl<'a> Replay<'a> {
    /// A capture that is played now. `recorded`: it is judged as a node judges what it was told is a recording;
    /// otherwise as if its receiver had been live, at its own time.
    #[must_use]
    pub fn new(site: Site<'a>, now: Timestamp, recorded: bool) -> Self {
        let mut seen = if recorded {
            Observation::new(true, site.policy)
        } else {
            Observation::replayed(site.policy)
        };
        seen.connected(now);
        Self {
            site,
            seen,
            now,
            clock: Timestamp(0),
        }
    }

    /// The next epoch.
    pub fn epoch(&mut self, fix: &Fix) -> Epoch {
        self.clock = fix
            .time_ms
            .map_or(self.clock.plus_ms(UNDATED_MS), Timestamp);
        let sample = sample(fix, self.clock);
        let shown = Shown::of(&sample);
        let satellites = sample.satellites.clone();
        self.seen.push(sample);
        let verdict = place::judge(&self.seen, &self.site, self.now);
        Epoch {
            time: fix.time_ms.map(|ms| rfc3339(Timestamp(ms))),
            mode: shown.mode,
            point: shown.point,
            lat: shown.point.map(|point| degrees(point.lat_e7())),
            lon: shown.point.map(|point| degrees(point.lon_e7())),
            fix_time: verdict.fix_time,
            satellites,
            alt: fix.altitude_mm.map(|mm| f64::from(mm) / 1000.0),
            satellites_used: shown.used,
            satellites_in_view: shown.in_view,
            hdop: fix.hdop_centi.map(|centi| f64::from(centi) / 100.0),
            hdop_centi: verdict.hdop_centi,
            cn0: fix.used_cn0().collect(),
            constellations: shown.systems,
            grade: verdict.grade,
            reasons: verdict.reasons,
            municipality: verdict.municipality,
            figures: verdict.figures,
        }
    }
}

/// What an epoch shows of its own sample.
struct Shown {
    mode: u8,
    point: Option<Point>,
    used: Option<u8>,
    in_view: Option<u8>,
    systems: Vec<System>,
}

impl Shown {
    fn of(sample: &Sample) -> Self {
        Self {
            mode: match sample.mode {
                FixMode::None => 1,
                mode => mode.number(),
            },
            point: sample.fix(),
            used: sample.satellites_used,
            in_view: sample.satellites_in_view,
            systems: sample.systems_used(),
        }
    }
}

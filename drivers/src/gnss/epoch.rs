//! Joins what a receiver says about one instant into one [`Fix`], and finds out when it has said everything.
//!
//! An epoch ends when the time changes, when an anchor sentence comes again, at NAV-EOE, or at the sentence that ended
//! the epochs before. Owns which source wins and what counts as a fix. Carries nothing over but the date.

use super::fix::{Fix, FixMode, Jamming, Quality, Spoofing};
use super::framing::Frame;
use super::reading::{Key, Reading, Source};
use super::satellite::{MAX_SATELLITES, MAX_SIGNALS, Satellite, Signal};
use super::sentence::Answer;
use super::{sentence, ubx};

/// Most raw bytes kept per epoch. NAV-SAT and all sentences of a five-constellation receiver come to about 5 kB.
pub const MAX_RAW_EPOCH: usize = 16 * 1024;

/// Most readings joined in one epoch; a stream without any time or anchor cannot grow one for ever.
const MAX_READINGS: usize = 256;

/// Two times within this many milliseconds are one epoch: some receivers cut the fraction in one sentence and round it in
/// another. The fastest receivers of ours give 10 epochs a second.
const SAME_EPOCH_MS: u32 = 50;

/// So many epochs in a row must end with the same sentence before the next is handed out at it.
const LEARN_AFTER: u8 = 2;

const DAY_MS: u32 = 86_400_000;

/// A position in the receiver's cycle: the n-th sentence of its kind.
type CycleEnd = (Key, usize);

/// Joins frames to fixes. Pure: no clock, the stream alone decides.
#[derive(Debug, Clone, Default)]
pub struct Assembler {
    current: Epoch,
    /// Tag and cycle of the epoch handed out last, to recognise what comes late.
    previous: Epoch,
    end: Option<CycleEnd>,
    candidate: Option<(CycleEnd, u8)>,
    /// Last known date (days since the Unix epoch) with the time of day it was known at.
    date: Option<(i64, u32)>,
    refused: u64,
}

impl Assembler {
    /// An assembler that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sentences with a known formatter that could not be read.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes one frame and hands on the epochs it completes: mostly none, at most two.
    pub fn push(&mut self, frame: &Frame<'_>, on_fix: &mut impl FnMut(Fix)) {
        let reading = match frame {
            Frame::Nmea { text } => match sentence::read(text) {
                Answer::Reading(reading) => reading,
                Answer::NotOurs => return,
                Answer::Refused => {
                    self.refused += 1;
                    return;
                }
            },
            Frame::Ubx { .. } => match ubx::read(frame) {
                Some(reading) => Box::new(reading),
                None => return,
            },
        };
        self.add(&reading, frame.raw(), on_fix);
    }

    /// The stream has ended: hands on the epoch that is still open.
    pub fn finish(&mut self, on_fix: &mut impl FnMut(Fix)) {
        self.hand_out(on_fix);
    }

    fn add(&mut self, reading: &Reading, raw: &[u8], on_fix: &mut impl FnMut(Fix)) {
        if self.current.is_over_before(reading) {
            self.learn();
            self.hand_out(on_fix);
        } else if self.is_late(reading) {
            // The epoch was handed out too early: the receiver sends more than it used to. Learn again.
            self.end = None;
            self.candidate = None;
            // What it says of spoofing or jamming is not lost: the next epoch has it.
            if reading.key.source == Source::UbxGuard {
                self.current.add_guard(reading, raw);
            }
            return;
        }
        let ends = reading.key.source == Source::UbxEnd;
        let key = reading.key;
        self.current.add(reading, raw);
        let nth = self.current.keys.iter().filter(|&&k| k == key).count();
        if ends || (self.end == Some((key, nth)) && self.current.has_anchor()) {
            self.hand_out(on_fix);
        }
    }

    /// Of the epoch handed out already, and not its repetition by a receiver whose clock stands still.
    fn is_late(&self, reading: &Reading) -> bool {
        let known = reading.time_of_day_ms.is_some() || reading.itow_ms.is_some();
        self.current.keys.is_empty()
            && known
            && self.previous.has_tag()
            && !self.previous.is_over_before(reading)
    }

    /// Remembers which sentence ended the current epoch, before a change of time shows its end.
    fn learn(&mut self) {
        let Some(&last) = self.current.keys.last() else {
            return;
        };
        let nth = self.current.keys.iter().filter(|&&k| k == last).count();
        let seen = match self.candidate {
            Some((end, seen)) if end == (last, nth) => seen.saturating_add(1),
            _ => 1,
        };
        self.candidate = Some(((last, nth), seen));
        if seen >= LEARN_AFTER {
            self.end = Some((last, nth));
        }
    }

    fn hand_out(&mut self, on_fix: &mut impl FnMut(Fix)) {
        let mut epoch = std::mem::take(&mut self.current);
        if !epoch.has_anchor() {
            // No epoch; but what the receiver said of spoofing and jamming counts in the next.
            (self.current.spoofing, self.current.jamming) = (epoch.spoofing, epoch.jamming);
            return;
        }
        let time_ms = self
            .date_of(&epoch)
            .zip(epoch.time_of_day_ms)
            .and_then(|(days, time)| {
                u64::try_from(days * i64::from(DAY_MS) + i64::from(time)).ok()
            });
        on_fix(epoch.take_fix(time_ms));
        self.previous = epoch;
    }

    /// The epoch's date: its own, or the last known, one later if midnight lies between.
    fn date_of(&mut self, epoch: &Epoch) -> Option<i64> {
        let time = epoch.time_of_day_ms?;
        let days = epoch.days.or_else(|| {
            let (days, at) = self.date?;
            let midnight_between = at > time && at - time > DAY_MS / 2;
            Some(days + i64::from(midnight_between))
        })?;
        self.date = Some((days, time));
        Some(days)
    }
}

/// A value and where it comes from; a better source replaces it.
type Sourced<T> = Option<(Source, T)>;

fn prefer<T>(held: &mut Sourced<T>, source: Source, new: Option<T>) {
    if let Some(value) = new
        && held.as_ref().is_none_or(|(by, _)| *by < source)
    {
        *held = Some((source, value));
    }
}

/// How far the positions of one epoch's sentences lie apart.
#[derive(Debug, Clone, Copy)]
struct Extent {
    first: (i32, i32),
    /// Smallest and largest difference from the first, 1e-7 degrees.
    north: (i64, i64),
    east: (i64, i64),
    positions: u8,
}

impl Extent {
    /// A whole turn, 1e-7 degrees.
    const TURN: i64 = 3_600_000_000;

    fn at(first: (i32, i32)) -> Self {
        Self {
            first,
            north: (0, 0),
            east: (0, 0),
            positions: 1,
        }
    }

    fn add(&mut self, (lat, lon): (i32, i32)) {
        let wider = |(least, most): (i64, i64), new: i64| (least.min(new), most.max(new));
        let north = i64::from(lat) - i64::from(self.first.0);
        let east = i64::from(lon) - i64::from(self.first.1);
        // The short way round: 180° east and 180° west are one meridian.
        let east = (east + Self::TURN / 2).rem_euclid(Self::TURN) - Self::TURN / 2;
        self.north = wider(self.north, north);
        self.east = wider(self.east, east);
        self.positions = self.positions.saturating_add(1);
    }

    fn widest(self) -> Option<u32> {
        let widest = (self.north.1 - self.north.0).max(self.east.1 - self.east.0);
        (self.positions > 1).then(|| u32::try_from(widest).unwrap_or(u32::MAX))
    }
}

/// The epoch that is being joined.
#[derive(Debug, Clone, Default)]
struct Epoch {
    keys: Vec<Key>,
    time_of_day_ms: Option<u32>,
    itow_ms: Option<u32>,
    days: Option<i64>,
    invalid: bool,
    tainted: Option<Quality>,
    quality: Sourced<Quality>,
    mode: Option<FixMode>,
    position: Sourced<(i32, i32)>,
    altitude_mm: Sourced<i32>,
    hdop_centi: Sourced<u16>,
    accuracy_mm: Sourced<u32>,
    speed_mm_s: Sourced<u32>,
    satellites_used: u8,
    satellites: Vec<Satellite>,
    signals: Vec<Signal>,
    spoofing: Option<Spoofing>,
    jamming: Option<Jamming>,
    extent: Option<Extent>,
    raw: Vec<u8>,
    raw_is_full: bool,
}

impl Epoch {
    fn has_anchor(&self) -> bool {
        self.keys.iter().any(|key| key.source.is_anchor())
    }

    fn has_tag(&self) -> bool {
        self.time_of_day_ms.is_some() || self.itow_ms.is_some()
    }

    /// Whether `reading` belongs to a later epoch than this one.
    fn is_over_before(&self, reading: &Reading) -> bool {
        let apart = |a: u32, b: u32| {
            let gap = a.abs_diff(b);
            gap.min(DAY_MS.saturating_sub(gap)) > SAME_EPOCH_MS
        };
        let time_differs = self
            .time_of_day_ms
            .zip(reading.time_of_day_ms)
            .is_some_and(|(a, b)| apart(a, b));
        let itow_differs = self
            .itow_ms
            .zip(reading.itow_ms)
            .is_some_and(|(a, b)| a != b);
        let again = reading.key.source.is_anchor() && self.keys.contains(&reading.key);
        time_differs || itow_differs || again || self.keys.len() >= MAX_READINGS
    }

    fn add(&mut self, reading: &Reading, raw: &[u8]) {
        let source = reading.key.source;
        self.keys.push(reading.key);
        self.add_guard(reading, raw);
        self.time_of_day_ms = self.time_of_day_ms.or(reading.time_of_day_ms);
        self.itow_ms = self.itow_ms.or(reading.itow_ms);
        // ZDA has four digits for the year, RMC two: the later one of a better kind may replace the first.
        self.days = if source == Source::Zda {
            reading.days.or(self.days)
        } else {
            self.days.or(reading.days)
        };
        self.invalid |= reading.valid == Some(false);
        if let Some(quality @ (Quality::Simulated | Quality::Manual)) = reading.quality {
            self.tainted = Some(quality);
        }
        prefer(&mut self.quality, source, reading.quality);
        self.mode = self.mode.max(reading.mode);
        prefer(&mut self.position, source, reading.position);
        if let Some(position) = reading.position {
            match &mut self.extent {
                Some(extent) => extent.add(position),
                None => self.extent = Some(Extent::at(position)),
            }
        }
        prefer(&mut self.altitude_mm, source, reading.altitude_mm);
        prefer(&mut self.hdop_centi, source, reading.hdop_centi);
        prefer(&mut self.accuracy_mm, source, reading.accuracy_mm);
        prefer(&mut self.speed_mm_s, source, reading.speed_mm_s);
        self.satellites_used = self
            .satellites_used
            .max(reading.satellites_used.unwrap_or(0));
        for satellite in &reading.satellites {
            self.add_satellite(*satellite);
        }
        let room = MAX_SIGNALS - self.signals.len();
        self.signals.extend(reading.signals.iter().take(room));
    }

    /// What it says of spoofing and jamming, with its bytes; it makes no epoch.
    fn add_guard(&mut self, reading: &Reading, raw: &[u8]) {
        self.spoofing = self.spoofing.max(reading.spoofing);
        self.jamming = self.jamming.max(reading.jamming);
        self.raw_is_full |= self.raw.len() + raw.len() > MAX_RAW_EPOCH;
        if !self.raw_is_full {
            self.raw.extend_from_slice(raw);
        }
    }

    /// One entry per satellite, however many sentences and signals name it.
    fn add_satellite(&mut self, new: Satellite) {
        let same =
            |held: &&mut Satellite| (held.constellation, held.id) == (new.constellation, new.id);
        if let Some(held) = self.satellites.iter_mut().find(same) {
            held.used |= new.used;
            held.cn0_dbhz = held.cn0_dbhz.max(new.cn0_dbhz);
            held.elevation_deg = held.elevation_deg.or(new.elevation_deg);
            held.azimuth_deg = held.azimuth_deg.or(new.azimuth_deg);
        } else if self.satellites.len() < MAX_SATELLITES {
            self.satellites.push(new);
        }
    }

    /// A fix needs a position and nobody who denies it: RMC or GLL with V, GGA quality 0 and GSA mode 1 each do.
    fn take_fix(&mut self, time_ms: Option<u64>) -> Fix {
        let quality = self.quality.map(|(_, quality)| quality);
        let denied =
            self.invalid || quality == Some(Quality::Invalid) || self.mode == Some(FixMode::None);
        let position = self
            .position
            .map(|(_, position)| position)
            .filter(|_| !denied);
        let altitude_mm = self.altitude_mm.map(|(_, altitude)| altitude);
        // Three satellites give no altitude: the one reported is an assumption (mtk-3301 before its first GSA).
        let too_few = (1..=3).contains(&self.satellites_used);
        let mode = match (position, self.mode, altitude_mm) {
            (None, _, _) => FixMode::None,
            (Some(_), Some(mode), _) => mode,
            (Some(_), None, Some(_)) if !too_few => FixMode::ThreeD,
            (Some(_), None, _) => FixMode::TwoD,
        };
        // RMC and GLL before NMEA 2.3 have no mode indicator.
        let reported = if position.is_some() {
            quality.unwrap_or(Quality::Autonomous)
        } else {
            Quality::Invalid
        };
        let listed = self.satellites.iter().filter(|s| s.used).count();
        let satellites_used = self
            .satellites_used
            .max(u8::try_from(listed).unwrap_or(u8::MAX));
        Fix {
            time_ms,
            lat_e7: position.map(|(lat, _)| lat),
            lon_e7: position.map(|(_, lon)| lon),
            altitude_mm: altitude_mm.filter(|_| mode == FixMode::ThreeD),
            mode,
            quality: self.tainted.unwrap_or(reported),
            satellites_used,
            satellites: std::mem::take(&mut self.satellites),
            signals: std::mem::take(&mut self.signals),
            hdop_centi: self.hdop_centi.map(|(_, hdop)| hdop),
            accuracy_mm: self.accuracy_mm.map(|(_, accuracy)| accuracy),
            speed_mm_s: self.speed_mm_s.map(|(_, speed)| speed),
            spoofing: self.spoofing,
            jamming: self.jamming,
            sentences_apart_e7: self
                .extent
                .filter(|_| position.is_some())
                .and_then(Extent::widest),
            raw: std::mem::take(&mut self.raw),
        }
    }
}

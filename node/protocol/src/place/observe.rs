//! What place checking saw: epochs of a receiver in this crate's own words, over a bounded window.
//!
//! Owns shapes and limits. The node fills it from its drivers; `judge` reads it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::point::Point;
use super::satellite::{Cn0, SeenSatellite, System};
use crate::amount::Timestamp;

/// Most epochs kept: two minutes at the usual 1 Hz, twelve seconds at 10 Hz.
pub const MAX_SAMPLES: usize = 120;
/// Most satellites kept of one epoch: all constellations together show under 70 over one horizon.
pub const MAX_SATELLITES: usize = 96;

/// Kind of position solution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FixMode {
    /// No position.
    #[default]
    None,
    /// Latitude and longitude only.
    TwoD,
    /// With altitude.
    ThreeD,
}

impl FixMode {
    /// As a number: 0, 2 or 3.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::TwoD => 2,
            Self::ThreeD => 3,
        }
    }
}

/// How the receiver says it came to its position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// No valid position.
    #[default]
    Invalid,
    /// Satellites alone.
    Autonomous,
    /// With differential corrections.
    Differential,
    /// Precise positioning service.
    Pps,
    /// Carrier phase, ambiguities fixed.
    Rtk,
    /// Carrier phase, ambiguities floating.
    FloatRtk,
    /// Dead reckoning.
    Estimated,
    /// Typed in by a person.
    Manual,
    /// Made by a simulator.
    Simulated,
}

/// What the receiver's own spoofing detection says (UBX-NAV-STATUS spoofDetState, UBX-SEC-SIG).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spoofing {
    /// It looks and sees none. It fires at the transition, so this does not mean that there is none.
    NoneIndicated,
    /// Signs of it.
    Indicated,
    /// Several signs, or certain.
    Affirmed,
}

/// What the receiver's own interference monitor says (UBX-MON-RF, UBX-SEC-SIG).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Jamming {
    /// None that matters.
    Ok,
    /// Visible, positions are still good.
    Warning,
    /// Visible, positions are not.
    Critical,
}

/// One epoch of a receiver. What the receiver did not say is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was complete, by the node's clock.
    pub received_at: Timestamp,
    /// The receiver's own UTC.
    pub fix_time: Option<Timestamp>,
    /// The position.
    pub point: Option<Point>,
    /// Kind of solution.
    pub mode: FixMode,
    /// Origin of the solution.
    pub quality: Quality,
    /// Satellites used in the solution.
    pub satellites_used: Option<u8>,
    /// Satellites in view.
    pub satellites_in_view: Option<u8>,
    /// Horizontal dilution of precision, hundredths.
    pub hdop_centi: Option<u16>,
    /// The receiver's own estimate of its horizontal accuracy (one sigma), millimetres.
    pub accuracy_mm: Option<u32>,
    /// Altitude above mean sea level, millimetres.
    pub altitude_mm: Option<i32>,
    /// Speed over ground, millimetres per second.
    pub speed_mm_s: Option<u32>,
    /// Satellites used or in view; at most [`MAX_SATELLITES`].
    pub satellites: Vec<SeenSatellite>,
    /// Largest difference in latitude or longitude between the positions of this epoch's sentences, 1e-7 degrees; `None`
    /// with fewer than two.
    pub sentences_apart_e7: Option<u32>,
    /// The receiver's spoofing detection; `None`: it has none, it is off, or it does not know.
    pub spoofing: Option<Spoofing>,
    /// The receiver's interference monitor; `None`: it has none, or it does not know.
    pub jamming: Option<Jamming>,
}

impl Sample {
    /// An epoch in which the receiver said nothing but that it lives.
    #[must_use]
    pub const fn empty(received_at: Timestamp) -> Self {
        Self {
            received_at,
            fix_time: None,
            point: None,
            mode: FixMode::None,
            quality: Quality::Invalid,
            satellites_used: None,
            satellites_in_view: None,
            hdop_centi: None,
            accuracy_mm: None,
            altitude_mm: None,
            speed_mm_s: None,
            satellites: Vec::new(),
            sentences_apart_e7: None,
            spoofing: None,
            jamming: None,
        }
    }

    /// C/N0 of the used satellites.
    #[must_use]
    pub fn cn0(&self) -> Option<Cn0> {
        let used = self.satellites.iter().filter(|s| s.used);
        Cn0::of(used.filter_map(|s| s.cn0_dbhz))
    }

    /// Systems of the used satellites, each once, in order.
    #[must_use]
    pub fn systems_used(&self) -> Vec<System> {
        let used = self.satellites.iter().filter(|s| s.used);
        let mut systems: Vec<_> = used.map(|s| s.system).collect();
        systems.sort_unstable();
        systems.dedup();
        systems
    }

    /// The position, if the receiver itself calls it one.
    #[must_use]
    pub fn fix(&self) -> Option<Point> {
        let valid = self.mode != FixMode::None && self.quality != Quality::Invalid;
        self.point.filter(|_| valid)
    }
}

/// Where the epochs come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Source {
    /// A receiver, now.
    #[default]
    Live,
    /// A receiver that plays a recording or simulates, as the configuration declares.
    Recorded,
    /// A capture that is looked at as if its receiver were live at its own time. No running node does this.
    Replayed,
}

/// The window of epochs of one receiver.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    samples: VecDeque<Sample>,
    connected_at: Option<Timestamp>,
    source: Source,
    spoofing_since: Option<Timestamp>,
    stillness: Stillness,
}

/// How still the receiver's positions stand, since it was connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stillness {
    point: Option<Point>,
    /// Fixes in a row at the newest position.
    pub(super) held: u32,
    /// Fixes before these.
    pub(super) before: u32,
    /// Of those, the ones that were where their predecessor was.
    pub(super) repeats: u32,
}

/// Fixes after which half of what was counted is forgotten: three hours at 1 Hz, so that habits of today count.
const REMEMBERED_FIXES: u32 = 10_000;

impl Stillness {
    fn count(&mut self, point: Point) {
        if self.point == Some(point) {
            self.held = self.held.saturating_add(1);
            return;
        }
        self.before = self.before.saturating_add(self.held);
        self.repeats = self.repeats.saturating_add(self.held.saturating_sub(1));
        while self.before > REMEMBERED_FIXES {
            (self.before, self.repeats) = (self.before / 2, self.repeats / 2);
        }
        (self.point, self.held) = (Some(point), 1);
    }
}

impl Observation {
    /// Nothing seen yet. `recorded`: the configuration says that the source is a recording.
    #[must_use]
    pub const fn new(recorded: bool) -> Self {
        Self {
            samples: VecDeque::new(),
            connected_at: None,
            source: if recorded {
                Source::Recorded
            } else {
                Source::Live
            },
            spoofing_since: None,
            stillness: Stillness {
                point: None,
                held: 0,
                before: 0,
                repeats: 0,
            },
        }
    }

    /// Nothing seen yet of a capture that is judged as live, but by its own clock.
    #[must_use]
    pub fn replayed() -> Self {
        Self {
            source: Source::Replayed,
            ..Self::default()
        }
    }

    /// A receiver was connected: what another one said before is forgotten. What its spoofing detection said is not:
    /// whoever transmits can also pull a plug, and a receiver that starts in the false signal never notices it.
    pub fn connected(&mut self, at: Timestamp) {
        self.samples.clear();
        self.stillness = Stillness::default();
        self.connected_at = Some(at);
    }

    /// The receiver is gone. A recording that came to its end stays what it was.
    pub fn disconnected(&mut self) {
        self.connected_at = None;
        if !self.own_clock() {
            self.samples.clear();
        }
    }

    /// An operator has looked at the antenna: a spoofing that was indicated is over.
    pub const fn clear_spoofing(&mut self) {
        self.spoofing_since = None;
    }

    /// When the receiver's detection first indicated spoofing, by the node's clock, until somebody clears it.
    #[must_use]
    pub const fn spoofing_since(&self) -> Option<Timestamp> {
        self.spoofing_since
    }

    /// One more epoch; the oldest makes room.
    pub fn push(&mut self, mut sample: Sample) {
        sample.satellites.truncate(MAX_SATELLITES);
        if sample.spoofing > Some(Spoofing::NoneIndicated) {
            self.spoofing_since = self.spoofing_since.or(Some(sample.received_at));
        }
        if let Some(point) = sample.fix() {
            self.stillness.count(point);
        }
        if self.samples.len() == MAX_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// How still the positions stand.
    pub(super) const fn stillness(&self) -> Stillness {
        self.stillness
    }

    /// The epochs, oldest first; at most [`MAX_SAMPLES`].
    pub fn samples(&self) -> impl DoubleEndedIterator<Item = &Sample> + ExactSizeIterator + Clone {
        self.samples.iter()
    }

    /// The newest epoch.
    #[must_use]
    pub fn latest(&self) -> Option<&Sample> {
        self.samples.back()
    }

    /// When the receiver was connected, by the node's clock; `None` if there is none.
    #[must_use]
    pub const fn connected_at(&self) -> Option<Timestamp> {
        self.connected_at
    }

    /// Whether the source is declared to be a recording.
    #[must_use]
    pub const fn recorded(&self) -> bool {
        matches!(self.source, Source::Recorded)
    }

    /// Whether the epochs are judged by the receiver's own clock, because the node's was elsewhere.
    #[must_use]
    pub const fn own_clock(&self) -> bool {
        !matches!(self.source, Source::Live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn satellite() -> SeenSatellite {
        SeenSatellite {
            system: System::Gps,
            id: 1,
            cn0_dbhz: Some(40),
            used: true,
            elevation_deg: None,
            azimuth_deg: None,
        }
    }

    #[test]
    fn indicated_spoofing_is_remembered_until_an_operator_clears_it() {
        let mut seen = Observation::new(false);
        let say = |seen: &mut Observation, at, spoofing| {
            let mut sample = Sample::empty(Timestamp(at));
            sample.spoofing = spoofing;
            seen.push(sample);
            seen.spoofing_since()
        };
        assert_eq!(say(&mut seen, 1, None), None);
        assert_eq!(say(&mut seen, 2, Some(Spoofing::NoneIndicated)), None);
        let since = Some(Timestamp(3));
        assert_eq!(say(&mut seen, 3, Some(Spoofing::Indicated)), since);
        assert_eq!(say(&mut seen, 4, Some(Spoofing::Affirmed)), since);
        assert_eq!(say(&mut seen, 5, Some(Spoofing::NoneIndicated)), since);
        seen.disconnected();
        seen.connected(Timestamp(6));
        assert_eq!(say(&mut seen, 7, None), since);
        seen.clear_spoofing();
        assert_eq!(say(&mut seen, 8, Some(Spoofing::NoneIndicated)), None);
    }

    #[test]
    fn the_window_is_bounded_and_another_receiver_starts_anew() {
        let mut seen = Observation::new(false);
        seen.connected(Timestamp(0));
        for second in 0..200 {
            let mut sample = Sample::empty(Timestamp(second * 1000));
            sample.satellites = vec![satellite(); 200];
            seen.push(sample);
        }
        assert_eq!(seen.samples().len(), MAX_SAMPLES);
        assert_eq!(seen.latest().unwrap().received_at, Timestamp(199_000));
        assert_eq!(seen.latest().unwrap().satellites.len(), MAX_SATELLITES);
        seen.connected(Timestamp(200_000));
        assert_eq!(seen.latest(), None);
        seen.push(Sample::empty(Timestamp(201_000)));
        seen.disconnected();
        assert_eq!((seen.latest(), seen.connected_at()), (None, None));
    }

    #[test]
    fn a_position_that_the_receiver_does_not_stand_by_is_no_fix() {
        let point = Point::new(1, 1).unwrap();
        let mut sample = Sample::empty(Timestamp(0));
        sample.point = Some(point);
        assert_eq!(sample.fix(), None);
        sample.mode = FixMode::TwoD;
        assert_eq!(sample.fix(), None);
        sample.quality = Quality::Autonomous;
        assert_eq!(sample.fix(), Some(point));
    }
}

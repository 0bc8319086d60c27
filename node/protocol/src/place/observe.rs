//! What place checking saw: epochs of a receiver in this crate's own words, over a bounded window.
//!
//! Owns shapes and limits. The node fills it from its drivers; `judge` reads it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::point::Point;
use crate::amount::Timestamp;

/// Most epochs kept: two minutes at the usual 1 Hz, twelve seconds at 10 Hz.
pub const MAX_SAMPLES: usize = 120;
/// Most C/N0 values kept of one epoch: more satellites than any receiver uses at once.
pub const MAX_CN0: usize = 96;

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
    /// C/N0 of the used satellites, dB-Hz; at most [`MAX_CN0`].
    pub cn0_used: Vec<u8>,
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
            cn0_used: Vec::new(),
        }
    }

    /// The position, if the receiver itself calls it one.
    #[must_use]
    pub fn fix(&self) -> Option<Point> {
        let valid = self.mode != FixMode::None && self.quality != Quality::Invalid;
        self.point.filter(|_| valid)
    }
}

/// The window of epochs of one receiver.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    samples: VecDeque<Sample>,
    connected_at: Option<Timestamp>,
    recorded: bool,
}

impl Observation {
    /// Nothing seen yet. `recorded`: the configuration says that the source is a recording.
    #[must_use]
    pub const fn new(recorded: bool) -> Self {
        Self {
            samples: VecDeque::new(),
            connected_at: None,
            recorded,
        }
    }

    /// A receiver was connected: what another one said before is forgotten.
    pub fn connected(&mut self, at: Timestamp) {
        self.samples.clear();
        self.connected_at = Some(at);
    }

    /// The receiver is gone. A recording that came to its end stays what it was.
    pub fn disconnected(&mut self) {
        self.connected_at = None;
        if !self.recorded {
            self.samples.clear();
        }
    }

    /// One more epoch; the oldest makes room.
    pub fn push(&mut self, mut sample: Sample) {
        sample.cn0_used.truncate(MAX_CN0);
        if self.samples.len() == MAX_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
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

    /// Whether the source is a recording.
    #[must_use]
    pub const fn recorded(&self) -> bool {
        self.recorded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_bounded_and_another_receiver_starts_anew() {
        let mut seen = Observation::new(false);
        seen.connected(Timestamp(0));
        for second in 0..200 {
            let mut sample = Sample::empty(Timestamp(second * 1000));
            sample.cn0_used = vec![40; 200];
            seen.push(sample);
        }
        assert_eq!(seen.samples().len(), MAX_SAMPLES);
        assert_eq!(seen.latest().unwrap().received_at, Timestamp(199_000));
        assert_eq!(seen.latest().unwrap().cn0_used.len(), MAX_CN0);
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

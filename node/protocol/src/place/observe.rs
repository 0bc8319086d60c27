//! What place checking saw: epochs of a receiver in this crate's own words, over a bounded window.
//!
//! Owns shapes and limits. The node fills it from its drivers; `judge` reads it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::checks_time::between_ms;
use super::point::Point;
use super::policy::PlacePolicy;
use super::satellite::{Cn0, SeenSatellite, System};
use crate::amount::Timestamp;

/// Most epochs kept: ten minutes at 10 Hz, and at [`MIN_SPACING_MS`]. With all satellites that are kept of one it is 10 MB.
pub const MAX_SAMPLES: usize = 7_500;
/// Epochs kept however old they are: two minutes at the usual 1 Hz. A leap of time is seen by the epochs before it.
const MIN_SAMPLES: usize = 120;
/// Epochs that come closer than this are thinned out, milliseconds: 10 Hz, and a clock that trembles by a fifth of it. What
/// carries a node does nothing in less that would not be seen after it.
pub const MIN_SPACING_MS: u64 = 80;
/// Epochs that the rate of a receiver is taken from: one that is missing, or one too many, changes nothing.
const RATE_EPOCHS: usize = 10;
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

/// An epoch of the window.
#[derive(Clone, Debug)]
struct Kept {
    sample: Sample,
    /// Epochs between it and the one before it that were left out.
    left_out: u64,
}

/// The window of epochs of one receiver.
#[derive(Clone, Debug)]
pub struct Observation {
    samples: VecDeque<Kept>,
    /// How long an epoch is kept, milliseconds.
    span_ms: u64,
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
    /// Nothing seen yet; epochs are kept for as long as this policy looks back. `recorded`: the configuration says that the
    /// source is a recording.
    #[must_use]
    pub fn new(recorded: bool, policy: &PlacePolicy) -> Self {
        Self {
            samples: VecDeque::new(),
            span_ms: policy.span_ms(),
            connected_at: None,
            source: if recorded {
                Source::Recorded
            } else {
                Source::Live
            },
            spoofing_since: None,
            stillness: Stillness::default(),
        }
    }

    /// Nothing seen yet of a capture that is judged as live, but by its own clock.
    #[must_use]
    pub fn replayed(policy: &PlacePolicy) -> Self {
        Self {
            source: Source::Replayed,
            ..Self::new(false, policy)
        }
    }

    /// What was remembered of an earlier run of the node: the receiver's detection indicated spoofing then.
    pub fn remember_spoofing(&mut self, since: Timestamp) {
        self.spoofing_since = self.spoofing_since.or(Some(since));
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

    /// One more epoch; what no check looks back to makes room.
    pub fn push(&mut self, mut sample: Sample) {
        sample.satellites.truncate(MAX_SATELLITES);
        if sample.spoofing > Some(Spoofing::NoneIndicated) {
            self.spoofing_since = self.spoofing_since.or(Some(sample.received_at));
        }
        if let Some(point) = sample.fix() {
            self.stillness.count(point);
        }
        let left_out = self.thin_out(&mut sample);
        self.samples.push_back(Kept { sample, left_out });
        while self.samples.len() > MAX_SAMPLES || self.reaches_too_far() {
            self.samples.pop_front();
        }
    }

    /// Makes the newest epoch leave if it came too soon behind the one before it; what is said less often than positions
    /// stays, with the next. How many were left out since then.
    fn thin_out(&mut self, next: &mut Sample) -> u64 {
        let held = u64::try_from(MAX_SAMPLES).expect("a few thousand");
        let spacing = MIN_SPACING_MS.max(self.span_ms.div_ceil(held));
        let mut newest = self.samples.iter().rev();
        let (Some(last), Some(before)) = (newest.next(), newest.next()) else {
            return 0;
        };
        if apart_ms(&last.sample, &before.sample) >= spacing {
            return 0;
        }
        let Some(Kept { sample, left_out }) = self.samples.pop_back() else {
            return 0;
        };
        if next.satellites.is_empty() {
            next.satellites = sample.satellites;
        }
        next.jamming = next.jamming.max(sample.jamming);
        next.spoofing = next.spoofing.max(sample.spoofing);
        left_out + 1
    }

    /// Whether the oldest epoch is needed by nothing: the one behind it is out of reach, too.
    fn reaches_too_far(&self) -> bool {
        let (Some(second), Some(newest)) = (self.samples.get(1), self.samples.back()) else {
            return false;
        };
        // As the checks look back: a step of the node's clock must not shorten what they see.
        self.samples.len() > MIN_SAMPLES
            && between_ms(&newest.sample, &second.sample) > self.span_ms
    }

    /// Time from one epoch to the next as this receiver sends them, milliseconds: the middle one of its last steps. `None`
    /// before the second epoch.
    #[must_use]
    pub fn interval_ms(&self) -> Option<u64> {
        let newest = self.samples.iter().rev().take(RATE_EPOCHS);
        let steps = newest.clone().zip(newest.skip(1));
        let mut steps: Vec<_> = steps
            .map(|(later, earlier)| apart_ms(&later.sample, &earlier.sample))
            .collect();
        steps.sort_unstable();
        // Of two in the middle the shorter: just begun, a receiver is not slow for one gap.
        steps.get(steps.len().saturating_sub(1) / 2).copied()
    }

    /// Epochs of the window that were left out because they came too fast.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.samples.iter().map(|kept| kept.left_out).sum()
    }

    /// How still the positions stand.
    pub(super) const fn stillness(&self) -> Stillness {
        self.stillness
    }

    /// The epochs, oldest first; at most [`MAX_SAMPLES`].
    pub fn samples(&self) -> impl DoubleEndedIterator<Item = &Sample> + ExactSizeIterator + Clone {
        self.samples.iter().map(|kept| &kept.sample)
    }

    /// The newest epoch.
    #[must_use]
    pub fn latest(&self) -> Option<&Sample> {
        self.samples.back().map(|kept| &kept.sample)
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

/// Time between two epochs, milliseconds, by whichever clock went on more: recordings are played faster than they were made,
/// and a receiver's own clock may stand.
fn apart_ms(later: &Sample, earlier: &Sample) -> u64 {
    let received = later.received_at.0.abs_diff(earlier.received_at.0);
    match (later.fix_time, earlier.fix_time) {
        (Some(later), Some(earlier)) => received.max(later.0.abs_diff(earlier.0)),
        _ => received,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Observation {
        Observation::new(false, &PlacePolicy::default())
    }

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
        let mut seen = nothing();
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
        // What an earlier run of the node noted; the first time stays.
        seen.remember_spoofing(Timestamp(1));
        seen.remember_spoofing(Timestamp(2));
        assert_eq!(
            say(&mut seen, 9, Some(Spoofing::Indicated)),
            Some(Timestamp(1))
        );
    }

    #[test]
    fn the_window_is_bounded_and_another_receiver_starts_anew() {
        let mut seen = nothing();
        seen.connected(Timestamp(0));
        for second in 0..200 {
            let mut sample = Sample::empty(Timestamp(second * 1000));
            sample.satellites = vec![satellite(); 200];
            seen.push(sample);
        }
        assert_eq!(seen.samples().len(), MIN_SAMPLES);
        assert_eq!(seen.latest().unwrap().received_at, Timestamp(199_000));
        assert_eq!(seen.latest().unwrap().satellites.len(), MAX_SATELLITES);
        seen.connected(Timestamp(200_000));
        assert_eq!(seen.latest(), None);
        seen.push(Sample::empty(Timestamp(201_000)));
        seen.disconnected();
        assert_eq!((seen.latest(), seen.connected_at()), (None, None));
    }

    /// What is kept of so many epochs, one in this many milliseconds.
    fn after(epochs: u64, every_ms: u64, policy: &PlacePolicy) -> Observation {
        let mut seen = Observation::new(false, policy);
        for n in 0..epochs {
            seen.push(Sample::empty(Timestamp(n * every_ms)));
        }
        seen
    }

    /// From the oldest epoch that is kept to the newest, milliseconds.
    fn reach_ms(seen: &Observation) -> u64 {
        let oldest = seen.samples().next().unwrap();
        seen.latest().unwrap().received_at.since(oldest.received_at)
    }

    #[test]
    fn the_window_holds_the_time_of_the_policy_at_any_rate() {
        let policy = PlacePolicy::default();
        let check = |every_ms, interval, kept, left_out| {
            let seen = after(200_000 / every_ms, every_ms, &policy);
            let told = (seen.interval_ms(), seen.samples().len(), seen.left_out());
            assert_eq!(told, (Some(interval), kept, left_out), "{every_ms} ms");
            assert!(reach_ms(&seen) >= policy.window_ms, "{every_ms} ms");
        };
        check(1000, 1000, MIN_SAMPLES, 0);
        check(200, 200, 302, 0);
        check(100, 100, 602, 0);
        // 25 Hz: every second epoch is kept. 50 Hz: every fourth.
        check(40, 80, 752, 751);
        check(20, 80, 752, 2_255);
        assert_eq!(after(1, 1000, &policy).interval_ms(), None);
        // An hour at 10 Hz is thinned out to what is held, and none of it is lost without a word.
        let hour = PlacePolicy {
            window_ms: 3_600_000,
            ..policy
        };
        let seen = after(40_000, 100, &hour);
        assert!(seen.samples().len() <= MAX_SAMPLES);
        assert!(reach_ms(&seen) >= hour.window_ms);
        assert!(seen.left_out() > 28_000, "{}", seen.left_out());
    }

    /// At 20 Hz every second epoch is left out: what is said once a second must not be with it.
    #[test]
    fn what_is_said_once_a_second_stays_whichever_epochs_are_left_out() {
        for odd in [0, 1] {
            let mut seen = nothing();
            for n in 0..200 {
                let mut sample = Sample::empty(Timestamp(n * 50));
                if n % 20 == odd {
                    sample.satellites = vec![satellite()];
                    sample.jamming = Some(Jamming::Critical);
                }
                seen.push(sample);
            }
            let lists = seen.samples().filter(|s| !s.satellites.is_empty());
            let jammed = seen.samples().filter(|s| s.jamming.is_some());
            assert_eq!((lists.count(), jammed.count()), (10, 10), "{odd}");
            assert!(seen.left_out() > 90);
        }
    }

    #[test]
    fn a_step_of_the_nodes_clock_does_not_shorten_the_window() {
        let mut seen = nothing();
        for n in 0..700 {
            // The clock is put an hour forward in the middle; the receiver's goes on.
            let stepped = if n < 500 { 0 } else { 3_600_000 };
            let mut sample = Sample::empty(Timestamp(n * 100 + stepped));
            sample.fix_time = Some(Timestamp(n * 100));
            seen.push(sample);
        }
        assert_eq!(seen.samples().len(), 602);
    }

    #[test]
    fn one_missing_epoch_and_one_too_many_do_not_change_the_rate() {
        let mut seen = nothing();
        for at in [0, 1000, 2000, 2300, 3000, 7000, 8000, 9000, 10_000] {
            seen.push(Sample::empty(Timestamp(at)));
        }
        assert_eq!(seen.interval_ms(), Some(1000));
        // One that has just begun is not slow for a gap.
        let mut new = nothing();
        for at in [0, 200, 2800] {
            new.push(Sample::empty(Timestamp(at)));
        }
        assert_eq!(new.interval_ms(), Some(200));
    }

    #[test]
    fn what_was_before_a_leap_of_time_stays_to_show_it() {
        let mut seen = after(1000, 100, &PlacePolicy::default());
        let leap = 100_000 + 3_600_000;
        for n in 0..500 {
            seen.push(Sample::empty(Timestamp(leap + n * 100)));
        }
        let before = seen.samples().filter(|s| s.received_at < Timestamp(leap));
        assert_eq!(before.count(), 1, "the last one before it");
    }

    #[test]
    fn a_recording_is_as_long_as_its_own_clock_says() {
        let mut seen = Observation::new(true, &PlacePolicy::default());
        for n in 0..2000 {
            let mut sample = Sample::empty(Timestamp(7));
            sample.fix_time = Some(Timestamp(n * 100));
            seen.push(sample);
        }
        assert_eq!((seen.samples().len(), seen.left_out()), (602, 0));
        assert_eq!(seen.interval_ms(), Some(100));
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

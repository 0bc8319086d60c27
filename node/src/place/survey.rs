//! Where an antenna is: positions of a fixed receiver averaged, with their spread.
//!
//! Owns the arithmetic. The positions come from a running node or a capture; the configuration keeps the result.

use city_protocol::place::metric::distance_mm;
use city_protocol::place::point::DEGREE_E7;
use city_protocol::place::{Grade, Point, Reason};
use serde::Serialize;

use crate::config::SURVEYED_RADIUS_M;

/// Fewest positions that make a survey: a minute of the usual 1 Hz.
pub const MIN_POSITIONS: usize = 60;
/// Most positions that are kept: a day of 1 Hz, 700 KiB.
pub const MAX_POSITIONS: usize = 86_400;

/// Positions that are being averaged.
#[derive(Debug, Default)]
pub struct Survey {
    positions: Vec<Point>,
    left_out: u64,
}

/// A proposal for `place.surveyed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// Latitude, 1e-7 degrees.
    pub lat_e7: i32,
    /// Longitude, 1e-7 degrees.
    pub lon_e7: i32,
    /// Positions that were averaged.
    pub positions: usize,
    /// Positions that were left out because a check had failed.
    pub left_out: u64,
    /// Within this distance of it lie half of the positions, millimetres.
    pub half_mm: u64,
    /// And 95 of 100.
    pub most_mm: u64,
    /// And all.
    pub all_mm: u64,
    /// What `place.surveyed_radius_m` should be: the default, or twice the distance of all where that is more.
    pub radius_m: u32,
}

impl Survey {
    /// One more position, unless a check failed; that an earlier survey says otherwise is no reason against a new one.
    pub fn add(&mut self, point: Point, grade: Grade, reasons: &[Reason]) {
        let off_alone = |reason: &Reason| *reason == Reason::OffSurvey || !reason.fails();
        let again = reasons.contains(&Reason::OffSurvey) && reasons.iter().all(off_alone);
        let full = self.positions.len() == MAX_POSITIONS;
        if full || (grade < Grade::Plausible && !again) {
            self.left_out += 1;
        } else {
            self.positions.push(point);
        }
    }

    /// Positions so far.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.positions.len()
    }

    /// The mean and how the positions lie around it; `None` with fewer than [`MIN_POSITIONS`].
    #[must_use]
    pub fn proposal(&self) -> Option<Proposal> {
        if self.positions.len() < MIN_POSITIONS {
            return None;
        }
        let mean = mean(&self.positions)?;
        let mut distances: Vec<_> = self
            .positions
            .iter()
            .map(|&point| distance_mm(mean, point))
            .collect();
        distances.sort_unstable();
        let within = |percent: usize| distances[(distances.len() - 1) * percent / 100];
        let all_mm = within(100);
        let wide = u32::try_from((2 * all_mm).div_ceil(1000)).unwrap_or(u32::MAX);
        Some(Proposal {
            lat_e7: mean.lat_e7(),
            lon_e7: mean.lon_e7(),
            positions: self.positions.len(),
            left_out: self.left_out,
            half_mm: within(50),
            most_mm: within(95),
            all_mm,
            radius_m: wide.max(SURVEYED_RADIUS_M),
        })
    }
}

impl Proposal {
    /// The point.
    ///
    /// # Panics
    /// Never: a mean of points is one.
    #[must_use]
    pub fn point(&self) -> Point {
        Point::new(self.lat_e7, self.lon_e7).expect("a mean of points is one")
    }

    /// The lines of the configuration.
    #[must_use]
    pub fn config(&self) -> String {
        let point = self.point();
        format!(
            "[place]\nsurveyed = \"{},{}\"\nsurveyed_radius_m = {}\n",
            point.lat_text(),
            point.lon_text(),
            self.radius_m
        )
    }
}

/// The mean; longitudes are taken as differences from the first, so that the antimeridian is no border.
fn mean(points: &[Point]) -> Option<Point> {
    let first = points.first()?;
    let turn = 360 * i64::from(DEGREE_E7);
    let around = |value: i64| (value + turn / 2).rem_euclid(turn) - turn / 2;
    let count = i64::try_from(points.len()).ok()?;
    let half_up = |sum: i64| (2 * sum + count).div_euclid(2 * count);
    let lat: i64 = points.iter().map(|p| i64::from(p.lat_e7())).sum();
    let start = i64::from(first.lon_e7());
    let east = points.iter().map(|p| around(i64::from(p.lon_e7()) - start));
    let lon = around(start + half_up(east.sum()));
    Point::new(i32::try_from(half_up(lat)).ok()?, i32::try_from(lon).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(points: impl IntoIterator<Item = (i32, i32)>) -> Survey {
        let mut survey = Survey::default();
        for (lat, lon) in points {
            survey.add(Point::new(lat, lon).unwrap(), Grade::Plausible, &[]);
        }
        survey
    }

    #[test]
    fn positions_are_averaged_and_their_spread_is_told() {
        let around = |i: i32| (365_613_000 + i % 2 * 10, 1_366_562_000);
        let proposal = survey((0..100).map(around)).proposal().unwrap();
        assert_eq!(
            (proposal.lat_e7, proposal.lon_e7),
            (365_613_005, 1_366_562_000)
        );
        assert_eq!((proposal.half_mm, proposal.all_mm), (56, 56));
        assert_eq!(
            proposal.config(),
            "[place]\nsurveyed = \"36.5613005,136.6562000\"\nsurveyed_radius_m = 50\n"
        );
        assert_eq!(survey((0..59).map(around)).proposal(), None);
    }

    #[test]
    fn a_wide_spread_asks_for_a_wider_radius_and_the_antimeridian_is_no_border() {
        let side = |i: i32| {
            (
                0,
                if i % 2 == 0 {
                    1_799_995_000
                } else {
                    -1_799_995_000
                },
            )
        };
        let proposal = survey((0..100).map(side)).proposal().unwrap();
        assert_eq!(proposal.lon_e7.unsigned_abs(), 1_800_000_000);
        assert_eq!((proposal.all_mm / 1000, proposal.radius_m), (55, 112));
    }

    #[test]
    fn what_is_suspect_is_left_out_but_for_the_old_survey() {
        let mut survey = Survey::default();
        let point = Point::new(1, 1).unwrap();
        survey.add(point, Grade::Suspect, &[Reason::Jump]);
        assert_eq!((survey.positions(), survey.left_out), (0, 1));
        survey.add(point, Grade::Suspect, &[Reason::OffSurvey]);
        assert_eq!((survey.positions(), survey.left_out), (1, 1));
        let spoofed = [Reason::OffSurvey, Reason::SpoofingIndicated];
        survey.add(point, Grade::Suspect, &spoofed);
        assert_eq!((survey.positions(), survey.left_out), (1, 2));
        let recorded = [Reason::OffSurvey, Reason::Recorded];
        survey.add(point, Grade::Suspect, &recorded);
        assert_eq!((survey.positions(), survey.left_out), (2, 2));
    }
}

//! From what a receiver said to a verdict: the checks of Proof of Place.
//!
//! `unknown` is never `ok`: a check that fails makes the grade `suspect`, one that cannot run caps it at `plausible`.
//! Thresholds stand in `policy`, words in `evidence`; the verdict becomes a proof in `proof`.

use serde::{Deserialize, Serialize};

use super::boundary::BoundaryIndex;
use super::checks::{self, Tally};
use super::checks_time::between_ms;
use super::evidence::{Grade, Reason};
use super::locate::Side;
use super::observe::{Jamming, Observation, Quality, Sample, Spoofing};
use super::point::Point;
use super::policy::PlacePolicy;
use super::satellite::{Cn0, System};
use super::{checks_motion, checks_signal, checks_time};
use crate::amount::Timestamp;
use crate::ids::Digest;
use crate::refusal::Refusal;
use crate::region::Region;

/// What a receiver's words are judged by.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// Outlines of municipalities.
    pub boundary: Option<&'a BoundaryIndex>,
    /// The municipality; `None` where a capture is looked at that belongs to nobody.
    pub home: Option<&'a Region>,
    /// Where the antenna of a fixed installation is.
    pub survey: Option<Survey>,
    /// The municipality's policy.
    pub policy: &'a PlacePolicy,
    /// The network's genesis is not `live`, so recorded and simulated receivers are taken, at most as `plausible`.
    pub purpose_allows_recorded: bool,
}

/// Where the antenna of a fixed installation is, as somebody measured once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The point.
    pub point: Point,
    /// How far from it a position may be, metres.
    pub radius_m: u32,
}

/// Where somebody says that they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The point.
    pub point: Point,
    /// How exact they say it is, one sigma, millimetres.
    pub accuracy_mm: Option<u32>,
}

/// What the evidence amounts to, with the figures it rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Strength of the evidence.
    pub grade: Grade,
    /// Why it is not stronger, or not here; sorted by code, each once.
    pub reasons: Vec<Reason>,
    /// Code of the municipality that the position lies in.
    pub municipality: Option<String>,
    /// Inside, near the border, or in no municipality; `None` without position or boundary index.
    pub side: Option<Side>,
    /// The position, not rounded.
    pub point: Option<Point>,
    /// The receiver's time of the position.
    pub fix_time: Option<Timestamp>,
    /// Satellites used.
    pub satellites_used: Option<u8>,
    /// Horizontal dilution of precision, hundredths.
    pub hdop_centi: Option<u16>,
    /// Digest of the boundary index that was used.
    pub boundary: Option<Digest>,
    /// Version of the policy that was used.
    pub policy: u64,
    /// Further figures.
    pub figures: Figures,
}

/// The measured figures behind a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Kind of solution: 0, 2 or 3.
    pub mode: u8,
    /// Origin of the solution.
    pub quality: Quality,
    /// Age of the fix, milliseconds.
    pub fix_age_ms: Option<u64>,
    /// How old it may be at this receiver's rate, milliseconds.
    pub fix_age_allowed_ms: Option<u64>,
    /// Satellites in view.
    pub satellites_in_view: Option<u8>,
    /// Accuracy, one sigma, millimetres: reported, or estimated from the dilution of precision.
    pub accuracy_mm: Option<u32>,
    /// Receiver's time less the node's, milliseconds.
    pub clock_difference_ms: Option<i64>,
    /// Reported speed, millimetres per second.
    pub speed_mm_s: Option<u32>,
    /// Longest way between two neighbouring epochs of the window, millimetres.
    pub longest_step_mm: Option<u64>,
    /// Fixes in the window.
    pub fixes: usize,
    /// Epochs of the window that came faster than they are kept: nothing between two kept ones is compared.
    #[serde(default)]
    pub left_out: u64,
    /// Farthest that the positions moved beyond the way that the reported speed makes, millimetres.
    pub unexplained_way_mm: Option<u64>,
    /// Epochs in a row with the newest position.
    pub held_epochs: u32,
    /// Longest step of the receiver's time between neighbouring fixes, milliseconds.
    pub longest_time_step_ms: Option<i64>,
    /// How far the receiver's time ran backwards, milliseconds.
    pub backwards_ms: Option<u64>,
    /// Largest difference in latitude or longitude between sentences of the epoch, 1e-7 degrees.
    pub sentences_apart_e7: Option<u32>,
    /// C/N0 of the used satellites.
    pub cn0: Option<Cn0>,
    /// Systems of the used satellites.
    pub systems: Vec<System>,
    /// What the receiver's spoofing detection says now.
    pub spoofing: Option<Spoofing>,
    /// When it first indicated spoofing, until somebody clears it.
    pub spoofing_since: Option<Timestamp>,
    /// What the receiver says of interference.
    pub jamming: Option<Jamming>,
    /// Distance from the surveyed antenna point, millimetres.
    pub survey_distance_mm: Option<u64>,
    /// Metres to the border of the municipality, or outside of all to the nearest.
    pub border_distance_m: Option<u32>,
    /// Metres to the home's border when the position is not in it.
    pub home_distance_m: Option<u32>,
}

impl Verdict {
    /// Whether this evidence satisfies the policy for this home.
    ///
    /// # Errors
    /// [`Refusal::NoPosition`] without position, else [`Refusal::PlaceInsufficient`].
    pub fn admit(&self, home: &Region, policy: &PlacePolicy) -> Result<(), Refusal> {
        admit(self.grade, self.municipality.as_deref(), home, policy)
    }
}

/// The one rule of admission, for a verdict and for a proof.
pub(super) fn admit(
    grade: Grade,
    municipality: Option<&str>,
    home: &Region,
    policy: &PlacePolicy,
) -> Result<(), Refusal> {
    if grade == Grade::None {
        Err(Refusal::NoPosition)
    } else if grade >= policy.required && municipality == Some(home.municipality()) {
        Ok(())
    } else {
        Err(Refusal::PlaceInsufficient)
    }
}

/// Judges what a receiver said; `now` is the node's clock. A recording is judged by its own clock: its fix times among
/// themselves.
#[must_use]
pub fn judge(seen: &Observation, site: &Site<'_>, now: Timestamp) -> Verdict {
    let policy = site.policy;
    let mut tally = Tally::default();
    let mut verdict = Verdict {
        boundary: site.boundary.map(BoundaryIndex::digest),
        policy: policy.version,
        ..Verdict::default()
    };
    let (newest, point) = match newest_fix(seen, policy) {
        Ok(found) => found,
        Err(reason) => {
            verdict.reasons = vec![reason];
            return verdict;
        }
    };
    verdict.point = Some(point);
    verdict.fix_time = newest.fix_time;
    verdict.satellites_used = newest.satellites_used;
    verdict.hdop_centi = newest.hdop_centi;
    let figures = &mut verdict.figures;
    figures.mode = newest.mode.number();
    figures.quality = newest.quality;
    figures.satellites_in_view = newest.satellites_in_view;
    figures.left_out = seen.left_out();

    checks::source(&mut tally, seen, site, now);
    checks_time::time(&mut tally, figures, seen, newest, policy, now);
    checks_time::steps(&mut tally, figures, seen, newest, policy);
    checks::solution(&mut tally, figures, newest, policy);
    checks_motion::movement(&mut tally, figures, seen, newest, policy);
    checks_signal::signals(&mut tally, figures, seen, newest, policy);
    checks_signal::monitors(&mut tally, figures, seen, newest, policy);
    checks::survey(&mut tally, figures, site, point);
    checks::place(&mut tally, &mut verdict, site, point);

    verdict.grade = tally.grade();
    verdict.reasons = tally.sorted();
    verdict
}

/// Judges somebody's own coordinates: at most `claimed`, for no check of a receiver ran. Which municipality they lie in and how
/// near its border is as exact as for a receiver's; the node's antenna says nothing about it.
#[must_use]
pub fn judge_claim(claim: &Claim, site: &Site<'_>) -> Verdict {
    let policy = site.policy;
    let mut tally = Tally::default();
    let mut verdict = Verdict {
        boundary: site.boundary.map(BoundaryIndex::digest),
        policy: policy.version,
        point: Some(claim.point),
        ..Verdict::default()
    };
    verdict.figures.accuracy_mm = claim.accuracy_mm;
    tally.cap(Reason::ClientClaim);
    tally.require(
        claim.accuracy_mm,
        Reason::AccuracyUnknown,
        |mm| mm <= policy.max_accuracy_mm,
        Reason::AccuracyLow,
    );
    checks::place(&mut tally, &mut verdict, site, claim.point);
    verdict.grade = tally.grade().min(Grade::Claimed);
    verdict.reasons = tally.sorted();
    verdict
}

/// The newest epoch with a position. A receiver that went on to say "no position" for longer than a fix may be old has
/// none; one that fell silent has an old one.
fn newest_fix<'a>(
    seen: &'a Observation,
    policy: &PlacePolicy,
) -> Result<(&'a Sample, Point), Reason> {
    if seen.connected_at().is_none() && !(seen.own_clock() && seen.latest().is_some()) {
        return Err(Reason::NoReceiver);
    }
    let found = seen
        .samples()
        .rev()
        .find_map(|s| s.fix().map(|point| (s, point)));
    let (newest, point) = found.ok_or(Reason::NoFix)?;
    let latest = seen.latest().unwrap_or(newest);
    let lost_for = if seen.own_clock() {
        between_ms(latest, newest)
    } else {
        // The node's clock may have been set back in between.
        latest.received_at.0.abs_diff(newest.received_at.0)
    };
    if lost_for > policy.fix_age_allowed_ms(seen.interval_ms()) {
        return Err(Reason::NoFix);
    }
    Ok((newest, point))
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "judge_stories.rs"]
mod stories;

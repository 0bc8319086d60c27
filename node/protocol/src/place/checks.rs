//! The checks of what a receiver says of itself, and of the place: each looks at one thing and tells the tally.
//!
//! A check that fails makes the grade `suspect`, one that cannot run caps it at `plausible`. Which epoch is judged, and
//! what becomes of the tally, stands in `judge`.

use super::evidence::{Grade, Reason};
use super::judge::{Figures, Site, Verdict};
use super::locate::Side;
use super::metric::distance_mm;
use super::observe::{FixMode, Observation, Quality, Sample};
use super::point::Point;
use super::policy::PlacePolicy;
use crate::amount::Timestamp;
use crate::region::Region;

/// Standard deviations that make "certainly on this side of the border": receivers report one, 95 % are two.
const BORDER_SIGMAS: u64 = 2;

/// What the checks said so far.
#[derive(Default)]
pub(super) struct Tally {
    failed: bool,
    capped: bool,
    pub(super) reasons: Vec<Reason>,
}

impl Tally {
    pub(super) fn fail(&mut self, reason: Reason) {
        debug_assert!(reason.fails() || matches!(reason, Reason::Recorded | Reason::Simulated));
        self.failed = true;
        self.reasons.push(reason);
    }

    pub(super) fn cap(&mut self, reason: Reason) {
        self.capped = true;
        self.reasons.push(reason);
    }

    /// A figure that must hold: unknown caps, wrong fails.
    pub(super) fn require<T: Copy>(
        &mut self,
        figure: Option<T>,
        unknown: Reason,
        good: impl Fn(T) -> bool,
        wrong: Reason,
    ) {
        match figure {
            None => self.cap(unknown),
            Some(figure) if good(figure) => {}
            Some(_) => self.fail(wrong),
        }
    }

    /// The reasons by code, each once.
    pub(super) fn sorted(mut self) -> Vec<Reason> {
        self.reasons.sort_unstable();
        self.reasons.dedup();
        self.reasons
    }

    pub(super) const fn grade(&self) -> Grade {
        match (self.failed, self.capped) {
            (true, _) => Grade::Suspect,
            (false, true) => Grade::Plausible,
            (false, false) => Grade::Attested,
        }
    }
}

/// Recorded, simulated, typed in, estimated, just started: anywhere in the window.
pub(super) fn source(tally: &mut Tally, seen: &Observation, site: &Site<'_>, now: Timestamp) {
    let any = |quality| {
        seen.samples()
            .any(|s| s.fix().is_some() && s.quality == quality)
    };
    let mut not_live = |reason| {
        if site.purpose_allows_recorded {
            tally.cap(reason);
        } else {
            tally.fail(reason);
        }
    };
    if seen.recorded() {
        not_live(Reason::Recorded);
    }
    if any(Quality::Simulated) {
        not_live(Reason::Simulated);
    }
    if any(Quality::Manual) {
        tally.fail(Reason::ManualMode);
    }
    if any(Quality::Estimated) {
        tally.cap(Reason::Estimated);
    }
    let connected_for = seen.connected_at().map(|at| now.since(at));
    let grace = site.policy.start_up_grace_ms;
    if !seen.own_clock() && connected_for.is_none_or(|ms| ms < grace) {
        tally.cap(Reason::StartUpGrace);
    }
}

/// What the receiver says about its own solution.
pub(super) fn solution(
    tally: &mut Tally,
    figures: &mut Figures,
    newest: &Sample,
    policy: &PlacePolicy,
) {
    if newest.mode == FixMode::TwoD {
        tally.cap(Reason::TwoDimensional);
    }
    let enough = |used| used >= policy.min_satellites;
    tally.require(
        newest.satellites_used,
        Reason::SatellitesUnknown,
        enough,
        Reason::FewSatellites,
    );
    let sharp = |hdop| hdop <= policy.max_hdop_centi;
    tally.require(
        newest.hdop_centi,
        Reason::HdopUnknown,
        sharp,
        Reason::HdopHigh,
    );
    let good = |mm| mm <= policy.max_accuracy_mm;
    tally.require(
        newest.accuracy_mm,
        Reason::AccuracyUnknown,
        good,
        Reason::AccuracyLow,
    );
    figures.accuracy_mm = newest.accuracy_mm.or_else(|| {
        let hdop = u64::from(newest.hdop_centi?);
        u32::try_from(hdop * u64::from(policy.range_error_mm) / 100).ok()
    });
    // A receiver whose epoch is one sentence cannot contradict itself; the others say one thing twice.
    figures.sentences_apart_e7 = newest.sentences_apart_e7;
    if newest.sentences_apart_e7 > Some(policy.max_sentence_difference_e7) {
        tally.fail(Reason::SentencesDiffer);
    }
}

/// Where a fixed installation's antenna is.
pub(super) fn survey(tally: &mut Tally, figures: &mut Figures, site: &Site<'_>, point: Point) {
    let Some(survey) = site.survey else {
        return tally.cap(Reason::NotSurveyed);
    };
    let distance = distance_mm(survey.point, point);
    figures.survey_distance_mm = Some(distance);
    if distance > u64::from(survey.radius_m) * 1000 {
        tally.fail(Reason::OffSurvey);
    }
}

/// Which municipality, and how surely. Another place is no weaker evidence: the grade stays, the municipality differs.
pub(super) fn place(tally: &mut Tally, verdict: &mut Verdict, site: &Site<'_>, point: Point) {
    let Some(index) = site.boundary else {
        return tally.cap(Reason::NoBoundary);
    };
    let figures = &mut verdict.figures;
    // Without any figure of accuracy the side of the border is not known: everything is near it.
    let accuracy_m = figures.accuracy_mm.map_or(u32::MAX, |mm| {
        u32::try_from((u64::from(mm) * BORDER_SIGMAS).div_ceil(1000)).unwrap_or(u32::MAX)
    });
    let location = index.locate(point, accuracy_m);
    figures.border_distance_m = Some(location.distance_m);
    if location.side == Side::Border {
        tally.cap(Reason::Border);
    }
    let home = site.home.map(Region::municipality);
    if let Some(home) = home.filter(|&home| location.code != Some(home)) {
        tally.reasons.push(Reason::Outside);
        figures.home_distance_m = index.border_distance_m(home, point);
    }
    verdict.side = Some(location.side);
    verdict.municipality = location.code.map(Into::into);
}

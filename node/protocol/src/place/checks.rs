//! The checks themselves: each looks at one thing and tells the tally.
//!
//! A check that fails makes the grade `suspect`, one that cannot run caps it at `plausible`. Which epoch is judged, and
//! what becomes of the tally, stands in `judge`.

use super::boundary::BoundaryIndex;
use super::evidence::{Grade, Reason};
use super::judge::{Figures, Verdict};
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
    fn fail(&mut self, reason: Reason) {
        self.failed = true;
        self.reasons.push(reason);
    }

    pub(super) fn cap(&mut self, reason: Reason) {
        self.capped = true;
        self.reasons.push(reason);
    }

    /// A figure that must hold: unknown caps, wrong fails.
    fn require<T: Copy>(
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

    pub(super) const fn grade(&self) -> Grade {
        match (self.failed, self.capped) {
            (true, _) => Grade::Suspect,
            (false, true) => Grade::Plausible,
            (false, false) => Grade::Attested,
        }
    }
}

/// Recorded, simulated, typed in, estimated, just started: anywhere in the window.
pub(super) fn source(
    tally: &mut Tally,
    seen: &Observation,
    policy: &PlacePolicy,
    now: Timestamp,
    purpose_allows_recorded: bool,
) {
    let any = |quality| {
        seen.samples()
            .any(|s| s.fix().is_some() && s.quality == quality)
    };
    let mut not_live = |reason| {
        if purpose_allows_recorded {
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
    if !seen.recorded() && connected_for.is_none_or(|ms| ms < policy.start_up_grace_ms) {
        tally.cap(Reason::StartUpGrace);
    }
}

/// Age of the fix and the receiver's time: against the node's clock, or a recording's against its own.
pub(super) fn time(
    tally: &mut Tally,
    figures: &mut Figures,
    seen: &Observation,
    newest: &Sample,
    policy: &PlacePolicy,
    now: Timestamp,
) {
    figures.fix_age_ms = if seen.recorded() {
        let end = seen.samples().filter_map(|s| s.fix_time).max();
        newest.fix_time.zip(end).map(|(fix, end)| end.since(fix))
    } else {
        Some(now.since(newest.received_at))
    };
    let fresh = |age| age <= policy.max_fix_age_ms;
    tally.require(
        figures.fix_age_ms,
        Reason::NoReceiverTime,
        fresh,
        Reason::FixStale,
    );
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let node = newest.received_at;
    figures.clock_difference_ms = newest
        .fix_time
        .map(|fix| signed(fix.since(node)) - signed(node.since(fix)));
    if !seen.recorded() {
        let close = |ms: i64| ms.unsigned_abs() <= policy.max_clock_difference_ms;
        let difference = figures.clock_difference_ms;
        tally.require(
            difference,
            Reason::NoReceiverTime,
            close,
            Reason::ReceiverTimeDiffers,
        );
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
}

/// Speed, and the way from epoch to epoch.
pub(super) fn movement(
    tally: &mut Tally,
    figures: &mut Figures,
    seen: &Observation,
    newest: &Sample,
    policy: &PlacePolicy,
) {
    figures.speed_mm_s = newest.speed_mm_s;
    let since = |later: &Sample, earlier: &Sample| match (later.fix_time, earlier.fix_time) {
        (Some(later), Some(earlier)) => later.0.abs_diff(earlier.0),
        _ => later.received_at.since(earlier.received_at),
    };
    let window = seen
        .samples()
        .filter(|s| since(newest, s) <= policy.window_ms);
    if window.clone().any(|s| {
        s.speed_mm_s
            .is_some_and(|speed| speed > policy.max_speed_mm_s)
    }) {
        tally.fail(Reason::SpeedHigh);
    }
    let fixes = window.filter_map(|s| s.fix().map(|point| (s, point)));
    figures.fixes = fixes.clone().count();
    if figures.fixes < 2 {
        return tally.cap(Reason::WindowShort);
    }
    for ((earlier, from), (later, to)) in fixes.clone().zip(fixes.skip(1)) {
        let step = distance_mm(from, to);
        figures.longest_step_mm = figures.longest_step_mm.max(Some(step));
        let reach = u128::from(policy.max_speed_mm_s) * u128::from(since(later, earlier)) / 1000
            + u128::from(policy.jump_allowance_mm);
        if u128::from(step) > reach {
            tally.fail(Reason::Jump);
        }
    }
}

/// Which municipality, and how surely. Another place is no weaker evidence: the grade stays, the municipality differs.
pub(super) fn place(
    tally: &mut Tally,
    verdict: &mut Verdict,
    boundary: Option<&BoundaryIndex>,
    home: &Region,
    point: Point,
) {
    let Some(index) = boundary else {
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
    if location.code != Some(home.municipality()) {
        tally.reasons.push(Reason::Outside);
        figures.home_distance_m = index.border_distance_m(home.municipality(), point);
    }
    verdict.side = Some(location.side);
    verdict.municipality = location.code.map(Into::into);
}

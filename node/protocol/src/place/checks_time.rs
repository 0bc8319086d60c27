//! The checks of time: the age of the fix, the receiver's clock, its date, and that it runs forward.

use super::checks::Tally;
use super::evidence::Reason;
use super::judge::Figures;
use super::observe::{Observation, Sample};
use super::policy::PlacePolicy;
use super::satellite::System;
use crate::amount::Timestamp;

/// 1024 weeks, milliseconds: after so many GPS counts from 0 again (IS-GPS-200, 20.3.3.3.1.1).
const ROLLOVER_MS: u64 = 1024 * 7 * 86_400_000;
/// How exactly a difference has to be a multiple of it, milliseconds: a day, for a node whose clock is roughly right.
const ROLLOVER_SLACK_MS: u64 = 86_400_000;

/// How far time may run backwards, milliseconds: receivers move their epochs to the whole second after the first fixes
/// (telit-he910: by 302 ms).
const BACKWARDS_SLACK_MS: u64 = 1000;

/// Age of the fix and the receiver's time: against the node's clock, or a recording's against its own.
pub(super) fn time(
    tally: &mut Tally,
    figures: &mut Figures,
    seen: &Observation,
    newest: &Sample,
    policy: &PlacePolicy,
    now: Timestamp,
) {
    let age = if seen.own_clock() {
        seen.latest().map_or(0, |latest| between_ms(latest, newest))
    } else {
        // The node's clock may have been set back since: the age is not known then, and not 0.
        now.0.abs_diff(newest.received_at.0)
    };
    let allowed = policy.fix_age_allowed_ms(seen.interval_ms());
    figures.fix_age_ms = Some(age);
    figures.fix_age_allowed_ms = Some(allowed);
    if newest.fix_time.is_none() {
        tally.cap(Reason::NoReceiverTime);
    }
    if age > allowed {
        tally.fail(Reason::FixStale);
    }
    figures.clock_difference_ms = newest
        .fix_time
        .map(|fix| difference_ms(fix, newest.received_at));
    if !seen.own_clock() {
        let far = |ms: i64| ms.unsigned_abs() > policy.max_clock_difference_ms;
        let difference = figures.clock_difference_ms;
        if difference.is_some_and(far) {
            tally.fail(Reason::ReceiverTimeDiffers);
        }
        if difference.is_some_and(is_rollover) {
            tally.fail(Reason::WeekRollover);
        }
    }
    if let Some(fix) = newest.fix_time {
        let not_yet = seen.own_clock() && fix > now.plus_ms(policy.max_clock_difference_ms);
        if not_yet || fix < earliest(newest) {
            tally.fail(Reason::DateImplausible);
        }
    }
}

/// `a` less `b`.
fn difference_ms(a: Timestamp, b: Timestamp) -> i64 {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    signed(a.since(b)) - signed(b.since(a))
}

const fn is_rollover(difference_ms: i64) -> bool {
    let difference = difference_ms.unsigned_abs();
    let beyond = difference % ROLLOVER_MS;
    let off = if beyond < ROLLOVER_MS / 2 {
        beyond
    } else {
        ROLLOVER_MS - beyond
    };
    difference > ROLLOVER_MS / 2 && off <= ROLLOVER_SLACK_MS
}

/// The first moment at which this position can have been found: all systems that it uses had to be there.
fn earliest(sample: &Sample) -> Timestamp {
    let used = sample.satellites.iter().filter(|s| s.used);
    let systems = used.map(|s| s.system.since_ms());
    Timestamp(systems.max().unwrap_or(System::Gps.since_ms()))
}

/// Time between two epochs, milliseconds: by the receiver's clock, or by the node's where it gives none.
pub(super) fn between_ms(later: &Sample, earlier: &Sample) -> u64 {
    match (later.fix_time, earlier.fix_time) {
        (Some(later), Some(earlier)) => later.0.abs_diff(earlier.0),
        _ => later.received_at.since(earlier.received_at),
    }
}

/// That time runs forward, and where nothing else tells the time, without a leap. What happened is remembered for the
/// window.
pub(super) fn steps(
    tally: &mut Tally,
    figures: &mut Figures,
    seen: &Observation,
    newest: &Sample,
    policy: &PlacePolicy,
) {
    let dated = seen
        .samples()
        .filter(|s| s.fix().is_some())
        .filter_map(|s| s.fix_time.map(|time| (s, time)));
    for ((_, before), (sample, after)) in dated.clone().zip(dated.skip(1)) {
        if between_ms(newest, sample) > policy.window_ms {
            continue;
        }
        let step = difference_ms(after, before);
        figures.longest_time_step_ms = figures.longest_time_step_ms.max(Some(step));
        if step < 0 {
            let backwards = step.unsigned_abs();
            figures.backwards_ms = figures.backwards_ms.max(Some(backwards));
            if backwards > BACKWARDS_SLACK_MS {
                tally.fail(Reason::TimeBackwards);
            }
        }
        // The node's own clock says whether a live receiver was only silent for that long.
        if seen.own_clock() && step.unsigned_abs() > policy.window_ms && step > 0 {
            tally.fail(Reason::TimeJump);
        }
    }
}

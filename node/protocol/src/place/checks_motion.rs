//! The checks of movement: speed, jumps, the way against the reported speed, and a position that stands too still.

use super::checks::Tally;
use super::checks_time::between_ms;
use super::evidence::Reason;
use super::judge::Figures;
use super::metric::distance_mm;
use super::observe::{Observation, Sample, Stillness};
use super::point::Point;
use super::policy::PlacePolicy;
use super::satellite::SeenSatellite;

/// Fixes in which a receiver must have shown that its last digit is never still, before standing still is a sign.
const LIVELY_FIXES: u32 = 30;
/// Of so many fixes at most one may have been where its predecessor was: then five in a row come once in millions.
const LIVELY_SHARE: u32 = 50;
/// Time in which position, altitude, dilution and every C/N0 being the same is a sign, milliseconds: fixed antennas hold
/// positions, and fast receivers say the same strength several times, but no sky holds the noise of four signals for long.
const DEAD_MS: u64 = 10_000;
/// Fewest epochs in that time.
const DEAD_EPOCHS: usize = 10;
/// Fewest signals for that.
const DEAD_SIGNALS: usize = 4;

/// Speed, and the way from epoch to epoch.
pub(super) fn movement(
    tally: &mut Tally,
    figures: &mut Figures,
    seen: &Observation,
    newest: &Sample,
    policy: &PlacePolicy,
) {
    figures.speed_mm_s = newest.speed_mm_s;
    let window = seen
        .samples()
        .filter(|s| between_ms(newest, s) <= policy.window_ms);
    let fast = |speed| speed > policy.max_speed_mm_s;
    if window.clone().any(|s| s.speed_mm_s.is_some_and(fast)) {
        tally.fail(Reason::SpeedHigh);
    }
    let fixes: Vec<_> = window
        .filter_map(|s| s.fix().map(|point| (s, point)))
        .collect();
    figures.fixes = fixes.len();
    if figures.fixes < 2 {
        return tally.cap(Reason::WindowShort);
    }
    for pair in fixes.windows(2) {
        let [(earlier, from), (later, to)] = [pair[0], pair[1]];
        let step = distance_mm(from, to);
        figures.longest_step_mm = figures.longest_step_mm.max(Some(step));
        let reach = u128::from(policy.max_speed_mm_s) * u128::from(between_ms(later, earlier))
            / 1000
            + u128::from(policy.jump_allowance_mm);
        if u128::from(step) > reach {
            tally.fail(Reason::Jump);
        }
    }
    way(tally, figures, newest, policy, &fixes);
    stillness(tally, figures, seen, policy, &fixes);
}

type Fixed<'a> = (&'a Sample, Point);

/// Whether the positions went farther than the reported speed takes them: a false signal that pulls a receiver away
/// slowly. Noise is taken as twice the error of both ends.
fn way(
    tally: &mut Tally,
    figures: &mut Figures,
    newest: &Sample,
    policy: &PlacePolicy,
    fixes: &[Fixed<'_>],
) {
    if newest.speed_mm_s.is_none() {
        return tally.cap(Reason::SpeedUnknown);
    }
    let ways = Ways::of(fixes);
    let mut start = 0;
    for end in 1..fixes.len() {
        while between_ms(fixes[end].0, fixes[start].0) > policy.speed_window_ms {
            start += 1;
        }
        let Some(travelled) = ways.between_mm(start, end) else {
            continue;
        };
        let (from, to) = (fixes[start], fixes[end]);
        let noise = 2 * (error_mm(from.0, policy) + error_mm(to.0, policy));
        let moved = distance_mm(from.1, to.1);
        // A quarter more: speed is reported once an epoch, and it changes in between.
        let unexplained = moved.saturating_sub(travelled.saturating_add(travelled / 4));
        figures.unexplained_way_mm = figures.unexplained_way_mm.max(Some(unexplained));
        if unexplained > noise {
            tally.fail(Reason::SpeedContradicted);
        }
    }
    if figures.unexplained_way_mm.is_none() {
        tally.cap(Reason::SpeedUnknown);
    }
}

/// The ways that the reported speeds make up to each of some epochs: all sums at once, because a window of ten minutes at
/// 10 Hz has 6,000 of them.
struct Ways(Vec<(u128, usize)>);

impl Ways {
    /// Each sum in millimetres beside the number of steps in it whose speed is not reported.
    fn of(fixes: &[Fixed<'_>]) -> Self {
        let mut sum = (0_u128, 0_usize);
        let steps = fixes.windows(2).map(|pair| {
            let [(earlier, _), (later, _)] = [pair[0], pair[1]];
            match (earlier.speed_mm_s, later.speed_mm_s) {
                (Some(a), Some(b)) => {
                    sum.0 += u128::from(a.max(b)) * u128::from(between_ms(later, earlier)) / 1000;
                }
                _ => sum.1 += 1,
            }
            sum
        });
        Self(std::iter::once((0, 0)).chain(steps).collect())
    }

    /// The way from one epoch to a later one, millimetres; `None` if a speed between them is not reported.
    fn between_mm(&self, start: usize, end: usize) -> Option<u64> {
        let (from, to) = (self.0.get(start)?, self.0.get(end)?);
        (from.1 == to.1).then(|| u64::try_from(to.0 - from.0).unwrap_or(u64::MAX))
    }
}

/// Error of a position, one sigma, millimetres: what the receiver reports or its dilution makes of the usual range
/// error, and never less than that.
fn error_mm(sample: &Sample, policy: &PlacePolicy) -> u64 {
    let usual = u64::from(policy.range_error_mm);
    let diluted = sample.hdop_centi.map(|hdop| u64::from(hdop) * usual / 100);
    let reported = sample.accuracy_mm.map(u64::from);
    let error = reported.or(diluted);
    error
        .unwrap_or(u64::from(policy.max_accuracy_mm))
        .max(usual)
}

/// Whether the position stands stiller than one that is measured.
fn stillness(
    tally: &mut Tally,
    figures: &mut Figures,
    seen: &Observation,
    policy: &PlacePolicy,
    fixes: &[Fixed<'_>],
) {
    let &(newest, point) = fixes.last().expect("two or more");
    let Stillness {
        held,
        before,
        repeats,
        ..
    } = seen.stillness();
    figures.held_epochs = held;
    if held < u32::from(policy.held_epochs) {
        return;
    }
    let same = fixes.iter().rev().take_while(|(_, p)| *p == point).count();
    let held = &fixes[fixes.len() - same..];
    // Its last digit was never still, it says that it moves, and yet it stands.
    let lively = before >= LIVELY_FIXES && repeats * LIVELY_SHARE <= before;
    let moves = held
        .iter()
        .all(|(s, _)| s.speed_mm_s.is_some_and(|speed| speed > 0));
    // It says that it went far.
    let travelled = Ways::of(held).between_mm(0, held.len() - 1).unwrap_or(0);
    let far = travelled > 4 * error_mm(newest, policy);
    if (lively && moves) || far || is_dead(held) {
        tally.fail(Reason::PositionFrozen);
    } else {
        tally.cap(Reason::PositionHeld);
    }
}

/// Whether nothing at all changes but the time.
fn is_dead(held: &[Fixed<'_>]) -> bool {
    let Some(&(newest, _)) = held.last() else {
        return false;
    };
    let signals = newest.satellites.iter().filter_map(|s| s.cn0_dbhz).count();
    let same = |s: &Sample| {
        s.altitude_mm == newest.altitude_mm
            && s.hdop_centi == newest.hdop_centi
            && same_signals(&s.satellites, &newest.satellites)
    };
    let alike = held.iter().rev().take_while(|(s, _)| same(s));
    let (epochs, first) = alike.fold((0, newest), |(count, _), (s, _)| (count + 1, s));
    signals >= DEAD_SIGNALS && epochs >= DEAD_EPOCHS && between_ms(newest, first) >= DEAD_MS
}

/// Whether the same satellites are heard as well as before. Where they stand is no signal: a replayed position may go
/// beside an almanac that moves.
fn same_signals(these: &[SeenSatellite], others: &[SeenSatellite]) -> bool {
    let signal = |s: &SeenSatellite| (s.system, s.id, s.cn0_dbhz, s.used);
    these.iter().map(signal).eq(others.iter().map(signal))
}

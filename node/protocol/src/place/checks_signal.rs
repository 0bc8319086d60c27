//! The checks of signals: their strength, the constellations, and what the receiver's own monitors say.

use super::checks::Tally;
use super::checks_time::between_ms;
use super::evidence::Reason;
use super::judge::Figures;
use super::observe::{Jamming, Observation, Sample};
use super::policy::PlacePolicy;
use super::satellite::{SeenSatellite, System};

/// Epochs in a row without another constellation after which it is lost: receivers list satellites page by page, and one
/// list may be cut short.
const LOST_EPOCHS: usize = 3;
/// Satellites of other constellations that make one present: one alone comes and goes.
const PRESENT: usize = 2;
/// Satellites of GPS that make it strange that no other is heard: it is no dead antenna.
const GPS_HEARD: usize = 4;

/// Strength of the signals and the systems they come from.
pub(super) fn signals(
    tally: &mut Tally,
    figures: &mut Figures,
    seen: &Observation,
    newest: &Sample,
    policy: &PlacePolicy,
) {
    // Many receivers list their satellites in every fifth epoch only.
    let listing = seen
        .samples()
        .filter(|s| s.satellites.iter().any(|one| one.cn0_dbhz.is_some()))
        .filter(|s| between_ms(newest, s) <= policy.window_ms);
    let last = listing.clone().next_back();
    let recent = last.filter(|s| between_ms(newest, s) <= policy.max_fix_age_ms);
    figures.cn0 = recent.and_then(Sample::cn0);
    match figures.cn0 {
        Some(cn0) if cn0.satellites >= usize::from(policy.cn0_min_satellites) => {
            if cn0.spread_centi < u32::from(policy.min_cn0_spread_centi) {
                tally.fail(Reason::Cn0Flat);
            }
        }
        _ => tally.cap(Reason::Cn0Unknown),
    }
    if figures
        .cn0
        .is_some_and(|cn0| cn0.max_dbhz > policy.max_cn0_dbhz)
    {
        tally.fail(Reason::Cn0High);
    }
    figures.systems = recent.map(Sample::systems_used).unwrap_or_default();

    let lists: Vec<_> = listing.collect();
    let (before, now) = lists.split_at(lists.len().saturating_sub(LOST_EPOCHS));
    let present = before.iter().filter(|s| beside_gps(s) >= PRESENT).count();
    let had_others = !before.is_empty() && 2 * present >= before.len();
    let alone = |s: &&Sample| beside_gps(s) == 0 && gps(s) >= GPS_HEARD;
    let known = |s: &&System| !matches!(s, System::Sbas | System::Unknown);
    let main = figures.systems.iter().filter(known);
    if had_others && now.len() == LOST_EPOCHS && now.iter().all(alone) {
        tally.fail(Reason::ConstellationLost);
    } else if main.count() < 2 {
        tally.cap(Reason::SingleConstellation);
    }
}

fn count(sample: &Sample, which: impl Fn(&SeenSatellite) -> bool) -> usize {
    sample.satellites.iter().filter(|s| which(s)).count()
}

fn beside_gps(sample: &Sample) -> usize {
    count(sample, |s| s.tracked() && s.system.beside_gps())
}

fn gps(sample: &Sample) -> usize {
    count(sample, |s| s.tracked() && s.system == System::Gps)
}

/// What the receiver's own detection of spoofing and of interference says.
pub(super) fn monitors(
    tally: &mut Tally,
    figures: &mut Figures,
    seen: &Observation,
    newest: &Sample,
    policy: &PlacePolicy,
) {
    let recent = seen
        .samples()
        .rev()
        .filter(|s| between_ms(newest, s) <= policy.max_fix_age_ms);
    figures.spoofing = recent.clone().find_map(|s| s.spoofing);
    figures.spoofing_since = seen.spoofing_since();
    if figures.spoofing_since.is_some() {
        tally.fail(Reason::SpoofingIndicated);
    } else if figures.spoofing.is_none() {
        tally.cap(Reason::SpoofingUnknown);
    }
    figures.jamming = recent.clone().find_map(|s| s.jamming);
    match figures.jamming {
        Some(Jamming::Ok) => {}
        Some(Jamming::Warning) => tally.cap(Reason::JammingWarning),
        Some(Jamming::Critical) => tally.fail(Reason::Jamming),
        None => tally.cap(Reason::JammingUnknown),
    }
}

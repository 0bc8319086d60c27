//! Stories for `judge`: a node in 金沢市 whose receiver behaves, misbehaves, or is somebody's recording.

use super::super::boundary::SourcePart;
use super::super::observe::FixMode;
use super::super::satellite::SeenSatellite;
use super::*;

pub(super) const NOON: Timestamp = Timestamp(1_800_000_000_000);
pub(super) const SECOND: u64 = 1000;

pub(super) fn kanazawa() -> Region {
    "Asia/JP/17/17201".parse().unwrap()
}

/// 金沢市 and 小松市 as two squares of 0.1 degrees, side by side.
pub(super) fn map() -> BoundaryIndex {
    let square = |code: &str, west: i32| {
        let corners = [(0, 0), (0, 1), (1, 1), (1, 0)];
        let at = |(lat, lon)| Point::new(lat * 1_000_000, west + lon * 1_000_000).unwrap();
        SourcePart {
            code: code.into(),
            name: String::new(),
            rings: vec![corners.map(at).to_vec()],
        }
    };
    BoundaryIndex::build("", [square("17201", 0), square("17203", 1_000_000)])
        .unwrap()
        .0
}

/// Eleven satellites of four systems, as strong as their height makes them.
pub(super) fn good_sky() -> Vec<SeenSatellite> {
    let systems = [System::Gps, System::Galileo, System::Glonass, System::Qzss];
    let strengths = [49, 47, 46, 44, 42, 41, 38, 36, 33, 30, 27];
    let satellite = |(id, cn0): (u16, u8)| SeenSatellite {
        system: systems[usize::from(id) % 4],
        id,
        cn0_dbhz: Some(cn0),
        used: true,
        elevation_deg: None,
        azimuth_deg: None,
    };
    (0..).zip(strengths).map(satellite).collect()
}

pub(super) fn good_sample(received_at: Timestamp) -> Sample {
    // The last digit is never still.
    let noise = i32::try_from(received_at.0 / SECOND % 3).unwrap();
    Sample {
        received_at,
        fix_time: Some(received_at.minus_ms(200)),
        point: Some(Point::new(500_000 + noise, 500_000).unwrap()),
        mode: FixMode::ThreeD,
        quality: Quality::Autonomous,
        satellites_used: Some(11),
        satellites_in_view: Some(12),
        hdop_centi: Some(110),
        accuracy_mm: Some(2_500),
        altitude_mm: Some(30_000),
        speed_mm_s: Some(100),
        satellites: good_sky(),
        sentences_apart_e7: Some(0),
        spoofing: Some(Spoofing::NoneIndicated),
        jamming: Some(Jamming::Ok),
    }
}

/// Two minutes of a receiver that behaves, the last epoch at noon.
pub(super) fn good_window() -> Vec<Sample> {
    (0..120)
        .map(|i| good_sample(NOON.minus_ms((119 - i) * SECOND)))
        .collect()
}

pub(super) fn observation(samples: Vec<Sample>, recorded: bool) -> Observation {
    let mut seen = Observation::new(recorded, &PlacePolicy::default());
    seen.connected(NOON.minus_ms(120 * SECOND));
    samples.into_iter().for_each(|sample| seen.push(sample));
    seen
}

/// The antenna was measured, but these stories happen elsewhere, too.
const SURVEY: u32 = u32::MAX;

pub(super) fn judge(
    seen: &Observation,
    boundary: Option<&BoundaryIndex>,
    home: &Region,
    policy: &PlacePolicy,
    now: Timestamp,
    purpose_allows_recorded: bool,
) -> Verdict {
    let point = Point::new(500_000, 500_000).unwrap();
    let site = Site {
        boundary,
        home: Some(home),
        survey: Some(Survey {
            point,
            radius_m: SURVEY,
        }),
        policy,
        purpose_allows_recorded,
    };
    super::judge(seen, &site, now)
}

pub(super) fn judge_live(samples: Vec<Sample>) -> Verdict {
    judge(
        &observation(samples, false),
        Some(&map()),
        &kanazawa(),
        &PlacePolicy::default(),
        NOON,
        true,
    )
}

pub(super) fn check(verdict: &Verdict, grade: Grade, reasons: &[Reason]) {
    assert_eq!(
        (verdict.grade, verdict.reasons.as_slice()),
        (grade, reasons)
    );
}

/// The good window with its newest epoch changed.
pub(super) fn changed(change: fn(&mut Sample)) -> Verdict {
    let mut samples = good_window();
    change(samples.last_mut().unwrap());
    judge_live(samples)
}

#[test]
fn a_receiver_that_passes_every_check_is_attested() {
    let verdict = judge_live(good_window());
    check(&verdict, Grade::Attested, &[]);
    assert_eq!(verdict.municipality.as_deref(), Some("17201"));
    assert_eq!(verdict.side, Some(Side::Inside));
    assert_eq!(verdict.boundary, Some(map().digest()));
    assert_eq!(verdict.figures.clock_difference_ms, Some(-200));
    assert_eq!(verdict.figures.fixes, 61);
    assert_eq!(verdict.figures.longest_step_mm, Some(22));
    assert_eq!(verdict.figures.fix_age_ms, Some(0));
    assert_eq!(verdict.admit(&kanazawa(), &PlacePolicy::default()), Ok(()));
    let strict = PlacePolicy {
        required: Grade::Attested,
        ..PlacePolicy::default()
    };
    assert_eq!(verdict.admit(&kanazawa(), &strict), Ok(()));
    let weaker = changed(|s| s.mode = FixMode::TwoD);
    assert_eq!(
        weaker.admit(&kanazawa(), &strict),
        Err(Refusal::PlaceInsufficient)
    );
}

#[test]
fn no_position_is_none_and_never_a_random_one() {
    let none = |seen: &Observation, reason| {
        let verdict = judge(
            seen,
            Some(&map()),
            &kanazawa(),
            &PlacePolicy::default(),
            NOON,
            true,
        );
        assert_eq!(
            (verdict.grade, verdict.reasons.as_slice(), verdict.point),
            (Grade::None, &[reason][..], None)
        );
        assert_eq!(
            verdict.admit(&kanazawa(), &PlacePolicy::default()),
            Err(Refusal::NoPosition)
        );
    };
    let nothing = |recorded| Observation::new(recorded, &PlacePolicy::default());
    none(&nothing(false), Reason::NoReceiver);
    none(&nothing(true), Reason::NoReceiver);
    none(&observation(vec![], false), Reason::NoFix);
    none(
        &observation(vec![Sample::empty(NOON)], false),
        Reason::NoFix,
    );
    let mut unplugged = observation(good_window(), false);
    unplugged.disconnected();
    none(&unplugged, Reason::NoReceiver);
    // Indoors for three seconds: the receiver speaks, but has lost its position.
    let lost = |s: Sample| {
        if NOON.since(s.received_at) < 3 * SECOND {
            Sample::empty(s.received_at)
        } else {
            s
        }
    };
    none(
        &observation(good_window().into_iter().map(lost).collect(), false),
        Reason::NoFix,
    );
    // And then it fell silent: its last word counts.
    let mut lost: Vec<_> = good_window().into_iter().map(lost).collect();
    for sample in &mut lost {
        sample.received_at = sample.received_at.minus_ms(60 * SECOND);
    }
    none(&observation(lost, false), Reason::NoFix);
}

#[test]
fn a_receiver_that_fell_silent_is_stale() {
    // Its newest fix is as old as this at noon, and it speaks once in so many milliseconds.
    let silent = |age: u64, every: u64| {
        let sample = |n: u64| {
            let mut sample = good_sample(NOON.minus_ms(age + n * every));
            let noise = i32::try_from(n % 3).unwrap();
            sample.point = Point::new(500_000 + noise, 500_000).ok();
            sample
        };
        judge_live((0..120).rev().map(sample).collect())
    };
    let check = |age, every, grade, reasons: &[Reason]| {
        let verdict = silent(age, every);
        check(&verdict, grade, reasons);
        assert_eq!(verdict.figures.fix_age_ms, Some(age));
    };
    let stale = &[Reason::FixStale];
    check(2_500, SECOND, Grade::Attested, &[]);
    check(2_501, SECOND, Grade::Suspect, stale);
    // A fast one is given no less, and a slow one two of its epochs, but never more than the policy's age.
    check(2_500, 100, Grade::Attested, &[]);
    check(2_501, 100, Grade::Suspect, stale);
    check(5_000, 2 * SECOND, Grade::Attested, &[]);
    check(5_001, 2 * SECOND, Grade::Suspect, stale);
    check(10_000, 5 * SECOND, Grade::Attested, &[]);
    check(10_001, 5 * SECOND, Grade::Suspect, stale);
}

#[test]
fn a_jump_of_a_fast_receiver_is_remembered_for_the_whole_window() {
    let jumped = |ago: u64| {
        let sample = |n: u64| {
            let mut sample = good_sample(NOON.minus_ms(n * 100));
            let north = if n * 100 >= ago { 250 * 90 } else { 0 };
            let noise = i32::try_from(n % 3).unwrap();
            sample.point = Point::new(500_000 + noise + north, 500_000).ok();
            sample
        };
        judge_live((0..1200).rev().map(sample).collect())
    };
    let both = &[Reason::Jump, Reason::SpeedContradicted];
    let verdict = jumped(60 * SECOND);
    check(&verdict, Grade::Suspect, both);
    assert_eq!((verdict.figures.fixes, verdict.figures.left_out), (601, 0));
    check(&jumped(60 * SECOND + 100), Grade::Attested, &[]);
}

#[test]
fn every_figure_beyond_the_policy_is_suspect_with_its_reason() {
    check(
        &changed(|s| s.satellites_used = Some(3)),
        Grade::Suspect,
        &[Reason::FewSatellites],
    );
    check(
        &changed(|s| s.satellites_used = Some(4)),
        Grade::Attested,
        &[],
    );
    check(
        &changed(|s| s.hdop_centi = Some(501)),
        Grade::Suspect,
        &[Reason::HdopHigh],
    );
    check(&changed(|s| s.hdop_centi = Some(500)), Grade::Attested, &[]);
    check(
        &changed(|s| s.accuracy_mm = Some(50_001)),
        Grade::Suspect,
        &[Reason::AccuracyLow],
    );
    check(
        &changed(|s| s.quality = Quality::Manual),
        Grade::Suspect,
        &[Reason::ManualMode],
    );
    check(
        &changed(|s| s.speed_mm_s = Some(100_001)),
        Grade::Suspect,
        &[Reason::SpeedHigh],
    );
    let late = |s: &mut Sample| s.fix_time = Some(NOON.minus_ms(30_001));
    check(
        &changed(late),
        Grade::Suspect,
        &[Reason::ReceiverTimeDiffers, Reason::TimeBackwards],
    );
    check(
        &changed(|s| s.fix_time = Some(NOON.plus_ms(30_001))),
        Grade::Suspect,
        &[Reason::ReceiverTimeDiffers],
    );
    check(
        &changed(|s| s.fix_time = Some(NOON.plus_ms(30_000))),
        Grade::Attested,
        &[],
    );
}

#[test]
fn what_the_receiver_does_not_say_is_never_good() {
    check(
        &changed(|s| s.satellites_used = None),
        Grade::Plausible,
        &[Reason::SatellitesUnknown],
    );
    check(
        &changed(|s| s.hdop_centi = None),
        Grade::Plausible,
        &[Reason::HdopUnknown],
    );
    check(
        &changed(|s| s.fix_time = None),
        Grade::Plausible,
        &[Reason::NoReceiverTime],
    );
    check(
        &changed(|s| s.mode = FixMode::TwoD),
        Grade::Plausible,
        &[Reason::TwoDimensional],
    );
    check(
        &changed(|s| s.quality = Quality::Estimated),
        Grade::Plausible,
        &[Reason::Estimated],
    );
    let estimated = changed(|s| s.accuracy_mm = None);
    check(&estimated, Grade::Plausible, &[Reason::AccuracyUnknown]);
    assert_eq!(estimated.figures.accuracy_mm, Some(5_500));
    // Without any accuracy nobody knows on which side of the border it is.
    let blind = changed(|s| (s.accuracy_mm, s.hdop_centi) = (None, None));
    check(
        &blind,
        Grade::Plausible,
        &[Reason::AccuracyUnknown, Reason::Border, Reason::HdopUnknown],
    );
    check(
        &judge_live(vec![good_sample(NOON)]),
        Grade::Plausible,
        &[Reason::WindowShort],
    );
}

#[test]
fn a_jump_is_remembered_for_the_window() {
    let jumped = |age: u64, metres: i32| {
        let mut samples = good_window();
        for sample in samples
            .iter_mut()
            .filter(|s| NOON.since(s.received_at) >= age * SECOND)
        {
            let point = sample.point.unwrap();
            let moved = Point::new(point.lat_e7() + metres * 90, 500_000);
            sample.point = Some(moved.unwrap());
        }
        judge_live(samples)
    };
    check(&jumped(30, 15), Grade::Attested, &[]);
    check(
        &jumped(30, 150),
        Grade::Suspect,
        &[Reason::SpeedContradicted],
    );
    let verdict = jumped(30, 250);
    let both = &[Reason::Jump, Reason::SpeedContradicted];
    check(&verdict, Grade::Suspect, both);
    assert_eq!(
        verdict.figures.longest_step_mm.map(|mm| mm / 1000),
        Some(250)
    );
    check(&jumped(60, 250), Grade::Suspect, both);
    check(&jumped(61, 250), Grade::Attested, &[]);
}

#[test]
fn a_receiver_that_was_just_connected_is_in_its_grace() {
    let grace = |connected: Timestamp| {
        let mut seen = Observation::new(false, &PlacePolicy::default());
        seen.connected(connected);
        good_window()
            .into_iter()
            .for_each(|sample| seen.push(sample));
        judge(
            &seen,
            Some(&map()),
            &kanazawa(),
            &PlacePolicy::default(),
            NOON,
            true,
        )
    };
    check(
        &grace(NOON.minus_ms(59_999)),
        Grade::Plausible,
        &[Reason::StartUpGrace],
    );
    check(&grace(NOON.minus_ms(60_000)), Grade::Attested, &[]);
}

#[test]
fn another_place_is_good_evidence_but_not_for_this_home() {
    let at = |lat, lon| {
        let mut samples = good_window();
        samples.iter_mut().for_each(|s| {
            s.point = Point::new(lat + s.point.unwrap().lat_e7() - 500_000, lon).ok();
        });
        judge_live(samples)
    };
    let komatsu = at(500_000, 1_500_000);
    check(&komatsu, Grade::Attested, &[Reason::Outside]);
    assert_eq!(komatsu.municipality.as_deref(), Some("17203"));
    assert_eq!(komatsu.figures.home_distance_m, Some(5559));
    assert_eq!(
        komatsu.admit(&kanazawa(), &PlacePolicy::default()),
        Err(Refusal::PlaceInsufficient)
    );
    let sea = at(500_000, -500_000);
    check(&sea, Grade::Attested, &[Reason::Outside]);
    assert_eq!(
        (sea.municipality.as_deref(), sea.side),
        (None, Some(Side::Outside))
    );
    assert_eq!(
        sea.admit(&kanazawa(), &PlacePolicy::default()),
        Err(Refusal::PlaceInsufficient)
    );
    // Four metres from the border with an accuracy of 2.5 m (one sigma).
    let border = at(500_000, 999_600);
    check(&border, Grade::Plausible, &[Reason::Border]);
    assert_eq!(
        (border.side, border.figures.border_distance_m),
        (Some(Side::Border), Some(4))
    );
    assert_eq!(border.admit(&kanazawa(), &PlacePolicy::default()), Ok(()));
    let seen = observation(good_window(), false);
    let unknown = judge(
        &seen,
        None,
        &kanazawa(),
        &PlacePolicy::default(),
        NOON,
        true,
    );
    check(&unknown, Grade::Plausible, &[Reason::NoBoundary]);
    assert_eq!(
        unknown.admit(&kanazawa(), &PlacePolicy::default()),
        Err(Refusal::PlaceInsufficient)
    );
}

/// A capture of 2020, played within a moment of noon, ending a minute ago.
fn old_capture() -> Vec<Sample> {
    let then = Timestamp(1_590_000_000_000);
    let replay = |i| Sample {
        received_at: NOON.minus_ms(60 * SECOND),
        ..good_sample(then.plus_ms(i * SECOND))
    };
    (0..120).map(replay).collect()
}

#[test]
fn an_old_capture_is_suspect_unless_it_is_declared_a_recording() {
    let judge_at = |recorded, now, allowed| {
        let seen = observation(old_capture(), recorded);
        judge(
            &seen,
            Some(&map()),
            &kanazawa(),
            &PlacePolicy::default(),
            now,
            allowed,
        )
    };
    let played = NOON.minus_ms(60 * SECOND);
    let undeclared = judge_at(false, played.plus_ms(1), true);
    assert_eq!(undeclared.grade, Grade::Suspect);
    assert!(
        undeclared.reasons.contains(&Reason::ReceiverTimeDiffers),
        "{:?}",
        undeclared.reasons
    );
    check(
        &judge_at(true, NOON, true),
        Grade::Plausible,
        &[Reason::Recorded],
    );
    check(
        &judge_at(true, NOON, false),
        Grade::Suspect,
        &[Reason::Recorded],
    );
    // It stays what it was when its file has come to an end, and its own jumps still count.
    let mut ended = observation(old_capture(), true);
    ended.disconnected();
    let verdict = judge(
        &ended,
        Some(&map()),
        &kanazawa(),
        &PlacePolicy::default(),
        NOON,
        true,
    );
    check(&verdict, Grade::Plausible, &[Reason::Recorded]);
    let mut samples = old_capture();
    samples[100].point = Some(Point::new(600_000, 500_000).unwrap());
    let jumped = judge(
        &observation(samples, true),
        Some(&map()),
        &kanazawa(),
        &PlacePolicy::default(),
        NOON,
        true,
    );
    let reasons = [Reason::Jump, Reason::Recorded, Reason::SpeedContradicted];
    check(&jumped, Grade::Suspect, &reasons);
}

#[test]
fn a_simulator_counts_only_where_nothing_is_live() {
    let simulated = |allowed| {
        let mut samples = good_window();
        samples
            .iter_mut()
            .for_each(|s| s.quality = Quality::Simulated);
        judge(
            &observation(samples, false),
            Some(&map()),
            &kanazawa(),
            &PlacePolicy::default(),
            NOON,
            allowed,
        )
    };
    check(&simulated(true), Grade::Plausible, &[Reason::Simulated]);
    check(&simulated(false), Grade::Suspect, &[Reason::Simulated]);
}

#[test]
fn somebodys_own_word_is_a_claim_whatever_it_says() {
    let (map, home) = (map(), kanazawa());
    let policy = PlacePolicy::default();
    let claimed = |lon, accuracy_mm, boundary| {
        let site = Site {
            boundary,
            home: Some(&home),
            survey: None,
            policy: &policy,
            purpose_allows_recorded: false,
        };
        let point = Point::new(500_000, lon).unwrap();
        judge_claim(&Claim { point, accuracy_mm }, &site)
    };
    let at = |lon, accuracy| claimed(lon, accuracy, Some(&map));
    let here = at(500_000, Some(5_000));
    check(&here, Grade::Claimed, &[Reason::ClientClaim]);
    assert_eq!(here.municipality.as_deref(), Some("17201"));
    assert_eq!(here.boundary, Some(map.digest()));
    let refused = Err(Refusal::PlaceInsufficient);
    assert_eq!(here.admit(&home, &policy), refused);
    let trusting = PlacePolicy {
        required: Grade::Claimed,
        ..policy.clone()
    };
    assert_eq!(here.admit(&home, &trusting), Ok(()));
    let elsewhere = at(1_500_000, Some(5_000));
    let outside = &[Reason::ClientClaim, Reason::Outside];
    check(&elsewhere, Grade::Claimed, outside);
    assert_eq!(elsewhere.admit(&home, &trusting), refused);
    let border = &[Reason::Border, Reason::ClientClaim];
    check(&at(999_600, Some(5_000)), Grade::Claimed, border);
    let inexact = &[Reason::AccuracyUnknown, Reason::Border, Reason::ClientClaim];
    check(&at(500_000, None), Grade::Claimed, inexact);
    // What says itself that it is not exact enough is no claim of a place.
    let low = at(500_000, Some(50_001));
    check(
        &low,
        Grade::Suspect,
        &[Reason::AccuracyLow, Reason::ClientClaim],
    );
    assert_eq!(low.admit(&home, &trusting), refused);
    let nowhere = claimed(500_000, Some(5_000), None);
    let unknown = &[Reason::ClientClaim, Reason::NoBoundary];
    check(&nowhere, Grade::Claimed, unknown);
    assert_eq!(nowhere.admit(&home, &trusting), refused);
}

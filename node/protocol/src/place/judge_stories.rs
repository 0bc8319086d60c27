//! Stories of attacks for `judge`: what one transmitter, a replay, or somebody with a cable does to the node in 金沢市.

use super::tests::{
    NOON, SECOND, changed, check, good_window, judge, judge_live, kanazawa, map, observation,
};
use super::*;
use crate::place::SeenSatellite;

/// The good window with its last epochs changed: the function is told how many epochs ago.
fn since(epochs: u64, change: impl Fn(&mut Sample, u64)) -> Verdict {
    let mut samples = good_window();
    for (ago, sample) in (0..epochs).zip(samples.iter_mut().rev()) {
        change(sample, ago);
    }
    judge_live(samples)
}

fn each_satellite(sample: &mut Sample, change: impl Fn(&mut SeenSatellite)) {
    sample.satellites.iter_mut().for_each(change);
}

#[test]
fn one_transmitter_makes_all_satellites_equally_strong() {
    let flat = since(1, |s, _| each_satellite(s, |one| one.cn0_dbhz = Some(47)));
    check(&flat, Grade::Suspect, &[Reason::Cn0Flat]);
    assert_eq!(flat.figures.cn0.unwrap().spread_centi, 0);
    let strong = since(1, |s, _| s.satellites[0].cn0_dbhz = Some(61));
    check(&strong, Grade::Suspect, &[Reason::Cn0High]);
    // Seven satellites in one part of the sky are often alike: that cannot be judged.
    let few = since(1, |s, _| {
        s.satellites.truncate(7);
        each_satellite(s, |one| one.cn0_dbhz = Some(40));
    });
    check(&few, Grade::Plausible, &[Reason::Cn0Unknown]);
    // Satellites are listed in every fifth epoch: the last list counts, but not for ever.
    let unlisted = |epochs| since(epochs, |s, _| s.satellites.clear());
    check(&unlisted(10), Grade::Attested, &[]);
    let silent = &[Reason::Cn0Unknown, Reason::SingleConstellation];
    check(&unlisted(11), Grade::Plausible, silent);
}

#[test]
fn gps_alone_is_left() {
    let gps = |s: &mut Sample, _| {
        each_satellite(s, |one| one.system = System::Gps);
    };
    check(&since(3, gps), Grade::Suspect, &[Reason::ConstellationLost]);
    check(
        &since(2, gps),
        Grade::Plausible,
        &[Reason::SingleConstellation],
    );
    // A receiver that never saw another is not suspect, and not attested.
    check(
        &since(120, gps),
        Grade::Plausible,
        &[Reason::SingleConstellation],
    );
    // All of the sky is gone but for a satellite or two: an antenna in trouble.
    let dim = since(3, |s, _| {
        s.satellites.truncate(3);
        each_satellite(s, |one| one.system = System::Gps);
    });
    let weak = &[Reason::Cn0Unknown, Reason::SingleConstellation];
    check(&dim, Grade::Plausible, weak);
}

#[test]
fn a_position_is_frozen_although_its_noise_never_stood_still() {
    let still = |s: &mut Sample, _| s.point = Some(Point::new(500_000, 500_000).unwrap());
    let frozen = since(5, still);
    check(&frozen, Grade::Suspect, &[Reason::PositionFrozen]);
    assert_eq!(frozen.figures.held_epochs, 5);
    check(&since(4, still), Grade::Attested, &[]);
    // A receiver that holds its position says that it does not move; then nothing can be told from its stillness.
    let held = since(5, |s, ago| {
        still(s, ago);
        s.speed_mm_s = Some(0);
    });
    check(&held, Grade::Plausible, &[Reason::PositionHeld]);
    // Where not even the noise of the signals changes, nothing is measured.
    let dead = since(120, |s, ago| {
        still(s, ago);
        s.speed_mm_s = Some(0);
    });
    check(&dead, Grade::Suspect, &[Reason::PositionFrozen]);
    // Satellites that move over a position and signals that do not: an almanac beside a replay.
    let staged = since(120, |s, ago| {
        still(s, ago);
        s.speed_mm_s = Some(0);
        let gone = u8::try_from(ago / 3).unwrap();
        each_satellite(s, |one| {
            one.elevation_deg = Some(80_i8 - gone.cast_signed());
        });
    });
    check(&staged, Grade::Suspect, &[Reason::PositionFrozen]);
    let alive = since(120, |s, ago| {
        still(s, ago);
        s.speed_mm_s = Some(0);
        s.satellites[0].cn0_dbhz = Some(45 + u8::try_from(ago % 3).unwrap());
    });
    check(&alive, Grade::Plausible, &[Reason::PositionHeld]);
    // It says that it drives, and stays.
    let drives = since(120, |s, ago| {
        still(s, ago);
        s.speed_mm_s = Some(10_000);
        s.satellites[0].cn0_dbhz = Some(45 + u8::try_from(ago % 3).unwrap());
    });
    check(&drives, Grade::Suspect, &[Reason::PositionFrozen]);
}

#[test]
fn a_slow_pull_is_seen_and_a_bus_is_not_one() {
    // Two metres a second faster with every second, as a false signal pulls.
    let pulled = |speed: fn(u64) -> u32| {
        move |s: &mut Sample, ago: u64| {
            let seconds = 6 - ago;
            let metres = i32::try_from(seconds * seconds).unwrap();
            s.point = Some(Point::new(500_000 + metres * 90, 500_000).unwrap());
            s.speed_mm_s = Some(speed(seconds));
        }
    };
    let pull = since(6, pulled(|_| 100));
    check(&pull, Grade::Suspect, &[Reason::SpeedContradicted]);
    assert!((30_000..40_000).contains(&pull.figures.unexplained_way_mm.unwrap()));
    let bus = since(6, pulled(|seconds| u32::try_from(seconds).unwrap() * 2_000));
    check(&bus, Grade::Attested, &[]);
    let mute = changed(|s| s.speed_mm_s = None);
    check(&mute, Grade::Plausible, &[Reason::SpeedUnknown]);
}

#[test]
fn clocks_that_lie() {
    const WEEK: u64 = 7 * 86_400 * SECOND;
    let rolled = since(120, |s, _| {
        s.fix_time = Some(s.received_at.minus_ms(1024 * WEEK));
    });
    assert_eq!(rolled.grade, Grade::Suspect);
    for reason in [
        Reason::WeekRollover,
        Reason::ReceiverTimeDiffers,
        Reason::DateImplausible,
    ] {
        assert!(rolled.reasons.contains(&reason), "{:?}", rolled.reasons);
    }
    let other = since(120, |s, _| {
        s.fix_time = Some(s.received_at.minus_ms(1023 * WEEK));
    });
    assert!(!other.reasons.contains(&Reason::WeekRollover));
    let replayed = since(10, |s, _| {
        s.fix_time = Some(s.received_at.minus_ms(25 * SECOND));
    });
    check(&replayed, Grade::Suspect, &[Reason::TimeBackwards]);
    assert_eq!(replayed.figures.backwards_ms, Some(23_800));
    // An hour is missing: a live receiver was only silent, a recording cannot say so.
    let hour = |s: &mut Sample, ago: u64| {
        if ago >= 30 {
            s.received_at = s.received_at.minus_ms(3600 * SECOND);
            s.fix_time = Some(s.received_at);
        }
    };
    check(&since(120, hour), Grade::Attested, &[]);
    let mut replay = Observation::replayed(&PlacePolicy::default());
    let mut samples = good_window();
    for (ago, sample) in (0..).zip(samples.iter_mut().rev()) {
        hour(sample, ago);
    }
    samples.into_iter().for_each(|sample| replay.push(sample));
    let policy = PlacePolicy::default();
    let (map, home) = (map(), kanazawa());
    let verdict = judge(&replay, Some(&map), &home, &policy, NOON, true);
    check(&verdict, Grade::Suspect, &[Reason::TimeJump]);
}

#[test]
fn sentences_of_one_epoch_contradict_each_other() {
    let apart = |e7| since(1, |s, _| s.sentences_apart_e7 = e7);
    check(
        &apart(Some(201)),
        Grade::Suspect,
        &[Reason::SentencesDiffer],
    );
    check(&apart(Some(200)), Grade::Attested, &[]);
    check(&apart(None), Grade::Attested, &[]);
}

#[test]
fn the_receivers_own_monitors_are_heard_and_spoofing_is_not_forgotten() {
    let jammed = |jamming| since(120, |s, _| s.jamming = jamming);
    check(&jammed(None), Grade::Plausible, &[Reason::JammingUnknown]);
    let warning = Some(Jamming::Warning);
    check(
        &jammed(warning),
        Grade::Plausible,
        &[Reason::JammingWarning],
    );
    check(
        &jammed(Some(Jamming::Critical)),
        Grade::Suspect,
        &[Reason::Jamming],
    );
    let deaf = since(120, |s, _| s.spoofing = None);
    check(&deaf, Grade::Plausible, &[Reason::SpoofingUnknown]);

    let mut samples = good_window();
    samples[3].spoofing = Some(Spoofing::Indicated);
    let mut seen = observation(samples, false);
    let policy = PlacePolicy::default();
    let (map, home) = (map(), kanazawa());
    let now = |seen: &Observation| judge(seen, Some(&map), &home, &policy, NOON, true);
    let latched = now(&seen);
    check(&latched, Grade::Suspect, &[Reason::SpoofingIndicated]);
    assert_eq!(latched.figures.spoofing, Some(Spoofing::NoneIndicated));
    assert_eq!(
        latched.figures.spoofing_since,
        Some(NOON.minus_ms(116 * SECOND))
    );
    seen.clear_spoofing();
    check(&now(&seen), Grade::Attested, &[]);
}

#[test]
fn an_antenna_that_was_measured_does_not_walk() {
    let seen = observation(good_window(), false);
    let (map, home) = (map(), kanazawa());
    let policy = PlacePolicy::default();
    let surveyed = |survey| {
        let site = Site {
            boundary: Some(&map),
            home: Some(&home),
            survey,
            policy: &policy,
            purpose_allows_recorded: true,
        };
        super::judge(&seen, &site, NOON)
    };
    let survey = |metres: i32| {
        let point = Point::new(500_000 - metres * 90, 500_000).unwrap();
        Some(Survey {
            point,
            radius_m: 50,
        })
    };
    check(&surveyed(survey(49)), Grade::Attested, &[]);
    let walked = surveyed(survey(51));
    check(&walked, Grade::Suspect, &[Reason::OffSurvey]);
    assert_eq!(
        walked.figures.survey_distance_mm.map(|mm| mm / 1000),
        Some(51)
    );
    check(&surveyed(None), Grade::Plausible, &[Reason::NotSurveyed]);
}

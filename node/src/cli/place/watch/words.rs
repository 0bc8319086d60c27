//! Reasons in words, with the figure that each rests on and the threshold that it missed.

use city_protocol::place::{PlacePolicy, Reason};

use crate::admin::pages::{PlaceShown, VerdictShown};
use crate::config::rfc3339;

/// A reason for people. One that this version has no words for is its code.
pub(super) fn words(reason: Reason, page: &PlaceShown) -> String {
    let PlaceShown {
        verdict, policy, ..
    } = page;
    plain(reason)
        .map(str::to_owned)
        .or_else(|| of_solution(reason, verdict, policy))
        .or_else(|| of_time(reason, verdict, policy))
        .or_else(|| of_motion(reason, verdict, policy))
        .or_else(|| of_signals(reason, verdict, policy))
        .or_else(|| of_place(reason, verdict))
        .unwrap_or_else(|| reason.code().to_owned())
}

/// Those without a figure: something is not there, or was said by somebody.
const fn plain(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::AccuracyUnknown => "the receiver reports no accuracy",
        Reason::ClientClaim => "somebody says so of their own place",
        Reason::ConstellationLost => "all other constellations vanished, GPS alone is left",
        Reason::DateImplausible => "its date is one on which its satellites were not in use",
        Reason::Estimated => "the position is dead reckoning",
        Reason::HdopUnknown => "the receiver reports no dilution of precision",
        Reason::Jamming => "the receiver reports interference that positions do not survive",
        Reason::JammingUnknown => "the receiver does not watch for interference",
        Reason::JammingWarning => "the receiver reports interference",
        Reason::ManualMode => "somebody typed the position into the receiver",
        Reason::NoBoundary => "no boundary index: which municipality is not known",
        Reason::NoFix => "a receiver, but no position",
        Reason::NoReceiver => "no receiver",
        Reason::NoReceiverTime => "the receiver gives no date and time",
        Reason::NotSurveyed => "no surveyed antenna point to compare with",
        Reason::Recorded => "the source is a recording",
        Reason::SatellitesUnknown => "the receiver does not say how many satellites it used",
        Reason::Simulated => "the receiver says that it simulates",
        Reason::SingleConstellation => "no second constellation to compare with",
        Reason::SpeedUnknown => "the receiver reports no speed",
        Reason::SpoofingUnknown => "the receiver has no spoofing detection, or does not say",
        Reason::TwoDimensional => "a position without altitude",
        _ => return None,
    })
}

fn of_solution(reason: Reason, verdict: &VerdictShown, policy: &PlacePolicy) -> Option<String> {
    let figures = &verdict.figures;
    Some(match reason {
        Reason::AccuracyLow => format!(
            "accuracy {}, at most {} is taken",
            metres(figures.accuracy_mm.map(u64::from)),
            metres(Some(policy.max_accuracy_mm.into()))
        ),
        Reason::FewSatellites => format!(
            "{} satellites used, {} are needed",
            number(verdict.satellites_used),
            policy.min_satellites
        ),
        Reason::HdopHigh => format!(
            "dilution of precision {}, at most {} is taken",
            hundredths(verdict.hdop_centi),
            hundredths(Some(policy.max_hdop_centi))
        ),
        Reason::SentencesDiffer => format!(
            "sentences of one epoch differ by {} (1e-7 degrees), at most {} is taken",
            number(figures.sentences_apart_e7),
            policy.max_sentence_difference_e7
        ),
        _ => return None,
    })
}

fn of_time(reason: Reason, verdict: &VerdictShown, policy: &PlacePolicy) -> Option<String> {
    let figures = &verdict.figures;
    Some(match reason {
        Reason::FixStale => format!(
            "the newest fix is {} old, at most {} is taken",
            seconds(figures.fix_age_ms),
            seconds(Some(policy.max_fix_age_ms))
        ),
        Reason::ReceiverTimeDiffers => format!(
            "the receiver's clock and the node's are {} apart, at most {} is taken",
            seconds(figures.clock_difference_ms.map(i64::unsigned_abs)),
            seconds(Some(policy.max_clock_difference_ms))
        ),
        Reason::WeekRollover => "the receiver's date is off by a multiple of 1024 weeks".into(),
        Reason::TimeBackwards => format!(
            "the receiver's time ran back by {}",
            seconds(figures.backwards_ms)
        ),
        Reason::TimeJump => format!(
            "the receiver's time leapt by {}",
            seconds(figures.longest_time_step_ms.map(i64::unsigned_abs))
        ),
        Reason::StartUpGrace => format!(
            "connected less than {} ago",
            seconds(Some(policy.start_up_grace_ms))
        ),
        Reason::WindowShort => format!("{} fixes, too few to compare", figures.fixes),
        _ => return None,
    })
}

fn of_motion(reason: Reason, verdict: &VerdictShown, policy: &PlacePolicy) -> Option<String> {
    let figures = &verdict.figures;
    Some(match reason {
        Reason::Jump => format!(
            "a step of {} between two epochs",
            metres(figures.longest_step_mm)
        ),
        Reason::SpeedHigh => format!(
            "a speed of {}/s, at most {}/s is taken",
            metres(figures.speed_mm_s.map(u64::from)),
            metres(Some(policy.max_speed_mm_s.into()))
        ),
        Reason::SpeedContradicted => format!(
            "the position moved {} that the reported speed does not explain",
            metres(figures.unexplained_way_mm)
        ),
        Reason::PositionFrozen => format!(
            "{} epochs at one position, which this receiver does not do",
            figures.held_epochs
        ),
        Reason::PositionHeld => format!(
            "{} epochs at one position: held still, or frozen",
            figures.held_epochs
        ),
        _ => return None,
    })
}

fn of_signals(reason: Reason, verdict: &VerdictShown, policy: &PlacePolicy) -> Option<String> {
    let figures = &verdict.figures;
    let spread = figures.cn0.map(|cn0| cn0.spread_centi);
    Some(match reason {
        Reason::Cn0Flat => format!(
            "signals are alike within {} dB, from {} on they are believed",
            hundredths(spread),
            hundredths(Some(policy.min_cn0_spread_centi))
        ),
        Reason::Cn0High => format!(
            "a signal of {} dB-Hz, at most {} come from the sky",
            number(figures.cn0.map(|cn0| cn0.max_dbhz)),
            policy.max_cn0_dbhz
        ),
        Reason::Cn0Unknown => format!(
            "{} used satellites with a C/N0, {} are needed to compare them",
            figures.cn0.map_or(0, |cn0| cn0.satellites),
            policy.cn0_min_satellites
        ),
        Reason::SpoofingIndicated => format!(
            "the receiver indicated spoofing at {}; look at the antenna, then city-node place clear-spoofing",
            figures.spoofing_since.map_or_else(unknown, rfc3339)
        ),
        _ => return None,
    })
}

fn of_place(reason: Reason, verdict: &VerdictShown) -> Option<String> {
    let figures = &verdict.figures;
    let whole = |metres: Option<u32>| metres.map_or_else(unknown, |m| format!("{m} m"));
    Some(match reason {
        Reason::Border => format!(
            "{} from the border, and the accuracy is {}",
            whole(figures.border_distance_m),
            metres(figures.accuracy_mm.map(u64::from))
        ),
        Reason::OffSurvey => format!(
            "{} from the surveyed antenna",
            metres(figures.survey_distance_mm)
        ),
        Reason::Outside => format!(
            "not in the home's municipality, {} from its border",
            whole(figures.home_distance_m)
        ),
        _ => return None,
    })
}

fn unknown() -> String {
    "?".to_owned()
}

fn number<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(unknown, |value| value.to_string())
}

pub(super) fn metres(mm: Option<u64>) -> String {
    mm.map_or_else(unknown, |mm| {
        format!("{}.{:02} m", mm / 1000, mm % 1000 / 10)
    })
}

pub(super) fn seconds(ms: Option<u64>) -> String {
    ms.map_or_else(unknown, |ms| format!("{}.{} s", ms / 1000, ms % 1000 / 100))
}

pub(super) fn hundredths(value: Option<impl Into<u32>>) -> String {
    value.map_or_else(unknown, |value| {
        let value = value.into();
        format!("{}.{:02}", value / 100, value % 100)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::place::watch::example::page;

    #[test]
    fn every_reason_has_words() {
        let page = page();
        for &reason in Reason::ALL {
            let said = words(reason, &page);
            assert_ne!(said, reason.code(), "{reason} has no words");
            assert!(said.contains(' ') && said.is_ascii(), "{said}");
        }
    }

    #[test]
    fn the_figure_and_the_threshold_are_told() {
        let mut page = page();
        page.verdict.hdop_centi = Some(620);
        assert_eq!(
            words(Reason::HdopHigh, &page),
            "dilution of precision 6.20, at most 5.00 is taken"
        );
        page.verdict.figures.fix_age_ms = Some(12_340);
        assert_eq!(
            words(Reason::FixStale, &page),
            "the newest fix is 12.3 s old, at most 10.0 s is taken"
        );
        page.verdict.figures.home_distance_m = Some(1_234);
        assert!(words(Reason::Outside, &page).ends_with("1234 m from its border"));
    }
}

//! What a municipality asks of place evidence: thresholds, each with its reason.
//!
//! Owns defaults and bounds. The checks that use them stand in `judge`.

use serde::{Deserialize, Serialize};

use super::evidence::Grade;
use crate::refusal::Refusal;

/// A municipality's policy. Every field has a default; unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlacePolicy {
    /// Number of this policy, counted up by whoever changes it; stands in every proof.
    pub version: u64,
    /// Weakest grade that a transfer needs. `plausible`: what one ordinary receiver reaches.
    pub required: Grade,
    /// Oldest fix, milliseconds, however slow the receiver; and how long what it lists now and then counts (satellites, its
    /// monitors). 10 s: two epochs of the slowest usual receivers, which speak every five seconds.
    pub max_fix_age_ms: u64,
    /// Age from which a fix of a receiver that speaks at least once a second is none, milliseconds. 2.5 s: two epochs of the
    /// usual 1 Hz went missing and a third is late; so the grade follows a silence within 3 s. See
    /// [`Self::fix_age_allowed_ms`].
    pub max_silence_ms: u64,
    /// Fewest satellites used. Four unknowns (position and clock) need four.
    pub min_satellites: u8,
    /// Highest horizontal dilution of precision, hundredths. 5.00: beyond it the usual scales speak of "fair" at best.
    pub max_hdop_centi: u16,
    /// Worst accuracy that the receiver itself reports, millimetres. 50 m: a block of houses.
    pub max_accuracy_mm: u32,
    /// Accuracy assumed when the receiver reports none, per unit of HDOP, millimetres. 5 m: a code fix's usual range error.
    pub range_error_mm: u32,
    /// Largest difference between the receiver's time and the node's, milliseconds. 30 s: leap seconds that a cold receiver
    /// does not know yet (18), serial delay, and a clock without NTP for some days.
    pub max_clock_difference_ms: u64,
    /// How long after connecting the grade stays at most `plausible`, milliseconds. 60 s: two almanac frames.
    pub start_up_grace_ms: u64,
    /// How far back epochs are compared, milliseconds. A jump is remembered that long.
    pub window_ms: u64,
    /// Highest speed, millimetres per second. 100 m/s: faster than anything that carries a node, trains included.
    pub max_speed_mm_s: u32,
    /// Movement between two epochs that is put down to noise, millimetres. 100 m: a cold fix that settles.
    pub jump_allowance_mm: u32,
    /// How far back the way between positions is compared with the reported speed, milliseconds. 10 s: a slow pull is
    /// seen, and the errors of a good receiver hardly change in it.
    pub speed_window_ms: u64,
    /// Fewest used satellites with a C/N0 for comparing them. 8: with 4 to 7 in one part of the sky genuine ones are often
    /// alike.
    pub cn0_min_satellites: u8,
    /// Smallest standard deviation of their C/N0, hundredths of a dB. 2.00: genuine skies show more than 3.0 in 99 of 100
    /// epochs; one transmitter gives 0.0 to 0.5.
    pub min_cn0_spread_centi: u16,
    /// Strongest C/N0, dB-Hz. 60: a clear sky and a good antenna give up to 57.
    pub max_cn0_dbhz: u8,
    /// Largest difference between the positions of one epoch's sentences, 1e-7 degrees. 200: 2 m; receivers that write
    /// three decimals of a minute in one sentence and more in another differ by 1.9 m at most.
    pub max_sentence_difference_e7: u32,
    /// Epochs in a row with one position after which it is held or frozen. 5: what noise in the last digit does not do.
    pub held_epochs: u8,
    /// Step to which a proof rounds the position, 1e-7 degrees. 1000: 11 m, a building but not a desk.
    pub position_step_e7: u32,
}

impl Default for PlacePolicy {
    fn default() -> Self {
        Self {
            version: 1,
            required: Grade::Plausible,
            max_fix_age_ms: 10_000,
            max_silence_ms: 2_500,
            min_satellites: 4,
            max_hdop_centi: 500,
            max_accuracy_mm: 50_000,
            range_error_mm: 5_000,
            max_clock_difference_ms: 30_000,
            start_up_grace_ms: 60_000,
            window_ms: 60_000,
            max_speed_mm_s: 100_000,
            jump_allowance_mm: 100_000,
            speed_window_ms: 10_000,
            cn0_min_satellites: 8,
            min_cn0_spread_centi: 200,
            max_cn0_dbhz: 60,
            max_sentence_difference_e7: 200,
            held_epochs: 5,
            position_step_e7: 1_000,
        }
    }
}

/// Longest time a policy may name, milliseconds: an hour is longer than any window of samples.
const MAX_MS: u64 = 3_600_000;
/// Coarsest rounding, 1e-7 degrees: 1.1 km; coarser would leave the municipality.
const MAX_STEP_E7: u32 = 100_000;

impl PlacePolicy {
    /// How old a fix may be, milliseconds, of a receiver that speaks once in `interval_ms`: as long as two of its epochs are
    /// missing and a third is late, never less than `max_silence_ms` and never more than `max_fix_age_ms`.
    #[must_use]
    pub fn fix_age_allowed_ms(&self, interval_ms: Option<u64>) -> u64 {
        let own = interval_ms.unwrap_or(0).saturating_mul(5) / 2;
        self.max_silence_ms.max(own).min(self.max_fix_age_ms)
    }

    /// How long epochs are kept to be compared, milliseconds: the longest time that any check looks back.
    #[must_use]
    pub fn span_ms(&self) -> u64 {
        self.window_ms
            .max(self.speed_window_ms)
            .max(self.max_fix_age_ms)
    }

    /// Whether the numbers make sense together.
    ///
    /// # Errors
    /// [`Refusal::BadField`]; the second value names the field, for whoever reads the configuration.
    pub fn check(&self) -> Result<(), (Refusal, &'static str)> {
        let rules = [
            (self.version > 0, "version"),
            (self.required > Grade::Suspect, "required"),
            (
                (1..=MAX_MS).contains(&self.max_fix_age_ms),
                "max_fix_age_ms",
            ),
            (
                (1..=MAX_MS).contains(&self.max_silence_ms),
                "max_silence_ms",
            ),
            (self.max_hdop_centi > 0, "max_hdop_centi"),
            (self.max_accuracy_mm > 0, "max_accuracy_mm"),
            (
                self.max_clock_difference_ms <= MAX_MS,
                "max_clock_difference_ms",
            ),
            (self.start_up_grace_ms <= MAX_MS, "start_up_grace_ms"),
            ((1..=MAX_MS).contains(&self.window_ms), "window_ms"),
            (self.max_speed_mm_s > 0, "max_speed_mm_s"),
            (
                (1..=MAX_MS).contains(&self.speed_window_ms),
                "speed_window_ms",
            ),
            (self.cn0_min_satellites > 1, "cn0_min_satellites"),
            (self.max_cn0_dbhz > 0, "max_cn0_dbhz"),
            (self.held_epochs > 1, "held_epochs"),
            (
                (1..=MAX_STEP_E7).contains(&self.position_step_e7),
                "position_step_e7",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, field)) => Err((Refusal::BadField, field)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_sound_and_nonsense_is_named() {
        assert_eq!(PlacePolicy::default().check(), Ok(()));
        let check = |policy: PlacePolicy, field| {
            assert_eq!(policy.check(), Err((Refusal::BadField, field)));
        };
        check(
            PlacePolicy {
                required: Grade::Suspect,
                ..PlacePolicy::default()
            },
            "required",
        );
        check(
            PlacePolicy {
                position_step_e7: 0,
                ..PlacePolicy::default()
            },
            "position_step_e7",
        );
        check(
            PlacePolicy {
                window_ms: MAX_MS + 1,
                ..PlacePolicy::default()
            },
            "window_ms",
        );
    }

    #[test]
    fn a_fix_may_be_as_old_as_the_receiver_is_slow() {
        let policy = PlacePolicy::default();
        let check = |interval, expected| {
            assert_eq!(
                policy.fix_age_allowed_ms(interval),
                expected,
                "{interval:?}"
            );
        };
        check(None, 2_500);
        check(Some(100), 2_500);
        check(Some(1_000), 2_500);
        check(Some(2_000), 5_000);
        check(Some(5_000), 10_000);
        check(Some(u64::MAX), 10_000);
        let short = PlacePolicy {
            max_fix_age_ms: 2_000,
            ..policy
        };
        assert_eq!(short.fix_age_allowed_ms(Some(1_000)), 2_000);
    }

    #[test]
    fn a_policy_file_may_be_short_but_not_wrong() {
        let read = serde_json::from_str::<PlacePolicy>;
        let strict = read(r#"{"version":2,"min_satellites":6}"#).unwrap();
        assert_eq!(
            strict,
            PlacePolicy {
                version: 2,
                min_satellites: 6,
                ..PlacePolicy::default()
            }
        );
        assert!(read(r#"{"min_satelites":6}"#).is_err());
    }
}

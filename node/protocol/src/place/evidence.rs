//! How strong evidence of a place is, and why: the stable words of grades and reasons.
//!
//! Codes are part of the interface and never change their meaning. What leads to which stands in `judge`.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::refusal::Refusal;

/// Strength of evidence, weakest first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// No position.
    #[default]
    None,
    /// A check failed.
    Suspect,
    /// Somebody's own coordinates, or a proof that came too late.
    Claimed,
    /// A fix that no check contradicts, but not every check could run.
    Plausible,
    /// A fix that passes every check.
    Attested,
}

impl Grade {
    /// All grades, weakest first.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::Suspect,
        Self::Claimed,
        Self::Plausible,
        Self::Attested,
    ];

    /// The stable word.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Suspect => "suspect",
            Self::Claimed => "claimed",
            Self::Plausible => "plausible",
            Self::Attested => "attested",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl FromStr for Grade {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let found = Self::ALL.into_iter().find(|grade| grade.code() == text);
        found.ok_or(Refusal::BadField)
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Why evidence is not stronger, in the order of the codes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* #[serde(rename = $code)] $name,)*
        }

        impl Reason {
            /// All reasons of this version, sorted by code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

reasons! {
    /// The reported accuracy is worse than the policy allows.
    AccuracyLow = "accuracy-low",
    /// The receiver reports no accuracy.
    AccuracyUnknown = "accuracy-unknown",
    /// Nearer to the border than the accuracy.
    Border = "border",
    /// Somebody's own coordinates: nothing but their word stands for them.
    ClientClaim = "client-claim",
    /// All satellites are equally strong, as from one transmitter.
    Cn0Flat = "cn0-flat",
    /// A satellite is stronger than one in the sky can be.
    Cn0High = "cn0-high",
    /// Too few used satellites with a C/N0 to compare them.
    Cn0Unknown = "cn0-unknown",
    /// All other constellations vanished and GPS alone is left.
    ConstellationLost = "constellation-lost",
    /// The receiver's date is one on which its satellites were not yet in use, or has not come yet.
    DateImplausible = "date-implausible",
    /// The position is dead reckoning.
    Estimated = "estimated",
    /// Fewer satellites used than the policy asks.
    FewSatellites = "few-satellites",
    /// The newest fix is older than the policy allows.
    FixStale = "fix-stale",
    /// The dilution of precision is higher than the policy allows.
    HdopHigh = "hdop-high",
    /// The receiver reports no dilution of precision.
    HdopUnknown = "hdop-unknown",
    /// The receiver reports interference that its positions do not survive.
    Jamming = "jamming",
    /// The receiver does not report interference.
    JammingUnknown = "jamming-unknown",
    /// The receiver reports interference.
    JammingWarning = "jamming-warning",
    /// The position moved farther between two epochs than anything here can.
    Jump = "jump",
    /// Somebody typed the position into the receiver.
    ManualMode = "manual-mode",
    /// No boundary index: the municipality is unknown.
    NoBoundary = "no-boundary",
    /// A receiver, but no position.
    NoFix = "no-fix",
    /// No receiver.
    NoReceiver = "no-receiver",
    /// The receiver gives no date and time.
    NoReceiverTime = "no-receiver-time",
    /// No surveyed antenna point to compare with.
    NotSurveyed = "not-surveyed",
    /// Farther from the surveyed antenna point than its radius.
    OffSurvey = "off-survey",
    /// Not in the home's municipality.
    Outside = "outside",
    /// The position does not change although it would have to.
    PositionFrozen = "position-frozen",
    /// The receiver holds its position still: whether it is frozen cannot be seen.
    PositionHeld = "position-held",
    /// The receiver's time is not the node's.
    ReceiverTimeDiffers = "receiver-time-differs",
    /// The source is a recording.
    Recorded = "recorded",
    /// The receiver does not say how many satellites it used.
    SatellitesUnknown = "satellites-unknown",
    /// Sentences of one epoch contradict each other.
    SentencesDiffer = "sentences-differ",
    /// The receiver says that it simulates.
    Simulated = "simulated",
    /// No second constellation to compare with.
    SingleConstellation = "single-constellation",
    /// The position moves and the reported speed does not say so.
    SpeedContradicted = "speed-contradicted",
    /// The reported speed is beyond the policy.
    SpeedHigh = "speed-high",
    /// The receiver reports no speed.
    SpeedUnknown = "speed-unknown",
    /// The receiver's detection indicated spoofing, and nobody has cleared it.
    SpoofingIndicated = "spoofing-indicated",
    /// The receiver has no spoofing detection, or does not say.
    SpoofingUnknown = "spoofing-unknown",
    /// The receiver was connected or restarted a moment ago.
    StartUpGrace = "start-up-grace",
    /// The receiver's time ran backwards.
    TimeBackwards = "time-backwards",
    /// The receiver's time jumped ahead.
    TimeJump = "time-jump",
    /// A position without altitude.
    TwoDimensional = "two-dimensional",
    /// The receiver's date is off by a multiple of 1024 weeks.
    WeekRollover = "week-rollover",
    /// Too few fixes to compare one with another.
    WindowShort = "window-short",
}

impl Reason {
    /// Whether it alone makes evidence `suspect`. `recorded` and `simulated` do so in a live network only.
    #[must_use]
    pub const fn fails(self) -> bool {
        matches!(
            self,
            Self::AccuracyLow
                | Self::Cn0Flat
                | Self::Cn0High
                | Self::ConstellationLost
                | Self::DateImplausible
                | Self::FewSatellites
                | Self::FixStale
                | Self::HdopHigh
                | Self::Jamming
                | Self::Jump
                | Self::ManualMode
                | Self::OffSurvey
                | Self::PositionFrozen
                | Self::ReceiverTimeDiffers
                | Self::SentencesDiffer
                | Self::SpeedContradicted
                | Self::SpeedHigh
                | Self::SpoofingIndicated
                | Self::TimeBackwards
                | Self::TimeJump
                | Self::WeekRollover
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// Longest code, characters.
const MAX_CODE: usize = 32;

/// A reason's code as it stands in a proof: `[a-z0-9-]{1,32}`.
///
/// Proofs are for ever, and later versions know more reasons; whoever reads one must not refuse a word it does not know.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReasonCode(String);

impl ReasonCode {
    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Reason> for ReasonCode {
    fn from(reason: Reason) -> Self {
        Self(reason.code().into())
    }
}

impl FromStr for ReasonCode {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=MAX_CODE).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.into()))
        } else {
            Err(Refusal::BadField)
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for ReasonCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ReasonCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_are_ordered_by_strength_and_read_back() {
        assert!(Grade::ALL.is_sorted());
        assert!(Grade::Suspect < Grade::Claimed);
        for grade in Grade::ALL {
            assert_eq!(grade.code().parse::<Grade>(), Ok(grade));
            assert_eq!(
                serde_json::to_string(&grade).unwrap(),
                format!("\"{grade}\"")
            );
        }
        assert!("ok".parse::<Grade>().is_err());
    }

    #[test]
    fn reasons_are_sorted_by_code_and_travel_as_codes() {
        let codes: Vec<_> = Reason::ALL.iter().map(|r| r.code()).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        assert!(Reason::ALL.is_sorted());
        for &reason in Reason::ALL {
            let code = ReasonCode::from(reason);
            assert_eq!(code.as_str().parse(), Ok(code.clone()));
            assert_eq!(
                serde_json::to_string(&reason).unwrap(),
                format!("\"{reason}\"")
            );
        }
        for bad in ["", "No-Fix", "no fix", "no_fix", &"a".repeat(33)] {
            assert!(bad.parse::<ReasonCode>().is_err(), "{bad}");
        }
    }
}

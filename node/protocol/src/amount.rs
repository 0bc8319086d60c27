//! Amounts of 愛貨 and moments in time: one spelling, integers inside.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::refusal::Refusal;

/// Most digits before the point.
const MAX_WHOLE_DIGITS: usize = 13;

/// An amount in hundredths of 愛貨. As text `^(0|[1-9][0-9]{0,12})\.[0-9]{2}$`; in DAG-CBOR an integer.
///
/// A balance may be zero; what a person signs must be greater (see [`Amount::positive`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From hundredths.
    #[must_use]
    pub const fn from_hundredths(hundredths: u64) -> Self {
        Self(hundredths)
    }

    /// In hundredths.
    #[must_use]
    pub const fn hundredths(self) -> u64 {
        self.0
    }

    /// The sum.
    ///
    /// # Errors
    /// [`Refusal::OutOfRange`].
    pub fn plus(self, other: Self) -> Result<Self, Refusal> {
        self.0
            .checked_add(other.0)
            .map(Self)
            .ok_or(Refusal::OutOfRange)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`Refusal::Overdraft`] if it would be negative.
    pub fn minus(self, other: Self) -> Result<Self, Refusal> {
        self.0
            .checked_sub(other.0)
            .map(Self)
            .ok_or(Refusal::Overdraft)
    }

    /// Itself, if greater than zero.
    ///
    /// # Errors
    /// [`Refusal::BadAmount`].
    pub fn positive(self) -> Result<Self, Refusal> {
        if self.0 > 0 {
            Ok(self)
        } else {
            Err(Refusal::BadAmount)
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{:02}", self.0 / 100, self.0 % 100))
    }
}

impl FromStr for Amount {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let (whole, cents) = text.split_once('.').ok_or(Refusal::BadAmount)?;
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let one_spelling = digits(whole)
            && digits(cents)
            && cents.len() == 2
            && whole.len() <= MAX_WHOLE_DIGITS
            && (whole == "0" || !whole.starts_with('0'));
        if !one_spelling {
            return Err(Refusal::BadAmount);
        }
        let number = |s: &str| s.parse::<u64>().map_err(|_| Refusal::BadAmount);
        Ok(Self(number(whole)? * 100 + number(cents)?))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?
                .parse()
                .map_err(D::Error::custom)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

/// A moment: milliseconds since the Unix epoch, UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This moment and `ms` milliseconds more.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// This moment less `ms` milliseconds.
    #[must_use]
    pub const fn minus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// Milliseconds since `earlier`, zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_one_spelling() {
        let check = |text: &str| text.parse::<Amount>();
        assert_eq!(check("123.45"), Ok(Amount::from_hundredths(12345)));
        assert_eq!(check("0.01"), Ok(Amount::from_hundredths(1)));
        assert_eq!(
            check("9999999999999.99"),
            Ok(Amount::from_hundredths(999_999_999_999_999))
        );
        for bad in [
            "1e3",
            "-1",
            "-1.00",
            "1.234",
            "01.00",
            "1",
            "1.",
            ".50",
            "1.5",
            "+1.00",
            " 1.00",
            "1.00 ",
            "1,00",
            "１.00",
            "10000000000000.00",
            "",
            "00.00",
            "1.0a",
        ] {
            assert_eq!(check(bad), Err(Refusal::BadAmount), "{bad}");
        }
        assert_eq!(check("0.00").unwrap().positive(), Err(Refusal::BadAmount));
        assert_eq!(Amount::from_hundredths(100_005).to_string(), "1000.05");
    }

    #[test]
    fn arithmetic_is_checked() {
        let max = Amount::from_hundredths(u64::MAX);
        assert_eq!(
            max.plus(Amount::from_hundredths(1)),
            Err(Refusal::OutOfRange)
        );
        assert_eq!(
            Amount::ZERO.minus(Amount::from_hundredths(1)),
            Err(Refusal::Overdraft)
        );
    }
}

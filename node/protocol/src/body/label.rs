//! Short texts that people choose.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::refusal::Refusal;

/// Longest label in bytes: a line on a kiosk screen in any script.
const MAX_LABEL: usize = 256;

/// Characters that turn the reading direction (Unicode UAX #9): with them a label can show on a screen what it
/// does not say.
const DIRECTION: [std::ops::RangeInclusive<char>; 2] =
    ['\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];

/// A non-empty text of at most 256 bytes without control characters and without characters that turn the
/// reading direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Label(String);

impl Label {
    /// Takes a text.
    ///
    /// # Errors
    /// [`Refusal::BadField`].
    pub fn new(text: &str) -> Result<Self, Refusal> {
        let deceives = |c: char| c.is_control() || DIRECTION.iter().any(|range| range.contains(&c));
        if text.is_empty() || text.len() > MAX_LABEL || text.chars().any(deceives) {
            return Err(Refusal::BadField);
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_say_what_they_show() {
        for good in ["main", "お財布", "a b", "👪"] {
            assert_eq!(Label::new(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(257);
        for bad in [
            "",
            "a\nb",
            "a\u{7f}",
            "\u{202e}00.1",
            "a\u{2066}b",
            long.as_str(),
        ] {
            assert_eq!(Label::new(bad), Err(Refusal::BadField), "{bad:?}");
        }
    }
}

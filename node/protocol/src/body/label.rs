//! Short texts that people choose.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::refusal::Refusal;

/// Longest label in bytes: a line on a kiosk screen in any script.
const MAX_LABEL: usize = 256;

/// A non-empty text of at most 256 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Label(String);

impl Label {
    /// Takes a text.
    ///
    /// # Errors
    /// [`Refusal::BadField`].
    pub fn new(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() || text.len() > MAX_LABEL || text.chars().any(char::is_control) {
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

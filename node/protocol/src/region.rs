//! Regions: paths of codes such as `Asia/JP/17/17201`.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::refusal::Refusal;

/// Levels of a full region: continent, country, prefecture, municipality.
const LEVELS: usize = 4;
/// Longest code of one level, in characters.
const MAX_CODE: usize = 24;

fn is_path(text: &str, levels: std::ops::RangeInclusive<usize>) -> bool {
    let code_is_plain = |code: &str| {
        !code.is_empty()
            && code.len() <= MAX_CODE
            && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    levels.contains(&text.split('/').count()) && text.split('/').all(code_is_plain)
}

/// A municipality: `Continent/Country/Prefecture/Municipality` in codes (in Japan JIS X 0402, five
/// digits without the check digit).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(String);

impl Region {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The municipality's code, such as `17201`.
    #[must_use]
    pub fn municipality(&self) -> &str {
        self.0.rsplit('/').next().expect("a region has four levels")
    }

    /// The same prefecture with another municipality code.
    ///
    /// # Errors
    /// [`Refusal::BadRegion`] if the code is not plain.
    pub fn with_municipality(&self, code: &str) -> Result<Self, Refusal> {
        let (prefecture, _) = self.0.rsplit_once('/').expect("a region has four levels");
        format!("{prefecture}/{code}").parse()
    }
}

impl FromStr for Region {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        if is_path(text, LEVELS..=LEVELS) {
            Ok(Self(text.into()))
        } else {
            Err(Refusal::BadRegion)
        }
    }
}

/// A part of the world for which a root may speak: one to four levels, such as `Asia/JP`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionPrefix(String);

impl RegionPrefix {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the region lies under this prefix. Whole codes count: `Asia/J` does not cover `Asia/JP`.
    #[must_use]
    pub fn covers(&self, region: &Region) -> bool {
        region
            .0
            .strip_prefix(&self.0)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// What a list says of a region: the longest prefix that covers it counts.
#[must_use]
pub fn closest<'a, T>(list: &'a [(RegionPrefix, T)], region: &Region) -> Option<&'a T> {
    let covering = list.iter().filter(|(prefix, _)| prefix.covers(region));
    let longest = covering.max_by_key(|(prefix, _)| prefix.as_str().len());
    longest.map(|(_, said)| said)
}

impl FromStr for RegionPrefix {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        if is_path(text, 1..=LEVELS) {
            Ok(Self(text.into()))
        } else {
            Err(Refusal::BadRegion)
        }
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(D::Error::custom)
            }
        }
    };
}

as_text!(Region);
as_text!(RegionPrefix);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_have_four_plain_codes() {
        let kanazawa: Region = "Asia/JP/17/17201".parse().unwrap();
        assert_eq!(kanazawa.municipality(), "17201");
        assert_eq!(
            kanazawa.with_municipality("17203").unwrap().as_str(),
            "Asia/JP/17/17203"
        );
        for bad in [
            "",
            "Asia/JP/17",
            "Asia/JP/17/17201/1",
            "Asia//17/17201",
            "Asia/JP/17/金沢",
            "a/b/c/ ",
        ] {
            assert_eq!(bad.parse::<Region>(), Err(Refusal::BadRegion), "{bad}");
        }
    }

    #[test]
    fn prefixes_cover_whole_codes() {
        let kanazawa: Region = "Asia/JP/17/17201".parse().unwrap();
        let covers = |prefix: &str| prefix.parse::<RegionPrefix>().unwrap().covers(&kanazawa);
        assert!(covers("Asia"));
        assert!(covers("Asia/JP/17"));
        assert!(covers("Asia/JP/17/17201"));
        assert!(!covers("Asia/J"));
        assert!(!covers("Asia/JP/18"));
        assert!(!covers("Asia/JP/17/172"));
    }
}

//! How new the lists were that this node judged by, in `crl-marks.json`: an older list in place of a newer one
//! would let revoked certificates in again, also over a restart.
//!
//! Owns the file and the comparison; `trust_store` asks. Lists are told apart by their series and not yet
//! verified here: who can write into `crls/` can also keep a node from newer lists by taking them away.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use city_protocol::amount::Timestamp;
use city_protocol::pki::{Crl, Crls, MAX_CRLS};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::config::rfc3339;
use crate::keys::KeyFileError;
use crate::keys::file::write_public;

/// Most series that are remembered; beyond it those go that were not seen for longest.
const MAX_MARKS: usize = 2 * MAX_CRLS;
/// How much of an issuer's name is kept for messages, in characters.
const MAX_NAME: usize = 128;

/// How new a list is: its number (RFC 5280 section 5.2.3), and when it was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Whose list, in words.
    issuer: String,
    /// Big-endian, in hex.
    number: Option<String>,
    this_update: Timestamp,
}

impl Mark {
    fn of(list: &Crl) -> Self {
        Self {
            issuer: list.issuer_name().chars().take(MAX_NAME).collect(),
            number: list.number().map(|number| HEXLOWER.encode(number)),
            this_update: list.this_update(),
        }
    }

    /// By number, as far as both have one, and then by date.
    fn compare(&self, other: &Self) -> Ordering {
        let value = |mark: &Self| {
            let digits = mark.number.as_deref()?.trim_start_matches('0').to_owned();
            Some((digits.len(), digits))
        };
        let numbers = match (value(self), value(other)) {
            (Some(own), Some(others)) => own.cmp(&others),
            _ => Ordering::Equal,
        };
        numbers.then(self.this_update.cmp(&other.this_update))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = &self.number {
            write!(f, "number 0x{number} ")?;
        }
        write!(f, "of {}", rfc3339(self.this_update))
    }
}

/// A list went back.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list of {} is {found}, and this node judged by {used} before", .used.issuer)]
pub struct WentBack {
    found: Mark,
    used: Mark,
}

/// The newest of each series that was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListMarks {
    v: Version,
    lists: BTreeMap<String, Mark>,
}

/// Always 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
struct Version;

impl TryFrom<u8> for Version {
    type Error = String;

    fn try_from(v: u8) -> Result<Self, String> {
        (v == 1)
            .then_some(Self)
            .ok_or_else(|| format!("version {v} is unknown here"))
    }
}

impl From<Version> for u8 {
    fn from(_: Version) -> Self {
        1
    }
}

impl ListMarks {
    /// The marks after these lists; the same if none is newer.
    ///
    /// # Errors
    /// [`WentBack`] if the newest of a series is older than its mark. A series without any list says nothing:
    /// that there is none is told elsewhere (`crl-none`).
    pub(super) fn after(&self, lists: &Crls) -> Result<Self, WentBack> {
        let mut newest: BTreeMap<String, Mark> = BTreeMap::new();
        for list in lists.iter() {
            let (series, mark) = (HEXLOWER.encode(&list.series().0), Mark::of(list));
            let newer = newest
                .get(&series)
                .is_none_or(|other| mark.compare(other).is_gt());
            if newer {
                newest.insert(series, mark);
            }
        }
        let mut after = self.clone();
        for (series, found) in &newest {
            match self.lists.get(series) {
                Some(used) if found.compare(used).is_lt() => {
                    return Err(WentBack {
                        found: found.clone(),
                        used: used.clone(),
                    });
                }
                Some(used) if found.compare(used).is_eq() => {}
                _ => {
                    after.lists.insert(series.clone(), found.clone());
                }
            }
        }
        while after.lists.len() > MAX_MARKS {
            let gone = after
                .lists
                .iter()
                .filter(|(of, _)| !newest.contains_key(*of));
            let oldest = gone.min_by_key(|(_, mark)| mark.this_update);
            let Some(series) = oldest.map(|(series, _)| series.clone()) else {
                break;
            };
            after.lists.remove(&series);
        }
        Ok(after)
    }

    /// Reads what [`ListMarks::write`] wrote.
    pub(super) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// Makes the marks durable, all of them or none.
    pub(super) fn write(&self, path: &Path) -> Result<(), KeyFileError> {
        let mut json = serde_json::to_vec_pretty(self).expect("plain fields have a JSON form");
        json.push(b'\n');
        write_public(path, &json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_is_by_number_and_then_by_date() {
        let mark = |number: Option<&str>, at: u64| Mark {
            issuer: "石川県 CA".into(),
            number: number.map(Into::into),
            this_update: Timestamp(at),
        };
        let check = |one: &Mark, other: &Mark, expected| {
            assert_eq!(one.compare(other), expected, "{one} {other}");
            assert_eq!(other.compare(one), expected.reverse(), "{other} {one}");
        };
        check(
            &mark(Some("0a"), 5),
            &mark(Some("09"), 7),
            Ordering::Greater,
        );
        check(
            &mark(Some("0100"), 5),
            &mark(Some("ff"), 7),
            Ordering::Greater,
        );
        check(
            &mark(Some("00ff"), 5),
            &mark(Some("ff"), 5),
            Ordering::Equal,
        );
        check(
            &mark(Some("ff"), 6),
            &mark(Some("ff"), 5),
            Ordering::Greater,
        );
        check(&mark(None, 6), &mark(Some("ff"), 5), Ordering::Greater);
        check(&mark(None, 4), &mark(None, 5), Ordering::Less);
    }
}

//! Ids of secrets: they tell secrets apart and say nothing about them.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::sha256;

/// Length of such an id in bytes.
pub const SECRET_ID_LEN: usize = 8;

/// A secret's id: the first eight bytes of its tagged SHA-256, printed as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretId([u8; SECRET_ID_LEN]);

impl SecretId {
    /// The id of a secret under the tag of its kind.
    #[must_use]
    pub fn of(tag: &[u8], secret: &[u8]) -> Self {
        let digest = sha256(&[tag, secret]);
        let (id, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
        Self(*id)
    }

    /// An id as it stands in a sealed box.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; SECRET_ID_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SECRET_ID_LEN] {
        &self.0
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SecretId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or("the id of a secret is 16 hex digits")
    }
}

impl Serialize for SecretId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

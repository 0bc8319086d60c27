//! Algorithms by id, their exact lengths, and the suites that join them.
//!
//! A new scheme is a new id here; every `match` on these enums then says where it is missing.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::refusal::Refusal;

/// What an enum of ids needs to stand in text: `Display`, `FromStr` that refuses unknown ids, serde as a string.
macro_rules! named_by_id {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.id())
            }
        }

        impl FromStr for $name {
            type Err = Refusal;

            fn from_str(id: &str) -> Result<Self, Refusal> {
                let known = Self::ALL.iter().find(|one| one.id() == id);
                known.copied().ok_or(Refusal::UnknownAlgorithm)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.id())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let id = String::deserialize(deserializer)?;
                id.parse().map_err(D::Error::custom)
            }
        }
    };
}

/// A signature algorithm by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// `dilithium5`: pqcrypto-dilithium 0.5.0 (pq-crystals commit 918af1a6, a draft of FIPS 204).
    Dilithium5,
    /// `ml-dsa-87`: final FIPS 204, pure, empty context string, through aws-lc-rs.
    MlDsa87,
}

impl Algorithm {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Dilithium5, Self::MlDsa87];

    /// The id that stands in bodies, keys and signatures.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Dilithium5 => "dilithium5",
            Self::MlDsa87 => "ml-dsa-87",
        }
    }

    /// Public key length in bytes. The two schemes agree in it: only the id tells them apart.
    #[must_use]
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::Dilithium5 | Self::MlDsa87 => 2592,
        }
    }

    /// Length in bytes of the secret key as it is stored: of `ml-dsa-87` the seed of FIPS 204, of `dilithium5` the
    /// expanded key, for which pqcrypto has no seed.
    #[must_use]
    pub const fn secret_key_len(self) -> usize {
        match self {
            Self::Dilithium5 => 4896,
            Self::MlDsa87 => 32,
        }
    }

    /// Signature length in bytes.
    #[must_use]
    pub const fn signature_len(self) -> usize {
        match self {
            Self::Dilithium5 | Self::MlDsa87 => 4627,
        }
    }

    /// The suite that it belongs to.
    #[must_use]
    pub const fn suite(self) -> Suite {
        match self {
            Self::Dilithium5 => Suite::Dilithium5Ntru,
            Self::MlDsa87 => Suite::Fips,
        }
    }
}

named_by_id!(Algorithm);

/// A key encapsulation algorithm by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KemAlgorithm {
    /// `ntru-hps-4096-821`: NTRU of NIST's third round, level 5.
    NtruHps4096821,
    /// `ntru-hrss-701`: NTRU of NIST's third round, level 3: known, never chosen by default.
    NtruHrss701,
    /// `ml-kem-1024`: FIPS 203, through aws-lc-rs.
    MlKem1024,
}

impl KemAlgorithm {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::NtruHps4096821, Self::NtruHrss701, Self::MlKem1024];

    /// The id that stands in bodies and certificates.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::NtruHps4096821 => "ntru-hps-4096-821",
            Self::NtruHrss701 => "ntru-hrss-701",
            Self::MlKem1024 => "ml-kem-1024",
        }
    }

    /// Public key length in bytes.
    #[must_use]
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::NtruHps4096821 => 1230,
            Self::NtruHrss701 => 1138,
            Self::MlKem1024 => 1568,
        }
    }

    /// Ciphertext length in bytes.
    #[must_use]
    pub const fn ciphertext_len(self) -> usize {
        match self {
            Self::NtruHps4096821 => 1230,
            Self::NtruHrss701 => 1138,
            Self::MlKem1024 => 1568,
        }
    }

    /// Secret key length in bytes: of `ml-kem-1024` the expanded key of FIPS 203, because aws-lc-rs takes no seed.
    #[must_use]
    pub const fn secret_key_len(self) -> usize {
        match self {
            Self::NtruHps4096821 => 1590,
            Self::NtruHrss701 => 1450,
            Self::MlKem1024 => 3168,
        }
    }

    /// The suite that it belongs to.
    #[must_use]
    pub const fn suite(self) -> Suite {
        match self {
            Self::NtruHps4096821 | Self::NtruHrss701 => Suite::Dilithium5Ntru,
            Self::MlKem1024 => Suite::Fips,
        }
    }
}

named_by_id!(KemAlgorithm);

/// A signature algorithm and the key encapsulation that goes with it. A node and an account have one suite each; a
/// network lists in its genesis record which it admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// `dilithium5-ntru`, the default: `dilithium5` and `ntru-hps-4096-821` (or `ntru-hrss-701`).
    Dilithium5Ntru,
    /// `fips`: `ml-dsa-87` and `ml-kem-1024`.
    Fips,
}

impl Suite {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Dilithium5Ntru, Self::Fips];

    /// The id that stands in genesis records and charters.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Dilithium5Ntru => "dilithium5-ntru",
            Self::Fips => "fips",
        }
    }

    /// What its new signing keys are made for.
    #[must_use]
    pub const fn signing(self) -> Algorithm {
        match self {
            Self::Dilithium5Ntru => Algorithm::Dilithium5,
            Self::Fips => Algorithm::MlDsa87,
        }
    }

    /// What its new KEM keys are made for.
    #[must_use]
    pub const fn kem(self) -> KemAlgorithm {
        match self {
            Self::Dilithium5Ntru => KemAlgorithm::NtruHps4096821,
            Self::Fips => KemAlgorithm::MlKem1024,
        }
    }
}

named_by_id!(Suite);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_one_algorithm_and_an_unknown_one_none() {
        let mut ids: Vec<&str> = Algorithm::ALL.iter().map(|a| a.id()).collect();
        ids.extend(KemAlgorithm::ALL.iter().map(|a| a.id()));
        ids.extend(Suite::ALL.iter().map(|s| s.id()));
        let given = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), given, "two things have one id");
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.id().parse(), Ok(*algorithm));
        }
        for kem in KemAlgorithm::ALL {
            assert_eq!(kem.id().parse(), Ok(*kem));
        }
        let unknown = Err(Refusal::UnknownAlgorithm);
        for id in [
            "",
            "dilithium3",
            "Dilithium5",
            "ml-dsa-65",
            "ml-dsa-87 ",
            "2",
        ] {
            assert_eq!(
                id.parse::<Algorithm>(),
                unknown.map(|(): ()| Algorithm::MlDsa87),
                "{id}"
            );
            assert_eq!(
                id.parse::<Suite>(),
                unknown.map(|(): ()| Suite::Fips),
                "{id}"
            );
        }
        assert!(serde_json::from_str::<KemAlgorithm>("\"ml-kem-768\"").is_err());
        assert_eq!(serde_json::to_string(&Suite::Fips).unwrap(), "\"fips\"");
    }

    #[test]
    fn a_suite_owns_what_it_chooses() {
        for suite in Suite::ALL {
            assert_eq!(suite.signing().suite(), *suite);
            assert_eq!(suite.kem().suite(), *suite);
        }
        assert_eq!(KemAlgorithm::NtruHrss701.suite(), Suite::Dilithium5Ntru);
    }
}

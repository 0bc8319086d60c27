//! ML-DSA private keys as other software writes them: PKCS#8 with a seed, an expanded key or both (RFC 9881 section 6).
//!
//! AWS-LC decides whether a key is sound. What is read here besides is which set it is of and its seed; that seed and
//! expanded key are the same key is compared here, byte by byte.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::encoding::AsRawBytes as _;
use aws_lc_rs::signature::{
    KeyPair as _, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair,
    PqdsaSigningAlgorithm,
};
use x509_cert::der::asn1::OctetString;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Choice, Decode, Sequence};
use x509_cert::spki::AlgorithmIdentifierOwned;
use zeroize::Zeroizing;

use super::sign::SecretKey;
use crate::refusal::Refusal;

/// A parameter set of FIPS 204. Only the largest is an algorithm of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlDsaSet {
    /// ML-DSA-44.
    MlDsa44,
    /// ML-DSA-65.
    MlDsa65,
    /// ML-DSA-87.
    MlDsa87,
}

impl MlDsaSet {
    const ALL: [(Self, &'static str); 3] = [
        (Self::MlDsa44, "2.16.840.1.101.3.4.3.17"),
        (Self::MlDsa65, "2.16.840.1.101.3.4.3.18"),
        (Self::MlDsa87, "2.16.840.1.101.3.4.3.19"),
    ];

    /// Its id.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
        }
    }

    fn of(oid: ObjectIdentifier) -> Option<Self> {
        let known =
            |(set, text): (Self, &str)| (ObjectIdentifier::new_unwrap(text) == oid).then_some(set);
        Self::ALL.into_iter().find_map(known)
    }

    /// Length of an expanded key in bytes (FIPS 204 table 2).
    const fn expanded_len(self) -> usize {
        match self {
            Self::MlDsa44 => 2560,
            Self::MlDsa65 => 4032,
            Self::MlDsa87 => 4896,
        }
    }

    fn signing(self) -> &'static PqdsaSigningAlgorithm {
        match self {
            Self::MlDsa44 => &ML_DSA_44_SIGNING,
            Self::MlDsa65 => &ML_DSA_65_SIGNING,
            Self::MlDsa87 => &ML_DSA_87_SIGNING,
        }
    }
}

/// Why a PKCS#8 key was not taken. [`Pkcs8Refusal::code`] is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Pkcs8Refusal {
    /// Not an unencrypted PKCS#8 key in DER, or with contents that no ML-DSA key has.
    #[error("not an unencrypted PKCS#8 key with a seed, an expanded key or both")]
    Form,
    /// A key of another algorithm.
    #[error("not an ML-DSA key")]
    Algorithm,
    /// The seed expands to another key than the one that stands beside it.
    #[error("the seed and the expanded key beside it are not the same key")]
    SeedMismatch,
    /// The expanded key contradicts itself.
    #[error("the expanded key contradicts itself: its parts are not of one key")]
    Inconsistent,
}

impl Pkcs8Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Form => "pkcs8-form",
            Self::Algorithm => "pkcs8-algorithm",
            Self::SeedMismatch => "pkcs8-seed-mismatch",
            Self::Inconsistent => "pkcs8-inconsistent",
        }
    }
}

/// `PrivateKeyInfo` (RFC 5208), without the attributes that ML-DSA keys do not have.
#[derive(Sequence)]
struct PrivateKeyInfo {
    version: u8,
    algorithm: AlgorithmIdentifierOwned,
    private_key: OctetString,
}

/// Seed and expanded key beside each other.
#[derive(Sequence)]
struct Both {
    seed: OctetString,
    expanded: OctetString,
}

/// What an ML-DSA key is stored as.
#[derive(Choice)]
enum Stored {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", type = "OCTET STRING")]
    Seed(OctetString),
    #[asn1(type = "OCTET STRING")]
    Expanded(OctetString),
    Both(Both),
}

/// A sound ML-DSA key that was read from PKCS#8. Not `Copy`, zeroized when dropped, redacted in `Debug`.
pub struct MlDsaImport {
    set: MlDsaSet,
    pair: PqdsaKeyPair,
    seed: Option<Zeroizing<Vec<u8>>>,
}

impl MlDsaImport {
    /// Reads a key.
    ///
    /// # Errors
    /// A [`Pkcs8Refusal`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, Pkcs8Refusal> {
        let kept = |octets: OctetString| Zeroizing::new(octets.into_bytes().into_vec());
        let info = PrivateKeyInfo::from_der(der).map_err(|_| Pkcs8Refusal::Form)?;
        let content = kept(info.private_key);
        let AlgorithmIdentifierOwned { oid, parameters } = info.algorithm;
        let set = MlDsaSet::of(oid).ok_or(Pkcs8Refusal::Algorithm)?;
        if info.version != 0 || parameters.is_some() {
            return Err(Pkcs8Refusal::Form);
        }
        let stored = Stored::from_der(&content).map_err(|_| Pkcs8Refusal::Form)?;
        let (seed, expanded) = match stored {
            Stored::Seed(seed) => (Some(kept(seed)), None),
            Stored::Expanded(expanded) => (None, Some(kept(expanded))),
            Stored::Both(both) => (Some(kept(both.seed)), Some(kept(both.expanded))),
        };
        if expanded
            .as_ref()
            .is_some_and(|key| key.len() != set.expanded_len())
        {
            return Err(Pkcs8Refusal::Form);
        }
        if let (Some(seed), Some(expanded)) = (&seed, &expanded) {
            one_key(set, seed, expanded)?;
        }
        // What is left of the form is a seed of another length.
        let wrong = match expanded {
            Some(_) => Pkcs8Refusal::Inconsistent,
            None => Pkcs8Refusal::Form,
        };
        let pair = PqdsaKeyPair::from_pkcs8(set.signing(), der).map_err(|_| wrong)?;
        Ok(Self { set, pair, seed })
    }

    /// The parameter set.
    #[must_use]
    pub const fn set(&self) -> MlDsaSet {
        self.set
    }

    /// The raw public key.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The key as the ledger has it: of `ml-dsa-87`, and with its seed.
    ///
    /// # Errors
    /// [`Refusal::UnknownAlgorithm`] for another set, [`Refusal::BadKey`] for a key without its seed: it cannot be
    /// stored in this software's form.
    pub fn to_ledger_key(&self) -> Result<SecretKey, Refusal> {
        if self.set != MlDsaSet::MlDsa87 {
            return Err(Refusal::UnknownAlgorithm);
        }
        SecretKey::from_seed(self.seed.as_ref().ok_or(Refusal::BadKey)?)
    }
}

impl fmt::Debug for MlDsaImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MlDsaImport({}, redacted)", self.set.id())
    }
}

/// Compares the seed's key with the one beside it in every byte: AWS-LC compares what the public key depends on, and
/// takes another K, with which other signatures are made.
fn one_key(set: MlDsaSet, seed: &[u8], expanded: &[u8]) -> Result<(), Pkcs8Refusal> {
    let right = PqdsaKeyPair::from_seed(set.signing(), seed).map_err(|_| Pkcs8Refusal::Form)?;
    let right = right.private_key().as_raw_bytes();
    let right = right.map_err(|_| Pkcs8Refusal::Form)?;
    verify_slices_are_equal(right.as_ref(), expanded).map_err(|_| Pkcs8Refusal::SeedMismatch)
}

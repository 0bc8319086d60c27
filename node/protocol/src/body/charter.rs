//! The charter: who a municipality is. The first entry of its log, and what its log id is made of.

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::amount::Timestamp;
use crate::crypto::{Algorithm, PublicKey, Suite, TAG_CHARTER, one_algorithm_each};
use crate::ids::{LogId, NetworkId, sha256};
use crate::json;
use crate::pki::MAX_INTERMEDIATES;
use crate::refusal::Refusal;
use crate::region::Region;

/// Most officers of a municipality: their raw keys stand in the charter.
pub(super) const MAX_OFFICERS: usize = 9;
/// Most witnesses that a charter names (DESIGN §5).
pub(super) const MAX_WITNESSES: usize = 7;

/// One officer: a raw key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Officer {
    /// Algorithm.
    pub alg: Algorithm,
    /// Raw public key, base64.
    #[serde(with = "json::base64_bytes")]
    pub key: Vec<u8>,
}

/// The officers and how many of them must sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Officers {
    /// How many must sign, at least 1.
    pub k: u64,
    /// Who may sign.
    pub keys: Vec<Officer>,
}

impl Officers {
    /// Their keys: at least k and at most nine, each once and under one algorithm.
    ///
    /// # Errors
    /// [`Refusal::BadField`], [`Refusal::BadKey`], or [`Refusal::WrongAlgorithm`] for one key under two algorithms.
    pub fn public_keys(&self) -> Result<Vec<PublicKey>, Refusal> {
        let known = self.keys.len() as u64;
        if self.keys.len() > MAX_OFFICERS || !(1..=known).contains(&self.k) {
            return Err(Refusal::BadField);
        }
        let keys = self.keys.iter().map(|o| PublicKey::new(o.alg, &o.key));
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        one_algorithm_each(&keys)?;
        let mut ids: Vec<_> = keys.iter().map(PublicKey::id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() == keys.len() {
            Ok(keys)
        } else {
            Err(Refusal::BadField)
        }
    }
}

/// Base64 text of DER, as it stands in the charter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Der(#[serde(with = "json::base64_bytes")] pub Vec<u8>);

/// The charter's fields. Canonical JSON of at most 96 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charter {
    /// Form of the body: 1.
    pub version: u64,
    /// `charter`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// Municipality.
    pub region: Region,
    /// When it was written.
    pub created_at: Timestamp,
    /// Suite of the node's keys.
    pub suite: Suite,
    /// The node certificate, DER in base64.
    pub node_certificate: Der,
    /// Its intermediates towards a genesis root, DER in base64.
    pub chain: Vec<Der>,
    /// Officers.
    pub officers: Officers,
    /// Logs that are asked to witness this one; they need not exist yet.
    pub witnesses: Vec<LogId>,
}

impl Charter {
    /// Reads a charter and checks what can be checked of it alone.
    ///
    /// # Errors
    /// The refusals of [`json::read`] and of the fields.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let value = json::read_object(bytes, json::MAX_CHARTER_BODY)?;
        super::precise_refusal(&value)?;
        let charter: Self = serde_json::from_value(value).map_err(|_| Refusal::BadField)?;
        let plausible = charter.kind == Kind::Charter
            && charter.chain.len() <= MAX_INTERMEDIATES
            && charter.witnesses.len() <= MAX_WITNESSES;
        if !plausible {
            return Err(Refusal::BadField);
        }
        charter.officers.public_keys()?;
        Ok(charter)
    }

    /// The log that these charter bytes found: SHA-256(tag ‖ body).
    #[must_use]
    pub fn log_id(body: &[u8]) -> LogId {
        LogId(sha256(&[TAG_CHARTER.0, body]))
    }
}

//! What officers sign together: `grant`. Canonical JSON without `alg` and `key`, because several sign;
//! each signature is over tag ‖ length-prefixed algorithm ‖ key id ‖ JSON.

use serde::{Deserialize, Serialize};

use super::{Kind, Label};
use crate::amount::{Amount, Timestamp};
use crate::crypto::Algorithm;
use crate::ids::{AccountId, KeyId, LogId, NetworkId, length_prefixed};
use crate::json;
use crate::refusal::Refusal;

/// Gives an account 愛貨.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Form of the body: 1.
    pub version: u64,
    /// `grant`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// Log that books it.
    pub home: LogId,
    /// The log's next officers' sequence number, from 1, without gaps.
    pub officers_sequence: u64,
    /// When it was proposed.
    pub created_at: Timestamp,
    /// Who receives.
    pub account: AccountId,
    /// How much.
    pub amount: Amount,
    /// Why.
    pub reason: Label,
}

impl Grant {
    /// Reads the exact bytes that the officers signed.
    ///
    /// # Errors
    /// The refusals of [`json::read`] and of the fields.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let value = json::read_object(bytes, json::MAX_SIGNED_BODY)?;
        super::precise_refusal(&value)?;
        let grant: Self = serde_json::from_value(value).map_err(|_| Refusal::BadField)?;
        if grant.kind != Kind::Grant || grant.officers_sequence == 0 {
            return Err(Refusal::BadField);
        }
        grant.amount.positive()?;
        Ok(grant)
    }

    /// The bytes that one officer signs, behind the tag.
    #[must_use]
    pub fn officer_message(algorithm: Algorithm, key: &KeyId, body: &[u8]) -> Vec<u8> {
        [
            &length_prefixed(algorithm.id().as_bytes()),
            key.0.as_slice(),
            body,
        ]
        .concat()
    }
}

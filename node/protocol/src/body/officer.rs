//! What officers sign together: `grant`, `ungrant` and `correct` here, `recover`, the officers' `revoke` and others beside it. Canonical JSON without `alg` and
//! `key`, because several sign; each signature is over tag ‖ length-prefixed algorithm ‖ key id ‖ JSON.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{BODY_VERSION, Kind, Label};
use crate::amount::{Amount, Timestamp};
use crate::crypto::{Algorithm, DomainTag, TAG_CORRECT, TAG_GRANT, TAG_UNGRANT};
use crate::ids::{AccountId, Digest, KeyId, LogId, NetworkId, length_prefixed};
use crate::json;
use crate::refusal::Refusal;

/// A body that k officers sign.
pub trait OfficersBody: Serialize + DeserializeOwned {
    /// Its kind, which stands in `type`.
    const KIND: Kind;
    /// Its domain tag.
    const TAG: DomainTag;
    /// Longest body in bytes.
    const MAX: usize = json::MAX_SIGNED_BODY;

    /// The fields that every officers' body has.
    fn decision(&self) -> Decision;

    /// What must hold of this body by itself.
    ///
    /// # Errors
    /// The first refusal found.
    fn check(&self) -> Result<(), Refusal>;
}

/// The fields that every body signed by officers has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Form of the body.
    pub version: u64,
    /// Kind that the body claims.
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// Log that books it.
    pub home: LogId,
    /// The log's next officers' sequence number, from 1, without gaps.
    pub officers_sequence: u64,
    /// When it was proposed.
    pub created_at: Timestamp,
}

/// The fields that stand in every officers' body, as [`Decision`].
macro_rules! decision_fields {
    () => {
        fn decision(&self) -> Decision {
            Decision {
                version: self.version,
                kind: self.kind,
                network: self.network,
                home: self.home,
                officers_sequence: self.officers_sequence,
                created_at: self.created_at,
            }
        }
    };
}
pub(super) use decision_fields;

/// Reads an officers' body from the exact bytes that they signed.
///
/// # Errors
/// [`Refusal::UnknownVersion`] before everything about the body's type, then the refusals of single
/// fields, of [`json::read_object`] and of the body itself.
pub fn read_officers_body<B: OfficersBody>(bytes: &[u8]) -> Result<B, Refusal> {
    let value = json::read_object(bytes, B::MAX)?;
    super::precise_refusal(&value)?;
    let body: B = serde_json::from_value(value).map_err(|_| Refusal::BadField)?;
    let decision = body.decision();
    if decision.kind != B::KIND || decision.officers_sequence == 0 {
        return Err(Refusal::BadField);
    }
    debug_assert_eq!(decision.version, BODY_VERSION, "looked at before");
    body.check()?;
    Ok(body)
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

impl OfficersBody for Grant {
    const KIND: Kind = Kind::Grant;
    const TAG: DomainTag = TAG_GRANT;

    decision_fields!();

    fn check(&self) -> Result<(), Refusal> {
        self.amount.positive().map(|_| ())
    }
}

/// Takes 愛貨 back from an account: at most what is available.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ungrant {
    /// Form of the body: 1.
    pub version: u64,
    /// `ungrant`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// Log that books it.
    pub home: LogId,
    /// The log's next officers' sequence number.
    pub officers_sequence: u64,
    /// When it was proposed.
    pub created_at: Timestamp,
    /// Who gives back.
    pub account: AccountId,
    /// How much.
    pub amount: Amount,
    /// Why.
    pub reason: Label,
}

impl OfficersBody for Ungrant {
    const KIND: Kind = Kind::Ungrant;
    const TAG: DomainTag = TAG_UNGRANT;

    decision_fields!();

    fn check(&self) -> Result<(), Refusal> {
        self.amount.positive().map(|_| ())
    }
}

/// Puts right what no rule puts right by itself: with `transfer`, the sender gets back what a home that fell silent
/// never answered; without, an account makes good a part of the log's shortfall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correct {
    /// Form of the body: 1.
    pub version: u64,
    /// `correct`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// Log that books it.
    pub home: LogId,
    /// The log's next officers' sequence number.
    pub officers_sequence: u64,
    /// When it was proposed.
    pub created_at: Timestamp,
    /// Sender of the transfer; or who makes good.
    pub account: AccountId,
    /// How much: of a transfer, all of it.
    pub amount: Amount,
    /// Identity of the transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Digest>,
    /// Why.
    pub reason: Label,
}

impl OfficersBody for Correct {
    const KIND: Kind = Kind::Correct;
    const TAG: DomainTag = TAG_CORRECT;

    decision_fields!();

    fn check(&self) -> Result<(), Refusal> {
        self.amount.positive().map(|_| ())
    }
}

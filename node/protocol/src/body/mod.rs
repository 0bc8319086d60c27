//! What people, officers and homes say: the bodies of entries, one file a group.
//!
//! Bodies that people and officers sign are canonical JSON, kept as received; bodies that a home
//! authors are deterministic DAG-CBOR. A body type can only be built from bytes that passed its checks.

mod amendment;
mod answer;
mod charter;
mod epoch;
mod home;
mod keys;
mod label;
mod login;
mod note;
mod officer;
mod order;
mod person;
mod private;
mod trust;

pub use amendment::{Amendment, MAX_CHARTERS};
pub use answer::{
    Answer, AnsweredBy, Reject, RejectReason, StandingAccept, StandingReject, is_home_authored,
};
pub use charter::{Charter, Der, Officer, Officers};
pub use epoch::{EpochStart, MAX_EPOCHS};
pub use home::{Adopt, Fault, FaultReason, OwnEntry, Refund, RefundReason, Settle, Start};
pub use keys::{NewKeys, OfficersRevoke, Recover, Revoke, Rotate, is_officers_revoke};
pub use label::Label;
pub use login::{CHALLENGE_LEN, Login, LoginKind, SignedLogin};
pub use note::{MAX_NOTE_VALUE, Note};
pub use officer::{
    Correct, Decision, Grant, OfficersBody, Ungrant, officer_message, read_officers_body,
};
pub use order::{MAX_ORDER_SENDERS, Order};
pub use person::{Accept, AccountTitle, Dimension, Enrol, GoodsOrMoney, Transfer};
pub use private::{
    MAX_PRIVATE_VALUE, MAX_PRIVATE_VALUES, PrivateBytes, PrivateField, PrivateValues, SALT_LEN,
    Salted,
};
pub use trust::{MAX_TRUST_BODY, MAX_TRUST_LISTS, Trust};

use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::amount::{Amount, Timestamp};
use crate::crypto::{Algorithm, DomainTag, KemAlgorithm, Suite};
use crate::ids::{AccountId, Digest, KeyId, LogId, NetworkId, TransferId};
use crate::json;
use crate::refusal::Refusal;
use crate::region::Region;

/// The version that every body of this software carries.
pub const BODY_VERSION: u64 = 1;
/// How far a client's clock may run ahead of the home's, in milliseconds: five minutes.
pub const MAX_FUTURE_MS: u64 = 5 * 60 * 1000;

/// What kind of thing happened. The kinds of later issues are not known here: a vertex that holds one
/// is `unsupported`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The first entry of a log: who the municipality is. Later, from officers: who its officers are from then on.
    Charter,
    /// An account opens.
    Enrol,
    /// An account gets other keys.
    Rotate,
    /// An account's key is closed.
    Revoke,
    /// Officers give an account new keys.
    Recover,
    /// Officers close an epoch of the log and begin the next.
    EpochStart,
    /// A person says which transfers their home takes for them.
    Order,
    /// Officers give an account 愛貨.
    Grant,
    /// Officers take 愛貨 back.
    Ungrant,
    /// Officers release what a silent home never answered, or make good a shortfall.
    Correct,
    /// A proof of place, directly before its transfer.
    Place,
    /// A person sends 愛貨.
    Transfer,
    /// The receiver takes it, or their home by their standing order.
    Accept,
    /// The receiver, or their home, does not take it.
    Reject,
    /// The sender's home closes the transfer.
    Settle,
    /// The sender's home gives the sender back what was not taken.
    Refund,
    /// The node started.
    Start,
    /// The author saw another log convict itself.
    Fault,
    /// The author answers for what it had booked beyond a cut and others rest on.
    Adopt,
    /// The state of the log so far.
    Checkpoint,
    /// The municipality's lists of revoked certificates.
    Trust,
    /// A line of the board that all homes share.
    Note,
}

impl Kind {
    /// The kind's name in entries and bodies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Charter => "charter",
            Self::Enrol => "enrol",
            Self::Rotate => "rotate",
            Self::Revoke => "revoke",
            Self::Recover => "recover",
            Self::EpochStart => "epoch-start",
            Self::Order => "order",
            Self::Grant => "grant",
            Self::Ungrant => "ungrant",
            Self::Correct => "correct",
            Self::Place => "place",
            Self::Transfer => "transfer",
            Self::Accept => "accept",
            Self::Reject => "reject",
            Self::Settle => "settle",
            Self::Refund => "refund",
            Self::Start => "start",
            Self::Fault => "fault",
            Self::Adopt => "adopt",
            Self::Checkpoint => "checkpoint",
            Self::Trust => "trust",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        [
            Self::Charter,
            Self::Enrol,
            Self::Rotate,
            Self::Revoke,
            Self::Recover,
            Self::EpochStart,
            Self::Order,
            Self::Grant,
            Self::Ungrant,
            Self::Correct,
            Self::Place,
            Self::Transfer,
            Self::Accept,
            Self::Reject,
            Self::Settle,
            Self::Refund,
            Self::Start,
            Self::Fault,
            Self::Adopt,
            Self::Checkpoint,
            Self::Trust,
            Self::Note,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or(Refusal::UnknownVersion)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// A body that one person signs.
pub trait PersonBody: Serialize + DeserializeOwned {
    /// Its kind, which stands in `type`.
    const KIND: Kind;
    /// Its domain tag.
    const TAG: DomainTag;

    /// The fields that every person's body has.
    fn common(&self) -> Common;

    /// What must hold of this body by itself.
    ///
    /// # Errors
    /// The first refusal found.
    fn check(&self) -> Result<(), Refusal>;
}

/// The fields that every body signed by a person has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// Form of the body.
    pub version: u64,
    /// Kind that the body claims.
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// Algorithm of the signing key.
    pub alg: Algorithm,
    /// Signing key.
    pub key: KeyId,
    /// Home that is to sequence it.
    pub home: LogId,
    /// The account's sequence number.
    pub sequence: u64,
    /// When the person made it, by their own clock.
    pub created_at: Timestamp,
}

/// Reads a person's body from the exact bytes that were signed.
///
/// # Errors
/// [`Refusal::UnknownVersion`] before everything about the body's type, then the refusals of single
/// fields, of [`json::read`] and of the body itself.
pub fn read_person_body<B: PersonBody>(bytes: &[u8]) -> Result<B, Refusal> {
    let value = json::read_object(bytes, json::MAX_SIGNED_BODY)?;
    precise_refusal(&value)?;
    let body: B = serde_json::from_value(value).map_err(|_| Refusal::BadField)?;
    let common = body.common();
    if common.kind != B::KIND {
        return Err(Refusal::BadField);
    }
    body.check()?;
    Ok(body)
}

/// Reads a body that [`read_person_body`] took before it was stored: neither its writing nor its limits are looked at again.
pub(crate) fn read_stored_body<B: PersonBody>(bytes: &[u8]) -> Option<B> {
    serde_json::from_slice(bytes).ok()
}

/// Where a field's own form is wrong, says so instead of the general `bad-field`; a later form is told
/// apart from a wrong one by its `version` alone.
fn precise_refusal(value: &serde_json::Value) -> Result<(), Refusal> {
    fn form<T: FromStr<Err = Refusal>>(text: &str) -> Result<(), Refusal> {
        text.parse::<T>().map(|_| ())
    }
    let version = value.get("version").and_then(serde_json::Value::as_u64);
    if version.is_some_and(|version| version != BODY_VERSION) {
        return Err(Refusal::UnknownVersion);
    }
    let fields = value.as_object().into_iter().flatten();
    for (name, value) in fields {
        let Some(text) = value.as_str() else { continue };
        match name.as_str() {
            "alg" => form::<Algorithm>(text)?,
            "kem_alg" => form::<KemAlgorithm>(text)?,
            "suite" => form::<Suite>(text)?,
            "amount" => drop(text.parse::<Amount>()?.positive()?),
            "network" => form::<NetworkId>(text)?,
            "key" => form::<KeyId>(text)?,
            "home" | "receiver_home" | "sender_home" => form::<LogId>(text)?,
            "sender" | "receiver" | "account" => form::<AccountId>(text)?,
            "transfer_id" => form::<TransferId>(text)?,
            "sender_municipality" | "receiver_municipality" => form::<Region>(text)?,
            _ => {}
        }
    }
    Ok(())
}

/// The identity of a submission: SHA-256(tag ‖ body). The signature is not part of it.
#[must_use]
pub fn identity(tag: DomainTag, body: &[u8]) -> Digest {
    Digest::of(&[tag.0, body])
}

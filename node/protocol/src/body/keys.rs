//! How an account's keys change: `rotate` (old and new key sign), `revoke` (the person or k officers),
//! `recover` (k officers, when the key is lost).
//!
//! A key counts from the entry that names it to the entry that closes it. What was signed in between stays
//! verifiable for ever: the ledger never asks a certificate's date or a CRL about the past.

use serde::{Deserialize, Serialize};

use super::officer::decision_fields;
use super::person::common_fields;
use super::{Common, Decision, Kind, Label, OfficersBody, PersonBody};
use crate::amount::Timestamp;
use crate::crypto::{
    Algorithm, DomainTag, KemAlgorithm, KemPublicKey, PublicKey, TAG_RECOVER, TAG_REVOKE,
    TAG_ROTATE,
};
use crate::ids::{AccountId, Digest, KeyId, LogId, NetworkId};
use crate::json;
use crate::refusal::Refusal;

/// The keys that an account has from now on, and the certificate that was issued for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKeys {
    /// Algorithm of the signing key.
    pub alg: Algorithm,
    /// Raw signing key, base64.
    #[serde(with = "json::base64_bytes")]
    pub public_key: Vec<u8>,
    /// Algorithm of the key for sealed boxes.
    pub kem_alg: KemAlgorithm,
    /// Raw key for sealed boxes, base64.
    #[serde(with = "json::base64_bytes")]
    pub kem_key: Vec<u8>,
    /// SHA-256 of the new client certificate's DER.
    pub certificate: Digest,
}

impl NewKeys {
    /// The new signing key.
    ///
    /// # Errors
    /// [`Refusal::BadKey`].
    pub fn signing_key(&self) -> Result<PublicKey, Refusal> {
        PublicKey::new(self.alg, &self.public_key)
    }

    /// The new key for sealed boxes.
    ///
    /// # Errors
    /// [`Refusal::BadKey`].
    pub fn sealing_key(&self) -> Result<KemPublicKey, Refusal> {
        KemPublicKey::new(self.kem_alg, &self.kem_key)
    }

    fn check(&self) -> Result<(), Refusal> {
        self.signing_key()?;
        self.sealing_key()?;
        Ok(())
    }
}

/// Replaces an account's keys, also by those of another suite. The old and the new key sign the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// Form of the body: 1.
    pub version: u64,
    /// `rotate`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// Algorithm of the old key.
    pub alg: Algorithm,
    /// Id of the old key.
    pub key: KeyId,
    /// The account's home.
    pub home: LogId,
    /// The account's next sequence number.
    pub sequence: u64,
    /// When the person made it.
    pub created_at: Timestamp,
    /// The account.
    pub account: AccountId,
    /// Its keys from now on.
    pub new: NewKeys,
}

impl PersonBody for Rotate {
    const KIND: Kind = Kind::Rotate;
    const TAG: DomainTag = TAG_ROTATE;

    common_fields!();

    fn check(&self) -> Result<(), Refusal> {
        self.new.check()?;
        of_home(&self.account, &self.home)?;
        if self.new.signing_key()?.id() == self.key {
            return Err(Refusal::KeyUsed);
        }
        from_one(self.sequence)
    }
}

/// Closes an account's key: nothing is taken from it any more until officers `recover` the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// Form of the body: 1.
    pub version: u64,
    /// `revoke`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// Algorithm of the key.
    pub alg: Algorithm,
    /// Id of the key.
    pub key: KeyId,
    /// The account's home.
    pub home: LogId,
    /// The account's next sequence number.
    pub sequence: u64,
    /// When the person made it.
    pub created_at: Timestamp,
    /// The account.
    pub account: AccountId,
    /// Why.
    pub reason: Label,
}

impl PersonBody for Revoke {
    const KIND: Kind = Kind::Revoke;
    const TAG: DomainTag = TAG_REVOKE;

    common_fields!();

    fn check(&self) -> Result<(), Refusal> {
        of_home(&self.account, &self.home)?;
        from_one(self.sequence)
    }
}

/// The same, decided by officers: for somebody whose device was stolen with everything on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfficersRevoke {
    /// Form of the body: 1.
    pub version: u64,
    /// `revoke`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// The account's home.
    pub home: LogId,
    /// The log's next officers' sequence number.
    pub officers_sequence: u64,
    /// When it was proposed.
    pub created_at: Timestamp,
    /// The account.
    pub account: AccountId,
    /// Why.
    pub reason: Label,
}

impl OfficersBody for OfficersRevoke {
    const KIND: Kind = Kind::Revoke;
    const TAG: DomainTag = TAG_REVOKE;

    decision_fields!();

    fn check(&self) -> Result<(), Refusal> {
        of_home(&self.account, &self.home)
    }
}

/// Whether officers or the person say that a key is closed: only officers' bodies have a number of theirs.
#[must_use]
pub fn is_officers_revoke(body: &[u8]) -> bool {
    json::read_object(body, json::MAX_SIGNED_BODY)
        .is_ok_and(|value| value.get("officers_sequence").is_some())
}

/// Gives an account whose key is lost or closed new keys. The officers answer for who stands before them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recover {
    /// Form of the body: 1.
    pub version: u64,
    /// `recover`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// The account's home.
    pub home: LogId,
    /// The log's next officers' sequence number.
    pub officers_sequence: u64,
    /// When it was proposed.
    pub created_at: Timestamp,
    /// The account.
    pub account: AccountId,
    /// Its keys from now on.
    pub new: NewKeys,
    /// Why.
    pub reason: Label,
}

impl OfficersBody for Recover {
    const KIND: Kind = Kind::Recover;
    const TAG: DomainTag = TAG_RECOVER;

    decision_fields!();

    fn check(&self) -> Result<(), Refusal> {
        self.new.check()?;
        of_home(&self.account, &self.home)
    }
}

fn of_home(account: &AccountId, home: &LogId) -> Result<(), Refusal> {
    if account.is_of(home) {
        Ok(())
    } else {
        Err(Refusal::WrongHome)
    }
}

fn from_one(sequence: u64) -> Result<(), Refusal> {
    if sequence == 0 {
        Err(Refusal::BadField)
    } else {
        Ok(())
    }
}

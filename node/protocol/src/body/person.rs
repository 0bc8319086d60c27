//! What a person signs: `enrol`, `transfer`, `accept`. Canonical JSON; field order here is for reading,
//! the signed order is RFC 8785's.

use serde::{Deserialize, Serialize};

use super::{Common, Kind, Label, PersonBody};
use crate::amount::{Amount, Timestamp};
use crate::crypto::{
    Algorithm, DomainTag, KemAlgorithm, KemPublicKey, PublicKey, SealedBox, TAG_ACCEPT, TAG_ENROL,
    TAG_TRANSFER,
};
use crate::ids::{AccountId, Digest, KeyId, LogId, NetworkId, TransferId, sha256};
use crate::json;
use crate::refusal::Refusal;
use crate::region::Region;

/// The fields that stand in every person's body, as [`Common`].
macro_rules! common_fields {
    () => {
        fn common(&self) -> Common {
            Common {
                version: self.version,
                kind: self.kind,
                network: self.network,
                alg: self.alg,
                key: self.key,
                home: self.home,
                sequence: self.sequence,
                created_at: self.created_at,
            }
        }
    };
}
pub(super) use common_fields;

/// Opens an account: both public keys and the client certificate's fingerprint. Sequence 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrol {
    /// Form of the body: 1.
    pub version: u64,
    /// `enrol`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// Algorithm of the signing key.
    pub alg: Algorithm,
    /// Key id of `public_key`.
    pub key: KeyId,
    /// Home that keeps the account.
    pub home: LogId,
    /// Always 0.
    pub sequence: u64,
    /// When the person made it.
    pub created_at: Timestamp,
    /// Raw signing key, base64.
    #[serde(with = "json::base64_bytes")]
    pub public_key: Vec<u8>,
    /// Algorithm of the key for sealed boxes.
    pub kem_alg: KemAlgorithm,
    /// Raw key for sealed boxes, base64.
    #[serde(with = "json::base64_bytes")]
    pub kem_key: Vec<u8>,
    /// SHA-256 of the client certificate's DER.
    pub certificate: Digest,
}

impl Enrol {
    /// The signing key that the body carries.
    ///
    /// # Errors
    /// [`Refusal::BadKey`].
    pub fn signing_key(&self) -> Result<PublicKey, Refusal> {
        PublicKey::new(self.alg, &self.public_key)
    }

    /// The account that it opens.
    #[must_use]
    pub fn account(&self) -> AccountId {
        AccountId::new(&self.home, &self.key)
    }
}

impl PersonBody for Enrol {
    const KIND: Kind = Kind::Enrol;
    const TAG: DomainTag = TAG_ENROL;

    common_fields!();

    fn check(&self) -> Result<(), Refusal> {
        // An account has one suite: nothing of it is weaker than what its signatures promise.
        if self.alg.suite() != self.kem_alg.suite() {
            return Err(Refusal::SuiteNotAdmitted);
        }
        KemPublicKey::new(self.kem_alg, &self.kem_key)?;
        if self.signing_key()?.id() != self.key {
            return Err(Refusal::WrongKey);
        }
        if self.sequence == 0 {
            Ok(())
        } else {
            Err(Refusal::BadField)
        }
    }
}

/// How far an action reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// Within the municipality.
    Local,
    /// Between municipalities.
    Global,
    /// Beyond both.
    Meta,
}

/// What is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GoodsOrMoney {
    /// Goods or a service.
    Goods,
    /// 愛貨.
    Money,
}

/// How the sender names the expense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountTitle {
    /// A purchase.
    Sales,
    /// An expense.
    Expense,
    /// A gift.
    Transfer,
    /// Something else.
    Other,
}

/// Sends 愛貨 from one account to another (DESIGN §5).
///
/// `subject`, `details`, `location`, `verifiable_credential` and `attributes` are private: only
/// SHA-256(32-byte salt ‖ value) stands in the signed body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// Form of the body: 1.
    pub version: u64,
    /// `transfer`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// Algorithm of the signing key.
    pub alg: Algorithm,
    /// Signing key.
    pub key: KeyId,
    /// The sender's home.
    pub home: LogId,
    /// The receiver's home: only it may accept or reject.
    pub receiver_home: LogId,
    /// The sender's next sequence number, from 1.
    pub sequence: u64,
    /// Client-chosen, unique per account.
    pub transfer_id: TransferId,
    /// When the person made it.
    pub created_at: Timestamp,
    /// Last time the home may sequence it.
    pub expires_at: Timestamp,
    /// Sender.
    pub sender: AccountId,
    /// Receiver.
    pub receiver: AccountId,
    /// The sender's label of where it comes from; a balance belongs to the account.
    pub from_wallet: Label,
    /// The sender's label of where it goes.
    pub to_wallet: Label,
    /// How much.
    pub amount: Amount,
    /// Private: what it is about.
    pub subject: Digest,
    /// Level of the action, as the municipality counts it.
    pub action_level: Label,
    /// How far it reaches.
    pub dimension: Dimension,
    /// `human`, `ai`, `robot`, or a name.
    pub organism_name: Label,
    /// Where the sender belongs.
    pub sender_municipality: Region,
    /// Where the receiver belongs.
    pub receiver_municipality: Region,
    /// What is given.
    pub goods_or_money: GoodsOrMoney,
    /// Digest of the proof of place that stands directly before it.
    pub proof_of_place: Digest,
    /// Private: details.
    pub details: Digest,
    /// Private: where.
    pub location: Digest,
    /// Change of value, as the municipality counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fluctuation: Option<Label>,
    /// How the sender names the expense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_title: Option<AccountTitle>,
    /// Private: a verifiable credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifiable_credential: Option<Digest>,
    /// A message that only the receiver opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<SealedBox>,
    /// Private: anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Digest>,
}

impl Transfer {
    /// SHA-256 over the canonical JSON of the immutable fields (all but `attributes` and `created_at`).
    /// Shown and exported; nothing keys, dedups or authorises on it.
    ///
    /// # Panics
    /// Never: a transfer is a JSON object.
    #[must_use]
    pub fn transaction_hash(&self) -> Digest {
        let mut value = serde_json::to_value(self).expect("a transfer has a JSON form");
        let fields = value.as_object_mut().expect("a transfer is an object");
        fields.remove("attributes");
        fields.remove("created_at");
        Digest(sha256(&[&json::canonical(&value)]))
    }
}

impl PersonBody for Transfer {
    const KIND: Kind = Kind::Transfer;
    const TAG: DomainTag = TAG_TRANSFER;

    common_fields!();

    fn check(&self) -> Result<(), Refusal> {
        self.amount.positive()?;
        if self.sender == self.receiver {
            return Err(Refusal::SameAccount);
        }
        if !self.sender.is_of(&self.home) {
            return Err(Refusal::WrongHome);
        }
        if !self.receiver.is_of(&self.receiver_home) {
            return Err(Refusal::WrongReceiver);
        }
        if self.sequence == 0 {
            Err(Refusal::BadField)
        } else {
            Ok(())
        }
    }
}

/// Takes a transfer (receiver's home).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// Form of the body: 1.
    pub version: u64,
    /// `accept`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// Algorithm of the signing key.
    pub alg: Algorithm,
    /// Signing key.
    pub key: KeyId,
    /// The receiver's home.
    pub home: LogId,
    /// The receiver's next sequence number.
    pub sequence: u64,
    /// When the person made it.
    pub created_at: Timestamp,
    /// Identity of the transfer.
    pub transfer: Digest,
    /// The transfer's own id.
    pub transfer_id: TransferId,
    /// Sender of the transfer.
    pub sender: AccountId,
    /// Home of the sender.
    pub sender_home: LogId,
    /// Amount of the transfer.
    pub amount: Amount,
}

impl PersonBody for Accept {
    const KIND: Kind = Kind::Accept;
    const TAG: DomainTag = TAG_ACCEPT;

    common_fields!();

    fn check(&self) -> Result<(), Refusal> {
        self.amount.positive()?;
        if self.sequence == 0 {
            Err(Refusal::BadField)
        } else {
            Ok(())
        }
    }
}

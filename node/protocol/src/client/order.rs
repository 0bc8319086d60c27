//! What a person wants to send, before it is written down.

use std::collections::BTreeMap;

use super::Home;
use crate::amount::{Amount, Timestamp};
use crate::body::{
    AccountTitle, BODY_VERSION, Dimension, GoodsOrMoney, Kind, Label, PrivateField, PrivateValues,
    Salted, Transfer,
};
use crate::crypto::{KemPublicKey, PublicKey, SealedBox, SealedBoxContext, random};
use crate::ids::{AccountId, Digest, LogId, NetworkId, TransferId};
use crate::refusal::Refusal;
use crate::region::Region;
use crate::stage::Draft;

/// How long the home may sequence a transfer after it was written, in milliseconds: ten minutes, twice what a
/// proof of place is fresh.
pub const EXPIRES_MS: u64 = 10 * 60 * 1000;

/// What of a person stands in a draft: none of it is secret, so a draft can be written where the keys are not.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// Network.
    pub network: NetworkId,
    /// The home's log.
    pub home: LogId,
    /// The home's municipality.
    pub region: &'a Region,
    /// The account.
    pub account: AccountId,
    /// The account's active signing key.
    pub key: &'a PublicKey,
}

/// What a person wants to send. [`Order::new`] fills in plain values for what is seldom chosen.
#[derive(Clone, Debug)]
pub struct Order {
    /// Receiver.
    pub receiver: AccountId,
    /// The receiver's home.
    pub receiver_home: LogId,
    /// Where the receiver belongs.
    pub receiver_municipality: Region,
    /// How much.
    pub amount: Amount,
    /// The sender's next sequence number.
    pub sequence: u64,
    /// The transfer's own id, the one that the proof of place was asked for with.
    pub transfer_id: TransferId,
    /// When it is written; it expires ten minutes later.
    pub created_at: Timestamp,
    /// Digest of the proof of place.
    pub proof_of_place: Digest,
    /// Private: what it is about.
    pub subject: String,
    /// Private: details.
    pub details: String,
    /// Private: where.
    pub location: String,
    /// Private: a verifiable credential.
    pub verifiable_credential: Option<String>,
    /// Private: anything else.
    pub attributes: Option<String>,
    /// The sender's label of where it comes from.
    pub from_wallet: String,
    /// The sender's label of where it goes.
    pub to_wallet: String,
    /// Level of the action.
    pub action_level: String,
    /// How far it reaches.
    pub dimension: Dimension,
    /// `human`, `ai`, `robot`, or a name.
    pub organism_name: String,
    /// What is given.
    pub goods_or_money: GoodsOrMoney,
    /// How the value may move, in the sender's words.
    pub fluctuation: Option<String>,
    /// How the sender names the expense.
    pub account_title: Option<AccountTitle>,
    /// A message that only the owner of this key opens.
    pub message: Option<(KemPublicKey, String)>,
}

impl Order {
    /// 愛貨 from person to person, with a fresh id; everything but receiver and amount may be changed after.
    #[must_use]
    pub fn new(receiver: AccountId, receiver_home: impl Into<Home>, amount: Amount) -> Self {
        let receiver_home = receiver_home.into();
        Self {
            receiver,
            receiver_home: receiver_home.log,
            receiver_municipality: receiver_home.region,
            amount,
            sequence: 1,
            transfer_id: TransferId(random()),
            created_at: Timestamp(0),
            proof_of_place: Digest([0; 32]),
            subject: String::new(),
            details: String::new(),
            location: String::new(),
            verifiable_credential: None,
            attributes: None,
            from_wallet: "main".into(),
            to_wallet: "main".into(),
            action_level: "1".into(),
            dimension: Dimension::Local,
            organism_name: "human".into(),
            goods_or_money: GoodsOrMoney::Money,
            fluctuation: None,
            account_title: None,
            message: None,
        }
    }

    /// The draft of the transfer, and what stands behind its private fields, each with a fresh salt.
    ///
    /// # Errors
    /// [`Refusal::BadField`] for a label that is empty or too long, [`Refusal::TooLarge`] for private values that are.
    pub fn draft(&self, sender: &Sender<'_>) -> Result<(Draft<Transfer>, PrivateValues), Refusal> {
        let mut private = BTreeMap::new();
        let mut salted = |field, value: &str| {
            let salted = Salted::new(random(), value)?;
            let digest = salted.digest();
            private.insert(field, salted);
            Ok::<_, Refusal>(digest)
        };
        let optional = |label: &Option<String>| label.as_deref().map(Label::new).transpose();
        let body = Transfer {
            version: BODY_VERSION,
            kind: Kind::Transfer,
            network: sender.network,
            alg: sender.key.algorithm(),
            key: sender.key.id(),
            home: sender.home,
            receiver_home: self.receiver_home,
            sequence: self.sequence,
            transfer_id: self.transfer_id,
            created_at: self.created_at,
            expires_at: self.created_at.plus_ms(EXPIRES_MS),
            sender: sender.account,
            receiver: self.receiver,
            from_wallet: Label::new(&self.from_wallet)?,
            to_wallet: Label::new(&self.to_wallet)?,
            amount: self.amount,
            subject: salted(PrivateField::Subject, &self.subject)?,
            action_level: Label::new(&self.action_level)?,
            dimension: self.dimension,
            organism_name: Label::new(&self.organism_name)?,
            sender_municipality: sender.region.clone(),
            receiver_municipality: self.receiver_municipality.clone(),
            goods_or_money: self.goods_or_money,
            proof_of_place: self.proof_of_place,
            details: salted(PrivateField::Details, &self.details)?,
            location: salted(PrivateField::Location, &self.location)?,
            fluctuation: optional(&self.fluctuation)?,
            account_title: self.account_title,
            verifiable_credential: self
                .verifiable_credential
                .as_deref()
                .map(|value| salted(PrivateField::VerifiableCredential, value))
                .transpose()?,
            message: self.sealed(sender),
            attributes: self
                .attributes
                .as_deref()
                .map(|value| salted(PrivateField::Attributes, value))
                .transpose()?,
        };
        Ok((Draft(body), PrivateValues::new(private)?))
    }

    fn sealed(&self, sender: &Sender<'_>) -> Option<SealedBox> {
        let (key, text) = self.message.as_ref()?;
        let context = SealedBoxContext {
            network: sender.network,
            sender: sender.account,
            receiver: self.receiver,
            transfer_id: self.transfer_id,
        };
        Some(key.seal(&context, text.as_bytes()))
    }
}

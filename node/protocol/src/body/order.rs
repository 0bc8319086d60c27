//! `order`: what a person's home takes for them without asking each time.

use serde::{Deserialize, Serialize};

use super::person::common_fields;
use super::{Common, Kind, PersonBody};
use crate::amount::{Amount, Timestamp};
use crate::crypto::{Algorithm, DomainTag, TAG_ORDER};
use crate::ids::{AccountId, KeyId, LogId, NetworkId};
use crate::refusal::Refusal;

/// Most senders that an order names: family, employer, the shops of a street.
pub const MAX_ORDER_SENDERS: usize = 64;

/// Says which transfers the home accepts by itself from here on. The newest order of an account counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Form of the body: 1.
    pub version: u64,
    /// `order`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// Algorithm of the signing key.
    pub alg: Algorithm,
    /// Signing key.
    pub key: KeyId,
    /// The account's home.
    pub home: LogId,
    /// The account's next sequence number.
    pub sequence: u64,
    /// When the person made it.
    pub created_at: Timestamp,
    /// The account.
    pub account: AccountId,
    /// Whether transfers are accepted; `false` ends the order before.
    pub accept: bool,
    /// From whom, in order of their ids; absent for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub senders: Option<Vec<AccountId>>,
    /// Up to which amount each; absent for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_amount: Option<Amount>,
    /// Until when the home may act by it; absent for always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Order {
    /// Whether the home takes such a transfer at this moment.
    #[must_use]
    pub fn takes(&self, sender: &AccountId, amount: Amount, at: Timestamp) -> bool {
        let listed = |senders: &Vec<AccountId>| senders.binary_search(sender).is_ok();
        self.accept
            && self.senders.as_ref().is_none_or(listed)
            && self.max_amount.is_none_or(|most| amount <= most)
            && self.until.is_none_or(|until| at <= until)
    }
}

impl PersonBody for Order {
    const KIND: Kind = Kind::Order;
    const TAG: DomainTag = TAG_ORDER;

    common_fields!();

    fn check(&self) -> Result<(), Refusal> {
        if !self.account.is_of(&self.home) {
            return Err(Refusal::WrongHome);
        }
        if let Some(most) = self.max_amount {
            most.positive()?;
        }
        let senders = self.senders.as_deref().unwrap_or_default();
        let plain = self.senders.is_none() && self.max_amount.is_none() && self.until.is_none();
        let sound = self.sequence > 0
            && senders.len() <= MAX_ORDER_SENDERS
            && senders.is_sorted_by(|a, b| a < b)
            // Somebody, or everybody; and an order that ends says nothing else.
            && self.senders.as_ref().is_none_or(|senders| !senders.is_empty())
            && (self.accept || plain);
        if sound {
            Ok(())
        } else {
            Err(Refusal::BadField)
        }
    }
}

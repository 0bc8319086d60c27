//! For apps: what a person's own device and an officer's do. Nothing here waits or sends anything.
//!
//! `person` keys, drafts and signatures · `order` what a person wants to send · `officer` decisions that several sign ·
//! here what both must know of a home, and of a transfer that waits. Fresh keys, ids, salts and sealed boxes draw from
//! the operating system's randomness, as keys do everywhere in this crate; the time is an argument.

pub mod officer;
mod order;
pub mod person;

use std::collections::BTreeSet;

use crate::amount::{Amount, Timestamp};
use crate::body::{Kind, PersonBody as _, Transfer, identity, read_person_body};
use crate::crypto::Suite;
use crate::ids::{AccountId, Digest, LogId, NetworkId, TransferId};
use crate::refusal::Refusal;
use crate::region::Region;
use crate::vertex::VerifiedReceipt;

pub use order::{EXPIRES_MS, Order, Sender};

/// What a person must know of a home to write to it, or to somebody there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Network.
    pub network: NetworkId,
    /// The home's log.
    pub log: LogId,
    /// The municipality.
    pub region: Region,
    /// Suite of the home's own keys: a fair choice for its people's.
    pub suite: Suite,
}

/// What a receiver must know of a transfer to answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Identity of the transfer.
    pub transfer: Digest,
    /// Its own id.
    pub transfer_id: TransferId,
    /// Sender.
    pub sender: AccountId,
    /// The sender's home.
    pub sender_home: LogId,
    /// Amount.
    pub amount: Amount,
}

/// Which transfers a home takes by a standing order; what is absent is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takes {
    /// From whom.
    pub senders: Option<BTreeSet<AccountId>>,
    /// Up to which amount each.
    pub max_amount: Option<Amount>,
    /// Until when.
    pub until: Option<Timestamp>,
}

impl Waiting {
    /// The transfer of a receipt that holds: a receiver can accept what a sender shows, without asking anybody.
    ///
    /// # Errors
    /// [`Refusal::BadEntry`] for a receipt of something else.
    pub fn of(receipt: &VerifiedReceipt) -> Result<Self, Refusal> {
        if receipt.entry.kind != Kind::Transfer {
            return Err(Refusal::BadEntry);
        }
        let body = &receipt.entry.body;
        let transfer: Transfer = read_person_body(body)?;
        Ok(Self {
            transfer: identity(Transfer::TAG, body),
            transfer_id: transfer.transfer_id,
            sender: transfer.sender,
            sender_home: transfer.home,
            amount: transfer.amount,
        })
    }
}

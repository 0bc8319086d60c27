//! What officers do together: write a decision and sign it, each with their own key.

use crate::amount::{Amount, Timestamp};
use crate::body::{
    Grant, Kind, Label, NewKeys, OfficersBody, OfficersRevoke, Recover, officer_message,
    read_officers_body,
};
use crate::crypto::Signer;
use crate::ids::{AccountId, LogId, NetworkId};
use crate::json;
use crate::refusal::Refusal;
use crate::stage::SignedBySeveral;
use crate::vertex::EntrySignature;

/// What the next decision of a home's officers must name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextDecision {
    /// Network.
    pub network: NetworkId,
    /// The home's log.
    pub home: LogId,
    /// The log's next officers' number.
    pub officers_sequence: u64,
}

/// The grant of an amount at this home, as its next officers' decision.
///
/// # Errors
/// [`Refusal::BadField`] for a reason that is empty, too long or holds control characters.
pub fn grant(
    next: impl Into<NextDecision>,
    account: AccountId,
    amount: Amount,
    reason: &str,
    now: Timestamp,
) -> Result<Grant, Refusal> {
    let next = next.into();
    Ok(Grant {
        version: 1,
        kind: Kind::Grant,
        network: next.network,
        home: next.home,
        officers_sequence: next.officers_sequence,
        created_at: now,
        account,
        amount,
        reason: Label::new(reason)?,
    })
}

/// New keys for an account at this home, as its next officers' decision.
///
/// # Errors
/// [`Refusal::BadField`] for a reason that is empty, too long or holds control characters.
pub fn recover(
    next: impl Into<NextDecision>,
    account: AccountId,
    new: NewKeys,
    reason: &str,
    now: Timestamp,
) -> Result<Recover, Refusal> {
    let next = next.into();
    Ok(Recover {
        version: 1,
        kind: Kind::Recover,
        network: next.network,
        home: next.home,
        officers_sequence: next.officers_sequence,
        created_at: now,
        account,
        new,
        reason: Label::new(reason)?,
    })
}

/// The closing of an account's key at this home, as its next officers' decision.
///
/// # Errors
/// [`Refusal::BadField`] for a reason that is empty, too long or holds control characters.
pub fn revoke(
    next: impl Into<NextDecision>,
    account: AccountId,
    reason: &str,
    now: Timestamp,
) -> Result<OfficersRevoke, Refusal> {
    let next = next.into();
    Ok(OfficersRevoke {
        version: 1,
        kind: Kind::Revoke,
        network: next.network,
        home: next.home,
        officers_sequence: next.officers_sequence,
        created_at: now,
        account,
        reason: Label::new(reason)?,
    })
}

/// The same bytes signed by each of these officers.
///
/// # Errors
/// What the body itself refuses, so that nobody signs what no home would take.
pub fn sign_together<B: OfficersBody>(
    body: &B,
    officers: &[&dyn Signer],
) -> Result<SignedBySeveral, Refusal> {
    let bytes = json::canonical(body);
    read_officers_body::<B>(&bytes)?;
    let signatures = officers
        .iter()
        .map(|officer| {
            let key = officer.public_key();
            let message = officer_message(key.algorithm(), &key.id(), &bytes);
            EntrySignature::new(key.id(), &officer.sign(B::TAG, &message))
        })
        .collect();
    Ok(SignedBySeveral { bytes, signatures })
}

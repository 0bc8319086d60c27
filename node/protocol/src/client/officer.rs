//! What officers do together: write a decision and sign it, each with their own key.

use city_protocol::Refusal;
use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{
    Grant, Kind, Label, NewKeys, OfficersBody, OfficersRevoke, Recover, officer_message,
    read_officers_body,
};
use city_protocol::crypto::Signer;
use city_protocol::ids::AccountId;
use city_protocol::json;
use city_protocol::stage::SignedBySeveral;
use city_protocol::vertex::EntrySignature;

use crate::api::wire::NodePage;

/// The grant of an amount at this home, as its next officers' decision.
///
/// # Errors
/// [`Refusal::BadField`] for a reason that is empty, too long or holds control characters.
pub fn grant(
    node: &NodePage,
    account: AccountId,
    amount: Amount,
    reason: &str,
    now: Timestamp,
) -> Result<Grant, Refusal> {
    Ok(Grant {
        version: 1,
        kind: Kind::Grant,
        network: node.network,
        home: node.log,
        officers_sequence: node.officers.officers_sequence,
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
    node: &NodePage,
    account: AccountId,
    new: NewKeys,
    reason: &str,
    now: Timestamp,
) -> Result<Recover, Refusal> {
    Ok(Recover {
        version: 1,
        kind: Kind::Recover,
        network: node.network,
        home: node.log,
        officers_sequence: node.officers.officers_sequence,
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
    node: &NodePage,
    account: AccountId,
    reason: &str,
    now: Timestamp,
) -> Result<OfficersRevoke, Refusal> {
    Ok(OfficersRevoke {
        version: 1,
        kind: Kind::Revoke,
        network: node.network,
        home: node.log,
        officers_sequence: node.officers.officers_sequence,
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

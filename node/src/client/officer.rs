//! What officers do together: write a grant and sign it, each with their own key.

use city_protocol::Refusal;
use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{Grant, Kind, Label};
use city_protocol::crypto::{Signer, TAG_GRANT};
use city_protocol::ids::AccountId;
use city_protocol::json;
use city_protocol::stage::SignedGrant;
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

/// The same bytes signed by each of these officers.
///
/// # Errors
/// What the body itself refuses, so that nobody signs what no home would take.
pub fn sign_grant(grant: &Grant, officers: &[&dyn Signer]) -> Result<SignedGrant, Refusal> {
    let bytes = json::canonical(grant);
    Grant::read(&bytes)?;
    let signatures = officers
        .iter()
        .map(|officer| {
            let key = officer.public_key();
            let message = Grant::officer_message(key.algorithm(), &key.id(), &bytes);
            EntrySignature::new(key.id(), &officer.sign(TAG_GRANT, &message))
        })
        .collect();
    Ok(SignedGrant { bytes, signatures })
}

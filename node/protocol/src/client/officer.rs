//! What officers do together: write a decision and sign it, each with their own key.

use crate::amount::{Amount, Timestamp};
use crate::body::{
    Amendment, Correct, Grant, Kind, Label, NewKeys, Officers, OfficersBody, OfficersRevoke,
    Recover, Ungrant, officer_message, read_officers_body,
};
use crate::crypto::Signer;
use crate::ids::{AccountId, Digest, LogId, NetworkId};
use crate::json;
use crate::refusal::Refusal;
use crate::region::Region;
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

/// An amount that an account of this home gives back, as its next officers' decision.
///
/// # Errors
/// [`Refusal::BadField`] for a reason that is empty, too long or holds control characters.
pub fn ungrant(
    next: impl Into<NextDecision>,
    account: AccountId,
    amount: Amount,
    reason: &str,
    now: Timestamp,
) -> Result<Ungrant, Refusal> {
    let next = next.into();
    Ok(Ungrant {
        version: 1,
        kind: Kind::Ungrant,
        network: next.network,
        home: next.home,
        officers_sequence: next.officers_sequence,
        created_at: now,
        account,
        amount,
        reason: Label::new(reason)?,
    })
}

/// The charter that a home's next one follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharterBefore {
    /// Its number.
    pub number: u64,
    /// H(body).
    pub charter: Digest,
    /// Municipality.
    pub region: Region,
}

/// The charter from now on, as the next officers' decision of this home: all its officers and witnesses.
///
/// # Errors
/// [`Refusal::BadField`] for a reason that is empty, too long or holds control characters, for more charters, officers or
/// witnesses than a log has, an officer twice, or a k that they cannot reach; [`Refusal::BadKey`] and
/// [`Refusal::WrongAlgorithm`] for their keys.
pub fn charter(
    next: impl Into<NextDecision>,
    before: CharterBefore,
    officers: Officers,
    witnesses: Vec<LogId>,
    reason: &str,
    now: Timestamp,
) -> Result<Amendment, Refusal> {
    let next = next.into();
    let body = Amendment {
        version: 1,
        kind: Kind::Charter,
        network: next.network,
        home: next.home,
        officers_sequence: next.officers_sequence,
        created_at: now,
        number: before.number + 1,
        before: before.charter,
        region: before.region,
        officers,
        witnesses,
        reason: Label::new(reason)?,
    };
    body.check()?;
    Ok(body)
}

/// What no rule puts right by itself, as the next officers' decision of this home: with `transfer` its sender gets it
/// back, without the account makes good a part of the log's shortfall.
///
/// # Errors
/// [`Refusal::BadField`] for a reason that is empty, too long or holds control characters.
pub fn correct(
    next: impl Into<NextDecision>,
    (account, amount): (AccountId, Amount),
    transfer: Option<Digest>,
    reason: &str,
    now: Timestamp,
) -> Result<Correct, Refusal> {
    let next = next.into();
    Ok(Correct {
        version: 1,
        kind: Kind::Correct,
        network: next.network,
        home: next.home,
        officers_sequence: next.officers_sequence,
        created_at: now,
        account,
        amount,
        transfer,
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

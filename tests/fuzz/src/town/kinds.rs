//! What the story has to hold: every kind of entry that the protocol knows, and of each kind every way in which it is
//! written. A kind that is new does not compile here; one that nobody told does not start.

use std::collections::BTreeSet;

use city_protocol::body::{
    Answer, AnsweredBy, Correct, Fault, FaultReason, Kind, Note, Refund, RefundReason,
    RejectReason, StandingReject, is_officers_revoke, read_officers_body,
};
use city_protocol::vertex::{Cite, Entry};

/// The kind after this one: without a wildcard, so that nobody forgets one.
const fn next(kind: Kind) -> Option<Kind> {
    Some(match kind {
        Kind::Charter => Kind::Enrol,
        Kind::Enrol => Kind::Rotate,
        Kind::Rotate => Kind::Revoke,
        Kind::Revoke => Kind::Recover,
        Kind::Recover => Kind::EpochStart,
        Kind::EpochStart => Kind::Order,
        Kind::Order => Kind::Grant,
        Kind::Grant => Kind::Ungrant,
        Kind::Ungrant => Kind::Correct,
        Kind::Correct => Kind::Place,
        Kind::Place => Kind::Transfer,
        Kind::Transfer => Kind::Accept,
        Kind::Accept => Kind::Reject,
        Kind::Reject => Kind::Settle,
        Kind::Settle => Kind::Refund,
        Kind::Refund => Kind::Start,
        Kind::Start => Kind::Fault,
        Kind::Fault => Kind::Adopt,
        Kind::Adopt => Kind::Checkpoint,
        Kind::Checkpoint => Kind::Trust,
        Kind::Trust => Kind::Note,
        Kind::Note => return None,
    })
}

/// Every kind.
pub(crate) fn kinds() -> impl Iterator<Item = Kind> {
    std::iter::successors(Some(Kind::Charter), |kind| next(*kind))
}

/// The ways of those kinds that have several.
const WAYS: [&str; 23] = [
    "charter: the first",
    "charter: a later one",
    "revoke: by the person",
    "revoke: by officers",
    "correct: a silent home",
    "correct: a shortfall",
    "accept: by the receiver, from elsewhere",
    "accept: by the receiver, at home",
    "accept: by an order",
    "reject: by the receiver",
    "reject: nobody has this account",
    "reject: the account is closed",
    "reject: beyond the limit",
    "settle: at home",
    "settle: elsewhere",
    "refund: rejected",
    "refund: expired",
    "fault: equivocation",
    "fault: invalid",
    "fault: an epoch that begins twice",
    "adopt: a transfer",
    "adopt: an answer",
    "note: deleted",
];

/// How an entry of a kind that has several ways was written.
fn way(entry: &Entry) -> Option<&'static str> {
    let from_elsewhere = matches!(entry.cites.as_slice(), [Cite::Entry(_)]);
    Some(match entry.kind {
        Kind::Charter if entry.sig.is_empty() => "charter: the first",
        Kind::Charter => "charter: a later one",
        Kind::Revoke if is_officers_revoke(&entry.body) => "revoke: by officers",
        Kind::Revoke => "revoke: by the person",
        Kind::Correct => match read_officers_body::<Correct>(&entry.body).ok()?.transfer {
            Some(_) => "correct: a silent home",
            None => "correct: a shortfall",
        },
        Kind::Accept => match Answer::read(entry.kind, &entry.body).ok()?.by {
            AnsweredBy::Receiver(_) if from_elsewhere => "accept: by the receiver, from elsewhere",
            AnsweredBy::Receiver(_) => "accept: by the receiver, at home",
            _ => "accept: by an order",
        },
        Kind::Reject => match StandingReject::read(&entry.body).map(|body| body.reason) {
            Err(_) => "reject: by the receiver",
            Ok(RejectReason::UnknownReceiver) => "reject: nobody has this account",
            Ok(RejectReason::Revoked) => "reject: the account is closed",
            Ok(RejectReason::Limit) => "reject: beyond the limit",
        },
        Kind::Settle if from_elsewhere => "settle: elsewhere",
        Kind::Settle => "settle: at home",
        Kind::Refund => match Refund::read(&entry.body).ok()?.reason {
            RefundReason::Rejected => "refund: rejected",
            RefundReason::Expired => "refund: expired",
        },
        Kind::Fault => match Fault::read(&entry.body).ok()?.reason {
            FaultReason::Equivocation => "fault: equivocation",
            FaultReason::Invalid => "fault: invalid",
            FaultReason::EpochStarts => "fault: an epoch that begins twice",
        },
        Kind::Adopt => match entry.cites.first()? {
            Cite::Entry(lost) if lost.kind == Kind::Transfer => "adopt: a transfer",
            _ => "adopt: an answer",
        },
        Kind::Note if Note::read(&entry.body).ok()?.value.is_none() => "note: deleted",
        _ => return None,
    })
}

/// Stops where the story lacks a kind, or a way of one.
pub(super) fn assert_whole(entries: &[Entry]) {
    let told: BTreeSet<Kind> = entries.iter().map(|entry| entry.kind).collect();
    for kind in kinds() {
        assert!(told.contains(&kind), "nothing in the story is a `{kind}`");
    }
    let ways: BTreeSet<_> = entries.iter().filter_map(way).collect();
    for one in WAYS {
        assert!(ways.contains(one), "nothing in the story is \"{one}\"");
    }
}

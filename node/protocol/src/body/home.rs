//! What a home writes itself: `settle`, `refund`, `start`, `fault`, `adopt`. Deterministic DAG-CBOR; the vertex signature
//! covers them.

use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::codec;
use crate::ids::{BlockId, Digest, LogId};
use crate::refusal::Refusal;

/// Longest body that a home writes, in bytes: two signed headers and some.
const MAX_HOME_BODY: usize = 32 * 1024;
/// Longest software name in a `start`.
const MAX_SOFTWARE: usize = 64;

/// Where an entry stands in its own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnEntry {
    /// Epoch of the log.
    pub epoch: u64,
    /// Position of the vertex.
    pub seq: u64,
    /// Position in the vertex.
    pub index: u64,
}

/// Closes a transfer that its receiver took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settle {
    /// Form of the body: 1.
    pub v: u64,
    /// Identity of the transfer.
    pub transfer: Digest,
    /// Where the transfer stands in this log.
    pub own: OwnEntry,
    /// Its amount.
    pub amount: Amount,
    /// `accepted`.
    pub reason: String,
}

impl Settle {
    /// The only reason so far.
    pub const ACCEPTED: &'static str = "accepted";

    /// Reads the body.
    ///
    /// # Errors
    /// [`Refusal::BadCbor`], [`Refusal::UnknownVersion`] or [`Refusal::BadField`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let body: Self = codec::decode_version(bytes, MAX_HOME_BODY, super::BODY_VERSION)?;
        // A reason of newer software is no lie: the log waits for the upgrade.
        if body.reason == Self::ACCEPTED {
            Ok(body)
        } else {
            Err(Refusal::UnknownVersion)
        }
    }
}

/// Why a transfer came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefundReason {
    /// The receiver, or their home, did not take it: rests on the `reject`.
    Rejected,
    /// Nobody answered in time: rests on the first vertex of the receiver's home behind the deadline.
    Expired,
}

/// Gives the sender back what was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refund {
    /// Form of the body: 1.
    pub v: u64,
    /// Identity of the transfer.
    pub transfer: Digest,
    /// Where the transfer stands in this log.
    pub own: OwnEntry,
    /// Its amount.
    pub amount: Amount,
    /// Why.
    pub reason: RefundReason,
}

impl Refund {
    /// Reads the body.
    ///
    /// # Errors
    /// [`Refusal::BadCbor`] or [`Refusal::UnknownVersion`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        codec::decode_version(bytes, MAX_HOME_BODY, super::BODY_VERSION)
    }
}

/// Answers for an entry that the author's log lost at a cut and that another log rests on. Cites first the lost
/// entry, then the foreign one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adopt {
    /// Form of the body: 1.
    pub v: u64,
    /// Identity of the transfer that both entries are about.
    pub transfer: Digest,
    /// Its amount.
    pub amount: Amount,
}

impl Adopt {
    /// Reads the body.
    ///
    /// # Errors
    /// [`Refusal::BadCbor`] or [`Refusal::UnknownVersion`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        codec::decode_version(bytes, MAX_HOME_BODY, super::BODY_VERSION)
    }
}

/// The node started: written with the first vertex after a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Form of the body: 1.
    pub v: u64,
    /// Name and version of the software.
    pub software: String,
    /// Clock quality at the start: `gnss`, `ntp` or `rtc`.
    pub clock: String,
    /// Head of the trust log, if it has any record: an old whitelist restored is noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<BlockId>,
}

impl Start {
    /// Reads the body.
    ///
    /// # Errors
    /// [`Refusal::BadCbor`], [`Refusal::UnknownVersion`] or [`Refusal::BadField`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let body: Self = codec::decode_version(bytes, MAX_HOME_BODY, super::BODY_VERSION)?;
        let known_clock = matches!(body.clock.as_str(), "gnss" | "ntp" | "rtc");
        let named = !body.software.is_empty() && body.software.len() <= MAX_SOFTWARE;
        if !named {
            return Err(Refusal::BadField);
        }
        if known_clock {
            Ok(body)
        } else {
            Err(Refusal::UnknownVersion)
        }
    }
}

/// The author saw another log put two vertices at one position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Form of the body: 1.
    pub v: u64,
    /// The log at fault.
    pub log: LogId,
    /// Its epoch.
    pub epoch: u64,
    /// `equivocation`.
    pub reason: String,
    /// Position of the last common vertex: the log counts up to here.
    pub cut: u64,
    /// The two header blocks at position `cut + 1`, in order of their ids.
    pub evidence: Vec<serde_bytes::ByteBuf>,
}

impl Fault {
    /// The only reason so far.
    pub const EQUIVOCATION: &'static str = "equivocation";

    /// The fault of these two header blocks, lower id first.
    #[must_use]
    pub fn equivocation(log: LogId, epoch: u64, cut: u64, a: Vec<u8>, b: Vec<u8>) -> Self {
        let reason = Self::EQUIVOCATION.into();
        Self {
            v: 1,
            log,
            epoch,
            reason,
            cut,
            evidence: vec![a.into(), b.into()],
        }
    }

    /// Reads the body. Whether the evidence convicts is checked where the log's key is known.
    ///
    /// # Errors
    /// [`Refusal::BadCbor`], [`Refusal::UnknownVersion`] or [`Refusal::BadField`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let body: Self = codec::decode_version(bytes, MAX_HOME_BODY, super::BODY_VERSION)?;
        if body.reason != Self::EQUIVOCATION {
            return Err(Refusal::UnknownVersion);
        }
        if body.evidence.len() == 2 {
            Ok(body)
        } else {
            Err(Refusal::BadField)
        }
    }
}

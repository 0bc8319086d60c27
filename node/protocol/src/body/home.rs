//! What a home writes itself: `settle`, `refund`, `start`, `fault`, `adopt`. Deterministic DAG-CBOR; the vertex signature
//! covers them.

use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::codec;
use crate::ids::{BlockId, Digest, LogId};
use crate::refusal::Refusal;

/// Longest body that a home writes, in bytes: two signed headers and some.
const MAX_HOME_BODY: usize = 32 * 1024;
/// Longest `fault` in bytes: two beginnings of an epoch, each a body of 96 KiB with the signatures of nine officers.
const MAX_FAULT: usize = 320 * 1024;
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

/// Why a log is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultReason {
    /// It put two vertices at one position. Evidence: the two header blocks at `cut + 1`, in order of their ids.
    Equivocation,
    /// Its vertex behind the cut breaks a rule, as the author judged it. Evidence: that vertex's header block, at
    /// `cut + 1`.
    Invalid,
    /// Its officers began this epoch twice. Evidence: the two `epoch-start` entries, the one with the lower identity
    /// first; the cut is the lower of theirs.
    EpochStarts,
}

impl FaultReason {
    /// How many pieces of evidence it has.
    const fn pieces(self) -> usize {
        match self {
            Self::Equivocation | Self::EpochStarts => 2,
            Self::Invalid => 1,
        }
    }
}

/// The author saw another log break the rules: beyond the cut it does not rest on it any more. For an epoch after the
/// first the entry cites the vertex that begins it, which names the key that signed the evidence; two beginnings prove
/// themselves by their officers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Form of the body: 1.
    pub v: u64,
    /// The log at fault.
    pub log: LogId,
    /// Its epoch.
    pub epoch: u64,
    /// What it did.
    pub reason: FaultReason,
    /// Position of the last common vertex: the log counts up to here.
    pub cut: u64,
    /// What proves it, as the reason says.
    pub evidence: Vec<serde_bytes::ByteBuf>,
}

impl Fault {
    /// The fault of these two header blocks, lower id first.
    #[must_use]
    pub fn equivocation(log: LogId, epoch: u64, cut: u64, a: Vec<u8>, b: Vec<u8>) -> Self {
        Self::of(log, epoch, FaultReason::Equivocation, cut, vec![a, b])
    }

    /// The fault of a vertex that breaks a rule.
    #[must_use]
    pub fn invalid(log: LogId, epoch: u64, cut: u64, header: Vec<u8>) -> Self {
        Self::of(log, epoch, FaultReason::Invalid, cut, vec![header])
    }

    /// The fault of two beginnings of one epoch: their entries in DAG-CBOR, lower identity first.
    #[must_use]
    pub fn epoch_starts(log: LogId, epoch: u64, cut: u64, a: Vec<u8>, b: Vec<u8>) -> Self {
        Self::of(log, epoch, FaultReason::EpochStarts, cut, vec![a, b])
    }

    fn of(log: LogId, epoch: u64, reason: FaultReason, cut: u64, evidence: Vec<Vec<u8>>) -> Self {
        Self {
            v: 1,
            log,
            epoch,
            reason,
            cut,
            evidence: evidence.into_iter().map(Into::into).collect(),
        }
    }

    /// Whether its entry has to cite the vertex that begins the epoch.
    #[must_use]
    pub fn needs_first(&self) -> bool {
        self.epoch > 1 && self.reason != FaultReason::EpochStarts
    }

    /// Reads the body. Whether the evidence convicts is checked where the log's authority is known.
    ///
    /// # Errors
    /// [`Refusal::BadCbor`], [`Refusal::UnknownVersion`] or [`Refusal::BadField`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let body = codec::decode_version(bytes, MAX_FAULT, super::BODY_VERSION);
        let body: Self = match body {
            // A reason of newer software is no lie: the log waits for the upgrade.
            Err(Refusal::BadCbor) if has_another_reason(bytes) => Err(Refusal::UnknownVersion),
            other => other,
        }?;
        if body.epoch >= 1 && body.evidence.len() == body.reason.pieces() {
            Ok(body)
        } else {
            Err(Refusal::BadField)
        }
    }
}

/// Whether this is a `fault` whose reason alone is not known here.
fn has_another_reason(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct AnyFault {
        reason: String,
    }
    serde_ipld_dagcbor::from_slice::<AnyFault>(bytes).is_ok_and(|fault| {
        let known = ["equivocation", "invalid", "epoch-starts"];
        !known.contains(&fault.reason.as_str())
    })
}

//! The body of a `place` entry: what a municipality books about where something happened.
//!
//! Owns the format and its freshness. The grade comes from `judge`; the receipt or a terminal's signature proves it.

use serde::{Deserialize, Serialize};

use super::evidence::{Grade, ReasonCode};
use super::judge::{Verdict, admit};
use super::point::Point;
use super::policy::PlacePolicy;
use crate::amount::Timestamp;
use crate::codec;
use crate::ids::{AccountId, Digest, NetworkId, TransferId};
use crate::refusal::Refusal;
use crate::region::Region;

/// Version of the format.
const VERSION: u64 = 1;
/// Longest proof, bytes: all fields with 32 of the longest reasons are below 2 KiB.
pub const MAX_PROOF_BYTES: usize = 2048;
/// Most reasons in a proof.
const MAX_REASONS: usize = 32;
/// Longest code of a municipality, characters: what one level of a region may have.
const MAX_MUNICIPALITY: usize = 24;
/// How long a proof is fresh, milliseconds: the time a person needs to read, confirm and sign.
pub const FRESH_MS: u64 = 5 * 60 * 1000;

/// Whose place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The node's antenna.
    Node,
    /// A person at this box's screen or USB.
    KioskSession,
    /// A remote app; at most `claimed`.
    Client,
}

/// What a proof is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The network.
    pub network: NetworkId,
    /// Whose place it is.
    pub subject: Subject,
    /// The account that asked.
    pub account: AccountId,
    /// The transfer it is for.
    pub transfer_id: TransferId,
    /// Fresh random bytes of the client.
    pub nonce: [u8; 16],
}

/// A proof of place. In DAG-CBOR a map of these fields; what is `None` is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceProof {
    /// Version, 1.
    pub v: u64,
    /// The network.
    pub network: NetworkId,
    /// Whose place it is.
    pub subject: Subject,
    /// The account it is for.
    pub account: AccountId,
    /// The transfer it is for.
    pub transfer_id: TransferId,
    /// The client's 16 random bytes.
    #[serde(with = "serde_bytes")]
    pub nonce: [u8; 16],
    /// Strength of the evidence.
    pub grade: Grade,
    /// Why it is not stronger; codes in ascending order, each once, at most 32.
    pub reasons: Vec<ReasonCode>,
    /// Code of the municipality that the position lies in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub municipality: Option<String>,
    /// Latitude in 1e-7 degrees, rounded by the policy; both coordinates or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lat_e7: Option<i32>,
    /// Longitude in 1e-7 degrees, rounded by the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lon_e7: Option<i32>,
    /// When it was made, by the node's clock.
    pub time: Timestamp,
    /// The receiver's time of the position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix_time: Option<Timestamp>,
    /// Satellites used, if the receiver says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub satellites_used: Option<u8>,
    /// Horizontal dilution of precision, hundredths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hdop_centi: Option<u16>,
    /// Digest of the boundary index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<Digest>,
    /// Version of the policy.
    pub policy: u64,
    /// Salted digest of the raw sentences, see [`raw_digest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Digest>,
}

/// SHA-256(32-byte salt ‖ raw sentences): who keeps both can show them later to prove them. This version keeps
/// neither, so it writes no `raw`.
#[must_use]
pub fn raw_digest(salt: &[u8; 32], raw: &[u8]) -> Digest {
    Digest::of(&[salt, raw])
}

impl PlaceProof {
    /// The proof of a verdict. A client's own place is at most `claimed`, whatever the verdict says.
    #[must_use]
    pub fn new(
        binding: Binding,
        verdict: &Verdict,
        policy: &PlacePolicy,
        now: Timestamp,
        raw: Option<Digest>,
    ) -> Self {
        let point = verdict
            .point
            .map(|point| point.rounded(policy.position_step_e7));
        let most = match binding.subject {
            Subject::Node | Subject::KioskSession => Grade::Attested,
            Subject::Client => Grade::Claimed,
        };
        Self {
            v: VERSION,
            network: binding.network,
            subject: binding.subject,
            account: binding.account,
            transfer_id: binding.transfer_id,
            nonce: binding.nonce,
            grade: verdict.grade.min(most),
            reasons: verdict
                .reasons
                .iter()
                .copied()
                .map(ReasonCode::from)
                .take(MAX_REASONS)
                .collect(),
            municipality: verdict.municipality.clone(),
            lat_e7: point.map(Point::lat_e7),
            lon_e7: point.map(Point::lon_e7),
            time: now,
            fix_time: verdict.fix_time,
            satellites_used: verdict.satellites_used,
            hdop_centi: verdict.hdop_centi,
            boundary: verdict.boundary,
            policy: verdict.policy,
            raw,
        }
    }

    /// The stored bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads the stored bytes.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::BadCbor`], [`Refusal::UnknownVersion`], or [`Refusal::BadField`] where the fields
    /// contradict each other.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let proof: Self = codec::decode_version(bytes, MAX_PROOF_BYTES, VERSION)?;
        let point_is_whole = match (proof.lat_e7, proof.lon_e7) {
            (Some(lat), Some(lon)) => Point::new(lat, lon).is_ok(),
            (None, None) => proof.grade == Grade::None && proof.municipality.is_none(),
            _ => false,
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let code_is_plain = proof.municipality.as_deref().is_none_or(|code| {
            (1..=MAX_MUNICIPALITY).contains(&code.len()) && code.bytes().all(plain)
        });
        let reasons_in_order =
            proof.reasons.len() <= MAX_REASONS && proof.reasons.is_sorted_by(|a, b| a < b);
        let subject_allows = proof.subject != Subject::Client || proof.grade <= Grade::Claimed;
        // A municipality is only known from an index.
        let rests_on_an_index = proof.municipality.is_none() || proof.boundary.is_some();
        if point_is_whole
            && code_is_plain
            && reasons_in_order
            && subject_allows
            && rests_on_an_index
        {
            Ok(proof)
        } else {
            Err(Refusal::BadField)
        }
    }

    /// Reads what [`PlaceProof::decode`] took before it was stored.
    pub(crate) fn decode_stored(bytes: &[u8]) -> Option<Self> {
        codec::decode_stored(bytes)
    }

    /// H(body): what the transfer names as `proof_of_place`.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&[&self.encode()])
    }

    /// The position, rounded.
    #[must_use]
    pub fn point(&self) -> Option<Point> {
        Point::new(self.lat_e7?, self.lon_e7?).ok()
    }

    /// Whether 0 ≤ `received_at` − time ≤ 5 min.
    #[must_use]
    pub const fn fresh_at(&self, received_at: Timestamp) -> bool {
        received_at.0 >= self.time.0 && received_at.since(self.time) <= FRESH_MS
    }

    /// The grade that counts when its transfer is received at this time: a proof that is not fresh is at most `claimed`.
    #[must_use]
    pub fn grade_at(&self, received_at: Timestamp) -> Grade {
        if self.fresh_at(received_at) {
            self.grade
        } else {
            self.grade.min(Grade::Claimed)
        }
    }

    /// Whether it satisfies the policy for this home when its transfer is received at this time.
    ///
    /// # Errors
    /// [`Refusal::NoPosition`] or [`Refusal::PlaceInsufficient`].
    pub fn admit(
        &self,
        home: &Region,
        policy: &PlacePolicy,
        received_at: Timestamp,
    ) -> Result<(), Refusal> {
        admit(
            self.grade_at(received_at),
            self.municipality.as_deref(),
            home,
            policy,
        )
    }

    /// Whether it was made for this network, account and transfer.
    ///
    /// # Errors
    /// [`Refusal::WrongNetwork`] or [`Refusal::PlaceMismatch`].
    pub fn binds(
        &self,
        network: &NetworkId,
        account: &AccountId,
        transfer_id: &TransferId,
    ) -> Result<(), Refusal> {
        if self.network != *network {
            Err(Refusal::WrongNetwork)
        } else if self.account == *account && self.transfer_id == *transfer_id {
            Ok(())
        } else {
            Err(Refusal::PlaceMismatch)
        }
    }
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;

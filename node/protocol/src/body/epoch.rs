//! `epoch-start`: k officers close an epoch of a log at its cut and begin the next, with the same node key or another.
//!
//! A node key ends here and nowhere else: what it signed up to the cut stays verifiable for ever.

use serde::{Deserialize, Serialize};

use super::officer::decision_fields;
use super::{Decision, Der, Kind, Label, OfficersBody};
use crate::amount::Timestamp;
use crate::crypto::{DomainTag, TAG_EPOCH_START};
use crate::ids::{BlockId, LogId, NetworkId};
use crate::json;
use crate::pki::MAX_INTERMEDIATES;
use crate::refusal::Refusal;

/// Most epochs of a log: a key a year for a lifetime. A receipt carries every epoch's beginning up to its own.
pub const MAX_EPOCHS: u64 = 64;

/// Begins an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochStart {
    /// Form of the body: 1.
    pub version: u64,
    /// `epoch-start`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// The log.
    pub home: LogId,
    /// The log's next officers' sequence number.
    pub officers_sequence: u64,
    /// When it was proposed. The node certificate is judged at this moment.
    pub created_at: Timestamp,
    /// The epoch that ends.
    pub old_epoch: u64,
    /// Position of its last vertex.
    pub cut_seq: u64,
    /// Its last vertex: what stands beyond does not count.
    pub cut: BlockId,
    /// The certificate of the node key from now on, DER in base64; absent if the key stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_certificate: Option<Der>,
    /// Its intermediates towards a genesis root, DER in base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Der>,
    /// Why.
    pub reason: Label,
}

impl OfficersBody for EpochStart {
    const KIND: Kind = Kind::EpochStart;
    const TAG: DomainTag = TAG_EPOCH_START;
    /// A certificate with its chain stands in it, as in a charter.
    const MAX: usize = json::MAX_CHARTER_BODY;

    decision_fields!();

    fn check(&self) -> Result<(), Refusal> {
        let plausible = (1..MAX_EPOCHS).contains(&self.old_epoch)
            && self.cut_seq >= 1
            && self.chain.len() <= MAX_INTERMEDIATES
            && (self.node_certificate.is_some() || self.chain.is_empty());
        if plausible {
            Ok(())
        } else {
            Err(Refusal::BadField)
        }
    }
}

//! A later `charter`: k officers of the charter in force say who the officers and witnesses are from now on.
//!
//! The region stays: the node certificate and every account's certificate name it. The node key stays, too: it changes
//! with an `epoch-start` and nowhere else.

use serde::{Deserialize, Serialize};

use super::charter::MAX_WITNESSES;
use super::officer::decision_fields;
use super::{Decision, Kind, Label, Officers, OfficersBody};
use crate::amount::Timestamp;
use crate::crypto::{DomainTag, TAG_AMENDMENT};
use crate::ids::{Digest, LogId, NetworkId};
use crate::json;
use crate::refusal::Refusal;
use crate::region::Region;

/// Most charters of a log, with the first: a change of officers every other year for a lifetime. A receipt carries
/// every charter up to its own, of some 20 to 75 KB each.
pub const MAX_CHARTERS: u64 = 32;

/// Changes officers and witnesses. Its H(body) is what headers name from its vertex on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amendment {
    /// Form of the body: 1.
    pub version: u64,
    /// `charter`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Network.
    pub network: NetworkId,
    /// The log.
    pub home: LogId,
    /// The log's next officers' sequence number.
    pub officers_sequence: u64,
    /// When it was proposed.
    pub created_at: Timestamp,
    /// Number of this charter: the one before is one less, the first is 1.
    pub number: u64,
    /// H(body) of the charter that ends.
    pub before: Digest,
    /// Municipality: that of the first charter.
    pub region: Region,
    /// Officers from now on, all of them.
    pub officers: Officers,
    /// Logs that are asked to witness this one from now on, all of them.
    pub witnesses: Vec<LogId>,
    /// Why.
    pub reason: Label,
}

impl OfficersBody for Amendment {
    const KIND: Kind = Kind::Charter;
    const TAG: DomainTag = TAG_AMENDMENT;
    /// The raw keys of all officers stand in it, as in a first charter.
    const MAX: usize = json::MAX_CHARTER_BODY;

    decision_fields!();

    fn check(&self) -> Result<(), Refusal> {
        self.officers.public_keys()?;
        let plausible =
            (2..=MAX_CHARTERS).contains(&self.number) && self.witnesses.len() <= MAX_WITNESSES;
        if plausible {
            Ok(())
        } else {
            Err(Refusal::BadField)
        }
    }
}

//! Those who ask to be whitelisted, as they are shown.

use city_protocol::amount::Timestamp;
use city_protocol::region::Region;
use city_protocol::trust::EnrolVerdict;
use serde::{Deserialize, Serialize};

use super::super::fold::{Fold, Ignored, PENDING_MS, Request};
use super::super::record::Role;
use super::PeerText;

/// A stranger that asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestShown {
    /// Who.
    pub peer: PeerText,
    /// What it calls itself.
    pub name: String,
    /// What its operator says.
    pub message: String,
    /// Its municipality, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Where it can be called, as it says.
    pub addresses: Vec<String>,
    /// From which address it asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When.
    pub at: Timestamp,
    /// When the request is forgotten.
    pub forgotten_at: Timestamp,
}

/// A peer that is not heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoredShown {
    /// Who.
    pub peer: PeerText,
    /// What it had called itself; empty if it had not asked.
    pub name: String,
    /// Since when.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
}

/// `GET /v1/enrolment`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentPage {
    /// 1.
    pub schema: u64,
    /// Those who ask, in the order of their ids.
    pub pending: Vec<RequestShown>,
    /// Those who are not heard.
    pub ignored: Vec<IgnoredShown>,
}

/// `POST /v1/enrolment/{peer}/approve`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApproveForm {
    /// For how many hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<u64>,
    /// What it is listed for.
    pub roles: Vec<Role>,
}

/// `POST /v1/enrolment/ask`: have this node ask another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskForm {
    /// Where, with `/p2p/` and the peer's id.
    pub at: String,
    /// What this node calls itself.
    pub name: String,
    /// What is said beside it.
    #[serde(default)]
    pub message: String,
    /// Where this node can be called.
    #[serde(default)]
    pub addresses: Vec<String>,
}

/// What the other node answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedPage {
    /// 1.
    pub schema: u64,
    /// Its verdict.
    pub verdict: EnrolVerdict,
}

impl EnrolmentPage {
    /// Everything that waits or was put aside.
    #[must_use]
    pub fn of(fold: &Fold, now: Timestamp) -> Self {
        let pending = fold.pending.iter();
        let pending = pending.filter(|(_, request)| !request.is_old(now));
        let asks = |(peer, request): (&String, &Request)| RequestShown {
            peer: PeerText(peer.clone()),
            name: request.name.clone(),
            message: request.message.clone(),
            region: request.region.clone(),
            addresses: request.addresses.clone(),
            from: request.from.clone(),
            at: request.at,
            forgotten_at: request.at.plus_ms(PENDING_MS),
        };
        let put_aside = |(peer, ignored): (&String, &Ignored)| IgnoredShown {
            peer: PeerText(peer.clone()),
            name: ignored
                .request
                .as_ref()
                .map_or(String::new(), |request| request.name.clone()),
            at: ignored.at,
            by: ignored.by.clone(),
        };
        Self {
            schema: 1,
            pending: pending.map(asks).collect(),
            ignored: fold.ignored.iter().map(put_aside).collect(),
        }
    }
}

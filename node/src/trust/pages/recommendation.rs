//! What is recommended, as it is shown.

use city_protocol::amount::Timestamp;
use city_protocol::region::Region;
use serde::{Deserialize, Serialize};

use super::super::Needed;
use super::super::fold::{Fold, Recommendation};
use super::PeerText;

/// What is said of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecommendationShown {
    /// About whom.
    pub peer: PeerText,
    /// Who says so; none: this node does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommender: Option<PeerText>,
    /// What it is called.
    pub name: String,
    /// Its municipality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Since when.
    pub at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// Which operator of this node said so; `peer` where another node did.
    pub by: String,
    /// Whether it counts: the recommender is listed, and for that, at this time.
    pub counts: bool,
    /// Whether the peer that it is about was listed once and taken off: then it does not read by others' words.
    #[serde(default)]
    pub once_listed: bool,
}

/// `GET /v1/recommendations`, in the order of whom they are about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecommendationsPage {
    /// 1.
    pub schema: u64,
    /// How many have to recommend a peer before it can be approved.
    pub needed: u64,
    /// How many have to recommend a peer before it may read; 0: it may not.
    #[serde(default)]
    pub to_read: u64,
    /// What other peers say.
    pub recommended: Vec<RecommendationShown>,
    /// What this node says.
    pub own: Vec<RecommendationShown>,
}

/// `POST /v1/recommendations/{peer}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecommendForm {
    /// What it is called; none: as it is listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For how many hours; none: 7 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<u64>,
}

impl RecommendationsPage {
    /// Everything that holds at this time.
    #[must_use]
    pub fn of(fold: &Fold, needed: Needed, now: Timestamp) -> Self {
        let shown =
            |peer: &str, recommender: Option<&String>, said: &Recommendation| RecommendationShown {
                peer: PeerText(peer.into()),
                recommender: recommender.cloned().map(PeerText),
                name: said.name.clone(),
                region: said.region.clone(),
                at: said.at,
                expires_at: said.expires_at,
                by: said.by.clone(),
                counts: recommender.is_none_or(|peer| fold.may_recommend(peer, now)),
                once_listed: fold.once_listed.contains(peer),
            };
        let others = fold
            .recommended
            .iter()
            .filter(|(_, said)| now < said.expires_at);
        let own = fold.own.iter().filter(|(_, said)| now < said.expires_at);
        Self {
            schema: 1,
            needed: needed.to_approve,
            to_read: needed.to_read,
            recommended: others
                .map(|((peer, by), said)| shown(peer, Some(by), said))
                .collect(),
            own: own.map(|(peer, said)| shown(peer, None, said)).collect(),
        }
    }
}

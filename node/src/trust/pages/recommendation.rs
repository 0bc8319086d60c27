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
    /// The shortest way from a listed peer to the recommender, if what it says counts for reading at this time; a listed one is
    /// alone on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<PeerText>,
    /// Whether the peer that it is about was listed once and taken off: then it does not read by others' words.
    #[serde(default)]
    pub once_listed: bool,
}

impl RecommendationShown {
    /// Whether it counts for reading.
    #[must_use]
    pub const fn counts_to_read(&self) -> bool {
        self.counts || !self.path.is_empty()
    }
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
    /// Through how many steps recommendations may have a peer read.
    #[serde(default)]
    pub depth: u64,
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
        let readers = fold.readers(needed.to_read, needed.depth);
        let shown = |peer: &str, recommender: Option<&String>, said: &Recommendation| {
            let path = recommender.and_then(|by| readers.path(by, peer, now));
            let path = path.unwrap_or_default().into_iter();
            RecommendationShown {
                peer: PeerText(peer.into()),
                recommender: recommender.cloned().map(PeerText),
                name: said.name.clone(),
                region: said.region.clone(),
                at: said.at,
                expires_at: said.expires_at,
                by: said.by.clone(),
                counts: recommender.is_none_or(|peer| fold.may_recommend(peer, now)),
                path: path.map(|peer| PeerText(peer.to_owned())).collect(),
                once_listed: fold.once_listed.contains_key(peer),
            }
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
            depth: needed.depth,
            recommended: others
                .map(|((peer, by), said)| shown(peer, Some(by), said))
                .collect(),
            own: own.map(|(peer, said)| shown(peer, None, said)).collect(),
        }
    }
}

//! Whose transport key another one followed, as it is shown.

use city_protocol::amount::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::fold::Fold;
use super::super::followed::Followed;
use super::super::{Following, Moved};
use super::PeerText;

/// A rotation that was followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationShown {
    /// The peer id that ended.
    pub old: PeerText,
    /// The one that its entry passed to.
    pub new: PeerText,
    /// Since when.
    pub at: Timestamp,
    /// By whom: `peer`, or an operator.
    pub by: String,
    /// Which peer handed it on; none: the node itself said so, or an operator brought the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PeerText>,
    /// When both keys signed it.
    pub made_at: Timestamp,
    /// Until when others can follow it.
    pub expires_at: Timestamp,
    /// Whether `config.toml` still names the old peer id.
    pub in_config: bool,
    /// Whether an operator listed the old peer id again since.
    pub relisted: bool,
    /// Another rotation of the same peer id, which was not followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contested: Option<ContestedShown>,
}

/// A second rotation of a peer id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContestedShown {
    /// The peer id that it names.
    pub new: PeerText,
    /// When it came.
    pub at: Timestamp,
    /// When both keys signed it.
    pub made_at: Timestamp,
    /// Which peer brought it; none: the node itself, or an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PeerText>,
}

/// `GET /v1/rotations`, in the order of the old peer ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationsPage {
    /// 1.
    pub schema: u64,
    /// The rotations that were followed.
    pub followed: Vec<RotationShown>,
}

/// `POST /v1/rotations/follow`: a rotation as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowForm {
    /// The file, Base64.
    pub rotation: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowedPage {
    /// 1.
    pub schema: u64,
    /// The peer id that ended.
    pub old: PeerText,
    /// The one that follows it.
    pub new: PeerText,
    /// Whether that was so before.
    pub known: bool,
}

/// `POST /v1/keys/rotate-transport`: the certificate for the next transport key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateForm {
    /// PEM, leaf first.
    pub certificate: String,
}

/// The own transport key was exchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotatedPage {
    /// 1.
    pub schema: u64,
    /// The peer id until the next start.
    pub old: PeerText,
    /// The peer id from then on.
    pub new: PeerText,
    /// When both keys signed it.
    pub made_at: Timestamp,
    /// Until when peers can follow.
    pub expires_at: Timestamp,
    /// The record, as a file of the data directory.
    pub file: String,
    /// Connected peers that were told.
    pub told: Vec<PeerText>,
}

impl RotationsPage {
    /// Everything that was followed.
    #[must_use]
    pub fn of(fold: &Fold) -> Self {
        let shown = |(old, followed): (&String, &Followed)| RotationShown {
            old: PeerText(old.clone()),
            new: PeerText(followed.new.clone()),
            at: followed.at,
            by: followed.by.clone(),
            from: followed.from.clone().map(PeerText),
            made_at: followed.made_at,
            expires_at: followed.expires_at,
            in_config: fold
                .listed
                .get(old)
                .is_some_and(|listed| listed.config.is_some()),
            relisted: followed.relisted,
            contested: followed.contested.as_ref().map(|other| ContestedShown {
                new: PeerText(other.new.clone()),
                at: other.at,
                made_at: other.made_at,
                from: other.from.clone().map(PeerText),
            }),
        };
        Self {
            schema: 1,
            followed: fold.followed.iter().map(shown).collect(),
        }
    }
}

impl FollowedPage {
    /// As it is shown.
    #[must_use]
    pub fn of(following: Following) -> Self {
        let (Following::Moved(moved) | Following::Known(moved)) = following;
        let Moved { old, new } = moved;
        Self {
            schema: 1,
            old: PeerText(old.to_string()),
            new: PeerText(new.to_string()),
            known: matches!(following, Following::Known(_)),
        }
    }
}

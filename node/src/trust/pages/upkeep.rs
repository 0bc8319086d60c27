//! What an operator has taken away or read again, as it is shown.

use city_protocol::amount::Timestamp;
use serde::{Deserialize, Serialize};

use super::PeerText;
use crate::trust::Cleaned;

/// `POST /v1/upkeep/cleanup`: what was over and is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanedPage {
    /// 1.
    pub schema: u64,
    /// Peers whose entry, made by an operator, had expired.
    pub entries: Vec<PeerText>,
    /// Recommendations that had ended, or whose recommender went.
    pub recommendations: usize,
    /// Requests to be listed that had waited too long.
    pub requests: usize,
    /// Node certificates that had ended, or whose node went.
    pub certificates: usize,
    /// Signed messages that need not be remembered any more.
    pub messages: usize,
}

/// `POST /v1/upkeep/reload`: what changed by reading files again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadedPage {
    /// 1.
    pub schema: u64,
    /// Certificates, roots and lists of revoked certificates that are others than two seconds ago or less.
    pub files: Vec<String>,
    /// Until when the node certificate holds that peers are shown now, if it is another than before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Timestamp>,
    /// Peers that the configuration lists, and did not, or did on other terms.
    pub listed: Vec<PeerText>,
    /// Peers that it lists no more.
    pub unlisted: Vec<PeerText>,
    /// What could not be read, and what to do; of that everything stays as it was.
    pub problems: Vec<String>,
}

impl CleanedPage {
    /// As it is shown.
    #[must_use]
    pub fn of(cleaned: &Cleaned) -> Self {
        Self {
            schema: 1,
            entries: cleaned.entries.iter().cloned().map(PeerText).collect(),
            recommendations: cleaned.recommendations,
            requests: cleaned.requests,
            certificates: cleaned.certificates,
            messages: cleaned.messages,
        }
    }
}

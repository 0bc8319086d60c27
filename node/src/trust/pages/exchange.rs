//! Node certificates between nodes, as it is asked for and shown.

use city_protocol::amount::Timestamp;
use serde::{Deserialize, Serialize};

use super::PeerText;

/// `POST /v1/peer-keys/announce`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncedPage {
    /// 1.
    pub schema: u64,
    /// Until when the certificate holds that peers are shown now.
    pub not_after: Timestamp,
    /// Connected peers that were told.
    pub told: Vec<PeerText>,
}

/// `POST /v1/peer-keys/request`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeysWantedForm {
    /// Whose certificates are wanted; none: of every listed peer whose certificate is not held.
    pub peers: Vec<PeerText>,
}

/// What was asked. What comes is held then, and shown with the whitelist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysAskedPage {
    /// 1.
    pub schema: u64,
    /// Whose certificates are wanted.
    pub wanted: Vec<PeerText>,
    /// Connected peers that were asked.
    pub asked: Vec<PeerText>,
}

//! Whitelists as files, as they are asked for and shown.

use city_protocol::amount::Timestamp;
use city_protocol::region::Region;
use serde::{Deserialize, Serialize};

use super::PeerText;

/// `POST /v1/whitelist-file/export`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExportForm {
    /// Which peers; none: all.
    pub peers: Vec<PeerText>,
}

/// A list, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedPage {
    /// 1.
    pub schema: u64,
    /// How many peers are on it.
    pub entries: usize,
    /// The file's content, Base64.
    pub list: String,
}

/// `POST /v1/whitelist-file/import`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportForm {
    /// The file's content, Base64.
    pub list: String,
    /// Whether everything that can be is added.
    #[serde(default)]
    pub all: bool,
    /// Who is added.
    #[serde(default)]
    pub peers: Vec<PeerText>,
    /// For how many hours at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<u64>,
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImportedState {
    /// It can be added.
    Offered,
    /// It was added.
    Added,
    /// It is listed here, on terms of this node's own.
    Listed,
    /// It has an entry here that has ended.
    Ended,
    /// An operator here ignores it: it can be listed by `whitelist add` only.
    Ignored,
    /// It ends within the hour, or has ended.
    Over,
    /// It is this node.
    Myself,
}

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedEntry {
    /// Who.
    pub peer: PeerText,
    /// Its name, as the signer says.
    pub name: String,
    /// Its municipality, as the signer says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Until when the signer lists it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What becomes of it.
    pub state: ImportedState,
}

/// A list that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedPage {
    /// 1.
    pub schema: u64,
    /// Who signed it.
    pub signer: PeerText,
    /// When.
    pub signed_at: Timestamp,
    /// Its entries.
    pub entries: Vec<ImportedEntry>,
}

//! The board that all homes share, as pages: what stands under a key, and under which keys anything stands.

use std::fmt;
use std::str::FromStr;

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::body::OwnEntry;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::json::base64_bytes;
use city_protocol::ledger::{NoteFound, Rows as _, note_of, notes_of};
use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Serialize};

use super::pages::LogName;
use super::read::Reader;
use crate::api::wire::SCHEMA;
use crate::journal::log_rows;

/// Most keys on one page: each has at most 256 bytes, and one log has at most 4096.
pub const MAX_LISTED: usize = 1000;

/// A key in a path or query, as the hexadecimal digits of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HexKey(pub String);

impl fmt::Display for HexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER_PERMISSIVE.encode(self.0.as_bytes()))
    }
}

impl FromStr for HexKey {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        text.map(Self).ok_or(Refusal::BadField)
    }
}

/// Bytes that stand under a key, base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteValue(#[serde(with = "base64_bytes")] pub Vec<u8>);

/// `POST /v1/notes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoteForm {
    /// The key.
    pub key: String,
    /// The value; absent, it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<NoteValue>,
}

/// The answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedPage {
    /// 1.
    pub schema: u64,
    /// The vertex that it stands in.
    pub vertex: BlockId,
    /// Where in this home's log.
    pub at: OwnEntry,
}

/// What counts under a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteShown {
    /// The key.
    pub key: String,
    /// Length of the value.
    pub bytes: u64,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Who wrote it last.
    pub by: LogName,
    /// Where it stands in their log.
    pub at: OwnEntry,
    /// When that was signed.
    pub time: Timestamp,
    /// By this the last is found: how many vertices the longest way back has.
    pub depth: u64,
}

/// `GET /v1/notes/{key}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotePage {
    /// 1.
    pub schema: u64,
    /// Which.
    pub note: NoteShown,
    /// What stands there; absent where it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<NoteValue>,
}

/// `GET /v1/notes` and `/v1/notes/under/{prefix}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotesPage {
    /// 1.
    pub schema: u64,
    /// In order of the keys, deleted ones among them.
    pub notes: Vec<NoteShown>,
    /// Whether there are more behind the last.
    pub more: bool,
}

impl Reader<'_> {
    /// What counts under a key, if anybody ever wrote there.
    #[must_use]
    pub fn note(&self, key: &str) -> Option<NotePage> {
        let found = note_of(self.history, &self.logs(), key)?;
        Some(NotePage {
            schema: SCHEMA,
            value: found.value(self.history).map(NoteValue),
            note: self.shown(found),
        })
    }

    /// What counts under the keys with this prefix that come after `after`.
    #[must_use]
    pub fn notes(&self, prefix: &str, after: &str) -> NotesPage {
        let (found, more) = notes_of(self.history, &self.logs(), prefix, after, MAX_LISTED);
        NotesPage {
            schema: SCHEMA,
            notes: found.into_iter().map(|note| self.shown(note)).collect(),
            more,
        }
    }

    fn logs(&self) -> Vec<LogId> {
        let rows = log_rows(self.history).into_iter();
        rows.map(|(log, _)| log).collect()
    }

    fn shown(&self, found: NoteFound) -> NoteShown {
        let at = found.row.at;
        let vertex = self.history.vertex_at(&found.log, at.epoch, at.seq);
        let vertex = vertex.and_then(|id| self.history.vertex(&id));
        NoteShown {
            key: found.row.key.as_str().to_owned(),
            bytes: found.row.bytes,
            deleted: found.row.gone,
            by: self.name(found.log),
            at,
            time: vertex.map_or(Timestamp(0), |vertex| vertex.time),
            depth: found.depth,
        }
    }
}

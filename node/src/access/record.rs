//! One line of the access log: deterministic DAG-CBOR that names the line before it.

use city_protocol::amount::Timestamp;
use city_protocol::codec;
use city_protocol::ids::BlockId;
use serde::{Deserialize, Serialize};

/// Longest line in bytes.
pub(super) const MAX_RECORD: usize = 2048;
/// Longest text of a line in bytes; a longer one is cut.
const MAX_TEXT: usize = 512;

/// What kind of thing a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The node started; `what` names the head of the trust log.
    Start,
    /// The node stopped in order.
    Stop,
    /// An operator asked or did something.
    Operator,
    /// Roots, lists or certificates were exchanged, or an operator changed the whitelist.
    Trust,
    /// A person logged in.
    Login,
    /// A person logged out.
    Logout,
    /// Logins that were refused, in one minute.
    LoginRefused,
    /// Requests that were refused for one reason, in one minute.
    Refused,
    /// Another log's last line at a start: `who` its name, `what` number and id.
    Anchor,
}

/// The logs that lines stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Log {
    /// What operators answer for.
    Access,
    /// Who logged in and out.
    Logins,
    /// How often strangers were refused.
    Refusals,
}

impl Log {
    /// Every log.
    pub const ALL: [Self; 3] = [Self::Access, Self::Logins, Self::Refusals];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Logins => "logins",
            Self::Refusals => "refusals",
        }
    }
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 9] = [
        Self::Start,
        Self::Stop,
        Self::Operator,
        Self::Trust,
        Self::Login,
        Self::Logout,
        Self::LoginRefused,
        Self::Refused,
        Self::Anchor,
    ];

    /// Where such lines stand. An anchor stands wherever another log's does not.
    #[must_use]
    pub const fn log(self) -> Log {
        match self {
            Self::Start | Self::Stop | Self::Operator | Self::Trust | Self::Anchor => Log::Access,
            Self::Login | Self::Logout => Log::Logins,
            Self::LoginRefused | Self::Refused => Log::Refusals,
        }
    }

    /// Its name in lines and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Operator => "operator",
            Self::Trust => "trust",
            Self::Login => "login",
            Self::Logout => "logout",
            Self::LoginRefused => "login-refused",
            Self::Refused => "refused",
            Self::Anchor => "anchor",
        }
    }
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What kind of thing.
    pub class: Class,
    /// Who: an operator, an account; empty where nobody is named.
    pub who: String,
    /// What: an action, a code, a head.
    pub what: String,
    /// How often.
    pub count: u64,
}

impl Event {
    /// Something that happened once.
    #[must_use]
    pub fn once(class: Class, who: &str, what: &str) -> Self {
        let (who, what) = (who.into(), what.into());
        Self {
            class,
            who,
            what,
            count: 1,
        }
    }
}

/// A line as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Form: 1.
    pub v: u64,
    /// Number of the line, from 1, without gaps.
    pub n: u64,
    /// The line before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<BlockId>,
    /// When; for what is counted, when it was written.
    pub at: Timestamp,
    /// What kind of thing.
    pub class: Class,
    /// Who.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub who: String,
    /// What.
    pub what: String,
    /// How often.
    pub count: u64,
}

impl Record {
    /// The bytes that are written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a line.
    ///
    /// # Errors
    /// The codec's.
    pub fn read(bytes: &[u8]) -> Result<Self, city_protocol::Refusal> {
        codec::decode(bytes, MAX_RECORD)
    }

    /// The line that follows a line.
    pub(super) fn after(n: u64, prev: Option<BlockId>, at: Timestamp, event: Event) -> Self {
        Self {
            v: 1,
            n,
            prev,
            at,
            class: event.class,
            who: cut(event.who),
            what: cut(event.what),
            count: event.count,
        }
    }
}

fn cut(mut text: String) -> String {
    let mut end = MAX_TEXT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_a_long_one_is_cut_between_characters() {
        let event = Event::once(Class::LoginRefused, "", &"誰".repeat(400));
        let record = Record::after(1, None, Timestamp(5), event);
        assert_eq!(record.what.len(), 510);
        let bytes = record.encode();
        assert!(bytes.len() <= MAX_RECORD);
        assert_eq!(Record::read(&bytes).unwrap(), record);
        assert!(Record::read(&bytes[1..]).is_err());
        let names: Vec<String> = Class::ALL
            .iter()
            .map(|class| serde_json::to_string(class).unwrap())
            .collect();
        for (name, class) in names.iter().zip(Class::ALL) {
            assert_eq!(name.trim_matches('"'), class.name());
        }
    }
}

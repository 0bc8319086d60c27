//! One record of the trust log: deterministic DAG-CBOR that names the record before it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::codec;
use city_protocol::ids::BlockId;
use city_protocol::region::Region;
use city_protocol::trust::MAX_SIGNED_DATA;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Longest record in bytes: the longest message that brings a certificate, or one with eight addresses, and room. A longer one
/// is never written.
pub(super) const MAX_RECORD: usize = MAX_SIGNED_DATA + 8 * 1024;
// A rotation is no longer than such a message.
const _: () = assert!(city_protocol::trust::MAX_ROTATION <= MAX_SIGNED_DATA);
/// Who decides by the configuration file.
pub(super) const CONFIG: &str = "config";
/// Who asks.
pub(super) const STRANGER: &str = "stranger";
/// Who recommends another to this node, or brings a certificate or a rotation.
pub(super) const PEER: &str = "peer";
/// Form of a record as an operator's decisions need it; what the configuration says still has form 1.
const FORM: u64 = 2;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// A peer may connect.
    WhitelistAdd,
    /// It may not any more.
    WhitelistRemove,
    /// A key of a listed peer is held.
    WhitelistKey,
    /// A stranger asks to be listed; decided by nobody yet.
    EnrolRequest,
    /// A stranger is not to be heard any more.
    EnrolIgnore,
    /// A peer is recommended: by this node, or by another.
    Recommend,
    /// It is not any more.
    RecommendRevoke,
    /// What was over by then is taken away, of everybody; about this node itself.
    Cleanup,
    /// A peer's entry passes to the peer id that follows it.
    RotationFollow,
    /// Another peer id claims to follow it, too: it does not.
    RotationContest,
}

impl Decision {
    /// Every decision.
    pub const ALL: [Self; 10] = [
        Self::WhitelistAdd,
        Self::WhitelistRemove,
        Self::WhitelistKey,
        Self::EnrolRequest,
        Self::EnrolIgnore,
        Self::Recommend,
        Self::RecommendRevoke,
        Self::Cleanup,
        Self::RotationFollow,
        Self::RotationContest,
    ];

    /// Its name in records, in `audit` and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WhitelistAdd => "whitelist-add",
            Self::WhitelistRemove => "whitelist-remove",
            Self::WhitelistKey => "whitelist-key",
            Self::EnrolRequest => "enrol-request",
            Self::EnrolIgnore => "enrol-ignore",
            Self::Recommend => "recommend",
            Self::RecommendRevoke => "recommend-revoke",
            Self::Cleanup => "cleanup",
            Self::RotationFollow => "rotation-follow",
            Self::RotationContest => "rotation-contest",
        }
    }
}

/// What a listed peer is listed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It connects and syncs.
    Sync,
    /// What it recommends may be looked at.
    Recommend,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 2] = [Self::Sync, Self::Recommend];

    /// What a peer is listed for where nothing is said.
    #[must_use]
    pub fn sync_only() -> BTreeSet<Self> {
        BTreeSet::from([Self::Sync])
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync => "sync",
            Self::Recommend => "recommend",
        })
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|role| role.to_string() == text);
        found.ok_or("there are the roles sync and recommend")
    }
}

/// What kind of key is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// libp2p's public key, protobuf.
    Transport,
    /// The node certificate, DER: with it the ledger and KEM keys.
    NodeCertificate,
}

/// A key of a peer: an operator gave it, or a peer brought it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldKey {
    /// What it is.
    pub kind: KeyKind,
    /// Its bytes.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
    /// A certificate's intermediates, DER; none are known of those that came before they were kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<ByteBuf>,
}

impl HeldKey {
    /// A transport key, protobuf.
    #[must_use]
    pub const fn transport(data: Vec<u8>) -> Self {
        Self {
            kind: KeyKind::Transport,
            data,
            chain: Vec::new(),
        }
    }

    /// The intermediates as they are judged.
    #[must_use]
    pub fn chain(&self) -> Vec<Vec<u8>> {
        self.chain.iter().map(|der| der.to_vec()).collect()
    }
}

/// One record of the trust log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Form: 1, or 2 where an operator decided.
    pub v: u64,
    /// The record before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<BlockId>,
    /// What was decided.
    pub decision: Decision,
    /// About whom: a peer id.
    pub peer: String,
    /// The peer's name, for people; empty where names are encrypted: then it stands among the private values.
    pub name: String,
    /// Its municipality, if one was named; form 1 always names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What it is listed for; form 1 means `sync`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<Role>,
    /// Where to call it, without its peer id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Keys that came with the decision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<HeldKey>,
    /// What the peer's operator says in a request; empty where names are encrypted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Which peer recommends, or brought another's certificate or rotation; none: this node does, or its own peer did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommender: Option<String>,
    /// The rotation of the peer's transport key, signed by both keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<ByteBuf>,
    /// From which address a request came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When it was decided, or asked.
    pub at: Timestamp,
    /// By whom: `config`, an operator as the access log names them, `stranger`, or `peer`.
    pub by: String,
}

impl Record {
    /// A record of an operator's decision, without any terms.
    #[must_use]
    pub fn of(decision: Decision, peer: &str, at: Timestamp, by: &str) -> Self {
        // An operator of that name is not the file, and no stranger.
        let by = match (decision, by) {
            (Decision::EnrolRequest, _) => STRANGER.to_owned(),
            (
                Decision::Recommend
                | Decision::RecommendRevoke
                | Decision::WhitelistKey
                | Decision::RotationFollow
                | Decision::RotationContest,
                PEER,
            ) => PEER.to_owned(),
            (_, CONFIG | STRANGER | PEER) => format!("operator {by}"),
            (_, by) => by.to_owned(),
        };
        Self {
            v: FORM,
            prev: None,
            decision,
            peer: peer.into(),
            name: String::new(),
            region: None,
            expires_at: None,
            roles: BTreeSet::new(),
            addresses: Vec::new(),
            keys: Vec::new(),
            message: String::new(),
            recommender: None,
            rotation: None,
            from: None,
            at,
            by,
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// The codec's; [`Refusal::UnknownVersion`] for a form of newer software.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        match codec::decode_version(bytes, MAX_RECORD, FORM) {
            Err(Refusal::UnknownVersion) => codec::decode_version(bytes, MAX_RECORD, 1),
            read => read,
        }
    }

    /// The bytes that are written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Whether the configuration file decided.
    #[must_use]
    pub fn is_of_config(&self) -> bool {
        self.by == CONFIG
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What version 1 wrote: `{v, decision, peer, name, region, at, by}` with these values.
    #[derive(Serialize)]
    struct First {
        v: u64,
        decision: &'static str,
        peer: &'static str,
        name: &'static str,
        region: &'static str,
        at: u64,
        by: &'static str,
    }

    #[test]
    fn records_of_before_read_as_before_and_newer_ones_are_told_apart() {
        let old = codec::encode(&First {
            v: 1,
            decision: "whitelist-add",
            peer: "p1",
            name: "小松市",
            region: "Asia/JP/17/17203",
            at: 7,
            by: "config",
        });
        let read = Record::read(&old).unwrap();
        assert!(read.is_of_config());
        assert_eq!(
            read.region.as_ref().unwrap().to_string(),
            "Asia/JP/17/17203"
        );
        assert_eq!(read.encode(), old);
        let new = Record {
            roles: Role::ALL.into(),
            keys: vec![HeldKey::transport(vec![1, 2])],
            ..Record::of(Decision::WhitelistAdd, "p1", Timestamp(8), "config")
        };
        assert!(!new.is_of_config());
        assert_eq!(Record::read(&new.encode()).unwrap(), new);
        let newer = Record { v: FORM + 1, ..new };
        assert_eq!(Record::read(&newer.encode()), Err(Refusal::UnknownVersion));
        assert!(Record::read(&old[1..]).is_err());
        for decision in Decision::ALL {
            let json = serde_json::to_string(&decision).unwrap();
            assert_eq!(json.trim_matches('"'), decision.name());
        }
    }
}

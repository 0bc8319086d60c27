//! The whitelist as the admin socket and `--json` show it; `enrolment` who asks, `recommendation` who is recommended, `rotation` whose key another one followed,
//! `list` whitelists as files, `upkeep` what was taken away or read again. Moments
//! are milliseconds since the Unix epoch.

mod enrolment;
mod exchange;
mod list;
mod recommendation;
mod rotation;
mod upkeep;

pub use enrolment::{ApproveForm, AskForm, AskedPage, EnrolmentPage, IgnoredShown, RequestShown};
pub use exchange::{AnnouncedPage, KeysAskedPage, KeysWantedForm};
pub use list::{ExportForm, ExportedPage, ImportForm, ImportedEntry, ImportedPage, ImportedState};
pub use recommendation::{RecommendForm, RecommendationShown, RecommendationsPage};
pub use rotation::{
    ContestedShown, FollowForm, FollowedPage, RotateForm, RotatedPage, RotationShown, RotationsPage,
};
pub use upkeep::{CleanedPage, ReloadedPage};

use std::fmt;
use std::str::FromStr;

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::ids::{Digest, KeyId};
use city_protocol::pki::{certified_key, fingerprint};
use city_protocol::region::Region;
use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::Keeper;
use super::fold::{Entry, Fold, Listed};
use super::record::{HeldKey, KeyKind, Role};

/// Most peers on one page: each up to some 3 KB.
pub const MAX_PAGE: usize = 500;

/// A peer id as text, of any kind of key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerText(pub String);

impl FromStr for PeerText {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let peer: PeerId = text.parse().map_err(|_| Refusal::BadId)?;
        Ok(Self(peer.to_string()))
    }
}

impl fmt::Display for PeerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// `config.toml`.
    Config,
    /// An operator.
    Operator,
}

/// What one source says of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryShown {
    /// Which.
    pub source: Source,
    /// The peer's name; empty without one.
    pub name: String,
    /// Its municipality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// What it is listed for.
    pub roles: Vec<Role>,
    /// Where to call it.
    pub addresses: Vec<String>,
    /// Since when.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether that is over.
    pub expired: bool,
}

/// A key that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyShown {
    /// What it is.
    pub kind: KeyKind,
    /// SHA-256 of its bytes.
    pub fingerprint: Digest,
    /// The ledger key in a node certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_key: Option<KeyId>,
}

/// A listed peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerShown {
    /// Its id.
    pub peer: PeerText,
    /// Whether it may connect now.
    pub in_force: bool,
    /// Until when, by all entries together; none without an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Which peer id followed it, so that it has no force although `config.toml` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_to: Option<PeerText>,
    /// What each source says.
    pub entries: Vec<EntryShown>,
    /// Keys that are held.
    pub keys: Vec<KeyShown>,
}

/// `GET /v1/whitelist`: some peers in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhitelistPage {
    /// 1.
    pub schema: u64,
    /// The peers.
    pub peers: Vec<PeerShown>,
    /// Behind whom the next page begins, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<PeerText>,
}

/// `GET /v1/whitelist/{peer}`, and the answer to a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedPage {
    /// 1.
    pub schema: u64,
    /// Who.
    pub peer: PeerText,
    /// What is known of it; none if it is not listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<PeerShown>,
    /// What the gate decides about it now, where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted: Option<bool>,
    /// Why it may connect only to read, where that was asked and it may now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<ReaderShown>,
    /// Whether it is this node itself.
    #[serde(default)]
    pub own: bool,
    /// How its place ended, if it had one and has none now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<RemovedShown>,
    /// That it is not spoken to for a while because it broke the rules, where a running node was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banned: Option<BannedShown>,
}

/// How a peer's place on the whitelist ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedShown {
    /// When, if that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// By whom: `config`, an operator, or whoever brought word that its key changed.
    pub by: String,
}

/// A peer that is not spoken to for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BannedShown {
    /// For how many seconds more.
    pub seconds: u64,
    /// Why.
    pub why: String,
}

/// A peer that may read because others recommend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReaderShown {
    /// Until when.
    pub until: Timestamp,
    /// Who recommends it.
    pub by: Vec<PeerText>,
    /// Of each of those the shortest way that leads to it: from a listed peer to who recommends it. The shortest of them comes first.
    #[serde(default)]
    pub paths: Vec<Vec<PeerText>>,
}

/// `POST /v1/whitelist/{peer}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AddForm {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For how many hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<u64>,
    /// Its municipality.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// What it is listed for.
    pub roles: Vec<Role>,
    /// Where to call it.
    pub addresses: Vec<String>,
    /// The content of a key file, Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// `POST /v1/whitelist/{peer}/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyForm {
    /// The content of a key file, Base64.
    pub key: String,
}

impl WhitelistPage {
    /// The peers behind one.
    #[must_use]
    pub fn of(fold: &Fold, after: Option<&PeerText>, limit: usize, now: Timestamp) -> Self {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.0.clone()));
        let mut rest = fold.listed.range((from, Bound::Unbounded));
        let peers: Vec<PeerShown> = rest
            .by_ref()
            .take(limit)
            .map(|(peer, listed)| PeerShown::of(peer, listed, now))
            .collect();
        let more = rest.next().is_some();
        let next = peers.last().filter(|_| more).map(|last| last.peer.clone());
        Self {
            schema: 1,
            peers,
            next,
        }
    }
}

impl ListedPage {
    /// A peer, listed or not.
    #[must_use]
    pub fn of(peer: &str, listed: Option<&Listed>, now: Timestamp) -> Self {
        Self {
            schema: 1,
            peer: PeerText(peer.into()),
            listed: listed.map(|listed| PeerShown::of(peer, listed, now)),
            admitted: None,
            reads: None,
            own: false,
            removed: None,
            banned: None,
        }
    }

    /// A peer, and what the gate decides about it now.
    #[must_use]
    pub fn tried(keeper: &Keeper, peer: &PeerText, now: Timestamp) -> Self {
        let id = peer.0.parse::<PeerId>().ok();
        Self {
            admitted: Some(id.is_some_and(|id| keeper.admits(&id, now))),
            reads: id.and_then(|id| ReaderShown::of(keeper, &id, now)),
            own: id.is_some_and(|id| id == *keeper.own()),
            removed: keeper.fold(|fold| {
                fold.once_listed.get(&peer.0).map(|ended| RemovedShown {
                    at: ended.at,
                    by: ended.by.clone(),
                })
            }),
            ..Self::of(&peer.0, keeper.listed(&peer.0).as_ref(), now)
        }
    }
}

impl ReaderShown {
    /// Why a peer may connect at this time only to read, and until when, as the gate decides it.
    #[must_use]
    pub fn of(keeper: &Keeper, peer: &PeerId, now: Timestamp) -> Option<Self> {
        let until = keeper.reads(peer, now)?;
        let reader = keeper.reader(&peer.to_string(), now);
        let paths = reader.map_or(Vec::new(), |reader| reader.paths);
        let shown = |path: Vec<String>| path.into_iter().map(PeerText).collect();
        let paths: Vec<Vec<PeerText>> = paths.into_iter().map(shown).collect();
        let by = paths.iter().filter_map(|path| path.last());
        Some(Self {
            until,
            by: by.cloned().collect(),
            paths,
        })
    }

    /// Who recommends it, for people, and who stands behind those.
    #[must_use]
    pub fn told(&self) -> String {
        let paths: Vec<String> = self.paths.iter().map(|path| led_by(path)).collect();
        paths.join(" and by ")
    }
}

/// Who stands at the end of a way of recommendations, for people, and who recommends it, back to a listed peer.
#[must_use]
pub fn led_by(path: &[PeerText]) -> String {
    let mut back = path.iter().rev();
    let mut told = back.next().map_or(String::new(), ToString::to_string);
    told.extend(back.map(|peer| format!(", whom {peer} recommends")));
    told
}

impl PeerShown {
    fn of(peer: &str, listed: &Listed, now: Timestamp) -> Self {
        let shown = |source, entry: &Entry| EntryShown {
            source,
            name: entry.name.clone(),
            region: entry.region.clone(),
            roles: entry.roles.iter().copied().collect(),
            addresses: entry.addresses.clone(),
            at: entry.at,
            by: entry.by.clone(),
            expires_at: entry.expires_at,
            expired: entry.is_over(now),
        };
        let config = listed
            .config
            .iter()
            .map(|entry| shown(Source::Config, entry));
        let operator = listed
            .operator
            .iter()
            .map(|entry| shown(Source::Operator, entry));
        Self {
            peer: PeerText(peer.into()),
            in_force: listed.is_in_force(now),
            expires_at: listed.expires_at(),
            rotated_to: listed
                .rotated
                .as_ref()
                .map(|rotated| PeerText(rotated.to.clone())),
            entries: config.chain(operator).collect(),
            keys: listed.keys.iter().map(KeyShown::of).collect(),
        }
    }
}

impl KeyShown {
    fn of(held: &HeldKey) -> Self {
        let ledger_key = match held.kind {
            KeyKind::Transport => None,
            KeyKind::NodeCertificate => certified_key(&held.data).ok().map(|key| key.id()),
        };
        Self {
            kind: held.kind,
            fingerprint: fingerprint(&held.data),
            ledger_key,
        }
    }
}

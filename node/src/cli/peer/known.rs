//! Everything that is known of a peer, from wherever it is known, as text and as JSON.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::output::printable;
use super::rotation::{came_from, went_to};
use crate::admin::pages::Peer as Connected;
use crate::config::rfc3339;
use crate::net::Carrier;
use crate::trust::pages::{
    BannedShown, EnrolmentPage, IgnoredShown, ListedPage, PeerShown, ReaderShown,
    RecommendationShown, RecommendationsPage, RemovedShown, RequestShown, RotationShown,
    RotationsPage, led_by,
};

/// Everything that is known of one peer.
#[derive(Clone, Default)]
pub(super) struct Known<'a> {
    listed: Option<&'a PeerShown>,
    connected: Option<&'a Connected>,
    pending: Option<&'a RequestShown>,
    ignored: Option<&'a IgnoredShown>,
    recommended: Vec<&'a RecommendationShown>,
    /// Whose entry passed to this one.
    before: Vec<&'a RotationShown>,
    /// To whom its entry passed.
    after: Option<&'a RotationShown>,
    /// How many have to recommend a peer before it may read; 0: it may not.
    to_read: u64,
    /// What the gate says of it, where that was asked.
    gate: Option<&'a ListedPage>,
}

pub(super) fn known<'a>(
    listed: &'a [PeerShown],
    connected: &'a [Connected],
    enrolment: &'a EnrolmentPage,
    recommendations: &'a RecommendationsPage,
    rotations: &'a RotationsPage,
) -> BTreeMap<&'a str, Known<'a>> {
    let mut known: BTreeMap<&str, Known<'_>> = BTreeMap::new();
    for peer in listed {
        known.entry(&peer.peer.0).or_default().listed = Some(peer);
    }
    for peer in connected {
        known.entry(&peer.peer_id).or_default().connected = Some(peer);
    }
    for peer in &enrolment.pending {
        known.entry(&peer.peer.0).or_default().pending = Some(peer);
    }
    for said in &recommendations.recommended {
        let known = known.entry(&said.peer.0).or_default();
        known.recommended.push(said);
        known.to_read = recommendations.to_read;
    }
    for peer in &enrolment.ignored {
        known.entry(&peer.peer.0).or_default().ignored = Some(peer);
    }
    for rotation in &rotations.followed {
        known.entry(&rotation.old.0).or_default().after = Some(rotation);
        let new = known.entry(&rotation.new.0).or_default();
        new.before.push(rotation);
    }
    known
}

impl<'a> Known<'a> {
    /// The same with what the gate says.
    pub(super) fn asked(self, gate: &'a ListedPage) -> Self {
        let gate = Some(gate);
        Self { gate, ..self }
    }

    fn reads(&self) -> Option<&'a ReaderShown> {
        self.gate.and_then(|gate| gate.reads.as_ref())
    }

    /// Where its entry passed to another peer id nobody took it off.
    fn removed(&self) -> Option<&'a RemovedShown> {
        let removed = self.gate.and_then(|gate| gate.removed.as_ref());
        removed.filter(|_| self.after.is_none())
    }

    fn banned(&self) -> Option<&'a BannedShown> {
        self.gate.and_then(|gate| gate.banned.as_ref())
    }

    /// Whether it may connect only to read, by what is known of it.
    pub(super) fn may_read(&self) -> bool {
        let taken_off = self.recommended.iter().any(|said| said.once_listed);
        let decided = self.listed.is_some() || self.ignored.is_some() || taken_off;
        let said = self.recommended.iter();
        let said = said.filter(|said| said.counts_to_read()).count() as u64;
        !decided && self.to_read > 0 && said >= self.to_read
    }

    pub(super) fn in_force(&self) -> bool {
        self.listed.is_some_and(|listed| listed.in_force)
    }

    /// Why the peer may connect, or may not.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self {
                gate: Some(gate), ..
            } if gate.own => "self",
            Self {
                listed: Some(listed),
                ..
            } if listed.in_force => "listed",
            Self {
                after: Some(after), ..
            } if !after.relisted => "rotated",
            Self {
                listed: Some(_),
                pending: None,
                ..
            } => "expired",
            Self {
                pending: Some(_), ..
            } => "asks",
            Self {
                ignored: Some(_), ..
            } => "ignored",
            _ if self.removed().is_some() => "removed",
            Self { recommended, .. } if recommended.iter().any(|said| said.counts_to_read()) => {
                "recommended"
            }
            _ => "unknown",
        }
    }

    /// Why it may only read, and until when if the gate was asked.
    fn reading_told(&self) -> String {
        match self.reads() {
            Some(reads) => reads_told(reads),
            None => "may read: recommended".to_owned(),
        }
    }

    pub(super) fn json(&self, peer: &str) -> serde_json::Value {
        json!({
            "peer": peer, "may_connect": self.in_force(), "reason": self.reason(), "listed": self.listed,
            "connected": self.connected, "pending": self.pending, "ignored": self.ignored,
            "recommended": self.recommended, "followed_from": self.before, "rotated_to": self.after, "may_read": self.may_read(), "reads": self.reads(),
            "removed": self.removed(), "banned": self.banned(),
        })
    }

    pub(super) fn told(&self, peer: &str) -> String {
        let mut text = match self.listed {
            Some(listed) => super::super::whitelist::told(listed),
            None if self.reason() == "self" => format!("{peer}  is this node itself\n"),
            None if self.may_read() => format!("{peer}  {}\n", self.reading_told()),
            None => format!("{peer}  may not connect: {}\n", self.reason()),
        };
        if let Some(peer) = self.connected {
            let region = peer.region.as_deref().unwrap_or("not greeted yet");
            let reads = peer.reading();
            let software = peer.software.as_deref().unwrap_or("-");
            let quic = peer.transport == Carrier::Quic.code();
            let over = if quic { "  over QUIC" } else { "" };
            text += &format!(
                "  connected since {}  {region}  {}{over}  {}{reads}\n",
                rfc3339(peer.since),
                peer.address,
                printable(software),
            );
        }
        text.extend(self.banned().map(banned));
        text.extend(self.removed().map(removed));
        text.extend(self.before.iter().map(|rotation| came_from(rotation)));
        text.extend(self.after.map(went_to));
        text.extend(self.pending.map(asks));
        text.extend(self.ignored.map(put_aside));
        text.extend(self.recommended.iter().map(|said| recommendation(said)));
        text
    }
}

fn banned(banned: &BannedShown) -> String {
    let why = printable(&banned.why);
    format!("  is not spoken to for {} s more: {why}\n", banned.seconds)
}

fn removed(removed: &RemovedShown) -> String {
    let at = removed
        .at
        .map_or(String::new(), |at| format!(" {}", rfc3339(at)));
    format!("  was listed; taken off{at} by {}\n", removed.by)
}

/// Why a peer may only read, as the gate says it.
pub(super) fn reads_told(reads: &ReaderShown) -> String {
    format!(
        "may read: recommended by {} until {}",
        reads.told(),
        rfc3339(reads.until)
    )
}

pub(super) fn asks(request: &RequestShown) -> String {
    let region = request
        .region
        .as_ref()
        .map_or("-".into(), ToString::to_string);
    let from = request.from.as_deref().unwrap_or("-");
    let mut text = format!(
        "  asks as {}  {region}  since {}, from {from}, forgotten {}\n",
        printable(&request.name),
        rfc3339(request.at),
        rfc3339(request.forgotten_at),
    );
    if !request.message.is_empty() {
        text += &format!("    says: {}\n", printable(&request.message));
    }
    for address in &request.addresses {
        text += &format!("    can be called at {}\n", printable(address));
    }
    text
}

pub(super) fn recommendation(said: &RecommendationShown) -> String {
    let who = match &said.recommender {
        None => format!("this node (operator {})", said.by),
        Some(peer) if said.counts => peer.to_string(),
        Some(_) if said.counts_to_read() => format!("{}, for reading only,", led_by(&said.path)),
        Some(peer) => format!("{peer}, which is not listed for that now,"),
    };
    let name = match said.name.as_str() {
        "" => "-".to_owned(),
        name => printable(name),
    };
    let region = said.region.as_ref().map_or("-".into(), ToString::to_string);
    let (since, until) = (rfc3339(said.at), rfc3339(said.expires_at));
    format!("  {who} recommends {name}  {region}  since {since}  until {until}\n")
}

pub(super) fn put_aside(ignored: &IgnoredShown) -> String {
    let name = match ignored.name.as_str() {
        "" => String::new(),
        name => format!(", called itself {}", printable(name)),
    };
    let since = rfc3339(ignored.at);
    format!("  ignored since {since} by {}{name}\n", ignored.by)
}

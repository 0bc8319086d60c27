//! Everything that is known of a peer, from wherever it is known, as text and as JSON.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::output::printable;
use crate::admin::pages::Peer as Connected;
use crate::config::rfc3339;
use crate::trust::pages::{
    EnrolmentPage, IgnoredShown, PeerShown, RecommendationShown, RecommendationsPage, RequestShown,
};

/// Everything that is known of one peer.
#[derive(Default)]
pub(super) struct Known<'a> {
    listed: Option<&'a PeerShown>,
    connected: Option<&'a Connected>,
    pending: Option<&'a RequestShown>,
    ignored: Option<&'a IgnoredShown>,
    recommended: Vec<&'a RecommendationShown>,
}

pub(super) fn known<'a>(
    listed: &'a [PeerShown],
    connected: &'a [Connected],
    enrolment: &'a EnrolmentPage,
    recommendations: &'a RecommendationsPage,
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
        known
            .entry(&said.peer.0)
            .or_default()
            .recommended
            .push(said);
    }
    for peer in &enrolment.ignored {
        known.entry(&peer.peer.0).or_default().ignored = Some(peer);
    }
    known
}

impl Known<'_> {
    pub(super) fn in_force(&self) -> bool {
        self.listed.is_some_and(|listed| listed.in_force)
    }

    /// Why the peer may connect, or may not.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self {
                listed: Some(listed),
                ..
            } if listed.in_force => "listed",
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
            Self { recommended, .. } if recommended.iter().any(|said| said.counts) => "recommended",
            _ => "unknown",
        }
    }

    pub(super) fn json(&self, peer: &str) -> serde_json::Value {
        json!({
            "peer": peer, "may_connect": self.in_force(), "reason": self.reason(), "listed": self.listed,
            "connected": self.connected, "pending": self.pending, "ignored": self.ignored,
            "recommended": self.recommended,
        })
    }

    pub(super) fn told(&self, peer: &str) -> String {
        let mut text = match self.listed {
            Some(listed) => super::super::whitelist::told(listed),
            None => format!("{peer}  may not connect: {}\n", self.reason()),
        };
        if let Some(peer) = self.connected {
            let region = peer.region.as_deref().unwrap_or("not greeted yet");
            let software = peer.software.as_deref().unwrap_or("-");
            text += &format!(
                "  connected since {}  {region}  {}  {}\n",
                rfc3339(peer.since),
                peer.address,
                printable(software),
            );
        }
        text.extend(self.pending.map(asks));
        text.extend(self.ignored.map(put_aside));
        text.extend(self.recommended.iter().map(|said| recommendation(said)));
        text
    }
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

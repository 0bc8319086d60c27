//! What peers recommend, and what this node says to them.

use axum::extract::State;
use axum::{Extension, Json};
use city_protocol::sync::Message;
use city_protocol::trust::{PeerId, TrustRecommendation};

use super::{AdminState, Caller};
use crate::api::Problem;
use crate::api::extract::{Id, JsonBody};
use crate::engine::{libp2p_peer, utc};
use crate::net::{Channel, NetHandle};
use crate::trust::Decision;
use crate::trust::pages::{PeerText, RecommendForm, RecommendationsPage};

/// `GET /v1/recommendations`.
pub(super) async fn list(State(admin): State<AdminState>) -> Json<RecommendationsPage> {
    Json(admin.trust.recommendations(utc()))
}

/// `POST /v1/recommendations/{peer}`.
pub(super) async fn recommend(
    State(admin): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Id(peer): Id<PeerId>,
    JsonBody(form): JsonBody<RecommendForm>,
) -> Result<Json<RecommendationsPage>, Problem> {
    let id = libp2p_peer(&peer);
    let said = admin
        .change(
            &caller,
            Decision::Recommend,
            &id,
            move |trust, judges, by| trust.recommend(&id, form.name, form.hours, judges.now, by),
        )
        .await?;
    admin.tell(&said);
    Ok(list(State(admin)).await)
}

/// `POST /v1/recommendations/{peer}/revoke`.
pub(super) async fn revoke(
    State(admin): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Id(peer): Id<PeerId>,
) -> Result<Json<RecommendationsPage>, Problem> {
    let id = libp2p_peer(&peer);
    let said = admin
        .change(
            &caller,
            Decision::RecommendRevoke,
            &id,
            move |trust, judges, by| trust.revoke(&id, judges.now, by),
        )
        .await?;
    admin.tell(&said);
    Ok(list(State(admin)).await)
}

impl AdminState {
    /// Tells every connected peer whom this node recommends no more, or that it is this one: with a peer's place on the whitelist its
    /// recommendation ends.
    pub(super) fn tell_withdrawn(&self, peer: Option<&libp2p::PeerId>) {
        let is_it = |said: &TrustRecommendation| peer.is_none_or(|id| id.to_bytes() == said.peer);
        for said in self
            .trust
            .withdraws(utc())
            .iter()
            .filter(|said| is_it(said))
        {
            self.tell(said);
        }
    }

    /// Tells every connected peer; others hear what holds when they connect.
    fn tell(&self, said: &TrustRecommendation) {
        let (Some(net), Some(key)) = (&self.net, &self.transport) else {
            return;
        };
        // Who takes nothing now hears it with its next connection.
        let _told = tell_all(net, &key.say(said));
    }
}

/// Sends a message to every connected peer that does not only read; gives those that took it.
pub(super) fn tell_all(net: &NetHandle, message: &Message) -> Vec<PeerText> {
    let frame = message.encode();
    let peers = net.stats().peers.into_iter();
    let peers = peers.filter(|peer| !peer.reads_only).map(|peer| peer.peer);
    let told = peers.filter(|peer| net.try_send(peer, Channel::Sync, frame.clone()).is_ok());
    told.map(|peer| PeerText(peer.to_string())).collect()
}

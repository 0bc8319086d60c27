//! Who asks to be whitelisted, and what an operator makes of it; and asking another node.

use axum::extract::State;
use axum::{Extension, Json};
use city_protocol::Refusal;
use city_protocol::trust::{PeerId, WhitelistRequest};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use super::{AdminState, Caller};
use crate::api::Problem;
use crate::api::extract::{Id, JsonBody};
use crate::config::{check_peer_address, spoken};
use crate::engine::{libp2p_peer, protocol_peer, utc};
use crate::trust::Decision;
use crate::trust::pages::{ApproveForm, AskForm, AskedPage, EnrolmentPage, ListedPage};

/// `GET /v1/enrolment`.
pub(super) async fn show(State(admin): State<AdminState>) -> Json<EnrolmentPage> {
    Json(admin.trust.fold(|fold| EnrolmentPage::of(fold, utc())))
}

/// `POST /v1/enrolment/{peer}/approve`.
pub(super) async fn approve(
    State(admin): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Id(peer): Id<PeerId>,
    JsonBody(form): JsonBody<ApproveForm>,
) -> Result<Json<ListedPage>, Problem> {
    let id = libp2p_peer(&peer);
    let ApproveForm { hours, roles } = form;
    let roles = roles.into_iter().collect();
    let before = admin.trust.listed(&id.to_string());
    let listed = admin
        .change(
            &caller,
            Decision::WhitelistAdd,
            &id,
            move |trust, judges, by| trust.approve(&id, hours, roles, judges, by),
        )
        .await?;
    admin.call(id, before.as_ref(), &listed).await;
    Ok(Json(ListedPage::of(&id.to_string(), Some(&listed), utc())))
}

/// `POST /v1/enrolment/{peer}/ignore`.
pub(super) async fn ignore(
    State(admin): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Id(peer): Id<PeerId>,
) -> Result<Json<EnrolmentPage>, Problem> {
    let id = libp2p_peer(&peer);
    admin
        .change(
            &caller,
            Decision::EnrolIgnore,
            &id,
            move |trust, judges, by| trust.ignore(&id, judges.now, by),
        )
        .await?;
    Ok(show(State(admin)).await)
}

/// `POST /v1/enrolment/ask`.
pub(super) async fn ask(
    State(admin): State<AdminState>,
    JsonBody(form): JsonBody<AskForm>,
) -> Result<Json<AskedPage>, Problem> {
    let bad = |what: String| Problem::bad_field(&what);
    let (peer, address) = target(&form.at).map_err(bad)?;
    let quic = admin.network.quic;
    let address = spoken(address, quic).map_err(bad)?;
    let (Some(key), Some(net)) = (&admin.transport, &admin.net) else {
        return Err(Problem::not_found());
    };
    if peer == admin.peer_id {
        return Err(bad(format!("{peer} is this node itself")));
    }
    let recipient = protocol_peer(&peer).ok_or(Refusal::BadId)?;
    for address in &form.addresses {
        let address = check_peer_address(address, Some(admin.peer_id)).map_err(bad)?;
        spoken(address, quic).map_err(bad)?;
    }
    let request = WhitelistRequest {
        v: 1,
        name: form.name,
        region: admin.engine.authority().region().clone(),
        message: form.message,
        addresses: form.addresses,
    };
    let fits = request.check();
    fits.map_err(|_| bad("a name has 1 to 64 characters, a message at most 200, without control characters; at most four addresses".into()))?;
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
    let signed = request.sign(key, &recipient, nonce, utc());
    match net.enrol(peer, address, signed).await {
        Ok(verdict) => Ok(Json(AskedPage { schema: 1, verdict })),
        Err(error) => Err(Problem::unanswered(&error)),
    }
}

/// Splits `/…/tcp/PORT/p2p/PEER`.
fn target(text: &str) -> Result<(libp2p::PeerId, Multiaddr), String> {
    let address: Multiaddr = text
        .parse()
        .map_err(|error| format!("{text:?} is refused: {error}"))?;
    let Some(Protocol::P2p(peer)) = address.iter().last() else {
        return Err(format!(
            "\"{text}\" does not end with /p2p/ and the peer's id"
        ));
    };
    Ok((peer, check_peer_address(text, Some(peer))?))
}

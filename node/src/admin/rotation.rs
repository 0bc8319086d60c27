//! Transport keys that follow others: the node's own, and those of its peers.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use city_protocol::Refusal;
use city_protocol::sync::Message;
use city_protocol::trust::SignedRotation;

use super::recommend::tell_all;
use super::{AdminState, Caller};
use crate::access::{Class, Event};
use crate::api::Problem;
use crate::api::extract::JsonBody;
use crate::engine::{EngineHandle, protocol_peer, utc};
use crate::net::{NetCommand, NetHandle};
use crate::setup::rotation::{OwnRotation, Present, RotateError, finish};
use crate::trust::keyfile::Judges;
use crate::trust::pages::{
    FollowForm, FollowedPage, PeerText, RotateForm, RotatedPage, RotationsPage,
};
use crate::trust::{Bringer, ChangeError, Following, Keeper, Moved};

/// `GET /v1/rotations`.
pub(super) async fn list(State(admin): State<AdminState>) -> Json<RotationsPage> {
    Json(admin.trust.fold(RotationsPage::of))
}

/// `POST /v1/rotations/follow`.
pub(super) async fn follow(
    State(admin): State<AdminState>,
    Extension(caller): Extension<Caller>,
    JsonBody(form): JsonBody<FollowForm>,
) -> Result<Json<FollowedPage>, Problem> {
    let Caller::Operator(who) = &caller else {
        return Err(Problem::operators_only());
    };
    let signed = form.read();
    let signed =
        signed.map_err(|refusal| Problem::whitelist(&ChangeError::Rotation(refusal.into())))?;
    let (trust, doors, by) = (admin.trust.clone(), admin.doors.now(), Arc::clone(who));
    let network = admin.engine.genesis().network();
    let following = move || {
        let judges = Judges {
            roots: &doors.trust.roots,
            crls: &doors.trust.crls,
            now: utc(),
        };
        let followed = trust.follow(&signed, &network, judges, Bringer::Operator(&by));
        (followed, signed)
    };
    let done = tokio::task::spawn_blocking(following).await;
    let (followed, signed) = done.map_err(|_| Problem::internal())?;
    let followed = followed.map_err(|error| Problem::whitelist(&error))?;
    if let Following::Moved(moved) = followed {
        admin.access.write(moved.event(who)).await;
        if let Some(net) = &admin.net {
            go_by(net, &admin.engine, &admin.trust, moved, signed).await;
        }
    }
    Ok(Json(FollowedPage::of(followed)))
}

/// Has the network call the new peer id where the old one was, and forget the old; and hands the rotation on to everybody who is
/// connected. Others are told as they connect.
pub(crate) async fn go_by(
    net: &NetHandle,
    engine: &EngineHandle,
    trust: &Keeper,
    moved: Moved,
    signed: SignedRotation,
) {
    let _told = tell_all(net, &Message::Rotation(Box::new(signed)));
    let listed = trust.listed(&moved.new.to_string());
    let calls = listed.map_or(Vec::new(), |listed| listed.dial(&moved.new));
    let calls = calls.into_iter().map(|address| NetCommand::AddAddress {
        peer: moved.new,
        address,
    });
    let forget = NetCommand::Forget { peer: moved.old };
    for command in std::iter::once(forget).chain(calls) {
        // A network that has stopped calls nobody.
        let _stopped = net.command(command).await;
    }
    if let Some(ended) = protocol_peer(&moved.old) {
        engine.ended(ended).await;
    }
}

/// `POST /v1/keys/rotate-transport`: the next transport key takes the place of the present one at the next start; who is
/// connected is told at once.
pub(super) async fn rotate(
    State(admin): State<AdminState>,
    Extension(caller): Extension<Caller>,
    JsonBody(form): JsonBody<RotateForm>,
) -> Result<Json<RotatedPage>, Problem> {
    let Caller::Operator(who) = &caller else {
        return Err(Problem::operators_only());
    };
    let (Some(keys), Some(own)) = (admin.keys.clone(), admin.own.clone()) else {
        return Err(Problem::not_found());
    };
    let doors = admin.doors.now();
    let rotating = move || {
        let present = Present {
            transport: &own.transport,
            ledger: own.signer.public(),
            kem: own.kem.public(),
            crls: &doors.trust.crls,
            now: utc(),
        };
        finish(
            &keys.data,
            &keys.keystore,
            present,
            form.certificate.as_bytes(),
        )
    };
    let done = tokio::task::spawn_blocking(rotating).await;
    let done = done.map_err(|_| Problem::internal())?;
    let rotated = done.map_err(|error| Problem::rotation(&error))?;
    let (old, new) = (rotated.said.old, rotated.said.new);
    let what = format!("transport-rotation {old} {new}");
    admin
        .access
        .write(Event::once(Class::Trust, who, &what))
        .await;
    admin.trust.carry(rotated.signed.clone());
    let message = Message::Rotation(Box::new(rotated.signed.clone()));
    let told = admin.net.as_ref().map(|net| tell_all(net, &message));
    Ok(Json(RotatedPage::of(&rotated, told.unwrap_or_default())))
}

impl RotatedPage {
    /// As it is shown.
    pub(crate) fn of(rotated: &OwnRotation, told: Vec<PeerText>) -> Self {
        let said = &rotated.said;
        Self {
            schema: 1,
            old: PeerText(said.old.to_string()),
            new: PeerText(said.new.to_string()),
            made_at: said.made_at,
            expires_at: said.expires_at,
            file: rotated.path.display().to_string(),
            told,
        }
    }
}

impl FollowForm {
    /// The rotation in it.
    ///
    /// # Errors
    /// [`Refusal::BadField`] for what is not Base64, others for what is no rotation.
    pub(crate) fn read(&self) -> Result<SignedRotation, Refusal> {
        let bytes = STANDARD.decode(&self.rotation);
        SignedRotation::decode(&bytes.map_err(|_| Refusal::BadField)?)
    }
}

impl Problem {
    /// The own transport key was not exchanged.
    fn rotation(error: &RotateError) -> Self {
        Self::own_certificate(&error.to_string())
    }
}

//! The whitelist as a file for other operators, and theirs.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use city_protocol::Refusal;
use libp2p::PeerId;

use super::{AdminState, Caller};
use crate::access::{Class, Event};
use crate::api::Problem;
use crate::api::extract::JsonBody;
use crate::engine::utc;
use crate::trust::pages::{
    ExportForm, ExportedPage, ImportForm, ImportedPage, ImportedState, PeerText,
};
use crate::trust::{Chosen, Decision};

/// `POST /v1/whitelist-file/export`.
pub(super) async fn export(
    State(admin): State<AdminState>,
    JsonBody(form): JsonBody<ExportForm>,
) -> Result<Json<ExportedPage>, Problem> {
    let key = admin.transport.as_ref().ok_or_else(Problem::internal)?;
    let list = admin.trust.list(&ids(&form.peers)?, utc());
    let list = list.map_err(|error| Problem::whitelist(&error))?;
    let signed = key.list(&list)?;
    Ok(Json(ExportedPage {
        schema: 1,
        entries: list.entries.len(),
        list: STANDARD.encode(signed),
    }))
}

/// `POST /v1/whitelist-file/import`.
pub(super) async fn import(
    State(admin): State<AdminState>,
    Extension(caller): Extension<Caller>,
    JsonBody(form): JsonBody<ImportForm>,
) -> Result<Json<ImportedPage>, Problem> {
    let Caller::Operator(who) = &caller else {
        return Err(Problem::operators_only());
    };
    let (file, chosen) = form.read()?;
    let hours = form.hours;
    let (trust, doors, by) = (admin.trust.clone(), admin.doors.now(), Arc::clone(who));
    let importing = tokio::task::spawn_blocking(move || {
        let judges = crate::trust::keyfile::Judges {
            roots: &doors.trust.roots,
            crls: &doors.trust.crls,
            now: utc(),
        };
        trust.import(&file, &chosen, hours, judges, &by)
    });
    // What was added is noted also where whoever asked has gone, or an entry failed.
    let (access, who) = (admin.access.clone(), Arc::clone(who));
    let noting = tokio::spawn(async move {
        let imported = importing.await.map_err(|_| Problem::internal())?;
        let (page, failed) = imported.map_err(|error| Problem::whitelist(&error))?;
        for added in page.added() {
            let what = format!("{} {}", Decision::WhitelistAdd.name(), added.peer);
            access.write(Event::once(Class::Trust, &who, &what)).await;
        }
        match failed {
            None => Ok(Json(page)),
            Some(error) => {
                let added = page.added().count();
                let told = format!("{error}; {added} entries before it were added");
                Err(Problem::whitelist(&error).with_detail(told))
            }
        }
    });
    noting.await.map_err(|_| Problem::internal())?
}

/// Peer ids as the whitelist goes by them.
pub(crate) fn ids(peers: &[PeerText]) -> Result<Vec<PeerId>, Refusal> {
    let ids = peers.iter().map(|peer| peer.0.parse());
    ids.collect::<Result<_, _>>().map_err(|_| Refusal::BadId)
}

impl ImportForm {
    /// The file, and what is taken of it.
    ///
    /// # Errors
    /// [`Refusal::BadField`] for what is not Base64, [`Refusal::BadId`] for what is no peer id.
    pub(crate) fn read(&self) -> Result<(Vec<u8>, Chosen), Refusal> {
        let file = STANDARD.decode(&self.list).map_err(|_| Refusal::BadField)?;
        let chosen = match self.all {
            true => Chosen::All,
            false => Chosen::Peers(ids(&self.peers)?),
        };
        Ok((file, chosen))
    }
}

impl ImportedPage {
    /// What was added.
    pub(crate) fn added(&self) -> impl Iterator<Item = &crate::trust::pages::ImportedEntry> {
        let entries = self.entries.iter();
        entries.filter(|entry| entry.state == ImportedState::Added)
    }
}

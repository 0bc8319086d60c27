//! Node certificates between nodes, by hand: this node's own is shown anew, others' are asked for.

use axum::Json;
use axum::extract::State;
use city_protocol::amount::Timestamp;
use city_protocol::pki::{Crls, Root, verify_node};
use city_protocol::trust::{KeyAnnouncement, PeerId};

use super::AdminState;
use super::recommend::tell_all;
use crate::api::Problem;
use crate::api::extract::JsonBody;
use crate::engine::{libp2p_peer, utc};
use crate::trust::ChangeError;
use crate::trust::pages::{AnnouncedPage, KeysAskedPage, KeysWantedForm, PeerText};

/// `POST /v1/peer-keys/announce`: reads `certs/node.pem` anew, shows it from now on, and tells every connected peer.
pub(super) async fn announce(
    State(admin): State<AdminState>,
) -> Result<Json<AnnouncedPage>, Problem> {
    let read = admin.own_certificate().await;
    let (renewed, ends) = read.map_err(|why| Problem::own_certificate(&why))?;
    let told = admin.show_certificate(renewed);
    let told = told.ok_or_else(Problem::internal)?;
    Ok(Json(AnnouncedPage {
        schema: 1,
        not_after: ends,
        told,
    }))
}

impl AdminState {
    /// What stands in `certs/node.pem` now, and its end, if peers would take it; else why not.
    pub(super) async fn own_certificate(&self) -> Result<(KeyAnnouncement, Timestamp), String> {
        let (Some(keys), Some(own)) = (&self.keys, &self.own) else {
            return Err("this node has no keys of its own".into());
        };
        let (data, doors) = (keys.data.clone(), self.doors.now());
        let (signer, kem) = (own.signer.public().clone(), own.kem.public().clone());
        let peer = self.peer_id.to_string();
        let reading = tokio::task::spawn_blocking(move || {
            let chain = data.renewed_certificate(&signer, &kem, &peer);
            let chain = chain.map_err(|error| error.to_string())?;
            judged(chain, &doors.trust.roots, &doors.trust.crls)
        });
        reading
            .await
            .map_err(|_| "reading certs/node.pem ended by a bug; look at the log".to_owned())?
    }

    /// Shows this certificate from now on, and tells every connected peer; gives those. Who takes nothing now is shown it
    /// with its next connection. `None` where there is no network.
    pub(super) fn show_certificate(&self, renewed: KeyAnnouncement) -> Option<Vec<PeerText>> {
        let net = self.net.as_ref()?;
        let (key, shown) = (self.transport.as_ref()?, self.certificate.as_ref()?);
        let message = key.announce(&renewed);
        shown.renew(renewed);
        Some(tell_all(net, &message))
    }
}

/// The certificate as it is announced, and its end, if peers would take it now; else why not.
fn judged(
    mut chain: Vec<Vec<u8>>,
    roots: &[Root],
    crls: &Crls,
) -> Result<(KeyAnnouncement, Timestamp), String> {
    if chain.is_empty() {
        return Err("certs/node.pem has no certificate; put it back from a backup".into());
    }
    let certificate = chain.remove(0);
    let judged = verify_node(roots, &certificate, &chain, crls, utc());
    let judged = judged.map_err(|refusal| {
        format!(
            "certs/node.pem is not one that peers take now: {refusal}; have the municipality's CA issue another"
        )
    })?;
    let chain = chain.into_iter().map(Into::into).collect();
    let announcement = KeyAnnouncement { certificate, chain };
    Ok((announcement, judged.certificate.not_after))
}

/// `POST /v1/peer-keys/request`: asks every connected peer for certificates: of the peers that are named, else of those whose
/// certificates are not held.
pub(super) async fn request(
    State(admin): State<AdminState>,
    JsonBody(form): JsonBody<KeysWantedForm>,
) -> Result<Json<KeysAskedPage>, Problem> {
    let (Some(net), Some(key)) = (&admin.net, &admin.transport) else {
        return Err(Problem::internal());
    };
    let named: Result<Vec<PeerId>, _> = form.peers.iter().map(|peer| peer.0.parse()).collect();
    let named = named.map_err(|_| Problem::bad_field("peers"))?;
    let wanted = if named.is_empty() {
        admin.trust.without_certificate(utc())
    } else {
        named.iter().map(libp2p_peer).collect()
    };
    // Nothing is held of who is not listed, whatever is answered.
    let listed = |peer: &&libp2p::PeerId| admin.trust.listed(&peer.to_string()).is_some();
    if let Some(stranger) = wanted.iter().find(|peer| !listed(peer)) {
        let refused = ChangeError::NotListed(stranger.to_string());
        return Err(Problem::whitelist(&refused));
    }
    let asked = key.ask_all(&admin.trust, net, &wanted);
    let texts = |peers: &[libp2p::PeerId]| {
        let peers = peers.iter();
        peers.map(|peer| PeerText(peer.to_string())).collect()
    };
    Ok(Json(KeysAskedPage {
        schema: 1,
        wanted: texts(&wanted),
        asked: texts(&asked),
    }))
}

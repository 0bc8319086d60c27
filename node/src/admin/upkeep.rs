//! What an operator has taken away or read again while the node runs.

use axum::extract::State;
use axum::{Extension, Json};
use city_protocol::amount::Timestamp;
use libp2p::PeerId;

use super::{AdminState, Caller};
use crate::access::{Class, Event};
use crate::api::Problem;
use crate::config::Config;
use crate::engine::utc;
use crate::net::NetCommand;
use crate::trust::pages::{CleanedPage, PeerText, ReloadedPage};
use crate::trust::{Decision, Relisted, wanted};

/// `POST /v1/upkeep/cleanup`: takes away what is over.
pub(super) async fn cleanup(
    State(admin): State<AdminState>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<CleanedPage>, Problem> {
    let own = admin.peer_id;
    let cleaned = admin
        .change(&caller, Decision::Cleanup, &own, |trust, judges, by| {
            trust.clean_up(judges.now, by)
        })
        .await?;
    admin.tell_withdrawn(None);
    for peer in &cleaned.entries {
        let Some(id) = peer
            .parse()
            .ok()
            .filter(|_| admin.trust.listed(peer).is_none())
        else {
            continue;
        };
        admin.tell_net(NetCommand::Forget { peer: id }).await;
    }
    Ok(Json(CleanedPage::of(&cleaned)))
}

/// `POST /v1/upkeep/reload`: reads again what the node holds from files. What cannot be read is told, and stays as it was.
pub(super) async fn reload(
    State(admin): State<AdminState>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ReloadedPage>, Problem> {
    let Caller::Operator(who) = &caller else {
        return Err(Problem::operators_only());
    };
    let mut page = ReloadedPage {
        schema: 1,
        ..ReloadedPage::default()
    };
    // First, because the certificate of this node is judged by them.
    if let Some(read) = admin.doors.read_again().await {
        let files = read.changed.iter().map(|path| path.display().to_string());
        page.files = files.collect();
        page.problems.extend(read.problem);
    }
    match admin.renew().await {
        Ok(ends) => page.certificate = ends,
        Err(problem) => page.problems.push(problem),
    }
    match admin.relist().await? {
        Ok(relisted) => {
            let texts = |peers: &[PeerId]| {
                let peers = peers.iter();
                peers.map(|peer| PeerText(peer.to_string())).collect()
            };
            page.listed = texts(&relisted.listed);
            page.unlisted = texts(&relisted.unlisted);
        }
        Err(why) => page.problems.push(why),
    }
    let event = Event::once(Class::Trust, who, "reload");
    admin.access.write(event).await;
    Ok(Json(page))
}

impl AdminState {
    /// Shows what stands in `certs/node.pem`, if it is another certificate than the one that is shown; gives its end then.
    async fn renew(&self) -> Result<Option<Timestamp>, String> {
        let Some(shown) = &self.certificate else {
            return Ok(None);
        };
        let (read, ends) = self.own_certificate().await?;
        if read == shown.now() {
            return Ok(None);
        }
        Ok(self.show_certificate(read).map(|_told| ends))
    }

    /// Goes by what the configuration lists now. The inner error says what is wrong with the file.
    async fn relist(&self) -> Result<Result<Relisted, String>, Problem> {
        let (file, trust) = (self.config.clone(), self.trust.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let config = Config::load(&file).map_err(|error| error.to_string())?;
            let now = utc();
            let relisted = trust.relist(&wanted(&config, now), now);
            relisted.map_err(|error| error.to_string())
        });
        let read = reading.await.map_err(|_| Problem::internal())?;
        if let Ok(relisted) = &read {
            self.tell_withdrawn(None);
            self.follow(relisted).await;
        }
        Ok(read)
    }

    /// Has the network call whom the configuration lists now, and where; and forget whom nobody lists.
    async fn follow(&self, relisted: &Relisted) {
        for command in followed(relisted) {
            self.tell_net(command).await;
        }
    }

    async fn tell_net(&self, command: NetCommand) {
        if let Some(net) = &self.net {
            // A network that has stopped calls nobody.
            let _stopped = net.command(command).await;
        }
    }
}

/// What the network is told: an address that is not named any more is not called any more, so what is known of everybody whose
/// entry changed is forgotten first.
fn followed(relisted: &Relisted) -> Vec<NetCommand> {
    let moved = relisted.moved.iter().map(|peer| NetCommand::Close {
        peer: *peer,
        reason: "it is listed for another municipality".into(),
    });
    let changed = relisted.listed.iter().chain(&relisted.unlisted);
    let changed = changed.map(|peer| NetCommand::Forget { peer: *peer });
    let calls = relisted.addresses.iter();
    let calls = calls.map(|(peer, address)| NetCommand::AddAddress {
        peer: *peer,
        address: address.clone(),
    });
    moved.chain(changed).chain(calls).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_was_corrected_takes_the_place_of_the_old() {
        let [listed, gone] = [(); 2].map(|()| PeerId::random());
        let relisted = Relisted {
            listed: vec![listed],
            unlisted: vec![gone],
            gone: vec![gone],
            addresses: vec![(listed, "/ip4/192.0.2.2/tcp/2".parse().expect("an address"))],
            ..Relisted::default()
        };
        let told: Vec<(&str, PeerId)> = followed(&relisted)
            .into_iter()
            .map(|command| match command {
                NetCommand::Forget { peer } => ("forget", peer),
                NetCommand::AddAddress { peer, .. } => ("call", peer),
                _ => panic!("nobody moved"),
            })
            .collect();
        assert_eq!(
            told,
            [("forget", listed), ("forget", gone), ("call", listed)]
        );
    }
}

//! The whitelist, looked at and changed by an operator. A change is durable before it is answered.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use city_protocol::Refusal;
use city_protocol::trust::PeerId;

use super::{AdminState, Caller};
use crate::access::{Class, Event};
use crate::api::Problem;
use crate::api::extract::{Id, JsonBody, Page};
use crate::engine::{libp2p_peer, utc};
use crate::net::NetCommand;
use crate::trust::keyfile::Judges;
use crate::trust::pages::{
    AddForm, BannedShown, KeyForm, ListedPage, MAX_PAGE, PeerText, WhitelistPage,
};
use crate::trust::{ChangeError, Decision, Keeper, Listed, Terms};

/// `GET /v1/whitelist`.
pub(super) async fn list(
    State(admin): State<AdminState>,
    page: Page<PeerText>,
) -> Result<Json<WhitelistPage>, Problem> {
    let limit = page.limit.unwrap_or(MAX_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let detail = format!("limit is 1 to {MAX_PAGE}");
        return Err(Problem::from(Refusal::BadField).with_detail(detail));
    }
    let after = page.after;
    let look = |fold: &_| WhitelistPage::of(fold, after.as_ref(), limit, utc());
    Ok(Json(admin.trust.fold(look)))
}

/// `GET /v1/whitelist/{peer}`.
pub(super) async fn show(
    State(admin): State<AdminState>,
    Id(peer): Id<PeerText>,
) -> Json<ListedPage> {
    let mut page = ListedPage::tried(&admin.trust, &peer, utc());
    if let (Some(net), Ok(id)) = (&admin.net, peer.0.parse::<libp2p::PeerId>())
        && let Some(banned) = net.banned(id).await
    {
        page.banned = Some(BannedShown {
            seconds: banned.left.as_secs() + 1,
            why: banned.why,
        });
    }
    Json(page)
}

/// `POST /v1/whitelist/{peer}`.
pub(super) async fn add(
    State(admin): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Id(peer): Id<PeerId>,
    JsonBody(form): JsonBody<AddForm>,
) -> Result<Json<ListedPage>, Problem> {
    let terms = form.terms()?;
    let off = terms.not_spoken(admin.network.quic);
    off.map_or(Ok(()), |what| Err(Problem::bad_field(&what)))?;
    let id = libp2p_peer(&peer);
    let before = admin.trust.listed(&id.to_string());
    let listed = admin
        .change(
            &caller,
            Decision::WhitelistAdd,
            &id,
            move |trust, judges, by| trust.add(&id, terms, judges, by),
        )
        .await?;
    admin.call(id, before.as_ref(), &listed).await;
    Ok(Json(ListedPage::of(&id.to_string(), Some(&listed), utc())))
}

/// `POST /v1/whitelist/{peer}/keys`.
pub(super) async fn add_key(
    State(admin): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Id(peer): Id<PeerId>,
    JsonBody(form): JsonBody<KeyForm>,
) -> Result<Json<ListedPage>, Problem> {
    let key = STANDARD.decode(form.key).map_err(|_| Refusal::BadField)?;
    let id = libp2p_peer(&peer);
    let listed = admin
        .change(
            &caller,
            Decision::WhitelistKey,
            &id,
            move |trust, judges, by| trust.add_key(&id, &key, judges, by),
        )
        .await?;
    Ok(Json(ListedPage::of(&id.to_string(), Some(&listed), utc())))
}

/// `POST /v1/whitelist/{peer}/remove`. The answer has what still stands: the configuration may list the peer, too.
pub(super) async fn remove(
    State(admin): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Id(peer): Id<PeerText>,
) -> Result<Json<ListedPage>, Problem> {
    let id = peer.0.parse().map_err(|_| Refusal::BadId)?;
    let named = peer.0.clone();
    admin
        .change(
            &caller,
            Decision::WhitelistRemove,
            &id,
            move |trust, judges, by| trust.remove(&named, judges.now, by),
        )
        .await?;
    admin.tell_withdrawn(Some(&id));
    let listed = admin.trust.listed(&peer.0);
    if let Some(net) = admin.net.as_ref().filter(|_| listed.is_none()) {
        // A network that has stopped calls nobody.
        let _stopped = net.command(NetCommand::Forget { peer: id }).await;
    }
    Ok(Json(ListedPage::of(&peer.0, listed.as_ref(), utc())))
}

impl AdminState {
    /// Changes the whitelist away from the threads that wait for sockets, and notes it.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        caller: &Caller,
        decision: Decision,
        peer: &libp2p::PeerId,
        job: impl FnOnce(&Keeper, Judges<'_>, &str) -> Result<T, ChangeError> + Send + 'static,
    ) -> Result<T, Problem> {
        let Caller::Operator(who) = caller else {
            return Err(Problem::operators_only());
        };
        let (trust, by) = (self.trust.clone(), Arc::clone(who));
        let doors = self.doors.now();
        let job = move || {
            let judges = Judges {
                roots: &doors.trust.roots,
                crls: &doors.trust.crls,
                now: utc(),
            };
            job(&trust, judges, &by)
        };
        let done = tokio::task::spawn_blocking(job).await;
        let done = done.map_err(|_| Problem::internal())?;
        let done = done.map_err(|error| Problem::whitelist(&error))?;
        let what = format!("{} {peer}", decision.name());
        self.access
            .write(Event::once(Class::Trust, who, &what))
            .await;
        Ok(done)
    }

    /// Has a peer called where its entry says that it is, and not where the one before said.
    pub(super) async fn call(
        &self,
        peer: libp2p::PeerId,
        before: Option<&Listed>,
        listed: &Listed,
    ) {
        let Some(net) = &self.net else {
            return;
        };
        for command in called(peer, before, listed) {
            // A network that has stopped calls nobody.
            let _stopped = net.command(command).await;
        }
    }
}

/// What the network is told: an address that is not named any more is not called any more, so what is known is forgotten first.
fn called(peer: libp2p::PeerId, before: Option<&Listed>, listed: &Listed) -> Vec<NetCommand> {
    // Its session goes by the municipality that was named when it began.
    let moved = before.is_some_and(|before| before.region() != listed.region());
    let close = moved.then(|| NetCommand::Close {
        peer,
        reason: "it is listed for another municipality".into(),
    });
    let named = listed.entries().flat_map(|entry| &entry.addresses);
    let named = named.filter_map(|address| address.parse().ok());
    let calls = named.map(|address| NetCommand::AddAddress { peer, address });
    let forget = NetCommand::Forget { peer };
    close.into_iter().chain([forget]).chain(calls).collect()
}

impl AddForm {
    /// What the form says.
    ///
    /// # Errors
    /// [`Refusal::BadField`] for a key that is not Base64.
    pub(crate) fn terms(self) -> Result<Terms, Refusal> {
        let key = self.key.map(|key| STANDARD.decode(key)).transpose();
        Ok(Terms {
            name: self.name,
            hours: self.hours,
            region: self.region,
            roles: self.roles.into_iter().collect(),
            addresses: self.addresses,
            key: key.map_err(|_| Refusal::BadField)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::Entry;
    use city_protocol::amount::Timestamp;

    fn entry(address: &str, region: &str) -> Entry {
        Entry {
            name: String::new(),
            region: region.parse().ok(),
            expires_at: None,
            roles: [].into(),
            addresses: vec![address.into()],
            at: Timestamp(1),
            by: "hanako".into(),
        }
    }

    #[test]
    fn an_address_that_was_corrected_takes_the_place_of_the_old() {
        let peer = libp2p::PeerId::random();
        let listed = |operator: &str, region: &str| Listed {
            config: Some(entry("/ip4/192.0.2.1/tcp/1", region)),
            operator: Some(entry(operator, region)),
            ..Listed::default()
        };
        let told = |before: Option<&Listed>, listed: &Listed| -> Vec<String> {
            let told = called(peer, before, listed).into_iter();
            told.map(|command| match command {
                NetCommand::Close { .. } => "close".into(),
                NetCommand::Forget { .. } => "forget".into(),
                NetCommand::AddAddress { address, .. } => address.to_string(),
                other => panic!("{other:?}"),
            })
            .collect()
        };
        let wrong = listed("/ip4/192.0.2.2/tcp/2", "Asia/JP/17/17203");
        let right = listed("/ip4/192.0.2.3/tcp/3", "Asia/JP/17/17203");
        let expected = ["forget", "/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.3/tcp/3"];
        assert_eq!(told(Some(&wrong), &right), expected);
        let moved = listed("/ip4/192.0.2.3/tcp/3", "Asia/JP/17/17210");
        assert_eq!(told(Some(&right), &moved)[0], "close");
    }
}

//! The whitelist of a node: asked and changed by the admin socket of a running one, else in its data directory.

use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use city_protocol::ids::{BlockId, NetworkId};
use city_protocol::pki::{Crls, Root};
use city_protocol::trust::SignedRotation;
use clap::Args;
use libp2p::PeerId;
use tokio::runtime::Runtime;

use super::exit::Failure;
use super::passphrase::PassphraseArgs;
use super::run::PlaceArgs;
use crate::access::{AccessLog, Class, Event};
use crate::admin::pages::Peer as Connected;
use crate::admin::whitelist_file::ids;
use crate::client::{AdminClient, ClientError};
use crate::daemon;
use crate::engine::{TransportKey, utc};
use crate::keys::Keyring;
use crate::pki::read_crls;
use crate::store::Store;
use crate::trust::keyfile::Judges;
use crate::trust::pages::{
    AddForm, ApproveForm, CleanedPage, EnrolmentPage, ExportForm, FollowForm, FollowedPage,
    ImportForm, ImportedPage, KeyForm, ListedPage, MAX_PAGE, PeerShown, PeerText, RecommendForm,
    RecommendationsPage, RotationsPage, WhitelistPage,
};
use crate::trust::{Bringer, ChangeError, Decision, Following, Keeper, wanted};

/// Which node, and how it answers.
#[derive(Debug, Args)]
pub struct Common {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    #[command(flatten)]
    pub(super) passphrase: PassphraseArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// Opens the whitelist, looks or changes, and closes it.
pub(super) fn with<T>(
    common: &Common,
    job: impl FnOnce(&Trusted) -> anyhow::Result<T>,
) -> Result<T, Failure> {
    let trusted = Trusted::open(&common.place, &common.passphrase)?;
    let done = job(&trusted);
    trusted.close()?;
    Ok(done?)
}

/// Where the whitelist is.
pub(super) enum Trusted {
    /// At a node that runs.
    Running(Box<(Runtime, AdminClient)>),
    /// In a data directory.
    Stopped(Box<Stopped>),
}

/// A data directory whose store is open.
pub(super) struct Stopped {
    keeper: Keeper,
    store: Arc<Store>,
    access: AccessLog,
    roots: Vec<Root>,
    crls: Crls,
    who: String,
    network: NetworkId,
    key: TransportKey,
    quic: bool,
}

impl Trusted {
    pub(super) fn open(place: &PlaceArgs, passphrase: &PassphraseArgs) -> Result<Self, Failure> {
        let socket = place.locate().data.admin_socket();
        let runtime = super::launch::runtime()?;
        match runtime.block_on(AdminClient::connect(&socket)) {
            Ok(client) => return Ok(Self::Running(Box::new((runtime, client)))),
            Err(ClientError::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let (data, config, identity) = super::launch::read(place, passphrase)?;
        let store = daemon::open_for_trust(&data, &identity)?;
        let ring = Keyring::open(Arc::clone(&identity.keystore))?.map(Arc::new);
        let names = daemon::private_names(&data, &config, ring.as_ref())?;
        let store = Arc::new(store);
        let own = identity.transport.public().to_peer_id();
        let listed = wanted(&config, utc());
        let keeper = Keeper::open(
            Arc::clone(&store),
            names,
            &listed,
            own,
            config.network.recommended(),
        )?;
        let oldest = config.network.max_message_age_hours * 60 * 60 * 1000;
        keeper.remember(data.seen(), oldest, utc());
        let root = BlockId::of(&identity.genesis.to_block());
        Ok(Self::Stopped(Box::new(Stopped {
            keeper,
            store,
            access: AccessLog::open(&data.access(), root, 0)?,
            network: identity.network,
            roots: identity.genesis.roots.clone(),
            crls: read_crls(&data.crls())?,
            key: TransportKey::new(identity.transport.clone())
                .context("the transport key is not Ed25519")?,
            quic: config.network.quic,
            who: format!("uid {}", rustix::process::geteuid().as_raw()),
        })))
    }

    /// Every listed peer.
    pub(super) fn all(&self) -> anyhow::Result<Vec<PeerShown>> {
        let mut peers: Vec<PeerShown> = Vec::new();
        let mut after: Option<PeerText> = None;
        loop {
            let page = match self {
                Self::Running(running) => {
                    running.0.block_on(running.1.whitelist(after.as_ref()))?
                }
                Self::Stopped(stopped) => stopped
                    .keeper
                    .fold(|fold| WhitelistPage::of(fold, after.as_ref(), MAX_PAGE, utc())),
            };
            peers.extend(page.peers);
            after = page.next;
            if after.is_none() {
                return Ok(peers);
            }
        }
    }

    /// What is known of a peer, if it is listed.
    pub(super) fn listed(&self, peer: &PeerText) -> anyhow::Result<Option<PeerShown>> {
        let page = match self {
            Self::Running(running) => running.0.block_on(running.1.listed(peer))?,
            Self::Stopped(stopped) => stopped.page(peer),
        };
        Ok(page.listed)
    }

    /// What the gate decides about a peer now: whether it is let in, and the page that says why not.
    pub(super) fn admits(&self, peer: &PeerText) -> anyhow::Result<(bool, ListedPage)> {
        let page = match self {
            Self::Running(running) => running.0.block_on(running.1.listed(peer))?,
            Self::Stopped(stopped) => ListedPage::tried(&stopped.keeper, peer, utc()),
        };
        let admitted = page
            .admitted
            .context("the node is of an older version, which does not say what its gate decides")?;
        Ok((admitted, page))
    }

    pub(super) fn add(&self, peer: &PeerText, form: AddForm) -> anyhow::Result<ListedPage> {
        match self {
            Self::Running(running) => Ok(running.0.block_on(running.1.list_peer(peer, &form))?),
            Self::Stopped(stopped) => {
                let terms = form.terms().context("the key is not Base64")?;
                let off = terms.not_spoken(stopped.quic);
                off.map_or(Ok(()), |what| Err(anyhow::anyhow!(what)))?;
                stopped.change(Decision::WhitelistAdd, peer, |keeper, id, judges, by| {
                    keeper.add(id, terms, judges, by).map(drop)
                })
            }
        }
    }

    pub(super) fn add_key(&self, peer: &PeerText, file: &[u8]) -> anyhow::Result<ListedPage> {
        match self {
            Self::Running(running) => {
                let form = KeyForm {
                    key: STANDARD.encode(file),
                };
                Ok(running.0.block_on(running.1.add_key(peer, &form))?)
            }
            Self::Stopped(stopped) => {
                stopped.change(Decision::WhitelistKey, peer, |keeper, id, judges, by| {
                    keeper.add_key(id, file, judges, by).map(drop)
                })
            }
        }
    }

    pub(super) fn remove(&self, peer: &PeerText) -> anyhow::Result<ListedPage> {
        match self {
            Self::Running(running) => Ok(running.0.block_on(running.1.unlist_peer(peer))?),
            Self::Stopped(stopped) => {
                stopped.change(Decision::WhitelistRemove, peer, |keeper, id, judges, by| {
                    keeper.remove(&id.to_string(), judges.now, by)
                })
            }
        }
    }

    /// Who asks, and who is not heard.
    pub(super) fn enrolment(&self) -> anyhow::Result<EnrolmentPage> {
        Ok(match self {
            Self::Running(running) => running.0.block_on(running.1.enrolment())?,
            Self::Stopped(stopped) => stopped.keeper.fold(|fold| EnrolmentPage::of(fold, utc())),
        })
    }

    pub(super) fn approve(&self, peer: &PeerText, form: ApproveForm) -> anyhow::Result<ListedPage> {
        match self {
            Self::Running(running) => Ok(running.0.block_on(running.1.approve(peer, &form))?),
            Self::Stopped(stopped) => {
                let roles = form.roles.into_iter().collect();
                stopped.change(Decision::WhitelistAdd, peer, |keeper, id, judges, by| {
                    keeper.approve(id, form.hours, roles, judges, by).map(drop)
                })
            }
        }
    }

    pub(super) fn ignore(&self, peer: &PeerText) -> anyhow::Result<()> {
        match self {
            Self::Running(running) => drop(running.0.block_on(running.1.ignore(peer))?),
            Self::Stopped(stopped) => {
                stopped.change(Decision::EnrolIgnore, peer, |keeper, id, judges, by| {
                    keeper.ignore(id, judges.now, by)
                })?;
            }
        }
        Ok(())
    }

    pub(super) fn recommendations(&self) -> anyhow::Result<RecommendationsPage> {
        Ok(match self {
            Self::Running(running) => running.0.block_on(running.1.recommendations())?,
            Self::Stopped(stopped) => stopped.keeper.recommendations(utc()),
        })
    }

    /// Whose transport key another one followed.
    pub(super) fn rotations(&self) -> anyhow::Result<RotationsPage> {
        Ok(match self {
            Self::Running(running) => running.0.block_on(running.1.rotations())?,
            Self::Stopped(stopped) => stopped.keeper.fold(RotationsPage::of),
        })
    }

    /// Follows a rotation that came as a file.
    pub(super) fn follow_rotation(&self, file: &[u8]) -> anyhow::Result<FollowedPage> {
        match self {
            Self::Running(running) => {
                let form = FollowForm {
                    rotation: STANDARD.encode(file),
                };
                Ok(running.0.block_on(running.1.follow_rotation(&form))?)
            }
            Self::Stopped(stopped) => {
                let signed = SignedRotation::decode(file);
                let signed = signed.map_err(|refusal| ChangeError::Rotation(refusal.into()))?;
                let by = Bringer::Operator(&stopped.who);
                let judges = stopped.judges();
                let followed = stopped
                    .keeper
                    .follow(&signed, &stopped.network, judges, by)?;
                if let Following::Moved(moved) = followed {
                    stopped.access.note(moved.event(&stopped.who));
                }
                Ok(FollowedPage::of(followed))
            }
        }
    }

    pub(super) fn recommend(
        &self,
        peer: &PeerText,
        form: RecommendForm,
    ) -> anyhow::Result<RecommendationsPage> {
        match self {
            Self::Running(running) => Ok(running.0.block_on(running.1.recommend(peer, &form))?),
            Self::Stopped(stopped) => {
                stopped.change(Decision::Recommend, peer, |keeper, id, judges, by| {
                    let said = keeper.recommend(id, form.name, form.hours, judges.now, by);
                    said.map(drop)
                })?;
                self.recommendations()
            }
        }
    }

    pub(super) fn revoke(&self, peer: &PeerText) -> anyhow::Result<RecommendationsPage> {
        match self {
            Self::Running(running) => {
                Ok(running.0.block_on(running.1.revoke_recommendation(peer))?)
            }
            Self::Stopped(stopped) => {
                stopped.change(Decision::RecommendRevoke, peer, |keeper, id, judges, by| {
                    keeper.revoke(id, judges.now, by).map(drop)
                })?;
                self.recommendations()
            }
        }
    }

    /// The whitelist, or these peers of it, as a signed file; and how many are on it.
    pub(super) fn export(&self, peers: Vec<PeerText>) -> anyhow::Result<(Vec<u8>, usize)> {
        match self {
            Self::Running(running) => {
                let form = ExportForm { peers };
                let page = running.0.block_on(running.1.export_whitelist(&form))?;
                let list = STANDARD.decode(&page.list);
                Ok((list.context("the node's answer is no list")?, page.entries))
            }
            Self::Stopped(stopped) => {
                let list = stopped.keeper.list(&ids(&peers)?, utc())?;
                let event = Event::once(Class::Trust, &stopped.who, "whitelist-export");
                stopped.access.note(event);
                Ok((stopped.key.list(&list)?, list.entries.len()))
            }
        }
    }

    /// Shows another node's list, and adds what is named of it.
    pub(super) fn import(&self, form: &ImportForm) -> anyhow::Result<ImportedPage> {
        match self {
            Self::Running(running) => Ok(running.0.block_on(running.1.import_whitelist(form))?),
            Self::Stopped(stopped) => {
                let (file, chosen) = form.read()?;
                let judges = stopped.judges();
                let keeper = &stopped.keeper;
                let (page, failed) =
                    keeper.import(&file, &chosen, form.hours, judges, &stopped.who)?;
                for added in page.added() {
                    stopped.note(Decision::WhitelistAdd, &added.peer);
                }
                match failed {
                    None => Ok(page),
                    Some(error) => {
                        let added = page.added().count();
                        Err(anyhow::Error::new(error)
                            .context(format!("{added} entries were added, the next was not")))
                    }
                }
            }
        }
    }

    /// Takes away what is over.
    pub(super) fn clean_up(&self) -> anyhow::Result<CleanedPage> {
        match self {
            Self::Running(running) => Ok(running.0.block_on(running.1.clean_up())?),
            Self::Stopped(stopped) => {
                let cleaned = stopped.keeper.clean_up(utc(), &stopped.who)?;
                let event = Event::once(Class::Trust, &stopped.who, Decision::Cleanup.name());
                stopped.access.note(event);
                Ok(CleanedPage::of(&cleaned))
            }
        }
    }

    /// Connected peers; a stopped node has none.
    pub(super) fn connected(&self) -> anyhow::Result<Vec<Connected>> {
        match self {
            Self::Running(running) => Ok(running.0.block_on(running.1.status())?.peers),
            Self::Stopped(_) => Ok(Vec::new()),
        }
    }

    /// Closes what was opened; what was changed is durable before.
    pub(super) fn close(self) -> anyhow::Result<()> {
        if let Self::Stopped(stopped) = self {
            let Stopped {
                keeper,
                store,
                access,
                ..
            } = *stopped;
            access.close();
            drop(keeper);
            let store = Arc::into_inner(store).context("the store is still in use")?;
            store.close()?;
        }
        Ok(())
    }
}

impl Stopped {
    fn page(&self, peer: &PeerText) -> ListedPage {
        let listed = self.keeper.listed(&peer.0);
        ListedPage::of(&peer.0, listed.as_ref(), utc())
    }

    fn change(
        &self,
        decision: Decision,
        peer: &PeerText,
        job: impl FnOnce(&Keeper, &PeerId, Judges<'_>, &str) -> Result<(), ChangeError>,
    ) -> anyhow::Result<ListedPage> {
        let id: PeerId = peer.0.parse()?;
        job(&self.keeper, &id, self.judges(), &self.who)?;
        self.note(decision, peer);
        Ok(self.page(peer))
    }

    fn judges(&self) -> Judges<'_> {
        Judges {
            roots: &self.roots,
            crls: &self.crls,
            now: utc(),
        }
    }

    fn note(&self, decision: Decision, peer: &PeerText) {
        let what = format!("{} {peer}", decision.name());
        self.access
            .note(Event::once(Class::Trust, &self.who, &what));
    }
}

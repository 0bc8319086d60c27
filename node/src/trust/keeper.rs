//! Changes of the whitelist: checked, recorded, and only then in force. The same for a node that runs, whose gate
//! goes by it at once, and for a data directory of one that does not.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use city_protocol::amount::Timestamp;
use city_protocol::region::Region;
use city_protocol::trust::SignedRotation;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::config::{Wanted, lay_over, read};
use super::error::ChangeError;
use super::exchange::Asked;
use super::fold::{Fold, Listed};
use super::keyfile::{Judges, prove};
use super::readers::Reader;
use super::recommend::Heard;
use super::record::{Decision, Record, Role};
use super::seen::Seen;
use crate::config::{check_name, check_peer_address, spoken};
use crate::keys::PrivateFields;
use crate::net::{MAX_WHITELIST, Whitelist};
use crate::store::Store;

/// Longest permission in hours: ten years, longer than any box is left alone.
pub const MAX_HOURS: u64 = 10 * 366 * 24;
/// Addresses of one entry: as many as the dialler keeps of a peer.
pub const MAX_ADDRESSES: usize = 8;
const HOUR_MS: u64 = 60 * 60 * 1000;

/// What an operator says of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Its name, for people.
    pub name: Option<String>,
    /// For how many hours; none: without an end.
    pub hours: Option<u64>,
    /// Its municipality; a node certificate names it, too.
    pub region: Option<Region>,
    /// What it is listed for; none: `sync`.
    pub roles: BTreeSet<Role>,
    /// Where to call it.
    pub addresses: Vec<String>,
    /// The content of a key file.
    pub key: Option<Vec<u8>>,
}

impl Terms {
    /// What is wrong with an address that this node would not call, because it does not speak QUIC. A form that is none is
    /// refused later.
    pub(crate) fn not_spoken(&self, quic: bool) -> Option<String> {
        let addresses = self.addresses.iter();
        let mut addresses = addresses.filter_map(|address| address.parse().ok());
        addresses.find_map(|address| spoken(address, quic).err())
    }
}

/// How many peers have to recommend another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Listed ones, before an operator can approve it.
    pub to_approve: u64,
    /// Before it may read without that; 0: it may not.
    pub to_read: u64,
    /// Through how many steps recommendations have it read; more than 1: also what readers say counts for that.
    pub depth: u64,
}

/// The whitelist and its log; cheap to clone.
#[derive(Clone)]
pub struct Keeper(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) store: Arc<Store>,
    pub(super) names: Option<PrivateFields>,
    own: PeerId,
    pub(super) allowed: Whitelist,
    pub(super) fold: RwLock<Fold>,
    pub(super) needed: Needed,
    /// How often what each peer said was recorded lately.
    pub(super) heard: Mutex<Heard>,
    /// What this node asked its peers.
    pub(super) asked: Mutex<Asked>,
    /// How this node's own transport key changed, to hand on.
    pub(super) rotations: Mutex<Vec<Arc<SignedRotation>>>,
    /// Which signed messages about keys were taken; none are until [`Keeper::remember`].
    pub(super) seen: Mutex<Seen>,
    /// Held from the check to the end of the change, fsync included, so that changes stand one behind the other.
    changing: Mutex<()>,
}

pub(super) const HELD: &str = "no holder of this lock panics";

impl Keeper {
    /// Reads the log; what `config` lists stands beside it. `names` keeps names, if they are encrypted.
    ///
    /// # Errors
    /// [`ChangeError::Trust`], or [`ChangeError::Full`].
    pub fn open(
        store: Arc<Store>,
        names: Option<PrivateFields>,
        config: &Wanted,
        own: PeerId,
        needed: Needed,
    ) -> Result<Self, ChangeError> {
        let mut fold = read(store.trust(), names.as_ref())?;
        lay_over(&mut fold, config);
        let allowed = Whitelist::default();
        for (peer, listed) in &fold.listed {
            // Only peer ids are ever recorded.
            if let Ok(peer) = peer.parse() {
                let until = listed.expires_at().map(|at| at.0);
                allowed.insert(peer, until).map_err(|_| ChangeError::Full)?;
            }
        }
        let keeper = Self(Arc::new(Inner {
            store,
            names,
            own,
            allowed,
            fold: RwLock::new(fold),
            heard: Mutex::default(),
            asked: Mutex::default(),
            rotations: Mutex::default(),
            seen: Mutex::default(),
            needed,
            changing: Mutex::new(()),
        }));
        keeper.admit_readers();
        Ok(keeper)
    }

    /// Takes peers' messages about keys from now on, each once and none older than `max_age_ms`; those that were taken stand in
    /// the file at `path`.
    pub fn remember(&self, path: PathBuf, max_age_ms: u64, now: Timestamp) {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Seen::open(path, max_age_ms, now);
    }

    /// Who may connect, for the gate; it follows every change.
    #[must_use]
    pub fn allowed(&self) -> &Whitelist {
        &self.0.allowed
    }

    /// What the gate decides about a peer at this time.
    #[must_use]
    pub fn admits(&self, peer: &PeerId, now: Timestamp) -> bool {
        self.0.allowed.contains(peer, now.0)
    }

    /// Until when a peer may connect at this time only to read, as the gate decides it.
    #[must_use]
    pub fn reads(&self, peer: &PeerId, now: Timestamp) -> Option<Timestamp> {
        self.0.allowed.reads(peer, now.0).map(Timestamp)
    }

    /// Why a peer may read at this time, if it may.
    #[must_use]
    pub fn reader(&self, peer: &str, now: Timestamp) -> Option<Reader> {
        let Needed { to_read, depth, .. } = self.0.needed;
        self.fold(|fold| fold.readers(to_read, depth).of(peer, now))
    }

    /// Whether anything that readers say of others may count.
    #[must_use]
    pub fn hears_readers(&self) -> bool {
        let Needed { to_read, depth, .. } = self.0.needed;
        to_read > 0 && depth > 1
    }

    /// Has the gate go by it who may read now.
    pub(super) fn admit_readers(&self) {
        let Needed { to_read, depth, .. } = self.0.needed;
        let readers: Vec<(PeerId, u64)> = self.fold(|fold| {
            let readers = fold.readers(to_read, depth);
            // Only peer ids are ever recorded.
            let readers = readers
                .all()
                .filter_map(|(peer, until)| Some((peer.parse().ok()?, until.0)));
            readers.collect()
        });
        self.0.allowed.set_readers(readers);
    }

    /// What is known of a peer, if it is listed.
    #[must_use]
    pub fn listed(&self, peer: &str) -> Option<Listed> {
        self.fold(|fold| fold.listed.get(peer).cloned())
    }

    /// Looks at the whole.
    pub fn fold<T>(&self, look: impl FnOnce(&Fold) -> T) -> T {
        look(&self.0.fold.read().expect(HELD))
    }

    /// The addresses that operators named, each with the peer's id behind it.
    #[must_use]
    pub fn addresses(&self) -> Vec<Multiaddr> {
        self.fold(|fold| fold.listed.iter().flat_map(addresses_of).collect())
    }

    /// Lists a peer, or lists it anew on other terms; durable when this returns. Waits for the disk.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was changed then.
    pub fn add(
        &self,
        peer: &PeerId,
        terms: Terms,
        judges: Judges<'_>,
        by: &str,
    ) -> Result<Listed, ChangeError> {
        let now = judges.now;
        let id = peer.to_string();
        if *peer == self.0.own {
            return Err(ChangeError::Myself(id));
        }
        let name = terms.name.unwrap_or_default();
        if !name.is_empty() {
            check_name(&name).map_err(|what| ChangeError::Name(format!("{name:?} {what}")))?;
        }
        if terms.addresses.len() > MAX_ADDRESSES {
            return Err(ChangeError::Addresses);
        }
        let mut addresses = Vec::new();
        for address in &terms.addresses {
            let address = check_peer_address(address, Some(*peer)).map_err(ChangeError::Address)?;
            addresses.push(address.to_string());
        }
        if terms
            .hours
            .is_some_and(|hours| !(1..=MAX_HOURS).contains(&hours))
        {
            return Err(ChangeError::Hours);
        }
        let mut roles = terms.roles;
        if roles.is_empty() {
            roles.insert(Role::Sync);
        }
        if !roles.contains(&Role::Sync) {
            return Err(ChangeError::NoSync);
        }
        let proven = terms
            .key
            .map(|file| prove(&file, peer, terms.region.as_ref(), judges));
        let proven = proven.transpose()?;
        let certified = proven.as_ref().and_then(|proven| proven.region.clone());

        let changing = self.changing();
        self.not_in_config(&id)?;
        let full =
            |fold: &Fold| fold.listed.len() >= MAX_WHITELIST && !fold.listed.contains_key(&id);
        if self.fold(full) {
            return Err(ChangeError::Full);
        }
        let record = Record {
            name,
            region: terms.region.or(certified),
            expires_at: terms.hours.map(|hours| now.plus_ms(hours * HOUR_MS)),
            roles,
            addresses,
            keys: proven.into_iter().map(|proven| proven.key).collect(),
            ..Record::of(Decision::WhitelistAdd, &id, now, by)
        };
        self.decide(&changing, record)?;
        Ok(self.listed(&id).unwrap_or_default())
    }

    /// Holds a key of a listed peer; durable when this returns. Waits for the disk.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was changed then.
    pub fn add_key(
        &self,
        peer: &PeerId,
        file: &[u8],
        judges: Judges<'_>,
        by: &str,
    ) -> Result<Listed, ChangeError> {
        let id = peer.to_string();
        let changing = self.changing();
        let listed = self
            .listed(&id)
            .ok_or_else(|| ChangeError::NotListed(id.clone()))?;
        let key = prove(file, peer, listed.region(), judges)?.key;
        let record = Record {
            keys: vec![key],
            ..Record::of(Decision::WhitelistKey, &id, judges.now, by)
        };
        self.decide(&changing, record)?;
        Ok(self.listed(&id).unwrap_or_default())
    }

    /// Takes back what an operator listed; durable when this returns. Waits for the disk.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was changed then.
    pub fn remove(&self, peer: &str, now: Timestamp, by: &str) -> Result<(), ChangeError> {
        let changing = self.changing();
        let listed = self.listed(peer);
        let listed = listed.ok_or_else(|| ChangeError::NotListed(peer.into()))?;
        // Where both list it the operator's goes, and the answer says that the configuration's stands.
        if listed.operator.is_none() {
            return Err(ChangeError::InConfig(peer.into()));
        }
        self.decide(
            &changing,
            Record::of(Decision::WhitelistRemove, peer, now, by),
        )
    }

    fn not_in_config(&self, peer: &str) -> Result<(), ChangeError> {
        let there = |fold: &Fold| {
            fold.listed
                .get(peer)
                .is_some_and(|listed| listed.config.is_some() && listed.rotated.is_none())
        };
        match self.fold(there) {
            true => Err(ChangeError::InConfig(peer.into())),
            false => Ok(()),
        }
    }

    /// This node's own peer id.
    pub(super) fn own(&self) -> &PeerId {
        &self.0.own
    }

    pub(super) fn changing(&self) -> MutexGuard<'_, ()> {
        self.0
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an operator's entry says that its peer is, with its id behind each address.
fn addresses_of((peer, listed): (&String, &Listed)) -> Vec<Multiaddr> {
    let Ok(peer) = peer.parse::<PeerId>() else {
        return Vec::new();
    };
    let named = listed.operator.iter().flat_map(|entry| &entry.addresses);
    named
        .filter_map(|address| address.parse::<Multiaddr>().ok())
        .map(|address| address.with(Protocol::P2p(peer)))
        .collect()
}

impl Listed {
    /// Where operators say that this peer is, with its id behind each address.
    #[must_use]
    pub fn dial(&self, peer: &PeerId) -> Vec<Multiaddr> {
        addresses_of((&peer.to_string(), self))
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;

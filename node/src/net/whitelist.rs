//! The set of peers that may connect, shared by the gate, the dialler and whoever keeps the trust
//! log. Owns the set in memory and the wake-up on change; it is not stored here, and it says
//! nothing about whose records are valid.

use libp2p::PeerId;
use std::{
    collections::HashMap,
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use tokio::sync::Notify;

/// Entries at most: Japan's municipalities twice over, with room for terminals.
pub const MAX_WHITELIST: usize = 8192;

/// The whitelist has [`MAX_WHITELIST`] entries: remove some first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the whitelist is full ({MAX_WHITELIST} entries): remove some first")]
pub struct WhitelistFull;

/// Who may connect, each with an optional expiry in milliseconds since the Unix epoch. Clones share
/// one set.
#[derive(Clone, Debug, Default)]
pub struct Whitelist {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: RwLock<HashMap<PeerId, Option<u64>>>,
    changed: Notify,
}

impl Whitelist {
    /// Replaces the whole set. Peers that are no longer in it are disconnected.
    pub fn set(
        &self,
        entries: impl IntoIterator<Item = (PeerId, Option<u64>)>,
    ) -> Result<(), WhitelistFull> {
        let mut fresh = HashMap::new();
        for (peer, expires_at_ms) in entries {
            fresh.insert(peer, expires_at_ms);
            if fresh.len() > MAX_WHITELIST {
                return Err(WhitelistFull);
            }
        }
        *self.write() = fresh;
        self.inner.changed.notify_one();
        Ok(())
    }

    /// Adds a peer or changes its expiry.
    pub fn insert(&self, peer: PeerId, expires_at_ms: Option<u64>) -> Result<(), WhitelistFull> {
        let mut entries = self.write();
        if entries.len() >= MAX_WHITELIST && !entries.contains_key(&peer) {
            return Err(WhitelistFull);
        }
        entries.insert(peer, expires_at_ms);
        drop(entries);
        self.inner.changed.notify_one();
        Ok(())
    }

    /// Takes a peer out and disconnects it; says whether it was in.
    pub fn remove(&self, peer: &PeerId) -> bool {
        let was_in = self.write().remove(peer).is_some();
        self.inner.changed.notify_one();
        was_in
    }

    /// Whether the peer may connect at this time. An entry is over at its expiry, not after it.
    #[must_use]
    pub fn contains(&self, peer: &PeerId, now_ms: u64) -> bool {
        self.read()
            .get(peer)
            .is_some_and(|expiry| expiry.is_none_or(|at| now_ms < at))
    }

    /// How many entries there are, expired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether nobody may connect.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    /// Waits for the next change; one that came before the call counts.
    pub(super) async fn changed(&self) {
        self.inner.changed.notified().await;
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<PeerId, Option<u64>>> {
        self.inner
            .entries
            .read()
            .expect("no holder of this lock panics")
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<PeerId, Option<u64>>> {
        self.inner
            .entries
            .write()
            .expect("no holder of this lock panics")
    }
}

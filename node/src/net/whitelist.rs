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

const HELD: &str = "no holder of this lock panics";

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
    /// Who may only read, until when.
    readers: RwLock<HashMap<PeerId, u64>>,
    changed: Notify,
    /// That somebody was listed, anew or on other terms.
    listed: Notify,
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
        self.inner.listed.notify_one();
        Ok(())
    }

    /// Adds a peer or changes its expiry.
    pub fn insert(&self, peer: PeerId, expires_at_ms: Option<u64>) -> Result<(), WhitelistFull> {
        let mut entries = self.write();
        if entries.len() >= MAX_WHITELIST && !entries.contains_key(&peer) {
            return Err(WhitelistFull);
        }
        let is_news = entries.insert(peer, expires_at_ms) != Some(expires_at_ms);
        drop(entries);
        self.inner.changed.notify_one();
        if is_news {
            self.inner.listed.notify_one();
        }
        Ok(())
    }

    /// Takes a peer out and disconnects it; says whether it was in.
    pub fn remove(&self, peer: &PeerId) -> bool {
        let was_in = self.write().remove(peer).is_some();
        self.inner.changed.notify_one();
        was_in
    }

    /// Replaces the set of those who may only read, each until its time, milliseconds since the Unix epoch. Who is listed, too,
    /// is no reader while that holds. Peers that are no longer in either set are disconnected.
    pub fn set_readers(&self, readers: impl IntoIterator<Item = (PeerId, u64)>) {
        let fresh: HashMap<PeerId, u64> = readers.into_iter().take(MAX_WHITELIST).collect();
        let mut before = self.inner.readers.write().expect(HELD);
        if *before == fresh {
            return;
        }
        *before = fresh;
        drop(before);
        self.inner.changed.notify_one();
    }

    /// Until when the peer may connect at this time, only to read.
    #[must_use]
    pub fn reads(&self, peer: &PeerId, now_ms: u64) -> Option<u64> {
        let until = *self.inner.readers.read().expect(HELD).get(peer)?;
        (now_ms < until && !self.contains(peer, now_ms)).then_some(until)
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

    /// Waits until somebody is listed, anew or on other terms; what came before the call counts, and one at a time waits.
    pub async fn listed(&self) {
        self.inner.listed.notified().await;
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<PeerId, Option<u64>>> {
        self.inner.entries.read().expect(HELD)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<PeerId, Option<u64>>> {
        self.inner.entries.write().expect(HELD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_does_so_until_its_time_and_only_while_it_is_not_listed() {
        let list = Whitelist::default();
        let peer = PeerId::random();
        list.set_readers([(peer, 100)]);
        assert_eq!(
            (list.reads(&peer, 99), list.reads(&peer, 100)),
            (Some(100), None)
        );
        assert!(!list.contains(&peer, 50));
        list.insert(peer, Some(60)).unwrap();
        assert_eq!(
            (list.reads(&peer, 59), list.reads(&peer, 60)),
            (None, Some(100))
        );
        list.remove(&peer);
        list.set_readers([]);
        assert_eq!(list.reads(&peer, 1), None);
    }
}

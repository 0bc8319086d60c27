//! What the configuration lists, read again while the node runs.

use city_protocol::amount::Timestamp;
use libp2p::{Multiaddr, PeerId};

use super::config::{Wanted, lay_over, read, reconcile};
use super::error::ChangeError;
use super::fold::Fold;
use super::keeper::{HELD, Keeper};
use crate::net::MAX_WHITELIST;

/// What changed with the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relisted {
    /// Peers that it lists, and did not, or did on other terms.
    pub listed: Vec<PeerId>,
    /// Those of them, and of those that it lists no more, whose certificate has to name another municipality now.
    pub moved: Vec<PeerId>,
    /// Peers that it lists no more.
    pub unlisted: Vec<PeerId>,
    /// Those of them that nobody else lists.
    pub gone: Vec<PeerId>,
    /// Where the newly listed are called, without their ids.
    pub addresses: Vec<(PeerId, Multiaddr)>,
}

impl Keeper {
    /// Takes what the configuration lists now in the place of what it listed before; durable when this returns. What operators
    /// decided stands as it is. Waits for the disk.
    ///
    /// # Errors
    /// [`ChangeError`]; what the gate goes by is unchanged then.
    pub fn relist(&self, config: &Wanted, now: Timestamp) -> Result<Relisted, ChangeError> {
        let _changing = self.changing();
        let before = self.fold(Fold::clone);
        let of_operators = before
            .listed
            .iter()
            .filter(|(peer, listed)| listed.operator.is_some() && !config.contains_key(*peer));
        if of_operators.count() + config.len() > MAX_WHITELIST {
            return Err(ChangeError::Full);
        }
        let (log, names) = (self.0.store.trust(), self.0.names.as_ref());
        reconcile(log, names, config, now)?;
        let mut after = read(log, names)?;
        lay_over(&mut after, config);
        let relisted = Relisted::between(&before, &after);
        let listed = after.listed.iter();
        // Only peer ids are ever recorded.
        let allowed = listed.filter_map(|(peer, listed)| {
            let until = listed.expires_at().map(|at| at.0);
            Some((peer.parse().ok()?, until))
        });
        let allowed: Vec<(PeerId, Option<u64>)> = allowed.collect();
        *self.0.fold.write().expect(HELD) = after;
        self.0.allowed.set(allowed).map_err(|_| ChangeError::Full)?;
        self.admit_readers();
        Ok(relisted)
    }
}

impl Relisted {
    fn between(before: &Fold, after: &Fold) -> Self {
        let mut relisted = Self::default();
        let peers = before.listed.keys().chain(after.listed.keys());
        let peers: std::collections::BTreeSet<&String> = peers.collect();
        for peer in peers {
            let (was, is) = (before.listed.get(peer), after.listed.get(peer));
            let old = was.and_then(|listed| listed.config.as_ref());
            let new = is.and_then(|listed| listed.config.as_ref());
            let Some(id) = peer.parse::<PeerId>().ok() else {
                continue;
            };
            let same = match (old, new) {
                (Some(old), Some(new)) => old.same_terms(new) && old.addresses == new.addresses,
                (old, new) => old.is_none() && new.is_none(),
            };
            if same {
                continue;
            }
            if let (Some(was), Some(is)) = (was, is)
                && was.region() != is.region()
            {
                relisted.moved.push(id);
            }
            match new {
                Some(entry) => {
                    relisted.listed.push(id);
                    let named = entry.addresses.iter();
                    let named = named.filter_map(|address| Some((id, address.parse().ok()?)));
                    relisted.addresses.extend(named);
                }
                None => {
                    relisted.unlisted.push(id);
                    if is.is_none() {
                        relisted.gone.push(id);
                    }
                }
            }
        }
        relisted
    }

    /// Whether nothing changed.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.listed.is_empty() && self.unlisted.is_empty()
    }
}

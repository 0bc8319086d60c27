//! What the configuration lists, read again while the node runs.

use city_protocol::amount::Timestamp;
use libp2p::{Multiaddr, PeerId};

use super::config::{Wanted, lay_over, read, reconcile};
use super::error::ChangeError;
use super::fold::{Fold, Listed};
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
    /// Where those that are still listed are called from now on, without their ids: what the file says and what operators say.
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
                (Some(old), Some(new)) => {
                    old.same_terms(new) && old.addresses == new.addresses && old.roles == new.roles
                }
                (old, new) => old.is_none() && new.is_none(),
            };
            if same {
                continue;
            }
            let named = is.into_iter().flat_map(Listed::entries);
            let named = named.flat_map(|entry| &entry.addresses);
            let named = named.filter_map(|address| Some((id, address.parse().ok()?)));
            relisted.addresses.extend(named);
            if let (Some(was), Some(is)) = (was, is)
                && was.region() != is.region()
            {
                relisted.moved.push(id);
            }
            match new {
                Some(_) => {
                    relisted.listed.push(id);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::record::CONFIG;
    use crate::trust::{Decision, Record};

    fn listed(fold: &mut Fold, peer: &PeerId, by: &str, addresses: &[&str]) {
        fold.take(Record {
            by: by.into(),
            addresses: addresses.iter().map(|&address| address.into()).collect(),
            ..Record::of(Decision::WhitelistAdd, &peer.to_string(), Timestamp(1), by)
        });
    }

    #[test]
    fn what_is_called_from_now_on_is_what_the_file_and_operators_say() {
        let [moved, taken_out, same] = [(); 3].map(|()| PeerId::random());
        let (old, new, given) = (
            "/ip4/192.0.2.1/tcp/1",
            "/ip4/192.0.2.2/tcp/2",
            "/ip4/192.0.2.3/tcp/3",
        );
        let mut before = Fold::default();
        for peer in [&moved, &taken_out, &same] {
            listed(&mut before, peer, "hanako", &[given]);
            listed(&mut before, peer, CONFIG, &[old]);
        }
        let mut after = before.clone();
        listed(&mut after, &moved, CONFIG, &[new]);
        let entry = after.listed.get_mut(&taken_out.to_string()).unwrap();
        entry.config = None;
        let relisted = Relisted::between(&before, &after);
        assert_eq!(
            (relisted.listed, relisted.unlisted),
            (vec![moved], vec![taken_out])
        );
        let called = |peer, addresses: &[&str]| -> Vec<(PeerId, Multiaddr)> {
            let addresses = addresses.iter();
            addresses
                .map(|address| (peer, address.parse().unwrap()))
                .collect()
        };
        let expected = [called(moved, &[new, given]), called(taken_out, &[given])].concat();
        let mut addresses = relisted.addresses;
        addresses.sort_by_key(|(peer, _)| *peer != moved);
        assert_eq!(addresses, expected);
    }
}

//! What the configuration lists, recorded in the trust log at a start where it changed; and where names stand that
//! are encrypted.

use std::collections::BTreeMap;

use city_protocol::amount::Timestamp;
use city_protocol::codec;

use super::TrustError;
use super::fold::{Entry, Fold};
use super::keeper::Needed;
use super::record::{CONFIG, Decision, Record};
use crate::config::{Config, Network};
use crate::keys::{PrivateFields, PrivatePlace};
use crate::store::SideLog;

/// What the configuration lists, by peer id.
pub type Wanted = BTreeMap<String, Entry>;

/// The entries of a configuration, as of this moment.
#[must_use]
pub fn wanted(config: &Config, now: Timestamp) -> Wanted {
    let peers = config.network.peers.iter();
    peers
        .map(|peer| {
            let entry = Entry {
                name: peer.name.clone(),
                region: Some(peer.region.clone()),
                expires_at: peer.expires_at,
                roles: peer.roles.clone(),
                addresses: peer.addresses.iter().map(ToString::to_string).collect(),
                at: now,
                by: CONFIG.into(),
            };
            (peer.peer_id.to_string(), entry)
        })
        .collect()
}

impl Network {
    /// How many peers have to recommend another.
    #[must_use]
    pub const fn recommended(&self) -> Needed {
        Needed {
            to_approve: self.recommendations_needed,
            // Where there is no place for readers, nobody may read.
            to_read: if self.limits.readers == 0 {
                0
            } else {
                self.recommendations_to_read
            },
            depth: self.recommendation_depth,
        }
    }
}

/// Where the name stands that the configuration gives a peer.
pub(super) fn name_of(peer: &str) -> PrivatePlace {
    PrivatePlace::new("whitelist", peer, "name")
}

/// Where the name stands that an operator gave a peer.
pub(super) fn given_name_of(peer: &str) -> PrivatePlace {
    PrivatePlace::new("whitelist", peer, "given-name")
}

/// Where stands what a stranger says: its name, and its message.
pub(super) fn asked_of(peer: &str) -> [PrivatePlace; 2] {
    ["name", "message"].map(|field| PrivatePlace::new("enrolment", peer, field))
}

/// Where the name stands by which a recommender calls a peer; this node itself is none.
pub(super) fn recommended_of(peer: &str, recommender: Option<&str>) -> PrivatePlace {
    let record = recommender.map_or(peer.to_owned(), |recommender| {
        format!("{peer}/{recommender}")
    });
    PrivatePlace::new("recommendation", &record, "name")
}

/// Folds a log, with the names that are kept encrypted beside it.
///
/// # Errors
/// [`TrustError`].
pub(super) fn read(log: &SideLog, private: Option<&PrivateFields>) -> Result<Fold, TrustError> {
    let mut fold = Fold::of(log)?;
    if let Some(private) = private {
        let others = fold.recommended.iter_mut();
        let others = others.map(|((peer, by), said)| (recommended_of(peer, Some(by)), said));
        let own = fold.own.iter_mut();
        let own = own.map(|(peer, said)| (recommended_of(peer, None), said));
        for (place, said) in others.chain(own) {
            if let Some(kept) = private.get(&place)?.filter(|_| said.name.is_empty()) {
                said.name.clone_from(&kept);
            }
        }
        let ignored = fold.ignored.iter_mut();
        let ignored = ignored.filter_map(|(peer, ignored)| Some((peer, ignored.request.as_mut()?)));
        for (peer, request) in fold.pending.iter_mut().chain(ignored) {
            let [name, message] = asked_of(peer);
            for (text, place) in [(&mut request.name, name), (&mut request.message, message)] {
                if let Some(kept) = private.get(&place)?.filter(|_| text.is_empty()) {
                    text.clone_from(&kept);
                }
            }
        }
        for (peer, listed) in &mut fold.listed {
            let layers = [
                (&mut listed.config, name_of(peer)),
                (&mut listed.operator, given_name_of(peer)),
            ];
            for (entry, place) in layers {
                if let Some(entry) = entry.as_mut().filter(|entry| entry.name.is_empty())
                    && let Some(name) = private.get(&place)?
                {
                    entry.name.clone_from(&name);
                }
            }
        }
    }
    Ok(fold)
}

/// Records what changed between the trust log and what the configuration lists; gives how many records that took. With
/// private values, names are kept there, encrypted, and left out of the log, which is for ever. What operators decided
/// stands as it is.
///
/// # Errors
/// [`TrustError`].
pub fn reconcile(
    log: &SideLog,
    private: Option<&PrivateFields>,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<usize, TrustError> {
    let fold = read(log, private)?;
    let present: BTreeMap<&String, &Entry> = fold
        .listed
        .iter()
        .filter_map(|(peer, listed)| Some((peer, listed.config.as_ref()?)))
        .collect();
    let removed = present
        .iter()
        .filter(|(peer, _)| !wanted.contains_key(**peer))
        .map(|(peer, entry)| (Decision::WhitelistRemove, *peer, *entry));
    let added = wanted
        .iter()
        .filter(|(peer, entry)| !present.get(peer).is_some_and(|old| old.same_terms(entry)))
        .map(|(peer, entry)| (Decision::WhitelistAdd, peer, entry));
    let mut count = 0;
    for (decision, peer, entry) in removed.chain(added) {
        if let Some(private) = private {
            let name = (decision == Decision::WhitelistAdd).then_some(entry.name.as_str());
            private.put(&[(name_of(peer), name)])?;
        }
        let record = Record {
            v: 1,
            prev: log.head(),
            name: match private {
                Some(_) => String::new(),
                None => entry.name.clone(),
            },
            region: entry.region.clone(),
            expires_at: entry.expires_at,
            by: CONFIG.into(),
            ..Record::of(decision, peer, now, CONFIG)
        };
        log.append(&codec::encode(&record))?;
        count += 1;
    }
    Ok(count)
}

/// Puts what the configuration lists in the place of what the log has of it: addresses stand only there, and a full disk
/// may have kept the log from having the newest.
pub(super) fn lay_over(fold: &mut Fold, wanted: &Wanted) {
    for (peer, listed) in &mut fold.listed {
        if !wanted.contains_key(peer) {
            listed.config = None;
        }
    }
    follow_the_file(fold, wanted);
    let gone = fold.listed.iter();
    let gone = gone.filter(|(_, listed)| listed.entries().next().is_none());
    let gone: Vec<String> = gone.map(|(peer, _)| peer.clone()).collect();
    for peer in gone {
        fold.unlist(&peer, None, CONFIG);
    }
    for (peer, entry) in wanted {
        fold.once_listed.remove(peer);
        let rotated = fold.rotated(peer);
        let listed = fold.listed.entry(peer.clone()).or_default();
        let since = listed.config.as_ref().filter(|old| old.same_terms(entry));
        listed.config = Some(Entry {
            at: since.map_or(entry.at, |old| old.at),
            ..entry.clone()
        });
        listed.rotated = rotated;
    }
}

/// An entry that passed to a successor from the configuration goes on to say what the file says of the old peer id, and ends with
/// it: also where the file names the successor itself by now.
fn follow_the_file(fold: &mut Fold, wanted: &Wanted) {
    let leads = |(old, entry): (&String, &Entry)| {
        let new = fold.newest(old);
        (new != old && !wanted.contains_key(new)).then(|| (new.to_owned(), entry.clone()))
    };
    let mut terms: BTreeMap<String, Entry> = wanted.iter().filter_map(leads).collect();
    for (peer, listed) in &mut fold.listed {
        let passed = listed.operator.take_if(|entry| entry.by == CONFIG);
        let now = passed.zip(terms.remove(peer));
        let now = now.map(|(passed, entry)| Entry {
            region: entry.region.or(passed.region),
            addresses: passed.addresses,
            at: passed.at,
            by: passed.by,
            ..entry
        });
        listed.operator = now.or(listed.operator.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Access, BackendKind, Keyring, Keystore, TpmSettings, backend, exchange};
    use crate::store::OsFiles;
    use city_protocol::ids::BlockId;
    use std::sync::Arc;

    fn entry(name: &str) -> Entry {
        Entry {
            name: name.into(),
            region: Some("Asia/JP/17/17203".parse().unwrap()),
            expires_at: None,
            roles: crate::trust::Role::sync_only(),
            addresses: Vec::new(),
            at: Timestamp(0),
            by: CONFIG.into(),
        }
    }

    /// Names by peer, as the configuration gave them.
    fn listed(log: &SideLog) -> Vec<(String, String)> {
        let fold = Fold::of(log).unwrap().listed;
        fold.into_iter()
            .filter_map(|(peer, listed)| Some((peer, listed.config?.name)))
            .collect()
    }

    fn names(of: &Wanted) -> Vec<(String, String)> {
        let names = of.iter();
        names
            .map(|(peer, entry)| (peer.clone(), entry.name.clone()))
            .collect()
    }

    #[test]
    fn the_whitelist_is_the_fold_of_what_was_decided() {
        let dir = tempfile::tempdir().unwrap();
        let root = BlockId::of(b"genesis");
        let open = || {
            SideLog::open(Arc::new(OsFiles), dir.path(), root, 0)
                .unwrap()
                .0
        };
        let log = open();
        let both = Wanted::from([
            ("p1".into(), entry("小松市")),
            ("p2".into(), entry("白山市")),
        ]);
        assert_eq!(reconcile(&log, None, &both, Timestamp(1)).unwrap(), 2);
        let head = log.head();
        assert_eq!(reconcile(&log, None, &both, Timestamp(2)).unwrap(), 0);
        assert_eq!(log.head(), head);
        let one = Wanted::from([("p2".into(), entry("白山市"))]);
        assert_eq!(reconcile(&log, None, &one, Timestamp(3)).unwrap(), 1);
        drop(log);
        let log = open();
        assert_eq!(listed(&log), names(&one));
        assert_ne!(log.head(), head);
        // Put back: a new record, although the same was said before.
        assert_eq!(reconcile(&log, None, &both, Timestamp(4)).unwrap(), 1);
        assert_eq!(listed(&log), names(&both));
    }

    #[test]
    fn names_that_are_encrypted_never_stand_in_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = SideLog::open(Arc::new(OsFiles), dir.path(), BlockId::of(b"genesis"), 0)
            .unwrap()
            .0;
        let keys = tempfile::tempdir().unwrap();
        let open = || Keystore::open(keys.path(), &mut Access::unattended()).unwrap();
        let file = backend(BackendKind::File, None, &TpmSettings::default()).unwrap();
        exchange(&open(), Some(file), &[]).unwrap();
        let ring = Arc::new(Keyring::open(Arc::new(open())).unwrap().unwrap());
        let private = PrivateFields::open(keys.path().join("private.json"), ring).unwrap();
        let wanted = Wanted::from([("p1".into(), entry("小松市の与謝"))]);
        let kept = &private;
        let private = Some(kept);
        assert_eq!(reconcile(&log, private, &wanted, Timestamp(1)).unwrap(), 1);
        assert_eq!(reconcile(&log, private, &wanted, Timestamp(2)).unwrap(), 0);
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
            let name = "与謝".as_bytes();
            assert!(!bytes.windows(name.len()).any(|window| window == name));
        }
        let renamed = Wanted::from([("p1".into(), entry("与謝"))]);
        assert_eq!(reconcile(&log, private, &renamed, Timestamp(3)).unwrap(), 1);
        assert_eq!(
            reconcile(&log, private, &Wanted::new(), Timestamp(4)).unwrap(),
            1
        );
        assert!(kept.get(&name_of("p1")).unwrap().is_none());
        // Without encryption it is recorded again, with its name.
        assert_eq!(reconcile(&log, None, &wanted, Timestamp(5)).unwrap(), 1);
        assert_eq!(listed(&log), names(&wanted));
    }
}

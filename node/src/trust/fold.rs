//! The fold of the trust log: who is listed, by whom, until when; who asks, and who is not heard. Pure but for reading
//! the records.

use std::collections::{BTreeMap, BTreeSet};

use city_protocol::amount::Timestamp;
use city_protocol::region::Region;

use super::TrustError;
use super::exchange::is_in_its_time;
use super::followed::{Followed, Rotated};
use super::recommend::MAX_OWN;
use super::record::{Decision, HeldKey, KeyKind, Record, Role};
use crate::store::SideLog;

/// Keys that are held of one peer: its transport key, and node certificates while one follows another. The oldest
/// certificate gives way.
pub const MAX_KEYS: usize = 4;

/// Requests that may wait for an operator.
pub const MAX_PENDING: usize = 256;
/// How long a request waits, in milliseconds: 30 days. Who still wants to be listed asks again.
pub const PENDING_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// Peers that are not heard: an operator names each by hand.
pub const MAX_IGNORED: usize = 2048;

/// A stranger's request. What it says is the stranger's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it calls itself; empty while that stands among the private values.
    pub name: String,
    /// What its operator says.
    pub message: String,
    /// Its municipality, as it says.
    pub region: Option<Region>,
    /// Where it can be called, as it says.
    pub addresses: Vec<String>,
    /// From which address it asked.
    pub from: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl Request {
    /// Whether it has waited too long.
    #[must_use]
    pub const fn is_old(&self, now: Timestamp) -> bool {
        now.since(self.at) >= PENDING_MS
    }
}

/// A peer that is not heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// What it had asked, if it had.
    pub request: Option<Request>,
    /// Since when.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
}

/// What is said of a peer that may be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recommendation {
    /// Its name; empty if it has none, or while it stands among the private values.
    pub name: String,
    /// Its municipality.
    pub region: Option<Region>,
    /// Since when.
    pub at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// Which operator of this node said so; of another's recommendation, `peer`.
    pub by: String,
}

/// What one source says of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name; empty if it has none, or while it stands among the private values.
    pub name: String,
    /// Its municipality, if it was named.
    pub region: Option<Region>,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// What it is listed for.
    pub roles: BTreeSet<Role>,
    /// Where to call it, without its peer id.
    pub addresses: Vec<String>,
    /// Since when.
    pub at: Timestamp,
    /// By whom: `config`, or an operator.
    pub by: String,
}

impl Entry {
    /// Whether it is over. It is at its last moment, not after it.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| now >= at)
    }

    /// Whether the file would be understood the same: of what stands in it, the log keeps these.
    pub(super) fn same_terms(&self, other: &Self) -> bool {
        (&self.name, &self.region, self.expires_at)
            == (&other.name, &other.region, other.expires_at)
    }
}

/// A listed peer: the configuration may list it, and operators may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// What the configuration says.
    pub config: Option<Entry>,
    /// What an operator decided.
    pub operator: Option<Entry>,
    /// Keys that operators gave.
    pub keys: Vec<HeldKey>,
    /// That another peer id followed this one, which the configuration still names: it has no force.
    pub rotated: Option<Rotated>,
}

impl Listed {
    /// Both entries, the configuration's first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.config.iter().chain(&self.operator)
    }

    /// Until when the peer may connect: the later of both; none without an end. Until another key followed, where one did.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        if let Some(rotated) = &self.rotated {
            return Some(rotated.at);
        }
        if self.entries().any(|entry| entry.expires_at.is_none()) {
            return None;
        }
        self.entries().filter_map(|entry| entry.expires_at).max()
    }

    /// Whether it may connect at this time.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.rotated.is_none() && self.entries().any(|entry| !entry.is_over(now))
    }

    /// The municipality that its node certificate has to name, if an entry names one.
    #[must_use]
    pub fn region(&self) -> Option<&Region> {
        self.entries().find_map(|entry| entry.region.as_ref())
    }

    fn is_gone(&self) -> bool {
        self.entries().next().is_none()
    }

    pub(super) fn hold(&mut self, keys: &[HeldKey]) {
        for key in keys
            .iter()
            .filter(|key| {
                let same = |held: &HeldKey| (held.kind, &held.data) == (key.kind, &key.data);
                !self.keys.iter().any(same)
            })
            .collect::<Vec<_>>()
        {
            if self.keys.len() >= MAX_KEYS {
                let oldest = |held: &HeldKey| held.kind == KeyKind::NodeCertificate;
                let oldest = self.keys.iter().position(oldest).unwrap_or(0);
                self.keys.remove(oldest);
            }
            self.keys.push(key.clone());
        }
    }
}

/// How a peer's place on the whitelist ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delisted {
    /// When; none where the configuration lists it no more and its record is not written yet.
    pub at: Option<Timestamp>,
    /// By whom: `config`, an operator, or a peer whose word that its key changed was followed.
    pub by: String,
}

/// What the trust log comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    /// Listed peers by their ids.
    pub listed: BTreeMap<String, Listed>,
    /// Those who ask.
    pub pending: BTreeMap<String, Request>,
    /// Those who are not heard.
    pub ignored: BTreeMap<String, Ignored>,
    /// What other peers recommend: by whom it is about, and by whom it comes.
    pub recommended: BTreeMap<(String, String), Recommendation>,
    /// What this node recommends.
    pub own: BTreeMap<String, Recommendation>,
    /// What it recommended and took back, or what ended with the peer's place on the whitelist, with when it would have ended by
    /// itself: who was not there to hear of it hears it until then.
    pub withdrawn: BTreeMap<String, Timestamp>,
    /// Who was listed and is no more: whoever ended that did not mean that others' words go on. Each has its record in the log, made
    /// by an operator or the file, which is what bounds it.
    pub once_listed: BTreeMap<String, Delisted>,
    /// Whose transport key another one followed, by the old peer ids.
    pub followed: BTreeMap<String, Followed>,
}

impl Fold {
    /// Folds a whole log.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn of(log: &SideLog) -> Result<Self, TrustError> {
        let mut fold = Self::default();
        for block in log.iter() {
            let block = block?;
            let record = Record::read(&block.bytes).map_err(|refusal| TrustError::Record {
                id: block.id,
                refusal,
            })?;
            fold.take(record);
        }
        Ok(fold)
    }

    /// Takes one more record.
    pub fn take(&mut self, record: Record) {
        match record.decision {
            Decision::EnrolRequest => return self.asked(record),
            Decision::EnrolIgnore => {
                let request = self.pending.remove(&record.peer);
                let before = self.ignored.remove(&record.peer);
                let ignored = Ignored {
                    request: request.or_else(|| before.and_then(|before| before.request)),
                    at: record.at,
                    by: record.by,
                };
                self.ignored.insert(record.peer, ignored);
                return self.hush();
            }
            Decision::Recommend | Decision::RecommendRevoke => return self.recommend(record),
            Decision::Cleanup => return self.clean_up(record.at, &record.by),
            Decision::RotationFollow => return self.follow(record),
            Decision::RotationContest => return self.contest(record),
            Decision::WhitelistAdd => {
                // Whoever is listed need not ask, and is heard.
                self.pending.remove(&record.peer);
                self.ignored.remove(&record.peer);
                self.once_listed.remove(&record.peer);
                // The file may still name whose key ended; an operator who lists it means it.
                if let Some(followed) = self.followed.get_mut(&record.peer) {
                    followed.relisted |= !record.is_of_config();
                }
            }
            Decision::WhitelistRemove | Decision::WhitelistKey => {}
        }
        if record.decision != Decision::WhitelistAdd && !self.listed.contains_key(&record.peer) {
            // Nobody is taken off, and no key held, of whom nobody listed.
            return;
        }
        let rotated = self.rotated(&record.peer);
        let listed = self.listed.entry(record.peer.clone()).or_default();
        let of_config = record.is_of_config();
        let layer = if of_config {
            &mut listed.config
        } else {
            &mut listed.operator
        };
        match record.decision {
            Decision::WhitelistAdd => {
                let mut roles = record.roles;
                if roles.is_empty() {
                    roles.insert(Role::Sync);
                }
                *layer = Some(Entry {
                    name: record.name,
                    region: record.region,
                    expires_at: record.expires_at,
                    roles,
                    addresses: record.addresses,
                    at: record.at,
                    by: record.by.clone(),
                });
                listed.rotated = rotated;
                listed.hold(&record.keys);
            }
            Decision::WhitelistRemove => *layer = None,
            Decision::WhitelistKey => listed.hold(&record.keys),
            Decision::EnrolRequest
            | Decision::EnrolIgnore
            | Decision::Recommend
            | Decision::RecommendRevoke
            | Decision::Cleanup
            | Decision::RotationFollow
            | Decision::RotationContest => {}
        }
        if listed.is_gone() {
            self.unlist(&record.peer, Some(record.at), &record.by);
        }
    }

    pub(super) fn unlist(&mut self, peer: &str, at: Option<Timestamp>, by: &str) {
        self.listed.remove(peer);
        let by = by.to_owned();
        self.once_listed
            .insert(peer.to_owned(), Delisted { at, by });
        self.silence(peer);
    }

    /// What stood on its word falls with it; and who is no peer of this node is not recommended by it.
    pub(super) fn silence(&mut self, peer: &str) {
        self.recommended
            .retain(|(_, recommender), _| recommender != peer);
        let _said = self.withdraw(peer);
        self.hush();
    }

    /// This node recommends a peer no more; gives what it said.
    pub(super) fn withdraw(&mut self, peer: &str) -> Option<Recommendation> {
        let said = self.own.remove(peer)?;
        self.withdrawn.insert(peer.to_owned(), said.expires_at);
        // What ends soonest is what is worth saying least.
        if self.withdrawn.len() > MAX_OWN {
            let first = self.withdrawn.iter().min_by_key(|(_, at)| **at);
            let first = first.map(|(peer, _)| peer.clone());
            first.map(|peer| self.withdrawn.remove(&peer));
        }
        Some(said)
    }

    /// Takes away what is over at this time. What the configuration lists stays: it stands in the file.
    pub(super) fn clean_up(&mut self, now: Timestamp, by: &str) {
        self.pending.retain(|_, request| !request.is_old(now));
        self.recommended.retain(|_, said| now < said.expires_at);
        self.own.retain(|_, said| now < said.expires_at);
        self.withdrawn.retain(|_, at| now < *at);
        for listed in self.listed.values_mut() {
            listed.operator.take_if(|entry| entry.is_over(now));
            let holds =
                |key: &HeldKey| key.kind == KeyKind::Transport || is_in_its_time(&key.data, now);
            listed.keys.retain(holds);
        }
        let gone = self.listed.iter().filter(|(_, listed)| listed.is_gone());
        let gone: Vec<String> = gone.map(|(peer, _)| peer.clone()).collect();
        for peer in gone {
            self.unlist(&peer, Some(now), by);
        }
        self.hush();
    }

    fn recommend(&mut self, record: Record) {
        let now = record.at;
        self.recommended.retain(|_, said| now < said.expires_at);
        self.own.retain(|_, said| now < said.expires_at);
        self.withdrawn.retain(|_, at| now < *at);
        // Before the record: what stood on a word that has ended does not go on by a new one.
        self.hush();
        let said = Recommendation {
            name: record.name,
            region: record.region,
            at: record.at,
            expires_at: record.expires_at.unwrap_or(now),
            by: record.by,
        };
        let holds = record.decision == Decision::Recommend && now < said.expires_at;
        match (record.recommender, holds) {
            (None, true) => {
                self.withdrawn.remove(&record.peer);
                self.own.insert(record.peer, said);
            }
            (None, false) => drop(self.withdraw(&record.peer)),
            (Some(recommender), true) => {
                self.recommended.insert((record.peer, recommender), said);
            }
            (Some(recommender), false) => {
                self.recommended.remove(&(record.peer, recommender));
                self.hush();
            }
        }
    }

    /// Who recommends a peer now: only peers that are listed for it at this time.
    pub fn recommenders<'a>(
        &'a self,
        peer: &'a str,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'a String, &'a Recommendation)> {
        let said = self.recommended.iter();
        said.filter(move |((about, recommender), said)| {
            about == peer && now < said.expires_at && self.may_recommend(recommender, now)
        })
        .map(|((_, recommender), said)| (recommender, said))
    }

    /// Whether this peer is listed for what it recommends, at this time.
    #[must_use]
    pub fn may_recommend(&self, peer: &str, now: Timestamp) -> bool {
        self.recommends_until(peer).is_some_and(|until| now < until)
    }

    fn asked(&mut self, record: Record) {
        let now = record.at;
        self.pending.retain(|_, request| !request.is_old(now));
        let request = Request {
            name: record.name,
            message: record.message,
            region: record.region,
            addresses: record.addresses,
            from: record.from,
            at: record.at,
        };
        self.pending.insert(record.peer, request);
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;

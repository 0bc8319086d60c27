//! Recommendations: what listed peers say of others, what readers do where that may count, and what this node says to them. They list
//! nobody; an operator does.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use city_protocol::amount::Timestamp;
use city_protocol::trust::{
    MAX_RECOMMENDATION_MS, RECOMMENDATION_MS, SignedData, TrustRecommendation,
};
use libp2p::PeerId;

use super::error::ChangeError;
use super::fold::{Fold, Recommendation};
use super::keeper::{Keeper, Needed, Terms};
use super::pages::RecommendationsPage;
use super::record::{Decision, PEER, Record};
use crate::config::check_name;
use crate::engine::protocol_peer;

/// Peers that this node recommends at once: its neighbours, which its operators know.
pub(super) const MAX_OWN: usize = 64;
/// Words that a peer says as it connects, at most: whom it recommends, and as many that it took back.
pub const MAX_SAID: usize = 2 * MAX_OWN;
/// Recommendations of one peer that are kept.
const MAX_OF_ONE: usize = 64;
/// Recommendations of listed peers that are kept in all.
const MAX_IN_ALL: usize = 1024;
/// Records that one peer causes in a day, by recommendations and certificates: all the former it may have, said and taken back.
const MAX_A_DAY: u32 = 2 * 64;
/// Recommendations of one reader that are kept: a few neighbours, for nobody here chose it.
const MAX_OF_ONE_READER: usize = 16;
/// Recommendations of readers that are kept in all, beside those of listed peers and never in their place: a quarter as many, because
/// one listed peer's word can bring readers who do nothing but talk.
const MAX_OF_READERS: usize = MAX_IN_ALL / 4;
/// What one reader says that is recorded in a day: all that it may have, twice. What it takes back is recorded besides, for that it
/// said before.
const MAX_OF_ONE_READER_A_DAY: u32 = 2 * 16;
/// The same of all readers together: readers can be made up, and the log is for ever.
const MAX_OF_READERS_A_DAY: u32 = 2 * 256;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const HOUR_MS: u64 = 60 * 60 * 1000;
/// By how much its end must differ for a word that was said before to be news, in milliseconds: an hour.
const NEWS_MS: u64 = HOUR_MS;

/// How often what each peer said was recorded in a day. No more peers than are listed, and readers no more than were recorded.
#[derive(Default)]
pub(super) struct Heard {
    since: Timestamp,
    of: HashMap<PeerId, u32>,
    of_readers: HashMap<PeerId, u32>,
    readers: u32,
}

impl Heard {
    /// Whether one more of this peer is recorded; counts it.
    fn take(&mut self, peer: PeerId, now: Timestamp) -> bool {
        self.roll(now);
        let count = self.of.entry(peer).or_default();
        *count += 1;
        *count <= MAX_A_DAY
    }

    /// The same of a reader.
    fn take_of_reader(&mut self, peer: PeerId, now: Timestamp) -> bool {
        self.roll(now);
        if self.readers >= MAX_OF_READERS_A_DAY {
            return false;
        }
        let count = self.of_readers.entry(peer).or_default();
        if *count >= MAX_OF_ONE_READER_A_DAY {
            return false;
        }
        *count += 1;
        self.readers += 1;
        true
    }

    fn roll(&mut self, now: Timestamp) {
        if now.0.abs_diff(self.since.0) >= DAY_MS {
            *self = Self {
                since: now,
                ..Self::default()
            };
        }
    }
}

impl Keeper {
    /// Hears what a peer says of another; says whether that was new and is recorded. Waits for the disk.
    pub fn hear(&self, from: &PeerId, signed: &SignedData, now: Timestamp) -> bool {
        let Some(recommender) = protocol_peer(from) else {
            return false;
        };
        let Ok((about, said)) = TrustRecommendation::open(signed, &recommender, now) else {
            return false;
        };
        let about = crate::engine::libp2p_peer(&about);
        if about == *self.own() {
            return false;
        }
        let (peer, by) = (about.to_string(), from.to_string());
        let changing = self.changing();
        let decision = if said.expires_at > now {
            Decision::Recommend
        } else {
            Decision::RecommendRevoke
        };
        let (new, listed) = self.fold(|fold| {
            let before = fold.recommended.get(&(peer.clone(), by.clone()));
            let before = before.filter(|before| now < before.expires_at);
            // The same again is no news.
            let same = before
                .is_some_and(|before| before.expires_at.0.abs_diff(said.expires_at.0) < NEWS_MS);
            let new = match decision {
                Decision::Recommend => {
                    !same
                        && (before.is_some() || has_room(fold, &by, now))
                        && (fold.may_recommend(&by, now) || self.hears(fold, &by, &peer, now))
                }
                _ => before.is_some(),
            };
            (new, fold.listed.contains_key(&by))
        });
        let recorded = || match (listed, decision) {
            (true, Decision::Recommend) => self.may_record(from, now),
            (false, Decision::Recommend) => self.heard().take_of_reader(*from, now),
            // It was recorded before that it said so.
            (_, _) => true,
        };
        if !new || !recorded() {
            return false;
        }
        let record = Record {
            name: said.name,
            region: said.region,
            expires_at: Some(said.expires_at),
            recommender: Some(by),
            ..Record::of(decision, &peer, now, PEER)
        };
        match self.decide(&changing, record) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "a recommendation could not be recorded");
                false
            }
        }
    }

    /// Whether one more record that this peer causes is written today; counts it.
    pub(crate) fn may_record(&self, from: &PeerId, now: Timestamp) -> bool {
        self.heard().take(*from, now)
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it counts what this reader says of another. Of whom somebody here decided about it never does.
    fn hears(&self, fold: &Fold, reader: &str, about: &str, now: Timestamp) -> bool {
        let Needed { to_read, depth, .. } = self.0.needed;
        depth > 1 && !fold.is_decided(about) && fold.readers(to_read, depth).hears(reader, now)
    }

    /// Recommends a listed peer to those that listen to this node; durable when this returns. Waits for the disk.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was changed then.
    pub fn recommend(
        &self,
        peer: &PeerId,
        name: Option<String>,
        hours: Option<u64>,
        now: Timestamp,
        by: &str,
    ) -> Result<TrustRecommendation, ChangeError> {
        let id = peer.to_string();
        if peer == self.own() {
            return Err(ChangeError::Myself(id));
        }
        let time = hours.map_or(Some(RECOMMENDATION_MS), |hours| hours.checked_mul(HOUR_MS));
        let time = time.filter(|time| (1..=MAX_RECOMMENDATION_MS).contains(time));
        let expires_at = now.plus_ms(time.ok_or(ChangeError::RecommendHours)?);
        if let Some(name) = &name {
            check_name(name).map_err(|what| ChangeError::Name(format!("{name:?} {what}")))?;
        }
        let changing = self.changing();
        let listed = self.listed(&id).filter(|listed| listed.is_in_force(now));
        let listed = listed.ok_or_else(|| ChangeError::NotListed(id.clone()))?;
        let (duplicate, full) = self.fold(|fold| {
            let before = fold.own.get(&id);
            let longer = |before: &Recommendation| {
                now < before.expires_at && before.expires_at.plus_ms(NEWS_MS) > expires_at
            };
            let live = fold.own.values().filter(|said| now < said.expires_at);
            (
                before.is_some_and(longer),
                before.is_none() && live.count() >= MAX_OWN,
            )
        });
        if duplicate {
            return Err(ChangeError::Recommended(id));
        }
        if full {
            return Err(ChangeError::OwnFull);
        }
        let called = listed.entries().map(|entry| entry.name.clone());
        let called = called.into_iter().find(|name| !name.is_empty());
        let record = Record {
            name: name.or(called).unwrap_or_default(),
            region: listed.region().cloned(),
            expires_at: Some(expires_at),
            ..Record::of(Decision::Recommend, &id, now, by)
        };
        let said = said(peer, &record.name, record.region.clone(), expires_at);
        self.decide(&changing, record)?;
        Ok(said)
    }

    /// Takes back what this node recommends; durable when this returns. Waits for the disk.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was changed then.
    pub fn revoke(
        &self,
        peer: &PeerId,
        now: Timestamp,
        by: &str,
    ) -> Result<TrustRecommendation, ChangeError> {
        let id = peer.to_string();
        let changing = self.changing();
        let there = |fold: &Fold| fold.own.get(&id).is_some_and(|said| now < said.expires_at);
        let again = |fold: &Fold| fold.withdrawn.get(&id).is_some_and(|at| now < *at);
        if !self.fold(there) {
            // Whoever takes it back again wants it heard.
            return match self.fold(again) {
                true => Ok(withdrawal(peer)),
                false => Err(ChangeError::NotRecommended(id)),
            };
        }
        let record = Record::of(Decision::RecommendRevoke, &id, now, by);
        self.decide(&changing, record)?;
        Ok(withdrawal(peer))
    }

    /// Everything that is recommended at this time, as it is shown.
    #[must_use]
    pub fn recommendations(&self, now: Timestamp) -> RecommendationsPage {
        self.fold(|fold| RecommendationsPage::of(fold, self.0.needed, now))
    }

    /// What this node recommends now, and what it took back, to be signed.
    #[must_use]
    pub fn recommends(&self, now: Timestamp) -> Vec<TrustRecommendation> {
        let mut all = self.fold(|fold| {
            let in_force = |peer: &String| {
                let listed = fold.listed.get(peer);
                listed.is_some_and(|listed| listed.is_in_force(now))
            };
            let live = fold.own.iter();
            let live = live.filter(|(peer, own)| now < own.expires_at && in_force(peer));
            live.filter_map(|(peer, own)| {
                let peer = peer.parse().ok()?;
                Some(said(&peer, &own.name, own.region.clone(), own.expires_at))
            })
            .collect::<Vec<_>>()
        });
        all.extend(self.withdraws(now));
        all
    }

    /// What this node took back of what it recommended, as long as somebody may go by it, to be signed.
    #[must_use]
    pub fn withdraws(&self, now: Timestamp) -> Vec<TrustRecommendation> {
        self.fold(|fold| {
            let ended = fold.withdrawn.iter().filter(|(_, at)| now < **at);
            ended
                .filter_map(|(peer, _)| Some(withdrawal(&peer.parse().ok()?)))
                .collect()
        })
    }

    /// The terms on which a recommended peer is listed, if enough peers recommend it.
    pub(super) fn recommended(
        &self,
        peer: &str,
        now: Timestamp,
    ) -> Result<Option<Terms>, ChangeError> {
        let (have, first) = self.fold(|fold| {
            let said: Vec<_> = fold
                .recommenders(peer, now)
                .map(|(_, said)| said.clone())
                .collect();
            (said.len(), said.into_iter().next())
        });
        let needed = self.0.needed.to_approve;
        match first {
            None => Ok(None),
            Some(_) if (have as u64) < needed => Err(ChangeError::TooFew {
                peer: peer.into(),
                have,
                needed,
            }),
            Some(said) => Ok(Some(Terms {
                name: Some(said.name),
                region: said.region,
                ..Terms::default()
            })),
        }
    }
}

/// Whether there is room for one more word of this peer: readers have their own, so that they never take that of listed ones.
fn has_room(fold: &Fold, by: &str, now: Timestamp) -> bool {
    let (mut of_one, mut of_readers, mut all) = (0, 0, 0);
    // What is over takes no room from what is said again.
    let live = fold.recommended.iter();
    for ((_, other), _) in live.filter(|(_, said)| now < said.expires_at) {
        all += 1;
        of_one += usize::from(other == by);
        of_readers += usize::from(!fold.listed.contains_key(other));
    }
    if fold.listed.contains_key(by) {
        of_one < MAX_OF_ONE && all - of_readers < MAX_IN_ALL
    } else {
        // Who was a reader and was listed since took its words along.
        of_one < MAX_OF_ONE_READER
            && of_readers < MAX_OF_READERS
            && all < MAX_IN_ALL + MAX_OF_READERS
    }
}

/// A word that takes an earlier one back.
fn withdrawal(peer: &PeerId) -> TrustRecommendation {
    said(peer, "", None, Timestamp(0))
}

fn said(
    peer: &PeerId,
    name: &str,
    region: Option<city_protocol::region::Region>,
    expires_at: Timestamp,
) -> TrustRecommendation {
    TrustRecommendation {
        v: 1,
        peer: peer.to_bytes(),
        name: name.into(),
        region,
        expires_at,
    }
}

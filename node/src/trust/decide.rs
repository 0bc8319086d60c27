//! How a decision is made: names among the private values, the record in the log, and then it counts.

use std::sync::MutexGuard;

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::ids::BlockId;
use libp2p::PeerId;

use super::cleanup::names_over;
use super::config::{asked_of, given_name_of, recommended_of};
use super::error::{ChangeError, TrustError};
use super::fold::{Fold, Listed, Recommendation};
use super::keeper::{HELD, Keeper};
use super::record::{Decision, MAX_RECORD, Record};
use crate::keys::PrivatePlace;

/// Private values to put, or to remove.
type Changes = Vec<(PrivatePlace, Option<String>)>;

impl Keeper {
    /// Records a decision, with its name where names belong; then it counts.
    ///
    /// # Errors
    /// [`ChangeError::Trust`]; it does not count then.
    pub(super) fn decide(
        &self,
        _changing: &MutexGuard<'_, ()>,
        record: Record,
    ) -> Result<(), ChangeError> {
        let inner = &*self.0;
        let log = inner.store.trust();
        let mut written = Record {
            prev: log.head(),
            ..record.clone()
        };
        // With everything that belongs to it, for what is left out only makes it shorter.
        let mut bytes = written.encode();
        if bytes.len() > MAX_RECORD {
            let (id, refusal) = (BlockId::of(&bytes), Refusal::TooLarge);
            return Err(TrustError::Record { id, refusal }.into());
        }
        if let Some(names) = &inner.names {
            let before = self.fold(|fold| put_before(fold, &record));
            if !before.is_empty() {
                names.put(&borrowed(&before)).map_err(TrustError::from)?;
            }
            // Also a name that belongs nowhere: the log is for ever.
            written.name.clear();
            written.message.clear();
            bytes = written.encode();
        }
        log.append(&bytes).map_err(TrustError::from)?;
        let peer = record.peer.clone();
        let (until, after) = {
            let mut fold = inner.fold.write().expect(HELD);
            let mut after = taken_after(&fold, &record);
            let readers: Vec<(String, String)> = fold.said_by_readers().cloned().collect();
            fold.take(record);
            // What readers said may have ended with it.
            let gone = readers.into_iter();
            let gone = gone.filter(|said| !fold.recommended.contains_key(said));
            after.extend(gone.map(|(about, by)| (recommended_of(&about, Some(&by)), None)));
            let listed = fold.listed.get(&peer);
            (listed.map(|listed| listed.expires_at()), after)
        };
        if let Ok(id) = peer.parse::<PeerId>() {
            self.admit(id, until);
        }
        self.admit_readers();
        if let Some(names) = inner.names.as_ref().filter(|_| !after.is_empty())
            && let Err(error) = names.put(&borrowed(&after))
        {
            // The decision stands; a name without an entry is passed over.
            tracing::warn!(%error, "names that belong to nobody any more could not be deleted");
        }
        Ok(())
    }
}

impl Keeper {
    /// Has the gate go by it that a peer is listed until then, or not at all.
    pub(super) fn admit(&self, peer: PeerId, until: Option<Option<Timestamp>>) {
        let allowed = &self.0.allowed;
        match until {
            // The number was checked before.
            Some(until) => drop(allowed.insert(peer, until.map(|at| at.0))),
            None => drop(allowed.remove(&peer)),
        }
    }
}

fn borrowed(changes: &Changes) -> Vec<(PrivatePlace, Option<&str>)> {
    let changes = changes.iter();
    changes
        .map(|(place, value)| (place.clone(), value.as_deref()))
        .collect()
}

/// What must be among the private values before the record is written. With it goes what others left there that waited
/// too long or is over: the fold forgets them by the same record.
fn put_before(fold: &Fold, record: &Record) -> Changes {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let name = some(&record.name);
    match record.decision {
        Decision::WhitelistAdd => vec![(given_name_of(&record.peer), name)],
        Decision::EnrolRequest => {
            let old = fold.pending.iter();
            let old = old.filter(|(_, request)| request.is_old(record.at));
            let gone = old
                .flat_map(|(peer, _)| asked_of(peer))
                .map(|place| (place, None));
            let mut changes: Changes = gone.collect();
            changes.extend(
                asked_of(&record.peer)
                    .into_iter()
                    .zip([name, some(&record.message)]),
            );
            changes
        }
        Decision::Recommend => {
            let over = |said: &Recommendation| record.at >= said.expires_at;
            let others = fold.recommended.iter().filter(|(_, said)| over(said));
            let others = others.map(|((peer, by), _)| recommended_of(peer, Some(by)));
            let own = fold.own.iter().filter(|(_, said)| over(said));
            let own = own.map(|(peer, _)| recommended_of(peer, None));
            let mut changes: Changes = others.chain(own).map(|place| (place, None)).collect();
            // The last counts, if it is one of those.
            changes.push((
                recommended_of(&record.peer, record.recommender.as_deref()),
                name,
            ));
            changes
        }
        Decision::RotationFollow => {
            let Some((_, said)) = record.rotated() else {
                return Vec::new();
            };
            let new = said.new.to_string();
            let own = fold.own.get(&record.peer).map(|own| some(&own.name));
            let own = own.map(|name| (recommended_of(&new, None), name));
            // Who is listed under the new id already keeps its name.
            let listed = fold.listed.contains_key(&new);
            let given = (!listed).then(|| (given_name_of(&new), name));
            given.into_iter().chain(own).collect()
        }
        Decision::WhitelistRemove
        | Decision::WhitelistKey
        | Decision::EnrolIgnore
        | Decision::RecommendRevoke
        | Decision::Cleanup
        | Decision::RotationContest => Vec::new(),
    }
}

/// What belongs to nobody any more when the record is taken; `fold` is from before.
fn taken_after(fold: &Fold, record: &Record) -> Changes {
    let peer = &record.peer;
    let places = match record.decision {
        Decision::WhitelistAdd => asked_of(peer).to_vec(),
        Decision::WhitelistRemove | Decision::RotationFollow => {
            let mut places = vec![given_name_of(peer)];
            let stays = |listed: &Listed| listed.config.is_some();
            let falls = record.decision == Decision::RotationFollow
                || !fold.listed.get(peer).is_some_and(stays);
            if falls {
                // What it recommended falls with it, and that it was recommended.
                let said = fold.recommended.keys().filter(|(_, by)| by == peer);
                places.extend(said.map(|(about, by)| recommended_of(about, Some(by))));
                places.push(recommended_of(peer, None));
            }
            places
        }
        Decision::RecommendRevoke => vec![recommended_of(peer, record.recommender.as_deref())],
        Decision::Cleanup => names_over(fold, record.at),
        _ => Vec::new(),
    };
    places.into_iter().map(|place| (place, None)).collect()
}

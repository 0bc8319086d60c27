//! This node's whitelist as a file for others' operators, and theirs, of which an operator here chooses entries.

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::trust::{WhitelistList, WhitelistListEntry};
use libp2p::PeerId;

use super::error::ChangeError;
use super::fold::{Fold, Listed};
use super::keeper::{Keeper, MAX_HOURS, Terms};
use super::keyfile::Judges;
use super::pages::{ImportedEntry, ImportedPage, ImportedState, PeerText};
use crate::engine::{libp2p_peer, protocol_peer};

const HOUR_MS: u64 = 60 * 60 * 1000;

/// Which entries of a list an operator takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// All that can be.
    All,
    /// These; none: the list is only looked at.
    Peers(Vec<PeerId>),
}

impl Chosen {
    fn has(&self, peer: &PeerId) -> bool {
        match self {
            Self::All => true,
            Self::Peers(peers) => peers.contains(peer),
        }
    }
}

impl Keeper {
    /// What this node lists and is in force: all of it, or these peers.
    ///
    /// # Errors
    /// [`ChangeError::NotListed`] for a peer that is not.
    pub fn list(&self, only: &[PeerId], now: Timestamp) -> Result<WhitelistList, ChangeError> {
        let in_force = |peer: &PeerId| {
            let listed = self.listed(&peer.to_string());
            listed.is_some_and(|listed| listed.is_in_force(now))
        };
        if let Some(other) = only.iter().find(|peer| !in_force(peer)) {
            return Err(ChangeError::NotListed(other.to_string()));
        }
        let entries = self.fold(|fold: &Fold| {
            let listed = fold.listed.iter();
            let listed = listed.filter(|(_, listed)| listed.is_in_force(now));
            let entries = listed.filter_map(|(peer, listed)| {
                let peer: PeerId = peer.parse().ok()?;
                let chosen = only.is_empty() || only.contains(&peer);
                chosen.then(|| entry_of(&peer, listed)).flatten()
            });
            entries.collect()
        });
        Ok(WhitelistList { v: 1, entries })
    }

    /// Reads another node's list, and lists the peers that were chosen of it: for `sync` only, without addresses, and not longer
    /// than the list says or `hours`. Who is listed here keeps its terms, and who is ignored here stays so. Durable when this
    /// returns; waits for the disk. Where an entry could not be listed, why stands beside what came of those before it.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was changed then.
    pub fn import(
        &self,
        file: &[u8],
        chosen: &Chosen,
        hours: Option<u64>,
        judges: Judges<'_>,
        by: &str,
    ) -> Result<(ImportedPage, Option<ChangeError>), ChangeError> {
        let now = judges.now;
        let (signer, signed_at, list) =
            WhitelistList::open(file, now).map_err(ChangeError::List)?;
        let signer = libp2p_peer(&signer).to_string();
        let known = self.listed(&signer);
        if !known.is_some_and(|listed| listed.is_in_force(now)) {
            return Err(ChangeError::ListOfAStranger(signer));
        }
        let mut entries = Vec::new();
        for entry in list.entries {
            // Its form was checked.
            if let Ok(peer) = PeerId::from_bytes(&entry.peer) {
                entries.push((peer, entry));
            }
        }
        if let Chosen::Peers(peers) = chosen {
            let there = |peer: &&PeerId| entries.iter().any(|(found, _)| found == *peer);
            if let Some(missing) = peers.iter().find(|peer| !there(peer)) {
                return Err(ChangeError::NotOnList(missing.to_string()));
            }
        }
        let (mut shown, mut failed) = (Vec::new(), None);
        for (peer, entry) in entries {
            let mut state = self.state_of(&peer, &entry, now);
            if state == ImportedState::Offered && chosen.has(&peer) && failed.is_none() {
                match self.add(&peer, terms(&entry, hours, now), judges, by) {
                    Ok(_) => state = ImportedState::Added,
                    Err(error) => failed = Some(error),
                }
            }
            shown.push(ImportedEntry {
                peer: PeerText(peer.to_string()),
                name: entry.name,
                region: entry.region,
                expires_at: entry.expires_at,
                state,
            });
        }
        let page = ImportedPage {
            schema: 1,
            signer: PeerText(signer),
            signed_at,
            entries: shown,
        };
        Ok((page, failed))
    }

    fn state_of(&self, peer: &PeerId, entry: &WhitelistListEntry, now: Timestamp) -> ImportedState {
        let ends_soon = |at: Timestamp| at.since(now) < HOUR_MS;
        let id = peer.to_string();
        if peer == self.own() {
            ImportedState::Myself
        } else if let Some(listed) = self.listed(&id) {
            match listed.is_in_force(now) {
                true => ImportedState::Listed,
                false => ImportedState::Ended,
            }
        } else if self.fold(|fold| fold.ignored.contains_key(&id)) {
            ImportedState::Ignored
        } else if entry.expires_at.is_some_and(ends_soon) {
            ImportedState::Over
        } else {
            ImportedState::Offered
        }
    }
}

/// The terms of an entry: hours that are whole end no later than the list says.
fn terms(entry: &WhitelistListEntry, hours: Option<u64>, now: Timestamp) -> Terms {
    let listed = entry.expires_at.map(|at| at.since(now) / HOUR_MS);
    let listed = listed.map(|hours| hours.min(MAX_HOURS));
    Terms {
        // A name of blanks says nothing, and is none here.
        name: Some(entry.name.trim().to_owned()),
        hours: [listed, hours].into_iter().flatten().min(),
        region: entry.region.clone(),
        ..Terms::default()
    }
}

fn entry_of(peer: &PeerId, listed: &Listed) -> Option<WhitelistListEntry> {
    // One with another kind of key cannot be written down.
    protocol_peer(peer)?;
    let mut names = listed.entries().map(|entry| &entry.name);
    let name = names.find(|name| !name.is_empty());
    Some(WhitelistListEntry {
        peer: peer.to_bytes(),
        name: name.cloned().unwrap_or_default(),
        region: listed.region().cloned(),
        expires_at: listed.expires_at(),
    })
}

/// What is wrong with a list, in words for operators.
pub(super) fn why(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Expired => "it is older than a day: ask for a new one",
        Refusal::FutureDated => {
            "it is dated ahead of this node's clock: set the clock that is wrong"
        }
        Refusal::BadSignature | Refusal::WrongKey => "its signature is not good: ask for it again",
        Refusal::UnknownVersion => "it was written by newer software: upgrade this node",
        _ => "it is no list that `city-node whitelist export` wrote: ask for it again",
    }
}

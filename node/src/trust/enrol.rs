//! A stranger's request to be listed, from its first byte to an operator's decision. Nothing is answered before it is
//! durable.

use std::collections::BTreeSet;

use city_protocol::amount::Timestamp;
use city_protocol::trust::{EnrolVerdict, PeerId as ProtocolPeer, WhitelistRequest};
use libp2p::{Multiaddr, PeerId};

use super::error::ChangeError;
use super::fold::{Listed, MAX_IGNORED, MAX_PENDING, Request};
use super::keeper::{Keeper, Terms};
use super::keyfile::Judges;
use super::record::{Decision, Record, Role, STRANGER};
use crate::config::check_peer_address;
use crate::engine::protocol_peer;

impl Keeper {
    /// Judges a request and records it, if it is new. Waits for the disk.
    pub fn request(
        &self,
        peer: &PeerId,
        from: &Multiaddr,
        request: &[u8],
        now: Timestamp,
    ) -> EnrolVerdict {
        let (Some(asks), Some(me)) = (protocol_peer(peer), protocol_peer(self.own())) else {
            return EnrolVerdict::Refused;
        };
        match self.judge(peer, &asks, &me, request, now) {
            Ok(request) => {
                let record = Record {
                    name: request.name,
                    message: request.message,
                    region: Some(request.region),
                    addresses: request.addresses,
                    from: Some(from.to_string()),
                    ..Record::of(Decision::EnrolRequest, &peer.to_string(), now, STRANGER)
                };
                self.wait_for_decision(record, now)
            }
            Err(verdict) => verdict,
        }
    }

    fn judge(
        &self,
        peer: &PeerId,
        asks: &ProtocolPeer,
        me: &ProtocolPeer,
        request: &[u8],
        now: Timestamp,
    ) -> Result<WhitelistRequest, EnrolVerdict> {
        let request = WhitelistRequest::open(request, asks, me, now);
        let request = request.map_err(|_| EnrolVerdict::Refused)?;
        let callable = |address: &String| check_peer_address(address, Some(*peer)).is_ok();
        match request.addresses.iter().all(callable) {
            true => Ok(request),
            false => Err(EnrolVerdict::Refused),
        }
    }

    fn wait_for_decision(&self, record: Record, now: Timestamp) -> EnrolVerdict {
        let changing = self.changing();
        let known = self.fold(|fold| {
            let waits = |request: &Request| !request.is_old(now);
            if fold.ignored.contains_key(&record.peer) {
                Some(EnrolVerdict::Refused)
            } else if fold
                .listed
                .get(&record.peer)
                .is_some_and(|listed| listed.is_in_force(now))
            {
                Some(EnrolVerdict::Listed)
            } else if fold.pending.get(&record.peer).is_some_and(waits) {
                Some(EnrolVerdict::Pending)
            } else if fold
                .pending
                .values()
                .filter(|request| waits(request))
                .count()
                >= MAX_PENDING
            {
                Some(EnrolVerdict::Busy)
            } else {
                None
            }
        });
        if let Some(verdict) = known {
            return verdict;
        }
        match self.decide(&changing, record) {
            Ok(()) => EnrolVerdict::Pending,
            Err(error) => {
                tracing::warn!(%error, "a request to be whitelisted could not be recorded");
                EnrolVerdict::Busy
            }
        }
    }

    /// Lists a peer that asked, on the terms that it named, or that enough peers recommend, on theirs; durable when this
    /// returns. Waits for the disk.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was changed then.
    pub fn approve(
        &self,
        peer: &PeerId,
        hours: Option<u64>,
        roles: BTreeSet<Role>,
        judges: Judges<'_>,
        by: &str,
    ) -> Result<Listed, ChangeError> {
        let id = peer.to_string();
        let asked = self.fold(|fold| {
            let ignored = fold
                .ignored
                .get(&id)
                .and_then(|ignored| ignored.request.as_ref());
            fold.pending.get(&id).or(ignored).cloned()
        });
        let named = match asked {
            Some(asked) => Terms {
                name: Some(asked.name),
                region: asked.region,
                addresses: asked.addresses,
                ..Terms::default()
            },
            None => self
                .recommended(&id, judges.now)?
                .ok_or(ChangeError::NotPending(id))?,
        };
        let terms = Terms {
            hours,
            roles,
            ..named
        };
        self.add(peer, terms, judges, by)
    }

    /// Hears no more of a peer; durable when this returns. Waits for the disk.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was changed then.
    pub fn ignore(&self, peer: &PeerId, now: Timestamp, by: &str) -> Result<(), ChangeError> {
        let id = peer.to_string();
        let changing = self.changing();
        let (listed, full) = self.fold(|fold| {
            let full = fold.ignored.len() >= MAX_IGNORED && !fold.ignored.contains_key(&id);
            (fold.listed.contains_key(&id), full)
        });
        if listed {
            return Err(ChangeError::IsListed(id));
        }
        if full {
            return Err(ChangeError::IgnoredFull);
        }
        self.decide(&changing, Record::of(Decision::EnrolIgnore, &id, now, by))
    }
}

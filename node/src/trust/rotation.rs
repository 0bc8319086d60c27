//! Rotations of transport keys: which are followed, and which are handed on. A rotation proves itself, whoever brings it;
//! it moves an entry that is here and in force, and nothing else.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use city_protocol::amount::Timestamp;
use city_protocol::ids::NetworkId;
use city_protocol::pki::{Role as NodeRole, certified_node};
use city_protocol::region::Region;
use city_protocol::trust::{
    Predecessor, ROTATION_MS, RotationJudges, RotationRefusal, SignedRotation,
};
use libp2p::PeerId;

use super::error::ChangeError;
use super::fold::{Fold, Listed};
use super::keeper::{Keeper, MAX_ADDRESSES};
use super::keyfile::Judges;
use super::record::{Decision, PEER, Record};
use crate::access::{Class, Event};
use crate::engine::libp2p_peer;
use crate::net::MAX_WHITELIST;

/// Rotations of this node itself that it hands on: a key that is changed each month leaves three in their time.
pub const MAX_OWN_CARRIED: usize = 4;
/// Rotations that are remembered.
const MAX_FOLLOWED: usize = MAX_WHITELIST;
/// How often one node's key is followed by its own or others' word in [`ROTATION_MS`]: whoever has a CA of its own could else fill
/// everybody's trust log. An operator's file is taken all the same.
const MAX_STEPS: usize = 4;

/// Who brings a rotation.
#[derive(Clone, Copy, Debug)]
pub enum Bringer<'a> {
    /// A listed peer: the node itself, or one that followed it.
    Peer(&'a PeerId),
    /// An operator, as the access log names them.
    Operator(&'a str),
}

/// What became of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Following {
    /// It is followed now.
    Moved(Moved),
    /// It was before.
    Known(Moved),
}

/// Whose entry passed to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The peer id that ends.
    pub old: PeerId,
    /// The one that follows it.
    pub new: PeerId,
}

impl Moved {
    /// The line of the access log; who brought it, or decided it.
    #[must_use]
    pub fn event(&self, who: &str) -> Event {
        let Self { old, new } = self;
        let decision = Decision::RotationFollow.name();
        Event::once(Class::Trust, who, &format!("{decision} {old} {new}"))
    }
}

impl Keeper {
    /// Follows a rotation: the entry of the old peer id passes to the new one, durably when this returns. Waits for the disk.
    ///
    /// # Errors
    /// [`ChangeError`]; nobody's permission was changed then.
    pub fn follow(
        &self,
        signed: &SignedRotation,
        network: &NetworkId,
        judges: Judges<'_>,
        bringer: Bringer<'_>,
    ) -> Result<Following, ChangeError> {
        let said = signed.said().map_err(RotationRefusal::from)?;
        let moved = Moved {
            old: libp2p_peer(&said.old),
            new: libp2p_peer(&said.new),
        };
        let (old, new) = (moved.old.to_string(), moved.new.to_string());
        if moved.old == *self.own() || moved.new == *self.own() {
            return Err(ChangeError::Myself(self.own().to_string()));
        }
        let now = judges.now;
        let judge = |before: &Listed| {
            let (region, role) = before
                .predecessor()
                .ok_or_else(|| ChangeError::NoMunicipality(old.clone()))?;
            let Judges { roots, crls, now } = judges;
            let before = Predecessor {
                region: &region,
                role,
            };
            let judges = RotationJudges {
                network,
                roots,
                crls,
                now,
            };
            Ok::<_, ChangeError>(signed.judge(before, judges)?)
        };
        let changing = self.changing();
        if let Some(first) = self.fold(|fold| fold.followed.get(&old).cloned()) {
            if first.new == new {
                return Ok(Following::Known(moved));
            }
            let successor = self.listed(&first.new);
            judge(&successor.ok_or(ChangeError::NotListed(old.clone()))?)?;
            if first.contested.is_none() && self.may_record_of(bringer, now) {
                let record = record(Decision::RotationContest, &old, signed, now, bringer);
                self.decide(&changing, record)?;
            }
            return Err(ChangeError::Contested {
                old,
                first: first.new,
                second: new,
            });
        }
        let listed = self
            .listed(&old)
            .ok_or_else(|| ChangeError::NotListed(old.clone()))?;
        if !listed.is_in_force(now) {
            return Err(ChangeError::NotInForce(old));
        }
        self.may_succeed(&new, now)?;
        let (said, certificate) = judge(&listed)?;
        let since = now.minus_ms(ROTATION_MS);
        let often = self.fold(|fold| fold.steps_to(&old, since)) >= MAX_STEPS;
        if often && matches!(bringer, Bringer::Peer(_)) || !self.may_record_of(bringer, now) {
            return Err(ChangeError::TooMuchSaid);
        }
        let terms = terms(&listed, certificate.region, now);
        let record = Record {
            name: terms.name,
            region: terms.region,
            expires_at: terms.expires_at,
            roles: terms.roles,
            addresses: terms.addresses,
            ..record(Decision::RotationFollow, &old, signed, now, bringer)
        };
        self.decide(&changing, record)?;
        let until = self.listed(&new).map(|listed| listed.expires_at());
        self.admit(moved.new, until);
        tracing::info!(%old, %new, made_at = said.made_at.0, "a rotation of a transport key is followed");
        Ok(Following::Moved(moved))
    }

    /// Whether a rotation may lead to this peer id.
    fn may_succeed(&self, new: &str, now: Timestamp) -> Result<(), ChangeError> {
        let full =
            |fold: &Fold| fold.followed.len() >= MAX_FOLLOWED || fold.listed.len() >= MAX_WHITELIST;
        // Whom somebody took off the list, or does not hear, or whose key ended.
        let decided = |fold: &Fold| {
            fold.ignored.contains_key(new)
                || fold.once_listed.contains_key(new)
                || fold.followed.contains_key(new)
        };
        if self.fold(decided) {
            return Err(ChangeError::NotBroughtBack(new.to_owned()));
        }
        match self.listed(new) {
            Some(listed) if !listed.is_in_force(now) => Err(ChangeError::NotInForce(new.into())),
            None if self.fold(full) => Err(ChangeError::Full),
            _ => Ok(()),
        }
    }

    fn may_record_of(&self, bringer: Bringer<'_>, now: Timestamp) -> bool {
        match bringer {
            Bringer::Peer(peer) => self.may_record(peer, now),
            Bringer::Operator(_) => true,
        }
    }

    /// The peer id to which followed rotations lead from this one; itself where none was.
    #[must_use]
    pub fn newest(&self, peer: &str) -> String {
        self.fold(|fold| fold.newest(peer).to_owned())
    }

    /// Hands on this rotation of the node itself from now on, beside those from before.
    pub fn carry(&self, own: SignedRotation) {
        let mut carried = self
            .0
            .rotations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        carried.push(Arc::new(own));
        let beyond = carried.len().saturating_sub(MAX_OWN_CARRIED);
        carried.drain(..beyond);
    }

    /// The rotations that a peer is told as it connects, in the order in which they were made: of this node, and those that it
    /// followed, while they can be followed.
    #[must_use]
    pub fn carried(&self, now: Timestamp) -> Vec<Arc<SignedRotation>> {
        let own = self
            .0
            .rotations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let own = own.iter().filter_map(|signed| {
            let said = signed.said().ok()?;
            (now < said.expires_at).then(|| (said.made_at, Arc::clone(signed)))
        });
        let mut carried: Vec<_> = own.collect();
        carried.extend(self.fold(|fold| fold.carried(now)));
        carried.sort_by_key(|(made_at, _)| *made_at);
        carried.into_iter().map(|(_, signed)| signed).collect()
    }
}

fn record(
    decision: Decision,
    old: &str,
    signed: &SignedRotation,
    now: Timestamp,
    bringer: Bringer<'_>,
) -> Record {
    let (by, from) = match bringer {
        Bringer::Peer(peer) => (PEER, Some(peer.to_string())),
        Bringer::Operator(who) => (who, None),
    };
    Record {
        recommender: from.filter(|from| from != old),
        rotation: Some(signed.encode().into()),
        ..Record::of(decision, old, now, by)
    }
}

/// The terms on which the old peer id may connect now.
struct Terms {
    name: String,
    region: Option<Region>,
    expires_at: Option<Timestamp>,
    roles: BTreeSet<super::record::Role>,
    addresses: Vec<String>,
}

/// What both entries say that are in force, together; an entry that names no municipality gets the certificate's.
fn terms(listed: &Listed, region: Region, now: Timestamp) -> Terms {
    let entries = || listed.entries().filter(|entry| !entry.is_over(now));
    let mut addresses: Vec<String> = Vec::new();
    for address in entries().flat_map(|entry| &entry.addresses) {
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(address) {
            addresses.push(address.clone());
        }
    }
    let mut names = entries().map(|entry| &entry.name);
    let name = names.find(|name| !name.is_empty());
    Terms {
        name: name.cloned().unwrap_or_default(),
        region: Some(listed.region().cloned().unwrap_or(region)),
        expires_at: listed.expires_at(),
        roles: entries().flat_map(|entry| entry.roles.clone()).collect(),
        addresses,
    }
}

impl Listed {
    /// The municipality of this peer, by its entry or else by the newest certificate that is held, and its role if that is known.
    fn predecessor(&self) -> Option<(Region, Option<NodeRole>)> {
        let newest = self.certificates().last();
        let certified = newest.and_then(|held| certified_node(&held.data).ok());
        match (self.region(), certified) {
            (Some(region), certified) => Some((region.clone(), certified.map(|(_, role)| role))),
            (None, Some((region, role))) => Some((region, Some(role))),
            (None, None) => None,
        }
    }
}

/// What is wrong with a rotation, in words for operators.
pub(super) fn why(refusal: &RotationRefusal) -> String {
    use city_protocol::Refusal;
    let RotationRefusal::Form(form) = refusal else {
        return refusal.to_string();
    };
    let words = match form {
        Refusal::Expired => {
            "it was made too long ago; list the new peer id with `city-node whitelist add`"
        }
        Refusal::FutureDated => {
            "it is dated ahead of this node's clock: set the clock that is wrong"
        }
        Refusal::BadSignature | Refusal::SignatureLength | Refusal::BadKey => {
            "the old and the new key have not both signed it: ask for it again"
        }
        Refusal::WrongNetwork => "it is of another network",
        Refusal::UnknownVersion => "it was written by newer software: upgrade this node",
        _ => "it is none that `city-node key rotate transport` wrote: ask for it again",
    };
    words.into()
}

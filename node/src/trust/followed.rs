//! What a followed rotation comes to: whose entry passed to whom, and what is handed on of it. Pure.

use std::sync::Arc;

use city_protocol::amount::Timestamp;
use city_protocol::trust::{Rotation, SignedRotation};

use super::fold::{Entry, Fold};
use super::record::{HeldKey, KeyKind, Record};

/// Followed rotations that are handed on, the newest: who was away longer than so many changes of its neighbours is told by
/// file. With the longest certificates they are 1 MiB a connection.
pub const MAX_CARRIED: usize = 16;

/// A peer id whose rotation was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The peer id that its entry passed to.
    pub new: String,
    /// Since when.
    pub at: Timestamp,
    /// By whom: `peer`, or an operator.
    pub by: String,
    /// Which peer handed it on; none: the node itself said so, or an operator brought the file.
    pub from: Option<String>,
    /// When both keys signed it.
    pub made_at: Timestamp,
    /// Until when others can follow it.
    pub expires_at: Timestamp,
    /// Another rotation of the same peer id that was not followed: two successors are one too many.
    pub contested: Option<Contested>,
    /// Whether an operator listed the old peer id again since.
    pub relisted: bool,
    /// To hand on, while it is one of the newest.
    pub(super) signed: Option<Arc<SignedRotation>>,
}

/// A rotation that was not followed, because another of the same peer id was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contested {
    /// The peer id that it names.
    pub new: String,
    /// When it came.
    pub at: Timestamp,
    /// When both keys signed it.
    pub made_at: Timestamp,
    /// Which peer brought it; none: the node itself, or an operator.
    pub from: Option<String>,
}

/// Why a listed peer id has no force any more, although the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The peer id that followed it.
    pub to: String,
    /// Since when.
    pub at: Timestamp,
}

impl Record {
    /// The peer id that is said to follow the one that it is about.
    #[must_use]
    pub fn successor(&self) -> Option<String> {
        Some(self.rotated()?.1.new.to_string())
    }

    /// The rotation that it is about.
    pub(super) fn rotated(&self) -> Option<(Arc<SignedRotation>, Rotation)> {
        let signed = SignedRotation::decode(self.rotation.as_ref()?).ok()?;
        let said = signed.said().ok()?;
        Some((Arc::new(signed), said))
    }
}

impl Fold {
    /// Passes the entry of the old peer id to the new one. It was judged before it was recorded.
    pub(super) fn follow(&mut self, record: Record) {
        let Some((signed, said)) = record.rotated() else {
            return;
        };
        let (old, new) = (said.old.to_string(), said.new.to_string());
        let mut listed = self.listed.remove(&old).unwrap_or_default();
        let before = listed.operator.take().or_else(|| listed.config.clone());
        // What this node says of the old id it says of the new one; what the old id said, the new one says again as it connects.
        let recommended = self.withdraw(&old);
        if listed.config.is_some() {
            listed.keys.clear();
            listed.rotated = Some(Rotated {
                to: new.clone(),
                at: record.at,
            });
            self.listed.insert(old.clone(), listed);
            self.silence(&old);
        } else {
            self.unlist(&old, Some(record.at), &record.by);
        }
        if let Some(recommended) = recommended {
            self.withdrawn.remove(&new);
            self.own.entry(new.clone()).or_insert(recommended);
        }
        self.pending.remove(&new);
        let successor = self.listed.entry(new.clone()).or_default();
        // Who is listed under the new id already keeps those terms.
        if successor.entries().next().is_none() {
            let (at, by) = before.map_or_else(
                || (record.at, record.by.clone()),
                |before| (before.at, before.by),
            );
            successor.operator = Some(Entry {
                name: record.name,
                region: record.region,
                expires_at: record.expires_at,
                roles: record.roles,
                addresses: record.addresses,
                at,
                by,
            });
        }
        successor.hold(&[HeldKey {
            kind: KeyKind::NodeCertificate,
            data: said.certificate,
            chain: said.chain.into_iter().map(Into::into).collect(),
        }]);
        let followed = Followed {
            new,
            at: record.at,
            by: record.by,
            from: record.recommender,
            made_at: said.made_at,
            expires_at: said.expires_at,
            contested: None,
            relisted: false,
            signed: Some(signed),
        };
        self.followed.insert(old, followed);
        self.carry_the_newest(record.at);
    }

    /// Notes a second rotation of a peer id. The first one stands, and is not handed on any more.
    pub(super) fn contest(&mut self, record: Record) {
        let Some((_, said)) = record.rotated() else {
            return;
        };
        if let Some(followed) = self.followed.get_mut(&record.peer) {
            followed.signed = None;
            followed.contested = Some(Contested {
                new: said.new.to_string(),
                at: record.at,
                made_at: said.made_at,
                from: record.recommender,
            });
        }
    }

    /// The peer id to which followed rotations lead from this one; itself where none was.
    #[must_use]
    pub fn newest<'a>(&'a self, peer: &'a str) -> &'a str {
        let mut newest = peer;
        // No longer than there are any, whatever the log says.
        for _ in 0..self.followed.len() {
            match self.followed.get(newest) {
                Some(followed) => newest = &followed.new,
                None => break,
            }
        }
        newest
    }

    /// How many rotations of one node led to this peer id since then.
    pub(super) fn steps_to(&self, peer: &str, since: Timestamp) -> usize {
        let mut steps = 0;
        let mut at = peer;
        let before = |new: &str| {
            self.followed
                .iter()
                .find(|(_, followed)| followed.new == new)
        };
        while let Some((old, followed)) = before(at).filter(|_| steps < self.followed.len()) {
            if followed.at < since {
                break;
            }
            (at, steps) = (old, steps + 1);
        }
        steps
    }

    fn carry_the_newest(&mut self, now: Timestamp) {
        let mut carried: Vec<&mut Followed> = self
            .followed
            .values_mut()
            .filter(|followed| followed.signed.is_some())
            .collect();
        carried.sort_by_key(|followed| std::cmp::Reverse(followed.made_at));
        for (at, followed) in carried.into_iter().enumerate() {
            if at >= MAX_CARRIED || now >= followed.expires_at {
                followed.signed = None;
            }
        }
    }

    /// The rotations that are handed on at this time.
    pub(super) fn carried(&self, now: Timestamp) -> Vec<(Timestamp, Arc<SignedRotation>)> {
        let followed = self.followed.values();
        let followed = followed.filter(|followed| now < followed.expires_at);
        followed
            .filter_map(|followed| Some((followed.made_at, Arc::clone(followed.signed.as_ref()?))))
            .collect()
    }

    /// Why the configuration's entry of this peer has no force, if its rotation was followed.
    pub(super) fn rotated(&self, peer: &str) -> Option<Rotated> {
        let followed = self.followed.get(peer)?;
        (!followed.relisted).then(|| Rotated {
            to: followed.new.clone(),
            at: followed.at,
        })
    }

    /// Peers that the configuration names although another key followed theirs, each with its successor.
    pub fn outdated(&self) -> impl Iterator<Item = (&String, &Rotated)> {
        let listed = self.listed.iter();
        listed.filter_map(|(peer, listed)| Some((peer, listed.rotated.as_ref()?)))
    }
}

//! Node certificates between nodes: which are not held here, whom this node asked for them, and what came. A certificate
//! counts because the network's roots stand behind it, whoever brings it; it changes nobody's permission.

use std::collections::HashMap;
use std::sync::PoisonError;

use city_protocol::amount::Timestamp;
use city_protocol::pki::verify_node;
use city_protocol::trust::{
    Answered, KeyAnnouncement, KeyRequest, KeyResponse, MAX_KEYS_ASKED, Nonce, SignedData,
};
use der::Decode as _;
use libp2p::PeerId;
use x509_cert::Certificate;

use super::error::ChangeError;
use super::fold::Listed;
use super::keeper::Keeper;
use super::keyfile::{BadKey, Judges};
use super::record::{Decision, HeldKey, KeyKind, PEER, Record};
use crate::engine::{libp2p_peer, protocol_peer};

/// Peers of whom a request is remembered, each with its last one: no more than are connected.
const MAX_OPEN: usize = 2048;

/// What this node asked of its peers: the last request of each, and what of it has not come.
#[derive(Default)]
pub(super) struct Asked(HashMap<PeerId, (Nonce, Vec<PeerId>)>);

impl Asked {
    /// Takes out of what was asked the one that this answers.
    fn take(&mut self, from: &PeerId, answered: &Answered) -> bool {
        let about = libp2p_peer(&answered.peer);
        let Some((nonce, wanted)) = self.0.get_mut(from) else {
            return false;
        };
        let at = wanted.iter().position(|peer| *peer == about);
        match at.filter(|_| *nonce == answered.request) {
            Some(at) => {
                wanted.swap_remove(at);
                true
            }
            None => false,
        }
    }
}

/// What of a peer's message about keys was taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// A certificate that was not held before is held now.
    New(PeerId),
    /// It changed nothing: it is held already, or was not asked for, or is no message for this node.
    Nothing,
}

impl Keeper {
    /// Listed peers of whom no node certificate is held that is in its time; at most as many as one request names. Reads every
    /// certificate that is held.
    #[must_use]
    pub fn without_certificate(&self, now: Timestamp) -> Vec<PeerId> {
        self.fold(|fold| {
            let listed = fold.listed.iter();
            let without = listed.filter(|(_, listed)| {
                let held = listed
                    .certificates()
                    .any(|held| is_in_its_time(&held.data, now));
                listed.is_in_force(now) && !held
            });
            let mut peers: Vec<PeerId> =
                without.filter_map(|(peer, _)| peer.parse().ok()).collect();
            // Not always the same ones first: some are held by nobody.
            let begin = now.0 % (peers.len() as u64).max(1);
            peers.rotate_left(usize::try_from(begin).unwrap_or_default());
            peers.truncate(MAX_KEYS_ASKED);
            peers
        })
    }

    /// The request for these peers' certificates, to be signed for one that is connected; what it answers is taken. `None`
    /// where nothing is wanted of it.
    #[must_use]
    pub fn ask(&self, of: &PeerId, wanted: &[PeerId], nonce: Nonce) -> Option<KeyRequest> {
        // Its own it said in its hello.
        let wanted = wanted
            .iter()
            .filter(|peer| *peer != of && *peer != self.own());
        let wanted: Vec<PeerId> = wanted.take(MAX_KEYS_ASKED).copied().collect();
        let named: Vec<_> = wanted.iter().filter_map(protocol_peer).collect();
        if named.is_empty() {
            return None;
        }
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.0.len() >= MAX_OPEN && !asked.0.contains_key(of) {
            return None;
        }
        asked.0.insert(*of, (nonce, wanted));
        Some(KeyRequest::of(&named))
    }

    /// What this node answers to a peer's request: the certificates that it holds of those that the peer names, if they are
    /// good and their nodes are listed here. Empty for a message that is no request, or was taken before. Waits for the disk.
    #[must_use]
    pub fn answer(
        &self,
        from: &PeerId,
        signed: &SignedData,
        judges: Judges<'_>,
    ) -> Vec<KeyResponse> {
        let (Some(peer), Some(own)) = (protocol_peer(from), protocol_peer(self.own())) else {
            return Vec::new();
        };
        let Ok((nonce, mut wanted)) = KeyRequest::open(signed, &peer, &own, judges.now) else {
            return Vec::new();
        };
        if !self.is_first(from, nonce, signed, judges.now) {
            return Vec::new();
        }
        wanted.sort_unstable();
        wanted.dedup();
        let held = wanted.iter().filter_map(|wanted| {
            let listed = self.listed(&libp2p_peer(wanted).to_string())?;
            let good = listed.is_in_force(judges.now);
            let certificate = listed.good_certificate(judges).filter(|_| good)?;
            Some(KeyResponse::of(nonce, wanted, certificate))
        });
        held.collect()
    }

    /// Takes what a peer says of its own certificate. Waits for the disk.
    pub fn announced(&self, from: &PeerId, signed: &SignedData, judges: Judges<'_>) -> Taken {
        let Some(peer) = protocol_peer(from) else {
            return Taken::Nothing;
        };
        match KeyAnnouncement::open_with_nonce(signed, &peer, judges.now) {
            Ok((nonce, said))
                if self.is_news(from, &said) && self.is_first(from, nonce, signed, judges.now) =>
            {
                self.hold(from, &said, from, judges)
            }
            _ => Taken::Nothing,
        }
    }

    /// Takes a peer's answer to what this node asked it. Waits for the disk.
    pub fn answered(&self, from: &PeerId, signed: &SignedData, judges: Judges<'_>) -> Taken {
        let (Some(peer), Some(own)) = (protocol_peer(from), protocol_peer(self.own())) else {
            return Taken::Nothing;
        };
        let Ok((nonce, answered)) = KeyResponse::open(signed, &peer, &own, judges.now) else {
            return Taken::Nothing;
        };
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = asked.take(from, &answered);
        drop(asked);
        let about = libp2p_peer(&answered.peer);
        if wanted
            && self.is_news(&about, &answered.certificate)
            && self.is_first(from, nonce, signed, judges.now)
        {
            self.hold(&about, &answered.certificate, from, judges)
        } else {
            Taken::Nothing
        }
    }

    /// Holds a certificate that a peer brought, if it is good, new, and of a listed node.
    fn hold(
        &self,
        about: &PeerId,
        said: &KeyAnnouncement,
        from: &PeerId,
        judges: Judges<'_>,
    ) -> Taken {
        let id = about.to_string();
        let changing = self.changing();
        let Some(listed) = self.listed(&id) else {
            return Taken::Nothing;
        };
        if listed
            .certificates()
            .any(|held| held.data == said.certificate)
        {
            return Taken::Nothing;
        }
        let key = match proven(about, said, &listed, judges) {
            Ok(key) => key,
            Err(error) => {
                tracing::warn!(peer = %about, from = %from, %error, "a certificate that a peer brought is not held");
                return Taken::Nothing;
            }
        };
        if !self.may_record(from, judges.now) {
            return Taken::Nothing;
        }
        let record = Record {
            keys: vec![key],
            recommender: (from != about).then(|| from.to_string()),
            ..Record::of(Decision::WhitelistKey, &id, judges.now, PEER)
        };
        match self.decide(&changing, record) {
            Ok(()) => {
                tracing::info!(peer = %about, from = %from, "a node certificate is held");
                Taken::New(*about)
            }
            Err(error) => {
                tracing::warn!(%error, "a certificate that a peer brought could not be recorded");
                Taken::Nothing
            }
        }
    }

    /// Whether a certificate is of a listed node and not held: what is neither changes nothing, and need not be noted.
    fn is_news(&self, about: &PeerId, said: &KeyAnnouncement) -> bool {
        let listed = self.listed(&about.to_string());
        let held = |listed: Listed| {
            let mut held = listed.certificates();
            held.any(|held| held.data == said.certificate)
        };
        listed.is_some_and(|listed| !held(listed))
    }

    /// Forgets the messages that are too old to be taken again; says how many that were.
    pub(super) fn forget_messages(&self, now: Timestamp) -> Result<usize, ChangeError> {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(seen.forget_old(now)?)
    }

    /// Whether a message comes for the first time, and is not older than this node takes. Noted on the disk before it counts.
    fn is_first(&self, from: &PeerId, nonce: Nonce, signed: &SignedData, now: Timestamp) -> bool {
        let Some(dated) = signed.dated() else {
            return false;
        };
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.note(from, nonce, dated, now) {
            Ok(first) => first,
            Err(error) => {
                tracing::warn!(%error, "what peers said about keys cannot be noted, and does not count");
                false
            }
        }
    }
}

impl Listed {
    pub(super) fn certificates(&self) -> impl DoubleEndedIterator<Item = &HeldKey> {
        let keys = self.keys.iter();
        keys.filter(|held| held.kind == KeyKind::NodeCertificate)
    }

    /// The newest certificate that is held and good now.
    fn good_certificate(&self, judges: Judges<'_>) -> Option<KeyAnnouncement> {
        let mut held: Vec<_> = self.certificates().collect();
        held.reverse();
        let good = held.into_iter().find(|held| {
            let Judges { roots, crls, now } = judges;
            verify_node(roots, &held.data, &held.chain(), crls, now).is_ok()
        })?;
        Some(KeyAnnouncement {
            certificate: good.data.clone(),
            chain: good.chain.clone(),
        })
    }
}

/// The certificate as it is held, if it is this peer's and good now.
fn proven(
    about: &PeerId,
    said: &KeyAnnouncement,
    listed: &Listed,
    judges: Judges<'_>,
) -> Result<HeldKey, BadKey> {
    let held = HeldKey {
        kind: KeyKind::NodeCertificate,
        data: said.certificate.clone(),
        chain: said.chain.clone(),
    };
    let Judges { roots, crls, now } = judges;
    let judged = verify_node(roots, &held.data, &held.chain(), crls, now)?.certificate;
    if judged.peer_id.parse().ok() != Some(*about) {
        let found = judged.peer_id;
        return Err(BadKey::OtherPeer { found });
    }
    match listed.region() {
        Some(wanted) if *wanted != judged.region => Err(BadKey::OtherRegion {
            found: judged.region,
            wanted: wanted.clone(),
        }),
        _ => Ok(held),
    }
}

/// Whether a certificate that was good once has not ended.
pub(super) fn is_in_its_time(der: &[u8], now: Timestamp) -> bool {
    Certificate::from_der(der).is_ok_and(|certificate| {
        let ends = certificate.tbs_certificate().validity().not_after;
        now.0 <= u64::try_from(ends.to_unix_duration().as_millis()).unwrap_or(u64::MAX)
    })
}

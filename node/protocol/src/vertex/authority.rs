//! The authority of a log: its first charter, judged against the genesis roots, the keys of its epochs, and the charters
//! that came later (`charters`).
//!
//! A node certificate is judged at the `created_at` of the body that names it, which the log id or the officers'
//! signatures commit to: a receipt carries these bodies but not the vertices they stand in, and both must come to
//! the same verdict.

use super::Entry;
use super::charters::{InForce, is_received_alone};
use crate::amount::Timestamp;
use crate::body::{Charter, Der, EpochStart, Kind, read_officers_body};
use crate::crypto::{PublicKey, Suite, one_algorithm_each};
use crate::genesis::Genesis;
use crate::ids::{Digest, KeyId, LogId, sha256};
use crate::pki::{self, Crls, NodeCertificate};
use crate::refusal::Refusal;
use crate::region::Region;

/// Who signs a log and decides in it: what its first entry says, verified up to a genesis root, and each later charter and
/// `epoch-start`.
#[derive(Clone, Debug)]
pub struct Authority {
    /// The log.
    pub log: LogId,
    /// H(body) of the first charter.
    pub charter_hash: Digest,
    /// The first charter.
    pub charter: Charter,
    /// The first charter's body as it stands in the log.
    pub charter_body: Vec<u8>,
    suites: Vec<Suite>,
    /// The epochs from the first, never empty.
    pub(super) epochs: Vec<Epoch>,
    /// The charters that are known, the first one first; those of branches that do not count may be among them.
    pub(super) charters: Vec<InForce>,
    /// Which of them is in force.
    pub(super) in_force: Digest,
}

/// Who signs one epoch.
#[derive(Clone, Debug)]
pub(super) struct Epoch {
    key: PublicKey,
    peer_id: String,
    /// When its officers, or the charter's author, wrote it.
    since: Timestamp,
    /// The charter in force where it begins.
    pub(super) charter: Digest,
    /// The entry that began it; none for the first, which the charter begins.
    start: Option<Entry>,
}

impl Authority {
    /// Judges a charter: its network, its node certificate up to a genesis root whose prefix covers its
    /// region, at the time it was written and without CRLs.
    ///
    /// # Errors
    /// The refusals of the charter's form, [`Refusal::WrongNetwork`], [`Refusal::BadCertificate`],
    /// [`Refusal::SuiteNotAdmitted`] for a suite that the network does not list or that is not the node's keys', or
    /// [`Refusal::WrongAlgorithm`] where one key stands under two algorithms.
    pub fn from_charter(genesis: &Genesis, body: &[u8]) -> Result<Self, Refusal> {
        let charter = Charter::read(body)?;
        if charter.network != genesis.network() {
            return Err(Refusal::WrongNetwork);
        }
        let certificate = home_certificate(
            genesis,
            &charter.region,
            &charter.node_certificate,
            &charter.chain,
            charter.created_at,
        )?;
        let (officers, suite) = (charter.officers.public_keys()?, charter.suite);
        if certificate.key.algorithm().suite() != suite {
            return Err(Refusal::SuiteNotAdmitted);
        }
        for officer in &officers {
            genesis.admits(officer.algorithm().suite())?;
        }
        let node = std::slice::from_ref(&certificate.key);
        one_algorithm_each(&[node, &officers].concat())?;
        let hash = Digest(sha256(&[body]));
        Ok(Self {
            log: Charter::log_id(body),
            charter_hash: hash,
            charter_body: body.to_vec(),
            suites: genesis.suites.clone(),
            epochs: vec![Epoch {
                key: certificate.key,
                peer_id: certificate.peer_id,
                since: charter.created_at,
                charter: hash,
                start: None,
            }],
            charters: vec![InForce::first(hash, &charter, officers)],
            in_force: hash,
            charter,
        })
    }

    /// The authority with the epoch that this `epoch-start` begins: enough officers of `charter`, which is in force at
    /// its cut, signed it, it follows the newest epoch, and its node certificate holds. That its cut is the log's head
    /// is for the fold to say.
    ///
    /// # Errors
    /// [`Refusal::CharterMismatch`] for a charter that is not known,
    /// The refusals of the body's form, [`Refusal::WrongNetwork`], [`Refusal::WrongHome`],
    /// [`Refusal::OfficersShort`], [`Refusal::BadSignature`], [`Refusal::BadCertificate`],
    /// [`Refusal::KeyUsed`] for the key of an earlier epoch, or [`Refusal::BadEntry`].
    pub fn begin_epoch(
        &self,
        genesis: &Genesis,
        entry: &Entry,
        charter: Digest,
    ) -> Result<Self, Refusal> {
        let body: EpochStart = read_officers_body(&entry.body)?;
        if body.network != genesis.network() {
            return Err(Refusal::WrongNetwork);
        }
        if body.home != self.log {
            return Err(Refusal::WrongHome);
        }
        let fits = entry.kind == Kind::EpochStart
            && body.old_epoch == self.epoch()
            && is_received_alone(entry);
        if !fits {
            return Err(Refusal::BadEntry);
        }
        let board = self.board_of(&charter).ok_or(Refusal::CharterMismatch)?;
        board.signed(entry, &[])?;
        let newest = self.newest();
        let (key, peer_id) = match &body.node_certificate {
            None => (newest.key.clone(), newest.peer_id.clone()),
            Some(der) => {
                let made = body.created_at;
                let certificate = home_certificate(genesis, self.region(), der, &body.chain, made)?;
                let (key, newest) = (certificate.key, &newest.key);
                // The newest may go on under a new certificate; an older one never returns.
                let used = |epoch: &Epoch| epoch.key.id() == key.id();
                if key.id() != newest.id() && self.epochs.iter().any(used) {
                    return Err(Refusal::KeyUsed);
                }
                self.admits(&key, self.epoch(), &charter)?;
                (key, certificate.peer_id)
            }
        };
        let mut next = self.clone();
        next.epochs.push(Epoch {
            key,
            peer_id,
            since: body.created_at,
            charter,
            start: Some(entry.clone()),
        });
        next.in_force = charter;
        Ok(next)
    }

    /// The authority as it was in an epoch under a charter; under the first where none is named.
    #[must_use]
    pub fn until(&self, epoch: u64, charter: Option<Digest>) -> Self {
        let mut before = self.under(charter);
        let epochs = usize::try_from(epoch).unwrap_or(usize::MAX);
        before.epochs.truncate(epochs.max(1));
        before
    }

    /// The municipality.
    #[must_use]
    pub const fn region(&self) -> &Region {
        &self.charter.region
    }

    /// Whether a key may stand in this log in an epoch under a charter: its suite is one that the network lists, and it is
    /// not the node's or an officer's under another algorithm. What a later epoch's key or a later charter's officer is
    /// says nothing about an earlier one.
    ///
    /// # Errors
    /// [`Refusal::SuiteNotAdmitted`] or [`Refusal::WrongAlgorithm`].
    pub fn admits(&self, key: &PublicKey, epoch: u64, charter: &Digest) -> Result<(), Refusal> {
        if !self.suites.contains(&key.algorithm().suite()) {
            return Err(Refusal::SuiteNotAdmitted);
        }
        let until = usize::try_from(epoch).unwrap_or(usize::MAX);
        let nodes = self.epochs.iter().take(until).map(|epoch| &epoch.key);
        let mut known = nodes.chain(self.officers_up_to(charter));
        if known.any(|one| one.is_twin_of(key)) {
            return Err(Refusal::WrongAlgorithm);
        }
        Ok(())
    }

    /// The newest epoch, from 1.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epochs.len() as u64
    }

    /// The key that signs the newest epoch.
    #[must_use]
    pub fn node_key(&self) -> &PublicKey {
        &self.newest().key
    }

    /// The key that signs, or signed, an epoch.
    #[must_use]
    pub fn key_of(&self, epoch: u64) -> Option<&PublicKey> {
        let at = usize::try_from(epoch.checked_sub(1)?).ok()?;
        self.epochs.get(at).map(|epoch| &epoch.key)
    }

    /// The node key with this id, of whichever epoch.
    #[must_use]
    pub fn key_with(&self, id: &KeyId) -> Option<&PublicKey> {
        self.epochs
            .iter()
            .map(|epoch| &epoch.key)
            .find(|key| key.id() == *id)
    }

    /// When an epoch was decided: what officers wrote before does not count in it any more.
    #[must_use]
    pub fn since(&self, epoch: u64) -> Option<Timestamp> {
        let at = usize::try_from(epoch.checked_sub(1)?).ok()?;
        self.epochs.get(at).map(|epoch| epoch.since)
    }

    /// The libp2p peer id that the newest node certificate names, as text.
    #[must_use]
    pub fn peer_id(&self) -> &str {
        &self.newest().peer_id
    }

    /// The `epoch-start` that began an epoch after the first.
    #[must_use]
    pub fn start_of(&self, epoch: u64) -> Option<&Entry> {
        let at = usize::try_from(epoch.checked_sub(1)?).ok()?;
        self.epochs.get(at)?.start.as_ref()
    }

    /// The authority up to an epoch and a charter as receipts carry it: the first charter, then each `epoch-start` and
    /// each later charter in order.
    #[must_use]
    pub fn entries(&self, epoch: u64, charter: Option<Digest>) -> Vec<Entry> {
        let mut until = self.until(epoch, charter);
        until.forget_branches();
        let charter = Entry::home_authored(Kind::Charter, self.charter_body.clone());
        let later = (1..=until.epoch()).flat_map(|epoch| {
            let start = until.start_of(epoch).into_iter();
            start.chain(until.charters_of(epoch)).cloned()
        });
        std::iter::once(charter).chain(later).collect()
    }

    /// Reads what [`Authority::entries`] gave.
    ///
    /// # Errors
    /// [`Refusal::BadReceipt`] where an entry says more than it should, and those of its parts.
    pub fn from_entries(genesis: &Genesis, entries: &[Entry]) -> Result<Self, Refusal> {
        let (charter, later) = entries.split_first().ok_or(Refusal::BadReceipt)?;
        let first = Self::from_charter(genesis, &charter.body)?;
        // Nothing beside the charter's body: no byte of a receipt is without meaning.
        if *charter != Entry::home_authored(Kind::Charter, first.charter_body.clone()) {
            return Err(Refusal::BadReceipt);
        }
        later.iter().try_fold(first, |authority, entry| {
            if entry.kind == Kind::Charter {
                return authority.amend(genesis, entry, authority.epoch());
            }
            // A cut may take a charter back: then an earlier one's officers begin the epoch.
            let charters = authority.charters.iter().rev().map(|one| one.hash);
            let newest = authority.begin_epoch(genesis, entry, authority.in_force);
            let mut each = charters.map(|charter| authority.begin_epoch(genesis, entry, charter));
            newest.or_else(|refusal| each.find_map(Result::ok).ok_or(refusal))
        })
    }

    /// The same, if it says what is needed for this epoch and charter, and no more.
    ///
    /// # Errors
    /// As [`Authority::from_entries`].
    pub fn from_exact_entries(
        genesis: &Genesis,
        entries: &[Entry],
        (epoch, charter): (u64, Digest),
    ) -> Result<Self, Refusal> {
        let authority = Self::from_entries(genesis, entries)?;
        if authority.epoch() != epoch || !authority.knows(&charter) {
            return Err(Refusal::BadReceipt);
        }
        let exact = authority.until(epoch, Some(charter));
        if exact.entries(epoch, Some(charter)) == entries {
            Ok(exact)
        } else {
            Err(Refusal::BadReceipt)
        }
    }

    fn newest(&self) -> &Epoch {
        self.epochs.last().expect("a log has a first epoch")
    }
}

/// The certificate of a home of this region, as of a moment and without CRLs: those are for admission. Both its keys
/// are of one suite, which the network lists.
fn home_certificate(
    genesis: &Genesis,
    region: &Region,
    der: &Der,
    chain: &[Der],
    at: Timestamp,
) -> Result<NodeCertificate, Refusal> {
    let chain: Vec<Vec<u8>> = chain.iter().map(|der| der.0.clone()).collect();
    let certificate = pki::verify_node(&genesis.roots, &der.0, &chain, &Crls::none(), at)
        .map_err(|_| Refusal::BadCertificate)?
        .certificate;
    if certificate.region != *region || certificate.role != pki::Role::Home {
        return Err(Refusal::BadCertificate);
    }
    let suite = certificate.key.algorithm().suite();
    let kem = certificate.kem.as_ref();
    if kem.is_some_and(|kem| kem.algorithm().suite() != suite) {
        return Err(Refusal::SuiteNotAdmitted);
    }
    genesis.admits(suite)?;
    Ok(certificate)
}

//! The authority of a log: its charter, judged against the genesis roots, and the keys of its epochs.
//!
//! A node certificate is judged at the `created_at` of the body that names it, which the log id or the officers'
//! signatures commit to: a receipt carries these bodies but not the vertices they stand in, and both must come to
//! the same verdict.

use super::{Booked, Checked, Entry, verify_entry_signature};
use crate::amount::Timestamp;
use crate::body::{Charter, Der, EpochStart, Kind, read_officers_body};
use crate::crypto::{PublicKey, Suite, one_algorithm_each};
use crate::genesis::Genesis;
use crate::ids::{Digest, KeyId, LogId, sha256};
use crate::pki::{self, Crls, NodeCertificate};
use crate::refusal::Refusal;
use crate::region::Region;

/// Who signs a log: what its first entry says, verified up to a genesis root, and each `epoch-start` after it.
#[derive(Clone, Debug)]
pub struct Authority {
    /// The log.
    pub log: LogId,
    /// H(body) of the charter.
    pub charter_hash: Digest,
    /// The charter.
    pub charter: Charter,
    /// The charter's body as it stands in the log.
    pub charter_body: Vec<u8>,
    officers: Vec<PublicKey>,
    suites: Vec<Suite>,
    /// The epochs from the first, never empty.
    epochs: Vec<Epoch>,
}

/// Who signs one epoch.
#[derive(Clone, Debug)]
struct Epoch {
    key: PublicKey,
    peer_id: String,
    /// When its officers, or the charter's author, wrote it.
    since: Timestamp,
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
        let (officers, suite) = (charter.officer_keys()?, charter.suite);
        if certificate.key.algorithm().suite() != suite {
            return Err(Refusal::SuiteNotAdmitted);
        }
        for officer in &officers {
            genesis.admits(officer.algorithm().suite())?;
        }
        let node = std::slice::from_ref(&certificate.key);
        one_algorithm_each(&[node, &officers].concat())?;
        Ok(Self {
            log: Charter::log_id(body),
            charter_hash: Digest(sha256(&[body])),
            charter_body: body.to_vec(),
            officers,
            suites: genesis.suites.clone(),
            epochs: vec![Epoch {
                key: certificate.key,
                peer_id: certificate.peer_id,
                since: charter.created_at,
                start: None,
            }],
            charter,
        })
    }

    /// The authority with the epoch that this `epoch-start` begins: enough officers signed it, it follows the
    /// newest epoch, and its node certificate holds. That its cut is the log's head is for the fold to say.
    ///
    /// # Errors
    /// The refusals of the body's form, [`Refusal::WrongNetwork`], [`Refusal::WrongHome`],
    /// [`Refusal::OfficersShort`], [`Refusal::BadSignature`], [`Refusal::BadCertificate`],
    /// [`Refusal::KeyUsed`] for the key of an earlier epoch, or [`Refusal::BadEntry`].
    pub fn begin_epoch(&self, genesis: &Genesis, entry: &Entry) -> Result<Self, Refusal> {
        let body: EpochStart = read_officers_body(&entry.body)?;
        if body.network != genesis.network() {
            return Err(Refusal::WrongNetwork);
        }
        if body.home != self.log {
            return Err(Refusal::WrongHome);
        }
        // No byte of it is without meaning, also in a receipt.
        let plain = Booked {
            received_at: entry.booked.received_at,
            ..Booked::default()
        };
        let fits = entry.kind == Kind::EpochStart
            && body.old_epoch == self.epoch()
            && entry.booked == plain
            && entry.booked.received_at.is_some()
            && entry.cites.is_empty();
        if !fits {
            return Err(Refusal::BadEntry);
        }
        self.officers_signed(entry, &[])?;
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
                self.admits(&key, self.epoch())?;
                (key, certificate.peer_id)
            }
        };
        let mut next = self.clone();
        next.epochs.push(Epoch {
            key,
            peer_id,
            since: body.created_at,
            start: Some(entry.clone()),
        });
        Ok(next)
    }

    /// The authority as it was in an epoch.
    #[must_use]
    pub fn until(&self, epoch: u64) -> Self {
        let mut before = self.clone();
        let epochs = usize::try_from(epoch).unwrap_or(usize::MAX);
        before.epochs.truncate(epochs.max(1));
        before
    }

    /// The municipality.
    #[must_use]
    pub const fn region(&self) -> &Region {
        &self.charter.region
    }

    /// Whether a key may stand in this log in an epoch: its suite is one that the network lists, and it is not the
    /// node's or an officer's under another algorithm. What a later epoch's key is says nothing about an earlier one.
    ///
    /// # Errors
    /// [`Refusal::SuiteNotAdmitted`] or [`Refusal::WrongAlgorithm`].
    pub fn admits(&self, key: &PublicKey, epoch: u64) -> Result<(), Refusal> {
        if !self.suites.contains(&key.algorithm().suite()) {
            return Err(Refusal::SuiteNotAdmitted);
        }
        let until = usize::try_from(epoch).unwrap_or(usize::MAX);
        let nodes = self.epochs.iter().take(until).map(|epoch| &epoch.key);
        let mut known = nodes.chain(&self.officers);
        if known.any(|one| one.is_twin_of(key)) {
            return Err(Refusal::WrongAlgorithm);
        }
        Ok(())
    }

    /// The officers' keys.
    #[must_use]
    pub fn officers(&self) -> &[PublicKey] {
        &self.officers
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

    /// The authority up to an epoch as receipts carry it: the charter, then each `epoch-start`.
    #[must_use]
    pub fn entries(&self, epoch: u64) -> Vec<Entry> {
        let charter = Entry::home_authored(Kind::Charter, self.charter_body.clone());
        let starts = (2..=epoch).filter_map(|epoch| self.start_of(epoch).cloned());
        std::iter::once(charter).chain(starts).collect()
    }

    /// Reads what [`Authority::entries`] gave.
    ///
    /// # Errors
    /// [`Refusal::BadReceipt`] where an entry says more than it should, and those of its parts.
    pub fn from_entries(genesis: &Genesis, entries: &[Entry]) -> Result<Self, Refusal> {
        let (charter, starts) = entries.split_first().ok_or(Refusal::BadReceipt)?;
        let first = Self::from_charter(genesis, &charter.body)?;
        // Nothing beside the charter's body: no byte of a receipt is without meaning.
        if *charter != Entry::home_authored(Kind::Charter, first.charter_body.clone()) {
            return Err(Refusal::BadReceipt);
        }
        let begin = |authority: Self, start| authority.begin_epoch(genesis, start);
        starts.iter().try_fold(first, begin)
    }

    /// At least k distinct officers signed, all of them officers, in order of their key ids. `checked` is what is
    /// known of the signatures; what is not known is checked here.
    ///
    /// # Errors
    /// [`Refusal::OfficersShort`], and those of a signature.
    pub fn officers_signed(&self, entry: &Entry, checked: &[Checked]) -> Result<(), Refusal> {
        let enough = entry.sig.len() as u64 >= self.charter.officers.k;
        if !enough || !entry.sig.is_sorted_by(|a, b| a.key < b.key) {
            return Err(Refusal::OfficersShort);
        }
        for (i, sig) in entry.sig.iter().enumerate() {
            let officer = self.officers.iter().find(|key| key.id() == sig.key);
            let officer = officer.ok_or(Refusal::OfficersShort)?;
            if checked.get(i) != Some(&Checked::Good) {
                verify_entry_signature(entry, sig.key, officer)?;
            }
        }
        Ok(())
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

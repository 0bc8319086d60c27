//! The authority of a log: its charter, judged against the genesis roots.
//!
//! The node certificate is judged at the charter's `created_at`, which the log id commits to: a receipt
//! carries the charter but not the vertex it stands in, and both must come to the same verdict.

use crate::body::Charter;
use crate::crypto::{PublicKey, Suite, one_algorithm_each};
use crate::genesis::Genesis;
use crate::ids::{Digest, LogId, sha256};
use crate::pki;
use crate::refusal::Refusal;
use crate::region::Region;

/// Who signs a log: what its first entry says, verified up to a genesis root.
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
    /// The node's ledger key.
    pub node_key: PublicKey,
    /// The node's libp2p peer id, as text.
    pub peer_id: String,
    officers: Vec<PublicKey>,
    suites: Vec<Suite>,
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
        let chain: Vec<Vec<u8>> = charter.chain.iter().map(|der| der.0.clone()).collect();
        let certificate = pki::verify_node(
            &genesis.roots,
            &charter.node_certificate.0,
            &chain,
            charter.created_at,
        )
        .map_err(|_| Refusal::BadCertificate)?;
        if certificate.region != charter.region || certificate.role != pki::Role::Home {
            return Err(Refusal::BadCertificate);
        }
        let (officers, suite) = (charter.officer_keys()?, charter.suite);
        let kem = certificate.kem.as_ref();
        if certificate.key.algorithm().suite() != suite
            || kem.is_some_and(|kem| kem.algorithm().suite() != suite)
        {
            return Err(Refusal::SuiteNotAdmitted);
        }
        genesis.admits(suite)?;
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
            node_key: certificate.key,
            peer_id: certificate.peer_id,
            charter,
        })
    }

    /// The municipality.
    #[must_use]
    pub const fn region(&self) -> &Region {
        &self.charter.region
    }

    /// Whether a key may stand in this log: its suite is one that the network lists, and it is not the node's or an
    /// officer's under another algorithm.
    ///
    /// # Errors
    /// [`Refusal::SuiteNotAdmitted`] or [`Refusal::WrongAlgorithm`].
    pub fn admits(&self, key: &PublicKey) -> Result<(), Refusal> {
        if !self.suites.contains(&key.algorithm().suite()) {
            return Err(Refusal::SuiteNotAdmitted);
        }
        let mut known = std::iter::once(&self.node_key).chain(&self.officers);
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
}

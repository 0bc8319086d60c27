//! The authority of a log: its charter, judged against the genesis roots.
//!
//! The node certificate is judged at the charter's `created_at`, which the log id commits to: a receipt
//! carries the charter but not the vertex it stands in, and both must come to the same verdict.

use crate::body::Charter;
use crate::crypto::PublicKey;
use crate::genesis::Genesis;
use crate::ids::{Digest, LogId, sha256};
use crate::pki::{self, Crls};
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
}

impl Authority {
    /// Judges a charter: its network, its node certificate up to a genesis root whose prefix covers its
    /// region, at the time it was written and without CRLs.
    ///
    /// # Errors
    /// The refusals of the charter's form, [`Refusal::WrongNetwork`] or [`Refusal::BadCertificate`].
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
            &Crls::none(),
            charter.created_at,
        )
        .map_err(|_| Refusal::BadCertificate)?
        .certificate;
        if certificate.region != charter.region || certificate.role != pki::Role::Home {
            return Err(Refusal::BadCertificate);
        }
        Ok(Self {
            log: Charter::log_id(body),
            charter_hash: Digest(sha256(&[body])),
            charter_body: body.to_vec(),
            officers: charter.officer_keys()?,
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

    /// The officers' keys.
    #[must_use]
    pub fn officers(&self) -> &[PublicKey] {
        &self.officers
    }
}

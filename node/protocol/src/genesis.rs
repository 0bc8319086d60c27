//! The genesis record: what a network is. Its block id is the network id.

use serde::{Deserialize, Serialize};

use crate::amount::Timestamp;
use crate::codec;
use crate::ids::NetworkId;
use crate::pki::{MAX_ROOTS, Root};
use crate::refusal::Refusal;

/// The default suite: Dilithium5 signatures and NTRU-HPS-4096-821 sealing.
pub const SUITE_DILITHIUM5_NTRU: &str = "dilithium5-ntru";
/// Longest genesis record in bytes: it is one block of the store, and 128 roots of 7.4 KB fit.
pub const MAX_GENESIS: usize = 1 << 20;
/// Longest name of a network in bytes.
const MAX_NAME: usize = 128;

/// What a network is for. Only a demo or test network takes simulated and recorded receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// A demonstration.
    Demo,
    /// A test.
    Test,
    /// The real thing.
    Live,
}

/// The genesis record, deterministic DAG-CBOR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Form: 1.
    pub v: u64,
    /// Name of the network, for people.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// When it was made.
    pub created_at: Timestamp,
    /// Roots on which charters rest.
    pub roots: Vec<Root>,
    /// Suites that are known in it.
    pub suites: Vec<String>,
}

impl Genesis {
    /// Reads a genesis record.
    ///
    /// # Errors
    /// [`Refusal::BadCbor`], [`Refusal::TooLarge`], [`Refusal::UnknownVersion`], [`Refusal::BadField`],
    /// [`Refusal::BadCertificate`] for a root that is none.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let genesis: Self = codec::decode(bytes, MAX_GENESIS)?;
        if genesis.v != 1 {
            return Err(Refusal::UnknownVersion);
        }
        let plausible = !genesis.name.is_empty()
            && genesis.name.len() <= MAX_NAME
            && (1..=MAX_ROOTS).contains(&genesis.roots.len())
            && genesis.suites.iter().any(|s| s == SUITE_DILITHIUM5_NTRU);
        let mut fingerprints: Vec<_> = genesis.roots.iter().map(Root::fingerprint).collect();
        fingerprints.sort_unstable();
        fingerprints.dedup();
        if !plausible || fingerprints.len() != genesis.roots.len() {
            return Err(Refusal::BadField);
        }
        for root in &genesis.roots {
            Root::new(root.der.clone(), root.prefix.clone())
                .map_err(|_| Refusal::BadCertificate)?;
        }
        Ok(genesis)
    }

    /// The record's block.
    #[must_use]
    pub fn to_block(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The network id.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        NetworkId::of(&self.to_block())
    }
}

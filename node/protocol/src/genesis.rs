//! The genesis record: what a network is. Its block id is the network id.

use serde::{Deserialize, Serialize};

use crate::amount::Timestamp;
use crate::codec;
use crate::crypto::{Suite, one_algorithm_each};
use crate::ids::NetworkId;
use crate::pki::{MAX_ROOTS, Root};
use crate::refusal::Refusal;

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
    /// Suites that are admitted in it, each once.
    pub suites: Vec<Suite>,
}

impl Genesis {
    /// Reads a genesis record.
    ///
    /// # Errors
    /// [`Refusal::BadCbor`], [`Refusal::TooLarge`], [`Refusal::UnknownVersion`], [`Refusal::BadField`],
    /// [`Refusal::BadCertificate`] for a root that is none, [`Refusal::SuiteNotAdmitted`] for one of a suite that the
    /// record does not list, [`Refusal::WrongAlgorithm`] for one key under two algorithms.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let genesis: Self = codec::decode(bytes, MAX_GENESIS)?;
        if genesis.v != 1 {
            return Err(Refusal::UnknownVersion);
        }
        let plausible = !genesis.name.is_empty()
            && genesis.name.len() <= MAX_NAME
            && (1..=MAX_ROOTS).contains(&genesis.roots.len())
            && !genesis.suites.is_empty();
        let mut suites = genesis.suites.clone();
        suites.sort_unstable();
        suites.dedup();
        let mut fingerprints: Vec<_> = genesis.roots.iter().map(Root::fingerprint).collect();
        fingerprints.sort_unstable();
        fingerprints.dedup();
        if !plausible
            || suites.len() != genesis.suites.len()
            || fingerprints.len() != genesis.roots.len()
        {
            return Err(Refusal::BadField);
        }
        let mut keys = Vec::new();
        for root in &genesis.roots {
            let root = Root::new(root.der.clone(), root.prefix.clone())
                .map_err(|_| Refusal::BadCertificate)?;
            let key = root.key().map_err(|_| Refusal::BadCertificate)?;
            genesis.admits(key.algorithm().suite())?;
            keys.push(key);
        }
        one_algorithm_each(&keys)?;
        Ok(genesis)
    }

    /// Whether keys of this suite may be used in the network.
    ///
    /// # Errors
    /// [`Refusal::SuiteNotAdmitted`].
    pub fn admits(&self, suite: Suite) -> Result<(), Refusal> {
        if self.suites.contains(&suite) {
            Ok(())
        } else {
            Err(Refusal::SuiteNotAdmitted)
        }
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

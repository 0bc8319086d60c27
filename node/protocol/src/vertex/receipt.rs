//! Receipts: a vertex header with the Merkle path of one entry and the authority behind the header.
//! Whoever holds the genesis record can check one offline, years later.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Authority, Entry, MAX_BODY, MAX_HEADER, SignedHeader, verify_path};
use crate::codec;
use crate::genesis::Genesis;
use crate::ids::{BlockId, Digest};
use crate::refusal::Refusal;

/// Longest list of charters and epochs' beginnings in bytes: each beginning of some 30 KB, with its officers'
/// signatures, and each later charter of up to 75 KB, as often as a log may have one.
pub(crate) const MAX_AUTHORITY: usize = 4 << 20;
/// Longest receipt in bytes.
pub const MAX_RECEIPT: usize = MAX_AUTHORITY + MAX_HEADER + MAX_BODY;

/// A receipt as it is stored and sent: deterministic DAG-CBOR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Form: 1.
    pub v: u64,
    /// The first charter, and each `epoch-start` and later charter up to the header's.
    #[serde(with = "shared")]
    pub authority: Arc<Vec<Entry>>,
    /// The header block.
    #[serde(with = "serde_bytes")]
    pub header: Vec<u8>,
    /// The entry.
    pub entry: Entry,
    /// Its position in the vertex.
    pub index: u64,
    /// Its Merkle path, from the leaf upwards.
    pub path: Vec<Digest>,
}

/// The charters of all receipts of a home are one list in memory.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Arc<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        T::serialize(value, serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
}

/// A receipt that holds: valid as of this receipt. Later closures and faults are not in it.
#[derive(Clone, Debug)]
pub struct VerifiedReceipt {
    /// The vertex.
    pub vertex: BlockId,
    /// The signed header.
    pub header: SignedHeader,
    /// The entry.
    pub entry: Entry,
    /// Its position in the vertex.
    pub index: u64,
    /// Who signed.
    pub authority: Authority,
}

impl Receipt {
    /// Reads a receipt.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::BadCbor`], [`Refusal::UnknownVersion`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let receipt: Self = codec::decode(bytes, MAX_RECEIPT)?;
        if receipt.v == 1 {
            Ok(receipt)
        } else {
            Err(Refusal::UnknownVersion)
        }
    }

    /// The receipt's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Verifies with nothing but the genesis record.
    ///
    /// # Errors
    /// [`Refusal::BadReceipt`] when a hash, path or binding does not hold, and the refusals of the
    /// charter, its certificate and the header signature.
    pub fn verify(&self, genesis: &Genesis) -> Result<VerifiedReceipt, Refusal> {
        let header = SignedHeader::read(&self.header)?;
        let h = &header.header;
        let up_to = (h.epoch, h.charter);
        let authority = Authority::from_exact_entries(genesis, &self.authority, up_to)?;
        let bound = h.network == genesis.network()
            && h.log == authority.log
            && authority.charter.created_at <= h.time;
        if !bound {
            return Err(Refusal::BadReceipt);
        }
        header.verify(authority.node_key())?;
        header.check_limits()?;
        let path: Vec<[u8; 32]> = self.path.iter().map(|digest| digest.0).collect();
        if !verify_path(
            &self.entry.leaf(),
            self.index,
            h.count,
            &path,
            &h.entries_root.0,
        ) {
            return Err(Refusal::BadReceipt);
        }
        Ok(VerifiedReceipt {
            vertex: header.id,
            entry: self.entry.clone(),
            index: self.index,
            header,
            authority,
        })
    }
}

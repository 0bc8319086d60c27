//! The signed header of a vertex, and the two blocks.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{Entry, MAX_BODY, MAX_ENTRIES, MAX_HEADER, MAX_PARENTS, MAX_TO};
use crate::amount::Timestamp;
use crate::body::Kind;
use crate::codec;
use crate::crypto::{Algorithm, PublicKey, Signature, Signer, TAG_VERTEX};
use crate::ids::{BlockId, Digest, KeyId, LogId, NetworkId};
use crate::refusal::Refusal;

/// The form of header that this software writes.
const HEADER_VERSION: u64 = 1;

/// What a home signs about one vertex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Form: 1.
    pub v: u64,
    /// Network.
    pub network: NetworkId,
    /// Log.
    pub log: LogId,
    /// Epoch of the log, from 1.
    pub epoch: u64,
    /// Position in the log, from 1, without gaps.
    pub seq: u64,
    /// The vertex before it; the genesis record for the first.
    pub prev: BlockId,
    /// Heads of other logs that the author had verified: cited first.
    pub parents: Vec<BlockId>,
    /// Other homes that its transfers address, sorted.
    pub to: Vec<LogId>,
    /// When it was written.
    pub time: Timestamp,
    /// Number of entries.
    pub count: u64,
    /// Merkle root over the entries.
    pub entries_root: Digest,
    /// The body block.
    pub body: BlockId,
    /// Algorithm of the node's key.
    pub alg: Algorithm,
    /// The node's key.
    pub key: KeyId,
    /// H(body) of the charter in force.
    pub charter: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderBlock {
    h: Header,
    #[serde(with = "serde_bytes")]
    sig: Vec<u8>,
}

/// A header with its signature, in its block. The signature has the right length; whether it verifies
/// is known after [`SignedHeader::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeader {
    /// The vertex id: the id of the header block.
    pub id: BlockId,
    /// The header.
    pub header: Header,
    /// The header block.
    pub block: Vec<u8>,
    signature: Signature,
}

impl SignedHeader {
    /// Signs a header.
    #[must_use]
    pub fn sign(header: Header, signer: &dyn Signer) -> Self {
        let signature = signer.sign(TAG_VERTEX, &codec::encode(&header));
        let block = HeaderBlock {
            h: header,
            sig: signature.as_bytes().to_vec(),
        };
        let bytes = codec::encode(&block);
        Self {
            id: BlockId::of(&bytes),
            header: block.h,
            block: bytes,
            signature,
        }
    }

    /// Reads a header block.
    ///
    /// # Errors
    /// [`Refusal::UnknownVersion`] for a later form, [`Refusal::BadVertex`] for no form at all,
    /// [`Refusal::TooLarge`], [`Refusal::BadCbor`], [`Refusal::SignatureLength`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if later_version(bytes) {
            return Err(Refusal::UnknownVersion);
        }
        let block: HeaderBlock = codec::decode(bytes, MAX_HEADER)?;
        if block.h.v != HEADER_VERSION {
            return Err(Refusal::BadVertex);
        }
        let signature = Signature::new(block.h.alg, &block.sig)?;
        let id = BlockId::of(bytes);
        Ok(Self {
            id,
            header: block.h,
            block: bytes.to_vec(),
            signature,
        })
    }

    /// Checks the signature and what a header shows by itself.
    ///
    /// # Errors
    /// [`Refusal::WrongKey`], [`Refusal::BadSignature`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), Refusal> {
        if key.id() != self.header.key {
            return Err(Refusal::WrongKey);
        }
        key.verify(TAG_VERTEX, &codec::encode(&self.header), &self.signature)
    }

    /// What a header must fulfil by itself, beyond its signature.
    ///
    /// # Errors
    /// [`Refusal::BadVertex`].
    pub fn check_limits(&self) -> Result<(), Refusal> {
        let h = &self.header;
        let sorted = h.to.is_sorted_by(|a, b| a < b);
        let mut parents = h.parents.clone();
        parents.sort_unstable();
        parents.dedup();
        let within = h.count <= MAX_ENTRIES as u64
            && h.parents.len() <= MAX_PARENTS
            && parents.len() == h.parents.len()
            && h.to.len() <= MAX_TO
            && sorted
            && !h.to.contains(&h.log)
            && h.epoch >= 1
            && h.seq >= 1;
        if within {
            Ok(())
        } else {
            Err(Refusal::BadVertex)
        }
    }
}

/// Whether the block holds a header of a form later than ours, as far as it can be read at all.
fn later_version(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Outer {
        h: Inner,
    }
    #[derive(Deserialize)]
    struct Inner {
        v: u64,
    }
    bytes.len() <= MAX_HEADER
        && serde_ipld_dagcbor::from_slice::<Outer>(bytes)
            .is_ok_and(|outer| outer.h.v > HEADER_VERSION)
}

/// Encodes the entries of a vertex as its body block.
#[must_use]
pub fn encode_body(entries: &[Entry]) -> Vec<u8> {
    codec::encode(&entries)
}

/// The body block of so many entries, from their encodings one after the other.
pub(crate) fn body_of(count: usize, encoded: &[u8]) -> Vec<u8> {
    let head = match u16::try_from(count).expect("a vertex has at most 256 entries") {
        short @ 0..=23 => vec![0x80 | short.to_be_bytes()[1]],
        byte @ 24..=255 => vec![0x98, byte.to_be_bytes()[1]],
        long => [&[0x99][..], &long.to_be_bytes()].concat(),
    };
    [&head, encoded].concat()
}

/// Decodes a body block.
///
/// # Errors
/// [`Refusal::UnknownVersion`] where only a kind or algorithm is not known; [`Refusal::TooLarge`] or
/// [`Refusal::BadCbor`].
pub fn decode_body(bytes: &[u8]) -> Result<Vec<Entry>, Refusal> {
    match codec::decode::<Vec<Entry>>(bytes, MAX_BODY) {
        Ok(entries) if entries.len() > MAX_ENTRIES => Err(Refusal::TooLarge),
        Err(Refusal::BadCbor) if is_of_newer_software(bytes) => Err(Refusal::UnknownVersion),
        other => other,
    }
}

/// Decodes a body block that [`decode_body`] took before it was stored: how it is written is not looked at again, which is most
/// of the work.
///
/// # Errors
/// As [`decode_body`].
pub fn decode_stored_body(bytes: &[u8]) -> Result<Vec<Entry>, Refusal> {
    codec::decode_stored(bytes).map_or_else(|| decode_body(bytes), Ok)
}

/// One entry of a stored body block, which was decoded whole before it was stored. The others are stepped over.
#[must_use]
pub fn entry_of_body(bytes: &[u8], index: usize) -> Option<Entry> {
    struct Nth(usize);
    impl<'de> Visitor<'de> for Nth {
        type Value = Option<Entry>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of entries")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            for _ in 0..self.0 {
                if list.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(None);
                }
            }
            let entry = list.next_element()?;
            // A list that is left in the middle counts as damaged.
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(entry)
        }
    }
    let mut list = serde_ipld_dagcbor::de::Deserializer::from_slice(bytes);
    list.deserialize_seq(Nth(index)).ok().flatten()
}

/// Whether the body is a list of entries of which at least one has a kind, or a signature an algorithm,
/// that is not known here.
fn is_of_newer_software(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct AnyEntry {
        kind: String,
        sig: Vec<AnySignature>,
    }
    #[derive(Deserialize)]
    struct AnySignature {
        alg: String,
    }
    let known = |entry: &AnyEntry| {
        entry.kind.parse::<Kind>().is_ok()
            && entry
                .sig
                .iter()
                .all(|sig| sig.alg.parse::<Algorithm>().is_ok())
    };
    serde_ipld_dagcbor::from_slice::<Vec<AnyEntry>>(bytes)
        .is_ok_and(|entries| !entries.iter().all(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_its_entries_one_after_the_other() {
        for count in [0, 1, 23, 24, 255, 256] {
            let entries: Vec<_> = (0..count)
                .map(|n: u16| Entry::home_authored(Kind::Settle, n.to_be_bytes().to_vec()))
                .collect();
            let encoded = codec::encode_each(entries.iter());
            let body = encode_body(&entries);
            assert_eq!(body_of(entries.len(), &encoded), body);
            for (n, entry) in entries.iter().enumerate() {
                assert_eq!(entry_of_body(&body, n).as_ref(), Some(entry));
            }
            assert_eq!(entry_of_body(&body, entries.len()), None);
        }
    }
}

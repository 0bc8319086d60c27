//! Proofs by checkpoint: that an entry stands in a vertex, that the vertex stands under a checkpoint, and that a leaf
//! stands in its state. Whoever holds the genesis record checks one offline, also when the bodies are gone everywhere.

use serde::{Deserialize, Serialize};

use super::body::Checkpoint;
use super::leaf::Leaf;
use super::tree::vertex_leaf;
use crate::body::Kind;
use crate::codec;
use crate::genesis::Genesis;
use crate::ids::Digest;
use crate::refusal::Refusal;
use crate::vertex::{MAX_RECEIPT, Receipt, VerifiedReceipt, verify_path};

/// Longest proof in bytes: two receipts, a leaf and two paths.
pub const MAX_PROOF: usize = 2 * MAX_RECEIPT + 64 * 1024;

/// A leaf with its path to the state's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatePart {
    /// The leaf.
    pub leaf: Leaf,
    /// Its position among the leaves.
    pub index: u64,
    /// Its Merkle path, from the leaf upwards.
    pub path: Vec<Digest>,
}

/// A proof as it is stored and sent: deterministic DAG-CBOR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Form: 1.
    pub v: u64,
    /// The receipt of an entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Receipt>,
    /// The Merkle path of that entry's vertex under the checkpoint, from the leaf upwards; only with both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<Digest>>,
    /// A leaf of the checkpoint's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StatePart>,
    /// The receipt of the checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Receipt>,
}

/// A checkpoint with the receipt that proves it.
#[derive(Clone, Debug)]
pub struct Held {
    /// What it says.
    pub body: Checkpoint,
    /// Where it stands, and who signed.
    pub receipt: VerifiedReceipt,
}

/// A proof that holds. It says what its home signed: whether the state is right, those judged who folded the log.
#[derive(Clone, Debug)]
pub struct VerifiedProof {
    /// The entry.
    pub entry: Option<VerifiedReceipt>,
    /// The leaf.
    pub state: Option<Leaf>,
    /// The checkpoint.
    pub checkpoint: Option<Held>,
}

impl Held {
    /// A checkpoint by its receipt.
    ///
    /// # Errors
    /// [`Refusal::BadReceipt`] where the receipt is of another kind of entry, or of a position that its vertex does
    /// not follow; and the refusals of the receipt and of the body.
    pub fn verify(receipt: &Receipt, genesis: &Genesis) -> Result<Self, Refusal> {
        let receipt = receipt.verify(genesis)?;
        if receipt.entry.kind != Kind::Checkpoint {
            return Err(Refusal::BadReceipt);
        }
        let body = Checkpoint::read(&receipt.entry.body)?;
        let h = &receipt.header.header;
        if body.position.seq.checked_add(1) == Some(h.seq) && body.position.epoch == h.epoch {
            Ok(Self { body, receipt })
        } else {
            Err(Refusal::BadReceipt)
        }
    }
}

impl Proof {
    /// Reads a proof.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::BadCbor`] or [`Refusal::UnknownVersion`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        codec::decode_version(bytes, MAX_PROOF, 1)
    }

    /// The proof's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Verifies with nothing but the genesis record.
    ///
    /// # Errors
    /// [`Refusal::BadReceipt`] where a path, a binding or a part is missing or wrong, and the refusals of a receipt.
    pub fn verify(&self, genesis: &Genesis) -> Result<VerifiedProof, Refusal> {
        let held = self.checkpoint.as_ref();
        let held = held.map(|receipt| Held::verify(receipt, genesis));
        let checkpoint = held.transpose()?;
        let entry = self.entry.as_ref().map(|receipt| receipt.verify(genesis));
        let entry = entry.transpose()?;
        match (&entry, &self.path, &self.state, &checkpoint) {
            (Some(_), None, None, None) => {}
            (Some(entry), Some(path), None, Some(held)) => under(entry, path, held)?,
            (None, None, Some(state), Some(held)) => in_state(state, held)?,
            _ => return Err(Refusal::BadReceipt),
        }
        let state = self.state.as_ref().map(|part| part.leaf.clone());
        Ok(VerifiedProof {
            entry,
            state,
            checkpoint,
        })
    }
}

fn under(entry: &VerifiedReceipt, path: &[Digest], held: &Held) -> Result<(), Refusal> {
    let (h, count) = (&entry.header.header, held.body.position.seq);
    let index = h.seq.checked_sub(1).ok_or(Refusal::BadReceipt)?;
    let leaf = vertex_leaf(&entry.vertex);
    let same_log = h.log == held.receipt.header.header.log;
    let proven = leads(&leaf, index, count, path, &held.body.vertices_root);
    if same_log && proven {
        Ok(())
    } else {
        Err(Refusal::BadReceipt)
    }
}

fn in_state(state: &StatePart, held: &Held) -> Result<(), Refusal> {
    let leaf = Leaf::hash(&state.leaf.to_bytes());
    let (count, root) = (held.body.leaves, &held.body.state_root);
    if leads(&leaf, state.index, count, &state.path, root) {
        Ok(())
    } else {
        Err(Refusal::BadReceipt)
    }
}

fn leads(leaf: &[u8; 32], index: u64, count: u64, path: &[Digest], root: &Digest) -> bool {
    let path: Vec<[u8; 32]> = path.iter().map(|digest| digest.0).collect();
    verify_path(leaf, index, count, &path, &root.0)
}

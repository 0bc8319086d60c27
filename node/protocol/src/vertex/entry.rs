//! An entry: one thing that happened, with who signed it, what the home booked and what it rests on.

use serde::{Deserialize, Serialize};

use crate::amount::{Amount, Timestamp};
use crate::body::Kind;
use crate::codec;
use crate::crypto::{Algorithm, Signature};
use crate::ids::{BlockId, Digest, KeyId, sha256};
use crate::place::Grade;
use crate::refusal::Refusal;

/// One signature of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntrySignature {
    /// Algorithm.
    pub alg: Algorithm,
    /// Key id.
    pub key: KeyId,
    /// Signature bytes.
    #[serde(with = "serde_bytes")]
    pub sig: Vec<u8>,
}

impl EntrySignature {
    /// Puts a signature beside the key it was made with.
    #[must_use]
    pub fn new(key: KeyId, signature: &Signature) -> Self {
        Self {
            alg: signature.algorithm(),
            key,
            sig: signature.as_bytes().to_vec(),
        }
    }

    /// The signature with its length checked.
    ///
    /// # Errors
    /// [`Refusal::SignatureLength`].
    pub fn signature(&self) -> Result<Signature, Refusal> {
        Signature::new(self.alg, &self.sig)
    }
}

/// What the home decided when it booked an entry. Which fields stand for which kind is in
/// docs/formats.md; a field that the kind does not have makes the vertex invalid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Booked {
    /// When the home received it, by its clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Timestamp>,
    /// What is available to the account after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_after: Option<Amount>,
    /// Code of the expense account that is debited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debit: Option<u16>,
    /// Grade of the place evidence as it counts here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Grade>,
    /// What the sender of an adopted transfer did not have; absent where they had all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<Amount>,
    /// `true` where the home could not confirm that its log is whole (DESIGN §6.9); absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<bool>,
}

/// A proof that an entry stands in a vertex of another log, without its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryCite {
    /// The vertex.
    pub vertex: BlockId,
    /// Position in it.
    pub index: u64,
    /// Merkle path, from the leaf upwards.
    pub path: Vec<Digest>,
    /// Kind.
    pub kind: Kind,
    /// Body as received.
    pub body: Vec<u8>,
    /// SHA-256 of the signatures' DAG-CBOR.
    pub sig_hash: Digest,
    /// What its home booked.
    pub booked: Booked,
    /// SHA-256 of its cites' DAG-CBOR.
    pub cites_hash: Digest,
}

impl EntryCite {
    /// The leaf hash of the cited entry.
    #[must_use]
    pub fn leaf(&self) -> [u8; 32] {
        leaf_hash(
            self.kind,
            &sha256(&[&self.body]),
            &self.sig_hash.0,
            &sha256(&[&codec::encode(&self.booked)]),
            &self.cites_hash.0,
        )
    }
}

/// An earlier entry of the own log, also in the same vertex at a lower index.
pub type OwnCite = crate::body::OwnEntry;

/// What an entry rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CiteForm", into = "CiteForm")]
pub enum Cite {
    /// An entry of another log.
    Entry(Box<EntryCite>),
    /// An entry of the own log.
    Own(OwnCite),
    /// A vertex of another log, for its time.
    Vertex(BlockId),
}

/// The wire form of all cites: one map, whose keys say which form it is.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CiteForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vertex: Option<BlockId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<Vec<Digest>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<serde_bytes::ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sig_hash: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    booked: Option<Booked>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cites_hash: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
}

impl TryFrom<CiteForm> for Cite {
    type Error = Refusal;

    fn try_from(form: CiteForm) -> Result<Self, Refusal> {
        match form {
            CiteForm {
                vertex: Some(vertex),
                index: Some(index),
                path: Some(path),
                kind: Some(kind),
                body: Some(body),
                sig_hash: Some(sig_hash),
                booked: Some(booked),
                cites_hash: Some(cites_hash),
                epoch: None,
                seq: None,
            } => Ok(Self::Entry(Box::new(EntryCite {
                vertex,
                index,
                path,
                kind,
                body: body.into_vec(),
                sig_hash,
                booked,
                cites_hash,
            }))),
            CiteForm {
                vertex: None,
                index: Some(index),
                path: None,
                kind: None,
                body: None,
                sig_hash: None,
                booked: None,
                cites_hash: None,
                epoch: Some(epoch),
                seq: Some(seq),
            } => Ok(Self::Own(OwnCite { epoch, seq, index })),
            CiteForm {
                vertex: Some(vertex),
                index: None,
                path: None,
                kind: None,
                body: None,
                sig_hash: None,
                booked: None,
                cites_hash: None,
                epoch: None,
                seq: None,
            } => Ok(Self::Vertex(vertex)),
            _ => Err(Refusal::BadCite),
        }
    }
}

impl From<Cite> for CiteForm {
    fn from(cite: Cite) -> Self {
        match cite {
            Cite::Entry(cite) => Self {
                vertex: Some(cite.vertex),
                index: Some(cite.index),
                path: Some(cite.path),
                kind: Some(cite.kind),
                body: Some(cite.body.into()),
                sig_hash: Some(cite.sig_hash),
                booked: Some(cite.booked),
                cites_hash: Some(cite.cites_hash),
                epoch: None,
                seq: None,
            },
            Cite::Own(own) => Self {
                epoch: Some(own.epoch),
                seq: Some(own.seq),
                index: Some(own.index),
                ..Self::default()
            },
            Cite::Vertex(vertex) => Self {
                vertex: Some(vertex),
                ..Self::default()
            },
        }
    }
}

/// One entry as it stands in a body block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What happened.
    pub kind: Kind,
    /// The body, exactly as signed or written.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// Signatures sorted by key id; empty for what the home writes itself.
    pub sig: Vec<EntrySignature>,
    /// What the home booked.
    pub booked: Booked,
    /// What it rests on.
    pub cites: Vec<Cite>,
}

impl Entry {
    /// An entry that the home writes itself.
    #[must_use]
    pub fn home_authored(kind: Kind, body: Vec<u8>) -> Self {
        Self {
            kind,
            body,
            sig: Vec::new(),
            booked: Booked::default(),
            cites: Vec::new(),
        }
    }

    /// The leaf hash: SHA-256(0x00 ‖ dag-cbor([kind, H(body), H(sig), H(booked), H(cites)])).
    #[must_use]
    pub fn leaf(&self) -> [u8; 32] {
        self.leaf_with(&EntryHashes::of(&self.body, &self.sig))
    }

    /// The same with the hashes of this entry's body and signatures at hand.
    #[must_use]
    pub fn leaf_with(&self, hashes: &EntryHashes) -> [u8; 32] {
        leaf_hash(
            self.kind,
            &hashes.body.0,
            &hashes.sig.0,
            &sha256(&[&codec::encode(&self.booked)]),
            &sha256(&[&codec::encode(&self.cites)]),
        )
    }

    /// A cite of this entry, which stands at `index` of `vertex` with this Merkle path.
    #[must_use]
    pub fn to_cite(&self, vertex: BlockId, index: u64, path: &[[u8; 32]]) -> Cite {
        Cite::Entry(Box::new(EntryCite {
            vertex,
            index,
            path: path.iter().copied().map(Digest).collect(),
            kind: self.kind,
            body: self.body.clone(),
            sig_hash: Digest(sha256(&[&codec::encode(&self.sig)])),
            booked: self.booked.clone(),
            cites_hash: Digest(sha256(&[&codec::encode(&self.cites)])),
        }))
    }
}

/// Hashes of what an entry brings along from outside, and of nearly all its bytes: they can be made before it is
/// booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHashes {
    body: Digest,
    sig: Digest,
}

impl EntryHashes {
    /// The hashes of a body and its signatures, which are in their order.
    #[must_use]
    pub fn of(body: &[u8], signatures: &[EntrySignature]) -> Self {
        Self {
            body: Digest(sha256(&[body])),
            sig: Digest(sha256(&[&codec::encode(&signatures)])),
        }
    }

    /// The same for an entry without signatures whose body has this hash.
    #[must_use]
    pub fn unsigned(body: Digest) -> Self {
        let none: &[EntrySignature] = &[];
        Self {
            body,
            sig: Digest(sha256(&[&codec::encode(&none)])),
        }
    }

    /// The hash of the body.
    #[must_use]
    pub const fn body(&self) -> Digest {
        self.body
    }
}

fn leaf_hash(
    kind: Kind,
    body: &[u8; 32],
    sig: &[u8; 32],
    booked: &[u8; 32],
    cites: &[u8; 32],
) -> [u8; 32] {
    let parts = (
        kind,
        Digest(*body),
        Digest(*sig),
        Digest(*booked),
        Digest(*cites),
    );
    sha256(&[&[0], &codec::encode(&parts)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cite_has_the_leaf_of_its_entry_and_reads_back() {
        let mut entry = Entry::home_authored(Kind::Settle, vec![1, 2, 3]);
        entry.booked.balance_after = Some(Amount::from_hundredths(5));
        let cite = entry.to_cite(BlockId::of(b"v"), 0, &[]);
        let bytes = codec::encode(&cite);
        let read: Cite = codec::decode(&bytes, 4096).unwrap();
        assert_eq!(read, cite);
        let Cite::Entry(cite) = cite else {
            panic!("an entry cite")
        };
        assert_eq!(cite.leaf(), entry.leaf());
        let hashes = EntryHashes::of(&entry.body, &entry.sig);
        assert_eq!(entry.leaf_with(&hashes), entry.leaf());

        let own = Cite::Own(OwnCite {
            epoch: 1,
            seq: 2,
            index: 3,
        });
        let vertex = Cite::Vertex(BlockId::of(b"v"));
        for cite in [own, vertex] {
            let read = codec::decode::<Cite>(&codec::encode(&cite), 64);
            assert_eq!(read, Ok(cite));
        }
    }

    #[test]
    fn a_cite_of_no_known_form_is_refused() {
        let half = CiteForm {
            epoch: Some(1),
            index: Some(1),
            ..CiteForm::default()
        };
        assert_eq!(
            codec::decode::<Cite>(&codec::encode(&half), 64),
            Err(Refusal::BadCbor)
        );
    }
}

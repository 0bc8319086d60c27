//! What is known of an entry before any state is looked at. It is found out on every core and once; the fold,
//! which runs on one, builds on it.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Entry, EntryHashes, EntryStub, KeySource, verify_entry_signature};
use crate::body::{
    Accept, Kind, PersonBody, Transfer, identity, read_person_body, read_stored_body,
};
use crate::ids::Digest;
use crate::place::PlaceProof;
use crate::refusal::Refusal;

/// What is known about one signature of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It verifies under the key whose id it names.
    Good,
    /// It does not verify.
    Bad,
    /// The key was not at hand; the fold has to check it.
    Unknown,
}

/// What is known of one entry. It belongs to that entry's bytes and must not be passed with others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    signatures: Vec<Checked>,
    body: ReadBody,
    hashes: Option<EntryHashes>,
}

/// A body of the kinds that a busy home has thousands of; the others are read where they are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum ReadBody {
    #[default]
    Unread,
    Transfer(Box<Transfer>, Digest),
    Accept(Box<Accept>, Digest),
    Place(Arc<PlaceProof>),
    Pruned(Box<EntryStub>),
}

/// A body that may come with its submission, read already.
pub trait KnownBody: PersonBody + Clone {
    /// What is known of an entry with this body, its identity, one good signature and these hashes.
    fn known(self, identity: Digest, hashes: EntryHashes) -> Known;
    /// The body and the identity, if they are known.
    fn of(known: &Known) -> Option<(&Self, Digest)>;
}

impl Known {
    /// Reads the body and checks every signature whose key is at hand.
    #[must_use]
    pub fn find_out(entry: &Entry, keys: &dyn KeySource) -> Self {
        let check = |sig: &super::EntrySignature| match keys.public_key(&sig.key) {
            None => Checked::Unknown,
            Some(key) => match verify_entry_signature(entry, sig.key, &key) {
                Ok(()) => Checked::Good,
                Err(_) => Checked::Bad,
            },
        };
        Self {
            signatures: entry.sig.iter().map(check).collect(),
            body: ReadBody::of(entry),
            hashes: None,
        }
    }

    /// An entry of a stored vertex that was found valid: all its signatures were checked then. Reads the body.
    #[must_use]
    pub fn stored(entry: &Entry) -> Self {
        Self {
            body: ReadBody::stored(entry),
            ..Self::signatures(vec![Checked::Good; entry.sig.len()])
        }
    }

    /// Nothing is known of this entry.
    #[must_use]
    pub fn nothing(entry: &Entry) -> Self {
        Self::signatures(vec![Checked::Unknown; entry.sig.len()])
    }

    /// So much is known of the signatures, and nothing of the body.
    #[must_use]
    pub const fn signatures(signatures: Vec<Checked>) -> Self {
        Self {
            signatures,
            body: ReadBody::Unread,
            hashes: None,
        }
    }

    /// What is known of each signature, in their order.
    #[must_use]
    pub fn checked(&self) -> &[Checked] {
        &self.signatures
    }

    /// A home's own proof of place, with H of its bytes.
    #[must_use]
    pub fn place(proof: Arc<PlaceProof>, body: Digest) -> Self {
        Self {
            signatures: Vec::new(),
            body: ReadBody::Place(proof),
            hashes: Some(EntryHashes::unsigned(body)),
        }
    }

    /// An entry of a stored vertex that was found valid, and of which this is left. The entry beside it has its kind and
    /// nothing else.
    #[must_use]
    pub fn pruned(stub: EntryStub) -> (Entry, Self) {
        let entry = Entry::home_authored(stub.kind(), Vec::new());
        let known = Self {
            body: ReadBody::Pruned(Box::new(stub)),
            ..Self::default()
        };
        (entry, known)
    }

    /// What is left of the entry, if its body was pruned.
    #[must_use]
    pub fn stub(&self) -> Option<&EntryStub> {
        match &self.body {
            ReadBody::Pruned(stub) => Some(stub),
            _ => None,
        }
    }

    /// The proof of place that this entry is, read now unless it is known.
    ///
    /// # Errors
    /// Those of [`PlaceProof::decode`].
    pub fn proof(&self, entry: &Entry) -> Result<Arc<PlaceProof>, Refusal> {
        match &self.body {
            ReadBody::Place(proof) => Ok(Arc::clone(proof)),
            _ => PlaceProof::decode(&entry.body).map(Arc::new),
        }
    }

    /// H of this entry's body, hashed now unless it is known.
    #[must_use]
    pub fn body_hash(&self, entry: &Entry) -> Digest {
        let hashed = || Digest::of(&[&entry.body]);
        self.hashes.as_ref().map_or_else(hashed, EntryHashes::body)
    }

    /// The body of this entry, read now unless it is known.
    ///
    /// # Errors
    /// Those of [`read_person_body`].
    pub fn body<B: KnownBody>(&self, entry: &Entry) -> Result<Cow<'_, B>, Refusal> {
        match B::of(self) {
            Some((body, _)) => Ok(Cow::Borrowed(body)),
            None => read_person_body(&entry.body).map(Cow::Owned),
        }
    }

    /// The identity of the submission with this body, hashed now unless it is known.
    #[must_use]
    pub fn identity<B: KnownBody>(&self, entry: &Entry) -> Digest {
        B::of(self).map_or_else(|| identity(B::TAG, &entry.body), |(_, identity)| identity)
    }

    /// The leaf of this entry; its body and signatures are hashed now unless their hashes are known.
    #[must_use]
    pub fn leaf(&self, entry: &Entry) -> [u8; 32] {
        match &self.hashes {
            Some(hashes) => entry.leaf_with(hashes),
            None => entry.leaf(),
        }
    }
}

impl ReadBody {
    /// A body that cannot be read stays unread: the fold then says why.
    fn of(entry: &Entry) -> Self {
        match entry.kind {
            Kind::Transfer => read_person_body(&entry.body)
                .map(|body| Self::Transfer(Box::new(body), identity(Transfer::TAG, &entry.body))),
            Kind::Accept => read_person_body(&entry.body)
                .map(|body| Self::Accept(Box::new(body), identity(Accept::TAG, &entry.body))),
            Kind::Place => PlaceProof::decode(&entry.body).map(|p| Self::Place(Arc::new(p))),
            _ => Ok(Self::Unread),
        }
        .unwrap_or_default()
    }

    /// The same for one that was read before it was stored.
    fn stored(entry: &Entry) -> Self {
        let body = &entry.body;
        match entry.kind {
            Kind::Transfer => read_stored_body(body)
                .map(|read| Self::Transfer(Box::new(read), identity(Transfer::TAG, body))),
            Kind::Accept => read_stored_body(body)
                .map(|read| Self::Accept(Box::new(read), identity(Accept::TAG, body))),
            Kind::Place => PlaceProof::decode_stored(body).map(|read| Self::Place(Arc::new(read))),
            _ => None,
        }
        .unwrap_or_default()
    }
}

impl KnownBody for Transfer {
    fn known(self, identity: Digest, hashes: EntryHashes) -> Known {
        Known {
            signatures: vec![Checked::Good],
            body: ReadBody::Transfer(Box::new(self), identity),
            hashes: Some(hashes),
        }
    }

    fn of(known: &Known) -> Option<(&Self, Digest)> {
        match &known.body {
            ReadBody::Transfer(body, identity) => Some((body, *identity)),
            _ => None,
        }
    }
}

impl KnownBody for Accept {
    fn known(self, identity: Digest, hashes: EntryHashes) -> Known {
        Known {
            signatures: vec![Checked::Good],
            body: ReadBody::Accept(Box::new(self), identity),
            hashes: Some(hashes),
        }
    }

    fn of(known: &Known) -> Option<(&Self, Digest)> {
        match &known.body {
            ReadBody::Accept(body, identity) => Some((body, *identity)),
            _ => None,
        }
    }
}

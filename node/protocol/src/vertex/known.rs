//! What is known of an entry before any state is looked at. It is found out on every core and once; the fold,
//! which runs on one, builds on it.

use std::borrow::Cow;

use super::{Entry, KeySource, verify_entry_signature};
use crate::body::{Accept, Kind, PersonBody, Transfer, read_person_body};
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
}

/// A body of the kinds that a busy home has thousands of; the others are read where they are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum ReadBody {
    #[default]
    Unread,
    Transfer(Box<Transfer>),
    Accept(Box<Accept>),
    Place(Box<PlaceProof>),
}

/// A body that may come with its submission, read already.
pub trait KnownBody: PersonBody + Clone {
    /// What is known of an entry with this body and one good signature.
    fn known(self) -> Known;
    /// The body, if it is known.
    fn of(known: &Known) -> Option<&Self>;
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
        }
    }

    /// An entry of a stored vertex that was found valid: all its signatures were checked then.
    #[must_use]
    pub fn stored(entry: &Entry) -> Self {
        Self::signatures(vec![Checked::Good; entry.sig.len()])
    }

    /// Nothing is known of this entry.
    #[must_use]
    pub fn nothing(entry: &Entry) -> Self {
        Self::signatures(vec![Checked::Unknown; entry.sig.len()])
    }

    /// So much is known of the signatures, and nothing of the body.
    #[must_use]
    pub const fn signatures(signatures: Vec<Checked>) -> Self {
        let body = ReadBody::Unread;
        Self { signatures, body }
    }

    /// What is known of each signature, in their order.
    #[must_use]
    pub fn checked(&self) -> &[Checked] {
        &self.signatures
    }

    /// A home's own proof of place.
    #[must_use]
    pub fn place(proof: PlaceProof) -> Self {
        Self {
            signatures: Vec::new(),
            body: ReadBody::Place(Box::new(proof)),
        }
    }

    /// The proof of place that this entry is, read now unless it is known.
    ///
    /// # Errors
    /// Those of [`PlaceProof::decode`].
    pub fn proof(&self, entry: &Entry) -> Result<PlaceProof, Refusal> {
        match &self.body {
            ReadBody::Place(proof) => Ok(PlaceProof::clone(proof)),
            _ => PlaceProof::decode(&entry.body),
        }
    }

    /// The body of this entry, read now unless it is known.
    ///
    /// # Errors
    /// Those of [`read_person_body`].
    pub fn body<B: KnownBody>(&self, entry: &Entry) -> Result<Cow<'_, B>, Refusal> {
        match B::of(self) {
            Some(body) => Ok(Cow::Borrowed(body)),
            None => read_person_body(&entry.body).map(Cow::Owned),
        }
    }
}

impl ReadBody {
    /// A body that cannot be read stays unread: the fold then says why.
    fn of(entry: &Entry) -> Self {
        match entry.kind {
            Kind::Transfer => read_person_body(&entry.body).map(|b| Self::Transfer(Box::new(b))),
            Kind::Accept => read_person_body(&entry.body).map(|b| Self::Accept(Box::new(b))),
            Kind::Place => PlaceProof::decode(&entry.body).map(|p| Self::Place(Box::new(p))),
            _ => Ok(Self::Unread),
        }
        .unwrap_or_default()
    }
}

impl KnownBody for Transfer {
    fn known(self) -> Known {
        Known {
            signatures: vec![Checked::Good],
            body: ReadBody::Transfer(Box::new(self)),
        }
    }

    fn of(known: &Known) -> Option<&Self> {
        match &known.body {
            ReadBody::Transfer(body) => Some(body),
            _ => None,
        }
    }
}

impl KnownBody for Accept {
    fn known(self) -> Known {
        Known {
            signatures: vec![Checked::Good],
            body: ReadBody::Accept(Box::new(self)),
        }
    }

    fn of(known: &Known) -> Option<&Self> {
        match &known.body {
            ReadBody::Accept(body) => Some(body),
            _ => None,
        }
    }
}

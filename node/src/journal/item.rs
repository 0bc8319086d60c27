//! One entry as the journal reads it: whole, or what is left of it where its body was pruned.

use city_protocol::Refusal;
use city_protocol::body::Kind;
use city_protocol::ids::BlockId;
use city_protocol::journal::{Booked, Place, Posting, postings, stub_postings};
use city_protocol::ledger::History;
use city_protocol::vertex::{Entry, EntryStub, Stub, decode_body};

/// An entry.
pub(super) enum Item {
    /// Whole.
    Entry(Entry),
    /// What is left of it.
    Stub(EntryStub),
}

impl Item {
    /// The entries of a stored body, and how many bytes were read for them.
    ///
    /// # Errors
    /// [`Refusal::BadVertex`] where neither the body nor its stub is here, and those of the body's form.
    pub(super) fn of_body(
        history: &dyn History,
        body: &BlockId,
    ) -> Result<(Vec<Self>, usize), Refusal> {
        if let Some(bytes) = history.block(body) {
            return Ok((Self::whole(&bytes)?, bytes.len()));
        }
        let stub = history.stub(body).ok_or(Refusal::BadVertex)?;
        let bytes = stub.to_block().len();
        Ok((Self::left(stub), bytes))
    }

    /// The entries of a body, or of its stub, as it stands in the store.
    ///
    /// # Errors
    /// Those of the body's form.
    pub(super) fn of_block(bytes: &[u8]) -> Result<Vec<Self>, Refusal> {
        match Stub::read(bytes) {
            Ok(stub) => Ok(Self::left(stub)),
            Err(_) => Self::whole(bytes),
        }
    }

    fn whole(bytes: &[u8]) -> Result<Vec<Self>, Refusal> {
        Ok(decode_body(bytes)?.into_iter().map(Self::Entry).collect())
    }

    fn left(stub: Stub) -> Vec<Self> {
        stub.entries.into_iter().map(Self::Stub).collect()
    }

    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Entry(entry) => entry.kind,
            Self::Stub(stub) => stub.kind(),
        }
    }

    /// What it posts at this place.
    ///
    /// # Errors
    /// As [`postings`].
    pub(super) fn postings(
        &self,
        place: &Place,
        booked: &(impl Booked + ?Sized),
    ) -> Result<Vec<Posting>, Refusal> {
        match self {
            Self::Entry(entry) => postings(entry, place, booked),
            Self::Stub(stub) => stub_postings(stub, place, booked),
        }
    }
}

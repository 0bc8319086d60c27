//! The typed stage of a vertex whose header signature and hashes hold. What its entries mean is judged
//! by the fold ([`crate::ledger`]); here only what needs no state is done, so it can run on every core.

use std::sync::Arc;

use super::{Authority, Entry, Known, SignedHeader, Stub, decode_body, merkle_root};
use crate::body::Kind;
use crate::crypto::{DomainTag, PublicKey};
use crate::genesis::Genesis;
use crate::ids::{BlockId, KeyId, LogId};
use crate::refusal::Refusal;

/// Where a verifier finds keys. Ids are hashes of keys, so an answer cannot be of the wrong key.
pub trait KeySource {
    /// The authority of a log that is known.
    fn authority(&self, log: &LogId) -> Option<Arc<Authority>>;
    /// A person's or officer's public key, if it is at hand.
    fn public_key(&self, id: &KeyId) -> Option<Arc<PublicKey>>;
}

/// A vertex whose header signature, body hash and entry signatures were looked at.
#[derive(Clone, Debug)]
pub struct VerifiedVertex {
    /// The header.
    pub header: SignedHeader,
    /// The body block.
    pub body_block: Vec<u8>,
    /// The entries, or why the signed header's body is not one: that is the author's fault.
    pub entries: Result<Vec<Entry>, Refusal>,
    /// What is known of each entry; none where there are no entries.
    pub known: Vec<Known>,
    /// The log's authority; for a first vertex judged from its own charter.
    pub authority: Arc<Authority>,
}

impl VerifiedVertex {
    /// The vertex id.
    #[must_use]
    pub const fn id(&self) -> BlockId {
        self.header.id
    }

    /// Whether it says who signs or decides from here on: it begins its log, or an epoch of it, or brings a later charter.
    #[must_use]
    pub fn begins(&self) -> bool {
        let first = self.entries.iter().flatten().next();
        first.is_some_and(|entry| matches!(entry.kind, Kind::Charter | Kind::EpochStart))
    }

    /// Whether its body is not here, and what is left of it stands for its entries.
    #[must_use]
    pub fn is_pruned(&self) -> bool {
        self.known.iter().any(|known| known.stub().is_some())
    }

    /// Verifies two blocks that a peer sent. An error means that the bytes prove nothing about the
    /// author: they are the sender's fault and are dropped.
    ///
    /// # Errors
    /// [`Refusal::UnknownVersion`], the refusals of the header's form and signature,
    /// [`Refusal::BadCertificate`] for a first vertex whose charter does not hold, and
    /// [`Refusal::UnknownLog`] when the log is not known and this is not its first vertex.
    pub fn verify(
        genesis: &Genesis,
        keys: &dyn KeySource,
        header_block: &[u8],
        body_block: Vec<u8>,
    ) -> Result<Self, Refusal> {
        let header = SignedHeader::read(header_block)?;
        if BlockId::of(&body_block) != header.header.body {
            return Err(Refusal::BadVertex);
        }
        let entries = decode_body(&body_block);
        let authority = authority_of(genesis, keys, &header, &entries)?;
        verify_signer(&header, &authority)?;
        let entries = entries.and_then(|entries| {
            header.check_limits()?;
            let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
            let matches = header.header.count == entries.len() as u64
                && header.header.entries_root.0 == merkle_root(&leaves);
            if matches {
                Ok(entries)
            } else {
                Err(Refusal::BadVertex)
            }
        });
        let known = entries
            .iter()
            .flatten()
            .map(|entry| Known::find_out(entry, keys))
            .collect();
        Ok(Self {
            header,
            body_block,
            entries,
            known,
            authority,
        })
    }

    /// Verifies a header block that came with the stub of its body, from somebody who pruned that. The header vouches for
    /// who signed, and for the number and the hashes of the entries; what the stub says that they did is the word of whoever
    /// wrote it, and only a checkpoint behind it can bear that out.
    ///
    /// # Errors
    /// Those of [`verify_header`], and [`Refusal::BadVertex`] for a stub that is another body's.
    pub fn verify_stub(
        genesis: &Genesis,
        keys: &dyn KeySource,
        header_block: &[u8],
        stub: Stub,
    ) -> Result<Self, Refusal> {
        let header = SignedHeader::read(header_block)?;
        let authority = authority_of(genesis, keys, &header, &Ok(Vec::new()))?;
        verify_signer(&header, &authority)?;
        header.check_limits()?;
        if !stub.belongs_to(&header.header) {
            return Err(Refusal::BadVertex);
        }
        let (entries, known) = stub.entries.into_iter().map(Known::pruned).unzip();
        Ok(Self {
            header,
            body_block: Vec::new(),
            entries: Ok(entries),
            known,
            authority,
        })
    }
}

/// Verifies a header block that came without its body. An error means that the bytes prove nothing about the author.
///
/// # Errors
/// Those of a header in [`VerifiedVertex::verify`]; [`Refusal::UnknownLog`] also where only the body would say who signs.
pub fn verify_header(
    genesis: &Genesis,
    keys: &dyn KeySource,
    header_block: &[u8],
) -> Result<SignedHeader, Refusal> {
    let header = SignedHeader::read(header_block)?;
    let authority = authority_of(genesis, keys, &header, &Ok(Vec::new()))?;
    verify_signer(&header, &authority)?;
    Ok(header)
}

/// Whether the log's key of its epoch signed a header.
fn verify_signer(header: &SignedHeader, authority: &Authority) -> Result<(), Refusal> {
    let epoch = header.header.epoch;
    let key = authority.key_of(epoch).ok_or(Refusal::UnknownLog)?;
    if epoch > 1 && header.header.key != key.id() {
        // Of another beginning of this epoch than the one that is known: nobody's fault but the officers'.
        return Err(Refusal::UnknownLog);
    }
    header.verify(key)
}

/// The authority under which a vertex is to be verified: one that is known, or what a log's first vertex, or the
/// first of an epoch, brings along.
///
/// # Errors
/// [`Refusal::UnknownLog`] where neither helps, and what is wrong with what the vertex brings along.
pub fn authority_of(
    genesis: &Genesis,
    keys: &dyn KeySource,
    header: &SignedHeader,
    entries: &Result<Vec<Entry>, Refusal>,
) -> Result<Arc<Authority>, Refusal> {
    let Some(known) = keys.authority(&header.header.log) else {
        return founding_authority(genesis, header, entries).map(Arc::new);
    };
    let epoch = header.header.epoch;
    let first = entries.iter().flatten().next();
    if let Some(amendment) = first.filter(|entry| amends(header, entry)) {
        // What does not hold is its author's fault, which the fold finds: the header is the node's all the same.
        let amended = known.amend(genesis, amendment, epoch).map(Arc::new);
        return Ok(amended.unwrap_or(known));
    }
    let begins = first.filter(|entry| entry.kind == Kind::EpochStart);
    let as_known = match begins {
        Some(start) => known.start_of(epoch) == Some(start),
        None => epoch <= known.epoch(),
    };
    if as_known {
        return Ok(known);
    }
    // What is known may be a beginning that never counted.
    let before = known.until(epoch.saturating_sub(1), Some(header.header.charter));
    next_authority(genesis, &before, header, begins).map(Arc::new)
}

/// Whether this first entry of a vertex is a later charter.
pub(crate) fn amends(header: &SignedHeader, first: &Entry) -> bool {
    first.kind == Kind::Charter && header.header.seq > 1
}

/// The authority that a log's first vertex brings along.
fn founding_authority(
    genesis: &Genesis,
    header: &SignedHeader,
    entries: &Result<Vec<Entry>, Refusal>,
) -> Result<Authority, Refusal> {
    let h = &header.header;
    let first = entries.as_ref().map_err(|refusal| *refusal)?.first();
    match first {
        Some(entry) if h.seq == 1 && h.epoch == 1 && entry.kind == Kind::Charter => {
            let authority = Authority::from_charter(genesis, &entry.body)?;
            if authority.log == h.log && authority.charter.created_at <= h.time {
                Ok(authority)
            } else {
                Err(Refusal::BadVertex)
            }
        }
        _ => Err(Refusal::UnknownLog),
    }
}

/// The authority with the epoch that this vertex begins.
fn next_authority(
    genesis: &Genesis,
    authority: &Authority,
    header: &SignedHeader,
    start: Option<&Entry>,
) -> Result<Authority, Refusal> {
    let follows = authority.epoch() + 1 == header.header.epoch;
    let charter = header.header.charter;
    match start.filter(|_| follows && authority.knows(&charter)) {
        Some(start) => authority.begin_epoch(genesis, start, charter),
        // Of an epoch whose beginning, or under a charter that, has not come yet.
        None => Err(Refusal::UnknownLog),
    }
}

/// The tag and message that a signature of this entry covers.
fn signed_message(entry: &Entry, key: &PublicKey) -> Result<(DomainTag, Vec<u8>), Refusal> {
    use crate::body::{
        Accept, Amendment, Correct, Enrol, EpochStart, Grant, OfficersBody as _, Order,
        PersonBody as _, Recover, Reject, Revoke, Rotate, Transfer, Ungrant, is_officers_revoke,
        officer_message,
    };
    let by_officer = || officer_message(key.algorithm(), &key.id(), &entry.body);
    match entry.kind {
        Kind::Enrol => Ok((Enrol::TAG, entry.body.clone())),
        Kind::Transfer => Ok((Transfer::TAG, entry.body.clone())),
        Kind::Accept => Ok((Accept::TAG, entry.body.clone())),
        Kind::Reject => Ok((Reject::TAG, entry.body.clone())),
        Kind::Rotate => Ok((Rotate::TAG, entry.body.clone())),
        Kind::Order => Ok((Order::TAG, entry.body.clone())),
        Kind::Grant => Ok((Grant::TAG, by_officer())),
        Kind::Ungrant => Ok((Ungrant::TAG, by_officer())),
        Kind::Correct => Ok((Correct::TAG, by_officer())),
        Kind::Recover => Ok((Recover::TAG, by_officer())),
        Kind::EpochStart => Ok((EpochStart::TAG, by_officer())),
        Kind::Revoke if is_officers_revoke(&entry.body) => Ok((Revoke::TAG, by_officer())),
        Kind::Revoke => Ok((Revoke::TAG, entry.body.clone())),
        // The first has no signatures to check.
        Kind::Charter => Ok((Amendment::TAG, by_officer())),
        Kind::Place
        | Kind::Settle
        | Kind::Refund
        | Kind::Start
        | Kind::Fault
        | Kind::Adopt
        | Kind::Checkpoint
        | Kind::Trust
        | Kind::Note => Err(Refusal::BadEntry),
    }
}

/// Checks the signature that `id` made on an entry.
///
/// # Errors
/// [`Refusal::WrongKey`], [`Refusal::WrongAlgorithm`], [`Refusal::SignatureLength`],
/// [`Refusal::BadSignature`], or [`Refusal::BadEntry`] for a kind that nobody signs.
pub fn verify_entry_signature(entry: &Entry, id: KeyId, key: &PublicKey) -> Result<(), Refusal> {
    let sig = entry
        .sig
        .iter()
        .find(|sig| sig.key == id)
        .ok_or(Refusal::WrongKey)?;
    if key.id() != id {
        return Err(Refusal::WrongKey);
    }
    let (tag, message) = signed_message(entry, key)?;
    key.verify(tag, &message, &sig.signature()?)
}

//! The proof that a log signed one position, or began one epoch, twice: a file that convicts it before whoever has
//! the network's genesis record, without a store and without a node.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::convict::{MAX_BEGINNING, beginnings, convicts};
use crate::body::{EpochStart, Fault, FaultReason, read_officers_body};
use crate::codec;
use crate::genesis::Genesis;
use crate::refusal::Refusal;
use crate::vertex::{Authority, Booked, Entry, MAX_AUTHORITY, SignedHeader};

/// Longest proof in bytes: the authority, and two beginnings, which are longer than two headers.
pub const MAX_FAULT_PROOF: usize = MAX_AUTHORITY + 2 * MAX_BEGINNING;

/// A proof as it is stored and sent: deterministic DAG-CBOR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultProof {
    /// Form: 1.
    pub v: u64,
    /// What the log did: `equivocation` or `epoch-starts`. A vertex that breaks a rule is judged by what came before
    /// it, and has no proof of this form.
    pub reason: FaultReason,
    /// The first charter, and each `epoch-start` up to the epoch that signed, with the later charters that these rest on; of an
    /// epoch that was begun twice, up to the one before, with the charters whose officers began it.
    pub authority: Vec<Entry>,
    /// The two header blocks, lower id first; or the two `epoch-start` entries in DAG-CBOR, each without `booked` and
    /// `cites`, lower identity first.
    pub evidence: [ByteBuf; 2],
}

/// What was signed twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedTwice {
    /// Two vertices of one position, by the node.
    Vertices(Box<[SignedHeader; 2]>),
    /// Two beginnings of one epoch, by the officers.
    Beginnings(Box<[EpochStart; 2]>),
}

/// A proof that holds.
#[derive(Clone, Debug)]
pub struct VerifiedFault {
    /// Whose log it is, and who signs it.
    pub authority: Authority,
    /// The epoch.
    pub epoch: u64,
    /// The last position that counts.
    pub cut: u64,
    /// What was signed twice.
    pub twice: SignedTwice,
}

impl FaultProof {
    /// The proof of two header blocks of one position, in either order.
    ///
    /// # Errors
    /// Those of [`SignedHeader::read`].
    pub fn of_vertices(authority: Vec<Entry>, a: &[u8], b: &[u8]) -> Result<Self, Refusal> {
        let (a, b) = (SignedHeader::read(a)?, SignedHeader::read(b)?);
        let (a, b) = if a.id < b.id { (a, b) } else { (b, a) };
        let evidence = [a.block.into(), b.block.into()];
        Ok(Self::of(FaultReason::Equivocation, authority, evidence))
    }

    /// The proof of two beginnings of one epoch, in either order.
    ///
    /// # Errors
    /// Those of [`beginnings`].
    pub fn of_beginnings(authority: Vec<Entry>, a: &Entry, b: &Entry) -> Result<Self, Refusal> {
        let (_, a, b) = beginnings(&plain(a), &plain(b))?;
        let evidence = [a.into(), b.into()];
        Ok(Self::of(FaultReason::EpochStarts, authority, evidence))
    }

    fn of(reason: FaultReason, authority: Vec<Entry>, evidence: [ByteBuf; 2]) -> Self {
        Self {
            v: 1,
            reason,
            authority,
            evidence,
        }
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::BadCbor`], [`Refusal::UnknownVersion`], or [`Refusal::BadField`] for a
    /// reason that has no proof of this form.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let proof: Self = codec::decode_version(bytes, MAX_FAULT_PROOF, 1)?;
        match proof.reason {
            FaultReason::Equivocation | FaultReason::EpochStarts => Ok(proof),
            FaultReason::Invalid => Err(Refusal::BadField),
        }
    }

    /// The proof's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// What was signed twice as the evidence says it; whether it was signed is known after [`FaultProof::verify`].
    ///
    /// # Errors
    /// The refusals of a header's or an entry's form; [`Refusal::BadEntry`] for an entry with more than the officers
    /// signed.
    pub fn twice(&self) -> Result<SignedTwice, Refusal> {
        let [a, b] = &self.evidence;
        Ok(match self.reason {
            FaultReason::Equivocation => {
                let headers = [SignedHeader::read(a)?, SignedHeader::read(b)?];
                SignedTwice::Vertices(Box::new(headers))
            }
            FaultReason::EpochStarts => {
                SignedTwice::Beginnings(Box::new([beginning(a)?, beginning(b)?]))
            }
            FaultReason::Invalid => return Err(Refusal::BadField),
        })
    }

    /// Verifies with nothing but the genesis record.
    ///
    /// # Errors
    /// [`Refusal::BadEntry`] where the evidence shows no fault of this log, or the authority is not that of the epoch;
    /// [`Refusal::BadSignature`], [`Refusal::WrongKey`] or [`Refusal::OfficersShort`] where its signatures do not
    /// hold; and the refusals of the charter and its certificate.
    pub fn verify(&self, genesis: &Genesis) -> Result<VerifiedFault, Refusal> {
        let authority = Authority::from_entries(genesis, &self.authority)?;
        let twice = self.twice()?;
        let [a, b] = self.evidence.clone().map(ByteBuf::into_vec);
        let (signers, fault) = match &twice {
            SignedTwice::Vertices(headers) => {
                let h = &headers[0].header;
                let cut = h.seq.checked_sub(1).ok_or(Refusal::BadEntry)?;
                let fault = Fault::equivocation(authority.log, h.epoch, cut, a, b);
                (h.epoch, fault)
            }
            SignedTwice::Beginnings(starts) => {
                let [first, second] = &**starts;
                let old = first.old_epoch;
                let epoch = old.checked_add(1).ok_or(Refusal::BadEntry)?;
                let cut = first.cut_seq.min(second.cut_seq);
                (old, Fault::epoch_starts(authority.log, epoch, cut, a, b))
            }
        };
        // No more and no less than the epochs up to the one that signed: no byte of a proof is without meaning.
        let charter = match &twice {
            SignedTwice::Vertices(_) => None,
            SignedTwice::Beginnings(_) => Some(authority.in_force()),
        };
        if authority.epoch() != signers || authority.entries(signers, charter) != self.authority {
            return Err(Refusal::BadEntry);
        }
        let signer = authority.key_of(fault.epoch);
        let boards: Vec<_> = authority.boards().map(|(_, board)| board).collect();
        convicts(&fault, &authority, signer, &boards, genesis.network())?;
        Ok(VerifiedFault {
            epoch: fault.epoch,
            cut: fault.cut,
            authority,
            twice,
        })
    }
}

fn beginning(bytes: &[u8]) -> Result<EpochStart, Refusal> {
    let entry: Entry = codec::decode(bytes, MAX_BEGINNING)?;
    if entry == plain(&entry) {
        read_officers_body(&entry.body)
    } else {
        Err(Refusal::BadEntry)
    }
}

/// What the officers signed of an entry, and nothing that a home added.
fn plain(entry: &Entry) -> Entry {
    Entry {
        booked: Booked::default(),
        cites: Vec::new(),
        ..entry.clone()
    }
}

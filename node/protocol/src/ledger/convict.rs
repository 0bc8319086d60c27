//! Whether evidence convicts a log: by its bytes and by keys that the causal past names, never by which beginning of
//! an epoch this node happens to follow.

use super::fold::FoldError;
use super::judge::Missing;
use super::view::Rows;
use crate::body::{
    EpochStart, Fault, FaultReason, Kind, OfficersBody as _, identity, read_officers_body,
};
use crate::codec;
use crate::crypto::PublicKey;
use crate::ids::{BlockId, LogId, NetworkId};
use crate::json;
use crate::refusal::Refusal;
use crate::vertex::{Authority, Board, Entry, SignedHeader, amends, decode_body};

/// Longest entry that begins an epoch, in bytes: its body and the signatures of nine officers.
pub(super) const MAX_BEGINNING: usize = json::MAX_CHARTER_BODY + 64 * 1024;

/// Whether a fault's evidence convicts the log of this authority. `signer` is the node key of the epoch, for all
/// evidence that a node signed; two beginnings of an epoch are signed by one of these boards each.
///
/// # Errors
/// [`Refusal::BadEntry`], or the refusal of what is signed.
pub fn convicts(
    fault: &Fault,
    accused: &Authority,
    signer: Option<&PublicKey>,
    boards: &[&Board],
    network: NetworkId,
) -> Result<(), Refusal> {
    if accused.log != fault.log {
        return Err(Refusal::BadEntry);
    }
    match (fault.reason, fault.evidence.as_slice()) {
        (FaultReason::Equivocation, [a, b]) => {
            let (a, b) = (SignedHeader::read(a)?, SignedHeader::read(b)?);
            if a.id >= b.id {
                return Err(Refusal::BadEntry);
            }
            let signer = signer.ok_or(Refusal::BadEntry)?;
            stands_behind(&a, fault, network)?;
            stands_behind(&b, fault, network)?;
            a.verify(signer)?;
            b.verify(signer)
        }
        (FaultReason::Invalid, [header]) => {
            let header = SignedHeader::read(header)?;
            stands_behind(&header, fault, network)?;
            header.verify(signer.ok_or(Refusal::BadEntry)?)
        }
        (FaultReason::EpochStarts, [a, b]) => begins_twice(fault, (a, b), boards, network),
        _ => Err(Refusal::BadEntry),
    }
}

/// The header stands at the position behind the fault's cut.
fn stands_behind(header: &SignedHeader, fault: &Fault, network: NetworkId) -> Result<(), Refusal> {
    let h = &header.header;
    let seq = fault.cut.checked_add(1).ok_or(Refusal::BadEntry)?;
    if (h.network, h.log, h.epoch, h.seq) == (network, fault.log, fault.epoch, seq) {
        Ok(())
    } else {
        Err(Refusal::BadEntry)
    }
}

/// Two beginnings of one epoch, both signed by enough officers.
fn begins_twice(
    fault: &Fault,
    (a, b): (&[u8], &[u8]),
    boards: &[&Board],
    network: NetworkId,
) -> Result<(), Refusal> {
    let mut cut = u64::MAX;
    let mut identities = Vec::new();
    for bytes in [a, b] {
        let entry: Entry = codec::decode(bytes, MAX_BEGINNING)?;
        let body: EpochStart = read_officers_body(&entry.body)?;
        let fits = entry.kind == Kind::EpochStart
            && body.network == network
            && body.home == fault.log
            && body.old_epoch.checked_add(1) == Some(fault.epoch);
        if !fits {
            return Err(Refusal::BadEntry);
        }
        let mut signed = Err(Refusal::OfficersShort);
        for board in boards {
            signed = board.signed(&entry, &[]);
            if signed.is_ok() {
                break;
            }
        }
        signed?;
        cut = cut.min(body.cut_seq);
        identities.push(identity(EpochStart::TAG, &entry.body));
    }
    // The same decision booked twice is the node's doing, and proven by its two headers.
    if identities[0] < identities[1] && cut == fault.cut {
        Ok(())
    } else {
        Err(Refusal::BadEntry)
    }
}

/// The two beginnings of an epoch as evidence, in their order, with the cut that they leave.
///
/// # Errors
/// [`Refusal::BadEntry`] where they are the same decision, and the refusals of a body's form.
pub fn beginnings(a: &Entry, b: &Entry) -> Result<(u64, Vec<u8>, Vec<u8>), Refusal> {
    let cut =
        |entry: &Entry| read_officers_body::<EpochStart>(&entry.body).map(|body| body.cut_seq);
    let cut = cut(a)?.min(cut(b)?);
    let of = |entry: &Entry| identity(EpochStart::TAG, &entry.body);
    let (a, b) = match of(a).cmp(&of(b)) {
        std::cmp::Ordering::Less => (a, b),
        std::cmp::Ordering::Greater => (b, a),
        std::cmp::Ordering::Equal => return Err(Refusal::BadEntry),
    };
    Ok((cut, codec::encode(a), codec::encode(b)))
}

/// The officers that the later charter at the beginning of this vertex names. As for [`epoch_signer`], the vertex counts
/// as present; whether its charter ever counted is not asked: two beginnings of an epoch are a lie of whoever signed both.
///
/// # Errors
/// [`FoldError::Waiting`] for the vertex; [`Refusal::BadCite`] for one that brings no charter of this log.
pub fn board_at(rows: &impl Rows, log: LogId, vertex: BlockId) -> Result<Board, FoldError> {
    let missing = || FoldError::Waiting(Missing::Vertex(vertex));
    let row = rows.vertex(&vertex).ok_or_else(missing)?;
    let block = rows.get_block(&vertex).ok_or_else(missing)?;
    let body = rows.get_block(&row.body).ok_or_else(missing)?;
    let header = SignedHeader::read(&block)?;
    let entries = decode_body(&body).map_err(|_| Refusal::BadCite)?;
    let brings = entries.first().filter(|first| amends(&header, first));
    let charter = brings.filter(|_| row.log == log).ok_or(Refusal::BadCite)?;
    Ok(Board::named_by(&charter.body).map_err(|_| Refusal::BadCite)?)
}

/// The node key of an epoch after the first, by the vertex that begins it and counts as present: its header was
/// verified when it came, also where this node follows another beginning.
///
/// # Errors
/// [`FoldError::Waiting`] for the vertex; [`Refusal::BadCite`] for one that does not begin this epoch.
pub fn epoch_signer(
    rows: &impl Rows,
    accused: &Authority,
    (log, epoch): (LogId, u64),
    first: BlockId,
) -> Result<PublicKey, FoldError> {
    let missing = || FoldError::Waiting(Missing::Vertex(first));
    let vertex = rows.vertex(&first).ok_or_else(missing)?;
    if (vertex.log, vertex.epoch) != (log, epoch) {
        return Err(Refusal::BadCite.into());
    }
    let block = rows.get_block(&first).ok_or_else(missing)?;
    let id = SignedHeader::read(&block)?.header.key;
    let followed = rows.epoch(&log, epoch).is_some_and(|row| row.id == first);
    if followed && let Some(key) = accused.key_of(epoch).filter(|key| key.id() == id) {
        return Ok(key.clone());
    }
    let body = rows.get_block(&vertex.body).ok_or_else(missing)?;
    let entries = decode_body(&body).map_err(|_| Refusal::BadCite)?;
    let start = entries
        .first()
        .filter(|entry| entry.kind == Kind::EpochStart)
        .ok_or(Refusal::BadCite)?;
    let start: EpochStart = read_officers_body(&start.body).map_err(|_| Refusal::BadCite)?;
    let key = match &start.node_certificate {
        Some(der) => crate::pki::certified_key(&der.0).map_err(|_| Refusal::BadCite)?,
        None => accused.key_with(&id).cloned().ok_or(Refusal::BadCite)?,
    };
    if key.id() == id {
        Ok(key)
    } else {
        Err(Refusal::BadCite.into())
    }
}

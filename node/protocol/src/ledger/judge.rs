//! The verdict on a vertex: a function of bytes, causal past and genesis only (DESIGN §6.0).

use super::fold::{Finished, Fold, FoldContext, FoldError};
use super::view::Rows;
use crate::amount::Timestamp;
use crate::ids::{BlockId, LogId};
use crate::refusal::Refusal;
use crate::vertex::{MAX_PARENT_AHEAD_MS, VerifiedVertex};

/// What a vertex waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Missing {
    /// A vertex.
    Vertex(BlockId),
    /// A log that is not known.
    Log(LogId),
    /// This moment.
    Time(Timestamp),
}

/// The four verdicts.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It stands; this is to be written.
    Valid(Box<Finished>),
    /// It breaks a rule: evidence. The log is frozen before it.
    Invalid(Refusal),
    /// It is of a newer version: frozen until upgrade.
    Unsupported,
    /// Parents or time are missing.
    Waiting(Missing),
}

/// Judges a vertex whose `prev` is the head of its log (or which begins it).
#[must_use]
pub fn judge(ctx: &FoldContext<'_>, vertex: &VerifiedVertex, order: u64) -> Verdict {
    match try_judge(ctx, vertex, order) {
        Ok(valid) => Verdict::Valid(Box::new(valid)),
        Err(FoldError::Refused(refusal)) => Verdict::of(refusal),
        Err(FoldError::Waiting(missing)) => Verdict::Waiting(missing),
    }
}

impl Verdict {
    /// The verdict on a vertex of which something was refused.
    #[must_use]
    pub const fn of(refusal: Refusal) -> Self {
        match refusal {
            // An algorithm that is not known here came with newer software, too.
            Refusal::UnknownVersion | Refusal::UnknownAlgorithm => Self::Unsupported,
            refusal => Self::Invalid(refusal),
        }
    }
}

fn try_judge(
    ctx: &FoldContext<'_>,
    vertex: &VerifiedVertex,
    order: u64,
) -> Result<Finished, FoldError> {
    let h = &vertex.header.header;
    if h.network != ctx.network {
        return Err(Refusal::WrongNetwork.into());
    }
    let entries = vertex.entries.as_ref().map_err(|refusal| *refusal)?;
    for parent in &h.parents {
        let Some(row) = ctx.layers.vertex(parent) else {
            return Err(FoldError::Waiting(Missing::Vertex(*parent)));
        };
        if row.log == h.log || h.time < row.time.minus_ms(MAX_PARENT_AHEAD_MS) {
            return Err(Refusal::BadVertex.into());
        }
        let cut = ctx.layers.fault_cut(&h.log, &row.log, row.epoch);
        if cut.is_some_and(|cut| row.seq > cut) {
            return Err(Refusal::BadCite.into());
        }
    }
    let again = ctx.layers.vertex(&vertex.id()).is_some();
    let head = ctx.layers.log(&h.log);
    let mut fold = Fold::begin(h.log, ctx.network, head, h.epoch).again(again);
    if fold.prev() != h.prev {
        return Err(Refusal::BadVertex.into());
    }
    for (entry, known) in entries.iter().zip(&vertex.known) {
        fold.push(ctx, entry.clone(), known)?;
    }
    if fold.in_force(ctx.authority) != h.charter {
        return Err(Refusal::CharterMismatch.into());
    }
    Ok(fold.finish(ctx, &vertex.header, vertex.body_block.clone(), order)?)
}

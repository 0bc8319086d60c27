//! Why nothing was imported.

use std::io;

use city_protocol::Refusal;
use city_protocol::ids::{BlockId, LogId};

use super::IMPORT_DIR;
use crate::engine::RebuildError;
use crate::store::{AppendError, ArchiveError, TrustedError};

/// Why nothing was imported. Of what was refused nothing is kept.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It belongs to another network.
    #[error("the file belongs to network {found} (wrong-network), this node to {expected}")]
    OtherNetwork {
        /// The root in its header.
        found: BlockId,
        /// This node's.
        expected: BlockId,
    },
    /// A vertex does not hold.
    #[error("vertex {vertex}: {refusal} ({code}); nothing was imported", code = refusal.code())]
    Refused {
        /// The vertex.
        vertex: BlockId,
        /// Why.
        refusal: Refusal,
    },
    /// A vertex rests on what is neither in the file nor here.
    #[error(
        "vertex {vertex}: {missing} is neither in the file nor here (missing-block); nothing was imported: import what comes before it first"
    )]
    Missing {
        /// The vertex.
        vertex: BlockId,
        /// What it rests on.
        missing: BlockId,
    },
    /// A body was pruned by whoever wrote the file, and nobody said that this is enough.
    #[error(
        "vertex {vertex}: its body {missing} is neither in the file nor here (missing-block); nothing was imported. The file has a stub in its \
         place, which says what was booked on the word of whoever wrote the file: to take such as far as checkpoints that the logs' homes signed \
         bear them out, give --trust-checkpoints (docs/store.md)"
    )]
    Stubbed {
        /// The vertex.
        vertex: BlockId,
        /// Its body.
        missing: BlockId,
    },
    /// A stub of the own log.
    #[error(
        "vertex {vertex} is of this node's own log, and the file has a stub in the place of its body (own-log); nothing was imported: a node's \
         own log is not taken on trust: restore its backup (docs/replace-a-box.md), then import again"
    )]
    OwnStub {
        /// The vertex.
        vertex: BlockId,
    },
    /// A stub is not what its header says.
    #[error(
        "vertex {vertex}: the stub in the file is not of its body (bad-stub: {code}); nothing was imported: take a file of somebody else", code = refusal.code()
    )]
    BadStub {
        /// The vertex.
        vertex: BlockId,
        /// Why.
        refusal: Refusal,
    },
    /// What was taken on trust does not stand.
    #[error(
        "log {log}: with the stubs that stand for its bodies it comes to what no rule allows (bad-stub: {code}); nothing was imported. That is \
         the fault of whoever wrote them, and proves nothing against the log: take a file of somebody else, or the bodies"
    )]
    Lies {
        /// The log.
        log: LogId,
        /// `equivocation`, or the refusal's code.
        code: String,
    },
    /// A log that is convicted, now or in an epoch that is closed, is judged by what people signed.
    #[error(
        "log {log} signed twice, as the file shows, and stubs stand for bodies of it (convicted-log); nothing was imported: of such a log the \
         bodies themselves are needed. Import the archive with them first, or take a file of somebody who has them"
    )]
    Convicted {
        /// The log.
        log: LogId,
    },
    /// Nothing bears the stubs of a log out.
    #[error(
        "log {log}: behind its last stub (position {seq}) no checkpoint of it stands in the file (no-checkpoint); nothing was imported: take a file \
         that goes on to its next checkpoint, or have its home make one (city-node ledger checkpoint make) and export again"
    )]
    NoCheckpoint {
        /// The log.
        log: LogId,
        /// The position of the last stub.
        seq: u64,
    },
    /// A body says something else than the stub in its place.
    #[error(
        "WHAT WAS TAKEN ON TRUST IS NOT TRUE: vertex {vertex} of log {log} says something else than the stub that stands for its body here \
         (stub-differs); nothing was imported: whoever wrote the file with that stub (its SHA-256 stands in TRUSTED) changed it. Keep both files, and \
         join again with bodies in a new data directory"
    )]
    Differs {
        /// The log.
        log: LogId,
        /// The vertex.
        vertex: BlockId,
    },
    /// Nothing here says what a body has to come to.
    #[error(
        "vertex {vertex} of log {log}: what it rests on is not here any more, so its body cannot be held to the stub that was taken on trust \
         (stub-unheld); nothing was imported. That accuses nobody: what stands here stays on trust"
    )]
    Unheld {
        /// The log.
        log: LogId,
        /// The vertex.
        vertex: BlockId,
    },
    /// What was taken on trust is not known, or could not be noted.
    #[error(transparent)]
    Trusted(#[from] TrustedError),
    /// The file proves that a log broke a rule.
    #[error(
        "log {log}: the file proves that it broke a rule ({code}) and would freeze it here; nothing was imported: if that is \
         wanted, give --with-faults"
    )]
    Fault {
        /// The log.
        log: LogId,
        /// `equivocation`, or the refusal's code.
        code: String,
    },
    /// Two file systems' worth of space is needed for a while.
    #[error("the disk is full: {needed} bytes and the reserve are needed; nothing was imported")]
    Full {
        /// Bytes of what would come.
        needed: u64,
    },
    /// The store beside the store.
    #[error("what is imported could not be judged in {IMPORT_DIR}; nothing was imported")]
    Aside(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The ledger could not be written.
    #[error(
        "the ledger could not be written: what came until now holds; look at the disk, and import the file again"
    )]
    Append(#[from] AppendError),
    /// The index could not follow.
    #[error(
        "the blocks are in the ledger, the index does not follow: the next start makes it again"
    )]
    Rebuild(#[from] RebuildError),
    /// The store's files.
    #[error("the data directory could not be written; look at the disk and its rights")]
    Io(#[from] io::Error),
}

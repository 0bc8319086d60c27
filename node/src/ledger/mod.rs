//! The ledger as people look at it, of a running or a stopped node alike. `pages` the JSON · `read` the pages out of the
//! store · `words` an entry in a sentence · `proof` proofs of entries and accounts, `archived` also
//! of bodies that were pruned ·
//! `checkpoints` the same as pages · `equivocation` what was signed twice · `export` checkpoints as files · `notes` the board · `dot` the DAG for Graphviz.

pub mod archived;
pub mod checkpoints;
pub mod dot;
pub mod equivocation;
pub mod export;
pub mod notes;
pub mod pages;
pub mod proof;
pub mod read;
mod words;

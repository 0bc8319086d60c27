//! The ledger as people look at it, of a running or a stopped node alike. `pages` the JSON · `read` the pages out of the
//! store · `words` an entry in a sentence · `proof` proofs of entries and accounts ·
//! `equivocation` what was signed twice · `export` checkpoints as files · `dot` the DAG for Graphviz.

pub mod dot;
pub mod equivocation;
pub mod export;
pub mod pages;
pub mod proof;
pub mod read;
mod words;

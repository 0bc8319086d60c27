//! The rules of the municipal ledger: formats, signatures, validity, journal, place evidence and sync.
//!
//! Pure: this crate never waits and never reads a clock, a file, a socket or the environment. Time and
//! randomness are arguments; reading goes through
//! [`History`](ledger::History), writing is an [`Action`](replica::Action).
#![forbid(unsafe_code)]

pub mod amount;
pub mod body;
pub mod checkpoint;
pub mod codec;
pub mod crypto;
pub mod genesis;
pub mod ids;
pub mod journal;
pub mod json;
pub mod ledger;
pub mod pki;
pub mod place;
pub mod refusal;
pub mod region;
pub mod replica;
pub mod stage;
pub mod sync;
pub mod trust;
pub mod vertex;

pub use refusal::Refusal;

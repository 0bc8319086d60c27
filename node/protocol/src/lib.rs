//! The rules of the municipal ledger: formats, signatures, validity, journal, place evidence and sync.
//!
//! Pure: this crate never waits and never reads a clock, a file, a socket or the environment. Time and
//! randomness are arguments; reading goes through `History`, writing is
//! an `Action`.
#![forbid(unsafe_code)]

pub mod amount;
pub mod codec;
pub mod crypto;
pub mod ids;
pub mod json;
pub mod pki;
pub mod place;
pub mod refusal;
pub mod region;

pub use refusal::Refusal;

//! Devices of the municipal node: typed samples out, nothing decided here.
//!
//! Owns how a device is opened, read and spoken to. Does not own what a sample means: grades, policy
//! and ledger types stand elsewhere, and this crate does not know them.
#![forbid(unsafe_code)]

pub mod gnss;
#[cfg(feature = "tpm")]
pub mod tpm;

//! The municipal node.
#![forbid(unsafe_code)]

pub mod engine;
pub mod journal;
pub mod keys;
pub mod pki;
pub mod place;
pub mod net;

pub mod store;
pub mod trust;

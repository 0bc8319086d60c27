//! The municipal node.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod keys;
pub mod net;
pub mod pki;
pub mod place;
pub mod setup;

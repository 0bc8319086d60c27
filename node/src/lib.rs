//! The municipal node: everything that waits. `daemon` wires it; the index of rooms is in ARCHITECTURE.md.
#![forbid(unsafe_code)]

pub mod access;
pub mod admin;
pub mod api;
pub mod cli;
pub mod client;
pub mod config;
pub mod crypto;
pub mod daemon;
pub mod demo;
pub mod engine;
pub mod journal;
pub mod keys;
pub mod ledger;
pub mod net;
pub mod pki;
pub mod place;
pub mod private;
pub mod setup;
pub mod store;
pub mod terminal;
pub mod trust;

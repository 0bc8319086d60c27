//! The municipal node.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod admin;
pub mod api;
pub mod client;
pub mod engine;
pub mod journal;
pub mod keys;
pub mod net;
pub mod pki;
pub mod place;
pub mod setup;
pub mod store;
pub mod trust;

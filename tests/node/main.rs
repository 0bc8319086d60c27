//! Tests of `city-node`.

mod account;
mod admitted;
mod api;
mod audit;
mod ca;
mod checkpoint;
mod cli;
mod config;
mod crypto;
mod daemon;
mod demo;
mod doors;
mod epochs;
mod foreign;
mod journal;
mod keys;
mod ledger;
mod net;
mod plug;
mod rollback;
mod secrets;
mod setup;
mod store;
#[cfg(feature = "tpm")]
#[path = "../drivers/swtpm.rs"]
mod swtpm;
#[cfg(feature = "tpm")]
mod tpm;
mod tx;

//! Tests of `city-node`.

mod account;
mod admitted;
mod api;
mod audit;
mod ca;
mod charters;
mod checkpoint;
mod cli;
mod config;
mod convicted;
mod crypto;
mod daemon;
mod demo;
mod doors;
mod enrol;
mod epochs;
mod foreign;
mod headers;
mod hostile;
mod intruder;
mod joining;
mod journal;
mod key_exchange;
mod keys;
mod ledger;
mod net;
mod netcheck;
mod note;
mod place;
mod plug;
mod ports;
mod prune;
mod readers;
mod recommend;
mod recorded;
mod replay;
mod rollback;
mod rotation;
mod secrets;
mod setup;
mod store;
#[cfg(feature = "tpm")]
#[path = "../drivers/swtpm.rs"]
mod swtpm;
mod terminal;
#[cfg(feature = "tpm")]
mod tpm;
mod tx;
mod whitelist;
mod whitelist_file;
mod wire;

//! Tests of `city-node`.

mod api;
mod cli;
mod config;
mod crypto;
mod daemon;
mod demo;
mod net;
mod plug;
mod rollback;
mod setup;
mod store;

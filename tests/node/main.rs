//! Tests of `city-node`.

mod api;
mod cli;
mod config;
mod daemon;
mod demo;
mod net;
mod rollback;
mod setup;
mod store;

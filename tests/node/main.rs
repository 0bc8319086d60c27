//! Tests of `city-node`.

mod cli;
mod config;
mod net;
mod setup;
mod store;

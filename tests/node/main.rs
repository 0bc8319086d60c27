//! Tests of `city-node`.

mod api;
mod cli;
mod config;
mod demo;
mod net;
mod setup;
mod store;

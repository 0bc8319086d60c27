//! Tests of `city-node`.

mod api;
mod net;
mod store;

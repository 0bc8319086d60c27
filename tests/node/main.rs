//! Tests of `city-node`.

mod net;
mod store;

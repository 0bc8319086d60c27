//! Tests of `city-node`.

mod store;

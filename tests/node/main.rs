//! Tests of `city-node`.

mod net;

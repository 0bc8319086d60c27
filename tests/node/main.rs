//! Tests of `city-node`.

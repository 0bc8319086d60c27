//! Tests of `city-protocol`.

//! Tests of `city-drivers`.

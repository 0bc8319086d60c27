//! Tests of `city-protocol`: stories with named parties over an in-memory world (`world`), the table of
//! bad input (`refusals`, `vertices`), and the worked examples of docs/formats.md (`formats`).
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test stops where something does not hold"
)]

mod ca;
mod catch_up;
mod faults;
mod formats;
mod keys;
mod liar;
mod refusals;
mod story;
mod vertices;
mod world;

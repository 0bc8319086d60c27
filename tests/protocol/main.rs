//! Tests of `city-protocol`: stories with named parties over an in-memory world (`world`), the table of
//! bad input (`refusals`, `refusals_others`, `garbage`, `vertices`), random stories against a specification (`model`), and the worked examples of docs/formats.md (`formats`).
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test stops where something does not hold"
)]

mod audit;
mod ca;
mod catch_up;
mod chaos;
mod faults;
mod formats;
mod garbage;
mod keys;
mod liar;
mod model;
mod people;
mod refusals;
mod refusals_others;
mod story;
mod vertices;
mod world;

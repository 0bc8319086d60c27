//! The pulled plug: a node under load on a file system of its own that is cut off at a random moment, with
//! SQLite and sled in the same harness to show that it can fail; the same load under `kill -9`; and the whole
//! data directory with cuts and flipped bits.
//!
//! `machine` the file system, its mount and its cut · `people` who submits and remembers every answer · `book`
//! the log read and folded by other code than the node's · `cuts`, `kills`, `scars`, `controls` the tests.
//! Random tests print their seed and take it back in `CITY_NODE_SEED`; how often is set by
//! `CITY_NODE_PLUG_CUTS` (30), `CITY_NODE_KILLS` (100) and `CITY_NODE_SCARS` (100).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub(crate) mod book;
mod controls;
mod cuts;
mod kills;
mod machine;
mod people;
mod scars;

/// How often, if the environment does not say otherwise.
pub(crate) fn times(variable: &str, by_default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => by_default,
    }
}

//! The simulator: three to nine municipalities of real replicas under a virtual clock, network and disk, one of
//! them lying, and what must hold whatever happens.
//!
//! A seed decides everything: `stage` holds what there is, `foundation` what it begins with, `business`, `weather`,
//! `boxes` and `lies` what happens, `healing` the end, `oracles` what must be true then. `play` tells one
//! story, `run` many:
//!
//! - `CITY_NODE_SEED=7 cargo test -p city-protocol sim::run -- --nocapture` plays one seed,
//! - `CITY_NODE_SIM_SEEDS=10000 CITY_NODE_SIM_FIRST=200` plays so many from there; the default is 200 from 0.
//!
//! Real are the replicas, the fold, the signatures and every byte on the wire. Modelled are the disk (`crate::disk`),
//! what the node does at a start, and its high-water mark. Not played: rotten blocks in the middle of a log, a ledger
//! that is gone altogether, enrolments in the course of a story, and deadlines that lie months ahead.

mod boxes;
mod business;
pub(crate) mod dice;
mod foundation;
mod guard;
mod healing;
mod lies;
mod oracles;
mod plan;
mod play;
mod run;
mod stage;
mod trace;
mod weather;
mod wire;

pub(crate) use boxes::fold_again;

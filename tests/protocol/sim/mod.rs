//! The simulator: three to nine municipalities of real replicas under a virtual clock, network and disk, one of
//! them lying, and what must hold whatever happens.
//!
//! A seed decides everything: `stage` holds what there is, `foundation` what it begins with; `business`, `citizens`,
//! `officers`, `weather`, `boxes`, `lies` and `tricks` are what happens, `healing` is the end, `oracles` what must be true then. `play` tells one
//! story, `run` many:
//!
//! - `CITY_NODE_SEED=7 cargo test -p city-protocol sim::run -- --nocapture` plays one seed,
//!   and `CITY_NODE_SIM_LINES=5000` shows so many lines of it if it fails,
//! - `CITY_NODE_SIM_SEEDS=10000 CITY_NODE_SIM_FIRST=200` plays so many from there; the default is 200 from 0.
//!
//! Real are the replicas, the fold, the signatures and every byte on the wire. Modelled are the disk (`crate::disk`),
//! what the node does at a start, and its high-water mark. Not played: rotten blocks in the middle of a log, and
//! a ledger that is gone altogether.

pub(crate) mod boxes;
mod business;
mod citizens;
pub(crate) mod dice;
mod forgeries;
mod foundation;
mod guard;
mod healing;
mod lies;
mod officers;
mod oracles;
mod plan;
mod play;
mod run;
mod stage;
mod trace;
mod tricks;
mod weather;
mod wire;

pub(crate) use boxes::fold_again;

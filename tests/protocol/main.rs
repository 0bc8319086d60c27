//! Tests of `city-protocol`: stories with named parties over an in-memory world (`world`), the life of a transfer (`answers`, `expiry`, `officers`), stories that chance
//! writes (`sim`), random stories against a specification (`model`), the table of bad input (`refusals`,
//! `refusals_others`, `garbage`, `vertices`), which algorithm may stand where (`suites`), checkpoints and what they
//! prove (`checkpoints`), signatures at the edge (`verdicts`), and the worked examples of docs/formats.md (`formats`).
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test stops where something does not hold"
)]

mod adopt;
mod aftermath;
mod answers;
mod audit;
mod ca;
mod catch_up;
mod checkpoints;
mod disk;
mod epochs;
mod expiry;
mod faults;
mod formats;
mod garbage;
mod home;
mod keychange;
mod keys;
mod liar;
mod memo;
mod model;
mod officers;
mod people;
mod proof_of_fault;
mod refusals;
mod refusals_others;
mod sim;
mod story;
mod suites;
mod verdicts;
mod vertices;
mod witness;
mod world;

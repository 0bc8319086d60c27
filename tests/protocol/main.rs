//! Tests of `city-protocol`: stories with named parties over an in-memory world (`world`), the life of a transfer (`answers`, `expiry`, `officers`), old copies of a home (`rollback`), stories that chance
//! writes (`sim`), random stories against a specification (`model`), the table of bad input (`refusals`,
//! `refusals_others`, `garbage`, `vertices`), which algorithm may stand where (`suites`), checkpoints and what they
//! prove (`checkpoints`), bodies that are not kept (`pruned`), joining where nobody keeps them (`joining`), what was signed as it is read (`signed_text`), kiosks (`terminal`), logs that are followed by their headers (`headers`), what CAs revoke (`trust`), transport keys that follow others (`rotation`), the board (`notes`), signatures at the edge (`verdicts`), and the worked examples of docs/formats.md (`formats`).
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
mod charters;
mod checkpoints;
mod closed_keys;
mod disk;
mod epochs;
mod expiry;
mod false_refund;
mod faults;
mod formats;
mod garbage;
mod headers;
mod home;
mod joining;
mod keychange;
mod keys;
mod liar;
mod memo;
mod model;
mod notes;
mod officers;
mod overhead;
mod people;
mod proof_of_fault;
mod pruned;
mod pushed;
mod readers;
mod refusals;
mod refusals_others;
mod renewal;
mod rollback;
mod rotation;
mod signed_text;
mod sim;
mod story;
mod suites;
mod terminal;
mod trust;
mod verdicts;
mod vertices;
mod witness;
mod world;

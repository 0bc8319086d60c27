//! The daemon with the real binary: starting and stopping, being killed, a receiver that is pulled, a disk that
//! is full, peers, strangers and liars.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub(crate) mod city;
mod console;
mod disk;
mod fault;
mod kill;
mod liar;
mod life;
mod manager;
mod peers;
pub(crate) mod private;
mod rebuild;
mod receiver;
pub(crate) mod speaker;
mod watch;

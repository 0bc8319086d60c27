//! Municipalities with a network between them: a network namespace each, virtual cables and a switch that can be cut in
//! two. Needs root, iproute2 and iptables; says `skipped` without.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod delay;
mod lab;
mod moves;
mod names;
mod near;
mod parted;
mod removed;

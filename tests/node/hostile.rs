//! A node among people who wish it ill: some three hundred ways to speak badly to it, from strangers and from whitelisted
//! peers, while an honest peer goes on beside them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod certificates;
mod claims;
mod cutoff;
mod equivocation;
mod muxer;
mod noise;
mod quic;
mod raw;
mod story;
mod streams;
mod vectors;
mod words;

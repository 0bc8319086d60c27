//! Tests of `city-drivers`: recorded captures, pseudo-terminals and hostile bytes. This file is their index.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod agreement; // gpsd's captures: every epoch beside gpsd's
mod captures; // what captures hold, and what the libraries refuse
mod data; // where the recordings are
mod epochs; // when an epoch is complete and what it holds
mod framing; // sentences, frames and noise in one stream
mod hostile; // noise, cuts, flipped bits
mod lines; // silence, speed, u-blox set-up, gpsd
mod receiver; // simulator → pty → serial driver → events; unplug and re-plug
mod recordings; // recorded files as the receiver, and what receivers say in words
mod replay; // the u-blox capture of 北杜市
mod scenarios; // what may happen to a receiver, as scripts
mod simulator; // what the simulator promises to a reader
#[cfg(feature = "tpm")]
mod swtpm; // an emulated TPM
#[cfg(feature = "tpm")]
mod tpm; // secrets and counters in it

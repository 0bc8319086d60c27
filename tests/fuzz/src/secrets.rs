//! The forms of the node's secret files, wired by path.
#![allow(dead_code, reason = "the node uses more of them")]

#[path = "../../../node/src/keys/master/secret.rs"]
pub mod master;
#[path = "../../../node/src/keys/passphrase.rs"]
pub mod passphrase;
#[path = "../../../node/src/keys/wrap.rs"]
pub mod wrap;

//! The forms of secret files: the node's own source, under a name that is not the test worlds' `keys`.

#[path = "../../../node/src/keys/master/secret.rs"]
#[allow(dead_code, reason = "the back-ends that need the bytes are not here")]
pub mod master;
#[path = "../../../node/src/keys/passphrase.rs"]
pub mod passphrase;
#[path = "../../../node/src/keys/wrap.rs"]
pub mod wrap;

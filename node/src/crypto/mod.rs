//! `city-node crypto`: the algorithms as a tool of their own, for trying, teaching and test vectors.
//!
//! `scheme` more algorithms by id than the ledger takes · `aead` AES-GCM · `case` one line of a batch · `batch` many ·
//! `message` what `crypto sign` puts under a signature · `secret` symmetric key files · `serve` the demo service.
//! The ledger uses nothing of this: its algorithms stand in `city_protocol::crypto`, which this calls where they are
//! the same. Each verification is done by exactly one implementation.

pub mod aead;
pub mod batch;
pub mod case;
pub mod message;
pub mod scheme;
pub mod secret;
pub mod serve;

pub use case::Reason;

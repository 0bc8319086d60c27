//! Secrets at rest: how a node's keys stand on disk, and how they get there without being lost or seen. Index card:
//!
//! `file` private, complete, durable files · `ledger`, `transport` the forms of single keys · `passphrase` bytes sealed
//! by one · `master` the secret that wraps the others, and the back-ends that keep it (`access` how they are reached)
//! · `wrap` a wrapped file · `store` the key store of a data directory · `rewrap` exchanging the master secret ·
//! `keyring` data keys for single fields · `private` values that are encrypted at rest · `credential` where systemd puts secrets · `error` what can go wrong.

mod access;
pub mod credential;
mod error;
pub mod file;
pub mod keyring;
mod ledger;
pub mod master;
pub mod passphrase;
mod private;
mod rewrap;
mod store;
mod transport;
pub mod wrap;

pub use access::{Access, AskPassphrase, TpmSettings, backend, counter};
pub use error::{KeyFileError, KeystoreError};
pub use keyring::{ERASED, Keyring, RecordKey, RingError, WRAPPED_KEY_LEN};
pub use ledger::{
    load_kem, load_kem_public, load_signing, load_signing_public, public_path, put_kem,
    put_signing, read_kem, read_signing, save_kem, save_kem_public, save_signing,
    save_signing_public,
};
pub use master::BackendKind;
pub use passphrase::{Passphrase, PassphraseError, Purpose};
pub use private::{PrivateFields, PrivatePlace};
pub use rewrap::{Exchanged, exchange};
pub use store::{Entry, Keystore, Lock};
pub use transport::{load_transport, put_transport, read_transport, save_transport};

/// The systemd credential with the passphrase of a master secret in a file.
pub const PASSPHRASE_CREDENTIAL: &str = "city-node.passphrase";

//! Key files: how secret keys stand on disk and how they get there without being lost or seen.
//!
//! A secret file has mode 0600 from its first byte, is durable before it has its name, and never
//! replaces another. Systemd credentials and the TPM come behind the same functions.

pub mod credential;
mod error;
pub mod file;
mod ledger;
pub mod passphrase;
mod transport;

pub use error::KeyFileError;
pub use ledger::{
    load_kem, load_kem_public, load_signing, load_signing_public, public_path, save_kem,
    save_signing,
};
pub use passphrase::{Passphrase, PassphraseError, Purpose};
pub use transport::{load_transport, save_transport};

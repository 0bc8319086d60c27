//! The data directory: how it is laid out, how it is born, and how the node's identity is read from it.
//! Index card:
//!
//! `backup` one sealed file of a node, and a node of it again · `copy` a directory of all its data but keys · `directory` the layout, and building a directory aside · `init` the order of birth · `terminal` a kiosk of a home that is there · `network`
//! the network that a node is born into · `identity` keys,
//! certificates and charter, checked against each other · `epoch` the keys of the next epoch · `rotation` the next transport key · `host` what the machine says about itself ·
//! `package` where an installed node stands · `error` what can go wrong.

mod backup;
mod copy;
mod directory;
pub mod epoch;
mod error;
pub mod host;
mod identity;
mod init;
mod network;
pub mod package;
pub mod rotation;
mod terminal;

pub use backup::{BackupOf, MAX_BACKUP, back_up, restore};
pub use copy::{BACKUP_NOTE, CopiedFile, CopyError, DataBackup, SEALED_KEYS, Whose, copy_data};
pub use directory::{CaDir, DataDir};
pub use error::{BackupError, IdentityError, InitError};
pub use identity::{Identity, load_identity, load_identity_with};
pub(crate) use identity::{read_tls, read_tls_roots};
pub(crate) use init::validity;
pub use init::{
    Boundary, InitReport, InitRequest, LIST_DAYS, NODE_DAYS, ROOT_DAYS, TLS_DAYS, init,
    write_config,
};
pub use network::{CaProtection, NetworkChoice};
pub use terminal::{TerminalReport, TerminalRequest, init_terminal};

//! What can be wrong with a key file: every text names the file and what to do, none holds a secret.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::master::{BackendKind, MasterError};
use super::wrap::WrapError;

/// A key file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file is not there.
    #[error("{path}: there is no such key file; correct its path, or put it back from a backup")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A key file of this name exists; keys are never overwritten.
    #[error("{path}: exists already and is not overwritten; move it away first if it is to go")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Group or others may use the file.
    #[error(
        "{path}: mode {mode:04o} lets others at a secret key; run: chmod 600 {path}, and replace \
         the key if others may have read it"
    )]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a regular file, or larger than a key file can be.
    #[error("{path}: not a regular file of at most {limit} bytes; name the key file itself")]
    NotAKeyFile {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file is wrapped by the node's master secret, and is read through its key store.
    #[error(
        "{path}: is wrapped by the master secret of its node; ask the node's key store: city-node key show --data-dir DIR"
    )]
    Wrapped {
        /// The file.
        path: PathBuf,
    },
    /// The content is not a key file of the expected kind.
    #[error("{path}: not a {expected} ({what}); restore the file from a backup")]
    Content {
        /// The file.
        path: PathBuf,
        /// What was expected, such as "signing key file".
        expected: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl KeyFileError {
    /// The file that it is about.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Missing { path }
            | Self::Exists { path }
            | Self::Permissions { path, .. }
            | Self::NotAKeyFile { path, .. }
            | Self::Wrapped { path }
            | Self::Content { path, .. }
            | Self::Io { path, .. } => path,
        }
    }

    /// What the system said to a read.
    pub(super) fn reading(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Io { path, source },
        }
    }

    /// What the system said to a write.
    pub(super) fn writing(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::AlreadyExists => Self::Exists { path },
            _ => Self::Io { path, source },
        }
    }
}

/// Why the key store could not be read or changed. Every text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoreError {
    /// A file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// A master secret could not be had.
    #[error(transparent)]
    Master(Arc<MasterError>),
    /// A wrapped file did not open.
    #[error(
        "{}: {source}; put the master secret back that belongs to it, or restore both from one backup: nothing was changed",
        path.display()
    )]
    Wrapped {
        /// The file.
        path: PathBuf,
        /// Why.
        source: WrapError,
    },
    /// There is no master secret, and one is needed.
    #[error(
        "{}: has no master secret yet; stop the node and run: city-node key seal --data-dir DIR", directory.display()
    )]
    NoMaster {
        /// The keys' directory.
        directory: PathBuf,
    },
    /// Too many exchanges were cut off.
    #[error(
        "{}: eight exchanges of the master secret were cut off; look at the disk, and do one to its end: city-node key seal", directory.display()
    )]
    TooMany {
        /// The keys' directory.
        directory: PathBuf,
    },
    /// A node runs there, or another command changes it.
    #[error(
        "{}: is in use by a running node or another key command; stop it and try again", directory.display()
    )]
    InUse {
        /// The keys' directory.
        directory: PathBuf,
    },
    /// The keyring is gone or unreadable.
    #[error(
        "{}: {what}; restore it from a backup: without it what is encrypted at rest cannot be read, and nothing was changed",
        path.display()
    )]
    Keyring {
        /// The keyring.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The configuration names another back-end.
    #[error(
        "keys.backend is \"{configured}\", but the master secret is kept by \"{found}\"; stop the node and run `city-node key seal`, or set keys.backend back"
    )]
    OtherBackend {
        /// What the configuration says.
        configured: BackendKind,
        /// Where it is.
        found: BackendKind,
    },
}

impl KeystoreError {
    /// Whether the next try may succeed without anybody's doing.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::File(KeyFileError::Io { .. }) | Self::InUse { .. } => true,
            Self::Master(error) => error.may_pass(),
            _ => false,
        }
    }
}

impl From<MasterError> for KeystoreError {
    fn from(error: MasterError) -> Self {
        Self::Master(Arc::new(error))
    }
}

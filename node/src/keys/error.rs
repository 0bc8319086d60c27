//! What can be wrong with a key file: every text names the file and what to do, none holds a secret.

use std::io;
use std::path::{Path, PathBuf};

/// A key file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file is not there.
    #[error("{path}: there is no such key file; make it, or correct its path")]
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

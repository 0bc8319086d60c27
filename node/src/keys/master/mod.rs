//! The master secret: 32 bytes that wrap a node's keys, and the back-ends that keep it.
//!
//! `file` a file with or without a passphrase · `credential` systemd gives it · `tpm` sealed by the TPM (cargo
//! feature `tpm`) · `secret` the secret itself and its id. One trait: a back-end keeps a secret, and gives it back by its id. Which one is in use, and how a
//! node moves from one to another, is `keys::store`'s.

mod credential;
mod file;
mod secret;
#[cfg(feature = "tpm")]
mod tpm;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use credential::{CREDENTIAL, CREDENTIAL_NEXT, CredentialBackend};
pub use file::{FileBackend, is_protected};
pub use secret::{MasterId, MasterSecret};
#[cfg(feature = "tpm")]
pub use tpm::{TpmBackend, TpmCounter};

use super::error::KeyFileError;
use super::passphrase::PassphraseError;

/// Where a master secret is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    /// A file beside the keys.
    File,
    /// A systemd credential.
    Credential,
    /// The TPM.
    Tpm,
}

impl BackendKind {
    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Credential => "credential",
            Self::Tpm => "tpm",
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BackendKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::File, Self::Credential, Self::Tpm]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or("it is file, credential or tpm")
    }
}

/// Something that keeps master secrets for the node whose keys stand in a directory.
pub trait Backend: Send + Sync {
    /// Which one it is.
    fn kind(&self) -> BackendKind;

    /// A secret that is not the one in use.
    ///
    /// # Errors
    /// [`MasterError`].
    fn fresh(&self, in_use: Option<MasterId>) -> Result<MasterSecret, MasterError>;

    /// Keeps a secret, durably, beside those that it keeps already.
    ///
    /// # Errors
    /// [`MasterError`].
    fn keep(&self, directory: &Path, secret: &MasterSecret) -> Result<(), MasterError>;

    /// Gives a secret back.
    ///
    /// # Errors
    /// [`MasterError`].
    fn give(&self, directory: &Path, id: MasterId) -> Result<MasterSecret, MasterError>;
}

/// Why a master secret could not be kept or had. Every text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MasterError {
    /// A file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// A file that a passphrase protects.
    #[error("{}: {source}", path.display())]
    Passphrase {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PassphraseError,
    },
    /// The passphrase was needed and not given.
    #[error(
        "{}: is protected by a passphrase; give it on a terminal, with --passphrase-file FILE, or as the systemd credential {}",
        path.display(), super::PASSPHRASE_CREDENTIAL
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Asking for the passphrase failed.
    #[error("{0}")]
    Asking(String),
    /// The configuration's settings of the TPM make no sense.
    #[error("{0}; correct it in config.toml")]
    Settings(&'static str),
    /// Another secret is there than the one that is needed.
    #[error(
        "{place} holds the master secret {found}, but the keys are wrapped by {wanted}; put the right one back: nothing was changed"
    )]
    Other {
        /// Where.
        place: String,
        /// The one that is there.
        found: MasterId,
        /// The one that is needed.
        wanted: MasterId,
    },
    /// What is there is no master secret.
    #[error("{place}: not a master secret ({what}); put the right one back: nothing was changed")]
    Form {
        /// Where.
        place: String,
        /// What is wrong.
        what: &'static str,
    },
    /// systemd gave no credential of this name.
    #[error(
        "there is no systemd credential {name}: the keys are wrapped by a master secret that systemd gives; start the node with \
         LoadCredentialEncrypted={name}:FILE (docs/keys.md), or put the credential back"
    )]
    NoCredential {
        /// Its name.
        name: &'static str,
    },
    /// A fresh credential is needed.
    #[error(
        "systemd gave no credential {CREDENTIAL} or {CREDENTIAL_NEXT} with another secret than the one in use; make a new one with `openssl rand -base64 32 | systemd-creds encrypt \
         --name={CREDENTIAL_NEXT} - FILE`, give it with LoadCredentialEncrypted={CREDENTIAL_NEXT}:FILE, and try again"
    )]
    NoNextCredential,
    /// This program cannot speak to TPMs.
    #[error(
        "this city-node was built without TPM support, and the configuration or the keys need it; use one that was built with --features tpm"
    )]
    NoTpmSupport,
    /// The TPM.
    #[cfg(feature = "tpm")]
    #[error(transparent)]
    Tpm(#[from] city_drivers::tpm::TpmError),
}

impl MasterError {
    /// Whether the next try may succeed without anybody's doing: a TPM that starts, or tests itself.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::File(KeyFileError::Io { .. }) => true,
            #[cfg(feature = "tpm")]
            Self::Tpm(error) => {
                use city_drivers::tpm::TpmError;
                matches!(
                    error,
                    TpmError::Missing { .. } | TpmError::Busy { .. } | TpmError::Unreachable { .. }
                )
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_ends_go_by_their_names() {
        for kind in [BackendKind::File, BackendKind::Credential, BackendKind::Tpm] {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("TPM".parse::<BackendKind>().is_err());
    }
}

//! How back-ends are reached: what the configuration says of the TPM, and where a passphrase comes from.

use std::path::Path;
use std::sync::Arc;

use super::master::{
    Backend, BackendKind, CredentialBackend, FileBackend, MasterError, is_protected,
};
use super::passphrase::Passphrase;
use super::store::Entry;
use crate::engine::Counter;

/// Where the TPM is, and what new secrets are bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmSettings {
    /// Its address, such as `device:/dev/tpmrm0`.
    pub address: String,
    /// Platform configuration registers.
    pub pcrs: Vec<u8>,
}

impl Default for TpmSettings {
    fn default() -> Self {
        Self {
            // The kernel's resource manager: several programs use the TPM at once.
            address: "device:/dev/tpmrm0".into(),
            pcrs: Vec::new(),
        }
    }
}

/// Where a passphrase comes from; asked only if one is needed. The error is for people.
pub type AskPassphrase<'a> = &'a mut dyn FnMut() -> anyhow::Result<Passphrase>;

/// How back-ends are reached.
pub struct Access<'a> {
    /// The TPM.
    pub tpm: TpmSettings,
    /// The master secret's passphrase; none: nobody is asked.
    pub passphrase: Option<AskPassphrase<'a>>,
}

impl Access<'_> {
    /// The usual TPM, and nobody to ask.
    #[must_use]
    pub fn unattended() -> Self {
        Self {
            tpm: TpmSettings::default(),
            passphrase: None,
        }
    }
}

/// The back-end that has this master secret.
pub(super) fn backend_of(
    directory: &Path,
    entry: Entry,
    access: &mut Access<'_>,
) -> Result<Arc<dyn Backend>, MasterError> {
    let passphrase = match (entry.backend, &mut access.passphrase) {
        (BackendKind::File, Some(ask)) if is_protected(directory, entry.id)? => {
            Some(ask().map_err(|error| MasterError::Asking(format!("{error:#}")))?)
        }
        _ => None,
    };
    backend(entry.backend, passphrase, &access.tpm)
}

/// A back-end of this kind; new files are sealed by the passphrase, if there is one.
///
/// # Errors
/// [`MasterError`] if the TPM's settings make no sense, or this program has no TPM support.
pub fn backend(
    kind: BackendKind,
    passphrase: Option<Passphrase>,
    tpm: &TpmSettings,
) -> Result<Arc<dyn Backend>, MasterError> {
    Ok(match kind {
        BackendKind::File => Arc::new(FileBackend::new(passphrase)),
        BackendKind::Credential => Arc::new(CredentialBackend),
        BackendKind::Tpm => tpm_backend(tpm)?,
    })
}

/// The counter at this index of the TPM.
///
/// # Errors
/// As for [`backend`].
#[cfg(feature = "tpm")]
pub fn counter(tpm: &TpmSettings, index: u32) -> Result<Box<dyn Counter>, MasterError> {
    let address = tpm
        .address
        .parse()
        .map_err(|_| MasterError::Settings("keys.tpm is no TPM's address"))?;
    Ok(Box::new(super::master::TpmCounter { address, index }))
}

/// The counter at this index of the TPM.
///
/// # Errors
/// [`MasterError::NoTpmSupport`].
#[cfg(not(feature = "tpm"))]
pub const fn counter(_: &TpmSettings, _: u32) -> Result<Box<dyn Counter>, MasterError> {
    Err(MasterError::NoTpmSupport)
}

#[cfg(feature = "tpm")]
fn tpm_backend(tpm: &TpmSettings) -> Result<Arc<dyn Backend>, MasterError> {
    let bad = |what| MasterError::Settings(what);
    Ok(Arc::new(super::master::TpmBackend {
        address: tpm
            .address
            .parse()
            .map_err(|_| bad("keys.tpm is no TPM's address"))?,
        pcrs: city_drivers::tpm::Pcrs::new(&tpm.pcrs)
            .map_err(|_| bad("keys.tpm_pcrs are no registers"))?,
    }))
}

#[cfg(not(feature = "tpm"))]
fn tpm_backend(_: &TpmSettings) -> Result<Arc<dyn Backend>, MasterError> {
    Err(MasterError::NoTpmSupport)
}

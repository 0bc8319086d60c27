//! The key files of a CA: sealed by a passphrase, or, where that was asked for, as they are.
//!
//! A post-quantum key's file holds the secret half alone when it is sealed, since its certificate stands
//! beside it; unsealed it is a signing key file like any other. A classical key is PKCS#8 in PEM either way.

use std::path::Path;

use city_protocol::crypto::{PublicKey, SecretKey};
use zeroize::Zeroizing;

use super::authority::AuthorityError;
use crate::keys::file::{read_secret, write_secret};
use crate::keys::passphrase::{open, purpose_of, seal};
use crate::keys::{self, Passphrase, Purpose};

/// How a CA's keys are kept.
#[derive(Debug)]
pub enum CaLock {
    /// Anybody who can read the files can issue certificates.
    Unencrypted,
    /// Sealed: argon2id and AES-256-GCM.
    Passphrase(Passphrase),
}

impl CaLock {
    /// The passphrase, if there is one.
    #[must_use]
    pub const fn passphrase(&self) -> Option<&Passphrase> {
        match self {
            Self::Unencrypted => None,
            Self::Passphrase(passphrase) => Some(passphrase),
        }
    }

    pub(super) fn write_signing(&self, path: &Path, key: &SecretKey) -> Result<(), AuthorityError> {
        match self {
            Self::Unencrypted => Ok(keys::save_signing(path, key)?),
            Self::Passphrase(_) => self.write(path, key.expose_secret()),
        }
    }

    pub(super) fn write(&self, path: &Path, secret: &[u8]) -> Result<(), AuthorityError> {
        match self {
            Self::Unencrypted => write_secret(path, secret)?,
            Self::Passphrase(passphrase) => {
                let sealed = seal(Purpose::Ca, passphrase, secret);
                write_secret(path, &sealed.map_err(|source| at(path, source))?)?;
            }
        }
        Ok(())
    }
}

/// Whether a key file is sealed.
pub(super) fn is_sealed(path: &Path) -> Result<bool, AuthorityError> {
    Ok(purpose_of(&read_secret(path)?).is_some())
}

/// Reads the key that `public` is the other half of.
pub(super) fn read_signing(
    path: &Path,
    public: &PublicKey,
    passphrase: Option<&Passphrase>,
) -> Result<Option<SecretKey>, AuthorityError> {
    if !is_sealed(path)? {
        let key = keys::load_signing(path)?;
        return Ok((key.public() == public).then_some(key));
    }
    let secret = read(path, passphrase)?;
    Ok(SecretKey::from_parts(public.algorithm(), public.as_bytes(), &secret).ok())
}

/// Reads what a key file holds.
pub(super) fn read(
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<Zeroizing<Vec<u8>>, AuthorityError> {
    let content = read_secret(path)?;
    if purpose_of(&content).is_none() {
        return Ok(content);
    }
    let passphrase = passphrase.ok_or_else(|| AuthorityError::Sealed { path: path.into() })?;
    open(Purpose::Ca, passphrase, &content).map_err(|source| at(path, source))
}

fn at(path: &Path, source: keys::PassphraseError) -> AuthorityError {
    AuthorityError::Passphrase {
        path: path.into(),
        source,
    }
}

//! The master secret as a systemd credential: base64 of 32 bytes, which systemd decrypts into a directory of memory
//! (`LoadCredentialEncrypted=`, sealed by the machine's TPM or its own key). The node keeps nothing of it on disk.
//!
//! Two names are looked at, and the secret's id says which it is: so a new one can be given beside the old one while
//! keys are re-wrapped.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Backend, BackendKind, MasterError, MasterId, MasterSecret};
use crate::keys::credential;

/// The credential's name.
pub const CREDENTIAL: &str = "city-node.master";
/// The name of the one that is to come.
pub const CREDENTIAL_NEXT: &str = "city-node.master.next";
/// Longest credential in bytes: 44 characters of base64, and blanks around them.
const MAX_LENGTH: usize = 128;

/// What systemd gives.
#[derive(Debug)]
pub struct CredentialBackend;

impl Backend for CredentialBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Credential
    }

    fn fresh(&self, in_use: Option<MasterId>) -> Result<MasterSecret, MasterError> {
        for name in [CREDENTIAL_NEXT, CREDENTIAL] {
            if let Some(secret) = read(name)?
                && Some(secret.id()) != in_use
            {
                return Ok(secret);
            }
        }
        Err(match in_use {
            Some(_) => MasterError::NoNextCredential,
            None => MasterError::NoCredential { name: CREDENTIAL },
        })
    }

    /// It is kept where it came from.
    fn keep(&self, directory: &Path, secret: &MasterSecret) -> Result<(), MasterError> {
        self.give(directory, secret.id()).map(drop)
    }

    fn give(&self, _: &Path, id: MasterId) -> Result<MasterSecret, MasterError> {
        let mut other = None;
        for name in [CREDENTIAL, CREDENTIAL_NEXT] {
            match read(name)? {
                Some(secret) if secret.id() == id => return Ok(secret),
                Some(secret) => other = other.or(Some(secret.id())),
                None => {}
            }
        }
        Err(match other {
            Some(found) => MasterError::Other {
                place: format!("the systemd credential {CREDENTIAL}"),
                found,
                wanted: id,
            },
            None => MasterError::NoCredential { name: CREDENTIAL },
        })
    }
}

fn read(name: &'static str) -> Result<Option<MasterSecret>, MasterError> {
    let Some(path) = credential::path(name) else {
        return Ok(None);
    };
    let form = |what| MasterError::Form {
        place: format!("the systemd credential {name}"),
        what,
    };
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_LENGTH + 1));
    match File::open(&path) {
        Ok(file) => file
            .take(MAX_LENGTH as u64 + 1)
            .read_to_end(&mut text)
            .map_err(|_| form("it cannot be read"))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err(form("it cannot be opened")),
    };
    take(&text).map_err(form).map(Some)
}

/// Exactly the form that `openssl rand -base64 32` prints, blanks around it left away.
fn take(text: &[u8]) -> Result<MasterSecret, &'static str> {
    let bytes = STANDARD
        .decode(text.trim_ascii())
        .map(Zeroizing::new)
        .map_err(|_| "not base64, as `openssl rand -base64 32` prints it")?;
    MasterSecret::from_bytes(&bytes).ok_or("not 32 bytes, as `openssl rand -base64 32` prints them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_32_bytes_in_base64() {
        let secret = STANDARD.encode([7; 32]);
        let taken = take(format!(" {secret}\n").as_bytes()).unwrap();
        assert_eq!(taken.id(), MasterSecret::from_bytes(&[7; 32]).unwrap().id());
        assert!(
            take(&secret.as_bytes()[4..])
                .unwrap_err()
                .contains("32 bytes")
        );
        assert!(
            take(b"a passphrase, by mistake")
                .unwrap_err()
                .contains("base64")
        );
        assert!(take(b"").is_err());
    }
}

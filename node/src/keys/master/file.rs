//! The master secret in a file: `master-<id>.key`, mode 0600; in the clear, or sealed by a passphrase.
//!
//! In the clear it protects nothing that the file's mode does not: key files then stay plain, and it wraps the keyring
//! only, so that moving to another back-end changes nothing else.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Backend, BackendKind, MasterError, MasterId, MasterSecret};
use crate::keys::error::KeyFileError;
use crate::keys::file::{read_secret, write_secret};
use crate::keys::passphrase::{self, Derived, Passphrase, Purpose};

/// The form of the plain file.
const VERSION: u8 = 1;
/// What the plain file says it is.
const KIND: &str = "master";

/// A file beside the keys.
#[derive(Debug, Default)]
pub struct FileBackend {
    lock: Mutex<Lock>,
}

/// What seals and opens the file.
#[derive(Debug, Default)]
enum Lock {
    /// Nothing: it stands in the clear.
    #[default]
    Open,
    /// A passphrase, until it has opened something.
    Passphrase(Passphrase),
    /// What follows from it: a running node exchanges its master secret with this, and has forgotten the passphrase,
    /// which may open other things, too.
    Derived(Derived),
}

impl FileBackend {
    /// Files that a passphrase protects; none: they stand in the clear.
    #[must_use]
    pub fn new(passphrase: Option<Passphrase>) -> Self {
        let lock = passphrase.map_or(Lock::Open, Lock::Passphrase);
        Self {
            lock: Mutex::new(lock),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    v: u8,
    kind: &'a str,
    secret: &'a str,
}

/// Where the secret of this id is kept.
pub(super) fn path(directory: &Path, id: MasterId) -> PathBuf {
    directory.join(format!("master-{id}.key"))
}

/// Whether a passphrase is needed for the secret of this id; also a file that is not there needs none.
///
/// # Errors
/// [`KeyFileError`] if the file cannot be read.
pub fn is_protected(directory: &Path, id: MasterId) -> Result<bool, KeyFileError> {
    match read_secret(&path(directory, id)) {
        Ok(content) => Ok(passphrase::purpose_of(&content).is_some()),
        Err(KeyFileError::Missing { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

impl Backend for FileBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::File
    }

    fn fresh(&self, _: Option<MasterId>) -> Result<MasterSecret, MasterError> {
        Ok(MasterSecret::generate())
    }

    fn keep(&self, directory: &Path, secret: &MasterSecret) -> Result<(), MasterError> {
        let path = path(directory, secret.id());
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let content = match &*lock {
            Lock::Passphrase(passphrase) => {
                let sealed = passphrase::seal(Purpose::Master, passphrase, secret.expose_secret());
                Zeroizing::new(sealed.map_err(|source| MasterError::Passphrase {
                    path: path.clone(),
                    source,
                })?)
            }
            Lock::Derived(derived) => {
                Zeroizing::new(derived.seal(Purpose::Master, secret.expose_secret()))
            }
            Lock::Open => plain(secret),
        };
        Ok(write_secret(&path, &content)?)
    }

    fn give(&self, directory: &Path, id: MasterId) -> Result<MasterSecret, MasterError> {
        let path = path(directory, id);
        let content = read_secret(&path)?;
        let place = || path.display().to_string();
        let form = |what| MasterError::Form {
            place: place(),
            what,
        };
        let bytes = if passphrase::purpose_of(&content).is_some() {
            self.unlock(&path, &content)?
        } else {
            let fields: Fields<'_> =
                serde_json::from_slice(&content).map_err(|_| form("not its JSON object"))?;
            if fields.v != VERSION || fields.kind != KIND {
                return Err(form("another kind or version"));
            }
            STANDARD
                .decode(fields.secret)
                .map(Zeroizing::new)
                .map_err(|_| form("not base64"))?
        };
        let secret = MasterSecret::from_bytes(&bytes).ok_or_else(|| form("not 32 bytes"))?;
        let found = secret.id();
        if found == id {
            Ok(secret)
        } else {
            Err(MasterError::Other {
                place: place(),
                found,
                wanted: id,
            })
        }
    }
}

impl FileBackend {
    fn unlock(&self, path: &Path, content: &[u8]) -> Result<Zeroizing<Vec<u8>>, MasterError> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match &*lock {
            Lock::Open => return Err(MasterError::Locked { path: path.into() }),
            Lock::Derived(derived) => derived.open(Purpose::Master, content),
            Lock::Passphrase(passphrase) => {
                passphrase::open_and_keep(Purpose::Master, passphrase, content).map(
                    |(secret, derived)| {
                        *lock = Lock::Derived(derived);
                        secret
                    },
                )
            }
        };
        opened.map_err(|source| MasterError::Passphrase {
            path: path.into(),
            source,
        })
    }
}

fn plain(secret: &MasterSecret) -> Zeroizing<Vec<u8>> {
    let text = Zeroizing::new(STANDARD.encode(secret.expose_secret()));
    let fields = Fields {
        v: VERSION,
        kind: KIND,
        secret: &text,
    };
    // Room for all of it, so that no copy is left behind by growing.
    let mut json = Zeroizing::new(Vec::with_capacity(256));
    serde_json::to_writer(&mut *json, &fields).expect("plain fields have a JSON form");
    json.push(b'\n');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Option<Passphrase> {
        Some(Passphrase::new(Zeroizing::new(text.into())).unwrap())
    }

    #[test]
    fn it_comes_back_from_its_file_with_its_passphrase_if_it_has_one() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let plain = FileBackend::default();
        let locked = FileBackend::new(passphrase("correct horse battery"));
        let (open, closed) = (plain.fresh(None).unwrap(), locked.fresh(None).unwrap());
        plain.keep(directory, &open).unwrap();
        locked.keep(directory, &closed).unwrap();
        assert!(!is_protected(directory, open.id()).unwrap());
        assert!(is_protected(directory, closed.id()).unwrap());
        assert_eq!(plain.give(directory, open.id()).unwrap().id(), open.id());
        let back = locked.give(directory, closed.id()).unwrap();
        assert_eq!(back.id(), closed.id());
        // It has forgotten the passphrase, and keeps another secret for it all the same.
        assert!(matches!(*locked.lock.lock().unwrap(), Lock::Derived(_)));
        let next = locked.fresh(Some(closed.id())).unwrap();
        locked.keep(directory, &next).unwrap();
        for ours in [
            &locked,
            &FileBackend::new(passphrase("correct horse battery")),
        ] {
            assert_eq!(ours.give(directory, next.id()).unwrap().id(), next.id());
        }

        let refused = plain.give(directory, closed.id()).unwrap_err();
        assert!(matches!(refused, MasterError::Locked { .. }), "{refused}");
        let other = FileBackend::new(passphrase("another passphrase"));
        let refused = other.give(directory, closed.id()).unwrap_err();
        assert!(refused.to_string().contains("wrong passphrase"));
        let missing = plain.give(directory, MasterSecret::generate().id());
        assert!(matches!(
            missing.unwrap_err(),
            MasterError::File(KeyFileError::Missing { .. })
        ));
    }

    #[test]
    fn another_secret_under_its_name_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let backend = FileBackend::default();
        let (ours, other) = (MasterSecret::generate(), MasterSecret::generate());
        backend.keep(directory, &other).unwrap();
        std::fs::rename(path(directory, other.id()), path(directory, ours.id())).unwrap();
        let refused = backend.give(directory, ours.id()).unwrap_err();
        assert!(matches!(refused, MasterError::Other { .. }), "{refused}");
        std::fs::write(path(directory, ours.id()), "{}").unwrap();
        let refused = backend.give(directory, ours.id()).unwrap_err();
        assert!(refused.to_string().contains("JSON"), "{refused}");
    }
}

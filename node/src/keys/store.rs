//! The key store of a data directory: its master secrets, and secret files read through them.
//!
//! `keys/masters.json` says which master secrets are in use, the newest first:
//! `{"v":1,"masters":[{"id":…,"backend":"file"|"credential"|"tpm"}],"keyring":true}`. More than one stands there only
//! while files are re-wrapped, or after that was cut off: then files of either are readable. `keyring` becomes true
//! with the first keyring, which from then on must be there. A directory without `masters.json` is one of plain files
//! from before there were key stores. How secrets are exchanged is `rewrap`'s.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::access::{Access, backend_of};
use super::error::{KeyFileError, KeystoreError};
use super::file::{read_secret, replace_secret, write_secret};
use super::keyring;
use super::master::{Backend, BackendKind, MasterError, MasterId, MasterSecret, is_protected};
use super::wrap::{self, WrapError};

/// The file that names the master secrets.
const MASTERS: &str = "masters.json";
/// Its form.
const VERSION: u8 = 1;
/// Most master secrets at once: the new one, the old one, and those of exchanges that were cut off before.
const MAX_MASTERS: usize = 8;

/// One master secret that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its id.
    pub id: MasterId,
    /// Where it is kept.
    pub backend: BackendKind,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Masters {
    v: u8,
    masters: Vec<Entry>,
    keyring: bool,
}

/// A master secret as far as it could be had.
struct Opened {
    entry: Entry,
    secret: Result<MasterSecret, Arc<MasterError>>,
}

struct State {
    /// The newest first.
    opened: Vec<Opened>,
    /// What keeps the newest; with its passphrase, so that a running node can exchange it.
    backend: Option<Arc<dyn Backend>>,
    keyring: bool,
    /// Whether `masters.json` may say otherwise, because writing it failed.
    unwritten: bool,
}

/// The key store of a data directory.
pub struct Keystore {
    directory: PathBuf,
    state: RwLock<State>,
    /// Whoever rewrites wrapped files holds it, so that none is written back as it was before.
    writing: Mutex<()>,
}

impl Keystore {
    /// Opens the key store in a `keys` directory. Not having a master secret that no file needs is no error.
    ///
    /// # Errors
    /// [`KeystoreError`] if what says which they are cannot be read, or the newest cannot be had.
    pub fn open(directory: &Path, access: &mut Access<'_>) -> Result<Self, KeystoreError> {
        let masters = read_masters(directory)?;
        let (mut opened, mut backend) = (Vec::new(), None);
        for entry in masters.masters {
            let reached = backend_of(directory, entry, access);
            let given = reached.and_then(|reached| {
                let secret = reached.give(directory, entry.id);
                backend = backend.take().or(Some(reached));
                secret
            });
            let secret = given.map_err(Arc::new);
            opened.push(Opened { entry, secret });
        }
        if let Some(newest) = opened.first() {
            have(newest)?;
        }
        let state = State {
            opened,
            backend,
            keyring: masters.keyring,
            unwritten: false,
        };
        Ok(Self {
            directory: directory.into(),
            state: RwLock::new(state),
            writing: Mutex::new(()),
        })
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The master secrets in use, the newest first; none in a directory of plain files.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.state().opened.iter().map(|one| one.entry).collect()
    }

    /// Whether there is a keyring, or was one.
    #[must_use]
    pub fn has_keyring(&self) -> bool {
        self.state().keyring
    }

    /// Reads a secret file: wrapped by a master secret, or plain.
    ///
    /// # Errors
    /// [`KeystoreError`] that names the file.
    pub fn read(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let content = read_secret(path)?;
        if wrap::is_wrapped(&content) {
            self.unwrap(path, &content)
        } else {
            Ok(content)
        }
    }

    /// Writes a new secret file: wrapped, if the newest master secret protects anything.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] if there is such a file, others as they come.
    pub fn write_new(&self, path: &Path, content: &[u8]) -> Result<(), KeystoreError> {
        let _writing = self.writing();
        if self.protects()? {
            Ok(write_secret(path, &self.wrap(path, content)?)?)
        } else {
            Ok(write_secret(path, content)?)
        }
    }

    /// Writes a secret file in place of the one that is there, as [`Keystore::write_new`] would.
    ///
    /// # Errors
    /// [`KeystoreError`]; the old file then stands.
    pub fn replace(&self, path: &Path, content: &[u8]) -> Result<(), KeystoreError> {
        let _writing = self.writing();
        if self.protects()? {
            Ok(replace_secret(path, &self.wrap(path, content)?)?)
        } else {
            Ok(replace_secret(path, content)?)
        }
    }

    /// Whether key files are wrapped: a master secret that lies beside them in the clear protects nothing.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub fn protects(&self) -> Result<bool, KeystoreError> {
        match self.entries().first() {
            None => Ok(false),
            Some(newest) if newest.backend == BackendKind::File => {
                Ok(is_protected(&self.directory, newest.id)?)
            }
            Some(_) => Ok(true),
        }
    }

    /// Makes it known that nobody else may change this key store until the lock is dropped: shared by running nodes,
    /// alone for a command that changes it.
    ///
    /// # Errors
    /// [`KeystoreError::InUse`].
    pub fn lock(&self, alone: bool) -> Result<Lock, KeystoreError> {
        Self::lock_directory(&self.directory, alone)
    }

    /// The same before the key store is opened: what is read then stays as it is until the lock is dropped.
    ///
    /// # Errors
    /// [`KeystoreError::InUse`], [`KeystoreError::File`].
    pub fn lock_directory(directory: &Path, alone: bool) -> Result<Lock, KeystoreError> {
        let io = |source| KeyFileError::Io {
            path: directory.to_owned(),
            source,
        };
        let file = File::open(directory).map_err(io)?;
        let how = if alone {
            FlockOperation::NonBlockingLockExclusive
        } else {
            FlockOperation::NonBlockingLockShared
        };
        match rustix::fs::flock(&file, how) {
            Ok(()) => Ok(Lock { _held: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(KeystoreError::InUse {
                directory: directory.to_owned(),
            }),
            Err(error) => Err(io(error.into()).into()),
        }
    }

    /// Wraps the content of the file at `path` by the newest master secret, which `masters.json` names by then.
    pub(super) fn wrap(&self, path: &Path, content: &[u8]) -> Result<Vec<u8>, KeystoreError> {
        if self.state().unwritten {
            self.change(|_| ())?;
        }
        let state = self.state();
        let newest = state.opened.first();
        let newest = newest.ok_or_else(|| KeystoreError::NoMaster {
            directory: self.directory.clone(),
        })?;
        wrap::wrap(path, content, have(newest)?).map_err(|source| KeystoreError::Wrapped {
            path: path.into(),
            source,
        })
    }

    /// Opens a wrapped file's content.
    pub(super) fn unwrap(
        &self,
        path: &Path,
        content: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let failed = |source| KeystoreError::Wrapped {
            path: path.into(),
            source,
        };
        let id = wrap::master_of(content).map_err(failed)?;
        let state = self.state();
        let opened = state.opened.iter().find(|one| one.entry.id == id);
        let secret = have(opened.ok_or_else(|| failed(WrapError::OtherMaster(id)))?)?;
        wrap::unwrap(path, content, [secret]).map_err(failed)
    }

    /// Held while wrapped files are read and written back.
    pub(super) fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What keeps the newest master secret.
    pub(super) fn backend(&self) -> Result<Arc<dyn Backend>, KeystoreError> {
        let backend = self.state().backend.clone();
        backend.ok_or_else(|| KeystoreError::NoMaster {
            directory: self.directory.clone(),
        })
    }

    /// Puts a new master secret before the others, durably.
    pub(super) fn put_first(
        &self,
        secret: MasterSecret,
        backend: Arc<dyn Backend>,
    ) -> Result<(), KeystoreError> {
        let entry = Entry {
            id: secret.id(),
            backend: backend.kind(),
        };
        if self.entries().len() >= MAX_MASTERS {
            return Err(KeystoreError::TooMany {
                directory: self.directory.clone(),
            });
        }
        self.change(|state| {
            let secret = Ok(secret);
            state.opened.insert(0, Opened { entry, secret });
            state.backend = Some(backend);
        })
    }

    /// Leaves the newest alone, durably.
    pub(super) fn keep_newest(&self) -> Result<(), KeystoreError> {
        self.change(|state| state.opened.truncate(1))
    }

    /// There is a keyring from now on, durably.
    pub(super) fn note_keyring(&self) -> Result<(), KeystoreError> {
        self.change(|state| state.keyring = true)
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What could not be written counts in memory all the same, because the disk may have it; nothing is wrapped until a
    /// further try has written it.
    fn change(&self, f: impl FnOnce(&mut State)) -> Result<(), KeystoreError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        f(&mut state);
        state.unwritten = true;
        let masters = Masters {
            v: VERSION,
            masters: state.opened.iter().map(|one| one.entry).collect(),
            keyring: state.keyring,
        };
        let mut json = serde_json::to_vec(&masters).expect("plain fields have a JSON form");
        json.push(b'\n');
        replace_secret(&self.directory.join(MASTERS), &json)?;
        state.unwritten = false;
        Ok(())
    }
}

impl fmt::Debug for Keystore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keystore({}, redacted)", self.directory.display())
    }
}

/// Nobody else changes the key store while this is held.
#[derive(Debug)]
pub struct Lock {
    _held: File,
}

fn have(opened: &Opened) -> Result<&MasterSecret, KeystoreError> {
    let secret = opened.secret.as_ref();
    secret.map_err(|error| KeystoreError::Master(Arc::clone(error)))
}

fn read_masters(directory: &Path) -> Result<Masters, KeystoreError> {
    let path = directory.join(MASTERS);
    let content = match read_secret(&path) {
        Ok(content) => content,
        // Where there is a ring, there was a master secret: the list is lost, and nothing takes its place.
        Err(KeyFileError::Missing { .. }) if keyring::path(directory).exists() => {
            return Err(KeystoreError::Keyring {
                path,
                what: "the list of master secrets (masters.json) is gone",
            });
        }
        Err(KeyFileError::Missing { .. }) => {
            return Ok(Masters {
                v: VERSION,
                masters: Vec::new(),
                keyring: false,
            });
        }
        Err(error) => return Err(error.into()),
    };
    let bad = |what| KeyFileError::Content {
        path: path.clone(),
        expected: "list of master secrets",
        what,
    };
    let masters: Masters =
        serde_json::from_slice(&content).map_err(|_| bad("not its JSON object"))?;
    if masters.v != VERSION {
        return Err(bad("a version this software does not know").into());
    }
    if masters.masters.len() > MAX_MASTERS {
        return Err(bad("more than eight master secrets").into());
    }
    Ok(masters)
}

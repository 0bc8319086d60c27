//! Exchanging the master secret: for another one, for one in another back-end, for the first one.
//!
//! First the new secret is kept and read back; then it is named first in `masters.json`, beside the old one; then each
//! file is wrapped by it, read back, and replaced; then the old one is no longer named; at last, where it was kept is
//! removed. Every step is durable before the next, each file opens under either secret meanwhile, and doing it again
//! after a cut goes on where it stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::{KeyFileError, KeystoreError};
use super::file::{read_secret, remove, replace_secret};
use super::keyring;
use super::master::{Backend, MasterId};
use super::store::{Entry, Keystore};
use super::wrap::{self, WrapError};

/// What an exchange did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchanged {
    /// The master secret in use now.
    pub entry: Entry,
    /// The one before, if there was one.
    pub before: Option<Entry>,
    /// Files that were written anew.
    pub files: Vec<PathBuf>,
    /// Whether they are wrapped now, and not plain.
    pub wrapped: bool,
    /// Whether an exchange that was cut off was brought to its end, instead of beginning another.
    pub resumed: bool,
}

/// Exchanges the newest master secret for a fresh one that `target` keeps (none: what keeps it now), and wraps these
/// files by it; or makes them plain, where it would lie beside them in the clear.
///
/// # Errors
/// [`KeystoreError`]. Whatever it is, every file still opens, and the exchange can be done again.
pub fn exchange(
    store: &Keystore,
    target: Option<Arc<dyn Backend>>,
    files: &[PathBuf],
) -> Result<Exchanged, KeystoreError> {
    let _writing = store.writing();
    let directory = store.directory();
    let target = target.map_or_else(|| store.backend(), Ok)?;
    let entries = store.entries();
    let newest = entries.first().copied();
    let resumed = entries.len() > 1 && newest.is_some_and(|entry| entry.backend == target.kind());
    if !resumed {
        let secret = target.fresh(newest.map(|entry| entry.id))?;
        let id = secret.id();
        target.keep(directory, &secret)?;
        // What cannot be given back must not wrap anything.
        let secret = target.give(directory, id)?;
        store.put_first(secret, target)?;
    }
    let wrapped = store.protects()?;
    let mut written = Vec::new();
    for path in files {
        let content = store.read(path)?;
        let new = if wrapped {
            Zeroizing::new(store.wrap(path, &content)?)
        } else {
            content.clone()
        };
        write(path, &new, |read| open(store, path, read), &content)?;
        written.push(path.clone());
    }
    let ring = keyring::path(directory);
    if store.has_keyring() {
        let content = keyring::read_content(store)?;
        let new = store.wrap(&ring, &content)?;
        write(&ring, &new, |read| open(store, &ring, read), &content)?;
        written.push(ring);
    } else {
        keyring::make(store)?;
        store.note_keyring()?;
    }
    store.keep_newest()?;
    let entry = *store
        .entries()
        .first()
        .expect("an exchange leaves the secret that it put there");
    forget_others(directory, entry.id)?;
    let before = if resumed {
        entries.get(1).copied()
    } else {
        newest
    };
    Ok(Exchanged {
        entry,
        before,
        files: written,
        wrapped,
        resumed,
    })
}

/// Replaces a file by content that opens to what it held.
fn write(
    path: &Path,
    new: &[u8],
    open: impl FnOnce(&[u8]) -> Result<Zeroizing<Vec<u8>>, KeystoreError>,
    held: &[u8],
) -> Result<(), KeystoreError> {
    if *open(new)? != held {
        return Err(KeystoreError::Wrapped {
            path: path.into(),
            source: WrapError::NotAuthentic,
        });
    }
    replace_secret(path, new)?;
    if *read_secret(path)? == new {
        Ok(())
    } else {
        Err(KeyFileError::Content {
            path: path.into(),
            expected: "key file as it was written",
            what: "the disk gives other bytes back",
        }
        .into())
    }
}

fn open(
    store: &Keystore,
    path: &Path,
    content: &[u8],
) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    if wrap::is_wrapped(content) {
        store.unwrap(path, content)
    } else {
        Ok(Zeroizing::new(content.to_vec()))
    }
}

/// Removes what other master secrets were kept in: old ones, and those of exchanges that were cut off at once.
fn forget_others(directory: &Path, newest: MasterId) -> Result<(), KeystoreError> {
    let failed = |source| KeyFileError::Io {
        path: directory.into(),
        source,
    };
    let newest = format!("master-{newest}.");
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let kept =
            name.starts_with("master-") && (name.ends_with(".key") || name.ends_with(".tpm"));
        if kept && !name.starts_with(&newest) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::file::write_secret;
    use super::super::master::{BackendKind, FileBackend, MasterError, MasterSecret};
    use super::super::{Access, Keyring, Passphrase};
    use super::*;

    /// A back-end that wraps, without argon2id's second: what the TPM is to the store.
    struct Vault;

    impl Backend for Vault {
        fn kind(&self) -> BackendKind {
            BackendKind::Credential
        }

        fn fresh(&self, _: Option<MasterId>) -> Result<MasterSecret, MasterError> {
            Ok(MasterSecret::generate())
        }

        fn keep(&self, directory: &Path, secret: &MasterSecret) -> Result<(), MasterError> {
            FileBackend::default().keep(directory, secret)
        }

        fn give(&self, directory: &Path, id: MasterId) -> Result<MasterSecret, MasterError> {
            FileBackend::default().give(directory, id)
        }
    }

    struct Node {
        directory: tempfile::TempDir,
        files: Vec<PathBuf>,
    }

    impl Node {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let files: Vec<PathBuf> = ["kem.key", "ledger.key", "tls.key"]
                .map(|name| directory.path().join(name))
                .into();
            for file in &files {
                write_secret(file, content(file).as_bytes()).unwrap();
            }
            Self { directory, files }
        }

        fn open(&self) -> Keystore {
            let mut ask = || Ok(passphrase());
            let mut access = Access {
                passphrase: Some(&mut ask),
                ..Access::unattended()
            };
            Keystore::open(self.directory.path(), &mut access).unwrap()
        }

        fn check(&self, store: &Keystore) {
            for file in &self.files {
                assert_eq!(*store.read(file).unwrap(), content(file).as_bytes());
            }
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.directory.path()).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    fn content(path: &Path) -> String {
        format!("the secret in {}", path.file_name().unwrap().display())
    }

    fn passphrase() -> Passphrase {
        Passphrase::new(Zeroizing::new("correct horse battery".into())).unwrap()
    }

    fn locked() -> Option<Arc<dyn Backend>> {
        Some(Arc::new(FileBackend::new(Some(passphrase()))))
    }

    fn plain() -> Option<Arc<dyn Backend>> {
        Some(Arc::new(FileBackend::default()))
    }

    #[test]
    fn keys_are_wrapped_by_what_protects_and_plain_by_what_does_not() {
        let node = Node::new();
        let done = exchange(&node.open(), plain(), &node.files).unwrap();
        assert!(!done.wrapped && done.before.is_none());
        assert_eq!(
            std::fs::read(&node.files[1]).unwrap(),
            b"the secret in ledger.key"
        );

        let done = exchange(&node.open(), locked(), &node.files).unwrap();
        assert!(done.wrapped && !done.resumed);
        let on_disk = std::fs::read(&node.files[1]).unwrap();
        assert!(wrap::is_wrapped(&on_disk));
        assert!(!String::from_utf8(on_disk).unwrap().contains("the secret"));
        node.check(&node.open());
        let masters: Vec<_> = node.names();
        let masters: Vec<_> = masters
            .iter()
            .filter(|name| name.starts_with("master-"))
            .collect();
        assert_eq!(masters.len(), 1, "the one before is gone: {masters:?}");
        let nobody = Keystore::open(node.directory.path(), &mut Access::unattended());
        let refused = nobody.unwrap_err().to_string();
        assert!(refused.contains("protected by a passphrase"), "{refused}");

        // In the same back-end, with the passphrase that the store was opened with.
        let store = node.open();
        let again = exchange(&store, None, &node.files).unwrap();
        assert_eq!(again.before.unwrap().id, done.entry.id);
        node.check(&store);
        node.check(&node.open());

        exchange(&node.open(), plain(), &node.files).unwrap();
        assert_eq!(
            std::fs::read(&node.files[1]).unwrap(),
            b"the secret in ledger.key"
        );
    }

    #[test]
    fn nothing_is_wrapped_by_a_secret_that_the_disk_does_not_name() {
        let node = Node::new();
        exchange(&node.open(), plain(), &node.files).unwrap();
        let store = node.open();
        let masters = node.directory.path().join("masters.json");
        let named = std::fs::read(&masters).unwrap();
        // Nothing can take the name of a directory.
        std::fs::remove_file(&masters).unwrap();
        std::fs::create_dir_all(masters.join("in the way")).unwrap();
        for _ in 0..2 {
            exchange(&store, locked(), &node.files).unwrap_err();
            for file in &node.files {
                assert_eq!(std::fs::read(file).unwrap(), content(file).as_bytes());
            }
        }
        std::fs::remove_dir_all(&masters).unwrap();
        write_secret(&masters, &named).unwrap();
        let done = exchange(&store, locked(), &node.files).unwrap();
        assert!(done.wrapped && done.resumed);
        node.check(&store);
        node.check(&node.open());
    }

    #[test]
    fn after_a_cut_anywhere_everything_opens_and_the_next_try_goes_on() {
        for cut in 0..=3 {
            let node = Node::new();
            exchange(&node.open(), plain(), &node.files).unwrap();
            let store = node.open();
            let ring = Keyring::open(Arc::new(node.open())).unwrap().unwrap();
            let place = city_protocol::crypto::FieldPlace {
                table: "t",
                record: b"r",
                field: "f",
            };
            let field = ring.seal(place, b"field").unwrap();
            let mut files = node.files.clone();
            // It ends with an error there, and nothing after it is done, as if the power were cut.
            files.insert(cut, node.directory.path().join("missing.key"));
            assert!(exchange(&store, locked(), &files).is_err());
            drop(store);
            let store = node.open();
            assert_eq!(store.entries().len(), 2);
            node.check(&store);
            let ring = Keyring::open(Arc::new(node.open())).unwrap().unwrap();
            assert_eq!(&**ring.open_field(place, &field).unwrap(), b"field");

            let done = exchange(&store, locked(), &node.files).unwrap();
            assert!(done.resumed, "cut {cut}");
            drop(store);
            let store = node.open();
            assert_eq!(store.entries(), [done.entry]);
            node.check(&store);
            let ring = Keyring::open(Arc::new(store)).unwrap().unwrap();
            assert_eq!(&**ring.open_field(place, &field).unwrap(), b"field");
        }
    }

    #[test]
    fn a_secret_that_was_kept_but_never_named_is_cleared_away() {
        let node = Node::new();
        let stray = MasterSecret::generate();
        Vault.keep(node.directory.path(), &stray).unwrap();
        exchange(&node.open(), plain(), &node.files).unwrap();
        let named = format!("master-{}.key", stray.id());
        assert!(!node.names().contains(&named));
        node.check(&node.open());
    }

    #[test]
    fn one_command_at_a_time_and_none_beside_a_running_node() {
        let node = Node::new();
        let store = node.open();
        let running = store.lock(false).unwrap();
        let refused = node.open().lock(true).unwrap_err();
        assert!(matches!(refused, KeystoreError::InUse { .. }));
        drop(running);
        let _alone = store.lock(true).unwrap();
        assert!(node.open().lock(false).is_err());
    }

    #[test]
    fn without_a_master_secret_there_is_nothing_to_exchange() {
        let node = Node::new();
        let refused = exchange(&node.open(), None, &node.files).unwrap_err();
        assert!(refused.to_string().contains("key seal"), "{refused}");
        node.check(&node.open());
    }
}

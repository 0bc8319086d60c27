//! The file of the transport key: libp2p's own protobuf form of an Ed25519 key pair, raw bytes.

use std::path::Path;

use libp2p::identity::{KeyType, Keypair};
use zeroize::Zeroizing;

use super::error::{KeyFileError, KeystoreError};
use super::file::{read_secret, write_secret};
use super::store::Keystore;
use super::wrap;

/// Writes the transport key to a new file.
///
/// # Errors
/// [`KeyFileError::Exists`] if there is such a file, [`KeyFileError::Content`] if the key is not
/// Ed25519, or [`KeyFileError::Io`].
pub fn save_transport(path: &Path, key: &Keypair) -> Result<(), KeyFileError> {
    if key.key_type() != KeyType::Ed25519 {
        return Err(bad(path));
    }
    let bytes = Zeroizing::new(key.to_protobuf_encoding().map_err(|_| bad(path))?);
    write_secret(path, &bytes)
}

/// Writes the transport key into a key store: into a new file, or in the place of the one that is there.
///
/// # Errors
/// A [`KeystoreError`] that names the file.
pub fn put_transport(
    store: &Keystore,
    path: &Path,
    key: &Keypair,
    replace: bool,
) -> Result<(), KeystoreError> {
    let bytes = Zeroizing::new(key.to_protobuf_encoding().map_err(|_| bad(path))?);
    if replace {
        store.replace(path, &bytes)
    } else {
        store.write_new(path, &bytes)
    }
}

/// Reads the transport key.
///
/// # Errors
/// A [`KeyFileError`] that names the file.
pub fn load_transport(path: &Path) -> Result<Keypair, KeyFileError> {
    read_transport(path, &read_secret(path)?)
}

/// The same of a file's content, as a [`Keystore`](super::Keystore) gives it; `path` stands in the errors.
///
/// # Errors
/// A [`KeyFileError`] that names the file.
pub fn read_transport(path: &Path, content: &[u8]) -> Result<Keypair, KeyFileError> {
    if wrap::is_wrapped(content) {
        return Err(KeyFileError::Wrapped { path: path.into() });
    }
    let key = Keypair::from_protobuf_encoding(content).map_err(|_| bad(path))?;
    if key.key_type() == KeyType::Ed25519 {
        Ok(key)
    } else {
        Err(bad(path))
    }
}

fn bad(path: &Path) -> KeyFileError {
    KeyFileError::Content {
        path: path.to_owned(),
        expected: "transport key file",
        what: "not libp2p's protobuf form of an Ed25519 key pair",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_transport_key_comes_back_with_its_peer_id() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("transport.key");
        let key = Keypair::generate_ed25519();
        save_transport(&path, &key).unwrap();
        let loaded = load_transport(&path).unwrap();
        assert_eq!(loaded.public().to_peer_id(), key.public().to_peer_id());
        assert!(matches!(
            save_transport(&path, &key),
            Err(KeyFileError::Exists { .. })
        ));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            load_transport(&path),
            Err(KeyFileError::Permissions { .. })
        ));
        let garbage = directory.path().join("garbage.key");
        write_secret(&garbage, &[0xff; 68]).unwrap();
        assert!(matches!(
            load_transport(&garbage),
            Err(KeyFileError::Content { .. })
        ));
    }
}

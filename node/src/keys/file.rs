//! Files that must not be lost, torn or seen: written aside, made durable, then named.
//!
//! Owns permissions and durability; what stands in a file is its caller's. A file appears under its
//! name complete or not at all, also through a power cut.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use zeroize::Zeroizing;

use super::error::KeyFileError;

/// Largest key file in bytes: a Dilithium5 pair in base64 has about 10,000.
pub const MAX_KEY_FILE: u64 = 32 * 1024;

/// Mode of a file with a secret: its owner reads and writes.
const SECRET_MODE: u32 = 0o600;
/// Mode of a file that all may read.
const PUBLIC_MODE: u32 = 0o644;
/// The bits that a secret file must not have: anything for group and others.
const FOREIGN_BITS: u32 = 0o077;

/// Writes a new secret file, mode 0600 from its first byte.
///
/// # Errors
/// [`KeyFileError::Exists`] if there is such a file: it stays as it was. Else [`KeyFileError::Io`].
pub fn write_secret(path: &Path, content: &[u8]) -> Result<(), KeyFileError> {
    write(path, content, SECRET_MODE, RenameFlags::NOREPLACE)
}

/// Writes a secret file in place of the one that is there; the new one was read back before it takes the name, so
/// that at no moment there is neither.
///
/// # Errors
/// [`KeyFileError::Io`]; the old file then stands.
pub fn replace_secret(path: &Path, content: &[u8]) -> Result<(), KeyFileError> {
    write(path, content, SECRET_MODE, RenameFlags::empty())
}

/// Removes a file and makes that durable; none is no error.
///
/// # Errors
/// [`KeyFileError::Io`].
pub fn remove(path: &Path) -> Result<(), KeyFileError> {
    let gone = match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::open(directory(path)).and_then(|directory| directory.sync_all()),
    };
    gone.map_err(|source| KeyFileError::writing(path, source))
}

/// Writes a file that all may read, in place of one that may be there.
///
/// # Errors
/// [`KeyFileError::Io`].
pub fn write_public(path: &Path, content: &[u8]) -> Result<(), KeyFileError> {
    write(path, content, PUBLIC_MODE, RenameFlags::empty())
}

/// Reads a secret file into memory that is zeroized when dropped.
///
/// # Errors
/// [`KeyFileError::Permissions`] if group or others may do anything with it;
/// [`KeyFileError::Missing`], [`KeyFileError::NotAKeyFile`] or [`KeyFileError::Io`].
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    read(path, true, MAX_KEY_FILE)
}

/// The same of at most so many bytes.
///
/// # Errors
/// As for [`read_secret`].
pub fn read_secret_up_to(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    read(path, true, limit)
}

/// Reads a public file of at most [`MAX_KEY_FILE`] bytes.
///
/// # Errors
/// [`KeyFileError::Missing`], [`KeyFileError::NotAKeyFile`] or [`KeyFileError::Io`].
pub fn read_public(path: &Path) -> Result<Vec<u8>, KeyFileError> {
    read_public_up_to(path, MAX_KEY_FILE)
}

/// Reads a file that is no secret, or is sealed, of at most so many bytes.
///
/// # Errors
/// [`KeyFileError::Missing`], [`KeyFileError::NotAKeyFile`] or [`KeyFileError::Io`].
pub fn read_public_up_to(path: &Path, limit: u64) -> Result<Vec<u8>, KeyFileError> {
    read(path, false, limit).map(|mut content| std::mem::take(&mut *content))
}

fn read(path: &Path, secret: bool, limit: u64) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let io = |source| KeyFileError::reading(path, source);
    // The open file is judged, not the name: it may be exchanged between the two.
    let mut file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() || metadata.len() > limit {
        return Err(KeyFileError::NotAKeyFile {
            path: path.to_owned(),
            limit,
        });
    }
    let mode = metadata.mode() & 0o7777;
    if secret && mode & FOREIGN_BITS != 0 {
        return Err(KeyFileError::Permissions {
            path: path.to_owned(),
            mode,
        });
    }
    let length = usize::try_from(metadata.len()).expect("a key file's length was bounded above");
    // Exactly as long as needed, so that no copy is left behind by growing.
    let mut content = Zeroizing::new(vec![0; length]);
    file.read_exact(&mut content).map_err(io)?;
    Ok(content)
}

fn write(path: &Path, content: &[u8], mode: u32, how: RenameFlags) -> Result<(), KeyFileError> {
    let aside = aside(path);
    let result = write_aside(&aside, content, mode).and_then(|()| {
        rustix::fs::renameat_with(CWD, &aside, CWD, path, how)?;
        // The name itself must survive a power cut.
        File::open(directory(path))?.sync_all()
    });
    result.map_err(|source| {
        // After a failed rename the file aside is still there; after a failed sync it is not.
        let _ = fs::remove_file(&aside);
        KeyFileError::writing(path, source)
    })
}

fn write_aside(aside: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(aside)?;
    file.write_all(content)?;
    file.sync_all()?;
    let written = Zeroizing::new(fs::read(aside)?);
    if *written == content {
        Ok(())
    } else {
        Err(io::Error::other(
            "what was written is not what is read back",
        ))
    }
}

/// A name in the same directory that no other writer takes.
fn aside(path: &Path) -> PathBuf {
    let mut random = [0; 8];
    getrandom::fill(&mut random).expect("the operating system gives randomness");
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{:016x}.new", u64::from_ne_bytes(random)));
    directory(path).join(name)
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(directory: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_secret_is_private_complete_and_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.key");
        write_secret(&path, b"first").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let again = write_secret(&path, b"second").unwrap_err();
        assert!(matches!(again, KeyFileError::Exists { .. }), "{again}");
        assert_eq!(read_secret(&path).unwrap().as_slice(), b"first");
        assert_eq!(names(directory.path()), ["node.key"], "nothing lies about");
    }

    #[test]
    fn others_must_not_reach_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.key");
        write_secret(&path, b"secret").unwrap();
        let check = |mode: u32| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read_secret(&path)
        };
        for mode in [0o640, 0o604, 0o660, 0o601, 0o620] {
            let error = check(mode).unwrap_err();
            assert!(
                matches!(error, KeyFileError::Permissions { .. }),
                "{mode:o}"
            );
            let text = error.to_string();
            assert!(
                text.contains(&format!("chmod 600 {}", path.display())),
                "{text}"
            );
        }
        assert!(check(0o600).is_ok());
        assert!(check(0o400).is_ok());
    }

    #[test]
    fn what_is_no_key_file_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing.key");
        let error = read_secret(&missing).unwrap_err();
        assert!(matches!(error, KeyFileError::Missing { .. }));
        assert!(error.to_string().contains("missing.key"));
        let error = read_secret(directory.path()).unwrap_err();
        assert!(matches!(error, KeyFileError::NotAKeyFile { .. }));
        let large = directory.path().join("large.key");
        write_secret(&large, &vec![0; 32 * 1024 + 1]).unwrap();
        let error = read_secret(&large).unwrap_err();
        assert!(matches!(error, KeyFileError::NotAKeyFile { .. }));
        let nowhere = directory.path().join("no/such/directory.key");
        assert!(matches!(
            write_secret(&nowhere, b"x"),
            Err(KeyFileError::Io { .. })
        ));
    }

    #[test]
    fn a_public_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.key.pub");
        write_public(&path, b"first").unwrap();
        write_public(&path, b"second").unwrap();
        assert_eq!(read_public(&path).unwrap(), b"second");
        assert_eq!(names(directory.path()), ["node.key.pub"]);
    }
}

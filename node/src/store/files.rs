//! The seam to the disk: every call by which the segments and marks of the store touch a file system.
//!
//! Owns the traits and the real implementation; tests put a failing disk behind the same traits. What
//! sled does below its own directory does not pass through here.
//!
//! Assumed of the hardware: after `fdatasync` returned 0 the bytes survive a power cut, a `rename` on one
//! file system is atomic, and it survives once its directory was fsynced.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The most entries a directory of ours is read to: far above the segments of any node, low enough
/// that a directory filled by mistake does not fill the memory.
const MAX_DIR_ENTRIES: usize = 1 << 20;

/// An open file. Offsets and lengths in bytes.
pub trait FileHandle: Send + Sync {
    /// The file's length.
    ///
    /// # Errors
    /// What the operating system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before; else what the operating system says.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`. On an error any part of it may have been written.
    ///
    /// # Errors
    /// What the operating system says.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// `fdatasync`: content and length are durable when this returns `Ok`.
    ///
    /// # Errors
    /// What the operating system says. The pages may be marked clean all the same, so a second call
    /// that succeeds proves nothing: whoever gets an error must not write to the file again.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// What the operating system says.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// A file system.
pub trait Files: Send + Sync {
    /// Makes a directory and what is missing above it; it may exist.
    ///
    /// # Errors
    /// What the operating system says, as for all below.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Opens a file for reading and writing, new or emptied.
    ///
    /// # Errors
    /// See above.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// See above.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>>;

    /// Opens an existing file for reading only: one that may be nobody's to write.
    ///
    /// # Errors
    /// See above.
    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        self.open(path)
    }

    /// Renames a file or directory; a file that stands at `to` is replaced at once.
    ///
    /// # Errors
    /// See above.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// See above.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with everything in it.
    ///
    /// # Errors
    /// See above.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// The names in a directory, in no order; names that are not UTF-8 are none of ours and left out.
    ///
    /// # Errors
    /// See above.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes creations, renames and removals in a directory durable.
    ///
    /// # Errors
    /// See above.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes every file and directory below `dir`, and `dir` itself, durable.
    ///
    /// # Errors
    /// See above.
    fn sync_tree(&self, dir: &Path) -> io::Result<()>;

    /// Bytes which this process may still write to the file system that holds `dir`.
    ///
    /// # Errors
    /// See above.
    fn free_space(&self, dir: &Path) -> io::Result<u64>;
}

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsFiles;

impl FileHandle for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buf, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

impl Files for OsFiles {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        let mut how = OpenOptions::new();
        how.read(true).write(true).create(true).truncate(true);
        Ok(Arc::new(how.open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        Ok(Arc::new(
            OpenOptions::new().read(true).write(true).open(path)?,
        ))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        Ok(Arc::new(File::open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            if names.len() >= MAX_DIR_ENTRIES {
                return Err(io::Error::other("more than 1,048,576 entries"));
            }
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn sync_tree(&self, dir: &Path) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.sync_tree(&entry.path())?;
            } else {
                File::open(entry.path())?.sync_all()?;
            }
        }
        self.sync_dir(dir)
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Where a file could not be made: with nothing changed, or so that nobody knows what the disk holds.
pub(crate) enum PutError {
    Unchanged(io::Error),
    Unknown(io::Error),
}

impl From<PutError> for io::Error {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Unchanged(error) | PutError::Unknown(error) => error,
        }
    }
}

/// Writes a small file so that after a crash it has its old content or the new, never a part.
///
/// # Errors
/// What the operating system says.
pub(crate) fn put(files: &dyn Files, dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    Ok(try_put(files, dir, name, content)?)
}

/// The same for who goes on where nothing changed: a full disk refuses before anything is fsynced.
///
/// # Errors
/// [`PutError`].
pub(crate) fn try_put(
    files: &dyn Files,
    dir: &Path,
    name: &str,
    content: &[u8],
) -> Result<(), PutError> {
    let temporary = dir.join(format!("{name}.tmp"));
    let written = files
        .create(&temporary)
        .and_then(|file| file.write_all_at(content, 0).map(|()| file));
    let unchanged = |error| {
        // On a full disk it would only take room; what stays the next writing replaces.
        let _left = files.remove(&temporary);
        PutError::Unchanged(error)
    };
    let file = written.map_err(unchanged)?;
    file.sync_data().map_err(PutError::Unknown)?;
    let renamed = files.rename(&temporary, &dir.join(name));
    renamed.map_err(|error| match is_full(&error) {
        true => unchanged(error),
        // The name may stand in the directory all the same.
        false => PutError::Unknown(error),
    })?;
    files.sync_dir(dir).map_err(PutError::Unknown)
}

/// Reads a file of at most `limit` bytes; what is longer is cut there.
///
/// # Errors
/// What the operating system says.
pub(crate) fn take(files: &dyn Files, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let file = files.open(path)?;
    let len = usize::try_from(file.len()?).unwrap_or(limit).min(limit);
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Whether an error says that the file system or the quota is used up.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

//! Files and standard input as bytes, under a limit; new files that replace nothing.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

use crate::keys::KeyFileError;
use crate::keys::file::{write_public, write_secret};

/// A file, or standard input for `-`.
pub(super) fn open(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).with_context(|| cannot_be_read(path))?;
    Ok(Box::new(file))
}

/// Reads at most one byte more than the limit: the reader of the form says that it is too large.
pub(super) fn read(path: &Path, limit: usize) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    open(path)?
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| cannot_be_read(path))?;
    Ok(bytes)
}

/// Reads the whole of what may be long, up to a limit.
pub(super) fn read_whole(path: &Path, limit: usize) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let bytes = read(path, limit)?;
    if bytes.len() > limit {
        bail!(
            "{}: longer than {} MiB, which is the most",
            path.display(),
            limit >> 20
        );
    }
    Ok(bytes)
}

/// Writes a new file that all may read.
pub(super) fn write_new(path: &Path, content: &[u8]) -> Result<(), KeyFileError> {
    if path.symlink_metadata().is_ok() {
        return Err(KeyFileError::Exists { path: path.into() });
    }
    write_public(path, content)
}

/// Writes a new file that only its owner may read.
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<(), KeyFileError> {
    write_secret(path, content)
}

/// Keeps a receipt under a new name, whole and durable or not at all. The same receipt again is no conflict.
pub(super) fn keep(path: &Path, receipt: &[u8]) -> anyhow::Result<()> {
    if path.symlink_metadata().is_ok() {
        if read(path, receipt.len())?.as_slice() == receipt {
            return Ok(());
        }
        bail!(
            "{}: exists and is something else; it was not overwritten",
            path.display()
        );
    }
    Ok(write_secret(path, receipt)?)
}

fn cannot_be_read(path: &Path) -> String {
    format!(
        "{}: cannot be read; check the path and its permissions",
        path.display()
    )
}

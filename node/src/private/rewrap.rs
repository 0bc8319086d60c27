//! The file of private values under another data key.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::record::{HEAD_LEN, is_erased, scan};
use super::vault::{FILE, TABLE, VaultError, remove_unfinished};
use crate::keys::{Keyring, RingError};

/// What the file is called while it is written anew.
pub(super) const UNFINISHED: &str = "values.new";

/// Wraps the keys of all records again by the data key in use, while no node runs; says of how many. Written into a
/// new file, which takes the old one's name when it is durable; what could not be opened before cannot be after.
///
/// # Errors
/// [`VaultError`]; the old file then stands.
pub fn wrap_again(directory: &Path, keyring: &Keyring) -> Result<usize, VaultError> {
    let wrapped = write_again(directory, keyring);
    if wrapped.is_err() {
        // The next opening removes it otherwise.
        let _ = remove_unfinished(directory);
    }
    wrapped
}

fn write_again(directory: &Path, keyring: &Keyring) -> Result<usize, VaultError> {
    let (path, aside) = (directory.join(FILE), directory.join(UNFINISHED));
    let failed = |source| VaultError::Io {
        path: path.clone(),
        source,
    };
    let old = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        old => old.map_err(failed)?,
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut new = BufWriter::new(options.open(&aside).map_err(failed)?);
    let (mut count, mut copied) = (0, Ok(()));
    scan(&old, |found| {
        let mut copy = || -> Result<bool, VaultError> {
            let mut record = vec![0; found.head.record_len()];
            old.read_exact_at(&mut record, found.offset)
                .map_err(failed)?;
            let transfer = &found.head.transfer.0;
            let wrapped = found.wrapped.filter(|wrapped| !is_erased(wrapped));
            let again = wrapped.map(|wrapped| keyring.wrap_again(TABLE, transfer, &wrapped));
            let again = match again {
                None | Some(Err(RingError::Field(_))) => None,
                Some(other) => Some(other?),
            };
            if let Some(again) = &again {
                record[HEAD_LEN..][..again.len()].copy_from_slice(again);
            }
            new.write_all(&record).map_err(failed)?;
            Ok(again.is_some())
        };
        if copied.is_ok() {
            copied = copy().map(|again| count += usize::from(again));
        }
    })
    .map_err(failed)?;
    copied?;
    let new = new
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    new.sync_all().map_err(failed)?;
    std::fs::rename(&aside, &path).map_err(failed)?;
    let named = File::open(directory).and_then(|directory| directory.sync_all());
    named.map_err(failed)?;
    Ok(count)
}

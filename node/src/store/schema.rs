//! Which form a data directory has: a number in the file `SCHEMA`, and the steps from each form to the next.
//!
//! A directory without the file has form 1. What a newer version wrote is refused before anything is touched.

use std::io;
use std::path::{Path, PathBuf};

use super::files::{self, Files};

/// The form that this software writes.
pub const DATA_SCHEMA: u64 = 4;
/// Holds the number.
const FILE: &str = "SCHEMA";
/// Bytes of it that are read: a number has at most 20 digits.
const MAX_FILE: usize = 32;

/// Why a data directory's form was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Newer software wrote it.
    #[error(
        "{}: a newer city-node wrote this data (form {found}, this version knows {DATA_SCHEMA}): install that version again, or \
         restore a backup that was made before the upgrade", dir.display()
    )]
    Newer {
        /// The data directory.
        dir: PathBuf,
        /// Its form.
        found: u64,
    },
    /// There is no number in it.
    #[error(
        "{}: this is no number: if no newer city-node ever ran here, write {DATA_SCHEMA} into it", path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
    },
    /// It could not be read or written.
    #[error("{}: the form of the data could not be read or written; look at the disk and the rights", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Brings a data directory to [`DATA_SCHEMA`], one step after the other, each durable before the next.
pub(super) fn migrate(files: &dyn Files, dir: &Path) -> Result<(), SchemaError> {
    let path = dir.join(FILE);
    let failed = |source| SchemaError::Io {
        path: path.clone(),
        source,
    };
    let found = match files::take(files, &path, MAX_FILE) {
        Ok(text) => {
            let number = std::str::from_utf8(&text).ok();
            let number = number.and_then(|text| text.trim().parse().ok());
            number.filter(|number| *number > 0)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(1),
        Err(error) => return Err(failed(error)),
    };
    let Some(found) = found else {
        return Err(SchemaError::Unreadable { path });
    };
    if found > DATA_SCHEMA {
        return Err(SchemaError::Newer {
            dir: dir.to_owned(),
            found,
        });
    }
    for form in found..DATA_SCHEMA {
        step(form);
        let text = format!("{}\n", form + 1);
        files::put(files, dir, FILE, text.as_bytes()).map_err(failed)?;
    }
    Ok(())
}

/// What leads from a form to the next.
fn step(from: u64) {
    match from {
        // Form 2 may have a compacted ledger with a MANIFEST, which software of form 1 would take for a damaged one.
        // What form 1 has is also of form 2.
        1 => {}
        // Form 3 may have stubs in the place of bodies that were pruned, which software of form 2 does not know.
        2 => {}
        // Form 4 may have operators' decisions in the trust log, which software of form 3 takes for damage.
        3 => {}
        other => unreachable!("no form {other} was ever written by a version before this one"),
    }
}

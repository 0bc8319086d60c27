//! A node's data in a directory of its own: `store backup`. Everything but keys, the index and what belongs to a running
//! process; consistent although the node goes on writing.
//!
//! The ledger is taken up to the end that the node named: segments before it never change. Small files are replaced as a
//! whole, so each copy is one of their states. The directory has its name only when all of it is durable. It is marked as a
//! copy (`RESTORED`, `GONE`): a node that runs on it signs nothing until its peers have nothing newer of its log.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use city_protocol::amount::Timestamp;
use city_protocol::ids::{LogId, NetworkId};
use city_protocol::region::Region;
use serde::{Deserialize, Serialize};

use super::directory::{DataDir, Staged};
use super::error::InitError;
use crate::engine::Pin;
use crate::store::{FileHandle, Files, RESTORED, SegmentReader, note_restored};

/// What a backup says of itself, in its own directory.
pub const BACKUP_NOTE: &str = "BACKUP.json";
/// The sealed keys, where they were wanted.
pub const SEALED_KEYS: &str = "keys.backup";
/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;
/// Mode of a directory of a node's data.
const PRIVATE: u32 = 0o700;
/// Mode of what this writes itself.
const PRIVATE_FILE: u32 = 0o600;

/// Files of a data directory that are taken.
const FILES: [&str; 11] = [
    "boundary.cbor",
    "charter.json",
    "COUNTER",
    "crl-marks.json",
    "HIGHWATER",
    "private.json",
    "revoked-tokens.json",
    "SCHEMA",
    "SPOOFING",
    "TRUSTED",
    "index.kept",
];
/// Directories that are taken with all that is in them, but for keys.
const DIRECTORIES: [&str; 9] = [
    "access",
    "certs",
    "clients",
    "crls",
    "crls-from-logs",
    "keys",
    "network",
    "private",
    "trust",
];
/// Files beside the segments that say how they are to be read.
const BESIDE_SEGMENTS: [&str; 3] = ["MANIFEST", "DAMAGED", "REPAIRED"];

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedFile {
    /// Relative to the directory.
    pub path: String,
    /// Its length.
    pub bytes: u64,
}

/// What stands in [`BACKUP_NOTE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataBackup {
    /// Form: 1.
    pub v: u64,
    /// `data-backup`.
    pub kind: String,
    /// When it was begun.
    pub made_at: Timestamp,
    /// The version that made it.
    pub software: String,
    /// The municipality.
    pub region: Region,
    /// The network.
    pub network: NetworkId,
    /// The own log.
    pub log: LogId,
    /// How far the own log was, and where the ledger ends in the backup.
    pub own: Pin,
    /// Whether the sealed keys are in it.
    pub keys: bool,
    /// What is in it, but for this file.
    pub files: Vec<CopiedFile>,
}

/// Why no backup was made. Nothing is left of what was begun.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] InitError),
    /// A file could not be copied.
    #[error("{}: could not be copied; look at the disk, its free space and the rights", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The ledger is not what it was when the backup began, or is damaged.
    #[error(
        "{}: byte {at} is no block that holds: the node was started again meanwhile, or `city-node store verify` says what is damaged", path.display()
    )]
    Ledger {
        /// The segment.
        path: PathBuf,
        /// Bytes from its beginning.
        at: u64,
    },
}

/// Whose data it is.
#[derive(Clone, Debug)]
pub struct Whose {
    /// The municipality.
    pub region: Region,
    /// The network.
    pub network: NetworkId,
    /// The own log.
    pub log: LogId,
}

/// Copies a data directory up to this end of its ledger. `keys` are the sealed ones, if they are wanted.
///
/// # Errors
/// [`CopyError`].
pub fn copy_data(
    files: &Arc<dyn Files>,
    (data, config): (&DataDir, &Path),
    to: &Path,
    (whose, own): (&Whose, Pin),
    keys: Option<&[u8]>,
    now: Timestamp,
) -> Result<DataBackup, CopyError> {
    let staged = Staged::begin(to)?;
    let mut copying = Copying {
        files,
        from: data.path(),
        to: staged.path(),
        done: Vec::new(),
    };
    copying.ledger(&own)?;
    for name in FILES {
        copying.file(Path::new(name))?;
    }
    for name in DIRECTORIES {
        copying.directory(Path::new(name))?;
    }
    copying.copy(config, Path::new("config.toml"))?;
    if let Some(keys) = keys {
        copying.put(Path::new(SEALED_KEYS), keys)?;
    }
    let marks = note_restored(&**files, staged.path(), now, (own.epoch, own.seq), own.head);
    marks.map_err(|source| failed(&staged.path().join(RESTORED), source))?;
    let backup = DataBackup {
        v: 1,
        kind: "data-backup".into(),
        made_at: now,
        software: concat!("city-node ", env!("CARGO_PKG_VERSION")).into(),
        region: whose.region.clone(),
        network: whose.network,
        log: whose.log,
        own,
        keys: keys.is_some(),
        files: copying.done,
    };
    let note = serde_json::to_vec_pretty(&backup).expect("plain fields have a JSON form");
    let mut last = Copying {
        files,
        from: data.path(),
        to: staged.path(),
        done: Vec::new(),
    };
    last.put(Path::new(BACKUP_NOTE), &note)?;
    files
        .sync_tree(staged.path())
        .map_err(|source| failed(staged.path(), source))?;
    staged.name()?.keep();
    Ok(backup)
}

struct Copying<'a> {
    files: &'a Arc<dyn Files>,
    from: &'a Path,
    to: &'a Path,
    done: Vec<CopiedFile>,
}

impl Copying<'_> {
    /// The segments up to the end that was named, each block checked.
    fn ledger(&mut self, own: &Pin) -> Result<(), CopyError> {
        let place = Path::new("ledger");
        let from = self.from.join(place);
        self.make(place)?;
        let mut names = self.files.list(&from).map_err(|e| failed(&from, e))?;
        names.sort();
        let reader = SegmentReader::new(Arc::clone(self.files), from.clone());
        for name in names {
            if BESIDE_SEGMENTS.contains(&name.as_str()) {
                self.file(&place.join(name))?;
                continue;
            }
            let Some(segment) = reader.number(&name) else {
                continue;
            };
            if segment > own.segment {
                continue;
            }
            let path = from.join(&name);
            let end = (segment == own.segment).then_some(own.bytes);
            let checked = reader.check(segment, end);
            if let Some(at) = checked.map_err(|source| failed(&path, source))? {
                return Err(CopyError::Ledger { path, at });
            }
            self.copy_up_to(&path, &place.join(name), end)?;
        }
        Ok(())
    }

    /// Everything in a directory, but for keys; side logs up to their last whole record.
    fn directory(&mut self, place: &Path) -> Result<(), CopyError> {
        let from = self.from.join(place);
        let entries = match fs::read_dir(&from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|source| failed(&from, source))?,
        };
        self.make(place)?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| failed(&from, source))?;
            let kind = entry.file_type().map_err(|source| failed(&from, source))?;
            names.push((entry.file_name(), kind));
        }
        names.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in names {
            let inside = place.join(&name);
            if kind.is_dir() {
                self.directory(&inside)?;
            } else if kind.is_file() && is_taken(place, Path::new(&name)) {
                self.file(&inside)?;
            }
        }
        Ok(())
    }

    fn make(&self, place: &Path) -> Result<(), CopyError> {
        let to = self.to.join(place);
        let made = self.files.create_dir(&to);
        made.and_then(|()| fs::set_permissions(&to, fs::Permissions::from_mode(PRIVATE)))
            .map_err(|source| failed(&to, source))
    }

    fn file(&mut self, place: &Path) -> Result<(), CopyError> {
        self.copy(&self.from.join(place), place)
    }

    fn copy(&mut self, from: &Path, place: &Path) -> Result<(), CopyError> {
        self.copy_up_to(from, place, None)
    }

    /// Copies a file, up to some length if it is given; one that is not there, or not any more, is no part of the data.
    fn copy_up_to(&mut self, from: &Path, place: &Path, end: Option<u64>) -> Result<(), CopyError> {
        let source = match self.files.open_to_read(from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file.map_err(|source| failed(from, source))?,
        };
        let copied = source.len().and_then(|len| {
            let len = end.unwrap_or(len);
            let to = self.files.create(&self.to.join(place))?;
            transfer(&*source, &*to, len)?;
            Ok(len)
        });
        let bytes = copied.map_err(|source| failed(from, source))?;
        // Who reads them goes by their modes: what others could read counts as told.
        let to = self.to.join(place);
        let kept = fs::metadata(from).and_then(|meta| fs::set_permissions(&to, meta.permissions()));
        kept.map_err(|source| failed(&to, source))?;
        self.note(place, bytes);
        Ok(())
    }

    fn put(&mut self, place: &Path, content: &[u8]) -> Result<(), CopyError> {
        let to = self.to.join(place);
        let put = self.files.create(&to).and_then(|file| {
            fs::set_permissions(&to, fs::Permissions::from_mode(PRIVATE_FILE))?;
            file.write_all_at(content, 0)?;
            file.sync_data()
        });
        put.map_err(|source| failed(&to, source))?;
        self.note(place, content.len() as u64);
        Ok(())
    }

    fn note(&mut self, place: &Path, bytes: u64) {
        let path = place.to_string_lossy().into_owned();
        self.done.push(CopiedFile { path, bytes });
    }
}

fn transfer(from: &dyn FileHandle, to: &dyn FileHandle, len: u64) -> io::Result<()> {
    let mut at = 0;
    let mut buffer = vec![0; CHUNK];
    while at < len {
        let room = usize::try_from(len - at).unwrap_or(CHUNK).min(CHUNK);
        from.read_exact_at(&mut buffer[..room], at)?;
        to.write_all_at(&buffer[..room], at)?;
        at += room as u64;
    }
    to.sync_data()
}

/// Keys are in the sealed file or nowhere; of `keys/` only the public halves are taken.
fn is_taken(place: &Path, name: &Path) -> bool {
    let ends = |end: &str| name.extension().is_some_and(|other| other == end);
    let halves_only = place == Path::new("keys");
    if halves_only {
        return ends("pub");
    }
    !ends("key") && !ends("tmp")
}

fn failed(path: &Path, source: io::Error) -> CopyError {
    CopyError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_taken_as_it_is() {
        let check = |place: &str, name: &str, taken| {
            let found = is_taken(Path::new(place), Path::new(name));
            assert_eq!(found, taken, "{place}/{name}");
        };
        check("keys", "ledger.key", false);
        check("keys", "keyring", false);
        check("keys", "master-file.key", false);
        check("keys", "ledger.key.pub", true);
        check("certs", "tls.key", false);
        check("certs", "tls.pem", true);
        check("private", "values", true);
    }
}

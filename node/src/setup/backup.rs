//! A node's backup: one file sealed by a passphrase with all that cannot be made or fetched again: keys, key ring,
//! certificates, charter, genesis record, configuration, boundaries, and the trust log: whom operators listed, removed and
//! ignored, for a restored node signs nothing until each listed peer was heard. Not in it: the ledger, which peers have, and
//! the master secret, of which the new machine makes its own.
//!
//! Inside stands `{"v":1,"kind":"node-backup","region":…,"network":…,"log":…,"created_at":ms,"files":[{"path":…,
//! "secret":bool,"content":base64}]}`. A restored directory has no ledger and no note that it never had one: the node
//! signs nothing until its own log is back from its peers (DESIGN §6.9).

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use city_protocol::amount::Timestamp;
use city_protocol::ids::{LogId, NetworkId};
use city_protocol::region::Region;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::directory::{DataDir, Staged, make_private};
use super::error::{BackupError, InitError};
use super::identity::{Identity, load_identity_from};
use super::init::{protect, write_config};
use crate::config::{Config, Overrides};
use crate::keys::file::{read_public_up_to, write_public, write_secret};
use crate::keys::passphrase::{self, Passphrase, Purpose};
use crate::keys::{BackendKind, keyring};

/// The form inside the sealing.
const VERSION: u8 = 1;
/// What it says it is.
const KIND: &str = "node-backup";
/// Largest backup file, bytes: some 20 MiB of boundaries, in base64 twice.
pub const MAX_BACKUP: u64 = 64 << 20;
/// Most files in one: keys, certificates and lists are a few dozen.
const MAX_FILES: usize = 256;
/// Largest single public file that is taken, bytes: boundaries of a prefecture.
const MAX_FILE: u64 = 24 << 20;
/// Directories whose files are taken as they are.
const PUBLIC: [&str; 4] = ["network", "certs", "crls", "trust"];
/// The longest trust log that is taken, bytes: some ten thousand decisions. Others make it grow; keys are backed up all the same.
const MAX_TRUST: u64 = 8 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Backup {
    v: u8,
    kind: String,
    region: Region,
    network: NetworkId,
    log: LogId,
    created_at: Timestamp,
    files: Vec<Packed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Packed {
    path: String,
    secret: bool,
    content: String,
}

impl Drop for Packed {
    fn drop(&mut self) {
        self.content.zeroize();
    }
}

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupOf {
    /// The municipality.
    pub region: Region,
    /// The network.
    pub network: NetworkId,
    /// Its log.
    pub log: LogId,
    /// When it was made.
    pub created_at: Timestamp,
    /// What is in it, relative to the data directory.
    pub files: Vec<String>,
}

/// Packs a node and seals it: the content of a backup file.
///
/// # Errors
/// [`BackupError`].
pub fn back_up(
    data: &DataDir,
    config: &Path,
    identity: &Identity,
    passphrase: &Passphrase,
    now: Timestamp,
) -> Result<(Vec<u8>, BackupOf), BackupError> {
    let store = &identity.keystore;
    let mut files = Vec::new();
    let mut pack = |path: String, secret, content: &[u8]| {
        files.push(Packed {
            path,
            secret,
            content: STANDARD.encode(content),
        });
    };
    let mut secrets = data.secret_files()?;
    if store.has_keyring() {
        secrets.push(keyring::path(&data.keys()));
    }
    for path in secrets {
        pack(relative(data, &path)?, true, &store.read(&path)?);
    }
    // Encrypted under the key ring; for its owner's eyes all the same.
    let names = data.private();
    if names.exists() {
        let content = read_public_up_to(&names, MAX_FILE)?;
        pack(relative(data, &names)?, true, &content);
    }
    let mut public = vec![data.charter(), data.boundary()];
    for directory in PUBLIC {
        let found = listed(&data.path().join(directory))?;
        let length = |path: &PathBuf| fs::metadata(path).map_or(0, |file| file.len());
        if directory != "trust" || found.iter().map(length).sum::<u64>() <= MAX_TRUST {
            public.extend(found);
        }
    }
    let halves = listed(&data.keys())?.into_iter();
    public.extend(halves.filter(|path| path.extension().is_some_and(|end| end == "pub")));
    for path in public.into_iter().filter(|path| path.exists()) {
        // What ends with .key is secret and was taken above.
        if path.extension().is_none_or(|end| end != "key") {
            pack(
                relative(data, &path)?,
                false,
                &read_public_up_to(&path, MAX_FILE)?,
            );
        }
    }
    let content = read_public_up_to(config, MAX_FILE)?;
    pack("config.toml".into(), false, &content);
    let backup = Backup {
        v: VERSION,
        kind: KIND.into(),
        region: identity.authority.region().clone(),
        network: identity.network,
        log: identity.authority.log,
        created_at: now,
        files,
    };
    if backup.files.len() > MAX_FILES {
        return Err(BackupError::Content("more files than a backup may have"));
    }
    let mut json = Zeroizing::new(Vec::with_capacity(room(&backup)));
    serde_json::to_writer(&mut *json, &backup).expect("plain fields have a JSON form");
    let sealed = passphrase::seal(Purpose::Backup, passphrase, &json)?;
    if sealed.len() as u64 > MAX_BACKUP {
        return Err(BackupError::TooLarge { limit: MAX_BACKUP });
    }
    Ok((sealed, backup.of()))
}

/// Makes a data directory of a backup file's content. The master secret is a new one, in the back-end that the
/// configuration in it names or `backend`.
///
/// # Errors
/// [`BackupError`]; nothing is left of what was begun.
pub fn restore(
    sealed: &[u8],
    passphrase: &Passphrase,
    data: &DataDir,
    backend: Option<BackendKind>,
) -> Result<BackupOf, BackupError> {
    let json = passphrase::open(Purpose::Backup, passphrase, sealed)?;
    let bad = BackupError::Content;
    let backup: Backup =
        serde_json::from_slice(&json).map_err(|_| bad("not a backup's JSON object"))?;
    if backup.v != VERSION || backup.kind != KIND {
        return Err(bad("another kind or version"));
    }
    if backup.files.len() > MAX_FILES {
        return Err(bad("too many files"));
    }
    let staged = Staged::begin(data.path())?;
    let draft = DataDir::new(staged.path());
    for part in ["keys"].iter().chain(&PUBLIC) {
        make_private(&draft.path().join(part))?;
    }
    let mut ring = None;
    for file in &backup.files {
        let path = inside(&draft, &file.path).ok_or(bad("a path that leaves the directory"))?;
        let content = Zeroizing::new(
            STANDARD
                .decode(file.content.as_bytes())
                .map_err(|_| bad("a file that is not base64"))?,
        );
        if path == keyring::path(&draft.keys()) {
            ring = Some(content);
        } else if file.secret {
            write_secret(&path, &content)?;
        } else {
            write_public(&path, &content)?;
        }
    }
    let mut config =
        Config::load_with(&draft.config(), &Overrides::none()).map_err(InitError::from)?;
    if let Some(backend) = backend.filter(|backend| *backend != config.keys.backend) {
        config.keys.backend = backend;
        write_config(&draft, &config)?;
    }
    let store = protect(&draft, &config)?;
    if let Some(ring) = ring {
        keyring::adopt(&store, &ring)?;
    }
    let identity = load_identity_from(&draft, store).map_err(InitError::from)?;
    if identity.authority.log != backup.log {
        return Err(bad("files of another node than it says"));
    }
    staged.name()?.keep();
    Ok(backup.of())
}

impl Backup {
    fn of(&self) -> BackupOf {
        BackupOf {
            region: self.region.clone(),
            network: self.network,
            log: self.log,
            created_at: self.created_at,
            files: self.files.iter().map(|file| file.path.clone()).collect(),
        }
    }
}

/// Room for all of it, so that no copy of a secret is left behind by growing.
fn room(backup: &Backup) -> usize {
    let files = backup.files.iter();
    let files: usize = files
        .map(|file| file.content.len() + file.path.len() + 64)
        .sum();
    files + 1024
}

fn relative(data: &DataDir, path: &Path) -> Result<String, BackupError> {
    path.strip_prefix(data.path())
        .ok()
        .and_then(Path::to_str)
        .map(str::to_owned)
        .ok_or(BackupError::Content("a file name that is not text"))
}

/// The path of a file of the backup: at most one plain directory deep.
fn inside(draft: &DataDir, path: &str) -> Option<PathBuf> {
    let parts: Vec<Component<'_>> = Path::new(path).components().collect();
    let plain = parts
        .iter()
        .all(|part| matches!(part, Component::Normal(_)));
    let known = match parts.as_slice() {
        [_] => true,
        [Component::Normal(first), _] => {
            *first == "keys" || PUBLIC.iter().any(|directory| *first == *directory)
        }
        _ => false,
    };
    (plain && known).then(|| draft.path().join(path))
}

fn listed(directory: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let failed = |source| InitError::Directory {
        path: directory.into(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_writes_into_its_directory_only() {
        let draft = DataDir::new("/d");
        let good = |path: &str| assert_eq!(inside(&draft, path), Some(Path::new("/d").join(path)));
        good("config.toml");
        good("keys/ledger.key");
        good("crls/a.pem");
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "keys/../../x",
            "keys/a/b",
            "ledger/000000.car",
            "./x/..",
        ] {
            assert_eq!(inside(&draft, path), None, "{path}");
        }
    }
}

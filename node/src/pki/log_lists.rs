//! Lists of revoked certificates that the network's logs carry (`trust` entries): the newest of each series is kept in
//! `crls-from-logs/`, once it verified under the network's roots, and counts at admission beside the operator's own.
//!
//! Kept on disk, not in the index: a list stays however the log that carried it goes on, also where that log later
//! carries an older one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use city_protocol::amount::Timestamp;
use city_protocol::body::{OwnEntry, Trust};
use city_protocol::ids::{Digest, LogId};
use city_protocol::ledger::{History, Rows as _, Table, key, read_row};
use city_protocol::pki::{CertificateRefusal, Crl, Issuers, MAX_ROOTS, Root};
use city_protocol::region::Region;
use city_protocol::replica::MAX_LOGS;
use data_encoding::HEXLOWER;

use super::trust_store::{TrustStoreError, list_files, read};
use crate::keys::KeyFileError;
use crate::keys::file::write_public;

/// Most series that are kept: two for each root that a network can have.
pub const MAX_LOG_LISTS: usize = 2 * MAX_ROOTS;
/// How often one log's bad lists are written about, at most: its home chooses how many there are.
const COMPLAIN_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a list could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The directory.
    #[error("crls-from-logs/ in the data directory cannot be made ({0}); look at its rights")]
    Directory(#[source] io::Error),
    /// A file that is there.
    #[error(transparent)]
    Read(#[from] TrustStoreError),
    /// A new file.
    #[error("a list that a log carries cannot be kept: {0}")]
    Write(#[from] KeyFileError),
}

/// The lists that logs carry.
pub struct LogLists {
    dir: PathBuf,
    roots: Arc<[Root]>,
    /// The entries that were looked at.
    seen: BTreeMap<LogId, OwnEntry>,
    complained: BTreeMap<LogId, Instant>,
}

impl LogLists {
    /// Those that are kept in this directory, for a network with these roots.
    #[must_use]
    pub const fn new(dir: PathBuf, roots: Arc<[Root]>) -> Self {
        Self {
            dir,
            roots,
            seen: BTreeMap::new(),
            complained: BTreeMap::new(),
        }
    }

    /// Looks at the newest entry of each log that was not looked at before; says how many lists are newer than those
    /// that were kept. `region_of` names the municipality of a log. What could not be kept is looked at again.
    ///
    /// # Errors
    /// [`KeepError`].
    pub fn look(
        &mut self,
        history: &dyn History,
        region_of: impl Fn(&LogId) -> Option<Region>,
        now: Timestamp,
    ) -> Result<usize, KeepError> {
        let mut kept = 0;
        for (name, value) in history.rows(&key(Table::Trust, &[]), None, MAX_LOGS) {
            let log = LogId(name[1..].try_into().expect("a key of the index is whole"));
            let at: OwnEntry = read_row(&value);
            if self.seen.get(&log) == Some(&at) {
                continue;
            }
            // A log whose charter is not read yet is looked at again.
            let Some(region) = region_of(&log) else {
                continue;
            };
            let entry = history.entry(&log, &at);
            if let Some(body) = entry.and_then(|entry| Trust::read(&entry.body).ok()) {
                kept += self.keep(&log, &body, &region, now)?;
            }
            self.seen.insert(log, at);
        }
        Ok(kept)
    }

    /// Keeps what is newer of one entry.
    pub(super) fn keep(
        &mut self,
        log: &LogId,
        body: &Trust,
        region: &Region,
        now: Timestamp,
    ) -> Result<usize, KeepError> {
        let issuers = Issuers::new(&self.roots, region, &body.certificates, now);
        let (mut kept, mut refused) = (0, BTreeSet::new());
        for der in &body.lists {
            let list = match issuers.list(der) {
                Ok(list) => list,
                Err(why) => {
                    refused.insert(why.code());
                    continue;
                }
            };
            let path = self.path(&list.series());
            let known = match read(&path) {
                Ok(known) => Crl::read(&known).ok(),
                Err(TrustStoreError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound =>
                {
                    None
                }
                Err(error) => return Err(error.into()),
            };
            if known.is_some_and(|known| list.compare_age(&known).is_le()) {
                continue;
            }
            if !path.exists() && list_files(&self.dir, usize::MAX)?.len() >= MAX_LOG_LISTS {
                refused.insert(CertificateRefusal::TooLarge.code());
                continue;
            }
            self.write(&path, der)?;
            kept += 1;
            let (issuer, revoked) = (list.issuer_name(), list.entries());
            tracing::info!(%log, issuer, revoked, "a newer list of revoked certificates came with a log");
        }
        if !refused.is_empty() {
            self.complain(log, &refused);
        }
        Ok(kept)
    }

    fn write(&self, path: &std::path::Path, der: &[u8]) -> Result<(), KeepError> {
        match fs::create_dir(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(KeepError::Directory(error));
            }
            _ => {}
        }
        Ok(write_public(path, der)?)
    }

    fn path(&self, series: &Digest) -> PathBuf {
        self.dir.join(format!("{}.crl", HEXLOWER.encode(&series.0)))
    }

    fn complain(&mut self, log: &LogId, refused: &BTreeSet<&'static str>) {
        let last = self.complained.get(log);
        if last.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            self.complained.insert(*log, Instant::now());
            tracing::warn!(%log, ?refused, "lists of revoked certificates that a log carries do not count: no root of its region vouches for them");
        }
    }
}

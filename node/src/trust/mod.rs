//! The trust log: what operators decided about peers, for ever. The whitelist is its fold.
//!
//! Records are deterministic DAG-CBOR in a side log of the store; each names the one before it, so the head
//! that stands in every `start` entry commits to them all. In this version the decisions come from
//! `config.toml`: at each start what changed there is recorded.

use std::collections::BTreeMap;

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::codec;
use city_protocol::ids::BlockId;
use city_protocol::region::Region;
use serde::{Deserialize, Serialize};

use crate::keys::{PrivateFields, PrivatePlace, RingError};
use crate::store::{ReadError, SideError, SideLog};

/// Longest record in bytes.
const MAX_RECORD: usize = 4096;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// A peer may connect.
    WhitelistAdd,
    /// It may not any more.
    WhitelistRemove,
}

/// One record of the trust log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Form: 1.
    pub v: u64,
    /// The record before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<BlockId>,
    /// What was decided.
    pub decision: Decision,
    /// About whom: a peer id.
    pub peer: String,
    /// The peer's name, for people; empty where names are encrypted: then it stands among the private values.
    pub name: String,
    /// Its municipality.
    pub region: Region,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was decided.
    pub at: Timestamp,
    /// By whom: `config`.
    pub by: String,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// The codec's.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        codec::decode(bytes, MAX_RECORD)
    }
}

/// One whitelisted peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its municipality.
    pub region: Region,
    /// Until when.
    pub expires_at: Option<Timestamp>,
}

/// Peers by their ids.
pub type Whitelist = BTreeMap<String, Entry>;

/// Why the trust log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A record is not one of ours.
    #[error(
        "record {id} of the trust log is not readable ({refusal}); restore the trust directory from a backup"
    )]
    Record {
        /// Its id.
        id: BlockId,
        /// Why.
        refusal: Refusal,
    },
    /// The log is damaged.
    #[error("the trust log cannot be read; look at the disk")]
    Read(#[from] ReadError),
    /// It cannot be written.
    #[error("the trust log cannot be written; look at the disk")]
    Write(#[from] SideError),
    /// The private values.
    #[error("the names in the trust log are encrypted and cannot be read or written")]
    Private(#[from] RingError),
}

/// The whitelist as the trust log has it.
///
/// # Errors
/// [`TrustError`].
pub fn whitelist(log: &SideLog) -> Result<Whitelist, TrustError> {
    let mut whitelist = Whitelist::new();
    for block in log.iter() {
        let block = block?;
        let record: Record = Record::read(&block.bytes).map_err(|refusal| TrustError::Record {
            id: block.id,
            refusal,
        })?;
        match record.decision {
            Decision::WhitelistAdd => {
                let entry = Entry {
                    name: record.name,
                    region: record.region,
                    expires_at: record.expires_at,
                };
                whitelist.insert(record.peer, entry);
            }
            Decision::WhitelistRemove => drop(whitelist.remove(&record.peer)),
        }
    }
    Ok(whitelist)
}

/// Where a peer's name stands among the private values.
fn name_of(peer: &str) -> PrivatePlace {
    PrivatePlace::new("whitelist", peer, "name")
}

/// Records what changed between the trust log and what is wanted; gives how many records that took. With private
/// values, names are kept there, encrypted, and left out of the log, which is for ever.
///
/// # Errors
/// [`TrustError`].
pub fn reconcile(
    log: &SideLog,
    private: Option<&PrivateFields>,
    wanted: &Whitelist,
    now: Timestamp,
) -> Result<usize, TrustError> {
    let mut present = whitelist(log)?;
    if let Some(private) = private {
        for (peer, entry) in present
            .iter_mut()
            .filter(|(_, entry)| entry.name.is_empty())
        {
            if let Some(name) = private.get(&name_of(peer))? {
                entry.name.clone_from(&name);
            }
        }
    }
    let removed = present
        .iter()
        .filter(|(peer, _)| !wanted.contains_key(*peer));
    let added = wanted
        .iter()
        .filter(|(peer, entry)| present.get(*peer) != Some(entry));
    let changes = removed
        .map(|change| (Decision::WhitelistRemove, change))
        .chain(added.map(|change| (Decision::WhitelistAdd, change)));
    let mut count = 0;
    for (decision, (peer, entry)) in changes {
        if let Some(private) = private {
            let name = (decision == Decision::WhitelistAdd).then_some(entry.name.as_str());
            private.put(&[(name_of(peer), name)])?;
        }
        let record = Record {
            v: 1,
            prev: log.head(),
            decision,
            peer: peer.clone(),
            name: match private {
                Some(_) => String::new(),
                None => entry.name.clone(),
            },
            region: entry.region.clone(),
            expires_at: entry.expires_at,
            at: now,
            by: "config".into(),
        };
        log.append(&codec::encode(&record))?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Access, BackendKind, Keyring, Keystore, TpmSettings, backend, exchange};
    use crate::store::OsFiles;
    use std::sync::Arc;

    fn entry(name: &str) -> Entry {
        Entry {
            name: name.into(),
            region: "Asia/JP/17/17203".parse().unwrap(),
            expires_at: None,
        }
    }

    #[test]
    fn the_whitelist_is_the_fold_of_what_was_decided() {
        let dir = tempfile::tempdir().unwrap();
        let root = BlockId::of(b"genesis");
        let open = || {
            SideLog::open(Arc::new(OsFiles), dir.path(), root, 0)
                .unwrap()
                .0
        };
        let log = open();
        let both = Whitelist::from([
            ("p1".into(), entry("小松市")),
            ("p2".into(), entry("白山市")),
        ]);
        assert_eq!(reconcile(&log, None, &both, Timestamp(1)).unwrap(), 2);
        let head = log.head();
        assert_eq!(reconcile(&log, None, &both, Timestamp(2)).unwrap(), 0);
        assert_eq!(log.head(), head);
        let one = Whitelist::from([("p2".into(), entry("白山市"))]);
        assert_eq!(reconcile(&log, None, &one, Timestamp(3)).unwrap(), 1);
        drop(log);
        let log = open();
        assert_eq!(whitelist(&log).unwrap(), one);
        assert_ne!(log.head(), head);
        // Put back: a new record, although the same was said before.
        assert_eq!(reconcile(&log, None, &both, Timestamp(4)).unwrap(), 1);
        assert_eq!(whitelist(&log).unwrap(), both);
    }

    #[test]
    fn names_that_are_encrypted_never_stand_in_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = SideLog::open(Arc::new(OsFiles), dir.path(), BlockId::of(b"genesis"), 0)
            .unwrap()
            .0;
        let keys = tempfile::tempdir().unwrap();
        let open = || Keystore::open(keys.path(), &mut Access::unattended()).unwrap();
        let file = backend(BackendKind::File, None, &TpmSettings::default()).unwrap();
        exchange(&open(), Some(file), &[]).unwrap();
        let ring = Arc::new(Keyring::open(Arc::new(open())).unwrap().unwrap());
        let private = PrivateFields::open(keys.path().join("private.json"), ring).unwrap();
        let wanted = Whitelist::from([("p1".into(), entry("小松市の与謝"))]);
        let names = &private;
        let private = Some(names);
        assert_eq!(reconcile(&log, private, &wanted, Timestamp(1)).unwrap(), 1);
        assert_eq!(reconcile(&log, private, &wanted, Timestamp(2)).unwrap(), 0);
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
            let name = "与謝".as_bytes();
            assert!(!bytes.windows(name.len()).any(|window| window == name));
        }
        let renamed = Whitelist::from([("p1".into(), entry("与謝"))]);
        assert_eq!(reconcile(&log, private, &renamed, Timestamp(3)).unwrap(), 1);
        assert_eq!(
            reconcile(&log, private, &Whitelist::new(), Timestamp(4)).unwrap(),
            1
        );
        assert!(names.get(&name_of("p1")).unwrap().is_none());
        // Without encryption it is recorded again, with its name.
        assert_eq!(reconcile(&log, None, &wanted, Timestamp(5)).unwrap(), 1);
        assert_eq!(whitelist(&log).unwrap(), wanted);
    }
}

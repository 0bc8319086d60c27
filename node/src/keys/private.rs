//! Single values that are encrypted at rest, for records that themselves cannot change: `private.json` in the data
//! directory, `{"v":1,"fields":[{"table":…,"record":…,"field":…,"sealed":base64}]}`.
//!
//! A log that is for ever leaves such a value out, and what is left out stands here, where it can be sealed again under
//! another key, replaced and removed. Written as a whole, durably: it is for hundreds of values, not for millions.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use city_protocol::crypto::FieldPlace;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::{KeyFileError, KeystoreError};
use super::file::{read_secret_up_to, replace_secret};
use super::keyring::{Keyring, RingError};

/// The form that this software writes and reads.
const VERSION: u8 = 1;
/// Largest file, bytes: the names of two whitelists at their longest.
const MAX_FILE: u64 = 4 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    table: String,
    record: String,
    field: String,
    sealed: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    v: u8,
    fields: Vec<Stored>,
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PrivatePlace {
    /// The table, such as `whitelist`.
    pub table: String,
    /// The record in it.
    pub record: String,
    /// The field of the record.
    pub field: String,
}

impl PrivatePlace {
    /// A place by its parts.
    #[must_use]
    pub fn new(table: &str, record: &str, field: &str) -> Self {
        Self {
            table: table.into(),
            record: record.into(),
            field: field.into(),
        }
    }

    fn bound(&self) -> FieldPlace<'_> {
        FieldPlace {
            table: &self.table,
            record: self.record.as_bytes(),
            field: &self.field,
        }
    }
}

/// The values of a data directory.
pub struct PrivateFields {
    path: PathBuf,
    ring: Arc<Keyring>,
    sealed: Mutex<BTreeMap<PrivatePlace, Vec<u8>>>,
}

impl PrivateFields {
    /// Opens the file at `path`; none is an empty one.
    ///
    /// # Errors
    /// [`KeystoreError::File`] if it cannot be read; nothing takes its place.
    pub fn open(path: PathBuf, ring: Arc<Keyring>) -> Result<Self, KeystoreError> {
        let sealed = match read_secret_up_to(&path, MAX_FILE) {
            Ok(content) => parse(&path, &content)?,
            Err(KeyFileError::Missing { .. }) => BTreeMap::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            path,
            ring,
            sealed: Mutex::new(sealed),
        })
    }

    /// The value at a place.
    ///
    /// # Errors
    /// [`RingError`] if it does not open.
    pub fn get(&self, place: &PrivatePlace) -> Result<Option<Zeroizing<String>>, RingError> {
        let sealed = self.sealed();
        let Some(sealed) = sealed.get(place) else {
            return Ok(None);
        };
        let opened = self.ring.open_field(place.bound(), sealed)?;
        // What was put there was text.
        Ok(Some(Zeroizing::new(
            String::from_utf8_lossy(&opened).into_owned(),
        )))
    }

    /// Puts and removes (`None`) values; durable when it returns, all of them or none.
    ///
    /// # Errors
    /// [`RingError`]; nothing was changed then.
    pub fn put(&self, changes: &[(PrivatePlace, Option<&str>)]) -> Result<(), RingError> {
        let mut sealed = self.sealed();
        let mut next = sealed.clone();
        for (place, value) in changes {
            match value {
                Some(value) => {
                    let value = self.ring.seal(place.bound(), value.as_bytes())?;
                    next.insert(place.clone(), value);
                }
                None => drop(next.remove(place)),
            }
        }
        if next != *sealed {
            self.write(&next)?;
            *sealed = next;
        }
        Ok(())
    }

    /// Seals every value again with the data key in use; gives how many there are.
    ///
    /// # Errors
    /// [`RingError`]; the old values then stand.
    pub fn seal_again(&self) -> Result<usize, RingError> {
        let mut sealed = self.sealed();
        let mut next = BTreeMap::new();
        for (place, old) in &*sealed {
            let value = self.ring.open_field(place.bound(), old)?;
            next.insert(place.clone(), self.ring.seal(place.bound(), &value)?);
        }
        if !next.is_empty() {
            self.write(&next)?;
        }
        let count = next.len();
        *sealed = next;
        Ok(count)
    }

    fn write(&self, sealed: &BTreeMap<PrivatePlace, Vec<u8>>) -> Result<(), KeystoreError> {
        let stored = |(place, sealed): (&PrivatePlace, &Vec<u8>)| Stored {
            table: place.table.clone(),
            record: place.record.clone(),
            field: place.field.clone(),
            sealed: STANDARD.encode(sealed),
        };
        let file = File {
            v: VERSION,
            fields: sealed.iter().map(stored).collect(),
        };
        let mut json = serde_json::to_vec(&file).expect("plain fields have a JSON form");
        json.push(b'\n');
        if json.len() as u64 > MAX_FILE {
            return Err(bad(&self.path, "it would be longer than 4 MiB").into());
        }
        Ok(replace_secret(&self.path, &json)?)
    }

    fn sealed(&self) -> MutexGuard<'_, BTreeMap<PrivatePlace, Vec<u8>>> {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PrivateFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateFields({} values, redacted)", self.sealed().len())
    }
}

fn parse(path: &Path, content: &[u8]) -> Result<BTreeMap<PrivatePlace, Vec<u8>>, KeystoreError> {
    let file: File =
        serde_json::from_slice(content).map_err(|_| bad(path, "not its JSON object"))?;
    if file.v != VERSION {
        return Err(bad(path, "a version this software does not know").into());
    }
    let mut sealed = BTreeMap::new();
    for stored in file.fields {
        let place = PrivatePlace {
            table: stored.table,
            record: stored.record,
            field: stored.field,
        };
        let value = STANDARD
            .decode(stored.sealed)
            .map_err(|_| bad(path, "a value that is not base64"))?;
        if sealed.insert(place, value).is_some() {
            return Err(bad(path, "a value that stands there twice").into());
        }
    }
    Ok(sealed)
}

fn bad(path: &Path, what: &'static str) -> KeyFileError {
    KeyFileError::Content {
        path: path.into(),
        expected: "file of private values",
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::super::master::FileBackend;
    use super::super::{Access, Keystore, exchange};
    use super::*;

    fn ring(directory: &Path) -> Arc<Keyring> {
        let open = || Keystore::open(directory, &mut Access::unattended()).unwrap();
        if open().entries().is_empty() {
            exchange(&open(), Some(Arc::new(FileBackend::default())), &[]).unwrap();
        }
        Arc::new(Keyring::open(Arc::new(open())).unwrap().unwrap())
    }

    fn name(peer: &str) -> PrivatePlace {
        PrivatePlace::new("whitelist", peer, "name")
    }

    #[test]
    fn values_are_kept_replaced_removed_and_sealed_again() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let path = directory.join("private.json");
        let open = || PrivateFields::open(path.clone(), ring(directory)).unwrap();
        let fields = open();
        fields
            .put(&[(name("a"), Some("千代女")), (name("b"), Some("与謝"))])
            .unwrap();
        let on_disk = std::fs::read_to_string(&path).unwrap();
        assert!(!on_disk.contains("千代女") && !on_disk.contains(&STANDARD.encode("千代女")));
        fields.put(&[(name("b"), None), (name("c"), None)]).unwrap();
        let fields = open();
        assert_eq!(&**fields.get(&name("a")).unwrap().unwrap(), "千代女");
        assert!(fields.get(&name("b")).unwrap().is_none());
        assert!(!format!("{fields:?}").contains("千代女"));

        let fields = open();
        fields.ring.rotate().unwrap();
        assert_eq!(fields.seal_again().unwrap(), 1);
        fields.ring.forget_old().unwrap();
        assert_eq!(&**open().get(&name("a")).unwrap().unwrap(), "千代女");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_and_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("private.json");
        let ring = ring(directory.path());
        let refused = |content: &str| {
            replace_secret(&path, content.as_bytes()).unwrap();
            let refused = PrivateFields::open(path.clone(), Arc::clone(&ring)).unwrap_err();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
            refused.to_string()
        };
        assert!(refused("{").contains("JSON"));
        assert!(refused("{\"v\":2,\"fields\":[]}").contains("version"));
        let one = r#"{"table":"t","record":"r","field":"f","sealed":"!"}"#;
        assert!(refused(&format!("{{\"v\":1,\"fields\":[{one}]}}")).contains("base64"));
        let one = one.replace('!', "");
        assert!(refused(&format!("{{\"v\":1,\"fields\":[{one},{one}]}}")).contains("twice"));
    }
}

//! The key ring: data keys for fields that are encrypted at rest, wrapped by the master secret in `keys/keyring.json`.
//!
//! Inside the wrapping stands `{"v":1,"keys":[{"id":…,"secret":base64,"boxes":n}]}`, the key in use first. `boxes` says
//! how many boxes may have been sealed with a key: it is raised by a block before the block is used, so that it holds
//! after a power cut, too. A record that must be erasable has a key of its own, wrapped by a data key, which its owner
//! keeps beside it and overwrites.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use city_protocol::crypto::{
    AEAD_KEY_LEN, DataKey, DataKeyId, FIELD_OVERHEAD, FieldError, FieldPlace, MAX_BOXES, sealed_by,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::{KeyFileError, KeystoreError};
use super::file::{MAX_KEY_FILE, replace_secret};
use super::store::Keystore;

/// The form inside the wrapping.
const VERSION: u8 = 1;
/// The file.
const FILE: &str = "keyring.json";
/// How many boxes are reserved at once: one write of the ring for each 65,536 fields.
const BLOCK: u64 = 1 << 16;
/// Most data keys: one in use, and those whose boxes were not all sealed again yet.
const MAX_KEYS: usize = 32;
/// The field under which a record's own key is wrapped.
const RECORD_KEY: &str = "record-key";
/// Length of a record's wrapped key in bytes.
pub const WRAPPED_KEY_LEN: usize = FIELD_OVERHEAD + AEAD_KEY_LEN;
/// What is written over a wrapped key to erase its record.
pub const ERASED: [u8; WRAPPED_KEY_LEN] = [0; WRAPPED_KEY_LEN];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFields<'a> {
    id: DataKeyId,
    secret: &'a str,
    boxes: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RingFields<'a> {
    v: u8,
    #[serde(borrow)]
    keys: Vec<KeyFields<'a>>,
}

struct Held {
    key: DataKey,
    /// How many boxes may have been sealed, as it stands on disk.
    reserved: u64,
    /// How many were; after a start all that were reserved.
    used: u64,
}

/// The key ring of a data directory.
pub struct Keyring {
    store: Arc<Keystore>,
    keys: Mutex<Vec<Held>>,
}

/// Why a field could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// The ring could not be read or written.
    #[error(transparent)]
    Store(#[from] KeystoreError),
    /// The box.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The record's key was destroyed: it was erased.
    #[error("the record was erased")]
    Erased,
    /// There are too many data keys.
    #[error(
        "{MAX_KEYS} data keys are in use; seal again what stands under old ones first: city-node key re-encrypt"
    )]
    Full,
}

impl RingError {
    /// Whether there was no room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(
            self,
            Self::Store(KeystoreError::File(KeyFileError::Io { source, .. }))
                if source.kind() == std::io::ErrorKind::StorageFull
        )
    }
}

impl Keyring {
    /// Opens the key ring; none in a directory that never had one.
    ///
    /// # Errors
    /// [`KeystoreError::Keyring`] if it is gone or unreadable, others as they come. Nothing is changed.
    pub fn open(store: Arc<Keystore>) -> Result<Option<Self>, KeystoreError> {
        if !store.has_keyring() {
            return Ok(None);
        }
        let path = path(store.directory());
        let content = read_content(&store)?;
        let keys = parse(&content).map_err(|what| KeystoreError::Keyring { path, what })?;
        Ok(Some(Self {
            store,
            keys: Mutex::new(keys),
        }))
    }

    /// Seals a field with the key in use.
    ///
    /// # Errors
    /// [`RingError::Store`] if the count of boxes could not be written.
    pub fn seal(&self, place: FieldPlace<'_>, plaintext: &[u8]) -> Result<Vec<u8>, RingError> {
        let mut keys = self.keys();
        self.reserve(&mut keys)?;
        let newest = keys.first_mut().expect("a ring holds a key");
        newest.used += 1;
        Ok(newest.key.seal(random(), place, plaintext))
    }

    /// Opens a field.
    ///
    /// # Errors
    /// [`RingError::Field`].
    pub fn open_field(
        &self,
        place: FieldPlace<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, RingError> {
        let id = sealed_by(sealed)?;
        let keys = self.keys();
        let held = keys.iter().find(|held| held.key.id() == id);
        Ok(held
            .ok_or(FieldError::OtherKey(id))?
            .key
            .open(place, sealed)?)
    }

    /// A key of its own for one record, and the same wrapped, to be kept beside the record. Overwriting that with
    /// [`ERASED`] erases the record.
    ///
    /// # Errors
    /// As for [`Keyring::seal`].
    pub fn new_record(
        &self,
        table: &str,
        record: &[u8],
    ) -> Result<(RecordKey, [u8; WRAPPED_KEY_LEN]), RingError> {
        let key = DataKey::new(Zeroizing::new(random()));
        let wrapped = self.seal(record_key(table, record), key.expose_secret())?;
        let wrapped = wrapped.try_into().expect("a sealed key has its length");
        Ok((RecordKey(key), wrapped))
    }

    /// A record's key again.
    ///
    /// # Errors
    /// [`RingError::Erased`] if it was overwritten, [`RingError::Field`].
    pub fn open_record(
        &self,
        table: &str,
        record: &[u8],
        wrapped: &[u8; WRAPPED_KEY_LEN],
    ) -> Result<RecordKey, RingError> {
        if *wrapped == ERASED {
            return Err(RingError::Erased);
        }
        let secret = self.open_field(record_key(table, record), wrapped)?;
        let secret: &[u8; AEAD_KEY_LEN] = secret
            .as_slice()
            .try_into()
            .map_err(|_| FieldError::NotAuthentic)?;
        Ok(RecordKey(DataKey::new(Zeroizing::new(*secret))))
    }

    /// A record's wrapped key, wrapped again by the data key in use.
    ///
    /// # Errors
    /// As for [`Keyring::open_record`] and [`Keyring::seal`].
    pub fn wrap_again(
        &self,
        table: &str,
        record: &[u8],
        wrapped: &[u8; WRAPPED_KEY_LEN],
    ) -> Result<[u8; WRAPPED_KEY_LEN], RingError> {
        let key = self.open_record(table, record, wrapped)?;
        let wrapped = self.seal(record_key(table, record), key.0.expose_secret())?;
        Ok(wrapped.try_into().expect("a sealed key has its length"))
    }

    /// A new data key for everything that is sealed from now on; the old ones open what they sealed.
    ///
    /// # Errors
    /// [`RingError::Full`] or [`RingError::Store`].
    pub fn rotate(&self) -> Result<DataKeyId, RingError> {
        let mut keys = self.keys();
        if keys.len() >= MAX_KEYS {
            return Err(RingError::Full);
        }
        keys.insert(0, fresh());
        self.save(&keys).inspect_err(|_| {
            keys.remove(0);
        })?;
        Ok(keys.first().expect("one was just put there").key.id())
    }

    /// Forgets every data key but the one in use, durably: what stands under another one is lost for good, so all
    /// that is to stay was sealed again before.
    ///
    /// # Errors
    /// [`RingError::Store`].
    pub fn forget_old(&self) -> Result<Vec<DataKeyId>, RingError> {
        let mut keys = self.keys();
        let old: Vec<DataKeyId> = keys.iter().skip(1).map(|held| held.key.id()).collect();
        if !old.is_empty() {
            self.save(keys.get(..1).expect("a ring holds a key"))?;
            keys.truncate(1);
        }
        Ok(old)
    }

    /// The data keys with how many boxes they may have sealed, the one in use first.
    #[must_use]
    pub fn list(&self) -> Vec<(DataKeyId, u64)> {
        let keys = self.keys();
        keys.iter()
            .map(|held| (held.key.id(), held.reserved))
            .collect()
    }

    /// Makes sure that one more box may be sealed, also after a power cut.
    fn reserve(&self, keys: &mut Vec<Held>) -> Result<(), RingError> {
        let newest = keys.first_mut().expect("a ring holds a key");
        if newest.used < newest.reserved {
            return Ok(());
        }
        if newest.reserved + BLOCK > MAX_BOXES {
            if keys.len() >= MAX_KEYS {
                return Err(RingError::Full);
            }
            keys.insert(0, fresh());
        }
        let newest = keys.first_mut().expect("a ring holds a key");
        newest.reserved += BLOCK;
        self.save(keys).inspect_err(|_| {
            if let Some(newest) = keys.first_mut() {
                newest.reserved -= BLOCK;
            }
        })?;
        Ok(())
    }

    fn save(&self, keys: &[Held]) -> Result<(), KeystoreError> {
        let _writing = self.store.writing();
        write(&self.store, keys)
    }

    fn keys(&self) -> MutexGuard<'_, Vec<Held>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}

/// The key of one record. Its fields can be read until it is destroyed.
#[derive(Debug)]
pub struct RecordKey(DataKey);

impl RecordKey {
    /// Seals a field of the record.
    #[must_use]
    pub fn seal(&self, place: FieldPlace<'_>, plaintext: &[u8]) -> Vec<u8> {
        self.0.seal(random(), place, plaintext)
    }

    /// Opens a field of the record.
    ///
    /// # Errors
    /// [`RingError::Field`].
    pub fn open(
        &self,
        place: FieldPlace<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, RingError> {
        Ok(self.0.open(place, sealed)?)
    }
}

fn record_key<'a>(table: &'a str, record: &'a [u8]) -> FieldPlace<'a> {
    FieldPlace {
        table,
        record,
        field: RECORD_KEY,
    }
}

/// Where the ring of a `keys` directory stands.
#[must_use]
pub fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// The ring's content, its wrapping taken off.
pub(super) fn read_content(store: &Keystore) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    let path = path(store.directory());
    match store.read(&path) {
        Err(KeystoreError::File(KeyFileError::Missing { path })) => Err(KeystoreError::Keyring {
            path,
            what: "the key ring is gone",
        }),
        other => other,
    }
}

/// Makes the first ring of a data directory. The caller holds the store's writing lock.
pub(super) fn make(store: &Keystore) -> Result<(), KeystoreError> {
    write(store, &[fresh()])
}

/// Puts a ring from a backup in place of the one of a data directory that is being made. More boxes may have been
/// sealed with its keys than the backup knew, so a new key is in use from now on.
///
/// # Errors
/// [`KeystoreError::Keyring`] if it is none.
pub fn adopt(store: &Keystore, content: &[u8]) -> Result<(), KeystoreError> {
    let _writing = store.writing();
    let path = path(store.directory());
    let mut keys = parse(content).map_err(|what| KeystoreError::Keyring { path, what })?;
    keys.truncate(MAX_KEYS - 1);
    keys.insert(0, fresh());
    write(store, &keys)
}

fn fresh() -> Held {
    Held {
        key: DataKey::new(Zeroizing::new(random())),
        reserved: 0,
        used: 0,
    }
}

fn write(store: &Keystore, keys: &[Held]) -> Result<(), KeystoreError> {
    let secrets: Vec<Zeroizing<String>> = keys
        .iter()
        .map(|held| Zeroizing::new(STANDARD.encode(held.key.expose_secret())))
        .collect();
    let fields = RingFields {
        v: VERSION,
        keys: keys
            .iter()
            .zip(&secrets)
            .map(|(held, secret)| KeyFields {
                id: held.key.id(),
                secret,
                boxes: held.reserved,
            })
            .collect(),
    };
    // Room for the largest ring, so that no copy is left behind by growing.
    let room = usize::try_from(MAX_KEY_FILE).expect("a small constant");
    let mut json = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *json, &fields).expect("plain fields have a JSON form");
    let path = path(store.directory());
    Ok(replace_secret(&path, &store.wrap(&path, &json)?)?)
}

fn parse(content: &[u8]) -> Result<Vec<Held>, &'static str> {
    let fields: RingFields<'_> =
        serde_json::from_slice(content).map_err(|_| "not a key ring's JSON object")?;
    if fields.v != VERSION {
        return Err("a key ring of a version this software does not know");
    }
    if fields.keys.is_empty() || fields.keys.len() > MAX_KEYS {
        return Err("a key ring without keys, or with too many");
    }
    let take = |fields: KeyFields<'_>| {
        let secret = STANDARD.decode(fields.secret).map(Zeroizing::new).ok()?;
        let secret: &[u8; AEAD_KEY_LEN] = secret.as_slice().try_into().ok()?;
        let key = DataKey::new(Zeroizing::new(*secret));
        (key.id() == fields.id && fields.boxes <= MAX_BOXES).then_some(Held {
            key,
            reserved: fields.boxes,
            used: fields.boxes,
        })
    };
    let keys: Option<Vec<Held>> = fields.keys.into_iter().map(take).collect();
    keys.ok_or("a key ring with a key that is not what its id says")
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::master::{Backend, FileBackend};
    use super::super::{Access, exchange};
    use super::*;

    const PLACE: FieldPlace<'_> = FieldPlace {
        table: "notes",
        record: b"1",
        field: "text",
    };

    fn file() -> Option<Arc<dyn Backend>> {
        Some(Arc::new(FileBackend::default()))
    }

    fn store(directory: &Path) -> Arc<Keystore> {
        Arc::new(Keystore::open(directory, &mut Access::unattended()).unwrap())
    }

    fn ring(directory: &Path) -> Keyring {
        Keyring::open(store(directory)).unwrap().unwrap()
    }

    fn made(directory: &Path) -> Keyring {
        exchange(&store(directory), file(), &[]).unwrap();
        ring(directory)
    }

    #[test]
    fn fields_open_after_a_restart_and_after_the_master_secret_was_exchanged() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        assert!(Keyring::open(store(directory)).unwrap().is_none());
        let sealed = made(directory).seal(PLACE, b"a note").unwrap();
        assert_eq!(
            &**ring(directory).open_field(PLACE, &sealed).unwrap(),
            b"a note"
        );
        // While somebody has the ring open, as a running node has.
        let running = ring(directory);
        exchange(&running.store, file(), &[]).unwrap();
        let later = running.seal(PLACE, b"another").unwrap();
        assert_eq!(&**running.open_field(PLACE, &sealed).unwrap(), b"a note");
        assert_eq!(
            &**ring(directory).open_field(PLACE, &later).unwrap(),
            b"another"
        );
    }

    #[test]
    fn boxes_are_counted_before_they_are_sealed_and_a_worn_key_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let ring = made(directory);
        let first = ring.list();
        assert_eq!(first.len(), 1);
        ring.seal(PLACE, b"x").unwrap();
        assert_eq!(ring.list(), [(first[0].0, BLOCK)]);
        let on_disk = self::ring(directory).list();
        assert_eq!(on_disk, ring.list(), "durable before it is used");
        // As after 2^32 boxes.
        {
            let mut keys = ring.keys();
            keys[0].reserved = MAX_BOXES;
            keys[0].used = MAX_BOXES - 1;
        }
        let last = ring.seal(PLACE, b"last").unwrap();
        let next = ring.seal(PLACE, b"next").unwrap();
        let first = first[0].0;
        assert_eq!(sealed_by(&last), Ok(first));
        assert_ne!(sealed_by(&next), Ok(first));
        assert_eq!(&**ring.open_field(PLACE, &last).unwrap(), b"last");
        assert_eq!(
            self::ring(directory).list()[0],
            (sealed_by(&next).unwrap(), BLOCK)
        );
    }

    #[test]
    fn an_erased_record_cannot_be_read_by_anybody() {
        let directory = tempfile::tempdir().unwrap();
        let ring = made(directory.path());
        let (key, mut wrapped) = ring.new_record("private", b"tx-1").unwrap();
        let place = FieldPlace {
            table: "private",
            record: b"tx-1",
            field: "subject",
        };
        let sealed = key.seal(place, "薬".as_bytes());
        let again = ring.open_record("private", b"tx-1", &wrapped).unwrap();
        assert_eq!(&**again.open(place, &sealed).unwrap(), "薬".as_bytes());
        assert!(ring.open_record("private", b"tx-2", &wrapped).is_err());
        assert!(
            ring.open_field(place, &sealed).is_err(),
            "the ring alone is not enough"
        );
        wrapped = ERASED;
        let gone = ring.open_record("private", b"tx-1", &wrapped);
        assert!(matches!(gone, Err(RingError::Erased)));
    }

    #[test]
    fn a_new_data_key_lets_the_old_be_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let ring = made(directory);
        let old = ring.seal(PLACE, b"old").unwrap();
        ring.rotate().unwrap();
        let text = ring.open_field(PLACE, &old).unwrap();
        let new = ring.seal(PLACE, &text).unwrap();
        assert_eq!(ring.forget_old().unwrap(), [sealed_by(&old).unwrap()]);
        for ring in [&ring, &self::ring(directory)] {
            assert_eq!(&**ring.open_field(PLACE, &new).unwrap(), b"old");
            assert!(ring.open_field(PLACE, &old).is_err());
        }
    }

    #[test]
    fn a_ring_that_is_lost_or_anothers_is_told_and_not_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        made(directory);
        let other = tempfile::tempdir().unwrap();
        made(other.path());
        let path = path(directory);
        let ours = std::fs::read(&path).unwrap();
        let refused = || Keyring::open(store(directory)).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(refused().contains("the key ring is gone"), "{}", refused());
        assert!(exchange(&store(directory), file(), &[]).is_err());
        assert!(!path.exists(), "nothing silently takes its place");
        std::fs::copy(self::path(other.path()), &path).unwrap();
        assert!(
            refused().contains("wrapped by the master secret"),
            "{}",
            refused()
        );
        std::fs::write(&path, &ours).unwrap();
        assert!(Keyring::open(store(directory)).unwrap().is_some());
    }

    #[test]
    fn a_ring_never_shows_its_keys() {
        let directory = tempfile::tempdir().unwrap();
        let ring = made(directory.path());
        let secret = STANDARD.encode(ring.keys()[0].key.expose_secret());
        assert!(!format!("{ring:?}").contains(&secret));
        let (key, _) = ring.new_record("t", b"r").unwrap();
        assert!(format!("{key:?}").contains("redacted"));
    }
}

//! A single field that is encrypted at rest: `version(1) | key id(8) | iv(12) | tag(16) | ciphertext` (DESIGN §4).
//!
//! AES-256-GCM; bound as additional data, each length-prefixed: version, key id, table, record id and field name, so a
//! box opens nowhere but where it was put. Where keys are kept and how often one is used is the key ring's. Randomness
//! is an argument.

use std::fmt;

use zeroize::Zeroizing;

use super::aead::{AEAD_IV_LEN, AEAD_KEY_LEN, AEAD_OVERHEAD, AeadKey};
use super::secret_id::{SECRET_ID_LEN, SecretId};
use crate::ids::length_prefixed;

/// The form that this software writes and reads.
const VERSION: u8 = 1;
/// Tag of key ids.
const TAG_ID: &[u8] = b"city-node/data-key/v1\0";
/// Bytes of a sealed field beyond its plaintext.
pub const FIELD_OVERHEAD: usize = 1 + SECRET_ID_LEN + AEAD_OVERHEAD;
/// Most boxes under one key with random IVs (NIST SP 800-38D §8.3): after 2^32 the chance that one repeated is 2^-33.
pub const MAX_BOXES: u64 = 1 << 32;

/// Where a field stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldPlace<'a> {
    /// The table, such as `whitelist`.
    pub table: &'a str,
    /// The record in it.
    pub record: &'a [u8],
    /// The field of the record.
    pub field: &'a str,
}

/// Why a sealed field did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// Too short to be one.
    #[error("not a sealed field: too short")]
    TooShort,
    /// Another version; 0 is what stands where a key was erased.
    #[error("a sealed field of version {0}, which this software does not know")]
    Version(u8),
    /// Another key sealed it.
    #[error("sealed by the data key {0}")]
    OtherKey(DataKeyId),
    /// Another place, or changed bytes.
    #[error("not authentic: it was moved or changed")]
    NotAuthentic,
}

/// A data key's id.
pub type DataKeyId = SecretId;

/// A key for fields: of many records, or of one that can be erased by destroying it.
pub struct DataKey {
    id: DataKeyId,
    key: AeadKey,
}

impl DataKey {
    /// Takes a key's bytes.
    #[must_use]
    pub fn new(secret: Zeroizing<[u8; AEAD_KEY_LEN]>) -> Self {
        Self {
            id: SecretId::of(TAG_ID, &*secret),
            key: AeadKey::new(secret),
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> DataKeyId {
        self.id
    }

    /// Its bytes, for wrapping it only.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8; AEAD_KEY_LEN] {
        self.key.expose_secret()
    }

    /// Seals a field; `iv` must be fresh under this key, and at most [`MAX_BOXES`] may be sealed with it.
    #[must_use]
    pub fn seal(&self, iv: [u8; AEAD_IV_LEN], place: FieldPlace<'_>, plaintext: &[u8]) -> Vec<u8> {
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(self.id.as_bytes());
        sealed.extend(self.key.seal(iv, &bound(self.id, place), plaintext));
        sealed
    }

    /// Opens a field that was sealed with this key for exactly this place.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn open(
        &self,
        place: FieldPlace<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, FieldError> {
        let (id, sealed) = split(sealed)?;
        if id != self.id {
            return Err(FieldError::OtherKey(id));
        }
        self.key
            .open(&bound(id, place), sealed)
            .map_err(|_| FieldError::NotAuthentic)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({}, redacted)", self.id)
    }
}

/// Which key sealed a field.
///
/// # Errors
/// [`FieldError::TooShort`] or [`FieldError::Version`].
pub fn sealed_by(sealed: &[u8]) -> Result<DataKeyId, FieldError> {
    split(sealed).map(|(id, _)| id)
}

fn split(sealed: &[u8]) -> Result<(DataKeyId, &[u8]), FieldError> {
    if sealed.len() < FIELD_OVERHEAD {
        return Err(FieldError::TooShort);
    }
    let ([version], rest) = sealed.split_first_chunk().ok_or(FieldError::TooShort)?;
    if *version != VERSION {
        return Err(FieldError::Version(*version));
    }
    let (id, rest) = rest.split_first_chunk().ok_or(FieldError::TooShort)?;
    Ok((SecretId::from_bytes(*id), rest))
}

fn bound(id: DataKeyId, place: FieldPlace<'_>) -> Vec<u8> {
    [
        &[VERSION][..],
        id.as_bytes(),
        place.table.as_bytes(),
        place.record,
        place.field.as_bytes(),
    ]
    .into_iter()
    .flat_map(length_prefixed)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::sha256;

    fn key(byte: u8) -> DataKey {
        DataKey::new(Zeroizing::new([byte; AEAD_KEY_LEN]))
    }

    const NAME: FieldPlace<'_> = FieldPlace {
        table: "whitelist",
        record: b"peer-1",
        field: "name",
    };

    #[test]
    fn a_field_opens_where_it_was_put_and_nowhere_else() {
        let name = "千代女".as_bytes();
        let sealed = key(1).seal([3; 12], NAME, name);
        assert_eq!(sealed.len(), FIELD_OVERHEAD + name.len());
        assert_eq!(sealed_by(&sealed), Ok(key(1).id()));
        assert_eq!(&**key(1).open(NAME, &sealed).unwrap(), name);
        assert_eq!(
            key(2).open(NAME, &sealed),
            Err(FieldError::OtherKey(key(1).id()))
        );
        let elsewhere =
            |place| assert_eq!(key(1).open(place, &sealed), Err(FieldError::NotAuthentic));
        elsewhere(FieldPlace {
            table: "other",
            ..NAME
        });
        elsewhere(FieldPlace {
            record: b"peer-2",
            ..NAME
        });
        elsewhere(FieldPlace {
            field: "note",
            ..NAME
        });
        // The lengths are bound, too: the same bytes divided otherwise are another place.
        elsewhere(FieldPlace {
            table: "whitelistpeer-1",
            record: b"",
            ..NAME
        });
    }

    #[test]
    fn what_was_changed_cut_or_erased_does_not_open() {
        let sealed = key(1).seal([3; 12], NAME, b"name");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key(1).open(NAME, &changed).is_err(), "{at}");
            assert!(key(1).open(NAME, &sealed[..at]).is_err(), "{at}");
        }
        let erased = vec![0; sealed.len()];
        assert_eq!(key(1).open(NAME, &erased), Err(FieldError::Version(0)));
        assert_eq!(sealed_by(&[1; 10]), Err(FieldError::TooShort));
    }

    /// The layout and the additional data, byte for byte: another reader of the format can rely on them.
    #[test]
    fn the_form_is_what_the_document_says() {
        let sealed = key(1).seal([3; 12], NAME, b"x");
        let id = sha256(&[b"city-node/data-key/v1\0", &[1; 32]]);
        assert_eq!(sealed[0], 1);
        assert_eq!(sealed[1..9], id[..8]);
        assert_eq!(sealed[9..21], [3; 12]);
        let mut aad = Vec::new();
        for part in [&[1][..], &id[..8], b"whitelist", b"peer-1", b"name"] {
            aad.extend(length_prefixed(part));
        }
        let plain = AeadKey::new(Zeroizing::new([1; 32])).open(&aad, &sealed[9..]);
        assert_eq!(&**plain.unwrap(), b"x");
        assert_eq!(
            format!("{:?}", key(1)),
            format!("DataKey({}, redacted)", key(1).id())
        );
        assert_eq!(key(1).id().to_string().parse(), Ok(key(1).id()));
    }
}

//! Names of things: block ids (CIDs), log ids, key ids, digests and account ids.
//!
//! Owns their text and binary forms. In DAG-CBOR an id is a byte string, a block id a link (tag 42);
//! in JSON every id is ASCII text.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use ipld_core::cid::Cid;
use ipld_core::cid::multihash::Multihash;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::refusal::Refusal;

/// Multicodec of DAG-CBOR (multiformats table).
const DAG_CBOR: u64 = 0x71;
/// Multihash code of SHA2-256 (multiformats table).
const SHA2_256: u64 = 0x12;

/// SHA-256 over the concatenation of `parts`.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// `part` behind its length as 32 bits, big-endian: what DESIGN calls length-prefixed.
#[must_use]
pub fn length_prefixed(part: &[u8]) -> Vec<u8> {
    let length = u32::try_from(part.len()).expect("hashed parts are far below 4 GiB");
    let mut out = Vec::with_capacity(4 + part.len());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(part);
    out
}

/// RFC 4648 base32 in lower case without padding.
#[must_use]
pub fn base32_lower(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

fn base32_lower_decode(text: &str) -> Option<Vec<u8>> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    BASE32_NOPAD
        .decode(text.to_ascii_uppercase().as_bytes())
        .ok()
}

/// The id of a DAG-CBOR block: CIDv1, dag-cbor, sha2-256; only the digest is kept.
///
/// Text form `bafyrei…`. The id of the genesis block is the network id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId([u8; 32]);

/// The id of a network: the block id of its genesis record.
pub type NetworkId = BlockId;

impl BlockId {
    /// The id of these block bytes.
    #[must_use]
    pub fn of(block: &[u8]) -> Self {
        Self(sha256(&[block]))
    }

    /// The id whose SHA-256 digest this is.
    #[must_use]
    pub const fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The SHA-256 digest of the block.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.0
    }

    /// The id as a CID of the `cid` crate.
    #[must_use]
    pub fn to_cid(self) -> Cid {
        let hash = Multihash::wrap(SHA2_256, &self.0).expect("32 bytes fit a 64-byte multihash");
        Cid::new_v1(DAG_CBOR, hash)
    }

    /// The 36 bytes of the binary CID, as they stand in a CAR section.
    #[must_use]
    pub fn to_cid_bytes(self) -> [u8; 36] {
        let mut out = [0; 36];
        out[..4].copy_from_slice(&[0x01, 0x71, 0x12, 0x20]);
        out[4..].copy_from_slice(&self.0);
        out
    }

    /// Reads a CID and refuses every codec and hash but ours.
    ///
    /// # Errors
    /// [`Refusal::BadId`].
    pub fn from_cid(cid: &Cid) -> Result<Self, Refusal> {
        let hash = cid.hash();
        if cid.codec() != DAG_CBOR || hash.code() != SHA2_256 {
            return Err(Refusal::BadId);
        }
        hash.digest()
            .try_into()
            .map(Self)
            .map_err(|_| Refusal::BadId)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_cid())
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for BlockId {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let id = Self::from_cid(&Cid::try_from(text).map_err(|_| Refusal::BadId)?)?;
        // One spelling: a CID can be written in several bases.
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(Refusal::BadId)
        }
    }
}

impl Serialize for BlockId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.to_cid().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for BlockId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?
                .parse()
                .map_err(D::Error::custom)
        } else {
            Self::from_cid(&Cid::deserialize(deserializer)?).map_err(D::Error::custom)
        }
    }
}

macro_rules! id32 {
    ($(#[$doc:meta])* $name:ident, $to_text:expr, $from_text:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&$to_text(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = Refusal;

            fn from_str(text: &str) -> Result<Self, Refusal> {
                let bytes: Option<Vec<u8>> = $from_text(text);
                bytes.and_then(|b| b.try_into().ok()).map(Self).ok_or(Refusal::BadId)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
                } else {
                    let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
                    let bytes: [u8; 32] = bytes
                        .into_vec()
                        .try_into()
                        .map_err(|_| D::Error::custom("an id has 32 bytes"))?;
                    Ok(Self(bytes))
                }
            }
        }
    };
}

fn sha256_text(bytes: &[u8; 32]) -> String {
    format!("sha256:{}", HEXLOWER.encode(bytes))
}

fn sha256_from_text(text: &str) -> Option<Vec<u8>> {
    HEXLOWER
        .decode(text.strip_prefix("sha256:")?.as_bytes())
        .ok()
}

fn base32_text(bytes: &[u8; 32]) -> String {
    base32_lower(bytes)
}

id32!(
    /// The id of a municipality's log: SHA-256(`city-node/charter/v1\0` ‖ charter body).
    ///
    /// Text form: 52 characters of lower-case base32.
    LogId, base32_text, base32_lower_decode
);
id32!(
    /// The id of a signing key: SHA-256(`city-node/key/v1\0` ‖ length-prefixed algorithm ‖ public key).
    ///
    /// Text form: 52 characters of lower-case base32.
    KeyId, base32_text, base32_lower_decode
);
id32!(
    /// A SHA-256 digest. Text form `sha256:` and 64 lower-case hexadecimal digits.
    Digest, sha256_text, sha256_from_text
);

impl Digest {
    /// SHA-256 over the concatenation of `parts`.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        Self(sha256(parts))
    }
}

/// Length of an account id in characters: 16, a hyphen, 26.
const ACCOUNT_ID_LEN: usize = 43;

/// The id of an account: 16 base32 characters of its home's log id, a hyphen, and 26 base32
/// characters of the key it enrolled with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId([u8; ACCOUNT_ID_LEN]);

impl AccountId {
    /// The account that enrols with this key at this home.
    #[must_use]
    pub fn new(home: &LogId, key: &KeyId) -> Self {
        let text = format!("{}-{}", &home.to_string()[..16], &key.to_string()[..26]);
        text.parse().expect("built in the form that is read")
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked to be ASCII when it was read")
    }

    /// Whether the account's id names this log as its home.
    #[must_use]
    pub fn is_of(&self, home: &LogId) -> bool {
        home.to_string().as_bytes()[..16] == self.0[..16]
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AccountId {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let bytes: [u8; ACCOUNT_ID_LEN] = text.as_bytes().try_into().map_err(|_| Refusal::BadId)?;
        let is_base32 = |b: &u8| matches!(b, b'a'..=b'z' | b'2'..=b'7');
        let well_formed = bytes[16] == b'-'
            && bytes[..16].iter().all(is_base32)
            && bytes[17..].iter().all(is_base32);
        if well_formed {
            Ok(Self(bytes))
        } else {
            Err(Refusal::BadId)
        }
    }
}

impl Serialize for AccountId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// A client-chosen 128-bit id of a transfer, unique per account: 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub [u8; 16]);

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for TransferId {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let bytes = HEXLOWER
            .decode(text.as_bytes())
            .map_err(|_| Refusal::BadId)?;
        bytes.try_into().map(Self).map_err(|_| Refusal::BadId)
    }
}

impl Serialize for TransferId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TransferId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_id_is_a_cid_with_one_spelling() {
        let id = BlockId::of(b"block");
        let text = id.to_string();
        assert!(text.starts_with("bafyrei"), "{text}");
        assert_eq!(text.parse::<BlockId>().unwrap(), id);
        assert_eq!(
            id.to_cid_bytes().as_slice(),
            id.to_cid().to_bytes().as_slice()
        );
        assert!(text.to_uppercase().parse::<BlockId>().is_err());
        let raw = Cid::new_v1(0x55, *id.to_cid().hash());
        assert_eq!(BlockId::from_cid(&raw), Err(Refusal::BadId));
    }

    #[test]
    fn ids_read_back_and_refuse_other_spellings() {
        let log = LogId(sha256(&[b"log"]));
        let key = KeyId(sha256(&[b"key"]));
        assert_eq!(log.to_string().parse::<LogId>().unwrap(), log);
        assert!(log.to_string().to_uppercase().parse::<LogId>().is_err());
        let account = AccountId::new(&log, &key);
        assert_eq!(account.as_str().len(), 43);
        assert!(account.is_of(&log));
        assert!(!account.is_of(&LogId([7; 32])));
        assert!("short".parse::<AccountId>().is_err());
        let digest = Digest::of(&[b"x"]);
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!("sha256:00".parse::<Digest>().is_err());
    }
}

//! The whitelist of one node, signed, for operators of others to choose from. It lists nobody by itself.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::signed_data::{MAX_SIGNED_DATA, Nonce, PeerId, SignedData, TransportSigner};
use crate::amount::Timestamp;
use crate::codec;
use crate::refusal::Refusal;
use crate::region::Region;

/// Most entries of one list: with names of common length they fit the longest signed message.
pub const MAX_LIST_ENTRIES: usize = 512;
/// Longest name, in characters: one line of a list.
const MAX_NAME: usize = 64;

/// One peer of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhitelistListEntry {
    /// Its binary peer id.
    #[serde(with = "serde_bytes")]
    pub peer: Vec<u8>,
    /// Its name; may be empty.
    pub name: String,
    /// Its municipality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Until when the signer lists it; none without an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// The peers that one node lists. Roles and addresses are each node's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhitelistList {
    /// Form: 1.
    pub v: u64,
    /// The peers, each once.
    pub entries: Vec<WhitelistListEntry>,
}

impl WhitelistList {
    const TYPE: &'static str = "whitelist-list";

    /// Signs the list for everybody.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] for more than [`MAX_LIST_ENTRIES`] or more bytes than a signed message may have.
    pub fn sign(
        &self,
        signer: &dyn TransportSigner,
        nonce: Nonce,
        now: Timestamp,
    ) -> Result<Vec<u8>, Refusal> {
        let signed = SignedData::sign(Self::TYPE, codec::encode(self), signer, None, nonce, now);
        let bytes = codec::encode(&signed);
        if self.entries.len() > MAX_LIST_ENTRIES || bytes.len() > MAX_SIGNED_DATA {
            return Err(Refusal::TooLarge);
        }
        Ok(bytes)
    }

    /// Reads a list: who signed it, when, and what it says. Whether that signer is to be believed is the caller's question.
    ///
    /// # Errors
    /// Those of [`SignedData`]; [`Refusal::BadField`] for a name that is none or a peer that stands there twice;
    /// [`Refusal::BadId`], [`Refusal::UnknownVersion`], [`Refusal::TooLarge`].
    pub fn open(bytes: &[u8], now: Timestamp) -> Result<(PeerId, Timestamp, Self), Refusal> {
        let signed: SignedData = codec::decode(bytes, MAX_SIGNED_DATA)?;
        let signer = signed.signer()?;
        let body = signed.open(Self::TYPE, &signer, None, now)?;
        let list: Self = codec::decode_version(&body, MAX_SIGNED_DATA, 1)?;
        if list.entries.len() > MAX_LIST_ENTRIES {
            return Err(Refusal::TooLarge);
        }
        let mut peers = BTreeSet::new();
        for entry in &list.entries {
            let fits =
                entry.name.chars().count() <= MAX_NAME && !entry.name.chars().any(char::is_control);
            if !fits || !peers.insert(PeerId::from_bytes(&entry.peer)?) {
                return Err(Refusal::BadField);
            }
        }
        let dated = signed.dated().ok_or(Refusal::BadCbor)?;
        Ok((signer, dated, list))
    }
}

#[cfg(test)]
mod tests {
    use super::super::SIGNED_DATA_LIFETIME_MS;
    use super::super::test_key::Key;
    use super::*;
    use ed25519_dalek::SigningKey;

    fn entry(seed: u8) -> WhitelistListEntry {
        let key = Key(SigningKey::from_bytes(&[seed; 32]));
        WhitelistListEntry {
            peer: key.peer_id().to_bytes(),
            name: "白山市".into(),
            region: Some("Asia/JP/17/17210".parse().unwrap()),
            expires_at: None,
        }
    }

    #[test]
    fn a_list_is_its_signers_for_a_day_and_names_each_peer_once() {
        let komatsu = Key(SigningKey::from_bytes(&[1; 32]));
        let now = Timestamp(1_700_000_000_000);
        let list = |entries| WhitelistList { v: 1, entries };
        let good = list(vec![entry(2), entry(3)]);
        let bytes = good.sign(&komatsu, [7; 16], now).unwrap();
        let open = |bytes: &[u8], at| WhitelistList::open(bytes, at);
        assert_eq!(open(&bytes, now), Ok((komatsu.peer_id(), now, good)));
        let day = now.plus_ms(SIGNED_DATA_LIFETIME_MS);
        assert!(open(&bytes, day).is_ok());
        assert_eq!(open(&bytes, day.plus_ms(1)), Err(Refusal::Expired));
        for at in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            assert!(open(&forged, now).is_err(), "byte {at}");
        }
        assert!(open(&bytes[..bytes.len() - 1], now).is_err());

        let check = |list: WhitelistList, expected: Refusal| {
            let bytes = list.sign(&komatsu, [7; 16], now).unwrap();
            assert_eq!(open(&bytes, now), Err(expected), "{list:?}");
        };
        check(list(vec![entry(2), entry(2)]), Refusal::BadField);
        let named = |name: &str| WhitelistListEntry {
            name: name.into(),
            ..entry(2)
        };
        check(list(vec![named(&"市".repeat(65))]), Refusal::BadField);
        check(list(vec![named("a\u{7}")]), Refusal::BadField);
        let nobody = WhitelistListEntry {
            peer: vec![1],
            ..entry(2)
        };
        check(list(vec![nobody]), Refusal::BadId);
        let newer = WhitelistList {
            v: 2,
            entries: Vec::new(),
        };
        check(newer, Refusal::UnknownVersion);
        let many = list(vec![entry(2); MAX_LIST_ENTRIES + 1]);
        assert_eq!(many.sign(&komatsu, [7; 16], now), Err(Refusal::TooLarge));
    }
}

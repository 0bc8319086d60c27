//! `SignedData { data, signature, signer }`: signed by an Ed25519 transport key over tag ‖ deterministic
//! CBOR of `{type, data, signer, recipient unless announced, nonce, time}` (DESIGN §8).

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::amount::Timestamp;
use crate::body::MAX_FUTURE_MS;
use crate::codec;
use crate::crypto::TAG_SIGNED_DATA;
use crate::refusal::Refusal;

/// Longest message in bytes: a node certificate with three intermediates.
pub const MAX_SIGNED_DATA: usize = 64 * 1024;
/// Most intermediates of a node certificate.
pub(super) const MAX_CHAIN: usize = 3;
/// How long a message is taken after its time, in milliseconds: 24 hours.
pub const SIGNED_DATA_LIFETIME_MS: u64 = 24 * 60 * 60 * 1000;
/// An identity multihash of a protobuf `PublicKey { type: Ed25519, data: 32 bytes }` (libp2p peer id
/// specification): the peer id contains the key.
const ED25519_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// A libp2p peer id of an Ed25519 key; text form `12D3Koo…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// The peer of this Ed25519 public key.
    #[must_use]
    pub const fn of_key(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The binary peer id.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        [&ED25519_PREFIX[..], &self.0].concat()
    }

    /// Reads a binary peer id.
    ///
    /// # Errors
    /// [`Refusal::BadId`] for other key types.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refusal> {
        let key = bytes.strip_prefix(&ED25519_PREFIX).ok_or(Refusal::BadId)?;
        key.try_into().map(Self).map_err(|_| Refusal::BadId)
    }

    pub(super) fn key(&self) -> Result<VerifyingKey, Refusal> {
        VerifyingKey::from_bytes(&self.0).map_err(|_| Refusal::BadKey)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.to_bytes()).into_string())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for PeerId {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::from_bytes(&bs58::decode(text).into_vec().map_err(|_| Refusal::BadId)?)
    }
}

/// What tells one signed message from every other of its signer: 16 random bytes.
pub type Nonce = [u8; 16];

/// A signed message that was checked.
pub(super) struct Opened {
    /// What it says.
    pub(super) body: Vec<u8>,
    /// Its nonce.
    pub(super) nonce: Nonce,
}

/// Something that signs with the transport key.
pub trait TransportSigner {
    /// The peer id of the key.
    fn peer_id(&self) -> PeerId;
    /// The Ed25519 signature over `message`.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// What the signature covers, behind the tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "data", with = "serde_bytes")]
    body: Vec<u8>,
    #[serde(with = "serde_bytes")]
    signer: Vec<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recipient: Option<serde_bytes::ByteBuf>,
    #[serde(with = "serde_bytes")]
    nonce: Vec<u8>,
    time: Timestamp,
}

/// A signed message as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedData {
    /// Deterministic CBOR of the envelope.
    #[serde(with = "serde_bytes")]
    data: Vec<u8>,
    /// Ed25519 signature over tag ‖ data.
    #[serde(with = "serde_bytes")]
    signature: Vec<u8>,
    /// Binary peer id of the signer.
    #[serde(with = "serde_bytes")]
    signer: Vec<u8>,
}

/// What one node says to exactly one other.
pub trait ToOne: Serialize + Sized {
    /// The type in the envelope.
    const TYPE: &'static str;

    /// Signs it for that one.
    #[must_use]
    fn sign(
        &self,
        signer: &dyn TransportSigner,
        to: &PeerId,
        nonce: Nonce,
        now: Timestamp,
    ) -> SignedData {
        let body = codec::encode(self);
        SignedData::sign(Self::TYPE, body, signer, Some(to), nonce, now)
    }
}

/// A node's certificate with its intermediates, announced to whoever is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyAnnouncement {
    /// Node certificate, DER.
    #[serde(with = "serde_bytes")]
    pub certificate: Vec<u8>,
    /// Its intermediates, DER.
    pub chain: Vec<serde_bytes::ByteBuf>,
}

impl KeyAnnouncement {
    const TYPE: &'static str = "key-announcement";

    /// Signs the announcement for everybody.
    #[must_use]
    pub fn sign(&self, signer: &dyn TransportSigner, nonce: Nonce, now: Timestamp) -> SignedData {
        SignedData::sign(Self::TYPE, codec::encode(self), signer, None, nonce, now)
    }

    /// The nonce of an announcement of exactly this peer; checked as by [`Self::open`].
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_with_nonce(
        signed: &SignedData,
        from: &PeerId,
        now: Timestamp,
    ) -> Result<(Nonce, Self), Refusal> {
        let opened = signed.open_whole(Self::TYPE, from, None, now)?;
        let said: Self = codec::decode(&opened.body, MAX_SIGNED_DATA)?;
        if said.chain.len() > MAX_CHAIN {
            return Err(Refusal::BadField);
        }
        Ok((opened.nonce, said))
    }

    /// Takes an announcement of exactly this peer.
    ///
    /// # Errors
    /// [`Refusal::WrongKey`] for another signer, [`Refusal::BadSignature`], [`Refusal::Expired`],
    /// [`Refusal::FutureDated`], [`Refusal::BadField`] for another type, [`Refusal::BadCbor`].
    pub fn open(signed: &SignedData, from: &PeerId, now: Timestamp) -> Result<Self, Refusal> {
        Ok(Self::open_with_nonce(signed, from, now)?.1)
    }
}

impl SignedData {
    pub(super) fn sign(
        kind: &str,
        body: Vec<u8>,
        signer: &dyn TransportSigner,
        recipient: Option<&PeerId>,
        nonce: Nonce,
        now: Timestamp,
    ) -> Self {
        let envelope = Envelope {
            kind: kind.into(),
            body,
            signer: signer.peer_id().to_bytes(),
            recipient: recipient.map(|peer| peer.to_bytes().into()),
            nonce: nonce.to_vec(),
            time: now,
        };
        let data = codec::encode(&envelope);
        let signature = signer.sign(&TAG_SIGNED_DATA.message(&data)).to_vec();
        Self {
            data,
            signature,
            signer: envelope.signer,
        }
    }

    /// Who says that it signed; not checked.
    ///
    /// # Errors
    /// [`Refusal::BadId`] for what is no peer id of an Ed25519 key.
    pub(super) fn signer(&self) -> Result<PeerId, Refusal> {
        PeerId::from_bytes(&self.signer)
    }

    /// When it says that it was signed; not checked.
    #[must_use]
    pub fn dated(&self) -> Option<Timestamp> {
        let envelope: Envelope = codec::decode(&self.data, MAX_SIGNED_DATA).ok()?;
        Some(envelope.time)
    }

    /// Checks signer, signature, type, recipient and age, and gives the body.
    pub(super) fn open(
        &self,
        kind: &str,
        from: &PeerId,
        recipient: Option<&PeerId>,
        now: Timestamp,
    ) -> Result<Vec<u8>, Refusal> {
        Ok(self.open_whole(kind, from, recipient, now)?.body)
    }

    /// Checks signer, signature, type, recipient and age.
    pub(super) fn open_whole(
        &self,
        kind: &str,
        from: &PeerId,
        recipient: Option<&PeerId>,
        now: Timestamp,
    ) -> Result<Opened, Refusal> {
        if self.signer != from.to_bytes() {
            return Err(Refusal::WrongKey);
        }
        let signature =
            Signature::from_slice(&self.signature).map_err(|_| Refusal::SignatureLength)?;
        from.key()?
            .verify_strict(&TAG_SIGNED_DATA.message(&self.data), &signature)
            .map_err(|_| Refusal::BadSignature)?;
        let envelope: Envelope = codec::decode(&self.data, MAX_SIGNED_DATA)?;
        let addressed = envelope.recipient.map(serde_bytes::ByteBuf::into_vec)
            == recipient.map(|peer| peer.to_bytes());
        if envelope.kind != kind || envelope.signer != self.signer || !addressed {
            return Err(Refusal::BadField);
        }
        if envelope.time > now.plus_ms(MAX_FUTURE_MS) {
            return Err(Refusal::FutureDated);
        }
        if now.since(envelope.time) > SIGNED_DATA_LIFETIME_MS {
            return Err(Refusal::Expired);
        }
        Ok(Opened {
            body: envelope.body,
            nonce: envelope.nonce.try_into().map_err(|_| Refusal::BadField)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_key::Key;
    use super::*;
    use ed25519_dalek::SigningKey;

    #[test]
    fn an_announcement_is_taken_only_from_its_signer_and_in_its_time() {
        let kanazawa = Key(SigningKey::from_bytes(&[1; 32]));
        let komatsu = Key(SigningKey::from_bytes(&[2; 32]));
        let announcement = KeyAnnouncement {
            certificate: vec![1, 2, 3],
            chain: Vec::new(),
        };
        let made = Timestamp(1_700_000_000_000);
        let signed = announcement.sign(&kanazawa, [7; 16], made);
        let open = |from: &Key, at| KeyAnnouncement::open(&signed, &from.peer_id(), at);
        assert_eq!(open(&kanazawa, made), Ok(announcement));
        assert_eq!(signed.dated(), Some(made));
        assert_eq!(open(&komatsu, made), Err(Refusal::WrongKey));
        let day = SIGNED_DATA_LIFETIME_MS;
        assert!(open(&kanazawa, made.plus_ms(day)).is_ok());
        assert_eq!(
            open(&kanazawa, made.plus_ms(day + 1)),
            Err(Refusal::Expired)
        );
        assert!(open(&kanazawa, made.minus_ms(MAX_FUTURE_MS)).is_ok());
        assert_eq!(
            open(&kanazawa, made.minus_ms(MAX_FUTURE_MS + 1)),
            Err(Refusal::FutureDated)
        );

        let mut forged = signed.clone();
        forged.data[40] ^= 1;
        let opened = KeyAnnouncement::open(&forged, &kanazawa.peer_id(), made);
        assert_eq!(opened, Err(Refusal::BadSignature));
    }

    #[test]
    fn an_announcement_of_more_intermediates_than_a_path_has_is_none() {
        let kanazawa = Key(SigningKey::from_bytes(&[1; 32]));
        let now = Timestamp(1_700_000_000_000);
        let check = |intermediates, expected: Result<(), Refusal>| {
            let announcement = KeyAnnouncement {
                certificate: vec![1],
                chain: vec![serde_bytes::ByteBuf::from([2]); intermediates],
            };
            let signed = announcement.sign(&kanazawa, [7; 16], now);
            let opened = KeyAnnouncement::open(&signed, &kanazawa.peer_id(), now);
            assert_eq!(opened.map(drop), expected, "{intermediates}");
        };
        check(MAX_CHAIN, Ok(()));
        check(MAX_CHAIN + 1, Err(Refusal::BadField));
    }

    #[test]
    fn a_peer_id_contains_its_key() {
        let peer = PeerId::of_key([9; 32]);
        let text = peer.to_string();
        assert!(text.starts_with("12D3Koo"), "{text}");
        assert_eq!(text.parse::<PeerId>(), Ok(peer));
        assert_eq!("12D3Koo".parse::<PeerId>(), Err(Refusal::BadId));
    }
}

//! A node's transport key is followed by another: one statement, signed by both keys, with the certificate of the new one.
//! Whoever holds the old key alone cannot make it: the municipality's CA has to certify the new peer id.

use ed25519_dalek::Signature;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::signed_data::{MAX_CHAIN, MAX_SIGNED_DATA, PeerId, TransportSigner};
use crate::amount::Timestamp;
use crate::body::MAX_FUTURE_MS;
use crate::codec;
use crate::crypto::TAG_TRANSPORT_ROTATION;
use crate::ids::NetworkId;
use crate::pki::{CertificateRefusal, Crls, NodeCertificate, Role, Root, verify_node};
use crate::refusal::Refusal;
use crate::region::Region;

/// Longest rotation in bytes: as every signed message, a node certificate with three intermediates.
pub const MAX_ROTATION: usize = MAX_SIGNED_DATA;
/// How long a rotation can be followed, in milliseconds: 90 days, in which a box that was off comes back.
pub const ROTATION_MS: u64 = 90 * 24 * 60 * 60 * 1000;

/// What both keys sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    /// Form: 1.
    v: u64,
    network: NetworkId,
    /// Binary peer id of the key that ends.
    #[serde(with = "serde_bytes")]
    old: Vec<u8>,
    /// Binary peer id of the key that follows it.
    #[serde(with = "serde_bytes")]
    new: Vec<u8>,
    /// The node certificate for the new peer id, DER.
    #[serde(with = "serde_bytes")]
    certificate: Vec<u8>,
    /// Its intermediates, DER.
    chain: Vec<ByteBuf>,
    made_at: Timestamp,
    /// It can be followed before this moment.
    expires_at: Timestamp,
}

/// A rotation as it travels: the exact bytes of the statement, and both signatures over tag ‖ statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRotation {
    /// Deterministic CBOR of the statement.
    #[serde(with = "serde_bytes")]
    data: Vec<u8>,
    /// Ed25519 signature of the old key.
    #[serde(with = "serde_bytes")]
    old: Vec<u8>,
    /// Ed25519 signature of the new key.
    #[serde(with = "serde_bytes")]
    new: Vec<u8>,
}

/// What a rotation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// For which network it is.
    pub network: NetworkId,
    /// Whose key ends.
    pub old: PeerId,
    /// Whose key follows it.
    pub new: PeerId,
    /// The node certificate for the new peer id, DER.
    pub certificate: Vec<u8>,
    /// Its intermediates, DER.
    pub chain: Vec<Vec<u8>>,
    /// When it was signed.
    pub made_at: Timestamp,
    /// From when on nobody follows it.
    pub expires_at: Timestamp,
}

/// What is known of the old peer here, which the new certificate has to name again.
#[derive(Clone, Copy, Debug)]
pub struct Predecessor<'a> {
    /// Its municipality.
    pub region: &'a Region,
    /// Home or terminal, where its certificate is known.
    pub role: Option<Role>,
}

/// By whom a rotation is judged.
#[derive(Clone, Copy, Debug)]
pub struct RotationJudges<'a> {
    /// The network.
    pub network: &'a NetworkId,
    /// The pinned roots.
    pub roots: &'a [Root],
    /// What is revoked.
    pub crls: &'a Crls,
    /// The time of judgement.
    pub now: Timestamp,
}

/// Why a rotation is not one that can be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotationRefusal {
    /// Its form, a signature, its time or its network.
    #[error("{0}")]
    Form(#[from] Refusal),
    /// The certificate is not good.
    #[error("its node certificate is not good here: {0}")]
    Certificate(#[from] CertificateRefusal),
    /// The certificate is another peer's.
    #[error("its node certificate is for {0}, not for the new peer id")]
    OtherPeer(String),
    /// The certificate is another municipality's.
    #[error("its node certificate is for {found}, and the old peer id belongs to {wanted}")]
    OtherRegion {
        /// The certificate's.
        found: Region,
        /// The old peer's.
        wanted: Region,
    },
    /// A home would become a terminal, or a terminal a home.
    #[error("its node certificate is for a node of another role than the old one")]
    OtherRole,
}

impl Rotation {
    /// Signs the statement with both keys; which those are the peer ids say.
    #[must_use]
    pub fn sign(&self, old: &dyn TransportSigner, new: &dyn TransportSigner) -> SignedRotation {
        let data = codec::encode(&Statement {
            v: 1,
            network: self.network,
            old: self.old.to_bytes(),
            new: self.new.to_bytes(),
            certificate: self.certificate.clone(),
            chain: self.chain.iter().cloned().map(Into::into).collect(),
            made_at: self.made_at,
            expires_at: self.expires_at,
        });
        let message = TAG_TRANSPORT_ROTATION.message(&data);
        SignedRotation {
            old: old.sign(&message).to_vec(),
            new: new.sign(&message).to_vec(),
            data,
        }
    }
}

impl SignedRotation {
    /// The bytes that are sent, stored and exported.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads those bytes; nothing was checked but the form.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::BadCbor`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        codec::decode(bytes, MAX_ROTATION)
    }

    /// What it says. Only the form was checked: for one that was judged before, or to learn whom it is about.
    ///
    /// # Errors
    /// [`Refusal::UnknownVersion`], [`Refusal::BadCbor`], [`Refusal::BadId`]; [`Refusal::BadField`] for a key that follows itself,
    /// too long a chain, or a time that is none or longer than [`ROTATION_MS`].
    pub fn said(&self) -> Result<Rotation, Refusal> {
        let said: Statement = codec::decode_version(&self.data, MAX_ROTATION, 1)?;
        let (old, new) = (
            PeerId::from_bytes(&said.old)?,
            PeerId::from_bytes(&said.new)?,
        );
        let lasts = said.expires_at.0.checked_sub(said.made_at.0);
        let fits = lasts.is_some_and(|ms| (1..=ROTATION_MS).contains(&ms));
        if old == new || said.chain.len() > MAX_CHAIN || !fits {
            return Err(Refusal::BadField);
        }
        Ok(Rotation {
            network: said.network,
            old,
            new,
            certificate: said.certificate,
            chain: said.chain.into_iter().map(ByteBuf::into_vec).collect(),
            made_at: said.made_at,
            expires_at: said.expires_at,
        })
    }

    /// What it says, if both keys signed it, for this network and this time. The certificate was not looked at.
    ///
    /// # Errors
    /// Those of [`Self::said`]; [`Refusal::WrongNetwork`], [`Refusal::SignatureLength`], [`Refusal::BadKey`],
    /// [`Refusal::BadSignature`], [`Refusal::FutureDated`], [`Refusal::Expired`].
    pub fn open(&self, network: &NetworkId, now: Timestamp) -> Result<Rotation, Refusal> {
        let said = self.said()?;
        if said.network != *network {
            return Err(Refusal::WrongNetwork);
        }
        let message = TAG_TRANSPORT_ROTATION.message(&self.data);
        for (peer, signature) in [(&said.old, &self.old), (&said.new, &self.new)] {
            let signature =
                Signature::from_slice(signature).map_err(|_| Refusal::SignatureLength)?;
            let signed = peer.key()?.verify_strict(&message, &signature);
            signed.map_err(|_| Refusal::BadSignature)?;
        }
        if said.made_at > now.plus_ms(MAX_FUTURE_MS) {
            return Err(Refusal::FutureDated);
        }
        if now >= said.expires_at {
            return Err(Refusal::Expired);
        }
        Ok(said)
    }

    /// What it says, and the new certificate, if everything holds: both signatures, network and time, and a certificate that the
    /// network's roots stand behind, for the new peer id and for whom the old one was.
    ///
    /// # Errors
    /// [`RotationRefusal`].
    pub fn judge(
        &self,
        before: Predecessor<'_>,
        judges: RotationJudges<'_>,
    ) -> Result<(Rotation, NodeCertificate), RotationRefusal> {
        let RotationJudges {
            network,
            roots,
            crls,
            now,
        } = judges;
        let said = self.open(network, now)?;
        let judged = verify_node(roots, &said.certificate, &said.chain, crls, now)?.certificate;
        if judged.peer_id.parse() != Ok(said.new) {
            return Err(RotationRefusal::OtherPeer(judged.peer_id));
        }
        if judged.region != *before.region {
            return Err(RotationRefusal::OtherRegion {
                found: judged.region,
                wanted: before.region.clone(),
            });
        }
        if before.role.is_some_and(|role| role != judged.role) {
            return Err(RotationRefusal::OtherRole);
        }
        Ok((said, judged))
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_key::Key;
    use super::*;
    use crate::ids::BlockId;
    use crate::sync::Message;
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn key(seed: u8) -> Key {
        Key(SigningKey::from_bytes(&[seed; 32]))
    }

    fn network() -> NetworkId {
        BlockId::of(b"genesis")
    }

    fn rotation(old: &Key, new: &Key) -> Rotation {
        Rotation {
            network: network(),
            old: old.peer_id(),
            new: new.peer_id(),
            certificate: vec![5; 40],
            chain: vec![vec![6; 30]],
            made_at: NOW,
            expires_at: NOW.plus_ms(ROTATION_MS),
        }
    }

    #[test]
    fn both_keys_sign_each_field_for_one_network_and_a_time() {
        let (old, new, mallory) = (key(1), key(2), key(3));
        let said = rotation(&old, &new);
        let signed = said.sign(&old, &new);
        let open = |signed: &SignedRotation, at| signed.open(&network(), at);
        assert_eq!(open(&signed, NOW), Ok(said.clone()));
        assert!(open(&signed, NOW.minus_ms(MAX_FUTURE_MS)).is_ok());
        let early = NOW.minus_ms(MAX_FUTURE_MS + 1);
        assert_eq!(open(&signed, early), Err(Refusal::FutureDated));
        assert!(open(&signed, said.expires_at.minus_ms(1)).is_ok());
        assert_eq!(open(&signed, said.expires_at), Err(Refusal::Expired));
        let other = BlockId::of(b"other");
        assert_eq!(signed.open(&other, NOW), Err(Refusal::WrongNetwork));

        // One key alone makes none, whichever it is.
        for by in [
            said.sign(&old, &old),
            said.sign(&new, &new),
            said.sign(&mallory, &new),
            said.sign(&old, &mallory),
        ] {
            assert_eq!(open(&by, NOW), Err(Refusal::BadSignature));
        }
        let swapped = SignedRotation {
            old: signed.new.clone(),
            new: signed.old.clone(),
            ..signed.clone()
        };
        assert_eq!(open(&swapped, NOW), Err(Refusal::BadSignature));
        let short = SignedRotation {
            new: signed.new[..63].to_vec(),
            ..signed.clone()
        };
        assert_eq!(open(&short, NOW), Err(Refusal::SignatureLength));

        // Each field, said otherwise than it was signed.
        let forged = |change: &dyn Fn(&mut Rotation)| {
            let mut other = said.clone();
            change(&mut other);
            assert_ne!(other, said);
            let forged = SignedRotation {
                data: other.sign(&old, &new).data,
                ..signed.clone()
            };
            open(&forged, NOW)
        };
        assert_eq!(forged(&|r| r.network = other), Err(Refusal::WrongNetwork));
        let changes: [&dyn Fn(&mut Rotation); 6] = [
            &|r| r.old = key(3).peer_id(),
            &|r| r.new = key(3).peer_id(),
            &|r| r.certificate[0] ^= 1,
            &|r| r.chain[0][0] ^= 1,
            &|r| r.made_at = NOW.plus_ms(1),
            &|r| r.expires_at = r.expires_at.minus_ms(1),
        ];
        for change in changes {
            assert_eq!(forged(change), Err(Refusal::BadSignature));
        }
        // Every byte as it travels.
        let bytes = signed.encode();
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            let read = SignedRotation::decode(&bent).and_then(|bent| open(&bent, NOW));
            assert!(read.is_err(), "byte {at}");
        }
        // What both signed for another purpose is none.
        let elsewhere = crate::crypto::TAG_SIGNED_DATA.message(&signed.data);
        let elsewhere = SignedRotation {
            old: old.sign(&elsewhere).to_vec(),
            new: new.sign(&elsewhere).to_vec(),
            data: signed.data,
        };
        assert_eq!(open(&elsewhere, NOW), Err(Refusal::BadSignature));
    }

    #[test]
    fn what_is_no_rotation_is_refused_and_the_longest_travels() {
        let (old, new) = (key(1), key(2));
        let check = |change: &dyn Fn(&mut Rotation), expected: Result<(), Refusal>| {
            let mut said = rotation(&old, &new);
            change(&mut said);
            let opened = said.sign(&old, &new).open(&network(), NOW);
            assert_eq!(opened.map(drop), expected, "{said:?}");
        };
        check(&|_| (), Ok(()));
        check(&|r| r.new = r.old, Err(Refusal::BadField));
        check(&|r| r.expires_at = r.made_at, Err(Refusal::BadField));
        check(
            &|r| r.expires_at = r.made_at.minus_ms(1),
            Err(Refusal::BadField),
        );
        check(
            &|r| r.expires_at = r.made_at.plus_ms(ROTATION_MS + 1),
            Err(Refusal::BadField),
        );
        check(&|r| r.chain = vec![vec![1]; MAX_CHAIN], Ok(()));
        check(
            &|r| r.chain = vec![vec![1]; MAX_CHAIN + 1],
            Err(Refusal::BadField),
        );
        let longest = Rotation {
            certificate: vec![5; 12_000],
            chain: vec![vec![6; 9_000]; MAX_CHAIN],
            ..rotation(&old, &new)
        };
        let signed = longest.sign(&old, &new);
        assert_eq!(SignedRotation::decode(&signed.encode()), Ok(signed.clone()));
        let message = Message::Rotation(Box::new(signed));
        assert_eq!(Message::decode(&message.encode()), Ok(message));
        let longer = Rotation {
            certificate: vec![5; MAX_ROTATION + 4096],
            ..rotation(&old, &new)
        };
        let longer = longer.sign(&old, &new);
        assert_eq!(
            SignedRotation::decode(&longer.encode()),
            Err(Refusal::TooLarge)
        );
        let message = Message::Rotation(Box::new(longer));
        assert_eq!(Message::decode(&message.encode()), Err(Refusal::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            seeds in any::<[u8; 32]>(),
            others in any::<[u8; 32]>(),
            certificate in proptest::collection::vec(any::<u8>(), 0..600),
            chain in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..=MAX_CHAIN),
            made in 0_u64..1 << 52,
            lasts in 1..=ROTATION_MS,
        ) {
            let (old, new) = (Key(SigningKey::from_bytes(&seeds)), Key(SigningKey::from_bytes(&others)));
            prop_assume!(seeds != others);
            let said = Rotation {
                certificate,
                chain,
                made_at: Timestamp(made),
                expires_at: Timestamp(made + lasts),
                ..rotation(&old, &new)
            };
            let signed = said.sign(&old, &new);
            let read = SignedRotation::decode(&signed.encode());
            prop_assert_eq!(read.as_ref(), Ok(&signed));
            prop_assert_eq!(signed.said(), Ok(said.clone()));
            prop_assert_eq!(signed.open(&network(), Timestamp(made)), Ok(said));
        }

        #[test]
        fn bytes_that_nobody_signed_are_no_rotation(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(SignedRotation::decode(&bytes).and_then(|read| read.open(&network(), NOW)).is_err());
        }
    }
}

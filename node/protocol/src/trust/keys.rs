//! Node certificates on demand: one node asks a peer for those of others, the peer gives those that it holds. What comes
//! is believed only if the certificate itself is good: the signature here says who handed it on.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::signed_data::{
    KeyAnnouncement, MAX_CHAIN, MAX_SIGNED_DATA, Nonce, PeerId, SignedData, ToOne,
};
use crate::amount::Timestamp;
use crate::codec;
use crate::refusal::Refusal;

/// Most peers that one request names: a screenful, and some 3 KiB.
pub const MAX_KEYS_ASKED: usize = 64;
/// Longest request in bytes.
const MAX_REQUEST: usize = 4 * 1024;

/// Asks a peer for node certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// Form: 1.
    v: u64,
    /// Binary peer ids of those whose certificates are wanted.
    peers: Vec<ByteBuf>,
}

impl ToOne for KeyRequest {
    const TYPE: &'static str = "key-request";
}

impl KeyRequest {
    /// A request for these peers' certificates; those beyond [`MAX_KEYS_ASKED`] are left for another.
    #[must_use]
    pub fn of(peers: &[PeerId]) -> Self {
        let peers = peers.iter().take(MAX_KEYS_ASKED);
        Self {
            v: 1,
            peers: peers.map(|peer| peer.to_bytes().into()).collect(),
        }
    }

    /// Takes a request of exactly this peer to `own`: its nonce, and whose certificates are wanted.
    ///
    /// # Errors
    /// Those of [`SignedData`]; [`Refusal::BadField`] for nobody or too many, [`Refusal::BadId`], [`Refusal::UnknownVersion`].
    pub fn open(
        signed: &SignedData,
        from: &PeerId,
        own: &PeerId,
        now: Timestamp,
    ) -> Result<(Nonce, Vec<PeerId>), Refusal> {
        let opened = signed.open_whole(Self::TYPE, from, Some(own), now)?;
        let asked: Self = codec::decode_version(&opened.body, MAX_REQUEST, 1)?;
        if asked.peers.is_empty() || asked.peers.len() > MAX_KEYS_ASKED {
            return Err(Refusal::BadField);
        }
        let peers = asked.peers.iter().map(|peer| PeerId::from_bytes(peer));
        Ok((opened.nonce, peers.collect::<Result<_, _>>()?))
    }
}

/// One node certificate, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyResponse {
    /// Form: 1.
    v: u64,
    /// The request's nonce.
    #[serde(with = "serde_bytes")]
    request: Vec<u8>,
    /// Binary peer id of the certificate's node.
    #[serde(with = "serde_bytes")]
    peer: Vec<u8>,
    /// Its certificate, with the intermediates.
    certificate: KeyAnnouncement,
}

impl ToOne for KeyResponse {
    const TYPE: &'static str = "key-response";
}

impl KeyResponse {
    /// The answer to a request about one of the peers that it named.
    #[must_use]
    pub fn of(request: Nonce, peer: &PeerId, certificate: KeyAnnouncement) -> Self {
        Self {
            v: 1,
            request: request.to_vec(),
            peer: peer.to_bytes(),
            certificate,
        }
    }

    /// Takes an answer of exactly this peer to `own`: its nonce, that of the request, and whose certificate it holds.
    /// The certificate was not looked at.
    ///
    /// # Errors
    /// Those of [`SignedData`]; [`Refusal::BadField`] for too long a chain, [`Refusal::BadId`], [`Refusal::UnknownVersion`].
    pub fn open(
        signed: &SignedData,
        from: &PeerId,
        own: &PeerId,
        now: Timestamp,
    ) -> Result<(Nonce, Answered), Refusal> {
        let opened = signed.open_whole(Self::TYPE, from, Some(own), now)?;
        let answer: Self = codec::decode_version(&opened.body, MAX_SIGNED_DATA, 1)?;
        let request = answer.request.try_into().map_err(|_| Refusal::BadField)?;
        if answer.certificate.chain.len() > MAX_CHAIN {
            return Err(Refusal::BadField);
        }
        let answered = Answered {
            request,
            peer: PeerId::from_bytes(&answer.peer)?,
            certificate: answer.certificate,
        };
        Ok((opened.nonce, answered))
    }
}

/// What a [`KeyResponse`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The request that it answers.
    pub request: Nonce,
    /// Whose certificate it holds.
    pub peer: PeerId,
    /// The certificate, not looked at.
    pub certificate: KeyAnnouncement,
}

#[cfg(test)]
mod tests {
    use super::super::TransportSigner as _;
    use super::super::test_key::Key;
    use super::*;
    use crate::sync::Message;
    use ed25519_dalek::SigningKey;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn keys() -> [Key; 3] {
        [1, 2, 3].map(|seed| Key(SigningKey::from_bytes(&[seed; 32])))
    }

    #[test]
    fn a_request_is_its_signers_to_one_peer_and_names_some() {
        let [kanazawa, komatsu, hakusan] = keys();
        let wanted = vec![hakusan.peer_id(); 2];
        let signed = KeyRequest::of(&wanted).sign(&kanazawa, &komatsu.peer_id(), [7; 16], NOW);
        let open =
            |from: &Key, own: &Key| KeyRequest::open(&signed, &from.peer_id(), &own.peer_id(), NOW);
        assert_eq!(open(&kanazawa, &komatsu), Ok(([7; 16], wanted)));
        assert_eq!(open(&kanazawa, &hakusan), Err(Refusal::BadField));
        assert_eq!(open(&komatsu, &komatsu), Err(Refusal::WrongKey));

        let check = |request: &KeyRequest, expected: Refusal| {
            let signed = request.sign(&kanazawa, &komatsu.peer_id(), [7; 16], NOW);
            let opened = KeyRequest::open(&signed, &kanazawa.peer_id(), &komatsu.peer_id(), NOW);
            assert_eq!(opened, Err(expected), "{request:?}");
        };
        let many = KeyRequest::of(&vec![hakusan.peer_id(); MAX_KEYS_ASKED + 9]);
        assert_eq!(many.peers.len(), MAX_KEYS_ASKED);
        check(&KeyRequest::of(&[]), Refusal::BadField);
        let one = KeyRequest::of(&[hakusan.peer_id()]);
        let with = |peers: Vec<ByteBuf>| KeyRequest {
            peers,
            ..one.clone()
        };
        check(&with(vec![ByteBuf::from([1, 2])]), Refusal::BadId);
        let mut longer = many.peers.clone();
        longer.push(hakusan.peer_id().to_bytes().into());
        check(&with(longer), Refusal::BadField);
        check(
            &KeyRequest {
                v: 2,
                ..one.clone()
            },
            Refusal::UnknownVersion,
        );

        // The longest travels.
        let signed = many.sign(&kanazawa, &komatsu.peer_id(), [7; 16], NOW);
        let message = Message::KeyRequest(Box::new(signed));
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn an_answer_is_to_one_request_of_one_peer() {
        let [kanazawa, komatsu, hakusan] = keys();
        let certificate = KeyAnnouncement {
            certificate: vec![5; 12_000],
            chain: vec![vec![6; 9_000].into(); MAX_CHAIN],
        };
        let answer = KeyResponse::of([7; 16], &hakusan.peer_id(), certificate.clone());
        let signed = answer.sign(&komatsu, &kanazawa.peer_id(), [8; 16], NOW);
        let open = |own: &Key| KeyResponse::open(&signed, &komatsu.peer_id(), &own.peer_id(), NOW);
        let expected = Answered {
            request: [7; 16],
            peer: hakusan.peer_id(),
            certificate,
        };
        assert_eq!(open(&kanazawa), Ok(([8; 16], expected)));
        assert_eq!(open(&hakusan), Err(Refusal::BadField));
        let message = Message::KeyResponse(Box::new(signed));
        assert_eq!(Message::decode(&message.encode()), Ok(message));

        let mut longer = answer;
        longer.certificate.chain.push(ByteBuf::new());
        let signed = longer.sign(&komatsu, &kanazawa.peer_id(), [8; 16], NOW);
        let opened = KeyResponse::open(&signed, &komatsu.peer_id(), &kanazawa.peer_id(), NOW);
        assert_eq!(opened, Err(Refusal::BadField));
    }
}

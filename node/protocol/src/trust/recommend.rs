//! One node recommends another to those that listed it for that. It moves nobody's whitelist: it tells an operator.

use serde::{Deserialize, Serialize};

use super::signed_data::{PeerId, SignedData, TransportSigner};
use crate::amount::Timestamp;
use crate::codec;
use crate::refusal::Refusal;
use crate::region::Region;

/// How long a recommendation holds unless it says otherwise, in milliseconds: 7 days.
pub const RECOMMENDATION_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// The longest it can hold, in milliseconds: 90 days. Who still means it says so again.
pub const MAX_RECOMMENDATION_MS: u64 = 90 * 24 * 60 * 60 * 1000;
/// Longest name, in characters: one line of a list.
const MAX_NAME: usize = 64;
/// Longest recommendation in bytes.
const MAX_RECOMMENDATION: usize = 1024;

/// What one node says of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustRecommendation {
    /// Form: 1.
    pub v: u64,
    /// Binary peer id of whom it is about.
    #[serde(with = "serde_bytes")]
    pub peer: Vec<u8>,
    /// Its name; may be empty.
    pub name: String,
    /// Its municipality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Until when it holds; the moment of signing or before takes an earlier one back.
    pub expires_at: Timestamp,
}

impl TrustRecommendation {
    const TYPE: &'static str = "trust-recommendation";

    /// Signs the recommendation for everybody who listens to this node.
    #[must_use]
    pub fn sign(
        &self,
        signer: &dyn TransportSigner,
        nonce: [u8; 16],
        now: Timestamp,
    ) -> SignedData {
        SignedData::sign(Self::TYPE, codec::encode(self), signer, None, nonce, now)
    }

    /// Takes a recommendation of exactly this peer, and about whom it is.
    ///
    /// # Errors
    /// Those of [`SignedData`]; [`Refusal::BadField`] for a name that is none, a peer that recommends itself, or one that
    /// holds too long; [`Refusal::BadId`], [`Refusal::UnknownVersion`].
    pub fn open(
        signed: &SignedData,
        from: &PeerId,
        now: Timestamp,
    ) -> Result<(PeerId, Self), Refusal> {
        let body = signed.open(Self::TYPE, from, None, now)?;
        let said: Self = codec::decode_version(&body, MAX_RECOMMENDATION, 1)?;
        let peer = PeerId::from_bytes(&said.peer)?;
        let fits = said.name.chars().count() <= MAX_NAME
            && !said.name.chars().any(char::is_control)
            && said.expires_at <= now.plus_ms(MAX_RECOMMENDATION_MS + SKEW_MS);
        if fits && peer != *from {
            Ok((peer, said))
        } else {
            Err(Refusal::BadField)
        }
    }
}

/// How much two clocks may differ: as much as a message may come from the future.
const SKEW_MS: u64 = crate::body::MAX_FUTURE_MS;

#[cfg(test)]
mod tests {
    use super::super::test_key::Key;
    use super::*;
    use crate::sync::Message;
    use ed25519_dalek::SigningKey;

    #[test]
    fn a_recommendation_is_its_signers_about_another_and_ends() {
        let key = |seed| Key(SigningKey::from_bytes(&[seed; 32]));
        let (komatsu, hakusan) = (key(1), key(2));
        let now = Timestamp(1_700_000_000_000);
        let said = TrustRecommendation {
            v: 1,
            peer: hakusan.peer_id().to_bytes(),
            name: "白山市".into(),
            region: Some("Asia/JP/17/17210".parse().unwrap()),
            expires_at: now.plus_ms(RECOMMENDATION_MS),
        };
        let open = |said: &TrustRecommendation, from: &Key| {
            let signed = said.sign(&komatsu, [7; 16], now);
            TrustRecommendation::open(&signed, &from.peer_id(), now)
        };
        assert_eq!(open(&said, &komatsu), Ok((hakusan.peer_id(), said.clone())));
        assert_eq!(open(&said, &hakusan), Err(Refusal::WrongKey));
        let check = |change: &dyn Fn(&mut TrustRecommendation), expected: Result<(), Refusal>| {
            let mut said = said.clone();
            change(&mut said);
            assert_eq!(open(&said, &komatsu).map(drop), expected, "{said:?}");
        };
        check(
            &|r| r.peer = komatsu.peer_id().to_bytes(),
            Err(Refusal::BadField),
        );
        check(&|r| r.peer = vec![1, 2], Err(Refusal::BadId));
        check(&|r| r.name = "a\u{7}".into(), Err(Refusal::BadField));
        check(&|r| r.name = "市".repeat(65), Err(Refusal::BadField));
        check(&|r| r.v = 2, Err(Refusal::UnknownVersion));
        let longest = now.plus_ms(MAX_RECOMMENDATION_MS + SKEW_MS);
        check(&|r| r.expires_at = longest, Ok(()));
        check(
            &|r| r.expires_at = longest.plus_ms(1),
            Err(Refusal::BadField),
        );
        // The longest travels.
        let longest = TrustRecommendation {
            name: "𠮷".repeat(MAX_NAME),
            ..said.clone()
        };
        let message = Message::Recommend(Box::new(longest.sign(&komatsu, [7; 16], now)));
        assert_eq!(Message::decode(&message.encode()), Ok(message));
        let padded = TrustRecommendation {
            name: "x".repeat(2048),
            ..said.clone()
        };
        let message = Message::Recommend(Box::new(padded.sign(&komatsu, [7; 16], now)));
        assert_eq!(Message::decode(&message.encode()), Err(Refusal::TooLarge));
        // Taking it back is one that is over.
        check(&|r| r.expires_at = now, Ok(()));
    }
}

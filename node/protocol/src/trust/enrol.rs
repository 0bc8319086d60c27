//! What a stranger may say once: `/city-node/enrol/1`, one request to be whitelisted and a short answer.

use serde::{Deserialize, Serialize};

use super::signed_data::{PeerId, SignedData, ToOne, TransportSigner};
use crate::amount::Timestamp;
use crate::codec;
use crate::refusal::Refusal;
use crate::region::Region;

/// Longest request in bytes as it travels: a name and a message of the longest kind, four addresses, and the signature.
pub const MAX_WHITELIST_REQUEST: usize = 4096;
/// Longest answer in bytes.
pub const MAX_ENROL_ANSWER: usize = 64;
/// Longest name, in characters: one line of a list.
const MAX_NAME: usize = 64;
/// Longest message, in characters: what an operator reads before deciding, and no letter.
const MAX_MESSAGE: usize = 200;
/// Most addresses, and the longest in bytes: a box has an interface or two, and a name.
const MAX_ADDRESSES: usize = 4;
const MAX_ADDRESS: usize = 256;

/// A node asks another to whitelist it. Nothing of it is believed but whose key signed it; a person decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhitelistRequest {
    /// Form: 1.
    pub v: u64,
    /// What the node calls itself.
    pub name: String,
    /// Its municipality, as it says.
    pub region: Region,
    /// What its operator says beside it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Where it can be called, without its peer id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnrolVerdict {
    /// It is recorded and waits for an operator, now or since an earlier request.
    Pending,
    /// The node is on the whitelist already: it need only connect.
    Listed,
    /// It was not taken: malformed, expired, or an operator decided to hear no more of this node.
    Refused,
    /// Too many ask at the moment: later.
    Busy,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    v: u64,
    verdict: EnrolVerdict,
}

impl EnrolVerdict {
    /// The bytes that are sent.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        codec::encode(&Answer {
            v: 1,
            verdict: self,
        })
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// The codec's; [`Refusal::UnknownVersion`] for another form.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        codec::decode_version::<Answer>(bytes, MAX_ENROL_ANSWER, 1).map(|answer| answer.verdict)
    }
}

impl ToOne for WhitelistRequest {
    const TYPE: &'static str = "whitelist-request";
}

impl WhitelistRequest {
    /// Refuses what nobody would read.
    ///
    /// # Errors
    /// [`Refusal::BadField`], [`Refusal::UnknownVersion`].
    pub fn check(&self) -> Result<(), Refusal> {
        if self.v != 1 {
            return Err(Refusal::UnknownVersion);
        }
        let name = self.name.chars().count();
        let fits = !self.name.trim().is_empty()
            && name <= MAX_NAME
            && self.message.chars().count() <= MAX_MESSAGE
            && self.addresses.len() <= MAX_ADDRESSES
            && self
                .addresses
                .iter()
                .all(|address| address.len() <= MAX_ADDRESS);
        let texts = [&self.name, &self.message]
            .into_iter()
            .chain(&self.addresses);
        let plain = texts.flat_map(|text| text.chars()).all(|c| !c.is_control());
        if fits && plain {
            Ok(())
        } else {
            Err(Refusal::BadField)
        }
    }

    /// The bytes that are sent to `recipient`, signed.
    #[must_use]
    pub fn sign(
        &self,
        signer: &dyn TransportSigner,
        recipient: &PeerId,
        nonce: [u8; 16],
        now: Timestamp,
    ) -> Vec<u8> {
        codec::encode(&ToOne::sign(self, signer, recipient, nonce, now))
    }

    /// Takes a request of exactly this peer to exactly this node.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::BadCbor`]; [`Refusal::WrongKey`] for another signer, [`Refusal::BadSignature`],
    /// [`Refusal::Expired`], [`Refusal::FutureDated`]; [`Refusal::BadField`] for another type, recipient or content.
    pub fn open(bytes: &[u8], from: &PeerId, me: &PeerId, now: Timestamp) -> Result<Self, Refusal> {
        let signed: SignedData = codec::decode(bytes, MAX_WHITELIST_REQUEST)?;
        let body = signed.open(Self::TYPE, from, Some(me), now)?;
        let request: Self = codec::decode(&body, MAX_WHITELIST_REQUEST)?;
        request.check()?;
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_key::Key;
    use super::*;
    use crate::body::MAX_FUTURE_MS;
    use crate::trust::{KeyAnnouncement, SIGNED_DATA_LIFETIME_MS};
    use ed25519_dalek::SigningKey;

    fn key(seed: u8) -> Key {
        Key(SigningKey::from_bytes(&[seed; 32]))
    }

    fn request() -> WhitelistRequest {
        WhitelistRequest {
            v: 1,
            name: "小松市".into(),
            region: "Asia/JP/17/17203".parse().unwrap(),
            message: "隣町です".into(),
            addresses: vec!["/ip4/192.0.2.1/tcp/7420".into()],
        }
    }

    #[test]
    fn a_request_is_taken_by_whom_it_is_for_from_who_signed_it_in_its_time() {
        let (komatsu, kanazawa, mallory) = (key(1), key(2), key(3));
        let made = Timestamp(1_700_000_000_000);
        let me = kanazawa.peer_id();
        let bytes = request().sign(&komatsu, &me, [7; 16], made);
        let open =
            |from: &Key, me: &PeerId, at| WhitelistRequest::open(&bytes, &from.peer_id(), me, at);
        assert_eq!(open(&komatsu, &me, made), Ok(request()));
        assert_eq!(open(&mallory, &me, made), Err(Refusal::WrongKey));
        assert_eq!(
            open(&komatsu, &mallory.peer_id(), made),
            Err(Refusal::BadField)
        );
        let day = SIGNED_DATA_LIFETIME_MS;
        assert!(open(&komatsu, &me, made.plus_ms(day)).is_ok());
        assert_eq!(
            open(&komatsu, &me, made.plus_ms(day + 1)),
            Err(Refusal::Expired)
        );
        assert!(open(&komatsu, &me, made.minus_ms(MAX_FUTURE_MS)).is_ok());
        let future = made.minus_ms(MAX_FUTURE_MS + 1);
        assert_eq!(open(&komatsu, &me, future), Err(Refusal::FutureDated));
        // Every byte counts.
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            let opened = WhitelistRequest::open(&bent, &komatsu.peer_id(), &me, made);
            assert!(opened.is_err(), "byte {at}");
        }
        // What was signed for everybody is no request.
        let announced = KeyAnnouncement {
            certificate: vec![1],
            chain: Vec::new(),
        };
        let announced = codec::encode(&announced.sign(&komatsu, [7; 16], made));
        let opened = WhitelistRequest::open(&announced, &komatsu.peer_id(), &me, made);
        assert_eq!(opened, Err(Refusal::BadField));
    }

    #[test]
    fn what_nobody_would_read_is_refused_and_the_longest_fits() {
        let check = |change: &dyn Fn(&mut WhitelistRequest), expected| {
            let mut request = request();
            change(&mut request);
            assert_eq!(request.check(), expected, "{request:?}");
        };
        check(&|_| (), Ok(()));
        check(&|r| r.name = " ".into(), Err(Refusal::BadField));
        check(
            &|r| r.name = "市".repeat(MAX_NAME + 1),
            Err(Refusal::BadField),
        );
        check(&|r| r.name = "a\u{1b}[2J".into(), Err(Refusal::BadField));
        check(
            &|r| r.message = "長".repeat(MAX_MESSAGE + 1),
            Err(Refusal::BadField),
        );
        check(
            &|r| r.addresses = vec![String::new(); 5],
            Err(Refusal::BadField),
        );
        check(
            &|r| r.addresses = vec!["x".repeat(MAX_ADDRESS + 1)],
            Err(Refusal::BadField),
        );
        check(&|r| r.v = 2, Err(Refusal::UnknownVersion));
        let longest = WhitelistRequest {
            v: 1,
            name: "𠮷".repeat(MAX_NAME),
            region: request().region,
            message: "𠮷".repeat(MAX_MESSAGE),
            addresses: vec!["x".repeat(MAX_ADDRESS); MAX_ADDRESSES],
        };
        longest.check().unwrap();
        let bytes = longest.sign(&key(1), &key(2).peer_id(), [0; 16], Timestamp(5));
        assert!(bytes.len() <= MAX_WHITELIST_REQUEST, "{}", bytes.len());
        for verdict in [
            EnrolVerdict::Pending,
            EnrolVerdict::Listed,
            EnrolVerdict::Refused,
            EnrolVerdict::Busy,
        ] {
            let bytes = verdict.encode();
            assert!(bytes.len() <= MAX_ENROL_ANSWER);
            assert_eq!(EnrolVerdict::decode(&bytes), Ok(verdict));
        }
        assert!(EnrolVerdict::decode(&[0; 65]).is_err());
    }
}

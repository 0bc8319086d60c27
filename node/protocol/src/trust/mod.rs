//! Messages between nodes that a transport key signs ([`SignedData`]): the announcement of a node
//! certificate, which `hello` carries, requests for others' certificates and the answers, a stranger's request to be whitelisted, what one peer says of another, and its whole list as a file; and, by two keys, that one transport key follows another
//! ([`SignedRotation`]). Ledger and KEM keys are
//! taken only from the certificate in an announcement, never from the signature around it.

mod enrol;
mod keys;
mod list;
mod recommend;
mod rotation;
mod signed_data;

pub use enrol::{EnrolVerdict, MAX_ENROL_ANSWER, MAX_WHITELIST_REQUEST, WhitelistRequest};
pub use keys::{Answered, KeyRequest, KeyResponse, MAX_KEYS_ASKED};
pub use list::{MAX_LIST_ENTRIES, WhitelistList, WhitelistListEntry};
pub use recommend::{MAX_RECOMMENDATION_MS, RECOMMENDATION_MS, TrustRecommendation};
pub use rotation::{
    MAX_ROTATION, Predecessor, ROTATION_MS, Rotation, RotationJudges, RotationRefusal,
    SignedRotation,
};
pub use signed_data::{
    KeyAnnouncement, MAX_SIGNED_DATA, Nonce, PeerId, SIGNED_DATA_LIFETIME_MS, SignedData, ToOne,
    TransportSigner,
};

#[cfg(test)]
mod test_key {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::{PeerId, TransportSigner};

    /// A transport key of the tests.
    pub(super) struct Key(pub(super) SigningKey);

    impl TransportSigner for Key {
        fn peer_id(&self) -> PeerId {
            PeerId::of_key(self.0.verifying_key().to_bytes())
        }

        fn sign(&self, message: &[u8]) -> [u8; 64] {
            self.0.sign(message).to_bytes()
        }
    }
}

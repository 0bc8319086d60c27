//! The master secret itself, and its id.

use std::fmt;

use city_protocol::crypto::{AEAD_KEY_LEN, AeadKey, SecretId};
use zeroize::Zeroizing;

/// Tag of the id.
const TAG_ID: &[u8] = b"city-node/master/v1\0";

/// 32 bytes that wrap a node's keys: not `Copy`, zeroized, redacted, never compared.
pub struct MasterSecret(Zeroizing<[u8; AEAD_KEY_LEN]>);

impl MasterSecret {
    /// A fresh one, with randomness of the operating system.
    #[must_use]
    pub fn generate() -> Self {
        let mut secret = Zeroizing::new([0; AEAD_KEY_LEN]);
        getrandom::fill(&mut *secret).expect("the operating system gives randomness");
        Self(secret)
    }

    /// Takes stored bytes; none if they are not 32.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; AEAD_KEY_LEN] = bytes.try_into().ok()?;
        Some(Self(Zeroizing::new(*bytes)))
    }

    /// Its id: tells secrets apart and says nothing about them.
    #[must_use]
    pub fn id(&self) -> MasterId {
        SecretId::of(TAG_ID, &*self.0)
    }

    /// The key that follows from it for one use.
    #[must_use]
    pub fn key(&self, label: &[u8]) -> AeadKey {
        AeadKey::derive(&self.0, label)
    }

    /// The bytes, for back-ends only.
    pub(super) fn expose_secret(&self) -> &[u8; AEAD_KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for MasterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterSecret({}, redacted)", self.id())
    }
}

/// A master secret's id.
pub type MasterId = SecretId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_secret_is_known_by_its_id_and_never_shown() {
        let secret = MasterSecret::from_bytes(&[0x5a; 32]).unwrap();
        let id = secret.id();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(
            format!("{secret:?}"),
            format!("MasterSecret({id}, redacted)")
        );
        assert_ne!(MasterSecret::generate().id(), MasterSecret::generate().id());
        assert!(MasterSecret::from_bytes(&[1; 31]).is_none());
        for text in ["", "5a", "5A5A5A5A5A5A5A5A", "5a5a5a5a5a5a5a5a5a"] {
            assert!(text.parse::<MasterId>().is_err(), "{text}");
        }
    }
}

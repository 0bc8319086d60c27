//! AES-256-GCM under a key that is used more than once: `iv(12) | tag(16) | ciphertext` (DESIGN §4).
//!
//! Owns the layout of the box; what is bound to it (the additional data) and where the key comes from is its
//! user's. The IV is an argument, as all randomness is.

use std::fmt;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Length of a key in bytes.
pub const AEAD_KEY_LEN: usize = 32;
/// Length of the initialisation vector in bytes. Under one key it never repeats.
pub const AEAD_IV_LEN: usize = 12;
/// Length of the tag in bytes.
const TAG_LEN: usize = 16;
/// Bytes of a box beyond its plaintext.
pub const AEAD_OVERHEAD: usize = AEAD_IV_LEN + TAG_LEN;

/// A box did not open: another key, other additional data, or changed bytes; which of them cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not authentic: another key, another place, or changed bytes")]
pub struct NotAuthentic;

/// A key for AES-256-GCM: not `Copy`, zeroized, redacted, never compared.
pub struct AeadKey(Zeroizing<[u8; AEAD_KEY_LEN]>);

impl AeadKey {
    /// Takes the key's bytes.
    #[must_use]
    pub const fn new(bytes: Zeroizing<[u8; AEAD_KEY_LEN]>) -> Self {
        Self(bytes)
    }

    /// The key that follows from a uniformly random secret for one use: HKDF-SHA-256 with `label` as its info.
    ///
    /// # Panics
    /// Never: 32 bytes are within HKDF-SHA-256's limit.
    #[must_use]
    pub fn derive(secret: &[u8; AEAD_KEY_LEN], label: &[u8]) -> Self {
        let mut key = Zeroizing::new([0; AEAD_KEY_LEN]);
        Hkdf::<Sha256>::new(None, secret)
            .expand(label, &mut *key)
            .expect("32 bytes are within HKDF-SHA-256's limit");
        Self(key)
    }

    /// Its bytes, for wrapping it under another key only.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8; AEAD_KEY_LEN] {
        &self.0
    }

    /// Seals a plaintext; `iv` must be fresh under this key.
    ///
    /// # Panics
    /// Never for data in memory: AES-GCM's limit is 64 GiB.
    #[must_use]
    pub fn seal(&self, iv: [u8; AEAD_IV_LEN], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(AEAD_OVERHEAD + plaintext.len());
        sealed.extend_from_slice(&iv);
        sealed.extend_from_slice(&[0; TAG_LEN]);
        sealed.extend_from_slice(plaintext);
        let (head, text) = sealed.split_at_mut(AEAD_OVERHEAD);
        let tag = self
            .cipher()
            .encrypt_inout_detached(&Nonce::from(iv), aad, text.into())
            .expect("a plaintext in memory is below AES-GCM's limit of 64 GiB");
        head[AEAD_IV_LEN..].copy_from_slice(&tag);
        sealed
    }

    /// Opens a box that was sealed under this key with exactly this additional data.
    ///
    /// # Errors
    /// [`NotAuthentic`], also for what is too short to be a box.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
        let (iv, rest) = sealed.split_first_chunk().ok_or(NotAuthentic)?;
        let (tag, ciphertext) = rest.split_first_chunk().ok_or(NotAuthentic)?;
        let (iv, tag): ([u8; AEAD_IV_LEN], [u8; TAG_LEN]) = (*iv, *tag);
        let mut text = Zeroizing::new(ciphertext.to_vec());
        self.cipher()
            .decrypt_inout_detached(
                &Nonce::from(iv),
                aad,
                text.as_mut_slice().into(),
                &Tag::from(tag),
            )
            .map_err(|_| NotAuthentic)?;
        Ok(text)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&(*self.0).into())
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AeadKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> AeadKey {
        AeadKey::new(Zeroizing::new([byte; AEAD_KEY_LEN]))
    }

    #[test]
    fn a_box_opens_with_its_key_and_its_additional_data_only() {
        let sealed = key(1).seal([7; 12], b"here", b"text");
        assert_eq!(sealed.len(), AEAD_OVERHEAD + 4);
        assert_eq!(sealed[..12], [7; 12]);
        assert_eq!(&**key(1).open(b"here", &sealed).unwrap(), b"text");
        assert_eq!(key(2).open(b"here", &sealed), Err(NotAuthentic));
        assert_eq!(key(1).open(b"there", &sealed), Err(NotAuthentic));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 0x40;
            assert_eq!(key(1).open(b"here", &changed), Err(NotAuthentic), "{at}");
            assert_eq!(key(1).open(b"here", &sealed[..at]), Err(NotAuthentic));
        }
    }

    /// NIST CAVP gcmEncryptExtIV256, first case with 128-bit plaintext and additional data: the layout is ours,
    /// the bytes are AES-256-GCM's.
    #[test]
    fn it_is_aes_256_gcm() {
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        let secret = hex("92e11dcdaa866f5ce790fd24501f92509aacf4cb8b1339d50c9c1240935dd08b");
        let secret = AeadKey::new(Zeroizing::new(secret.try_into().unwrap()));
        let iv = hex("ac93a1a6145299bde902f21a").try_into().unwrap();
        let sealed = secret.seal(
            iv,
            &hex("1e0889016f67601c8ebea4943bc23ad6"),
            &hex("2d71bcfa914e4ac045b2aa60955fad24"),
        );
        assert_eq!(sealed[12..28], hex("eca5aa77d51d4a0a14d9c51e1da474ab"));
        assert_eq!(sealed[28..], hex("8995ae2e6df3dbf96fac7b7137bae67f"));
    }

    #[test]
    fn one_secret_gives_another_key_for_each_use() {
        let sealed = AeadKey::derive(&[1; 32], b"files").seal([0; 12], b"", b"text");
        assert!(
            AeadKey::derive(&[1; 32], b"files")
                .open(b"", &sealed)
                .is_ok()
        );
        assert!(
            AeadKey::derive(&[1; 32], b"fields")
                .open(b"", &sealed)
                .is_err()
        );
        assert!(
            AeadKey::derive(&[2; 32], b"files")
                .open(b"", &sealed)
                .is_err()
        );
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", key(0x5a)), "AeadKey(redacted)");
    }
}

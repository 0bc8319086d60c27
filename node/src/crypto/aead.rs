//! AES-GCM (NIST SP 800-38D) with tags of 16 bytes: opening with whatever key and IV length vectors come with, sealing
//! only with 256-bit keys and a fresh IV of 12 bytes.

use aes_gcm::aead::array::ArraySize;
use aes_gcm::aead::{AeadInOut, consts as len};
use aes_gcm::aes::{Aes128, Aes192, Aes256};
use aes_gcm::{Aes256Gcm, AesGcm, KeyInit, Nonce, Tag};
use zeroize::Zeroizing;

use super::case::Reason;
use super::scheme::same;

/// Length of a tag in bytes. Shorter ones are refused: each cut bit halves the work of a forger.
pub const TAG_LEN: usize = 16;
/// Length of the IVs that are made here, in bytes.
pub const IV_LEN: usize = 12;
/// Length of the keys that are made here, in bytes.
pub const KEY_LEN: usize = 32;

/// Every AES-GCM by its id, with the key length in bytes.
const CIPHERS: [(&str, usize); 3] = [
    ("aes-256-gcm", 32),
    ("aes-192-gcm", 24),
    ("aes-128-gcm", 16),
];

/// A sealed text: what stands in it is what `open` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Single use under its key.
    pub iv: [u8; IV_LEN],
    /// Proves key, IV, additional data and text.
    pub tag: [u8; TAG_LEN],
    /// As long as the text.
    pub ciphertext: Vec<u8>,
}

/// Seals under a fresh IV.
///
/// # Errors
/// [`Reason::Length`] for a text beyond AES-GCM's 64 GiB.
///
/// # Panics
/// If the operating system gives no randomness.
pub fn seal(key: &[u8; KEY_LEN], aad: &[u8], text: &[u8]) -> Result<Sealed, Reason> {
    let mut iv = [0; IV_LEN];
    getrandom::fill(&mut iv).expect("the operating system gives randomness");
    let mut ciphertext = text.to_vec();
    let tag = Aes256Gcm::new(key.into())
        .encrypt_inout_detached(&Nonce::from(iv), aad, ciphertext.as_mut_slice().into())
        .map_err(|_| Reason::Length)?;
    Ok(Sealed {
        iv,
        tag: tag.into(),
        ciphertext,
    })
}

/// Opens a ciphertext with a tag of 16 bytes.
///
/// # Errors
/// [`Reason::UnknownAlgorithm`], [`Reason::KeyLength`], [`Reason::TagLength`], [`Reason::IvLength`] for an IV that is
/// empty or of a length that is not in the list below, [`Reason::BadTag`].
pub fn open(
    id: &str,
    key: &[u8],
    iv: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
    tag: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Reason> {
    let key_len = key_length(id, key.len())?;
    if key.len() != key_len {
        return Err(Reason::KeyLength);
    }
    let tag: &[u8; TAG_LEN] = tag.try_into().map_err(|_| Reason::TagLength)?;
    let mut text = Zeroizing::new(ciphertext.to_vec());
    match key_len {
        16 => open_under::<Aes128>(key, iv, aad, &mut text, tag)?,
        24 => open_under::<Aes192>(key, iv, aad, &mut text, tag)?,
        _ => open_under::<Aes256>(key, iv, aad, &mut text, tag)?,
    }
    Ok(text)
}

/// The key length that an id asks for; plain `aes-gcm` takes what it gets.
fn key_length(id: &str, given: usize) -> Result<usize, Reason> {
    if same("aes-gcm", id) {
        let known = CIPHERS.iter().any(|(_, length)| *length == given);
        return known.then_some(given).ok_or(Reason::KeyLength);
    }
    let known = CIPHERS.iter().find(|(known, _)| same(known, id));
    known
        .map(|(_, length)| *length)
        .ok_or(Reason::UnknownAlgorithm)
}

/// aes-gcm has the IV's length in its type, so the lengths that are taken are a list: all up to 16 bytes, and those
/// that vectors are published with.
fn open_under<C>(
    key: &[u8],
    iv: &[u8],
    aad: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG_LEN],
) -> Result<(), Reason>
where
    C: KeyInit
        + aes_gcm::aes::cipher::BlockCipherEncrypt
        + aes_gcm::aes::cipher::BlockSizeUser<BlockSize = len::U16>,
{
    macro_rules! by_length {
        ($($length:literal => $size:ident),* $(,)?) => {
            match iv.len() {
                $($length => open_sized::<C, len::$size>(key, iv, aad, text, tag),)*
                _ => Err(Reason::IvLength),
            }
        };
    }
    by_length!(
        1 => U1, 2 => U2, 3 => U3, 4 => U4, 5 => U5, 6 => U6, 7 => U7, 8 => U8, 9 => U9, 10 => U10, 11 => U11,
        12 => U12, 13 => U13, 14 => U14, 15 => U15, 16 => U16, 20 => U20, 24 => U24, 28 => U28, 32 => U32, 40 => U40,
        48 => U48, 56 => U56, 60 => U60, 64 => U64, 96 => U96, 128 => U128, 256 => U256, 257 => U257,
    )
}

fn open_sized<C, N>(
    key: &[u8],
    iv: &[u8],
    aad: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG_LEN],
) -> Result<(), Reason>
where
    N: ArraySize,
    C: KeyInit
        + aes_gcm::aes::cipher::BlockCipherEncrypt
        + aes_gcm::aes::cipher::BlockSizeUser<BlockSize = len::U16>,
{
    let cipher = AesGcm::<C, N>::new_from_slice(key).map_err(|_| Reason::KeyLength)?;
    let iv = Nonce::<N>::try_from(iv).map_err(|_| Reason::IvLength)?;
    cipher
        .decrypt_inout_detached(&iv, aad, text.into(), &Tag::from(*tag))
        .map_err(|_| Reason::BadTag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_exactly_what_it_was_sealed_with() {
        let key = [7; KEY_LEN];
        let Sealed {
            iv,
            tag,
            ciphertext,
        } = seal(&key, b"aad", "手紙".as_bytes()).unwrap();
        let check = |key: &[u8], iv: &[u8], aad: &[u8], ciphertext: &[u8], tag: &[u8]| {
            open("aes-256-gcm", key, iv, aad, ciphertext, tag).map(|text| text.to_vec())
        };
        let text = "手紙".as_bytes().to_vec();
        assert_eq!(check(&key, &iv, b"aad", &ciphertext, &tag), Ok(text));
        let bad = Err(Reason::BadTag);
        assert_eq!(check(&[8; 32], &iv, b"aad", &ciphertext, &tag), bad);
        assert_eq!(check(&key, &[0; 12], b"aad", &ciphertext, &tag), bad);
        assert_eq!(check(&key, &iv, b"", &ciphertext, &tag), bad);
        assert_eq!(check(&key, &iv, b"aad", &ciphertext[1..], &tag), bad);
        for cut in [0, 4, 12, 15] {
            let answer = check(&key, &iv, b"aad", &ciphertext, &tag[..cut]);
            assert_eq!(answer, Err(Reason::TagLength));
        }
        let answer = check(&key[..16], &iv, b"aad", &ciphertext, &tag);
        assert_eq!(answer, Err(Reason::KeyLength));
        let answer = check(&key, &[], b"aad", &ciphertext, &tag);
        assert_eq!(answer, Err(Reason::IvLength));
        assert_ne!(
            seal(&key, b"", b"").unwrap().iv,
            seal(&key, b"", b"").unwrap().iv
        );
    }
}

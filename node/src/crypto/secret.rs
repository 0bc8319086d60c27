//! Files of symmetric keys: `{"v":1,"kind":"symmetric","alg":"aes-256-gcm","secret":base64}`, mode 0600. There is no
//! public half. Made by `crypto keygen`, `encapsulate` and `decapsulate`.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::aead::KEY_LEN;
use crate::keys::KeyFileError;
use crate::keys::file::{read_secret, write_secret};

/// The format that this software writes and reads.
const VERSION: u8 = 1;
/// What the file says its key is for.
const KIND: &str = "symmetric";
/// The one algorithm of such keys.
pub const ALG: &str = "aes-256-gcm";

/// A key of AES-256-GCM. Not `Copy`, zeroized when dropped, redacted in `Debug`.
pub struct SymmetricKey(Zeroizing<[u8; KEY_LEN]>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    v: u8,
    kind: &'a str,
    alg: &'a str,
    secret: &'a str,
}

impl SymmetricKey {
    /// A fresh key.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    #[must_use]
    pub fn generate() -> Self {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        getrandom::fill(&mut *key).expect("the operating system gives randomness");
        Self(key)
    }

    /// Takes a shared secret.
    #[must_use]
    pub fn from_shared(secret: &[u8; KEY_LEN]) -> Self {
        Self(Zeroizing::new(*secret))
    }

    /// The key's bytes.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// Writes it to a new file.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] or [`KeyFileError::Io`].
    ///
    /// # Panics
    /// Never: four plain fields have a JSON form.
    pub fn save(&self, path: &Path) -> Result<(), KeyFileError> {
        let secret = Zeroizing::new(STANDARD.encode(*self.0));
        let fields = Fields {
            v: VERSION,
            kind: KIND,
            alg: ALG,
            secret: &secret,
        };
        let json = serde_json::to_vec(&fields).expect("four plain fields have a JSON form");
        write_secret(path, &Zeroizing::new(json))
    }

    /// Reads it from its file.
    ///
    /// # Errors
    /// A [`KeyFileError`] that names the file.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let bad = |what| KeyFileError::Content {
            path: path.to_owned(),
            expected: "symmetric key file",
            what,
        };
        let content = read_secret(path)?;
        let fields: Fields<'_> = serde_json::from_slice(&content)
            .map_err(|_| bad("not the JSON object of a symmetric key file"))?;
        if (fields.v, fields.kind, fields.alg) != (VERSION, KIND, ALG) {
            return Err(bad("another version, kind or algorithm"));
        }
        let secret = STANDARD.decode(fields.secret).map(Zeroizing::new);
        let secret = secret.map_err(|_| bad("its key is not base64"))?;
        let key = secret.as_slice().try_into();
        Ok(Self(Zeroizing::new(
            key.map_err(|_| bad("its key does not have 32 bytes"))?,
        )))
    }
}

impl fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SymmetricKey(redacted)")
    }
}

//! Files of ledger keys (signing) and KEM keys (sealing): one JSON object, format 1.
//!
//! `{"v":1,"kind":"signing"|"kem","alg":…,"public":base64,"secret":base64}`; beside it stands the same
//! without `secret` under the name with `.pub`. Unknown fields are refused.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use city_protocol::crypto::{
    Algorithm, KemAlgorithm, KemPublicKey, KemSecretKey, PublicKey, SecretKey,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::{KeyFileError, KeystoreError};
use super::file::{MAX_KEY_FILE, read_public, read_secret, write_public, write_secret};
use super::store::Keystore;
use super::wrap;

/// The format that this software writes and reads.
const VERSION: u8 = 1;

/// What the file says its key is for; a key for one is never read for the other.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Signing,
    Kem,
}

impl Kind {
    const fn expected(self, secret: bool) -> &'static str {
        match (self, secret) {
            (Self::Signing, true) => "signing key file",
            (Self::Signing, false) => "public signing key file",
            (Self::Kem, true) => "KEM key file",
            (Self::Kem, false) => "public KEM key file",
        }
    }
}

/// A file's fields, borrowed from the zeroized buffer: no copy of the secret is made in reading.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    v: u8,
    kind: Kind,
    alg: &'a str,
    public: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

/// Where the public half of the key file at `path` stands: the same name with `.pub` after it.
#[must_use]
pub fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

/// Writes a signing key to a new file, and its public half beside it.
///
/// # Errors
/// [`KeyFileError::Exists`] if there is such a file, or [`KeyFileError::Io`].
pub fn save_signing(path: &Path, key: &SecretKey) -> Result<(), KeyFileError> {
    let (alg, public) = (key.public().algorithm().id(), key.public().as_bytes());
    save(path, Kind::Signing, alg, public, key.expose_secret())
}

/// Writes a signing key into a key store's directory: wrapped, if the store wraps. In place of the one that is there,
/// if `replace`; its public half beside it.
///
/// # Errors
/// [`KeyFileError::Exists`] without `replace`, others as they come.
pub fn put_signing(
    store: &Keystore,
    path: &Path,
    key: &SecretKey,
    replace: bool,
) -> Result<(), KeystoreError> {
    let (alg, public) = (key.public().algorithm().id(), key.public().as_bytes());
    let form = Form::new(Kind::Signing, alg, public, key.expose_secret());
    form.put(store, path, replace)
}

/// The same of a KEM key.
///
/// # Errors
/// As for [`put_signing`].
pub fn put_kem(
    store: &Keystore,
    path: &Path,
    key: &KemSecretKey,
    replace: bool,
) -> Result<(), KeystoreError> {
    let (alg, public) = (key.public().algorithm().id(), key.public().as_bytes());
    let form = Form::new(Kind::Kem, alg, public, key.expose_secret());
    form.put(store, path, replace)
}

/// Reads a signing key and proves with one signature that its halves belong together.
///
/// # Errors
/// A [`KeyFileError`] that names the file.
pub fn load_signing(path: &Path) -> Result<SecretKey, KeyFileError> {
    read_signing(path, &read_secret(path)?)
}

/// The same of a file's content, as a [`Keystore`](super::Keystore) gives it; `path` stands in the errors.
///
/// # Errors
/// A [`KeyFileError`] that names the file.
pub fn read_signing(path: &Path, content: &[u8]) -> Result<SecretKey, KeyFileError> {
    let kind = Kind::Signing;
    let fields = parse(path, content, kind, true)?;
    let algorithm: Algorithm = known(path, kind, fields.alg)?;
    let public = decode(path, kind, fields.public)?;
    let secret = decode(path, kind, fields.secret.unwrap_or_default())?;
    SecretKey::from_parts(algorithm, &public, &secret)
        .map_err(|_| bad(path, kind.expected(true), "its halves are not one key pair"))
}

/// Reads the public half of a signing key from a `.pub` file.
///
/// # Errors
/// A [`KeyFileError`] that names the file.
pub fn load_signing_public(path: &Path) -> Result<PublicKey, KeyFileError> {
    let kind = Kind::Signing;
    let content = read_public(path)?;
    let fields = parse(path, &content, kind, false)?;
    let public = decode(path, kind, fields.public)?;
    PublicKey::new(known(path, kind, fields.alg)?, &public)
        .map_err(|_| bad(path, kind.expected(false), "a key of the wrong length"))
}

/// Writes a KEM key to a new file, and its public half beside it.
///
/// # Errors
/// [`KeyFileError::Exists`] if there is such a file, or [`KeyFileError::Io`].
pub fn save_kem(path: &Path, key: &KemSecretKey) -> Result<(), KeyFileError> {
    let (alg, public) = (key.public().algorithm().id(), key.public().as_bytes());
    save(path, Kind::Kem, alg, public, key.expose_secret())
}

/// Reads a KEM key and proves with one shared secret that its halves belong together.
///
/// # Errors
/// A [`KeyFileError`] that names the file.
pub fn load_kem(path: &Path) -> Result<KemSecretKey, KeyFileError> {
    read_kem(path, &read_secret(path)?)
}

/// The same of a file's content, as a [`Keystore`](super::Keystore) gives it; `path` stands in the errors.
///
/// # Errors
/// A [`KeyFileError`] that names the file.
pub fn read_kem(path: &Path, content: &[u8]) -> Result<KemSecretKey, KeyFileError> {
    let kind = Kind::Kem;
    let fields = parse(path, content, kind, true)?;
    let algorithm: KemAlgorithm = known(path, kind, fields.alg)?;
    let public = decode(path, kind, fields.public)?;
    let secret = decode(path, kind, fields.secret.unwrap_or_default())?;
    KemSecretKey::from_parts(algorithm, &public, &secret)
        .map_err(|_| bad(path, kind.expected(true), "its halves are not one key pair"))
}

/// Reads the public half of a KEM key from a `.pub` file.
///
/// # Errors
/// A [`KeyFileError`] that names the file.
pub fn load_kem_public(path: &Path) -> Result<KemPublicKey, KeyFileError> {
    let kind = Kind::Kem;
    let content = read_public(path)?;
    let fields = parse(path, &content, kind, false)?;
    let public = decode(path, kind, fields.public)?;
    KemPublicKey::new(known(path, kind, fields.alg)?, &public)
        .map_err(|_| bad(path, kind.expected(false), "a key of the wrong length"))
}

/// Writes the public half of a signing key alone, in place of what may be there.
///
/// # Errors
/// [`KeyFileError::Io`].
pub fn save_signing_public(path: &Path, key: &PublicKey) -> Result<(), KeyFileError> {
    save_public(path, Kind::Signing, key.algorithm().id(), key.as_bytes())
}

/// Writes the public half of a KEM key alone, in place of what may be there.
///
/// # Errors
/// [`KeyFileError::Io`].
pub fn save_kem_public(path: &Path, key: &KemPublicKey) -> Result<(), KeyFileError> {
    save_public(path, Kind::Kem, key.algorithm().id(), key.as_bytes())
}

fn save_public(path: &Path, kind: Kind, alg: &str, public: &[u8]) -> Result<(), KeyFileError> {
    let fields = Fields {
        v: VERSION,
        kind,
        alg,
        public: &STANDARD.encode(public),
        secret: None,
    };
    write_public(path, &to_json(&fields))
}

fn save(
    path: &Path,
    kind: Kind,
    alg: &str,
    public: &[u8],
    secret: &[u8],
) -> Result<(), KeyFileError> {
    let form = Form::new(kind, alg, public, secret);
    write_secret(path, &form.secret)?;
    write_public(&public_path(path), &form.public)
}

/// What both files of a key hold.
struct Form {
    secret: Zeroizing<Vec<u8>>,
    public: Zeroizing<Vec<u8>>,
}

impl Form {
    fn new(kind: Kind, alg: &str, public: &[u8], secret: &[u8]) -> Self {
        let public = STANDARD.encode(public);
        let secret = Zeroizing::new(STANDARD.encode(secret));
        let mut fields = Fields {
            v: VERSION,
            kind,
            alg,
            public: &public,
            secret: Some(&secret),
        };
        let secret = to_json(&fields);
        fields.secret = None;
        Self {
            secret,
            public: to_json(&fields),
        }
    }

    fn put(&self, store: &Keystore, path: &Path, replace: bool) -> Result<(), KeystoreError> {
        if replace {
            store.replace(path, &self.secret)?;
        } else {
            store.write_new(path, &self.secret)?;
        }
        Ok(write_public(&public_path(path), &self.public)?)
    }
}

fn to_json(fields: &Fields<'_>) -> Zeroizing<Vec<u8>> {
    // Room for the largest file, so that no copy is left behind by growing.
    let room = usize::try_from(MAX_KEY_FILE).expect("a small constant");
    let mut json = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *json, fields).expect("five plain fields have a JSON form");
    json.push(b'\n');
    json
}

fn parse<'a>(
    path: &Path,
    content: &'a [u8],
    kind: Kind,
    secret: bool,
) -> Result<Fields<'a>, KeyFileError> {
    let expected = kind.expected(secret);
    if wrap::is_wrapped(content) {
        return Err(KeyFileError::Wrapped { path: path.into() });
    }
    // serde_json's own text is not passed on: it can quote the input.
    let fields: Fields<'_> = serde_json::from_slice(content)
        .map_err(|_| bad(path, expected, "not the JSON object of a key file"))?;
    if fields.v != VERSION {
        return Err(bad(path, expected, "a version this software does not know"));
    }
    if fields.kind != kind {
        return Err(bad(path, expected, "a key of another kind"));
    }
    match (secret, fields.secret.is_some()) {
        (true, false) => Err(bad(path, expected, "it holds the public half only")),
        (false, true) => Err(bad(path, expected, "it holds a secret")),
        _ => Ok(fields),
    }
}

fn known<A: std::str::FromStr>(path: &Path, kind: Kind, alg: &str) -> Result<A, KeyFileError> {
    alg.parse()
        .map_err(|_| bad(path, kind.expected(true), "an unknown algorithm"))
}

fn decode(path: &Path, kind: Kind, text: &str) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
    let length = STANDARD
        .decode_slice(text, &mut bytes)
        .map_err(|_| bad(path, kind.expected(true), "a key is not base64"))?;
    bytes.truncate(length);
    Ok(bytes)
}

fn bad(path: &Path, expected: &'static str, what: &'static str) -> KeyFileError {
    KeyFileError::Content {
        path: path.to_owned(),
        expected,
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_algorithm_come_back_from_their_files() {
        let directory = tempfile::tempdir().unwrap();
        for algorithm in Algorithm::ALL.iter().copied() {
            let path = directory.path().join(format!("{algorithm}.key"));
            let key = SecretKey::generate(algorithm);
            save_signing(&path, &key).unwrap();
            let loaded = load_signing(&path).unwrap();
            assert_eq!(loaded.public(), key.public());
            assert_eq!(loaded.expose_secret(), key.expose_secret());
            let public = load_signing_public(&public_path(&path)).unwrap();
            assert_eq!(public, *key.public());
        }
        for algorithm in KemAlgorithm::ALL.iter().copied() {
            let path = directory.path().join(format!("{algorithm}.key"));
            let key = KemSecretKey::generate(algorithm);
            save_kem(&path, &key).unwrap();
            assert_eq!(load_kem(&path).unwrap().public(), key.public());
            assert_eq!(load_kem_public(&public_path(&path)).unwrap(), *key.public());
        }
    }

    #[test]
    fn a_file_renamed_to_another_algorithm_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (path, renamed) = (
            directory.path().join("one.key"),
            directory.path().join("other.key"),
        );
        save_signing(&path, &SecretKey::generate(Algorithm::MlDsa87)).unwrap();
        let text = String::from_utf8(read_secret(&path).unwrap().to_vec()).unwrap();
        write_secret(&renamed, text.replace("ml-dsa-87", "dilithium5").as_bytes()).unwrap();
        assert!(load_signing(&renamed).is_err());
    }

    #[test]
    fn a_bad_file_is_refused_by_name_without_its_secret() {
        let directory = tempfile::tempdir().unwrap();
        let good = directory.path().join("good.key");
        let key = SecretKey::generate(Algorithm::Dilithium5);
        save_signing(&good, &key).unwrap();
        let text = String::from_utf8(read_secret(&good).unwrap().to_vec()).unwrap();
        let secret = STANDARD.encode(key.expose_secret());
        assert!(
            !String::from_utf8(read_public(&public_path(&good)).unwrap())
                .unwrap()
                .contains(&secret)
        );

        let bad = directory.path().join("bad.key");
        let check = |content: &str, what: &str| {
            let _ = std::fs::remove_file(&bad);
            write_secret(&bad, content.as_bytes()).unwrap();
            let error = load_signing(&bad).unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(told.contains("bad.key") && told.contains(what), "{told}");
            assert!(!told.contains(&secret[..16]), "the secret is told");
        };
        let other = SecretKey::generate(Algorithm::Dilithium5);
        let with = |from: &str, to: &str| text.replace(from, to);
        check("", "JSON");
        check(&text[..text.len() / 2], "JSON");
        check(&with("\"v\":1", "\"v\":2"), "version");
        check(&with("\"v\":1", "\"v\":1,\"note\":\"x\""), "JSON");
        check(&with("signing", "kem"), "another kind");
        check(&with("dilithium5", "dilithium3"), "unknown algorithm");
        check(&with(&secret, &secret[4..]), "key pair");
        check(&with(&secret, "no base64"), "base64");
        let foreign = STANDARD.encode(other.expose_secret());
        check(&with(&secret, &foreign), "key pair");
        let public = String::from_utf8(read_public(&public_path(&good)).unwrap()).unwrap();
        check(&public, "public half only");
        assert!(
            load_signing_public(&good)
                .unwrap_err()
                .to_string()
                .contains("secret")
        );
        assert!(
            load_kem(&good)
                .unwrap_err()
                .to_string()
                .contains("another kind")
        );
    }
}

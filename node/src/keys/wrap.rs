//! A secret file that is wrapped by the node's master secret:
//! `{"v":1,"kind":"wrapped","master":…,"name":…,"sealed":base64 of iv | tag | ciphertext}`.
//!
//! The master secret's id says which one opens it, so that files under the old and the new one can stand beside each
//! other while they are re-wrapped. The name is bound: a wrapped file opens under no other.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use city_protocol::crypto::AEAD_IV_LEN;
use city_protocol::ids::length_prefixed;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::master::{MasterId, MasterSecret};

/// The form that this software writes and reads.
const VERSION: u8 = 1;
/// What every wrapped file says it is.
const KIND: &str = "wrapped";
/// Label of the additional data and of the wrapping key.
const LABEL: &[u8] = b"city-node/wrapped-file/v1";

/// Why a wrapped file was not opened. No text holds a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrapError {
    /// Not such a file.
    #[error("not a wrapped key file ({0})")]
    Form(&'static str),
    /// Another master secret wrapped it.
    #[error("wrapped by the master secret {0}")]
    OtherMaster(MasterId),
    /// It did not open.
    #[error("its bytes were changed, or it was renamed")]
    NotAuthentic,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    v: u8,
    kind: &'a str,
    master: MasterId,
    name: &'a str,
    sealed: &'a str,
}

/// The file's own name, which is bound.
fn name_of(path: &Path) -> Result<&str, WrapError> {
    path.file_name()
        .and_then(|name| name.to_str())
        .ok_or(WrapError::Form("a file name that is not text"))
}

fn bound(master: &MasterId, name: &str) -> Vec<u8> {
    [LABEL, &[VERSION], master.as_bytes(), name.as_bytes()]
        .into_iter()
        .flat_map(length_prefixed)
        .collect()
}

/// Wraps the content of the file at `path`.
///
/// # Errors
/// [`WrapError::Form`] for a name that is not text.
pub fn wrap(path: &Path, content: &[u8], master: &MasterSecret) -> Result<Vec<u8>, WrapError> {
    let name = name_of(path)?;
    let mut iv = [0; AEAD_IV_LEN];
    getrandom::fill(&mut iv).expect("the operating system gives randomness");
    let id = master.id();
    let sealed = master.key(LABEL).seal(iv, &bound(&id, name), content);
    let fields = Fields {
        v: VERSION,
        kind: KIND,
        master: id,
        name,
        sealed: &STANDARD.encode(sealed),
    };
    let mut json = serde_json::to_vec(&fields).expect("plain fields have a JSON form");
    json.push(b'\n');
    Ok(json)
}

/// Opens what [`wrap`] made of the file at `path` with one of these master secrets.
///
/// # Errors
/// A [`WrapError`].
pub fn unwrap<'m>(
    path: &Path,
    content: &[u8],
    masters: impl IntoIterator<Item = &'m MasterSecret>,
) -> Result<Zeroizing<Vec<u8>>, WrapError> {
    let fields = read(content)?;
    let name = name_of(path)?;
    if fields.name != name {
        return Err(WrapError::NotAuthentic);
    }
    let master = masters
        .into_iter()
        .find(|master| master.id() == fields.master)
        .ok_or(WrapError::OtherMaster(fields.master))?;
    let sealed = STANDARD
        .decode(fields.sealed)
        .map_err(|_| WrapError::Form("not base64"))?;
    master
        .key(LABEL)
        .open(&bound(&fields.master, name), &sealed)
        .map_err(|_| WrapError::NotAuthentic)
}

/// Whether this is a wrapped file, of whatever version.
#[must_use]
pub fn is_wrapped(content: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Kind<'a> {
        kind: &'a str,
    }
    serde_json::from_slice::<Kind<'_>>(content).is_ok_and(|fields| fields.kind == KIND)
}

/// Which master secret wrapped it.
///
/// # Errors
/// [`WrapError::Form`].
pub fn master_of(content: &[u8]) -> Result<MasterId, WrapError> {
    read(content).map(|fields| fields.master)
}

fn read(content: &[u8]) -> Result<Fields<'_>, WrapError> {
    let fields: Fields<'_> =
        serde_json::from_slice(content).map_err(|_| WrapError::Form("not its JSON object"))?;
    if fields.kind != KIND || fields.v != VERSION {
        return Err(WrapError::Form("another kind or version"));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_opens_under_its_name_and_master_only() {
        let (ours, other) = (MasterSecret::generate(), MasterSecret::generate());
        let path = Path::new("/data/keys/ledger.key");
        let wrapped = wrap(path, b"the secret", &ours).unwrap();
        assert!(is_wrapped(&wrapped) && !is_wrapped(b"{}"));
        assert_eq!(master_of(&wrapped), Ok(ours.id()));
        let opened = unwrap(Path::new("elsewhere/ledger.key"), &wrapped, [&other, &ours]);
        assert_eq!(&**opened.unwrap(), b"the secret");
        assert_eq!(
            unwrap(path, &wrapped, [&other]),
            Err(WrapError::OtherMaster(ours.id()))
        );
        assert_eq!(
            unwrap(Path::new("kem.key"), &wrapped, [&ours]),
            Err(WrapError::NotAuthentic)
        );
        let text = String::from_utf8(wrapped).unwrap();
        let renamed = text.replace("ledger.key", "kem.key");
        assert_eq!(
            unwrap(Path::new("kem.key"), renamed.as_bytes(), [&ours]),
            Err(WrapError::NotAuthentic)
        );
        let check = |from: &str, to: &str| {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            assert!(matches!(
                unwrap(path, changed.as_bytes(), [&ours]),
                Err(WrapError::Form(_))
            ));
        };
        check("\"v\":1", "\"v\":2");
        check("\"v\":1", "\"v\":1,\"w\":1");
        check("\"sealed\":\"", "\"sealed\":\"!");
        check("{", "[");
    }
}

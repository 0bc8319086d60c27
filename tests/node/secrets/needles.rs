//! What must not be found, in every spelling that it could be printed in, and a search that is fast enough for
//! hundreds of megabytes of log.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use city_node::keys::master::MasterSecret;
use city_node::keys::{Passphrase, Purpose, passphrase};
use city_node::setup::{DataDir, Identity};
use city_protocol::crypto::{KemSecretKey, SecretKey};
use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXUPPER};
use rustls_pki_types::PrivateKeyDer;
use serde_json::Value;

/// Bytes of a secret that are looked for at once: so many of 32 in base64 stand whole in a PEM line of 64.
const WINDOW: usize = 24;
/// Fewest bytes of a needle: shorter ones are found by chance.
const SHORTEST: usize = 8;

/// Secrets by name.
#[derive(Default)]
pub(super) struct Secrets {
    names: Vec<String>,
    /// First bytes → (rest of the spelling, name).
    needles: HashMap<[u8; SHORTEST], Vec<(Vec<u8>, usize)>>,
}

impl Secrets {
    /// A secret of random bytes; what of it stands in `public`, too, is none.
    pub(super) fn bytes(&mut self, name: &str, secret: &[u8], public: &[u8]) {
        self.names.push(name.into());
        let mut windows = 0;
        for at in (0..).step_by(WINDOW) {
            let from = at.min(secret.len().saturating_sub(WINDOW));
            let window = &secret[from..secret.len().min(from + WINDOW)];
            let known = public.windows(window.len()).any(|part| part == window);
            // A run of equal bytes is no secret, and stands in every file.
            let plain = window.iter().all(|byte| *byte == window[0]);
            if !known && !plain {
                windows += 1;
                self.spell(window);
            }
            if from + WINDOW >= secret.len() {
                break;
            }
        }
        assert!(windows > 0, "nothing of {name} is secret");
    }

    /// A secret of text.
    pub(super) fn text(&mut self, name: &str, secret: &str) {
        self.bytes(name, secret.as_bytes(), b"");
    }

    fn spell(&mut self, window: &[u8]) {
        self.needle(window.to_vec());
        self.needle(HEXLOWER.encode(window).into_bytes());
        self.needle(HEXUPPER.encode(window).into_bytes());
        self.needle(BASE32_NOPAD.encode(window).to_lowercase().into_bytes());
        // As `{:?}` and JSON print a list of numbers.
        for between in [", ", ","] {
            let numbers: Vec<String> = window.iter().map(u8::to_string).collect();
            self.needle(numbers.join(between).into_bytes());
        }
        // As `escape_ascii` and HTTP libraries print bytes.
        self.needle(window.escape_ascii().to_string().into_bytes());
        for before in 0..3 {
            // Of the characters at both ends only those that nothing else has a part in.
            let padded = [&vec![0; before], window].concat();
            let (from, to) = ((8 * before).div_ceil(6), 8 * padded.len() / 6);
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                self.needle(engine.encode(&padded).as_bytes()[from..to].to_vec());
            }
        }
    }

    fn needle(&mut self, spelling: Vec<u8>) {
        let (first, rest) = spelling.split_first_chunk().expect("long enough");
        let same = self.needles.entry(*first).or_default();
        let needle = (rest.to_vec(), self.names.len() - 1);
        if !same.contains(&needle) {
            same.push(needle);
        }
    }

    /// The names of those that stand in there.
    pub(super) fn found(&self, haystack: &[u8]) -> Vec<&str> {
        let mut found = vec![false; self.names.len()];
        for (at, first) in haystack.windows(SHORTEST).enumerate() {
            let first: &[u8; SHORTEST] = first.try_into().unwrap();
            for (rest, name) in self.needles.get(first).into_iter().flatten() {
                found[*name] |= haystack[at + SHORTEST..].starts_with(rest);
            }
        }
        let names = self.names.iter().zip(found);
        names
            .filter(|(_, found)| *found)
            .map(|(name, _)| &**name)
            .collect()
    }

    /// All that a node holds: its keys, master secrets and data keys.
    pub(super) fn of_node(&mut self, name: &str, data: &DataDir, node: &Identity, words: &str) {
        let named = |what: &str| format!("{name}: {what}");
        self.signing(&named("ledger.key"), &node.signer);
        self.kem(&named("kem.key"), &node.kem);
        let transport = node.transport.clone().try_into_ed25519().unwrap();
        self.bytes(&named("transport.key"), transport.secret().as_ref(), b"");
        let PrivateKeyDer::Pkcs8(tls) = &node.tls.key else {
            panic!("PKCS#8 is what is issued")
        };
        self.bytes(&named("tls.key"), scalar(tls.secret_pkcs8_der()), b"");
        if let Ok(token) = node.keystore.read(&data.token_key()) {
            let token = der::pem::decode_vec(&token).unwrap().1;
            self.bytes(&named("token.key"), scalar(&token), b"");
        }
        for master in masters(data, words) {
            self.bytes(&named("master secret"), &master, b"");
        }
        let ring = node
            .keystore
            .read(&data.keys().join("keyring.json"))
            .unwrap();
        let ring: Value = serde_json::from_slice(&ring).unwrap();
        for key in ring["keys"].as_array().unwrap() {
            let secret =
                base64::engine::general_purpose::STANDARD.decode(key["secret"].as_str().unwrap());
            self.bytes(&named("data key"), &secret.unwrap(), b"");
        }
    }

    /// A signing key.
    pub(super) fn signing(&mut self, name: &str, key: &SecretKey) {
        self.bytes(name, key.expose_secret(), key.public().as_bytes());
    }

    /// A key that opens what is sealed.
    pub(super) fn kem(&mut self, name: &str, key: &KemSecretKey) {
        self.bytes(name, key.expose_secret(), key.public().as_bytes());
    }
}

/// The 32 secret bytes in a PKCS#8 key of P-256 or Ed25519: the innermost octet string.
fn scalar(pkcs8: &[u8]) -> &[u8] {
    let at = pkcs8
        .windows(2)
        .position(|two| two == [0x04, 0x20])
        .unwrap();
    &pkcs8[at + 2..at + 34]
}

/// The master secrets in files of a data directory.
fn masters(data: &DataDir, words: &str) -> Vec<Vec<u8>> {
    let words = Passphrase::new(zeroize::Zeroizing::new(words.into())).unwrap();
    let mut masters = Vec::new();
    for path in files(&data.keys()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(id) = name
            .strip_prefix("master-")
            .and_then(|name| name.strip_suffix(".key"))
        else {
            continue;
        };
        let content = fs::read(&path).unwrap();
        let secret = if passphrase::purpose_of(&content).is_some() {
            passphrase::open(Purpose::Master, &words, &content)
                .unwrap()
                .to_vec()
        } else {
            let plain: Value = serde_json::from_slice(&content).unwrap();
            let secret = plain["secret"].as_str().unwrap();
            base64::engine::general_purpose::STANDARD
                .decode(secret)
                .unwrap()
        };
        assert_eq!(
            MasterSecret::from_bytes(&secret).unwrap().id().to_string(),
            id
        );
        masters.push(secret);
    }
    assert!(!masters.is_empty(), "a node has a master secret in a file");
    masters
}

/// Every file below a directory.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files.extend(self::files(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

/// Where something was printed, answered or kept, and what.
#[derive(Default)]
pub(super) struct Places(BTreeMap<String, Vec<u8>>);

impl Places {
    pub(super) fn add(&mut self, place: impl Into<String>, content: impl AsRef<[u8]>) {
        self.0
            .entry(place.into())
            .or_default()
            .extend(content.as_ref());
    }

    /// Every file below a directory, but for those that `but` names.
    pub(super) fn disk(&mut self, directory: &Path, but: impl Fn(&Path) -> bool) {
        for file in files(directory) {
            if !but(&file) {
                self.add(file.display().to_string(), fs::read(&file).unwrap());
            }
        }
    }

    pub(super) fn content(&self, place: &str) -> &[u8] {
        self.0
            .get(place)
            .unwrap_or_else(|| panic!("nothing of {place}"))
    }

    /// `place: secret` for all that is found where it must not be; `may` says where a secret may stand.
    pub(super) fn found(&self, secrets: &Secrets, may: impl Fn(&str, &str) -> bool) -> Vec<String> {
        let mut found = Vec::new();
        for (place, content) in &self.0 {
            for name in secrets.found(content) {
                if !may(place, name) {
                    found.push(format!("{place}: {name}"));
                }
            }
        }
        found
    }
}

#[test]
fn a_planted_secret_is_found_in_every_spelling() {
    let secret: Vec<u8> = (0..70_u8)
        .map(|n| n.wrapping_mul(89).wrapping_add(17))
        .collect();
    let mut secrets = Secrets::default();
    secrets.bytes("key", &secret, b"");
    secrets.text("words", "correct horse battery");
    let check =
        |planted: String| assert_eq!(secrets.found(planted.as_bytes()), ["key"], "{planted}");
    let noise = "it was said: ";
    assert_eq!(
        secrets.found(&[noise.as_bytes(), &secret].concat()),
        ["key"]
    );
    check(format!("{noise}{} and so on", HEXLOWER.encode(&secret)));
    check(format!("{noise}{}", HEXUPPER.encode(&secret)));
    check(format!("{noise}{secret:?}"));
    check(format!(
        "{noise}{}",
        serde_json::to_string(&secret).unwrap()
    ));
    check(format!("{noise}b\"{}\"", secret.escape_ascii()));
    for before in 0..3 {
        let inside = [&vec![b'x'; before], &*secret, b"yz"].concat();
        check(format!("{noise}{}", STANDARD_NO_PAD.encode(&inside)));
        check(format!("{noise}{}", URL_SAFE_NO_PAD.encode(&inside)));
        let pem = der::pem::encode_string("KEY", Default::default(), &inside).unwrap();
        check(pem);
    }
    // A part of it is enough.
    check(format!("{noise}{}", HEXLOWER.encode(&secret[20..70])));
    assert_eq!(secrets.found(b"[correct horse battery]"), ["words"]);
    assert!(secrets.found(b"correct horse, battery").is_empty());
    assert!(
        secrets
            .found(HEXLOWER.encode(&secret[..23]).as_bytes())
            .is_empty()
    );
    // What is public is no secret.
    let mut secrets = Secrets::default();
    secrets.bytes("key", &secret, &secret[..48]);
    assert!(secrets.found(&secret[..48]).is_empty());
    assert_eq!(secrets.found(&secret), ["key"]);
}

//! Bytes sealed by a passphrase: argon2id makes the key, AES-256-GCM the box, and one JSON object says how.
//!
//! `{"v":1,"kind":"passphrase-sealed","purpose":…,"kdf":{"alg":"argon2id","memory_kib":…,"passes":…,"lanes":…,
//! "salt":base64},"sealed":base64 of iv | tag | ciphertext}`; all before `sealed` is bound as additional data, so
//! what was sealed for one purpose opens for no other. Where a passphrase comes from is `cli::passphrase`'s.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use city_protocol::crypto::{AEAD_KEY_LEN, AeadKey};
use city_protocol::ids::length_prefixed;
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The form that this software writes and reads.
const VERSION: u8 = 1;
/// What every such file says it is.
const KIND: &str = "passphrase-sealed";
/// Label of the additional data.
const LABEL: &[u8] = b"city-node/passphrase/v1";
/// The key derivation's name in the file (RFC 9106, version 0x13).
const KDF: &str = "argon2id";

/// Fewest characters of a passphrase: 12 letters at random are beyond what argon2id at 64 MiB lets anybody try.
pub const MIN_PASSPHRASE: usize = 12;
/// Most bytes of a passphrase: longer is a file that was named by mistake.
pub const MAX_PASSPHRASE: usize = 1024;

/// Memory that a new file asks for, KiB: RFC 9106's 64 MiB for machines with little of it (section 4, second
/// choice); a box with 1 GiB spares that for a second.
const MEMORY_KIB: u32 = 64 * 1024;
/// Passes over it, of the same choice: 0.1 s on a server, about 1 s on a small ARM core.
const PASSES: u32 = 3;
/// Lanes: one, because the library computes them one after the other, and an attacker would not.
const LANES: u32 = 1;
/// Most memory that a file may ask for, KiB: 256 MiB; a file asking for 100 GB is refused before anything is taken.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
/// Least, KiB: OWASP's lowest for argon2id; this software never writes less.
const MIN_MEMORY_KIB: u32 = 19 * 1024;
/// Most passes: with the most memory some 20 s on a small ARM core.
const MAX_PASSES: u32 = 10;
/// Most lanes.
const MAX_LANES: u32 = 8;
/// Length of a salt in bytes.
const SALT_LEN: usize = 16;

/// What a sealed file is for; stands in it and is bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Keys of a certificate authority.
    Ca,
    /// The secret that a node's keys are wrapped by.
    Master,
    /// The backup of a node.
    Backup,
    /// A person's keys.
    Wallet,
}

impl Purpose {
    /// Its name in the file.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Master => "master",
            Self::Backup => "backup",
            Self::Wallet => "wallet",
        }
    }

    const fn told(self) -> &'static str {
        match self {
            Self::Ca => "CA keys",
            Self::Master => "a node's master secret",
            Self::Backup => "a node's backup",
            Self::Wallet => "a person's keys",
        }
    }
}

/// A passphrase: zeroized, redacted, never compared.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes a passphrase as it was typed or read; one line break at its end is not part of it.
    ///
    /// # Errors
    /// [`PassphraseError::Length`] or [`PassphraseError::Lines`].
    pub fn new(mut text: Zeroizing<String>) -> Result<Self, PassphraseError> {
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        if text.chars().any(|c| c == '\n' || c == '\r' || c == '\0') {
            return Err(PassphraseError::Lines);
        }
        if text.chars().count() < MIN_PASSPHRASE || text.len() > MAX_PASSPHRASE {
            return Err(PassphraseError::Length);
        }
        Ok(Self(text))
    }

    /// Makes one up: 26 letters and digits of base32, 130 bits, in groups; and the text, for the one file
    /// that it is written to.
    ///
    /// # Panics
    /// Never: it is long enough and one line.
    #[must_use]
    pub fn generate() -> (Self, Zeroizing<String>) {
        let bytes = Zeroizing::new(random::<17>());
        let mut letters = Zeroizing::new(BASE32_NOPAD.encode(&*bytes));
        letters.make_ascii_lowercase();
        let mut text = Zeroizing::new(String::with_capacity(40));
        for (n, letter) in letters.chars().take(26).enumerate() {
            if n > 0 && n % 5 == 0 {
                text.push('-');
            }
            text.push(letter);
        }
        text.push('\n');
        let passphrase = Self::new(text.clone()).expect("long enough and one line");
        (passphrase, text)
    }

    /// Whether both were typed alike; for asking twice only.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(redacted)")
    }
}

/// Why something sealed by a passphrase was not opened. No text holds a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// Too short or too long.
    #[error(
        "a passphrase has at least {MIN_PASSPHRASE} characters and at most {MAX_PASSPHRASE} bytes; choose a longer one, such as five words"
    )]
    Length,
    /// More than one line.
    #[error("a passphrase is one line; was another file named by mistake?")]
    Lines,
    /// It is not such a file.
    #[error("not sealed by a passphrase of city-node ({0}); restore it from a backup")]
    Form(&'static str),
    /// It holds something else.
    #[error("it holds {}, not {}; name the right file", found.told(), expected.told())]
    Purpose {
        /// What it holds.
        found: Purpose,
        /// What was looked for.
        expected: Purpose,
    },
    /// What the file asks for to be opened is out of bounds.
    #[error(
        "it asks for an argon2id of {memory_kib} KiB, {passes} passes and {lanes} lanes; between {MIN_MEMORY_KIB} and {MAX_MEMORY_KIB} KiB, \
         at most {MAX_PASSES} passes and {MAX_LANES} lanes are done here: this software never wrote that file"
    )]
    Cost {
        /// Memory, KiB.
        memory_kib: u32,
        /// Passes.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// The memory for argon2id could not be had.
    #[error("{0} KiB of memory for argon2id could not be had; free some and try again")]
    Memory(u32),
    /// The box did not open.
    #[error("wrong passphrase, or the file was changed; nothing was changed by trying")]
    Wrong,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf<'a> {
    alg: &'a str,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: &'a str,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    v: u8,
    kind: &'a str,
    purpose: Purpose,
    #[serde(borrow)]
    kdf: Kdf<'a>,
    sealed: &'a str,
}

/// Seals bytes: the content of a file, ending with a line break. Takes about the time of `PASSES`.
///
/// # Errors
/// [`PassphraseError::Memory`].
pub fn seal(
    purpose: Purpose,
    passphrase: &Passphrase,
    secret: &[u8],
) -> Result<Vec<u8>, PassphraseError> {
    let kdf = Kdf {
        alg: KDF,
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        lanes: LANES,
        salt: &STANDARD.encode(random::<SALT_LEN>()),
    };
    Ok(Derived::new(passphrase, &kdf)?.seal(purpose, secret))
}

/// Opens what [`seal`] made for the same purpose.
///
/// # Errors
/// A [`PassphraseError`]; nothing is derived before the file's form and cost were judged.
pub fn open(
    purpose: Purpose,
    passphrase: &Passphrase,
    content: &[u8],
) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    Ok(open_and_keep(purpose, passphrase, content)?.0)
}

/// The same; and what follows from the passphrase for this file, to be kept in the passphrase's stead.
///
/// # Errors
/// As for [`open`].
pub fn open_and_keep(
    purpose: Purpose,
    passphrase: &Passphrase,
    content: &[u8],
) -> Result<(Zeroizing<Vec<u8>>, Derived), PassphraseError> {
    let fields = read_for(purpose, content)?;
    let derived = Derived::new(passphrase, &fields.kdf)?;
    Ok((derived.open_box(&fields)?, derived))
}

/// What argon2id made of a passphrase with one salt: opens and seals files with that salt, and gives the passphrase
/// away to nobody who reads it in memory. Zeroized, redacted, never compared.
pub struct Derived {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    key: AeadKey,
}

impl Derived {
    fn new(passphrase: &Passphrase, kdf: &Kdf<'_>) -> Result<Self, PassphraseError> {
        let salt: [u8; SALT_LEN] = base64(kdf.salt)?
            .try_into()
            .map_err(|_| PassphraseError::Form("a salt of the wrong length"))?;
        Ok(Self {
            memory_kib: kdf.memory_kib,
            passes: kdf.passes,
            lanes: kdf.lanes,
            salt: kdf.salt.into(),
            key: derive(passphrase, kdf, &salt)?,
        })
    }

    fn kdf(&self) -> Kdf<'_> {
        Kdf {
            alg: KDF,
            memory_kib: self.memory_kib,
            passes: self.passes,
            lanes: self.lanes,
            salt: &self.salt,
        }
    }

    /// As [`seal`], without the time that it takes.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    #[must_use]
    pub fn seal(&self, purpose: Purpose, secret: &[u8]) -> Vec<u8> {
        let mut fields = Fields {
            v: VERSION,
            kind: KIND,
            purpose,
            kdf: self.kdf(),
            sealed: "",
        };
        let sealed = self.key.seal(random(), &bound(&fields), secret);
        let sealed = STANDARD.encode(sealed);
        fields.sealed = &sealed;
        let mut json = serde_json::to_vec(&fields).expect("plain fields have a JSON form");
        json.push(b'\n');
        json
    }

    /// As [`open`], for a file with this salt.
    ///
    /// # Errors
    /// A [`PassphraseError`]; [`PassphraseError::Wrong`] for a file with another salt.
    pub fn open(
        &self,
        purpose: Purpose,
        content: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
        self.open_box(&read_for(purpose, content)?)
    }

    fn open_box(&self, fields: &Fields<'_>) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
        let sealed = base64(fields.sealed)?;
        let opened = self.key.open(&bound(fields), &sealed);
        opened.map_err(|_| PassphraseError::Wrong)
    }
}

impl fmt::Debug for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Derived(redacted)")
    }
}

/// A sealed file without its base64: the JSON object with `sealed` empty, a line break, and the box itself. For media on
/// which each byte counts.
///
/// # Errors
/// [`PassphraseError::Form`] if it is not a sealed file.
pub fn to_compact(content: &[u8]) -> Result<Vec<u8>, PassphraseError> {
    let mut fields = read(content)?;
    let sealed = base64(fields.sealed)?;
    fields.sealed = "";
    let mut compact = serde_json::to_vec(&fields).expect("plain fields have a JSON form");
    compact.push(b'\n');
    compact.extend(sealed);
    Ok(compact)
}

/// The sealed file of its compact form.
///
/// # Errors
/// [`PassphraseError::Form`] if it is not one.
pub fn from_compact(compact: &[u8]) -> Result<Vec<u8>, PassphraseError> {
    let end = compact.iter().position(|byte| *byte == b'\n');
    let (json, sealed) = end
        .and_then(|end| compact.split_at_checked(end))
        .ok_or(PassphraseError::Form("no line break in its compact form"))?;
    let mut fields = read(json)?;
    let sealed = STANDARD.encode(sealed.get(1..).unwrap_or_default());
    fields.sealed = &sealed;
    let mut content = serde_json::to_vec(&fields).expect("plain fields have a JSON form");
    content.push(b'\n');
    Ok(content)
}

/// What a file says it holds, without opening it; none if it is not sealed by a passphrase at all.
#[must_use]
pub fn purpose_of(content: &[u8]) -> Option<Purpose> {
    read(content).ok().map(|fields| fields.purpose)
}

fn base64(text: &str) -> Result<Vec<u8>, PassphraseError> {
    let bytes = STANDARD.decode(text);
    bytes.map_err(|_| PassphraseError::Form("a field is not base64"))
}

fn read_for(purpose: Purpose, content: &[u8]) -> Result<Fields<'_>, PassphraseError> {
    let fields = read(content)?;
    if fields.purpose == purpose {
        Ok(fields)
    } else {
        Err(PassphraseError::Purpose {
            found: fields.purpose,
            expected: purpose,
        })
    }
}

fn read(content: &[u8]) -> Result<Fields<'_>, PassphraseError> {
    let fields: Fields<'_> = serde_json::from_slice(content)
        .map_err(|_| PassphraseError::Form("not its JSON object"))?;
    if fields.kind != KIND {
        return Err(PassphraseError::Form("another kind of file"));
    }
    if fields.v != VERSION {
        return Err(PassphraseError::Form(
            "a version this software does not know",
        ));
    }
    if fields.kdf.alg != KDF {
        return Err(PassphraseError::Form("an unknown key derivation"));
    }
    let kdf = &fields.kdf;
    let bearable = (MIN_MEMORY_KIB..=MAX_MEMORY_KIB).contains(&kdf.memory_kib)
        && (1..=MAX_PASSES).contains(&kdf.passes)
        && (1..=MAX_LANES).contains(&kdf.lanes);
    if !bearable {
        return Err(PassphraseError::Cost {
            memory_kib: kdf.memory_kib,
            passes: kdf.passes,
            lanes: kdf.lanes,
        });
    }
    Ok(fields)
}

/// The additional data: everything that stands in the file before the box.
fn bound(fields: &Fields<'_>) -> Vec<u8> {
    let kdf = &fields.kdf;
    [
        LABEL,
        &[fields.v],
        fields.purpose.id().as_bytes(),
        kdf.alg.as_bytes(),
        &kdf.memory_kib.to_be_bytes(),
        &kdf.passes.to_be_bytes(),
        &kdf.lanes.to_be_bytes(),
        kdf.salt.as_bytes(),
    ]
    .into_iter()
    .flat_map(length_prefixed)
    .collect()
}

fn derive(
    passphrase: &Passphrase,
    kdf: &Kdf<'_>,
    salt: &[u8; SALT_LEN],
) -> Result<AeadKey, PassphraseError> {
    let params = Params::new(kdf.memory_kib, kdf.passes, kdf.lanes, Some(AEAD_KEY_LEN))
        .expect("parameters were bounded when the file was read");
    let mut key = Zeroizing::new([0; AEAD_KEY_LEN]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.0.as_bytes(), salt, &mut *key)
        .map_err(|_| PassphraseError::Memory(kdf.memory_kib))?;
    Ok(AeadKey::new(key))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.into())).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_its_passphrase_and_purpose_only() {
        let ours = passphrase("兼六園の雪吊りは十一月から");
        let sealed = seal(Purpose::Ca, &ours, b"secret of the CA").unwrap();
        assert_eq!(purpose_of(&sealed), Some(Purpose::Ca));
        let opened = open(Purpose::Ca, &ours, &sealed).unwrap();
        assert_eq!(&**opened, b"secret of the CA");
        let other = passphrase("correct horse battery");
        assert_eq!(
            open(Purpose::Ca, &other, &sealed),
            Err(PassphraseError::Wrong)
        );
        assert_eq!(
            open(Purpose::Wallet, &ours, &sealed),
            Err(PassphraseError::Purpose {
                found: Purpose::Ca,
                expected: Purpose::Wallet
            })
        );
        // Renamed by hand, it does not open either: the purpose is bound.
        let text = String::from_utf8(sealed).unwrap();
        let check = |from: &str, to: &str, expected: PassphraseError| {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            let purpose = purpose_of(changed.as_bytes()).unwrap_or(Purpose::Ca);
            assert_eq!(
                open(purpose, &ours, changed.as_bytes()),
                Err(expected),
                "{to}"
            );
        };
        check("\"ca\"", "\"wallet\"", PassphraseError::Wrong);
        check("\"passes\":3", "\"passes\":2", PassphraseError::Wrong);
        let cost = |memory_kib, passes, lanes| PassphraseError::Cost {
            memory_kib,
            passes,
            lanes,
        };
        check("65536", "104857600", cost(104_857_600, 3, 1));
        check("65536", "1", cost(1, 3, 1));
        check("\"passes\":3", "\"passes\":0", cost(65_536, 0, 1));
        check("\"passes\":3", "\"passes\":99", cost(65_536, 99, 1));
        check("\"lanes\":1", "\"lanes\":64", cost(65_536, 3, 64));
        let form = PassphraseError::Form;
        check(
            "\"v\":1",
            "\"v\":2",
            form("a version this software does not know"),
        );
        check("argon2id", "scrypt", form("an unknown key derivation"));
        check(KIND, "signing", form("another kind of file"));
        check("\"v\":1", "\"v\":1,\"x\":1", form("not its JSON object"));
        check(
            "\"sealed\":\"",
            "\"sealed\":\"!",
            form("a field is not base64"),
        );
        check(
            "\"salt\":\"",
            "\"salt\":\"AAAA",
            form("a salt of the wrong length"),
        );
        for length in [0, 1, text.len() / 2, text.len() - 3] {
            assert_eq!(purpose_of(&text.as_bytes()[..length]), None);
        }
    }

    #[test]
    fn a_passphrase_is_one_line_of_bounded_length() {
        let new = |text: &str| Passphrase::new(Zeroizing::new(text.into()));
        assert!(new("twelve chars").is_ok());
        // Twelve characters, not bytes; the line break is not one of them.
        assert!(new("雪月花雪月花雪月花雪月花").is_ok());
        assert_eq!(new("eleven char\n").unwrap_err(), PassphraseError::Length);
        assert_eq!(new("").unwrap_err(), PassphraseError::Length);
        assert_eq!(new(&"x".repeat(1025)).unwrap_err(), PassphraseError::Length);
        assert_eq!(
            new("two lines are\na file").unwrap_err(),
            PassphraseError::Lines
        );
        let (typed, read) = (
            new("twelve chars").unwrap(),
            new("twelve chars\r\n").unwrap(),
        );
        assert!(typed.is_same(&read));
        assert!(!typed.is_same(&new("another one here").unwrap()));
    }

    #[test]
    fn a_passphrase_is_never_shown() {
        let secret = passphrase("correct horse battery");
        assert_eq!(format!("{secret:?}"), "Passphrase(redacted)");
        for error in [PassphraseError::Wrong, PassphraseError::Length] {
            assert!(!format!("{error} {error:?}").contains("horse"));
        }
    }
}

//! One line of a batch: a JSON case in, a JSON answer out. Fields that a command does not know are left alone, so that
//! published vectors can be passed on as they are.

use std::collections::BTreeMap;
use std::fmt;

use city_protocol::Refusal;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::aead;
use super::scheme::{KemScheme, SignatureScheme};

/// Why a case is answered `"ok":false`. The codes are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The line is no JSON object.
    #[error("not a JSON object")]
    NotJson,
    /// The line is longer than the limit.
    #[error("the line is longer than the limit")]
    LineTooLong,
    /// A field is not there.
    #[error("a field is missing")]
    MissingField,
    /// A field is there under two of its names.
    #[error("a field is given twice, under two names")]
    DuplicateField,
    /// A field is not text, or not hexadecimal.
    #[error("a field is not hexadecimal text")]
    BadField,
    /// An algorithm that the command does not know.
    #[error("unknown algorithm")]
    UnknownAlgorithm,
    /// A key of the wrong length.
    #[error("a key of the wrong length")]
    KeyLength,
    /// A key that is none.
    #[error("not a key of this algorithm")]
    BadKey,
    /// A KEM ciphertext of the wrong length.
    #[error("a ciphertext of the wrong length")]
    Length,
    /// A signature of the wrong length.
    #[error("a signature of the wrong length")]
    SignatureLength,
    /// A context string of more than 255 bytes.
    #[error("a context string has at most 255 bytes")]
    ContextLength,
    /// The algorithm has no context strings.
    #[error("this algorithm has no context string")]
    ContextUnsupported,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    BadSignature,
    /// An empty IV, or one of a length that is not taken.
    #[error("an IV of a length that is not taken")]
    IvLength,
    /// A tag that does not have 16 bytes.
    #[error("a tag has 16 bytes")]
    TagLength,
    /// The tag does not fit.
    #[error("key, IV, additional data, ciphertext and tag do not belong together")]
    BadTag,
}

impl Reason {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotJson => "not-json",
            Self::LineTooLong => "line-too-long",
            Self::MissingField => "missing-field",
            Self::DuplicateField => "duplicate-field",
            Self::BadField => "bad-field",
            Self::UnknownAlgorithm => "unknown-algorithm",
            Self::KeyLength => "key-length",
            Self::BadKey => "bad-key",
            Self::Length => "length",
            Self::SignatureLength => "signature-length",
            Self::ContextLength => "context-length",
            Self::ContextUnsupported => "context-unsupported",
            Self::BadSignature => "bad-signature",
            Self::IvLength => "iv-length",
            Self::TagLength => "tag-length",
            Self::BadTag => "bad-tag",
        }
    }

    /// Why a key of the ledger did not take a signature.
    #[must_use]
    pub const fn of_signature(refusal: Refusal) -> Self {
        match refusal {
            Refusal::SignatureLength => Self::SignatureLength,
            Refusal::BadKey => Self::BadKey,
            _ => Self::BadSignature,
        }
    }
}

/// What a batch does with each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// `alg`, `public_key`, `message`, `signature`, optional `context`.
    Verify,
    /// `alg`, `secret_key`, `ciphertext` → `shared_secret`.
    Decapsulate,
    /// `alg`, `key`, `iv`, `ciphertext`, `tag`, optional `aad` → `plaintext`.
    Decrypt,
}

/// What is said to one line.
pub struct Answer {
    /// `{"id":…,"ok":…,"reason":…}` and what came out, without the line's end.
    pub line: Zeroizing<String>,
    /// Whether it says `"ok":true`.
    pub ok: bool,
}

/// Answers one line.
#[must_use]
pub fn answer(task: Task, line: &[u8]) -> Answer {
    match serde_json::from_slice::<Fields<'_>>(line) {
        Ok(case) => {
            let outcome = if case.twice {
                Err(Reason::DuplicateField)
            } else {
                task.run(&case)
            };
            told(case.named.get("id").copied(), &outcome)
        }
        Err(_) => told(None, &Err(Reason::NotJson)),
    }
}

/// Answers a line that was not kept because it is too long.
#[must_use]
pub fn too_long() -> Answer {
    told(None, &Err(Reason::LineTooLong))
}

/// What came out of a case: a name and bytes, if anything does.
type Output = Option<(&'static str, Zeroizing<Vec<u8>>)>;

/// Written field by field, because serde_json's map would sort them; the id is given back as it came.
fn told(id: Option<&RawValue>, outcome: &Result<Output, Reason>) -> Answer {
    let (id, ok) = (id.map_or("null", RawValue::get), outcome.is_ok());
    let line = match outcome {
        Ok(None) => format!("{{\"id\":{id},\"ok\":true,\"reason\":null}}"),
        Ok(Some((name, bytes))) => {
            let hex = Zeroizing::new(HEXLOWER.encode(bytes));
            let hex = hex.as_str();
            format!("{{\"id\":{id},\"ok\":true,\"{name}\":\"{hex}\",\"reason\":null}}")
        }
        Err(reason) => {
            let code = reason.code();
            format!("{{\"id\":{id},\"ok\":false,\"reason\":\"{code}\"}}")
        }
    };
    Answer {
        line: Zeroizing::new(line),
        ok,
    }
}

impl Task {
    fn run(self, fields: &Fields<'_>) -> Result<Output, Reason> {
        match self {
            Self::Verify => {
                let scheme = SignatureScheme::of(&fields.text("alg")?)?;
                let (key, message) = (fields.bytes("public_key")?, fields.bytes("message")?);
                let signature = fields.bytes("signature")?;
                let context = fields.bytes_or_none("context")?;
                scheme.verify(&key, &message, &context, &signature)?;
                Ok(None)
            }
            Self::Decapsulate => {
                let scheme = KemScheme::of(&fields.text("alg")?)?;
                let (key, ciphertext) = (fields.bytes("secret_key")?, fields.bytes("ciphertext")?);
                let shared = scheme.decapsulate(&key, &ciphertext)?;
                Ok(Some(("shared_secret", shared)))
            }
            Self::Decrypt => {
                let alg = fields.text("alg")?;
                let (key, iv) = (fields.bytes("key")?, fields.bytes("iv")?);
                let (ciphertext, tag) = (fields.bytes("ciphertext")?, fields.bytes("tag")?);
                let aad = fields.bytes_or_none("aad")?;
                let text = aead::open(&alg, &key, &iv, &aad, &ciphertext, &tag)?;
                Ok(Some(("plaintext", text)))
            }
        }
    }
}

/// What fields are called, too. Whatever else stands in a case is passed over, such as a comment.
const ALIASES: &[(&str, &[&str])] = &[
    ("alg", &["algorithm"]),
    ("public_key", &["pk"]),
    ("secret_key", &["sk"]),
    ("message", &["msg"]),
    ("signature", &["sig"]),
    ("context", &["ctx", "context_string"]),
    ("ciphertext", &["ct"]),
    ("iv", &["nonce"]),
    ("aad", &["ad"]),
];

/// The fields of a case.
struct Fields<'a> {
    named: BTreeMap<String, &'a RawValue>,
    /// Whether a name stands there twice.
    twice: bool,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a case")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut named, mut twice) = (BTreeMap::new(), false);
        while let Some((name, value)) = map.next_entry()? {
            twice |= named.insert(name, value).is_some();
        }
        Ok(Fields { named, twice })
    }
}

impl Fields<'_> {
    /// A field under any of its names.
    fn find(&self, name: &str) -> Result<Option<&RawValue>, Reason> {
        let aliases = ALIASES.iter().find(|(field, _)| *field == name);
        let aliases = aliases.map_or(&[][..], |(_, aliases)| aliases);
        let names = std::iter::once(&name).chain(aliases);
        let mut found = names.filter_map(|name| self.named.get(*name).copied());
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Reason::DuplicateField),
            (one, None) => Ok(one),
        }
    }

    fn text(&self, name: &str) -> Result<Zeroizing<String>, Reason> {
        let value = self.find(name)?.ok_or(Reason::MissingField)?;
        let text = serde_json::from_str(value.get());
        text.map(Zeroizing::new).map_err(|_| Reason::BadField)
    }

    fn bytes(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, Reason> {
        let bytes = HEXLOWER_PERMISSIVE.decode(self.text(name)?.as_bytes());
        bytes.map(Zeroizing::new).map_err(|_| Reason::BadField)
    }

    /// Empty where the field is absent or null.
    fn bytes_or_none(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, Reason> {
        match self.find(name)? {
            None => Ok(Zeroizing::default()),
            Some(value) if value.get() == "null" => Ok(Zeroizing::default()),
            Some(_) => self.bytes(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use city_protocol::crypto::Algorithm;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_that_says_too_little_or_nonsense_is_answered_with_its_code() {
        let check = |task, line: &str, expected: &str| {
            let answer = answer(task, line.as_bytes());
            assert_eq!(answer.line.as_str(), expected, "{line}");
            assert!(!answer.ok);
        };
        let no = |id: &str, reason: &str| {
            format!("{{\"id\":{id},\"ok\":false,\"reason\":\"{reason}\"}}")
        };
        let verify =
            |line: &str, id: &str, reason: &str| check(Task::Verify, line, &no(id, reason));
        verify("", "null", "not-json");
        verify("[1]", "null", "not-json");
        verify("{\"id\":1", "null", "not-json");
        verify("{\"id\":1}{\"id\":2}", "null", "not-json");
        verify(
            "{\"id\":[1,{\"a\":null}]}",
            "[1,{\"a\":null}]",
            "missing-field",
        );
        verify(
            "{\"id\":\"七\",\"alg\":\"x\"}",
            "\"七\"",
            "unknown-algorithm",
        );
        verify("{\"alg\":3}", "null", "bad-field");
        verify(
            "{\"id\":1,\"alg\":\"x\",\"alg\":\"ed25519\"}",
            "1",
            "duplicate-field",
        );
        verify(
            "{\"alg\":\"ed25519\",\"public_key\":\"0\"}",
            "null",
            "bad-field",
        );
        let rest = "\"public_key\":\"\",\"message\":\"\",\"signature\":\"\"";
        for (alg, reason) in [
            ("dilithium5", "bad-key"),
            ("ML_DSA_87", "bad-key"),
            ("rsa-pkcs1-sha256", "bad-key"),
            ("ed25519", "bad-key"),
            ("ecdsa-p256-sha256", "bad-key"),
            ("aes-256-gcm", "unknown-algorithm"),
        ] {
            verify(&format!("{{\"alg\":\"{alg}\",{rest}}}"), "null", reason);
        }
        let context = "\"context\":\"00\"";
        verify(
            &format!("{{\"alg\":\"dilithium5\",{rest},{context}}}"),
            "null",
            "context-unsupported",
        );
        let kem = "{\"alg\":\"ntruhps2048509\",\"secret_key\":\"\",\"ciphertext\":\"\"}";
        check(Task::Decapsulate, kem, &no("null", "key-length"));
        let deep = format!("{{\"id\":{}}}", "[".repeat(100_000));
        verify(&deep, "null", "not-json");
        assert_eq!(*too_long().line, no("null", "line-too-long"));
        verify(
            "{\"id\":1.50e+400 , \"alg\":\"x\"}",
            "1.50e+400",
            "unknown-algorithm",
        );
    }

    #[test]
    fn fields_have_second_names_and_no_two_of_them_at_once() {
        let hex = |bytes: &[u8]| HEXLOWER.encode(bytes);
        let check = |task, case: serde_json::Value, expected: &str| {
            let told = answer(task, case.to_string().as_bytes());
            assert!(told.line.contains(expected), "{case}: {}", *told.line);
        };
        let key = city_protocol::crypto::SecretKey::generate(Algorithm::MlDsa87);
        let (public, signature) = (hex(key.public().as_bytes()), key.sign_raw(b"money"));
        let case = |context: &str, value: &str| {
            json!({
                "algorithm": "ml-dsa-87", "pk": public, "msg": hex(b"money"),
                "sig": hex(signature.as_bytes()), "comment": "a payment", context: value,
            })
        };
        check(Task::Verify, case("ctx", ""), "true");
        check(Task::Verify, case("ctx", "00"), "bad-signature");
        check(Task::Verify, case("remark", "00"), "true");
        check(Task::Verify, case("message", "00"), "duplicate-field");

        let seal_key = [7; aead::KEY_LEN];
        let sealed = aead::seal(&seal_key, b"draft", b"letter").unwrap();
        let case = |aad: &str| {
            json!({
                "alg": "aes-256-gcm", "key": hex(&seal_key), "nonce": hex(&sealed.iv), aad: hex(b"draft"),
                "ct": hex(&sealed.ciphertext), "tag": hex(&sealed.tag), "msg": "00",
            })
        };
        check(Task::Decrypt, case("ad"), &hex(b"letter"));
        check(Task::Decrypt, case("aad"), &hex(b"letter"));
        check(Task::Decrypt, case("remark"), "bad-tag");
        let kem = json!({"alg": "ml-kem-768", "sk": "", "ct": ""});
        check(Task::Decapsulate, kem, "key-length");
    }
}

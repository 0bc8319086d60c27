//! The canonical JSON that people sign: RFC 8785 with limits, so that every language can make the
//! exact bytes. Parse, write canonically, compare: duplicate keys, other orders, blanks and other
//! spellings all fail the comparison. The bytes are kept as received and never serialised again.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::refusal::Refusal;

/// Longest body that a person or officer signs, in bytes.
pub const MAX_SIGNED_BODY: usize = 16 * 1024;
/// Longest charter, in bytes: a node certificate with its chain and up to nine officers' raw keys.
pub const MAX_CHARTER_BODY: usize = 96 * 1024;
/// Deepest nesting of objects and lists.
const MAX_DEPTH: usize = 4;
/// Largest integer: what every language's numbers hold exactly.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;
/// Longest object key.
const MAX_KEY: usize = 64;

/// Reads a canonical JSON object of at most `limit` bytes into a typed body.
///
/// # Errors
/// [`Refusal::TooLarge`], [`Refusal::BadJson`], [`Refusal::NotCanonical`], or [`Refusal::BadField`].
pub fn read<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, Refusal> {
    let value = read_object(bytes, limit)?;
    serde_json::from_value(value).map_err(|_| Refusal::BadField)
}

/// Reads a canonical JSON object without a type.
///
/// # Errors
/// As [`read`].
pub fn read_object(bytes: &[u8], limit: usize) -> Result<Value, Refusal> {
    if bytes.len() > limit {
        return Err(Refusal::TooLarge);
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|_| Refusal::BadJson)?;
    if !value.is_object() {
        return Err(Refusal::BadField);
    }
    check(&value, 1)?;
    if sorted_writing(&value) == bytes {
        Ok(value)
    } else {
        Err(Refusal::NotCanonical)
    }
}

/// The canonical writing of a value that [`check`] let pass. Its keys are ASCII, which the map keeps sorted,
/// its numbers are integers, and strings have one writing: what is left of RFC 8785 is what `serde_json` does,
/// at a fifth of the cost. A test compares it with [`canonical`].
fn sorted_writing(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a value has a JSON form")
}

/// Writes a typed body as canonical JSON.
///
/// # Panics
/// Never for this crate's bodies: they have text keys and integers only.
#[must_use]
pub fn canonical<T: Serialize>(body: &T) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(body).expect("our own bodies have a JSON form")
}

fn check(value: &Value, depth: usize) -> Result<(), Refusal> {
    match value {
        Value::Object(map) => {
            within(depth)?;
            map.iter().try_for_each(|(key, value)| {
                let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
                if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(plain) {
                    return Err(Refusal::BadField);
                }
                check(value, depth + 1)
            })
        }
        Value::Array(list) => {
            within(depth)?;
            list.iter().try_for_each(|value| check(value, depth + 1))
        }
        Value::Number(number) => match number.as_u64() {
            Some(n) if n <= MAX_INTEGER => Ok(()),
            _ => Err(Refusal::BadField),
        },
        Value::Null => Err(Refusal::BadField),
        Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

const fn within(depth: usize) -> Result<(), Refusal> {
    if depth > MAX_DEPTH {
        Err(Refusal::BadField)
    } else {
        Ok(())
    }
}

/// Bytes as standard base64 with padding in JSON and as a byte string in DAG-CBOR, for
/// `#[serde(with = …)]`.
pub mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the bytes.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&STANDARD.encode(bytes))
        } else {
            serializer.serialize_bytes(bytes)
        }
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// The deserializer's own, or not base64 in its one spelling.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        if deserializer.is_human_readable() {
            STANDARD
                .decode(String::deserialize(deserializer)?)
                .map_err(D::Error::custom)
        } else {
            serde_bytes::ByteBuf::deserialize(deserializer).map(serde_bytes::ByteBuf::into_vec)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values within the limits, strings of every kind of character among them.
    fn values() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            any::<String>(),
            "[\\x00-\\x20\"\\\\/\\x7f-\\x9f\u{2028}\u{1f49b}]{0,9}"
        ];
        let leaf = prop_oneof![
            text.prop_map(Value::from),
            (0..=MAX_INTEGER).prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
        ];
        let object = |inner: BoxedStrategy<Value>| {
            proptest::collection::btree_map("[a-z0-9_.-]{1,8}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        };
        let inner = leaf.prop_recursive(2, 16, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                object(inner),
            ]
        });
        object(inner.boxed())
    }

    proptest! {
        #[test]
        fn what_is_compared_is_the_canonical_writing(value in values()) {
            prop_assume!(check(&value, 1).is_ok());
            let bytes = canonical(&value);
            prop_assert_eq!(sorted_writing(&value), bytes.clone());
            prop_assert_eq!(read_object(&bytes, usize::MAX), Ok(value));
        }
    }

    #[track_caller]
    fn refused(text: &str, expected: Refusal) {
        assert_eq!(
            read_object(text.as_bytes(), MAX_SIGNED_BODY),
            Err(expected),
            "{text}"
        );
    }

    #[test]
    fn canonical_objects_are_read() {
        let text = r#"{"a":1,"b":{"c":["x",true]},"名":"x"}"#;
        // Keys are restricted to ASCII, so the last one is refused; without it the object stands.
        refused(text, Refusal::BadField);
        assert!(read_object(br#"{"a":1,"b":{"c":["x",true]}}"#, 100).is_ok());
        assert!(read_object("{\"a\":\"愛\u{1F49B}\"}".as_bytes(), 100).is_ok());
        assert!(read_object(br#"{"a":9007199254740991}"#, 100).is_ok());
    }

    #[test]
    fn everything_else_is_refused() {
        refused(r#"{"b":1,"a":2}"#, Refusal::NotCanonical);
        refused(r#"{"a":1,"a":1}"#, Refusal::NotCanonical);
        refused(r#"{"a": 1}"#, Refusal::NotCanonical);
        refused("{\"a\":1}\n", Refusal::NotCanonical);
        refused(r#"{"a":"\u0041"}"#, Refusal::NotCanonical);
        refused(r#"{"a":"\/"}"#, Refusal::NotCanonical);
        refused("\u{feff}{\"a\":1}", Refusal::BadJson);
        refused(r#"{"a":1.0}"#, Refusal::BadField);
        refused(r#"{"a":1e3}"#, Refusal::BadField);
        refused(r#"{"a":-1}"#, Refusal::BadField);
        refused(r#"{"a":9007199254740992}"#, Refusal::BadField);
        refused(r#"{"a":null}"#, Refusal::BadField);
        refused(r#"{"A":1}"#, Refusal::BadField);
        refused(r#"{"":1}"#, Refusal::BadField);
        refused(r#"[1]"#, Refusal::BadField);
        refused(r#"{"a":{"b":{"c":{"d":{}}}}}"#, Refusal::BadField);
        refused(r#"{"a":"\ud800"}"#, Refusal::BadJson);
        refused(r#"{"a":1}{"#, Refusal::BadJson);
        assert_eq!(read_object(b"{\"a\":\"\xff\"}", 100), Err(Refusal::BadJson));
        assert_eq!(read_object(&[b' '; 101], 100), Err(Refusal::TooLarge));
    }
}

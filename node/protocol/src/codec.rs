//! Deterministic DAG-CBOR: what is not exactly what the encoder would have written is refused.

use ipld_core::codec::Links as _;
use ipld_core::ipld::Ipld;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_ipld_dagcbor::codec::DagCborCodec;

use crate::ids::BlockId;
use crate::refusal::Refusal;

/// Encodes a value as deterministic DAG-CBOR (map keys sorted by length, then bytes).
///
/// # Panics
/// Never for this crate's types: they hold no floats and no maps with other than text keys.
#[must_use]
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_ipld_dagcbor::to_vec(value).expect("our own types have a DAG-CBOR form")
}

/// Encodes several values one after the other.
///
/// # Panics
/// As [`encode`].
pub(crate) fn encode_each<'a, T: Serialize + 'a>(values: impl Iterator<Item = &'a T>) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        serde_ipld_dagcbor::to_writer(&mut out, value).expect("our own types have a DAG-CBOR form");
    }
    out
}

/// Decodes deterministic DAG-CBOR of at most `limit` bytes.
///
/// The result is encoded again and compared, so unknown keys, another order, longer integers, trailing
/// bytes and floats are all refused. No length in the input is believed beyond the input's own length.
///
/// # Errors
/// [`Refusal::TooLarge`] or [`Refusal::BadCbor`].
pub fn decode<T: DeserializeOwned + Serialize>(bytes: &[u8], limit: usize) -> Result<T, Refusal> {
    if bytes.len() > limit {
        return Err(Refusal::TooLarge);
    }
    let value: T = serde_ipld_dagcbor::from_slice(bytes).map_err(|_| Refusal::BadCbor)?;
    if encode(&value) == bytes {
        Ok(value)
    } else {
        Err(Refusal::BadCbor)
    }
}

/// Decodes what [`decode`] took before it was stored: its writing is not compared again.
pub(crate) fn decode_stored<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_ipld_dagcbor::from_slice(bytes).ok()
}

/// As [`decode`], for a map whose `v` names its form: a later form may have any other fields, and is told
/// apart from a wrong one.
///
/// # Errors
/// [`Refusal::UnknownVersion`], and those of [`decode`].
pub fn decode_version<T: DeserializeOwned + Serialize>(
    bytes: &[u8],
    limit: usize,
    version: u64,
) -> Result<T, Refusal> {
    #[derive(Deserialize)]
    struct Form {
        v: u64,
    }
    if bytes.len() > limit {
        return Err(Refusal::TooLarge);
    }
    match serde_ipld_dagcbor::from_slice::<Form>(bytes) {
        Ok(form) if form.v != version => Err(Refusal::UnknownVersion),
        Ok(_) => decode(bytes, limit),
        Err(_) => Err(Refusal::BadCbor),
    }
}

/// Deterministic DAG-CBOR as JSON for people and programs to look at, in DAG-JSON's forms: a link is `{"/": "bafy…"}`,
/// bytes are `{"/": {"bytes": base64 without padding}}`. None for what is not one DAG-CBOR value.
#[must_use]
pub fn to_json(bytes: &[u8]) -> Option<serde_json::Value> {
    let value: Ipld = serde_ipld_dagcbor::from_slice(bytes).ok()?;
    shown(value)
}

fn shown(value: Ipld) -> Option<serde_json::Value> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use serde_json::{Value, json};
    Some(match value {
        Ipld::Null => Value::Null,
        Ipld::Bool(yes) => yes.into(),
        Ipld::Integer(number) => match i64::try_from(number) {
            Ok(small) => small.into(),
            Err(_) => u64::try_from(number).ok()?.into(),
        },
        // No form of this software holds one.
        Ipld::Float(_) => return None,
        Ipld::String(text) => text.into(),
        Ipld::Bytes(bytes) => json!({ "/": { "bytes": STANDARD_NO_PAD.encode(bytes) } }),
        Ipld::List(list) => Value::Array(list.into_iter().map(shown).collect::<Option<_>>()?),
        Ipld::Map(map) => {
            let fields = map
                .into_iter()
                .map(|(name, value)| Some((name, shown(value)?)));
            Value::Object(fields.collect::<Option<_>>()?)
        }
        Ipld::Link(cid) => json!({ "/": cid.to_string() }),
    })
}

/// The ids to which a block links (tag 42), in the order in which they stand in it.
///
/// Every block of DAG-CBOR can be asked, also of forms that are not known here. No length in it is believed beyond
/// the block's own length.
///
/// # Errors
/// [`Refusal::BadCbor`] for bytes that end within an item or are no DAG-CBOR, [`Refusal::BadId`] for a link to
/// anything but a block of ours.
pub fn links(block: &[u8]) -> Result<Vec<BlockId>, Refusal> {
    let found = DagCborCodec::links(block).map_err(|_| Refusal::BadCbor)?;
    found.map(|cid| BlockId::from_cid(&cid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_links_of_a_block_are_found_wherever_they_stand() {
        #[derive(Serialize)]
        struct Linking {
            first: BlockId,
            text: String,
            inside: Vec<(u64, Option<BlockId>)>,
        }
        let [a, b] = [b"a", b"b"].map(|block| BlockId::of(block));
        let block = encode(&Linking {
            first: a,
            // As a link would stand, within text: it is none.
            text: "\u{2a}X%".repeat(100),
            inside: vec![(1 << 40, Some(b)), (300, None), (5, Some(a))],
        });
        assert_eq!(links(&block), Ok(vec![a, b, a]));
        assert_eq!(links(&encode(&7_u64)), Ok(vec![]));
        for end in 1..block.len() {
            // Cut within an item, or between two: it never finds what is not there.
            assert!(
                links(&block[..end]).map_or(0, |found| found.len()) <= 3,
                "{end}"
            );
        }
        for bad in [
            &b"\x5f"[..],
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xc1\x00",
            b"\xd8\x2a\x00",
        ] {
            assert_eq!(links(bad), Err(Refusal::BadCbor), "{bad:?}");
        }
        let raw = [&b"\xd8\x2a\x58\x25\x00\x01\x55\x12\x20"[..], &[0; 32]].concat();
        assert_eq!(links(&raw), Err(Refusal::BadId));
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        b: u64,
        a: Vec<u64>,
        #[serde(with = "serde_bytes")]
        raw: Vec<u8>,
    }

    #[test]
    fn what_is_shown_has_the_forms_of_dag_json() {
        let id = BlockId::of(b"block");
        let bytes = encode(&(
            7_u64,
            "愛",
            id,
            serde_bytes::ByteBuf::from(vec![0xfb, 0xff]),
        ));
        let expected = serde_json::json!([
            7, "愛", { "/": id.to_string() }, { "/": { "bytes": "+/8" } },
        ]);
        assert_eq!(to_json(&bytes), Some(expected));
        assert_eq!(to_json(&bytes[1..]), None);
    }

    #[test]
    fn decoding_takes_only_what_encoding_writes() {
        let sample = Sample {
            b: 1,
            a: vec![2],
            raw: vec![3],
        };
        let bytes = encode(&sample);
        assert_eq!(decode::<Sample>(&bytes, 64).unwrap(), sample);
        let check = |bytes: &[u8]| decode::<Sample>(bytes, 64).unwrap_err();
        assert_eq!(check(&[bytes.as_slice(), &[0]].concat()), Refusal::BadCbor);
        // The same map with its keys in another order.
        assert_eq!(
            check(b"\xa3\x61b\x01\x61a\x81\x02\x63raw\x41\x03"),
            Refusal::BadCbor
        );
        // A longer spelling of the integer 1.
        assert_eq!(
            check(b"\xa3\x61a\x81\x02\x61b\x18\x01\x63raw\x41\x03"),
            Refusal::BadCbor
        );
        // An unknown key.
        assert_eq!(
            check(b"\xa4\x61a\x81\x02\x61b\x01\x61c\x01\x63raw\x41\x03"),
            Refusal::BadCbor
        );
        // A float.
        assert_eq!(
            check(b"\xa3\x61a\x81\x02\x61b\xfb\x3f\xf0\0\0\0\0\0\0\x63raw\x41\x03"),
            Refusal::BadCbor
        );
        assert_eq!(decode::<Sample>(&bytes, 4).unwrap_err(), Refusal::TooLarge);
    }

    #[test]
    fn a_length_prefix_of_a_gibibyte_allocates_nothing() {
        for head in [0x5a_u8, 0x7a, 0x9a, 0xba] {
            let bytes = [&[0xa1, 0x63, b'r', b'a', b'w', head][..], &[0x40, 0, 0, 0]].concat();
            assert_eq!(decode::<Sample>(&bytes, 64).unwrap_err(), Refusal::BadCbor);
        }
    }
}

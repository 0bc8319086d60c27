//! A line of the board that all homes share: a key, and what stands there.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::Label;
use crate::codec;
use crate::refusal::Refusal;
use crate::region::Region;

/// Longest value in bytes: a page of text or a small picture; what is larger belongs elsewhere, and is named here.
pub const MAX_NOTE_VALUE: usize = 64 * 1024;
/// Longest body in bytes: the value, the key and what stands around them.
const MAX_NOTE: usize = MAX_NOTE_VALUE + 512;

/// What a home writes on the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Form of the body: 1.
    pub v: u64,
    /// Where it stands: at most 256 bytes.
    pub key: Label,
    /// What stands there, at most [`MAX_NOTE_VALUE`] bytes; absent, it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ByteBuf>,
}

impl Note {
    /// Reads the body.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::BadCbor`] or [`Refusal::UnknownVersion`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let body: Self = codec::decode_version(bytes, MAX_NOTE, super::BODY_VERSION)?;
        if body.bytes() > MAX_NOTE_VALUE {
            return Err(Refusal::TooLarge);
        }
        Ok(body)
    }

    /// Length of the value; 0 where it is deleted.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.len())
    }

    /// Whether the home of this municipality may write it: a key without `/` is everybody's, one with `/` is that of the
    /// municipality whose region and a `/` it begins with.
    #[must_use]
    pub fn may_be_of(&self, region: &Region) -> bool {
        let key = self.key.as_str();
        let below = || key.strip_prefix(region.as_str())?.strip_prefix('/');
        !key.contains('/') || below().is_some_and(|rest| !rest.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(key: &str, value: Option<&[u8]>) -> Note {
        Note {
            v: 1,
            key: Label::new(key).unwrap(),
            value: value.map(ByteBuf::from),
        }
    }

    #[test]
    fn a_municipality_writes_below_its_own_name_and_everybody_without_one() {
        let kanazawa: Region = "Asia/JP/17/17201".parse().unwrap();
        let check = |key: &str, expected| {
            assert_eq!(note(key, None).may_be_of(&kanazawa), expected, "{key}");
        };
        check("掲示", true);
        check("Asia", true);
        check("Asia/JP/17/17201/hours", true);
        check("Asia/JP/17/17201/a/b", true);
        check("Asia/JP/17/17201/", false);
        check("Asia/JP/17/17201", false);
        check("Asia/JP/17/172011/hours", false);
        check("Asia/JP/17/17203/hours", false);
        check("/hours", false);
        check("hours/", false);
    }

    #[test]
    fn a_note_reads_back_and_what_is_too_long_does_not() {
        let check = |note: &Note, expected: Result<(), Refusal>| {
            let read = Note::read(&codec::encode(note));
            assert_eq!(read, expected.map(|()| note.clone()));
        };
        check(&note("k", Some(b"v")), Ok(()));
        check(&note("k", Some(b"")), Ok(()));
        check(&note("k", None), Ok(()));
        check(&note(&"k".repeat(256), Some(&[7; MAX_NOTE_VALUE])), Ok(()));
        check(
            &note("k", Some(&[7; MAX_NOTE_VALUE + 1])),
            Err(Refusal::TooLarge),
        );
        check(
            &note("k", Some(&[7; MAX_NOTE_VALUE + 1024])),
            Err(Refusal::TooLarge),
        );
        let newer = Note {
            v: 2,
            ..note("k", None)
        };
        check(&newer, Err(Refusal::UnknownVersion));
        // A null is no absent value, and a key has no control characters.
        let null = [b"\xa3\x61v\x01\x63key\x61k\x65value\xf6".as_slice()].concat();
        assert_eq!(Note::read(&null), Err(Refusal::BadCbor));
        let bell = [b"\xa2\x61v\x01\x63key\x61\x07".as_slice()].concat();
        assert_eq!(Note::read(&bell), Err(Refusal::BadCbor));
    }
}

//! Small changes to valid bytes: what a careful attacker tries, and what raw noise seldom finds.

use arbitrary::{Arbitrary, Unstructured};

/// One change. Places are taken modulo the length, so that every number means something.
#[derive(Arbitrary, Clone, Debug)]
pub enum Edit {
    /// Another byte.
    Set(u16, u8),
    /// One flipped bit.
    Flip(u16, u8),
    /// A byte more.
    Insert(u16, u8),
    /// Some bytes less.
    Remove(u16, u8),
    /// Some bytes once more, somewhere else.
    Copy(u16, u16, u8),
    /// The end is missing.
    Cut(u16),
}

/// Applies the changes in order.
pub fn apply(bytes: &mut Vec<u8>, edits: &[Edit]) {
    for edit in edits {
        let len = bytes.len();
        if len == 0 {
            return;
        }
        let place = |at: u16| usize::from(at) % len;
        match *edit {
            Edit::Set(at, byte) => bytes[place(at)] = byte,
            Edit::Flip(at, bit) => bytes[place(at)] ^= 1 << (bit % 8),
            Edit::Insert(at, byte) => bytes.insert(place(at), byte),
            Edit::Remove(at, count) => {
                let from = place(at);
                bytes.drain(from..len.min(from + usize::from(count)));
            }
            Edit::Copy(from, to, count) => {
                let from = place(from);
                let part = bytes[from..len.min(from + usize::from(count))].to_vec();
                let to = place(to);
                bytes.splice(to..to, part);
            }
            Edit::Cut(at) => bytes.truncate(place(at)),
        }
    }
}

/// What a target makes of its input: the first byte says whether the rest are the bytes to be read as
/// they are, or the story of how valid ones were changed.
pub enum Input<'a> {
    /// Read these.
    Raw(&'a [u8]),
    /// Make something of these.
    Story(Unstructured<'a>),
}

impl<'a> Input<'a> {
    /// Reads the first byte; `None` where there is none.
    #[must_use]
    pub fn of(data: &'a [u8]) -> Option<Self> {
        let (first, rest) = data.split_first()?;
        Some(if first & 1 == 0 {
            Self::Raw(rest)
        } else {
            Self::Story(Unstructured::new(rest))
        })
    }

    /// The input that has these bytes read as they are.
    #[must_use]
    pub fn raw(bytes: &[u8]) -> Vec<u8> {
        [&[0], bytes].concat()
    }
}

//! Some twenty rows in the order of their keys: what is read at once from a shelf, and checked by a digest.

use std::ops::ControlFlow;

use city_protocol::ids::BlockId;

use super::super::MAX_KEY;

/// Bytes after which a block ends: one page of the disk, and of the kernel's cache.
pub(super) const BLOCK_BYTES: usize = 4096;
/// Bytes of the SHA-256 over a block that stand behind it.
const DIGEST: usize = 8;
/// In place of a value's length: the row is removed.
const REMOVED: u16 = u16::MAX;
/// Length of what its key shares with the one before, of the rest, of the value.
const LENGTHS: usize = 1 + 2 + 2;

/// A block in the making.
#[derive(Default)]
pub(super) struct Builder {
    bytes: Vec<u8>,
    last: Vec<u8>,
}

impl Builder {
    /// Adds a row behind the others; none for one that is removed.
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let first = self.bytes.is_empty();
        let shared = if first { 0 } else { common(&self.last, key) };
        let short = u8::try_from(shared).unwrap_or(u8::MAX);
        let rest = &key[usize::from(short)..];
        let len = |bytes: &[u8]| u16::try_from(bytes.len()).expect("a row within its limits");
        self.bytes.push(short);
        self.bytes.extend(len(rest).to_le_bytes());
        self.bytes.extend(value.map_or(REMOVED, len).to_le_bytes());
        self.bytes.extend_from_slice(rest);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.last.clear();
        self.last.extend_from_slice(key);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) const fn is_full(&self) -> bool {
        self.bytes.len() >= BLOCK_BYTES
    }

    /// The key that was added last.
    pub(super) fn last(&self) -> &[u8] {
        &self.last
    }

    /// Puts the block with its digest behind `out`, and begins another.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
        out.extend_from_slice(&digest(&self.bytes));
        self.bytes.clear();
    }
}

/// How many bytes two keys begin with alike.
pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn digest(bytes: &[u8]) -> [u8; DIGEST] {
    let whole = *BlockId::of(bytes).digest();
    whole
        .first_chunk()
        .copied()
        .expect("a SHA-256 is longer than that")
}

/// The rows of a block whose digest is right.
pub(super) fn checked(block: &[u8]) -> Option<&[u8]> {
    let (rows, found) = block.split_last_chunk::<DIGEST>()?;
    (digest(rows) == *found).then_some(rows)
}

/// Shows the rows of a block in order until `look` has seen enough; none if it is not one.
pub(super) fn walk(
    mut rows: &[u8],
    mut look: impl FnMut(&[u8], Option<&[u8]>) -> ControlFlow<()>,
) -> Option<()> {
    let mut key: Vec<u8> = Vec::with_capacity(MAX_KEY);
    while !rows.is_empty() {
        let (lengths, behind) = rows.split_at_checked(LENGTHS)?;
        let shared = usize::from(lengths[0]);
        let rest = usize::from(u16::from_le_bytes([lengths[1], lengths[2]]));
        let value = u16::from_le_bytes([lengths[3], lengths[4]]);
        let (rest, behind) = behind.split_at_checked(rest)?;
        if shared > key.len() {
            return None;
        }
        key.truncate(shared);
        key.extend_from_slice(rest);
        let (value, behind) = if value == REMOVED {
            (None, behind)
        } else {
            let (value, behind) = behind.split_at_checked(usize::from(value))?;
            (Some(value), behind)
        };
        if look(&key, value).is_break() {
            break;
        }
        rows = behind;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::super::MAX_VALUE;
    use super::*;

    #[test]
    fn rows_come_back_and_no_flipped_bit_goes_unseen() {
        let long = [[b'k'; MAX_KEY], [b'l'; MAX_KEY]];
        let rows: [(&[u8], Option<&[u8]>); 5] = [
            (b"a", Some(b"")),
            (b"ab", None),
            (b"b", Some(&[7; MAX_VALUE])),
            (&long[0], Some(b"x")),
            (&long[1], None),
        ];
        let mut builder = Builder::default();
        for (key, value) in rows {
            builder.push(key, value);
        }
        let mut block = Vec::new();
        builder.end(&mut block);
        assert!(builder.is_empty());
        let mut found = Vec::new();
        walk(checked(&block).unwrap(), |key, value| {
            found.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            ControlFlow::Continue(())
        })
        .unwrap();
        let owned = rows.map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)));
        assert_eq!(found, owned);
        for bit in 0..block.len() * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(checked(&block), None, "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

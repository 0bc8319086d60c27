//! A Bloom filter over a shelf's keys: most shelves that do not have a row are not read for it.

/// Bits for each row; with [`PROBES`] one in a hundred look-ups reads a block in vain.
const BITS_A_ROW: usize = 10;
const PROBES: u64 = 6;

/// The filter.
pub(super) struct Filter(Vec<u8>);

impl Filter {
    /// An empty one for at most so many rows.
    pub(super) fn for_rows(rows: u64) -> Self {
        let rows = usize::try_from(rows).unwrap_or(usize::MAX / BITS_A_ROW);
        let bytes = rows.saturating_mul(BITS_A_ROW).div_ceil(8).max(8);
        Self(vec![0; bytes])
    }

    /// One that was stored.
    pub(super) fn stored(bytes: Vec<u8>) -> Option<Self> {
        (!bytes.is_empty()).then_some(Self(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn add(&mut self, key: &[u8]) {
        for bit in bits(key, self.0.len()) {
            self.0[bit / 8] |= 1 << (bit % 8);
        }
    }

    /// Whether the key may have been added; `false` is certain.
    pub(super) fn may_have(&self, key: &[u8]) -> bool {
        bits(key, self.0.len()).all(|bit| self.0[bit / 8] & 1 << (bit % 8) != 0)
    }
}

/// Where a key's bits stand (double hashing, Kirsch and Mitzenmacher 2006).
fn bits(key: &[u8], bytes: usize) -> impl Iterator<Item = usize> {
    let first = hash(key);
    let step = (first >> 32) | 1;
    let count = bytes as u64 * 8;
    (0..PROBES).map(move |n| {
        let bit = first.wrapping_add(n.wrapping_mul(step)) % count;
        usize::try_from(bit).expect("a bit of what is in memory")
    })
}

/// FNV-1a, its bits mixed once more: stored, so that it may never change with a library. Nobody gains by finding
/// keys that fall together: a block is read, and that is all.
fn hash(key: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_and_few_others() {
        let key = |n: u32| [b"key/", &n.to_be_bytes()[..]].concat();
        let mut filter = Filter::for_rows(10_000);
        (0..10_000).for_each(|n| filter.add(&key(n)));
        assert!((0..10_000).all(|n| filter.may_have(&key(n))));
        let wrong = (10_000..20_000).filter(|n| filter.may_have(&key(*n)));
        let wrong = wrong.count();
        assert!(wrong < 300, "{wrong} of 10,000");
    }
}

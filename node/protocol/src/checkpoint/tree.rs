//! The growing Merkle tree over a log's vertices: its peaks are all that is kept, so that a checkpoint costs what was
//! added since the last one and not the log's age.

use crate::ids::{BlockId, sha256};
use crate::vertex::inner_hash;

/// The hash of a vertex id in the tree: SHA-256(0x00 ‖ digest of the id).
#[must_use]
pub fn vertex_leaf(id: &BlockId) -> [u8; 32] {
    sha256(&[&[0], id.digest()])
}

/// The full subtrees of a tree in the shape of RFC 9162: one for each bit that is set in the number of leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    count: u64,
    /// Levels and roots, the highest level first.
    peaks: Vec<(u8, [u8; 32])>,
}

impl Tree {
    /// A tree of so many leaves with the roots of its full subtrees, the highest first; `None` where they are not
    /// as many as such a tree has.
    #[must_use]
    pub fn from_peaks(count: u64, roots: &[[u8; 32]]) -> Option<Self> {
        let levels = (0..64u8).rev().filter(|level| count >> level & 1 == 1);
        let peaks: Vec<_> = levels.zip(roots.iter().copied()).collect();
        let whole = peaks.len() == roots.len() && roots.len() == count.count_ones() as usize;
        whole.then_some(Self { count, peaks })
    }

    /// Number of leaves.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The roots of the full subtrees, the highest first.
    pub fn peaks(&self) -> impl Iterator<Item = [u8; 32]> {
        self.peaks.iter().map(|(_, root)| *root)
    }

    /// Adds a leaf hash.
    pub fn push(&mut self, leaf: [u8; 32]) {
        let (mut level, mut hash) = (0, leaf);
        while let Some((_, left)) = self.peaks.pop_if(|(peak, _)| *peak == level) {
            hash = inner_hash(&left, &hash);
            level += 1;
        }
        self.peaks.push((level, hash));
        self.count += 1;
    }

    /// The root; SHA-256 of nothing for no leaf.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        let joined = self.peaks().collect::<Vec<_>>().into_iter().rev();
        joined
            .reduce(|right, left| inner_hash(&left, &right))
            .unwrap_or_else(|| sha256(&[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vertex::merkle_root;

    #[test]
    fn a_tree_that_grows_has_the_root_of_one_made_at_once_also_from_its_peaks() {
        let mut tree = Tree::default();
        let mut leaves = Vec::new();
        assert_eq!(tree.root(), merkle_root(&leaves));
        for n in 1..=130_u64 {
            let leaf = vertex_leaf(&BlockId::of(&n.to_be_bytes()));
            leaves.push(leaf);
            tree.push(leaf);
            assert_eq!(tree.root(), merkle_root(&leaves), "{n} leaves");
            let peaks: Vec<_> = tree.peaks().collect();
            assert_eq!(Tree::from_peaks(n, &peaks).as_ref(), Some(&tree));
            assert_eq!(Tree::from_peaks(n, &peaks[1..]), None);
        }
    }
}

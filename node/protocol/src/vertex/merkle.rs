//! The Merkle tree over a vertex's entries, in the shape of RFC 9162 (section 2.1).

use crate::ids::sha256;

/// An inner node: SHA-256(0x01 ‖ left ‖ right).
#[must_use]
pub fn inner_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    sha256(&[&[1], left, right])
}

/// Where RFC 9162 splits `n` leaves: the largest power of two below `n`.
const fn split(n: usize) -> usize {
    1 << (usize::BITS - 1 - (n - 1).leading_zeros())
}

/// The root over leaf hashes; SHA-256 of nothing for none.
#[must_use]
pub fn merkle_root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            inner_hash(&merkle_root(left), &merkle_root(right))
        }
    }
}

/// The path of leaf `index`, from the leaf upwards; empty if there is no such leaf.
#[must_use]
pub fn merkle_path(leaves: &[[u8; 32]], index: usize) -> Vec<[u8; 32]> {
    if leaves.len() < 2 || index >= leaves.len() {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if index < left.len() {
        let mut path = merkle_path(left, index);
        path.push(merkle_root(right));
        path
    } else {
        let mut path = merkle_path(right, index - left.len());
        path.push(merkle_root(left));
        path
    }
}

/// The root and the path of every leaf at once: what a home needs that answers a whole batch.
#[must_use]
pub fn merkle_paths(leaves: &[[u8; 32]]) -> ([u8; 32], Vec<Vec<[u8; 32]>>) {
    match leaves {
        [] => (merkle_root(leaves), Vec::new()),
        [leaf] => (*leaf, vec![Vec::new()]),
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            let (left_root, mut paths) = merkle_paths(left);
            let (right_root, mut right_paths) = merkle_paths(right);
            paths.iter_mut().for_each(|path| path.push(right_root));
            right_paths.iter_mut().for_each(|path| path.push(left_root));
            paths.append(&mut right_paths);
            (inner_hash(&left_root, &right_root), paths)
        }
    }
}

/// Whether `path` leads from leaf `index` of `count` to `root` (RFC 9162, section 2.1.3.2).
#[must_use]
pub fn verify_path(
    leaf: &[u8; 32],
    index: u64,
    count: u64,
    path: &[[u8; 32]],
    root: &[u8; 32],
) -> bool {
    if index >= count {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, count - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = inner_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = inner_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(n: usize) -> Vec<[u8; 32]> {
        (0..n).map(|i| sha256(&[&[0], &i.to_be_bytes()])).collect()
    }

    #[test]
    fn every_path_of_every_size_leads_to_its_root_and_to_no_other() {
        for n in 1..=40 {
            let leaves = leaves(n);
            let root = merkle_root(&leaves);
            let all: Vec<_> = (0..n).map(|i| merkle_path(&leaves, i)).collect();
            assert_eq!(merkle_paths(&leaves), (root, all));
            for (i, leaf) in leaves.iter().enumerate() {
                let path = merkle_path(&leaves, i);
                let (i, n) = (i as u64, n as u64);
                assert!(verify_path(leaf, i, n, &path, &root), "{i} of {n}");
                assert!(!verify_path(leaf, i + 1, n, &path, &root), "{i}+1 of {n}");
                assert!(!verify_path(&sha256(&[b"x"]), i, n, &path, &root));
                let longer = [path.as_slice(), &[root]].concat();
                assert!(!verify_path(leaf, i, n, &longer, &root));
                if !path.is_empty() {
                    assert!(!verify_path(leaf, i, n, &path[1..], &root));
                }
            }
        }
        assert!(!verify_path(&[0; 32], 0, 0, &[], &merkle_root(&[])));
    }

    #[test]
    fn three_leaves_split_two_and_one() {
        let l = leaves(3);
        assert_eq!(
            merkle_root(&l),
            inner_hash(&inner_hash(&l[0], &l[1]), &l[2])
        );
    }
}

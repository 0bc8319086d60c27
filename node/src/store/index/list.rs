//! The file `SHELVES`: which shelves of an index count, the oldest first, and which sled stands over them.
//!
//! A shelf counts from the moment at which this file names it; what it does not name is removed at the next start.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use city_protocol::ids::BlockId;
use data_encoding::HEXLOWER;

use crate::store::files::{self, Files, PutError};

/// The form of the index: raised whenever its files or the rows in them get another meaning. An index of another form is
/// made again.
const FORM: u32 = 4;
/// Its name.
const FILE: &str = "SHELVES";
/// The most shelves of an index: many times what merging leaves.
const MAX_SHELVES: usize = 1024;
/// Each is named by at most ten digits.
const MAX_FILE: usize = 256 + 16 * MAX_SHELVES;

/// What an index is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    /// The sled that takes rows.
    pub(super) young: u32,
    /// The shelves under it, the oldest first.
    pub(super) shelves: Vec<u32>,
}

impl List {
    /// That of an index that is begun.
    pub(super) const fn new() -> Self {
        Self {
            young: 1,
            shelves: Vec::new(),
        }
    }

    /// Where its sled stands.
    pub(super) fn young_path(&self, dir: &Path) -> PathBuf {
        young_path(dir, self.young)
    }

    /// A number that no shelf of this index has.
    pub(super) fn next_shelf(&self) -> u32 {
        self.shelves.iter().max().map_or(1, |newest| newest + 1)
    }

    /// The text, and its digest: one flipped bit would show rows of another time.
    fn encode(&self) -> String {
        let mut text = format!("form {FORM} young {} shelves", self.young);
        for shelf in &self.shelves {
            write!(text, " {shelf}").expect("a string takes everything");
        }
        let digest = HEXLOWER.encode(BlockId::of(text.as_bytes()).digest());
        format!("{text} sha256 {digest}\n")
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let [
            "form",
            _,
            "young",
            young,
            "shelves",
            shelves @ ..,
            "sha256",
            _,
        ] = &words[..]
        else {
            return None;
        };
        let list = Self {
            young: young.parse().ok()?,
            shelves: shelves
                .iter()
                .map(|n| n.parse().ok())
                .collect::<Option<_>>()?,
        };
        (list.encode() == text).then_some(list)
    }

    /// From here on this is what the index is made of.
    pub(super) fn put(&self, files: &dyn Files, dir: &Path) -> Result<(), PutError> {
        if self.shelves.len() > MAX_SHELVES {
            let many = io::Error::other("more than 1,024 shelves");
            return Err(PutError::Unchanged(many));
        }
        files::try_put(files, dir, FILE, self.encode().as_bytes())
    }

    /// Removes what a start or a merging that was cut off left beside it.
    pub(super) fn tidy(&self, files: &dyn Files, dir: &Path, names: &[String]) -> io::Result<()> {
        for name in names {
            let path = dir.join(name);
            if number(name, "shelf-").is_some_and(|n| !self.shelves.contains(&n)) {
                files.remove(&path)?;
            } else if number(name, "young-").is_some_and(|n| n != self.young) {
                files.remove_dir(&path)?;
            }
        }
        Ok(())
    }
}

/// Where a shelf stands.
pub(super) fn shelf_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("shelf-{number}"))
}

/// Where a sled stands.
pub(super) fn young_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("young-{number}"))
}

fn number(name: &str, kind: &str) -> Option<u32> {
    name.strip_prefix(kind)?.parse().ok()
}

/// Reads the file of an index with these names in it. None: the index is of an older form, or not to be believed.
pub(super) fn read(files: &dyn Files, dir: &Path, names: &[String]) -> io::Result<Option<List>> {
    if !names.iter().any(|name| name == FILE) {
        return Ok(None);
    }
    Ok(List::decode(&files::take(
        files,
        &dir.join(FILE),
        MAX_FILE,
    )?))
}

/// Lets no start believe these shelves again.
pub(super) fn disown(files: &dyn Files, dir: &Path) -> io::Result<()> {
    match files.remove(&dir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_with_any_flipped_bit_is_none() {
        for shelves in [vec![], vec![3], vec![7, 12, 13]] {
            let list = List { young: 4, shelves };
            let bytes = list.encode().into_bytes();
            assert_eq!(List::decode(&bytes), Some(list));
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(List::decode(&flipped), None, "bit {bit}");
            }
            assert_eq!(List::decode(&bytes[..bytes.len() - 1]), None);
        }
    }
}

//! Where a compacted log begins: the file `MANIFEST` beside the segments, and what a crash around its writing leaves.
//!
//! A log that was never compacted has none and begins with segment 1. Compaction writes the segments that take the
//! place of all older ones as `000042.car.new`; naming them in the manifest is the one moment at which they count. What
//! comes after it (their names, removing the old ones) is done again by the next start if it was cut off. Numbers are
//! never used twice.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use city_protocol::ids::BlockId;
use data_encoding::HEXLOWER;

use super::files::{self, Files};
use super::segments::segment_name;

/// Its name.
const FILE: &str = "MANIFEST";
/// What the name of a segment ends with until the manifest names it.
pub(super) const NEW: &str = ".new";
/// Two numbers and a digest are some 100 bytes.
const MAX_FILE: usize = 256;

/// The segments that a compaction made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The log's first segment.
    pub(super) first: u32,
    /// The last one that the compaction wrote; later ones were appended.
    pub(super) last: u32,
}

/// What stands in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The log was never compacted.
    None,
    /// It was.
    Whole(Manifest),
    /// Something that nobody wrote so.
    Garbled,
}

impl Manifest {
    pub(super) fn holds(&self, segment: u32) -> bool {
        (self.first..=self.last).contains(&segment)
    }

    /// The numbers, and their digest: one flipped bit would let a start remove segments that count.
    fn encode(&self) -> String {
        let text = format!("segments {} to {}", self.first, self.last);
        let digest = HEXLOWER.encode(BlockId::of(text.as_bytes()).digest());
        format!("{text} sha256 {digest}\n")
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let ["segments", first, "to", last, "sha256", _] = words[..] else {
            return None;
        };
        let manifest = Self {
            first: first.parse().ok()?,
            last: last.parse().ok()?,
        };
        let sound = manifest.encode() == text && 0 < manifest.first;
        (sound && manifest.first <= manifest.last).then_some(manifest)
    }

    /// Makes these segments the beginning of the log, durably. They must be durable under their new names.
    pub(super) fn put(&self, files: &dyn Files, dir: &Path) -> io::Result<()> {
        files::put(files, dir, FILE, self.encode().as_bytes())
    }

    /// Gives the segments their names, then removes those in whose place they are.
    pub(super) fn settle(&self, files: &dyn Files, dir: &Path) -> io::Result<()> {
        let names = files.list(dir)?;
        let mut here: BTreeSet<u32> = names.iter().filter_map(|name| number(name, "")).collect();
        for segment in names.iter().filter_map(|name| number(name, NEW)) {
            let name = segment_name(segment);
            let aside = dir.join(format!("{name}{NEW}"));
            if self.holds(segment) && here.insert(segment) {
                files.rename(&aside, &dir.join(name))?;
            } else {
                files.remove(&aside)?;
            }
        }
        // Before anything is removed their names are durable.
        files.sync_dir(dir)?;
        if !(self.first..=self.last).all(|segment| here.contains(&segment)) {
            // One of them was lost: what is older may hold it still.
            return Ok(());
        }
        for old in here.range(..self.first) {
            files.remove(&dir.join(segment_name(*old)))?;
        }
        files.sync_dir(dir)
    }
}

/// Reads the manifest of a directory with these names in it.
pub(super) fn read(files: &dyn Files, dir: &Path, names: &[String]) -> io::Result<Found> {
    if !names.iter().any(|name| name == FILE) {
        return Ok(Found::None);
    }
    let bytes = files::take(files, &dir.join(FILE), MAX_FILE)?;
    Ok(Manifest::decode(&bytes).map_or(Found::Garbled, Found::Whole))
}

/// The number in a segment's name, in the one spelling that [`segment_name`] gives it, with this behind it.
pub(super) fn number(name: &str, behind: &str) -> Option<u32> {
    let name = name.strip_suffix(behind)?;
    let segment = name.strip_suffix(".car")?.parse().ok()?;
    (segment > 0 && segment_name(segment) == name).then_some(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_with_any_flipped_bit_is_none() {
        let manifest = Manifest {
            first: 12,
            last: 15,
        };
        let bytes = manifest.encode().into_bytes();
        assert_eq!(Manifest::decode(&bytes), Some(manifest));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Manifest::decode(&flipped), None, "bit {bit}");
        }
        assert_eq!(Manifest::decode(&bytes[..bytes.len() - 1]), None);
        let turned = Manifest { first: 3, last: 2 };
        assert_eq!(Manifest::decode(turned.encode().as_bytes()), None);
    }
}

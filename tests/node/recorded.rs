//! Finds what others recorded and published, which is not part of the project.

use std::path::{Path, PathBuf};

/// The folder of the test data, or `None` with a word about it: a newcomer's checkout passes without.
pub(crate) fn data() -> Option<PathBuf> {
    let given = std::env::var_os("CITY_NODE_TEST_DATA").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    existing(given.unwrap_or_else(beside))
}

/// A file or folder of it.
pub(crate) fn part(path: &str) -> Option<PathBuf> {
    existing(data()?.join(path))
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    let there = path.exists();
    if !there {
        println!("skipped: no ../shared/data");
    }
    there.then_some(path)
}

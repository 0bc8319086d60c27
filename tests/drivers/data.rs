//! Finds the recorded captures, which are not part of the project.

use std::path::PathBuf;

/// The folder `gnss` of the test data, or `None` with a word on stdout where it is not.
pub(crate) fn gnss() -> Option<PathBuf> {
    let root = std::env::var_os("CITY_NODE_TEST_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")),
        PathBuf::from,
    );
    let gnss = root.join("gnss");
    if gnss.is_dir() {
        return Some(gnss);
    }
    println!("skipped: no ../shared/data");
    None
}

/// A capture's bytes.
pub(crate) fn capture(path: &str) -> Option<Vec<u8>> {
    let path = gnss()?.join(path);
    Some(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The seed of a random test: printed, and taken back from `CITY_NODE_SEED`.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("CITY_NODE_SEED")
        .ok()
        .map_or(0x0017_2010_0017_2030, |text| {
            text.parse().expect("CITY_NODE_SEED is a number")
        });
    println!("CITY_NODE_SEED={seed}");
    seed
}

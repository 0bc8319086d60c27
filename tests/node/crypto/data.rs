//! Finds the published vectors, which are not part of the project, and reads their forms.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::recorded::part;

/// The folder `crypto` of the test data, or `None` with a word on stdout where it is not.
pub(super) fn crypto() -> Option<PathBuf> {
    part("crypto")
}

/// One case of a NIST response file: names and hexadecimal values.
pub(super) type Case = BTreeMap<String, String>;

/// The cases of a gzipped NIST response file.
pub(super) fn responses(path: &Path) -> Vec<Case> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut cases: Vec<Case> = Vec::new();
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let line = line.unwrap();
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
        if name == "count" {
            cases.push(Case::new());
        }
        cases.last_mut().unwrap().insert(name, value);
    }
    cases
}

/// Every test of a Wycheproof file with its group.
pub(super) fn wycheproof(path: &Path) -> Vec<(Value, Value)> {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: Value = serde_json::from_slice(&text).unwrap();
    let groups = file["testGroups"].as_array().unwrap();
    let tests = groups.iter().flat_map(|group| {
        let tests = group["tests"].as_array().unwrap();
        tests.iter().map(move |test| (group.clone(), test.clone()))
    });
    tests.collect()
}

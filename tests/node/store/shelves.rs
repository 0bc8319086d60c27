//! Shelves: what a power cut leaves of an index, and what becomes of one whose files are damaged.

use std::fs;
use std::path::{Path, PathBuf};

use city_node::store::{OpenOutcome, RebuildReason};

use super::whole::{commit, open_shelving, row, rows_of};
use super::{Dice, walk};

/// Few, so that a shelf is soon full.
const ROWS: usize = 16;

/// A store into which so many groups of one row went, each of them written before the next; killed.
fn filled(dir: &Path, groups: u64) {
    let (store, _) = open_shelving(dir, "this boot", ROWS);
    for n in 0..groups {
        commit(&store, n);
        store.settle().unwrap();
    }
}

fn shelves(dir: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(dir.join("index")).unwrap();
    let paths = names.map(|entry| entry.unwrap().path());
    let is_shelf = |path: &PathBuf| {
        path.file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .contains("shelf")
    };
    paths.filter(is_shelf).collect()
}

#[test]
fn a_power_cut_costs_only_what_stands_in_no_shelf() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 100);
    let (store, report) = open_shelving(dir.path(), "next boot", ROWS);
    let (OpenOutcome::CatchUp(mark) | OpenOutcome::Current(mark)) = report.index else {
        panic!("{:?}", report.index);
    };
    // When nothing comes for a while, half as many go to a shelf.
    assert!((85..=100).contains(&mark.count), "{}", mark.count);
    assert_eq!(rows_of(&store) as u64, mark.count);
    // That start took nothing: its sled is not believed either.
    drop(store);
    let (store, again) = open_shelving(dir.path(), "next boot", ROWS);
    assert_eq!(again.index, report.index);
    assert_eq!(store.get(&row(84)).unwrap().unwrap(), b"84");
    assert_eq!(store.get(&row(mark.count)).unwrap(), None);
    drop(store);
    // Whatever it is that ends each start: the shelves are what they have in common.
    let (store, report) = open_shelving(dir.path(), "next boot", ROWS);
    assert_eq!(report.index, OpenOutcome::Rebuild(RebuildReason::Unproven));
    assert_eq!(rows_of(&store), 0);
}

#[test]
fn shelves_of_a_longer_log_are_told_and_made_again() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 40);
    let last = fs::read_dir(dir.path().join("ledger")).unwrap();
    let mut segments: Vec<_> = last.map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    // A backup of the log that is older than the shelves.
    segments.drain(..5);
    segments
        .iter()
        .for_each(|path| fs::remove_file(path).unwrap());
    let (store, report) = open_shelving(dir.path(), "next boot", ROWS);
    let OpenOutcome::Rebuild(RebuildReason::NotOfThisLog(mark)) = report.index else {
        panic!("{:?}", report.index);
    };
    assert!((25..=40).contains(&mark.count), "{}", mark.count);
    assert_eq!(rows_of(&store), 0);
    assert!(shelves(dir.path()).is_empty());
}

#[test]
fn a_damaged_shelf_is_never_read_and_costs_one_start() {
    let mut dice = Dice::new();
    let mut met = [0, 0];
    for _ in 0..30 {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), 200);
        // What a merge left that was cut off is not looked at, nor damaged here.
        open_shelving(dir.path(), "this boot", ROWS)
            .0
            .close()
            .unwrap();
        let mut paths = shelves(dir.path());
        paths.push(dir.path().join("index/SHELVES"));
        let path = &paths[dice.place(paths.len())];
        let mut content = fs::read(path).unwrap();
        let at = dice.place(content.len());
        match dice.below(3) {
            0 => content.truncate(at),
            _ => content[at] ^= 1 << dice.below(8),
        }
        fs::write(path, content).unwrap();

        let (store, report) = open_shelving(dir.path(), "this boot", ROWS);
        let report = if let OpenOutcome::Current(mark) = report.index {
            // The damage is met by whoever reads there.
            met[0] += 1;
            assert_eq!(mark.count, 200);
            let read = (0..200).find(|n| store.get(&row(*n)).is_err());
            assert!(read.is_some(), "{} was not found damaged", path.display());
            drop(store);
            let (store, report) = open_shelving(dir.path(), "this boot", ROWS);
            assert_eq!(rows_of(&store), 0);
            report
        } else {
            met[1] += 1;
            report
        };
        assert!(
            matches!(report.index, OpenOutcome::Rebuild(_)),
            "{:?}",
            report.index
        );
    }
    assert!(met.iter().all(|times| *times > 0), "{met:?}");
}

#[test]
fn many_rows_at_once_stand_in_shelves_and_what_they_replace_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_shelving(dir.path(), "this boot", ROWS);
    let key = |n: u64| [b"many/", &n.to_be_bytes()[..]].concat();
    store.folding(true);
    for round in 0..20_u64 {
        let mark = super::whole::append(&store, round).unwrap();
        let rows = (0..ROWS as u64).map(|n| (key(n), Some(vec![u8::try_from(round).unwrap()])));
        let rows = rows.map(|(key, value)| match key.last() {
            Some(3) => (key, value.filter(|_| round < 10)),
            _ => (key, value),
        });
        store.commit_rows(rows.collect(), &mark).unwrap();
    }
    store.folding(false);
    store.settle().unwrap();
    let found: Vec<_> = store.scan_prefix(b"many/").map(Result::unwrap).collect();
    assert_eq!(found.len(), ROWS - 1);
    assert!(found.iter().all(|(_, value)| value == &[19]));
    assert_eq!(store.get(&key(3)).unwrap(), None);
    assert_eq!(walk(store.ledger()).0.len(), 40);
    store.close().unwrap();
}

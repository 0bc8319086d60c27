//! An import on a disk whose n-th call fails: of what was refused nothing is kept, and the next attempt comes to the end.

use std::fs;
use std::path::Path;

use city_node::engine::{IMPORT_DIR, Terms};
use city_node::setup::load_identity;
use city_node::store::TRUSTED;
use city_protocol::ids::Digest;
use city_protocol::vertex::{SignedHeader, Stub};

use super::Dice;
use super::disk::{Disk, FAULTS};
use super::home::{Books, Town};
use super::run::{Run, runtime};
use crate::daemon::city::directory;
use crate::joining::pruned_everywhere;
use crate::plug::{book::blocks, times};

const FILE: &str = "/in.car";

/// How many blocks of a kind are in the ledger of a disk.
fn count(disk: &Disk, is_one: impl Fn(&[u8]) -> bool) -> usize {
    let paths = disk.paths_in(Path::new("/ledger")).into_iter();
    let paths = paths.filter(|path| path.extension().is_some_and(|end| end == "car"));
    let blocks = blocks(paths.map(|path| disk.content(&path)));
    blocks.iter().filter(|(_, block)| is_one(block)).count()
}

fn vertices(disk: &Disk) -> usize {
    count(disk, |block| SignedHeader::read(block).is_ok())
}

fn stubs(disk: &Disk) -> usize {
    count(disk, |block| Stub::read(block).is_ok())
}

#[test]
fn the_nth_call_of_an_import_fails_and_the_next_import_has_all() {
    let mut dice = Dice::new();
    let root = directory();
    let town = runtime().block_on(Town::found(root.path()));
    let run = runtime().block_on(Run::of(&town, town.founded.copy()));
    let exported = {
        let dir = directory();
        town.books
            .export(&town.books.open(&run.disk, dir.path(), "boot").unwrap())
    };
    let whole = vertices(&run.disk);
    let start = |exported: &[u8]| {
        let disk = Disk::new();
        disk.put(Path::new(FILE), exported);
        disk
    };
    let import = |disk: &Disk| {
        let dir = directory();
        let terms = Terms::default();
        town.books.import(disk, dir.path(), Path::new(FILE), terms)
    };

    let disk = start(&exported);
    let report = import(&disk).unwrap();
    assert_eq!(report.logs.len(), 1);
    assert_eq!(report.logs[0].vertices as usize, whole);
    assert!(report.own_unconfirmed, "nobody knows whether there is more");
    assert_eq!((report.known, vertices(&disk)), (0, whole));
    let calls = disk.calls();
    // Again: all of it is here.
    let again = import(&disk).unwrap();
    assert_eq!((again.logs, again.known as usize), (vec![], whole));
    assert_eq!(vertices(&disk), whole);

    // A changed file: nothing of it is kept.
    let disk = start(&exported[..exported.len() - 1]);
    let refused = import(&disk).unwrap_err();
    assert!(refused.contains("bad-block"), "{refused}");
    assert_eq!(vertices(&disk), 0);

    let every = times("CITY_NODE_CALLS_EVERY", 10) * 5;
    let first = dice.below(every) + 1;
    let (mut failed, mut partly) = (0, 0);
    for (i, n) in (first..=calls).step_by(every as usize).enumerate() {
        let fault = FAULTS[i % FAULTS.len()];
        let disk = start(&exported);
        disk.fail_at(n, fault);
        let done = import(&disk);
        let story = format!("call {n}, {fault:?}: {done:?}");
        let mut written = disk.written_after_failed_sync();
        written.retain(|change| change.contains("/ledger/") && !change.contains(IMPORT_DIR));
        assert_eq!(written, [""; 0], "{story}");
        failed += u32::from(done.is_err());
        disk.power_cut(&mut dice);
        let left = vertices(&disk);
        partly += u32::from(left > 0 && left < whole);
        assert!(done.is_err() || left == whole, "{story}: {left} of {whole}");
        let report = import(&disk).unwrap_or_else(|error| panic!("{story}: {error}"));
        let came: u64 = report.logs.iter().map(|part| part.vertices).sum();
        assert_eq!(came as usize + left, whole, "{story}");
        assert_eq!(vertices(&disk), whole, "{story}");
    }
    println!("{failed} imports failed of {calls} calls each, {partly} with a part written");
    assert!(failed > 0, "the faults do not bite");
}

/// 白山市 joins where 金沢市's bodies were pruned everywhere. Whatever fails: no stub is in its ledger without the mark that says that it
/// was taken on trust, and the next import comes to the end.
#[test]
fn the_nth_call_of_an_import_on_trust_fails_and_no_stub_stands_unmarked() {
    let mut dice = Dice::new();
    let story = runtime().block_on(pruned_everywhere());
    let books = Books::of(load_identity(&story.cities[2].data).unwrap());
    let file = fs::read(&story.file).unwrap();
    let terms = Terms {
        on_trust: Some(Digest::of(&[file.as_slice()])),
        ..Terms::default()
    };
    let start = || {
        let disk = Disk::new();
        disk.put(Path::new(FILE), &file);
        disk
    };
    let import = |disk: &Disk| {
        let dir = directory();
        books.import(disk, dir.path(), Path::new(FILE), terms)
    };
    let mark = Path::new("/").join(TRUSTED);
    let log = story.cities[0].report.log.to_string();
    let is_marked = |disk: &Disk| {
        let there = disk.paths().contains(&mark);
        there
            && String::from_utf8(disk.content(&mark))
                .unwrap()
                .contains(&log)
    };

    let disk = start();
    let refused = {
        let dir = directory();
        books.import(&disk, dir.path(), Path::new(FILE), Terms::default())
    };
    assert!(refused.unwrap_err().contains("--trust-checkpoints"));
    assert!(!is_marked(&disk));
    let disk = start();
    let report = import(&disk).unwrap();
    assert_eq!(report.trusted.len(), 1);
    let (whole, calls) = (vertices(&disk), disk.calls());
    assert_eq!((stubs(&disk), is_marked(&disk)), (4, true));

    // Few calls: each of them, with one fault after the other.
    let every = times("CITY_NODE_CALLS_EVERY", 10).div_ceil(10);
    let (first, turn) = (dice.below(every) + 1, dice.below(3) as usize);
    let (mut failed, mut only_marked) = (0, 0);
    for (i, n) in (first..=calls).step_by(every as usize).enumerate() {
        let fault = FAULTS[(i + turn) % FAULTS.len()];
        let disk = start();
        disk.fail_at(n, fault);
        let done = import(&disk);
        failed += u32::from(done.is_err());
        disk.power_cut(&mut dice);
        let story = format!("call {n}, {fault:?}: {done:?}");
        let marked = is_marked(&disk);
        assert!(marked || stubs(&disk) == 0, "{story}");
        assert!(done.is_err() || vertices(&disk) == whole, "{story}");
        only_marked += u32::from(marked && stubs(&disk) == 0);
        import(&disk).unwrap_or_else(|error| panic!("{story}: {error}"));
        assert_eq!((vertices(&disk), stubs(&disk)), (whole, 4), "{story}");
        assert!(is_marked(&disk), "{story}");
    }
    println!(
        "{failed} imports failed of {calls} calls each, {only_marked} of them behind the mark"
    );
    assert!(failed > 0, "the faults do not bite");
    assert!(
        every > 1 || only_marked > 0,
        "no call fails between the mark and what it marks"
    );
}

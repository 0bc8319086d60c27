//! An import on a disk whose n-th call fails: of what was refused nothing is kept, and the next attempt comes to the end.

use std::path::Path;

use city_node::engine::IMPORT_DIR;
use city_protocol::vertex::SignedHeader;

use super::Dice;
use super::disk::{Disk, FAULTS};
use super::home::Town;
use super::run::{Run, runtime};
use crate::daemon::city::directory;
use crate::plug::{book::blocks, times};

const FILE: &str = "/in.car";

/// How many headers are in the ledger of a disk.
fn vertices(disk: &Disk) -> usize {
    let paths = disk.paths_in(Path::new("/ledger")).into_iter();
    let paths = paths.filter(|path| path.extension().is_some_and(|end| end == "car"));
    let blocks = blocks(paths.map(|path| disk.content(&path)));
    let headers = blocks
        .iter()
        .filter(|(_, block)| SignedHeader::read(block).is_ok());
    headers.count()
}

#[test]
fn the_nth_call_of_an_import_fails_and_the_next_import_has_all() {
    let mut dice = Dice::new();
    let root = directory();
    let town = runtime().block_on(Town::found(root.path()));
    let run = runtime().block_on(Run::of(&town, town.founded.copy()));
    let exported = {
        let dir = directory();
        town.export(&town.open(&run.disk, dir.path(), "boot").unwrap())
    };
    let whole = vertices(&run.disk);
    let start = |exported: &[u8]| {
        let disk = Disk::new();
        disk.put(Path::new(FILE), exported);
        disk
    };
    let import = |disk: &Disk| {
        let dir = directory();
        town.import(disk, dir.path(), Path::new(FILE))
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

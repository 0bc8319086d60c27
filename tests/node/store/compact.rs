//! Compaction on a disk that fails or loses power at every call: what is left is the old log or the new one, whole.

use std::path::Path;

use city_node::store::{Block, Fate, Position};
use city_protocol::ids::BlockId;

use super::disk::{Disk, FAULTS};
use super::log::{append, open, segment};
use super::{Dice, bytes_of, walk};

const TARGET: u64 = 2_000;
const GROUPS: u64 = 20;

/// Of three groups one is dead, and of one a shorter block is left; their blocks begin with their numbers.
fn left(block: &Block) -> Option<Vec<u8>> {
    let number = block.bytes.first_chunk::<8>().unwrap();
    match u64::from_be_bytes(*number) / 2 % 3 {
        0 => None,
        1 => Some(number.to_vec()),
        _ => Some(block.bytes.clone()),
    }
}

fn fate(block: &Block) -> Fate {
    match left(block) {
        None => Fate::Goes,
        Some(left) if left == block.bytes => Fate::Stays,
        Some(left) => Fate::Becomes(BlockId::of(&left), left),
    }
}

/// A log of several segments, with all of its blocks and those that live.
fn story() -> (Disk, Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let disk = Disk::new();
    let (log, _) = open(&disk, TARGET, None);
    for n in 0..GROUPS {
        append(&log, n).unwrap();
    }
    let blocks = walk(&log).0;
    let living: Vec<Vec<u8>> = blocks.iter().filter_map(left).collect();
    assert!(log.end().segment > 4 && living.len() < blocks.len());
    (disk, bytes_of(&blocks), living)
}

/// Opens what is left; gives whether it is the new log.
fn check(disk: &Disk, all: &[Vec<u8>], living: &[Vec<u8>], story: &str) -> bool {
    let (log, report) = open(disk, TARGET, None);
    assert_eq!(report.damage, None, "{story}");
    let (blocks, damaged) = walk(&log);
    assert_eq!(damaged, [], "{story}");
    let found = bytes_of(&blocks);
    let new = found == living;
    assert!(
        new || found == all,
        "{story}: neither log: {} blocks",
        found.len()
    );
    let names = disk.names_in(Path::new("/ledger"));
    let unfinished = names
        .iter()
        .filter(|name| name.ends_with(".new") || name.ends_with(".tmp"));
    assert_eq!(unfinished.count(), 0, "{story}: {names:?}");
    let segments = names.iter().filter(|name| name.ends_with(".car")).count();
    let expected = log.end().segment - log.begin().segment + 1;
    assert_eq!(segments, expected as usize, "{story}: {names:?}");
    // It goes on.
    append(&log, 1_000).unwrap();
    assert_eq!(walk(&log).0.len(), found.len() + 2, "{story}");
    new
}

#[test]
fn what_is_dead_goes_and_the_log_goes_on() {
    let (disk, all, living) = story();
    let (log, _) = open(&disk, TARGET, None);
    let end = log.end();
    let done = log.compact(&mut fate).unwrap();
    let whole = living.iter().filter(|block| all.contains(block)).count();
    assert_eq!(
        (done.kept, done.dropped),
        (whole as u64, (all.len() - whole) as u64)
    );
    assert!(done.bytes_after < done.bytes_before);
    assert!(check(&disk, &all, &living, "no fault"));
    // A number is never used again, and a watermark of before is of no log any more.
    let (log, _) = open(&disk, TARGET, None);
    assert_eq!(log.begin().segment, end.segment + 1);
    let before = log.blocks_from(Position::START).count();
    // And once more, also of what was appended since.
    let again = log.compact(&mut |_| Fate::Stays).unwrap();
    assert_eq!((again.kept, again.dropped), (before as u64, 0));
}

#[test]
fn the_nth_call_of_a_compaction_fails_and_one_of_the_logs_is_whole() {
    let mut dice = Dice::new();
    let (founded, all, living) = story();
    let (mut old, mut new) = (0, 0);
    for fault in FAULTS {
        for n in 1.. {
            let disk = founded.copy();
            let (log, _) = open(&disk, TARGET, None);
            disk.fail_at(n, fault);
            let before = disk.calls();
            let done = log.compact(&mut fate);
            let story = format!("call {n}, {fault:?}, {done:?}");
            assert_eq!(disk.written_after_failed_sync(), [""; 0], "{story}");
            let calls = disk.calls() - before;
            disk.power_cut(&mut dice);
            let is_new = check(&disk, &all, &living, &story);
            assert!(is_new || done.is_err(), "{story}: it said that it was done");
            if is_new {
                new += 1;
            } else {
                old += 1;
            }
            if done.is_ok() && calls < n {
                break;
            }
        }
    }
    assert!(
        old > 20 && new > 3,
        "the faults do not bite: {old} old, {new} new"
    );
}

#[test]
fn the_power_goes_at_the_nth_call_of_a_compaction_and_of_the_start_after_it() {
    let mut dice = Dice::new();
    let (founded, all, living) = story();
    for n in 1.. {
        let disk = founded.copy();
        let (log, _) = open(&disk, TARGET, None);
        disk.power_off_at(n);
        let done = log.compact(&mut fate);
        disk.power_cut(&mut dice);
        // The start that cleans up loses its power, too.
        disk.power_off_at(dice.below(30) + 1);
        drop(super::log::try_open(&disk, TARGET, None));
        disk.power_cut(&mut dice);
        let is_new = check(&disk, &all, &living, &format!("power off at call {n}"));
        if done.is_ok() {
            assert!(is_new);
            break;
        }
    }
}

/// Whoever flips a bit of the manifest cannot make a start remove segments that count.
#[test]
fn a_garbled_manifest_is_damage_and_loses_nothing() {
    let (founded, _, living) = story();
    let (log, _) = open(&founded, TARGET, None);
    log.compact(&mut fate).unwrap();
    let manifest = Path::new("/ledger/MANIFEST");
    let whole = founded.content(manifest);
    for at in (0..whole.len()).step_by(7) {
        let disk = founded.copy();
        let mut content = whole.clone();
        content[at] ^= 1;
        disk.put(manifest, &content);
        let (log, report) = open(&disk, TARGET, None);
        assert!(report.damage.is_some(), "byte {at}");
        assert_eq!(bytes_of(&walk(&log).0), living, "byte {at}");
        // The log was looked through by then: the note goes, and does not come back.
        log.clear_damage().unwrap();
        let (log, report) = open(&disk, TARGET, None);
        assert_eq!(report.damage, None, "byte {at}");
        assert_eq!(bytes_of(&walk(&log).0), living, "byte {at}");
    }
    // A segment that is lost is told, whatever the manifest says.
    let disk = founded.copy();
    let (log, _) = open(&disk, TARGET, None);
    let lost = log.begin().segment + 1;
    drop(log);
    city_node::store::Files::remove(&disk, &segment(lost)).unwrap();
    assert!(open(&disk, TARGET, None).1.damage.is_some());
}

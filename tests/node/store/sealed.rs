//! Segments that are not the last: nothing there is mended, and what is missing is told.

use city_node::store::Position;

use super::disk::Disk;
use super::log::{append, open, segment};
use super::{bytes_of, walk};

#[test]
fn damage_in_a_sealed_segment_is_stepped_over_and_a_missing_segment_told() {
    let disk = Disk::new();
    let (log, _) = open(&disk, 2_000, None);
    for n in 0..12 {
        append(&log, n).unwrap();
    }
    let (blocks, _) = walk(&log);
    let bad = blocks
        .iter()
        .position(|block| block.at.segment == 2)
        .unwrap();
    let mut content = disk.content(&segment(2));
    content[blocks[bad].at.offset as usize + 50] ^= 1;
    disk.put(&segment(2), &content);
    let (log, _) = open(&disk, 2_000, Some(log.end()));
    let (found, damaged) = walk(&log);
    let mut expected = bytes_of(&blocks);
    expected.remove(bad);
    assert_eq!(bytes_of(&found), expected);
    assert_eq!(damaged, [blocks[bad].at.start()]);
    assert!(log.read(&blocks[bad].at).is_err());

    city_node::store::Files::remove(&disk, &segment(2)).unwrap();
    let (log, report) = open(&disk, 2_000, Some(log.end()));
    let missing = Position {
        segment: 2,
        offset: 0,
    };
    assert_eq!(report.damage.unwrap().at, missing);
    assert_eq!(walk(&log).1, [missing]);
    let kept = blocks.iter().filter(|block| block.at.segment != 2).count();
    assert_eq!(walk(&log).0.len(), kept);
}

/// The length of a sealed segment stands nowhere, so a cut behind a whole block is told only by what is missing.
#[test]
fn every_cut_of_a_sealed_segments_last_blocks_leaves_all_others() {
    let disk = Disk::new();
    let (log, _) = open(&disk, 2_000, None);
    for n in 0..12 {
        append(&log, n).unwrap();
    }
    let (blocks, _) = walk(&log);
    let here: Vec<_> = blocks
        .iter()
        .filter(|block| block.at.segment == 2)
        .collect();
    let from = here[here.len() - 3].at.offset;
    let content = disk.content(&segment(2));
    for cut in usize::try_from(from).unwrap()..content.len() {
        let disk = disk.copy();
        disk.put(&segment(2), &content[..cut]);
        let (log, report) = open(&disk, 2_000, Some(log.end()));
        assert_eq!(report.damage, None, "it is not looked at");
        let is_whole = |end: u64| end <= cut as u64;
        let left = blocks
            .iter()
            .filter(|block| block.at.segment != 2 || is_whole(block.at.end().offset));
        let (found, damaged) = walk(&log);
        let expected: Vec<_> = left.map(|block| block.bytes.clone()).collect();
        assert_eq!(bytes_of(&found), expected, "cut at {cut}");
        let torn = here.iter().find(|block| !is_whole(block.at.end().offset));
        let torn = torn.expect("the cut is in the segment").at;
        assert!(log.read(&torn).is_err(), "cut at {cut}");
        let told = if cut as u64 == torn.offset {
            vec![]
        } else {
            vec![torn.start()]
        };
        assert_eq!(damaged, told, "cut at {cut}");
    }
}

//! The segments on a disk that lies: cuts, flipped bits, failing calls, lost power.

use std::path::{Path, PathBuf};

use city_node::store::{
    AppendError, Limits, LogError, Position, Recovery, SegmentLog, SideLog, car,
};
use city_protocol::ids::BlockId;

use super::disk::{Disk, FAULTS, Fault};
use super::{Dice, block, bytes_of, genesis, walk, with_id};

const DIR: &str = "/ledger";

fn limits(segment_target: u64) -> Limits {
    Limits {
        segment_target,
        space_reserve: 0,
    }
}

pub(super) fn segment(number: u32) -> PathBuf {
    Path::new(DIR).join(format!("{number:06}.car"))
}

pub(super) fn try_open(
    disk: &Disk,
    target: u64,
    durable: Option<Position>,
) -> Result<(SegmentLog, Recovery), LogError> {
    let dir = Path::new(DIR);
    SegmentLog::open(disk.files(), dir, genesis(), limits(target), durable)
}

pub(super) fn open(disk: &Disk, target: u64, durable: Option<Position>) -> (SegmentLog, Recovery) {
    try_open(disk, target, durable).unwrap()
}

/// Appends a body and its header, as a commit does.
pub(super) fn append(log: &SegmentLog, n: u64) -> Result<Vec<Vec<u8>>, AppendError> {
    let group = vec![block(2 * n, 700), block(2 * n + 1, 90)];
    let refs: Vec<(BlockId, &[u8])> = group.iter().map(|block| with_id(block)).collect();
    log.append_group(&refs).map(|_| group)
}

/// Whether `part` stands in `whole`, in order.
fn is_within(part: &[Vec<u8>], whole: &[Vec<u8>]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|block| rest.any(|other| other == block))
}

#[test]
fn blocks_come_back_in_order_over_many_segments() {
    let disk = Disk::new();
    let (log, report) = open(&disk, 4_000, None);
    assert_eq!(report.end, Position::START);
    let mut written = Vec::new();
    for n in 0..20 {
        written.extend(append(&log, n).unwrap());
    }
    assert!(log.end().segment > 3, "{:?}", log.end());
    assert_eq!(walk(&log), (walk(&log).0, Vec::new()));
    assert_eq!(bytes_of(&walk(&log).0), written);
    // From the middle.
    let blocks = walk(&log).0;
    let from = blocks[21].at.start();
    let rest: Vec<_> = log.blocks_from(from).map(Result::unwrap).collect();
    assert_eq!(rest, blocks[21..]);
    // And after another start, with and without a watermark.
    for durable in [None, Some(log.end()), Some(blocks[30].at.end())] {
        let (log, report) = open(&disk, 4_000, durable);
        assert_eq!(bytes_of(&walk(&log).0), written);
        assert_eq!((report.cut_bytes, report.damage), (0, None));
    }
}

#[test]
fn a_segment_is_a_car_file_of_version_1() {
    let disk = Disk::new();
    let (log, _) = open(&disk, 4_000, None);
    let body = block(1, 300);
    let id = BlockId::of(&body);
    log.append_group(&[(id, &body)]).unwrap();
    // IPLD CARv1: varint(58), {"roots": [CID], "version": 1}, varint(336), CID, block.
    let cid = |id: &BlockId| [&[0x01, 0x71, 0x12, 0x20][..], id.digest()].concat();
    let expected = [
        &[0x3a, 0xa2, 0x65][..],
        b"roots",
        &[0x81, 0xd8, 0x2a, 0x58, 0x25, 0x00],
        &cid(&genesis()),
        &[0x67],
        b"version",
        &[0x01],
        &[0xd0, 0x02],
        &cid(&id),
        &body,
    ]
    .concat();
    assert_eq!(disk.content(&segment(1)), expected);
}

#[test]
fn a_segment_of_another_network_is_refused_by_name() {
    let disk = Disk::new();
    disk.put(&segment(1), &car::header(&BlockId::of(b"another genesis")));
    let error = try_open(&disk, 4_000, None).map(|_| ()).unwrap_err();
    assert!(matches!(error, LogError::WrongRoot { .. }), "{error:?}");
    assert!(error.to_string().contains("/ledger/000001.car"), "{error}");
}

#[test]
fn too_large_and_no_room_are_refused_and_leave_the_log_usable() {
    let disk = Disk::new();
    let mut reserved = limits(1 << 20);
    reserved.space_reserve = 10_000;
    let dir = Path::new(DIR);
    let (log, _) = SegmentLog::open(disk.files(), dir, genesis(), reserved, None).unwrap();
    let large = vec![0; car::MAX_BLOCK + 1];
    let refused = log.append_group(&[with_id(&large)]);
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })));
    let largest = vec![0; car::MAX_BLOCK];
    let at = log.append_group(&[with_id(&largest)]).unwrap();
    assert_eq!(log.read(&at[0]).unwrap().bytes, largest);
    disk.set_free(10_500);
    let end = log.end();
    assert!(matches!(append(&log, 1), Err(AppendError::Full { .. })));
    assert_eq!(log.end(), end);
    disk.set_free(20_000);
    append(&log, 1).unwrap();
    assert_eq!(walk(&log).0.len(), 3);
}

#[test]
fn every_cut_of_the_last_blocks_leaves_exactly_the_whole_ones() {
    let disk = Disk::new();
    let (log, _) = open(&disk, 1 << 20, None);
    for n in 0..4 {
        append(&log, n).unwrap();
    }
    let (blocks, _) = walk(&log);
    let content = disk.content(&segment(1));
    let watermark = blocks[3].at.end();
    for cut in 0..content.len() {
        let whole = blocks
            .iter()
            .filter(|block| block.at.end().offset <= cut as u64)
            .count();
        for durable in [None, Some(watermark)] {
            if durable.is_some() && cut < watermark.offset as usize {
                // The index would be rebuilt: its watermark is not in the log.
                continue;
            }
            let disk = Disk::new();
            disk.put(&segment(1), &content[..cut]);
            let (log, report) = open(&disk, 1 << 20, durable);
            let (found, damaged) = walk(&log);
            assert_eq!(bytes_of(&found), bytes_of(&blocks[..whole]), "cut at {cut}");
            assert_eq!((damaged, report.damage), (vec![], None), "cut at {cut}");
            let more = append(&log, 9).unwrap();
            assert_eq!(bytes_of(&walk(&log).0[whole..]), more, "cut at {cut}");
        }
    }
}

#[test]
fn a_flipped_bit_costs_one_block_and_is_told() {
    let mut dice = Dice::new();
    let disk = Disk::new();
    let (log, _) = open(&disk, 1 << 20, None);
    for n in 0..4 {
        append(&log, n).unwrap();
    }
    let (blocks, _) = walk(&log);
    let content = disk.content(&segment(1));
    for _ in 0..2_000 {
        let bit = dice.below(8 * content.len() as u64);
        let at = bit / 8;
        let mut flipped = content.clone();
        flipped[at as usize] ^= 1 << (bit % 8);
        let disk = Disk::new();
        disk.put(&segment(1), &flipped);
        let (log, report) = match try_open(&disk, 1 << 20, None) {
            Ok(opened) => opened,
            // A flip in the root reads as another network's segment: refused, nothing is touched.
            Err(LogError::WrongRoot { .. }) if at < car::HEADER_LEN => {
                assert_eq!(disk.content(&segment(1)), flipped);
                continue;
            }
            Err(error) => panic!("bit {bit}: {error}"),
        };
        let hit = blocks
            .iter()
            .position(|block| at < block.at.end().offset)
            .unwrap();
        let in_header = at < car::HEADER_LEN;
        let mut expected = bytes_of(&blocks);
        if !in_header {
            expected.remove(hit);
        }
        assert_eq!(bytes_of(&walk(&log).0), expected, "bit {bit}");
        let last = hit + 1 == blocks.len();
        let bad = if in_header { 0 } else { blocks[hit].at.offset };
        let told = report.damage.map(|damage| damage.at.offset);
        assert_eq!(told, (!last).then_some(bad), "bit {bit}");
        if last {
            continue;
        }
        // The evidence is kept, the note stays until it is cleared, and the log takes more.
        assert_eq!(
            disk.content(&segment(1).with_extension("car.damaged")),
            flipped
        );
        expected.extend(append(&log, 9).unwrap());
        let (log, again) = open(&disk, 1 << 20, None);
        assert_eq!(
            (again.damage, again.cut_bytes),
            (report.damage, 0),
            "bit {bit}"
        );
        assert_eq!(bytes_of(&walk(&log).0), expected, "bit {bit}");
        log.clear_damage().unwrap();
        assert_eq!(open(&disk, 1 << 20, None).1.damage, None);
    }
}

#[test]
fn power_goes_at_every_call_while_a_damaged_segment_is_replaced() {
    let mut dice = Dice::new();
    let disk = Disk::new();
    let (log, _) = open(&disk, 1 << 20, None);
    for n in 0..4 {
        append(&log, n).unwrap();
    }
    let (blocks, _) = walk(&log);
    let mut content = disk.content(&segment(1));
    content[blocks[4].at.offset as usize + 50] ^= 1;
    let mut expected = bytes_of(&blocks);
    expected.remove(4);
    for durable in [None, Some(blocks[1].at.end())] {
        for cut in [false, true] {
            for m in 1.. {
                let disk = Disk::new();
                disk.put(&segment(1), &content);
                disk.power_off_at(m);
                let opened = try_open(&disk, 1 << 20, durable).is_ok();
                match cut {
                    true => disk.power_cut(&mut dice),
                    false => disk.process_ends(),
                }
                let (log, report) = open(&disk, 1 << 20, durable);
                let story = format!("call {m}, cut {cut}, {durable:?}");
                assert_eq!(report.damage.unwrap().at, blocks[4].at.start(), "{story}");
                assert_eq!(bytes_of(&walk(&log).0), expected, "{story}");
                if opened {
                    assert!(m > 10, "{m}");
                    break;
                }
            }
        }
    }
}

#[test]
fn what_a_short_write_left_is_gone_before_the_next_group() {
    let disk = Disk::new();
    let (log, _) = open(&disk, 1 << 20, None);
    append(&log, 0).unwrap();
    // free_space, write
    disk.fail_at(2, Fault::Short);
    let large = block(7, 9_000);
    let refused = log.append_group(&[with_id(&block(6, 90)), with_id(&large)]);
    assert!(matches!(refused, Err(AppendError::Full { .. })));
    let small = block(8, 50);
    log.append_group(&[with_id(&small)]).unwrap();
    assert_eq!(disk.content(&segment(1)).len() as u64, log.end().offset);
    let (log, report) = open(&disk, 1 << 20, None);
    assert_eq!((report.cut_bytes, report.damage), (0, None));
    let blocks = bytes_of(&walk(&log).0);
    assert_eq!((blocks.len(), blocks.last()), (3, Some(&small)));
}

/// One node's life: starts, appends until all groups are acknowledged, restarts when it must.
struct Life {
    acknowledged: Vec<Vec<u8>>,
    restarts: u32,
}

const GROUPS: u64 = 30;

/// `watermark`: whether starts after a kill know how far the log is durable.
fn live(disk: &Disk, watermark: bool) -> Life {
    let mut life = Life {
        acknowledged: Vec::new(),
        restarts: 0,
    };
    let (mut n, mut durable) = (0, None);
    while n < GROUPS {
        assert!(life.restarts < 10, "the node does not come up");
        let log = match try_open(disk, 5_000, durable) {
            Ok((log, report)) => {
                assert_eq!(report.damage, None);
                log
            }
            Err(_) => {
                disk.process_ends();
                life.restarts += 1;
                continue;
            }
        };
        let has = bytes_of(
            &log.blocks_from(Position::START)
                .flatten()
                .collect::<Vec<_>>(),
        );
        assert!(
            is_within(&life.acknowledged, &has),
            "acknowledged, then gone"
        );
        while n < GROUPS {
            let end = log.end();
            match append(&log, n) {
                Ok(group) => {
                    life.acknowledged.extend(group);
                    n += 1;
                    durable = Some(log.end()).filter(|_| watermark);
                }
                Err(AppendError::SyncFailed(_)) => {
                    assert!(matches!(append(&log, n), Err(AppendError::Poisoned)));
                    assert!(log.is_poisoned());
                    assert_eq!(log.end(), end);
                    break;
                }
                Err(AppendError::Full { .. } | AppendError::Io(_)) => {
                    assert_eq!(log.end(), end, "a refused group is visible");
                    assert!(!disk.sync_failed(), "a failed fsync must poison");
                }
                Err(error) => panic!("{error}"),
            }
        }
        if n < GROUPS {
            disk.process_ends();
            life.restarts += 1;
        }
    }
    life
}

#[test]
fn the_nth_call_fails_and_nothing_acknowledged_is_lost() {
    let mut dice = Dice::new();
    let calls = |watermark| {
        let disk = Disk::new();
        live(&disk, watermark);
        disk.calls()
    };
    let (mut refused, mut restarted) = (0, 0);
    for watermark in [false, true] {
        for fault in FAULTS {
            for n in 1..=calls(watermark) {
                let story = format!("call {n}, {fault:?}, watermark {watermark}");
                let disk = Disk::new();
                disk.fail_at(n, fault);
                let life = live(&disk, watermark);
                assert_eq!(life.acknowledged.len() as u64, 2 * GROUPS, "{story}");
                assert_eq!(disk.written_after_failed_sync(), [""; 0], "{story}");
                refused += 1;
                restarted += life.restarts;
                // The power goes as well, and with it the index and its watermark.
                disk.power_cut(&mut dice);
                let (log, report) = open(&disk, 5_000, None);
                assert_eq!(report.damage, None, "{story}");
                assert!(
                    is_within(&life.acknowledged, &bytes_of(&walk(&log).0)),
                    "{story}"
                );
            }
        }
    }
    assert!(
        refused > 500 && restarted > 100,
        "{refused} {restarted}: the faults do not bite"
    );
}

#[test]
fn a_poisoned_log_refuses_and_what_the_failed_fsync_left_is_made_durable_before_use() {
    let mut dice = Dice::new();
    let disk = Disk::new();
    let (log, _) = open(&disk, 1 << 20, None);
    append(&log, 0).unwrap();
    let durable = log.end();
    // free_space, write, sync
    disk.fail_at(3, Fault::Eio);
    assert!(matches!(append(&log, 1), Err(AppendError::SyncFailed(_))));
    assert!(matches!(append(&log, 2), Err(AppendError::Poisoned)));
    disk.process_ends();
    // The next start sees the group in memory and may hand it out: from then on it must survive.
    let (log, report) = open(&disk, 1 << 20, Some(durable));
    assert_eq!((report.copied_blocks, report.end.segment), (2, 2));
    let handed_out = bytes_of(&walk(&log).0);
    assert_eq!(handed_out.len(), 4);
    disk.power_cut(&mut dice);
    let (log, _) = open(&disk, 1 << 20, None);
    assert_eq!(bytes_of(&walk(&log).0), handed_out);
}

#[test]
fn power_goes_at_every_call_also_while_recovering() {
    let mut dice = Dice::new();
    let total = {
        let disk = Disk::new();
        live(&disk, false);
        disk.calls()
    };
    let (mut cut_again, mut torn) = (0, 0);
    for n in 1..=total {
        let disk = Disk::new();
        disk.power_off_at(n);
        let mut acknowledged = Vec::new();
        if let Ok((log, _)) = try_open(&disk, 5_000, None) {
            for group in (0..GROUPS).map_while(|n| append(&log, n).ok()) {
                acknowledged.extend(group);
            }
        }
        let check = |disk: &Disk, story: &str| {
            let (log, report) = open(disk, 5_000, None);
            assert_eq!(report.damage, None, "{story}");
            let has = bytes_of(&walk(&log).0);
            assert!(is_within(&acknowledged, &has), "{story}");
            report
        };
        disk.power_cut(&mut dice);
        for m in 1.. {
            // Half of the time a kill instead of a cut, so that what is not durable is still seen.
            disk.power_off_at(m);
            let opened = try_open(&disk, 5_000, None).is_ok();
            if dice.below(2) == 0 {
                disk.process_ends();
            } else {
                disk.power_cut(&mut dice);
            }
            if opened {
                break;
            }
            cut_again += 1;
        }
        torn += u32::from(check(&disk, &format!("power off at call {n}")).copied_blocks > 0);
        assert!(
            !disk
                .paths()
                .iter()
                .any(|path| path.extension().is_some_and(|end| end == "tmp"))
        );
    }
    assert!(cut_again > 100 && torn > 10, "{cut_again} {torn}");
}

#[test]
fn a_kill_at_every_call_of_a_recovery_from_a_watermark() {
    let disk_with_tail = || {
        let disk = Disk::new();
        let (log, _) = open(&disk, 1 << 20, None);
        append(&log, 0).unwrap();
        let durable = log.end();
        append(&log, 1).unwrap();
        disk.fail_at(2, Fault::Short);
        assert!(matches!(append(&log, 2), Err(AppendError::Full { .. })));
        let mut torn = disk.content(&segment(1));
        torn.extend_from_slice(&[0xd0, 0x05, 0x01, 0x71]);
        disk.put(&segment(1), &torn);
        (disk, durable, bytes_of(&walk(&log).0))
    };
    for m in 1.. {
        let (disk, durable, acknowledged) = disk_with_tail();
        disk.power_off_at(m);
        let opened = try_open(&disk, 1 << 20, Some(durable)).is_ok();
        disk.process_ends();
        let (log, report) = open(&disk, 1 << 20, Some(durable));
        assert_eq!(report.damage, None, "call {m}");
        let mut has = bytes_of(&walk(&log).0);
        // A copy whose original was not yet cut: twice the same, in order.
        if has.len() > acknowledged.len() {
            assert_eq!(
                has.split_off(acknowledged.len()),
                acknowledged[2..],
                "call {m}"
            );
        }
        assert_eq!(has, acknowledged, "call {m}");
        if opened {
            assert!(m > 5);
            break;
        }
    }
}

#[test]
fn a_side_log_keeps_order_head_and_uniqueness() {
    let disk = Disk::new();
    let dir = Path::new("/trust");
    let open = || SideLog::open(disk.files(), dir, genesis(), 0).unwrap().0;
    let log = open();
    assert_eq!(log.head(), None);
    let add = log.append(b"whitelist add 17203").unwrap();
    let remove = log.append(b"whitelist remove 17203").unwrap();
    assert_eq!(log.append(b"whitelist add 17203").unwrap(), add);
    let ids = |log: &SideLog| -> Vec<BlockId> { log.iter().map(|r| r.unwrap().id).collect() };
    assert_eq!(ids(&log), [add, remove]);
    drop(log);
    disk.power_cut(&mut Dice::new());
    let log = open();
    assert_eq!((ids(&log), log.head()), (vec![add, remove], Some(remove)));
    assert_eq!(
        disk.names_in(dir),
        ["000001.car"],
        "a start leaves no files behind"
    );
}

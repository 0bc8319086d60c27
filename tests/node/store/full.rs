//! A disk that is full: what the log refuses, what of the index waits, and that both go on when there is room.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use city_node::store::{
    AppendError, Files, Limits, OpenOutcome, OsFiles, SegmentLog, Store, Watermark,
};
use city_protocol::ids::BlockId;

use super::whole::{append, commit, open, options, patient, row, rows_of};
use super::{block, genesis, walk, with_id};

struct Tmpfs(PathBuf);

impl Tmpfs {
    /// A small file system of its own, for root.
    fn mount(dir: &Path, size: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: not root");
            return None;
        }
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(dir);
        if !mount.status().is_ok_and(|status| status.success()) {
            println!("skipped: root may not mount here");
            return None;
        }
        Some(Self(dir.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_stays_up_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = Tmpfs::mount(dir.path(), "size=2m") else {
        return;
    };
    let place = dir.path().join("ledger");
    let ballast = dir.path().join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let limits = Limits {
        segment_target: 300_000,
        space_reserve: 0,
    };
    let files: Arc<dyn Files> = Arc::new(OsFiles);
    let open = || SegmentLog::open(Arc::clone(&files), &place, genesis(), limits, None).unwrap();
    let (log, _) = open();
    let mut acknowledged = 0;
    let full = loop {
        match log.append_group(&[with_id(&block(acknowledged, 50_000))]) {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, AppendError::Full { .. }), "{full:?}");
    assert!(acknowledged > 10);
    // Still up: reading works, a refusal is a refusal again, and a little that fits is taken.
    assert_eq!(walk(&log).0.len() as u64, acknowledged);
    assert!(log.append_group(&[with_id(&block(99, 90_000))]).is_err());
    fs::remove_file(&ballast).unwrap();
    let at = log
        .append_group(&[with_id(&block(acknowledged, 50_000))])
        .unwrap();
    assert_eq!(log.read(&at[0]).unwrap().bytes, block(acknowledged, 50_000));
    drop(log);
    let (log, report) = open();
    assert_eq!(walk(&log).0.len() as u64, acknowledged + 1);
    assert_eq!((report.cut_bytes, report.damage), (0, None));
}

#[test]
fn the_reserve_keeps_the_index_alive_on_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = Tmpfs::mount(dir.path(), "size=32m") else {
        return;
    };
    let mut options = options(Arc::new(OsFiles), "this boot");
    options.limits = Limits {
        segment_target: 4 << 20,
        space_reserve: 16 << 20,
    };
    let (store, _) = patient(dir.path(), &options).unwrap();
    let mut count = 0;
    loop {
        let body = block(count, 200_000);
        let Ok(at) = store.append_group(&[with_id(&body)]) else {
            break;
        };
        count += 1;
        let mark = Watermark::after(&at[0], BlockId::of(&body), count);
        store
            .commit_rows(vec![(row(count), Some(vec![]))], &mark)
            .unwrap();
    }
    assert!(count > 10, "{count}");
    store.close().unwrap();
    let (store, report) = patient(dir.path(), &options).unwrap();
    assert!(matches!(report.index, OpenOutcome::Current(mark) if mark.count == count));
    assert_eq!(rows_of(&store) as u64, count);
}

#[test]
fn rows_for_which_the_disk_has_no_room_wait_until_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = Tmpfs::mount(dir.path(), "size=8m") else {
        return;
    };
    let (store, _) = open(dir.path());
    commit(&store, 0);
    store.settle().unwrap();
    let before = append(&store, 1).unwrap();
    let ballast = dir.path().join("ballast");
    let full = fs::write(&ballast, vec![0; 8 << 20]).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);

    let many = |n: u64| [b"many/", &n.to_be_bytes()[..]].concat();
    let rows = (0..10_000).map(|n| (many(n), Some(vec![7; 100])));
    store.commit_rows(rows.collect(), &before).unwrap();
    // Long enough for a try or two: the index is not given up, and reads as if it were written.
    std::thread::sleep(Duration::from_millis(1500));
    store.check_index().unwrap();
    assert_eq!(store.scan_prefix(b"many/").count(), 10_000);
    let shelf = |name: &fs::DirEntry| name.file_name().to_str().unwrap().starts_with("shelf-");
    let shelves = || {
        let names = fs::read_dir(dir.path().join("index")).unwrap();
        names.filter(|name| shelf(name.as_ref().unwrap())).count()
    };
    fs::remove_file(&ballast).unwrap();
    store.settle().unwrap();
    assert_eq!(shelves(), 1);
    store.close().unwrap();
    let (store, report) = open(dir.path());
    assert_eq!(report.index, OpenOutcome::Current(before));
    assert_eq!(store.scan_prefix(b"many/").count(), 10_000);
    assert_eq!(store.get(&row(0)).unwrap().unwrap(), b"0");
}

/// Takes every name that the file system still has.
fn take_names(dir: &Path) -> Vec<PathBuf> {
    fs::create_dir(dir).unwrap();
    let made = (0..).map(|n| dir.join(n.to_string()));
    made.take_while(|path| fs::write(path, b"").is_ok())
        .collect()
}

/// A shelf is made of several small files. Whichever of them finds no room, the rows wait until there is, and a kill meanwhile
/// costs nothing but time.
#[test]
fn whichever_small_file_has_no_room_the_rows_wait_until_there_is() {
    const SPARE: usize = 40;
    let mut put_off = 0;
    for (spare, killed) in (0..SPARE).flat_map(|spare| [(spare, false), (spare, true)]) {
        let dir = tempfile::tempdir().unwrap();
        let Some(_mounted) = Tmpfs::mount(dir.path(), "size=64m,nr_inodes=200") else {
            return;
        };
        let (store, _) = open(dir.path());
        commit(&store, 0);
        store.settle().unwrap();
        let before = append(&store, 1).unwrap();
        let names = take_names(&dir.path().join("names"));
        assert!(names.len() > SPARE);
        let (few, many) = names.split_at(spare);
        few.iter().for_each(|name| fs::remove_file(name).unwrap());

        let key = |n: u64| [b"many/", &n.to_be_bytes()[..]].concat();
        let rows = (0..10_000).map(|n| (key(n), Some(vec![7; 100])));
        store.commit_rows(rows.collect(), &before).unwrap();
        let list = || fs::read_to_string(dir.path().join("index/SHELVES")).unwrap();
        let begun = Instant::now();
        while !list().contains("shelves 1 ") && begun.elapsed() < Duration::from_millis(700) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let waits = !list().contains("shelves 1 ");
        put_off += usize::from(waits);
        let story = format!("{spare} files, which is enough: {}", !waits);
        store.check_index().unwrap();
        let whole = |store: &Store| {
            assert_eq!(store.scan_prefix(b"many/").count(), 10_000, "{story}");
            assert_eq!(store.get(&row(0)).unwrap().unwrap(), b"0", "{story}");
        };
        whole(&store);
        if killed {
            drop(store);
            many.iter().for_each(|name| fs::remove_file(name).unwrap());
            let (store, report) = open(dir.path());
            assert_eq!(walk(store.ledger()).0.len(), 4, "{story}");
            match report.index {
                OpenOutcome::Current(mark) => assert_eq!(mark, before, "{story}"),
                OpenOutcome::CatchUp(mark) => assert!(mark.count < before.count, "{story}"),
                OpenOutcome::Rebuild(_) => {}
                OpenOutcome::Empty => panic!("{story}: the log is gone"),
            }
            store.close().unwrap();
        } else {
            many.iter().for_each(|name| fs::remove_file(name).unwrap());
            store.settle().unwrap();
            assert!(list().contains("shelves "), "{story}");
            store.close().unwrap();
            let (store, report) = open(dir.path());
            assert_eq!(report.index, OpenOutcome::Current(before), "{story}");
            whole(&store);
        }
        if !waits {
            assert!(put_off > 2, "{story}: the small files are not met");
            if killed {
                return;
            }
        }
    }
    panic!("{SPARE} files are enough");
}

//! The whole store in a real directory: which index is believed, who may open it, what the n-th call that fails leaves.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use city_node::store::{
    AppendError, FileHandle, Files, IndexError, Limits, OpenOutcome, OpenReport, OsFiles, Position,
    RebuildReason, SHELF_ROWS, Store, StoreError, StoreOptions, Watermark,
};
use city_protocol::ids::BlockId;

use super::{Dice, block, genesis, walk, with_id};

pub(super) fn options(files: Arc<dyn Files>, boot: &str) -> StoreOptions {
    StoreOptions {
        keep_row: None,
        shelf_rows: SHELF_ROWS,
        files,
        limits: Limits {
            segment_target: 2_000,
            space_reserve: 0,
        },
        boot_id: boot.to_owned(),
    }
}

/// Opens a store. A child that another test of this process is starting holds a copy of every lock from its
/// fork to its exec, so a lock that seems to be held is asked for again for a while.
pub(super) fn patient(
    dir: &Path,
    options: &StoreOptions,
) -> Result<(Store, OpenReport), StoreError> {
    let begun = Instant::now();
    loop {
        match Store::open(dir, genesis(), options.clone()) {
            Err(StoreError::InUse { .. }) if begun.elapsed() < Duration::from_secs(5) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

fn open_as(dir: &Path, boot: &str) -> (Store, OpenReport) {
    patient(dir, &options(Arc::new(OsFiles), boot)).unwrap()
}

pub(super) fn open(dir: &Path) -> (Store, OpenReport) {
    open_as(dir, "this boot")
}

/// The same with so many rows to a shelf.
pub(super) fn open_shelving(dir: &Path, boot: &str, rows: usize) -> (Store, OpenReport) {
    let mut options = options(Arc::new(OsFiles), boot);
    options.shelf_rows = rows;
    patient(dir, &options).unwrap()
}

pub(super) fn row(n: u64) -> Vec<u8> {
    [b"entry/", &n.to_be_bytes()[..]].concat()
}

pub(super) fn append(store: &Store, n: u64) -> Result<Watermark, AppendError> {
    let (body, header) = (block(2 * n, 600), block(2 * n + 1, 80));
    let at = store.append_group(&[with_id(&body), with_id(&header)])?;
    Ok(Watermark::after(&at[1], BlockId::of(&header), n + 1))
}

pub(super) fn commit(store: &Store, n: u64) -> Watermark {
    let mark = append(store, n).unwrap();
    let rows = vec![(row(n), Some(n.to_string().into_bytes()))];
    store.commit_rows(rows, &mark).unwrap();
    mark
}

/// A closed store of five groups, and its last watermark.
fn five(dir: &Path) -> Watermark {
    let (store, report) = open(dir);
    assert_eq!(report.index, OpenOutcome::Empty);
    let mark = (0..5).map(|n| commit(&store, n)).last().unwrap();
    store.close().unwrap();
    mark
}

pub(super) fn rows_of(store: &Store) -> usize {
    store.scan_prefix(b"entry/").map(Result::unwrap).count()
}

#[track_caller]
fn check_reopened(dir: &Path, boot: &str, expected: OpenOutcome, rows: usize) {
    let (store, report) = open_as(dir, boot);
    assert_eq!(report.index, expected);
    assert_eq!(rows_of(&store), rows);
    assert_eq!(walk(store.ledger()).0.len(), 10);
}

#[test]
fn an_index_is_believed_after_a_close_and_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mark = five(dir.path());
    assert!(mark.position.segment > 1, "the log has several segments");
    // Closed under one boot, opened under the next.
    let (store, report) = open_as(dir.path(), "next boot");
    assert_eq!(report.index, OpenOutcome::Current(mark));
    assert_eq!(store.get(&row(4)).unwrap().unwrap(), b"4");
    let sixth = commit(&store, 5);
    // Dropped without a close: a kill.
    drop(store);
    let (store, report) = open_as(dir.path(), "next boot");
    assert_eq!(report.index, OpenOutcome::Current(sixth));
    assert_eq!((rows_of(&store), report.ledger.copied_blocks), (6, 0));
}

#[test]
fn an_index_that_lags_is_caught_up() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let mark = commit(&store, 0);
    append(&store, 1).unwrap();
    append(&store, 2).unwrap();
    drop(store);
    let (store, report) = open(dir.path());
    assert_eq!(report.index, OpenOutcome::CatchUp(mark));
    let missing: Vec<BlockId> = store
        .blocks_from(mark.position)
        .map(|found| found.unwrap().id)
        .collect();
    let expected =
        [(2, 600), (3, 80), (4, 600), (5, 80)].map(|(n, len)| BlockId::of(&block(n, len)));
    assert_eq!(missing, expected);
    assert_eq!((rows_of(&store), report.ledger.copied_blocks), (1, 4));
}

#[test]
fn an_index_that_cannot_be_believed_is_rebuilt() {
    let rebuild = OpenOutcome::Rebuild;
    let dir = tempfile::tempdir().unwrap();
    five(dir.path());

    fs::remove_dir_all(dir.path().join("index")).unwrap();
    check_reopened(dir.path(), "this boot", rebuild(RebuildReason::Missing), 0);
    // That start made no commit and did not close: its marker is still there.
    check_reopened(dir.path(), "this boot", rebuild(RebuildReason::Unproven), 0);

    let (store, _) = open(dir.path());
    let behind_all = store.ledger().end();
    let head = walk(store.ledger()).0[9].id;
    let mark = Watermark {
        position: behind_all,
        head,
        count: 5,
    };
    store
        .commit_rows(vec![(row(1), Some(vec![]))], &mark)
        .unwrap();
    drop(store);
    // A kill under this boot is believed, the same under another is not.
    check_reopened(dir.path(), "this boot", OpenOutcome::Current(mark), 1);
    let (store, _) = open(dir.path());
    store
        .commit_rows(vec![(row(1), Some(vec![]))], &mark)
        .unwrap();
    drop(store);
    check_reopened(dir.path(), "next boot", rebuild(RebuildReason::PowerCut), 0);
    // What was moved aside is kept once.
    assert!(dir.path().join("index.old/young-1/db").exists());

    let (store, _) = open_as(dir.path(), "next boot");
    store.commit_rows(vec![], &mark).unwrap();
    store.close().unwrap();
    fs::write(
        dir.path().join("index/young-1/conf"),
        b"not what sled wrote",
    )
    .unwrap();
    check_reopened(
        dir.path(),
        "next boot",
        rebuild(RebuildReason::Unreadable),
        0,
    );
}

#[test]
fn an_index_of_a_longer_or_another_log_is_told_and_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let mark = five(dir.path());
    let last = format!("ledger/{:06}.car", mark.position.segment);
    let segment = dir.path().join(last);
    let whole = fs::read(&segment).unwrap();
    // A backup of the log that is older than the index.
    let (store, _) = open(dir.path());
    let cut = walk(store.ledger()).0[8].at.end().offset;
    store.close().unwrap();
    fs::write(&segment, &whole[..usize::try_from(cut).unwrap()]).unwrap();
    let (store, report) = open(dir.path());
    let told = OpenOutcome::Rebuild(RebuildReason::NotOfThisLog(mark));
    assert_eq!((report.index, rows_of(&store)), (told, 0));
    drop(store);

    // Another log of the same lengths.
    let dir = tempfile::tempdir().unwrap();
    let mark = five(dir.path());
    let other = tempfile::tempdir().unwrap();
    let (store, _) = open(other.path());
    for n in 100..105 {
        commit(&store, n);
    }
    assert_eq!(store.ledger().end(), mark.position);
    store.close().unwrap();
    fs::remove_dir_all(dir.path().join("ledger")).unwrap();
    fs::rename(other.path().join("ledger"), dir.path().join("ledger")).unwrap();
    let (_, report) = open(dir.path());
    assert_eq!(
        report.index,
        OpenOutcome::Rebuild(RebuildReason::NotOfThisLog(mark))
    );
    // The log is gone altogether: that is not a new node.
    let dir = tempfile::tempdir().unwrap();
    let mark = five(dir.path());
    fs::remove_dir_all(dir.path().join("ledger")).unwrap();
    let (_, report) = open(dir.path());
    assert_eq!(
        report.index,
        OpenOutcome::Rebuild(RebuildReason::NotOfThisLog(mark))
    );
}

#[test]
fn a_garbled_index_costs_at_most_one_more_start() {
    let mut dice = Dice::new();
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        five(dir.path());
        let db = dir.path().join("index/young-1/db");
        let mut content = fs::read(&db).unwrap();
        let from = dice.below(content.len() as u64) as usize;
        if dice.below(2) == 0 {
            content.truncate(from);
        } else {
            let end = content.len().min(from + 4_096);
            content[from..end].fill_with(|| dice.next() as u8);
        }
        fs::write(&db, content).unwrap();
        // sled may panic here; the release would abort and be started again.
        let first = catch_unwind(AssertUnwindSafe(|| open(dir.path()).1.index));
        let (store, report) = open(dir.path());
        match (&first, report.index) {
            (Err(_), OpenOutcome::Rebuild(RebuildReason::Unproven)) => {
                assert_eq!(rows_of(&store), 0);
            }
            (Ok(_), OpenOutcome::Rebuild(RebuildReason::Unproven)) => {
                assert_eq!(rows_of(&store), 0);
            }
            (_, other) => panic!("{other:?} after {:?}", first.ok()),
        }
        assert_eq!(walk(store.ledger()).0.len(), 10);
    }
}

#[test]
fn a_second_process_is_told_who_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let refused = Store::open(
        dir.path(),
        genesis(),
        options(Arc::new(OsFiles), "this boot"),
    );
    let error = refused.map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
    let text = error.to_string();
    let me = format!("process {}", std::process::id());
    assert!(
        text.contains(dir.path().to_str().unwrap()) && text.contains(&me),
        "{text}"
    );
    store.close().unwrap();
    open(dir.path());
}

#[test]
fn rows_are_bounded_ordered_and_written_all_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let start = Watermark::start(genesis(), 0);
    let put = |key: &[u8], value: &[u8]| {
        let good = (b"good".to_vec(), Some(vec![1]));
        store.commit_rows(vec![good, (key.to_vec(), Some(value.to_vec()))], &start)
    };
    for (key, value) in [
        (&b""[..], &b""[..]),
        (b"\0watermark", b""),
        (&[b'k'; 257], b""),
        (b"k", &[0; 513]),
    ] {
        assert!(
            matches!(put(key, value), Err(IndexError::BadRow(_))),
            "{key:?}"
        );
    }
    assert_eq!(
        store.get(b"good").unwrap(),
        None,
        "nothing of a refused commit"
    );
    let beyond = Watermark {
        position: Position {
            segment: 1,
            offset: 60,
        },
        ..start
    };
    assert!(matches!(
        store.commit_rows(vec![], &beyond),
        Err(IndexError::BadRow(_))
    ));
    put(&[b'k'; 256], &[0; 512]).unwrap();

    let keys = [&b"a"[..], b"p\xff", b"p\xff\x01", b"p\xff\x02", b"q"];
    for key in keys {
        put(key, b"v").unwrap();
    }
    let found =
        |rows: city_node::store::Rows| -> Vec<Vec<u8>> { rows.map(|row| row.unwrap().0).collect() };
    assert_eq!(found(store.scan_prefix(b"p\xff")), keys[1..4]);
    assert_eq!(
        found(store.scan_prefix_from(b"p\xff", b"p\xff\x02")),
        keys[3..4]
    );
    assert_eq!(found(store.scan_prefix_from(b"p\xff", b"a")), keys[1..4]);
    assert_eq!(
        found(store.scan_prefix_from(b"p\xff", b"z")),
        Vec::<Vec<u8>>::new()
    );
    let last = store.scan_prefix(b"p").next_back().unwrap().unwrap();
    assert_eq!(last.0, keys[3]);
    store
        .commit_rows(vec![(b"q".to_vec(), None)], &start)
        .unwrap();
    assert_eq!(store.get(b"q").unwrap(), None);
    assert_eq!(store.watermark(), Some(start));
}

/// The real disk, whose n-th call fails.
struct Nth(Arc<AtomicU64>);

struct NthFile(Arc<dyn FileHandle>, Arc<AtomicU64>);

fn nth(left: &AtomicU64) -> io::Result<()> {
    match left.fetch_sub(1, Ordering::SeqCst) {
        1 => Err(io::Error::from_raw_os_error(5)),
        _ => Ok(()),
    }
}

impl FileHandle for NthFile {
    fn len(&self) -> io::Result<u64> {
        nth(&self.1).and_then(|()| self.0.len())
    }
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        nth(&self.1).and_then(|()| self.0.read_exact_at(buf, offset))
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        nth(&self.1).and_then(|()| self.0.write_all_at(bytes, offset))
    }
    fn sync_data(&self) -> io::Result<()> {
        nth(&self.1).and_then(|()| self.0.sync_data())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        nth(&self.1).and_then(|()| self.0.set_len(len))
    }
}

impl Nth {
    fn wrap(&self, file: io::Result<Arc<dyn FileHandle>>) -> io::Result<Arc<dyn FileHandle>> {
        Ok(Arc::new(NthFile(file?, Arc::clone(&self.0))))
    }
}

impl Files for Nth {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        nth(&self.0).and_then(|()| OsFiles.create_dir(dir))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        nth(&self.0).and_then(|()| self.wrap(OsFiles.create(path)))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        nth(&self.0).and_then(|()| self.wrap(OsFiles.open(path)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        nth(&self.0).and_then(|()| OsFiles.rename(from, to))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        nth(&self.0).and_then(|()| OsFiles.remove(path))
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        nth(&self.0).and_then(|()| OsFiles.remove_dir(dir))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        nth(&self.0).and_then(|()| OsFiles.list(dir))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        nth(&self.0).and_then(|()| OsFiles.sync_dir(dir))
    }
    fn sync_tree(&self, dir: &Path) -> io::Result<()> {
        nth(&self.0).and_then(|()| OsFiles.sync_tree(dir))
    }
    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        nth(&self.0).and_then(|()| OsFiles.free_space(dir))
    }
}

/// Opens, commits four groups, waits until so many of them are written each by itself, and closes; says how many were
/// acknowledged before something failed.
fn short_life(
    dir: &Path,
    files: Arc<dyn Files>,
    (shelf_rows, alone): (usize, u64),
) -> Result<(), u64> {
    let mut options = options(files, "this boot");
    options.shelf_rows = shelf_rows;
    if alone > 0 {
        // Whatever is not written alone is written together.
        options.limits.segment_target = 1 << 20;
    }
    let (store, _) = patient(dir, &options).map_err(|_| 0_u64)?;
    for n in 0..4 {
        let mark = append(&store, n).map_err(|_| n)?;
        let rows = vec![(row(n), Some(vec![]))];
        store.commit_rows(rows, &mark).map_err(|_| n + 1)?;
        if n < alone {
            store.settle().map_err(|_| n + 1)?;
        }
    }
    store.close().map_err(|_| 4)
}

/// With rows that stay in sled, that go from there to a shelf, that go to shelves at once, which are merged, and that join
/// what sled has in one shelf.
#[test]
fn the_nth_call_of_the_whole_store_fails_and_the_next_start_needs_nobody() {
    for life in [(SHELF_ROWS, 0), (4, 4), (2, 4), (8, 1)] {
        each_call_fails(life);
    }
}

fn each_call_fails(life: (usize, u64)) {
    for n in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let left = Arc::new(AtomicU64::new(n));
        let lived = short_life(dir.path(), Arc::new(Nth(left)), life);
        let acknowledged = lived.err().unwrap_or(4);
        let (store, report) = open(dir.path());
        let blocks = walk(store.ledger()).0.len() as u64;
        assert!(
            blocks >= 2 * acknowledged,
            "call {n}: {blocks} of {acknowledged}"
        );
        assert_eq!(report.ledger.damage, None, "call {n}");
        // The index has the rows of what its watermark says, and a rebuild starts from nothing.
        let rows = rows_of(&store) as u64;
        match report.index {
            OpenOutcome::Current(mark) => {
                assert_eq!((rows, 2 * rows), (mark.count, blocks), "call {n}");
            }
            OpenOutcome::CatchUp(mark) => assert_eq!(rows, mark.count, "call {n}"),
            OpenOutcome::Rebuild(_) => assert_eq!(rows, 0, "call {n}"),
            OpenOutcome::Empty => assert_eq!((rows, blocks), (0, 0), "call {n}"),
        }
        if lived.is_ok() {
            assert!(n > 40, "{n}: the faults do not bite");
            break;
        }
    }
}

/// The rows of 1,000,000 transfers. sled took 7 GB for them before `Index::let_go`. Run by hand: `--ignored`, alone, for it reads the process's peak.
#[test]
#[ignore = "takes a minute or two and measures the memory of the whole process"]
fn a_rebuild_stays_within_512_mb() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let mut dice = Dice::new();
    let start = Watermark::start(genesis(), 0);
    let begun = Instant::now();
    for _ in 0..3_000 {
        let mut row = || {
            let mut key = vec![b't'];
            (0..4).for_each(|_| key.extend_from_slice(&dice.next().to_be_bytes()));
            (key, Some(vec![7; 64]))
        };
        store
            .commit_rows((0..1_000).map(|_| row()).collect(), &start)
            .unwrap();
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    println!("3,000,000 rows in {:?}, {peak}", begun.elapsed());
    let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib < 512 << 10, "{peak}");
    store.close().unwrap();
}

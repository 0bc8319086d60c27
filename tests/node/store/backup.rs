//! A backup that is made while the node books: it holds what was acknowledged before, no key, and a node on it signs nothing.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use city_node::engine::{Pin, utc};
use city_node::setup::{BACKUP_NOTE, DataBackup, DataDir, Whose, copy_data};
use city_node::store::{FileHandle, Files, OsFiles, RESTORED};

use serde_json::Value;

use super::export::{json, refused};
use crate::daemon::city::{alone, directory};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_node_that_books_is_consistent_and_signs_nothing() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let node = city.ready().await;
    let api = city.api(&node);
    let person = city.rich(&api, 7_000).await;
    let to = root.path().join("backup");
    let text = to.to_str().unwrap().to_owned();
    let mut backup = Command::new(env!("CARGO_BIN_EXE_city-node"));
    backup.args(["store", "backup", &text, "--json", "--data-dir"]);
    let backup = backup
        .arg(city.data.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Others open accounts meanwhile.
    for _ in 0..4 {
        city.citizen(&api).await;
    }
    let made = backup.wait_with_output().unwrap();
    assert!(made.status.success());
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert!(made["seq"].as_u64().unwrap() >= 2, "{made}");
    assert_eq!(made["keys"], false);
    let told = refused(&city, 1, &["backup", &text]);
    assert!(told.contains("backup"), "{told}");
    node.stop().await;
    // Of a stopped one, whatever has become of its index.
    fs::remove_dir_all(city.data.index()).unwrap();
    let second = root.path().join("second");
    let stopped = json(&city, &["backup", second.to_str().unwrap()]);
    assert!(stopped["seq"].as_u64() >= made["seq"].as_u64(), "{stopped}");

    let note: DataBackup =
        serde_json::from_slice(&fs::read(to.join(BACKUP_NOTE)).unwrap()).unwrap();
    assert_eq!(
        (note.own.seq, note.log),
        (made["seq"].as_u64().unwrap(), city.report.log)
    );
    assert!(
        note.files.iter().all(|file| !file.path.ends_with(".key")),
        "{note:#?}"
    );
    // What only its owner could read, only its owner reads there.
    for file in &note.files {
        let mode = |dir: &Path| fs::metadata(dir.join(&file.path)).unwrap().mode() & 0o777;
        if city.data.path().join(&file.path).exists() {
            assert_eq!(mode(&to), mode(city.data.path()), "{}", file.path);
        }
    }
    let head = note.own.head.unwrap().to_string();
    let mark = fs::read_to_string(to.join(RESTORED)).unwrap();
    assert!(mark.contains(&head), "{mark}");

    // On another disk, with the keys from their own backup.
    let copied = Command::new("cp")
        .arg("-a")
        .arg(city.data.keys())
        .arg(&to)
        .status();
    assert!(copied.unwrap().success());
    fs::copy(city.data.tls_key(), DataDir::new(&to).tls_key()).unwrap();
    city.data = DataDir::new(&to);
    let node = city.ready().await;
    let status = node.status().await;
    let why = status.not_sequencing_because.as_ref();
    assert!(!status.sequencing && why.is_some(), "{}", node.log());
    // It holds at least what was told, and up to one group more.
    assert!(status.frontier[0].seq >= note.own.seq, "{status:#?}");
    let balances = node
        .admin()
        .await
        .unwrap()
        .balances()
        .await
        .unwrap()
        .balances;
    assert_eq!(balances[&person.account()], "70.00");
    node.check().await;
    node.stop().await;
}

/// The real disk, whose n-th call fails.
struct Nth(Arc<AtomicU64>);

struct NthFile(Arc<dyn FileHandle>, Arc<AtomicU64>);

fn nth(left: &AtomicU64) -> io::Result<()> {
    match left.fetch_sub(1, Ordering::SeqCst) {
        1 => Err(io::Error::from_raw_os_error(28)),
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nth_call_of_a_backup_or_an_export_fails_and_no_part_has_the_name_of_the_whole() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    city.ready().await.stop().await;
    let length = fs::metadata(city.data.ledger().join("000001.car"))
        .unwrap()
        .len();
    let own = Pin {
        schema: 1,
        segment: 1,
        bytes: length,
        epoch: 1,
        seq: 1,
        head: None,
    };
    let whose = Whose {
        region: city.config.node.region.clone(),
        network: city.report.network,
        log: city.report.log,
    };
    let place = root.path().join("backups");
    fs::create_dir(&place).unwrap();
    let to = place.join("b");
    let left = || fs::read_dir(&place).unwrap().count();
    let mut calls = 0;
    for n in 1.. {
        let count = Arc::new(AtomicU64::new(n));
        let files: Arc<dyn Files> = Arc::new(Nth(Arc::clone(&count)));
        let config = city.data.config();
        let made = copy_data(
            &files,
            (&city.data, &config),
            &to,
            (&whose, own),
            None,
            utc(),
        );
        if (1..=n).contains(&count.load(Ordering::SeqCst)) {
            made.unwrap();
            calls = n;
            break;
        }
        if made.is_ok() {
            // What is only asked for, such as old damage, may be missing.
            fs::remove_dir_all(&to).unwrap();
        }
        assert_eq!(left(), 0, "call {n}: something stays");
    }
    assert!(calls > 50, "the faults do not bite: {calls}");
    let whole: DataBackup =
        serde_json::from_slice(&fs::read(to.join(BACKUP_NOTE)).unwrap()).unwrap();
    assert_eq!(whole.own, own);
    fs::remove_dir_all(&to).unwrap();

    let file = place.join("e.car");
    let block = vec![7; 100];
    let id = city_protocol::ids::BlockId::of(&block);
    let mut named = 0;
    for n in 1.. {
        let files: Arc<dyn Files> = Arc::new(Nth(Arc::new(AtomicU64::new(n))));
        let written =
            city_node::store::ArchiveWriter::begin(files, &file, &id).and_then(|mut out| {
                for _ in 0..20_000 {
                    out.push(&id, &block)?;
                }
                out.finish()
            });
        if written.is_ok() {
            assert!(n > 5, "the faults do not bite: {n}");
            break;
        }
        assert_eq!(left(), usize::from(file.exists()), "call {n}: a part stays");
        named += u32::from(fs::remove_file(&file).is_ok());
    }
    // Only the fsync of the directory comes after the name.
    assert_eq!(named, 1);
}

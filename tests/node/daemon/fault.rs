//! A disk whose fsync fails: the engine says so and ends, once, so that the process can.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use city_node::engine::{Engine, EngineConfig, EngineError, SystemClock};
use city_node::setup::load_identity;
use city_node::store::{AppendError, FileHandle, Files, OsFiles, Store, StoreOptions, Watermark};
use city_protocol::amount::Timestamp;
use city_protocol::body::Start;
use city_protocol::ids::BlockId;
use city_protocol::place::PlacePolicy;
use city_protocol::replica::{Replica, ReplicaConfig};

use super::city::{alone, directory};

/// The real disk, until it is broken: then no file can be made durable.
#[derive(Clone, Default)]
struct Disk(Arc<AtomicBool>);

struct Open(Arc<dyn FileHandle>, Disk);

impl FileHandle for Open {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.1.0.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

impl Files for Disk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        OsFiles.create_dir(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        Ok(Arc::new(Open(OsFiles.create(path)?, self.clone())))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        Ok(Arc::new(Open(OsFiles.open(path)?, self.clone())))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsFiles.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        OsFiles.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        OsFiles.remove_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        OsFiles.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        OsFiles.sync_dir(dir)
    }

    fn sync_tree(&self, dir: &Path) -> io::Result<()> {
        OsFiles.sync_tree(dir)
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        OsFiles.free_space(dir)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_fsync_the_engine_ends_and_says_why() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let identity = load_identity(&city.data).unwrap();
    let disk = Disk::default();
    let options = StoreOptions {
        files: Arc::new(disk.clone()),
        ..StoreOptions::new()
    };
    let (store, _) = Store::open(city.data.path(), identity.network, options).unwrap();
    let genesis = identity.genesis.to_block();
    let at = store
        .append_group(&[(BlockId::of(&genesis), &genesis)])
        .unwrap();
    store
        .commit_rows(Vec::new(), &Watermark::after(&at[0], identity.network, 1))
        .unwrap();
    let store = Arc::new(store);

    disk.0.store(true, Ordering::SeqCst);
    let clock = SystemClock::new(true, Timestamp(0));
    let (outgoing, _nobody) = tokio::sync::mpsc::unbounded_channel();
    let mut engine = Engine::start(EngineConfig {
        peers: 0,
        genesis: Arc::clone(&identity.genesis),
        authority: Arc::clone(&identity.authority),
        replica: Replica::new(ReplicaConfig {
            genesis: Arc::clone(&identity.genesis),
            authority: Arc::clone(&identity.authority),
            signers: vec![Box::new(Arc::clone(&identity.signer))],
            policy: PlacePolicy::default(),
            start: Start {
                v: 1,
                software: "test".into(),
                clock: "rtc".into(),
                trust: None,
            },
            may_sequence: true,
        }),
        store: Arc::clone(&store),
        clock,
        outgoing,
    })
    .unwrap();
    // Its first vertex, with the charter, is what cannot be made durable.
    let patience = Duration::from_secs(10);
    let fault = tokio::time::timeout(patience, engine.fault())
        .await
        .expect("a fault");
    let failed = matches!(fault, EngineError::Append(AppendError::SyncFailed(_)));
    assert!(failed, "{fault:?}");
    assert!(
        engine.handle().status().await.is_err(),
        "nobody is left to answer"
    );
    tokio::time::timeout(patience, engine.stopped())
        .await
        .expect("an end")
        .unwrap();
    assert!(
        Arc::into_inner(store).is_some(),
        "nothing holds the store any more"
    );
}

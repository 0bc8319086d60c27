//! The form of a data directory: what is older is brought forward, what is newer is refused before it is touched.

use std::fs;
use std::time::{Duration, Instant};

use city_node::store::{DATA_SCHEMA, SchemaError, Store, StoreError, StoreOptions};

use super::genesis;
use crate::daemon::city::{alone, directory};

fn open(dir: &std::path::Path) -> Result<(), StoreError> {
    let begun = Instant::now();
    loop {
        match Store::open(dir, genesis(), StoreOptions::new()) {
            // A process that another test starts holds a copy of every lock for a moment.
            Err(StoreError::InUse { .. }) if begun.elapsed() < Duration::from_secs(5) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other.and_then(|(store, _)| store.close()),
        }
    }
}

#[test]
fn older_data_is_brought_forward_and_newer_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("SCHEMA");
    open(dir.path()).unwrap();
    let written = || fs::read_to_string(&file).unwrap();
    assert_eq!(written().trim(), DATA_SCHEMA.to_string());
    // As the first versions left it.
    fs::remove_file(&file).unwrap();
    open(dir.path()).unwrap();
    assert_eq!(written().trim(), DATA_SCHEMA.to_string());

    let newer = DATA_SCHEMA + 1;
    fs::write(&file, newer.to_string()).unwrap();
    fs::remove_dir_all(dir.path().join("ledger")).unwrap();
    let error = open(dir.path()).unwrap_err();
    let StoreError::Schema(SchemaError::Newer { found, .. }) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*found, newer);
    assert!(
        error.to_string().contains("install that version again"),
        "{error}"
    );
    assert!(!dir.path().join("ledger").exists(), "nothing is made");
    for garbled in ["", "0", "two", "\u{0}"] {
        fs::write(&file, garbled).unwrap();
        let error = open(dir.path()).unwrap_err();
        let unreadable = matches!(error, StoreError::Schema(SchemaError::Unreadable { .. }));
        assert!(unreadable, "{garbled:?}: {error:?}");
    }
}

/// systemd need not try again: status 78, with the remedy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_run_on_newer_data() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    city.ready().await.stop().await;
    fs::write(city.data.path().join("SCHEMA"), "77\n").unwrap();
    let mut node = city.start();
    let (ended, _) = node.end().await;
    assert_eq!(ended.code(), Some(78), "{}", node.log());
    assert!(node.log().contains("form 77"), "{}", node.log());
    fs::write(city.data.path().join("SCHEMA"), "1\n").unwrap();
    city.ready().await.stop().await;
}

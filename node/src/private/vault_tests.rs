//! The vault over restarts, cuts, damage, erasures and other keys.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use city_protocol::body::{PrivateField, PrivateValues, SALT_LEN, Salted};
use city_protocol::ids::Digest;

use super::record::{HEAD_LEN, Head, Kind, MAX_SEALED};
use super::rewrap::UNFINISHED;
use super::vault::FILE;
use super::{Kept, Vault, wrap_again};
use crate::keys::{Access, BackendKind, ERASED, Keyring, Keystore, TpmSettings, backend, exchange};

fn ring(directory: &Path) -> Arc<Keyring> {
    let store = Arc::new(Keystore::open(directory, &mut Access::unattended()).unwrap());
    if !store.has_keyring() {
        let file = backend(BackendKind::File, None, &TpmSettings::default()).unwrap();
        exchange(&store, Some(file), &[]).unwrap();
    }
    Arc::new(Keyring::open(store).unwrap().unwrap())
}

/// A directory with keys and values.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Vault {
        let (keys, values) = (self.0.path().join("keys"), self.0.path().join("values"));
        fs::create_dir_all(&keys).unwrap();
        Vault::open(&values, ring(&keys)).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("values").join(FILE)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.file()).unwrap();
        change(&mut bytes);
        fs::write(self.file(), bytes).unwrap();
    }
}

fn transfer(n: u8) -> Digest {
    Digest([n; 32])
}

fn values(n: u8) -> PrivateValues {
    let salted = Salted::new([n; SALT_LEN], &format!("value {n}")).unwrap();
    PrivateValues::new(BTreeMap::from([(PrivateField::Subject, salted)])).unwrap()
}

async fn put(vault: &Vault, kind: Kind, n: u8) {
    let done = vault.put(kind, transfer(n), values(n), false).await;
    done.unwrap();
}

fn check(vault: &Vault, n: u8, expected: Option<u8>) {
    match (vault.get(&transfer(n)), expected) {
        (Ok(Kept::Values(found)), Some(n)) => {
            assert_eq!(*found.to_bytes(), *values(n).to_bytes());
        }
        (Ok(Kept::Nothing), None) => {}
        (found, _) => panic!("{n}: {found:?}"),
    }
}

fn is_erased(vault: &Vault, n: u8) -> bool {
    matches!(vault.get(&transfer(n)), Ok(Kept::Erased))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_all_there_after_a_restart() {
    let place = Place::new();
    let vault = place.open();
    let many = (0..100).map(|n| {
        let vault = vault.clone();
        tokio::spawn(async move { put(&vault, Kind::Own, n).await })
    });
    for one in many.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    put(&vault, Kind::Own, 7).await;
    let length = fs::metadata(place.file()).unwrap().len();
    drop(vault);
    let vault = place.open();
    for n in 0..100 {
        check(&vault, n, Some(n));
    }
    check(&vault, 100, None);
    put(&vault, Kind::Own, 7).await;
    assert_eq!(fs::metadata(place.file()).unwrap().len(), length);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_is_gone_and_an_erasure_that_was_cut_off_is_finished() {
    let place = Place::new();
    let vault = place.open();
    for n in 0..3 {
        put(&vault, Kind::Received, n).await;
    }
    assert!(vault.erase(transfer(0)).await.unwrap());
    assert!(!vault.erase(transfer(0)).await.unwrap());
    assert!(!vault.erase(transfer(9)).await.unwrap());
    // Its transfer is booked: what comes again is not kept.
    let again = vault.put(Kind::Received, transfer(0), values(0), true);
    again.await.unwrap();
    assert!(is_erased(&vault, 0));
    drop(vault);
    // Of the second record's key only the beginning was overwritten.
    let record = Head::read(&fs::read(place.file()).unwrap())
        .unwrap()
        .record_len();
    place.change(|bytes| bytes[record + HEAD_LEN..][..20].fill(0));
    let vault = place.open();
    assert!(is_erased(&vault, 0) && is_erased(&vault, 1));
    check(&vault, 2, Some(2));
    let bytes = fs::read(place.file()).unwrap();
    assert_eq!(bytes[record + HEAD_LEN..][..ERASED.len()], ERASED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_off_and_a_damaged_record_told() {
    let place = Place::new();
    let vault = place.open();
    for n in 0..3 {
        put(&vault, Kind::Own, n).await;
    }
    drop(vault);
    let whole = fs::read(place.file()).unwrap().len();
    place.change(|bytes| {
        bytes.extend_from_slice(b"CNpv\x01 the beginning of a record");
        bytes[whole / 3 + 5] ^= 1;
    });
    let vault = place.open();
    assert_eq!(fs::metadata(place.file()).unwrap().len(), whole as u64);
    check(&vault, 0, Some(0));
    check(&vault, 1, None);
    check(&vault, 2, Some(2));
    put(&vault, Kind::Own, 1).await;
    drop(vault);
    check(&place.open(), 1, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_open_under_another_data_key_and_what_is_erased_stays_so() {
    let place = Place::new();
    let vault = place.open();
    for n in 0..3 {
        put(&vault, Kind::ToSend, n).await;
    }
    vault.erase(transfer(1)).await.unwrap();
    vault.delivered(transfer(2)).await;
    vault.checked().await.unwrap();
    drop(vault);
    let keys = ring(&place.0.path().join("keys"));
    keys.rotate().unwrap();
    let values = place.0.path().join("values");
    assert_eq!(wrap_again(&values, &keys).unwrap(), 2);
    keys.forget_old().unwrap();
    let vault = place.open();
    check(&vault, 0, Some(0));
    assert!(is_erased(&vault, 1));
    check(&vault, 2, Some(2));
    assert_eq!(vault.to_send(), [transfer(0)]);
    assert_eq!(vault.unchecked(), []);
    assert!(!values.join(UNFINISHED).exists());
    let nothing = place.0.path().join("never");
    assert_eq!(wrap_again(&nothing, &keys).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_off_rewriting_left_is_gone_before_a_value_can_be_erased() {
    let place = Place::new();
    let vault = place.open();
    put(&vault, Kind::Own, 0).await;
    drop(vault);
    let unfinished = place.file().with_file_name(UNFINISHED);
    fs::copy(place.file(), &unfinished).unwrap();
    let vault = place.open();
    assert!(!unfinished.exists());
    check(&vault, 0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_ring_is_refused_and_nothing_is_changed() {
    let place = Place::new();
    let vault = place.open();
    put(&vault, Kind::Own, 1).await;
    let before = fs::read(place.file()).unwrap();
    drop(vault);
    let other = tempfile::tempdir().unwrap();
    let refused = Vault::open(&place.0.path().join("values"), ring(other.path()));
    let told = refused.err().unwrap().to_string();
    assert!(
        told.contains("data key") && told.contains("keys directory"),
        "{told}"
    );
    assert_eq!(fs::read(place.file()).unwrap(), before);
    check(&place.open(), 1, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_sent_and_looked_up_is_known_after_a_restart() {
    let place = Place::new();
    let vault = place.open();
    for (n, kind) in [
        (1, Kind::ToSend),
        (2, Kind::Own),
        (3, Kind::ToSend),
        (4, Kind::Received),
    ] {
        put(&vault, kind, n).await;
    }
    let mut unchecked = vault.unchecked();
    unchecked.sort();
    assert_eq!(unchecked, [1, 2, 3].map(transfer));
    assert_eq!(vault.to_send(), [1, 3].map(transfer));
    vault.delivered(transfer(1)).await;
    vault.checked().await.unwrap();
    put(&vault, Kind::ToSend, 5).await;
    drop(vault);
    let vault = place.open();
    assert_eq!(vault.unchecked(), [transfer(5)]);
    assert_eq!(vault.to_send(), [3, 5].map(transfer));
    vault.erase(transfer(3)).await.unwrap();
    assert_eq!(vault.to_send(), [transfer(5)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withdrawn_gives_its_room_back() {
    let place = Place::new();
    let vault = place.open();
    put(&vault, Kind::Own, 1).await;
    let before = fs::metadata(place.file()).unwrap().len();
    for n in [2, 3, 4] {
        put(&vault, Kind::Own, n).await;
    }
    let all = [2, 3, 4].map(transfer).to_vec();
    vault.withdraw(all).await.unwrap();
    // The answer comes before the cut: one more request waits for it.
    assert!(!vault.erase(transfer(9)).await.unwrap());
    assert_eq!(fs::metadata(place.file()).unwrap().len(), before);
    check(&vault, 3, None);
    put(&vault, Kind::Own, 3).await;
    drop(vault);
    let vault = place.open();
    check(&vault, 1, Some(1));
    check(&vault, 3, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_values_fit_a_record() {
    let place = Place::new();
    let vault = place.open();
    let long = |n: u8, length: usize| Salted::new([n; SALT_LEN], &"x".repeat(length)).unwrap();
    let fields = PrivateField::ALL;
    // 32 KiB less what the map, its keys and the salts take.
    let all = [8192, 8192, 8192, 7900].into_iter().zip(1_u8..);
    let map = all.map(|(length, n)| (fields[usize::from(n)], long(n, length)));
    let values = PrivateValues::new(map.collect()).unwrap();
    assert!(values.to_bytes().len() > MAX_SEALED - 512);
    let done = vault.put(Kind::Own, transfer(1), values, false).await;
    done.unwrap();
    drop(vault);
    assert!(matches!(
        place.open().get(&transfer(1)),
        Ok(Kept::Values(_))
    ));
}

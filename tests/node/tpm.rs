//! A node whose secrets are sealed by a TPM, and whose data directory a TPM's counter watches; with an emulated TPM.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;

use city_node::client::person::Person;
use city_node::config::Config;
use city_node::keys::{Access, BackendKind, Keystore};
use city_node::setup::{load_identity, load_identity_with};

use super::daemon::city::{City, alone, directory, found};
use super::swtpm::Swtpm;

/// A handle in the range that the TCG leaves to owners.
const INDEX: u32 = 0x0150_0a17;

fn city_node(arguments: &[&str], data: &Path) -> (i32, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_city-node"))
        .args(arguments)
        .arg("--data-dir")
        .arg(data)
        .env_remove("CREDENTIALS_DIRECTORY")
        .output()
        .unwrap();
    let told = [ran.stdout, ran.stderr].concat();
    let told = String::from_utf8(told).unwrap();
    (ran.status.code().unwrap(), told)
}

fn seal(city: &City) -> (i32, String) {
    city_node(&["key", "seal"], city.data.path())
}

fn access(config: &Config) -> Access<'static> {
    Access {
        tpm: config.keys.tpm.clone(),
        ..Access::unattended()
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_moves_into_its_tpm_and_starts_from_it_only() {
    let root = directory();
    let Some(tpm) = Swtpm::start(&root.path().join("tpm")) else {
        return;
    };
    let mut city = alone(root.path(), root.path().join("d"));
    let before = load_identity(&city.data).unwrap().signer.public().clone();
    city.config.keys.backend = BackendKind::Tpm;
    city.config.keys.tpm.address = tpm.address();
    city.configure();
    // Until it was sealed, the node says what to do.
    let (code, told) = city_node(&["run"], city.data.path());
    assert_eq!(code, 78, "{told}");
    assert!(told.contains("city-node key seal"), "{told}");
    let (code, told) = seal(&city);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("kept by tpm"), "{told}");
    for file in city.data.secret_files().unwrap() {
        let content = std::fs::read_to_string(&file).unwrap();
        assert!(content.contains("\"wrapped\""), "{}", file.display());
    }
    let identity = load_identity_with(&city.data, &mut access(&city.config)).unwrap();
    assert_eq!(*identity.signer.public(), before);

    let node = city.ready().await;
    // A running node rotates its master secret, and starts with the new one.
    let was = identity.keystore.entries();
    let (code, told) = city_node(&["key", "rotate-master"], city.data.path());
    assert_eq!(code, 0, "{told}");
    let (code, told) = seal(&city);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("in use by a running node"), "{told}");
    node.stop().await;
    let store = Keystore::open(&city.data.keys(), &mut access(&city.config)).unwrap();
    assert_ne!(store.entries(), was);
    assert_eq!(store.entries().len(), 1);
    city.ready().await.stop().await;

    // The disk alone, or in another machine, is worth nothing.
    drop(tpm);
    let (code, told) = city_node(&["run"], city.data.path());
    // Not 78: a TPM that is still starting is there at the service manager's next try.
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("TPM"), "{told}");
    let other = Swtpm::start(&root.path().join("other")).unwrap();
    city.config.keys.tpm.address = other.address();
    city.configure();
    let (code, told) = city_node(&["run"], city.data.path());
    assert_eq!(code, 78, "{told}");
    assert!(told.contains("did not seal this"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_boot_does_not_get_the_keys() {
    let root = directory();
    let Some(tpm) = Swtpm::start(&root.path().join("tpm")) else {
        return;
    };
    let mut city = alone(root.path(), root.path().join("d"));
    city.config.keys.backend = BackendKind::Tpm;
    city.config.keys.tpm.address = tpm.address();
    city.config.keys.tpm.pcrs = vec![7, 11];
    city.configure();
    let (code, told) = seal(&city);
    assert_eq!(code, 0, "{told}");
    city.ready().await.stop().await;
    tpm.extend(11);
    let (code, told) = city_node(&["run"], city.data.path());
    assert_eq!(code, 78, "{told}");
    assert!(told.contains("PCR 7, 11"), "{told}");
}

fn counted(city: &mut City, tpm: &Swtpm) {
    city.config.keys.tpm.address = tpm.address();
    city.config.keys.tpm_counter = Some(INDEX);
    city.configure();
}

/// A whole old data directory is put back: what the node alone could not notice, its TPM does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_data_directory_is_noticed_and_believed_again_when_the_peers_have_nothing_newer() {
    let root = directory();
    let Some(tpm) = Swtpm::start(&root.path().join("tpm")) else {
        return;
    };
    let mut cities = found(root.path(), 2);
    let [a, b] = &mut cities[..] else {
        unreachable!()
    };
    counted(a, &tpm);
    let peer = b.ready().await;
    let node = a.ready().await;
    a.citizen(&a.api(&node)).await;
    node.stop().await;
    let old = root.path().join("old");
    copy(a.data.path(), &old);

    let node = a.ready().await;
    let status = node.status().await;
    assert!(status.confirmed_by_counter.is_some(), "{status:#?}");
    a.citizen(&a.api(&node)).await;
    let own = |status: &city_node::admin::pages::Status| {
        let head = status.frontier.iter().find(|head| head.log == a.report.log);
        head.map_or(0, |head| head.seq)
    };
    let seq = own(&node.status().await);
    peer.until("its log", |status| own(status) == seq).await;
    node.stop().await;
    peer.stop().await;

    std::fs::remove_dir_all(a.data.path()).unwrap();
    copy(&old, a.data.path());
    for code in ["rolled-back", "gone"] {
        let node = a.ready().await;
        let status = node.status().await;
        assert!(own(&status) < seq);
        let because = status.not_sequencing_because.unwrap();
        assert_eq!(because.code, code, "{}", node.log());
        let api = a.api(&node);
        let person = Person::generate(&api.node().await.unwrap());
        assert!(a.grant(&api, &person, 100).await.is_err());
        node.stop().await;
    }
    let peer = b.ready().await;
    let node = a.ready().await;
    node.until("its own log", |status| own(status) == seq).await;
    let note = a.data.path().join("GONE");
    node.until("the end of the note", |_| !note.exists()).await;
    node.stop().await;
    let node = a.ready().await;
    let status = node.status().await;
    assert!(status.sequencing, "{}", node.log());
    a.citizen(&a.api(&node)).await;
    assert!(own(&node.status().await) > seq);
    node.stop().await;
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_counter_the_node_signs_nothing_and_says_why() {
    let root = directory();
    let Some(tpm) = Swtpm::start(&root.path().join("tpm")) else {
        return;
    };
    let mut city = alone(root.path(), root.path().join("d"));
    counted(&mut city, &tpm);
    let node = city.ready().await;
    city.citizen(&city.api(&node)).await;
    node.stop().await;
    drop(tpm);
    let node = city.ready().await;
    let because = node.status().await.not_sequencing_because.unwrap();
    assert_eq!(because.code, "counter");
    assert!(because.remedy.contains("keys.tpm_counter"));
    node.stop().await;
}

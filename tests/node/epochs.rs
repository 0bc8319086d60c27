//! A node key ends: the officers begin an epoch with keys of another suite, and everybody goes on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;

use city_node::admin::pages::Status;
use city_node::engine::utc;
use city_node::keys;
use city_node::pki::{Authority, NodeRequest, Validity};
use city_node::setup::load_identity;
use city_protocol::crypto::{Algorithm, KemAlgorithm, Suite};
use city_protocol::ids::LogId;
use city_protocol::pki::Role;
use x509_cert::der::pem::{LineEnding, encode_string};

use super::daemon::city::{City, directory, found};

/// Runs it and expects this exit code; gives all that it said.
#[track_caller]
fn check(arguments: &[&str], code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
    let ran = command.args(arguments).output().unwrap();
    let told = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {told}");
    told
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn head(status: &Status, log: LogId) -> (u64, u64) {
    let mut heads = status.frontier.iter();
    let head = heads.find(|head| head.log == log);
    head.map_or((0, 0), |head| (head.epoch, head.seq))
}

/// The CA certifies the keys that were prepared.
fn certify(city: &City, out: &Path) {
    let ledger = keys::public_path(&city.data.next_ledger_key());
    let kem = keys::public_path(&city.data.next_kem_key());
    let request = NodeRequest {
        region: &city.config.node.region,
        role: Role::Home,
        key: &keys::load_signing_public(&ledger).unwrap(),
        peer_id: &city.report.peer_id.to_string(),
        kem: Some(&keys::load_kem_public(&kem).unwrap()),
    };
    let ca = Authority::open(&city.ca, None).unwrap();
    let validity = Validity::days(utc().minus_ms(60_000), 30);
    let der = ca.issue_node(&request, validity).unwrap();
    let pem = encode_string("CERTIFICATE", LineEnding::LF, &der).unwrap();
    std::fs::write(out, pem).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_goes_over_to_another_suite_and_its_peer_follows() {
    let root = directory();
    let at = |name: &str| root.path().join(name);
    let cities = found(root.path(), 2);
    let (city, log) = (&cities[0], cities[0].report.log);
    let peer = cities[1].ready().await;
    let node = city.ready().await;
    let api = city.api(&node);
    let hanako = city.rich(&api, 10_000).await;
    let seq = head(&node.status().await, log).1;
    peer.until("the log", |status| head(status, log) == (1, seq))
        .await;

    let data = text(city.data.path());
    let told = check(
        &["epoch", "prepare", "--data-dir", data, "--suite", "fips"],
        1,
    );
    assert!(told.contains("in use by a running node"), "{told}");
    node.stop().await;
    let prepare = ["epoch", "prepare", "--data-dir", data, "--suite", "fips"];
    check(&prepare, 0);
    let once = keys::load_signing_public(&keys::public_path(&city.data.next_ledger_key()));
    check(&prepare, 0);
    let again = keys::load_signing_public(&keys::public_path(&city.data.next_ledger_key()));
    assert_eq!(once.unwrap(), again.unwrap(), "made once");
    // The log is still signed by the old key; a start in between changes nothing.
    let node = city.ready().await;
    assert!(node.status().await.sequencing);
    node.stop().await;

    let (certificate, body) = (at("node.pem"), at("epoch.json"));
    let propose = |more: &[&str], code| {
        let out = ["--reason", "鍵の交換", "--out", text(&body)];
        check(
            &[&["epoch", "propose", "--data-dir", data], more, &out].concat(),
            code,
        )
    };
    assert!(propose(&[], 1).contains("--certificate"));
    certify(city, &certificate);
    let told = propose(&["--certificate", text(&certificate)], 0);
    assert!(told.contains("officers sign it"), "{told}");
    let (key, signature) = (at("officer.key"), at("officer.json"));
    keys::save_signing(&key, &city.officers[0]).unwrap();
    let told = check(
        &[
            "officers",
            "sign",
            text(&body),
            "--key",
            text(&key),
            "--out",
            text(&signature),
        ],
        0,
    );
    assert!(
        told.contains("end epoch 1") && told.contains("new node key"),
        "{told}"
    );
    let begin = [
        "epoch",
        "begin",
        "--data-dir",
        data,
        text(&body),
        text(&signature),
    ];
    assert!(check(&begin, 0).contains("Epoch 2 has begun"));
    assert!(check(&begin, 0).contains("had begun already"));

    let identity = load_identity(&city.data).unwrap();
    assert_eq!(identity.signer.public().algorithm(), Algorithm::MlDsa87);
    assert_eq!(identity.kem.public().algorithm(), KemAlgorithm::MlKem1024);
    assert!(!city.data.next_ledger_key().exists());
    drop(identity);
    check(&["store", "verify", "--data-dir", data], 0);
    check(&["store", "rebuild", "--data-dir", data], 0);

    let node = city.ready().await;
    let api = city.api(&node);
    assert_eq!(api.node().await.unwrap().suite, Suite::Fips);
    api.login(&hanako).await.unwrap();
    city.grant(&api, &hanako, 500).await.unwrap();
    let page = api.account(&hanako.account()).await.unwrap();
    assert_eq!(page.available.to_string(), "105.00");
    let now = head(&node.status().await, log);
    assert_eq!(now.0, 2);
    peer.until("the new epoch", |status| head(status, log) == now)
        .await;
    node.check().await;
    peer.check().await;
    node.stop().await;
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_of_keys_that_was_cut_off_goes_on_at_the_next_start() {
    let root = directory();
    let at = |name: &str| root.path().join(name);
    let city = super::daemon::city::alone(root.path(), at("city"));
    city.ready().await.stop().await;
    let data = text(city.data.path());
    check(
        &["epoch", "prepare", "--data-dir", data, "--suite", "fips"],
        0,
    );
    let next: Vec<_> = [city.data.next_ledger_key(), city.data.next_kem_key()]
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .into();
    let (certificate, body, signature) = (at("node.pem"), at("epoch.json"), at("officer.json"));
    certify(&city, &certificate);
    let propose = ["epoch", "propose", "--data-dir", data, "--reason", "試験"];
    let more = ["--certificate", text(&certificate), "--out", text(&body)];
    check(&[&propose[..], &more].concat(), 0);
    let key = at("officer.key");
    keys::save_signing(&key, &city.officers[0]).unwrap();
    let sign = ["officers", "sign", text(&body), "--key", text(&key)];
    check(&[&sign[..], &["--out", text(&signature)]].concat(), 0);
    let old: Vec<_> = [
        city.data.ledger_key(),
        city.data.kem_key(),
        city.data.node_certificate(),
    ]
    .map(|path| (path.clone(), std::fs::read(path).unwrap()))
    .into();
    let begin = [
        "epoch",
        "begin",
        "--data-dir",
        data,
        text(&body),
        text(&signature),
    ];
    check(&begin, 0);
    let after = load_identity(&city.data).unwrap().signer.public().clone();

    // As after a cut directly behind the vertex: the old keys, the new ones beside them.
    let put = |files: &[(std::path::PathBuf, Vec<u8>)]| {
        for (path, content) in files {
            std::fs::write(path, content).unwrap();
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    };
    put(&old);
    put(&next);
    std::fs::copy(&certificate, city.data.next_node_certificate()).unwrap();
    let node = city.ready().await;
    assert!(node.status().await.sequencing);
    node.stop().await;
    assert_eq!(*load_identity(&city.data).unwrap().signer.public(), after);
    assert!(!city.data.next_ledger_key().exists());

    // As after a cut behind the certificate: it certifies what still stands beside.
    put(&old[..2]);
    put(&next);
    assert_eq!(*load_identity(&city.data).unwrap().signer.public(), after);
    assert!(!city.data.next_ledger_key().exists());
    let node = city.ready().await;
    assert!(node.status().await.sequencing);
    node.stop().await;
}

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir(to).unwrap();
    let rights = std::fs::metadata(from).unwrap().permissions().mode();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(rights)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The officers decide twice about the same cut: once at the box, once at a copy that is put back. The peer who saw both
/// hands on what proves it.
#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_was_begun_twice_is_handed_on_by_who_saw_it() {
    let root = directory();
    let at = |name: &str| root.path().join(name);
    let cities = found(root.path(), 2);
    let (city, log) = (&cities[0], cities[0].report.log);
    let peer = cities[1].ready().await;
    let node = city.ready().await;
    city.rich(&city.api(&node), 10_000).await;
    let seq = head(&node.status().await, log).1;
    peer.until("the log", |status| head(status, log) == (1, seq))
        .await;
    node.stop().await;
    let before = at("before");
    copy(city.data.path(), &before);

    let data = text(city.data.path());
    let key = at("officer.key");
    keys::save_signing(&key, &city.officers[0]).unwrap();
    let begin = |reason: &str| {
        let (body, signature) = (
            at(&format!("{reason}.json")),
            at(&format!("{reason}.sig.json")),
        );
        let propose = ["epoch", "propose", "--data-dir", data, "--reason", reason];
        check(&[&propose[..], &["--out", text(&body)]].concat(), 0);
        let sign = ["officers", "sign", text(&body), "--key", text(&key)];
        check(&[&sign[..], &["--out", text(&signature)]].concat(), 0);
        let begin = ["epoch", "begin", "--data-dir", data];
        check(&[&begin[..], &[text(&body), text(&signature)]].concat(), 0)
    };
    begin("once");
    let node = city.ready().await;
    peer.until("the epoch", |status| head(status, log).0 == 2)
        .await;
    node.stop().await;
    std::fs::remove_dir_all(city.data.path()).unwrap();
    std::fs::rename(&before, city.data.path()).unwrap();
    begin("again");
    let node = city.ready().await;
    let seen = peer
        .until("the fault", |status| !status.faults.is_empty())
        .await;
    assert_eq!((seen.faults[0].log, seen.faults[0].cut), (log, seq));
    node.stop().await;
    peer.stop().await;

    let (proof, genesis) = (at("twice.fault"), city.data.genesis());
    let export = ["ledger", "equivocation", "export", "17201"];
    let from = [
        "--data-dir",
        text(cities[1].data.path()),
        "--out",
        text(&proof),
    ];
    check(&[&export[..], &from].concat(), 0);
    let verify = ["ledger", "equivocation", "verify", text(&proof)];
    let told = check(&[&verify[..], &["--genesis", text(&genesis)]].concat(), 0);
    assert!(told.contains("its officers"), "{told}");
    for reason in ["once", "again"] {
        assert!(told.contains(reason), "{told}");
    }
}

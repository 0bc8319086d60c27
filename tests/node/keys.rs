//! Where a node's secrets stand: protected by a passphrase, given by systemd, backed up, restored on another machine.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use city_node::keys::{Access, BackendKind, Keystore, Passphrase};
use city_node::pki::TlsAuthority;
use city_node::setup::{DataDir, Identity, load_identity, load_identity_with};
use city_protocol::crypto::{KemPublicKey, PublicKey};
use zeroize::Zeroizing;

use super::daemon::city::{City, alone, directory, found};

const WORDS: &str = "correct horse battery";

/// `city-node` with this environment and no other of its own.
fn city_node(arguments: &[&str], environment: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
    command.args(arguments).env_remove("CREDENTIALS_DIRECTORY");
    command.envs(environment.iter().copied());
    command.stdin(Stdio::null()).output().unwrap()
}

fn told(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(text).unwrap()
}

/// Runs it and expects this exit code; gives all that it said.
fn check(arguments: &[&str], code: i32) -> String {
    let ran = city_node(arguments, &[]);
    let told = told(&ran);
    assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {told}");
    told
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn private(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn words(root: &Path) -> PathBuf {
    let path = root.join("words");
    private(&path, &format!("{WORDS}\n"));
    path
}

fn unlocked(data: &DataDir) -> Identity {
    let mut ask = || Ok(Passphrase::new(Zeroizing::new(WORDS.into())).unwrap());
    let mut access = Access {
        passphrase: Some(&mut ask),
        ..Access::unattended()
    };
    load_identity_with(data, &mut access).unwrap()
}

fn public(identity: &Identity) -> (PublicKey, KemPublicKey) {
    let keys = (identity.signer.public(), identity.kem.public());
    (keys.0.clone(), keys.1.clone())
}

#[test]
fn keys_are_protected_by_a_passphrase_and_made_plain_again() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let data = text(city.data.path());
    let before = public(&load_identity(&city.data).unwrap());
    let secret = fs::read_to_string(city.data.ledger_key()).unwrap();
    let words = words(root.path());
    let seal = ["key", "seal", "--data-dir", data];
    let told = check(
        &[
            &seal[..],
            &["--with-passphrase", "--new-passphrase-file", text(&words)],
        ]
        .concat(),
        0,
    );
    assert!(
        told.contains("kept by file") && told.contains("wrapped"),
        "{told}"
    );
    // Nothing of what stood there is found in any file of the node.
    let needle = secret.split("\"secret\":\"").nth(1).unwrap();
    for file in city.data.secret_files().unwrap() {
        assert!(!fs::read_to_string(file).unwrap().contains(&needle[..64]));
    }
    assert_eq!(public(&unlocked(&city.data)), before);
    let told = check(&["run", "--data-dir", data], 78);
    assert!(
        told.contains("--passphrase-file") && told.contains("city-node.passphrase"),
        "{told}"
    );
    let wrong = root.path().join("wrong");
    private(&wrong, "another passphrase");
    let told = check(
        &["run", "--data-dir", data, "--passphrase-file", text(&wrong)],
        78,
    );
    assert!(told.contains("wrong passphrase"), "{told}");
    let shown = check(
        &[
            "key",
            "show",
            "--data-dir",
            data,
            "--passphrase-file",
            text(&words),
        ],
        0,
    );
    assert!(shown.contains("wrapped by the master secret"), "{shown}");
    let told = check(&["key", "show", text(&city.data.ledger_key())], 1);
    assert!(told.contains("key show --data-dir"), "{told}");

    check(
        &[&seal[..], &["--passphrase-file", text(&words)]].concat(),
        0,
    );
    assert_eq!(public(&load_identity(&city.data).unwrap()), before);
    assert_eq!(fs::read_to_string(city.data.ledger_key()).unwrap(), secret);
}

/// Killed at any moment, the keys open, and the next try brings it to its end.
#[test]
fn a_killed_exchange_loses_nothing() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let data = text(city.data.path());
    let before = public(&load_identity(&city.data).unwrap());
    let mut cut = 0;
    for round in 0..30_u64 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_city-node"))
            .args(["key", "rotate-master", "--data-dir", data])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(400 * round));
        let _over = child.kill();
        cut += usize::from(!child.wait().unwrap().success());
        assert_eq!(
            public(&load_identity(&city.data).unwrap()),
            before,
            "round {round}"
        );
    }
    assert!(cut > 0, "none was killed in time");
    check(&["key", "rotate-master", "--data-dir", data], 0);
    let store = Keystore::open(&city.data.keys(), &mut Access::unattended()).unwrap();
    assert_eq!(store.entries().len(), 1);
    let names = fs::read_dir(city.data.keys()).unwrap();
    let masters = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("master-"));
    assert_eq!(masters.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_node_exchanges_its_master_secret() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let before = load_identity(&city.data).unwrap().keystore.entries();
    let node = city.ready().await;
    let data = text(city.data.path());
    let told = check(&["key", "rotate-master", "--data-dir", data, "--json"], 0);
    let answer: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(answer["schema"], 1);
    assert_eq!(answer["before"]["master"], before[0].id.to_string());
    city.citizen(&city.api(&node)).await;
    let told = check(&["key", "seal", "--data-dir", data], 1);
    assert!(told.contains("in use by a running node"), "{told}");
    node.stop().await;
    city.ready().await.stop().await;
}

/// systemd decrypts a credential into a directory of memory; here it is made by hand.
#[test]
fn a_master_secret_from_systemd_is_exchanged_for_the_next_one() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let data = text(city.data.path()).to_owned();
    let given = root.path().join("credentials");
    fs::create_dir(&given).unwrap();
    city.config.keys.backend = BackendKind::Credential;
    city.configure();
    let seal = ["key", "seal", "--data-dir", &data];
    let told = check(&seal, 1);
    assert!(
        told.contains("LoadCredentialEncrypted=city-node.master"),
        "{told}"
    );
    let secret = |name: &str, byte: char| {
        // 44 characters of base64, as openssl rand -base64 32 prints them.
        fs::write(
            given.join(name),
            format!("{}=\n", byte.to_string().repeat(43).replace('B', "A")),
        )
        .unwrap();
    };
    secret("city-node.master", 'A');
    let with = [("CREDENTIALS_DIRECTORY", given.as_path())];
    let run = |arguments: &[&str], code: i32| {
        let ran = city_node(arguments, &with);
        assert_eq!(ran.status.code(), Some(code), "{}", self::told(&ran));
        self::told(&ran)
    };
    assert!(run(&seal, 0).contains("kept by credential"));
    let told = run(&["key", "show", "--data-dir", &data], 0);
    assert!(told.contains("kept by credential"), "{told}");
    let told = check(&["run", "--data-dir", &data], 78);
    assert!(told.contains("there is no systemd credential"), "{told}");
    let rotate = ["key", "rotate-master", "--data-dir", &data];
    assert!(run(&rotate, 1).contains("city-node.master.next"));
    fs::write(
        given.join("city-node.master.next"),
        format!("{}E=", "Q".repeat(42)),
    )
    .unwrap();
    run(&rotate, 0);
    // From now on the next one is the one; the old one can go.
    fs::rename(
        given.join("city-node.master.next"),
        given.join("city-node.master"),
    )
    .unwrap();
    run(&["key", "show", "--data-dir", &data], 0);
    fs::write(
        given.join("city-node.master"),
        format!("{}8=", "z".repeat(42)),
    )
    .unwrap();
    let told = run(&["key", "show", "--data-dir", &data], 1);
    assert!(told.contains("put the right one back"), "{told}");
}

/// A box dies. What was backed up becomes a node on another machine, which fetches its own log and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_box_is_replaced() {
    let root = directory();
    let mut cities = found(root.path(), 2);
    let words = words(root.path());
    let backup = root.path().join("kanazawa.backup");
    let (a, b) = cities.split_at_mut(1);
    let (a, b) = (&mut a[0], &b[0]);
    let peer = b.ready().await;
    let node = a.ready().await;
    let api = a.api(&node);
    let chiyo = a.rich(&api, 10_000).await;
    let data = text(a.data.path()).to_owned();
    let make = [
        "key",
        "backup",
        "--data-dir",
        &data,
        "--out",
        text(&backup),
        "--backup-passphrase-file",
        text(&words),
    ];
    let told = check(&make, 0);
    assert!(told.contains("holds no ledger"), "{told}");
    let again = check(&make, 1);
    assert!(again.contains("not overwritten"), "{again}");
    assert_eq!(
        fs::metadata(&backup).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // It goes on booking after the backup.
    let granted = a.grant(&api, &chiyo, 500).await.unwrap();
    let own = |status: &city_node::admin::pages::Status, city: &City| {
        let head = status
            .frontier
            .iter()
            .find(|head| head.log == city.report.log);
        head.map_or(0, |head| head.seq)
    };
    let seq = own(&node.status().await, a);
    peer.until("its log", |status| own(status, a) == seq).await;
    let before = public(&load_identity(&a.data).unwrap());
    drop(node);
    fs::remove_dir_all(a.data.path()).unwrap();

    let new = root.path().join("new-box");
    let restore = |passphrase: &Path, code: i32| {
        check(
            &[
                "key",
                "restore",
                text(&backup),
                "--data-dir",
                text(&new),
                "--passphrase-file",
                text(passphrase),
            ],
            code,
        )
    };
    let wrong = root.path().join("wrong");
    private(&wrong, "another passphrase");
    assert!(restore(&wrong, 1).contains("wrong passphrase"));
    assert!(!new.exists(), "nothing is left of it");
    assert!(restore(&words, 0).contains("signs nothing until"));
    assert!(restore(&words, 1).contains("not an empty directory"));
    a.data = DataDir::new(&new);
    assert_eq!(public(&load_identity(&a.data).unwrap()), before);

    let node = a.ready().await;
    let status = node.status().await;
    assert_eq!(status.not_sequencing_because.unwrap().code, "gone");
    node.until("its own log", |status| own(status, a) == seq)
        .await;
    let note = a.data.path().join("GONE");
    node.until("the end of the note", |_| !note.exists()).await;
    node.stop().await;
    let node = a.ready().await;
    assert!(node.status().await.sequencing, "{}", node.log());
    let api = a.api(&node);
    api.login(&chiyo).await.unwrap();
    assert_eq!(
        api.account(&chiyo.account())
            .await
            .unwrap()
            .available
            .to_string(),
        "105.00"
    );
    a.grant(&api, &chiyo, 100).await.unwrap();
    assert!(own(&node.status().await, a) > seq);
    let _first = granted;
    node.check().await;
    node.stop().await;
    peer.stop().await;
}

#[test]
fn a_file_that_is_no_backup_is_refused_by_name() {
    let root = directory();
    let words = words(root.path());
    let file = root.path().join("x.backup");
    let new = root.path().join("new");
    let restore = |content: &[u8]| {
        fs::write(&file, content).unwrap();
        check(
            &[
                "key",
                "restore",
                text(&file),
                "--data-dir",
                text(&new),
                "--passphrase-file",
                text(&words),
            ],
            1,
        )
    };
    assert!(restore(b"").contains("not sealed by a passphrase"));
    assert!(restore(b"{\"v\":1}").contains("not sealed by a passphrase"));
    let passphrase = Passphrase::new(Zeroizing::new(WORDS.into())).unwrap();
    let seal = |purpose, content: &[u8]| {
        city_node::keys::passphrase::seal(purpose, &passphrase, content).unwrap()
    };
    use city_node::keys::Purpose;
    assert!(restore(&seal(Purpose::Wallet, b"{}")).contains("a person's keys"));
    assert!(restore(&seal(Purpose::Backup, b"{}")).contains("does not hold a node"));
    assert!(!new.exists());
}

/// Names of peers are in the log of decisions for ever, but not to be read there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_encrypted_at_rest_and_sealed_again_under_another_key() {
    let root = directory();
    let mut cities = found(root.path(), 2);
    let city = &mut cities[0];
    city.config.network.peers[0].name = "加賀の与謝".into();
    city.configure();
    city.ready().await.stop().await;
    let name = "加賀の与謝".as_bytes();
    let holds = |directory: &Path| {
        let files = fs::read_dir(directory).unwrap();
        files
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .any(|path| {
                fs::read(path)
                    .unwrap()
                    .windows(name.len())
                    .any(|part| part == name)
            })
    };
    assert!(!holds(&city.data.trust()));
    let private = city.data.private();
    let before = fs::read_to_string(&private).unwrap();
    assert!(before.contains("\"whitelist\"") && !before.contains("与謝"));

    let data = text(city.data.path());
    let told = check(&["key", "re-encrypt", "--data-dir", data], 0);
    assert!(told.contains("1 fields sealed again"), "{told}");
    assert_ne!(fs::read_to_string(&private).unwrap(), before);
    // Nothing is recorded anew: the name is the one that is wanted.
    let trust_log = |city: &City| -> u64 {
        let files = fs::read_dir(city.data.trust()).unwrap();
        files
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum()
    };
    let length = trust_log(city);
    city.ready().await.stop().await;
    assert_eq!(trust_log(city), length);

    // Without the key ring the node does not start, and nothing takes its place.
    let ring = city.data.keys().join("keyring.json");
    let aside = root.path().join("ring");
    fs::rename(&ring, &aside).unwrap();
    let told = check(&["run", "--data-dir", data], 1);
    assert!(told.contains("the key ring is gone"), "{told}");
    assert!(!ring.exists());
    fs::rename(&aside, &ring).unwrap();
    fs::remove_file(city.data.keys().join("masters.json")).unwrap();
    let told = check(&["run", "--data-dir", data], 78);
    assert!(told.contains("masters.json"), "{told}");
}

#[test]
fn a_tls_certificate_is_exchanged_with_its_key() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let data = text(city.data.path());
    let authority = city_node::pki::Authority::open(&city.ca, None).unwrap();
    let validity = city_node::pki::Validity::days(city_node::engine::utc().minus_ms(60_000), 2);
    let new = authority
        .issue_tls_server(&["localhost".into()], &[], validity)
        .unwrap();
    let pem = |label, der: &[u8]| der::pem::encode_string(label, Default::default(), der).unwrap();
    let (certificate, key) = (root.path().join("new.pem"), root.path().join("new.key"));
    fs::write(&certificate, pem("CERTIFICATE", &new.chain[0])).unwrap();
    private(&key, &pem("PRIVATE KEY", new.key.secret_der()));
    let rotate = |certificate: &Path, code| {
        let arguments = [
            "key",
            "rotate",
            "tls",
            "--data-dir",
            data,
            "--certificate",
            text(certificate),
            "--key",
            text(&key),
        ];
        check(&arguments, code)
    };
    let before = fs::read(city.data.tls_certificate()).unwrap();
    let told = rotate(&city.data.tls_certificate(), 1);
    assert!(told.contains("do not belong together"), "{told}");
    assert_eq!(fs::read(city.data.tls_certificate()).unwrap(), before);
    // What nobody would connect to is not taken unless it is said to be meant.
    let elsewhere = TlsAuthority::create("よその CA", validity).unwrap();
    let foreign = elsewhere
        .server(&["localhost".into()], &[], validity)
        .unwrap();
    let (theirs, their_key) = (
        root.path().join("theirs.pem"),
        root.path().join("their.key"),
    );
    fs::write(&theirs, pem("CERTIFICATE", &foreign.chain[0])).unwrap();
    private(&their_key, &pem("PRIVATE KEY", foreign.key.secret_der()));
    let arguments = ["key", "rotate", "tls", "--data-dir", data];
    let files = ["--certificate", text(&theirs), "--key", text(&their_key)];
    let told = check(&[&arguments[..], &files].concat(), 1);
    assert!(told.contains("cert-unknown-issuer"), "{told}");
    assert_eq!(fs::read(city.data.tls_certificate()).unwrap(), before);
    check(&[&arguments[..], &files, &["--foreign"]].concat(), 0);
    assert!(rotate(&certificate, 0).contains("were replaced"));
    let identity = load_identity(&city.data).unwrap();
    assert_eq!(identity.tls.chain, new.chain);
}

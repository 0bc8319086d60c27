//! 石川県 founds a test network, 金沢市 and 小松市 get their data directories, and some go wrong.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use city_node::config::{Config, Overrides};
use city_node::keys::{self, Passphrase};
use city_node::pki::{Authority, CaLock, Validity};
use city_node::setup::{
    Boundary, CaProtection, DataDir, Identity, IdentityError, InitError, InitRequest,
    NetworkChoice, init, load_identity, write_config,
};
use city_protocol::amount::Timestamp;
use city_protocol::crypto::{Algorithm, KemAlgorithm, KemSecretKey, PublicKey, SecretKey, Suite};
use city_protocol::genesis::Purpose;
use libp2p::identity::Keypair;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// 2026-04-01T00:00:00Z.
const APRIL: Timestamp = Timestamp(1_775_001_600_000);

/// A directory for the test, and the officers of its municipalities.
struct Prefecture {
    place: TempDir,
    officers: Vec<PublicKey>,
}

impl Prefecture {
    fn new() -> Self {
        let officer = || SecretKey::generate(Algorithm::Dilithium5).public().clone();
        Self {
            place: tempfile::tempdir().unwrap(),
            officers: vec![officer(), officer(), officer()],
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.place.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// 金沢市 with a new network.
    fn kanazawa(&self) -> InitRequest {
        InitRequest {
            data: DataDir::new(self.path("kanazawa")),
            config: Config::for_region("Asia/JP/17/17201".parse().unwrap()),
            network: NetworkChoice::New {
                name: "石川県 test".into(),
                purpose: Purpose::Test,
                prefix: None,
                ca: None,
                protection: CaProtection::Unencrypted,
                ca_suite: Suite::Dilithium5Ntru,
                suites: Suite::ALL.to_vec(),
            },
            officers: self.officers.clone(),
            suite: Suite::Dilithium5Ntru,
            officers_needed: 2,
            witnesses: Vec::new(),
            boundary: Boundary::CoarseDemo,
            api_names: vec!["kanazawa.example".into(), "192.0.2.7".into()],
            now: APRIL,
        }
    }

    /// 小松市 in 金沢市's network.
    fn komatsu(&self) -> InitRequest {
        InitRequest {
            data: DataDir::new(self.path("komatsu")),
            config: Config::for_region("Asia/JP/17/17203".parse().unwrap()),
            network: NetworkChoice::Join {
                ca: self.path("kanazawa/ca"),
                passphrase: None,
            },
            now: APRIL.plus_ms(60_000),
            ..self.kanazawa()
        }
    }
}

#[test]
fn two_municipalities_are_born_in_one_network() {
    let prefecture = Prefecture::new();
    let kanazawa = init(prefecture.kanazawa()).unwrap();
    let komatsu = init(prefecture.komatsu()).unwrap();
    assert_eq!(kanazawa.network, komatsu.network);
    assert_ne!(kanazawa.log, komatsu.log);
    assert_eq!(kanazawa.ca, prefecture.path("kanazawa/ca"));
    assert_eq!(
        prefecture.names(),
        ["kanazawa", "komatsu"],
        "nothing lies about"
    );
    assert!(!komatsu.data.ca().exists(), "a joining node has no CA keys");

    let identity = load_identity(&kanazawa.data).unwrap();
    assert_eq!(
        (identity.authority.log, identity.network),
        (kanazawa.log, kanazawa.network)
    );
    assert_eq!(identity.transport.public().to_peer_id(), kanazawa.peer_id);
    assert_eq!(identity.authority.officers().len(), 3);
    assert_eq!(identity.authority.charter.officers.k, 2);
    assert_eq!(identity.genesis.purpose, Purpose::Test);
    assert_eq!(identity.genesis.roots[0].prefix.as_str(), "Asia/JP/17");

    let config = Config::load_with(&kanazawa.data.config(), &Overrides::none()).unwrap();
    identity
        .admits(&config, &kanazawa.data.config(), &kanazawa.data)
        .unwrap();
    let boundary = fs::read(kanazawa.data.resolve(&config.place.boundary)).unwrap();
    city_protocol::place::BoundaryIndex::decode(&boundary).unwrap();

    let elsewhere = Config::for_region("Asia/JP/17/17203".parse().unwrap());
    let error = identity
        .admits(&elsewhere, Path::new("c.toml"), &kanazawa.data)
        .unwrap_err();
    assert!(
        matches!(error, IdentityError::OtherRegion { .. }),
        "{error}"
    );
    assert!(
        format!("{identity:?}").contains("redacted"),
        "secrets are not in Debug"
    );
}

#[test]
fn secrets_are_their_owners_only() {
    let prefecture = Prefecture::new();
    let made = init(prefecture.kanazawa()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    let data = &made.data;
    for directory in [data.path(), &data.keys(), &made.ca] {
        assert_eq!(mode(directory), 0o700, "{}", directory.display());
    }
    let ca = ["root.key", "tls-root.key"].map(|key| made.ca.join(key));
    let own = [
        data.ledger_key(),
        data.kem_key(),
        data.transport_key(),
        data.tls_key(),
    ];
    for secret in own.iter().chain(&ca) {
        assert_eq!(mode(secret), 0o600, "{}", secret.display());
    }
}

#[test]
fn nothing_is_overwritten_and_an_empty_directory_is_filled() {
    let prefecture = Prefecture::new();
    fs::create_dir(prefecture.path("kanazawa")).unwrap();
    init(prefecture.kanazawa()).unwrap();
    let charter = fs::read(prefecture.path("kanazawa/charter.json")).unwrap();
    let error = init(prefecture.kanazawa()).unwrap_err();
    assert!(matches!(error, InitError::NotEmpty { .. }), "{error}");
    assert!(error.to_string().contains("kanazawa"), "{error}");
    assert_eq!(
        fs::read(prefecture.path("kanazawa/charter.json")).unwrap(),
        charter
    );

    fs::write(prefecture.path("file"), "here").unwrap();
    let request = InitRequest {
        data: DataDir::new(prefecture.path("file")),
        ..prefecture.kanazawa()
    };
    assert!(matches!(init(request), Err(InitError::NotEmpty { .. })));
    let request = InitRequest {
        data: DataDir::new(prefecture.path("no/such")),
        ..prefecture.kanazawa()
    };
    let error = init(request).unwrap_err().to_string();
    assert!(error.contains("mkdir -p"), "{error}");
}

#[test]
fn municipalities_of_both_suites_are_born_in_one_network() {
    let prefecture = Prefecture::new();
    init(prefecture.kanazawa()).unwrap();
    let report = init(InitRequest {
        suite: Suite::Fips,
        ..prefecture.komatsu()
    })
    .unwrap();
    assert_eq!(report.suite, Suite::Fips);
    let [kanazawa, komatsu] = ["kanazawa", "komatsu"]
        .map(|name| load_identity(&DataDir::new(prefecture.path(name))).unwrap());
    assert_eq!(kanazawa.network, komatsu.network);
    let suites = [&kanazawa, &komatsu].map(|identity| {
        let signing = identity.signer.public().algorithm().suite();
        let kem = identity.kem.public().algorithm().suite();
        assert_eq!((signing, kem), (identity.authority.charter.suite, signing));
        signing
    });
    assert_eq!(suites, [Suite::Dilithium5Ntru, Suite::Fips]);
}

#[test]
fn a_suite_that_the_network_does_not_list_is_named() {
    let prefecture = Prefecture::new();
    let check = |suite, ca, admitted: Suite, words: &[&str]| {
        let mut request = prefecture.kanazawa();
        request.suite = suite;
        let NetworkChoice::New {
            ca_suite, suites, ..
        } = &mut request.network
        else {
            unreachable!()
        };
        (*ca_suite, *suites) = (ca, vec![admitted]);
        let error = init(request).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{error}");
        }
    };
    let (old, new) = (Suite::Dilithium5Ntru, Suite::Fips);
    check(new, old, old, &["--suite", "fips", "dilithium5-ntru"]);
    check(new, new, new, &["--officer", "dilithium5-ntru", "fips"]);
    check(
        old,
        new,
        old,
        &["genesis record", "not one that this network admits"],
    );
}

#[test]
fn a_network_is_founded_on_a_ca_that_is_there_and_only_once() {
    let prefecture = Prefecture::new();
    let ca = prefecture.path("ca");
    let passphrase = || Passphrase::new("correct horse battery".to_owned().into()).unwrap();
    let years = Validity::days(APRIL.minus_ms(60 * 60 * 1000), 7300);
    let lock = CaLock::Passphrase(passphrase());
    Authority::create(&ca, "石川県 CA", Suite::Dilithium5Ntru, &lock, years).unwrap();
    let under = |passphrase| NetworkChoice::NewUnder {
        name: "石川県".into(),
        purpose: Purpose::Test,
        prefix: None,
        ca: ca.clone(),
        passphrase,
        suites: Suite::ALL.to_vec(),
    };
    let try_it = |network| {
        let mut request = prefecture.kanazawa();
        request.network = network;
        init(request)
    };
    // What fails leaves the CA as it was.
    assert!(try_it(under(None)).is_err());
    let mut request = prefecture.kanazawa();
    request.network = under(Some(passphrase()));
    request.officers.clear();
    init(request).unwrap_err();
    assert!(!ca.join("genesis.cbor").exists());

    let report = try_it(under(Some(passphrase()))).unwrap();
    let identity = load_identity(&report.data).unwrap();
    let root = &identity.genesis.roots[0];
    assert_eq!(
        root.der,
        Authority::open(&ca, Some(&passphrase()))
            .unwrap()
            .root_der()
    );
    assert_eq!(
        fs::read(ca.join("genesis.cbor")).unwrap(),
        identity.genesis.to_block()
    );
    let mut second = prefecture.kanazawa();
    second.data = DataDir::new(prefecture.path("second"));
    second.network = under(Some(passphrase()));
    let again = init(second).unwrap_err().to_string();
    assert!(again.contains("--network"), "{again}");
}

#[test]
fn a_failed_init_leaves_nothing_and_says_what_to_do() {
    let prefecture = Prefecture::new();
    let check = |change: &dyn Fn(&mut InitRequest), told: &[&str]| {
        let mut request = prefecture.kanazawa();
        change(&mut request);
        let error = init(request).unwrap_err().to_string();
        for word in told {
            assert!(error.contains(word), "{error} lacks {word}");
        }
        assert_eq!(prefecture.names(), Vec::<String>::new(), "{error}");
    };
    let network = |name: &str, purpose, prefix: Option<&str>| NetworkChoice::New {
        name: name.into(),
        purpose,
        prefix: prefix.map(|prefix| prefix.parse().unwrap()),
        ca: Some(prefecture.path("ca")),
        protection: CaProtection::Generated,
        ca_suite: Suite::Dilithium5Ntru,
        suites: Suite::ALL.to_vec(),
    };
    check(
        &|r| r.network = network("x", Purpose::Live, None),
        &["--purpose live", "--ca-passphrase-file"],
    );
    check(
        &|r| r.network = network(" ", Purpose::Test, None),
        &["--new-network"],
    );
    check(
        &|r| r.network = network(&"長".repeat(41), Purpose::Test, None),
        &["--new-network"],
    );
    check(
        &|r| r.network = network("x", Purpose::Test, Some("Asia/JP/19")),
        &["--prefix", "Asia/JP/19"],
    );
    check(&|r| r.officers.clear(), &["--officer", "key generate"]);
    check(&|r| r.officers_needed = 4, &["--officers-needed"]);
    check(&|r| r.officers_needed = 0, &["--officers-needed"]);
    check(&|r| r.officers.push(r.officers[0].clone()), &["different"]);
    check(&|r| r.api_names.push("not a name".into()), &["not a name"]);
    check(
        &|r| r.boundary = Boundary::Import(vec![prefecture.path("n.geojson")]),
        &["n.geojson"],
    );
    check(
        &|r| r.config.node.region = "Asia/JP/17/17206".parse().unwrap(),
        &["17206", "--boundaries"],
    );
    check(
        &|r| {
            r.network = NetworkChoice::Join {
                ca: prefecture.path("none"),
                passphrase: None,
            }
        },
        &["none", "no CA stands here"],
    );
}

#[test]
fn a_ca_may_stand_elsewhere_and_must_be_the_networks() {
    let prefecture = Prefecture::new();
    let mut request = prefecture.kanazawa();
    let NetworkChoice::New { ca, .. } = &mut request.network else {
        panic!("a new network")
    };
    *ca = Some(prefecture.path("ca"));
    init(request).unwrap();
    assert_eq!(prefecture.names(), ["ca", "kanazawa"]);
    let join = |ca: &str| InitRequest {
        network: NetworkChoice::Join {
            ca: prefecture.path(ca),
            passphrase: None,
        },
        ..prefecture.komatsu()
    };
    let other = prefecture.path("other");
    Authority::create(
        &other,
        "other",
        Suite::Fips,
        &CaLock::Unencrypted,
        Validity::days(APRIL, 10),
    )
    .unwrap();
    assert!(
        matches!(init(join("other")), Err(InitError::Identity(_))),
        "no genesis beside it"
    );
    fs::copy(
        prefecture.path("ca/genesis.cbor"),
        other.join("genesis.cbor"),
    )
    .unwrap();
    assert!(matches!(
        init(join("other")),
        Err(InitError::OtherCa { .. })
    ));
    fs::write(other.join("genesis.cbor"), "garbage").unwrap();
    assert!(matches!(
        init(join("other")),
        Err(InitError::Genesis { .. })
    ));

    // 福井県 is not under the root of 石川県.
    let mut fukui = join("ca");
    fukui.config = Config::for_region("Asia/JP/18/17203".parse().unwrap());
    assert!(matches!(init(fukui), Err(InitError::Charter { .. })));
    assert_eq!(prefecture.names(), ["ca", "kanazawa", "other"]);
    init(join("ca")).unwrap();
}

/// A killed init leaves its directory aside, with keys in it: the next one works and names it.
#[test]
fn what_an_interrupted_init_left_is_named() {
    let prefecture = Prefecture::new();
    let left = prefecture.path(".kanazawa.0123456789abcdef.new");
    fs::create_dir(&left).unwrap();
    fs::create_dir(prefecture.path(".komatsu.0123456789abcdef.new")).unwrap();
    let report = init(prefecture.kanazawa()).unwrap();
    assert_eq!(report.leftovers, [left]);
    load_identity(&report.data).unwrap();
}

/// What root writes into the directory of the node's user, that user cannot read.
#[test]
fn another_users_directory_is_left_to_that_user() {
    const NOBODY: u32 = 65_534;
    let prefecture = Prefecture::new();
    let directory = prefecture.path("kanazawa");
    fs::create_dir(&directory).unwrap();
    if std::os::unix::fs::chown(&directory, Some(NOBODY), None).is_err() {
        println!("skipped: not root");
        return;
    }
    let refused = init(prefecture.kanazawa()).unwrap_err();
    assert!(
        matches!(refused, InitError::OtherUser { owner: NOBODY, .. }),
        "{refused}"
    );
    assert_eq!(prefecture.names(), ["kanazawa"], "nothing lies about");

    fs::remove_dir(&directory).unwrap();
    let data = init(prefecture.kanazawa()).unwrap().data;
    std::os::unix::fs::chown(data.path(), Some(NOBODY), None).unwrap();
    let refused = load_identity(&data).unwrap_err();
    assert!(
        refused.to_string().contains("sudo -u '#65534' city-node"),
        "{refused}"
    );
}

#[test]
fn the_packages_node_has_its_socket_where_its_group_may_enter() {
    let packaged = DataDir::packaged();
    assert!(packaged.is_packaged() && DataDir::new("/var/lib/city-node/data/").is_packaged());
    assert_eq!(
        packaged.admin_socket(),
        Path::new("/run/city-node/admin.sock")
    );
    let portable = DataDir::new("data");
    assert!(!portable.is_packaged());
    assert_eq!(portable.admin_socket(), Path::new("data/admin.sock"));
}

#[test]
fn parts_that_do_not_belong_together_are_named() {
    let prefecture = Prefecture::new();
    let data = init(prefecture.kanazawa()).unwrap().data;
    let other = init(prefecture.komatsu()).unwrap().data;
    let mut request = prefecture.kanazawa();
    request.data = DataDir::new(prefecture.path("foreign"));
    let foreign = init(request).unwrap().data;

    let told = |words: &[&str]| {
        let error = load_identity(&data).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{error} lacks {word}");
        }
    };
    let check = |file: PathBuf, put: &dyn Fn(&Path), words: &[&str]| {
        let kept = fs::read(&file).unwrap();
        let mode = fs::metadata(&file).unwrap().permissions();
        fs::remove_file(&file).unwrap();
        told(&[file.file_name().unwrap().to_str().unwrap()]);
        put(&file);
        told(words);
        fs::write(&file, kept).unwrap();
        fs::set_permissions(&file, mode).unwrap();
        load_identity(&data).unwrap();
    };
    let copy = |from: PathBuf| move |to: &Path| assert!(fs::copy(&from, to).unwrap() > 0);
    let write = |what: &'static str| move |to: &Path| fs::write(to, what).unwrap();

    check(
        data.genesis(),
        &copy(foreign.genesis()),
        &["charter.json", "another network", "genesis.cbor"],
    );
    check(
        data.genesis(),
        &write("x"),
        &["genesis.cbor", "not a genesis record"],
    );
    check(
        data.charter(),
        &copy(foreign.charter()),
        &["charter.json", "another network"],
    );
    check(
        data.charter(),
        &copy(other.charter()),
        &["node.pem", "charter.json"],
    );
    check(data.charter(), &write("{}"), &["charter.json", "backup"]);
    check(
        data.node_certificate(),
        &copy(other.node_certificate()),
        &["node.pem", "charter.json"],
    );
    check(data.node_certificate(), &write("x"), &["node.pem", "PEM"]);
    let key = |to: &Path| {
        let public = keys::public_path(to);
        let kept = fs::read(&public).unwrap();
        keys::save_signing(to, &SecretKey::generate(Algorithm::Dilithium5)).unwrap();
        fs::write(public, kept).unwrap();
    };
    check(
        data.ledger_key(),
        &key,
        &["ledger.key", "ledger key", "node.pem"],
    );
    let key = |to: &Path| {
        keys::save_kem(to, &KemSecretKey::generate(KemAlgorithm::NtruHps4096821)).unwrap();
    };
    check(data.kem_key(), &key, &["kem.key", "KEM key", "node.pem"]);
    let key = |to: &Path| keys::save_transport(to, &Keypair::generate_ed25519()).unwrap();
    check(
        data.transport_key(),
        &key,
        &["transport.key", "peer id", "node.pem"],
    );
    check(
        data.tls_key(),
        &copy(other.tls_key()),
        &["tls.pem", "tls.key", "together"],
    );
    check(data.tls_root(), &write(""), &["tls-root.pem", "PEM"]);
}

#[test]
fn peers_are_written_into_the_configuration_later() {
    use city_node::config::Peer;
    let prefecture = Prefecture::new();
    let kanazawa = init(prefecture.kanazawa()).unwrap();
    let komatsu = init(prefecture.komatsu()).unwrap();
    let file = kanazawa.data.config();
    let mut config = Config::load_with(&file, &Overrides::none()).unwrap();
    config.network.peers.push(Peer {
        peer_id: komatsu.peer_id,
        name: "小松市".into(),
        region: komatsu.region.clone(),
        addresses: vec!["/ip4/127.0.0.1/tcp/7421".parse().unwrap()],
        expires_at: None,
        roles: city_node::trust::Role::sync_only(),
    });
    config.gnss.device = Some("/dev/pts/7".into());
    write_config(&kanazawa.data, &config).unwrap();
    assert_eq!(
        Config::load_with(&file, &Overrides::none()).unwrap(),
        config
    );
}

#[test]
fn recordings_have_no_place_in_a_live_network() {
    let prefecture = Prefecture::new();
    let data = init(prefecture.kanazawa()).unwrap().data;
    let mut identity: Identity = load_identity(&data).unwrap();
    let mut config = Config::for_region("Asia/JP/17/17201".parse().unwrap());
    Arc::make_mut(&mut identity.genesis).purpose = Purpose::Live;
    identity.admits(&config, &data.config(), &data).unwrap();
    for (recorded, device) in [(true, "/dev/ttyACM0"), (false, "file:/srv/roof.nmea")] {
        (config.gnss.recorded, config.gnss.device) = (recorded, Some(device.into()));
        Arc::make_mut(&mut identity.genesis).purpose = Purpose::Test;
        identity.admits(&config, &data.config(), &data).unwrap();
        Arc::make_mut(&mut identity.genesis).purpose = Purpose::Live;
        let error = identity.admits(&config, &data.config(), &data);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("gnss.recorded") && error.contains("live"),
            "{error}"
        );
    }
}

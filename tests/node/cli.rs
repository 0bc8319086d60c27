//! A field engineer at the command line: the real binary, its exit codes, streams and files.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use city_node::setup::{DataDir, load_identity};
use city_protocol::body::Kind;
use city_protocol::ids::{BlockId, Digest};
use city_protocol::vertex::{
    Entry, Header, Receipt, SignedHeader, encode_body, merkle_path, merkle_root,
};
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a start of the program may take on a machine that compiles something else.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn program(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CITY_NODE_") {
            command.env_remove(name);
        }
    }
    command.current_dir(directory);
    command
}

pub(super) fn run(directory: &Path, arguments: &[&str]) -> Output {
    program(directory).args(arguments).output().unwrap()
}

pub(super) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(super) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Runs, checks the exit code, gives standard output.
pub(super) fn expect(directory: &Path, code: i32, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    let all = format!("{arguments:?}\n{}\n{}", stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(code), "{all}");
    stdout(&output).to_owned()
}

pub(super) fn json(directory: &Path, code: i32, arguments: &[&str]) -> Value {
    let value: Value = serde_json::from_str(&expect(directory, code, arguments)).unwrap();
    assert_eq!(value["schema"], 1, "{value}");
    value
}

/// Officer's key and 金沢市's data directory `data`.
pub(super) fn kanazawa(directory: &Path) -> Value {
    expect(directory, 0, &["key", "generate", "officer.key"]);
    json(
        directory,
        0,
        &[
            "init",
            "--data-dir",
            "data",
            "--region",
            "Asia/JP/17/17201",
            "--new-network",
            "trial",
            "--purpose",
            "test",
            "--officer",
            "officer.key.pub",
            "--officers-needed",
            "1",
            "--coarse-demo-boundaries",
            "--json",
        ],
    )
}

#[test]
fn help_names_what_there_is_and_only_that() {
    let place = tempfile::tempdir().unwrap();
    let help = expect(place.path(), 0, &["--help"]);
    for word in [
        "run",
        "demo",
        "init",
        "status",
        "config",
        "key",
        "account",
        "audit",
        "store",
        "ledger",
        "grant",
        "place",
        "tx",
        "whitelist",
        "peer",
        "note",
        "netcheck",
        "reload",
        "console",
        "completions",
        "man",
        "Exit codes",
    ] {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
    for word in ["  doctor", "  update", "  provision"] {
        assert!(!help.contains(word), "{word} is announced and not there");
    }
    let help = expect(place.path(), 0, &["demo", "--help"]);
    for flag in [
        "--json",
        "--keep <DIR>",
        "--replay <FILE>",
        "--boundaries <PATH>",
        "--assume-recorded",
    ] {
        assert!(help.contains(flag), "{flag} is not in\n{help}");
    }
    for command in [
        &["config", "check"][..],
        &["key", "generate"],
        &["place", "locate"],
        &["place", "replay"],
        &["place", "survey"],
        &["place", "status"],
        &["place", "clear-spoofing"],
        &["run"],
        &["init"],
        &["tx", "draft"],
        &["tx", "place"],
        &["tx", "sign"],
        &["tx", "send"],
        &["tx", "list"],
        &["tx", "accept"],
        &["tx", "receipt"],
        &["grant", "propose"],
        &["grant", "sign"],
        &["grant", "submit"],
        &["account", "list"],
        &["account", "policy"],
        &["ledger", "heads"],
        &["ledger", "show"],
        &["ledger", "log"],
        &["ledger", "dot"],
        &["ledger", "verify"],
    ] {
        let help = expect(place.path(), 0, &[command, &["--help"]].concat());
        assert!(
            help.contains("Example"),
            "{command:?} shows no example\n{help}"
        );
    }
    assert!(expect(place.path(), 0, &["--version"]).contains("city-node"));
}

#[test]
fn usage_is_2_and_told_on_standard_error() {
    let place = tempfile::tempdir().unwrap();
    for arguments in [
        &["fly"][..],
        &["run", "--config"],
        &["init", "--region", "Asia/JP"],
        &[
            "place",
            "locate",
            "36",
            "136",
            "--data-dir",
            "a",
            "--boundaries",
            "b",
        ],
        &["demo", "--assume-recorded"],
        &["demo", "--replay", "x"],
        &["completions", "tcl"],
    ] {
        let output = run(place.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{arguments:?}"
        );
    }
}

#[test]
fn completions_and_manual_are_written() {
    let place = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            expect(place.path(), 0, &["completions", shell]).contains("city-node"),
            "{shell}"
        );
    }
    assert!(
        expect(place.path(), 0, &["man"]).starts_with(".ie"),
        "roff begins"
    );
    fs::create_dir(place.path().join("man1")).unwrap();
    expect(place.path(), 0, &["man", "--out", "man1"]);
    assert!(place.path().join("man1/city-node-config-check.1").exists());
    expect(place.path(), 1, &["man", "--out", "nowhere"]);
}

#[test]
fn init_makes_what_check_show_and_run_take() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    let made = kanazawa(at);
    assert_eq!(made["region"], "Asia/JP/17/17201");
    assert_eq!(made["purpose"], "test");
    let file = "data/config.toml";
    assert!(expect(at, 0, &["config", "check", file]).contains("no mistakes"));
    // Looking at what is not there makes nothing.
    for look in [["store", "verify"], ["audit", "verify"]] {
        let output = run(at, &[&look[..], &["--data-dir", "data"]].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("no ledger yet"), "{output:?}");
    }
    assert!(!at.join("data/ledger").exists() && !at.join("data/index").exists());
    let written = fs::read_to_string(at.join(file)).unwrap();
    let past = "[crypto.not_after]\nfips = \"2026-01-01T00:00:00Z\"\nml-kem-1024 = \"2199-01-01T00:00:00Z\"";
    let past = written.replace("[crypto.not_after]", past);
    fs::write(at.join("past.toml"), past).unwrap();
    let told = json(at, 0, &["config", "check", "past.toml", "--json"]);
    assert_eq!(told["ended"], serde_json::json!(["fips"]));
    let shown = json(at, 0, &["config", "show", "--data-dir", "data", "--json"]);
    assert_eq!(shown["config"]["api"]["listen"], "127.0.0.1:8443");
    assert_eq!(shown["config"]["place"]["policy"]["min_satellites"], 4);
    let peer = json(at, 0, &["key", "show", "data/keys/transport.key", "--json"]);
    assert_eq!(peer["id"], made["peer_id"]);

    let mut command = program(at);
    command
        .args(["config", "show", "--config", file])
        .env("CITY_NODE_API_LISTEN", "127.0.0.1:1");
    let output = command.output().unwrap();
    assert!(stdout(&output).contains("listen = \"127.0.0.1:1\""));

    let again = run(
        at,
        &[
            "init",
            "--data-dir",
            "data",
            "--region",
            "Asia/JP/17/17201",
            "--network",
            "data/ca",
            "--officer",
            "officer.key.pub",
            "--officers-needed",
            "1",
            "--coarse-demo-boundaries",
        ],
    );
    assert_eq!(again.status.code(), Some(1));
    assert!(
        stderr(&again).contains("nothing is overwritten"),
        "{}",
        stderr(&again)
    );

    let live = run(
        at,
        &[
            "init",
            "--data-dir",
            "live",
            "--region",
            "Asia/JP/17/17201",
            "--new-network",
            "x",
            "--purpose",
            "live",
            "--officer",
            "officer.key.pub",
            "--officers-needed",
            "1",
            "--coarse-demo-boundaries",
        ],
    );
    assert_eq!(live.status.code(), Some(1));
    assert!(stderr(&live).contains("passphrase"), "{}", stderr(&live));
    assert!(!at.join("live").exists());
}

#[test]
fn check_names_mistakes_with_4_and_run_refuses_with_78() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    kanazawa(at);
    let good = fs::read_to_string(at.join("data/config.toml")).unwrap();
    let bad = good
        .replace("baud = 9600", "baud = 5")
        .replace("mdns = false", "mdms = false");
    fs::write(at.join("data/config.toml"), bad).unwrap();
    let told = expect(at, 4, &["config", "check", "data/config.toml"]);
    for word in [
        "data/config.toml:",
        "gnss.baud",
        "4800",
        "network.mdms",
        "knows listen, quic, mdns",
    ] {
        assert!(told.contains(word), "{word} is not in\n{told}");
    }
    let told = json(at, 4, &["config", "check", "data/config.toml", "--json"]);
    assert_eq!(told["ok"], false);
    assert_eq!(told["mistakes"].as_array().unwrap().len(), 2);
    assert!(told["mistakes"][0]["line"].as_u64().unwrap() > 1);

    let output = run(at, &["run", "--data-dir", "data"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("gnss.baud") && output.stdout.is_empty());
    expect(at, 78, &["run", "--config", "nowhere.toml"]);
    fs::write(
        at.join("data/config.toml"),
        good.replace("17201\"", "17203\""),
    )
    .unwrap();
    let output = run(at, &["run", "--config", "data/config.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        stderr(&output).contains("charter.json"),
        "{}",
        stderr(&output)
    );
    expect(at, 1, &["config", "check", "nowhere.toml"]);

    fs::write(at.join("data/config.toml"), good).unwrap();
    let mut command = program(at);
    command
        .args(["config", "check", "data/config.toml"])
        .env("CITY_NODE_API_LISTN", "x");
    let output = command.env("CITY_NODE_SEED", "7").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("CITY_NODE_API_LISTN") && !stdout(&output).contains("SEED"));
}

#[test]
fn keys_are_made_private_and_never_twice() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    let told = expect(at, 0, &["key", "generate", "officer.key"]);
    assert_eq!(
        fs::metadata(at.join("officer.key")).unwrap().mode() & 0o7777,
        0o600
    );
    let secret: Value = serde_json::from_slice(&fs::read(at.join("officer.key")).unwrap()).unwrap();
    assert!(
        !told.contains(secret["secret"].as_str().unwrap()),
        "the secret is not printed"
    );
    let shown = json(at, 0, &["key", "show", "officer.key", "--json"]);
    let public = json(at, 0, &["key", "show", "officer.key.pub", "--json"]);
    assert_eq!(
        (&shown["id"], &shown["alg"]),
        (&public["id"], &"dilithium5".into())
    );
    assert!(told.contains(shown["id"].as_str().unwrap()), "{told}");

    expect(at, 1, &["key", "generate", "officer.key"]);
    fs::rename(at.join("officer.key"), at.join("elsewhere.key")).unwrap();
    expect(at, 1, &["key", "generate", "officer.key"]);
    assert_eq!(
        json(at, 0, &["key", "show", "officer.key.pub", "--json"])["id"],
        shown["id"]
    );

    let kem = json(
        at,
        0,
        &["key", "generate", "--kind", "kem", "kem.key", "--json"],
    );
    assert_eq!(
        (&kem["kind"], &kem["alg"]),
        (&"kem".into(), &"ntru-hps-4096-821".into())
    );
    assert_eq!(
        json(at, 0, &["key", "show", "kem.key.pub", "--json"])["id"],
        kem["id"]
    );
    fs::write(at.join("x.pub"), "x").unwrap();
    let output = run(at, &["key", "show", "x.pub"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("x.pub"));
}

#[test]
fn a_point_is_located_and_boundaries_are_imported() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    let coarse = [
        "place",
        "locate",
        "36.5613",
        "136.6562",
        "--coarse-demo-boundaries",
    ];
    let line = expect(at, 0, &coarse);
    assert!(line.starts_with("17201 金沢市 inside "), "{line}");
    let told = json(
        at,
        0,
        &[&coarse[..], &["--json", "--accuracy-m", "100000"]].concat(),
    );
    assert_eq!(
        (&told["code"], &told["side"]),
        (&"17201".into(), &"border".into())
    );
    let line = expect(
        at,
        0,
        &[
            "place",
            "locate",
            "-33.86",
            "-151.2",
            "--coarse-demo-boundaries",
        ],
    );
    assert!(line.starts_with("- - outside "), "{line}");
    expect(
        at,
        1,
        &[
            "place",
            "locate",
            "north",
            "136",
            "--coarse-demo-boundaries",
        ],
    );

    let square = r#"{"type":"FeatureCollection","features":[
        {"type":"Feature","properties":{"N03_004":"四角町","N03_007":"99001"},"geometry":{"type":"Polygon",
         "coordinates":[[[136,36],[137,36],[137,37],[136,37],[136,36]]]}},
        {"type":"Feature","properties":{},"geometry":null}]}"#;
    fs::write(at.join("square.geojson"), square).unwrap();
    let import = ["place", "import", "square.geojson", "--out", "b.cbor"];
    let told = expect(at, 0, &import);
    assert!(
        told.contains("1 municipalities") && told.contains("skipped"),
        "{told}"
    );
    expect(at, 1, &import);
    let told = json(at, 0, &[&import[..], &["--replace", "--json"]].concat());
    assert_eq!(told["report"]["build"]["municipalities"], 1);
    for source in ["b.cbor", "square.geojson"] {
        let line = expect(
            at,
            0,
            &["place", "locate", "36.5", "136.5", "--boundaries", source],
        );
        assert!(line.starts_with("99001 四角町 inside "), "{line}");
    }
    fs::write(at.join("b.cbor"), "x").unwrap();
    expect(
        at,
        1,
        &["place", "locate", "36.5", "136.5", "--boundaries", "b.cbor"],
    );
}

/// The receipt of the charter in the first vertex of the node in `data`.
fn first_receipt(data: &DataDir) -> Receipt {
    let identity = load_identity(data).unwrap();
    let charter = Entry::home_authored(Kind::Charter, identity.authority.charter_body.clone());
    let start = Entry::home_authored(Kind::Start, b"{}".to_vec());
    let leaves = [charter.leaf(), start.leaf()];
    let entries = [charter.clone(), start];
    let key = identity.signer.public();
    let header = Header {
        v: 1,
        network: identity.network,
        log: identity.authority.log,
        epoch: 1,
        seq: 1,
        prev: identity.network,
        parents: Vec::new(),
        to: Vec::new(),
        time: identity.authority.charter.created_at,
        count: 2,
        entries_root: Digest(merkle_root(&leaves)),
        body: BlockId::of(&encode_body(&entries)),
        alg: key.algorithm(),
        key: key.id(),
        charter: identity.authority.charter_hash,
    };
    Receipt {
        v: 1,
        authority: Arc::new(vec![charter.clone()]),
        header: SignedHeader::sign(header, &identity.signer).block,
        entry: charter,
        index: 0,
        path: merkle_path(&leaves, 0).into_iter().map(Digest).collect(),
    }
}

#[test]
fn a_receipt_is_verified_with_nothing_but_the_genesis_record() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    let made = kanazawa(at);
    let mut receipt = first_receipt(&DataDir::new(at.join("data")));
    let verify = [
        "tx",
        "verify-receipt",
        "r.cbor",
        "--genesis",
        "data/network/genesis.cbor",
    ];
    fs::write(at.join("r.cbor"), receipt.to_bytes()).unwrap();
    let told = expect(at, 0, &verify);
    assert!(told.contains("holds, valid as of this receipt"), "{told}");
    let told = json(at, 0, &[&verify[..], &["--json"]].concat());
    assert_eq!(
        (&told["valid"], &told["kind"], &told["seq"]),
        (&true.into(), &"charter".into(), &1.into())
    );
    assert_eq!(
        (&told["log"], &told["region"]),
        (&made["log"], &made["region"])
    );

    receipt.index = 1;
    fs::write(at.join("r.cbor"), receipt.to_bytes()).unwrap();
    assert_eq!(
        json(at, 4, &[&verify[..], &["--json"]].concat())["code"],
        "bad-receipt"
    );
}

#[test]
fn a_receipt_that_is_none_does_not_hold() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    kanazawa(at);
    fs::write(at.join("receipt.cbor"), "garbage").unwrap();
    let genesis = "data/network/genesis.cbor";
    let verify = ["tx", "verify-receipt", "receipt.cbor", "--genesis", genesis];
    assert!(expect(at, 4, &verify).contains("does NOT hold"));
    let told = json(at, 4, &[&verify[..], &["--json"]].concat());
    assert_eq!(
        (&told["valid"], &told["code"]),
        (&false.into(), &"bad-cbor".into())
    );
    expect(
        at,
        1,
        &["tx", "verify-receipt", "nowhere.cbor", "--genesis", genesis],
    );
    expect(
        at,
        1,
        &[
            "tx",
            "verify-receipt",
            "receipt.cbor",
            "--genesis",
            "receipt.cbor",
        ],
    );

    let mut command = program(at);
    command
        .args(["tx", "verify-receipt", "-", "--genesis", genesis])
        .stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&[0xff; 100]).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4));
}

/// libp2p-tls writes session secrets to the file that SSLKEYLOGFILE names. The program waits at a pipe
/// here, and its environment is looked at from outside.
#[test]
fn ssl_key_logging_is_left_behind_before_anything_else() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    let pipe = at.join("config.toml");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let mut command = program(at);
    command
        .args(["config", "check", "config.toml"])
        .env("SSLKEYLOGFILE", at.join("keys.log"));
    // A mark that was inherited from another process must not stop the second start.
    command
        .env("CITY_NODE_RESTARTED", "1")
        .stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    let environment = format!("/proc/{}/environ", child.id());
    let since = Instant::now();
    loop {
        let now = fs::read(&environment).unwrap();
        let has = |name: &[u8]| {
            now.split(|byte| *byte == 0)
                .any(|var| var.starts_with(name))
        };
        if has(format!("CITY_NODE_RESTARTED={}", child.id()).as_bytes()) {
            assert!(!has(b"SSLKEYLOGFILE="), "the second start still has it");
            break;
        }
        assert!(
            since.elapsed() < PATIENCE,
            "the program did not start itself again"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    fs::write(&pipe, "[node]\nregion = \"Asia/JP/17/17201\"\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("no mistakes") && !stdout(&output).contains("RESTARTED"));
    assert!(!at.join("keys.log").exists());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = tempfile::tempdir().unwrap();
    let mut command = program(place.path());
    let mut child = command
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

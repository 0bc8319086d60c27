//! Secrets never appear. A whole story of two cities with the real binary, which logs all that it can: keys,
//! certificates, a transfer with private values and a sealed message, operators' commands, mistakes; then everything
//! that was logged, printed, answered or kept is searched for every secret that was part of it, in every spelling.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod memory;
mod needles;
mod relay;
mod switches;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use city_node::client::person::{Order, Person, random};
use city_node::client::{AdminClient, ApiClient};
use city_node::engine::utc;
use city_node::keys::{Access, Passphrase};
use city_node::setup::{DataDir, Identity, load_identity_with};
use city_protocol::amount::Amount;
use hyper::Method;
use serde_json::Value;
use zeroize::Zeroizing;

use self::needles::{Places, Secrets};
use self::relay::Answers;
use crate::daemon::city::{City, Node, directory, found, run};

/// Passphrases: of the node's keys, of its backup, and one that opens nothing.
const WORDS: &str = "plum willow heron lantern";
const BACKUP_WORDS: &str = "cedar sparrow granite harbour";
const WRONG_WORDS: &str = "maple otter thimble meadow";
/// What is private in a transfer, and what only its receiver reads.
const PRIVATE: [&str; 3] = [
    "a remedy against the cough of last winter",
    "two bottles, as the doctor wrote it down",
    "behind the house with the blue door",
];
const MESSAGE: &str = "thank you for the radishes of yesterday evening";

/// `city-node` with these arguments: exit code, and all that it printed.
fn city_node(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
    command.args(arguments).env_remove("CREDENTIALS_DIRECTORY");
    let ran = command
        .env("CITY_NODE_LOG_LEVEL", "trace")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = [ran.stdout, ran.stderr].concat();
    (ran.status.code().unwrap(), String::from_utf8(told).unwrap())
}

fn good(arguments: &[&str]) -> String {
    let (code, told) = city_node(arguments);
    assert_eq!(code, 0, "{arguments:?}: {told}");
    told
}

fn private(root: &Path, name: &str, content: &str) -> PathBuf {
    let path = root.join(name);
    fs::write(&path, format!("{content}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// The passphrase of a node's keys in a file.
fn words(root: &Path) -> PathBuf {
    private(root, "words", WORDS)
}

fn unlocked(data: &DataDir) -> Identity {
    let mut ask = || Ok(Passphrase::new(Zeroizing::new(WORDS.into())).unwrap());
    let mut access = Access {
        passphrase: Some(&mut ask),
        ..Access::unattended()
    };
    load_identity_with(data, &mut access).unwrap()
}

/// The story, and what is gathered while it is told.
struct Story {
    root: tempfile::TempDir,
    secrets: Secrets,
    places: Places,
    answers: Answers,
    starts: usize,
}

impl Story {
    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Starts a node that logs everything, and would write TLS secrets if it were told to.
    async fn start(&mut self, city: &City, more: &[&str]) -> Node {
        let mut command = run(&city.data, more);
        command.env("CITY_NODE_LOG_LEVEL", "trace");
        command.env("RUST_LOG", "trace");
        command.env("SSLKEYLOGFILE", self.path("tls-secrets"));
        let mut node = city.start_as(command);
        node.comes_up().await.unwrap();
        node
    }

    /// Stops a node and keeps its log.
    async fn stop(&mut self, city: &City, node: Node) {
        self.secrets
            .of_node("node", &city.data, &unlocked(&city.data), WORDS);
        self.starts += 1;
        let (name, log) = (
            format!("log {}", self.starts),
            city.data.path().join("node.log"),
        );
        node.stop().await;
        self.places.add(name, fs::read(log).unwrap());
    }

    /// Runs a command that ends with this code, and keeps what it printed.
    fn told(&mut self, code: i32, arguments: &[&str]) -> String {
        let (ended, told) = city_node(arguments);
        assert_eq!(ended, code, "{arguments:?}: {told}");
        self.places
            .add(format!("city-node {}", arguments[..2].join(" ")), &told);
        told
    }

    fn person(&mut self, name: &str, person: &Person) {
        self.secrets
            .signing(&format!("{name}'s signing key"), person.signing());
        self.secrets.kem(&format!("{name}'s KEM key"), person.kem());
    }

    /// Logs somebody in; the token is theirs alone.
    async fn login(&mut self, api: &ApiClient, name: &str, person: &Person) -> String {
        let page = api.login(person).await.unwrap();
        let payload = page.token.split('.').nth(1).unwrap();
        let claims = data_encoding::BASE64URL_NOPAD
            .decode(payload.as_bytes())
            .unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        self.secrets.text(&format!("{name}'s token"), &page.token);
        self.secrets
            .text(&format!("{name}'s jti"), claims["jti"].as_str().unwrap());
        page.token
    }
}

/// Chiyo sends Yosa, in the other city, something that is nobody else's business, and Yosa accepts it.
async fn a_private_transfer(story: &mut Story, cities: &[City], nodes: &[Node]) {
    let (here, there) = (
        story.answers.api(&cities[0], &nodes[0]).await,
        story.answers.api(&cities[1], &nodes[1]).await,
    );
    let chiyo = cities[0].rich(&here, 10_000).await;
    let yosa = cities[1].citizen(&there).await;
    story.person("chiyo", &chiyo);
    story.person("yosa", &yosa);
    let token = story.login(&here, "chiyo", &chiyo).await;
    story.login(&there, "yosa", &yosa).await;
    let away = there.node().await.unwrap();
    let mut order = Order::new(yosa.account(), &away, Amount::from_hundredths(500));
    order.created_at = utc();
    [order.subject, order.details, order.location] = PRIVATE.map(Into::into);
    order.message = Some((yosa.kem().public().clone(), MESSAGE.into()));
    let place = here
        .place(&chiyo.account(), &order.transfer_id, &random())
        .await
        .unwrap();
    order.proof_of_place = place.digest;
    let (signed, values) = chiyo.transfer(&order).unwrap();
    for (field, value) in values.iter() {
        let name = field.as_str();
        story
            .secrets
            .text(&format!("private {name}"), value.expose_value());
        story
            .secrets
            .bytes(&format!("salt of {name}"), value.expose_salt(), b"");
    }
    story.secrets.text("sealed message", MESSAGE);
    here.transfer_with(&signed, &values).await.unwrap();
    nodes[1]
        .until("what waits for Yosa", |status| status.in_flight == 0)
        .await;
    let begun = std::time::Instant::now();
    let waiting = loop {
        let page = there.incoming(&yosa.account(), None).await.unwrap();
        if let Some(item) = page.transfers.into_iter().next() {
            break item;
        }
        assert!(
            begun.elapsed() < crate::daemon::city::PATIENCE,
            "{}",
            nodes[1].log()
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    there
        .accept(&yosa.accept(&waiting, 1, utc()).unwrap())
        .await
        .unwrap();

    // Mistakes: a token with another signature, one in the address, a body that nobody signed, rubbish for a body.
    let account = format!("/send/api/accounts/{}", chiyo.account());
    let mine = chiyo.account();
    let other = if token.ends_with('A') { "Q" } else { "A" };
    here.take_token(mine, &format!("{}{other}", &token[..token.len() - 1]));
    let refused = here.raw_as(&mine, Method::GET, &account, "").await.unwrap();
    assert_eq!(refused.0.as_u16(), 401);
    let address = format!("{account}?token={token}");
    let refused = here.raw(Method::GET, &address, "").await.unwrap();
    assert!(refused.0.is_client_error(), "{}", refused.0);
    story.login(&here, "chiyo again", &chiyo).await;
    let transfers = "/send/api/transfers";
    for body in [
        "{",
        "[]",
        &PRIVATE.join(" "),
        &format!("{{\"body\":\"{}\"}}", PRIVATE[0]),
    ] {
        let refused = here
            .raw(Method::POST, transfers, body.to_owned())
            .await
            .unwrap();
        assert!(refused.0.is_client_error(), "{}", refused.0);
    }
    here.logout(&mine).await.unwrap();
}

/// What operators do on the box.
async fn operators(story: &mut Story, city: &City, node: &Node) {
    let data = city.data.path().to_str().unwrap().to_owned();
    let data = data.as_str();
    let at = ["--data-dir", data];
    for command in [
        &["status", "--json"][..],
        &["audit", "list", "--json"],
        &["audit", "export"],
        &["audit", "verify"],
        &["key", "show"],
        &["config", "show"],
    ] {
        story.told(0, &[command, &at].concat());
    }
    let backup = story.path("kanazawa.backup");
    let words = private(story.root.path(), "backup-words", BACKUP_WORDS);
    let (backup, words) = (backup.to_str().unwrap(), words.to_str().unwrap());
    let make = [
        "key",
        "backup",
        "--out",
        backup,
        "--backup-passphrase-file",
        words,
    ];
    story.told(0, &[&make[..], &at].concat());
    story.places.add("backup", fs::read(backup).unwrap());
    story
        .secrets
        .of_node("before", &city.data, &unlocked(&city.data), WORDS);
    story.told(0, &[&["key", "rotate-master", "--json"], &at[..]].concat());
    story
        .secrets
        .of_node("exchanged", &city.data, &unlocked(&city.data), WORDS);

    let socket = story.path("relay.sock");
    story.answers.admin(&socket, node);
    let admin = AdminClient::connect(&socket).await.unwrap();
    admin.status().await.unwrap();
    admin.balances().await.unwrap();
    admin.audit().await.unwrap();
    admin.verify().await.unwrap();
    admin.place().await.unwrap();
    admin.verify_records().await.unwrap();
    admin.rotate_master().await.unwrap();
    for which in [
        city_node::access::audit::Which::Trust,
        city_node::access::audit::Which::Access,
    ] {
        admin.records(which, 0).await.unwrap();
    }
    let answers = story.answers.take();
    story.places.add("answers", answers);
}

/// The keys get a passphrase; the node starts with it, not without it and not with another.
async fn a_passphrase(story: &mut Story, city: &City) {
    let data = city.data.path().to_str().unwrap();
    let (words, wrong) = (
        words(story.root.path()),
        private(story.root.path(), "wrong", WRONG_WORDS),
    );
    let (words, wrong) = (words.to_str().unwrap(), wrong.to_str().unwrap());
    story.told(0, &["store", "verify", "--data-dir", data]);
    let transport = city.data.transport_key();
    story.told(0, &["key", "show", transport.to_str().unwrap()]);
    let seal = ["key", "seal", "--data-dir", data, "--with-passphrase"];
    story.told(0, &[&seal[..], &["--new-passphrase-file", words]].concat());
    story
        .secrets
        .of_node("sealed", &city.data, &unlocked(&city.data), WORDS);
    let start = ["run", "--data-dir", data];
    story.told(78, &start);
    story.told(78, &[&start[..], &["--passphrase-file", wrong]].concat());
    story.told(
        1,
        &[
            "key",
            "seal",
            "--data-dir",
            data,
            "--passphrase-file",
            wrong,
        ],
    );
    let node = story.start(city, &["--passphrase-file", words]).await;
    story.told(0, &["key", "rotate-master", "--data-dir", data]);
    story.told(
        0,
        &[
            "key",
            "show",
            "--data-dir",
            data,
            "--passphrase-file",
            words,
        ],
    );
    story.told(0, &["status", "--data-dir", data]);
    story.stop(city, node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_never_appear() {
    let root = directory();
    let mut cities = found(root.path(), 2);
    let mut story = Story {
        root,
        secrets: Secrets::default(),
        places: Places::default(),
        answers: Answers::default(),
        starts: 0,
    };
    let _line = cities[0].plug_in(Vec::new);
    for words in [WORDS, BACKUP_WORDS, WRONG_WORDS] {
        story.secrets.text(&format!("passphrase {words:.4}"), words);
    }
    let nodes = [
        story.start(&cities[0], &[]).await,
        story.start(&cities[1], &[]).await,
    ];
    nodes[0]
        .until("its place", |status| status.place.satisfies_policy)
        .await;
    for node in &nodes {
        node.until("the peer", |status| status.peers.len() == 1)
            .await;
    }
    a_private_transfer(&mut story, &cities, &nodes).await;
    operators(&mut story, &cities[0], &nodes[0]).await;
    for (city, node) in cities.iter().zip(nodes) {
        story.stop(city, node).await;
    }
    a_passphrase(&mut story, &cities[0]).await;

    assert!(!story.path("tls-secrets").exists(), "no key log");
    // Kanazawa's keys are sealed: nothing anywhere in its directory is in the clear. Komatsu's stand in their files.
    let komatsu = cities[1].data.clone();
    story.places.disk(cities[0].data.path(), |_| false);
    story.places.disk(komatsu.path(), |file| {
        file.starts_with(komatsu.keys()) || file == komatsu.tls_key()
    });
    let may = |place: &str, name: &str| {
        // Whoever logs in is given the token, whose payload holds its id; what was revoked is remembered by it.
        (name.ends_with("token") && place == "answers")
            || (name.ends_with("jti")
                && (place == "answers" || place.ends_with("revoked-tokens.json")))
    };
    let (places, secrets) = (&story.places, &story.secrets);
    let found = places.found(secrets, may);
    assert!(found.is_empty(), "{found:#?}");

    // It was all of it that was searched: what may stand there does, and what is in the clear is found.
    let log = String::from_utf8_lossy(places.content("log 1"));
    for level in [" TRACE ", " DEBUG ", " INFO "] {
        assert!(log.contains(level), "no {level} in the log");
    }
    let revoked = cities[0].data.revoked_tokens();
    assert!(!secrets.found(&fs::read(revoked).unwrap()).is_empty());
    assert!(!secrets.found(places.content("answers")).is_empty());
    let plain = fs::read(komatsu.ledger_key()).unwrap();
    assert_eq!(secrets.found(&plain), ["node: ledger.key"]);
    let leak = format!(
        "TRACE sealing with {:?}",
        &unlocked(&komatsu).kem.expose_secret()[99..200]
    );
    story.places.add("log 1", leak);
    let found = story.places.found(&story.secrets, may);
    assert_eq!(found, ["log 1: node: kem.key"]);
}

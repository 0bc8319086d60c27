//! Strangers that ask to be whitelisted: real nodes, the command line on both sides, and somebody who is no node.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use city_node::engine::{TransportKey, protocol_peer, utc};
use city_node::net::{self, EnrolError, NetConfig, NetHandle, Whitelist};
use city_protocol::trust::{EnrolVerdict, MAX_WHITELIST_REQUEST, WhitelistRequest};
use libp2p::identity::Keypair;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::daemon::city::{City, Node, directory, found};

fn asked(city: &City, arguments: &[&str], code: i32) -> Value {
    city.answer(&["peer"], arguments, code)
}

fn refused(city: &City, arguments: &[&str], code: i32) -> String {
    city.refusal(&["peer"], arguments, code)
}

/// So many cities that do not know each other; the first takes requests, if `open`.
fn strangers(root: &Path, count: usize, open: bool) -> Vec<City> {
    let mut cities = found(root, count);
    for (i, city) in cities.iter_mut().enumerate() {
        city.config.network.peers.clear();
        city.config.network.accept_whitelist_requests = open && i == 0;
        city.configure();
    }
    cities
}

fn id(city: &City) -> String {
    city.report.peer_id.to_string()
}

fn at(city: &City) -> String {
    format!("{}/p2p/{}", city.config.network.listen[0], id(city))
}

async fn greeted(node: &Node) {
    node.until("the peer", |status| {
        status.peers.len() == 1 && status.peers.iter().all(|peer| peer.region.is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_asks_waits_over_a_restart_is_approved_and_connects() {
    let root = directory();
    let cities = strangers(root.path(), 2, true);
    let [kanazawa, komatsu] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    let ask = [
        "request-whitelist",
        &at(kanazawa),
        "--name",
        "小松市",
        "-m",
        "隣町です",
    ];
    assert_eq!(asked(komatsu, &ask, 0)["verdict"], "pending");
    // Again: it waits already, and is one request.
    assert_eq!(asked(komatsu, &ask, 0)["verdict"], "pending");
    let pending = asked(kanazawa, &["pending"], 0);
    let [request] = pending["pending"].as_array().unwrap().as_slice() else {
        panic!("{pending}")
    };
    assert_eq!(
        (
            &request["peer"],
            &request["name"],
            &request["message"],
            &request["region"]
        ),
        (
            &id(komatsu).into(),
            &"小松市".into(),
            &"隣町です".into(),
            &"Asia/JP/17/17203".into()
        )
    );
    assert!(
        request["from"]
            .as_str()
            .unwrap()
            .starts_with("/ip4/127.0.0.1/tcp/")
    );
    let status = a.status().await;
    assert_eq!((status.whitelist_requests, status.peers.len()), (1, 0));
    assert_eq!(
        asked(kanazawa, &["show", &id(komatsu)], 4)["reason"],
        "asks"
    );
    // The names are private values: neither stands in the trust log.
    a.stop().await;
    for entry in std::fs::read_dir(kanazawa.data.trust()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("小松市") && !text.contains("隣町"));
    }
    assert_eq!(asked(kanazawa, &["pending"], 0), pending);

    // 小松市 lists 金沢市 and calls in vain, which asks for nothing; then its operator says yes.
    let a = kanazawa.ready().await;
    assert_eq!(asked(kanazawa, &["pending"], 0), pending);
    let list = Command::new(env!("CARGO_BIN_EXE_city-node"))
        .args([
            "whitelist",
            "add",
            &id(kanazawa),
            "--address",
            &at(kanazawa),
            "--data-dir",
        ])
        .arg(komatsu.data.path())
        .output()
        .unwrap();
    assert!(list.status.success(), "{list:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        (a.status().await.peers.len(), b.status().await.peers.len()),
        (0, 0)
    );
    let approved = asked(kanazawa, &["approve", &id(komatsu), "-e", "48"], 0);
    let entry = &approved["listed"]["entries"][0];
    assert_eq!(
        (&entry["name"], &entry["source"]),
        (&"小松市".into(), &"operator".into())
    );
    greeted(&a).await;
    greeted(&b).await;
    let shown = asked(kanazawa, &["show", &id(komatsu)], 0);
    assert_eq!(shown["reason"], "listed");
    assert_eq!(shown["connected"]["region"], "Asia/JP/17/17203");
    assert!(
        shown["connected"]["software"]
            .as_str()
            .unwrap()
            .starts_with("city-node/")
    );
    assert!(
        asked(kanazawa, &["pending"], 0)["pending"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        asked(kanazawa, &["list"], 0)["peers"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // Who is listed need not ask.
    let said = refused(komatsu, &ask, 1);
    assert!(said.contains("already"), "{said}");
    a.stop().await;
    let a = kanazawa.ready().await;
    greeted(&a).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_ignored_is_refused_without_a_record_and_with_the_option_off_nobody_is_heard() {
    let root = directory();
    let mut cities = strangers(root.path(), 2, true);
    let (a, b) = (cities[0].ready().await, cities[1].ready().await);
    let ask = ["request-whitelist", &at(&cities[0]), "--name", "小松市"];
    assert_eq!(asked(&cities[1], &ask, 0)["verdict"], "pending");
    let komatsu = id(&cities[1]);
    asked(&cities[0], &["ignore", &komatsu], 0);
    assert_eq!(asked(&cities[1], &ask, 4)["verdict"], "refused");
    let page = asked(&cities[0], &["pending"], 0);
    assert!(page["pending"].as_array().unwrap().is_empty());
    assert_eq!(page["ignored"][0]["name"], "小松市");
    a.stop().await;
    // One request, one decision, however often it asked; both are for ever.
    let lines = Command::new(env!("CARGO_BIN_EXE_city-node"))
        .args(["audit", "list", "--log", "trust", "--json", "--data-dir"])
        .arg(cities[0].data.path())
        .output()
        .unwrap();
    let lines: Value = serde_json::from_slice(&lines.stdout).unwrap();
    let classes: Vec<&str> = lines["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["class"].as_str().unwrap())
        .collect();
    assert_eq!(classes, ["enrol-request", "enrol-ignore"]);

    // Mistakes are told before anything is dialled.
    for (arguments, says) in [
        (
            ["request-whitelist", "/ip4/127.0.0.1/tcp/1", "--name", "x"],
            "/p2p/",
        ),
        (
            ["request-whitelist", &at(&cities[0]), "--name", "\u{1b}[2J"],
            "1 to 64",
        ),
        (
            ["request-whitelist", &at(&cities[1]), "--name", "x"],
            "itself",
        ),
        (
            [
                "request-whitelist",
                &format!("/ip4/127.0.0.1/tcp/1/p2p/{}", id(&cities[0])),
                "--name",
                "x",
            ],
            "not reached",
        ),
    ] {
        let said = refused(&cities[1], &arguments, 1);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    let said = refused(&cities[0], &ask, 3);
    assert!(said.contains("no node is running"), "{said}");
    let said = refused(&cities[0], &["approve", &id(&cities[0])], 1);
    assert!(said.contains("has not asked"), "{said}");

    cities[0].config.network.accept_whitelist_requests = false;
    cities[0].configure();
    let a = cities[0].ready().await;
    assert_eq!(
        asked(&cities[0], &["pending"], 0)["ignored"][0]["name"],
        "小松市"
    );
    let said = refused(&cities[1], &ask, 1);
    assert!(
        said.contains("without an answer")
            || said.contains("not reached")
            || said.contains("no requests"),
        "{said}"
    );
    assert_eq!(a.status().await.denied_strangers, 1);
    // An operator changes their mind, with the node stopped.
    a.stop().await;
    let approved = asked(&cities[0], &["approve", &komatsu], 0);
    assert_eq!(approved["listed"]["entries"][0]["name"], "小松市");
    b.stop().await;
}

/// Somebody with a network task and a key, and no node.
struct Somebody {
    key: Keypair,
    net: NetHandle,
    _events: mpsc::Receiver<net::NetEvent>,
}

impl Somebody {
    fn new() -> Self {
        let key = Keypair::generate_ed25519();
        let (events, heard) = mpsc::channel(16);
        let config = NetConfig::default();
        let (net, _task) = net::start(config, key.clone(), Whitelist::default(), events).unwrap();
        Self {
            key,
            net,
            _events: heard,
        }
    }

    fn request(&self, to: &City) -> Vec<u8> {
        let request = WhitelistRequest {
            v: 1,
            name: "誰か".into(),
            region: "Asia/JP/17/17210".parse().unwrap(),
            message: String::new(),
            addresses: Vec::new(),
        };
        let signer = TransportKey::new(self.key.clone()).unwrap();
        let recipient = protocol_peer(&to.report.peer_id).unwrap();
        request.sign(&signer, &recipient, [7; 16], utc())
    }

    async fn sends(&self, to: &City, request: Vec<u8>) -> Result<EnrolVerdict, EnrolError> {
        let address = to.config.network.listen[0].clone();
        self.net.enrol(to.report.peer_id, address, request).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_refused_and_few_are_read_of_one_address() {
    let root = directory();
    let cities = strangers(root.path(), 2, true);
    let [kanazawa, komatsu] = &cities[..] else {
        unreachable!()
    };
    let node = kanazawa.ready().await;
    let (mallory, hanako) = (Somebody::new(), Somebody::new());
    // For another node; of another signer; bytes of anything.
    let wrong = [
        mallory.request(komatsu),
        hanako.request(kanazawa),
        vec![0xff; MAX_WHITELIST_REQUEST],
    ];
    for request in wrong {
        let answer = mallory.sends(kanazawa, request).await.unwrap();
        assert_eq!(answer, EnrolVerdict::Refused);
    }
    // Larger than any is not read at all.
    let larger = vec![0; MAX_WHITELIST_REQUEST + 1];
    let answer = mallory.sends(kanazawa, larger).await;
    assert!(matches!(answer, Err(EnrolError::Silent)), "{answer:?}");
    assert_eq!(node.status().await.whitelist_requests, 0);
    let answer = hanako
        .sends(kanazawa, hanako.request(kanazawa))
        .await
        .unwrap();
    assert_eq!(answer, EnrolVerdict::Pending);
    // Whoever comes from there after a few waits, whatever their key.
    let mut answers = Vec::new();
    for _ in 0..4 {
        let other = Somebody::new();
        answers.push(
            other
                .sends(kanazawa, other.request(kanazawa))
                .await
                .unwrap(),
        );
    }
    assert_eq!(answers.last(), Some(&EnrolVerdict::Busy), "{answers:?}");
    let waiting = node.status().await;
    assert!(
        waiting.whitelist_requests < 6,
        "{}",
        waiting.whitelist_requests
    );
    assert!(waiting.peers.is_empty());
    node.stop().await;
}

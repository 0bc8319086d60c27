//! 金沢市 has a kiosk: 千代女 pays there, also while the home is away, and nobody else stands in the home's place.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod false_home;
mod setup;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use city_node::api::problem::HOME_UNREACHABLE;
use city_node::client::ApiClient;
use city_node::client::person::Person;
use city_node::config::{Config, Overrides, Peer};
use city_node::setup::{DataDir, write_config};
use city_protocol::body::Kind;
use city_protocol::genesis::Genesis;
use city_protocol::ids::AccountId;
use city_protocol::place::Grade;
use city_protocol::vertex::{Receipt, VerifiedReceipt};
use serde_json::Value;

use super::account::{certificate, open, run, text};
use super::daemon::city::{self, City, Line, Node, directory, found};
use super::ports::free_port;

/// A home and its kiosk, which has the antenna.
struct Town {
    root: tempfile::TempDir,
    city: City,
    /// The kiosk's data directory.
    kiosk: DataDir,
    _line: Line,
}

/// What `init --role terminal` is told of this home, with other arguments behind.
fn init(city: &City, data: &Path, more: &[&str]) -> Vec<String> {
    let arguments = [
        "init",
        "--role",
        "terminal",
        "--data-dir",
        text(data),
        "--region",
        city.config.node.region.as_str(),
        "--network",
        text(&city.ca),
        "--home",
        &format!("https://{}", city.config.api.listen),
        "--home-charter",
        text(&city.data.charter()),
        "--home-peer",
        &city.config.network.listen[0].to_string(),
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--api-listen",
        "127.0.0.1:0",
        "--coarse-demo-boundaries",
        "--suite",
        "fips",
    ]
    .map(str::to_owned);
    let more = more.iter().map(|more| (*more).to_owned());
    arguments.into_iter().chain(more).collect()
}

fn given(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

impl Town {
    /// Makes both; neither runs.
    fn founded() -> Self {
        let root = directory();
        let mut city = found(root.path(), 1).remove(0);
        city.config.api.listen = (Ipv4Addr::LOCALHOST, free_port()).into();
        let line = city.plug_in(Vec::new);
        let device = city.config.gnss.device.take().unwrap();
        let kiosk = DataDir::new(root.path().join("k"));
        let arguments = init(&city, kiosk.path(), &["--device", text(&device), "--json"]);
        let (code, told) = run(root.path(), &given(&arguments));
        assert_eq!(code, 0, "{told}");
        let made: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(made["log"], city.report.log.to_string());
        let mut config = Config::load_with(&kiosk.config(), &Overrides::none()).unwrap();
        config.clock.trust_system = true;
        write_config(&kiosk, &config).unwrap();
        city.config.network.peers.push(Peer {
            peer_id: made["peer_id"].as_str().unwrap().parse().unwrap(),
            name: "役所の端末".into(),
            region: city.config.node.region.clone(),
            addresses: Vec::new(),
            expires_at: None,
            roles: city_node::trust::Role::sync_only(),
        });
        city.configure();
        Self {
            root,
            city,
            kiosk,
            _line: line,
        }
    }

    /// Starts the kiosk and waits until it answers.
    async fn kiosk(&self) -> Node {
        let log = self.kiosk.path().join("node.log");
        let mut command = city::run(&self.kiosk, &[]);
        let child = command.stderr(fs::File::create(&log).unwrap()).spawn();
        let mut node = Node::new(child.unwrap(), self.kiosk.clone(), log);
        let up = node.comes_up().await;
        assert!(up.is_ok(), "{up:?}:\n{}", node.log());
        node
    }

    /// Starts both; they have found each other, and the kiosk knows where it stands.
    async fn open(&self) -> (Node, Node) {
        let home = self.city.ready().await;
        let kiosk = self.kiosk().await;
        self.together(&home, &kiosk).await;
        let place = kiosk.until("its place", |status| status.place.satisfies_policy);
        place.await;
        (home, kiosk)
    }

    async fn together(&self, home: &Node, kiosk: &Node) {
        let reached = kiosk.until("the home", |status| {
            status.terminal.as_ref().unwrap().reachable && !status.peers.is_empty()
        });
        reached.await;
        let newest = home.status().await.frontier_hash;
        let same = |status: &city_node::admin::pages::Status| status.frontier_hash == newest;
        kiosk.until("the home's log", same).await;
    }

    fn api(&self, node: &Node) -> ApiClient {
        let url = format!("https://{}", node.address());
        ApiClient::new(&url, &[self.city.tls_root()]).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Asks the kiosk from the command line.
    fn ask(&self, kiosk: &Node, arguments: &[&str]) -> (i32, String) {
        let (url, root) = (
            format!("https://{}", kiosk.address()),
            self.city.data.tls_root(),
        );
        let home = ["--node", &url, "--tls-root", text(&root)];
        run(self.root.path(), &[arguments, &home[..]].concat())
    }

    fn good(&self, kiosk: &Node, arguments: &[&str]) -> String {
        let (code, told) = self.ask(kiosk, arguments);
        assert_eq!(code, 0, "{arguments:?}\n{told}");
        told
    }

    /// The kiosk's outbox from the command line, as JSON.
    fn outbox(&self, arguments: &[&str]) -> (i32, Value) {
        let data = ["--data-dir", text(self.kiosk.path()), "--json"];
        let all = [&["tx", "outbox"], arguments, &data[..]].concat();
        let (code, told) = run(self.root.path(), &all);
        let value = serde_json::from_str(&told);
        (
            code,
            value.unwrap_or_else(|_| panic!("{arguments:?}: {told}")),
        )
    }

    /// Two people open accounts at the kiosk, and the first is given 1000.00.
    async fn people(&self, kiosk: &Node) -> Vec<AccountId> {
        let api = self.api(kiosk);
        let mut accounts = Vec::new();
        for name in ["chiyo", "yosa"] {
            let wallet = self.file(&format!("{name}.wallet"));
            let pem = self.file(&format!("{name}.pem"));
            let create = [
                "account",
                "create",
                "--suite",
                "fips",
                "--out",
                text(&wallet),
            ];
            let (code, told) = run(self.root.path(), &create);
            assert_eq!(code, 0, "{told}");
            accounts.push(certificate(&self.city, &wallet, &pem));
            let enrol = [
                "account",
                "enrol",
                text(&wallet),
                "--certificate",
                text(&pem),
            ];
            self.good(kiosk, &enrol);
        }
        let page = api.node().await.unwrap();
        let (signing, kem) = open(&self.file("chiyo.wallet")).into_keys();
        let chiyo = Person::new(signing, kem, &page);
        self.city.grant(&api, &chiyo, 100_000).await.unwrap();
        accounts
    }

    /// A draft of 千代女 for 与謝, made at the kiosk.
    fn draft(&self, kiosk: &Node, name: &str, to: &AccountId, amount: &str) -> PathBuf {
        let (draft, key) = (self.file(name), self.file("chiyo.wallet.pub"));
        let to = to.to_string();
        let arguments = [
            "tx",
            "draft",
            "--key",
            text(&key),
            "--to",
            &to,
            "--amount",
            amount,
            "--out",
            text(&draft),
            "--subject",
            "野菜のお礼",
            "--details",
            "葱を十本",
            "--location",
            "市場",
        ];
        self.good(kiosk, &arguments);
        draft
    }

    /// A receipt, verified with the genesis record alone.
    fn verified(&self, file: &Path) -> VerifiedReceipt {
        let genesis = Genesis::read(&fs::read(self.city.data.genesis()).unwrap()).unwrap();
        let receipt = Receipt::read(&fs::read(file).unwrap()).unwrap();
        receipt.verify(&genesis).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_pays_at_the_kiosk_is_booked_by_the_home_with_the_kiosks_place() {
    let town = Town::founded();
    let (home, kiosk) = town.open().await;
    let accounts = town.people(&kiosk).await;
    let wallet = town.file("chiyo.wallet");
    let draft = town.draft(&kiosk, "leek.json", &accounts[1], "123.45");
    let receipt = town.file("leek.receipt");
    let send = [
        "tx",
        "send",
        text(&draft),
        "--wallet",
        text(&wallet),
        "--receipt",
        text(&receipt),
    ];
    let told = town.good(&kiosk, &send);
    assert!(
        told.starts_with("booked") && told.contains("876.55 after it"),
        "{told}"
    );
    // Sent again, the home says that it was booked; the kiosk says what the home says.
    let told = town.good(&kiosk, &send);
    assert!(told.contains("nothing was sent twice"), "{told}");

    // The home has no receiver: what it booked is where the kiosk stands, and for whom stood there.
    assert!(!home.status().await.place.satisfies_policy);
    let held = town.verified(&receipt);
    assert_eq!(held.entry.kind, Kind::Transfer);
    assert_eq!(held.entry.booked.place, Some(Grade::Plausible));
    let admin = home.admin().await.unwrap();
    let vertex = admin.ledger_vertex(&held.vertex).await.unwrap();
    let entries = vertex.entries.unwrap();
    let place = &entries[usize::try_from(held.index).unwrap() - 1];
    assert_eq!((&*place.kind, place.signed_by.len()), ("place", 0));
    assert_eq!(place.body["subject"], "kiosk-session");
    assert_eq!(place.body["municipality"], "17201");

    // What is read at the kiosk is what stands there by now.
    let told = town.good(&kiosk, &["tx", "list", "--wallet", text(&wallet)]);
    assert!(told.contains("876.55"), "{told}");
    let identity = held_identity(&told);
    let yosa = town.file("yosa.wallet");
    let accept = ["tx", "accept", &identity, "--wallet", text(&yosa)];
    let told = town.good(&kiosk, &accept);
    assert!(told.starts_with("accepted"), "{told}");
    let again = town.file("again.receipt");
    let fetch = [
        "tx",
        "receipt",
        &identity,
        "--wallet",
        text(&wallet),
        "--out",
        text(&again),
    ];
    town.good(&kiosk, &fetch);
    assert_eq!(fs::read(&again).unwrap(), fs::read(&receipt).unwrap());

    // The private values went to the home and are the home's to show.
    let api = town.api(&kiosk);
    let (signing, kem) = open(&wallet).into_keys();
    let chiyo = Person::new(signing, kem, &api.node().await.unwrap());
    api.login(&chiyo).await.unwrap();
    let refused = api
        .private(&accounts[0], &identity.parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("at-the-home"));
    // The home's refusals come through as they are.
    let nothing = town.draft(&kiosk, "much.json", &accounts[1], "99999.00");
    let (code, told) = town.ask(
        &kiosk,
        &["tx", "send", text(&nothing), "--wallet", text(&wallet)],
    );
    assert!(code == 1 && told.contains("(overdraft)"), "{told}");
    // Where somebody says that they are themselves, a terminal does not vouch for.
    let claim = ["--lat", "36.5613", "--lon", "136.6562"];
    let out = town.root.path().join("claim.json");
    let place = ["tx", "place", text(&nothing), "--out", text(&out)];
    let (code, told) = town.ask(&kiosk, &[&place[..], &claim].concat());
    assert!(code == 1 && told.contains("(at-the-home)"), "{told}");

    let told = city_node::admin::show::page(&kiosk.status().await, &jiff::tz::TimeZone::UTC);
    assert!(told.contains("sequencing  by its home"), "{told}");
    assert!(told.contains("answers since"), "{told}");
    for node in [&home, &kiosk] {
        node.check().await;
    }
    kiosk.stop().await;
    home.stop().await;
}

/// The identity in a list of one transfer.
fn held_identity(list: &str) -> String {
    let at = list.find("sha256:").expect(list);
    list[at..at + "sha256:".len() + 64].to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_home_is_away_nothing_is_accepted_and_what_is_kept_is_sent_later() {
    let town = Town::founded();
    let (home, kiosk) = town.open().await;
    let accounts = town.people(&kiosk).await;
    town.together(&home, &kiosk).await;
    let wallet = town.file("chiyo.wallet");
    let heads = kiosk.status().await.frontier_hash;
    home.stop().await;

    let draft = town.draft(&kiosk, "leek.json", &accounts[1], "10.00");
    let send = ["tx", "send", text(&draft), "--wallet", text(&wallet)];
    let (code, told) = town.ask(&kiosk, &send);
    assert_eq!(code, 1, "{told}");
    assert!(
        told.contains(HOME_UNREACHABLE) && told.contains("nothing was accepted"),
        "{told}"
    );
    let api = town.api(&kiosk);
    let form = serde_json::json!({ "body": "{}" }).to_string();
    let (status, problem) = api
        .raw(hyper::Method::POST, "/send/api/accepts", form)
        .await
        .unwrap();
    let problem: Value = serde_json::from_slice(&problem).unwrap();
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (503, &HOME_UNREACHABLE.into())
    );
    let away = |status: &city_node::admin::pages::Status| {
        status.terminal.as_ref().is_some_and(|home| !home.reachable)
    };
    let status = kiosk.until("that the home is away", away).await;
    assert_eq!((status.drafts, status.frontier_hash), (Some(0), heads));

    // Reading goes on, from what the kiosk has.
    let told = town.good(&kiosk, &["tx", "list", "--wallet", text(&wallet)]);
    assert!(told.contains("1000.00"), "{told}");

    let keep = [&send[..], &["--keep"]].concat();
    let (code, told) = town.ask(&kiosk, &keep);
    assert!(
        code == 1 && told.contains("keeps the transfer until"),
        "{told}"
    );
    // Doing it again keeps it once.
    town.ask(&kiosk, &keep);
    let (_, listed) = town.outbox(&["list"]);
    let drafts = listed["drafts"].as_array().unwrap();
    assert_eq!(drafts.len(), 1, "{listed}");
    assert_eq!(drafts[0]["amount"], "10.00");
    assert_eq!(listed["home"]["reachable"], false);
    let identity = drafts[0]["identity"].as_str().unwrap().to_owned();
    // Nothing of it lies in the clear.
    let files: Vec<PathBuf> = fs::read_dir(town.kiosk.outbox())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1);
    let sealed = fs::read(&files[0]).unwrap();
    for clear in ["葱", "transfer_id", accounts[0].as_str()] {
        let found = sealed
            .windows(clear.len())
            .any(|window| window == clear.as_bytes());
        assert!(!found, "{clear}");
    }
    let (code, sent) = town.outbox(&["send", "--all"]);
    assert_eq!(
        (code, &sent["sent"][0]["code"]),
        (1, &HOME_UNREACHABLE.into())
    );

    // The kiosk is switched off and on.
    kiosk.stop().await;
    let kiosk = town.kiosk().await;
    let (_, listed) = town.outbox(&["list"]);
    assert_eq!(listed["drafts"][0]["identity"], identity.as_str());
    assert_eq!(kiosk.status().await.drafts, Some(1));

    let home = town.city.ready().await;
    town.together(&home, &kiosk).await;
    let receipts = town.file("receipts");
    let (code, sent) = town.outbox(&["send", &identity, "--receipts", text(&receipts)]);
    assert_eq!(code, 0, "{sent}");
    let one = &sent["sent"][0];
    assert_eq!(
        (&one["booked"], &one["balance_after"]),
        (&true.into(), &"990.00".into())
    );
    let name = format!("{}.receipt", identity.trim_start_matches("sha256:"));
    let held = town.verified(&receipts.join(name));
    // The proof of place came with it, across both restarts.
    assert_eq!(held.entry.booked.place, Some(Grade::Plausible));
    let (_, listed) = town.outbox(&["list"]);
    assert_eq!(listed["drafts"].as_array().unwrap().len(), 0, "{listed}");
    let (code, again) = town.outbox(&["send", &identity]);
    assert_eq!(
        (code, &again["sent"][0]["code"]),
        (1, &"unknown-draft".into())
    );
    // Also whoever had kept the file themselves: it is booked once.
    let told = town.good(&kiosk, &send);
    assert!(told.contains("nothing was sent twice"), "{told}");
    let (code, listed) = run(
        town.root.path(),
        &[
            "tx",
            "outbox",
            "list",
            "--data-dir",
            text(town.city.data.path()),
        ],
    );
    assert!(code == 1 && listed.contains("no-terminal"), "{listed}");
    kiosk.check().await;
    kiosk.stop().await;
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outbox_is_for_people_who_are_known_and_not_for_one_alone() {
    let town = Town::founded();
    let (home, kiosk) = town.open().await;
    let accounts = town.people(&kiosk).await;
    let api = town.api(&kiosk);
    let page = api.node().await.unwrap();
    let (signing, kem) = open(&town.file("chiyo.wallet")).into_keys();
    let chiyo = Person::new(signing, kem, &page);
    let order = |amount: u64, sequence: u64| {
        use city_node::client::person::Order;
        use city_protocol::amount::Amount;
        let mut order = Order::new(accounts[1], &page, Amount::from_hundredths(amount));
        order.sequence = sequence;
        order.created_at = city_node::engine::utc();
        (order.subject, order.details, order.location) =
            ("野菜".into(), "葱".into(), "市場".into());
        order
    };
    let stranger = Person::generate(&page);
    let (signed, private) = stranger.transfer(&order(100, 1)).unwrap();
    let refused = api.keep(&signed, Some(&private)).await.unwrap_err();
    assert_eq!(refused.code(), Some("unknown-account"));
    let most = city_node::terminal::PER_ACCOUNT as u64;
    let mut last = None;
    for number in 1..=most {
        let (signed, private) = chiyo.transfer(&order(100, number)).unwrap();
        last = Some(api.keep(&signed, Some(&private)).await.unwrap().identity);
    }
    let (signed, private) = chiyo.transfer(&order(100, most + 1)).unwrap();
    let refused = api.keep(&signed, Some(&private)).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.status()),
        (Some("outbox-full"), Some(409))
    );
    // What the home refuses stays, with the home's reason, until somebody drops it.
    let last = last.unwrap().to_string();
    let (code, sent) = town.outbox(&["send", &last]);
    assert_eq!(
        (code, &sent["sent"][0]["code"]),
        (1, &"sequence-gap".into())
    );
    let (code, dropped) = town.outbox(&["drop", &last]);
    assert_eq!((code, &dropped["dropped"][0]), (0, &last.as_str().into()));
    api.keep(&signed, Some(&private)).await.unwrap();
    // A home has no such thing.
    let at_home = town.api(&home).keep(&signed, None).await.unwrap_err();
    assert_eq!(at_home.status(), Some(404));
    tokio::time::sleep(Duration::from_millis(1)).await;
    kiosk.stop().await;
    home.stop().await;
}

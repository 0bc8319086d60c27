//! 千代女 pays 与謝 from the command line: drafts, signatures, receipts and answers, by the real binary at a real node.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use city_protocol::ids::AccountId;
use serde_json::Value;

use super::account::{certificate, good, run, text};
use super::daemon::city::{City, Line, Node, alone, directory};

/// A home with two people and a receiver that says where it is.
pub(super) struct Town {
    root: tempfile::TempDir,
    pub(super) city: City,
    pub(super) node: Node,
    _line: Line,
    pub(super) accounts: Vec<AccountId>,
}

impl Town {
    pub(super) async fn with_two_people() -> Self {
        let root = directory();
        let mut city = alone(root.path(), root.path().join("d"));
        let line = city.plug_in(Vec::new);
        let node = city.ready().await;
        node.until("its place", |status| status.place.satisfies_policy)
            .await;
        let mut town = Self {
            root,
            city,
            node,
            _line: line,
            accounts: Vec::new(),
        };
        for name in ["chiyo", "yosa"] {
            let wallet = town.file(&format!("{name}.wallet"));
            let pem = town.file(&format!("{name}.pem"));
            town.good(&[
                "account",
                "create",
                "--suite",
                "fips",
                "--out",
                text(&wallet),
            ]);
            let account = certificate(&town.city, &wallet, &pem);
            town.accounts.push(account);
            let enrol = [
                "account",
                "enrol",
                text(&wallet),
                "--certificate",
                text(&pem),
            ];
            let told = town.at_home(&enrol);
            assert!(told.contains("finality sequenced"), "{told}");
        }
        town
    }

    /// The node, to be stopped, and the directory, to be kept meanwhile.
    pub(super) fn into_stopping(self) -> (tempfile::TempDir, Node) {
        (self.root, self.node)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(super) fn good(&self, arguments: &[&str]) -> String {
        good(self.root.path(), arguments)
    }

    pub(super) fn home(&self) -> [String; 4] {
        let root = self.city.data.tls_root();
        [
            "--node".into(),
            format!("https://{}", self.node.address()),
            "--tls-root".into(),
            text(&root).into(),
        ]
    }

    /// With the home's address behind.
    pub(super) fn ask(&self, arguments: &[&str]) -> (i32, String) {
        let home = self.home();
        let home = home.iter().map(String::as_str);
        let all: Vec<&str> = arguments.iter().copied().chain(home).collect();
        run(self.root.path(), &all)
    }

    pub(super) fn at_home(&self, arguments: &[&str]) -> String {
        let (code, told) = self.ask(arguments);
        assert_eq!(code, 0, "{arguments:?}\n{told}");
        told
    }

    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        let told = self.at_home(&[arguments, &["--json"]].concat());
        let value: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(value["schema"], 1, "{value}");
        value
    }

    /// Officers give 千代女 1000.00, from the proposal to the receipt.
    pub(super) fn grant(&self) {
        let (body, key, signature) = (
            self.file("grant.json"),
            self.file("officer.key"),
            self.file("1.json"),
        );
        let account = self.accounts[0].to_string();
        let propose = [
            "grant",
            "propose",
            "--account",
            &account,
            "--amount",
            "1000.00",
            "--reason",
            "地域の応援",
            "--out",
            text(&body),
        ];
        let told = self.at_home(&propose);
        assert!(told.contains("1 of 2 officers sign it"), "{told}");
        city_node::keys::save_signing(&key, &self.city.officers[0]).unwrap();
        let sign = [
            "grant",
            "sign",
            text(&body),
            "--key",
            text(&key),
            "--out",
            text(&signature),
        ];
        let told = self.good(&sign);
        assert!(
            told.contains(&format!("grant 1000.00 to {account}: 地域の応援")),
            "{told}"
        );
        let receipt = self.file("grant.receipt");
        let submit = [
            "grant",
            "submit",
            text(&body),
            text(&signature),
            "--receipt",
            text(&receipt),
        ];
        let told = self.at_home(&submit);
        assert!(
            told.contains("booked.") && told.contains("finality   sequenced"),
            "{told}"
        );
        assert_eq!(self.json(&submit)["finality"], "sequenced");
        let again = self.at_home(&submit);
        assert!(again.contains("was booked already"), "{again}");
        self.holds(&receipt, "grant");
        // The account is of this home; another's officers decide nothing here.
        let mut elsewhere = propose;
        elsewhere[3] = "aaaaaaaaaaaaaaaa-aaaaaaaaaaaaaaaaaaaaaaaaaa";
        let (code, told) = self.ask(&elsewhere);
        assert!(code == 1 && told.contains("own home"), "{told}");
    }

    /// A receipt is verified with the genesis record alone.
    fn holds(&self, receipt: &Path, kind: &str) {
        let genesis = self.city.data.genesis();
        let verify = [
            "tx",
            "verify-receipt",
            text(receipt),
            "--genesis",
            text(&genesis),
        ];
        let told = self.good(&verify);
        assert!(told.contains(&format!("entry      {kind} ")), "{told}");
    }

    /// What a receipt is about: what verifies it and what shows it say the same.
    fn tells(&self, receipt: &Path, identity: &str, words: &[&str]) {
        let genesis = self.city.data.genesis();
        let of = ["--genesis", text(&genesis)];
        let verified = self.good(&[&["tx", "verify-receipt", text(receipt)][..], &of].concat());
        let shown = self.good(&[&["tx", "show", text(receipt)][..], &of].concat());
        for told in [&verified, &shown] {
            assert!(told.contains(identity), "{told}");
            for word in words {
                assert!(told.contains(word), "{word} is not in\n{told}");
            }
        }
        let json = ["tx", "verify-receipt", text(receipt), "--json"];
        let json: Value = serde_json::from_str(&self.good(&[&json[..], &of].concat())).unwrap();
        assert!(json["identity"].as_str().unwrap().starts_with("sha256:"));
        let (hash, answers) = (&json["transaction_hash"], &json["answer"]["transfer"]);
        assert!(hash.is_string() || answers == identity, "{json}");
    }

    pub(super) fn draft(&self, name: &str, amount: &str, more: &[&str]) -> PathBuf {
        let draft = self.file(name);
        let key = self.file("chiyo.wallet.pub");
        let to = self.accounts[1].to_string();
        let base = [
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
        self.good(&[&base[..], more].concat());
        draft
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_goes_from_a_draft_to_the_answer_and_both_keep_their_receipts() {
    let mut town = Town::with_two_people().await;
    town.grant();
    let home = town.home();
    let home: Vec<&str> = home.iter().map(String::as_str).collect();
    let (chiyo, yosa) = (town.file("chiyo.wallet"), town.file("yosa.wallet"));

    let (note, kem) = (town.file("note"), town.file("yosa.wallet.kem.pub"));
    fs::write(&note, "おいしかったです").unwrap();
    let sealed = ["--message", text(&note), "--message-key", text(&kem)];
    let draft = town.draft("leek.json", "123.45", &[&home[..], &sealed].concat());
    let kept = fs::read_to_string(&draft).unwrap();
    assert!(
        !kept.contains("proof_of_place") && !kept.contains("sequence"),
        "{kept}"
    );
    assert!(
        !kept.contains("おいしかった"),
        "the message is sealed already"
    );

    let receipt = town.file("leek.receipt");
    let send = [
        "tx",
        "send",
        text(&draft),
        "--wallet",
        text(&chiyo),
        "--receipt",
        text(&receipt),
    ];
    let first = town.json(&send);
    assert_eq!(
        (&first["repeated"], &first["balance_after"]),
        (&false.into(), &"876.55".into())
    );
    assert_eq!(first["place"], "plausible");
    town.holds(&receipt, "transfer");
    // After a time-out it is done again: the same bytes, the first receipt.
    let again = town.json(&send);
    assert_eq!(again["repeated"], true);
    assert_eq!(again["identity"], first["identity"]);
    assert_eq!(again["vertex"], first["vertex"]);
    let told = town.at_home(&send);
    assert!(told.contains("nothing was sent twice"), "{told}");
    // What was signed keeps its time, and that is said.
    let told = town.at_home(&[&send[..], &["--valid-minutes", "60"]].concat());
    assert!(
        told.contains("without --valid-minutes: it expires 20"),
        "{told}"
    );
    let identity = first["identity"].as_str().unwrap();
    let from = format!("sender     {}", town.accounts[0]);
    town.tells(
        &receipt,
        identity,
        &[&from, "amount     123.45", "hash       sha256:"],
    );

    let list = ["tx", "list", "--wallet", text(&chiyo)];
    let sent = town.json(&list);
    assert_eq!(sent["available"], "876.55");
    let sent = sent["transfers"].as_array().unwrap();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(
        (&sent[0]["state"]["code"], &sent[0]["direction"]),
        (&"pending".into(), &"out".into())
    );

    let waiting = town.at_home(&["tx", "list", "--wallet", text(&yosa), "--incoming"]);
    assert!(
        waiting.contains("(受取待ち), sequenced") && waiting.contains(identity),
        "{waiting}"
    );
    let taken = town.file("taken.receipt");
    let accept = [
        "tx",
        "accept",
        identity,
        "--wallet",
        text(&yosa),
        "--receipt",
        text(&taken),
    ];
    let told = town.at_home(&accept);
    assert!(
        told.starts_with("accepted") && told.contains("123.45 after it"),
        "{told}"
    );
    town.holds(&taken, "accept");
    let answer = "answer     accepted by its receiver";
    town.tells(&taken, identity, &[&from, "amount     123.45", answer]);
    let got = town.json(&["tx", "list", "--wallet", text(&yosa)]);
    let got = got["transfers"].as_array().unwrap();
    assert_eq!(got.len(), 1, "{got:?}");
    let (state, by) = (&got[0]["state"]["code"], &got[0]["by"]);
    assert_eq!((state, by), (&"complete".into(), &"receiver".into()));
    assert_eq!(
        (&got[0]["direction"], &got[0]["amount"], &got[0]["finality"]),
        (&"in".into(), &"123.45".into(), &"settled".into())
    );
    // The receiver opens what was sealed for them, at their own home; the sender sees that there is something.
    let mine = ["tx", "show", identity, "--private", "--wallet", text(&yosa)];
    let told = town.at_home(&mine);
    for word in ["おいしかったです", "葱を十本", "完了"] {
        assert!(told.contains(word), "{word} is not in\n{told}");
    }
    let told = town.at_home(&["tx", "show", identity, "--wallet", text(&chiyo)]);
    assert!(told.contains("sealed for its receiver"), "{told}");
    let nobody = format!("sha256:{}", "0".repeat(64));
    let (code, told) = town.ask(&["tx", "show", &nobody, "--wallet", text(&chiyo)]);
    assert!(
        code == 1 && told.contains("no such transfer is known here"),
        "{told}"
    );
    let told = town.at_home(&accept);
    assert!(
        told.contains("answered already") && told.contains("完了"),
        "{told}"
    );
    // The opposite is not taken for done.
    let (code, told) = town.ask(&["tx", "reject", identity, "--wallet", text(&yosa)]);
    assert!(
        code == 1 && told.contains("nothing was rejected") && told.contains("完了"),
        "{told}"
    );
    // Whom it is not for learns nothing of it.
    let (code, told) = town.ask(&["tx", "accept", identity, "--wallet", text(&chiyo)]);
    assert!(code == 1 && told.contains("unknown-transfer"), "{told}");

    let genesis = town.city.data.genesis();
    for (wallet, kind) in [(&chiyo, "transfer"), (&yosa, "accept")] {
        let out = town.file(&format!("{kind}.again"));
        let fetch = [
            "tx",
            "receipt",
            identity,
            "--wallet",
            text(wallet),
            "--out",
            text(&out),
        ];
        let told = town.at_home(&[&fetch[..], &["--genesis", text(&genesis)]].concat());
        assert!(
            told.contains("and it holds") && told.contains("complete"),
            "{told}"
        );
        town.holds(&out, kind);
    }
    assert_eq!(
        fs::read(town.file("accept.again")).unwrap(),
        fs::read(&taken).unwrap()
    );
    let shown = [
        "tx",
        "show",
        text(&receipt),
        "--genesis",
        text(&genesis),
        "--open",
        text(&yosa),
    ];
    assert!(town.good(&shown).contains("おいしかったです"));

    let data = text(town.city.data.path()).to_owned();
    let listed = town.good(&["account", "list", "--data-dir", &data, "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["count"], 2, "{listed}");
    let of = |account: &AccountId| {
        let all = listed["accounts"].as_array().unwrap();
        all.iter()
            .find(|one| one["account"] == account.to_string())
            .unwrap()
            .clone()
    };
    assert_eq!(of(&town.accounts[0])["available"], "876.55");
    assert_eq!(of(&town.accounts[1])["available"], "123.45");
    assert_eq!(of(&town.accounts[1])["alg"], "ml-dsa-87");
    town.node.check().await;

    // After a move to a new box nobody gives people's certificates back but they themselves.
    town.node.signal("-TERM");
    town.node.end().await;
    fs::remove_dir_all(town.city.data.clients()).unwrap();
    town.node = town.city.ready().await;
    let order = ["account", "order", "set", "--wallet", text(&yosa)];
    let (code, told) = town.ask(&order);
    assert!(code == 1 && told.contains("--certificate FILE"), "{told}");
    let pem = town.file("yosa.pem");
    town.at_home(&[&order[..], &["--certificate", text(&pem)]].concat());
    town.at_home(&["account", "order", "stop", "--wallet", text(&yosa)]);
    town.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wallet_may_stay_where_there_is_no_network() {
    let town = Town::with_two_people().await;
    town.grant();
    let page = town.file("home.json");
    fs::write(&page, town.at_home(&["account", "policy", "--json"])).unwrap();
    let policy = town.at_home(&["account", "policy"]);
    assert!(
        policy.contains("at least plausible, proven within 5 minutes"),
        "{policy}"
    );
    assert!(policy.contains("a receiver has 180 days"), "{policy}");

    let draft = town.draft("d.json", "1.00", &["--home", text(&page)]);
    let (place, signed) = (town.file("place.json"), town.file("signed.json"));
    let told = town.at_home(&["tx", "place", text(&draft), "--out", text(&place)]);
    assert!(told.contains("place plausible in 17201"), "{told}");
    let wallet = town.file("chiyo.wallet");
    let sign = [
        "tx",
        "sign",
        text(&draft),
        "--wallet",
        text(&wallet),
        "--proof",
        text(&place),
        "--out",
        text(&signed),
    ];
    let (code, told) = run(town.root.path(), &sign);
    assert!(code == 1 && told.contains("--sequence"), "{told}");
    let numbered = [&sign[..], &["--sequence", "1"]].concat();
    let told = town.good(&numbered);
    assert!(told.contains("send it within ten minutes"), "{told}");
    let told = town.at_home(&["tx", "send", text(&signed)]);
    assert!(
        told.starts_with("booked") && told.contains("999.00 after it"),
        "{told}"
    );
    assert!(
        town.at_home(&["tx", "send", text(&signed)])
            .contains("nothing was sent twice")
    );

    // Another wallet signs nothing that is not its own; another draft's proof proves nothing here.
    let other = town.file("yosa.wallet");
    let foreign = [
        "tx",
        "sign",
        text(&draft),
        "--wallet",
        text(&other),
        "--proof",
        text(&place),
        "--out",
        "-",
        "--sequence",
        "2",
    ];
    let (code, told) = run(town.root.path(), &foreign);
    assert!(
        code == 1 && told.contains("name the other wallet"),
        "{told}"
    );
    let second = town.draft(
        "e.json",
        "1.00",
        &["--home", text(&page), "--sequence", "2"],
    );
    let wrong = [
        "tx",
        "sign",
        text(&second),
        "--wallet",
        text(&wallet),
        "--proof",
        text(&place),
        "--out",
        "-",
    ];
    let (code, told) = run(town.root.path(), &wrong);
    assert!(
        code == 1 && told.contains("another account or transfer"),
        "{told}"
    );

    // What was signed and kept, and is too old by now or never arrived, is signed anew when the draft is sent again.
    let stale = town.file("e.json.signed");
    let gone = fs::read_to_string(&signed).unwrap();
    fs::write(&stale, gone).unwrap();
    let send = ["tx", "send", text(&second), "--wallet", text(&wallet)];
    let (code, told) = town.ask(&send);
    assert!(code == 1 && told.contains("move it away"), "{told}");
    fs::remove_file(&stale).unwrap();
    let told = town.at_home(&send);
    assert!(told.contains("998.00 after it"), "{told}");
    assert!(stale.exists(), "what was signed is kept");
    town.node.check().await;

    // The home goes away: nothing is accepted, the draft stays.
    let third = town.draft("f.json", "1.00", &["--home", text(&page)]);
    let home = town.home();
    let home: Vec<&str> = home.iter().map(String::as_str).collect();
    let (root, node) = town.into_stopping();
    node.stop().await;
    let send = ["tx", "send", text(&third), "--wallet", text(&wallet)];
    let (code, told) = run(root.path(), &[&send[..], &home].concat());
    assert!(code == 1 && told.contains("home-unreachable"), "{told}");
    assert!(told.contains("nothing was accepted"), "{told}");
    assert!(third.exists());
}

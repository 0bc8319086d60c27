//! A person's wallet: made, copied on paper and back, enrolled; a message that only its receiver opens.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use city_node::client::person::{Order, Person, random};
use city_node::client::wallet::Wallet;
use city_node::engine::utc;
use city_node::keys::{Passphrase, load_kem_public, load_signing_public};
use city_node::pki::{Authority, ClientRequest, Validity};
use city_protocol::amount::Amount;
use city_protocol::ids::AccountId;
use zeroize::Zeroizing;

use super::daemon::city::{City, alone, directory};

const WORDS: &str = "correct horse battery";

/// `city-node account …` with the wallet's passphrase in a file; gives exit code and all that it said.
pub(super) fn run(root: &Path, arguments: &[&str]) -> (i32, String) {
    let words = root.join("words");
    fs::write(&words, WORDS).unwrap();
    fs::set_permissions(&words, fs::Permissions::from_mode(0o600)).unwrap();
    let needs = matches!(
        arguments,
        [
            "account",
            "create" | "show" | "enrol" | "rotate" | "revoke" | "recover",
            ..
        ] | ["tx", "sign" | "list" | "accept" | "receipt" | "show", ..]
    ) || arguments.contains(&"--wallet");
    let ran = Command::new(env!("CARGO_BIN_EXE_city-node"))
        .args(arguments)
        .args(needs.then_some("--passphrase-file"))
        .args(needs.then_some(words))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    (ran.status.code().unwrap(), told)
}

pub(super) fn good(root: &Path, arguments: &[&str]) -> String {
    let (code, told) = run(root, arguments);
    assert_eq!(code, 0, "{told}");
    told
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn passphrase() -> Passphrase {
    Passphrase::new(Zeroizing::new(WORDS.into())).unwrap()
}

pub(super) fn open(path: &Path) -> Wallet {
    Wallet::open(&fs::read(path).unwrap(), &passphrase()).unwrap()
}

#[test]
fn a_wallet_is_made_shown_and_brought_back_from_paper() {
    let root = directory();
    let root = root.path();
    for suite in ["dilithium5-ntru", "fips"] {
        let wallet = root.join(format!("{suite}.wallet"));
        let create = [
            "account",
            "create",
            "--out",
            text(&wallet),
            "--suite",
            suite,
        ];
        let told = good(root, &create);
        assert!(told.contains("Make a backup now"), "{told}");
        assert_eq!(
            fs::metadata(&wallet).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let (code, told) = run(root, &create);
        assert!(code == 1 && told.contains("not overwritten"), "{told}");
        let keys = open(&wallet);
        let public = load_signing_public(&root.join(format!("{suite}.wallet.pub"))).unwrap();
        assert_eq!(public, *keys.signing_public());
        let public = load_kem_public(&root.join(format!("{suite}.wallet.kem.pub"))).unwrap();
        assert_eq!(public, *keys.kem_public());
        let told = good(root, &["account", "show", text(&wallet), "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            (&shown["schema"], &shown["suite"]),
            (&1.into(), &suite.into())
        );

        let drawn = good(root, &["account", "backup", text(&wallet)]);
        assert!(drawn.contains("code 1 of") && drawn.contains('█'));
        let texts = good(root, &["account", "backup", text(&wallet), "--texts"]);
        let mut lines: Vec<&str> = texts.lines().collect();
        lines.reverse();
        let (scanned, again) = (root.join("scanned"), root.join(format!("{suite}.again")));
        fs::write(&scanned, lines.join("\n")).unwrap();
        good(
            root,
            &["account", "restore", text(&scanned), "--out", text(&again)],
        );
        assert_eq!(fs::read(&again).unwrap(), fs::read(&wallet).unwrap());
        fs::write(&scanned, lines[1..].join("\n")).unwrap();
        let (code, told) = run(
            root,
            &["account", "restore", text(&scanned), "--out", text(&again)],
        );
        assert!(code == 1 && told.contains("are missing"), "{told}");
    }
}

/// At a terminal the passphrase is asked for twice and not shown.
#[test]
fn a_passphrase_is_asked_for_at_a_terminal() {
    if Command::new("script").arg("--version").output().is_err() {
        println!("skipped: no script (util-linux)");
        return;
    }
    let root = directory();
    let wallet = root.path().join("w");
    let binary = env!("CARGO_BIN_EXE_city-node");
    let at_terminal = |command: &str, typed: &str| {
        let mut child = Command::new("script")
            .args(["-qec", command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, typed.as_bytes()).unwrap();
        let ended = child.wait_with_output().unwrap();
        drop(input);
        let told = String::from_utf8(ended.stdout).unwrap();
        (ended.status.code().unwrap(), told)
    };
    let create = format!("{binary} account create --out {}", wallet.display());
    let (code, told) = at_terminal(&create, &format!("{WORDS}\n{WORDS}\n"));
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("New passphrase for the wallet"), "{told}");
    open(&wallet);
    let show = format!("{binary} account show {}", wallet.display());
    let (code, told) = at_terminal(&show, "another passphrase\n");
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("wrong passphrase"), "{told}");
    let (code, told) = at_terminal(&show, "short\n");
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("at least 12"), "{told}");
}

/// What the CA does with the two public files.
pub(super) fn certificate(city: &City, wallet: &Path, pem: &Path) -> AccountId {
    let keys = open(wallet);
    let account = AccountId::new(&city.report.log, &keys.signing_public().id());
    certify(city, wallet, &account, pem);
    account
}

/// The same for keys that an account of another key is to get.
fn certify(city: &City, wallet: &Path, account: &AccountId, pem: &Path) {
    let keys = open(wallet);
    let authority = Authority::open(&city.ca, None).unwrap();
    let validity = Validity::days(utc().minus_ms(60_000), 2);
    let request = ClientRequest {
        account,
        key: keys.signing_public(),
        kem: Some(keys.kem_public()),
    };
    let der = authority.issue_client(&request, validity).unwrap();
    let label = "CERTIFICATE";
    let text = der::pem::encode_string(label, Default::default(), &der).unwrap();
    fs::write(pem, text).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_gets_the_keys_of_another_wallet_is_closed_and_recovered() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let node = city.ready().await;
    let root = root.path();
    let file = |name: &str| -> PathBuf { root.join(name) };
    let url = format!("https://{}", node.address());
    let tls_root = city.data.tls_root();
    let home = ["--node", &url, "--tls-root", text(&tls_root)];
    let wallets = ["first", "second", "third"].map(|name| file(&format!("{name}.wallet")));
    let pems = ["first", "second", "third"].map(|name| file(&format!("{name}.pem")));
    for (wallet, suite) in wallets.iter().zip(["dilithium5-ntru", "fips", "fips"]) {
        let create = ["account", "create", "--suite", suite, "--out", text(wallet)];
        good(root, &create);
    }
    let account = certificate(&city, &wallets[0], &pems[0]);
    let id = account.to_string();
    let enrol = [
        "account",
        "enrol",
        text(&wallets[0]),
        "--certificate",
        text(&pems[0]),
    ];
    let enrolled = good(root, &[&enrol[..], &home, &["--json"]].concat());
    assert!(enrolled.contains(r#""finality":"sequenced""#), "{enrolled}");
    let show = |wallet: &Path, more: &[&str]| {
        let show = ["account", "show", text(wallet)];
        run(root, &[&show[..], &home, more].concat())
    };
    let (code, told) = show(&wallets[0], &[]);
    assert_eq!(code, 0, "{told}");
    for word in [
        id.as_str(),
        "available    0.00 愛貨",
        "next number  1",
        "the one that it was opened with",
    ] {
        assert!(told.contains(word), "{word} is not in\n{told}");
    }

    // Over to the other suite.
    certify(&city, &wallets[1], &account, &pems[1]);
    let rotate = [
        "account",
        "rotate",
        text(&wallets[0]),
        "--to",
        text(&wallets[1]),
    ];
    let rotate = [&rotate[..], &["--certificate", text(&pems[1])], &home].concat();
    let told = good(root, &rotate);
    assert!(told.contains("booked.") && told.contains(&id), "{told}");
    assert!(told.contains("finality   sequenced"), "{told}");
    let told = good(root, &rotate);
    assert!(told.contains("was booked already"), "{told}");

    // The new keys have an account of another name: who forgets that is told.
    let (code, told) = show(&wallets[1], &[]);
    assert!(code == 1 && told.contains("--account"), "{told}");
    let (code, told) = show(&wallets[1], &["--account", &id]);
    assert!(code == 0 && told.contains("next number  2"), "{told}");
    let (code, told) = show(&wallets[1], &["--account", &id, "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (code, &shown["account"]),
        (0, &id.as_str().into()),
        "{told}"
    );

    // The phone is lost; the second wallet closes the account, and does so once.
    let revoke = [
        "account",
        "revoke",
        text(&wallets[1]),
        "--reason",
        "紛失",
        "--account",
        &id,
    ];
    let revoke = [&revoke[..], &home].concat();
    assert!(good(root, &revoke).contains("is closed"));
    let (code, told) = run(root, &revoke);
    assert_eq!(code, 1, "{told}");

    // The officer stands before the person, and gives the account new keys.
    certify(&city, &wallets[2], &account, &pems[2]);
    let (body, key, signature) = (file("recover.json"), file("officer.key"), file("1.json"));
    let recover = ["account", "recover", text(&wallets[2]), "--account", &id];
    let more = [
        "--certificate",
        text(&pems[2]),
        "--reason",
        "本人確認済み",
        "--out",
        text(&body),
    ];
    let told = good(root, &[&recover[..], &more, &home].concat());
    assert!(told.contains("1 of 2 officers sign it"), "{told}");
    city_node::keys::save_signing(&key, &city.officers[0]).unwrap();
    let sign = [
        "officers",
        "sign",
        text(&body),
        "--key",
        text(&key),
        "--out",
        text(&signature),
    ];
    good(root, &sign);
    let submit = ["officers", "submit", text(&body), text(&signature)];
    let (code, told) = run(root, &[&submit[..], &home].concat());
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("--certificate"), "{told}");
    let submit = [&submit[..], &["--certificate", text(&pems[2])], &home].concat();
    assert!(good(root, &submit).contains("booked."));
    assert!(good(root, &submit).contains("was booked already"));

    let api = city.api(&node);
    let page = api.node().await.unwrap();
    let (signing, kem) = open(&wallets[2]).into_keys();
    let person = Person::new(signing, kem, &page).of_account(account);
    api.login(&person).await.unwrap();
    let shown = api.account(&account).await.unwrap();
    assert_eq!(
        (shown.key, shown.revoked),
        (person.signing().public().id(), false)
    );
    node.check().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_opens_its_account_and_the_message_that_was_sealed_for_it() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let _line = city.plug_in(Vec::new);
    let node = city.ready().await;
    node.until("its place", |status| status.place.satisfies_policy)
        .await;
    let root = root.path();
    let wallet = |name: &str| -> PathBuf { root.join(format!("{name}.wallet")) };
    let url = format!("https://{}", node.address());
    let tls_root = city.data.tls_root();
    let mut accounts = Vec::new();
    for name in ["chiyo", "yosa"] {
        let file = wallet(name);
        good(root, &["account", "create", "--out", text(&file)]);
        let pem = root.join(format!("{name}.pem"));
        accounts.push(certificate(&city, &file, &pem));
        let enrol = [
            "account",
            "enrol",
            text(&file),
            "--node",
            &url,
            "--tls-root",
            text(&tls_root),
            "--certificate",
            text(&pem),
        ];
        let told = good(root, &enrol);
        assert!(told.contains("is booked."), "{told}");
        assert!(
            told.contains(&accounts.last().unwrap().to_string()),
            "{told}"
        );
        let told = good(root, &enrol);
        assert!(told.contains("was booked already"), "{told}");
    }
    let api = city.api(&node);
    let home = api.node().await.unwrap();
    let yosa = open(&wallet("yosa")).kem_public().clone();
    let (signing, kem) = open(&wallet("chiyo")).into_keys();
    let chiyo = Person::new(signing, kem, &home);
    api.login(&chiyo).await.unwrap();
    city.grant(&api, &chiyo, 1000).await.unwrap();
    api.login(&chiyo).await.unwrap();
    let mut order = Order::new(accounts[1], &home, Amount::from_hundredths(100));
    order.sequence = api.account(&chiyo.account()).await.unwrap().next_sequence;
    order.created_at = utc();
    (order.subject, order.details, order.location) = ("野菜".into(), "葱".into(), "市場".into());
    order.message = Some((yosa, "昨日の葱、おいしかったです".into()));
    let place = api
        .place(&chiyo.account(), &order.transfer_id, &random())
        .await
        .unwrap();
    order.proof_of_place = place.digest;
    let (signed, _) = chiyo.transfer(&order).unwrap();
    let done = api.transfer(&signed).await.unwrap();
    assert!(!done.repeated);
    assert!(
        api.transfer(&signed).await.unwrap().repeated,
        "after a time-out"
    );
    let receipt = root.join("receipt.cbor");
    fs::write(&receipt, &done.receipt).unwrap();
    let genesis = city.data.genesis();
    let show = ["tx", "show", text(&receipt), "--genesis", text(&genesis)];
    let told = good(root, &show);
    assert!(
        told.contains("sealed for the key") && !told.contains("おいしかった"),
        "{told}"
    );
    let opened = good(
        root,
        &[&show[..], &["--open", text(&wallet("yosa"))]].concat(),
    );
    assert!(opened.contains("昨日の葱、おいしかったです"), "{opened}");
    let (code, told) = run(
        root,
        &[&show[..], &["--open", text(&wallet("chiyo"))]].concat(),
    );
    assert_eq!(code, 4, "{told}");
    assert!(told.contains("another key"), "{told}");
    node.stop().await;
}

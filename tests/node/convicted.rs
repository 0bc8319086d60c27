//! 金沢市 signs twice, its officers begin an epoch, and life goes on: everything that can be asked of a ledger holds on its own node
//! and on its neighbour's, before and after pruning, and what it exports is taken by who knew it before.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;

use city_node::engine::utc;
use city_node::keys;
use city_node::setup::load_identity;
use city_node::store::{Position, Store, StoreOptions};
use city_protocol::body::{Kind, Start};
use city_protocol::client::officer;
use city_protocol::crypto::Signer;
use city_protocol::ids::{BlockId, Digest, LogId};
use city_protocol::vertex::{Entry, SignedHeader, encode_body, merkle_root};
use serde_json::Value;

use super::daemon::city::{City, directory, found};
use super::prune::sent;

/// Runs it on a data directory, expects this exit code, and gives all that it said.
#[track_caller]
fn check(data: &Path, arguments: &[&str], code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
    let ran = command.args(arguments).arg("--data-dir").arg(data);
    let ran = ran.output().unwrap();
    let told = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {told}");
    told
}

/// The heads of all logs, without what is only known here.
#[track_caller]
fn heads(data: &Path) -> Vec<Value> {
    let told = check(data, &["ledger", "heads", "--json"], 0);
    let page: Value = serde_json::from_str(&told).unwrap();
    let heads = page["heads"].as_array().unwrap().iter();
    let of = |head: &Value| ["log", "epoch", "seq", "head"].map(|name| head[name].clone());
    heads.map(|head| Value::Array(of(head).to_vec())).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

/// Another vertex in the place of the newest of its log, in the stored ledger: header before body, as what came from elsewhere.
fn sign_twice(city: &City) {
    let identity = load_identity(&city.data).unwrap();
    let network = city.report.network;
    let (store, _) = Store::open(city.data.path(), network, StoreOptions::new()).unwrap();
    let blocks = store.blocks_from(Position::START);
    let headers = blocks.filter_map(|block| SignedHeader::read(&block.unwrap().bytes).ok());
    let own = headers.filter(|header| header.header.log == city.report.log);
    let last = own.max_by_key(|header| header.header.seq).unwrap();
    let start = Start {
        v: 1,
        software: "another run".into(),
        clock: "ntp".into(),
        trust: None,
    };
    let start = city_protocol::codec::encode(&start);
    let entries = [Entry::home_authored(Kind::Start, start)];
    let body = encode_body(&entries);
    let mut header = last.header.clone();
    (header.count, header.body) = (1, BlockId::of(&body));
    header.entries_root = Digest(merkle_root(&[entries[0].leaf()]));
    let (id, header) = (header.body, SignedHeader::sign(header, &*identity.signer));
    let group = [(header.id, &header.block[..]), (id, &body[..])];
    store.append_group(&group).unwrap();
    store.close().unwrap();
}

/// The officers end the epoch where the log counts, and begin the next.
fn begin_epoch(city: &City, root: &Path) {
    let at = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let (key, body, signature) = (at("officer.key"), at("epoch.json"), at("epoch.sig.json"));
    keys::save_signing(Path::new(&key), &city.officers[0]).unwrap();
    let data = city.data.path();
    let propose = ["epoch", "propose", "--reason", "二重署名", "--out", &body];
    check(data, &propose, 0);
    let mut sign = Command::new(env!("CARGO_BIN_EXE_city-node"));
    sign.args([
        "officers", "sign", &body, "--key", &key, "--out", &signature,
    ]);
    assert!(sign.status().unwrap().success());
    check(data, &["epoch", "begin", &body, &signature], 0);
}

/// Everything holds that can be asked of a ledger.
#[track_caller]
fn holds(data: &Path) {
    check(data, &["store", "verify"], 0);
    check(data, &["journal", "verify"], 0);
    let before = heads(data);
    check(data, &["store", "rebuild"], 0);
    assert_eq!(heads(data), before, "made again, it is the same");
}

fn epoch_of(status: &city_node::admin::pages::Status, log: LogId) -> u64 {
    let mut heads = status.frontier.iter();
    heads
        .find(|head| head.log == log)
        .map_or(0, |head| head.epoch)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_conviction_everything_that_can_be_asked_of_a_ledger_holds() {
    let root = directory();
    let mut cities = found(root.path(), 2);
    let _line = cities[0].plug_in(Vec::new);
    let [kanazawa, komatsu] = &cities[..] else {
        unreachable!()
    };
    let log = kanazawa.report.log;
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    a.until("a place", |status| status.place.satisfies_policy)
        .await;
    let api = kanazawa.api(&a);
    let haruko = kanazawa.rich(&api, 1_000).await;
    let yosa = kanazawa.citizen(&api).await;
    let page = api.node().await.unwrap();
    let back = officer::ungrant(
        &page,
        haruko.account(),
        "1.00".parse().unwrap(),
        "誤付与",
        utc(),
    );
    let officers: [&dyn Signer; 1] = [&kanazawa.officers[0]];
    let back = officer::sign_together(&back.unwrap(), &officers).unwrap();
    api.decided("/send/api/ungrants", &back).await.unwrap();
    api.login(&haruko).await.unwrap();
    for _ in 0..2 {
        sent(&api, &haruko, &yosa, true).await;
    }
    let data = kanazawa.data.path().to_owned();
    check(&data, &["note", "add", "掲示", "これから二度署名します"], 0);
    let same = heads(&data);
    let now = utc();
    while heads(komatsu.data.path()) != same {
        assert!(utc().since(now) < 30_000, "小松市 has all of it");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    a.stop().await;
    b.stop().await;
    // 10.00 granted, 1.00 taken back: nothing was made or lost.
    assert!(check(&data, &["journal", "verify"], 0).contains("taken back 1.00"));
    let before = root.path().join("before");
    copy(komatsu.data.path(), &before);

    sign_twice(kanazawa);
    begin_epoch(kanazawa, root.path());
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    b.until("the next epoch", |status| epoch_of(status, log) == 2)
        .await;
    a.until("a place, and booking", |status| {
        status.place.satisfies_policy && status.sequencing
    })
    .await;
    let api = kanazawa.api(&a);
    api.login(&haruko).await.unwrap();
    sent(&api, &haruko, &yosa, true).await;
    check(&data, &["ledger", "checkpoint", "make"], 0);
    let same = heads(&data);
    let now = utc();
    while heads(komatsu.data.path()) != same {
        assert!(utc().since(now) < 30_000, "小松市 has all of it again");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    a.stop().await;
    b.stop().await;

    // Whoever knew the log before takes the whole export of either, with the proof that is in it.
    for (who, from) in [
        ("金沢市", &data),
        ("小松市", &komatsu.data.path().to_owned()),
    ] {
        let car = root.path().join(format!("{who}.car"));
        let to = root.path().join(who);
        check(from, &["store", "export", text(&car)], 0);
        copy(&before, &to);
        // 小松市 heard only of the epoch.
        let proves = from == &data;
        if proves {
            let told = check(&to, &["store", "import", text(&car)], 4);
            assert!(told.contains("--with-faults"), "{told}");
        }
        check(&to, &["store", "import", text(&car), "--with-faults"], 0);
        let of_kanazawa = |heads: Vec<Value>| -> Vec<Value> {
            let heads = heads.into_iter();
            heads.filter(|head| head[0] == log.to_string()).collect()
        };
        assert_eq!(of_kanazawa(heads(&to)), of_kanazawa(heads(from)), "{who}");
    }
    let told = root.path().join("金沢市");
    for at in [&data, &told, &komatsu.data.path().to_owned()] {
        // It holds both branches whole; who imported them has the other as the header that proves it.
        let verified = check(at, &["store", "verify"], 0);
        let forked = verified.contains("stand beside another one");
        assert_eq!(forked, *at == data, "{verified}");
        holds(at);
        let kept = heads(at);
        let archive = at.with_extension("old.car");
        let day = jiff::Timestamp::now().to_string();
        let prune = ["ledger", "prune", "--before", &day, "--export"];
        let said = check(at, &[&prune[..], &[text(&archive)]].concat(), 0);
        assert!(!said.contains("nothing to prune"), "{said}");
        assert_eq!(heads(at), kept, "{}", at.display());
        holds(at);
        check(at, &["store", "import", text(&archive)], 0);
        holds(at);
    }
    for at in [&data, &told] {
        let listed = check(at, &["ledger", "equivocation", "list"], 0);
        assert!(listed.contains("17201"), "{listed}");
    }
}

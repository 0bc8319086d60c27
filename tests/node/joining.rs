//! 金沢市 and 小松市 pruned what 春子 paid 与謝, and nobody has it as they signed it. 白山市 joins with a file of 小松市's in which stubs
//! stand for it, and says so until the bodies come. Files that lie are refused.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use city_node::store::{ArchiveError, ArchiveReader, OsFiles, car};
use city_protocol::amount::Amount;
use city_protocol::ids::BlockId;
use city_protocol::vertex::{EntryStub, SentStub, SignedHeader, Stub};
use serde_json::{Value, json};

use crate::daemon::city::{City, directory, found, in_step};
use crate::prune::sent;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn city_node(data: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_city-node"))
        .args(arguments)
        .arg("--data-dir")
        .arg(data)
        .env("TZ", "UTC")
        .env("LC_ALL", "en_US.UTF-8")
        .output()
        .unwrap()
}

#[track_caller]
fn told(data: &Path, arguments: &[&str], code: i32) -> String {
    let ran = city_node(data, arguments);
    let told = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {told}");
    told
}

#[track_caller]
fn answer(data: &Path, arguments: &[&str]) -> Value {
    let ran = city_node(data, &[arguments, &["--json"]].concat());
    assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    serde_json::from_slice(&ran.stdout).unwrap()
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

type Blocks = Vec<(BlockId, Vec<u8>)>;

fn blocks(file: &Path) -> Blocks {
    let mut blocks = Vec::new();
    let reader = ArchiveReader::open(&OsFiles, file).unwrap();
    reader
        .each(|block| {
            blocks.push((block.id, block.bytes));
            Ok::<(), ArchiveError>(())
        })
        .unwrap();
    blocks
}

fn write(file: &Path, blocks: &Blocks) {
    let mut bytes = car::header(&blocks[0].0);
    for (id, block) in blocks {
        car::push_section(&mut bytes, id, block);
    }
    fs::write(file, bytes).unwrap();
}

/// The same file with another stub in the place of the first that says that something was sent.
fn changed(blocks: &Blocks, change: impl Fn(&mut Stub)) -> Blocks {
    let mut blocks = blocks.clone();
    let sends = |(_, block): &&mut (BlockId, Vec<u8>)| {
        Stub::read(block).is_ok_and(|mut stub| sent_in(&mut stub).is_some())
    };
    let place = blocks.iter_mut().find(sends).unwrap();
    let mut stub = Stub::read(&place.1).unwrap();
    change(&mut stub);
    let block = stub.to_block();
    *place = (BlockId::of(&block), block);
    blocks
}

fn sent_in(stub: &mut Stub) -> Option<&mut SentStub> {
    stub.entries.iter_mut().find_map(|entry| match entry {
        EntryStub::Transfer(sent) => Some(sent),
        _ => None,
    })
}

/// What is left of a file without this vertex and all that rests on it.
fn without(blocks: &Blocks, vertex: &str) -> Blocks {
    let mut gone: HashSet<BlockId> = [vertex.parse().unwrap()].into();
    let mut left = blocks.clone();
    loop {
        let before = left.len();
        left.retain(|(id, block)| {
            let links = SignedHeader::read(block).map_or_else(
                |_| Vec::new(),
                |header| [&[header.header.prev], &header.header.parents[..]].concat(),
            );
            let stays = !gone.contains(id) && links.iter().all(|link| !gone.contains(link));
            if !stays {
                gone.insert(*id);
            }
            stays
        });
        if left.len() == before {
            return left;
        }
    }
}

/// What the books of 金沢市 say, as one that has its log reads them.
fn books(data: &Path, people: &[String]) -> Vec<Value> {
    let verified = answer(data, &["journal", "verify"]);
    assert_eq!(verified["ok"], true, "{verified}");
    let mut books = vec![answer(data, &["journal", "statement", "--log", "17201"])];
    books.extend(
        people
            .iter()
            .map(|account| answer(data, &["account", "statement", account])),
    );
    books
}

/// How 金沢市's log stands here.
fn head(data: &Path, of: &City) -> Value {
    let page = answer(data, &["ledger", "heads"]);
    let log = of.report.log.to_string();
    let mut heads = page["heads"].as_array().unwrap().iter();
    heads.find(|head| head["log"] == log).unwrap().clone()
}

/// What was there when 白山市 came.
pub(crate) struct Pruned {
    root: tempfile::TempDir,
    pub(crate) cities: Vec<City>,
    people: Vec<String>,
    /// 金沢市's and 白山市's directories from before they ran.
    fresh: [PathBuf; 2],
    /// 金沢市's bodies.
    archive: PathBuf,
    /// 小松市's whole ledger with stubs.
    pub(crate) file: PathBuf,
    /// The vertex of 金沢市's checkpoint, and the position that it names.
    checkpoint: (String, u64),
    haruko: city_node::client::person::Person,
    yosa: city_node::client::person::Person,
}

pub(crate) async fn pruned_everywhere() -> Pruned {
    let root = directory();
    let mut cities = found(root.path(), 3);
    let path = |name: &str| root.path().join(name);
    let fresh = [path("kanazawa"), path("hakusan")];
    for (city, fresh) in [0, 2].into_iter().zip(&fresh) {
        copy(cities[city].data.path(), fresh);
    }
    let line = cities[0].plug_in(Vec::new);
    let [kanazawa, komatsu, _] = &cities[..] else {
        unreachable!()
    };
    let (a, b) = (kanazawa.ready().await, komatsu.ready().await);
    a.until("a place", |status| status.place.satisfies_policy)
        .await;
    let api = kanazawa.api(&a);
    let haruko = kanazawa.rich(&api, 1000).await;
    let yosa = kanazawa.citizen(&api).await;
    api.login(&haruko).await.unwrap();
    for taken in [true, true, false] {
        sent(&api, &haruko, &yosa, taken).await;
        // A vertex of its own.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let made = answer(kanazawa.data.path(), &["ledger", "checkpoint", "make"]);
    in_step(&[&a, &b]).await;
    a.stop().await;
    b.stop().await;
    drop(line);
    let now = jiff::Timestamp::now().to_string();
    let (archive, file) = (path("kanazawa.car"), path("stubs.car"));
    for (city, to) in [(kanazawa, &archive), (komatsu, &path("komatsu.car"))] {
        let arguments = ["ledger", "prune", "--before", &now, "--export", text(to)];
        assert_eq!(answer(city.data.path(), &arguments)["bodies"], 4);
    }
    let export = ["store", "export", "--stubs", text(&file)];
    let exported = answer(komatsu.data.path(), &export);
    assert_eq!(exported["stubs"], 4, "{exported}");
    assert_eq!(exported["outside"].as_array().unwrap().len(), 4);
    let vertex = made["vertex"].as_str().unwrap().to_owned();
    let seq = made["seq"].as_u64().unwrap();
    let people = [&haruko, &yosa].map(|person| person.account().to_string());
    Pruned {
        people: people.into(),
        checkpoint: (vertex, seq),
        root,
        cities,
        fresh,
        archive,
        file,
        haruko,
        yosa,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_where_all_pruned_says_what_it_trusts_until_the_bodies_come() {
    let mut story = pruned_everywhere().await;
    let path = |name: &str| story.root.path().join(name);
    let line = story.cities[0].plug_in(Vec::new);
    let [kanazawa, komatsu, hakusan] = &story.cities[..] else {
        unreachable!()
    };
    let (here, log) = (hakusan.data.path(), kanazawa.report.log.to_string());
    let (vertex, seq) = &story.checkpoint;
    let import = ["store", "import", text(&story.file)];
    let trusting = [&import[..], &["--trust-checkpoints"]].concat();
    let archived = ["store", "import", text(&story.archive)];

    // Nobody trusts by mistake.
    let why = told(here, &import, 4);
    assert!(
        why.contains("missing-block") && why.contains("--trust-checkpoints"),
        "{why}"
    );
    assert!(!here.join("TRUSTED").exists());
    let came = answer(here, &trusting);
    let trusted = json!([{"log": log, "bodies": 4, "epoch": 1, "seq": seq, "vertex": vertex}]);
    assert_eq!(came["trusted"], trusted, "{came}");
    let mark = fs::read_to_string(here.join("TRUSTED")).unwrap();
    let begins = format!("log {log} epoch 1 seq {seq} vertex {vertex} at ");
    assert!(mark.starts_with(&begins), "{mark}");
    let again = answer(here, &trusting);
    assert_eq!(
        (&again["logs"], &again["trusted"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(fs::read_to_string(here.join("TRUSTED")).unwrap(), mark);

    // It says so, and has what the others have.
    assert_eq!(head(here, kanazawa)["trusted_up_to"], *seq);
    let told_of = format!("up to seq {seq}");
    assert!(told(here, &["ledger", "heads"], 0).contains(&told_of));
    assert!(told(here, &["store", "verify"], 0).contains(&told_of));
    assert!(told(here, &["ledger", "verify"], 0).contains(&told_of));
    let decided = told(here, &["audit", "list"], 0);
    assert!(decided.contains("checkpoint-trust"), "{decided}");
    let theirs = books(kanazawa.data.path(), &story.people);
    assert_eq!(books(here, &story.people), theirs);
    let theirs = head(komatsu.data.path(), kanazawa);
    assert!(theirs["trusted_up_to"].is_null(), "who pruned saw it");
    for field in ["head", "seq", "entries"] {
        assert_eq!(head(here, kanazawa)[field], theirs[field], "{field}");
    }
    let proof = path("account.proof");
    let prove = ["ledger", "prove", &story.people[0], "--out", text(&proof)];
    told(here, &prove, 0);
    let genesis = hakusan.data.genesis();
    let verify = [
        "ledger",
        "verify-proof",
        text(&proof),
        "--genesis",
        text(&genesis),
    ];
    let verified = Command::new(env!("CARGO_BIN_EXE_city-node"))
        .args(verify)
        .output()
        .unwrap();
    assert!(verified.status.success(), "{verified:?}");
    // A backup remembers it, too, and a flipped digit is told.
    let backup = path("backup");
    told(here, &["store", "backup", text(&backup)], 0);
    assert_eq!(fs::read_to_string(backup.join("TRUSTED")).unwrap(), mark);
    fs::write(here.join("TRUSTED"), mark.replacen("seq ", "seq 1", 1)).unwrap();
    let why = told(here, &["store", "verify"], 4);
    assert!(why.contains("TRUSTED") && why.contains("damaged"), "{why}");
    told(here, &["ledger", "heads"], 1);
    told(here, &archived, 1);
    fs::write(here.join("TRUSTED"), &mark).unwrap();

    // It syncs on, and survives being killed.
    let a = kanazawa.ready().await;
    let b = komatsu.ready().await;
    let mut c = hakusan.ready().await;
    in_step(&[&a, &b, &c]).await;
    a.until("a place", |status| status.place.satisfies_policy)
        .await;
    let api = kanazawa.api(&a);
    api.login(&story.haruko).await.unwrap();
    sent(&api, &story.haruko, &story.yosa, true).await;
    in_step(&[&a, &b, &c]).await;
    let status = told(here, &["status"], 0);
    assert!(status.contains(&format!("trusted {told_of}")), "{status}");
    assert_eq!(head(here, kanazawa)["trusted_up_to"], *seq);
    c.signal("-KILL");
    c.end().await;
    let c = hakusan.ready().await;
    in_step(&[&a, &b, &c]).await;
    c.check().await;
    // Whoever runs hands them on, too.
    let second = path("second.car");
    let handed = answer(here, &["store", "export", "--stubs", text(&second)]);
    assert_eq!(handed["stubs"], 4, "{handed}");
    for node in [a, b, c] {
        node.stop().await;
    }
    drop(line);
    let theirs = books(kanazawa.data.path(), &story.people);
    assert_eq!(books(here, &story.people), theirs);
    let before = head(here, kanazawa);
    told(here, &["store", "rebuild"], 0);
    assert_eq!(head(here, kanazawa), before);
    assert_eq!(books(here, &story.people), theirs);
    told(here, &["ledger", "prune", "--dry-run"], 0);
    told(here, &["store", "compact"], 0);
    assert_eq!(head(here, kanazawa), before);

    // The bodies come, as people signed them.
    let came = answer(here, &archived);
    assert_eq!(
        (&came["bodies"], &came["borne_out"]),
        (&4.into(), &json!([log])),
        "{came}"
    );
    assert!(!here.join("TRUSTED").exists());
    assert!(head(here, kanazawa)["trusted_up_to"].is_null());
    assert!(!told(here, &["store", "verify"], 0).contains("trusted"));
    told(here, &["store", "rebuild"], 0);
    assert_eq!(books(here, &story.people), theirs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_lie_are_refused_and_what_was_cut_off_goes_on() {
    let story = pruned_everywhere().await;
    let path = |name: &str| story.root.path().join(name);
    let [kanazawa, _, hakusan] = &story.cities[..] else {
        unreachable!()
    };
    let here = hakusan.data.path();
    let honest = blocks(&story.file);
    let trust = |data: &Path, file: &Path, code: i32| {
        let arguments = ["store", "import", text(file), "--trust-checkpoints"];
        told(data, &arguments, code)
    };
    let check = |lie: Blocks, code: &str| {
        let file = path("lie.car");
        write(&file, &lie);
        for more in [&[][..], &["--with-faults"][..]] {
            let arguments = ["store", "import", text(&file), "--trust-checkpoints"];
            let why = told(here, &[&arguments[..], more].concat(), 4);
            assert!(why.contains(code), "{code}: {why}");
        }
        assert!(!here.join("TRUSTED").exists() && !here.join("import.tmp").exists());
    };
    let one = Amount::from_hundredths(1);
    check(
        changed(&honest, |stub| {
            let sent = sent_in(stub).unwrap();
            sent.amount = sent.amount.plus(one).unwrap();
        }),
        "bad-stub: transfer-mismatch",
    );
    check(
        changed(&honest, |stub| {
            for entry in &mut stub.entries {
                *entry = EntryStub::Place;
            }
        }),
        "bad-stub: unknown-transfer",
    );
    check(
        changed(&honest, |stub| stub.leaves[0].0[0] ^= 1),
        "bad-stub: bad-vertex",
    );
    check(without(&honest, &story.checkpoint.0), "no-checkpoint");
    let stats = answer(here, &["store", "stats"]);
    assert_eq!(stats["blocks"], 1, "the genesis block only: {stats}");
    // A node's own log is not taken on trust.
    let why = trust(&story.fresh[0], &story.file, 4);
    assert!(why.contains("own-log"), "{why}");

    // Who got the money, no checkpoint says: that comes out when the bodies come.
    let (believes, file) = (path("believes"), path("receiver.car"));
    copy(&story.fresh[1], &believes);
    let lie = changed(&honest, |stub| {
        let sent = sent_in(stub).unwrap();
        sent.receiver = sent.sender;
    });
    write(&file, &lie);
    trust(&believes, &file, 0);
    let why = told(&believes, &["store", "import", text(&story.archive)], 4);
    assert!(
        why.contains("stub-differs") && why.contains("NOT TRUE"),
        "{why}"
    );
    assert_eq!(answer(&believes, &["store", "stats"])["pruned"], 4);
    assert!(believes.join("TRUSTED").exists());

    // Cut off behind the mark, and in the middle of what was appended: the same command goes on.
    trust(here, &story.file, 0);
    let whole = head(here, kanazawa);
    let mark = fs::read_to_string(here.join("TRUSTED")).unwrap();
    let segment = fs::read(here.join("ledger/000001.car")).unwrap();
    for (n, share) in [0, 3, 5, 8].into_iter().enumerate() {
        let cut = path(&format!("cut{n}"));
        copy(&story.fresh[1], &cut);
        fs::write(cut.join("TRUSTED"), &mark).unwrap();
        if share > 0 {
            fs::create_dir_all(cut.join("ledger")).unwrap();
            let part = &segment[..segment.len() * share / 10];
            fs::write(cut.join("ledger/000001.car"), part).unwrap();
        }
        trust(&cut, &story.file, 0);
        assert_eq!(head(&cut, kanazawa), whole, "{share} tenths");
        assert_eq!(fs::read_to_string(cut.join("TRUSTED")).unwrap(), mark);
        told(&cut, &["store", "verify"], 0);
        let came = answer(&cut, &["store", "import", text(&story.archive)]);
        assert_eq!(came["bodies"], 4, "{came}");
        assert!(!cut.join("TRUSTED").exists());
    }
}

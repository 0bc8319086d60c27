//! Export and import as operators use them: by the binary, on nodes that run and that do not.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use city_node::store::{ArchiveReader, OsFiles, car};
use city_protocol::ids::BlockId;
use city_protocol::vertex::SignedHeader;
use serde_json::Value;

use crate::daemon::city::{City, Node, alone, directory, found};

pub(super) fn store(city: &City, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
    command
        .arg("store")
        .args(args)
        .arg("--data-dir")
        .arg(city.data.path());
    command.output().unwrap()
}

#[track_caller]
pub(super) fn json(city: &City, args: &[&str]) -> Value {
    let output = store(city, &[args, &["--json"]].concat());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// It is refused with this status; gives what it says.
#[track_caller]
pub(super) fn refused(city: &City, code: i32, args: &[&str]) -> String {
    let output = store(city, args);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
    told
}

fn blocks(file: &Path) -> Vec<(BlockId, Vec<u8>)> {
    let mut blocks = Vec::new();
    let reader = ArchiveReader::open(&OsFiles, file).unwrap();
    reader
        .each(|block| {
            blocks.push((block.id, block.bytes));
            Ok::<(), city_node::store::ArchiveError>(())
        })
        .unwrap();
    blocks
}

fn write(file: &Path, root: &BlockId, blocks: &[(BlockId, Vec<u8>)]) {
    let mut bytes = car::header(root);
    for (id, block) in blocks {
        car::push_section(&mut bytes, id, block);
    }
    fs::write(file, bytes).unwrap();
}

/// Its own log's position.
async fn seq_of(city: &City, node: &Node) -> u64 {
    let status = node.status().await;
    let own = status
        .frontier
        .iter()
        .find(|head| head.log == city.report.log);
    own.map_or(0, |head| head.seq)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_exports_another_takes_once_and_only_if_all_of_it_holds() {
    let root = directory();
    let cities = found(root.path(), 2);
    let [a, b] = &cities[..] else { unreachable!() };
    let path = |name: &str| root.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let node = a.ready().await;
    let api = a.api(&node);
    a.rich(&api, 100_000).await;
    a.citizen(&api).await;
    let running = json(a, &["export", &text("running.car")]);
    let stats = json(a, &["stats"]);
    assert_eq!(stats["logs"][0]["region"], "Asia/JP/17/17201");
    node.stop().await;

    let stopped = json(a, &["export", &text("stopped.car")]);
    assert_eq!(running["logs"], stopped["logs"]);
    assert_eq!(blocks(&path("running.car")), blocks(&path("stopped.car")));
    assert_eq!(stopped["outside"], serde_json::json!([]));
    let vertices = stopped["logs"][0]["vertices"].as_u64().unwrap();
    let head = stopped["logs"][0]["head"].as_str().unwrap().to_owned();
    assert_eq!(stopped["blocks"], 2 * vertices + 1);
    let stats = json(a, &["stats"]);
    assert_eq!(stats["logs"][0]["vertices"], vertices);
    assert_eq!(
        (&stats["dead_blocks"], &stats["blocks"]),
        (&0.into(), &stopped["blocks"])
    );
    // A file that is there stays as it is.
    let told = refused(a, 1, &["export", &text("stopped.car")]);
    assert!(told.contains("stopped.car"), "{told}");
    let range = json(
        a,
        &[
            "export",
            &text("range.car"),
            "--log",
            "Asia/JP/17/17201",
            "--from",
            "2",
        ],
    );
    assert_eq!(range["logs"][0]["vertices"], vertices - 1);
    assert_eq!(
        range["outside"].as_array().unwrap().len(),
        1,
        "what stands before it"
    );
    refused(a, 2, &["export", &text("x.car"), "--log", "nobody"]);
    refused(a, 1, &["export", &text("x.car"), "--from", "1000"]);
    assert!(!path("x.car").exists() && !path("x.car.tmp").exists());

    // Nothing of what does not hold comes in: a beginning that is missing, a flipped bit, a signature.
    let told = refused(b, 4, &["import", &text("range.car")]);
    assert!(told.contains("unknown-log"), "{told}");
    let mut flipped = fs::read(path("stopped.car")).unwrap();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(path("flipped.car"), flipped).unwrap();
    let told = refused(b, 4, &["import", &text("flipped.car")]);
    assert!(told.contains("bad-block"), "{told}");
    let mut forged = blocks(&path("stopped.car"));
    let last = forged
        .iter_mut()
        .find(|(id, _)| id.to_string() == head)
        .unwrap();
    assert!(SignedHeader::read(&last.1).is_ok());
    *last.1.last_mut().unwrap() ^= 1;
    last.0 = BlockId::of(&last.1);
    let bad = last.0.to_string();
    write(&path("forged.car"), &a.report.network, &forged);
    let told = refused(b, 4, &["import", &text("forged.car")]);
    assert!(
        told.contains("bad-signature") && told.contains(&bad),
        "{told}"
    );
    write(&path("other.car"), &BlockId::of(b"another"), &forged);
    let told = refused(b, 4, &["import", &text("other.car")]);
    assert!(told.contains("wrong-network"), "{told}");
    assert!(!b.data.path().join("import.tmp").exists());
    let stats = json(b, &["stats"]);
    assert_eq!(stats["blocks"], 1, "the genesis block only: {stats}");

    // Without a network between them. The order of the blocks does not matter.
    let mut mixed = blocks(&path("stopped.car"));
    mixed.reverse();
    write(&path("mixed.car"), &a.report.network, &mixed);
    let taken = json(b, &["import", &text("mixed.car")]);
    assert_eq!(
        (&taken["logs"][0]["vertices"], &taken["known"]),
        (&vertices.into(), &0.into())
    );
    assert_eq!(taken["own_unconfirmed"], false);
    let again = json(b, &["import", &text("stopped.car")]);
    assert_eq!(
        (&again["logs"], &again["known"]),
        (&serde_json::json!([]), &vertices.into())
    );
    let node = b.ready().await;
    let status = node.status().await;
    assert!(status.sequencing);
    let of_a = status
        .frontier
        .iter()
        .find(|h| h.log == a.report.log)
        .unwrap();
    assert_eq!(of_a.vertex.unwrap().to_string(), head);
    let told = refused(b, 1, &["import", &text("stopped.car")]);
    assert!(told.contains("in use") || told.contains("uses"), "{told}");
    node.check().await;
    node.stop().await;
    assert!(store(b, &["verify"]).status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_gives_a_lost_end_back_and_lets_no_older_directory_sign() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let fresh = root.path().join("fresh");
    let copied = Command::new("cp")
        .arg("-a")
        .args([city.data.path(), &fresh])
        .status();
    assert!(copied.unwrap().success());
    let node = city.ready().await;
    city.citizen(&city.api(&node)).await;
    let seq = seq_of(&city, &node).await;
    node.stop().await;
    let file = root.path().join("whole.car");
    let file = file.to_str().unwrap();
    json(&city, &["export", file]);
    let segment = city.data.ledger().join("000001.car");
    let long = fs::read(&segment).unwrap();
    fs::write(&segment, &long[..long.len() - 3000]).unwrap();
    let node = city.ready().await;
    let why =
        |status: city_node::admin::pages::Status| status.not_sequencing_because.map(|b| b.code);
    assert_eq!(why(node.status().await).as_deref(), Some("lost"));
    node.stop().await;
    let taken = json(&city, &["import", file]);
    assert_eq!(taken["logs"][0]["seq"], seq);
    assert_eq!(
        taken["own_unconfirmed"], false,
        "as far as it was known to have signed"
    );
    let node = city.ready().await;
    assert_eq!(why(node.status().await), None, "{}", node.log());
    city.citizen(&city.api(&node)).await;
    assert!(seq_of(&city, &node).await > seq);
    node.check().await;
    node.stop().await;

    // A copy from before the first start: the log went on elsewhere, and the file is older than it is.
    let mut older = city;
    older.data = city_node::setup::DataDir::new(&fresh);
    older.configure();
    let taken = json(&older, &["import", file]);
    assert_eq!(taken["own_unconfirmed"], true);
    let node = older.ready().await;
    assert_eq!(
        why(node.status().await).as_deref(),
        Some("gone"),
        "{}",
        node.log()
    );
    assert_eq!(seq_of(&older, &node).await, seq);
    node.stop().await;
}

/// What stands twice in a ledger goes; balances, receipts and the node stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_ledger_is_the_same_ledger() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let node = city.ready().await;
    let person = city.rich(&city.api(&node), 5_000).await;
    let before = node.status().await.frontier_hash;
    node.stop().await;
    let none = json(&city, &["compact"]);
    assert_eq!(none["compacted"], false, "{none}");
    // As after vertices were fetched again: the last blocks once more.
    let segment = city.data.ledger().join("000001.car");
    let file = root.path().join("all.car");
    json(&city, &["export", file.to_str().unwrap()]);
    let blocks = blocks(&file);
    let mut bytes = fs::read(&segment).unwrap();
    for (id, block) in &blocks[blocks.len() - 4..] {
        car::push_section(&mut bytes, id, block);
    }
    fs::write(&segment, bytes).unwrap();
    assert_eq!(json(&city, &["stats"])["dead_blocks"], 4);
    let done = json(&city, &["compact"]);
    assert_eq!(
        (&done["compacted"], &done["dropped"]),
        (&true.into(), &4.into())
    );
    assert!(!segment.exists());
    assert!(store(&city, &["verify"]).status.success());
    let node = city.ready().await;
    let status = node.status().await;
    assert_eq!(
        (status.sequencing, status.frontier_hash),
        (true, before),
        "{}",
        node.log()
    );
    let balances = node
        .admin()
        .await
        .unwrap()
        .balances()
        .await
        .unwrap()
        .balances;
    assert_eq!(balances[&person.account()], "50.00");
    city.citizen(&city.api(&node)).await;
    node.check().await;
    node.stop().await;
    assert_eq!(json(&city, &["stats"])["dead_blocks"], 0);
}

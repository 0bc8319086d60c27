//! A home never signs a position twice: not after it lost the end of its log, nor all of it, nor a block in the
//! middle; and it needs nobody's help where nothing of its own was lost.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use city_node::admin::pages::Status;
use city_node::client::person::Person;
use city_node::engine::utc;
use city_node::pki::{Authority, Validity};
use city_node::store::{Location, Position, Store, StoreOptions};
use city_protocol::vertex::SignedHeader;

use super::daemon::city::{City, Node, alone, directory, found, send};

/// The largest reserve, 1 TiB: more than is free where tests run.
const FULL_MIB: u64 = 1 << 20;

fn own_seq(city: &City, status: &Status) -> u64 {
    let own = status
        .frontier
        .iter()
        .find(|head| head.log == city.report.log);
    own.map_or(0, |head| head.seq)
}

fn why(status: &Status) -> Option<&str> {
    assert_eq!(status.sequencing, status.not_sequencing_because.is_none());
    let because = status.not_sequencing_because.as_ref()?;
    assert!(!because.remedy.is_empty());
    Some(&because.code)
}

/// A home with two accounts, stopped; gives how long its log is.
async fn lived(city: &City) -> u64 {
    let node = city.ready().await;
    let api = city.api(&node);
    city.citizen(&api).await;
    city.citizen(&api).await;
    let seq = own_seq(city, &node.status().await);
    assert!(seq > 1);
    node.stop().await;
    seq
}

/// It starts, does not sequence for this reason, refuses to book, and ends as long as it was.
async fn check_held(city: &City, code: &str) {
    let node = city.ready().await;
    let before = node.status().await;
    assert_eq!(why(&before), Some(code), "{}", node.log());
    refuses(city, &node).await;
    let after = node.status().await;
    assert_eq!(own_seq(city, &after), own_seq(city, &before));
    node.stop().await;
}

async fn refuses(city: &City, node: &Node) {
    refuses_for(city, node, &["not-sequencing"]).await;
}

/// It refuses to book, with one of these codes.
async fn refuses_for(city: &City, node: &Node, codes: &[&str]) {
    let api = city.api(node);
    let person = Person::generate(&api.node().await.unwrap());
    let authority = Authority::open(&city.ca, None).unwrap();
    let validity = Validity::days(utc().minus_ms(60_000), 2);
    let certificate =
        person.request_certificate(|request| authority.issue_client(request, validity).unwrap());
    let signed = person.enrol(&certificate, utc()).unwrap();
    let refused = api.enrol(&signed, &certificate, &[]).await.unwrap_err();
    let code = refused.code().unwrap_or_default();
    assert!(codes.contains(&code), "{refused:?}");
}

/// It starts, sequences and books one more.
async fn check_books(city: &City, at_least: u64) {
    let node = city.ready().await;
    let status = node.status().await;
    assert_eq!(why(&status), None, "{}", node.log());
    assert!(own_seq(city, &status) >= at_least, "{status:#?}");
    city.citizen(&city.api(&node)).await;
    assert!(own_seq(city, &node.status().await) > at_least);
    node.check().await;
    node.stop().await;
}

/// `store verify` or `rebuild`; gives its exit code: 0, or 4 where something does not hold.
fn store_command(city: &City, verb: &str) -> i32 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
    command
        .args(["store", verb, "--data-dir"])
        .arg(city.data.path());
    let ran = command.output().unwrap();
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    let code = ran.status.code();
    code.filter(|code| [0, 4].contains(code))
        .unwrap_or_else(|| panic!("{verb}: {code:?} {told}"))
}

fn last_segment(city: &City) -> PathBuf {
    let segments = fs::read_dir(city.data.ledger())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = segments
        .filter(|path| path.extension().is_some_and(|end| end == "car"))
        .collect();
    segments.sort();
    segments.pop().unwrap()
}

fn cut_tail(city: &City) {
    let file = OpenOptions::new()
        .write(true)
        .open(last_segment(city))
        .unwrap();
    file.set_len(file.metadata().unwrap().len() - 3000).unwrap();
}

fn copy(from: &Path, to: &Path) {
    assert!(
        Command::new("cp")
            .arg("-a")
            .args([from, to])
            .status()
            .unwrap()
            .success()
    );
}

/// Where the bodies and headers of the own log stand, in order.
fn own_blocks(city: &City) -> Vec<(Location, Location)> {
    let (store, _) =
        Store::open(city.data.path(), city.report.network, StoreOptions::new()).unwrap();
    let mut body = None;
    let mut found = Vec::new();
    for block in store.blocks_from(Position::START) {
        let block = block.unwrap();
        match SignedHeader::read(&block.bytes) {
            Ok(header) if header.header.log == city.report.log => {
                found.push((body.take().unwrap(), block.at));
            }
            _ => body = Some(block.at),
        }
    }
    store.close().unwrap();
    found
}

fn spoil(city: &City, at: &Location) {
    let path = city.data.ledger().join(format!("{:06}.car", at.segment));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let middle = at.offset + u64::from(at.len) / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[!byte[0]], middle).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_lost_its_end_is_never_extended_until_the_end_is_back() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let seq = lived(&city).await;
    let whole = root.path().join("whole");
    copy(&city.data.ledger(), &whole);
    cut_tail(&city);
    // Whoever opens it first must not take the evidence away.
    store_command(&city, "verify");
    check_held(&city, "lost").await;
    check_held(&city, "lost").await;
    store_command(&city, "rebuild");
    store_command(&city, "verify");
    check_held(&city, "lost").await;
    fs::remove_dir_all(city.data.ledger()).unwrap();
    copy(&whole, &city.data.ledger());
    check_books(&city, seq).await;
}

/// Without a clean stop and without an index, the mark that was written while it ran is all there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mark_is_kept_while_the_node_runs() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    lived(&city).await;
    let mut node = city.ready().await;
    city.citizen(&city.api(&node)).await;
    let seq = own_seq(&city, &node.status().await);
    let marked = || fs::read_to_string(city.data.path().join("HIGHWATER")).unwrap();
    let expected = format!("seq {seq} ");
    node.until("the mark", |_| marked().contains(&expected))
        .await;
    node.signal("-KILL");
    node.end().await;
    fs::remove_dir_all(city.data.index()).unwrap();
    cut_tail(&city);
    check_held(&city, "lost").await;
    assert!(marked().contains(&expected), "{}", marked());
}

/// An index that knew more than the log is a witness, also where there is no mark.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_is_a_witness_before_it_is_set_aside() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    lived(&city).await;
    fs::remove_file(city.data.path().join("HIGHWATER")).unwrap();
    cut_tail(&city);
    store_command(&city, "verify");
    check_held(&city, "lost").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_lost_is_no_alarm() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    lived(&city).await;
    for round in 0..3 {
        let mut node = city.ready().await;
        city.citizen(&city.api(&node)).await;
        let seq = own_seq(&city, &node.status().await);
        node.signal("-KILL");
        node.end().await;
        match round {
            0 => {}
            // As after a power cut: the index is gone, and recovery copies the whole last segment.
            1 => fs::remove_dir_all(city.data.index()).unwrap(),
            _ => fs::write(city.data.path().join("index.running"), "another boot").unwrap(),
        }
        check_books(&city, seq).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_only_opened_can_still_begin() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let (mark, data) = (city.data.path().join("NEVER_BEGUN"), &city.data);
    assert!(mark.exists(), "init writes it");
    // Opened and closed without a vertex of its own.
    let (store, _) = Store::open(data.path(), city.report.network, StoreOptions::new()).unwrap();
    store.close().unwrap();
    check_books(&city, 1).await;
    assert!(!mark.exists(), "the first vertex takes it away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_whose_ledger_is_gone_does_not_begin_again_but_fetches_it() {
    let root = directory();
    let cities = found(root.path(), 2);
    let [a, b] = &cities[..] else { unreachable!() };
    let peer = b.ready().await;
    let node = a.ready().await;
    a.citizen(&a.api(&node)).await;
    let seq = own_seq(a, &node.status().await);
    peer.until("its log", |status| own_seq(a, status) == seq)
        .await;
    node.stop().await;
    peer.stop().await;

    // Keys and charter restored to a new disk.
    for gone in ["ledger", "index", "trust"] {
        fs::remove_dir_all(a.data.path().join(gone)).unwrap();
    }
    fs::remove_file(a.data.path().join("HIGHWATER")).unwrap();
    check_held(a, "gone").await;
    check_held(a, "gone").await;

    let peer = b.ready().await;
    let node = a.ready().await;
    node.until("its own log", |status| own_seq(a, status) == seq)
        .await;
    let note = a.data.path().join("GONE");
    node.until("the end of the note", |_| !note.exists()).await;
    assert_eq!(
        why(&node.status().await),
        Some("gone"),
        "until the next start"
    );
    node.stop().await;
    check_books(a, seq).await;
    peer.stop().await;
}

/// A block goes bad under a node with a good index: it stops, and signs again only when the block is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_is_met_while_it_runs_is_noted_and_mended_by_a_peer() {
    let root = directory();
    let cities = found(root.path(), 2);
    let [a, b] = &cities[..] else { unreachable!() };
    let peer = b.ready().await;
    let node = a.ready().await;
    a.citizen(&a.api(&node)).await;
    a.citizen(&a.api(&node)).await;
    let seq = own_seq(a, &node.status().await);
    peer.until("its log", |status| own_seq(a, status) == seq)
        .await;
    node.stop().await;
    peer.stop().await;

    let own = own_blocks(a);
    spoil(a, &own[1].0);
    // A peer that has nothing of this log asks for it, so that the bad block is read.
    for gone in ["ledger", "index", "trust", "HIGHWATER"] {
        let path = b.data.path().join(gone);
        let aside = root.path().join(format!("b-{gone}"));
        fs::rename(path, aside).unwrap();
    }
    let mut node = a.ready().await;
    let peer = b.ready().await;
    let (ended, _) = node.end().await;
    assert!(!ended.success(), "{}", node.log());
    assert!(
        node.log().contains("a stored block cannot be read"),
        "{}",
        node.log()
    );
    assert!(a.data.ledger().join("DAMAGED").exists());
    peer.stop().await;
    check_held(a, "damaged").await;
    store_command(a, "rebuild");
    assert_eq!(store_command(a, "verify"), 4, "a bad block is told");
    check_held(a, "damaged").await;

    // Now one that has it.
    for back in ["ledger", "index", "trust", "HIGHWATER"] {
        let path = b.data.path().join(back);
        let aside = root.path().join(format!("b-{back}"));
        let _new = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        fs::rename(aside, path).unwrap();
    }
    let _none = fs::remove_file(b.data.path().join("GONE"));
    let peer = b.ready().await;
    let node = a.ready().await;
    node.until("its own log", |status| own_seq(a, status) == seq)
        .await;
    node.stop().await;
    check_books(a, seq).await;
    assert!(!a.data.ledger().join("DAMAGED").exists());
    assert_eq!(
        store_command(a, "verify"),
        0,
        "what was fetched again is no fault"
    );
    peer.stop().await;
}

/// Without room it starts, says so and books nothing; with room it books, also if it is new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_does_not_prevent_a_start() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let reserve = city.config.store.reserve_mib;
    let mut lived = 0;
    for _ in 0..2 {
        city.config.store.reserve_mib = FULL_MIB;
        city.configure();
        let node = city.ready().await;
        let status = node.status().await;
        assert_eq!(why(&status), Some("disk-full"), "{}", node.log());
        assert_eq!(own_seq(&city, &status), lived);
        node.stop().await;
        city.config.store.reserve_mib = reserve;
        city.configure();
        check_books(&city, lived.max(1)).await;
        let node = city.ready().await;
        lived = own_seq(&city, &node.status().await);
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_that_cannot_be_read_is_named_and_its_remedy_works() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    let seq = lived(&city).await;
    fs::write(city.data.path().join("HIGHWATER"), "garbled").unwrap();
    check_held(&city, "mark-unreadable").await;
    fs::remove_file(city.data.path().join("HIGHWATER")).unwrap();
    check_books(&city, seq).await;
}

/// No vertex of this log ever left this machine: its operator says so in the way that `status` tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_is_gone_for_good_begins_again_by_the_remedy_that_is_told() {
    let root = directory();
    let city = alone(root.path(), root.path().join("d"));
    lived(&city).await;
    for gone in [city.data.ledger(), city.data.index()] {
        fs::remove_dir_all(gone).unwrap();
    }
    check_held(&city, "gone").await;
    check_held(&city, "gone").await;
    for note in ["GONE", "HIGHWATER"] {
        fs::remove_file(city.data.path().join(note)).unwrap();
    }
    fs::write(city.data.path().join("NEVER_BEGUN"), "").unwrap();
    let node = city.ready().await;
    assert_eq!(why(&node.status().await), None, "{}", node.log());
    node.stop().await;
}

/// A data directory as it was is put back beside running peers, with everything that it notes of itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_of_everything_is_noticed_by_a_peer_before_it_signs() {
    let root = directory();
    let cities = found(root.path(), 2);
    let [a, b] = &cities[..] else { unreachable!() };
    let peer = b.ready().await;
    let node = a.ready().await;
    assert_eq!(node.status().await.standing, "confirmed");
    a.citizen(&a.api(&node)).await;
    node.stop().await;
    let old = root.path().join("old");
    copy(a.data.path(), &old);

    let node = a.ready().await;
    let status = node.status().await;
    assert_eq!(status.standing, "confirmed", "{}", node.log());
    let before = own_seq(a, &status);
    for _ in 0..3 {
        a.citizen(&a.api(&node)).await;
    }
    let seq = own_seq(a, &node.status().await);
    peer.until("its log", |status| own_seq(a, status) == seq)
        .await;
    node.stop().await;

    fs::remove_dir_all(a.data.path()).unwrap();
    copy(&old, a.data.path());
    // Not `ready`: nothing may be signed at any moment.
    let mut node = a.start();
    node.comes_up().await.unwrap();
    let first = node.status().await;
    assert!(!first.sequencing, "{first:#?}");
    refuses_for(a, &node, &["unconfirmed", "not-sequencing"]).await;
    let status = node
        .until("its own log", |status| own_seq(a, status) == seq)
        .await;
    assert!(before < seq);
    assert_eq!(why(&status), Some("rolled-back"), "{}", node.log());
    assert_eq!(status.standing, "rolled-back");
    assert!(node.log().contains("an old copy of the data directory"));
    refuses(a, &node).await;
    // The only peer has nothing newer.
    let note = a.data.path().join("GONE");
    node.until("the end of the note", |_| !note.exists()).await;
    refuses(a, &node).await;
    node.stop().await;

    check_books(a, seq).await;
    let status = peer
        .until("what it booked", |status| own_seq(a, status) > seq)
        .await;
    assert!(status.faults.is_empty(), "{status:#?}");
    assert!(status.frontier.iter().all(|head| !head.forked));
    peer.check().await;
    peer.stop().await;
}

/// The note outlives the run: also who was cut off right after that signs nothing, and needs no frontier to go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_stays_one_until_its_peers_were_heard() {
    let root = directory();
    let cities = found(root.path(), 2);
    let [a, b] = &cities[..] else { unreachable!() };
    let peer = b.ready().await;
    let node = a.ready().await;
    node.stop().await;
    let old = root.path().join("old");
    copy(a.data.path(), &old);
    let node = a.ready().await;
    a.citizen(&a.api(&node)).await;
    let seq = own_seq(a, &node.status().await);
    peer.until("its log", |status| own_seq(a, status) == seq)
        .await;
    node.stop().await;
    fs::remove_dir_all(a.data.path()).unwrap();
    copy(&old, a.data.path());
    let note = a.data.path().join("GONE");
    let node = a.ready().await;
    node.until("its own log", |status| own_seq(a, status) == seq)
        .await;
    node.stop().await;
    // As if it had been cut off before its peer was heard to have nothing more.
    fs::write(&note, "").unwrap();
    peer.stop().await;
    check_held(a, "gone").await;
    // Both have the same of every log, so that they tell each other hashes only.
    let peer = b.ready().await;
    let node = a.ready().await;
    node.until("the end of the note", |_| !note.exists()).await;
    node.stop().await;
    check_books(a, seq).await;
    peer.stop().await;
}

/// Without peers and counter nobody can tell: it books, says so, and takes little.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_alone_is_unconfirmed_after_its_first_run() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    city.config.home.unconfirmed_limit = "2.00".parse().unwrap();
    let _line = city.plug_in(Vec::new);
    let node = city.ready().await;
    let api = city.api(&node);
    let person = city.rich(&api, 100_000).await;
    let status = node
        .until("a place", |status| status.place.satisfies_policy)
        .await;
    assert_eq!(
        (&*status.standing, status.unconfirmed_limit),
        ("confirmed", None)
    );
    send(&api, &person, 10_000).await.unwrap();
    node.stop().await;

    let node = city.ready().await;
    let api = city.api(&node);
    api.login(&person).await.unwrap();
    let status = node
        .until("a place", |status| status.place.satisfies_policy)
        .await;
    assert!(status.sequencing);
    assert_eq!(status.standing, "unconfirmed");
    assert_eq!(status.unconfirmed_limit, Some("2.00".parse().unwrap()));
    let refused = send(&api, &person, 201).await.unwrap_err();
    assert_eq!(refused.code(), Some("unconfirmed"), "{refused:?}");
    assert_eq!(refused.status(), Some(503));
    let sent = send(&api, &person, 150).await.unwrap();
    let refused = send(&api, &person, 51).await.unwrap_err();
    assert_eq!(refused.code(), Some("unconfirmed"), "{refused:?}");
    let receipt = root.path().join("receipt.cbor");
    let page = api.transfer_state(&person.account(), &sent).await.unwrap();
    fs::write(&receipt, page.receipt.unwrap().0).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
    command
        .args(["tx", "verify-receipt"])
        .arg(&receipt)
        .arg("--genesis")
        .arg(city.data.genesis());
    let told = command.output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("unconfirmed (未確認)"), "{told}");
    let told = command.arg("--json").output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["unconfirmed"], true, "{told}");
    node.check().await;
    node.stop().await;
}

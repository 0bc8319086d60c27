//! Epochs: officers close one and begin the next, with another node key or after a fault.

use std::sync::Arc;

use city_protocol::body::{Der, EpochStart, Kind, Label};
use city_protocol::crypto::SecretKey;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::ledger::{Frozen, Rows as _};
use city_protocol::refusal::Refusal;
use city_protocol::replica::{BookedEntry, Input, Outcome};
use city_protocol::stage::Submission;
use city_protocol::trust::TransportSigner as _;
use city_protocol::vertex::{Entry, Receipt};

use super::faults::cut_off_kanazawa;
use super::keys::signing_key;
use super::liar::{Liar, give, start};
use super::people::{Person, decided_by};
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

/// What the officers of a home would sign to begin the epoch after its head.
pub(crate) fn epoch_body(world: &World, home: usize) -> EpochStart {
    let h = &world.homes[home];
    let row = h.row(&h.log());
    EpochStart {
        version: 1,
        kind: Kind::EpochStart,
        network: world.network(),
        home: h.log(),
        officers_sequence: row.officers_sequence + 1,
        created_at: world.now,
        old_epoch: row.epoch,
        cut_seq: row.seq,
        cut: row.head,
        node_certificate: None,
        chain: Vec::new(),
        reason: Label::new("鍵の交換").unwrap(),
    }
}

/// The same with a new node key, which is put beside the old one in the box.
pub(crate) fn with_new_key(
    world: &mut World,
    home: usize,
    name: &str,
    body: EpochStart,
) -> EpochStart {
    let key: Arc<SecretKey> = signing_key(name);
    let h = &world.homes[home];
    let peer = h.transport.peer_id().to_string();
    let certificate = world.ca.node(&h.region, key.public(), &peer);
    world.homes[home].identity.next_key = Some(key);
    restart(world, home);
    EpochStart {
        node_certificate: Some(Der(certificate)),
        ..body
    }
}

/// Stops and starts a node, and connects it again with those it was connected with.
pub(crate) fn restart(world: &mut World, home: usize) {
    let others: Vec<_> = (0..world.homes.len())
        .filter(|other| *other != home && world.is_connected(home, *other))
        .collect();
    world.restart(home);
    for other in others {
        world.connect(home, other);
    }
    world.run();
}

/// 2 of 3 officers sign, and the home begins the epoch.
pub(crate) fn begin(
    world: &mut World,
    home: usize,
    body: &EpochStart,
) -> Result<BookedEntry, Refusal> {
    let officers = world.homes[home].officers[..2].to_vec();
    let ticket = world.new_ticket();
    world.tell(home, Input::BeginEpoch(ticket, decided_by(body, &officers)));
    world.commit(home);
    match world.homes[home].answers.remove(&ticket) {
        Some(Ok(Outcome::Booked(booked))) => Ok(*booked),
        Some(Err(refusal)) => Err(refusal),
        other => panic!("an epoch, not {other:?}"),
    }
}

fn head(world: &World, home: usize, log: &LogId) -> (u64, u64, BlockId) {
    let row = world.homes[home].row(log);
    (row.epoch, row.seq, row.head)
}

#[track_caller]
fn all_agree(world: &mut World, log: &LogId) {
    world.run();
    // Whoever was told something else compares again within the hour.
    for _ in 0..8 {
        world.pass(10 * 60 * 1000);
        world.run();
    }
    let expected = head(world, KANAZAWA, log);
    for home in 0..world.homes.len() {
        assert_eq!(head(world, home, log), expected, "home {home}");
        assert_eq!(world.homes[home].row(log).frozen, None, "home {home}");
    }
    world.audit();
}

fn story() -> (World, Person, Person) {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "1000.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    (world, hanako, taro)
}

#[test]
fn a_node_key_is_replaced_and_both_epochs_stay_verifiable() {
    let (mut world, hanako, taro) = story();
    let log = hanako.home_log;
    let before = world.transfer(&hanako, &taro, "10.00").unwrap();
    world.run();
    let body = epoch_body(&world, KANAZAWA);
    let body = with_new_key(&mut world, KANAZAWA, "kanazawa's second key", body);
    let body = EpochStart {
        cut_seq: head(&world, KANAZAWA, &log).1,
        cut: head(&world, KANAZAWA, &log).2,
        ..body
    };
    let begun = begin(&mut world, KANAZAWA, &body).unwrap();
    assert_eq!((begun.at.epoch, begun.at.index), (2, 0));
    let after = world.transfer(&hanako, &taro, "20.00").unwrap();
    all_agree(&mut world, &log);
    assert_eq!(world.homes[HAKUSAN].available(&hanako), 97_000);

    // 太郎 takes what was sent in both epochs, and it settles.
    world.accept(&taro, &before).unwrap();
    world.accept(&taro, &after).unwrap();
    all_agree(&mut world, &log);
    assert_eq!(world.homes[KANAZAWA].row(&log).totals.settled_out, 3_000);

    // Receipts of both keys, and of the change itself, hold with the genesis record alone.
    for booked in [&before, &begun, &after] {
        let receipt = Receipt::read(&booked.receipt.to_bytes()).unwrap();
        receipt.verify(&world.genesis).unwrap();
    }
    // But not one whose authority lacks the epoch, or has one too many.
    let mut short = after.receipt.clone();
    Arc::make_mut(&mut short.authority).pop();
    assert_eq!(
        short.verify(&world.genesis).unwrap_err(),
        Refusal::BadReceipt
    );
    let mut long = before.receipt.clone();
    long.authority = after.receipt.authority.clone();
    assert_eq!(
        long.verify(&world.genesis).unwrap_err(),
        Refusal::BadReceipt
    );

    // Everybody starts again and knows the same; a newcomer catches up over both epochs.
    for home in [KANAZAWA, KOMATSU, HAKUSAN] {
        restart(&mut world, home);
    }
    world.transfer(&hanako, &taro, "1.00").unwrap();
    let kaga = world.add_home("17206");
    world.connect(kaga, KOMATSU);
    all_agree(&mut world, &log);
    assert_eq!(world.homes[kaga].available(&hanako), 96_900);
}

#[test]
fn the_old_key_signs_nothing_that_counts_any_more() {
    let (mut world, hanako, _) = story();
    let log = hanako.home_log;
    let stolen = Liar::new(&world, KANAZAWA);
    let body = epoch_body(&world, KANAZAWA);
    let body = with_new_key(&mut world, KANAZAWA, "kanazawa's second key", body);
    begin(&mut world, KANAZAWA, &body).unwrap();
    all_agree(&mut world, &log);
    // A vertex of the closed epoch, at the position of the cut's successor: never a new fault.
    let late = stolen.sign(&[start("a thief")]);
    give(&mut world, KANAZAWA, HAKUSAN, &late);
    all_agree(&mut world, &log);
    assert!(world.homes[HAKUSAN].frozen.is_empty());
}

#[test]
fn after_a_fork_the_officers_begin_again_at_the_last_common_vertex() {
    let (mut world, hanako, taro) = story();
    let log = hanako.home_log;
    let liar = Liar::new(&world, KANAZAWA);
    let (one, two) = (liar.sign(&[start("one")]), liar.sign(&[start("two")]));
    give(&mut world, KANAZAWA, KOMATSU, &one);
    give(&mut world, KANAZAWA, HAKUSAN, &two);
    world.run();
    for home in [KANAZAWA, KOMATSU, HAKUSAN] {
        let frozen = world.homes[home].row(&log).frozen;
        assert!(matches!(frozen, Some(Frozen::Equivocation(_))), "{home}");
    }
    let refused = world.transfer(&hanako, &taro, "1.00").unwrap_err();
    assert_eq!(refused, Refusal::NotSequencing);

    let body = epoch_body(&world, KANAZAWA);
    begin(&mut world, KANAZAWA, &body).unwrap();
    world.transfer(&hanako, &taro, "1.00").unwrap();
    all_agree(&mut world, &log);
}

#[test]
fn who_stood_at_a_fork_takes_the_branch_that_the_officers_chose() {
    let (mut world, hanako, taro) = story();
    let log = hanako.home_log;
    let (_, cut, _) = head(&world, KANAZAWA, &log);
    let liar = Liar::new(&world, KANAZAWA);
    // 金沢 sends twice and tells only 小松; a second box under its key tells 白山 something else.
    world.disconnect(KANAZAWA, HAKUSAN);
    world.disconnect(KOMATSU, HAKUSAN);
    world.transfer(&hanako, &taro, "1.00").unwrap();
    world.transfer(&hanako, &taro, "2.00").unwrap();
    world.run();
    cut_off_kanazawa(&mut world);
    let other = liar.sign(&[start("never happened")]);
    give(&mut world, KANAZAWA, HAKUSAN, &other);
    world.connect(KOMATSU, HAKUSAN);
    world.run();
    for home in [KOMATSU, HAKUSAN] {
        let frozen = world.homes[home].row(&log).frozen;
        assert_eq!(frozen, Some(Frozen::Equivocation(cut)), "{home}");
    }
    // 金沢 knows nothing of it; its officers begin an epoch behind what it holds.
    let body = epoch_body(&world, KANAZAWA);
    assert!(body.cut_seq > cut);
    begin(&mut world, KANAZAWA, &body).unwrap();
    world.transfer(&hanako, &taro, "4.00").unwrap();
    world.connect(KANAZAWA, KOMATSU);
    world.connect(KANAZAWA, HAKUSAN);
    all_agree(&mut world, &log);
    assert_eq!(world.homes[HAKUSAN].available(&hanako), 99_300);
}

#[test]
fn a_restored_box_begins_lower_and_its_followers_go_back() {
    let (mut world, hanako, taro) = story();
    let log = hanako.home_log;
    world.transfer(&hanako, &taro, "1.00").unwrap();
    world.run();
    let backup = world.homes[KANAZAWA].disk.clone();
    let lost = world.transfer(&hanako, &taro, "2.00").unwrap();
    world.run();
    cut_off_kanazawa(&mut world);
    world.homes[KANAZAWA].disk = backup;
    world.boot(KANAZAWA, false);
    let body = epoch_body(&world, KANAZAWA);
    assert!(body.cut_seq < lost.at.seq);
    begin(&mut world, KANAZAWA, &body).unwrap();
    world.transfer(&hanako, &taro, "4.00").unwrap();
    world.connect(KANAZAWA, KOMATSU);
    world.connect(KANAZAWA, HAKUSAN);
    all_agree(&mut world, &log);
    assert_eq!(world.homes[KOMATSU].available(&hanako), 99_500);
}

#[test]
fn a_newcomer_reaches_who_rested_on_what_the_cut_took_back() {
    let (mut world, hanako, taro) = story();
    let backup = world.homes[KANAZAWA].disk.clone();
    let lost = world.transfer(&hanako, &taro, "2.00").unwrap();
    world.run();
    // 太郎 takes it: 小松's log cites a vertex that is about not to count any more.
    world.accept(&taro, &lost).unwrap();
    world.run();
    cut_off_kanazawa(&mut world);
    world.homes[KANAZAWA].disk = backup;
    world.boot(KANAZAWA, false);
    let body = epoch_body(&world, KANAZAWA);
    begin(&mut world, KANAZAWA, &body).unwrap();
    world.connect(KANAZAWA, KOMATSU);
    world.connect(KANAZAWA, HAKUSAN);
    all_agree(&mut world, &hanako.home_log);
    let kaga = world.add_home("17206");
    world.connect(kaga, KANAZAWA);
    all_agree(&mut world, &hanako.home_log);
    world.connect(kaga, KOMATSU);
    all_agree(&mut world, &hanako.home_log);
    let komatsu = taro.home_log;
    assert_eq!(
        head(&world, kaga, &komatsu),
        head(&world, KOMATSU, &komatsu)
    );
}

#[test]
fn a_fork_at_the_beginning_of_an_epoch_ends_with_the_next_epoch() {
    let (mut world, hanako, taro) = story();
    let log = hanako.home_log;
    let body = epoch_body(&world, KANAZAWA);
    let before = world.homes[KANAZAWA].disk.clone();
    world.disconnect(KANAZAWA, HAKUSAN);
    world.disconnect(KOMATSU, HAKUSAN);
    begin(&mut world, KANAZAWA, &body).unwrap();
    world.run();
    // The disk is lost, and the same decision is booked once more.
    cut_off_kanazawa(&mut world);
    world.homes[KANAZAWA].disk = before;
    world.pass(60_000);
    world.boot(KANAZAWA, true);
    begin(&mut world, KANAZAWA, &body).unwrap();
    world.connect(KANAZAWA, HAKUSAN);
    world.run();
    world.connect(KOMATSU, HAKUSAN);
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    for home in [KANAZAWA, KOMATSU, HAKUSAN] {
        let row = world.homes[home].row(&log);
        assert_eq!((row.epoch, row.seq), (2, body.cut_seq), "{home}");
        assert_eq!(
            row.frozen,
            Some(Frozen::Equivocation(body.cut_seq)),
            "{home}"
        );
    }
    for home in [KANAZAWA, KOMATSU, HAKUSAN] {
        restart(&mut world, home);
    }
    let body = epoch_body(&world, KANAZAWA);
    assert_eq!(body.old_epoch, 2);
    begin(&mut world, KANAZAWA, &body).unwrap();
    world.transfer(&hanako, &taro, "1.00").unwrap();
    all_agree(&mut world, &log);
    // Folded again, by a restart and by a newcomer, it is the same.
    for home in [KANAZAWA, KOMATSU, HAKUSAN] {
        restart(&mut world, home);
    }
    let kaga = world.add_home("17206");
    world.connect(kaga, HAKUSAN);
    all_agree(&mut world, &log);
    let receipt = world.transfer(&hanako, &taro, "1.00").unwrap().receipt;
    receipt.verify(&world.genesis).unwrap();
    all_agree(&mut world, &log);
}

#[test]
fn what_officers_decided_before_a_cut_is_decided_again_and_not_sent_again() {
    let (mut world, hanako, _) = story();
    let backup = world.homes[KANAZAWA].disk.clone();
    let grant = world.grant_body(&hanako, "500.00");
    let officers = world.homes[KANAZAWA].officers[..2].to_vec();
    let signed = decided_by(&grant, &officers);
    world
        .submit(KANAZAWA, Submission::Grant(signed.clone()))
        .unwrap();
    cut_off_kanazawa(&mut world);
    world.homes[KANAZAWA].disk = backup;
    world.boot(KANAZAWA, false);
    world.pass(1000);
    let body = epoch_body(&world, KANAZAWA);
    begin(&mut world, KANAZAWA, &body).unwrap();
    let again = decided_by(
        &city_protocol::body::Grant {
            officers_sequence: body.officers_sequence + 1,
            ..grant
        },
        &officers,
    );
    let refused = world.submit(KANAZAWA, Submission::Grant(again));
    assert_eq!(refused.unwrap_err(), Refusal::Expired);
    world.grant(&hanako, "1.00").unwrap();
}

#[test]
fn an_epoch_keeps_what_earlier_epochs_closed() {
    let (mut world, hanako, _) = story();
    let log = hanako.home_log;
    let earlier = world.homes[KANAZAWA].disk.clone();
    world.grant(&hanako, "1.00").unwrap();
    let body = epoch_body(&world, KANAZAWA);
    begin(&mut world, KANAZAWA, &body).unwrap();
    all_agree(&mut world, &log);
    let row = earlier.read().log(&log).unwrap();
    let body = EpochStart {
        cut_seq: row.seq,
        cut: row.head,
        ..epoch_body(&world, KANAZAWA)
    };
    assert_eq!(
        begin(&mut world, KANAZAWA, &body).unwrap_err(),
        Refusal::EpochMismatch
    );
}

#[track_caller]
fn refused(expected: Refusal, change: impl FnOnce(&mut World, &mut EpochStart)) {
    let (mut world, ..) = story();
    let mut body = epoch_body(&world, KANAZAWA);
    change(&mut world, &mut body);
    let before = world.homes[KANAZAWA].disk.clone();
    assert_eq!(begin(&mut world, KANAZAWA, &body).unwrap_err(), expected);
    assert!(world.homes[KANAZAWA].disk == before, "nothing is stored");
    // And the node goes on as before.
    world.citizen("saburo", KANAZAWA);
}

#[test]
fn an_epoch_that_does_not_fit_is_refused() {
    refused(Refusal::EpochMismatch, |_, body| body.cut_seq -= 1);
    refused(Refusal::EpochMismatch, |_, body| {
        body.cut = BlockId::of(b"another");
    });
    refused(Refusal::BadEntry, |_, body| body.old_epoch = 2);
    refused(Refusal::SequenceGap, |_, body| body.officers_sequence += 1);
    refused(Refusal::WrongHome, |world, body| {
        body.home = world.homes[KOMATSU].log();
    });
    refused(Refusal::FutureDated, |world, body| {
        body.created_at = world.now.plus_ms(6 * 60 * 1000);
    });
    // A certificate for a key that is not in this box.
    refused(Refusal::WrongKey, |world, body| {
        let home = &world.homes[KANAZAWA];
        let peer = home.transport.peer_id().to_string();
        let key = signing_key("somewhere else");
        body.node_certificate = Some(Der(world.ca.node(&home.region, key.public(), &peer)));
    });
    // A certificate of another municipality.
    refused(Refusal::BadCertificate, |world, body| {
        body.node_certificate = Some(Der(world.homes[KOMATSU].certificate.clone()));
    });
    let (mut world, ..) = story();
    let body = epoch_body(&world, KANAZAWA);
    let one = decided_by(&body, &world.homes[KANAZAWA].officers[..1]);
    let ticket = world.new_ticket();
    world.tell(KANAZAWA, Input::BeginEpoch(ticket, one));
    let answer = world.homes[KANAZAWA].answers.remove(&ticket);
    assert_eq!(answer.unwrap().unwrap_err(), Refusal::OfficersShort);
}

/// 金沢's node begins an epoch by itself, or with one officer: nobody follows, and nobody stops its log for it.
#[test]
fn an_epoch_that_too_few_officers_begin_is_its_senders_fault() {
    for officers in [0, 1] {
        let (mut world, hanako, taro) = story();
        let log = hanako.home_log;
        let body = epoch_body(&world, KANAZAWA);
        let signed = decided_by(&body, &world.homes[KANAZAWA].officers[..officers]);
        let mut entry = Entry::home_authored(Kind::EpochStart, signed.bytes);
        entry.sig = signed.signatures;
        entry.booked.received_at = Some(world.now);
        let mut liar = Liar::new(&world, KANAZAWA);
        liar.epoch = 2;
        let vertex = liar.sign(&[entry]);
        let before = head(&world, KOMATSU, &log);
        give(&mut world, KANAZAWA, KOMATSU, &vertex);
        let peer = world.homes[KANAZAWA].peer();
        assert_eq!(
            world.homes[KOMATSU].disconnected,
            [(peer, Refusal::OfficersShort)]
        );
        assert_eq!(head(&world, KOMATSU, &log), before);
        assert_eq!(world.homes[KOMATSU].frozen, []);
        world.disconnect(KANAZAWA, KOMATSU);
        world.connect(KANAZAWA, KOMATSU);
        world.transfer(&hanako, &taro, "1.00").unwrap();
        all_agree(&mut world, &log);
    }
}

//! What a cut took back and others rest on: the receiver keeps it, and the home that lost it answers for it.

use city_protocol::body::{Fault, FaultReason, Kind, Settle};
use city_protocol::codec;
use city_protocol::ids::{Digest, LogId};
use city_protocol::ledger::{Frozen, LogRow, Rows as _, TransferState};
use city_protocol::refusal::Refusal;
use city_protocol::stage::Submission;
use city_protocol::vertex::{Cite, Entry, SignedHeader, decode_body};

use super::disk::Disk;
use super::epochs::{begin, epoch_body, restart, with_new_key};
use super::faults::{cut_off_kanazawa, fault_entries};
use super::liar::{Liar, Vertex, give, start};
use super::officers::decide;
use super::people::Person;
use super::renewal::{rotate, with_key};
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

const ALL: [usize; 3] = [KANAZAWA, KOMATSU, HAKUSAN];

fn story() -> (World, Person, Person) {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "1000.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    (world, hanako, taro)
}

/// Everybody talks until everybody has the same of this log, and the sums hold; gives its row.
#[track_caller]
fn settled(world: &mut World, log: &LogId) -> LogRow {
    world.run();
    for _ in 0..16 {
        world.pass(10 * 60 * 1000);
        world.run();
    }
    let expected = world.homes[KANAZAWA].row(log);
    for home in 0..world.homes.len() {
        assert_eq!(world.homes[home].row(log), expected, "home {home}");
    }
    assert!(expected.totals.conserved());
    expected
}

/// The `adopt` entries of a log as a home has it.
fn adopts(world: &World, home: usize, log: &LogId) -> Vec<Entry> {
    let disk = world.homes[home].disk.read();
    let row = disk.log(log).unwrap();
    let vertices = (1..=row.seq).map(|seq| disk.vertex_on_chain(log, row.epoch, seq).unwrap());
    let entries = vertices.flat_map(|id| {
        let body = disk.vertex(&id).unwrap().body;
        decode_body(&world.homes[home].disk.blocks[&body]).unwrap()
    });
    entries.filter(|entry| entry.kind == Kind::Adopt).collect()
}

/// 金沢's box is put back to before a transfer that 太郎 took; its officers begin an epoch there.
fn lost_transfer(amount: &str, then: Option<&str>) -> (World, Person, Person, Digest) {
    let (mut world, hanako, taro) = story();
    let backup = world.homes[KANAZAWA].disk.clone();
    let lost = world.transfer(&hanako, &taro, amount).unwrap();
    world.run();
    world.accept(&taro, &lost).unwrap();
    world.run();
    cut_off_kanazawa(&mut world);
    world.homes[KANAZAWA].disk = backup;
    world.boot(KANAZAWA, false);
    let body = epoch_body(&world, KANAZAWA);
    begin(&mut world, KANAZAWA, &body).unwrap();
    if let Some(then) = then {
        world.transfer(&hanako, &taro, then).unwrap();
    }
    world.connect(KANAZAWA, KOMATSU);
    world.connect(KANAZAWA, HAKUSAN);
    (world, hanako, taro, lost.identity)
}

#[test]
fn the_sender_pays_for_a_lost_transfer_that_was_taken() {
    let (mut world, hanako, taro, lost) = lost_transfer("2.00", None);
    let log = hanako.home_log;
    let row = settled(&mut world, &log);
    assert_eq!((row.totals.settled_out, row.totals.shortfall), (200, 0));
    for home in ALL {
        assert_eq!(world.homes[home].available(&hanako), 99_800, "{home}");
        assert_eq!(world.homes[home].available(&taro), 200, "{home}");
        let sent = world.homes[home].disk.read().transfer(&log, &lost);
        assert_eq!(sent.unwrap().state, TransferState::Settled, "{home}");
    }
    // Once, also after restarts, and the log goes on.
    for home in ALL {
        restart(&mut world, home);
    }
    settled(&mut world, &log);
    assert_eq!(adopts(&world, HAKUSAN, &log).len(), 1);
    world.transfer(&hanako, &taro, "1.00").unwrap();
    let kaga = world.add_home("17206");
    world.connect(kaga, HAKUSAN);
    let row = settled(&mut world, &log);
    assert_eq!((row.totals.open_out, row.frozen), (100, None));
}

#[test]
fn what_the_sender_has_not_any_more_is_the_municipalitys_shortfall() {
    let (mut world, hanako, taro, _) = lost_transfer("900.00", Some("500.00"));
    let row = settled(&mut world, &hanako.home_log);
    assert_eq!(row.totals.shortfall, 40_000);
    assert_eq!(world.homes[HAKUSAN].available(&hanako), 0);
    assert_eq!(world.homes[HAKUSAN].available(&taro), 90_000);
    let entry = &adopts(&world, HAKUSAN, &hanako.home_log)[0];
    assert_eq!(entry.booked.shortfall.unwrap().hundredths(), 40_000);

    // 次郎 makes good what he has, as the officers put it; not more than is missing.
    let log = hanako.home_log;
    let jiro = world.rich_citizen("jiro", KANAZAWA, "500.00");
    let mut make_good = |amount: &str| {
        let body = world.correct_body(&jiro, amount, None);
        decide(&mut world, &jiro, &body, Submission::Correct)
    };
    assert_eq!(make_good("500.01").unwrap_err(), Refusal::Overdraft);
    assert_eq!(make_good("400.01").unwrap_err(), Refusal::OutOfRange);
    let booked = make_good("300.00").unwrap().receipt.entry.booked;
    assert_eq!(booked.balance_after.unwrap().to_string(), "200.00");
    assert_eq!(make_good("100.01").unwrap_err(), Refusal::OutOfRange);
    let row = settled(&mut world, &log);
    assert_eq!(row.totals.shortfall, 10_000);
    for home in ALL {
        assert_eq!(world.homes[home].available(&jiro), 20_000, "{home}");
    }
    world.audit();
}

/// 小松's box is put back to this, of which the others do not hear yet; its officers begin an epoch there.
fn komatsu_begins_again(world: &mut World, backup: Disk) {
    world.disconnect(KANAZAWA, KOMATSU);
    world.disconnect(KOMATSU, HAKUSAN);
    world.homes[KOMATSU].disk = backup;
    world.boot(KOMATSU, false);
    let body = epoch_body(world, KOMATSU);
    begin(world, KOMATSU, &body).unwrap();
}

fn komatsu_is_back(world: &mut World) {
    world.connect(KANAZAWA, KOMATSU);
    world.connect(KOMATSU, HAKUSAN);
}

#[test]
fn a_lost_acceptance_is_answered_for_by_the_receivers_home() {
    let (mut world, hanako, taro) = story();
    let sent = world.transfer(&hanako, &taro, "3.00").unwrap();
    world.run();
    let backup = world.homes[KOMATSU].disk.clone();
    world.accept(&taro, &sent).unwrap();
    world.run();
    assert_eq!(
        world.homes[KANAZAWA]
            .row(&hanako.home_log)
            .totals
            .settled_out,
        300
    );
    komatsu_begins_again(&mut world, backup);
    assert_eq!(world.homes[KOMATSU].available(&taro), 0);
    komatsu_is_back(&mut world);
    let row = settled(&mut world, &taro.home_log);
    assert_eq!(row.totals.accepted_in, 300);
    for home in ALL {
        assert_eq!(world.homes[home].available(&taro), 300, "{home}");
    }
    let again = world.accept(&taro, &sent).unwrap_err();
    assert_eq!(again, Refusal::AlreadyAccepted);
}

/// An acceptance names its key, not its account: whose change of keys was cut off, too, has nothing until the key is theirs again.
#[test]
fn a_receiver_whose_new_key_was_lost_changes_to_it_again_and_is_credited() {
    let (mut world, hanako, taro) = story();
    let sent = world.transfer(&hanako, &taro, "3.00").unwrap();
    world.run();
    let backup = world.homes[KOMATSU].disk.clone();
    let renewed = with_key(&taro, "taro's new key");
    rotate(&mut world, &taro, &renewed).unwrap();
    world.accept(&renewed, &sent).unwrap();
    world.run();
    komatsu_begins_again(&mut world, backup);
    komatsu_is_back(&mut world);
    let log = taro.home_log;
    let row = settled(&mut world, &log);
    assert_eq!((row.totals.accepted_in, row.frozen), (0, None));

    rotate(&mut world, &taro, &renewed).unwrap();
    let row = settled(&mut world, &log);
    assert_eq!(row.totals.accepted_in, 300);
    for home in ALL {
        assert_eq!(world.homes[home].available(&taro), 300, "{home}");
    }
    assert_eq!(adopts(&world, HAKUSAN, &log).len(), 1);
}

#[test]
fn an_adoption_that_proves_nothing_is_invalid() {
    let (mut world, hanako, _, _) = lost_transfer("2.00", None);
    let log = hanako.home_log;
    settled(&mut world, &log);
    let good = adopts(&world, HAKUSAN, &log).remove(0);
    cut_off_kanazawa(&mut world);
    // Twice; beside another amount; without what rests on it; with a shortfall that is none.
    let mut amount = good.clone();
    let body = city_protocol::body::Adopt::read(&good.body).unwrap();
    let more = city_protocol::body::Adopt {
        amount: "3.00".parse().unwrap(),
        ..body
    };
    amount.body = codec::encode(&more);
    let mut alone = good.clone();
    alone.cites.pop();
    let mut own = good.clone();
    own.cites.swap(0, 1);
    for (entry, expected) in [
        (good, Refusal::AlreadyAnswered),
        (amount, Refusal::TransferMismatch),
        (alone, Refusal::BadCite),
        (own, Refusal::BadCite),
    ] {
        let vertex = of_epoch(&world, 2, &[entry]);
        give(&mut world, KANAZAWA, HAKUSAN, &vertex);
        let reason = world.homes[HAKUSAN].frozen.last().unwrap().2;
        assert_eq!(reason, Some(expected));
        restart_without_trace(&mut world);
    }
}

/// 白山's box is put back to before it saw the last vertex.
fn restart_without_trace(world: &mut World) {
    let kaga = world.homes[KOMATSU].disk.clone();
    let _same_disk_for_all = kaga;
    let row = world.homes[HAKUSAN].row(&world.homes[KANAZAWA].log());
    assert!(matches!(row.frozen, Some(Frozen::Invalid(_))));
    let name = city_protocol::ledger::key(
        city_protocol::ledger::Table::Log,
        &[&world.homes[KANAZAWA].log().0],
    );
    let thawed = LogRow {
        frozen: None,
        ..row
    };
    let disk = &mut world.homes[HAKUSAN].disk;
    disk.rows.insert(name, codec::encode(&thawed));
}

/// The vertex after 金沢's head, of this epoch, signed with its key.
fn of_epoch(world: &World, epoch: u64, entries: &[Entry]) -> Vertex {
    let liar = Liar::new(world, KANAZAWA);
    let vertex = liar.sign(entries);
    let mut header = SignedHeader::read(&vertex.header).unwrap().header;
    header.epoch = epoch;
    header.time = world.homes[HAKUSAN].row(&liar.log).time.max(world.now);
    liar.sign_header(header, vertex.body)
}

#[test]
fn a_fork_in_a_later_epoch_is_entered_with_its_proof() {
    let (mut world, hanako, _) = story();
    let log = hanako.home_log;
    let body = epoch_body(&world, KANAZAWA);
    begin(&mut world, KANAZAWA, &body).unwrap();
    world.run();
    let (one, two) = (
        of_epoch(&world, 2, &[start("one")]),
        of_epoch(&world, 2, &[start("two")]),
    );
    cut_off_kanazawa(&mut world);
    give(&mut world, KANAZAWA, KOMATSU, &one);
    give(&mut world, KANAZAWA, HAKUSAN, &two);
    world.run();
    world.pass(60_000);
    for home in [KOMATSU, HAKUSAN] {
        let faults = fault_entries(&world, home);
        let [fault] = faults.as_slice() else {
            panic!("one fault at {home}, not {faults:?}")
        };
        assert_eq!((fault.epoch, fault.reason), (2, FaultReason::Equivocation));
    }
    // A newcomer that hears of it before it knows 金沢 judges the entries the same way.
    let kaga = world.add_home("17206");
    world.connect(kaga, HAKUSAN);
    world.run();
    world.pass(60_000);
    world.pass(60_000);
    let komatsu = world.homes[KOMATSU].log();
    for of in [log, komatsu] {
        let (here, there) = (world.homes[kaga].row(&of), world.homes[HAKUSAN].row(&of));
        assert_eq!((here.head, here.frozen), (there.head, there.frozen));
    }
    // Without the vertex that names the key, or with another, it is no proof.
    let mut entry = Entry::home_authored(
        Kind::Fault,
        codec::encode(&fault_entries(&world, KOMATSU)[0]),
    );
    let mut liar = Liar::new(&world, HAKUSAN);
    let none = liar.sign(std::slice::from_ref(&entry));
    entry.cites = vec![Cite::Vertex(world.homes[KOMATSU].row(&komatsu).head)];
    liar.seq += 1;
    give(&mut world, HAKUSAN, KOMATSU, &none);
    let row = world.homes[KOMATSU].row(&liar.log);
    assert!(matches!(row.frozen, Some(Frozen::Invalid(_))), "{row:?}");
}

#[test]
fn two_beginnings_of_an_epoch_convict_and_the_next_epoch_heals() {
    let (mut world, hanako, taro) = story();
    let log = hanako.home_log;
    let lower = world.homes[KANAZAWA].disk.clone();
    let first = epoch_body(&world, KANAZAWA);
    world.transfer(&hanako, &taro, "1.00").unwrap();
    world.run();
    let second = epoch_body(&world, KANAZAWA);
    assert!(first.cut_seq < second.cut_seq);
    // 小松 sees the epoch begin behind the transfer; then an old disk is put back, and 白山 sees it begin before.
    world.disconnect(KANAZAWA, HAKUSAN);
    world.disconnect(KOMATSU, HAKUSAN);
    begin(&mut world, KANAZAWA, &second).unwrap();
    world.run();
    cut_off_kanazawa(&mut world);
    world.homes[KANAZAWA].disk = lower;
    world.pass(60_000);
    world.boot(KANAZAWA, true);
    begin(&mut world, KANAZAWA, &first).unwrap();
    world.connect(KANAZAWA, HAKUSAN);
    world.run();
    world.connect(KOMATSU, HAKUSAN);
    world.connect(KANAZAWA, KOMATSU);
    for _ in 0..8 {
        world.pass(60_000);
    }
    for home in ALL {
        let row = world.homes[home].row(&log);
        assert_eq!((row.epoch, row.seq), (2, first.cut_seq), "{home}");
        let cut = Some(Frozen::Equivocation(first.cut_seq));
        assert_eq!(row.frozen, cut, "{home}");
    }
    let faults: Vec<Fault> = fault_entries(&world, KOMATSU);
    assert_eq!(faults.last().unwrap().reason, FaultReason::EpochStarts);
    // The officers begin the next with a key that stands in neither.
    let body = epoch_body(&world, KANAZAWA);
    let body = with_new_key(&mut world, KANAZAWA, "a key for the third", body);
    begin(&mut world, KANAZAWA, &body).unwrap();
    world.transfer(&hanako, &taro, "4.00").unwrap();
    let row = settled(&mut world, &log);
    assert_eq!((row.epoch, row.frozen), (3, None));
    let kaga = world.add_home("17206");
    world.connect(kaga, KOMATSU);
    settled(&mut world, &log);
}

#[test]
fn a_vertex_that_breaks_a_rule_is_entered_as_a_fault_once() {
    let (mut world, hanako, taro) = story();
    let body = Settle {
        v: 1,
        transfer: Digest([7; 32]),
        own: city_protocol::body::OwnEntry {
            epoch: 1,
            seq: 1,
            index: 0,
        },
        amount: "1.00".parse().unwrap(),
        reason: Settle::ACCEPTED.into(),
    };
    let entry = Entry::home_authored(Kind::Settle, codec::encode(&body));
    cut_off_kanazawa(&mut world);
    let vertex = Liar::new(&world, KANAZAWA).sign(&[entry]);
    give(&mut world, KANAZAWA, KOMATSU, &vertex);
    give(&mut world, KANAZAWA, HAKUSAN, &vertex);
    world.run();
    restart(&mut world, KOMATSU);
    world.connect(KOMATSU, HAKUSAN);
    world.pass(60_000);
    for home in [KOMATSU, HAKUSAN] {
        let faults = fault_entries(&world, home);
        let [fault] = faults.as_slice() else {
            panic!("one fault at {home}, not {faults:?}")
        };
        assert_eq!(fault.reason, FaultReason::Invalid);
        assert_eq!(fault.log, hanako.home_log);
    }
    assert_eq!(world.homes[HAKUSAN].row(&taro.home_log).frozen, None);
    world.assert_in_step(&[KOMATSU, HAKUSAN]);
}

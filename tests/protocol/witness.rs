//! Witnesses: 金沢's charter names 小松 and 白山. How final what 金沢 books is, and what it costs the two.

use city_protocol::ledger::{Finality, Rows as _, witnesses_of};
use city_protocol::replica::BookedEntry;
use city_protocol::vertex::decode_body;

use crate::people::Person;
use crate::world::World;

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const KOMATSU: usize = 0;
const HAKUSAN: usize = 1;
const KANAZAWA: usize = 2;

/// 小松, 白山, and 金沢, which names both; its founding has been witnessed, and all pauses are over.
fn named() -> World {
    let mut world = World::empty();
    for code in ["17203", "17210"] {
        let home = world.add_home(code);
        let log = world.homes[home].log();
        world.witnesses.push(log);
    }
    world.add_home("17201");
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        world.connect(a, b);
    }
    world.run();
    world.pass(MINUTE_MS);
    world.pass(10 * MINUTE_MS);
    world
}

/// Somebody of 金沢 is given something, and everybody hears of it.
fn granted(world: &mut World, person: &Person) -> BookedEntry {
    let booked = world.grant(person, "1.00").unwrap();
    world.run();
    booked
}

fn seq(world: &World, home: usize) -> u64 {
    let log = world.homes[home].log();
    world.homes[home].row(&log).seq
}

/// How final an entry of 金沢 is, as this home knows it.
fn finality(world: &World, at: usize, booked: &BookedEntry) -> Finality {
    let log = world.homes[KANAZAWA].log();
    let position = (booked.at.epoch, booked.at.seq);
    Finality::at(world.homes[at].disk.read(), &log, position)
}

#[test]
fn who_is_named_witnesses_after_half_a_minute_and_with_an_empty_vertex() {
    let mut world = named();
    let person = world.citizen("a citizen of 金沢", KANAZAWA);
    let booked = granted(&mut world, &person);
    let before = [KOMATSU, HAKUSAN].map(|home| seq(&world, home));
    world.pass(29 * SECOND_MS);
    assert_eq!([KOMATSU, HAKUSAN].map(|home| seq(&world, home)), before);
    assert_eq!(finality(&world, KANAZAWA, &booked), Finality::Sequenced);

    world.pass(SECOND_MS);
    for home in 0..3 {
        let finality = finality(&world, home, &booked);
        assert!(matches!(finality, Finality::Witnessed(1 | 2)), "{finality}");
    }
    let log = world.homes[KOMATSU].log();
    let disk = world.homes[KOMATSU].disk.read();
    let head = disk.vertex(&world.homes[KOMATSU].row(&log).head).unwrap();
    assert_eq!(head.count, 0);
    assert_eq!(decode_body(&disk.block(&head.body).unwrap()), Ok(vec![]));
    // What only witnesses needs no witness: nobody answers it for ever after.
    let after = [0, 1, 2].map(|home| seq(&world, home));
    for _ in 0..20 {
        world.pass(MINUTE_MS);
    }
    assert_eq!([0, 1, 2].map(|home| seq(&world, home)), after);
}

#[test]
fn a_home_witnesses_at_most_once_in_five_minutes() {
    let mut world = named();
    let person = world.citizen("a citizen of 金沢", KANAZAWA);
    world.run();
    world.pass(30 * SECOND_MS);
    let first = seq(&world, KOMATSU);
    let booked = granted(&mut world, &person);
    for _ in 0..9 {
        world.pass(30 * SECOND_MS);
        assert_eq!(seq(&world, KOMATSU), first);
    }
    assert_eq!(finality(&world, KOMATSU, &booked), Finality::Sequenced);
    world.pass(30 * SECOND_MS);
    assert_eq!(seq(&world, KOMATSU), first + 1);
    assert!(finality(&world, KOMATSU, &booked) > Finality::Sequenced);
}

#[test]
fn who_books_something_anyway_spends_no_vertex_on_witnessing() {
    let mut world = named();
    let person = world.citizen("a citizen of 金沢", KANAZAWA);
    let booked = granted(&mut world, &person);
    world.citizen("a citizen of 小松", KOMATSU);
    world.run();
    assert_eq!(finality(&world, HAKUSAN, &booked), Finality::Witnessed(1));
    let before = [KOMATSU, HAKUSAN].map(|home| seq(&world, home));
    world.pass(10 * MINUTE_MS);
    assert_eq!([KOMATSU, HAKUSAN].map(|home| seq(&world, home)), before);
}

#[test]
fn who_is_not_named_spends_none() {
    let mut world = World::connected();
    let person = world.citizen("a citizen of the first", 0);
    world.grant(&person, "1.00").unwrap();
    world.run();
    let before = [1, 2].map(|home| seq(&world, home));
    world.pass(10 * MINUTE_MS);
    assert_eq!([1, 2].map(|home| seq(&world, home)), before);
}

/// A home that restarted in the half minute had forgotten what it owed.
#[test]
fn what_is_owed_survives_a_restart() {
    let mut world = named();
    let person = world.citizen("a citizen of 金沢", KANAZAWA);
    let booked = granted(&mut world, &person);
    world.disconnect(HAKUSAN, KANAZAWA);
    world.restart(KOMATSU);
    let before = seq(&world, KOMATSU);
    world.pass(29 * SECOND_MS);
    assert_eq!(seq(&world, KOMATSU), before);
    world.pass(SECOND_MS);
    assert!(finality(&world, KOMATSU, &booked) > Finality::Sequenced);
}

#[test]
fn a_position_is_witnessed_up_to_the_highest_parent_and_not_beyond() {
    let mut world = named();
    let person = world.citizen("a citizen of 金沢", KANAZAWA);
    let first = granted(&mut world, &person);
    world.citizen("a citizen of 小松", KOMATSU);
    world.run();
    let second = granted(&mut world, &person);
    let log = world.homes[KANAZAWA].log();
    let witness = world.homes[KOMATSU].log();
    for home in 0..3 {
        let disk = world.homes[home].disk.read();
        let row = disk.witness(&log, &witness).unwrap();
        assert_eq!(row.position(), (first.at.epoch, first.at.seq));
        assert_eq!(witnesses_of(disk, &log, row.position()), 1);
        assert_eq!(finality(&world, home, &second), Finality::Sequenced);
    }
}

#[test]
fn a_transfer_is_sequenced_then_witnessed_then_settled() {
    let mut world = named();
    let sender = world.rich_citizen("a sender in 金沢", KANAZAWA, "10.00");
    let receiver = world.citizen("a receiver in 小松", KOMATSU);
    world.run();
    let sent = world.transfer(&sender, &receiver, "4.00").unwrap();
    let log = world.homes[KANAZAWA].log();
    let of_transfer = |world: &World| {
        let disk = world.homes[KANAZAWA].disk.read();
        let row = disk.transfer(&log, &sent.identity).unwrap();
        Finality::of_transfer(disk, &log, &row)
    };
    assert_eq!(of_transfer(&world), Finality::Sequenced);
    world.run();
    world.pass(30 * SECOND_MS);
    assert!(matches!(of_transfer(&world), Finality::Witnessed(_)));
    world.accept(&receiver, &sent).unwrap();
    world.run();
    assert_eq!(of_transfer(&world), Finality::Settled);
}

//! Who may only read: it gets everything that is booked, now and later, and nothing of its own counts.

use city_protocol::amount::Amount;
use city_protocol::ledger::Rows as _;
use city_protocol::replica::{Confirmation, Standing, log_rows};
use city_protocol::sync::{Channel, Message};

use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

/// How many vertices a home has of another's log.
fn has(world: &World, home: usize, of: usize) -> u64 {
    let log = world.homes[of].identity.authority.log;
    let rows = log_rows(&world.homes[home].disk);
    let row = rows.iter().find(|(found, _)| *found == log);
    row.map_or(0, |(_, row)| row.seq)
}

#[test]
fn a_reader_follows_and_nothing_of_it_is_asked_for_or_stored() {
    let mut world = World::new();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "100.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    world.rich_citizen("taro", HAKUSAN, "5.00");
    world.connect(KANAZAWA, KOMATSU);
    world.connect_reader(KANAZAWA, HAKUSAN);
    world.run();
    let booked = has(&world, KANAZAWA, KANAZAWA);
    assert!(booked > 0 && has(&world, HAKUSAN, HAKUSAN) > 0);
    assert_eq!(has(&world, HAKUSAN, KANAZAWA), booked);

    // What comes later, too; and what others booked, through the home that it reads.
    world.transfer(&hanako, &jiro, "1.00").unwrap();
    world.rich_citizen("saburo", KOMATSU, "5.00");
    world.run();
    for _ in 0..3 {
        world.pass(61_000);
    }
    assert_eq!(
        has(&world, HAKUSAN, KANAZAWA),
        has(&world, KANAZAWA, KANAZAWA)
    );
    assert_eq!(has(&world, HAKUSAN, KOMATSU), has(&world, KOMATSU, KOMATSU));
    assert!(has(&world, HAKUSAN, KOMATSU) > 0);

    // Its own log is at none of the others, also when it sends vertices that nobody asked for.
    let disk = &world.homes[HAKUSAN].disk;
    let own = world.homes[HAKUSAN].identity.authority.log;
    let first = disk.read().vertex_at(&own, 1, 1).unwrap();
    let body = disk.read().vertex(&first).unwrap().body;
    let block = |id| disk.blocks[id].to_vec();
    let message = Message::Vertex(block(&first).into(), block(&body).into());
    world.hand(HAKUSAN, KANAZAWA, Channel::Live, &message.encode());
    world.run();
    for home in [KANAZAWA, KOMATSU] {
        assert_eq!(has(&world, home, HAKUSAN), 0);
    }
    assert!(
        world.is_connected(KANAZAWA, HAKUSAN),
        "honest nodes send such, too"
    );
    // The same vertex of one that may do more.
    world.disconnect(KANAZAWA, HAKUSAN);
    world.connect(KANAZAWA, HAKUSAN);
    world.run();
    assert_eq!(
        has(&world, KANAZAWA, HAKUSAN),
        has(&world, HAKUSAN, HAKUSAN)
    );
}

#[test]
fn a_reader_confirms_nobodys_log() {
    let mut world = World::connected();
    world.rich_citizen("hanako", KANAZAWA, "100.00");
    world.run();
    let standing = |world: &World| {
        let home = &world.homes[KANAZAWA];
        home.replica.status(&home.disk).standing
    };
    for other in [KOMATSU, HAKUSAN] {
        world.disconnect(KANAZAWA, other);
    }
    let waits = Confirmation::Unconfirmed {
        wait_ms: 10_000,
        limit: Amount::from_hundredths(100_000),
    };
    world.boot_as(KANAZAWA, true, waits);
    world.connect_reader(KANAZAWA, KOMATSU);
    world.run();
    assert_eq!(standing(&world), Standing::Waiting);
    world.pass(1_000);
    assert_eq!(standing(&world), Standing::Waiting);
    world.connect(KANAZAWA, HAKUSAN);
    world.run();
    assert_eq!(standing(&world), Standing::Confirmed);
}

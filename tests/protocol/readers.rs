//! Who may only read: it gets everything that is booked, now and later, and nothing of its own counts.

use city_protocol::amount::Amount;
use city_protocol::ids::Digest;
use city_protocol::ledger::Rows as _;
use city_protocol::replica::Input;
use city_protocol::replica::{Confirmation, Standing, log_rows};
use city_protocol::sync::{Beacon, Channel, Message, READER_CREDIT};

use super::catch_up::backlog;
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

/// Each greets the other, and only the hello that greets a reader says that it may only read: a byte string more, or none.
#[test]
fn a_reader_is_told_that_it_is_one() {
    let mut world = World::new();
    world.take_sent();
    world.connect_reader(KANAZAWA, HAKUSAN);
    let sent = world.take_sent();
    let hellos: Vec<_> = sent
        .iter()
        .filter_map(|(from, .., frame)| match Message::decode(frame) {
            Ok(Message::Hello(hello)) => Some((*from, hello.reads_only, frame)),
            _ => None,
        })
        .collect();
    assert_eq!(hellos.len(), 2);
    for (from, reads_only, frame) in hellos {
        assert_eq!(reads_only, from == KANAZAWA);
        let named = frame.windows(10).any(|bytes| bytes == b"reads_only");
        assert_eq!(named, reads_only, "what is not so takes no byte");
    }
    let mut world = World::new();
    world.connect_reader(KANAZAWA, HAKUSAN);
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    let told = |home: usize| {
        let home = &world.homes[home];
        home.replica.status(&home.disk).read_only_at
    };
    assert_eq!(told(HAKUSAN), [world.homes[KANAZAWA].peer()]);
    assert_eq!((told(KANAZAWA), told(KOMATSU)), (Vec::new(), Vec::new()));
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

/// Delivers until one hears another's words of its own log.
fn until_heard(world: &mut World, by: usize, other: usize) {
    let peer = world.homes[other].peer();
    while !world.homes[by].replica.hears(&peer) {
        assert!(world.deliver(), "nobody says anything more");
    }
}

#[test]
fn what_a_reader_says_of_a_log_counts_nowhere() {
    let mut world = World::new();
    let peer = world.homes[KOMATSU].peer();
    let heard = |world: &World| world.homes[KANAZAWA].replica.hears(&peer);
    world.connect_reader(KANAZAWA, KOMATSU);
    assert!(!heard(&world), "before its hello");
    world.run();
    assert!(!heard(&world));
    world.disconnect(KANAZAWA, KOMATSU);
    world.connect(KANAZAWA, KOMATSU);
    assert!(!heard(&world), "before its hello");
    world.run();
    assert!(heard(&world));
}

#[test]
fn a_reader_is_sent_more_than_its_credit_as_it_gives_credit_back() {
    let mut world = World::new();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "1000.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    backlog(&mut world, &hanako, &jiro, 1000);
    let blocks = world.homes[KANAZAWA].disk.blocks.values();
    let size: usize = blocks.map(|bytes| bytes.len()).sum();
    assert!(size as u64 > 2 * READER_CREDIT, "{size}");
    world.connect_reader(KANAZAWA, KOMATSU);
    world.run();
    assert_eq!(
        has(&world, KOMATSU, KANAZAWA),
        has(&world, KANAZAWA, KANAZAWA)
    );
}

#[test]
fn what_a_reader_compares_is_compared_once_a_second() {
    let mut world = World::connected();
    world.run();
    let answered = |world: &mut World, from: usize, hash: Digest| {
        let message = Message::Beacon(Beacon { hash, sum: 0 }).encode();
        world.hand(from, KANAZAWA, Channel::Sync, &message);
        !world.take_sent().is_empty()
    };
    let home = &world.homes[KANAZAWA];
    let equal = home.replica.status(&home.disk).frontier_hash;
    let other = Digest([7; 32]);
    world.pass(2_000);
    // Of a listed peer what is unequal right after it was equal is news.
    assert!(!answered(&mut world, KOMATSU, equal));
    assert!(answered(&mut world, KOMATSU, other));
    world.disconnect(KANAZAWA, HAKUSAN);
    world.connect_reader(KANAZAWA, HAKUSAN);
    world.run();
    world.pass(2_000);
    assert!(!answered(&mut world, HAKUSAN, equal));
    assert!(!answered(&mut world, HAKUSAN, other));
    world.now = world.now.plus_ms(1_000);
    assert!(answered(&mut world, HAKUSAN, other));
}

#[test]
fn what_is_missing_is_asked_of_who_gives_and_not_of_a_reader() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "100.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    world.run();
    world.disconnect(KANAZAWA, KOMATSU);
    world.disconnect(KOMATSU, HAKUSAN);
    let known = has(&world, KOMATSU, KANAZAWA);
    for _ in 0..2 {
        world.transfer(&hanako, &jiro, "1.00").unwrap();
    }
    world.run();
    // 白山市 hands on the later of the two vertices alone.
    let disk = &world.homes[KANAZAWA].disk;
    let log = world.homes[KANAZAWA].identity.authority.log;
    let later = disk.read().vertex_at(&log, 1, known + 2).unwrap();
    let body = disk.read().vertex(&later).unwrap().body;
    let block = |id| disk.blocks[id].to_vec();
    let frame = Message::Vertex(block(&later).into(), block(&body).into()).encode();
    let asked = |world: &mut World| {
        let sent = world.take_sent();
        let fetch = |frame: &[u8]| matches!(Message::decode(frame), Ok(Message::Fetch(_)));
        let sent = sent.into_iter().filter(|(.., frame)| fetch(frame));
        sent.map(|(_, to, ..)| to).collect::<Vec<_>>()
    };
    world.connect(KOMATSU, HAKUSAN);
    until_heard(&mut world, KOMATSU, HAKUSAN);
    world.take_sent();
    world.hand(HAKUSAN, KOMATSU, Channel::Live, &frame);
    assert_eq!(asked(&mut world), [HAKUSAN]);
    // It comes back and only reads.
    world.disconnect(KOMATSU, HAKUSAN);
    world.connect_reader(KOMATSU, HAKUSAN);
    world.connect(KOMATSU, KANAZAWA);
    until_heard(&mut world, KOMATSU, KANAZAWA);
    world.take_sent();
    world.now = world.now.plus_ms(11_000);
    world.tell(KOMATSU, Input::Tick);
    world.commit(KOMATSU);
    assert_eq!(asked(&mut world), [KANAZAWA]);
}

//! What two nodes say to each other beside the vertices: the bytes that it takes to see that they are equal, and to find what
//! one of them lacks.

use city_protocol::replica::Input;
use city_protocol::sync::Message;

use super::notes::write;
use super::world::{KANAZAWA, World};

/// Authors of what is missing, and vertices of each: 1,000 in all.
const AUTHORS: usize = 20;
const EACH: usize = 50;
/// Most payload of the message by which two nodes see that they are equal.
const EQUAL: usize = 64;
/// Most bytes beside the vertices in which 1,000 missing ones of 20 authors are found, both ways together.
const FOUND: usize = 2 << 10;
/// Longer than two nodes in step leave each other alone.
const MINUTES_MS: u64 = 120_000;

/// Bytes of the frames that passed between two nodes, by what they are.
#[derive(Debug, Default)]
struct Carried {
    /// Beacons, frontiers, what was asked for: what finding costs.
    finding: usize,
    vertices: usize,
    /// Receipts for what was stored: flow control, one for some vertices.
    credit: usize,
    hellos: usize,
}

/// Carries everything that is said until nobody says anything more, and counts what passes between these two.
fn carry(world: &mut World, one: usize, other: usize) -> Carried {
    let mut carried = Carried::default();
    loop {
        let sent = world.take_sent();
        if sent.is_empty() {
            return carried;
        }
        for (from, to, channel, frame) in sent {
            let message = Message::decode(&frame).unwrap();
            let between = (from, to) == (one, other) || (from, to) == (other, one);
            match message {
                _ if !between => {}
                Message::Vertex(..) => carried.vertices += 1,
                Message::Credit(_) => carried.credit += frame.len(),
                Message::Hello(_) => carried.hellos += frame.len(),
                _ => carried.finding += frame.len(),
            }
            world.hand(from, to, channel, &frame);
        }
    }
}

#[test]
fn two_equal_nodes_see_it_by_one_short_message_each_way() {
    let mut world = World::new();
    for home in 1..world.homes.len() {
        world.connect(KANAZAWA, home);
    }
    world.run();
    world.now = world.now.plus_ms(MINUTES_MS);
    world.tell(KANAZAWA, Input::Tick);
    let sent = world.take_sent();
    assert!(!sent.is_empty(), "nothing was compared");
    for (from, to, channel, frame) in sent {
        let message = Message::decode(&frame).unwrap();
        assert!(matches!(message, Message::Beacon(_)), "{message:?}");
        assert!(frame.len() <= EQUAL, "{} bytes", frame.len());
        world.hand(from, to, channel, &frame);
    }
    for (_, _, _, frame) in world.take_sent() {
        let answer = Message::decode(&frame).unwrap();
        assert!(matches!(answer, Message::Beacon(_)), "{answer:?}");
        assert!(frame.len() <= EQUAL, "{} bytes", frame.len());
    }
}

/// Twenty authors write so many notes each while the last home is away; it writes `own` itself. Gives the world, the hub and that home.
fn parted(each: usize, own: usize) -> (World, usize, usize) {
    let mut world = World::empty();
    for number in 0..=AUTHORS + 1 {
        world.add_home(&format!("17{:03}", 201 + number));
    }
    // The hub knows everybody; the last one knows the hub.
    let (hub, away) = (0, AUTHORS + 1);
    for other in 1..=away {
        world.connect(hub, other);
    }
    world.run();
    world.disconnect(hub, away);
    for note in 0..each {
        for author in 1..=AUTHORS {
            write(&mut world, author, &format!("n{note}"), Some(b"x")).unwrap();
        }
        world.run();
    }
    for note in 0..own {
        write(&mut world, away, &format!("n{note}"), Some(b"x")).unwrap();
    }
    world.run();
    assert!(!world.in_step(&[hub, away]));
    (world, hub, away)
}

#[test]
fn a_thousand_missing_vertices_of_twenty_authors_come_in_one_go() {
    // Also where the one that was away has something that the other lacks, or more than all the others together.
    for (each, own, most) in [(EACH, 0, FOUND), (2, 1, FOUND), (2, 50, FOUND + 1_024)] {
        let (mut world, hub, away) = parted(each, own);
        world.connect(hub, away);
        let carried = carry(&mut world, hub, away);
        assert!(world.in_step(&[hub, away]));
        println!("{each} each, {own} besides: {carried:?}");
        assert_eq!(carried.vertices, AUTHORS * each + own, "{carried:?}");
        assert!(carried.finding <= most, "{carried:?}");
    }
}

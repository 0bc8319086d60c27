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
/// Most bytes beside the vertices in which 1,000 missing ones of 20 authors are found; two kilobytes are wanted. Each log is
/// asked for by a message of its own, and the first is served before the last is asked for: what it rests on of the others
/// is fetched one by one.
const FOUND: usize = 20 << 10;
/// Vertices that come twice for the same reason, at most.
const TWICE: usize = 300;
/// Longer than two nodes in step leave each other alone.
const MINUTES_MS: u64 = 120_000;

/// Bytes of the frames that were carried, by what they are.
#[derive(Debug, Default)]
struct Carried {
    /// Beacons, frontiers, what was asked for: what finding costs.
    finding: usize,
    vertices: usize,
    /// Receipts for what was stored: flow control, one for some vertices.
    credit: usize,
    hellos: usize,
}

/// Carries everything that is said until nobody says anything more.
fn carry(world: &mut World) -> Carried {
    let mut carried = Carried::default();
    loop {
        let sent = world.take_sent();
        if sent.is_empty() {
            return carried;
        }
        for (from, to, channel, frame) in sent {
            match Message::decode(&frame).unwrap() {
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

#[test]
fn a_thousand_missing_vertices_of_twenty_authors_come_in_one_go() {
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
    for note in 0..EACH {
        for author in 1..=AUTHORS {
            write(&mut world, author, &format!("n{note}"), Some(b"x")).unwrap();
        }
        world.run();
    }
    assert!(!world.in_step(&[hub, away]));
    world.connect(hub, away);
    let carried = carry(&mut world);
    assert!(world.in_step(&[hub, away]));
    println!("{carried:?}");
    assert!(carried.vertices <= AUTHORS * EACH + TWICE, "{carried:?}");
    assert!(carried.finding <= FOUND, "{carried:?}");
}

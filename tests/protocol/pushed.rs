//! News between nodes in step: who wrote a vertex sends it unasked, whoever hands it on announces it, and nothing comes twice.

use city_protocol::ids::Digest;
use city_protocol::sync::{Beacon, Channel, INITIAL_CREDIT, Message};

use super::notes::write;
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, Sent, World};

/// Longer than those who met need to compare themselves once more.
const SETTLED_MS: u64 = 3_000;
/// As long as a node waits for a vertex from its author, while another has it.
const PATIENCE_MS: u64 = 3_000;

/// Homes between which there are these lines, and who know to be in step.
fn in_step(lines: &[(usize, usize)]) -> World {
    let mut world = World::new();
    for (a, b) in lines {
        world.connect(*a, *b);
    }
    world.run();
    for _ in 0..2 {
        world.pass(SETTLED_MS);
    }
    world
}

/// What was said, in order: from, to, and what it is.
fn said(sent: &[Sent]) -> Vec<(usize, usize, &'static str)> {
    let name = |frame: &[u8]| match Message::decode(frame).unwrap() {
        Message::Vertex(..) => "vertex",
        Message::Announce(_) => "announce",
        Message::Want(_) => "want",
        Message::Fetch(_) => "fetch",
        Message::Credit(_) => "credit",
        _ => "other",
    };
    let one = |(from, to, _, frame): &Sent| (*from, *to, name(frame));
    sent.iter().map(one).collect()
}

/// Carries everything that follows, and gives all that was said.
fn carry(world: &mut World) -> Vec<(usize, usize, &'static str)> {
    let mut all = Vec::new();
    loop {
        let sent: Vec<_> = world.take_sent().into();
        if sent.is_empty() {
            return all;
        }
        all.extend(said(&sent));
        for (from, to, channel, frame) in sent {
            world.hand(from, to, channel, &frame);
        }
    }
}

fn vertices(said: &[(usize, usize, &str)], to: usize) -> usize {
    let to = |(_, whom, what): &&(usize, usize, &str)| *whom == to && *what == "vertex";
    said.iter().filter(to).count()
}

#[test]
fn who_is_in_step_is_sent_a_vertex_without_a_word_before() {
    let mut world = in_step(&[(KANAZAWA, KOMATSU)]);
    for note in ["a", "b", "c"] {
        write(&mut world, KANAZAWA, note, Some(b"x")).unwrap();
        assert_eq!(carry(&mut world), [(KANAZAWA, KOMATSU, "vertex")], "{note}");
        world.assert_in_step(&[KANAZAWA, KOMATSU]);
    }
    // Also where both write, and what the one writes rests on what the other sent.
    write(&mut world, KOMATSU, "d", Some(b"x")).unwrap();
    write(&mut world, KANAZAWA, "e", Some(b"x")).unwrap();
    let both = [(KOMATSU, KANAZAWA, "vertex"), (KANAZAWA, KOMATSU, "vertex")];
    assert_eq!(carry(&mut world), both);
    world.assert_in_step(&[KANAZAWA, KOMATSU]);
}

#[test]
fn who_is_behind_is_told_and_asks() {
    let mut world = World::new();
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    let asked = [
        (KANAZAWA, KOMATSU, "announce"),
        (KOMATSU, KANAZAWA, "want"),
        (KANAZAWA, KOMATSU, "vertex"),
    ];
    // They have the same and have not compared it.
    write(&mut world, KANAZAWA, "a", Some(b"x")).unwrap();
    assert_eq!(carry(&mut world), asked);
    world.pass(SETTLED_MS);
    write(&mut world, KANAZAWA, "b", Some(b"x")).unwrap();
    assert_eq!(carry(&mut world), [(KANAZAWA, KOMATSU, "vertex")]);
    // Twice in a row it has something else: it may not follow this log any more.
    for _ in 0..2 {
        world.now = world.now.plus_ms(SETTLED_MS);
        let (hash, sum) = (Digest([7; 32]), u64::MAX);
        let other = Message::Beacon(Beacon { hash, sum }).encode();
        world.hand(KOMATSU, KANAZAWA, Channel::Sync, &other);
        world.take_sent();
    }
    write(&mut world, KANAZAWA, "c", Some(b"x")).unwrap();
    assert_eq!(carry(&mut world), asked);
    world.assert_in_step(&[KANAZAWA, KOMATSU]);
}

#[test]
fn who_stores_too_slowly_is_told_and_asks() {
    let mut world = in_step(&[(KANAZAWA, KOMATSU)]);
    let (mut unasked, mut on_its_way) = (0, 0);
    let told = loop {
        let note = format!("n{unasked}");
        write(&mut world, KANAZAWA, &note, Some(&[7; 1024])).unwrap();
        let sent: Vec<_> = world.take_sent().into();
        if said(&sent) != [(KANAZAWA, KOMATSU, "vertex")] {
            break sent;
        }
        // It is on its way, and nothing of it was stored yet.
        unasked += 1;
        on_its_way += sent[0].3.len() as u64;
        assert!(
            on_its_way <= INITIAL_CREDIT / 2 + (64 << 10),
            "{on_its_way}"
        );
    };
    assert_eq!(said(&told), [(KANAZAWA, KOMATSU, "announce")]);
    assert!(on_its_way > INITIAL_CREDIT / 4, "{on_its_way}");
}

#[test]
fn whoever_hands_a_vertex_on_only_announces_it() {
    let mut world = in_step(&[(KANAZAWA, KOMATSU), (KOMATSU, HAKUSAN)]);
    write(&mut world, KANAZAWA, "a", Some(b"x")).unwrap();
    let line = [
        (KANAZAWA, KOMATSU, "vertex"),
        (KOMATSU, HAKUSAN, "announce"),
        (HAKUSAN, KOMATSU, "want"),
        (KOMATSU, HAKUSAN, "vertex"),
    ];
    assert_eq!(carry(&mut world), line);
    // 小松's own vertex rests on 金沢's, of which 白山 has only heard: it is told, and asks for both in order.
    write(&mut world, KANAZAWA, "b", Some(b"x")).unwrap();
    let sent = world.take_sent();
    for (from, to, channel, frame) in sent {
        world.hand(from, to, channel, &frame);
    }
    write(&mut world, KOMATSU, "c", Some(b"x")).unwrap();
    let said = carry(&mut world);
    assert_eq!(vertices(&said, HAKUSAN), 2, "{said:?}");
    assert!(!said.iter().any(|(.., what)| *what == "fetch"), "{said:?}");
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN]);
    // And once more, now that 白山 has shown what it has.
    write(&mut world, KOMATSU, "d", Some(b"x")).unwrap();
    let both = [(KOMATSU, KANAZAWA, "vertex"), (KOMATSU, HAKUSAN, "vertex")];
    let mut said = carry(&mut world);
    said.sort_unstable();
    assert_eq!(said, both);
}

#[test]
fn in_a_mesh_of_three_nothing_comes_twice() {
    let mesh = [(KANAZAWA, KOMATSU), (KANAZAWA, HAKUSAN), (KOMATSU, HAKUSAN)];
    let mut world = in_step(&mesh);
    for round in 0..3 {
        for home in [KANAZAWA, KOMATSU, HAKUSAN] {
            write(&mut world, home, &format!("{home} {round}"), Some(b"x")).unwrap();
            let said = carry(&mut world);
            for other in [KANAZAWA, KOMATSU, HAKUSAN] {
                assert_eq!(
                    vertices(&said, other),
                    usize::from(other != home),
                    "{said:?}"
                );
            }
            let asked = |(.., what): &&(usize, usize, &str)| ["want", "fetch"].contains(what);
            assert!(!said.iter().any(|one| asked(&one)), "{said:?}");
        }
    }
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN]);
}

/// 小松 has stored 金沢's vertex and says so before it has come to 白山.
#[test]
fn whoever_has_a_line_to_the_author_waits_for_the_author_but_not_long() {
    let mesh = [(KANAZAWA, KOMATSU), (KANAZAWA, HAKUSAN), (KOMATSU, HAKUSAN)];
    for arrives in [true, false] {
        let mut world = in_step(&mesh);
        write(&mut world, KANAZAWA, "a", Some(b"x")).unwrap();
        let (mut late, early): (Vec<_>, Vec<_>) = world
            .take_sent()
            .into_iter()
            .partition(|(_, to, ..)| *to == HAKUSAN);
        for (from, to, channel, frame) in early {
            world.hand(from, to, channel, &frame);
        }
        let told = carry(&mut world);
        assert_eq!(told, [(KOMATSU, HAKUSAN, "announce")]);
        if arrives {
            let (from, to, channel, frame) = late.remove(0);
            world.hand(from, to, channel, &frame);
            let said = carry(&mut world);
            assert_eq!(said, [(HAKUSAN, KOMATSU, "announce")]);
        }
        world.pass(PATIENCE_MS + 1);
        world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN]);
    }
}

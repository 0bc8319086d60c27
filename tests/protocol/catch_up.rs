//! Catching up: late joiners, long backlogs, partitions, things that arrive in the wrong order.

use city_protocol::refusal::Refusal;
use city_protocol::replica::{Input, MAX_AHEAD_MS};
use city_protocol::stage::Submission;
use city_protocol::sync::{Channel, FrontierEntry, INITIAL_CREDIT, Message};
use city_protocol::vertex::SignedHeader;

use super::people::{Person, signed};
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

#[test]
fn a_late_joiner_catches_up_from_nothing() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "100.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    for _ in 0..5 {
        let sent = world.transfer(&hanako, &taro, "1.00").unwrap();
        world.run();
        world.accept(&taro, &sent).unwrap();
        world.run();
    }
    let nomi = world.add_home("17211");
    // It knows only 白山, which speaks for everybody.
    world.connect(nomi, HAKUSAN);
    world.run();
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN, nomi]);
    assert_eq!(world.homes[nomi].available(&taro), 500);
    world.audit();
}

/// Hundreds of transfers in a few big vertices.
pub(super) fn backlog(world: &mut World, from: &Person, to: &Person, transfers: u64) {
    let mut tickets = Vec::new();
    for sequence in 1..=transfers {
        let mut body = world.transfer_body(from, to, "0.01");
        body.sequence = sequence;
        // The proofs of place are held five minutes at most.
        let body = signed(body, from).unwrap();
        tickets.push(world.ask(from.home, Submission::Transfer(body)));
    }
    world.commit(from.home);
    for ticket in tickets {
        world.answer(from.home, ticket).unwrap().unwrap();
    }
}

#[test]
fn a_backlog_beyond_the_credit_window_arrives_whole() {
    let mut world = World::new();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "1000.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    backlog(&mut world, &hanako, &jiro, 1500);
    let size: usize = world.homes[KANAZAWA]
        .disk
        .blocks
        .values()
        .map(|bytes| bytes.len())
        .sum();
    assert!(
        size as u64 > 2 * INITIAL_CREDIT,
        "{size} bytes do not exceed the window"
    );
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    world.assert_in_step(&[KANAZAWA, KOMATSU]);
    assert_eq!(world.homes[KOMATSU].available(&hanako), 100_000 - 1500);
    // Each vertex travelled once.
    let vertices = world.homes[KANAZAWA].row(&hanako.home_log).seq as usize;
    assert_eq!(world.homes[KANAZAWA].vertices_sent, vertices);
}

#[test]
fn many_small_vertices_arrive_whole_even_with_another_peer_asking() {
    let mut world = World::new();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "1000.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    for _ in 0..120 {
        world.transfer(&hanako, &jiro, "0.01").unwrap();
    }
    for (a, b) in [(KANAZAWA, KOMATSU), (KOMATSU, HAKUSAN), (KANAZAWA, HAKUSAN)] {
        world.connect(a, b);
    }
    world.run();
    world.pass(1000);
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN]);
}

#[test]
fn a_long_catch_up_is_not_given_up_while_it_moves() {
    let mut world = World::new();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "1000.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    for _ in 0..30 {
        world.transfer(&hanako, &jiro, "0.01").unwrap();
    }
    world.connect(KANAZAWA, KOMATSU);
    // Ten seconds for every message: longer than the patience with one range, but never without news.
    while world.deliver() {
        world.now = world.now.plus_ms(10_000);
        world.tell(KOMATSU, Input::Tick);
        world.commit(KOMATSU);
    }
    world.assert_in_step(&[KANAZAWA, KOMATSU]);
    let vertices = world.homes[KANAZAWA].row(&hanako.home_log).seq as usize;
    assert_eq!(
        world.homes[KANAZAWA].vertices_sent, vertices,
        "nothing was asked for twice"
    );
}

#[test]
fn two_halves_of_a_network_work_apart_and_heal() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "100.00");
    let taro = world.citizen("taro", KOMATSU);
    let saburo = world.citizen("saburo", HAKUSAN);
    world.run();
    let early = world.transfer(&hanako, &taro, "1.00").unwrap();
    world.run();
    world.disconnect(KANAZAWA, KOMATSU);
    world.disconnect(KANAZAWA, HAKUSAN);
    // 金沢 alone; 小松 and 白山 together.
    let alone = world.transfer(&hanako, &saburo, "2.00").unwrap();
    world.accept(&taro, &early).unwrap();
    assert_eq!(
        world.accept(&saburo, &alone).unwrap_err(),
        Refusal::UnknownTransfer
    );
    world.run();
    world.pass(86_400_000);
    assert!(world.in_step(&[KOMATSU, HAKUSAN]));
    assert!(!world.in_step(&[KANAZAWA, KOMATSU]));
    world.connect(KANAZAWA, HAKUSAN);
    world.run();
    world.accept(&saburo, &alone).unwrap();
    world.run();
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN]);
    world.audit();
    assert_eq!(
        world.homes[KOMATSU]
            .row(&hanako.home_log)
            .totals
            .settled_out,
        300
    );
}

#[test]
fn a_vertex_whose_parent_is_unknown_waits_and_asks_for_it() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "100.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    world.disconnect(KANAZAWA, HAKUSAN);
    world.disconnect(KOMATSU, HAKUSAN);
    let sent = world.transfer(&hanako, &taro, "1.00").unwrap();
    world.run();
    // 小松's acceptance rests on 金沢's vertex; 白山 is told only of the acceptance, and asks 小松 for both.
    let taken = world.accept(&taro, &sent).unwrap();
    let (header, body) = blocks(&world, KOMATSU, &taken.vertex);
    world.connect(KOMATSU, HAKUSAN);
    let frame = Message::Vertex(header.into(), body.into()).encode();
    let input = world.receive(HAKUSAN, world.homes[KOMATSU].peer(), Channel::Live, &frame);
    world.tell(HAKUSAN, input);
    world.commit(HAKUSAN);
    assert_eq!(
        world.homes[HAKUSAN].row(&taro.home_log).seq,
        2,
        "the acceptance waits"
    );
    world.run();
    world.assert_in_step(&[KOMATSU, HAKUSAN]);
}

/// Header and body block of a vertex.
fn blocks(world: &World, home: usize, id: &city_protocol::ids::BlockId) -> (Vec<u8>, Vec<u8>) {
    let disk = &world.homes[home].disk;
    let header = disk.blocks[id].to_vec();
    let body = SignedHeader::read(&header).unwrap().header.body;
    (header, disk.blocks[&body].to_vec())
}

#[test]
fn the_pen_is_bounded_and_cannot_be_filled_for_good() {
    let mut world = World::new();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "100.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    world.disconnect(KANAZAWA, KOMATSU);
    // 1,200 vertices without the one before them: more than the pen holds.
    let mut vertices = Vec::new();
    for _ in 0..1_200 {
        let sent = world.transfer(&hanako, &jiro, "0.01").unwrap();
        vertices.push(blocks(&world, KANAZAWA, &sent.vertex));
    }
    let peer = world.homes[KANAZAWA].peer();
    for (header, body) in vertices.iter().skip(1) {
        let vertex = world.verify(KOMATSU, header, body.clone()).unwrap();
        world.tell(KOMATSU, Input::Vertex(peer, Box::new(vertex), 0));
        world.now = world.now.plus_ms(1);
    }
    let status = |world: &World| {
        let home = &world.homes[KOMATSU];
        home.replica.status(&home.disk).in_flight
    };
    assert_eq!(status(&world), 1024);
    // The rest is asked for again, and everything arrives.
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    world.assert_in_step(&[KANAZAWA, KOMATSU]);
}

#[test]
fn a_vertex_from_the_future_waits_until_its_time_has_come() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "100.00");
    world.run();
    world.homes[KANAZAWA].clock_ahead_ms = MAX_AHEAD_MS.cast_signed() + 60_000;
    world.citizen("jiro", KANAZAWA);
    world.run();
    let seq = |world: &World, home: usize| world.homes[home].row(&hanako.home_log).seq;
    assert_eq!(seq(&world, KOMATSU) + 1, seq(&world, KANAZAWA));
    world.pass(30_000);
    assert_eq!(seq(&world, KOMATSU) + 1, seq(&world, KANAZAWA));
    world.pass(30_000);
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN]);
    // Meanwhile nobody signed what rests on the future, and nobody is frozen.
    assert!(world.homes.iter().all(|home| home.frozen.is_empty()));
}

/// Found by the simulator: the proof against a third home, on the live stream, came before the hello on the other,
/// and two honest homes hung up on each other.
#[test]
fn what_overtakes_the_hello_on_the_other_stream_is_no_fault() {
    let mut world = World::new();
    world.connect(KANAZAWA, KOMATSU);
    let peer = world.homes[KANAZAWA].peer();
    let early = Message::Announce(Vec::new());
    world.tell(KOMATSU, Input::Message(peer, Channel::Live, early.clone()));
    assert_eq!(world.homes[KOMATSU].disconnected, []);
    world.run();
    world.assert_in_step(&[KANAZAWA, KOMATSU]);
    // On the hello's own stream nothing comes before it.
    world.restart(KOMATSU);
    world.connect(KANAZAWA, KOMATSU);
    world.tell(KOMATSU, Input::Message(peer, Channel::Sync, early));
    assert_eq!(
        world.homes[KOMATSU].disconnected,
        [(peer, Refusal::BadCertificate)]
    );
}

/// 白山 claims more of 金沢's log than there is, again and again, and brings nothing: 小松 hears from 金沢 all the same.
#[test]
fn who_claims_what_it_does_not_have_holds_up_a_log_for_seconds_only() {
    let mut world = World::connected();
    let hanako = world.citizen("hanako", KANAZAWA);
    world.run();
    world.disconnect(KANAZAWA, HAKUSAN);
    let liar = world.homes[HAKUSAN].peer();
    let lie = FrontierEntry {
        log: hanako.home_log,
        epoch: 1,
        seq: u64::MAX,
        head: vec![6; 16].into(),
        forked: false,
    };
    let seq = |world: &World, home: usize| world.homes[home].row(&hanako.home_log).seq;
    for name in ["jiro", "saburo", "shiro"] {
        let lie = Message::Announce(vec![lie.clone()]);
        world.tell(KOMATSU, Input::Message(liar, Channel::Live, lie));
        world.citizen(name, KANAZAWA);
        world.run();
        world.pass(4_000);
        assert_eq!(seq(&world, KOMATSU), seq(&world, KANAZAWA), "{name}");
    }
}

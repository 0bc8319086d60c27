//! Equivocation: a log that puts two vertices at one position convicts itself, and everybody ends with
//! the same cut, however the news travels.

use city_protocol::body::{Fault, Kind};
use city_protocol::codec;
use city_protocol::ids::LogId;
use city_protocol::ledger::{Frozen, Rows as _};
use city_protocol::refusal::Refusal;
use city_protocol::replica::Input;
use city_protocol::sync::{Channel, Message};
use city_protocol::vertex::{Entry, SignedHeader, decode_body};

use super::liar::{Liar, Vertex, give, head, start};
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

const HONEST: [usize; 2] = [KOMATSU, HAKUSAN];

/// 金沢's home stands aside: its key signs, its replica is gone from the network.
pub(crate) fn cut_off_kanazawa(world: &mut World) {
    world.disconnect(KANAZAWA, KOMATSU);
    world.disconnect(KANAZAWA, HAKUSAN);
}

fn frozen(world: &World, home: usize, log: &LogId) -> Option<Frozen> {
    world.homes[home].row(log).frozen
}

/// The `fault` entries of a home's own log.
pub(crate) fn fault_entries(world: &World, home: usize) -> Vec<Fault> {
    let h = &world.homes[home];
    let disk = h.disk.read();
    let vertices = (1..=h.row(&h.log()).seq).map(|seq| disk.vertex_at(&h.log(), 1, seq).unwrap());
    let entries = vertices
        .flat_map(|id| decode_body(&h.disk.blocks[&disk.vertex(&id).unwrap().body]).unwrap());
    entries
        .filter(|entry| entry.kind == Kind::Fault)
        .map(|entry| Fault::read(&entry.body).unwrap())
        .collect()
}

/// Two vertices at the position after the head.
fn two_faced(world: &World) -> (Vertex, Vertex) {
    let liar = Liar::new(world, KANAZAWA);
    (liar.sign(&[start("one")]), liar.sign(&[start("two")]))
}

/// Both stand before a vertex that breaks a rule, each before another one, and have the same head: only what they entered
/// tells them. (Seed 63 of the simulator, once.)
#[test]
fn two_vertices_that_both_break_a_rule_convict_their_author_when_their_finders_meet() {
    let mut world = World::connected();
    let log = world.homes[KANAZAWA].log();
    cut_off_kanazawa(&mut world);
    world.disconnect(KOMATSU, HAKUSAN);
    let (cut, _) = head(&world, KOMATSU, &log);
    let liar = Liar::new(&world, KANAZAWA);
    for (victim, name) in [(KOMATSU, "one"), (HAKUSAN, "two")] {
        let twice = [start(name), start(name)];
        let vertex = liar.sign(&twice);
        give(&mut world, KANAZAWA, victim, &vertex);
        let stands = frozen(&world, victim, &log);
        assert_eq!(stands, Some(Frozen::Invalid(cut)));
    }
    world.connect(KOMATSU, HAKUSAN);
    world.run();
    for home in HONEST {
        let stands = frozen(&world, home, &log);
        assert_eq!(stands, Some(Frozen::Equivocation(cut)));
    }
    world.assert_in_step(&HONEST);
}

/// The good vertex beside an invalid one is a fork, also where a later fork is known already. (Seed 16 of the simulator, once.)
#[test]
fn a_fork_beside_an_invalid_vertex_counts_although_a_later_one_is_known() {
    let mut world = World::connected();
    let log = world.homes[KANAZAWA].log();
    cut_off_kanazawa(&mut world);
    let (cut, cut_id) = head(&world, KOMATSU, &log);
    let mut liar = Liar::new(&world, KANAZAWA);
    let bad = liar.sign(&[start("bad"), start("bad")]);
    let good = liar.sign(&[start("good")]);
    give(&mut world, KANAZAWA, KOMATSU, &bad);
    let stands = frozen(&world, KOMATSU, &log);
    assert_eq!(stands, Some(Frozen::Invalid(cut)));
    liar.follow(&good);
    let (one, two) = (liar.sign(&[start("one")]), liar.sign(&[start("two")]));
    let proof = Message::Proof(one.header.into(), two.header.into());
    let peer = world.homes[HAKUSAN].peer();
    world.tell(KOMATSU, Input::Message(peer, Channel::Live, proof));
    world.commit(KOMATSU);
    let stands = frozen(&world, KOMATSU, &log);
    assert_eq!(stands, Some(Frozen::Equivocation(cut + 1)));
    give(&mut world, KANAZAWA, KOMATSU, &good);
    let stands = frozen(&world, KOMATSU, &log);
    assert_eq!(stands, Some(Frozen::Equivocation(cut)));
    assert_eq!(head(&world, KOMATSU, &log), (cut, cut_id));
    world.run();
    world.assert_in_step(&HONEST);
}

#[test]
fn two_vertices_at_one_position_convict_their_author_everywhere() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    let early = world.transfer(&hanako, &taro, "1.00").unwrap();
    world.run();
    world.accept(&taro, &early).unwrap();
    world.run();
    let log = hanako.home_log;
    let (cut, cut_id) = head(&world, KOMATSU, &log);
    cut_off_kanazawa(&mut world);
    let liar = Liar::new(&world, KANAZAWA);
    // 金沢 really sends 2.00 to 太郎, and tells 白山 that this never happened.
    let late = world.transfer(&hanako, &taro, "2.00").unwrap();
    let honest = Vertex {
        id: late.vertex,
        header: world.homes[KANAZAWA].disk.blocks[&late.vertex].to_vec(),
        body: {
            let header = &world.homes[KANAZAWA].disk.blocks[&late.vertex];
            let body = SignedHeader::read(header).unwrap().header.body;
            world.homes[KANAZAWA].disk.blocks[&body].to_vec()
        },
    };
    give(&mut world, KANAZAWA, KOMATSU, &honest);
    assert_eq!(world.homes[KOMATSU].available(&hanako), 700);
    let other = liar.sign(&[start("never happened")]);
    give(&mut world, KANAZAWA, HAKUSAN, &other);
    // 小松 and 白山 compare, and both see it.
    world.run();
    for home in HONEST {
        assert_eq!(frozen(&world, home, &log), Some(Frozen::Equivocation(cut)));
        assert_eq!(
            head(&world, home, &log),
            (cut, cut_id),
            "the state is that of the cut"
        );
        assert_eq!(world.homes[home].available(&hanako), 900);
        assert_eq!(world.homes[home].row(&log).totals.settled_out, 100);
        let entered = fault_entries(&world, home);
        assert_eq!(entered.len(), 1, "one fault entry");
        assert_eq!((entered[0].log, entered[0].cut), (log, cut));
    }
    world.assert_in_step(&HONEST);
    world.audit();
    // 1.00 was accepted before; 2.00 lies beyond the cut.
    assert_eq!(world.homes[HAKUSAN].available(&taro), 100);
    assert_eq!(world.accept(&taro, &late).unwrap_err(), Refusal::LogFrozen);
    // What was taken long ago does not wait again after the fold.
    let waiting = |world: &World| {
        let table = city_protocol::ledger::Table::Incoming as u8;
        world.homes[KOMATSU]
            .disk
            .rows
            .keys()
            .filter(|key| key[0] == table)
            .count()
    };
    assert_eq!(waiting(&world), 0);
    // Nothing more of it counts, and nobody changes their mind after a restart.
    world.restart(KOMATSU);
    world.connect(KOMATSU, HAKUSAN);
    world.run();
    world.assert_in_step(&HONEST);
    // The convicted home itself learns of it, and stops.
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    assert_eq!(
        frozen(&world, KANAZAWA, &log),
        Some(Frozen::Equivocation(cut))
    );
    assert_eq!(
        world.transfer(&hanako, &taro, "1.00").unwrap_err(),
        Refusal::NotSequencing
    );
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN]);
    // Nor when its index is made again from its blocks, where the proof stands as headers without bodies.
    for home in [KANAZAWA, KOMATSU, HAKUSAN] {
        let again = super::sim::fold_again(&world, home, 0);
        let row = again.read().log(&log).unwrap();
        assert_eq!(row.frozen, Some(Frozen::Equivocation(cut)), "home {home}");
    }
}

#[test]
fn a_late_joiner_learns_of_a_fault_and_stands_at_the_same_cut() {
    let mut world = World::connected();
    world.rich_citizen("hanako", KANAZAWA, "10.00");
    world.run();
    cut_off_kanazawa(&mut world);
    let (one, two) = two_faced(&world);
    give(&mut world, KANAZAWA, KOMATSU, &one);
    give(&mut world, KANAZAWA, KOMATSU, &two);
    world.run();
    let log = world.homes[KANAZAWA].log();
    let nomi = world.add_home("17211");
    world.connect(nomi, HAKUSAN);
    world.run();
    world.assert_in_step(&[KOMATSU, HAKUSAN, nomi]);
    assert_eq!(frozen(&world, nomi, &log), frozen(&world, KOMATSU, &log));
    assert!(frozen(&world, nomi, &log).is_some());
    assert_eq!(fault_entries(&world, nomi).len(), 1);
}

#[test]
fn who_has_only_half_of_a_log_at_its_conviction_still_gets_all_of_it_up_to_the_cut() {
    let mut world = World::connected();
    world.run();
    world.disconnect(KANAZAWA, HAKUSAN);
    world.disconnect(KOMATSU, HAKUSAN);
    world.rich_citizen("hanako", KANAZAWA, "10.00");
    world.rich_citizen("jiro", KANAZAWA, "10.00");
    world.run();
    world.disconnect(KANAZAWA, KOMATSU);
    let (one, two) = two_faced(&world);
    let log = world.homes[KANAZAWA].log();
    // 白山 gets the proof before it gets the log.
    let peer = world.homes[KOMATSU].peer();
    world.connect(KOMATSU, HAKUSAN);
    let proof = Message::Proof(one.header.clone().into(), two.header.clone().into());
    while world.deliver() && frozen(&world, HAKUSAN, &log).is_none() {
        world.tell(HAKUSAN, Input::Message(peer, Channel::Live, proof.clone()));
    }
    world.commit(HAKUSAN);
    world.run();
    let cut = head(&world, KANAZAWA, &log).0;
    for home in HONEST {
        assert_eq!(frozen(&world, home, &log), Some(Frozen::Equivocation(cut)));
        assert_eq!(head(&world, home, &log).0, cut);
    }
    world.assert_in_step(&HONEST);
}

#[test]
fn two_long_branches_are_walked_back_to_where_they_part() {
    let mut world = World::connected();
    world.rich_citizen("hanako", KANAZAWA, "10.00");
    world.run();
    cut_off_kanazawa(&mut world);
    world.disconnect(KOMATSU, HAKUSAN);
    let log = world.homes[KANAZAWA].log();
    let (cut, _) = head(&world, KANAZAWA, &log);
    let branch = |world: &World, name: &str, length: usize| -> Vec<Vertex> {
        let mut liar = Liar::new(world, KANAZAWA);
        let write = |n| {
            let vertex = liar.sign(&[start(&format!("{name}{n}"))]);
            liar.follow(&vertex);
            vertex
        };
        (0..length).map(write).collect()
    };
    for vertex in branch(&world, "east", 5) {
        give(&mut world, KANAZAWA, KOMATSU, &vertex);
    }
    for vertex in branch(&world, "west", 3) {
        give(&mut world, KANAZAWA, HAKUSAN, &vertex);
    }
    assert_eq!(head(&world, KOMATSU, &log).0, cut + 5);
    world.connect(KOMATSU, HAKUSAN);
    world.run();
    for home in HONEST {
        assert_eq!(
            frozen(&world, home, &log),
            Some(Frozen::Equivocation(cut)),
            "home {home}"
        );
    }
    world.assert_in_step(&HONEST);
    world.audit();
}

#[test]
fn what_honest_homes_rested_on_before_they_knew_is_fetched_and_kept_aside() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    let log = hanako.home_log;
    world.disconnect(KANAZAWA, HAKUSAN);
    world.disconnect(KOMATSU, HAKUSAN);
    let liar = Liar::new(&world, KANAZAWA);
    let sent = world.transfer(&hanako, &taro, "2.00").unwrap();
    world.run();
    // 小松 accepts a transfer that lies beyond the cut which only 白山 knows of so far.
    world.accept(&taro, &sent).unwrap();
    world.disconnect(KANAZAWA, KOMATSU);
    for face in ["one", "two"] {
        let vertex = liar.sign(&[start(face)]);
        give(&mut world, KANAZAWA, HAKUSAN, &vertex);
    }
    assert!(frozen(&world, HAKUSAN, &log).is_some());
    world.connect(KOMATSU, HAKUSAN);
    world.run();
    world.pass(11_000);
    world.assert_in_step(&HONEST);
    // The acceptance is 小松's and stands; the transfer does not count in 金沢's log.
    assert_eq!(world.homes[HAKUSAN].available(&taro), 200);
    assert_eq!(world.homes[HAKUSAN].available(&hanako), 1000);
    // A third party that comes later gets there as well.
    let nomi = world.add_home("17211");
    world.connect(nomi, HAKUSAN);
    world.run();
    for _ in 0..3 {
        world.pass(11_000);
    }
    world.assert_in_step(&[KOMATSU, HAKUSAN, nomi]);
}

#[test]
fn citing_beyond_the_cut_is_invalid_after_the_own_fault_entry() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    let sent = world.transfer(&hanako, &taro, "2.00").unwrap();
    world.run();
    // 小松 turns dishonest: it signs first the fault, then an acceptance that cites beyond the cut.
    world.disconnect(KANAZAWA, KOMATSU);
    world.disconnect(KOMATSU, HAKUSAN);
    let mut liar = Liar::new(&world, KOMATSU);
    let accepted = world.accept(&taro, &sent).unwrap();
    let (cut, _) = head(&world, HAKUSAN, &hanako.home_log);
    let real = world.homes[KANAZAWA].disk.blocks[&sent.vertex].to_vec();
    let mut kanazawa = Liar::new(&world, KANAZAWA);
    kanazawa.prev = SignedHeader::read(&real).unwrap().header.prev;
    kanazawa.seq = cut;
    let other = kanazawa.sign(&[start("other")]);
    let mut headers = [(sent.vertex, real), (other.id, other.header)];
    headers.sort();
    let [(_, a), (_, b)] = headers;
    let fault = Fault::equivocation(hanako.home_log, 1, cut - 1, a, b);
    let fault = Entry::home_authored(Kind::Fault, codec::encode(&fault));
    let first = liar.sign(std::slice::from_ref(&fault));
    give(&mut world, KOMATSU, HAKUSAN, &first);
    assert_eq!(
        frozen(&world, HAKUSAN, &hanako.home_log),
        Some(Frozen::Equivocation(cut - 1))
    );
    assert_eq!(frozen(&world, HAKUSAN, &taro.home_log), None);
    liar.follow(&first);
    let second = liar.sign(std::slice::from_ref(&accepted.receipt.entry));
    give(&mut world, KOMATSU, HAKUSAN, &second);
    assert_eq!(
        frozen(&world, HAKUSAN, &taro.home_log),
        Some(Frozen::Invalid(liar.seq - 1))
    );
    let reason = world.homes[HAKUSAN].frozen.last().unwrap().2;
    assert_eq!(reason, Some(Refusal::BadCite));
}

#[test]
fn a_forged_proof_convicts_nobody_but_its_sender() {
    let mut world = World::connected();
    world.rich_citizen("hanako", KANAZAWA, "10.00");
    world.run();
    let log = world.homes[KANAZAWA].log();
    let liar = Liar::new(&world, KANAZAWA);
    let (one, two) = (liar.sign(&[start("one")]), liar.sign(&[start("two")]));
    let mut later = Liar::new(&world, KANAZAWA);
    later.seq += 1;
    let elsewhere = later.sign(&[start("three")]);
    let mut unsigned = two.header.clone();
    *unsigned.last_mut().unwrap() ^= 1;
    let proofs = [
        (&one.header, &one.header, Refusal::BadEntry),
        (&one.header, &elsewhere.header, Refusal::BadEntry),
        (&one.header, &unsigned, Refusal::BadSignature),
        (&one.header, &vec![0xa0], Refusal::BadCbor),
    ];
    for (a, b, expected) in proofs {
        let before = world.homes[HAKUSAN].disk.clone();
        let peer = world.homes[KOMATSU].peer();
        let proof = Message::Proof(a.clone().into(), b.clone().into());
        world.tell(HAKUSAN, Input::Message(peer, Channel::Live, proof));
        world.commit(HAKUSAN);
        assert_eq!(
            world.homes[HAKUSAN].disconnected.pop(),
            Some((peer, expected))
        );
        assert!(world.homes[HAKUSAN].disk == before);
        assert_eq!(frozen(&world, HAKUSAN, &log), None);
    }
}

#[test]
fn a_home_whose_disk_went_back_takes_its_log_from_others_and_signs_no_position_twice() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    world.run();
    let backup = world.homes[KANAZAWA].disk.clone();
    world.transfer(&hanako, &jiro, "1.00").unwrap();
    world.run();
    world.homes[KANAZAWA].disk = backup;
    world.restart(KANAZAWA);
    // A transfer waits in the open vertex while the lost one comes back.
    let body = world.transfer_body(&hanako, &jiro, "2.00");
    let transfer = super::people::signed(body, &hanako).unwrap();
    world.connect(KANAZAWA, KOMATSU);
    let ticket = world.ask(
        KANAZAWA,
        city_protocol::stage::Submission::Transfer(transfer),
    );
    let (lost, _) = head(&world, KOMATSU, &hanako.home_log);
    let id = world.homes[KOMATSU]
        .disk
        .read()
        .vertex_at(&hanako.home_log, 1, lost)
        .unwrap();
    let header = world.homes[KOMATSU].disk.blocks[&id].to_vec();
    let body = SignedHeader::read(&header).unwrap().header.body;
    let body = world.homes[KOMATSU].disk.blocks[&body].to_vec();
    let vertex = Vertex { id, header, body };
    give(&mut world, KOMATSU, KANAZAWA, &vertex);
    let answer = world.answer(KANAZAWA, ticket).unwrap();
    assert_eq!(answer.unwrap_err(), Refusal::NotSequencing);
    // Nobody knows whether that was all: not before the next start.
    let refused = world.transfer(&hanako, &jiro, "3.00");
    assert_eq!(refused.unwrap_err(), Refusal::NotSequencing);
    world.connect(KANAZAWA, HAKUSAN);
    world.run();
    world.restart(KANAZAWA);
    world.connect(KANAZAWA, KOMATSU);
    world.connect(KANAZAWA, HAKUSAN);
    world.transfer(&hanako, &jiro, "3.00").unwrap();
    world.run();
    assert!(
        world.homes.iter().all(|home| home.frozen.is_empty()),
        "nobody is convicted"
    );
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN]);
    assert_eq!(world.homes[HAKUSAN].available(&hanako), 600);
}

#[test]
fn an_index_that_is_rebuilt_from_the_blocks_is_the_same() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    let sent = world.transfer(&hanako, &taro, "2.00").unwrap();
    world.run();
    world.accept(&taro, &sent).unwrap();
    world.run();
    cut_off_kanazawa(&mut world);
    let (one, two) = two_faced(&world);
    give(&mut world, KANAZAWA, HAKUSAN, &one);
    give(&mut world, KANAZAWA, HAKUSAN, &two);
    world.run();
    let home = HAKUSAN;
    let before = world.homes[home].disk.clone();
    // In the order in which they were stored.
    let table = city_protocol::ledger::Table::Vertex as u8;
    let mut vertices: Vec<_> = before
        .rows
        .keys()
        .filter(|key| key[0] == table)
        .map(|key| city_protocol::ids::BlockId::from_digest(key[1..].try_into().unwrap()))
        .map(|id| (before.read().vertex(&id).unwrap().order, id))
        .collect();
    vertices.sort();
    world.homes[home].disk.rows.clear();
    world.homes[home].quality = city_protocol::replica::ClockQuality::Floor;
    world.restart(home);
    for (_, id) in vertices {
        let header = before.blocks[&id].to_vec();
        let body = before.blocks[&SignedHeader::read(&header).unwrap().header.body].to_vec();
        let vertex = world.verify(home, &header, body).unwrap();
        world.tell(home, Input::Replay(Box::new(vertex)));
        world.commit(home);
    }
    world.homes[home].quality = city_protocol::replica::ClockQuality::Ntp;
    world.restart(home);
    let after = &world.homes[home].disk;
    let named = |disk: &super::disk::Disk, table: u8| -> Vec<(Vec<u8>, Vec<u8>)> {
        disk.rows
            .iter()
            .filter(|(key, _)| key[0] == table)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    let tables: std::collections::BTreeSet<u8> = before.rows.keys().map(|key| key[0]).collect();
    for table in tables {
        assert_eq!(
            named(after, table),
            named(&before, table),
            "table {}",
            char::from(table)
        );
    }
}

//! Logs that are followed by their headers: the same heads as everybody, no bodies of what concerns nobody here, and all of them
//! as soon as it does.

use std::sync::Arc;

use city_protocol::ids::{Digest, LogId};
use city_protocol::ledger::{Frozen, Rows as _};
use city_protocol::replica::{Follow, FollowPolicy, head_rows};
use city_protocol::sync::Message;

use super::charters::elect;
use super::disk::Disk;
use super::epochs::{begin, epoch_body, restart, with_new_key};
use super::faults::{cut_off_kanazawa, fault_entries};
use super::liar::{Liar, give, head, start};
use super::people::Person;
use super::sim::boxes::fold_again;
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

/// Transfers that 金沢 books among its own people.
const BOOKED: usize = 12;
const MINUTE_MS: u64 = 60 * 1000;
const SOMEWHERE: &str = "Asia/JP/17/17201";

/// Whoever starts from now on follows these regions by headers.
fn only_headers_of(regions: &[&str]) -> Follow {
    let policies = regions
        .iter()
        .map(|region| (region.parse().unwrap(), FollowPolicy::Headers));
    Follow {
        policy: FollowPolicy::Full,
        policies: policies.collect(),
    }
}

/// 金沢 with people and bookings, which 小松 follows in full; 加賀 joins, and follows 金沢 by its headers. Gives 加賀, and 花子 of 金沢.
fn story() -> (World, usize, Person) {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "1000.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    for _ in 0..BOOKED {
        world.transfer(&hanako, &jiro, "1.00").unwrap();
        world.run();
    }
    world.follow = only_headers_of(&[SOMEWHERE]);
    let kaga = world.add_home("17206");
    (world, kaga, hanako)
}

/// The same, 加賀 in step with 金沢 and 小松.
fn in_step() -> (World, usize, Person) {
    let (mut world, kaga, hanako) = story();
    for home in [KANAZAWA, KOMATSU] {
        world.connect(kaga, home);
    }
    settle(&mut world);
    (world, kaga, hanako)
}

/// From here on 加賀 hears nobody, and 金沢's home stands aside.
fn part(world: &mut World, kaga: usize) {
    cut_off_kanazawa(world);
    world.disconnect(kaga, KANAZAWA);
    world.disconnect(kaga, KOMATSU);
}

fn settle(world: &mut World) {
    world.run();
    for _ in 0..8 {
        world.pass(10 * MINUTE_MS);
    }
}

/// Positions of a log whose header is at a home, and those whose body is.
fn held(world: &World, home: usize, log: &LogId) -> (u64, Vec<u64>) {
    let disk = world.homes[home].disk.read();
    let row = disk.head(log).unwrap();
    let whole = (1..=row.seq).filter(|seq| {
        let id = disk.vertex_on_chain(log, row.epoch, *seq).unwrap();
        assert!(disk.block(&id).is_some(), "the header of {seq}");
        disk.block(&disk.vertex(&id).unwrap().body).is_some()
    });
    (row.seq, whole.collect())
}

/// The index that is made of what is stored is the one that is there.
#[track_caller]
fn rebuilds(world: &World, home: usize) {
    let again = fold_again(world, home, 0);
    let rows = |disk: &Disk| {
        let rows = disk.rows.clone().into_iter();
        // The order of arrival begins anew.
        let counted = rows.filter(|(name, _)| !matches!(name[0], b'h' | b'n'));
        counted.collect::<Vec<_>>()
    };
    let (here, again) = (rows(&world.homes[home].disk), rows(&again));
    let differs = here.iter().zip(&again).find(|(a, b)| a != b);
    assert_eq!(differs, None);
    assert_eq!(here.len(), again.len());
}

#[test]
fn a_log_that_concerns_nobody_here_is_followed_by_its_headers() {
    let (mut world, kaga, hanako) = story();
    let log = hanako.home_log;
    world.connect(kaga, KANAZAWA);
    let (mut headers, mut vertices) = (0, 0);
    loop {
        let sent = world.take_sent();
        if sent.is_empty() {
            break;
        }
        for (from, to, channel, frame) in sent {
            match Message::decode(&frame).unwrap() {
                Message::Header(_) if to == kaga => headers += 1,
                Message::Vertex(header, _) if to == kaga => {
                    let header = city_protocol::vertex::SignedHeader::read(&header).unwrap();
                    vertices += usize::from(header.header.log == log);
                }
                _ => {}
            }
            world.hand(from, to, channel, &frame);
        }
    }
    let (seq, whole) = held(&world, kaga, &log);
    assert_eq!((headers, vertices), (seq as usize - 1, 1), "each once");
    assert_eq!(whole, [1], "only the charter came whole");
    assert_eq!(head(&world, kaga, &log).0, 1, "what is folded");
    assert_eq!(seq, head(&world, KANAZAWA, &log).0);
    settle(&mut world);
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN, kaga]);
    // 小松's log is none of those.
    let komatsu = world.homes[KOMATSU].log();
    let (seq, whole) = held(&world, kaga, &komatsu);
    assert_eq!(whole.len() as u64, seq);
    rebuilds(&world, kaga);
    // What comes live, too, and after a restart.
    restart(&mut world, kaga);
    let jiro = world.citizen("another", KANAZAWA);
    world.transfer(&hanako, &jiro, "1.00").unwrap();
    settle(&mut world);
    assert_eq!(held(&world, kaga, &log).1, [1]);
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN, kaga]);
    rebuilds(&world, kaga);
}

/// 加賀's books of 金沢 are whole, the same as 小松's.
#[track_caller]
fn is_whole(world: &World, home: usize, log: &LogId) {
    let disk = world.homes[home].disk.read();
    assert_eq!(disk.headers(log), None, "headers beyond what is folded");
    assert_eq!(
        world.homes[home].row(log),
        world.homes[KOMATSU].row(log),
        "what is folded"
    );
    world.books(home, log).unwrap();
    rebuilds(world, home);
}

#[test]
fn a_log_that_sends_here_is_followed_whole_from_then_on() {
    let (mut world, kaga, hanako) = story();
    let log = hanako.home_log;
    world.connect(kaga, KANAZAWA);
    world.connect(kaga, KOMATSU);
    settle(&mut world);
    let saburo = world.citizen("saburo", kaga);
    world.run();
    assert_eq!(held(&world, kaga, &log).1, [1]);
    let sent = world.transfer(&hanako, &saburo, "25.00").unwrap();
    settle(&mut world);
    is_whole(&world, kaga, &log);
    world.accept(&saburo, &sent).unwrap();
    settle(&mut world);
    assert_eq!(world.homes[kaga].available(&saburo), 2_500);
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN, kaga]);
    world.audit();
    // What was accepted is owed for ever: also the next run follows it whole.
    restart(&mut world, kaga);
    let jiro = world.citizen("another", KANAZAWA);
    world.transfer(&hanako, &jiro, "1.00").unwrap();
    settle(&mut world);
    is_whole(&world, kaga, &log);
}

#[test]
fn a_log_that_is_sent_to_is_followed_whole_from_then_on() {
    let (mut world, kaga, hanako) = story();
    let log = hanako.home_log;
    world.connect(kaga, KANAZAWA);
    let saburo = world.rich_citizen("saburo", kaga, "100.00");
    settle(&mut world);
    assert_eq!(held(&world, kaga, &log).1, [1]);
    let sent = world.transfer(&saburo, &hanako, "40.00").unwrap();
    settle(&mut world);
    is_whole(&world, kaga, &log);
    world.accept(&hanako, &sent).unwrap();
    settle(&mut world);
    let row = world.homes[kaga].account(&saburo);
    assert_eq!(row.open_out.hundredths(), 0, "it is settled");
    world.audit();
}

#[test]
fn charters_and_epochs_are_followed_and_hold_when_the_bodies_come() {
    let (mut world, kaga, hanako) = story();
    let log = hanako.home_log;
    world.connect(kaga, KANAZAWA);
    settle(&mut world);
    elect(&mut world, 2027);
    world.transfer(&hanako, &hanako, "1.00").ok();
    let body = epoch_body(&world, KANAZAWA);
    let body = with_new_key(&mut world, KANAZAWA, "the second key", body);
    begin(&mut world, KANAZAWA, &body).unwrap();
    elect(&mut world, 2028);
    let jiro = world.citizen("another", KANAZAWA);
    world.transfer(&hanako, &jiro, "1.00").unwrap();
    settle(&mut world);
    let (seq, whole) = held(&world, kaga, &log);
    assert_eq!(whole.len(), 4, "the charter, two others and an epoch");
    assert!(seq > BOOKED as u64);
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN, kaga]);
    rebuilds(&world, kaga);
    restart(&mut world, kaga);
    world.transfer(&hanako, &jiro, "1.00").unwrap();
    settle(&mut world);
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN, kaga]);
    // Then the operator wants all of it.
    world.follow = Follow::default();
    restart(&mut world, kaga);
    settle(&mut world);
    is_whole(&world, kaga, &log);
}

#[test]
fn whoever_has_headers_serves_headers_and_nothing_else() {
    let (mut world, kaga, hanako) = story();
    let log = hanako.home_log;
    world.connect(kaga, KANAZAWA);
    settle(&mut world);
    let nomi = world.add_home("17211");
    world.connect(nomi, kaga);
    settle(&mut world);
    assert_eq!(held(&world, nomi, &log), held(&world, kaga, &log));
    // 能美 wants all of it, 加賀 does not have it; 小松 does.
    world.follow = Follow::default();
    world.restart(nomi);
    world.connect(nomi, kaga);
    settle(&mut world);
    assert_eq!(held(&world, nomi, &log).1, [1]);
    world.connect(nomi, KOMATSU);
    settle(&mut world);
    is_whole(&world, nomi, &log);
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN, kaga, nomi]);
}

#[test]
fn a_fork_is_seen_by_headers_alone_and_the_log_is_folded_up_to_its_cut() {
    let (mut world, kaga, hanako) = in_step();
    let log = hanako.home_log;
    part(&mut world, kaga);
    let (cut, _) = head(&world, KOMATSU, &log);
    let mut liar = Liar::new(&world, KANAZAWA);
    let (one, two) = (liar.sign(&[start("one")]), liar.sign(&[start("two")]));
    give(&mut world, KANAZAWA, KOMATSU, &one);
    give(&mut world, KANAZAWA, kaga, &two);
    liar.follow(&two);
    let three = liar.sign(&[start("three")]);
    give(&mut world, KANAZAWA, kaga, &three);
    assert_eq!(held(&world, kaga, &log).0, cut + 2);
    world.connect(kaga, KOMATSU);
    settle(&mut world);
    for home in [KOMATSU, kaga] {
        let row = world.homes[home].row(&log);
        assert_eq!(row.frozen, Some(Frozen::Equivocation(cut)), "{home}");
        assert_eq!(row.seq, cut, "{home}");
        assert_eq!(fault_entries(&world, home).len(), 1, "{home}");
    }
    is_whole(&world, kaga, &log);
    world.assert_in_step(&[KOMATSU, HAKUSAN, kaga]);
}

#[test]
fn a_vertex_that_breaks_a_rule_freezes_the_log_when_somebody_who_checks_says_so() {
    let (mut world, kaga, hanako) = in_step();
    let log = hanako.home_log;
    cut_off_kanazawa(&mut world);
    world.disconnect(kaga, KANAZAWA);
    let (cut, _) = head(&world, KOMATSU, &log);
    let liar = Liar::new(&world, KANAZAWA);
    let twice = liar.sign(&[start("one"), start("one")]);
    give(&mut world, KANAZAWA, kaga, &twice);
    assert_eq!(held(&world, kaga, &log).0, cut + 1, "headers show nothing");
    give(&mut world, KANAZAWA, KOMATSU, &twice);
    settle(&mut world);
    for home in [KOMATSU, kaga] {
        let row = world.homes[home].row(&log);
        assert_eq!(row.frozen, Some(Frozen::Invalid(cut)), "{home}");
        assert_eq!(row.seq, cut, "{home}");
    }
    world.assert_in_step(&[KOMATSU, HAKUSAN, kaga]);
    rebuilds(&world, kaga);
}

#[test]
fn what_was_followed_whole_may_go_on_by_headers_and_whole_again() {
    let (mut world, kaga, hanako) = story();
    let log = hanako.home_log;
    let only_headers = std::mem::take(&mut world.follow);
    restart(&mut world, kaga);
    world.connect(kaga, KANAZAWA);
    settle(&mut world);
    is_whole(&world, kaga, &log);
    let until = head(&world, kaga, &log).0;
    world.follow = only_headers;
    restart(&mut world, kaga);
    let jiro = world.citizen("another", KANAZAWA);
    for _ in 0..3 {
        world.transfer(&hanako, &jiro, "1.00").unwrap();
        world.run();
    }
    settle(&mut world);
    let (seq, whole) = held(&world, kaga, &log);
    assert_eq!(whole, (1..=until).collect::<Vec<_>>());
    assert!(seq > until);
    rebuilds(&world, kaga);
    world.follow = Follow::default();
    restart(&mut world, kaga);
    settle(&mut world);
    is_whole(&world, kaga, &log);
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN, kaga]);
}

/// A header that nobody of the log signed is its sender's lie.
#[test]
fn a_forged_header_is_not_taken() {
    let (mut world, kaga, hanako) = story();
    let log = hanako.home_log;
    world.connect(kaga, KANAZAWA);
    settle(&mut world);
    let before = held(&world, kaga, &log);
    let komatsu = world.homes[KOMATSU].key.clone();
    let disk = world.homes[KANAZAWA].disk.read();
    let (seq, id) = head(&world, KANAZAWA, &log);
    let mut h = city_protocol::vertex::SignedHeader::read(&disk.block(&id).unwrap())
        .unwrap()
        .header;
    (h.seq, h.prev) = (seq + 1, id);
    h.entries_root = Digest([7; 32]);
    let signer: &dyn city_protocol::crypto::Signer = &Arc::clone(&komatsu);
    let forged = city_protocol::vertex::SignedHeader::sign(h, signer);
    let frame = Message::Header(forged.block.into()).encode();
    let channel = city_protocol::sync::Channel::Live;
    world.hand(KANAZAWA, kaga, channel, &frame);
    assert_eq!(world.homes[kaga].disconnected.len(), 1);
    assert_eq!(held(&world, kaga, &log), before);
    let heads = head_rows(world.homes[kaga].disk.read());
    assert!(heads.iter().any(|(one, row)| *one == log && row.seq == seq));
}

/// Officers close a fork that nobody here ever saw: who joins later follows the branch that counts, by its headers and whole.
#[test]
fn who_joins_after_a_fork_was_closed_follows_what_counts() {
    let (mut world, _, hanako) = story();
    let log = hanako.home_log;
    let jiro = world.citizen("another", KANAZAWA);
    world.transfer(&hanako, &jiro, "1.00").unwrap();
    world.run();
    cut_off_kanazawa(&mut world);
    let mut liar = Liar::new(&world, KANAZAWA);
    let (one, two) = (liar.sign(&[start("one")]), liar.sign(&[start("two")]));
    liar.follow(&two);
    let three = liar.sign(&[start("three")]);
    give(&mut world, KANAZAWA, KOMATSU, &one);
    for vertex in [&two, &three] {
        give(&mut world, KANAZAWA, HAKUSAN, vertex);
    }
    settle(&mut world);
    for home in [KOMATSU, HAKUSAN] {
        world.connect(KANAZAWA, home);
    }
    settle(&mut world);
    let body = epoch_body(&world, KANAZAWA);
    begin(&mut world, KANAZAWA, &body).unwrap();
    world.transfer(&hanako, &jiro, "1.00").unwrap();
    settle(&mut world);
    let expected = world.homes[KOMATSU].row(&log);
    assert_eq!((expected.epoch, expected.frozen), (2, None));
    // 能美 joins, and hears of everything, also of the fork.
    let nomi = world.add_home("17211");
    for home in [KOMATSU, HAKUSAN] {
        world.connect(nomi, home);
    }
    settle(&mut world);
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN, nomi]);
    assert_eq!(world.homes[nomi].row(&log).frozen, None);
    rebuilds(&world, nomi);
    world.follow = Follow::default();
    restart(&mut world, nomi);
    settle(&mut world);
    is_whole(&world, nomi, &log);
}

/// A home begins an epoch lower than where its headers end here.
#[test]
fn an_epoch_that_begins_below_what_headers_show_is_followed_whole() {
    let (mut world, kaga, hanako) = in_step();
    let log = hanako.home_log;
    // What 加賀 alone was given of the old epoch is lost to everybody else.
    part(&mut world, kaga);
    let mut liar = Liar::new(&world, KANAZAWA);
    for name in ["one", "two", "three"] {
        let vertex = liar.sign(&[start(name)]);
        give(&mut world, KANAZAWA, kaga, &vertex);
        liar.follow(&vertex);
    }
    let body = epoch_body(&world, KANAZAWA);
    begin(&mut world, KANAZAWA, &body).unwrap();
    let jiro = world.citizen("another", KANAZAWA);
    world.transfer(&hanako, &jiro, "1.00").unwrap();
    assert!(held(&world, kaga, &log).0 > body.cut_seq + 2);
    for (a, b) in [
        (KANAZAWA, KOMATSU),
        (KANAZAWA, kaga),
        (KOMATSU, kaga),
        (KANAZAWA, HAKUSAN),
    ] {
        world.connect(a, b);
    }
    settle(&mut world);
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN, kaga]);
    is_whole(&world, kaga, &log);
}

/// Headers whose bodies nobody has are given up, and what they make is followed again when somebody has them, or by headers.
#[test]
fn what_nobody_had_is_followed_when_somebody_has_it() {
    let (mut world, kaga, hanako) = story();
    let log = hanako.home_log;
    let only_headers = world.follow.clone();
    world.connect(kaga, KANAZAWA);
    settle(&mut world);
    elect(&mut world, 2027);
    let body = epoch_body(&world, KANAZAWA);
    begin(&mut world, KANAZAWA, &body).unwrap();
    let jiro = world.citizen("another", KANAZAWA);
    world.transfer(&hanako, &jiro, "1.00").unwrap();
    settle(&mut world);
    let nomi = world.add_home("17211");
    world.connect(nomi, kaga);
    settle(&mut world);
    let all = held(&world, nomi, &log);
    assert_eq!(held(&world, kaga, &log), all);
    assert_eq!(all.1.len(), 3, "the charter, another and an epoch");
    // Of the two of them nobody has the bodies that 加賀 wants now.
    world.disconnect(kaga, KANAZAWA);
    world.follow = Follow::default();
    restart(&mut world, kaga);
    settle(&mut world);
    assert_eq!(
        world.homes[kaga].disk.read().headers(&log),
        None,
        "given up"
    );
    assert_eq!(held(&world, kaga, &log).0, 1);
    // By headers again.
    world.follow = only_headers;
    restart(&mut world, kaga);
    settle(&mut world);
    assert_eq!(held(&world, kaga, &log).0, all.0);
    world.assert_in_step(&[kaga, nomi]);
    // Wanted and given up once more; then somebody comes who has them.
    world.follow = Follow::default();
    restart(&mut world, kaga);
    settle(&mut world);
    assert_eq!(held(&world, kaga, &log).0, 1);
    world.connect(kaga, KOMATSU);
    settle(&mut world);
    is_whole(&world, kaga, &log);
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN, kaga]);
}

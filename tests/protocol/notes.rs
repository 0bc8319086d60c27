//! The board that all homes share: who may write where, whose word counts, how much fits, and that neither a checkpoint
//! nor a cut changes any of it.

use city_protocol::body::{Kind, Label, MAX_NOTE_VALUE, Note};
use city_protocol::checkpoint::Leaf;
use city_protocol::codec;
use city_protocol::ledger::{
    Frozen, History, MAX_NOTES, MAX_NOTES_BYTES, NoteFound, Rows as _, Table, note_of, notes_of,
};
use city_protocol::refusal::Refusal;
use city_protocol::replica::{BookedEntry, Input, log_rows};
use city_protocol::vertex::Entry;

use super::checkpoints::{all_rows, make, state};
use super::faults::cut_off_kanazawa;
use super::liar::{Liar, give, start};
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

const EVERYBODY: [usize; 3] = [KANAZAWA, KOMATSU, HAKUSAN];

fn note(key: &str, value: Option<&[u8]>) -> Note {
    Note {
        v: 1,
        key: Label::new(key).unwrap(),
        value: value.map(|value| value.to_vec().into()),
    }
}

/// A home's operator writes; nothing is carried yet.
pub(crate) fn write(
    world: &mut World,
    home: usize,
    key: &str,
    value: Option<&[u8]>,
) -> Result<BookedEntry, Refusal> {
    let ticket = world.new_ticket();
    world.tell(home, Input::Note(ticket, Box::new(note(key, value))));
    world.commit(home);
    world.answer(home, ticket).expect("it is answered")
}

fn found(world: &World, home: usize, key: &str) -> Option<NoteFound> {
    let history: &dyn History = world.homes[home].disk.read();
    let logs: Vec<_> = log_rows(history).iter().map(|(log, _)| *log).collect();
    note_of(history, &logs, key)
}

fn value(world: &World, home: usize, key: &str) -> Option<Vec<u8>> {
    found(world, home, key)?.value(world.homes[home].disk.read())
}

/// Everybody reads this under the key.
#[track_caller]
fn check(world: &World, key: &str, expected: Option<&[u8]>) {
    for home in EVERYBODY {
        assert_eq!(value(world, home, key).as_deref(), expected, "home {home}");
    }
}

#[test]
fn the_last_word_counts_whoever_says_it() {
    let mut world = World::connected();
    write(&mut world, KANAZAWA, "掲示", Some(b"one")).unwrap();
    world.run();
    check(&world, "掲示", Some(b"one"));
    write(&mut world, KOMATSU, "掲示", Some(b"two")).unwrap();
    world.run();
    check(&world, "掲示", Some(b"two"));
    write(&mut world, KANAZAWA, "掲示", None).unwrap();
    world.run();
    check(&world, "掲示", None);
    assert!(found(&world, HAKUSAN, "掲示").unwrap().row.gone);
    write(&mut world, HAKUSAN, "掲示", Some(b"")).unwrap();
    world.run();
    check(&world, "掲示", Some(b""));
    // In one vertex the last entry counts.
    for text in [b"a", b"b"] {
        let ticket = world.new_ticket();
        let written = Box::new(note("掲示", Some(text)));
        world.tell(KOMATSU, Input::Note(ticket, written));
    }
    world.commit(KOMATSU);
    world.run();
    check(&world, "掲示", Some(b"b"));
}

/// No clock decides: 金沢 wrote earlier, behind more vertices.
#[test]
fn of_two_who_did_not_know_of_each_other_the_longer_way_counts() {
    let mut world = World::connected();
    cut_off_kanazawa(&mut world);
    for n in 0..4_u8 {
        write(&mut world, KANAZAWA, "counter", Some(&[n])).unwrap();
    }
    write(&mut world, KANAZAWA, "where", Some(b"Kanazawa")).unwrap();
    world.pass(60_000);
    write(&mut world, KOMATSU, "where", Some(b"Komatsu")).unwrap();
    world.connect(KANAZAWA, KOMATSU);
    world.connect(KANAZAWA, HAKUSAN);
    world.run();
    check(&world, "where", Some(b"Kanazawa"));
    let of = |home| found(&world, home, "where").unwrap().depth;
    assert_eq!(of(KANAZAWA), of(HAKUSAN), "depth is everybody's");
}

#[test]
fn of_two_alike_the_higher_log_counts() {
    let mut world = World::empty();
    let homes = ["17201", "17203", "17210"].map(|code| world.add_home(code));
    assert_eq!(homes, EVERYBODY);
    // Each has one vertex, and none knows of another.
    for home in homes {
        write(&mut world, home, "who", Some(&[home as u8])).unwrap();
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        world.connect(a, b);
    }
    world.run();
    let highest = homes
        .into_iter()
        .max_by_key(|home| world.homes[*home].log());
    check(&world, "who", Some(&[highest.unwrap() as u8]));
}

#[test]
fn nobody_writes_under_anothers_name() {
    let mut world = World::connected();
    let own = "Asia/JP/17/17201/hours";
    write(&mut world, KANAZAWA, own, Some(b"8:30")).unwrap();
    let others = "Asia/JP/17/17203/hours";
    let refused = write(&mut world, KANAZAWA, others, Some(b"never"));
    assert_eq!(refused.unwrap_err(), Refusal::NoteKey);
    world.run();
    check(&world, own, Some(b"8:30"));
    check(&world, others, None);
    // And whoever signs it all the same is believed no more.
    let liar = Liar::new(&world, KANAZAWA);
    cut_off_kanazawa(&mut world);
    let lie = Entry::home_authored(Kind::Note, codec::encode(&note(others, Some(b"never"))));
    give(&mut world, KANAZAWA, KOMATSU, &liar.sign(&[lie]));
    let stands = (
        liar.log,
        Frozen::Invalid(liar.seq - 1),
        Some(Refusal::NoteKey),
    );
    assert_eq!(world.homes[KOMATSU].frozen, [stands]);
    assert_eq!(value(&world, KOMATSU, others), None);
}

#[test]
fn a_note_is_the_homes_own_word_and_has_a_limit() {
    let check = |change: fn(&mut Entry), expected| {
        let mut world = World::connected();
        let liar = Liar::new(&world, KANAZAWA);
        cut_off_kanazawa(&mut world);
        let mut entry = Entry::home_authored(Kind::Note, codec::encode(&note("k", Some(b"v"))));
        change(&mut entry);
        give(&mut world, KANAZAWA, KOMATSU, &liar.sign(&[entry]));
        assert_eq!(world.homes[KOMATSU].frozen[0].2, Some(expected));
    };
    check(
        |e| e.booked.balance_after = Some(city_protocol::amount::Amount::ZERO),
        Refusal::BadEntry,
    );
    let long = |e: &mut Entry| e.body = codec::encode(&note("k", Some(&[7; MAX_NOTE_VALUE + 1])));
    check(long, Refusal::TooLarge);
    check(|e| e.body.push(0), Refusal::BadCbor);
}

#[test]
fn a_log_has_room_for_so_many_bytes() {
    let mut world = World::new();
    let page = vec![7; MAX_NOTE_VALUE];
    let pages = MAX_NOTES_BYTES as usize / MAX_NOTE_VALUE;
    for n in 0..pages {
        write(&mut world, KANAZAWA, &n.to_string(), Some(&page)).unwrap();
    }
    let full = write(&mut world, KANAZAWA, "more", Some(b"x"));
    assert_eq!(full.unwrap_err(), Refusal::NotesFull);
    // Writing over something, and deleting, is always possible; then there is room.
    write(&mut world, KANAZAWA, "0", Some(&page)).unwrap();
    write(&mut world, KANAZAWA, "0", None).unwrap();
    write(&mut world, KANAZAWA, "more", Some(&page)).unwrap();
    let log = world.homes[KANAZAWA].log();
    let sums = world.homes[KANAZAWA].disk.read().notes(&log);
    assert_eq!(
        (sums.count, sums.bytes),
        (pages as u64 + 1, MAX_NOTES_BYTES)
    );
}

#[test]
fn a_log_has_room_for_so_many_keys_and_a_listing_has_pages() {
    let mut world = World::new();
    for n in 0..MAX_NOTES {
        let ticket = world.new_ticket();
        let written = note(&format!("{n:04}"), Some(b""));
        world.tell(KANAZAWA, Input::Note(ticket, Box::new(written)));
    }
    world.commit(KANAZAWA);
    let full = write(&mut world, KANAZAWA, "one more", Some(b""));
    assert_eq!(full.unwrap_err(), Refusal::NotesFull);
    write(&mut world, KANAZAWA, "0000", None).unwrap();

    let history: &dyn History = world.homes[KANAZAWA].disk.read();
    let logs = [world.homes[KANAZAWA].log()];
    let page = |prefix: &str, after: &str, limit| {
        let (notes, more) = notes_of(history, &logs, prefix, after, limit);
        let keys = notes.iter().map(|note| note.row.key.as_str().to_owned());
        (keys.collect::<Vec<_>>(), more)
    };
    let (first, more) = page("", "", 1000);
    assert_eq!(
        (first.len(), first[0].as_str(), first[999].as_str(), more),
        (1000, "0000", "0999", true)
    );
    let (last, more) = page("", "3999", 1000);
    assert_eq!((last.len(), last[0].as_str(), more), (96, "4000", false));
    assert_eq!(
        page("409", "4090", 3),
        (vec!["4091".into(), "4092".into(), "4093".into()], true)
    );
    assert_eq!(page("x", "", 3), (Vec::new(), false));
}

/// A conviction behind a checkpoint: the board is put back as it was at the cut, by whoever folds from the checkpoint, and
/// by whoever folds everything again.
#[test]
fn a_checkpoint_has_the_board_and_a_cut_puts_it_back() {
    let mut world = World::connected();
    for (key, value) in [
        ("a", Some(b"1".as_slice())),
        ("b", Some(b"22")),
        ("b", None),
    ] {
        write(&mut world, KANAZAWA, key, value).unwrap();
    }
    make(&mut world, KANAZAWA).unwrap();
    write(&mut world, KANAZAWA, "c", Some(b"333")).unwrap();
    world.run();
    let log = world.homes[KANAZAWA].log();
    let leaves = state(&world, KOMATSU, log);
    let notes = leaves.iter().filter(|leaf| matches!(leaf, Leaf::Note(_)));
    assert_eq!(notes.count(), 3);
    let board = |world: &World, home| {
        let of_board = [Table::Note as u8, Table::Notes as u8];
        let mut rows = all_rows(world, home, &log);
        rows.retain(|(name, _)| of_board.contains(&name[0]));
        rows
    };
    let before = board(&world, KOMATSU);
    assert_eq!(before.len(), 4);

    let liar = Liar::new(&world, KANAZAWA);
    cut_off_kanazawa(&mut world);
    let entries = [
        ("a", Some(b"4444".as_slice())),
        ("c", None),
        ("d", Some(b"")),
    ]
    .map(|(key, value)| Entry::home_authored(Kind::Note, codec::encode(&note(key, value))));
    give(&mut world, KANAZAWA, KOMATSU, &liar.sign(&entries));
    assert_ne!(board(&world, KOMATSU), before);
    give(&mut world, KANAZAWA, KOMATSU, &liar.sign(&[start("two")]));
    world.run();
    assert_eq!(board(&world, KOMATSU), before);
    assert_eq!(
        value(&world, KOMATSU, "a").as_deref(),
        Some(b"1".as_slice())
    );
    assert_eq!(
        value(&world, HAKUSAN, "c").as_deref(),
        Some(b"333".as_slice())
    );
    let again = super::sim::fold_again(&world, KOMATSU, 0);
    assert_eq!(
        again.read().notes(&log),
        world.homes[KOMATSU].disk.read().notes(&log)
    );
    world.audit();
}

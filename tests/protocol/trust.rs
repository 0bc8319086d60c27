//! What a home says of its CAs' lists: when they are news, at most daily; and whose lists a pinned root vouches for.

use city_protocol::amount::Timestamp;
use city_protocol::body::{Kind, Trust};
use city_protocol::codec;
use city_protocol::ledger::Rows as _;
use city_protocol::pki::{CertificateRefusal, Issuers};
use city_protocol::region::Region;
use city_protocol::replica::{ClockQuality, Input, TRUST_EVERY_MS};
use city_protocol::vertex::Entry;

use super::ca::Ca;
use super::faults::cut_off_kanazawa;
use super::keys::signing_key;
use super::liar::{Liar, give, start};
use super::world::{BEGIN, KANAZAWA, KOMATSU, World};

const MINUTE: u64 = 60 * 1000;

fn body(lists: &[&Vec<u8>]) -> Trust {
    Trust {
        v: 1,
        lists: lists.iter().map(|der| (*der).clone().into()).collect(),
        certificates: Vec::new(),
    }
}

/// The operator of 金沢市's home puts these lists there.
fn put(world: &mut World, lists: &[&Vec<u8>]) {
    world.tell(KANAZAWA, Input::Trust(Box::new(body(lists))));
    world.commit(KANAZAWA);
    world.run();
}

/// What a home knows of 金沢市's lists: the position of the newest entry, and what it says.
fn said(world: &World, home: usize) -> Option<(u64, Trust)> {
    let log = world.homes[KANAZAWA].identity.authority.log;
    let rows = world.homes[home].disk.read();
    let at = rows.trust_entry(&log)?;
    let entry = rows.entry(&log, &at)?;
    Some((at.seq, Trust::read(&entry.body).unwrap()))
}

#[test]
fn a_home_says_what_is_news_and_others_know_it() {
    let mut world = World::connected();
    let [first, newer] = [world.ca.list(1, 0, &[]), world.ca.list(2, MINUTE, &[7])];
    put(&mut world, &[&first]);
    world.pass(MINUTE - 1);
    assert_eq!(
        said(&world, KANAZAWA),
        None,
        "it waits a minute after its start"
    );
    world.pass(1);
    let (position, entry) = said(&world, KANAZAWA).unwrap();
    assert_eq!(entry, body(&[&first]));
    assert_eq!(said(&world, KOMATSU), Some((position, entry)));

    // Newer, and less than a day later; then a day later.
    put(&mut world, &[&newer]);
    world.pass(TRUST_EVERY_MS - 1);
    assert_eq!(said(&world, KOMATSU).unwrap().0, position);
    world.pass(1);
    let (next, entry) = said(&world, KOMATSU).unwrap();
    assert_eq!((next, entry), (position + 1, body(&[&newer])));

    // The same again, an older one, and both: nothing new.
    for lists in [vec![&newer], vec![&first], vec![&first, &newer]] {
        put(&mut world, &lists);
        world.pass(TRUST_EVERY_MS);
        assert_eq!(said(&world, KANAZAWA).unwrap().0, next);
    }
}

#[test]
fn what_was_said_is_not_said_again_after_a_restart() {
    let mut world = World::connected();
    let list = world.ca.list(1, 0, &[7]);
    put(&mut world, &[&list]);
    world.pass(MINUTE);
    let entered = said(&world, KANAZAWA);
    assert!(entered.is_some());
    world.restart(KANAZAWA);
    put(&mut world, &[&list]);
    world.pass(TRUST_EVERY_MS);
    assert_eq!(said(&world, KANAZAWA), entered);
}

/// A disk that is full and a clock that nobody set cost nothing but time.
#[test]
fn what_cannot_be_entered_is_tried_again() {
    let mut world = World::connected();
    let list = world.ca.list(1, 0, &[7]);
    put(&mut world, &[&list]);
    world.homes[KANAZAWA].quality = ClockQuality::Floor;
    world.pass(MINUTE);
    assert_eq!(said(&world, KANAZAWA), None);
    world.homes[KANAZAWA].quality = ClockQuality::Ntp;
    world.homes[KANAZAWA].disk_is_full = true;
    world.pass(MINUTE);
    assert_eq!(said(&world, KANAZAWA), None);
    world.homes[KANAZAWA].disk_is_full = false;
    world.pass(MINUTE);
    assert!(said(&world, KOMATSU).is_some());
}

#[test]
fn a_cut_takes_back_what_was_said_beyond_it() {
    let mut world = World::connected();
    cut_off_kanazawa(&mut world);
    let list = world.ca.list(1, 0, &[7]);
    let liar = Liar::new(&world, KANAZAWA);
    let entry = Entry::home_authored(Kind::Trust, codec::encode(&body(&[&list])));
    give(&mut world, KANAZAWA, KOMATSU, &liar.sign(&[entry]));
    assert!(said(&world, KOMATSU).is_some());
    give(&mut world, KANAZAWA, KOMATSU, &liar.sign(&[start("two")]));
    assert_eq!(world.homes[KOMATSU].frozen.len(), 1);
    let log = world.homes[KANAZAWA].identity.authority.log;
    let rows = world.homes[KOMATSU].disk.read();
    assert_eq!(rows.trust_entry(&log), None);
}

#[test]
fn a_list_counts_if_a_root_of_the_region_vouches_for_it() {
    let world = World::empty();
    let kanazawa: Region = "Asia/JP/17/17201".parse().unwrap();
    let none: [&[u8]; 0] = [];
    let check =
        |list: &[u8], region: &Region, at: Timestamp, expected: Result<(), CertificateRefusal>| {
            let issuers = Issuers::new(&world.genesis.roots, region, &none, at);
            assert_eq!(issuers.list(list).map(|_| ()), expected);
        };
    let good = world.ca.list(1, 0, &[7]);
    check(&good, &kanazawa, BEGIN, Ok(()));
    let seoul: Region = "Asia/KR/11/11110".parse().unwrap();
    check(&good, &seoul, BEGIN, Err(CertificateRefusal::UnknownIssuer));
    // Before the root's own date.
    check(
        &good,
        &kanazawa,
        BEGIN.minus_ms(10_000),
        Err(CertificateRefusal::UnknownIssuer),
    );
    // The same name and another key; another name.
    let forger = Ca::with_key("test root", signing_key("a forger"), BEGIN);
    check(
        &forger.list(9, 0, &[]),
        &kanazawa,
        BEGIN,
        Err(CertificateRefusal::CrlBadSignature),
    );
    let stranger = Ca::new("another root", BEGIN);
    check(
        &stranger.list(9, 0, &[]),
        &kanazawa,
        BEGIN,
        Err(CertificateRefusal::UnknownIssuer),
    );
    let mut torn = good;
    let last = torn.len() - 1;
    torn[last] ^= 1;
    check(
        &torn,
        &kanazawa,
        BEGIN,
        Err(CertificateRefusal::CrlBadSignature),
    );
    torn.truncate(20);
    let issuers = Issuers::new(&world.genesis.roots, &kanazawa, &none, BEGIN);
    assert!(matches!(
        issuers.list(&torn),
        Err(CertificateRefusal::Crl(_))
    ));
}

//! The troubles of 能美市: its node signs twice at one position, is put back to old copies of its disk, breaks a rule; its
//! officers change, and begin epoch after epoch; what others rest on is adopted. 白山市, which follows, hears of each cut
//! before it hears of what the cut took back.

use std::sync::Arc;

use city_protocol::body::{
    Amendment, Der, EpochStart, Kind, Label, Officer, Officers, OfficersBody as _,
};
use city_protocol::crypto::SecretKey;
use city_protocol::replica::{BookedEntry, Input};
use city_protocol::stage::Submission;
use city_protocol::trust::TransportSigner as _;
use city_protocol::vertex::{Entry, KeySource as _, SignedHeader};

use super::story::{HOLDS, MINUTE, People, decide, restart};
use crate::keys::signing_key;
use crate::liar::{Liar, Vertex, give, start};
use crate::people::{Person, decided_by};
use crate::renewal::officers_sequence;
use crate::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

/// The home that has them.
pub(crate) const NOMI: usize = 3;
/// The names of its later node keys.
pub(super) const KEYS: [&str; 2] = ["the second key of nomi", "the third key of nomi"];
const OTHERS: [usize; 3] = [KANAZAWA, KOMATSU, HAKUSAN];

/// All of them; gives a transfer of 8.00 that 能美市 never answers.
pub(super) fn tell(world: &mut World, people: &People) -> BookedEntry {
    let nomi = world.add_home("17211");
    assert_eq!(nomi, NOMI);
    together(world);
    let saburo = world.rich_citizen("saburo", NOMI, "50.00");
    let goro = world.rich_citizen("goro", NOMI, "30.00");
    world.run();
    signs_twice(world);
    begins(world, Some(KEYS[0]));
    elects(world);
    loses_a_transfer(world, people, &saburo);
    makes_good(world, &goro);
    loses_an_answer(world, people, &goro);
    breaks_a_rule(world);
    begins(world, None);
    begins_twice(world, people, &goro);
    begins(world, Some(KEYS[1]));
    let silent = world
        .transfer(&people.hanako, &saburo, "8.00")
        .expect(HOLDS);
    world.run();
    falls_silent(world, people, &goro);
    silent
}

fn together(world: &mut World) {
    for other in OTHERS {
        world.connect(NOMI, other);
    }
    world.run();
}

fn apart(world: &mut World) {
    for other in OTHERS {
        world.disconnect(NOMI, other);
    }
}

fn hakusan_is_away(world: &mut World) {
    for other in [KANAZAWA, KOMATSU, NOMI] {
        world.disconnect(HAKUSAN, other);
    }
}

/// What 能美市 says 白山市 hears before all else.
fn hakusan_hears_it_first(world: &mut World) {
    world.connect(NOMI, HAKUSAN);
    world.run();
    together(world);
    for other in [KANAZAWA, KOMATSU] {
        world.connect(HAKUSAN, other);
    }
    settle(world);
}

/// Everybody compares again; 能美市's log is the same everywhere.
fn settle(world: &mut World) {
    world.run();
    for _ in 0..12 {
        world.pass(10 * MINUTE);
    }
}

/// Two vertices at one position: it stands still before them.
fn signs_twice(world: &mut World) {
    let liar = Liar::new(world, NOMI);
    for name in ["one", "two"] {
        let vertex = liar.sign(&[start(name)]);
        for home in OTHERS {
            give(world, NOMI, home, &vertex);
        }
    }
    world.run();
    world.pass(MINUTE);
}

/// 2 of 3 officers begin the next epoch behind what its node has, with another node key if one is named.
fn begins(world: &mut World, key: Option<&str>) {
    let certificate = key.map(|name| {
        let key: Arc<SecretKey> = signing_key(name);
        let h = &world.homes[NOMI];
        let peer = h.transport.peer_id().to_string();
        let certificate = world.ca.node(&h.region, key.public(), &peer);
        world.homes[NOMI].identity.next_key = Some(key);
        restart(world, NOMI);
        Der(certificate)
    });
    let h = &world.homes[NOMI];
    let row = h.row(&h.log());
    let body = EpochStart {
        version: 1,
        kind: Kind::EpochStart,
        network: world.network(),
        home: h.log(),
        officers_sequence: officers_sequence(world, NOMI),
        created_at: world.now,
        old_epoch: row.epoch,
        cut_seq: row.seq,
        cut: row.head,
        node_certificate: certificate,
        chain: Vec::new(),
        reason: Label::new("やり直し").expect("a short text"),
    };
    let decided = decided_by(&body, &world.homes[NOMI].officers[..2]);
    let ticket = world.new_ticket();
    world.tell(NOMI, Input::BeginEpoch(ticket, decided));
    world.commit(NOMI);
    world.answer(NOMI, ticket).expect("answered").expect(HOLDS);
    settle(world);
}

/// The key of one of those who follow the first officers.
pub(super) fn elected(n: u8) -> Arc<SecretKey> {
    signing_key(&format!("officer {n} elected in nomi"))
}

/// Others follow the officers, who sign it.
fn elects(world: &mut World) {
    let next: Vec<_> = (1..=3).map(elected).collect();
    let body = amendment(world, &next);
    let decided = decided_by(&body, &world.homes[NOMI].officers[..2]);
    world.submit(NOMI, Submission::Amend(decided)).expect(HOLDS);
    for key in &next {
        let public = Arc::new(key.public().clone());
        world.people.insert(public.id(), public);
    }
    world.homes[NOMI].identity.officers = next;
    settle(world);
}

/// What the officers of 能美市 sign for these to follow them, two of them together.
pub(crate) fn amendment(world: &World, next: &[Arc<SecretKey>]) -> Amendment {
    let h = &world.homes[NOMI];
    let known = h
        .replica
        .authorities()
        .authority(&h.log())
        .expect("its own");
    let officer = |key: &Arc<SecretKey>| Officer {
        alg: key.public().algorithm(),
        key: key.public().as_bytes().to_vec(),
    };
    Amendment {
        version: 1,
        kind: Amendment::KIND,
        network: world.network(),
        home: h.log(),
        officers_sequence: officers_sequence(world, NOMI),
        created_at: world.now,
        number: known.charter_number() + 1,
        before: known.in_force(),
        region: h.region.clone(),
        officers: Officers {
            k: 2,
            keys: next.iter().map(officer).collect(),
        },
        witnesses: Vec::new(),
        reason: Label::new("選挙").expect("a short text"),
    }
}

/// Its box is put back to before something happened of which 白山市 has not heard; its officers begin an epoch there, and
/// 白山市 hears of this first.
fn loses(
    world: &mut World,
    happens: impl FnOnce(&mut World) -> BookedEntry,
    then: impl FnOnce(&mut World),
) -> BookedEntry {
    hakusan_is_away(world);
    let backup = world.homes[NOMI].disk.clone();
    let lost = happens(world);
    apart(world);
    world.homes[NOMI].disk = backup;
    world.boot(NOMI, false);
    world.now = world.now.plus_ms(MINUTE);
    begins(world, None);
    then(world);
    hakusan_hears_it_first(world);
    lost
}

/// 三郎's transfer is lost after 太郎 took it; 三郎 spends what he has again, and some of it is missing then.
fn loses_a_transfer(world: &mut World, people: &People, saburo: &Person) {
    let happens = |world: &mut World| {
        let sent = world.transfer(saburo, &people.taro, "40.00").expect(HOLDS);
        world.run();
        world.accept(&people.taro, &sent).expect(HOLDS);
        world.run();
        sent
    };
    let then = |world: &mut World| {
        world.transfer(saburo, &people.jiro, "30.00").expect(HOLDS);
    };
    loses(world, happens, then);
}

/// 五郎 makes good a part of what is missing.
fn makes_good(world: &mut World, goro: &Person) {
    let body = world.correct_body(goro, "10.00", None);
    decide(world, goro, &body, Submission::Correct);
    settle(world);
}

/// 五郎's acceptance is lost after 花子's transfer was settled.
fn loses_an_answer(world: &mut World, people: &People, goro: &Person) {
    let sent = world.transfer(&people.hanako, goro, "9.00").expect(HOLDS);
    settle(world);
    let happens = |world: &mut World| {
        let taken = world.accept(goro, &sent).expect(HOLDS);
        world.run();
        taken
    };
    loses(world, happens, |_| ());
}

/// Its officers begin one epoch behind a transfer, and again before it: 白山市 hears of the second beginning first.
fn begins_twice(world: &mut World, people: &People, goro: &Person) {
    hakusan_is_away(world);
    let lower = world.homes[NOMI].disk.clone();
    world.transfer(goro, &people.jiro, "1.50").expect(HOLDS);
    world.run();
    begins(world, None);
    apart(world);
    world.homes[NOMI].disk = lower;
    world.now = world.now.plus_ms(MINUTE);
    world.boot(NOMI, true);
    begins(world, None);
    hakusan_hears_it_first(world);
}

/// It signs what no rule allows.
fn breaks_a_rule(world: &mut World) {
    let vertex = lie(
        world,
        &Liar::new(world, NOMI),
        &[start("twice"), start("twice")],
    );
    // Its own software sleeps meanwhile: it would write something else in the same place.
    world.homes[NOMI].down = true;
    for home in OTHERS {
        give(world, NOMI, home, &vertex);
    }
    settle(world);
    world.homes[NOMI].down = false;
}

/// What it signs behind the back of its software, under the charter in force.
fn lie(world: &World, pen: &Liar, entries: &[Entry]) -> Vertex {
    let vertex = pen.sign(entries);
    let mut header = SignedHeader::read(&vertex.header)
        .expect("just signed")
        .header;
    let authorities = world.homes[NOMI].replica.authorities();
    header.charter = authorities.authority(&pen.log).expect("its own").in_force();
    pen.sign_header(header, vertex.body)
}

/// It sends once more, and signs another vertex in the same place: the transfer lies beyond the cut, and nothing of
/// 能美市 counts any more.
fn falls_silent(world: &mut World, people: &People, goro: &Person) {
    let vertex = lie(world, &Liar::new(world, NOMI), &[start("never happened")]);
    world.transfer(goro, &people.taro, "1.00").expect(HOLDS);
    world.run();
    for home in OTHERS {
        give(world, NOMI, home, &vertex);
    }
    settle(world);
    world.homes[NOMI].down = true;
}

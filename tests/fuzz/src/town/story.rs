//! What happens in the town, in the order in which it happens: everyday life, the troubles of 能美市 (`troubles`), and
//! what is left when half a year, and then a year more, has passed.

use std::collections::BTreeMap;
use std::sync::Arc;

use city_protocol::body::{Correct, Label, Note, OfficersBody, Trust};
use city_protocol::crypto::SecretKey;
use city_protocol::ids::KeyId;
use city_protocol::replica::{BookedEntry, Clearing, Input};
use city_protocol::stage::{SignedBySeveral, Submission};

use super::troubles;
use crate::keys::signing_key;
use crate::people::{Person, decided_by};
use crate::renewal::{officers_revoke_body, recover, revoke, rotate, with_key};
use crate::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

pub(super) const HOLDS: &str = "the story holds";
pub(super) const MINUTE: u64 = 60_000;
pub(super) const DAY: u64 = 24 * 60 * MINUTE;

/// Whom the targets know: 花子 and 次郎 of 金沢市, 太郎 of 小松市.
pub(super) struct People {
    pub(super) hanako: Person,
    pub(super) jiro: Person,
    pub(super) taro: Person,
}

/// The names under which the keys of all people were made.
const NAMES: [&str; 11] = [
    "hanako",
    "jiro",
    "taro",
    "midori",
    "midori's second key",
    "kenji",
    "kenji's second key",
    "ichiro",
    "saburo",
    "goro",
    "nobody",
];

/// The keys of all people, officers and nodes.
pub(super) fn secrets() -> BTreeMap<KeyId, Arc<SecretKey>> {
    let of_home = |code: &str| {
        let officers = (1..=3).map(|n| format!("officer {n} of {code}"));
        officers
            .chain([format!("node of {code}")])
            .collect::<Vec<_>>()
    };
    let homes = ["17201", "17203", "17210", "17211"].map(of_home);
    let names = NAMES
        .iter()
        .chain(&troubles::KEYS)
        .map(|name| (*name).to_owned());
    let named = names.chain(homes.into_iter().flatten());
    let keys = named.map(|name| signing_key(&name));
    let all = keys.chain((1..=3).map(troubles::elected));
    all.map(|key| (key.public().id(), key)).collect()
}

/// All of it. At the end one transfer of 花子 to 太郎 is open.
pub(super) fn tell(world: &mut World) -> People {
    let hanako = world.rich_citizen("hanako", KANAZAWA, "1000.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    let taro = world.citizen("taro", KOMATSU);
    let people = People { hanako, jiro, taro };
    world.run();
    pays(world, &people);
    keys(world, &people);
    orders(world, &people);
    boards(world);
    let silent = troubles::tell(world, &people);
    years(world, &people, &silent);
    world
        .transfer(&people.hanako, &people.taro, "1.00")
        .expect(HOLDS);
    world.run();
    people
}

/// 花子 pays two, one turns something down, officers take something back.
fn pays(world: &mut World, People { hanako, jiro, taro }: &People) {
    let sent = world.transfer(hanako, taro, "123.45").expect(HOLDS);
    world.run();
    world.accept(taro, &sent).expect(HOLDS);
    world.run();
    let at_home = world.transfer(hanako, jiro, "10.00").expect(HOLDS);
    world.accept(jiro, &at_home).expect(HOLDS);
    let sent = world.transfer(hanako, taro, "2.00").expect(HOLDS);
    let at_home = world.transfer(hanako, jiro, "3.00").expect(HOLDS);
    world.run();
    world.reject(taro, &sent).expect(HOLDS);
    world.reject(jiro, &at_home).expect(HOLDS);
    let body = world.ungrant_body(hanako, "50.00");
    decide(world, hanako, &body, Submission::Ungrant);
    world.run();
}

/// What two of the officers of somebody's home decide.
pub(super) fn decide<B: OfficersBody>(
    world: &mut World,
    person: &Person,
    body: &B,
    into: fn(SignedBySeveral) -> Submission,
) -> BookedEntry {
    let officers = world.officers_of(person);
    let decided = into(decided_by(body, &officers));
    world.submit(person.home, decided).expect(HOLDS)
}

/// 緑 changes her key; 健二 loses his, closes it and gets another one; the officers close 一郎's.
fn keys(world: &mut World, people: &People) {
    let midori = world.citizen("midori", KANAZAWA);
    let kenji = world.citizen("kenji", KANAZAWA);
    let ichiro = world.citizen("ichiro", KOMATSU);
    let renewed = known_with_key(world, &midori, "midori's second key");
    rotate(world, &midori, &renewed).expect(HOLDS);
    let sent = world
        .transfer(&people.hanako, &renewed, "5.00")
        .expect(HOLDS);
    world.accept(&renewed, &sent).expect(HOLDS);

    revoke(world, &kenji).expect(HOLDS);
    let renewed = known_with_key(world, &kenji, "kenji's second key");
    recover(world, &kenji, &renewed).expect(HOLDS);
    let body = officers_revoke_body(world, &ichiro);
    decide(world, &ichiro, &body, Submission::Revoke);
    // Neither is there to take it: 小松市 says so after some days.
    let nobody = world.person("nobody", KOMATSU);
    for receiver in [&ichiro, &nobody] {
        world
            .transfer(&people.hanako, receiver, "0.50")
            .expect(HOLDS);
    }
    world.run();
}

/// The same person with another key, which whoever verifies can find.
fn known_with_key(world: &mut World, person: &Person, name: &str) -> Person {
    let person = with_key(person, name);
    let public = Arc::new(person.key.public().clone());
    world.people.insert(public.id(), public);
    person
}

/// 太郎's home takes for him what is small, until he says no; and for a while it turns down what is too much for it.
fn orders(world: &mut World, People { hanako, taro, .. }: &People) {
    let takes = world.order_body(taro, Some("5.00"));
    world.order(taro, takes).expect(HOLDS);
    world.transfer(hanako, taro, "4.00").expect(HOLDS);
    world.run();
    let asks = world.order_body(taro, None);
    world.order(taro, asks).expect(HOLDS);
    let before = world.clearing.clone();
    world.clearing = Clearing {
        limit: "1.00".parse().expect("an amount"),
        reject_over_limit: true,
        ..before.clone()
    };
    restart(world, KOMATSU);
    world.transfer(hanako, taro, "20.00").expect(HOLDS);
    world.run();
    world.pass(MINUTE);
    world.clearing = before;
    restart(world, KOMATSU);
}

/// The node stops and starts, and is connected with those it was connected with.
pub(super) fn restart(world: &mut World, home: usize) {
    let connected = |other: &usize| world.is_connected(home, *other);
    let others: Vec<_> = (0..world.homes.len()).filter(connected).collect();
    world.restart(home);
    for other in others {
        world.connect(home, other);
    }
    world.run();
}

/// Notes, the CA's list, and a checkpoint of what is there.
fn boards(world: &mut World) {
    let own = "Asia/JP/17/17201/hours";
    for (home, key, value) in [
        (KANAZAWA, own, Some(b"8:30".as_slice())),
        (KOMATSU, "festival", Some(b"in May")),
        (KANAZAWA, "festival", Some(b"in June")),
        (KOMATSU, "festival", None),
    ] {
        let note = Note {
            v: 1,
            key: Label::new(key).expect("a short key"),
            value: value.map(|value| value.to_vec().into()),
        };
        let ticket = world.new_ticket();
        world.tell(home, Input::Note(ticket, Box::new(note)));
        world.commit(home);
        world.answer(home, ticket).expect("answered").expect(HOLDS);
        world.run();
    }
    let trust = Trust {
        v: 1,
        lists: vec![world.ca.list(1, 0, &[7]).into()],
        certificates: Vec::new(),
    };
    world.tell(KANAZAWA, Input::Trust(Box::new(trust)));
    world.commit(KANAZAWA);
    world.pass(2 * MINUTE);
    for home in [KANAZAWA, KOMATSU, HAKUSAN] {
        let ticket = world.new_ticket();
        world.tell(home, Input::Checkpoint(ticket));
        world.commit(home);
        world.answer(home, ticket).expect("answered").expect(HOLDS);
        world.run();
    }
}

/// What nobody answers goes back after half a year; from a silent home only a year later, when officers say so.
fn years(world: &mut World, People { hanako, jiro, taro }: &People, silent: &BookedEntry) {
    world.transfer(hanako, taro, "6.00").expect(HOLDS);
    world.transfer(hanako, jiro, "7.00").expect(HOLDS);
    world.run();
    for days in [8, 172, 1, 1] {
        world.pass(days * DAY);
    }
    world.pass(366 * DAY);
    let body: Correct = world.correct_body(hanako, "8.00", Some(silent.identity));
    decide(world, hanako, &body, Submission::Correct);
    world.run();
}

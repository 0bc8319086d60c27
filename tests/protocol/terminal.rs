//! A kiosk of 金沢: it follows, it proves place, and it writes nothing.

use city_protocol::body::{Kind, Transfer};
use city_protocol::ids::NetworkId;
use city_protocol::ledger::Rows as _;
use city_protocol::place::{FRESH_MS, Grade, PlaceProof, SignedPlace, Subject};
use city_protocol::refusal::Refusal;
use city_protocol::replica::{Input, Outcome, PlaceRequest};
use city_protocol::stage::Submission;
use city_protocol::vertex::decode_body;

use crate::people::{Person, signed};
use crate::world::World;

const KANAZAWA: usize = 0;
const KOMATSU: usize = 1;

/// Three homes in step, and a kiosk that is connected to its home alone.
fn kiosk() -> (World, usize) {
    let mut world = World::connected();
    let kiosk = world.add_terminal(KANAZAWA);
    world.connect(KANAZAWA, kiosk);
    world.run();
    (world, kiosk)
}

/// What the kiosk's antenna proves, in the form that goes to its home.
fn proven(world: &mut World, kiosk: usize, person: &Person) -> (SignedPlace, PlaceProof) {
    let ticket = world.new_ticket();
    let request = PlaceRequest {
        subject: Subject::KioskSession,
        account: person.account,
        transfer_id: world.next_transfer_id(),
        nonce: [9; 16],
        verdict: Box::new(world.inside(person)),
        raw: None,
    };
    world.tell(kiosk, Input::Place(ticket, request));
    let answer = world.homes[kiosk].answers.remove(&ticket);
    let Some(Ok(Outcome::Place(proof))) = answer else {
        panic!("a proof of place, not {answer:?}");
    };
    let held = world.homes[kiosk].replica.held_place(&proof.digest());
    assert_eq!(held.as_ref(), Some(&*proof));
    let key = world.homes[kiosk].key.clone();
    (SignedPlace::sign(&proof, &*key), *proof)
}

/// The home holds what a terminal proved.
fn hold(world: &mut World, home: usize, proof: PlaceProof) -> Result<(), Refusal> {
    let ticket = world.new_ticket();
    world.tell(home, Input::HoldPlace(ticket, Box::new(proof)));
    let answer = world.homes[home].answers.remove(&ticket);
    answer.expect("an answer").map(drop)
}

fn transfer(world: &World, from: &Person, to: &Person, proof: &PlaceProof) -> Submission {
    let body: Transfer = world.transfer_with(from, to, proof.transfer_id, proof.digest());
    Submission::Transfer(signed(body, from).unwrap())
}

fn heads(world: &World, at: usize) -> city_protocol::ids::Digest {
    let home = &world.homes[at];
    home.replica.status(&home.disk).frontier_hash
}

#[test]
fn a_terminal_follows_every_log_and_writes_nothing() {
    let (mut world, kiosk) = kiosk();
    let hanako = world.rich_citizen("花子", KANAZAWA, "100.00");
    let taro = world.citizen("太郎", KOMATSU);
    world.run();
    let sent = world.transfer(&hanako, &taro, "10.00").unwrap();
    world.run();
    world.accept(&taro, &sent).unwrap();
    world.run();
    world.pass(60_000);
    // Also what it has from its home alone: 小松's log.
    assert_eq!(heads(&world, kiosk), heads(&world, KANAZAWA));
    let status = world.homes[kiosk].replica.status(&world.homes[kiosk].disk);
    assert!(!status.sequencing);
    let available = |at: usize| {
        let rows = world.homes[at].disk.read();
        rows.account(&hanako.home_log, &hanako.account)
            .unwrap()
            .available
    };
    assert_eq!(available(kiosk), available(KANAZAWA));
    // What its home would book, it refuses.
    let body = world.transfer_body(&hanako, &taro, "1.00");
    let submission = Submission::Transfer(signed(body, &hanako).unwrap());
    let refused = world.submit(kiosk, submission);
    assert!(
        matches!(refused, Err(Refusal::PlaceUnknown | Refusal::NotSequencing)),
        "{refused:?}"
    );
    let before = heads(&world, kiosk);
    // A year goes by, with sweeps, witnesses and deadlines: it has nothing to say to any of them.
    world.disconnect(KANAZAWA, kiosk);
    world.pass(365 * 24 * 3_600_000);
    assert_eq!(heads(&world, kiosk), before);
    assert!(world.homes[kiosk].frozen.is_empty());
    world.restart(kiosk);
    assert_eq!(heads(&world, kiosk), before);
}

#[test]
fn a_terminal_is_heard_where_its_municipality_is_known() {
    let mut world = World::empty();
    let kanazawa = world.add_home("17201");
    let komatsu = world.add_home("17203");
    let kiosk = world.add_terminal(kanazawa);
    // 小松 has never heard of 金沢: a box that says it is 金沢's kiosk is nobody.
    world.connect(komatsu, kiosk);
    world.run();
    let peer = world.homes[kiosk].peer();
    let sent_away = &world.homes[komatsu].disconnected;
    assert_eq!(sent_away.first(), Some(&(peer, Refusal::BadCertificate)));
    world.disconnect(komatsu, kiosk);
    world.connect(kanazawa, komatsu);
    world.run();
    world.homes[komatsu].disconnected.clear();
    world.connect(komatsu, kiosk);
    world.run();
    assert!(world.homes[komatsu].disconnected.is_empty());
    assert_eq!(heads(&world, kiosk), heads(&world, komatsu));
}

#[test]
fn what_a_terminal_proved_is_booked_by_its_home() {
    let (mut world, kiosk) = kiosk();
    let hanako = world.rich_citizen("花子", KANAZAWA, "100.00");
    let taro = world.citizen("太郎", KOMATSU);
    world.run();
    let (proof, made) = proven(&mut world, kiosk, &hanako);
    let key = world.homes[kiosk].key.public().clone();
    assert_eq!(proof.verify(&key), Ok(made.clone()));
    let submission = transfer(&world, &hanako, &taro, &made);
    assert_eq!(
        world.submit(KANAZAWA, submission).err(),
        Some(Refusal::PlaceUnknown)
    );
    hold(&mut world, KANAZAWA, made.clone()).unwrap();
    let submission = transfer(&world, &hanako, &taro, &made);
    let booked = world.submit(KANAZAWA, submission).unwrap();
    assert_eq!(booked.receipt.entry.booked.place, Some(Grade::Plausible));
    // The proof stands before its transfer, as one of the home's own antenna does.
    let rows = world.homes[KANAZAWA].disk.read();
    let row = rows.vertex(&booked.vertex).unwrap();
    let entries = decode_body(&rows.get_block(&row.body).unwrap()).unwrap();
    let place = &entries[booked.at.index as usize - 1];
    assert_eq!(place.kind, Kind::Place);
    assert_eq!(place.body, made.encode());
    assert!(place.sig.is_empty());
    // Everybody comes to the same verdict.
    world.run();
    for home in [KOMATSU, kiosk] {
        assert_eq!(heads(&world, home), heads(&world, KANAZAWA));
    }
}

#[test]
fn what_comes_late_from_a_terminal_is_a_claim_and_what_is_of_others_is_nothing() {
    let (mut world, kiosk) = kiosk();
    let hanako = world.rich_citizen("花子", KANAZAWA, "100.00");
    let (taro, stranger) = (
        world.citizen("太郎", KOMATSU),
        world.person("nobody", KANAZAWA),
    );
    world.run();
    let (_, late) = proven(&mut world, kiosk, &hanako);
    // The home was away for an hour.
    world.pass(12 * FRESH_MS);
    hold(&mut world, KANAZAWA, late.clone()).unwrap();
    let submission = transfer(&world, &hanako, &taro, &late);
    assert_eq!(
        world.submit(KANAZAWA, submission).err(),
        Some(Refusal::PlaceInsufficient)
    );
    let with = |change: &dyn Fn(&mut PlaceProof)| {
        let mut proof = late.clone();
        change(&mut proof);
        proof
    };
    let cases = [
        (
            with(&|proof| proof.network = NetworkId::of(b"another")),
            Refusal::WrongNetwork,
        ),
        (
            with(&|proof| proof.account = stranger.account),
            Refusal::UnknownAccount,
        ),
        (
            with(&|proof| proof.account = taro.account),
            Refusal::UnknownAccount,
        ),
        (
            with(&|proof| proof.time = proof.time.plus_ms(100 * FRESH_MS)),
            Refusal::FutureDated,
        ),
    ];
    for (proof, refusal) in cases {
        assert_eq!(hold(&mut world, KANAZAWA, proof), Err(refusal));
    }
    // Bound to its transfer, like any other.
    let (_, fresh) = proven(&mut world, kiosk, &hanako);
    hold(&mut world, KANAZAWA, fresh.clone()).unwrap();
    let other = world.next_transfer_id();
    let body = world.transfer_with(&hanako, &taro, other, fresh.digest());
    let submission = Submission::Transfer(signed(body, &hanako).unwrap());
    assert_eq!(
        world.submit(KANAZAWA, submission).err(),
        Some(Refusal::PlaceMismatch)
    );
}

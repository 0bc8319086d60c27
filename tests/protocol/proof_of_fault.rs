//! The proof of what was signed twice: 小松 shows it to somebody who has the genesis record and nothing else.

use city_protocol::body::{FaultReason, Kind, Label};
use city_protocol::genesis::Genesis;
use city_protocol::ledger::{FaultProof, MAX_FAULT_PROOF, SignedTwice};
use city_protocol::refusal::Refusal;
use city_protocol::stage::SignedBySeveral;
use city_protocol::vertex::{Entry, Header, SignedHeader};

use super::epochs::{begin, epoch_body};
use super::liar::{Liar, Vertex, start};
use super::people::decided_by;
use super::world::{KANAZAWA, KOMATSU, World};

/// Two vertices of 金沢 at the position after its head.
fn two_faced(world: &World) -> (Liar, Vertex, Vertex) {
    let liar = Liar::new(world, KANAZAWA);
    let [one, two] = ["one", "two"].map(|software| liar.sign(&[start(software)]));
    (liar, one, two)
}

fn authority(world: &World, home: usize) -> Vec<Entry> {
    world.homes[home].authority.entries(1, None)
}

fn of(authority: Vec<Entry>, a: &Vertex, b: &Vertex) -> FaultProof {
    FaultProof::of_vertices(authority, &a.header, &b.header).unwrap()
}

#[track_caller]
fn refused(world: &World, proof: &FaultProof, expected: Refusal) {
    let read = FaultProof::read(&proof.to_bytes());
    let verdict = read.and_then(|proof| proof.verify(&world.genesis));
    assert_eq!(verdict.unwrap_err(), expected);
}

#[test]
fn two_headers_convict_offline_in_whichever_order_they_came() {
    let mut world = World::connected();
    world.rich_citizen("hanako", KANAZAWA, "10.00");
    world.run();
    let (liar, one, two) = two_faced(&world);
    let proof = of(authority(&world, KANAZAWA), &one, &two);
    assert_eq!(proof, of(authority(&world, KANAZAWA), &two, &one));
    let fault = FaultProof::read(&proof.to_bytes())
        .unwrap()
        .verify(&world.genesis)
        .unwrap();
    assert_eq!(fault.authority.log, liar.log);
    assert_eq!(*fault.authority.region(), world.homes[KANAZAWA].region);
    assert_eq!((fault.epoch, fault.cut), (1, liar.seq - 1));
    let SignedTwice::Vertices(headers) = fault.twice else {
        panic!("two vertices")
    };
    let mut ids = [one.id, two.id];
    ids.sort_unstable();
    assert_eq!([headers[0].id, headers[1].id], ids);
}

#[test]
fn what_a_node_did_not_sign_twice_convicts_nobody() {
    let mut world = World::connected();
    world.rich_citizen("hanako", KANAZAWA, "10.00");
    world.run();
    let (mut liar, one, two) = two_faced(&world);
    let good = of(authority(&world, KANAZAWA), &one, &two);
    let komatsu = authority(&world, KOMATSU);
    let with = |a: &Vertex, b: &Vertex| of(authority(&world, KANAZAWA), a, b);

    refused(&world, &with(&one, &one), Refusal::BadEntry);
    let mut swapped = good.clone();
    swapped.evidence.reverse();
    refused(&world, &swapped, Refusal::BadEntry);
    liar.seq += 1;
    let elsewhere = liar.sign(&[start("three")]);
    refused(&world, &with(&one, &elsewhere), Refusal::BadEntry);
    let mut unsigned = two.clone();
    *unsigned.header.last_mut().unwrap() ^= 1;
    refused(&world, &with(&one, &unsigned), Refusal::BadSignature);

    // Somebody else signs what 金沢 never said: under the own key, and under its name.
    let by_komatsu = |change: &dyn Fn(&mut Header)| {
        let mut header = SignedHeader::read(&two.header).unwrap().header;
        change(&mut header);
        let signed = SignedHeader::sign(header, &*world.homes[KOMATSU].key);
        Vertex {
            id: signed.id,
            header: signed.block,
            body: two.body.clone(),
        }
    };
    let forged = by_komatsu(&|header| header.key = world.homes[KOMATSU].key.public().id());
    refused(&world, &with(&one, &forged), Refusal::WrongKey);
    let forged = by_komatsu(&|_| ());
    refused(&world, &with(&one, &forged), Refusal::BadSignature);

    // Another municipality, none, and one too many behind the headers.
    refused(&world, &of(komatsu, &one, &two), Refusal::BadEntry);
    refused(&world, &of(Vec::new(), &one, &two), Refusal::BadReceipt);
    let mut changed = good.clone();
    changed.authority[0].booked.received_at = Some(world.now);
    refused(&world, &changed, Refusal::BadReceipt);
    let elsewhere = Genesis {
        name: "another network".into(),
        ..Genesis::clone(&world.genesis)
    };
    assert_eq!(good.verify(&elsewhere).unwrap_err(), Refusal::WrongNetwork);

    // The form itself.
    let reason = |reason| FaultProof {
        reason,
        ..good.clone()
    };
    refused(&world, &reason(FaultReason::EpochStarts), Refusal::BadCbor);
    refused(&world, &reason(FaultReason::Invalid), Refusal::BadField);
    let later = FaultProof {
        v: 2,
        ..good.clone()
    };
    refused(&world, &later, Refusal::UnknownVersion);
    let longer = [good.to_bytes(), vec![0]].concat();
    assert_eq!(FaultProof::read(&longer).unwrap_err(), Refusal::BadCbor);
    let longest = vec![0; MAX_FAULT_PROOF + 1];
    assert_eq!(FaultProof::read(&longest).unwrap_err(), Refusal::TooLarge);
}

fn entry(decided: SignedBySeveral) -> Entry {
    Entry {
        sig: decided.signatures,
        ..Entry::home_authored(Kind::EpochStart, decided.bytes)
    }
}

#[test]
fn an_epoch_that_officers_began_twice_convicts_their_log() {
    let world = World::connected();
    let body = epoch_body(&world, KANAZAWA);
    let mut other = body.clone();
    other.reason = Label::new("もう一度").unwrap();
    let officers = &world.homes[KANAZAWA].officers;
    let decided = |body, count| entry(decided_by(body, &officers[..count]));
    let (one, two) = (decided(&body, 2), decided(&other, 2));
    let of = |a: &Entry, b: &Entry| FaultProof::of_beginnings(authority(&world, KANAZAWA), a, b);
    let proof = of(&two, &one).unwrap();
    let fault = FaultProof::read(&proof.to_bytes())
        .unwrap()
        .verify(&world.genesis)
        .unwrap();
    assert_eq!((fault.epoch, fault.cut), (2, body.cut_seq));
    assert_eq!(fault.authority.log, body.home);
    assert!(matches!(fault.twice, SignedTwice::Beginnings(_)));
    // What a home added to the entries is no part of it.
    let mut booked = one.clone();
    booked.booked.received_at = Some(world.now);
    assert_eq!(of(&booked, &two).unwrap(), proof);
    let mut added = proof.clone();
    added.evidence = [&booked, &two].map(|entry| city_protocol::codec::encode(entry).into());
    refused(&world, &added, Refusal::BadEntry);

    assert_eq!(of(&one, &one).unwrap_err(), Refusal::BadEntry);
    let short = of(&one, &decided(&other, 1)).unwrap();
    refused(&world, &short, Refusal::OfficersShort);
    let mut swapped = proof.clone();
    swapped.evidence.reverse();
    refused(&world, &swapped, Refusal::BadEntry);
    let mut later = other.clone();
    later.old_epoch += 1;
    let later = of(&one, &decided(&later, 2)).unwrap();
    refused(&world, &later, Refusal::BadEntry);
    let foreign = FaultProof::of_beginnings(authority(&world, KOMATSU), &one, &two).unwrap();
    refused(&world, &foreign, Refusal::BadEntry);
    let mut unsigned = two;
    *unsigned.sig[0].sig.last_mut().unwrap() ^= 1;
    refused(&world, &of(&one, &unsigned).unwrap(), Refusal::BadSignature);
}

#[test]
fn in_a_later_epoch_the_beginning_that_names_the_key_is_part_of_the_proof() {
    let mut world = World::connected();
    let body = epoch_body(&world, KANAZAWA);
    let began = begin(&mut world, KANAZAWA, &body).unwrap();
    let liar = Liar::new(&world, KANAZAWA);
    let lie = |software: &str| {
        let first = liar.sign(&[start(software)]);
        let mut header = SignedHeader::read(&first.header).unwrap().header;
        header.epoch = 2;
        liar.sign_header(header, first.body)
    };
    let (one, two) = (lie("one"), lie("two"));
    let both = began.receipt.authority.to_vec();
    assert_eq!(both.len(), 2);
    let fault = of(both.clone(), &one, &two).verify(&world.genesis).unwrap();
    assert_eq!((fault.epoch, fault.cut), (2, liar.seq - 1));
    let first = authority(&world, KANAZAWA);
    refused(&world, &of(first, &one, &two), Refusal::BadEntry);
    // The epoch that did nothing wrong is not accused with the keys of a later one.
    let mut earlier = Liar::new(&world, KANAZAWA);
    earlier.epoch = 1;
    let [one, two] = ["one", "two"].map(|software| earlier.sign(&[start(software)]));
    refused(&world, &of(both, &one, &two), Refusal::BadEntry);
}

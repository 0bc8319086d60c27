//! The table of bad input, bytes: what is no DAG-CBOR of ours, and peers that talk nonsense.

use city_protocol::codec;
use city_protocol::ids::{BlockId, Digest};
use city_protocol::json;
use city_protocol::place::PlaceProof;
use city_protocol::refusal::Refusal;
use city_protocol::sync::{Beacon, Message, PROTOCOL_VERSION};
use city_protocol::vertex::Receipt;

use super::refusals::stage;
use super::refusals_others::sent_to_jiro;
use super::world::{KANAZAWA, KOMATSU, World};

/// Bytes that are to be DAG-CBOR of some form.
#[track_caller]
fn cbor<T: serde::de::DeserializeOwned + serde::Serialize>(bytes: &[u8], expected: Refusal) {
    assert_eq!(codec::decode::<T>(bytes, 1 << 20).err(), Some(expected));
}

#[test]
fn cbor_that_is_not_ours() {
    let mut s = stage();
    let sent = sent_to_jiro(&mut s);
    let receipt = sent.receipt.to_bytes();
    cbor::<Receipt>(&[receipt.as_slice(), &[0]].concat(), Refusal::BadCbor);
    cbor::<Receipt>(&receipt[..receipt.len() - 1], Refusal::BadCbor);
    // One more field in the outer map.
    let mut more = receipt.clone();
    assert_eq!(more[0], 0xa6);
    more[0] = 0xa7;
    more.extend_from_slice(b"\x66zzzzzz\x01");
    cbor::<Receipt>(&more, Refusal::BadCbor);
    // A gibibyte, in every kind of length.
    for head in [0x5a_u8, 0x7a, 0x9a, 0xba] {
        let lie = [&b"\xa1\x61v"[..], &[head, 0x40, 0, 0, 0]].concat();
        cbor::<Receipt>(&lie, Refusal::BadCbor);
        cbor::<PlaceProof>(&lie, Refusal::BadCbor);
        assert_eq!(Message::decode(&lie), Err(Refusal::BadCbor));
    }
    // Deeper than any stack.
    assert_eq!(Message::decode(&vec![0x81; 900_000]), Err(Refusal::BadCbor));
    assert_eq!(
        city_protocol::vertex::decode_body(&vec![0x81; 900_000]),
        Err(Refusal::BadCbor)
    );
    let nested = [&b"\x81\xa1\x61z"[..], &[0x81; 500_000]].concat();
    assert_eq!(
        city_protocol::vertex::decode_body(&nested),
        Err(Refusal::BadCbor)
    );
    // Binary noise never reads as anything.
    for n in 0..200 {
        let noise = super::keys::noise(&n.to_string(), n);
        assert!(Message::decode(&noise).is_err());
        assert!(Receipt::read(&noise).is_err());
        assert!(json::read_object(&noise, 1000).is_err());
    }
}

#[test]
fn a_peer_that_talks_before_hello_or_talks_garbage_is_sent_away() {
    use city_protocol::replica::Input;
    use city_protocol::sync::Channel;
    let mut world = World::new();
    world.connect(KANAZAWA, KOMATSU);
    let peer = world.homes[KOMATSU].peer();
    let before = world.homes[KANAZAWA].disk.clone();
    let beacon = Message::Beacon(Beacon {
        hash: Digest([0; 32]),
        sum: 0,
    });
    world.tell(KANAZAWA, Input::Message(peer, Channel::Sync, beacon));
    assert_eq!(
        world.homes[KANAZAWA].disconnected.pop(),
        Some((peer, Refusal::BadCertificate))
    );
    let garbage = world.receive(KANAZAWA, peer, Channel::Sync, b"\xff\x00noise");
    world.tell(KANAZAWA, garbage);
    assert_eq!(
        world.homes[KANAZAWA].disconnected.pop(),
        Some((peer, Refusal::BadCbor))
    );
    // A hello with somebody else's announcement, for another network, or of another version.
    let hello = |world: &World| {
        let mut wire = Vec::new();
        let home = &world.homes[KOMATSU];
        let announcement = home.announcement(world.now);
        wire.push(city_protocol::sync::Hello {
            v: PROTOCOL_VERSION,
            network: world.network(),
            software: "test/1".into(),
            announcement,
            follows: Vec::new(),
            reads_only: false,
        });
        wire.remove(0)
    };
    let mut cases = vec![
        (hello(&world), Refusal::UnknownVersion),
        (hello(&world), Refusal::WrongNetwork),
    ];
    cases[0].0.v = PROTOCOL_VERSION - 1;
    cases[1].0.network = BlockId::of(b"another");
    let mut foreign = hello(&world);
    foreign.announcement = world.homes[KANAZAWA].announcement(world.now);
    cases.push((foreign, Refusal::WrongKey));
    for (hello, expected) in cases {
        let hello = Message::Hello(Box::new(hello));
        world.tell(KANAZAWA, Input::Message(peer, Channel::Sync, hello));
        assert_eq!(
            world.homes[KANAZAWA].disconnected.pop(),
            Some((peer, expected))
        );
    }
    assert!(world.homes[KANAZAWA].disk == before);
    world.run();
    world.assert_in_step(&[KANAZAWA, KOMATSU]);
    // A second hello on one connection.
    let again = Message::Hello(Box::new(hello(&world)));
    world.tell(KANAZAWA, Input::Message(peer, Channel::Sync, again));
    assert_eq!(
        world.homes[KANAZAWA].disconnected.pop(),
        Some((peer, Refusal::BadField))
    );
}

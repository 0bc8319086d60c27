//! Accounts change their keys: rotation, revocation, recovery.

use city_protocol::body::Rotate;
use city_protocol::refusal::Refusal;
use city_protocol::stage::{SignedBySeveral, Submission};
use city_protocol::vertex::Receipt;

use super::keys::signing_key;
use super::people::{Person, decided_by};
use super::renewal::{
    officers_revoke_body, recover, recover_body, revoke, rotate, rotate_body, signed_by, with_key,
};
use super::world::{KANAZAWA, KOMATSU, World};

fn town() -> (World, Person, Person) {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "1000.00");
    let taro = world.citizen("taro", KOMATSU);
    (world, hanako, taro)
}

#[test]
fn hanako_rotates_pays_with_the_new_key_and_her_old_receipts_still_hold() {
    let (mut world, hanako, taro) = town();
    let before = world.transfer(&hanako, &taro, "10.00").unwrap();
    let renewed = with_key(&hanako, "hanako's new key");
    let booked = rotate(&mut world, &hanako, &renewed).unwrap();
    assert!(!booked.repeated);

    // The old key is closed, the new one counts; the account and its money are the same.
    assert_eq!(
        world.transfer(&hanako, &taro, "1.00").unwrap_err(),
        Refusal::WrongKey
    );
    world.transfer(&renewed, &taro, "20.00").unwrap();
    let row = world.homes[KANAZAWA].account(&hanako);
    assert_eq!(row.available.to_string(), "970.00");
    assert_eq!(row.key, renewed.key.public().id());

    // What she receives is hers, signed with the new key: here from somebody in the same town.
    let jiro = world.rich_citizen("jiro", KANAZAWA, "50.00");
    let sent = world.transfer(&jiro, &renewed, "5.00").unwrap();
    world.accept(&renewed, &sent).unwrap();
    let row = world.homes[KANAZAWA].account(&hanako);
    assert_eq!(row.available.to_string(), "975.00");

    // 小松 follows the log, sees the same, and 太郎 takes what both keys sent.
    world.run();
    let there = world.homes[KOMATSU].account(&hanako);
    assert_eq!((there.key, there.available), (row.key, row.available));
    world.audit();

    // A receipt from before the rotation is as good as ever, and the rotation has one, too.
    for receipt in [&before.receipt, &booked.receipt] {
        let receipt = Receipt::read(&receipt.to_bytes()).unwrap();
        receipt.verify(&world.genesis).unwrap();
    }
}

#[test]
fn the_same_rotation_twice_gets_the_first_receipt() {
    let (mut world, hanako, _) = town();
    let renewed = with_key(&hanako, "hanako's new key");
    let body = rotate_body(&world, &hanako, &renewed);
    let signed = signed_by(&body, &[&hanako.key, &renewed.key]);
    let first = world
        .submit(KANAZAWA, Submission::Rotate(signed.clone()))
        .unwrap();
    let again = world.submit(KANAZAWA, Submission::Rotate(signed)).unwrap();
    assert_eq!((again.at, again.repeated), (first.at, true));
}

#[track_caller]
fn refused(
    expected: Refusal,
    change: impl FnOnce(&mut World, &Person, &Person) -> SignedBySeveral,
) {
    let (mut world, hanako, _) = town();
    let renewed = with_key(&hanako, "hanako's new key");
    let signed = change(&mut world, &hanako, &renewed);
    let before = world.homes[KANAZAWA].disk.clone();
    let answer = world.submit(KANAZAWA, Submission::Rotate(signed));
    assert_eq!(answer.unwrap_err(), expected);
    assert!(world.homes[KANAZAWA].disk == before, "nothing is stored");
}

#[test]
fn a_rotation_needs_both_keys_and_its_turn() {
    refused(Refusal::WrongKey, |world, old, new| {
        signed_by(&rotate_body(world, old, new), &[&old.key])
    });
    refused(Refusal::WrongKey, |world, old, new| {
        signed_by(&rotate_body(world, old, new), &[&new.key])
    });
    refused(Refusal::WrongKey, |world, old, new| {
        let body = rotate_body(world, old, new);
        signed_by(&body, &[&old.key, &new.key, &signing_key("somebody else")])
    });
    refused(Refusal::BadSignature, |world, old, new| {
        let mut signed = signed_by(&rotate_body(world, old, new), &[&old.key, &new.key]);
        signed.signatures[0].sig[7] ^= 1;
        signed
    });
    refused(Refusal::BadSignature, |world, old, new| {
        let mut signed = signed_by(&rotate_body(world, old, new), &[&old.key, &new.key]);
        signed.signatures[1].sig[7] ^= 1;
        signed
    });
    refused(Refusal::SequenceGap, |world, old, new| {
        let body = rotate_body(world, old, new);
        let sequence = body.sequence + 1;
        signed_by(&Rotate { sequence, ..body }, &[&old.key, &new.key])
    });
    refused(Refusal::SequenceUsed, |world, old, new| {
        let jiro = world.citizen("jiro", KANAZAWA);
        let body = rotate_body(world, old, new);
        world.transfer(old, &jiro, "1.00").unwrap();
        signed_by(&body, &[&old.key, &new.key])
    });
    refused(Refusal::KeyUsed, |world, old, _| {
        signed_by(&rotate_body(world, old, old), &[&old.key])
    });
}

#[test]
fn a_key_belongs_to_one_account_for_ever() {
    let (mut world, hanako, _) = town();
    let jiro = world.citizen("jiro", KANAZAWA);
    // 次郎's key, and after a rotation her own old one.
    let taken = with_key(&hanako, "jiro");
    assert_eq!(jiro.key.public().id(), taken.key.public().id());
    assert_eq!(
        rotate(&mut world, &hanako, &taken).unwrap_err(),
        Refusal::KeyUsed
    );
    let second = with_key(&hanako, "hanako's second key");
    rotate(&mut world, &hanako, &second).unwrap();
    assert_eq!(
        rotate(&mut world, &second, &hanako).unwrap_err(),
        Refusal::KeyUsed
    );
    // Nobody else enrols with a key that she rotated to.
    let thief = world.person("hanako's second key", KANAZAWA);
    let body = world.enrol_body(&thief);
    assert_eq!(world.enrol(&thief, body).unwrap_err(), Refusal::KeyUsed);
    let recovered = recover(&mut world, &hanako, &taken);
    assert_eq!(recovered.unwrap_err(), Refusal::KeyUsed);
}

#[test]
fn a_stolen_key_is_revoked_and_officers_give_a_new_one() {
    let (mut world, hanako, taro) = town();
    revoke(&mut world, &hanako).unwrap();
    assert_eq!(
        world.transfer(&hanako, &taro, "1.00").unwrap_err(),
        Refusal::KeyRevoked
    );
    let renewed = with_key(&hanako, "hanako's new key");
    let rotated = rotate(&mut world, &hanako, &renewed);
    assert_eq!(rotated.unwrap_err(), Refusal::KeyRevoked);

    recover(&mut world, &hanako, &renewed).unwrap();
    world.transfer(&renewed, &taro, "1.00").unwrap();
    assert_eq!(
        world.transfer(&hanako, &taro, "1.00").unwrap_err(),
        Refusal::WrongKey
    );
    world.run();
    world.audit();
    let there = world.homes[KOMATSU].account(&hanako);
    assert_eq!(there.key, renewed.key.public().id());
    assert!(!there.revoked);
}

#[test]
fn officers_revoke_for_whoever_lost_everything() {
    let (mut world, hanako, taro) = town();
    let body = officers_revoke_body(&world, &hanako);
    let officers = world.homes[KANAZAWA].officers.clone();
    let one = decided_by(&body, &officers[..1]);
    let refused = world.submit(KANAZAWA, Submission::Revoke(one));
    assert_eq!(refused.unwrap_err(), Refusal::OfficersShort);
    let two = decided_by(&body, &officers[..2]);
    world.submit(KANAZAWA, Submission::Revoke(two)).unwrap();
    assert!(world.homes[KANAZAWA].account(&hanako).revoked);
    assert_eq!(
        world.transfer(&hanako, &taro, "1.00").unwrap_err(),
        Refusal::KeyRevoked
    );

    // One officer alone recovers nobody either.
    let renewed = with_key(&hanako, "hanako's new key");
    let body = recover_body(&world, &hanako, &renewed);
    let one = decided_by(&body, &officers[2..]);
    let refused = world.submit(KANAZAWA, Submission::Recover(one));
    assert_eq!(refused.unwrap_err(), Refusal::OfficersShort);
    world.audit();
}

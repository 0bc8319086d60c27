//! What a closed key stops: the person's standing order, and in the end what others send them.

use city_protocol::body::{AnsweredBy, RejectReason};
use city_protocol::ledger::TransferState;

use super::answers::DAY;
use super::people::Person;
use super::renewal::{recover, revoke, with_key};
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

const ALL: [usize; 3] = [KANAZAWA, KOMATSU, HAKUSAN];

/// 花子 in 金沢 has 10.00; 太郎 in 小松 takes up to 5.00 without being asked.
fn hanako_and_taro() -> (World, Person, Person) {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let taro = world.citizen("taro", KOMATSU);
    let order = world.order_body(&taro, Some("5.00"));
    world.order(&taro, order).unwrap();
    world.run();
    (world, hanako, taro)
}

#[test]
fn a_standing_order_rests_while_the_key_is_closed() {
    let (mut world, hanako, taro) = hanako_and_taro();
    revoke(&mut world, &taro).unwrap();
    world.run();
    let sent = world.transfer(&hanako, &taro, "3.00").unwrap();
    world.run();
    world.pass(3_600_000);
    world.run();
    assert!(world.waits(KOMATSU, &sent, &taro));
    assert_eq!(world.answer_to(KOMATSU, &sent, &taro), None);
    // With a new key it goes on as it was given.
    let renewed = with_key(&taro, "taro's new key");
    recover(&mut world, &taro, &renewed).unwrap();
    world.pass(3_600_000);
    world.run();
    for home in ALL {
        assert_eq!(world.homes[home].available(&renewed), 300, "{home}");
        assert_eq!(world.state(home, &sent, &hanako), TransferState::Settled);
    }
    world.assert_in_step(&ALL);
    world.audit();
}

#[test]
fn what_is_sent_to_a_closed_key_goes_back_after_a_week() {
    let (mut world, hanako, taro) = hanako_and_taro();
    revoke(&mut world, &taro).unwrap();
    world.run();
    let sent = world.transfer(&hanako, &taro, "3.00").unwrap();
    world.run();
    world.pass(6 * DAY);
    world.run();
    assert_eq!(world.answer_to(KOMATSU, &sent, &taro), None);
    world.pass(DAY + 3_600_000);
    world.run();
    for home in ALL {
        let answer = world.answer_to(home, &sent, &taro).unwrap();
        let expected = AnsweredBy::Home(taro.account, RejectReason::Revoked);
        assert_eq!(answer.by, expected);
        assert_eq!(world.homes[home].available(&hanako), 1000);
    }
    world.assert_in_step(&ALL);
    world.audit();
}

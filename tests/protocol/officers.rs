//! What officers take back and put right: `ungrant` and `correct`.

use city_protocol::body::OfficersBody;
use city_protocol::ledger::TransferState;
use city_protocol::refusal::Refusal;
use city_protocol::replica::BookedEntry;
use city_protocol::stage::{SignedBySeveral, Submission};

use super::answers::DAY;
use super::people::{Person, decided_by};
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

const ALL: [usize; 3] = [KANAZAWA, KOMATSU, HAKUSAN];

pub(crate) fn decide<B: OfficersBody>(
    world: &mut World,
    person: &Person,
    body: &B,
    into: fn(SignedBySeveral) -> Submission,
) -> Result<BookedEntry, Refusal> {
    let officers = world.officers_of(person);
    world.submit(person.home, into(decided_by(body, &officers)))
}

#[test]
fn officers_take_back_what_is_there_and_no_more() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let body = world.ungrant_body(&hanako, "10.01");
    let more = decide(&mut world, &hanako, &body, Submission::Ungrant);
    assert_eq!(more.unwrap_err(), Refusal::Overdraft);
    let body = world.ungrant_body(&hanako, "4.00");
    let alone = world.officers_of(&hanako)[..1].to_vec();
    let alone = Submission::Ungrant(decided_by(&body, &alone));
    let alone = world.submit(KANAZAWA, alone);
    assert_eq!(alone.unwrap_err(), Refusal::OfficersShort);
    let done = decide(&mut world, &hanako, &body, Submission::Ungrant).unwrap();
    let balance = done.receipt.entry.booked.balance_after.unwrap();
    assert_eq!(balance.to_string(), "6.00");
    let again = decide(&mut world, &hanako, &body, Submission::Ungrant).unwrap();
    assert!(again.repeated && again.receipt == done.receipt);
    // The number is used up for every other decision.
    let mut other = world.ungrant_body(&hanako, "1.00");
    other.officers_sequence = body.officers_sequence;
    let other = decide(&mut world, &hanako, &other, Submission::Ungrant);
    assert_eq!(other.unwrap_err(), Refusal::SequenceUsed);
    world.run();
    for home in ALL {
        let sums = world.homes[home].row(&hanako.home_log).totals;
        assert_eq!(
            (sums.granted, sums.ungranted, sums.available),
            (1000, 400, 600)
        );
    }
    world.assert_in_step(&ALL);
    world.audit();
}

#[test]
fn what_a_silent_home_never_answered_goes_back_after_a_year_more() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    let sent = world.transfer(&hanako, &taro, "4.00").unwrap();
    world.run();
    world.disconnect(KOMATSU, KANAZAWA);
    world.disconnect(KOMATSU, HAKUSAN);
    world.homes[KOMATSU].down = true;
    let correct = |world: &mut World, who: &Person, amount: &str| {
        let body = world.correct_body(who, amount, Some(sent.identity));
        decide(world, who, &body, Submission::Correct)
    };
    world.pass((180 + 365) * DAY);
    let early = correct(&mut world, &hanako, "4.00");
    assert_eq!(early.unwrap_err(), Refusal::NotExpired);
    world.pass(DAY);
    let jiro = world.citizen("jiro", KANAZAWA);
    for (who, amount) in [(&hanako, "3.99"), (&jiro, "4.00")] {
        let other = correct(&mut world, who, amount);
        assert_eq!(other.unwrap_err(), Refusal::TransferMismatch);
    }
    correct(&mut world, &hanako, "4.00").unwrap();
    let twice = correct(&mut world, &hanako, "4.00");
    assert_eq!(twice.unwrap_err(), Refusal::TransferMismatch);
    world.run();
    for home in [KANAZAWA, HAKUSAN] {
        assert_eq!(world.homes[home].available(&hanako), 1000);
        let state = world.state(home, &sent, &hanako);
        assert_eq!(state, TransferState::Refunded);
    }
    world.assert_in_step(&[KANAZAWA, HAKUSAN]);
    world.audit();
}

#[test]
fn what_was_answered_is_not_corrected() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    let sent = world.transfer(&hanako, &taro, "4.00").unwrap();
    world.run();
    world.accept(&taro, &sent).unwrap();
    world.run();
    world.pass((180 + 366) * DAY);
    let body = world.correct_body(&hanako, "4.00", Some(sent.identity));
    let said = decide(&mut world, &hanako, &body, Submission::Correct);
    assert_eq!(said.unwrap_err(), Refusal::AlreadyAnswered);
}

#[test]
fn without_a_shortfall_there_is_nothing_to_make_good() {
    let mut world = World::new();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let body = world.correct_body(&hanako, "1.00", None);
    let said = decide(&mut world, &hanako, &body, Submission::Correct);
    assert_eq!(said.unwrap_err(), Refusal::OutOfRange);
    assert_eq!(world.homes[KANAZAWA].available(&hanako), 1000);
}

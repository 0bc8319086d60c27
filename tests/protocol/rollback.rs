//! A home that was put back to an old copy of its whole disk notices that before it signs anything, if a peer can be
//! heard; a liar does not keep it from its work; and where nobody can be heard it books little, and says so.

use city_protocol::amount::Amount;
use city_protocol::ids::LogId;
use city_protocol::ledger::Rows as _;
use city_protocol::refusal::Refusal;
use city_protocol::replica::{ClockQuality, Confirmation, Input, Standing, UNCONFIRMED_WINDOW_MS};
use city_protocol::sync::{Channel, FrontierEntry, Message};

use super::disk::Disk;
use super::liar::{Liar, start};
use super::people::Person;
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

/// How long a first peer is waited for.
const WAIT_MS: u64 = 10_000;
/// How long somebody who claims more may take to show it.
const SHOW_MS: u64 = 30_000;

fn unconfirmed(wait_ms: u64, limit: &str) -> Confirmation {
    let limit = limit.parse().unwrap();
    Confirmation::Unconfirmed { wait_ms, limit }
}

impl World {
    /// The box is off and on again, on this disk; its connections are gone.
    fn put_back(&mut self, home: usize, disk: Disk, known: Confirmation) {
        for other in 0..self.homes.len() {
            self.disconnect(home, other);
        }
        self.homes[home].disk = disk;
        self.boot_as(home, true, known);
    }

    fn turn_off_and_on(&mut self, home: usize, known: Confirmation) {
        self.put_back(home, self.homes[home].disk.clone(), known);
    }

    fn standing(&self, home: usize) -> Standing {
        let h = &self.homes[home];
        h.replica.status(h.disk.read()).standing
    }

    fn own_seq(&self, home: usize) -> u64 {
        self.homes[home].row(&self.homes[home].log()).seq
    }

    /// Nobody has seen two vertices at one position.
    fn nobody_convicts(&self) {
        for home in &self.homes {
            assert!(home.frozen.is_empty(), "{:?}", home.frozen);
        }
    }

    /// They are connected, and the first has read the hello of the second.
    fn greet(&mut self, home: usize, peer: usize) {
        self.connect(home, peer);
        let greeted = |world: &Self| {
            let h = &world.homes[home];
            !h.replica.status(h.disk.read()).peers.is_empty()
        };
        while !greeted(self) {
            assert!(self.deliver());
        }
    }

    fn announce(&mut self, from: usize, to: usize, log: LogId, seq: u64) {
        let entry = FrontierEntry {
            log,
            epoch: 1,
            seq,
            head: vec![7; 16].into(),
            forked: false,
        };
        let frame = Message::Announce(vec![entry]).encode();
        self.hand(from, to, Channel::Live, &frame);
    }
}

/// 金沢 with 花子 and 次郎, in step with both peers, and its disk as it was before the last three payments.
fn lived() -> (World, Person, Person, Disk) {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "1000.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    world.run();
    let old = world.homes[KANAZAWA].disk.clone();
    for _ in 0..3 {
        world.transfer(&hanako, &jiro, "1.00").unwrap();
        world.run();
    }
    (world, hanako, jiro, old)
}

#[test]
fn an_old_copy_signs_nothing_fetches_its_log_and_goes_on_behind_it() {
    let (mut world, hanako, jiro, old) = lived();
    let seq = world.own_seq(KANAZAWA);
    world.put_back(KANAZAWA, old, unconfirmed(WAIT_MS, "1000.00"));
    let here = world.own_seq(KANAZAWA);
    assert_eq!(here, seq - 3);

    assert_eq!(world.standing(KANAZAWA), Standing::Waiting);
    let refused = world.transfer(&hanako, &jiro, "2.00");
    assert_eq!(refused.unwrap_err(), Refusal::Unconfirmed);
    world.pass(WAIT_MS - 1);
    assert_eq!(world.own_seq(KANAZAWA), here);
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    assert_eq!(world.standing(KANAZAWA), Standing::RolledBack);
    let shown = world.homes[KANAZAWA].rolled_back.unwrap();
    assert_eq!(shown, [(1, here), (1, here + 1)]);
    // It has all of its log by now, and still does not know whether that is all.
    assert_eq!(world.own_seq(KANAZAWA), seq);
    let refused = world.transfer(&hanako, &jiro, "2.00");
    assert_eq!(refused.unwrap_err(), Refusal::NotSequencing);
    world.pass(3_600_000);
    assert_eq!(world.own_seq(KANAZAWA), seq);
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN]);

    // Every peer was heard, and its operator starts it again.
    world.turn_off_and_on(KANAZAWA, unconfirmed(WAIT_MS, "1000.00"));
    world.connect(KANAZAWA, HAKUSAN);
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    assert_eq!(world.standing(KANAZAWA), Standing::Confirmed);
    let booked = world.transfer(&hanako, &jiro, "2.00").unwrap();
    assert_eq!(booked.at.seq, seq + 1);
    assert_eq!(booked.receipt.entry.booked.unconfirmed, None);
    world.run();
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN]);
    world.nobody_convicts();
    world.audit();
}

/// Also what it was about to sign: what people submitted while it knew no better is not signed any more.
#[test]
fn an_old_copy_that_heard_nobody_at_first_notices_with_the_first_vertex_that_it_is_shown() {
    let (mut world, hanako, jiro, old) = lived();
    let seq = world.own_seq(KANAZAWA);
    world.put_back(KANAZAWA, old, unconfirmed(WAIT_MS, "1000.00"));
    let here = world.own_seq(KANAZAWA);
    world.pass(WAIT_MS);
    assert_eq!(world.standing(KANAZAWA), Standing::Unconfirmed);
    world.connect(KANAZAWA, KOMATSU);
    // Until the first word about the own log has come.
    while world.standing(KANAZAWA) == Standing::Unconfirmed {
        assert!(world.deliver());
    }
    assert_eq!(world.standing(KANAZAWA), Standing::Waiting);
    let refused = world.transfer(&hanako, &jiro, "2.00");
    assert_eq!(refused.unwrap_err(), Refusal::Unconfirmed);
    assert_eq!(world.own_seq(KANAZAWA), here);
    world.run();
    assert_eq!(world.standing(KANAZAWA), Standing::RolledBack);
    assert_eq!(world.own_seq(KANAZAWA), seq);
    world.nobody_convicts();
}

/// A counter or a first start say that nothing is newer, and a peer proves the opposite.
#[test]
fn whatever_confirmed_it_a_signed_header_counts_more() {
    let (mut world, hanako, jiro, old) = lived();
    world.put_back(KANAZAWA, old, Confirmation::Confirmed);
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    assert_eq!(world.standing(KANAZAWA), Standing::RolledBack);
    let refused = world.transfer(&hanako, &jiro, "2.00");
    assert_eq!(refused.unwrap_err(), Refusal::NotSequencing);
    world.nobody_convicts();
}

#[test]
fn a_peer_that_has_nothing_more_confirms() {
    let (mut world, hanako, jiro, _) = lived();
    for (known, peers) in [(0, &[KOMATSU][..]), (WAIT_MS, &[HAKUSAN, KOMATSU][..])] {
        world.turn_off_and_on(KANAZAWA, unconfirmed(known, "1000.00"));
        for peer in peers {
            world.connect(KANAZAWA, *peer);
        }
        world.run();
        assert_eq!(world.standing(KANAZAWA), Standing::Confirmed);
        let booked = world.transfer(&hanako, &jiro, "2.00").unwrap();
        assert_eq!(booked.receipt.entry.booked.unconfirmed, None);
    }
    // Also one that was away meanwhile.
    world.run();
    world.disconnect(KANAZAWA, HAKUSAN);
    world.disconnect(KOMATSU, HAKUSAN);
    world.transfer(&hanako, &jiro, "2.00").unwrap();
    world.turn_off_and_on(KANAZAWA, unconfirmed(WAIT_MS, "1000.00"));
    world.connect(KANAZAWA, HAKUSAN);
    world.run();
    assert_eq!(world.standing(KANAZAWA), Standing::Confirmed);
    world.nobody_convicts();
}

/// Whoever knows nothing of the log says nothing about it.
#[test]
fn a_peer_that_never_had_the_log_does_not_confirm() {
    let (mut world, ..) = lived();
    let nomi = world.add_home("17211");
    world.turn_off_and_on(KANAZAWA, unconfirmed(WAIT_MS, "1000.00"));
    world.connect(KANAZAWA, nomi);
    // Its frontier has come by then, and was asked for.
    let log = world.homes[nomi].log();
    while world.homes[KANAZAWA].disk.read().log(&log).is_none() {
        assert!(world.deliver());
    }
    assert_eq!(world.standing(KANAZAWA), Standing::Waiting);
}

#[test]
fn a_head_that_is_claimed_and_never_shown_delays_and_nothing_else() {
    let (mut world, hanako, jiro, _) = lived();
    let log = world.homes[KANAZAWA].log();
    let seq = world.own_seq(KANAZAWA);
    // Before anybody else was heard.
    world.turn_off_and_on(KANAZAWA, unconfirmed(WAIT_MS, "1000.00"));
    world.greet(KANAZAWA, KOMATSU);
    world.announce(KOMATSU, KANAZAWA, log, seq + 50);
    world.run();
    assert_eq!(world.standing(KANAZAWA), Standing::Confirmed, "taken back");
    // After that.
    world.turn_off_and_on(KANAZAWA, unconfirmed(WAIT_MS, "1000.00"));
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    assert_eq!(world.standing(KANAZAWA), Standing::Confirmed);
    world.announce(KOMATSU, KANAZAWA, log, seq + 50);
    assert_eq!(world.standing(KANAZAWA), Standing::Confirmed, "too late");
    world.transfer(&hanako, &jiro, "2.00").unwrap();
    world.run();
    world.nobody_convicts();
}

#[test]
fn who_keeps_up_the_lie_delays_a_start_by_half_a_minute_and_once() {
    let (mut world, hanako, jiro, _) = lived();
    let log = world.homes[KANAZAWA].log();
    let seq = world.own_seq(KANAZAWA);
    let liar = |world: &mut World| world.announce(KOMATSU, KANAZAWA, log, seq + 50);
    world.turn_off_and_on(KANAZAWA, unconfirmed(WAIT_MS, "1000.00"));
    world.greet(KANAZAWA, KOMATSU);
    // From here on nothing but the lie.
    drop(world.take_sent());
    liar(&mut world);
    drop(world.take_sent());
    world.connect(KANAZAWA, HAKUSAN);
    let mut carried = 0;
    while carried < 50 && world.deliver() {
        carried += 1;
    }
    assert_eq!(
        world.standing(KANAZAWA),
        Standing::Waiting,
        "one says so, and one says not"
    );
    let tick = |world: &mut World, ms| {
        world.now = world.now.plus_ms(ms);
        liar(world);
        world.tell(KANAZAWA, Input::Tick);
        world.commit(KANAZAWA);
        drop(world.take_sent());
    };
    tick(&mut world, SHOW_MS - 1);
    assert_eq!(world.standing(KANAZAWA), Standing::Waiting);
    tick(&mut world, 1);
    assert_eq!(world.standing(KANAZAWA), Standing::Confirmed, "by 白山");
    tick(&mut world, 1);
    assert_eq!(world.standing(KANAZAWA), Standing::Confirmed);
    world.transfer(&hanako, &jiro, "2.00").unwrap();
    world.nobody_convicts();
}

/// A vertex that somebody else signed for this log, or that only looks like one, proves nothing.
#[test]
fn a_header_that_this_log_did_not_sign_is_no_proof() {
    let (mut world, hanako, jiro, _) = lived();
    let mut pen = Liar::new(&world, KANAZAWA);
    pen.seq += 4;
    let mut vertex = pen.sign(&[start("not from here")]);
    let last = vertex.header.len() - 40;
    vertex.header[last] ^= 1;
    world.turn_off_and_on(KANAZAWA, unconfirmed(WAIT_MS, "1000.00"));
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    let frame = Message::Vertex(vertex.header.into(), vertex.body.into()).encode();
    world.hand(KOMATSU, KANAZAWA, Channel::Live, &frame);
    assert_eq!(world.standing(KANAZAWA), Standing::Confirmed);
    assert!(world.homes[KANAZAWA].rolled_back.is_none());
    assert!(!world.homes[KANAZAWA].disconnected.is_empty(), "a lie");
    world.transfer(&hanako, &jiro, "2.00").unwrap();
    // The same with a good signature: wherever it stands, this home did not sign it in this run.
    let vertex = pen.sign(&[start("from the other copy")]);
    let frame = Message::Vertex(vertex.header.into(), vertex.body.into()).encode();
    world.hand(KOMATSU, KANAZAWA, Channel::Live, &frame);
    assert_eq!(world.standing(KANAZAWA), Standing::RolledBack);
}

#[test]
fn an_unconfirmed_home_takes_little_and_says_so_in_what_it_books() {
    let (mut world, hanako, jiro, _) = lived();
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    world.turn_off_and_on(KANAZAWA, unconfirmed(0, "5.00"));
    assert_eq!(world.standing(KANAZAWA), Standing::Unconfirmed);
    let refused = |world: &mut World, amount| {
        let refused = world.transfer(&hanako, &jiro, amount).unwrap_err();
        assert_eq!(refused, Refusal::Unconfirmed, "{amount}");
    };
    refused(&mut world, "5.01");
    let booked = world.transfer(&hanako, &jiro, "3.00").unwrap();
    assert_eq!(booked.receipt.entry.booked.unconfirmed, Some(true));
    // In sum, not only each.
    refused(&mut world, "2.01");
    let sent = world.transfer(&hanako, &taro, "2.00").unwrap();
    refused(&mut world, "0.01");
    // Each account by itself; and what somebody takes, or officers give, is not limited.
    world.grant(&jiro, "70.00").unwrap();
    assert_eq!(world.transfer(&jiro, &hanako, "5.00").unwrap().at.epoch, 1);
    world.pass(UNCONFIRMED_WINDOW_MS);
    let booked = world.transfer(&hanako, &jiro, "5.00").unwrap();
    assert_eq!(booked.receipt.entry.booked.unconfirmed, Some(true));
    refused(&mut world, "0.01");

    // Others take it like any other, and then it is confirmed.
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    assert_eq!(world.standing(KANAZAWA), Standing::Confirmed);
    world.accept(&taro, &sent).unwrap();
    let booked = world.transfer(&hanako, &jiro, "500.00").unwrap();
    assert_eq!(booked.receipt.entry.booked.unconfirmed, None);
    world.connect(KANAZAWA, HAKUSAN);
    world.run();
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN]);
    world.audit();
    world.nobody_convicts();
}

/// A disk that is full does not use up what somebody may send.
#[test]
fn what_could_not_be_written_counts_no_more() {
    let (mut world, hanako, jiro, _) = lived();
    world.turn_off_and_on(KANAZAWA, unconfirmed(0, "5.00"));
    world.homes[KANAZAWA].disk_is_full = true;
    for _ in 0..3 {
        let refused = world.transfer(&hanako, &jiro, "4.00").unwrap_err();
        assert_eq!(refused, Refusal::StorageFull);
    }
    world.homes[KANAZAWA].disk_is_full = false;
    world.transfer(&hanako, &jiro, "4.00").unwrap();
    let refused = world.transfer(&hanako, &jiro, "4.00").unwrap_err();
    assert_eq!(refused, Refusal::Unconfirmed);
}

/// What was accepted elsewhere is settled when the home has waited.
#[test]
fn what_waited_with_the_home_is_entered_then() {
    let (mut world, hanako, _, _) = lived();
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    let sent = world.transfer(&hanako, &taro, "2.00").unwrap();
    world.run();
    // It arrives while the home does not know the time.
    world.homes[KANAZAWA].quality = ClockQuality::Floor;
    world.accept(&taro, &sent).unwrap();
    world.run();
    world.homes[KANAZAWA].quality = ClockQuality::Ntp;
    world.turn_off_and_on(KANAZAWA, unconfirmed(WAIT_MS, "5.00"));
    let seq = world.own_seq(KANAZAWA);
    world.pass(1_000);
    assert_eq!(world.own_seq(KANAZAWA), seq, "it signs nothing yet");
    world.pass(WAIT_MS);
    assert_eq!(world.standing(KANAZAWA), Standing::Unconfirmed);
    let row = world.homes[KANAZAWA]
        .disk
        .read()
        .transfer(&hanako.home_log, &sent.identity)
        .unwrap();
    assert_eq!(row.state, city_protocol::ledger::TransferState::Settled);
    world.audit();
}

/// The clock may be put back, or set for the first time, while the home waits.
#[test]
fn a_clock_that_jumps_makes_the_wait_neither_longer_nor_shorter() {
    let (mut world, hanako, jiro, _) = lived();
    world.homes[KANAZAWA].clock_ahead_ms = 3_600_000;
    world.turn_off_and_on(KANAZAWA, unconfirmed(WAIT_MS, "1000.00"));
    world.homes[KANAZAWA].clock_ahead_ms = 0;
    world.pass(1_000);
    assert_eq!(world.standing(KANAZAWA), Standing::Waiting);
    world.pass(WAIT_MS);
    assert_eq!(world.standing(KANAZAWA), Standing::Unconfirmed);
    // And one that is set for the first time jumps over it.
    world.homes[KANAZAWA].quality = ClockQuality::Floor;
    world.turn_off_and_on(KANAZAWA, unconfirmed(WAIT_MS, "1000.00"));
    world.pass(1_000);
    world.homes[KANAZAWA].quality = ClockQuality::Ntp;
    world.pass(365 * UNCONFIRMED_WINDOW_MS);
    assert_eq!(world.standing(KANAZAWA), Standing::Waiting);
    world.pass(WAIT_MS);
    assert_eq!(world.standing(KANAZAWA), Standing::Unconfirmed);
    let booked = world.transfer(&hanako, &jiro, "2.00").unwrap();
    let amount = booked.receipt.entry.booked.balance_after;
    assert!(amount.is_some_and(|left| left < Amount::from_hundredths(100_000)));
}

//! What nobody answered in time, and what was answered behind a partition: deadlines as both homes see them.

use city_protocol::amount::Amount;
use city_protocol::body::{Kind, Refund, RefundReason, Settle, StandingAccept};
use city_protocol::codec;
use city_protocol::ids::TransferId;
use city_protocol::ledger::{Frozen, Rows as _, TransferState};
use city_protocol::refusal::Refusal;
use city_protocol::replica::BookedEntry;
use city_protocol::vertex::{Cite, Entry};

use super::answers::{DAY, cite_of};
use super::liar::{Liar, give, head};
use super::people::Person;
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

const ALL: [usize; 3] = [KANAZAWA, KOMATSU, HAKUSAN];
/// How long a receiver has, in milliseconds.
const DEADLINE: u64 = 180 * DAY;
/// The sweep comes round at least so often, in milliseconds.
const ROUND: u64 = 3_600_000;

fn hanako_and_taro() -> (World, Person, Person, BookedEntry) {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    let sent = world.transfer(&hanako, &taro, "4.00").unwrap();
    world.run();
    (world, hanako, taro, sent)
}

fn apart(world: &mut World) {
    world.disconnect(KANAZAWA, KOMATSU);
    world.disconnect(HAKUSAN, KOMATSU);
}

fn together(world: &mut World) {
    world.connect(KANAZAWA, KOMATSU);
    world.connect(HAKUSAN, KOMATSU);
    world.run();
}

/// The last vertex of a home's log as the home has it.
fn last_kinds(world: &World, home: usize) -> Vec<Kind> {
    let disk = &world.homes[home].disk;
    let row = world.homes[home].row(&world.homes[home].log());
    let body = disk.read().vertex(&row.head).unwrap().body;
    let entries = city_protocol::vertex::decode_body(&disk.blocks[&body]).unwrap();
    entries.iter().map(|entry| entry.kind).collect()
}

#[test]
fn kanazawa_and_komatsu_are_apart_for_three_weeks() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    apart(&mut world);
    let sent = world.transfer(&hanako, &taro, "4.00").unwrap();
    for _ in 0..21 {
        world.pass(DAY);
    }
    assert_eq!(world.state(KANAZAWA, &sent, &hanako), TransferState::Open);
    assert!(!world.waits(KOMATSU, &sent, &taro));
    together(&mut world);
    world.accept(&taro, &sent).unwrap();
    world.run();
    for home in ALL {
        assert_eq!(world.state(home, &sent, &hanako), TransferState::Settled);
        assert_eq!(world.homes[home].available(&taro), 400);
    }
    world.assert_in_step(&ALL);
    world.audit();
}

#[test]
fn an_acceptance_of_day_179_behind_a_partition_survives_the_refund_of_day_181() {
    let (mut world, hanako, taro, sent) = hanako_and_taro();
    apart(&mut world);
    world.pass(179 * DAY);
    world.accept(&taro, &sent).unwrap();
    world.pass(2 * DAY);
    world.pass(ROUND);
    // 金沢 has heard nothing of 小松 that is later than the deadline: it cannot give anything back.
    assert_eq!(world.state(KANAZAWA, &sent, &hanako), TransferState::Open);
    together(&mut world);
    for home in ALL {
        assert_eq!(world.state(home, &sent, &hanako), TransferState::Settled);
        assert_eq!(world.homes[home].available(&taro), 400);
        assert_eq!(world.homes[home].available(&hanako), 600);
    }
    world.assert_in_step(&ALL);
    world.audit();
}

#[test]
fn what_nobody_answers_goes_back_when_the_receivers_home_shows_that_it_is_late() {
    let (mut world, hanako, taro, sent) = hanako_and_taro();
    let before = head(&world, KOMATSU, &taro.home_log).0;
    world.pass(DEADLINE);
    world.run();
    assert_eq!(world.state(KANAZAWA, &sent, &hanako), TransferState::Open);
    // 小松 had nothing to write: it writes an empty vertex, and no more than one.
    for _ in 0..3 {
        world.pass(ROUND);
        world.run();
    }
    assert_eq!(head(&world, KOMATSU, &taro.home_log).0, before + 1);
    assert_eq!(last_kinds(&world, KOMATSU), []);
    assert_eq!(last_kinds(&world, KANAZAWA), [Kind::Refund]);
    for home in ALL {
        assert_eq!(world.state(home, &sent, &hanako), TransferState::Refunded);
        assert_eq!(world.homes[home].available(&hanako), 1000);
        assert!(!world.waits(home, &sent, &taro));
    }
    let late = world.accept(&taro, &sent);
    assert_eq!(late.unwrap_err(), Refusal::DeadlinePassed);
    world.assert_in_step(&ALL);
    world.audit();
    // A home that is switched on after all this knows the same.
    let again = super::sim::fold_again(&world, HAKUSAN, 0);
    for log in [hanako.home_log, taro.home_log] {
        assert_eq!(again.read().log(&log), Some(world.homes[HAKUSAN].row(&log)));
    }
}

#[test]
fn after_the_deadline_nothing_is_accepted_or_rejected_even_alone() {
    let (mut world, hanako, taro, sent) = hanako_and_taro();
    apart(&mut world);
    world.pass(DEADLINE);
    world.pass(1);
    for said in [world.accept(&taro, &sent), world.reject(&taro, &sent)] {
        assert_eq!(said.unwrap_err(), Refusal::DeadlinePassed);
    }
    world.pass(ROUND);
    together(&mut world);
    world.pass(ROUND);
    world.run();
    assert_eq!(
        world.state(KOMATSU, &sent, &hanako),
        TransferState::Refunded
    );
    world.audit();
}

#[test]
fn within_one_home_nothing_needs_to_be_shown() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    let sent = world.transfer(&hanako, &jiro, "4.00").unwrap();
    world.pass(DEADLINE - 1);
    assert_eq!(world.state(KANAZAWA, &sent, &hanako), TransferState::Open);
    world.pass(ROUND + 1);
    world.run();
    assert_eq!(
        world.state(KANAZAWA, &sent, &hanako),
        TransferState::Refunded
    );
    assert_eq!(last_kinds(&world, KANAZAWA), [Kind::Refund]);
    world.assert_in_step(&ALL);
    world.audit();
}

/// 金沢 lies about a transfer of 4.00 to 太郎: what it says it rests on decides.
struct Lies {
    world: World,
    hanako: Person,
    taro: Person,
    sent: BookedEntry,
    liar: Liar,
}

fn lies(prepare: impl FnOnce(&mut World, &Person, &BookedEntry)) -> Lies {
    let (mut world, hanako, taro, sent) = hanako_and_taro();
    // What 金沢 would do by itself it does not hear about.
    world.disconnect(KANAZAWA, KOMATSU);
    world.disconnect(KANAZAWA, HAKUSAN);
    prepare(&mut world, &taro, &sent);
    world.run();
    let liar = Liar::new(&world, KANAZAWA);
    Lies {
        world,
        hanako,
        taro,
        sent,
        liar,
    }
}

impl Lies {
    fn refund(&self, reason: RefundReason, cites: Vec<Cite>) -> Entry {
        let body = Refund {
            v: 1,
            transfer: self.sent.identity,
            own: self.sent.at,
            amount: Amount::from_hundredths(400),
            reason,
        };
        let mut entry = Entry::home_authored(Kind::Refund, codec::encode(&body));
        entry.cites = cites;
        entry
    }

    fn settle(&self, cite: Cite) -> Entry {
        let body = Settle {
            v: 1,
            transfer: self.sent.identity,
            own: self.sent.at,
            amount: Amount::from_hundredths(400),
            reason: Settle::ACCEPTED.into(),
        };
        let mut entry = Entry::home_authored(Kind::Settle, codec::encode(&body));
        entry.cites = vec![cite];
        entry
    }

    /// What 小松 and 白山 say of a vertex of these entries, dated now.
    #[track_caller]
    fn tell(mut self, entries: &[Entry], expected: Option<Refusal>) -> World {
        self.liar.time = self.world.now;
        let vertex = self.liar.sign(entries);
        for home in [KOMATSU, HAKUSAN] {
            give(&mut self.world, KANAZAWA, home, &vertex);
            let frozen = &self.world.homes[home].frozen;
            match expected {
                Some(refusal) => {
                    let cut = Frozen::Invalid(self.liar.seq - 1);
                    assert_eq!(
                        frozen,
                        &[(self.liar.log, cut, Some(refusal))],
                        "home {home}"
                    );
                }
                None => {
                    assert_eq!(frozen, &[], "home {home}");
                    let row = self.world.homes[home].row(&self.liar.log);
                    assert_eq!(row.head, vertex.id, "home {home}");
                }
            }
        }
        self.world
    }
}

/// 小松 rejects for 太郎; the answer's cite.
fn rejected(world: &mut World, taro: &Person, sent: &BookedEntry) -> Cite {
    let said = world.reject(taro, sent).unwrap();
    cite_of(world, KOMATSU, &said)
}

#[test]
fn a_refund_rests_on_the_rejection() {
    let mut cite = None;
    let s = lies(|world, taro, sent| cite = Some(rejected(world, taro, sent)));
    let entry = s.refund(RefundReason::Rejected, vec![cite.clone().unwrap()]);
    let world = s.tell(&[entry], None);
    world.audit();

    // Without it, with its own word, or with another reason.
    let check = |reason, with: fn(&Cite, &Lies) -> Vec<Cite>, expected| {
        let mut cite = None;
        let s = lies(|world, taro, sent| cite = Some(rejected(world, taro, sent)));
        let cites = with(&cite.unwrap(), &s);
        let entry = s.refund(reason, cites);
        s.tell(&[entry], Some(expected));
    };
    check(RefundReason::Rejected, |_, _| vec![], Refusal::BadCite);
    check(
        RefundReason::Rejected,
        |_, s| vec![Cite::Own(s.sent.at)],
        Refusal::BadCite,
    );
    check(
        RefundReason::Rejected,
        |cite, _| vec![cite.clone(), cite.clone()],
        Refusal::BadCite,
    );
    check(
        RefundReason::Expired,
        |cite, _| vec![cite.clone()],
        Refusal::BadCite,
    );
    // Twice.
    let mut cite = None;
    let s = lies(|world, taro, sent| cite = Some(rejected(world, taro, sent)));
    let entry = s.refund(RefundReason::Rejected, vec![cite.unwrap()]);
    s.tell(&[entry.clone(), entry], Some(Refusal::TransferMismatch));
}

#[test]
fn what_was_rejected_is_not_settled_and_what_was_accepted_not_refunded() {
    let mut cite = None;
    let s = lies(|world, taro, sent| cite = Some(rejected(world, taro, sent)));
    let entry = s.settle(cite.unwrap());
    s.tell(&[entry], Some(Refusal::BadCite));

    let accepted = |world: &mut World, taro: &Person, sent: &BookedEntry| {
        let said = world.accept(taro, sent).unwrap();
        cite_of(world, KOMATSU, &said)
    };
    let mut cite = None;
    let s = lies(|world, taro, sent| cite = Some(accepted(world, taro, sent)));
    let entry = s.refund(RefundReason::Rejected, vec![cite.unwrap()]);
    s.tell(&[entry], Some(Refusal::BadCite));
    // Settled first, given back after.
    let mut cite = None;
    let s = lies(|world, taro, sent| cite = Some(accepted(world, taro, sent)));
    let cite = cite.unwrap();
    let entries = [
        s.settle(cite.clone()),
        s.refund(RefundReason::Rejected, vec![cite]),
    ];
    s.tell(&entries, Some(Refusal::TransferMismatch));
}

/// An acceptance that nobody wrote: it is said to stand in a vertex of 小松 that is really there.
#[test]
fn a_settlement_rests_on_an_acceptance_that_its_vertex_holds() {
    let forged = |world: &World, s: &Lies, at: u64| {
        let log = s.taro.home_log;
        let head = world.homes[KOMATSU].row(&log).head;
        let never = StandingAccept {
            v: 1,
            transfer: s.sent.identity,
            transfer_id: TransferId([0xaa; 16]),
            sender: s.hanako.account,
            sender_home: s.hanako.home_log,
            receiver: s.taro.account,
            amount: Amount::from_hundredths(400),
            order: s.sent.at,
        };
        let never = Entry::home_authored(Kind::Accept, codec::encode(&never));
        never.to_cite(head, at, &[])
    };
    for at in [0, 1] {
        let s = lies(|_, _, _| ());
        let entry = s.settle(forged(&s.world, &s, at));
        let world = s.tell(&[entry], Some(Refusal::BadCite));
        world.audit();
    }
    // And none at all.
    let s = lies(|_, _, _| ());
    let mut entry = s.settle(Cite::Own(s.sent.at));
    entry.cites.clear();
    s.tell(&[entry], Some(Refusal::BadCite));
}

#[test]
fn a_refund_for_lateness_rests_on_the_first_late_vertex() {
    // 小松 writes before the deadline, behind it, and once more.
    let writes = |world: &mut World, taro: &Person| {
        for wait in [DEADLINE - DAY, 2 * DAY, DAY] {
            world.now = world.now.plus_ms(wait);
            world.grant(taro, "1.00").unwrap();
        }
        world.run();
    };
    let at = |s: &Lies, from_head: u64| {
        let disk = s.world.homes[KOMATSU].disk.read();
        let seq = disk.log(&s.taro.home_log).unwrap().seq - from_head;
        Cite::Vertex(disk.vertex_at(&s.taro.home_log, 1, seq).unwrap())
    };
    type At<'a> = &'a dyn Fn(&Lies, u64) -> Cite;
    let check = |cites: fn(&Lies, At<'_>) -> Vec<Cite>, expected| {
        let s = lies(|world, taro, _| writes(world, taro));
        let entry = s.refund(RefundReason::Expired, cites(&s, &at));
        s.tell(&[entry], expected)
    };
    let world = check(|s, at| vec![at(s, 1)], None);
    world.audit();
    // Not late, late but not the first, of another log, nothing, or one's own word.
    check(|s, at| vec![at(s, 2)], Some(Refusal::NotExpired));
    check(|s, at| vec![at(s, 0)], Some(Refusal::NotExpired));
    check(|_, _| vec![], Some(Refusal::BadCite));
    check(|s, _| vec![Cite::Own(s.sent.at)], Some(Refusal::BadCite));
    check(
        |s, _| {
            vec![Cite::Vertex(
                s.world.homes[HAKUSAN]
                    .row(&s.world.homes[HAKUSAN].log())
                    .head,
            )]
        },
        Some(Refusal::BadCite),
    );
    check(
        |s, _| {
            vec![Cite::Vertex(
                s.world.homes[KANAZAWA].row(&s.hanako.home_log).head,
            )]
        },
        Some(Refusal::BadCite),
    );
}

//! What receivers say, and what homes say for them: rejections, standing orders, the clearing limit.

use city_protocol::amount::Amount;
use city_protocol::body::{
    Answer, AnsweredBy, Kind, Order, Reject, RejectReason, StandingAccept, StandingReject, Transfer,
};
use city_protocol::codec;
use city_protocol::ledger::{Frozen, Rows as _, Table, TransferState, key};
use city_protocol::refusal::Refusal;
use city_protocol::replica::{BookedEntry, Clearing};
use city_protocol::stage::Submission;
use city_protocol::vertex::{Cite, Entry, SignedHeader, decode_body, merkle_paths};

use super::liar::{Liar, Vertex, give};
use super::people::{Person, signed};
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

const ALL: [usize; 3] = [KANAZAWA, KOMATSU, HAKUSAN];
/// A day in milliseconds.
pub(crate) const DAY: u64 = 24 * 60 * 60 * 1000;

/// 花子 in 金沢 has 10.00; 太郎 in 小松 has an account.
fn hanako_and_taro() -> (World, Person, Person) {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let taro = world.citizen("taro", KOMATSU);
    world.run();
    (world, hanako, taro)
}

impl World {
    /// The state of a transfer in its sender's log, as a home has it.
    pub(crate) fn state(&self, home: usize, sent: &BookedEntry, from: &Person) -> TransferState {
        let disk = self.homes[home].disk.read();
        disk.transfer(&from.home_log, &sent.identity).unwrap().state
    }

    /// How a transfer was answered, as a home has it.
    pub(crate) fn answer_to(&self, home: usize, sent: &BookedEntry, to: &Person) -> Option<Answer> {
        let disk = self.homes[home].disk.read();
        let row = disk.answer(&to.home_log, &sent.identity)?;
        let entry = disk.entry(&to.home_log, &row.at).unwrap();
        Some(Answer::read(entry.kind, &entry.body).unwrap())
    }

    /// Whether a transfer is shown to its receiver as waiting.
    pub(crate) fn waits(&self, home: usize, sent: &BookedEntry, to: &Person) -> bool {
        let account = to.account;
        let name = [
            &to.home_log.0[..],
            account.as_str().as_bytes(),
            &sent.identity.0,
        ];
        let disk = self.homes[home].disk.read();
        disk.row(&key(Table::Incoming, &name)).is_some()
    }

    fn set_clearing(&mut self, home: usize, clearing: Clearing) {
        for other in ALL {
            self.disconnect(home, other);
        }
        let replica = self.new_replica(&self.homes[home].identity, true);
        self.homes[home].replica = replica.with_clearing(clearing);
        self.tell(home, city_protocol::replica::Input::Started);
        self.commit(home);
    }
}

#[test]
fn taro_turns_a_transfer_down_and_hanako_has_it_back() {
    let (mut world, hanako, taro) = hanako_and_taro();
    let sent = world.transfer(&hanako, &taro, "4.00").unwrap();
    world.run();
    assert!(world.waits(KOMATSU, &sent, &taro));
    let said = world.reject(&taro, &sent).unwrap();
    assert_eq!(said.receipt.entry.booked.balance_after, None);
    // The same again gets the first receipt; another answer, of either kind, is refused.
    let body: Reject = serde_json::from_slice(&said.receipt.entry.body).unwrap();
    let again = Submission::Reject(signed(body, &taro).unwrap());
    let again = world.submit(KOMATSU, again).unwrap();
    assert!(again.repeated && again.receipt == said.receipt);
    let other = world.reject(&taro, &sent);
    assert_eq!(other.unwrap_err(), Refusal::AlreadyAnswered);
    let other = world.accept(&taro, &sent);
    assert_eq!(other.unwrap_err(), Refusal::AlreadyAnswered);
    world.run();
    for home in ALL {
        assert_eq!(world.homes[home].available(&hanako), 1000);
        assert_eq!(world.state(home, &sent, &hanako), TransferState::Refunded);
        assert!(!world.waits(home, &sent, &taro));
        // The receiver's number was used up.
        assert_eq!(world.homes[home].account(&taro).next_sequence, 2);
    }
    world.assert_in_step(&ALL);
    world.audit();
}

#[test]
fn within_one_home_reject_and_refund_stand_in_one_vertex() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    let sent = world.transfer(&hanako, &jiro, "4.00").unwrap();
    let said = world.reject(&jiro, &sent).unwrap();
    let kinds = kinds_of(&world, KANAZAWA, &said);
    assert_eq!(kinds, [Kind::Reject, Kind::Refund]);
    assert_eq!(world.homes[KANAZAWA].available(&hanako), 1000);
    world.run();
    world.assert_in_step(&ALL);
    world.audit();
}

fn kinds_of(world: &World, home: usize, booked: &BookedEntry) -> Vec<Kind> {
    let disk = &world.homes[home].disk;
    let body = disk.read().vertex(&booked.vertex).unwrap().body;
    let entries = decode_body(&disk.blocks[&body]).unwrap();
    entries.iter().map(|entry| entry.kind).collect()
}

#[test]
fn what_was_accepted_is_not_rejected() {
    let (mut world, hanako, taro) = hanako_and_taro();
    let sent = world.transfer(&hanako, &taro, "4.00").unwrap();
    world.run();
    world.accept(&taro, &sent).unwrap();
    let said = world.reject(&taro, &sent);
    assert_eq!(said.unwrap_err(), Refusal::AlreadyAccepted);
}

#[test]
fn taros_home_takes_what_his_order_says_and_nothing_else() {
    let (mut world, hanako, taro) = hanako_and_taro();
    let order = world.order_body(&taro, Some("3.00"));
    let ordered = world.order(&taro, order.clone()).unwrap();
    let again = world.order(&taro, order).unwrap();
    assert!(again.repeated && again.receipt == ordered.receipt);
    world.run();
    let small = world.transfer(&hanako, &taro, "3.00").unwrap();
    let large = world.transfer(&hanako, &taro, "3.01").unwrap();
    world.run();
    for home in ALL {
        let answer = world.answer_to(home, &small, &taro).unwrap();
        assert_eq!(answer.by, AnsweredBy::Order(taro.account, ordered.at));
        assert_eq!(world.state(home, &small, &hanako), TransferState::Settled);
        assert_eq!(world.answer_to(home, &large, &taro), None);
        assert_eq!(world.homes[home].available(&taro), 300);
        // It is not his turn that is used up: his order was his first entry.
        assert_eq!(world.homes[home].account(&taro).next_sequence, 2);
    }
    // What he stops is not taken any more, what waits he can still take himself.
    let stop = world.order_body(&taro, None);
    world.order(&taro, stop).unwrap();
    world.run();
    let late = world.transfer(&hanako, &taro, "1.00").unwrap();
    world.run();
    assert!(world.waits(KOMATSU, &late, &taro));
    world.accept(&taro, &large).unwrap();
    world.run();
    world.assert_in_step(&ALL);
    world.audit();
}

#[test]
fn an_order_that_comes_later_takes_what_waits_with_the_next_round() {
    let (mut world, hanako, taro) = hanako_and_taro();
    let sent = world.transfer(&hanako, &taro, "3.00").unwrap();
    world.run();
    let order = world.order_body(&taro, Some("3.00"));
    world.order(&taro, order).unwrap();
    world.run();
    assert!(world.waits(KOMATSU, &sent, &taro));
    world.pass(3_600_000);
    world.run();
    assert!(!world.waits(KOMATSU, &sent, &taro));
    assert_eq!(world.homes[KANAZAWA].available(&taro), 300);
    world.assert_in_step(&ALL);
    world.audit();
}

#[test]
fn within_one_home_an_order_completes_the_transfer_in_its_own_vertex() {
    let mut world = World::connected();
    let hanako = world.rich_citizen("hanako", KANAZAWA, "10.00");
    let jiro = world.citizen("jiro", KANAZAWA);
    let order = world.order_body(&jiro, Some("5.00"));
    world.order(&jiro, order).unwrap();
    let sent = world.transfer(&hanako, &jiro, "4.00").unwrap();
    let kinds = kinds_of(&world, KANAZAWA, &sent);
    let expected = [Kind::Place, Kind::Transfer, Kind::Accept, Kind::Settle];
    assert_eq!(kinds, expected);
    assert_eq!(world.homes[KANAZAWA].available(&jiro), 400);
    world.run();
    world.assert_in_step(&ALL);
    world.audit();
}

#[test]
fn an_account_that_is_not_there_gets_a_week() {
    let (mut world, hanako, _) = hanako_and_taro();
    let hanae = world.person("hanae", KOMATSU);
    let sent = world.transfer(&hanako, &hanae, "4.00").unwrap();
    world.run();
    world.pass(6 * DAY);
    world.run();
    assert_eq!(world.answer_to(KOMATSU, &sent, &hanae), None);
    world.pass(DAY + 3_600_000);
    world.run();
    for home in ALL {
        let answer = world.answer_to(home, &sent, &hanae).unwrap();
        let expected = AnsweredBy::Home(hanae.account, RejectReason::UnknownReceiver);
        assert_eq!(answer.by, expected);
        assert_eq!(world.homes[home].available(&hanako), 1000);
    }
    // Who enrols then cannot take it any more.
    let hanae = world.citizen("hanae", KOMATSU);
    let taken = world.accept(&hanae, &sent);
    assert_eq!(taken.unwrap_err(), Refusal::AlreadyAnswered);
    world.run();
    world.assert_in_step(&ALL);
    world.audit();
}

#[test]
fn what_is_taken_from_one_home_is_limited_until_it_settles() {
    let (mut world, hanako, taro) = hanako_and_taro();
    let clearing = Clearing {
        limit: Amount::from_hundredths(500),
        ..Clearing::default()
    };
    world.set_clearing(KOMATSU, clearing.clone());
    world.run();
    world.connect(KANAZAWA, KOMATSU);
    world.connect(HAKUSAN, KOMATSU);
    world.run();
    let first = world.transfer(&hanako, &taro, "4.00").unwrap();
    let second = world.transfer(&hanako, &taro, "2.00").unwrap();
    world.run();
    world.accept(&taro, &first).unwrap();
    let beyond = world.accept(&taro, &second);
    assert_eq!(beyond.unwrap_err(), Refusal::ClearingLimit);
    // An order is bounded by it like the person.
    let order = world.order_body(&taro, Some("9.00"));
    world.order(&taro, order).unwrap();
    world.run();
    world.pass(3_600_000);
    world.run();
    assert_eq!(world.answer_to(KOMATSU, &second, &taro), None);
    let komatsu = taro.home_log;
    let row = world.homes[HAKUSAN].disk.read();
    let row = row.clearing(&komatsu, &hanako.home_log);
    assert_eq!((row.accepted, row.settled), (400, 0));
    // What 小松 sends and settles makes room; its order then takes what waits.
    let back = world.transfer(&taro, &hanako, "2.00").unwrap();
    world.run();
    world.accept(&hanako, &back).unwrap();
    world.run();
    world.pass(3_600_000);
    world.run();
    assert!(world.answer_to(KANAZAWA, &second, &taro).is_some());
    let row = world.homes[HAKUSAN].disk.read();
    let row = row.clearing(&komatsu, &hanako.home_log);
    assert_eq!((row.accepted, row.settled), (600, 200));
    // Where the municipality says so, what is beyond is rejected at once.
    let strict = Clearing {
        reject_over_limit: true,
        ..clearing
    };
    world.set_clearing(KOMATSU, strict);
    world.connect(KANAZAWA, KOMATSU);
    world.run();
    let third = world.transfer(&hanako, &taro, "2.00").unwrap();
    world.run();
    let answer = world.answer_to(KANAZAWA, &third, &taro).unwrap();
    let expected = AnsweredBy::Home(taro.account, RejectReason::Limit);
    assert_eq!(answer.by, expected);
    world.connect(HAKUSAN, KOMATSU);
    world.run();
    world.assert_in_step(&ALL);
    world.audit();
}

#[test]
fn an_answer_that_falls_away_with_a_fork_leaves_the_transfer_waiting_unless_it_went_back() {
    for went_back in [false, true] {
        let (mut world, hanako, taro) = hanako_and_taro();
        let sent = world.transfer(&hanako, &taro, "4.00").unwrap();
        world.run();
        world.disconnect(KOMATSU, KANAZAWA);
        world.disconnect(KOMATSU, HAKUSAN);
        if !went_back {
            world.disconnect(KANAZAWA, HAKUSAN);
        }
        let liar = Liar::new(&world, KOMATSU);
        let said = world.reject(&taro, &sent).unwrap();
        let honest = stored(&world, KOMATSU, &said);
        give(&mut world, KOMATSU, HAKUSAN, &honest);
        world.run();
        let back = world.state(HAKUSAN, &sent, &hanako) == TransferState::Refunded;
        assert_eq!(back, went_back);
        assert!(!world.waits(HAKUSAN, &sent, &taro));
        // 小松 tells 白山 that it wrote something else there.
        let other = liar.sign(&[super::liar::start("never rejected")]);
        give(&mut world, KOMATSU, HAKUSAN, &other);
        world.run();
        let row = world.homes[HAKUSAN].row(&taro.home_log);
        assert_eq!(row.frozen, Some(Frozen::Equivocation(liar.seq - 1)));
        assert_eq!(world.answer_to(HAKUSAN, &sent, &taro), None);
        assert_eq!(world.waits(HAKUSAN, &sent, &taro), !went_back);
        // What 金沢 gave back rests on what it had seen.
        let back = world.state(HAKUSAN, &sent, &hanako) == TransferState::Refunded;
        assert_eq!(back, went_back);
        assert!(world.homes[HAKUSAN].row(&hanako.home_log).frozen.is_none());
        world.audit();
    }
}

/// A booked vertex as its home has it.
fn stored(world: &World, home: usize, booked: &BookedEntry) -> Vertex {
    let blocks = &world.homes[home].disk.blocks;
    let header = blocks[&booked.vertex].to_vec();
    let body = SignedHeader::read(&header).unwrap().header.body;
    Vertex {
        id: booked.vertex,
        header,
        body: blocks[&body].to_vec(),
    }
}

#[test]
fn who_entered_a_fault_has_no_parents_beyond_its_cut() {
    let (mut world, _, taro) = hanako_and_taro();
    world.disconnect(KOMATSU, KANAZAWA);
    world.disconnect(KOMATSU, HAKUSAN);
    let liar = Liar::new(&world, KOMATSU);
    let [one, two] = ["one", "two"].map(|it| liar.sign(&[super::liar::start(it)]));
    for vertex in [&one, &two] {
        give(&mut world, KOMATSU, KANAZAWA, vertex);
    }
    world.run();
    let kanazawa = world.homes[KANAZAWA].log();
    let entered = world.homes[HAKUSAN].disk.read();
    let cut = entered.fault_cut(&kanazawa, &taro.home_log, 1);
    assert_eq!(cut, Some(liar.seq - 1));
    world.disconnect(KANAZAWA, HAKUSAN);
    let mut lies = Liar::new(&world, KANAZAWA);
    lies.parents = vec![one.id];
    let vertex = lies.sign(&[]);
    give(&mut world, KANAZAWA, HAKUSAN, &vertex);
    give(&mut world, KOMATSU, HAKUSAN, &one);
    let frozen = world.homes[HAKUSAN].row(&kanazawa).frozen;
    assert_eq!(frozen, Some(Frozen::Invalid(lies.seq - 1)));
    let why = world.homes[HAKUSAN].frozen.last().unwrap().2;
    assert_eq!(why, Some(Refusal::BadCite));
}

/// 小松 lies about a transfer of 4.00 that 花子 sent to 太郎; nobody hears 小松 but by what it signs.
struct Lies {
    world: World,
    taro: Person,
    transfer: Transfer,
    sent: BookedEntry,
    cite: Cite,
    order: BookedEntry,
    liar: Liar,
}

fn lies() -> Lies {
    let (mut world, hanako, taro) = hanako_and_taro();
    let order = world.order_body(&taro, Some("3.00"));
    let order = world.order(&taro, order).unwrap();
    world.run();
    let sent = world.transfer(&hanako, &taro, "4.00").unwrap();
    world.run();
    let transfer = serde_json::from_slice(&sent.receipt.entry.body).unwrap();
    let cite = cite_of(&world, KANAZAWA, &sent);
    world.disconnect(KOMATSU, KANAZAWA);
    world.disconnect(KOMATSU, HAKUSAN);
    let mut liar = Liar::new(&world, KOMATSU);
    liar.parents = vec![sent.vertex];
    Lies {
        world,
        taro,
        transfer,
        sent,
        cite,
        order,
        liar,
    }
}

/// The cite of an entry that a home booked.
pub(crate) fn cite_of(world: &World, home: usize, booked: &BookedEntry) -> Cite {
    let disk = &world.homes[home].disk;
    let body = disk.read().vertex(&booked.vertex).unwrap().body;
    let entries = decode_body(&disk.blocks[&body]).unwrap();
    let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
    let (_, paths) = merkle_paths(&leaves);
    let i = booked.at.index as usize;
    entries[i].to_cite(booked.vertex, booked.at.index, &paths[i])
}

impl Lies {
    fn standing(&self) -> StandingAccept {
        StandingAccept {
            v: 1,
            transfer: self.sent.identity,
            transfer_id: self.transfer.transfer_id,
            sender: self.transfer.sender,
            sender_home: self.transfer.home,
            receiver: self.taro.account,
            amount: self.transfer.amount,
            order: self.order.at,
        }
    }

    fn turned_down(&self, reason: RejectReason) -> StandingReject {
        StandingReject {
            v: 1,
            transfer: self.sent.identity,
            transfer_id: self.transfer.transfer_id,
            sender: self.transfer.sender,
            sender_home: self.transfer.home,
            receiver: self.taro.account,
            amount: self.transfer.amount,
            reason,
        }
    }

    fn entry(&self, kind: Kind, body: Vec<u8>, balance: Option<u64>) -> Entry {
        let mut entry = Entry::home_authored(kind, body);
        entry.booked.received_at = Some(self.world.now);
        entry.booked.balance_after = balance.map(Amount::from_hundredths);
        entry.cites = vec![self.cite.clone()];
        entry
    }

    fn accepted(&self) -> Entry {
        self.signed_entry(Kind::Accept)
    }

    /// What 太郎 signed himself: an acceptance or a rejection.
    fn signed_entry(&self, kind: Kind) -> Entry {
        let (bytes, sig) = if kind == Kind::Accept {
            let body = self.world.accept_body(&self.taro, &self.sent);
            let (_, bytes, sig) = signed(body, &self.taro).unwrap().into_parts();
            (bytes, sig)
        } else {
            let body = self.world.reject_body(&self.taro, &self.sent);
            let (_, bytes, sig) = signed(body, &self.taro).unwrap().into_parts();
            (bytes, sig)
        };
        let balance = (kind == Kind::Accept).then_some(400);
        let mut entry = self.entry(kind, bytes, balance);
        entry.sig = vec![sig];
        entry
    }
}

/// Both other homes stop 小松's log before this vertex, or take it.
#[track_caller]
fn told(lies: &mut Lies, vertex: &Vertex, expected: Option<Refusal>) {
    for home in [KANAZAWA, HAKUSAN] {
        give(&mut lies.world, KOMATSU, home, vertex);
        let frozen = &lies.world.homes[home].frozen;
        match expected {
            Some(refusal) => {
                let cut = Frozen::Invalid(lies.liar.seq - 1);
                assert_eq!(
                    frozen,
                    &[(lies.liar.log, cut, Some(refusal))],
                    "home {home}"
                );
            }
            None => assert_eq!(frozen, &[], "home {home}"),
        }
    }
    lies.world.run();
    lies.world.audit();
}

#[track_caller]
fn lie(expected: Refusal, tell: impl FnOnce(&mut Lies) -> Vec<Entry>) {
    let mut lies = lies();
    let entries = tell(&mut lies);
    let vertex = lies.liar.sign(&entries);
    told(&mut lies, &vertex, Some(expected));
}

#[test]
fn the_truth_of_a_receivers_home_is_taken() {
    for kind in [Kind::Accept, Kind::Reject] {
        let mut lies = lies();
        let vertex = lies.liar.sign(&[lies.signed_entry(kind)]);
        told(&mut lies, &vertex, None);
    }
    let mut lies = lies();
    let limit = codec::encode(&lies.turned_down(RejectReason::Limit));
    let entry = lies.entry(Kind::Reject, limit, None);
    let vertex = lies.liar.sign(&[entry]);
    told(&mut lies, &vertex, None);
}

#[test]
fn lies_about_answers() {
    // Twice, in either order.
    lie(Refusal::SequenceUsed, |s| vec![s.accepted(), s.accepted()]);
    lie(Refusal::AlreadyAccepted, |s| {
        let limit = codec::encode(&s.turned_down(RejectReason::Limit));
        vec![s.accepted(), s.entry(Kind::Reject, limit, None)]
    });
    lie(Refusal::AlreadyAnswered, |s| {
        let limit = codec::encode(&s.turned_down(RejectReason::Limit));
        vec![s.entry(Kind::Reject, limit, None), s.accepted()]
    });
    // Of an account that it keeps, with an open key.
    for reason in [RejectReason::UnknownReceiver, RejectReason::Revoked] {
        lie(Refusal::BadEntry, |s| {
            let body = codec::encode(&s.turned_down(reason));
            vec![s.entry(Kind::Reject, body, None)]
        });
    }
    // Of somebody else's transfer, or of another amount.
    lie(Refusal::UnknownTransfer, |s| {
        let jiro = s.world.person("jiro", KOMATSU);
        let mut body = s.turned_down(RejectReason::UnknownReceiver);
        body.receiver = jiro.account;
        vec![s.entry(Kind::Reject, codec::encode(&body), None)]
    });
    lie(Refusal::TransferMismatch, |s| {
        let mut body = s.turned_down(RejectReason::Limit);
        body.amount = Amount::from_hundredths(1);
        vec![s.entry(Kind::Reject, codec::encode(&body), None)]
    });
    // Resting on nothing, or saying more than it may.
    lie(Refusal::BadCite, |s| {
        let mut entry = s.signed_entry(Kind::Reject);
        entry.cites.clear();
        vec![entry]
    });
    lie(Refusal::BadBooking, |s| {
        let mut entry = s.signed_entry(Kind::Reject);
        entry.booked.balance_after = Some(Amount::ZERO);
        vec![entry]
    });
    lie(Refusal::BadSignature, |s| {
        let mut entry = s.signed_entry(Kind::Reject);
        entry.sig[0].sig[7] ^= 1;
        vec![entry]
    });
    // Late; and late, but received in time, as the home says: its vertex is not.
    for (said, expected) in [(0, Refusal::DeadlinePassed), (DAY, Refusal::BadVertex)] {
        lie(expected, |s| {
            s.liar.time = s.world.now.plus_ms(180 * DAY + 1);
            s.world.now = s.liar.time;
            let mut entry = s.accepted();
            entry.booked.received_at = Some(s.world.now.minus_ms(said));
            vec![entry]
        });
    }
}

/// 小松 takes late what it dates before the deadline: of what lies in between, its own parents tell.
#[test]
fn a_late_acceptance_is_not_dated_back_behind_its_parents() {
    let deadline = 180 * DAY;
    for (dated_back, expected) in [
        (9 * 60_000, None),
        (11 * 60_000, Some(Refusal::BadVertex)),
        (DAY, Some(Refusal::BadVertex)),
    ] {
        let mut s = lies();
        let sent = s.world.homes[KANAZAWA].disk.read().vertex(&s.sent.vertex);
        let last = sent.unwrap().time.plus_ms(deadline);
        // 金沢 and 白山 go on; 小松 has seen that it is a minute too late.
        s.world.now = last.plus_ms(60_000);
        let other = s.world.citizen("yoko", HAKUSAN);
        s.world.run();
        let seen = s.world.homes[HAKUSAN].row(&other.home_log).head;
        s.liar.parents = vec![seen, s.sent.vertex];
        s.liar.parents.sort();
        s.liar.time = s.world.now.minus_ms(dated_back);
        let mut entry = s.accepted();
        entry.booked.received_at = Some(s.liar.time);
        let vertex = s.liar.sign(&[entry]);
        told(&mut s, &vertex, expected);
    }
}

#[test]
fn lies_about_standing_orders() {
    let accept = |s: &Lies, body: StandingAccept| {
        vec![s.entry(Kind::Accept, codec::encode(&body), Some(400))]
    };
    // The order takes 3.00 at most.
    lie(Refusal::OrderMismatch, |s| accept(s, s.standing()));
    lie(Refusal::OrderMismatch, |s| {
        let mut body = s.standing();
        body.order.index += 1;
        accept(s, body)
    });
    lie(Refusal::UnknownAccount, |s| {
        let mut body = s.standing();
        body.receiver = s.world.person("jiro", KOMATSU).account;
        accept(s, body)
    });
    // Nobody signs for the person.
    lie(Refusal::BadEntry, |s| {
        let mut entries = accept(s, s.standing());
        entries[0].sig = s.accepted().sig;
        entries
    });
    // An order that was replaced does not count any more; the new one, in the same vertex, does.
    let ordered = |s: &Lies| {
        let body: Order = s.world.order_body(&s.taro, Some("4.00"));
        let (_, bytes, sig) = signed(body, &s.taro).unwrap().into_parts();
        let mut entry = Entry::home_authored(Kind::Order, bytes);
        entry.sig = vec![sig];
        entry.booked.received_at = Some(s.world.now);
        entry
    };
    lie(Refusal::OrderMismatch, |s| {
        let mut entries = vec![ordered(s)];
        entries.extend(accept(s, s.standing()));
        entries
    });
    let mut lies = lies();
    let mut body = lies.standing();
    body.order.seq = lies.liar.seq;
    body.order.index = 0;
    let mut entries = vec![ordered(&lies)];
    entries.extend(accept(&lies, body));
    let vertex = lies.liar.sign(&entries);
    told(&mut lies, &vertex, None);
    assert_eq!(lies.world.homes[HAKUSAN].available(&lies.taro), 400);
}

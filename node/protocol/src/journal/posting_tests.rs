//! The posting rule of each kind, with 春子 of 金沢市, who pays 与謝 of 小松市. After every story what is available is
//! 愛貨 − 他者への未払愛貨, and debit is credit.

use std::collections::BTreeMap;

use super::*;
use crate::body::{
    BODY_VERSION, Label, RefundReason, Reject, RejectReason, StandingAccept, StandingReject,
    identity,
};
use crate::client::person::Person;
use crate::client::{Home, Order, Waiting};
use crate::codec;
use crate::crypto::Suite;
use crate::ids::{NetworkId, TransferId};
use crate::json;
use crate::vertex::Booked as Booking;

const KANAZAWA: LogId = LogId([1; 32]);
const KOMATSU: LogId = LogId([2; 32]);
const SENT: Amount = Amount::from_hundredths(12_345);

fn home(log: LogId, region: &str) -> Home {
    Home {
        network: NetworkId::of(b"network"),
        log,
        region: region.parse().unwrap(),
        suite: Suite::Fips,
    }
}

/// 春子, 与謝, and a transfer that 春子's home booked as a gift.
struct Story {
    haruko: Person,
    yosa: Person,
    body: Vec<u8>,
    /// The logs' books: debits less credits by log, account and code.
    sums: BTreeMap<(LogId, AccountId, u16), i128>,
}

impl Booked for Story {
    fn parties(&self, log: &LogId, transfer: &Digest) -> Option<Parties> {
        (*log == KANAZAWA && *transfer == self.identity()).then(|| Parties {
            sender: self.haruko.account(),
            receiver: self.yosa.account(),
        })
    }

    fn debit(&self, log: &LogId, transfer: &Digest) -> Option<u16> {
        self.parties(log, transfer).map(|_| 503)
    }
}

fn cite(kind: Kind, body: Vec<u8>, booked: Booking) -> Cite {
    Cite::Entry(Box::new(EntryCite {
        vertex: BlockId::of(b"lost"),
        index: 0,
        path: Vec::new(),
        kind,
        body,
        sig_hash: Digest([0; 32]),
        booked,
        cites_hash: Digest([0; 32]),
    }))
}

impl Story {
    fn new() -> Self {
        let komatsu = home(KOMATSU, "Asia/JP/17/17203");
        let haruko = Person::generate(home(KANAZAWA, "Asia/JP/17/17201"));
        let yosa = Person::generate(komatsu.clone());
        let order = Order::new(yosa.account(), komatsu, SENT);
        let body = haruko.transfer(&order).unwrap().0.bytes().to_vec();
        Self {
            haruko,
            yosa,
            body,
            sums: BTreeMap::new(),
        }
    }

    fn identity(&self) -> Digest {
        identity(Transfer::TAG, &self.body)
    }

    fn waiting(&self) -> Waiting {
        Waiting {
            transfer: self.identity(),
            transfer_id: TransferId([3; 16]),
            sender: self.haruko.account(),
            sender_home: KANAZAWA,
            amount: SENT,
        }
    }

    fn transfer(&self) -> Entry {
        let mut entry = Entry::home_authored(Kind::Transfer, self.body.clone());
        entry.booked.debit = Some(503);
        entry
    }

    fn accept(&self) -> Vec<u8> {
        let accept = self.yosa.accept(self.waiting(), 1, Timestamp(0)).unwrap();
        accept.bytes().to_vec()
    }

    /// Posts an entry of a log and gives its lines: code, and amount, negative for a credit.
    fn post(&mut self, log: LogId, entry: &Entry) -> Vec<(u16, i128)> {
        let place = Place {
            log,
            time: Timestamp(0),
            vertex: BlockId::of(b"v"),
            at: OwnEntry {
                epoch: 1,
                seq: 2,
                index: 3,
            },
        };
        let lines = postings(entry, &place, self).unwrap();
        if !matches!(entry.kind, Kind::Grant | Kind::Ungrant | Kind::Correct) {
            let transfer = self.identity();
            assert!(lines.iter().all(|line| line.about == transfer));
        }
        let signed: Vec<(u16, i128)> = lines
            .iter()
            .map(|line| match line.side {
                Side::Debit => (line.code, i128::from(line.amount.hundredths())),
                Side::Credit => (line.code, -i128::from(line.amount.hundredths())),
            })
            .collect();
        assert_eq!(signed.iter().map(|(_, amount)| amount).sum::<i128>(), 0);
        for (line, (code, amount)) in lines.iter().zip(&signed) {
            *self.sums.entry((log, line.account, *code)).or_default() += amount;
        }
        signed
    }

    fn sum(&self, log: LogId, person: &Person, code: u16) -> i128 {
        let sum = self.sums.get(&(log, person.account(), code));
        sum.copied().unwrap_or(0)
    }

    fn available(&self, log: LogId, person: &Person) -> i128 {
        self.sum(log, person, AIKA) + self.sum(log, person, PAYABLE)
    }

    fn decided(&self, kind: Kind, hundredths: u64, transfer: Option<Digest>) -> Entry {
        let amount = Amount::from_hundredths(hundredths);
        let (network, home, account) = (NetworkId::of(b"network"), KANAZAWA, self.haruko.account());
        let (version, officers_sequence, created_at) = (BODY_VERSION, 1, Timestamp(0));
        let reason = Label::new("始め").unwrap();
        macro_rules! body {
            ($body:ident $(, $field:ident)?) => {
                json::canonical(&$body { version, kind, network, home, officers_sequence, created_at, account, amount, reason $(, $field)? })
            };
        }
        let body = match kind {
            Kind::Grant => body!(Grant),
            Kind::Ungrant => body!(Ungrant),
            _ => body!(Correct, transfer),
        };
        Entry::home_authored(kind, body)
    }
}

fn settle(story: &Story) -> Entry {
    let settle = Settle {
        v: BODY_VERSION,
        transfer: story.identity(),
        own: OwnEntry {
            epoch: 1,
            seq: 1,
            index: 1,
        },
        amount: SENT,
        reason: Settle::ACCEPTED.into(),
    };
    Entry::home_authored(Kind::Settle, codec::encode(&settle))
}

fn refund(story: &Story) -> Entry {
    let refund = Refund {
        v: BODY_VERSION,
        transfer: story.identity(),
        own: OwnEntry {
            epoch: 1,
            seq: 1,
            index: 1,
        },
        amount: SENT,
        reason: RefundReason::Expired,
    };
    Entry::home_authored(Kind::Refund, codec::encode(&refund))
}

fn adopt(story: &Story, lost: Cite, shortfall: Option<u64>) -> Entry {
    let body = Adopt {
        v: BODY_VERSION,
        transfer: story.identity(),
        amount: SENT,
    };
    let mut entry = Entry::home_authored(Kind::Adopt, codec::encode(&body));
    entry.cites = vec![lost];
    entry.booked.shortfall = shortfall.map(Amount::from_hundredths);
    entry
}

#[test]
fn granted_sent_accepted_settled() {
    let mut story = Story::new();
    let grant = story.decided(Kind::Grant, 100_000, None);
    assert_eq!(
        story.post(KANAZAWA, &grant),
        [(101, 100_000), (305, -100_000)]
    );
    let transfer = story.transfer();
    assert_eq!(
        story.post(KANAZAWA, &transfer),
        [(503, 12_345), (203, -12_345)]
    );
    assert_eq!(story.available(KANAZAWA, &story.haruko), 87_655);
    let mut accept = Entry::home_authored(Kind::Accept, story.accept());
    accept.cites = vec![cite(Kind::Transfer, story.body.clone(), Booking::default())];
    assert_eq!(
        story.post(KOMATSU, &accept),
        [(101, 12_345), (401, -12_345)]
    );
    assert_eq!(story.available(KOMATSU, &story.yosa), 12_345);
    let settle = settle(&story);
    assert_eq!(
        story.post(KANAZAWA, &settle),
        [(203, 12_345), (101, -12_345)]
    );
    assert_eq!(story.available(KANAZAWA, &story.haruko), 87_655);
    assert_eq!(story.sum(KANAZAWA, &story.haruko, PAYABLE), 0);
    let ungrant = story.decided(Kind::Ungrant, 655, None);
    assert_eq!(story.post(KANAZAWA, &ungrant), [(305, 655), (101, -655)]);
    assert_eq!(story.available(KANAZAWA, &story.haruko), 87_000);
}

/// What comes back reverses the pair that was booked, with the expense that the home decided then.
#[test]
fn a_refund_and_a_correction_reverse_the_transfer() {
    let mut story = Story::new();
    let transfer = story.transfer();
    let corrected = story.decided(Kind::Correct, 12_345, Some(story.identity()));
    for back in [refund(&story), corrected] {
        story.post(KANAZAWA, &transfer);
        assert_eq!(story.available(KANAZAWA, &story.haruko), -12_345);
        assert_eq!(story.post(KANAZAWA, &back), [(203, 12_345), (503, -12_345)]);
        assert!(story.sums.values().all(|sum| *sum == 0), "{:?}", story.sums);
    }
}

/// A standing order's acceptance has no key; it names the receiver. A rejection posts nothing, whoever wrote it.
#[test]
fn what_a_home_answers_posts_as_what_a_person_answers() {
    let mut story = Story::new();
    let Waiting {
        transfer,
        transfer_id,
        sender,
        sender_home,
        amount,
    } = story.waiting();
    let receiver = story.yosa.account();
    let order = OwnEntry {
        epoch: 1,
        seq: 1,
        index: 1,
    };
    let accept = codec::encode(&StandingAccept {
        v: BODY_VERSION,
        transfer,
        transfer_id,
        sender,
        sender_home,
        receiver,
        amount,
        order,
    });
    let accept = Entry::home_authored(Kind::Accept, accept);
    assert_eq!(
        story.post(KOMATSU, &accept),
        [(101, 12_345), (401, -12_345)]
    );
    assert_eq!(story.available(KOMATSU, &story.yosa), 12_345);
    let standing = codec::encode(&StandingReject {
        v: BODY_VERSION,
        transfer,
        transfer_id,
        sender,
        sender_home,
        receiver,
        amount,
        reason: RejectReason::Limit,
    });
    let signed = Reject {
        version: BODY_VERSION,
        kind: Kind::Reject,
        network: NetworkId::of(b"network"),
        alg: Suite::Fips.signing(),
        key: story.yosa.signing().public().id(),
        home: KOMATSU,
        sequence: 1,
        created_at: Timestamp(0),
        transfer,
        transfer_id,
        sender,
        sender_home,
        amount,
    };
    for reject in [standing, json::canonical(&signed)] {
        let reject = Entry::home_authored(Kind::Reject, reject);
        assert_eq!(story.post(KOMATSU, &reject), []);
    }
}

/// 金沢市 lost a transfer at a cut that 小松市 had accepted: 春子 has 100.00 of the 123.45 left, and 23.45 are borrowed
/// until somebody makes them good.
#[test]
fn an_adopted_transfer_takes_what_is_there_and_borrows_the_rest() {
    let mut story = Story::new();
    let grant = story.decided(Kind::Grant, 10_000, None);
    story.post(KANAZAWA, &grant);
    let booked = Booking {
        debit: Some(503),
        ..Booking::default()
    };
    let lost = cite(Kind::Transfer, story.body.clone(), booked);
    let entry = adopt(&story, lost.clone(), Some(2_345));
    let lines = story.post(KANAZAWA, &entry);
    assert_eq!(lines, [(503, 12_345), (101, -10_000), (205, -2_345)]);
    assert_eq!(story.available(KANAZAWA, &story.haruko), 0);
    // Granted anew, and made good.
    let grant = story.decided(Kind::Grant, 2_345, None);
    story.post(KANAZAWA, &grant);
    let good = story.decided(Kind::Correct, 2_345, None);
    assert_eq!(story.post(KANAZAWA, &good), [(205, 2_345), (101, -2_345)]);
    assert_eq!(story.available(KANAZAWA, &story.haruko), 0);
    assert_eq!(story.sum(KANAZAWA, &story.haruko, BORROWED), 0);
    // Who has enough borrows nothing, who has nothing all of it.
    let entry = adopt(&story, lost.clone(), None);
    assert_eq!(
        story.post(KANAZAWA, &entry),
        [(503, 12_345), (101, -12_345)]
    );
    let entry = adopt(&story, lost.clone(), Some(12_345));
    assert_eq!(
        story.post(KANAZAWA, &entry),
        [(503, 12_345), (205, -12_345)]
    );
    // More than the transfer is no shortfall.
    let entry = adopt(&story, lost, Some(12_346));
    let place = Place {
        log: KANAZAWA,
        time: Timestamp(0),
        vertex: BlockId::of(b"v"),
        at: OwnEntry {
            epoch: 2,
            seq: 2,
            index: 3,
        },
    };
    assert_eq!(postings(&entry, &place, &story), Err(Refusal::BadBooking));
}

/// 小松市 lost an acceptance that 金沢市 had settled by: it names a key, and 金沢市's log names 与謝.
#[test]
fn an_adopted_acceptance_gives_its_receiver_what_was_settled() {
    let mut story = Story::new();
    let lost = cite(Kind::Accept, story.accept(), Booking::default());
    let entry = adopt(&story, lost, None);
    assert_eq!(story.post(KOMATSU, &entry), [(101, 12_345), (401, -12_345)]);
    assert_eq!(story.available(KOMATSU, &story.yosa), 12_345);
}

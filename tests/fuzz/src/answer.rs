//! What receivers and their homes say of a transfer, and the orders and key changes of people: JSON that a person
//! signs, DAG-CBOR that a home writes. One spelling each, nothing that is both, and a signature under nothing else.

use arbitrary::{Arbitrary, Unstructured};
use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{
    Accept, Answer, AnsweredBy, Kind, Label, MAX_ORDER_SENDERS, Order, OwnEntry, PersonBody,
    Refund, RefundReason, Reject, RejectReason, Revoke, Settle, StandingAccept, StandingReject,
    Transfer, identity, is_home_authored, read_person_body,
};
use city_protocol::codec;
use city_protocol::ids::{AccountId, Digest, LogId, TransferId};
use city_protocol::json;
use city_protocol::stage::Signed;
use city_protocol::vertex::EntrySignature;

use crate::edits::{Edit, Input, apply};
use crate::memory;
use crate::people::{Person, signed};
use crate::respelled::respelled;
use crate::town::town;

/// What reading one body may hold: values, their canonical form and typed copies, a few dozen times the bytes.
const MEMORY: usize = 1 << 20;

/// Something that a home writes by itself.
#[derive(Arbitrary, Debug)]
enum Written {
    Accept([u8; 32], u64, [u64; 3]),
    Reject([u8; 32], u64, u8),
    Settle([u8; 32], u64, [u64; 3], bool),
    Refund([u8; 32], u64, [u64; 3], bool),
}

/// Runs the target.
pub fn run(data: &[u8]) {
    match Input::of(data) {
        Some(Input::Raw(bytes)) => check(bytes),
        Some(Input::Story(story)) => drop(tell(story)),
        None => {}
    }
}

/// Inputs to begin with: every body of a person, what a home writes in their place, and what the story has of both.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let said = said();
    let home = [
        Written::Accept([1; 32], 100, [1, 2, 0]),
        Written::Reject([2; 32], 1, 0),
        Written::Reject([2; 32], 1, 1),
        Written::Reject([2; 32], 1, 2),
        Written::Settle([3; 32], 5, [1, 2, 3], true),
        Written::Refund([4; 32], 5, [1, 2, 3], false),
    ];
    let home = home.map(|written| written.bytes());
    let people = said.iter().map(|(body, _)| body);
    let kinds = [
        Kind::Accept,
        Kind::Reject,
        Kind::Settle,
        Kind::Refund,
        Kind::Order,
    ];
    let told = town().receipts().into_iter().map(|receipt| receipt.entry);
    let told = told.filter(|entry| kinds.contains(&entry.kind));
    let told: Vec<_> = told.map(|entry| entry.body).collect();
    let all = people.chain(&home).chain(&told);
    all.map(|bytes| Input::raw(bytes)).collect()
}

/// What 太郎 signed, with his signatures.
fn said() -> Vec<(Vec<u8>, EntrySignature)> {
    let town = town();
    let [hanako, _, taro] = &town.people[..] else {
        unreachable!("three people")
    };
    let world = &town.world;
    let sent = town
        .receipts()
        .into_iter()
        .map(|receipt| receipt.entry)
        .rfind(|entry| entry.kind == Kind::Transfer)
        .expect("one is open");
    let transfer: Transfer = read_person_body(&sent.body).expect("a home booked it");
    let sent = identity(Transfer::TAG, &sent.body);
    let takes = world.order_body(taro, Some("5.00"));
    let some = Order {
        senders: Some(vec![hanako.account]),
        until: Some(world.now.plus_ms(86_400_000)),
        ..takes.clone()
    };
    let closed = Revoke {
        version: 1,
        kind: Kind::Revoke,
        network: takes.network,
        alg: takes.alg,
        key: takes.key,
        home: takes.home,
        sequence: takes.sequence,
        created_at: takes.created_at,
        account: takes.account,
        reason: Label::new("紛失").expect("a short text"),
    };
    vec![
        by(taro, world.accept_of(taro, sent, &transfer)),
        by(taro, world.reject_of(taro, sent, &transfer)),
        by(taro, takes),
        by(taro, some),
        by(taro, world.order_body(taro, None)),
        by(taro, closed),
    ]
}

fn by<B: PersonBody>(person: &Person, body: B) -> (Vec<u8>, EntrySignature) {
    let (_, bytes, signature) = signed(body, person).expect("it holds").into_parts();
    (bytes, signature)
}

thread_local! {
    static SAID: &'static [(Vec<u8>, EntrySignature)] = said().leak();
    static BODIES: Vec<Vec<u8>> = SAID.with(|said| said.iter().map(|(body, _)| body.clone()).collect());
}

fn tell(mut story: Unstructured<'_>) -> arbitrary::Result<()> {
    let bytes = if story.arbitrary()? {
        BODIES.with(|bodies| respelled(&mut story, bodies))?
    } else {
        let mut bytes = story.arbitrary::<Written>()?.bytes();
        apply(&mut bytes, &story.arbitrary::<Vec<Edit>>()?);
        bytes
    };
    check(&bytes);
    Ok(())
}

impl Written {
    fn bytes(&self) -> Vec<u8> {
        let (hanako, taro) = (&town().people[0], &town().people[2]);
        let place = |at: &[u64; 3]| OwnEntry {
            epoch: at[0],
            seq: at[1],
            index: at[2],
        };
        let amount = Amount::from_hundredths;
        match self {
            Self::Accept(transfer, hundredths, order) => codec::encode(&StandingAccept {
                v: 1,
                transfer: Digest(*transfer),
                transfer_id: TransferId([7; 16]),
                sender: hanako.account,
                sender_home: hanako.home_log,
                receiver: taro.account,
                amount: amount(*hundredths),
                order: place(order),
            }),
            Self::Reject(transfer, hundredths, reason) => codec::encode(&StandingReject {
                v: 1,
                transfer: Digest(*transfer),
                transfer_id: TransferId([7; 16]),
                sender: hanako.account,
                sender_home: hanako.home_log,
                receiver: taro.account,
                amount: amount(*hundredths),
                reason: match reason % 3 {
                    0 => RejectReason::UnknownReceiver,
                    1 => RejectReason::Revoked,
                    _ => RejectReason::Limit,
                },
            }),
            Self::Settle(transfer, hundredths, own, known) => codec::encode(&Settle {
                v: 1,
                transfer: Digest(*transfer),
                own: place(own),
                amount: amount(*hundredths),
                reason: if *known { Settle::ACCEPTED } else { "later" }.into(),
            }),
            Self::Refund(transfer, hundredths, own, late) => codec::encode(&Refund {
                v: 1,
                transfer: Digest(*transfer),
                own: place(own),
                amount: amount(*hundredths),
                reason: if *late {
                    RefundReason::Expired
                } else {
                    RefundReason::Rejected
                },
            }),
        }
    }
}

fn check(bytes: &[u8]) {
    memory::within(MEMORY + 64 * bytes.len(), || {
        let [accepts, rejects] =
            [Kind::Accept, Kind::Reject].map(|kind| Answer::read(kind, bytes).ok());
        assert!(
            accepts.is_none() || rejects.is_none(),
            "nobody says yes and no with the same bytes"
        );
        if let Some(answer) = &accepts {
            assert!(answer.accepts);
            one_spelling(bytes, answer);
        }
        if let Some(answer) = &rejects {
            assert!(!answer.accepts);
            one_spelling(bytes, answer);
        }
        if let Ok(order) = read_person_body::<Order>(bytes) {
            assert_eq!(json::canonical(&order), bytes, "one spelling");
            takes_what_it_says(&order);
        }
        if let Ok(settle) = Settle::read(bytes) {
            assert_eq!(codec::encode(&settle), bytes, "one spelling");
        }
        if let Ok(refund) = Refund::read(bytes) {
            assert_eq!(codec::encode(&refund), bytes, "one spelling");
        }
    });
    SAID.with(|said| {
        for (body, signature) in *said {
            let read = [
                signs::<Accept>(bytes, signature),
                signs::<Reject>(bytes, signature),
                signs::<Order>(bytes, signature),
                signs::<Revoke>(bytes, signature),
            ];
            let holds = read.contains(&true);
            assert_eq!(holds, bytes == body, "a signature is under one body");
        }
    });
}

/// What is read says what the bytes say, and says it in one way.
fn one_spelling(bytes: &[u8], answer: &Answer) {
    assert!(answer.amount.hundredths() > 0);
    let written = match (&answer.by, answer.accepts) {
        (AnsweredBy::Receiver(common), accepts) => {
            assert!(!is_home_authored(bytes));
            assert!(common.sequence > 0 && common.version == 1);
            assert_eq!(answer.receiver(), None, "a person is known by the key");
            if accepts {
                read_person_body::<Accept>(bytes).map(|body| json::canonical(&body))
            } else {
                read_person_body::<Reject>(bytes).map(|body| json::canonical(&body))
            }
        }
        (AnsweredBy::Order(..), true) => {
            StandingAccept::read(bytes).map(|body| codec::encode(&body))
        }
        (AnsweredBy::Home(..), false) => {
            StandingReject::read(bytes).map(|body| codec::encode(&body))
        }
        (by, accepts) => panic!("accepts: {accepts}, by {by:?}"),
    };
    assert_eq!(written.as_deref(), Ok(bytes), "one spelling");
}

/// An order takes up to its amount, until its end, from whom it names.
fn takes_what_it_says(order: &Order) {
    let hanako = town().people[0].account;
    let now = town().world.now;
    let cent = Amount::from_hundredths(1);
    let senders = order.senders.as_deref();
    assert!(senders.is_none_or(|senders| (1..=MAX_ORDER_SENDERS).contains(&senders.len())));
    let named = senders.is_none_or(|senders| senders.contains(&hanako));
    let in_time = order.until.is_none_or(|until| now <= until);
    let takes = |sender: &AccountId, amount, at| order.takes(sender, amount, at);
    assert_eq!(takes(&hanako, cent, now), order.accept && named && in_time);
    if let Some(most) = order.max_amount {
        let more = most
            .hundredths()
            .checked_add(1)
            .map(Amount::from_hundredths);
        assert!(more.is_none_or(|more| !takes(&hanako, more, Timestamp(0))));
    }
    if let Some(until) = order.until {
        let later = until.0.checked_add(1).map(Timestamp);
        assert!(later.is_none_or(|later| !takes(&hanako, cent, later)));
    }
    let nobody = AccountId::new(&LogId([9; 32]), &order.key);
    assert!(senders.is_none_or(|senders| {
        senders.contains(&nobody) || !takes(&nobody, cent, Timestamp(0))
    }));
    assert!(order.accept || !takes(&hanako, cent, Timestamp(0)));
}

fn signs<B: PersonBody>(bytes: &[u8], signature: &EntrySignature) -> bool {
    let read = Signed::<B>::read(bytes, signature.clone());
    read.is_ok_and(|read| read.verify(town().people[2].key.public()).is_ok())
}

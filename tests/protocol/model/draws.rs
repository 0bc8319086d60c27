//! What happens next, and how often each is drawn: mostly what people do, often enough what they should not.

use std::ops::Range;

use proptest::option::weighted;
use proptest::prelude::*;

use super::spec::{DAY, Ledger, Who};
use super::steps::{
    Cut, Dated, Evidence, Follows, Hand, Id, Length, Much, New, Next, Place, ProofOf, Signed,
    Signers, Step, Takes, Turn,
};

/// Four people in two municipalities.
const PEOPLE: Range<Who> = 0..4;

/// What may happen to this ledger: mostly what people do, often enough what they should not.
pub(crate) fn next(ledger: &Ledger) -> BoxedStrategy<Step> {
    let (sent, booked) = (ledger.transfers.len(), ledger.booked.len());
    let strangers = people(|who| !ledger.accounts.contains_key(&who));
    let citizens = people(|who| ledger.accounts.contains_key(&who));
    let rich = people(|who| ledger.accounts.get(&who).is_some_and(|a| a.available > 0));
    let open = answerable(ledger);
    let closed = people(|who| ledger.accounts.get(&who).is_some_and(|a| a.revoked));
    prop_oneof![
        1 + 10 * weight(strangers.len()) => (one_of(strangers), rarely())
            .prop_map(|(who, elsewhere)| Step::Enrol { who, elsewhere }),
        4 + 12 * u32::from(rich.is_empty()) => (one_of(citizens.clone()), rarely(), signers(), turn(), granted()).prop_map(
            |(to, elsewhere, signers, turn, amount)| Step::Grant { to, elsewhere, signers, turn, amount }
        ),
        2 => (PEOPLE, id(), evidence()).prop_map(|(who, id, evidence)| Step::Prove { who, id, evidence }),
        3 + 9 * weight(rich.len()) => transfer(one_of(rich)),
        weight(sent.min(1)) * (3 + 14 * weight(open.len().min(3))) => answer(open, sent),
        8 + 4 * weight(closed.len()) => rarer(citizens, closed, sent),
        weight(booked.min(2)) => (0..booked.max(1)).prop_map(Step::Again),
        7 + lies(ledger) + epochs(ledger) => of_homes(ledger),
        4 + 14 * u32::from(ledger.is_awaited()) => Just(Step::Carry),
        5 => prop_oneof![4 => clock(), 1 => (0..2_usize).prop_map(Step::Restart)],
    ]
    .boxed()
}

/// What people and officers do now and then: orders, keys, what is taken back or put right.
fn rarer(citizens: Vec<Who>, closed: Vec<Who>, sent: usize) -> BoxedStrategy<Step> {
    prop_oneof![
        3 => (one_of(citizens.clone()), hand(), turn(), weighted(0.8, takes()))
            .prop_map(|(who, hand, turn, takes)| Step::Order { who, hand, turn, takes }),
        2 => (one_of(citizens.clone()), hand(), turn(), new(), signed())
            .prop_map(|(who, hand, turn, new, signed)| Step::Rotate { who, hand, turn, new, signed }),
        1 => (one_of(citizens.clone()), hand(), turn()).prop_map(|(who, hand, turn)| Step::Revoke { who, hand, turn }),
        1 => (one_of(citizens.clone()), signers(), turn()).prop_map(|(who, signers, turn)| Step::Close { who, signers, turn }),
        1 + 4 * weight(closed.len()) => (one_of(closed), signers(), turn(), new())
            .prop_map(|(who, signers, turn, new)| Step::Recover { who, signers, turn, new }),
        2 => (one_of(citizens.clone()), rarely(), signers(), turn(), much()).prop_map(
            |(from, elsewhere, signers, turn, amount)| Step::Ungrant { from, elsewhere, signers, turn, amount }
        ),
        2 => (weighted(0.8, 0..sent.max(1)), weighted(0.1, PEOPLE), signers(), turn(), rarely()).prop_map(
            |(transfer, who, signers, turn, other_amount)| Step::Correct { transfer, who, signers, turn, other_amount }
        ),
    ]
    .boxed()
}

/// The same keys again and again, by either home, and now and then one that is not its own.
fn note() -> impl Strategy<Value = Step> {
    let key = prop_oneof![
        10 => (0..2_u8).prop_map(Place::Common),
        3 => (0..2_u8).prop_map(Place::Own),
        1 => Just(Place::Others),
        1 => Just(Place::Bare),
        1 => Just(Place::Likewise),
    ];
    let text = prop_oneof![
        3 => Just(Length::Nothing),
        1 => Just(Length::Empty),
        9 => Just(Length::Word),
        1 => Just(Length::Longest),
        1 => Just(Length::TooLong),
    ];
    (0..2_usize, key, text).prop_map(|(home, key, text)| Step::Note { home, key, text })
}

fn people(are: impl Fn(Who) -> bool) -> Vec<Who> {
    PEOPLE.filter(|who| are(*who)).collect()
}

fn weight(count: usize) -> u32 {
    u32::try_from(count).expect("a few")
}

/// Mostly one of these, sometimes anybody.
fn one_of(these: Vec<Who>) -> BoxedStrategy<Who> {
    if these.is_empty() {
        return PEOPLE.boxed();
    }
    prop_oneof![12 => proptest::sample::select(these), 1 => PEOPLE].boxed()
}

/// Mostly a transfer that nobody accepted yet.
fn transfer_of(open: Vec<usize>, sent: usize) -> BoxedStrategy<usize> {
    if open.is_empty() {
        return (0..sent.max(1)).boxed();
    }
    prop_oneof![8 => proptest::sample::select(open), 1 => 0..sent].boxed()
}

/// Transfers that their receivers can answer.
fn answerable(ledger: &Ledger) -> Vec<usize> {
    let mut open = ledger.open();
    open.retain(|n| ledger.is_waiting(*n));
    open
}

/// Whether what the step is about is there: when a story gets shorter it may not be.
pub(crate) fn possible(ledger: &Ledger, step: &Step) -> bool {
    match step {
        Step::Answer { .. }
        | Step::Correct {
            transfer: Some(_), ..
        } => !ledger.transfers.is_empty(),
        Step::Again(_) => !ledger.booked.is_empty(),
        Step::Lie { .. } => !ledger.is_convicted(),
        _ => true,
    }
}

fn transfer(from: BoxedStrategy<Who>) -> impl Strategy<Value = Step> {
    let further = prop_oneof![1 => Just(0_usize), 15 => 1..4_usize];
    let who = (from, further, weighted(0.05, PEOPLE), hand(), rarely());
    let what = (spent(), turn(), id(), dated(), proof());
    (who, what).prop_map(
        |((from, further, signer, hand, elsewhere), (amount, turn, id, dated, proof))| {
            Step::Transfer {
                from,
                to: (from + further) % PEOPLE.end,
                signer,
                hand,
                elsewhere,
                amount,
                turn,
                id,
                dated,
                proof,
            }
        },
    )
}

fn answer(open: Vec<usize>, sent: usize) -> impl Strategy<Value = Step> {
    let what = (weighted(0.1, PEOPLE), transfer_of(open, sent));
    let how = (proptest::bool::weighted(0.25), hand(), turn(), rarely());
    (what, how).prop_map(
        |((by, transfer), (rejects, hand, turn, other_amount))| Step::Answer {
            rejects,
            by,
            hand,
            transfer,
            turn,
            other_amount,
        },
    )
}

fn hand() -> impl Strategy<Value = Hand> {
    prop_oneof![12 => Just(Hand::Newest), 1 => Just(Hand::Older)]
}

fn new() -> impl Strategy<Value = New> {
    prop_oneof![
        9 => Just(New::Fresh),
        1 => Just(New::Same),
        1 => Just(New::First),
        1 => Just(New::Neighbours),
    ]
}

fn signed() -> impl Strategy<Value = Signed> {
    prop_oneof![
        8 => Just(Signed::Both),
        1 => Just(Signed::OldAlone),
        1 => Just(Signed::NewAlone),
    ]
}

/// Orders end within what a clock passes here: a minute, a few, half a year.
fn takes() -> impl Strategy<Value = Takes> {
    let most = prop_oneof![1 => Just(0_u64), 9 => 1..4_000_u64];
    let during = prop_oneof![4 => 0..400_000_u64, 1 => Just(90 * DAY)];
    (weighted(0.5, most), weighted(0.3, during), any::<bool>()).prop_map(
        |(most, during, neighbour)| Takes {
            most,
            during,
            neighbour,
        },
    )
}

fn rarely() -> impl Strategy<Value = bool> {
    proptest::bool::weighted(0.05)
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![18 => Just(Turn::Next), 1 => Just(Turn::Used), 1 => Just(Turn::Ahead)]
}

fn much() -> impl Strategy<Value = Much> {
    prop_oneof![
        12 => (1..5_000_u64).prop_map(Much::This),
        1 => Just(Much::This(0)),
        2 => Just(Much::All),
        2 => Just(Much::OneTooMany),
    ]
}

/// Mostly enough for a while.
fn granted() -> impl Strategy<Value = Much> {
    prop_oneof![
        12 => (2_000..12_000_u64).prop_map(Much::This),
        1 => Just(Much::This(0)),
        1 => Just(Much::All),
    ]
}

/// Mostly less than what somebody was granted.
fn spent() -> impl Strategy<Value = Much> {
    prop_oneof![
        14 => (1..3_000_u64).prop_map(Much::This),
        1 => Just(Much::This(0)),
        2 => Just(Much::All),
        1 => Just(Much::OneTooMany),
    ]
}

fn id() -> impl Strategy<Value = Id> {
    prop_oneof![8 => Just(Id::New), 2 => (0..8_u64).prop_map(Id::Of)]
}

fn evidence() -> impl Strategy<Value = Evidence> {
    prop_oneof![
        6 => Just(Evidence::Inside),
        1 => Just(Evidence::Outside),
        1 => Just(Evidence::Claimed),
        1 => Just(Evidence::Nowhere),
    ]
}

fn proof() -> impl Strategy<Value = ProofOf> {
    prop_oneof![
        24 => Just(ProofOf::Now),
        5 => (0..8_usize).prop_map(ProofOf::Its),
        1 => (0..8_usize).prop_map(ProofOf::Other),
        1 => Just(ProofOf::Nothing),
    ]
}

fn dated() -> impl Strategy<Value = Dated> {
    prop_oneof![
        16 => Just(Dated::Now),
        1 => Just(Dated::JustAhead),
        1 => Just(Dated::TooFarAhead),
        1 => Just(Dated::LastMoment),
        1 => Just(Dated::Expired),
    ]
}

fn signers() -> impl Strategy<Value = Signers> {
    prop_oneof![
        12 => Just(Signers::Enough),
        2 => Just(Signers::OtherOnes),
        1 => Just(Signers::All),
        1 => Just(Signers::Fewer),
        1 => Just(Signers::OneTwice),
        1 => Just(Signers::OneForeign),
        1 => Just(Signers::OneForged),
        1 => Just(Signers::Former),
    ]
}

/// What homes and their officers say about the homes themselves.
fn of_homes(ledger: &Ledger) -> BoxedStrategy<Step> {
    prop_oneof![
        lies(ledger) => lie(ledger),
        epochs(ledger) => epoch(ledger),
        3 => elect(),
        4 => note(),
        2 => (0..2_usize).prop_map(Step::Checkpoint),
    ]
    .boxed()
}

/// One home lies at a time, mostly where the other has something to lose by it.
fn lies(ledger: &Ledger) -> u32 {
    if ledger.is_convicted() {
        return 0;
    }
    1 + 12 * weight(relied_on(ledger).len())
}

fn lie(ledger: &Ledger) -> impl Strategy<Value = Step> + use<> {
    let home = match relied_on(ledger) {
        homes if homes.is_empty() => (0..2_usize).boxed(),
        homes => prop_oneof![8 => proptest::sample::select(homes), 1 => 0..2_usize].boxed(),
    };
    let back = prop_oneof![1 => Just(0_usize), 8 => 0..16_usize];
    (home, back).prop_map(|(home, back)| Step::Lie { home, back })
}

fn relied_on(ledger: &Ledger) -> Vec<usize> {
    (0..2).filter(|home| ledger.is_relied_on(*home)).collect()
}

/// Mostly an epoch begins because a home was convicted.
fn epochs(ledger: &Ledger) -> u32 {
    if ledger.is_convicted() { 14 } else { 1 }
}

fn epoch(ledger: &Ledger) -> impl Strategy<Value = Step> + use<> {
    let home = match ledger.convicted() {
        Some(home) => prop_oneof![6 => Just(home), 1 => 0..2_usize].boxed(),
        None => (0..2_usize).boxed(),
    };
    let cut = prop_oneof![
        10 => Just(Cut::Newest),
        1 => Just(Cut::Lower),
        1 => Just(Cut::OtherEpoch),
    ];
    (home, cut, signers(), turn()).prop_map(|(home, cut, signers, turn)| Step::Epoch {
        home,
        cut,
        signers,
        turn,
    })
}

/// Mostly what a charter may say.
fn elect() -> impl Strategy<Value = Step> {
    let next = prop_oneof![
        4 => Just(Next::Others),
        3 => Just(Next::OneGoes),
        2 => Just(Next::OneComes),
        2 => Just(Next::OneDecides),
        2 => Just(Next::AllDecide),
        1 => Just(Next::NobodyDecides),
        1 => Just(Next::MoreThanThereAre),
        1 => Just(Next::OneTwice),
    ];
    let follows = prop_oneof![
        10 => Just(Follows::Newest),
        4 => Just(Follows::First),
        1 => Just(Follows::Skips),
        1 => Just(Follows::Again),
    ];
    (0..2_usize, next, follows, signers(), turn()).prop_map(
        |(home, next, follows, signers, turn)| Step::Elect {
            home,
            next,
            follows,
            signers,
            turn,
        },
    )
}

/// A moment, a proof's life and a millisecond more, ten minutes; seldom half a year and what is missing to it, a week, a
/// year.
fn clock() -> impl Strategy<Value = Step> {
    let ms = prop_oneof![
        4 => 1..60_000_u64,
        2 => Just(300_000),
        2 => Just(300_001),
        1 => Just(600_000),
        1 => Just(180 * DAY),
        1 => Just(180 * DAY + 1),
        1 => Just(7 * DAY),
        1 => Just(365 * DAY + 1),
    ];
    (ms, any::<bool>()).prop_map(|(ms, tick)| Step::Clock { ms, tick })
}
